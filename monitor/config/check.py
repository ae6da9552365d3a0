"""Cross checks of models, topics, detectors and retraining: problems that no single entry can know of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from monitor.config.check_drift import check_budgets
from monitor.config.check_inhibit import check_inhibit
from monitor.config.check_labels import check_labels, knows_series
from monitor.config.check_limits import check_limits
from monitor.config.check_rules import check_rules
from monitor.config.check_under import check_under
from monitor.config.check_windows import check_panes, not_a_multiple
from monitor.config.effective import effective
from monitor.config.inputs import InputRefused, resolve_inputs, series_of
from monitor.config.measurable import has_rule, is_on_performance
from monitor.config.model import AlertsFile, ModelEntry
from monitor.config.model_contract import contract_of
from monitor.config.resolve import detector_spec
from monitor.config.roles import FieldEntry
from monitor.config.selection import models_of, unmatched
from monitor.config.sheet import Path, Sheet
from monitor.config.suggest import did_you_mean
from monitor.contract import Field, ModelContract, field_text, path_of
from monitor.errors import Problem

Contracts = dict[str, ModelContract]

_IDS = ("event_id", "prediction_id")
_ENVELOPE = (*_IDS, "model", "model_version", "endpoint", "features")
"""These keys of the native event have their own meaning."""
_ROLES = {
    "features": ("numerical", "binary", "categorical", "text", "arrays"),
    "predictions": ("prediction", "probability"),
    "labels": ("id", "label"),
}
"""The stream that brings the columns of each role."""


def check(file: AlertsFile, sheet: Sheet) -> Iterator[Problem]:
    """Yield all problems between the entries of a file that has the right shape."""
    contracts = {name: contract_of(name, model, file.defaults) for name, model in file.models.items()}
    if not sheet.models and not sheet.lost(()) & {"models"}:
        yield sheet.problem(("models",), "there has to be at least one model")
    yield from check_limits(file, contracts, sheet)
    for name, model in file.models.items():
        yield from _columns(name, model, contracts[name], sheet)
        yield from _settings(name, file, sheet)
        yield from _importance(name, model, contracts[name], sheet)
        yield from check_labels(name, file, sheet)
    yield from _grid_rows(file, sheet)
    yield from _topics(contracts, sheet)
    yield from _detectors(file, contracts, sheet)
    yield from _windows_of_rules(file, sheet)
    yield from check_rules(file, contracts, sheet)
    yield from check_under(file, sheet)
    yield from check_inhibit(file, contracts, sheet)
    yield from check_budgets(file, sheet)
    yield from _retraining(file, sheet)


# ---------------------------------------------------------------------- models


def _columns(name: str, model: ModelEntry, contract: ModelContract, sheet: Sheet) -> Iterator[Problem]:
    path: Path = ("models", name, "columns")
    if sheet.knows_columns(name):
        yield from _streams(name, {stream for stream in _ROLES if getattr(model.streams, stream) is not None}, sheet)
    if model.task == "regression" and model.streams.predictions and model.columns.probability:
        yield sheet.problem((*path, "probability"), "a regression has no probability; its predictions are `prediction`")
    if (root := path_of(model.columns.timestamp.at)[0]) in _ENVELOPE:
        yield sheet.problem((*path, "timestamp"), f"{root!r} has its own meaning in every event")
    yield from _fields_of_events(path, model, sheet)
    names = Counter(series.name for series in series_of(contract))
    of_labels = {s.name for s in series_of(contract) if s.stream == "outcomes"}
    repeated = sorted(name for name, count in names.items() if count > 1)
    for series in repeated:
        message = f"{series!r} is the name of two columns"
        if series in of_labels:
            message += f", because a model with labels has one: write {{name: OTHER, field: {series}}}"
        yield sheet.problem(_place_of_column(path, model, series), message)


def _streams(name: str, there: AbstractSet[str], sheet: Sheet) -> Iterator[Problem]:
    """A model has a stream, and for each of its columns the one that brings it."""
    if not there:
        yield sheet.problem(("models", name, "streams"), "a model has at least one stream: features or predictions")
        return
    for stream, roles in _ROLES.items():
        for role in roles:
            path: Path = ("models", name, "columns", role)
            if stream not in there and sheet.has(path):
                yield sheet.key_problem(path, f"{role!r} belongs to the stream {stream!r}, which is not there")


def _importance(name: str, model: ModelEntry, contract: ModelContract, sheet: Sheet) -> Iterator[Problem]:
    if knows_series(name, model, contract, sheet):
        known = {series.name for series in series_of(contract)}
        for column in model.importance:
            if column not in known:
                message = f"there is no column {column!r}{did_you_mean(column, known)}"
                yield sheet.key_problem(("models", name, "importance", column), message)


def _fields_of_events(path: Path, model: ModelEntry, sheet: Sheet) -> Iterator[Problem]:
    """Fields of predictions and labels are no others of every event; the id may be one of those."""
    taken: set[Field] = {*_ENVELOPE, model.columns.timestamp.at}
    for role in (*_ROLES["predictions"], *_ROLES["labels"]):
        entry: FieldEntry | None = getattr(model.columns, role)
        if entry is None or (role == "id" and entry.at in _IDS):
            continue
        if entry.at in taken or path_of(entry.at)[0] in _ENVELOPE:
            yield sheet.problem((*path, role), f"{field_text(entry.at)!r} is taken: it is another field of every event")
        taken.add(entry.at)


def _place_of_column(path: Path, model: ModelEntry, series: str) -> Path:
    """Return where the last column of this name is written; `NAME.length` and its like are found by NAME."""
    places: list[Path] = [
        (*path, role, index)
        for role in _ROLES["features"]
        for index, column in enumerate(entry.called for entry in getattr(model.columns, role))
        if series == column or (role in ("text", "arrays") and series.rpartition(".")[0] == column)
    ]
    return places[-1] if places else path


def _settings(name: str, file: AlertsFile, sheet: Sheet) -> Iterator[Problem]:
    model = file.models[name]
    settings = effective(model, file.defaults)
    pane = settings.pane
    if settings.interval % pane:
        message = not_a_multiple("interval", settings.interval, "the pane", pane)
        yield sheet.problem(_written(name, "interval", sheet), message)
    yield from check_panes(settings.window, pane, _written(name, "window", sheet), sheet)


def _grid_rows(file: AlertsFile, sheet: Sheet) -> Iterator[Problem]:
    """Yield a problem if `grid_rows` is set and the reference names its own number of rows."""
    message = "`reference: {first: n}` says how many rows the grid is made from; leave out grid_rows"
    known = (name for name in file.models if "reference" not in sheet.lost(("models", name)))
    own = {name for name in known if isinstance(file.models[name].reference.first, int)}
    if file.defaults.grid_rows is not None and own and own == file.models.keys():
        yield sheet.key_problem(("defaults", "grid_rows"), message)
    for name in own:
        if file.models[name].grid_rows is not None:
            yield sheet.key_problem(("models", name, "grid_rows"), message)


def _written(model: str, setting: str, sheet: Sheet) -> Path:
    """Return where a model's setting is written: no default of ours clashes with a pane."""
    places: tuple[Path, ...] = (("models", model, setting), ("defaults", setting))
    return next((path for path in places if sheet.has(path)), ("models", model))


def _topics(contracts: Contracts, sheet: Sheet) -> Iterator[Problem]:
    """Yield problems of topics: each carries one kind of stream, and its partitions have one watermark for all."""
    first: dict[str, tuple[str, str, tuple[object, ...]]] = {}
    for model, contract in contracts.items():
        for stream in contract.streams:
            path: Path = ("models", model, "streams", stream.stream, "topic")
            when = (stream.time_field, stream.times)
            lateness = None if stream.stream == "labels" else contract.lateness_ms  # labels are never late
            clock = (lateness, contract.idle_timeout_ms, contract.max_clock_skew_ms, when)
            owner, kind, known = first.setdefault(stream.topic, (model, stream.stream, clock))
            if kind != stream.stream:
                message = f"topic {stream.topic!r} is the {kind} of {owner!r}: a topic carries one kind of stream"
                yield sheet.problem(path, message)
                continue
            names = ("lateness", "idle_timeout", "max_clock_skew", "columns.timestamp")
            differing = [name for name, one, other in zip(names, known, clock, strict=True) if one != other]
            if differing:
                yield sheet.problem(
                    path,
                    f"models {owner!r} and {model!r} share topic {stream.topic!r}, "
                    f"so they have to agree in {', '.join(differing)}",
                )


# ---------------------------------------------------------------------- detectors


def _detectors(file: AlertsFile, contracts: Contracts, sheet: Sheet) -> Iterator[Problem]:
    for name, entry in file.detectors.items():
        if entry.model is not None and entry.model not in contracts:
            yield from _unknown_model(entry.model, ("detectors", name, "model"), sheet)
            continue
        models = [entry.model] if entry.model is not None else list(contracts)
        spec = detector_spec(name, entry)
        refusals = []
        for model in models:
            try:
                resolve_inputs(spec, contracts[model])
            except InputRefused as refused:
                refusals.append(str(refused))
        complete = all(knows_series(model, file.models[model], contracts[model], sheet) for model in models)
        if refusals and len(refusals) == len(models) and complete:
            yield sheet.problem(("detectors", name, "input"), refusals[0])


def _unknown_model(name: str, path: Path, sheet: Sheet) -> Iterator[Problem]:
    if name not in sheet.models:  # else it was left out for a fault of its own
        yield sheet.problem(path, f"unknown model {name!r}{did_you_mean(name, sheet.models)}")


# ---------------------------------------------------------------------- rules and retraining


def _windows_of_rules(file: AlertsFile, sheet: Sheet) -> Iterator[Problem]:
    for i, group in enumerate(file.groups):
        yield from unmatched(group, ("groups", i), sheet)
        models = models_of(group, file.models)
        panes = sorted({effective(file.models[model], file.defaults).pane for model in models})
        for j, rule in enumerate(group.rules):
            if rule.window is not None and not is_on_performance(rule):
                for pane in panes:
                    yield from check_panes(rule.window, pane, ("groups", i, "rules", j, "window"), sheet)


def _retraining(file: AlertsFile, sheet: Sheet) -> Iterator[Problem]:
    names: set[str] = set()
    for i, entry in enumerate(file.retraining):
        path: Path = ("retraining", i)
        if entry.trigger in names:
            yield sheet.problem((*path, "trigger"), f"a second trigger {entry.trigger!r}")
        names.add(entry.trigger)
        yield from unmatched(entry, path, sheet)
        models = models_of(entry, file.models)
        if not models:
            continue
        groups = {i: models_of(group, file.models) for i, group in enumerate(file.groups)}
        own = {
            rule.alert
            for i, of in groups.items()
            for rule in file.groups[i].rules
            if any(has_rule(file.models[m], rule) or not sheet.knows_performance(m) for m in of if m in models)
        }
        elsewhere = {rule.alert for i, of in groups.items() if of for rule in file.groups[i].rules} - own
        for j, alert in enumerate(entry.when.any):
            if alert not in own and (alert in elsewhere or alert not in sheet.alerts):
                who = f"{models[0]!r} has no" if len(models) == 1 else f"none of its {len(models)} models has an"
                yield sheet.problem((*path, "when", "any", j), f"{who} alert {alert!r}{did_you_mean(alert, own)}")
