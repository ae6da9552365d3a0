"""How much traffic, how dense, from when on, and to which partition: what all generators have in common."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from monitor.events import Int64s
from producers.schedule import At

BLOCK = 5000


@dataclass(frozen=True, slots=True)
class Traffic:
    """`events`: how many (None: without end). `rate`: events a second of event time, evenly spaced but for jitter.

    `disorder`: share of events whose time is set back, by up to `disorder_ms`. `partitions`: where it is given,
    records name their partition, by their key; else the bus chooses.
    """

    events: int | None
    seed: int
    start_ms: int
    rate: float = 10.0
    disorder: float = 0.0
    disorder_ms: int = 5000
    partitions: int | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """Some events in order: their places, and their times in ms, shape (BLOCK,)."""

    at: At
    time: Int64s


def blocks(traffic: Traffic, random: np.random.Generator) -> Iterator[Block]:
    """Times of the traffic without end, in blocks of one size, so that fewer events are the first of more.

    Time passes evenly, with jitter within an event's own share of it.
    """
    first, step = 0, 1000.0 / traffic.rate
    while True:
        number = np.arange(first, first + BLOCK)
        elapsed = ((number + random.random(BLOCK)) * step).astype(np.int64)
        back = np.where(random.random(BLOCK) < traffic.disorder, random.random(BLOCK) * traffic.disorder_ms, 0.0)
        yield Block(At(number, elapsed), traffic.start_ms + elapsed - back.astype(np.int64))
        first += BLOCK


def partition_of(key: bytes, partitions: int | None) -> int | None:
    """The partition of a key, by a digest of our own: the same on every bus and with every client."""
    if partitions is None:
        return None
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") % partitions


def time_texts(time: Int64s) -> list[str]:
    """RFC 3339 with milliseconds, in UTC."""
    return [f"{text}Z" for text in np.datetime_as_string(time.astype("datetime64[ms]")).tolist()]
