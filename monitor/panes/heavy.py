"""Bounded heavy hitters of categories that the grid does not know.

Misra-Gries counters (Misra & Gries, 1982; merging: Agarwal et al., 2012): with k counters each count is at most
n / (k + 1) too low, never too high. They are fed in offset order, so they depend on the log alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

COUNTERS = 64


def feed(counters: dict[str, int], values: Iterable[str]) -> None:
    """Count `values` into `counters`, in place."""
    for value in values:  # one unknown category at a time: the algorithm's state decides what the next one does
        if value in counters:
            counters[value] += 1
        elif len(counters) < COUNTERS:
            counters[value] = 1
        else:
            for known in list(counters):
                counters[known] -= 1
                if not counters[known]:
                    del counters[known]


def merged(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Counters of the union, most frequent first, ties by name."""
    total: dict[str, int] = {}
    for part in parts:
        for value, count in part.items():
            total[value] = total.get(value, 0) + count
    ranked = sorted(total.items(), key=lambda item: (-item[1], item[0]))
    if len(ranked) > COUNTERS:
        cut = ranked[COUNTERS][1]
        ranked = [(value, count - cut) for value, count in ranked[:COUNTERS] if count > cut]
    return dict(ranked)
