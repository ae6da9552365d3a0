"""Figures of outcomes: false alarms, misses, delays, what pages name; and the periodic alarm that stands beside ours.

A delay of what is not found is infinite, so a median over all cases is infinite if half of them are missed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import ceil, inf
from statistics import median

from benchmarks.quality.cases import Alarm, Outcome

Outcomes = Sequence[Outcome]
Measure = Callable[[Outcomes], float | None]
"""A figure of outcomes; None: they say nothing of it."""


def false_rate(outcomes: Outcomes) -> float:
    """False alarms per 10,000 rows without change."""
    return 10_000 * false_alarms(outcomes) / max(1, sum(outcome.quiet_rows for outcome in outcomes))


def false_alarms(outcomes: Outcomes) -> float:
    """False alarms."""
    return float(sum(outcome.false for outcome in outcomes))


def most_a_week(outcomes: Outcomes) -> float:
    """False alarms a week of one row a minute."""
    return 10_080 * false_alarms(outcomes) / max(1, sum(outcome.quiet_rows for outcome in outcomes))


def delays(outcomes: Outcomes, *rules: str) -> list[float]:
    """The delays in order, infinite where nothing was found. `rules`: beginnings of the alerts that count."""
    found = (outcome.delay_of(*(rules or ("",))) for outcome in outcomes)
    return sorted(inf if delay is None else float(delay) for delay in found)


def middle(outcomes: Outcomes) -> float | None:
    """The median delay."""
    return median(delays(outcomes)) if outcomes else None


def ninth(outcomes: Outcomes) -> float | None:
    """The delay that nine of ten do not exceed."""
    of_all = delays(outcomes)
    return of_all[ceil(0.9 * len(of_all)) - 1] if of_all else None


def share_found(outcomes: Outcomes) -> float | None:
    """The share of the changes that are found."""
    return share_within(inf)(outcomes)


def share_within(rows: float) -> Measure:
    """The share of the changes that are found within so many rows."""

    def measure(outcomes: Outcomes) -> float | None:
        if not outcomes:
            return None
        return sum(delay <= rows and delay < inf for delay in delays(outcomes)) / len(outcomes)

    return measure


def middle_of(*rules: str) -> Measure:
    """The median delay of the alerts whose names begin so."""
    return lambda outcomes: median(delays(outcomes, *rules)) if outcomes else None


def share_firing_at(rows: int) -> Measure:
    """The share of the cases in which something found behind the change still fires that many rows behind it."""

    def fires(outcome: Outcome) -> bool:
        at = (outcome.change or 0) + rows
        own = (a for a in outcome.alarms if a.is_new and a.row > (outcome.change or 0))
        return any(alarm.row <= at and (alarm.until is None or alarm.until > at) for alarm in own)

    return lambda outcomes: sum(map(fires, outcomes)) / len(outcomes) if outcomes else None


def share_unverified(rule: str) -> Measure:
    """The share of a rule's alerts that say that they can't be trusted as others can; of all cases."""

    def measure(outcomes: Outcomes) -> float | None:
        own = [alarm for outcome in outcomes for alarm in outcome.alarms if alarm.rule == rule]
        return sum(alarm.is_unverified for alarm in own) / len(own) if own else None

    return measure


def firing_messages(outcomes: Outcomes) -> float | None:
    """The median number of alerts that fire behind the change."""
    counts = [sum(a.is_new and a.row > (o.change or 0) for a in o.alarms) for o in outcomes]
    return median(counts) if counts else None


def updates(outcomes: Outcomes) -> float | None:
    """The largest number of updates behind the change."""
    return max((sum(not a.is_new and a.row > (o.change or 0) for a in o.alarms) for o in outcomes), default=None)


def change_point(outcomes: Outcomes) -> float | None:
    """The median distance of the row at which the first alert says that the change began."""
    found = []
    for outcome in outcomes:
        first = _page(outcome)
        if first is not None and first.at is not None:
            found.append(abs(first.at - (outcome.change or 0)))
    return float(median(found)) if found else None


def _page(outcome: Outcome) -> Alarm | None:
    """The first alert behind the change."""
    behind = (a for a in outcome.alarms if a.is_new and a.row > (outcome.change or 0))
    return next(behind, None)


def named(outcome: Outcome, within: int) -> tuple[str, ...] | None:
    """The columns that the page's newest message names, at most so many rows behind it; None: it names none."""
    page = _page(outcome)
    if page is None:
        return None
    own = [a for a in outcome.alarms if a.rule == page.rule and page.row <= a.row <= page.row + within]
    return next((alarm.columns for alarm in reversed(own) if alarm.columns is not None), None)


def false_discoveries(within: int) -> Measure:
    """The share of the named columns that have not changed."""

    def measure(outcomes: Outcomes) -> float | None:
        pages = [(outcome, columns) for outcome in outcomes if (columns := named(outcome, within)) is not None]
        if not pages:
            return None
        wrong = sum(column not in outcome.changed for outcome, columns in pages for column in columns)
        return wrong / max(1, sum(len(columns) for _, columns in pages))

    return measure


def discovered(within: int, is_large: Callable[[str], bool]) -> Measure:
    """The share of the changed columns that are named, of those that have changed much."""

    def measure(outcomes: Outcomes) -> float | None:
        if all(named(outcome, within) is None for outcome in outcomes):
            return None
        found = [c in (named(o, within) or ()) for o in outcomes for c in o.changed if is_large(c)]
        return sum(found) / max(1, len(found))

    return measure


def names_a_true_one(outcomes: Outcomes) -> float | None:
    """The share of the pages whose first message names a column that has changed."""
    pages = [(outcome.changed, page.columns) for outcome in outcomes if (page := _page(outcome)) is not None]
    if all(columns is None for _, columns in pages):
        return None
    return sum(any(column in changed for column in columns or ()) for changed, columns in pages) / len(pages)


def periodic(outcomes: Outcomes) -> list[Outcome]:
    """An alarm that comes at equal distances, as often as those of the outcomes, through all their rows."""
    rows, alarms = sum(o.rows for o in outcomes), sum(len(o.firing) for o in outcomes)
    found, start, places = [], 0, [round((k + 0.5) * rows / alarms) for k in range(alarms)]
    for outcome in outcomes:
        own = [place - start for place in places if start < place <= start + outcome.rows]
        found.append(replace(outcome, alarms=tuple(Alarm(row, "periodic", until=row) for row in own)))
        start += outcome.rows
    return found
