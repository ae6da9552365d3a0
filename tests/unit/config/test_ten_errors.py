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
detectors:
  nulls: {class: FHDDM, input: amount_usd}
  steps: {class: ADWINN, input: "*"}
groups:
  - name: drift
    models: [fraud-scorer]
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
    models: [fraud-scorer]
    when: {any: [Drfit]}
"""

TEN_LINES = """\
alerts.yaml:3:3: unknown key 'latness'; did you mean 'lateness'?
alerts.yaml:6:11: 'clasification_binary' is not one of 'classification_binary', 'classification_multiclass', \
'regression'; did you mean 'classification_binary'?
alerts.yaml:15:32: FHDDM reads 0 or 1; 'amount_usd' is a numerical column: use missing(amount_usd), a binary column or \
class(...)
alerts.yaml:16:18: 'ADWINN' is not one of 'ADWIN', 'KSWIN', 'PageHinkley', 'DDM', 'EDDM', 'FHDDM', 'HDDMA', \
'HDDMW'; did you mean 'ADWIN'?
alerts.yaml:22:15: unknown metric 'psii'; did you mean 'psi'?
alerts.yaml:23:14: '10 minutes' is not a duration: write "10s", "5m", "1h30m" or "7d"
alerts.yaml:25:18: there is no column 'amount_us'; did you mean 'amount_usd'?
alerts.yaml:27:44: unknown name 'valeu'; did you mean 'value'?
alerts.yaml:29:29: 'missing_rate' has no label 'colum'; did you mean 'column'?
alerts.yaml:33:18: 'fraud-scorer' has no alert 'Drfit'; did you mean 'Drift'?
"""


def test_ten_errors_give_ten_lines() -> None:
    """Syntax of keys, values, expressions and templates, and names that don't exist: all in one run, in order."""
    with pytest.raises(ConfigurationError) as refused:
        load(TEN_ERRORS, "alerts.yaml")
    lines = [str(problem) for problem in refused.value.problems]
    assert lines == TEN_LINES.splitlines()
    assert len(lines) == 10
    assert str(refused.value) == TEN_LINES.rstrip()
