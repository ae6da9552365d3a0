"""Merging the partial panes of one slice of event time, from all partitions of a stream's topic.

Counts add up. Traces are thinned to their largest level, so that each partition keeps its share of the mixture, and
interleaved by relative position (i + 1/2) / n, ties by partition. Laid end to end, partitions that differ (keyed by
customer, say) would look like a drift that comes back every pane.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from monitor.events import Codes, Int64s, OffsetRange
from monitor.panes import heavy
from monitor.panes.pane import Pane


@dataclass(frozen=True, slots=True)
class MergedPane:
    """One pane of one stream, whole. `codes`: the interleaved trace (m, series)."""

    index: int
    events: int
    last_time: int | None
    counts: Int64s
    codes: Codes
    offsets: tuple[OffsetRange, ...]
    unknown: tuple[Mapping[str, int], ...]


def merge(panes: Sequence[Pane]) -> MergedPane:
    """All partial panes of one stream and index (at least one, of one grid) as one."""
    parts = sorted(panes, key=lambda pane: pane.tp)
    times = [pane.last_time for pane in parts if pane.last_time is not None]
    return MergedPane(
        index=parts[0].index,
        events=sum(pane.events for pane in parts),
        last_time=max(times) if times else None,
        counts=parts[0].counts if len(parts) == 1 else np.sum([pane.counts for pane in parts], axis=0),
        codes=interleave(parts),
        offsets=tuple(pane.offsets for pane in parts),
        unknown=tuple(heavy.merged(column) for column in zip(*(pane.unknown for pane in parts), strict=True)),
    )


def interleave(parts: Sequence[Pane]) -> Codes:
    """The traces of partial panes (in partition order) as one, by relative position."""
    level = max(pane.level for pane in parts)
    traces = [pane.codes if pane.level == level else pane.codes[pane.levels >= level] for pane in parts]
    if len(traces) == 1:
        return traces[0]
    position = np.concatenate([(np.arange(len(trace)) + 0.5) / max(len(trace), 1) for trace in traces])
    # a stable sort: equal fractions are equal doubles (correctly rounded), and stay in partition order
    order = np.argsort(position, kind="stable")
    return np.concatenate(traces)[order]
