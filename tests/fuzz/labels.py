"""Bad labels among good ones: what became of each, and of the good ones beside them.

Predictions and their labels are good. Beside each label comes a bad one by a recipe, with the id of no prediction;
those that are rows after all wait in vain. So without the bad labels every window by the time of the prediction ends
the same.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from monitor.codec.canonical import time_text
from monitor.codec.reasons import INVALID_LABEL, MISSING_LABEL, MISSING_PREDICTION_ID
from monitor.config import load
from monitor.events import TopicPartition
from tests.fuzz.mutants import RECIPES, Event, mutate, plain
from tests.fuzz.service import PARTITIONS, START, STEP_MS, Line, Outcome, serve

PREDICTIONS, LABELS = "in.predictions", "in.labels"
BEHIND = 300
"""Predictions that come between one and its label."""
NEVER, TWICE, CORRECTED = 20, 30, 37
"""One label in so many never comes, comes twice, or comes again with another value."""
WITHOUT_ID, WITHOUT_VALUE = 101, 211
"""One prediction in so many has no id, or neither prediction nor probability."""
ERROR, HIGHER_ERROR = 0.1, 0.4
END_MS, ENDING = 120_000, 80
"""So long behind the last event come some more predictions, which seal all panes before."""
REASONS = (MISSING_PREDICTION_ID, MISSING_LABEL, INVALID_LABEL)
"""Why a label alone is a dead letter."""
CONFIG = load(
    f"""
version: 1
defaults: {{window: {{events: 400, every: 200}}, lateness: 2s, pane: 2s, interval: 2s}}
models:
  m:
    task: classification_binary
    streams: {{predictions: {{topic: {PREDICTIONS}}}, labels: {{topic: {LABELS}, max_delay: 90s, max_early: 4s}}}}
    columns: {{id: prediction_id, prediction: y, probability: p, label: truth}}
    performance: {{window: {{time: 8s, every: 2s}}, baseline: {{accuracy: 0.9}}}}
    reference: {{first: 400}}
detectors:
  adwin: {{class: ADWIN, input: error}}
groups:
  - name: g
    models: [m]
    rules:
      - {{alert: Change, expr: 'change{{detector="adwin"}} > 0'}}
      - {{alert: Drop, expr: accuracy < baseline - 0.1, min_labels: 50}}
""",
    "alerts.yaml",
)


def a_log(records: int, seed: int) -> list[Line]:
    """So many predictions, about as many labels, and as many bad labels; in the second half errors are more."""
    rng, recipes = random.Random(seed), cycle(RECIPES)
    lines: list[Line] = []
    truths: list[int] = []
    for number in range(records + ENDING):
        at = number // PARTITIONS * STEP_MS + (END_MS if number >= records else 0)
        p = rng.random()
        y = int(p >= 0.5)
        truths.append(y ^ (rng.random() < (ERROR if number < records / 2 else HIGHER_ERROR)))
        prediction = {**_event(number, at), "prediction_id": f"e{number}", "y": y, "p": p}
        missing = ("prediction_id",) * (number % WITHOUT_ID == 0) + ("y", "p") * (number % WITHOUT_VALUE == 0)
        lines.append(_line(PREDICTIONS, number, {k: v for k, v in prediction.items() if k not in missing}))
        of = number - BEHIND
        if of >= 0 and number < records:
            labels = [_line(LABELS, of * 7919, label) for label in _labels(of, at, truths[of])]
            name = next(recipes)
            bad = mutate({**_label(of, at, truths[of], f"x{of}"), "at": START + at}, name, rng)
            labels.append(Line(LABELS, of * 7919 % PARTITIONS, bad, name))
            rng.shuffle(labels)
            lines += labels
    return lines


def _labels(of: int, at: int, truth: int) -> list[Event]:
    if of % NEVER == 0:
        return []
    again = [truth] * (of % TWICE == 0) + [1 - truth] * (of % CORRECTED == 0)
    return [_label(of, at, value, f"e{of}") for value in [truth, *again]]


def _label(of: int, at: int, truth: int, prediction: str) -> Event:
    return {**_event(of, at), "prediction_id": prediction, "truth": truth}


def _event(number: int, at: int) -> Event:
    return {"event_id": f"n{number}", "model": "m", "event_time": time_text(START + at)}


def _line(topic: str, number: int, event: Event) -> Line:
    return Line(topic, number % PARTITIONS, plain(event), None)


def without_bad(lines: Sequence[Line]) -> list[Line]:
    """The same log with a tombstone in the place of each bad record."""
    return [line if line.recipe is None else Line(line.topic, line.partition, None, line.recipe) for line in lines]


@dataclass(frozen=True)
class Result:
    """A run with bad labels, and the same without them."""

    lines: Sequence[Line]
    first: Outcome
    second: Outcome

    def broken(self) -> list[str]:
        """The promises that this run breaks; `serve` itself has checked that every record is in its bucket."""
        good = [line.topic for line in self.lines if line.recipe is None]
        names = {json.loads(value)["data"]["labels"]["alertname"] for value in self.first.alerts}
        ended, expected = _last_windows(self.first), _last_windows(self.second)
        counted = ("predictions", "unusable_predictions", "joined", "repeated_labels", "corrections")
        found = {
            "a good label or prediction is a dead letter": good != self._good_rows(),
            f"{_rows(self.first, LABELS)} labels became {self.first.labels}": not _is_whole(self.first),
            f"{_rows(self.second, LABELS)} good labels became {self.second.labels}": not _is_whole(self.second),
            f"good labels were joined otherwise: {self.first.labels}, alone {self.second.labels}": any(
                self.first.labels[name] != self.second.labels[name] for name in counted
            ),
            f"windows end otherwise: {ended.items() ^ expected.items()}": ended != expected,
            "no window has ended": not expected,
            "a reason why a label is a dead letter is missing": not {*REASONS} <= {*self.first.dead.values()},
            f"the drift was not found: {names}": not {"Change", "Drop"} <= names,
        }
        return [promise for promise, is_broken in found.items() if is_broken]

    def _good_rows(self) -> list[str]:
        offsets: Counter[TopicPartition] = Counter()
        rows = []
        for line in self.lines:
            place = TopicPartition(line.topic, line.partition)
            if line.recipe is None and (*place, offsets[place]) not in self.first.dead:
                rows.append(line.topic)
            offsets[place] += 1
        return rows


def _rows(outcome: Outcome, topic: str) -> int:
    return sum(buckets["pane"] for tp, buckets in outcome.buckets.items() if tp.topic == topic)


def _is_whole(outcome: Outcome) -> bool:
    """Whether each row is counted once: all labels, and predictions but for those whose panes are still open."""
    of = outcome.labels
    labels = ("joined", "repeated_labels", "corrections", "unmatched", "waiting", "unusable_labels")
    predictions = ("predictions", "repeated_predictions", "unusable_predictions")
    return (
        sum(of[name] for name in labels) == _rows(outcome, LABELS)
        and sum(of[name] for name in predictions) == _rows(outcome, PREDICTIONS) - ENDING
    )


def _last_windows(outcome: Outcome) -> dict[str, str]:
    """What is said last of each window by the time of the prediction that has ended, by its end."""
    messages = [json.loads(value)["data"] for value in outcome.observations]
    return {data["window"]["to"]: str(data["totals"]) for data in messages if _is_final(data)}


def _is_final(data: Mapping[str, Any]) -> bool:
    return data["stream"] == "performance" and "window" in data and data["labels"]["maturity"] == "final"


def run(records: int, seed: int) -> Result:
    """Both runs of one seed."""
    lines = a_log(records, seed)
    return Result(lines, serve(lines, config=CONFIG), serve(without_bad(lines), config=CONFIG))
