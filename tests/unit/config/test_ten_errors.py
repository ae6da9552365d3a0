"""One file with ten planted errors gives ten lines, each with its place and a suggestion."""

from __future__ import annotations

import pytest

from monitor.config import load
from monitor.errors import ConfigurationError

TEN_ERRORS = """\
version: 1
defaults:
  latness: 2m
models:
  fraud-scorer:
    task: clasification_binary
    streams:
      features: {topic: ml.features}
      predictions: {topic: ml.predictions}
    columns:
      prediction: y_pred
      numerical: [amount_usd, account_age_days]
      categorical: [country]
    interval: 25s
detectors:
  nulls: {class: FHDDM, input: amount_usd}
  steps: {class: ADWINN, input: "*"}
groups:
  - name: drift
    model: fraud-scorer
    rules:
      - alert: Drift
        expr: psii > 0.25
        for: 10 minutes
      - alert: Shift
        expr: ks{column="amount_us"} > 0.1
        annotations:
          summary: "{{ labels.model }}: {{ valeu }}"
      - alert: Gaps
        expr: 'missing_rate{colum="country"} > 0.05'
retraining:
  - trigger: refresh
    model: fraud-scorer
    when: {any: [Drfit]}
"""

TEN_LINES = """\
alerts.yaml:3:3: unknown key 'latness'; did you mean 'lateness'?
alerts.yaml:6:11: 'clasification_binary' is not one of 'classification_binary', 'classification_multiclass', \
'regression'; did you mean 'classification_binary'?
"""


def problems_of(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as refused:
        load(text, "alerts.yaml")
    return [str(problem) for problem in refused.value.problems]


def test_ten() -> None:
    print(*problems_of(TEN_ERRORS), sep="\n")
    assert 0
