"""Cutting and joining Rows, and the level of each row (which rows a thinned trace keeps)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from monitor.contract import StreamContract
from monitor.events import Int32s, Int64s, Rows, TopicPartition, UInt64s

_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_HIGHEST_LEVEL = 63


def empty(model: str, contract: StreamContract, lane: str = "") -> Rows:
    """No rows of that stream. `lane`: names what they stand on (`contract.lane_contract`)."""
    numeric, categorical = len(contract.numeric_series), len(contract.categorical_series)
    none = np.zeros(0, dtype=np.int64)
    return Rows(
        model=model,
        stream=contract.stream,
        contract=lane,
        offset=none,
        part=np.zeros(0, dtype=np.int32),
        time=none,
        numeric=np.zeros((0, numeric)),
        numeric_states=np.zeros((0, numeric), dtype=np.uint8),
        categorical=tuple([] for _ in range(categorical)),
        categorical_states=np.zeros((0, categorical), dtype=np.uint8),
        ids=None if contract.keys is None else np.zeros(0, dtype=np.uint64),
    )


def take(rows: Rows, index: np.ndarray) -> Rows:
    """The rows at `index` (positions, or a mask of shape (n,)), in that order."""
    if index.dtype == np.bool_:
        if index.all():
            return rows
        index = np.flatnonzero(index)
    chosen = index.tolist()
    return Rows(
        model=rows.model,
        stream=rows.stream,
        contract=rows.contract,
        offset=rows.offset[index],
        part=rows.part[index],
        time=rows.time[index],
        numeric=rows.numeric[index],
        numeric_states=rows.numeric_states[index],
        categorical=tuple([values[i] for i in chosen] for values in rows.categorical),
        categorical_states=rows.categorical_states[index],
        ids=None if rows.ids is None else rows.ids[index],
    )


def concat(parts: Sequence[Rows]) -> Rows:
    """All rows of `parts` (one model, stream and contract, at least one part), one after the other."""
    if len(parts) == 1:
        return parts[0]
    return Rows(
        model=parts[0].model,
        stream=parts[0].stream,
        contract=parts[0].contract,
        offset=np.concatenate([part.offset for part in parts]),
        part=np.concatenate([part.part for part in parts]),
        time=np.concatenate([part.time for part in parts]),
        numeric=np.concatenate([part.numeric for part in parts]),
        numeric_states=np.concatenate([part.numeric_states for part in parts]),
        categorical=tuple(
            [value for part in parts for value in part.categorical[j]] for j in range(len(parts[0].categorical))
        ),
        categorical_states=np.concatenate([part.categorical_states for part in parts]),
        ids=_ids_of(parts),
    )


def _ids_of(parts: Sequence[Rows]) -> UInt64s | None:
    """The ids of all rows; those of a contract without keys have none, and of others without keys there is nothing."""
    if all(part.ids is None for part in parts):
        return None
    return np.concatenate([np.zeros(len(p), dtype=np.uint64) if p.ids is None else p.ids for p in parts])


def canonical_order(time: Int64s, offset: Int64s, part: Int32s) -> Int64s:
    """Positions that put rows of one topic partition in canonical order: by time, ties by offset, then by part."""
    return np.lexsort((part, offset, time)).astype(np.int64, copy=False)


@lru_cache(maxsize=1024)
def partition_seed(tp: TopicPartition) -> np.uint64:
    """The seed of a topic partition's row levels."""
    digest = hashlib.sha256(f"{tp.topic}/{tp.partition}".encode()).digest()
    return np.uint64(int.from_bytes(digest[:8], "little"))


def levels(seed: np.uint64, offset: Int64s, part: Int32s) -> np.ndarray:
    """Level of each row: trailing zero bits of a digest of (topic, partition, offset, part); uint8, shape (n,).

    Half of the rows have level 0, a quarter level 1, and so on, whatever the period of the input: keeping every
    k-th row would alias with periodic traffic. The digest is splitmix64's finaliser (Steele et al., 2014).
    """
    mixed = offset.astype(np.uint64) * _MIX[0] + part.astype(np.uint64) * _MIX[1] + seed
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX[1]
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX[2]
    mixed ^= mixed >> np.uint64(31)
    lowest_bit = mixed & (~mixed + np.uint64(1))
    exponent = np.frexp(lowest_bit.astype(np.float64))[1] - 1  # exact: a power of two
    return np.where(mixed == 0, _HIGHEST_LEVEL, exponent).astype(np.uint8)
