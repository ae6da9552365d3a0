"""The change behind evidence: where it began, which columns it is in, and of what kind.

Stretches of parts of windows end now and begin ever earlier. Evidence is largest for the one that begins with the
change: a shorter one has fewer rows, a longer one has older rows, too. Half of z² is nearly a log-likelihood, so all
that come within three of the best may be the beginning.

Columns are named by the evidence of that stretch, so that on average at most a tenth of them is named by chance.
Y. Benjamini and Y. Hochberg, Controlling the false discovery rate, 1995.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from monitor.drift.columns import RARE, TESTS_A_COLUMN, ColumnCells, ColumnEvidence
from monitor.drift.evidence import log_tail
from monitor.drift.windows import Suffix
from monitor.events import Change, DriftKind, Float64s, Int64s, NamedColumn
from monitor.panes.grid import Grid
from monitor.stats.exact import log, significant

NATS = 3.0
FALSE_DISCOVERIES = 0.05
"""Half of the tenth that is wanted: the stretch is chosen for what it shows, which the procedure does not know."""
_LARGEST_CHANCE = 0.001
_RARE_KINDS: dict[str, DriftKind] = {"missing": "missing", "invalid": "invalid", "new": "new_category"}
_LOG_TESTS = float(log(np.array([float(TESTS_A_COLUMN)]))[0])
_LEAST_VANISHED = 0.05
_LEFT_OF_VANISHED = 0.2


class Explanation(NamedTuple):
    """A change, the rows since it began, and the columns that it is in, the clearest first."""

    change: Change
    rows: int
    columns: tuple[NamedColumn, ...]


class Pairs(NamedTuple):
    """Stretches for pairs of columns: `z` (stretches, pairs), `of`: places of both columns; mean products, in the
    reference and in the stretches, in units of their deviation.
    """

    suffixes: Sequence[Suffix]
    z: Float64s
    first: Int64s
    second: Int64s
    after: Float64s
    before: Float64s


@dataclass(frozen=True, slots=True)
class Stretches:
    """Evidence of stretches that end now, shortest first.

    `family`: z over its limit, (stretches,). `scores`: z of each score, (stretches, width). `score_means`: per row.
    """

    suffixes: Sequence[Suffix]
    rows: Float64s
    family: Float64s
    columns: ColumnEvidence
    column_limit: float
    scores: Float64s
    score_means: Float64s
    cells: Float64s
    pairs: Pairs
    pair_limit: float


def explain(grid: Grid, cells: ColumnCells, reference_rows: int, now: Stretches) -> Explanation:
    """Return the change that the evidence speaks for most."""
    scores = np.abs(now.scores).max(axis=1, initial=0.0)
    columns = np.maximum(now.columns.largest.max(axis=1, initial=0.0), scores) / now.column_limit
    pairs = now.pairs.z.max(axis=1, initial=0.0) / now.pair_limit
    is_of_pairs = pairs.max(initial=0.0) > max(now.family.max(initial=0.0), columns.max(initial=0.0))
    scale = max(now.column_limit, now.pair_limit)
    strength = (pairs if is_of_pairs else np.maximum(now.family, columns)) * scale
    suffixes = now.pairs.suffixes if is_of_pairs else now.suffixes
    best = int(np.argmax(strength))
    likely = np.flatnonzero(np.maximum(strength, 0.0) ** 2 / 2 >= strength[best] ** 2 / 2 - NATS)
    place = best if not is_of_pairs else _same_start(now.suffixes, suffixes[best].start)
    named = _named(grid, cells, reference_rows, now, place)
    if is_of_pairs:
        named = _paired(grid, now.pairs, best) + named
    starts = [suffixes[i].start for i in likely.tolist()]
    kind: DriftKind | None = named[0].kind if named else None
    change = Change(suffixes[best].start, min(starts), max(starts), None, None, None, kind)
    return Explanation(change, int(now.rows[place]), tuple(named))


def _same_start(suffixes: Sequence[Suffix], start: int) -> int:
    return min(range(len(suffixes)), key=lambda i: (abs(suffixes[i].start - start), i))


def discoveries(log_p: Float64s) -> Int64s:
    """The places of the tests (tests,) that are named at FALSE_DISCOVERIES, the clearest first.

    >>> discoveries(np.log(np.array([0.5, 0.001, 0.03]))).tolist()
    [1, 2]
    """
    order = np.argsort(log_p, kind="stable")
    if not len(order):
        return order
    bounds = log(FALSE_DISCOVERIES * np.arange(1, len(order) + 1) / len(order))
    below = np.flatnonzero(log_p[order] <= bounds)
    return order[: int(below[-1]) + 1] if len(below) else order[:0]


def are_beyond_chance(z: Sequence[float], series: int) -> bool:
    """Return true if some of `series` columns have evidence that chance gives once in a thousand looks, or less often.

    `z`: of columns that are named.

    >>> are_beyond_chance([3.1, 2.8], 5), are_beyond_chance([3.1, 4.6], 5)
    (False, True)
    """
    log_p = np.sort(log_tail(np.array(z, dtype=np.float64))) + _LOG_TESTS
    return bool((log_p <= log(_LARGEST_CHANCE * np.arange(1, len(log_p) + 1) / max(series, 1))).any())


def _named(grid: Grid, cells: ColumnCells, m: int, now: Stretches, place: int) -> list[NamedColumn]:
    series = len(grid.series)
    location, spread = np.abs(now.scores[place, :series]), np.abs(now.scores[place, series:])
    shares, rare = now.columns.shares[place], now.columns.rare[place]
    z = np.maximum(np.maximum(location, spread), np.maximum(shares, rare.max(axis=-1)))
    tail = log_tail(z) + _LOG_TESTS
    found = []
    for j in _clearest(tail).tolist():
        is_numeric = j < len(grid.numeric)
        own = (float(location[j]), float(spread[j])) if is_numeric else None
        kind = _kind(own, float(shares[j]), rare[j], z=float(z[j]))
        before, after = _levels(kind, cells, m, now, place, j, series)
        if kind == "shape" and not is_numeric:
            vanished = _vanished(cells, m, now, place, j)
            kind, (before, after) = ("vanished_category", vanished) if vanished else (kind, (before, after))
        found.append(NamedColumn(grid.series[j], significant(float(z[j])), kind, before, after))
    return found


def _clearest(log_p: Float64s) -> Int64s:
    """What is discovered; if nothing is, the clearest: a page names a column."""
    found = discoveries(log_p)
    return found if len(found) else np.argsort(log_p, kind="stable")[:1]


def _kind(own: tuple[float, float] | None, shares: float, rare: Float64s, z: float) -> DriftKind:
    """`own`: |z| of location and spread; None of categories."""
    for name, kind in _RARE_KINDS.items():
        if rare[RARE.index(name)] >= z:
            return kind
    if own is None or max(own) < 0.5 * shares:
        return "shape"
    return "location" if own[0] >= own[1] else "spread"


def _levels(
    kind: DriftKind, cells: ColumnCells, m: int, now: Stretches, place: int, j: int, series: int
) -> tuple[float, float]:
    """What the kind is about, before and since: mean rank, mean of 2 |rank - 1/2|, or the share of cells."""
    rows = int(now.rows[place])
    if kind in ("location", "spread"):
        at = j if kind == "location" else series + j
        return 0.5, significant(0.5 + float(now.score_means[place, at]))
    if kind == "shape":
        return _most_moved(cells, m, now, place, j)
    name = next(name for name, one in _RARE_KINDS.items() if one == kind)
    at = cells.rare_place(j, RARE.index(name))
    return significant(float(cells.reference[at]) / m), significant(float(now.cells[place, at]) / rows)


def _shares(cells: ColumnCells, m: int, now: Stretches, place: int, j: int) -> tuple[Float64s, Float64s]:
    part = cells.share_places(j)
    return cells.reference[part] / m, now.cells[place, part] / int(now.rows[place])


def _most_moved(cells: ColumnCells, m: int, now: Stretches, place: int, j: int) -> tuple[float, float]:
    before, after = _shares(cells, m, now, place, j)
    at = int(np.argmax(np.abs(after - before)))
    return significant(float(before[at])), significant(float(after[at]))


def _vanished(cells: ColumnCells, m: int, now: Stretches, place: int, j: int) -> tuple[float, float] | None:
    """The share of a bin of categories that is nearly gone, before and since; None if none is."""
    before, after = _shares(cells, m, now, place, j)
    gone = (before >= _LEAST_VANISHED) & (after < _LEFT_OF_VANISHED * before)
    if not gone.any():
        return None
    at = int(np.argmax(np.where(gone, before - after, -1.0)))
    return significant(float(before[at])), significant(float(after[at]))


def _paired(grid: Grid, pairs: Pairs, place: int) -> list[NamedColumn]:
    names = grid.series
    return [
        NamedColumn(
            names[int(pairs.first[k])],
            significant(float(pairs.z[place, k])),
            "correlation",
            significant(float(pairs.before[k])),
            significant(float(pairs.after[place, k])),
            names[int(pairs.second[k])],
        )
        for k in discoveries(log_tail(pairs.z[place])).tolist()
    ]
