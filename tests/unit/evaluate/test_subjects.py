"""What an alert is about is still there, or not: by its metric, its stream and its column."""

from __future__ import annotations

import pytest

from monitor.config import load
from monitor.evaluate.subjects import Subjects
from monitor.events import StreamName, Verdict

CONFIG = """
version: 1
models:
  labelled:
    task: classification_binary
    streams: {features: {topic: f}, predictions: {topic: p}, labels: {topic: l}}
    columns: {id: i, prediction: y, label: t, numerical: [x], categorical: [c]}
  plain:
    task: classification_binary
    streams: {features: {topic: f}, predictions: {topic: p}}
    columns: {prediction: y, numerical: [x]}
detectors:
  d: {class: ADWIN, input: x}
  e: {class: ADWIN, input: error, model: labelled}
"""
SUBJECTS = {model.contract.model: Subjects(model.rules, model.contract) for model in load(CONFIG, "f").models}


def about(metric: str, stream: StreamName, column: str | None = None, detector: str = "d") -> Verdict:
    labels = (("detector", detector), ("metric", metric))
    return Verdict(labels, stream, column, 1.0, ">", 1.0, "constant", None, True, None)


@pytest.mark.parametrize(
    ("verdict", "labelled", "plain"),
    [
        (about("drift", "features"), True, True),
        (about("drift", "outcomes"), True, False),
        (about("drift", "labels"), False, False),
        (about("events", "outcomes"), True, False),
        (about("seconds_since_last_event", "labels"), True, False),
        (about("seconds_since_last_event", "outcomes"), False, False),
        (about("accuracy", "performance"), True, False),
        (about("psi", "features", "x"), True, True),
        (about("psi", "features", "c"), True, False),
        (about("ks", "features", "c"), False, False),
        (about("mean", "outcomes", "error"), True, False),
        (about("change", "features", "x"), True, True),
        (about("change", "features", "x", "f"), False, False),
        (about("change", "outcomes", "error", "e"), True, False),
    ],
)
def test_an_alert_goes_on_as_long_as_its_subject_is_there(verdict: Verdict, labelled: bool, plain: bool) -> None:
    """Streams without a topic and performance among them, in a model that has labels and in one that has none."""
    assert (SUBJECTS["labelled"].has(verdict), SUBJECTS["plain"].has(verdict)) == (labelled, plain)
