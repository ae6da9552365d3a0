"""Files with ten planted errors give ten lines, each with its place and a suggestion."""

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
TEN_ERRORS_OF_LABELS = """\
version: 1
models:
  fraud-scorer:
    task: classification_binary
    streams:
      predictions: {topic: ml.predictions}
      labels: {topic: ml.labels, max_dely: 7d, sample: 1/3}
    columns:
      id: prediction_id
      prediction: y_pred
      label: y_true
    performance:
      window: {time: 1d, every: 7h}
      baseline: {acuracy: 0.97}
      costs: {fraud: {legit: 5}}
groups:
  - name: performance
    model: fraud-scorer
    rules:
      - alert: Auc
        expr: roc_auk < 0.9
      - alert: Worse
        expr: accuracy < basline - 0.02
        confidence: 95
      - alert: Drop
        expr: recall{average="weigted"} < 0.5
        maturity: maturee
"""

TEN_LINES_OF_LABELS = """\
alerts.yaml:7:34: unknown key 'max_dely'; did you mean 'max_delay'?
alerts.yaml:7:56: should be 1 or a power of one half: 1/2, 1/4 and so on down to 1/1024
alerts.yaml:13:22: `time` of a window of performance has to be a multiple of its step, 7h; found 1d, the next is 1d4h
alerts.yaml:14:18: unknown metric of performance 'acuracy'; did you mean 'accuracy'?
alerts.yaml:15:14: costs are of the classes 0 and 1, not of 'fraud'; name the class that is 1 by `positive`
alerts.yaml:21:15: unknown metric 'roc_auk'; did you mean 'roc_auc'?
alerts.yaml:23:26: unknown name 'basline'; did you mean 'baseline'?
alerts.yaml:24:21: should be above 0.5 and below 1: write 0.95 for 95 %
alerts.yaml:26:22: there is no average 'weigted'; did you mean 'weighted'?
alerts.yaml:27:19: 'maturee' is not one of 'mature', 'provisional'; did you mean 'mature'?
"""


@pytest.mark.parametrize(
    ("text", "expected"), [(TEN_ERRORS, TEN_LINES), (TEN_ERRORS_OF_LABELS, TEN_LINES_OF_LABELS)], ids=["all", "labels"]
)
def test_ten_errors_give_ten_lines(text: str, expected: str) -> None:
    """Syntax of keys, values, expressions and templates, and names that don't exist: all in one run, in order."""
    with pytest.raises(ConfigurationError) as refused:
        load(text, "alerts.yaml")
    lines = [str(problem) for problem in refused.value.problems]
    assert lines == expected.splitlines()
    assert len(lines) == 10
    assert str(refused.value) == expected.rstrip()
