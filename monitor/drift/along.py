"""The core along many rows at once: the evidence that `Drift.add` gives pane by pane, to the bit, many times as fast.

For those who draw streams to see what chance does (`monitor.calibration`): panes have as many rows each, so all windows
of one length are judged together, from differences of sums that run along the stream.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from monitor.drift.core import BLOCK_ROWS, Drift
from monitor.drift.correlation import LEVELS as CORRELATION_LEVELS
from monitor.drift.evidence import LEAST
from monitor.drift.windows import LEVELS, PARTS
from monitor.events import Codes, Float64s, Int64s

WAYS = ("family", "column", "correlation")
_CELLS_AT_ONCE = 1 << 18
"""Cells of rows that are summed at once, and numbers of windows that are judged at once: they fit into a cache."""


def panes_a_block(rows: int) -> int:
    """How many panes of `rows` rows make a block."""
    return -(-BLOCK_ROWS // rows)


def evidence_along(core: Drift, codes: Codes, rows: int, trace: int) -> Float64s:
    """The z over its limit of each way of looking behind each block, (blocks, 3), from a core that has seen nothing.

    `codes`: whole blocks (m, series). `rows`: of a pane, of which `trace` are in its trace.
    """
    blocks, pairs = map(_running, _blocks(core, codes, rows, trace))
    found = np.full((len(WAYS), len(blocks) - 1), LEAST)
    for level, length in _lengths(LEVELS):
        for ends, sums in _windows(blocks, level, length):
            for way, z in enumerate(core.of_windows(sums)):
                _hold(found[way], ends, level, z)
    for level, length in _lengths(CORRELATION_LEVELS):
        for ends, sums in _windows(pairs, level, length):
            _hold(found[2], ends, level, core.of_pair_windows(sums))
    return found.T


def _blocks(core: Drift, codes: Codes, rows: int, trace: int) -> list[Int64s]:
    """Sums of each block, of rows and of pairs."""
    panes = panes_a_block(rows)
    step = max(1, _CELLS_AT_ONCE // max(1, codes.shape[1] * rows * panes)) * panes * rows
    parts = [core.panes_of(codes[start : start + step], rows, trace) for start in range(0, len(codes), step)]
    kinds = (np.concatenate(kind) for kind in zip(*parts, strict=True))
    return [sums.reshape(-1, panes, sums.shape[1]).sum(axis=1) for sums in kinds]


def _running(blocks: Int64s) -> Int64s:
    """Sums of all blocks before each, and of all."""
    return np.concatenate([np.zeros((1, blocks.shape[1]), dtype=np.int64), np.cumsum(blocks, axis=0)])


def _lengths(levels: int) -> Iterator[tuple[int, int]]:
    """The level and the length in blocks of each window, as `windows.py` has them."""
    yield from ((0, 1), (0, 2), (0, 4))
    yield from ((level, PARTS << level) for level in range(levels))


def _windows(running: Int64s, level: int, length: int) -> Iterator[tuple[Int64s, Float64s]]:
    """All windows of a length that are full, some at a time: the block behind each (windows,), and their sums."""
    ends = np.arange(length, len(running), 1 << level)
    step = max(1, _CELLS_AT_ONCE // running.shape[1])
    for start in range(0, len(ends), step):
        part = ends[start : start + step]
        yield part, (running[part] - running[part - length]).astype(np.float64)


def _hold(found: Float64s, ends: Int64s, level: int, z: Float64s) -> None:
    """Let each window's value count until the window moves again."""
    moves = 1 << level
    held = np.repeat(z, moves)[: len(found) - int(ends[0]) + 1]
    part = found[int(ends[0]) - 1 : int(ends[0]) - 1 + len(held)]
    np.maximum(part, held, out=part)
