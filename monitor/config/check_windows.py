"""Checks of windows: they are made of whole panes, and those of performance of whole cohorts."""

from __future__ import annotations

from collections.abc import Iterator

from monitor.codec.durations import duration_text
from monitor.config.sheet import Path, Sheet
from monitor.config.windows import WindowEntry
from monitor.errors import Problem


def check_panes(window: WindowEntry, pane: int, path: Path, sheet: Sheet) -> Iterator[Problem]:
    """Yield a problem for each length of a window of time that is not a multiple of the pane, ms."""
    if window.time is None:
        return
    for key, length in (("time", window.time), ("every", window.every)):
        if length is not None and length % pane:
            what = f"`{key}` of a window"
            yield sheet.problem((*path, key), not_a_multiple(what, length, "the pane", pane))


def check_cohorts(window: WindowEntry, of_model: WindowEntry, path: Path, sheet: Sheet) -> Iterator[Problem]:
    """Yield a problem for each length of a window of performance that is not a multiple of the model's step."""
    is_of_time = of_model.time is not None
    if (window.time is not None) != is_of_time:
        unit = "time" if is_of_time else "events"
        yield sheet.problem(path, f"a window of performance is of {unit} here, as that of the model's `performance`")
        return
    size_key, step = "time" if is_of_time else "events", step_of(of_model)
    for key, length in ((size_key, window.time or window.events), ("every", window.every)):
        if length is not None and length % step:
            what = f"`{key}` of a window of performance"
            whose = "its step" if window is of_model else "the step of the model's performance"
            yield sheet.problem((*path, key), not_a_multiple(what, length, whose, step, is_of_time))


def step_of(window: WindowEntry) -> int:
    """Return the step of a window of performance, which is the length of a cohort: ms, or predictions."""
    return window.every or window.time or window.events or 1


def not_a_multiple(what: str, length: int, whose: str, unit: int, is_of_time: bool = True) -> str:
    """Say that a length has to be a multiple of another one, and what the next is."""
    nearest = -(-length // unit) * unit
    texts = [duration_text(one) if is_of_time else str(one) for one in (unit, length, nearest)]
    return f"{what} has to be a multiple of {whose}, {texts[0]}; found {texts[1]}, the next is {texts[2]}"
