"""Which models a group or a trigger is for: `models: [globs]` or `model: NAME`, never both."""

from __future__ import annotations

import pytest

from monitor.config import Config, load
from monitor.errors import ConfigurationError

FILE = """\
version: 1
models:
  fraud-eu: {task: regression, streams: {features: {topic: f}}, columns: {numerical: [x, y]}}
  fraud-us: {task: regression, streams: {features: {topic: g}}, columns: {numerical: [x]}}
  price: {task: regression, streams: {features: {topic: h}}, columns: {numerical: [z]}}
groups:
  - name: g
    GROUP
    rules:
      - RULES
retraining:
  - {trigger: t, TRIGGER, when: {any: [ALERT]}}
"""
DRIFT = "{alert: Drift, expr: psi > 0.25}"


def file(group: str = 'models: ["*"]', rules: str = DRIFT, trigger: str = 'models: ["*"]', alert: str = "Drift") -> str:
    text = FILE.replace("GROUP", group).replace("RULES", rules)
    return text.replace("TRIGGER", trigger).replace("ALERT", alert)


def rules_of(config: Config) -> dict[str, list[str]]:
    """By model, the alerts of the rules of the file."""
    return {m.rules.model: [rule.alert for rule in m.rules.rules if rule.group == "g"] for m in config.models}


def problems_of(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as refused:
        load(text, "f")
    return [str(problem) for problem in refused.value.problems]


@pytest.mark.parametrize(
    ("group", "models"),
    [
        ("model: price", ["price"]),
        ("models: [price]", ["price"]),
        ('models: ["*"]', ["fraud-eu", "fraud-us", "price"]),
        ("models: [fraud-*]", ["fraud-eu", "fraud-us"]),
        ("models: [fraud-?s, price]", ["fraud-us", "price"]),
        ('models: ["fraud-[!u]*"]', ["fraud-eu"]),
        ("models: [fraud-*, fraud-eu]", ["fraud-eu", "fraud-us"]),
    ],
)
def test_each_model_that_matches_has_the_rules_and_the_trigger_for_itself(group: str, models: list[str]) -> None:
    """Once, however many globs it matches; a glob matches whole names, upper and lower case apart."""
    config = load(file(group, trigger=group), "f")
    assert [model for model, alerts in rules_of(config).items() if alerts == ["Drift"]] == models
    assert [m.rules.model for m in config.models if [t.trigger for t in m.rules.retraining] == ["t"]] == models


def test_both_spellings_of_one_model_are_the_same() -> None:
    """`model: NAME` is short for `models: [NAME]`."""
    one, other = (load(file(group, trigger=group), "f").models for group in ("model: price", "models: [price]"))
    for a, b in zip(one, other, strict=True):
        assert a.rules.rules == b.rules.rules
        assert a.rules.retraining == b.rules.retraining


@pytest.mark.parametrize("names", ["model: price, models: [price]", "cooldown: 1h"])
def test_a_trigger_that_names_its_models_twice_or_never_is_refused(names: str) -> None:
    """At the entry, with both ways to write it."""
    assert problems_of(file(trigger=names)) == [
        "f:12:5: names its models by one of `models: [globs]` and `model: NAME`"
    ]


def test_a_group_that_names_its_models_twice_or_never_is_refused() -> None:
    """As a trigger is."""
    for group in ("model: price\n    models: [price]", "# none"):
        assert problems_of(file(group))[0].startswith("f:7:5: names its models by one of")


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("models: [price, fraud-cn]", "f:8:21: unknown model 'fraud-cn'; did you mean 'fraud-us'?"),
        ("model: prise", "f:8:12: unknown model 'prise'; did you mean 'price'?"),
        ("models: [pr*, zz*]", "f:8:19: no model matches 'zz*'; there are fraud-eu, fraud-us, price"),
        ("models: [FRAUD-*]", "f:8:14: no model matches 'FRAUD-*'; there are fraud-eu, fraud-us, price"),
        ("models: []", "f:8:13: should have at least 1 item, not 0"),
        ("models: price", "f:8:13: should be a valid list"),
        ("models: [a/*]", "f:8:14: 'a/*' is not a name here"),
        ('model: "*"', "f:8:12: '*' is not a name: globs stand in a list, `models: ['*']`"),
    ],
)
def test_a_glob_that_matches_no_model_is_refused(written: str, problem: str) -> None:
    """With its place, and the name that was probably meant or those that there are."""
    assert problems_of(file(written, trigger="model: price"))[0].startswith(problem)


def test_a_glob_that_matches_what_was_left_out_is_not_blamed() -> None:
    """A model with a fault of its own is known to the globs, and what its rules select is not guessed."""
    text = file("models: [pri*]", "{alert: Drift, expr: 'psi{column=\"z\"} > 1'}").replace(
        "price: {task: regression", "price: {task: 5"
    )
    assert [problem.split(": ")[0] for problem in problems_of(text)] == ["f:5:17"]
    text = file(rules="{alert: Drift, expr: 'psi{column=\"z\"} > 1'}").replace("price: {", "price: {window: 5, ")
    assert [problem.split(": ")[0] for problem in problems_of(text)] == ["f:5:19"]


def test_a_rule_need_not_select_something_in_every_model() -> None:
    """`column="y"` is one model's; what no model has is refused with a suggestion."""
    load(file(rules="{alert: Drift, expr: 'psi{column=\"y\"} > 0.25'}"), "f")
    (problem,) = problems_of(file(rules="{alert: Drift, expr: 'psi{column=\"q\"} > 0.25'}"))
    assert problem == "f:10:35: there is no column 'q'"


def test_rules_may_share_their_alert_if_their_labels_differ() -> None:
    """As in Prometheus: `severity` distinguishes a warning from a critical alert of one name."""
    rules = [
        "{alert: Drift, expr: psi > 0.1, labels: {severity: warning}}",
        "{alert: Drift, expr: psi > 0.25, labels: {severity: critical}}",
        "{alert: Drift, expr: psi > 0.5}",
    ]
    config = load(file(rules="\n      - ".join(rules)), "f")
    assert rules_of(config)["price"] == ["Drift", "Drift", "Drift"]


@pytest.mark.parametrize("labels", ["", ", labels: {a: b, c: d}"])
def test_rules_that_share_alert_and_labels_are_refused(labels: str) -> None:
    """In any order of the labels, and with whatever expression; else one alert would have two rules."""
    turned = labels.replace("{a: b, c: d}", "{c: d, a: b}")
    rules = f"{{alert: Drift, expr: psi > 0.1{labels}}}\n      - {{alert: Drift, expr: ks > 0.5{turned}}}"
    (problem,) = problems_of(file(rules=rules))
    assert problem == "f:11:17: 'fraud-eu' has a second alert 'Drift' with these labels; change its name or its labels"


def test_rules_that_share_alert_and_labels_are_refused_across_groups() -> None:
    """If the groups have a model in common; else the alerts differ by their model."""
    second = "  - name: h\n    models: [MODELS]\n    rules: [{alert: Drift, expr: ks > 0.5}]\nretraining:"
    load(file("models: [fraud-*]").replace("retraining:", second.replace("MODELS", "price")), "f")
    (problem,) = problems_of(file("models: [fraud-*]").replace("retraining:", second.replace("MODELS", '"*"')))
    assert "'fraud-eu' has a second alert 'Drift' with these labels" in problem


def test_a_trigger_names_alerts_of_its_models() -> None:
    """An alert that one of them has is enough; one that only others have is refused."""
    load(file("model: price", trigger='models: ["*"]'), "f")
    (problem,) = problems_of(file("model: price", trigger="models: [fraud-*]"))
    assert problem.startswith("f:12:")
    assert "none of its 2 models has an alert 'Drift'" in problem


@pytest.mark.parametrize("since", ["first_violation", None])
def test_a_training_window_begins_with_the_first_violation(since: str | None) -> None:
    """That is what `since` says, or says nothing."""
    window = f", training_window: {{since: {since}}}" if since else ""
    load(file(trigger=f"model: price{window}"), "f")


def test_change_points_are_not_supported_yet() -> None:
    """Alerts carry none."""
    (problem,) = problems_of(file(trigger="model: price, training_window: {since: change_point}"))
    assert problem.endswith("'since': 'change_point' is not supported yet")


def test_formats_are_named_and_not_guessed() -> None:
    """`format: auto` is refused by name; `native` is what a stream has without one."""
    load(file().replace("{topic: h}", "{topic: h, format: native}"), "f")
    (problem,) = problems_of(file().replace("{topic: h}", "{topic: h, format: auto}"))
    assert problem.startswith("f:5:68: 'auto' is not a format: a format is named, not guessed; write native, or leave")
