"""What the simulated service is configured with: some small layouts, each with other thresholds to change to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from monitor.config import load
from monitor.config.resolved import Config

FEATURES, PREDICTIONS, ORDERS = "ml.features", "ml.predictions", "ml.orders"
RARE = "ml.rare"
"""A topic with so few records that its lane waits, nearly always, while the others of its model are judged."""
LIVE = "b"
"""The column that stands still until the end, where it has to be found drifting."""
VARIANTS = 3

_HEAD = """
version: 1
defaults:
  window: {{events: {events}, every: {every}}}
  lateness: 2s
  pane: {pane}
  interval: 4s
  max_clock_skew: 1m
  idle_timeout: 5s
  trace_points: 16
models:
"""
_MODELS = {
    "m": """
  m:
    task: classification_binary
    streams: {features: {topic: ml.features}, predictions: {topic: ml.predictions}}
    columns: {prediction: y_pred, numerical: [a, b]}
    reference: {first: 12}
""",
    "w": """
  w:
    task: classification_binary
    streams: {features: {topic: ml.features}}
    columns: {numerical: [a, b]}
    reference: {first: 12}
""",
    "r": """
  r:
    task: classification_binary
    streams: {features: {topic: ml.features}, predictions: {topic: ml.rare}}
    columns: {prediction: y_pred, numerical: [a, b]}
    reference: {first: 12}
""",
    "o": """
  o:
    task: regression
    streams: {features: {topic: ml.orders}}
    columns: {numerical: [a, b], categorical: [c]}
    reference: {first: 12}
""",
}
_DETECTORS = """
detectors:
  adwin: {class: ADWIN, params: {delta: 0.3, clock: 2, grace_period: 4, min_window_length: 2}, input: a}
  page: {class: PageHinkley, params: {min_instances: 5, threshold: 1.5}, input: a}
groups:
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
      - {{alert: Change, expr: 'change{{detector="adwin"}} > 0'}}
      - {{alert: Step, expr: 'change{{detector="page"}} > 0'}}
      - {{alert: Silence, expr: seconds_since_last_event > {silence}}}
      - {{alert: Live, expr: 'ks{{column="b"}} > 0.6'}}
"""
_RETRAINING = """
  - trigger: t{model}
    models: [{model}]
    when: {{any: [Psi, Lasting]}}
    cooldown: 15s
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
    Layout("m", ((FEATURES, 2), (PREDICTIONS, 1))),
    Layout("mw", ((FEATURES, 1), (PREDICTIONS, 1))),
    Layout("mw", ((FEATURES, 2), (PREDICTIONS, 1))),
    Layout("mo", ((FEATURES, 1), (ORDERS, 1), (PREDICTIONS, 1))),
    Layout("o", ((ORDERS, 2),)),
    Layout("mow", ((FEATURES, 1), (ORDERS, 1), (PREDICTIONS, 1))),
    Layout("r", ((FEATURES, 2), (RARE, 1))),
    Layout("rw", ((FEATURES, 1), (RARE, 2))),
)


@cache
def configuration(models: str, variant: int, pane: str = "4s") -> Config:
    """alerts.yaml of these models; `variant` moves thresholds, never what profile reads. Another pane is refused."""
    psi, ks, silence = ((0.8, 0.4, 9), (0.5, 0.6, 12), (1.5, 0.3, 7))[variant]
    text = _HEAD.format(events=24, every=24, pane=pane) + "".join(_MODELS[m] for m in models) + _DETECTORS
    text += "".join(_RULES.format(model=m, psi=psi, ks=ks, silence=silence) for m in models)
    text += "retraining:" + "".join(_RETRAINING.format(model=m) for m in models)
    return load(text, "alerts.yaml")
