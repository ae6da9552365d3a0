"""Every refusal of the check, one by one: its place and its words."""

from __future__ import annotations

import pytest

from monitor.config import load
from monitor.errors import ConfigurationError

GOOD = """\
version: 1
defaults: {lateness: 1m}
models:
  m:
    task: classification_binary
    streams:
      features: {topic: f}
      predictions: {topic: p}
    columns: {prediction: y, numerical: [x, z], binary: [b], categorical: [c]}
  n:
    task: regression
    streams: {features: {topic: f}}
    columns: {numerical: [w]}
detectors:
  d: {class: ADWIN, input: x}
groups:
  - name: g
    model: m
    rules:
      - {alert: A, expr: psi > 0.25}
retraining:
  - {trigger: t, model: m, when: {any: [A]}}
"""
RULE = "{alert: A, expr: psi > 0.25}"


def _two(under: str, alert: str, expr: str = "psi > 1") -> str:
    """The rule under an alert, and a rule of another."""
    return f"{RULE[:-1]}, under: »{under}}}\n      - {{expr: {expr}, alert: {alert}}}"


def problems_of(text: str) -> list[str]:
    try:
        load(text, "f")
    except ConfigurationError as refused:
        return [str(problem) for problem in refused.problems]
    return []


def test_the_file_without_a_fault_has_no_problem() -> None:
    """So each problem below comes from the one change that is made."""
    assert problems_of(GOOD) == []


SHAPE = [
    ("version: 1", "version: »2", "'2' is not one of 1"),
    ("version: 1\n", "»", "the key 'version' is missing"),
    ("lateness: 1m", "lateness: »60", 'a duration is text with its unit: write "30s" or "5m"'),
    ("lateness: 1m", "pane: »0s", "must be longer than 0s"),
    ("lateness: 1m", "no_data: »never", "'never' is not a duration"),
    ("lateness: 1m", "start: »soon", "'soon' is not a time with its offset"),
    ("lateness: 1m", "window: {events: »0}", "should be greater than or equal to 1"),
    ("lateness: 1m", "window: »{events: 5, time: 1m}", "a window has either `events` or `time`"),
    ("lateness: 1m", "window: {events: 5, every: »9}", "`every` is longer than its window"),
    ("lateness: 1m", "window: {events: 5, every: »1m}", "`every` of a window of events is a number"),
    ("lateness: 1m", "window: {time: 1h, every: »5}", "a duration is text with its unit"),
    ("lateness: 1m", "window: »5000", "should be a mapping of keys and values"),
    ("  m:\n", "  m:\n    »segments: [endpoint]\n", "'segments' is not supported yet"),
    ("features: {topic: f}\n      p", "features: {topic: f, format: »kserve}\n      p", "'format': 'kserve' is not"),
    ("topic: p", "topic: »a/b", "'a/b' is not a name here"),
    ("numerical: [w]}", "numerical: [w]}\n    importance: {w: »-1}", "should be greater than or equal to 0"),
    ("numerical: [w]}", "numerical: [w]}\n    season: »month", "'month' is not one of 'day', 'week'"),
    ("numerical: [x, z]", "numerical: [x, »7]", "should be text: write it in quotes, '7'"),
    ("numerical: [x, z]", "numerical: »x", "should be a valid list"),
    ("numerical: [x, z]", "»numercal: [x, z]", "unknown key 'numercal'; did you mean 'numerical'?"),
    ("  d: {class", "  »d-1: {class", "'d-1' is not a name here"),
    ("class: ADWIN,", "class: ADWIN, params: {»delat: 1},", "unknown key 'delat'; did you mean 'delta'?"),
    ("class: ADWIN,", "class: ADWIN, params: {delta: »2},", "should be less than 1"),
    ("{class: ADWIN, input: x}", "»{input: x}", "the key 'class' is missing: it names River's detector"),
    ("class: ADWIN", "class: KSWIN, params: {stat_size: »80}", "stat_size 80 is more than half of window_size 100"),
    (RULE, "»{alert: A}", "the key 'expr' is missing"),
    (RULE, "{alert: A, expr: psi > 0.25, recovery_threshold: »true}", "should be a number, or an expression"),
    (RULE, "{alert: A, expr: psi > 0.25, for_windows: »0}", "should be greater than or equal to 1"),
    (RULE, "{alert: A, expr: psi > 0.25, for_windows: »2000}", "should be less than or equal to 1000"),
    (RULE, "{alert: A, expr: psi > 0.25, labels: {severity: »1}}", "should be text: write it in quotes, '1'"),
    ("{any: [A]}}", "{any: [A]}, approval: »manual}", "'approval': 'manual' is not supported yet"),
    ("{any: [A]}}", "{any: [A]}, »unless: [A]}", "'unless' is not supported yet"),
    ("retraining:", "»route: {receiver: x}\nretraining:", "'route' is not supported yet"),
    (
        "    columns: {numerical: [w]}",
        "    columns: {numerical: [w]}\n    reference: »{path: a, first: 50}",
        "a reference has one of `path`, `topic`, `first` and `trailing`",
    ),
]
NAMES = [
    (
        "defaults: {lateness: 1m}\nmodels:\n  m:",
        "limits: {models: 1}\nmodels:\n  »m:",
        "2 models, and `limits.models` is 1; raise it",
    ),
    (
        GOOD[len("version: 1\n") : GOOD.index("{prediction")],
        "limits: {columns: 3}\n" + GOOD[len("version: 1\n") : GOOD.index("{prediction")] + "»",
        "5 columns (a list of numbers is three), and `limits.columns` is 3",
    ),
    ("lateness: 1m", "lateness: »3h", "a lateness of 3h keeps 1080 panes open, and `limits.open_panes` is 1000"),
    (
        "lateness: 1m",
        "window: »{time: 30h, every: 10s}",
        "a window of 10800 slices, its length by its step",
    ),
    (RULE, "{alert: A, expr: psi > 1, window: »{time: 30h, every: 10s}}", "a window of 10800 slices, its length"),
    ("lateness: 1m", "lateness: 1m, »grid_rows: 50", "`reference: {first: n}` says how many rows"),
    ("  m:\n", "  m:\n    »grid_rows: 50\n", "`reference: {first: n}` says how many rows"),
    ("  m:\n", "  m:\n    reference: »{first: 50, trailing: 7d}\n", "a reference has one of `path`, `topic`"),
    ("  m:\n", "  m:\n    reference: {trailing: »5000}\n", "a duration is text with its unit"),
    ("  m:\n", "  m:\n    grid_rows: 50\n    reference: {first: »0s}\n", "must be longer than 0s"),
    ("  m:\n", "  m:\n    reference: {first: »14 days}\n", "'14 days' is not a duration"),
    ("  m:\n", "  m:\n    reference: {first: »9}\n", "should be greater than or equal to 10"),
    (
        "  m:\n",
        "  m:\n    reference: {first: »200000}\n",
        "should be less than or equal to 100000; more rows take event time: write 14d",
    ),
    (
        "  m:\n",
        "  m:\n    reference: {first: »true}\n",
        "should be a number of rows, or event time with its unit: write 5000 or 14d",
    ),
    ("lateness: 1m", "interval: »25s", "interval has to be a multiple of the pane, 10s; found 25s, the next is 30s"),
    ("lateness: 1m", "pane: 7s, interval: »10s", "interval has to be a multiple of the pane, 7s"),
    ("lateness: 1m", "window: {time: »25s}", "`time` of a window has to be a multiple of the pane"),
    (
        "{topic: f}}\n    columns: {numerical: [w]}",
        "{topic: »f}}\n    lateness: 3m\n    columns: {numerical: [w]}",
        "models 'm' and 'n' share topic 'f', so they have to agree in lateness",
    ),
    ("topic: p", "topic: »f", "topic 'f' is the features of 'm': a topic carries one kind of stream"),
    ("prediction: y,", "prediction: y, probability: »y,", "'y' is taken"),
    ("prediction: y,", "prediction: »event_id,", "'event_id' is taken"),
    ("numerical: [x, z], binary: [b]", "numerical: [x, z, b], binary: [»b]", "'b' is the name of two columns"),
    ("numerical: [x, z]", "numerical: [x, »prediction]", "'prediction' is the name of two columns"),
    ("{numerical: [w]}", "{numerical: [w], »probability: q}", "'probability' belongs to the stream 'predictions'"),
    ("streams: {features: {topic: f}}", "streams: »{}", "a model has at least one stream"),
    ("input: x", "input: »xx", "no column of m is 'xx'; did you mean 'x'?"),
    ("input: x", "input: x, model: »k", "unknown model 'k'"),
    ("ADWIN, input: x", "DDM, input: »c", "DDM reads 0 or 1; 'c' is a categorical column"),
    ("    model: m\n", "    model: »mm\n", "unknown model 'mm'; did you mean 'm'?"),
    (RULE, "{alert: A, expr: psi > 0.25}\n      - {alert: »A, expr: psi > 0.25}", "'m' has a second alert 'A'"),
    (RULE, "{alert: A, expr: psi > 0.25}\n      - {alert: »NoData, expr: psi > 1}", "the alert 'NoData' is built in"),
    ("name: g", "name: »streamdrift", "the group 'streamdrift' is built in; choose another name"),
    (RULE, "{alert: A, expr: psi > 1, window: {time: »15s}}", "`time` of a window has to be a multiple"),
    (RULE, "{alert: A, expr: psi > 1, min_events: »9000}", "min_events is more than the window of 5000"),
    (
        RULE,
        f"»{{alert: A, expr: psi > 1, labels: {{{', '.join(f'l{i}: x' for i in range(20))}}}, annotations: {{a: x}}}}",
        "20 labels and 1 annotations; a rule has at most 20 of both together",
    ),
    (RULE, "{alert: A, expr: psi > 1, labels: {»column: x}}", "the label 'column' is set by Streamdrift"),
    (RULE, "{alert: A, expr: »ks > 1.5}", "'ks' is never above 1, so this never fires"),
    (RULE, "{alert: A, expr: »missing_rate > 5}", "'missing_rate' is never above 1, so this never fires; write"),
    (RULE, "{alert: A, expr: »psi > 1 / 0}", "the threshold is not a number"),
    (RULE, "{alert: A, expr: »psi < 0}", "'psi' is never below 0, so this never fires"),
    (RULE, "{alert: A, expr: »missing_rate >= 0}", "'missing_rate' is never below 0, so this always holds"),
    (RULE, "{alert: A, expr: »ks <= 1}", "'ks' is never above 1, so this always holds"),
    (RULE, "{alert: A, expr: »psi > reference_mean - reference_mean}", "the threshold is 0 whatever the reference"),
    (RULE, "{alert: A, expr: »psi > reference_mean / 0}", "the threshold is not a number"),
    (RULE, "{alert: A, expr: »'mean != reference_mean'}", "'mean' equals this threshold by chance only"),
    (RULE, "{alert: A, expr: psi > 1, for: »10ms}", "for is shorter than the pane, 10s; leave it out or write that"),
    (RULE, "{alert: A, expr: psi > 1, for: 10s, »for_windows: 3}", "a rule waits by `for` or by `for_windows`"),
    (RULE, "{alert: A, expr: drift > 1, »for_windows: 3}", "'drift' is of no window: write `for`"),
    (RULE, "{alert: A, expr: change > 0, »for_windows: 3}", "'change' is of no window: write `for`"),
    (RULE, "{alert: A, expr: seconds_since_last_event > 9, »for_windows: 3}", "'seconds_since_last_event' is of no"),
    (RULE, "{alert: A, expr: psi > 1, recovery_threshold: »1}", "a recovery threshold lies on the safe side, below"),
    (RULE, "{alert: A, expr: ks < 1, recovery_threshold: »0.5}", "a recovery threshold lies on the safe side, above"),
    (
        RULE,
        "{alert: A, expr: psi > reference_mean, recovery_threshold: »reference_mean + reference_std}",
        "a recovery threshold lies on the safe side, below the threshold reference_mean",
    ),
    (RULE, "{alert: A, expr: psi > 1, recovery_threshold: »-1}", "'psi' is never below 0, so the alert would never"),
    (RULE, "{alert: A, expr: psi > 1, recovery_threshold: 1 / »x}", "unknown name 'x'"),
    (RULE, "{alert: A, expr: psi > 1, recovery_threshold: 1 »> 1}", "a threshold is made of"),
    (RULE, "{alert: A, expr: vanished > 0, recovery_threshold: »0}", "'vanished' is 0 or 1, and nothing lies between"),
    (RULE, "{alert: A, expr: psi != 1, recovery_threshold: »0}", "a value is on no side of !="),
    (
        RULE,
        "{alert: A, expr: psi > 1, recovery_threshold: '»calibrated(\"1 per day\")'}",
        "calibrated(...) is for the threshold itself",
    ),
    (RULE, "{alert: A, expr: psi > 1, keep_firing_for: »9s}", "keep_firing_for is shorter than the pane, 10s"),
    (RULE, "{alert: A, expr: 'psi{column=~»\"(x)\\1\"} > 1'}", "not a regular expression of RE2: invalid escape"),
    (RULE, "{alert: A, expr: 'psi{column!~»\"(?=x)\"} > 1'}", "not a regular expression of RE2: invalid perl operator"),
    (RULE, "{alert: A, expr: »events > reference_mean}", "'events' is of a whole stream: it has no"),
    (RULE, "{alert: A, expr: »change > reference_std}", "'change' is of a detector: it has no reference_mean"),
    (RULE, "{alert: A, expr: »drift > reference_mean}", "'drift' is of a whole stream: it has no reference_mean"),
    (RULE, "{alert: A, expr: »drift < 1}", "'drift' is small without drift, and 1 is the limit: write drift > 1"),
    (RULE, "{alert: A, expr: »drift == 1}", "'drift' is small without drift, and 1 is the limit: write drift > 1"),
    (RULE, "{alert: A, expr: drift > 1, »window: {time: 1m}}", "'drift' looks at stretches of all lengths up to now"),
    (RULE, "{alert: A, expr: drift > 1, »min_events: 0}", "'drift' looks at stretches of all lengths up to now"),
    (RULE, "{alert: A, expr: 'drift{»column=\"x\"} > 1'}", "'drift' has no label 'column'; there are stream"),
    (RULE, "{alert: A, expr: »quantile > 1}", "choose one: quantile{quantile="),
    (RULE, "{alert: A, expr: 'quantile{»quantile=\"0.9\"} > 1'}", "there is no quantile '0.9'; there are 0.05"),
    (RULE, "{alert: A, expr: 'psi{»column=\"xx\"} > 1'}", "there is no column 'xx'; did you mean 'x'?"),
    (RULE, "{alert: A, expr: 'psi{»column=~\"q.*\"} > 1'}", "no column matches =~'q.*'"),
    (RULE, "{alert: A, expr: »'ks{column=\"c\"} > 0.1'}", "'ks' is for numerical columns, not for 'c': use psi"),
    (RULE, "{alert: A, expr: »'new_category_rate{column=\"x\"} > 0.1'}", "'new_category_rate' is for categorical"),
    (RULE, '{alert: A, expr: »\'psi{column="x",stream="predictions"} > 1\'}', "this selects no column of the model"),
    (RULE, "{alert: A, expr: 'change{»detector=\"dd\"} > 0'}", "there is no detector 'dd'; did you mean 'd'?"),
    (RULE, "{alert: A, expr: 'psi{»detector=\"d\"} > 0'}", "'psi' has no label 'detector'; there are column, stream"),
    (RULE, "{alert: A, expr: 'events{»column=\"x\"} > 6000'}", "'events' has no label 'column'; there are stream"),
    (
        RULE,
        '{alert: A, expr: psi > 1, annotations: {s: "{{ »labels.colum }}"}}',
        "alerts of 'psi' have no label 'colum'; did you mean 'column'?",
    ),
    (
        RULE,
        '{alert: A, expr: psi > 1, annotations: {s: "{{ »columns }}"}}',
        "alerts of 'psi' name no columns: write {{ labels.column }}",
    ),
    (RULE, '{alert: A, expr: psi > 1, annotations: {s: "{{ »valu }}"}}', "unknown name 'valu'; did you mean 'value'"),
    (RULE, RULE.replace("}", ", under: »B}"), "'m' has no alert 'B'"),
    (RULE, _two("Dirft", "Drift"), "'m' has no alert 'Dirft'; did you mean 'Drift'?"),
    (RULE, RULE.replace("}", ", under: »A}"), "an alert can't be under itself"),
    (RULE, RULE.replace("}", ", unless: [»B]}"), "'m' has no alert 'B'"),
    (RULE, RULE.replace("}", ", unless: [»NoDat]}"), "'m' has no alert 'NoDat'; did you mean 'NoData'?"),
    (RULE, RULE.replace("}", ", unless: [NoData, »A]}"), "an alert can't wait for itself"),
    (RULE, _two("Drift", "Drift, unless: [A]"), "'A', which is under 'Drift', which is judged unless 'A': this goes"),
    (
        RULE,
        "{alert: A, expr: seconds_since_last_event > 9, unless: [»B]}\n      - {alert: B, expr: psi > 1}",
        "a rule on silence is judged whatever fires, because silence must be heard",
    ),
    (RULE, RULE.replace("}", ", under: »NoData}"), "the alert 'NoData' is built in, and none can be under it"),
    (RULE, _two("Drift", "Drift", "seconds_since_last_event > 9"), "'Drift' is on silence, which has a clock of its"),
    (RULE, _two("Drift", "Drift, under: A"), "'A', which is under 'Drift', which is under 'A': this goes in a circle"),
    (
        RULE,
        "{alert: A, expr: seconds_since_last_event > 9, under: »B}\n      - {alert: B, expr: psi > 1}",
        "a rule on silence is under no alert",
    ),
    ("numerical: [w]}", "numerical: [w]}\n    importance: {»W: 0.5}", "there is no column 'W'; did you mean 'w'?"),
    ("model: m, when", "model: »k, when", "unknown model 'k'"),
    ("{any: [A]}", "{any: [»B]}", "'m' has no alert 'B'"),
    ("{any: [A]}}", "{any: [A]}}\n  - {trigger: »t, model: m, when: {any: [A]}}", "a second trigger 't'"),
]
"""What is written instead of what, with » before the place of the problem, and how the problem begins."""


@pytest.mark.parametrize(("old", "new", "message"), SHAPE + NAMES)
def test_one_fault_is_one_problem(old: str, new: str, message: str) -> None:
    """With its line, its column and what would do; nothing that only follows from it is reported."""
    assert old in GOOD
    before, after = GOOD.replace(old, new, 1).split("»")
    line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
    found = problems_of(before + after)
    assert len(found) == 1
    assert found[0].startswith(f"f:{line}:{column}: {message}")


def test_a_fault_hides_no_fault_elsewhere() -> None:
    """A model that lacks its task is still known to rules and detectors, and what they say is checked."""
    text = GOOD.replace("    task: classification_binary\n", "").replace("input: x", "input: xx").replace("psi", "ps1")
    assert [problem.split(": ")[0] for problem in problems_of(text)] == ["f:5:5", "f:14:28", "f:19:26"]


def test_what_was_left_out_is_not_missed_elsewhere() -> None:
    """A detector, a column or an alert with a fault of its own is not called unknown where it is used."""
    text = GOOD.replace("class: ADWIN", "class: XX").replace("numerical: [x, z]", "numerical: [x, '']")
    rules = [
        "{alert: A, expr: psi > 0.25, for: x}",
        "{alert: B, expr: 'change{detector=\"d\"} > 0'}",
        "{alert: C, expr: 'psi{column=\"z\"} > 1'}",
    ]
    text = text.replace(RULE, "\n      - ".join(rules))
    assert [problem.split(": ")[0] for problem in problems_of(text)] == ["f:9:45", "f:15:14", "f:20:43"]


def test_an_alert_whose_rule_has_a_fault_is_not_missed_above() -> None:
    """Only the fault is reported, and not that the rule under it names nothing."""
    text = GOOD.replace(RULE, "{alert: B, expr: psi > 0.25, for: x}\n      - {alert: A, expr: ks > 0.1, under: B}")
    assert [problem.split(": ")[0] for problem in problems_of(text)] == ["f:20:43"]


def test_every_model_of_a_rule_has_the_alert_above() -> None:
    """A group of many models: the first of them that lacks the alert is named."""
    above = "  - {name: h, model: n, rules: [{alert: Drift, expr: psi > 0.3}]}\n"
    rules = GOOD.replace("model: m\n    rules", 'models: ["*"]\n    rules').replace(RULE, RULE[:-1] + ", under: Drift}")
    text = rules.replace("retraining:", above + "retraining:")
    assert problems_of(text) == ["f:20:45: 'm' has no alert 'Drift'"]
    assert problems_of(text.replace("{name: h, model: n", '{name: h, models: ["*"]')) == []


def test_all_missing_keys_of_one_place_are_reported() -> None:
    """They share their place, the start of their mapping."""
    text = GOOD.replace("task: classification_binary\n    streams:\n      f", "columns:\n      f", 1)
    found = [problem for problem in problems_of(text) if problem.startswith("f:5:5: ")]
    assert found == ["f:5:5: the key 'streams' is missing", "f:5:5: the key 'task' is missing"]


def test_what_cannot_be_read_is_not_blamed_for_its_type() -> None:
    """An alias has one problem: that it is one."""
    found = problems_of(GOOD.replace("topic: p", "topic: *p").replace("lateness: 1m", "lateness: !!int 5"))
    assert [problem[: len("f:8:28: tags are")] for problem in found] == ["f:2:22: tags are", "f:8:28: aliases "]


@pytest.mark.parametrize("text", ["", "[]", "text", "null", "5", "- a", "{}"])
def test_a_file_that_is_something_else_is_refused(text: str) -> None:
    """Empty files, lists and words have a problem at their start."""
    assert problems_of(text)
    assert all(problem.startswith("f:1:1: ") for problem in problems_of(text))
