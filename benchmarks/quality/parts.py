"""The parts of the scoreboard: their lines, each with its streams, its figure and its target."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from benchmarks.quality.scoring import (
    Measure,
    change_point,
    discovered,
    false_alarms,
    false_discoveries,
    false_rate,
    firing_messages,
    middle,
    middle_of,
    most_a_week,
    names_a_true_one,
    ninth,
    share_firing_at,
    share_found,
    share_unverified,
    share_within,
    updates,
)
from benchmarks.quality.streams import KINDS, KS, distance


@dataclass(frozen=True)
class Line:
    """A figure. `seeds`: of each stream. `most`: false if the target is the least that it may be.

    `is_of_pages`: it reads what messages say, which only ours do. `is_large`: only cases count in which a column
    changes by `KS`.
    """

    part: str
    label: str
    streams: tuple[str, ...]
    seeds: int
    measure: Measure
    target: float | None
    most: bool = True
    is_of_pages: bool = False
    is_large: bool = False
    contestant: Literal["ours", "ours without Drift"] = "ours"

    def is_met(self, value: float) -> bool | None:
        """Compare a figure with the target; None: there is none."""
        if self.target is None:
            return None
        return value <= self.target if self.most else value >= self.target


def lines(folder: Path) -> list[Line]:
    """All lines, in their order."""
    return [*_null(), *_public(folder), *_made(), *_seasonal(), *_pages(folder), *_dependent(), *_messages()]


def _null() -> list[Line]:
    nulls = ("null insects", "null car loan", "null phishing")
    return [
        Line("Q0", "uniform categories, 100,000 rows: false alarms", ("uniform",), 5, false_alarms, 0),
        *(Line("Q1", f"{name}: false alarms per 10,000", (name,), 20, false_rate, 0.1) for name in nulls),
        Line("Q1", "all three", nulls, 20, false_rate, 0.05),
    ]


def _delays(part: str, label: str, stream: str, seeds: int, most: float, ninth_most: float | None = None) -> list[Line]:
    of_all = [Line(part, f"{label}: median delay", (stream,), seeds, middle, most)]
    if ninth_most is not None:
        of_all.append(Line(part, f"{label}: nine of ten", (stream,), seeds, ninth, ninth_most))
    return of_all


def _public(folder: Path) -> list[Line]:
    two = ("two by quantiles",)
    large = f"KS ≥ {KS}"
    return [
        *_delays("Q2", "insects b to d", "b to d", 20, 60, 120),
        Line("Q2", "false alarms before", ("b to d",), 20, false_alarms, None),
        Line(
            "Q2", "psi, ks: median delay", ("b to d",), 20, middle_of("Feature"), 400, contestant="ours without Drift"
        ),
        Line("Q2", "100 rows/s: median delay", ("b to d, fast",), 5, middle, 2_000),
        Line("Q3a", f"{large}: found", two, 40, share_found, 1.0, most=False, is_large=True),
        Line("Q3a", f"{large}: median delay", two, 40, middle, 100, is_large=True),
        Line("Q3a", f"{large}: nine of ten", two, 40, ninth, 200, is_large=True),
        Line("Q3a", "all pairs: found within 5,000", two, 40, share_within(5_000), 0.9, most=False),
        Line("Q3a", "false alarms before", two, 40, false_alarms, None),
        Line("Q3b", "found", ("two from other rows",), 20, share_found, 1.0, most=False),
        *_delays("Q3b", "from other rows", "two from other rows", 20, 100, 150),
        Line("Q3b", "false alarms before", ("two from other rows",), 20, false_alarms, None),
        Line("Q3c", "found within 40,000", ("small shift",), 5, share_within(40_000), 1.0, most=False),
        Line("Q3c", "false alarms before", ("small shift",), 5, false_alarms, None),
    ]


MADE: Final = {
    "deviation x 1.5": 200,
    "deviation x 1.25": 700,
    "correlation": 200,
    "equal surprisal": 600,
    "vanished": 500,
    "new category": 500,
    "missing 3 %": 500,
    "outliers 3 %": 500,
    "ramp": 5_000,
}
"""Largest median delays."""


def _made() -> list[Line]:
    streams = (*MADE, "60 rows missing", "lasting shift")
    return [
        *(line for name, most in MADE.items() for line in _delays("Q4", name, name, 10, most)),
        Line("Q4", "60 rows missing: found", ("60 rows missing",), 10, share_within(500), 1.0, most=False),
        Line("Q4", "0.3 σ fires after 10,000", ("lasting shift",), 10, share_firing_at(10_000), 1.0, most=False),
        Line("Q4", "false alarms before", streams, 10, false_alarms, None),
    ]


def _seasonal() -> list[Line]:
    return [
        Line("Q5", "elec, weeks shuffled, 131,040 rows: false alarms", ("elec",), 10, false_alarms, 0),
        Line("Q5", "the era: found", ("elec, era",), 10, share_found, 1.0, most=False),
        *_delays("Q5", "the era", "elec, era", 10, 650, 1_500),
    ]


UPDATED: Final = 310
"""Rows behind a page in which its first update comes, if there is one: 5 minutes and a judgement."""


def _pages(folder: Path) -> list[Line]:
    def is_large(column: str) -> bool:
        return distance(folder, column) >= KS

    two = ("two by quantiles",)
    found = discovered(UPDATED, is_large)
    return [
        Line("Q9", "false discoveries", two, 40, false_discoveries(UPDATED), 0.1, is_of_pages=True),
        Line("Q9", f"KS ≥ {KS} named", two, 40, found, 0.9, most=False, is_of_pages=True),
        Line("Q9", "the page names a true one", two, 40, names_a_true_one, 1.0, most=False, is_of_pages=True),
    ]


def _dependent() -> list[Line]:
    kinds = tuple(f"null {kind}" for kind in KINDS)
    return [
        *(Line("Q10a", f"{name}: false alarms per 10,000", (name,), 2, false_rate, None) for name in kinds),
        Line("Q10a", "all, 300,000 rows", kinds, 2, false_rate, 0.1),
        Line("Q10b", "AR(1) 0.5, 300,000 rows: per 10,000", ("AR 0.5",), 10, false_rate, 0.2),
        Line("Q10b", "AR(1) 0.9, 300,000 rows: per 10,000", ("AR 0.9",), 10, false_rate, 0.2),
        *_delays("Q10b", "0.5 σ at AR(1) 0.5", "AR 0.5, shift", 10, 400),
        Line("Q10b", "false alarms before", ("AR 0.5, shift",), 10, false_alarms, None),
        Line("Q10c", "daily, 8 days of reference: a week", ("daily",), 2, most_a_week, 1.0),
        Line("Q10c", "daily, 3 days of reference: a week", ("daily, 3 days",), 2, most_a_week, None),
        _doubts("2 σ, 8 days of reference: unverified", "daily, shift", 0.0, most=True),
        _doubts("2 σ, 7 days: unverified", "daily, 7 days, shift", 1.0, most=False),
        _doubts("2 σ, 3 days: unverified", "daily, 3 days, shift", 1.0, most=False),
    ]


def _doubts(label: str, stream: str, target: float, *, most: bool) -> Line:
    return Line("Q10c", label, (stream,), 5, share_unverified("Drift"), target, most, is_of_pages=True)


def _messages() -> list[Line]:
    stream = ("b to d",)
    return [
        Line("Q11", "33 columns, 2,500 rows: alerts, median", stream, 20, firing_messages, 1),
        Line("Q11", "updates, the most", stream, 20, updates, 3, is_of_pages=True),
        Line("Q11", "change point, rows, median", stream, 20, change_point, 50, is_of_pages=True),
    ]
