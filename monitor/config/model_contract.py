"""What profile must know of a model, from its entry in alerts.yaml."""

from __future__ import annotations

from monitor.config.effective import effective
from monitor.config.model import ModelEntry, ModelSettings, ReferenceEntry
from monitor.config.performance import PerformanceEntry
from monitor.config.resolved import ReferenceSpec
from monitor.config.roles import ColumnEntry, ColumnsEntry
from monitor.config.scalars import Span
from monitor.config.streams import StreamEntry
from monitor.contract import ColumnKind, ColumnSpec, Keys, ModelContract, StreamContract, TimeForm
from monitor.events import StreamName

THRESHOLD = 0.5
"""Least probability of class 1, unless alerts.yaml says it."""


def contract_of(name: str, model: ModelEntry, defaults: ModelSettings) -> ModelContract:
    """Return what profile must know of a model."""
    settings = effective(model, defaults)
    labels, times, reference = has_labels(model), _times(model, defaults), reference_of(model.reference)
    streams: tuple[tuple[StreamName, StreamEntry | None, tuple[ColumnSpec, ...], Keys | None], ...] = (
        ("features", model.streams.features, _features(model.columns), None),
        ("predictions", model.streams.predictions, _predictions(model), _keys(model) if labels else None),
        ("labels", model.streams.labels if labels else None, _labels(model), _keys(model, _error(model))),
    )
    return ModelContract(
        model=name,
        pane_ms=settings.pane,
        lateness_ms=settings.lateness,
        idle_timeout_ms=None if settings.idle_timeout == "off" else settings.idle_timeout,
        max_clock_skew_ms=settings.max_clock_skew,
        raw_rows=reference.first or settings.grid_rows,
        trace_points=settings.trace_points,
        streams=tuple(
            StreamContract(stream, entry.topic, model.columns.timestamp.at, columns, times=times, keys=keys)
            for stream, entry, columns, keys in streams
            if entry is not None
        ),
        reference=reference.model_dump_json(exclude_none=True),
        reference_ms=reference.first_ms or reference.trailing_ms or 0,
    )


def has_labels(model: ModelEntry) -> bool:
    """Return true if a model has labels, with all that they need to meet their predictions."""
    needed = (model.streams.labels, model.streams.predictions, model.columns.id, model.columns.label)
    return all(one is not None for one in needed) and bool(_predictions(model))


def _times(model: ModelEntry, defaults: ModelSettings) -> TimeForm:
    written = model.columns.timestamp
    zone = written.timezone or model.timezone or defaults.timezone
    return TimeForm(written.unit or "", written.format or "", zone or "")


def _features(columns: ColumnsEntry) -> tuple[ColumnSpec, ...]:
    """Return the columns by name, because their order in the file means nothing."""
    plain: dict[ColumnKind, list[ColumnEntry]] = {
        "numerical": columns.numerical,
        "text": columns.text,
        "array": columns.arrays,
    }
    found = [ColumnSpec(one.called, one.at, kind) for kind, entries in plain.items() for one in entries]
    found += [ColumnSpec(one.called, one.at, "binary", one.true or "") for one in columns.binary]
    found += [
        ColumnSpec(one.called, one.at, "categorical", as_number=one.as_ == "number") for one in columns.categorical
    ]
    return tuple(sorted(found, key=lambda column: column.name))


def _predictions(model: ModelEntry) -> tuple[ColumnSpec, ...]:
    columns = []
    if model.columns.prediction is not None:
        kind: ColumnKind = "numerical" if model.task == "regression" else "categorical"
        columns.append(ColumnSpec("prediction", model.columns.prediction.at, kind))
    if model.columns.probability is not None:
        columns.append(ColumnSpec("probability", model.columns.probability.at, "numerical"))
    return tuple(columns)


def _labels(model: ModelEntry) -> tuple[ColumnSpec, ...]:
    if model.columns.label is None:
        return ()
    kind: ColumnKind = "numerical" if model.task == "regression" else "categorical"
    return (ColumnSpec("label", model.columns.label.at, kind),)


def _keys(model: ModelEntry, error: str = "") -> Keys | None:
    if model.columns.id is None or model.streams.labels is None:
        return None
    return Keys(model.columns.id.at, model.streams.labels.sample, error)


def _error(model: ModelEntry) -> str:
    """Return what makes a prediction wrong, in words: lanes are named by it, so it changes with what it says."""
    performance = performance_of(model)
    if model.task == "regression":
        return "" if performance.tolerance is None else f"|prediction - label| > {performance.tolerance:.15g}"
    if model.task == "classification_multiclass":
        return "prediction is not label"
    positive = "1 or 0" if performance.positive is None else f"{performance.positive!r} or not"
    score = f"probability >= {performance.threshold or THRESHOLD:.15g}"
    both = (model.columns.prediction is not None, model.columns.probability is not None)
    predicted = {(True, True): f"prediction, or else {score},", (True, False): "prediction"}.get(both, score)
    return f"{predicted} is not label, each {positive}"


def performance_of(model: ModelEntry) -> PerformanceEntry:
    """Return how the predictions of a model with labels are judged, whether alerts.yaml says it or not."""
    return model.performance or PerformanceEntry()


def reference_of(entry: ReferenceEntry) -> ReferenceSpec:
    """Return the origin of a reference."""
    rows, span = (None, entry.first) if isinstance(entry.first, Span) else (entry.first, None)
    return ReferenceSpec(
        path=entry.path,
        topic=entry.topic,
        from_ms=entry.from_,
        to_ms=entry.to,
        first=rows,
        first_ms=None if span is None else span.ms,
        trailing_ms=entry.trailing,
    )
