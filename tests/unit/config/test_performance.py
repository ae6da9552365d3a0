"""Rules on performance: which models have them, what they are judged on, and what is refused of them."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.config import load
from monitor.config.built_in import GROUP
from monitor.config.expression import parse
from monitor.config.metrics import METRICS
from monitor.config.resolved import Rule
from monitor.errors import ConfigurationError

FILE = """\
version: 1
models:
  binary:
    task: classification_binary
    streams: {predictions: {topic: pb}, labels: {topic: lb}}
    columns: {id: key, prediction: y, probability: score, label: truth}
    performance: {baseline: {accuracy: 0.97}}
  classes:
    task: classification_multiclass
    streams: {predictions: {topic: pc}, labels: {topic: lc}}
    columns: {id: key, prediction: y, probability: score, label: truth}
    performance: {costs: {cat: {dog: 3}}, window: {time: 12h, every: 2h}}
  events:
    task: classification_binary
    streams: {predictions: {topic: pe}, labels: {topic: le}}
    columns: {id: key, probability: score, label: truth}
    performance: {window: {events: 5000, every: 500}, costs: {1: {0: 9}}}
  number:
    task: regression
    streams: {predictions: {topic: pn}, labels: {topic: ln}}
    columns: {id: key, prediction: y, label: truth}
  tolerant:
    task: regression
    streams: {predictions: {topic: pt}, labels: {topic: lt}}
    columns: {id: key, prediction: y, label: truth}
    performance: {tolerance: 5, baseline: {mae: 2.5}}
  plain:
    task: classification_binary
    streams: {predictions: {topic: pp}}
    columns: {prediction: y, probability: score}
groups:
  - name: g
    models: [MODELS]
    rules:
      - {alert: A, expr: EXPR}
"""
AT = "f:35:26: "
"""The place of the expression."""
LABELLED = ("binary", "classes", "events", "number", "tolerant")


def file(expr: str, models: str = '"*"', more: str = "") -> str:
    return FILE.replace("EXPR", f"'{expr}'" + more).replace("MODELS", models)


def rules_of(text: str) -> dict[str, Rule]:
    """The rule of each model that has it."""
    config = load(text, "f")
    own = {m.rules.model: [rule for rule in m.rules.rules if rule.group != GROUP] for m in config.models}
    return {model: rules[0] for model, rules in own.items() if rules}


def problems_of(text: str) -> list[str]:
    try:
        load(text, "f")
    except ConfigurationError as refused:
        return [str(problem) for problem in refused.problems]
    return []


# ---------------------------------------------------------------------- which models have a rule

OF_BINARY = ("binary", "events")
HAVING = {
    "accuracy": ("binary", "classes", "events"),
    "error_rate": ("binary", "classes", "events", "tolerant"),
    "precision": ("binary", "classes", "events"),
    "recall": ("binary", "classes", "events"),
    "f1": ("binary", "classes", "events"),
    "false_positive_rate": OF_BINARY,
    "roc_auc": OF_BINARY,
    "log_loss": OF_BINARY,
    "brier": OF_BINARY,
    "calibration_error": OF_BINARY,
    "mae": ("number", "tolerant"),
    "rmse": ("number", "tolerant"),
    "mape": ("number", "tolerant"),
    "bias": ("number", "tolerant"),
    "label_coverage": LABELLED,
    "cost_per_1000": ("classes", "events"),
}
"""The models of the file that have each metric."""
WITH_INTERVAL = {
    **{
        name: HAVING[name] for name in ("accuracy", "error_rate", "false_positive_rate", "roc_auc", "log_loss", "brier")
    },
    **dict.fromkeys(("precision", "recall", "f1"), OF_BINARY),
    **{name: HAVING[name] for name in ("mae", "mape", "bias")},
}
"""And those of them that have an interval of it."""


def test_the_table_has_all_metrics_of_performance() -> None:
    """So nothing below is left out."""
    assert set(HAVING) == {name for name, metric in METRICS.items() if metric.subject == "performance"}


@pytest.mark.parametrize("metric", HAVING)
def test_a_rule_is_for_the_models_that_have_its_metric(metric: str) -> None:
    """It is refused for a model alone that has it not, by name."""
    expr = f"{metric} > 0.5"
    assert tuple(rules_of(file(expr))) == HAVING[metric]
    for model in (*LABELLED, "plain"):
        found = problems_of(file(expr, model))
        assert bool(found) == (model not in HAVING[metric])
        assert all(problem.startswith(f"{AT}{metric!r} ") for problem in found)


@pytest.mark.parametrize("metric", HAVING)
def test_confidence_is_for_the_models_that_have_an_interval(metric: str) -> None:
    """It is refused, at its key, if no model has one."""
    having = WITH_INTERVAL.get(metric, ())
    text = file(f"{metric} > 0.5", more=", confidence: 0.95")
    if not having:
        place = len(f"      - {{alert: A, expr: '{metric} > 0.5', ") + 1
        (problem,) = problems_of(text)
        assert problem == f"f:35:{place}: {metric!r} has no interval: leave out `confidence`"
        return
    assert tuple(rules_of(text)) == having
    assert {rule.confidence for rule in rules_of(text).values()} == {0.95}


@pytest.mark.parametrize(
    ("expr", "models", "message"),
    [
        ("roc_auc < 0.9", "plain", "'roc_auc' needs labels: add streams.labels, and the columns id and label"),
        (
            "roc_auc < 0.9",
            "classes",
            "'roc_auc' is not there for classification_multiclass: its `probability` is that of the predicted "
            "class, and says nothing of the others",
        ),
        ("roc_auc < 0.9", "plain, classes", "'roc_auc' is not there for classification_multiclass"),
        (
            "false_positive_rate > 0.1",
            "classes",
            "'false_positive_rate' is for classification_binary, not for classific",
        ),
        (
            "accuracy < 0.9",
            "number",
            "'accuracy' is for classification_binary and classification_multiclass, not for re",
        ),
        ("error_rate > 0.1", "number", "'error_rate' of a regression needs `performance: {tolerance: NUMBER}`"),
        ("cost_per_1000 > 9", "binary", "'cost_per_1000' needs `performance: {costs: {TRUTH: {PREDICTED: NUMBER}}}`"),
        (
            "recall < baseline",
            "binary",
            "the baseline of 'recall' is missing: write `performance: {baseline: {recall: N",
        ),
        ("accuracy < baseline", "events", "the baseline of 'accuracy' is missing"),
        ('recall{average="macro"} < 0.5', "binary", "'recall' has an average in classification_multiclass only"),
    ],
)
def test_what_a_model_lacks_is_named(expr: str, models: str, message: str) -> None:
    """Of several models, what one with labels lacks."""
    (problem,) = problems_of(file(expr, models))
    assert problem.removeprefix(AT).startswith(message)


def test_a_model_without_probabilities_has_no_metric_of_them() -> None:
    """Though it is binary."""
    (problem,) = problems_of(file("brier > 0.2", "binary").replace(" probability: score,", "", 1))
    assert problem == AT + "'brier' needs the column `probability`"


@pytest.mark.parametrize(
    ("expr", "models"),
    [
        ("accuracy < baseline - 0.02", ["binary"]),
        ("mae > 1.2 * baseline + reference_std", ["tolerant"]),
        ('f1{average="weighted"} < 0.7', ["classes"]),
        ('f1{average=~"macro|weighted"} < 0.7', ["classes"]),
        ("roc_auc < reference_mean - 0.03", ["binary", "events"]),
        ("bias < -3", ["number", "tolerant"]),
    ],
)
def test_a_rule_of_many_models_is_for_those_that_have_all_it_names(expr: str, models: list[str]) -> None:
    """Baselines and averages, too."""
    assert list(rules_of(file(expr))) == models


def test_rules_of_one_name_may_be_for_models_of_different_tasks() -> None:
    """No model has both; two that one model has are refused."""
    text = file("accuracy < 0.9") + "      - {alert: A, expr: mae > 5}\n"
    metrics = {model: rule.comparison.metric for model, rule in rules_of(text).items()}
    assert metrics == {**dict.fromkeys(HAVING["accuracy"], "accuracy"), **dict.fromkeys(HAVING["mae"], "mae")}
    (problem,) = problems_of(file("accuracy < 0.9") + "      - {alert: A, expr: brier > 0.2}\n")
    assert problem.startswith("f:36:17: 'binary' has a second alert 'A' with these labels")


def test_a_trigger_needs_an_alert_that_its_model_has() -> None:
    """A rule on performance that the model can't have is none of its own."""
    retraining = "retraining:\n  - {trigger: t, model: MODEL, when: {any: [A]}}\n"
    text = file("accuracy < baseline") + retraining
    assert problems_of(text.replace("MODEL", "binary")) == []
    for model in ("plain", "number", "events"):
        assert problems_of(text.replace("MODEL", model)) == [f"f:37:{40 + len(model)}: {model!r} has no alert 'A'"]
    wounded = text.replace("MODEL", "binary").replace("accuracy: 0.97", "accuracy: x")
    assert len(problems_of(wounded)) == 1


# ---------------------------------------------------------------------- what a rule is judged on


def test_the_defaults_of_a_rule() -> None:
    """Windows are those of each model's performance; small windows of events need fewer labels."""
    rules = rules_of(file("accuracy < 0.9"))
    assert {model: rule.window.name for model, rule in rules.items()} == {
        "binary": "time=1d,every=1h",
        "classes": "time=12h,every=2h",
        "events": "events=5000,every=500",
    }
    assert {(r.min_events, r.min_labels, r.maturity, r.confidence) for r in rules.values()} == {
        (0, 100, "mature", None)
    }
    small = (
        file("accuracy < 0.9", "events")
        .replace("{events: 5000, every: 500}", "{events: 60}")
        .replace("labels: {topic: le}", "labels: {topic: le, pending: 60000}")
    )
    assert rules_of(small)["events"].min_labels == 60
    coverage = rules_of(file("label_coverage < 0.5"))["binary"]
    assert (coverage.min_labels, coverage.window.name) == (0, "time=1d,every=1h")


def test_the_keys_of_a_rule() -> None:
    """As they are written; other rules have none of them."""
    more = ", min_labels: 1000, maturity: provisional, confidence: 0.9, window: {time: 7d, every: 1d}"
    rule = rules_of(file("accuracy < 0.9", "binary", more))["binary"]
    assert (rule.min_labels, rule.maturity, rule.confidence) == (1000, "provisional", 0.9)
    assert rule.window.name == "time=7d,every=1d"
    other = rules_of(file("psi > 0.2", "binary"))["binary"]
    assert (other.min_labels, other.maturity, other.confidence, other.window.name) == (
        0,
        "mature",
        None,
        "events=5000,every=500",
    )


@pytest.mark.parametrize(
    ("expr", "models", "more", "message"),
    [
        ("psi > 0.2", "binary", ", »min_labels: 5", "'min_labels' is for rules on performance, and this one is on psi"),
        ("psi > 0.2", "plain", ", »maturity: mature", "'maturity' is for rules on performance, and this one is on psi"),
        (
            "events > 9000",
            "plain",
            ", »confidence: 0.9",
            "'confidence' is for rules on performance, and this one is on events",
        ),
        ("accuracy < 0.9", "binary", ", »min_events: 5", "a rule on performance goes by labels: write `min_labels`"),
        ("accuracy < 0.9", "binary", ", min_labels: »0", "should be greater than or equal to 1"),
        ("accuracy < 0.9", "binary", ", confidence: »0.5", "should be above 0.5 and below 1: write 0.95 for 95 %"),
        ("accuracy < 0.9", "binary", ", confidence: »1", "should be above 0.5 and below 1: write 0.95 for 95 %"),
        (
            "accuracy == 0.9",
            "binary",
            ", confidence: »0.9",
            "an interval is never == a number: compare with < or >, or",
        ),
        ("label_coverage < 0.9", "binary", ", »min_labels: 5", "'label_coverage' is judged on final windows, whatever"),
        ("label_coverage < 0.9", "binary", ", »maturity: mature", "'label_coverage' is judged on final windows, what"),
        ("accuracy < 0.9", "events", ", min_labels: »5001", "min_labels is more than the window of 5000 events has"),
        (
            "precision < 0.9",
            "classes",
            ", »confidence: 0.9",
            "'precision' has no interval in classification_multiclass: leave out `confidence`",
        ),
        (
            "accuracy < 0.9",
            "binary",
            ", window: {time: »90m}",
            "`time` of a window of performance has to be a multiple of the step of the model's performance, 1h; found "
            "1h30m, the next is 2h",
        ),
        (
            "accuracy < 0.9",
            "binary",
            ", window: {time: 2d, every: »90m}",
            "`every` of a window of performance has to be a multiple of the step of the model's performance, 1h; found",
        ),
        (
            "accuracy < 0.9",
            "events",
            ", window: {events: »1200}",
            "`events` of a window of performance has to be a multiple of the step of the model's performance, 500",
        ),
        (
            "accuracy < 0.9",
            "binary",
            ", window: »{time: 417d}",
            "a window of 10008 cohorts, and `limits.window_slices` is 10000; raise it if there is memory for that",
        ),
        (
            "accuracy < 0.9",
            "binary",
            ", window: »{events: 500}",
            "a window of performance is of time here, as that of the model's `performance`",
        ),
        (
            "accuracy < 0.9",
            '"*"',
            ", window: »{time: 6h}",
            "a window of performance is of events here, as that of the model's `performance`",
        ),
    ],
)
def test_a_key_is_refused_at_its_place(expr: str, models: str, more: str, message: str) -> None:
    """One problem for one fault."""
    before, after = file(expr, models, more).split("»")
    (problem,) = problems_of(before + after)
    assert problem.startswith(f"f:35:{len(before) - before.rfind(chr(10))}: {message}")


@pytest.mark.parametrize(
    ("expr", "place", "message"),
    [
        ('accuracy{column="x"} < 1', 36, "'accuracy' has no label 'column', nor any other to select by"),
        ('recall{avrage="macro"} < 0.5', 34, "'recall' has no label 'avrage'; did you mean 'average'?"),
        ('recall{average="micro"} < 0.5', 34, "there is no average 'micro'; did you mean 'macro'?"),
        ("accuracy < 95", 26, "'accuracy' is never above 1, so this always holds"),
        ("error_rate > 5", 26, "'error_rate' is never above 1, so this never fires; write 0.05 for 5 %"),
        ("log_loss > 40", 26, "'log_loss' is never above 34.54, so this never fires"),
        ("mae < 0", 26, "'mae' is never below 0, so this never fires"),
        ("accuracy < baseline - 1.5", 26, "'accuracy' is never below 0, so this never fires"),
        ("accuracy < baseline - baseline + 0.5", 26, "the threshold is 0.5 whatever the baseline: write the number"),
        (
            "accuracy == baseline",
            26,
            "'accuracy' equals this threshold by chance only; write a distance, such as accuracy > b",
        ),
        (
            "label_coverage < reference_mean",
            26,
            "'label_coverage' has no reference_mean or reference_std: a reference has",
        ),
        ("psi > baseline", 26, "'baseline' is for metrics of performance, and 'psi' is none: write the number"),
        (
            "label_delay_seconds > 5",
            27,
            "'label_delay_seconds' is a column, not a metric: name it in braces, psi{column=",
        ),
    ],
)
def test_expressions_are_checked_as_all_others(expr: str, place: int, message: str) -> None:
    """Labels, averages and thresholds."""
    (problem,) = problems_of(file(expr))
    assert problem.startswith(f"f:35:{place}: {message}")


def test_what_is_of_outcomes_needs_labels_too() -> None:
    """Columns and streams of them, in a model that has none."""
    add = "needs labels: add streams.labels, and the columns id and label"
    delay = 'quantile{column="label_delay_seconds", quantile="0.5"} > 21600'
    assert problems_of(file(delay, "plain")) == [f"f:35:36: the column 'label_delay_seconds' {add}"]
    assert list(rules_of(file(delay))) == [*LABELLED[:4], "plain", "tolerant"]
    for stream, metric in product(("labels", "outcomes"), ("seconds_since_last_event", "events")):
        (problem,) = problems_of(file(f'{metric}{{stream="{stream}"}} > 9000', "plain"))
        assert problem.endswith(f": the stream {stream!r} {add}")
    assert problems_of(file('seconds_since_last_event{stream="labels"} > 60', "binary")) == []
    assert problems_of(file('events{stream="outcomes"} > 9000', "binary")) == []
    (problem,) = problems_of(file('events{stream="labels"} > 9000', "binary"))
    assert problem.endswith("the stream 'labels' has no windows; 'outcomes' has, of predictions whose label has come")
    (problem,) = problems_of(file('seconds_since_last_event{stream="outcomes"} > 60', "binary"))
    assert "there is no stream 'outcomes'" in problem
    (problem,) = problems_of(file('mean{column="error"} > 0.1', "number"))
    assert "the column 'error' of a regression needs `performance: {tolerance: NUMBER}`" in problem
    assert problems_of(file('mean{column="error"} > 0.1', "tolerant")) == []


@given(
    st.sampled_from(sorted(HAVING)),
    st.sampled_from(["<", ">"]),
    st.floats(0.01, 0.99),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_a_threshold_of_the_baseline_is_that_of_its_number(
    metric: str, op: str, baseline: float, factor: float, mean: float
) -> None:
    """The word stands for what the model says, beside all else that a threshold may name."""
    named = parse(f"{metric} {op} baseline * {factor!r} + reference_mean")
    written = parse(f"{metric} {op} {baseline!r} * {factor!r} + reference_mean")
    assert named.needs_baseline
    assert not written.needs_baseline
    assert named.threshold(mean, None, baseline=baseline) == written.threshold(mean, None)
    assert named.threshold_source == f"baseline * {factor!r} + reference_mean"


@pytest.mark.parametrize(
    ("expr", "averages"),
    [
        ("recall < 0.5", ("macro",)),
        ('recall{average="weighted"} < 0.5', ("weighted",)),
        ('recall{average!="macro"} < 0.5', ("weighted",)),
        ('recall{average=~".*"} < 0.5', ("macro", "weighted")),
        ("accuracy < 0.5", ()),
    ],
)
def test_averages_are_macro_unless_a_rule_selects(expr: str, averages: tuple[str, ...]) -> None:
    """Only if there is something to average."""
    assert parse(expr).averages == averages
