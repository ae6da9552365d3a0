"""A recording of some of a model's topics: what could read nothing is left out of its rules."""

from __future__ import annotations

from monitor.cli.replay_log import restricted, with_inputs
from monitor.config import load

CONFIG = """
version: 1
models:
  m:
    task: classification_binary
    streams: {features: {topic: in}, predictions: {topic: out}}
    columns: {prediction: y_pred, numerical: [x]}
detectors:
  classes: {class: DDM, input: class(1)}
  ranks: {class: ADWIN, input: "*"}
groups:
  - {name: g, models: [m], rules: [{alert: A, expr: psi > 0.2}]}
"""


def test_detectors_without_an_input_are_left_out() -> None:
    """Without predictions there is no class to watch; a glob still reads what is left."""
    (model,) = load(CONFIG, "alerts.yaml").models
    assert [spec.name for spec in with_inputs(model.rules, model.contract).detectors] == ["classes", "ranks"]
    contract = restricted(model.contract, {"in"})
    assert [stream.stream for stream in contract.streams] == ["features"]
    assert [spec.name for spec in with_inputs(model.rules, contract).detectors] == ["ranks"]
