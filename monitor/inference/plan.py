"""What suits the traffic: the task, panes, windows, lateness and reference, from the rows and their times."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from monitor.codec.durations import duration_text
from monitor.config.metrics import Task
from monitor.evaluate.measure import LEAST
from monitor.events import Int64s
from monitor.inference.column_values import Values
from monitor.inference.roles import Decision, Role
from monitor.inference.sample import Sample

_PANES_MS: Final = (10_000, 60_000, 300_000, 900_000, 3_600_000, 21_600_000, 86_400_000)
_SHORT_MS: Final = 600_000
"""Rows of less time than this get panes of a second: windows close with panes."""
_SHORT_PANE_MS: Final = 1000
_NICE: Final = (100, 200, 300, 500, 1000, 2000, 3000, 5000)
_WATCHED: Final[tuple[Role, ...]] = ("numerical", "binary", "categorical", "arrays", "prediction", "probability")
_WINDOW: Final = 500
"""Most rows of a window: a change is found when a part of one has it, so a longer one is later."""
_DAY: Final = 86_400_000


class Plan(NamedTuple):
    """Settings of one model. Durations in ms; None: the default suits.

    `change`: of psi, that is worth an alert, beyond what chance gives. `why`: of the window and the reference.
    """

    task: Task
    pane_ms: int | None
    lateness_ms: int | None
    no_data_ms: int | None
    reference: int
    window: int
    every: int
    change: float
    why: str


def plan_of(sample: Sample, decisions: list[Decision]) -> Plan:
    """Choose the settings for a sample whose columns have their roles."""
    by_role: dict[str, str] = {decision.role: decision.name for decision in decisions}
    gap = _median_gap(sample, by_role.get("timestamp"))
    longest = _longest_gap(sample, by_role.get("timestamp"))
    pane = next((length for length in _PANES_MS if gap is None or length >= gap), _PANES_MS[-1])
    if gap is not None and gap * sample.rows < _SHORT_MS:
        pane = _SHORT_PANE_MS
    reference = max(_nice(sample.rows // 4), _least_reference(sample, decisions))
    window = min(_WINDOW, _nice((sample.rows - reference) // 6))
    usual = gap is None or pane == _PANES_MS[0]
    silence = 3 * longest if longest is not None else 0
    return Plan(
        task=_task(sample, by_role),
        pane_ms=None if usual else pane,
        lateness_ms=None if usual else pane,
        no_data_ms=None if silence <= 3_600_000 else min(-(-silence // 3_600_000) * 3_600_000, 3000 * _DAY),
        reference=reference,
        window=window,
        every=max(10, window // 5),
        change=0.2 if window == _WINDOW else 0.1,  # the fewer rows, the more does chance give: in sum some 0.25
        why=f"{sample.rows} rows"
        + ("" if gap is None else f", mostly {duration_text(gap) if gap else 'under 1ms'} apart"),
    )


def _task(sample: Sample, by_role: dict[str, str]) -> Task:
    """Choose by what is predicted, else by the label; regression if nothing is known."""
    name = by_role.get("prediction") or by_role.get("label")
    if name is None:
        return "classification_binary" if "probability" in by_role else "regression"
    values = Values(sample.columns[name], sample.decimal)
    if values.are_measures:
        return "classification_binary" if "probability" in by_role else "regression"
    return "classification_binary" if len(values.different) <= 2 else "classification_multiclass"


def _times(sample: Sample, name: str | None) -> Int64s:
    """Known times in order, ms."""
    if name is None:
        return np.zeros(0, dtype=np.int64)
    return np.sort(Values(sample.columns[name], sample.decimal).known_times)


def _median_gap(sample: Sample, name: str | None) -> int | None:
    """Half of the rows come sooner behind the one before, ms; None without times."""
    times = _times(sample, name)
    return int(np.median(np.diff(times))) if len(times) > 1 else None


def _longest_gap(sample: Sample, name: str | None) -> int | None:
    times = _times(sample, name)
    return int(np.diff(times).max()) if len(times) > 1 else None


def _least_reference(sample: Sample, decisions: list[Decision]) -> int:
    """Rows in which each column that is mostly there has some more than the values that divergences take."""
    shares = [
        Values(cells, sample.decimal).n / max(1, len(cells))
        for cells in (sample.columns[decision.name] for decision in decisions if decision.role in _WATCHED)
    ]
    wanted = LEAST / min((share for share in shares if share > 0.5), default=1.0)
    return LEAST if wanted <= LEAST else next(n for n in _NICE if n >= 1.2 * wanted)


def _nice(rows: int) -> int:
    """The largest of some round numbers that is not more; 100 at least."""
    return max([_NICE[0], *(n for n in _NICE if n <= rows)])
