"""The traffic of a chaos run that has labels: a model with them, and its twin, which has the same predictions alone.

Five days of event time. The first is dense, and its labels come all at once in a night two days later; those of the
other days come one by one, two days behind. Two of the four partitions of labels carry the label's own time, the others
that of the prediction. Some labels never come, some come twice, are corrected, come early, or name no prediction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cached_property
from itertools import zip_longest
from typing import Any

import msgspec
import numpy as np

from monitor.codec.times import parse_time
from monitor.events import Bools, Int64s, Outgoing
from producers.traffic import time_texts

PREDICTIONS, LABELS = "chaos.predictions", "chaos.labels"
TOPICS = {PREDICTIONS: 6, LABELS: 4}
MODEL, TWIN = "amber", "umber"
START_MS = 1_789_948_800_000
MINUTE_MS = 60_000
DAY_MS = 1440 * MINUTE_MS
DAYS, BEHIND_DAYS = 5, 2
NIGHT_MS = 2 * DAY_MS + 180 * MINUTE_MS
PANE_MS = 10 * MINUTE_MS
FEWEST_A_DAY = 1000
"""Predictions of each day behind the first; of a large run an eighth of the first day's."""
MISSING, REPEATED, CORRECTED, EARLY, UNKNOWN, TWICE, LATE, BROKEN = 0.05, 0.03, 0.03, 0.01, 0.01, 0.01, 0.005, 0.004
WRONG_DAYS, SHIFTED_DAYS = (1.25, 2.0), (3.0, 3.5)
"""When the predictions are wrong more often, and when their probabilities are higher."""
ERROR, HIGHER_ERROR = 0.12, 0.4
_PREDICTION, _LABEL = 0, 1

MODELS = f"""
  {MODEL}:
    task: classification_binary
    streams:
      predictions: {{topic: {PREDICTIONS}}}
      labels: {{topic: {LABELS}, max_delay: 3d}}
    columns: {{id: prediction_id, prediction: y, probability: p, label: truth}}
    performance: {{window: {{time: 6h, every: 1h}}, baseline: {{accuracy: 0.88}}}}
    window: {{events: 400, every: 100}}
    pane: 10m
    lateness: 10m
    interval: 10m
    max_lead: 12h
    max_clock_skew: 1h
    reference: {{first: 500}}
  {TWIN}:
    task: classification_binary
    streams: {{predictions: {{topic: {PREDICTIONS}}}}}
    columns: {{prediction: y, probability: p}}
    window: {{events: 400, every: 100}}
    pane: 10m
    lateness: 10m
    interval: 10m
    max_lead: 12h
    max_clock_skew: 1h
    reference: {{first: 500}}
"""
DETECTORS = f"""
  errors: {{class: ADWIN, input: error, model: {MODEL}}}
"""
GROUPS = f"""
  - name: predictions
    models: [{MODEL}, {TWIN}]
    rules:
      - {{alert: PredictionDrift, expr: 'psi{{stream="predictions"}} > 0.1'}}
      - {{alert: PredictionShift, expr: 'ks{{stream="predictions"}} > 0.15', for: 20m, keep_firing_for: 20m}}
  - name: performance
    models: [{MODEL}]
    rules:
      - {{alert: ConceptDrift, expr: 'change{{detector="errors"}} > 0'}}
      - {{alert: AccuracyDrop, expr: accuracy < baseline - 0.05}}
      - {{alert: AccuracyDropSoon, expr: accuracy < baseline - 0.05, maturity: provisional, min_labels: 50}}
      - {{alert: LessThanBefore, expr: f1 < reference_mean - 3 * reference_std, window: {{time: 12h, every: 6h}}}}
      - {{alert: ErrorsMore, expr: 'mean{{column="error"}} > 0.25'}}
"""
ON_LABELS = ("ConceptDrift", "AccuracyDrop", "AccuracyDropSoon", "ErrorsMore")
"""Alerts that a run has to have had; rules on spread need more labels than a small one has."""


class Labelled:
    """All records of a run whose night brings `nightly` labels, by one seed, in the order in which they are sent."""

    def __init__(self, nightly: int, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._predict(nightly)
        self._label()

    def _predict(self, nightly: int) -> None:
        a_day = max(FEWEST_A_DAY, nightly // 8)
        counts = [round(nightly / (1 - MISSING)), *[a_day] * (DAYS - 1)]
        days = [np.sort(self._random.integers(0, DAY_MS, n)) + day * DAY_MS for day, n in enumerate(counts)]
        at: Int64s = np.concatenate(days)
        n = len(at)
        wrong = self._random.random(n) < np.where(_within(at, WRONG_DAYS), HIGHER_ERROR, ERROR)
        p = self._random.random(n) ** np.where(_within(at, SHIFTED_DAYS), 0.4, 1.0)
        self._at, self._p, self._y = at, np.round(p, 6), p >= 0.5
        self._truth = self._y ^ wrong

    def _label(self) -> None:
        """Which record is sent when: `kind`, `number` of the prediction and whether it tells the truth."""
        at, random = self._at, self._random
        numbers = np.arange(len(at), dtype=np.int64)
        sent = at + np.where(random.random(len(at)) < LATE, 45, 0) * MINUTE_MS
        again = random.random(len(at)) < TWICE
        behind = np.where(at < DAY_MS, NIGHT_MS, at + BEHIND_DAYS * DAY_MS)
        chance = random.random(len(at))
        comes = chance >= MISSING
        early = chance > 1 - EARLY
        behind = np.where(early, at - 20 * MINUTE_MS, behind)
        repeated, corrected = random.random(len(at)) < REPEATED, random.random(len(at)) < CORRECTED
        unknown = comes & (random.random(len(at)) < UNKNOWN)
        parts = [
            (_PREDICTION, numbers, sent, True),
            (_PREDICTION, numbers[again], sent[again] + 30 * MINUTE_MS, True),
            (_LABEL, numbers[comes], behind[comes], True),
            (_LABEL, numbers[comes & repeated], behind[comes & repeated] + 30 * MINUTE_MS, True),
            (_LABEL, numbers[comes & corrected], behind[comes & corrected] + 60 * MINUTE_MS, False),
            (_LABEL, -1 - numbers[unknown], behind[unknown], True),
        ]
        when: Int64s = np.concatenate([part[2] for part in parts])
        order = np.argsort(when, kind="stable")
        order = order[when[order] < DAYS * DAY_MS]
        self._when = when[order]
        self._kind = np.concatenate([np.full(len(part[1]), part[0]) for part in parts])[order]
        self._number = np.concatenate([part[1] for part in parts])[order]
        self._is_true = np.concatenate([np.full(len(part[1]), part[3]) for part in parts])[order]
        self._is_broken = random.random(len(order)) < BROKEN

    @cached_property
    def _places(self) -> Int64s:
        """Where each record is sent, by number of steps; those of the night are one step."""
        is_new = np.ones(len(self._when), np.int64)
        is_new[1:] = (np.diff(self._when) > 0) | (self._when[1:] != NIGHT_MS)
        places: Int64s = np.cumsum(is_new)
        return places

    def beside(self, number: int, events: int) -> list[Outgoing]:
        """The records that are sent beside one of so many events; the night's come at once."""
        steps = int(self._places[-1])
        first, last = np.searchsorted(self._places, [steps * number // events, steps * (number + 1) // events], "right")
        return [record for row in range(int(first), int(last)) for record in self._records(row)]

    def _records(self, row: int) -> list[Outgoing]:
        number, kind = int(self._number[row]), int(self._kind[row])
        name, of = f"tx-{number:07d}", abs(number) % len(self._at)
        partition = of * 7919 % TOPICS[LABELS] if kind == _LABEL else of % TOPICS[PREDICTIONS]
        has_own_time = kind == _LABEL and partition < TOPICS[LABELS] // 2
        time = int(self._when[row] if has_own_time else self._at[of])
        event: dict[str, Any] = {
            "event_id": f"{name}-{row}",
            "event_time": time_texts(np.array([START_MS + time]))[0],
            "prediction_id": name,
        }
        topic, key, models = PREDICTIONS, name.encode(), [MODEL, TWIN]
        if kind == _LABEL:
            topic, key, models = LABELS, b"customer-%d" % (of % 97), [MODEL]
            event["truth"] = bool(self._truth[of]) == bool(self._is_true[row])
        else:
            event |= {"y": int(self._y[of]), "p": float(self._p[of])}
        values = [msgspec.json.encode({"model": model, **event}) for model in models]
        if self._is_broken[row]:
            values = [v[: len(v) // 2] if row % 2 else v.replace(b"event_time", b"time") for v in values]
        return [Outgoing(topic, partition, key, value) for value in values]


def _within(at: Int64s, days: tuple[float, float]) -> Bools:
    within: Bools = (at >= days[0] * DAY_MS) & (at < days[1] * DAY_MS)
    return within


def lacks_of_labels(alerts: Iterable[Mapping[str, Any]], observations: Iterable[Mapping[str, Any]]) -> list[str]:
    """What a run with labels has to have had; and alerts on predictions that are not where the twin has them."""
    ours, twins = _drifts(alerts := list(alerts), MODEL), _drifts(alerts, TWIN)
    names = {alert["data"]["labels"]["alertname"] for alert in alerts}
    lacking = [f"no alert {name}" for name in ON_LABELS if name not in names]
    if not any(one["data"].get("stream") == "performance" for one in observations):
        lacking.append("no observation of performance")
    if not twins:
        lacking.append(f"no alert on the predictions of {TWIN}")
    for name in sorted(ours.keys() | twins.keys()):
        times = zip_longest(ours.get(name, ()), twins.get(name, ()))
        if any(a is None or b is None or abs(a - b) > PANE_MS for a, b in times):
            lacking.append(f"{name}: {MODEL} at {ours.get(name)}, {TWIN} at {twins.get(name)}")
    return lacking


def _drifts(alerts: Iterable[Mapping[str, Any]], model: str) -> dict[tuple[str, ...], list[int]]:
    """When the alerts on predictions of a model changed, ms, by their other labels and status."""
    found: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for alert in alerts:
        labels = alert["data"]["labels"]
        if labels.get("model") == model and labels["alertname"].startswith("Prediction"):
            others = sorted(f"{name}={value}" for name, value in labels.items() if name != "model")
            found[alert["data"]["status"], *others].append(parse_time(alert["time"]))
    return found
