"""What the detectors must be fed with, computed slowly and independently from a log's bytes.

Row by row, in plain Python: lateness by the partition's own watermark, panes in canonical order, thinning by level,
interleaving by fractions, and ranks by counting. Only the grid and the reference are taken from the engine, since
they are what ranks are relative to.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections import defaultdict
from fractions import Fraction

from monitor.codec.times import parse_time
from monitor.contract import ModelContract
from monitor.evaluate.reference import Reference
from monitor.events import TopicPartition
from monitor.panes.grid import Grid
from tests.determinism.logs import TOPICS, RandomLog

MASK = (1 << 64) - 1
Row = tuple[int, int, float | None]
"""Event time, offset, and the value of the watched column (None where a detector must not see it)."""


def fed(log: RandomLog, topic: str, column: str, grid: Grid, reference: Reference) -> list[float]:
    """All ranks that the detector on a numeric column is fed with, in order."""
    contract = log.config.models[0].contract
    panes: dict[int, dict[int, list[Row]]] = defaultdict(dict)
    for tp in sorted(log.records):
        if tp.topic == topic:
            for index, rows in _panes(log, tp, column, contract.lateness_ms, contract.pane_ms).items():
                panes[index][tp.partition] = rows
    ranks = _Ranks(grid, reference, column)
    values: list[float] = []
    for index in sorted(index for index in panes if index > _pane_of_the_reference(panes, contract)):
        trace = _interleaved(topic, panes[index], contract.trace_points)
        values += [ranks.of(value) for value in trace if value is not None]
    return values


def _pane_of_the_reference(panes: dict[int, dict[int, list[Row]]], contract: ModelContract) -> int:
    """The pane of the n-th row in canonical order: what made the reference is not judged, nor the rest of that pane.

    If it is of event time, the last pane of that.
    """
    if contract.reference_ms:
        return min(panes) + -(-contract.reference_ms // contract.pane_ms) - 1
    rows = sorted((row[0], p, row[1]) for parts in panes.values() for p, some in parts.items() for row in some)
    return rows[contract.raw_rows - 1][0] // contract.pane_ms


def _panes(log: RandomLog, tp: TopicPartition, column: str, lateness: int, pane: int) -> dict[int, list[Row]]:
    beats = sorted((h.offset, h.reached) for h in log.heartbeats if (h.topic, h.partition) == tp)
    watermark: int | None = None
    panes: dict[int, list[Row]] = defaultdict(list)
    for offset, value in enumerate(log.records[tp]):
        for at, beat in beats:
            if at == offset:
                watermark = beat if watermark is None else max(watermark, beat)
        event = json.loads(value)
        time = parse_time(event["event_time"])
        index = time // pane
        if watermark is None or (index + 1) * pane > watermark:
            panes[index].append((time, offset, _cell(event, column)))
        own = time - lateness
        watermark = own if watermark is None else max(watermark, own)
    return panes


def _cell(event: dict[str, object], column: str) -> float | None:
    fields = {"probability": event.get("y_pred_proba")} if "features" not in event else event["features"]
    value = fields.get(column) if isinstance(fields, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) >= 1e150:
        return None
    return float(value)


def _interleaved(topic: str, parts: dict[int, list[Row]], points: int) -> list[float | None]:
    levelled = {p: [(row, _level(topic, p, row[1])) for row in sorted(parts[p])] for p in sorted(parts)}
    lowest = 0
    for rows in levelled.values():
        while sum(level >= lowest for _, level in rows) > points:
            lowest += 1
    placed = []
    for p, rows in levelled.items():
        kept = [row for row, level in rows if level >= lowest]
        placed += [(Fraction(2 * i + 1, 2 * len(kept)), p, row[2]) for i, row in enumerate(kept)]
    return [value for _, _, value in sorted(placed, key=lambda item: item[:2])]


def _level(topic: str, partition: int, offset: int) -> int:
    seed = int.from_bytes(hashlib.sha256(f"{topic}/{partition}".encode()).digest()[:8], "little")
    x = (offset * 0x9E3779B97F4A7C15 + seed) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    x ^= x >> 31
    return (x & -x).bit_length() - 1 if x else 63


class _Ranks:
    def __init__(self, grid: Grid, reference: Reference, column: str) -> None:
        series = [bins.name for bins in grid.numeric].index(column)
        self._edges = grid.numeric[series].edges.tolist()
        self._counts: list[int] = reference.total[grid.layout.bins[series]].tolist()

    def of(self, value: float) -> float:
        code = bisect_right(self._edges, value)
        below, own, n = sum(self._counts[:code]), self._counts[code], sum(self._counts)
        return (2 * below + own) / (2 * n)


WATCHED = ((TOPICS[0], "a", "adwin"), (TOPICS[1], "probability", "shift"))
