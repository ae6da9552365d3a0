"""What the simulated service is configured with: some small layouts, each with other thresholds to change to."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

from monitor.config import load
from monitor.config.resolved import Config, ModelConfig

FEATURES, LABELS, ORDERS, PREDICTIONS = "ml.features", "ml.labels", "ml.orders", "ml.predictions"
RARE = "ml.rare"
"""A topic with so few records that its lane waits, nearly always, while the others of its model are judged."""
IN_TIME = {"t": "first", "y": "trailing"}
"""Models whose reference is of event time: it grows for 20 s or 22 s; windows of `y` have others as often behind it."""
LIVE = "b"
"""The column that stands still until the end, where it has to be found drifting."""
VARIANTS = 3

_HEAD = """
version: 1
# edition {edition}
defaults:
  window: {{events: {events}, every: {every}}}
  lateness: 2s
  pane: 4s
  interval: 4s
  max_clock_skew: 1m
  idle_timeout: 5s
  trace_points: 16
models:
"""
_MODEL = """
  {model}:
    task: {task}
    streams: {{{streams}}}
    columns: {{{columns}}}
    reference: {{{origin}: {length}}}{grid_rows}
    pane: {pane}
"""
_LABELLED_MODEL = """
    performance: {{window: {{time: {time}s, every: {every}s}}, mature: {mature}, baseline: {{accuracy: 0.5}}}}
"""
_TASKS = dict.fromkeys("klmrtvwy", "classification_binary") | {"o": "regression"}
STREAMS = {
    "m": {"features": FEATURES, "predictions": PREDICTIONS},
    "w": {"features": FEATURES},
    "r": {"features": FEATURES, "predictions": RARE},
    "t": {"features": FEATURES},
    "y": {"features": FEATURES},
    "v": {"features": FEATURES, "predictions": PREDICTIONS},
    "o": {"features": ORDERS},
    "k": {"features": FEATURES, "predictions": PREDICTIONS, "labels": LABELS},
    "l": {"predictions": PREDICTIONS, "labels": LABELS},
}
_DETECTORS = """
detectors:
  adwin: {{class: ADWIN, params: {{delta: 0.3, clock: 2, grace_period: 4, min_window_length: 2}}, input: a}}
  page: {{class: PageHinkley, params: {{min_instances: 5, threshold: {page}}}, input: a}}
"""
_DETECTORS_OF_ERRORS = """
  errors_{model}:
    class: ADWIN
    params: {{delta: 0.3, clock: 2, grace_period: 4, min_window_length: 2}}
    input: error
    model: {model}
"""
_RULES = """
  - name: g{model}
    models: [{model}]
    rules:
      - {{alert: Psi, expr: 'psi{{column="a"}} > {psi}'}}
      - alert: Lasting
        expr: 'ks{{column="a"}} > {ks}'
        window: {{time: 16s, every: 16s}}
        for: 4s
        keep_firing_for: 4s
        recovery_threshold: {ks} / 2
      - {{alert: Change, expr: 'change{{detector="adwin"}} > 0'}}
      - {{alert: Step, under: Psi, expr: 'change{{detector="page"}} > 0'}}
      - {{alert: Drift, expr: drift > 1}}
      - {{alert: Silence, expr: seconds_since_last_event > {silence}}}
      - {{alert: Live, expr: 'ks{{column="b"}} > 0.6'}}
      - alert: Twice
        expr: 'psi{{column="a"}} > {ks}'
        window: {{time: 8s}}
        min_events: 4
        for_windows: 2
        unless: [Silence]
"""
_RULES_WITHOUT_FEATURES = """
  - name: g{model}
    models: [{model}]
    rules:
      - {{alert: Psi, expr: 'psi > {psi}'}}
      - {{alert: Lasting, expr: 'psi > {ks}', window: {{time: 16s, every: 16s}}, for: 4s}}
      - {{alert: Drift, expr: drift > 1}}
      - {{alert: Silence, expr: seconds_since_last_event > {silence}}}
"""
_RULES_ON_PREDICTIONS = """
  - name: g{model}
    models: [{model}]
    rules:
      - {{alert: Psi, expr: 'psi{{column="prediction"}} > {psi}'}}
      - {{alert: Lasting, expr: 'psi{{column="prediction"}} > {ks}', window: {{time: 16s, every: 16s}}, for: 4s}}
      - {{alert: Drift, expr: drift > 1}}
      - {{alert: Silence, expr: 'seconds_since_last_event{{stream="predictions"}} > {silence}'}}
      - {{alert: Live, expr: 'psi{{column="prediction"}} > 0.6'}}
"""
_RULES_ON_LABELS = """
  - name: labels-{model}
    models: [{model}]
    rules:
      - {{alert: Errors, expr: 'change{{detector="errors_{model}"}} > 0'}}
      - {{alert: Drop, expr: accuracy < {accuracy}, min_labels: 5}}
      - {{alert: DropSoon, expr: accuracy < baseline - 0.1, min_labels: 5, maturity: provisional, for: 4s}}
      - {{alert: Wider, expr: error_rate > {accuracy}, min_labels: 10, window: {{time: 48s, every: {every}s}}}}
      - {{alert: Uncovered, expr: label_coverage < 0.7}}
"""
_RETRAINING = """
  - trigger: t{model}
    models: [{model}]
    when: {{any: [Psi, Lasting]}}
    cooldown: 12s
    training_window: {{since: first_violation, max: 1h}}
"""


@dataclass(frozen=True)
class Layout:
    """Models, and the input topics with their numbers of partitions."""

    models: str
    topics: tuple[tuple[str, int], ...]


LAYOUTS = (
    Layout("w", ((FEATURES, 2),)),
    Layout("w", ((FEATURES, 3),)),
    Layout("mv", ((FEATURES, 2), (PREDICTIONS, 1))),
    Layout("m", ((FEATURES, 2), (PREDICTIONS, 1))),
    Layout("mw", ((FEATURES, 1), (PREDICTIONS, 1))),
    Layout("mw", ((FEATURES, 2), (PREDICTIONS, 1))),
    Layout("mo", ((FEATURES, 1), (ORDERS, 1), (PREDICTIONS, 1))),
    Layout("o", ((ORDERS, 2),)),
    Layout("mow", ((FEATURES, 1), (ORDERS, 1), (PREDICTIONS, 1))),
    Layout("r", ((FEATURES, 2), (RARE, 1))),
    Layout("rw", ((FEATURES, 1), (RARE, 2))),
    Layout("t", ((FEATURES, 2),)),
    Layout("tw", ((FEATURES, 3),)),
    Layout("mt", ((FEATURES, 1), (PREDICTIONS, 1))),
    Layout("y", ((FEATURES, 2),)),
    Layout("wy", ((FEATURES, 3),)),
)


LABELLED_LAYOUTS = (
    Layout("l", ((LABELS, 2), (PREDICTIONS, 1))),
    Layout("l", ((LABELS, 1), (PREDICTIONS, 2))),
    Layout("kl", ((FEATURES, 1), (LABELS, 2), (PREDICTIONS, 1))),
    Layout("klw", ((FEATURES, 1), (LABELS, 1), (PREDICTIONS, 1))),
)
"""Those of schedules that have labels."""


class Shape(NamedTuple):
    """What a model stands on. `more`: whether it has a column more; `features`, `labels`: whether it has the stream."""

    pane: str = "4s"
    first: int = 100
    more: bool = False
    features: bool = True
    labels: bool = True


def streams_of(model: str, shape: Shape) -> dict[str, str]:
    """The topics of a model in a shape, by stream."""
    gone = [name for name in ("features", "labels") if not getattr(shape, name)]
    return {name: topic for name, topic in STREAMS[model].items() if name not in gone}


@cache
def configuration(models: str, variant: int, shapes: tuple[Shape, ...] = (), edition: int = 0) -> Config:
    """alerts.yaml of these models, as `load` gives it but for its hints; `variant` moves thresholds.

    One variant has other parameters of a detector, beside which the other goes on.

    `shapes`: of the models, as they stand. `edition`: a comment, so that no two files of a run are the same.
    Each model is parsed alone, and once, because parsing whole files took a fifth of a run.
    """
    of = tuple(zip(models, shapes or (Shape(),) * len(models), strict=True))
    digest = hashlib.sha256(file_text(of, variant, edition).encode()).hexdigest()
    parsed = sorted((_parsed(one, variant) for one in of), key=lambda model: model.contract.model)
    return Config(tuple(replace(model, alerts_yaml_sha256=digest) for model in parsed), digest)


@cache
def _parsed(one: tuple[str, Shape], variant: int) -> ModelConfig:
    (model,) = load(file_text((one,), variant, 0), "alerts.yaml").models
    return model


def file_text(of: tuple[tuple[str, Shape], ...], variant: int, edition: int) -> str:
    """alerts.yaml of these models in their shapes."""
    text = _HEAD.format(events=24, every=24, edition=edition) + "".join(_model(*one, variant) for one in of)
    psi, ks, silence, page = ((0.8, 0.4, 9, 1.5), (0.5, 0.6, 12, 1.5), (1.5, 0.3, 7, 1.2))[variant]
    streams = {model: streams_of(model, shape) for model, shape in of}
    labelled = [model for model in streams if "labels" in streams[model]]
    if any("features" in streams[model] for model in streams):
        text += _DETECTORS.format(page=page)
    elif labelled:
        text += "detectors:"
    text += "".join(_DETECTORS_OF_ERRORS.format(model=model) for model in labelled)
    text += "groups:\n"
    for model in streams:
        without = _RULES_ON_PREDICTIONS if "labels" in STREAMS[model] else _RULES_WITHOUT_FEATURES
        rules = _RULES if "features" in streams[model] else without
        text += rules.format(model=model, psi=psi, ks=ks, silence=silence)
    for model in labelled:
        text += _RULES_ON_LABELS.format(model=model, accuracy=psi / 2, every=_PERFORMANCE[variant]["every"])
    return text + "retraining:" + "".join(_RETRAINING.format(model=model) for model, _ in of)


_PERFORMANCE = (
    {"time": 16, "every": 8, "mature": 0.5, "pending": 1000},
    {"time": 24, "every": 8, "mature": 0.7, "pending": 40},
    {"time": 16, "every": 4, "mature": 0.5, "pending": 1000},
)
"""Of labels, by variant: windows of other lengths, of other steps, and more predictions than may wait."""


def _model(model: str, shape: Shape, variant: int) -> str:
    streams = streams_of(model, shape)
    columns = ["prediction: y_pred"] if "predictions" in streams else []
    places = {name: f"{{topic: {topic}}}" for name, topic in streams.items()}
    performance = ""
    if "labels" in streams:
        columns += ["id: prediction_id", "label: y_true"]
        pending = _PERFORMANCE[variant]["pending"]
        places["labels"] = f"{{topic: {LABELS}, max_delay: 48s, max_early: 8s, pending: {pending}}}"
        performance = _LABELLED_MODEL.format(**_PERFORMANCE[variant])
    if "features" in streams:
        columns.append(f"numerical: [a, b{', d' if shape.more else ''}]")
    if model == "o":
        columns.append("categorical: [c]")
    return (
        _MODEL.format(
            model=model,
            task=_TASKS[model],
            streams=", ".join(f"{name}: {place}" for name, place in places.items()),
            columns=", ".join(columns),
            origin=IN_TIME.get(model, "first"),
            length=f"{shape.first // 5}s" if model in IN_TIME else shape.first,
            grid_rows="\n    grid_rows: 40" if model in IN_TIME else "",
            pane=shape.pane,
        )
        + performance
    )
