"""Limits: what a file asks for must stay within bounds, because the service keeps it all in memory."""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd

from monitor.codec.durations import duration_text
from monitor.config.check_windows import step_of
from monitor.config.effective import effective
from monitor.config.inputs import series_of
from monitor.config.measurable import is_on_performance
from monitor.config.model import AlertsFile, LimitsEntry
from monitor.config.model_contract import performance_of
from monitor.config.selection import models_of
from monitor.config.sheet import Path, Sheet
from monitor.config.windows import WindowEntry
from monitor.contract import ModelContract
from monitor.errors import Problem


def check_limits(file: AlertsFile, contracts: dict[str, ModelContract], sheet: Sheet) -> Iterator[Problem]:
    """Yield a problem for each place that asks for more than a limit: what was found, the bound, and the remedy."""
    if len(file.models) > file.limits.models:
        yield sheet.problem(("models",), _beyond(f"{len(file.models)} models", "models", file.limits.models))
    for name, contract in contracts.items():
        series = len(series_of(contract))
        if series > file.limits.columns:
            found = f"{series} columns (a list of numbers is three)"
            yield sheet.problem(("models", name, "columns"), _beyond(found, "columns", file.limits.columns))
    refusals = dict(_of_settings(file, sheet))  # by place, so that a setting under `defaults` is refused once
    for path, refusal in refusals.items():
        yield sheet.problem(path, refusal)


def _of_settings(file: AlertsFile, sheet: Sheet) -> Iterator[tuple[Path, str]]:
    for name, model in file.models.items():
        settings = effective(model, file.defaults)
        panes = -(-settings.lateness // settings.pane)
        if panes > file.limits.open_panes:
            found = f"a lateness of {duration_text(settings.lateness)} keeps {panes} panes open"
            yield _written(name, "lateness", sheet), _beyond(found, "open_panes", file.limits.open_panes)
        yield from _slices(settings.window, _written(name, "window", sheet), file.limits)
        if model.performance is not None:
            window = model.performance.window
            yield from _cohorts(window, window, ("models", name, "performance", "window"), file.limits)
    for g, group in enumerate(file.groups):
        for r, rule in enumerate(group.rules):
            path: Path = ("groups", g, "rules", r, "window")
            if rule.window is not None and is_on_performance(rule):
                for model in (file.models[name] for name in models_of(group, file.models)):
                    yield from _cohorts(rule.window, performance_of(model).window, path, file.limits)
            elif rule.window is not None:
                yield from _slices(rule.window, path, file.limits)


def _slices(window: WindowEntry, path: Path, limits: LimitsEntry) -> Iterator[tuple[Path, str]]:
    if window.time is None:
        return
    slices = window.time // gcd(window.time, window.every or window.time)
    if slices > limits.window_slices:
        found = f"a window of {slices} slices, its length by its step"
        yield path, _beyond(found, "window_slices", limits.window_slices)


def _cohorts(window: WindowEntry, of_model: WindowEntry, path: Path, limits: LimitsEntry) -> Iterator[tuple[Path, str]]:
    """Windows of performance are sums of cohorts, whatever their own step is."""
    cohorts = (window.time or window.events or 0) // step_of(of_model)
    if (window.time is None) == (of_model.time is None) and cohorts > limits.window_slices:
        yield path, _beyond(f"a window of {cohorts} cohorts", "window_slices", limits.window_slices)


def _beyond(found: str, limit: str, most: int) -> str:
    return f"{found}, and `limits.{limit}` is {most}; raise it if there is memory for that"


def _written(model: str, setting: str, sheet: Sheet) -> Path:
    """Return where a model's setting is written, or the model itself if it is our default."""
    places: tuple[Path, ...] = (("models", model, setting), ("defaults", setting))
    return next((path for path in places if sheet.has(path)), ("models", model))
