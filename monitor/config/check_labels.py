"""Checks of models with labels: what labels need, and how predictions are compared with them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from monitor.codec.durations import duration_text
from monitor.config.check_windows import check_cohorts, check_panes, step_of
from monitor.config.effective import effective
from monitor.config.measurable import ADD_LABELS, lack_for_metric
from monitor.config.metrics import METRICS
from monitor.config.model import AlertsFile, ModelEntry
from monitor.config.model_contract import performance_of
from monitor.config.sheet import Path, Sheet
from monitor.config.streams import LabelsEntry
from monitor.config.suggest import did_you_mean
from monitor.config.windows import WindowEntry
from monitor.contract import ModelContract, outcomes_of
from monitor.errors import Problem

MOST_COHORTS = 2000
"""Cohorts that are kept of a model: each has the sums of its pairs."""
_OF_TASK = {
    "positive": ("classification_binary",),
    "threshold": ("classification_binary",),
    "tolerance": ("regression",),
    "costs": ("classification_binary", "classification_multiclass"),
}
"""The tasks of the keys of `performance` that not every task has."""


def check_labels(name: str, file: AlertsFile, sheet: Sheet) -> Iterator[Problem]:
    """Yield the problems of a model's labels and its performance."""
    model = file.models[name]
    labels, path = model.streams.labels, ("models", name, "performance")
    if labels is None:
        if model.performance is not None and sheet.knows_columns(name):
            yield sheet.key_problem(path, f"`performance` {ADD_LABELS}")
        return
    if sheet.knows_columns(name):
        yield from _needed(name, model, sheet)
    window, pane = performance_of(model).window, effective(model, file.defaults).pane
    if model.reference.topic == labels.topic:
        message = "a reference is of features or predictions, and this topic is that of the labels"
        yield sheet.problem(("models", name, "reference", "topic"), message)
    of_window = list(_window(window, pane, name, sheet))
    yield from of_window or _cohorts(window, labels, pane, name, sheet)
    yield from _of_task(model, path, sheet)
    yield from _baseline(model, (*path, "baseline"), sheet)
    yield from _costs(model, (*path, "costs"), sheet)


def knows_series(name: str, model: ModelEntry, contract: ModelContract, sheet: Sheet) -> bool:
    """Return true unless something is wrong that decides which series a model has."""
    if model.streams.labels is None:
        return sheet.knows_columns(name)
    return sheet.knows_performance(name) and outcomes_of(contract) is not None


def _needed(name: str, model: ModelEntry, sheet: Sheet) -> Iterator[Problem]:
    """Yield a problem for each thing that labels can't do without."""
    of_task = model.task == "classification_binary"
    wanted = "prediction` or `probability" if of_task else "prediction"
    has_prediction = model.columns.prediction is not None or (of_task and model.columns.probability is not None)
    there = {
        "a stream of predictions: add streams.predictions": model.streams.predictions is not None,
        "a column `id`, the field by which they meet their predictions: add it under `columns`": model.columns.id,
        "a column `label`, the field that holds them: add it under `columns`": model.columns.label,
        f"a column `{wanted}` to compare them with: add it under `columns`": has_prediction,
    }
    for what, found in there.items():
        if not found:
            yield sheet.key_problem(("models", name, "streams", "labels"), f"labels need {what}")


def _window(window: WindowEntry, pane: int, name: str, sheet: Sheet) -> Iterator[Problem]:
    """Cohorts are whole panes, and the window whole cohorts."""
    path: Path = ("models", name, "performance", "window")
    if sheet.has(path):
        of_panes = list(check_panes(window, pane, path, sheet))
        yield from of_panes or check_cohorts(window, window, path, sheet)
    elif any(True for _ in check_panes(window, pane, path, sheet)):
        place: Path = ("models", name, "pane")
        message = (
            f"the window of performance, {duration_text(window.time or 0)} every {duration_text(step_of(window))}, is "
            f"not made of whole panes of {duration_text(pane)}: write `performance: {{window: ...}}`"
        )
        yield sheet.problem(place if sheet.has(place) else ("models", name, "streams", "labels"), message)


def _cohorts(window: WindowEntry, labels: LabelsEntry, pane: int, name: str, sheet: Sheet) -> Iterator[Problem]:
    """All cohorts that may still take labels are kept."""
    size, step = window.time or window.events or 1, step_of(window)
    if window.time is not None:
        most, found, unit, text = (
            labels.max_delay,
            f"a max_delay of {duration_text(labels.max_delay)}",
            pane,
            duration_text,
        )
    else:
        most, found, unit, text = labels.pending, f"pending: {labels.pending}", 1, "{} predictions".format
    cohorts = -(-most // step)
    if cohorts > MOST_COHORTS:
        least = _least_step(size, -(-most // MOST_COHORTS), unit)
        remedy = f"a{'' if least <= size else ' longer window with a'} step of {text(least)} would do"
        message = f"{found} is {cohorts} cohorts of {text(step)}, and at most {MOST_COHORTS} are kept: {remedy}"
        written: Path = ("models", name, "performance", "window")
        place: Path = (*written, "every") if sheet.has(written) else ("models", name, "streams", "labels", "max_delay")
        yield sheet.problem(place, message)


def _least_step(size: int, least: int, unit: int) -> int:
    """Return the smallest step of a window that is at least so long, and a multiple of the unit."""
    steps = range(-(-least // unit) * unit, size + 1, unit)
    return next((step for step in islice(steps, 100_000) if size % step == 0), max(size, steps.start))


def _of_task(model: ModelEntry, path: Path, sheet: Sheet) -> Iterator[Problem]:
    """Some keys are of some tasks, and the threshold makes predictions if there are none."""
    for key, tasks in _OF_TASK.items():
        if sheet.has((*path, key)) and model.task not in tasks:
            yield sheet.key_problem((*path, key), f"{key!r} is for {' and '.join(tasks)}, not for {model.task}")
        elif key == "threshold" and sheet.has((*path, key)) and model.columns.prediction is not None:
            message = "'threshold' makes predictions of probabilities, and this model has a `prediction`: leave it out"
            yield sheet.key_problem((*path, key), message)


def _baseline(model: ModelEntry, path: Path, sheet: Sheet) -> Iterator[Problem]:
    """A baseline is of a metric that the model has, and a value that it can have."""
    known = [name for name, metric in METRICS.items() if metric.subject == "performance"]
    for name, value in performance_of(model).baseline.items():
        if name not in known:
            yield sheet.key_problem((*path, name), f"unknown metric of performance {name!r}{did_you_mean(name, known)}")
            continue
        least, most, _ = METRICS[name].values
        if lack := lack_for_metric(METRICS[name], model):
            yield sheet.key_problem((*path, name), lack)
        elif not least <= value <= most:
            bound = f"above {most:g}" if value > most else f"below {least:g}"
            yield sheet.problem((*path, name), f"{name!r} is never {bound}")


def _costs(model: ModelEntry, path: Path, sheet: Sheet) -> Iterator[Problem]:
    """Costs of a binary model are of its two classes."""
    if model.task != "classification_binary":
        return
    costs, positive = performance_of(model).costs, performance_of(model).positive
    classes = dict.fromkeys([*costs, *(predicted for one in costs.values() for predicted in one)])
    if positive is None:
        for name in classes:
            if name not in ("0", "1"):
                message = f"costs are of the classes 0 and 1, not of {name!r}; name the class that is 1 by `positive`"
                yield sheet.problem(path, message)
                return
    elif len(others := [name for name in classes if name != positive]) > 1:
        yield sheet.problem(path, f"costs are of two classes, {positive!r} and one other; found {', '.join(others)}")
