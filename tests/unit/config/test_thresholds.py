"""Thresholds: a rule that could never hold, or never not hold, is refused; every other is accepted."""

from __future__ import annotations

import math
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.config import load
from monitor.config.check_thresholds import faults
from monitor.config.comparison import COMPARE
from monitor.config.expression import parse
from monitor.config.metrics import METRICS
from monitor.errors import ConfigurationError

FILE = """\
version: 1
models:
  m: {task: regression, streams: {features: {topic: f}}, columns: {numerical: [x]}}
groups:
  - name: g
    models: [m]
    rules: [%s]
"""
EXPRESSIONS = ("events < 5", "events_per_second < 0.01", "late_rate > 0.1", "psi > 0.2")
THRESHOLDS = (-1e9, -1.0, -0.5, 0.0, 0.05, 0.5, 1.0, 1.5, 2.0, 1e9)


def faults_of(expr: str) -> list[str]:
    comparison = parse(expr)
    return list(faults(comparison, METRICS[comparison.metric]))


def values_of(metric: str) -> list[float]:
    """Values that the metric can have: its bounds, what every threshold above is beside, and large ones."""
    least, most, whole = METRICS[metric].values
    near = [threshold + step for threshold in THRESHOLDS for step in (-1e-3, 0.0, 1e-3)]
    whole_ones = [float(round(value)) for value in near]
    ends = [end for end in (least, most) if math.isfinite(end)]
    found = [*ends, *(whole_ones if whole else near), -1e12, 1e12]
    return [value for value in found if least <= value <= most]


@pytest.mark.parametrize("metric", METRICS)
def test_of_constant_thresholds_those_are_refused_that_decide_nothing(metric: str) -> None:
    """All comparisons and thresholds, against all values that the metric can have."""
    for op, threshold in product(COMPARE, THRESHOLDS):
        answers = {COMPARE[op](value, threshold) for value in values_of(metric)}
        found = faults_of(f"{metric} {op} {threshold!r}")
        assert bool(found) == (len(answers) == 1), (op, threshold)
        for fault in found:
            assert fault.removesuffix("; write 0.05 for 5 %").endswith("holds" if True in answers else "fires")


@pytest.mark.parametrize(
    ("expr", "fault"),
    [
        ("psi > -1", "'psi' is never below 0, so this always holds"),
        ("psi >= 0", "'psi' is never below 0, so this always holds"),
        ("psi != -0.1", "'psi' is never below 0, so this always holds"),
        ("psi < 0", "'psi' is never below 0, so this never fires"),
        ("missing_rate < 0", "'missing_rate' is never below 0, so this never fires"),
        ("missing_rate >= 0", "'missing_rate' is never below 0, so this always holds"),
        ("missing_rate > 5", "'missing_rate' is never above 1, so this never fires; write 0.05 for 5 %"),
        ("ks == -1", "'ks' is never below 0, so this never fires"),
        ("ks <= 1", "'ks' is never above 1, so this always holds"),
        ("js_distance > 1", "'js_distance' is never above 1, so this never fires"),
        ("change > 1", "'change' is never above 1, so this never fires"),
        ("change == 0.5", "'change' is a whole number, so this never fires"),
        ("events != 2.5", "'events' is a whole number, so this always holds"),
        ("std < 0", "'std' is never below 0, so this never fires"),
        ("seconds_since_last_event > -60", "'seconds_since_last_event' is never below 0, so this always holds"),
        ("psi > 1 / 0", "the threshold is not a number: it divides by zero or is too large"),
        ("psi > reference_mean / 0", "the threshold is not a number: it divides by zero or is too large"),
        ("psi > 1 / (reference_std - reference_std)", "the threshold is not a number: it divides by zero or is too"),
        ("psi > reference_mean - reference_mean", "the threshold is 0 whatever the reference: write the number"),
        ("psi > 0.1 + 0 * reference_std", "the threshold is 0.1 whatever the reference: write the number"),
        ("mean > reference_mean / reference_mean", "the threshold is 1 whatever the reference: write the number"),
        ("mean != reference_mean", "'mean' equals this threshold by chance only; write a distance, such as mean > "),
        ("ks == reference_mean + reference_std", "'ks' equals this threshold by chance only"),
        ("psi >= -reference_mean", "'psi' is never below 0, so this always holds"),
        ("psi < 0 - 2 * reference_std", "'psi' is never below 0, so this never fires"),
        ("ks > 1 + reference_mean", "'ks' is never above 1, so this never fires"),
        ("missing_rate > reference_mean + 1", "'missing_rate' is never above 1, so this never fires"),
        ("events > reference_mean", "'events' is of a whole stream: it has no reference_mean or reference_std"),
        ("change > reference_std", "'change' is of a detector: it has no reference_mean or reference_std"),
    ],
)
def test_what_is_refused_is_refused_with_its_reason(expr: str, fault: str) -> None:
    """One fault each, with the bound that it runs into."""
    (found,) = faults_of(expr)
    assert found.startswith(fault)


@pytest.mark.parametrize(
    "expr",
    [
        "psi > 0",
        "psi > 0.25",
        "ks >= 1",
        "ks < 1",
        "missing_rate == 0",
        "missing_rate != 0",
        "vanished > 0",
        "change >= 1",
        "change < 0.5",
        "events < 1",
        "mean > -5",
        "mean < reference_mean - 3 * reference_std",
        "psi > reference_mean + 3 * reference_std",
        "ks > reference_mean + 4 * reference_std",
        "psi > 2 * reference_mean / reference_std",
        "missing_rate > 0.1 + reference_mean",
        'quantile{quantile="0.5"} > 1.2 * reference_mean',
        "psi < reference_mean - 1",
    ],
)
def test_what_may_be_and_may_not_be_is_accepted(expr: str) -> None:
    """Bounds that can be reached are no faults, and a threshold that depends on the reference may lie in the range."""
    assert faults_of(expr) == []


@given(st.text(alphabet="()+-*/ 01.5", max_size=12), st.sampled_from(["reference_mean", "reference_std"]))
def test_whatever_the_threshold_there_is_at_most_one_fault(text: str, name: str) -> None:
    """No arithmetic of ranges ends in an exception."""
    for expr in (f"ks > {text}", f"mean <= {name} {text}", f"psi > {text} {name}"):
        try:
            found = faults_of(expr)
        except ValueError:
            continue
        assert len(found) <= 1


@pytest.mark.parametrize(
    ("expr", "least", "verdict"),
    [
        ("events < 5", 5, "never fires"),
        ("events <= 4", 5, "never fires"),
        ("events == 4", 5, "never fires"),
        ("events > 4", 5, "always holds"),
        ("events >= 5", 5, "always holds"),
        ("events != 4", 5, "always holds"),
        ("events < 6", 5, None),
        ("events <= 5", 5, None),
        ("events > 5", 5, None),
        ("events < 5", 0, None),
    ],
)
def test_a_number_of_events_that_min_events_leaves_out_decides_nothing(
    expr: str, least: int, verdict: str | None
) -> None:
    """No window with fewer is judged; the message says so."""
    rule = f"{{alert: A, expr: '{expr}', window: {{time: 1h}}, min_events: {least}}}"
    if verdict is None:
        assert load(FILE % rule, "f").models
        return
    with pytest.raises(ConfigurationError, match=rf"f:7:\d+: .*{verdict}; windows with fewer than min_events are not"):
        load(FILE % rule, "f")


def test_a_rule_on_the_number_of_events_judges_small_windows() -> None:
    """The default of `min_events` would leave out those that it is about."""
    rules = [f"{{alert: A{i}, expr: '{expr}', window: {{time: 1h}}}}" for i, expr in enumerate(EXPRESSIONS)]
    model = load(FILE % ", ".join(rules), "f").models[0]
    assert [rule.min_events for rule in model.rules.rules[: len(rules)]] == [0, 0, 100, 100]


@pytest.mark.parametrize(
    ("expr", "window", "verdict"),
    [
        ("events < 5", "{events: 5000}", "never fires"),
        ("events <= 4999", "{events: 5000, every: 100}", "never fires"),
        ("events > 10", "{events: 5000}", "always holds"),
        ("events > 5000", "{events: 5000}", None),
        ("events < 5001", "{events: 5000}", None),
        ("events < 5", "{time: 1h}", None),
        ("events_per_second < 5", "{events: 5000}", None),
    ],
)
def test_a_window_of_events_never_has_fewer(expr: str, window: str, verdict: str | None) -> None:
    """The message names the remedy; that holds of the model's window as of the rule's own."""
    own, models = FILE % f"{{alert: A, expr: '{expr}', window: {window}}}", FILE % f"{{alert: A, expr: '{expr}'}}"
    for text in (own, models.replace("models:\n", f"defaults: {{window: {window}}}\nmodels:\n", 1)):
        if verdict is None:
            assert load(text, "f").models
            continue
        with pytest.raises(ConfigurationError, match=rf"f:[78]:\d+: .*{verdict}; a window of 5000 events never has"):
            load(text, "f")


def test_a_rule_of_several_models_is_refused_only_if_no_window_can_have_fewer() -> None:
    """In the model with a window of time it may fire."""
    other = "  n: {task: regression, streams: {features: {topic: f}}, columns: {numerical: [x]}, WINDOW}"
    text = FILE.replace("models: [m]", "models: [m, n]").replace("groups:", f"{other}\ngroups:")
    rule = "{alert: A, expr: events < 5}"
    assert load(text.replace("WINDOW", "window: {time: 1h}") % rule, "f").models
    with pytest.raises(ConfigurationError, match="never fires; a window of 300 events"):
        load(text.replace("WINDOW", "window: {events: 300}") % rule, "f")
