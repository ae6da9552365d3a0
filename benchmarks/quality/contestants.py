"""Who takes part: ours and, beside it, what people would use else. Each turns a case into alarms."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Final

from river.drift import ADWIN

from benchmarks.quality import engine
from benchmarks.quality.cases import Alarm, Case
from benchmarks.quality.parts import Contestant

Alarms = Callable[[Case], list[Alarm]]


def river(case: Case) -> list[Alarm]:
    """River's ADWIN with its defaults on each numeric column as it is, from the reference's first row on.

    Missing cells are passed over, because one would blind it for good; it reads no texts.
    """
    found = []
    for name, values in case.columns.numeric.items():
        adwin = ADWIN()
        for row, value in enumerate(values.tolist(), 1 - case.reference):
            if value == value:
                adwin.update(value)
                if adwin.drift_detected and row > 0:
                    found.append(Alarm(row, name, (name,)))
    return sorted(found, key=lambda alarm: alarm.row)


CONTESTANTS: Final[dict[Contestant, Alarms]] = {
    "ours": engine.alarms_of,
    "ours without Drift": lambda case: engine.alarms_of(case, ("Drift",)),
    "river": river,
}
NEEDS: Final[dict[Contestant, str]] = {"evidently": "evidently", "nannyml": "nannyml", "alibi": "alibi_detect"}
"""Packages of the extra `benchmark`."""


def missing() -> dict[Contestant, str]:
    """Contestants that can't take part, and why."""
    return {
        contestant: f"{package} is not installed: `pip install streamdrift[benchmark]`"
        for contestant, package in NEEDS.items()
        if find_spec(package) is None
    }
