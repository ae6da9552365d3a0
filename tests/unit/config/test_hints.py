"""Hints of `check`: what a file may say and probably doesn't mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.cli.check import check
from monitor.config import load

FILE = """\
version: 1
models:
  a: {task: regression, columns: {prediction: y, binary: [x]}, streams: {features: {topic: f}, predictions: {topic: p}}}
  b: {task: regression, streams: {features: {topic: g}}, columns: {numerical: [x]}}
groups:
  - name: g
    models: [a, b]
    rules:
      - {alert: Few, expr: 'FEW', window: {time: 1h}}
  - name: h
    models: [OTHERS]
    rules:
      - {alert: Other, expr: 'OTHER'}
"""
SILENCE = "seconds_since_last_event > 60"


def hints_of(few: str, other: str = "psi > 1", others: str = '"*"') -> list[str]:
    text = FILE.replace("FEW", few).replace("OTHERS", others).replace("OTHER", other)
    return [str(hint) for hint in load(text, "f").hints]


@pytest.mark.parametrize("few", ["events < 5", "events <= 5", "events == 0", "events_per_second < 0.5"])
def test_a_rule_on_few_events_without_one_on_silence_is_hinted_at(few: str) -> None:
    """Windows stand still in a stall; the hint says what to write."""
    (hint,) = hints_of(few)
    assert hint.startswith(f"f:9:28: windows stand still while no event comes at all, so {few!r}")
    assert hint.endswith('add a rule on silence: seconds_since_last_event{stream="features"} > 120')


@pytest.mark.parametrize("rule", ["events > 5", "events >= 5", "late_rate < 0.1", "psi < 0.1"])
def test_other_rules_are_not(rule: str) -> None:
    """They don't wait for something that does not come."""
    assert hints_of(rule) == []


@pytest.mark.parametrize(
    ("few", "other", "others", "expected"),
    [
        ("events < 5", SILENCE, '"*"', None),
        ("events < 5", SILENCE, "a", "features"),
        ("events < 5", 'seconds_since_last_event{stream="features"} > 60', '"*"', "predictions"),
        ('events{stream="features"} < 5', 'seconds_since_last_event{stream="features"} > 60', '"*"', None),
        ('events{stream="features"} < 5', 'seconds_since_last_event{stream=~"pred.*"} > 60', "a", "features"),
    ],
)
def test_a_rule_on_the_silence_of_that_stream_and_model_is_enough(
    few: str, other: str, others: str, expected: str | None
) -> None:
    """The hint names the first stream that no rule listens to."""
    found = hints_of(few, other, others)
    assert bool(found) == (expected is not None)
    assert all(f'{{stream="{expected}"}} > 120' in hint for hint in found)


def test_check_prints_hints_and_ends_with_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error, at their place; the file is right all the same."""
    path = tmp_path / "alerts.yaml"
    path.write_text(FILE.replace("FEW", "events < 5").replace("OTHERS", "a").replace("OTHER", "psi > 1"))
    assert check(path, None) == 0
    out, err = capsys.readouterr()
    assert err.startswith(f"{path}:9:28: hint: windows stand still")
    assert ": ok, 2 model(s)" in out


@pytest.mark.parametrize(
    ("columns", "place", "wanted"),
    [("binary: [x]", "3:94", "`prediction`"), ("prediction: y", "3:71", "columns")],
)
def test_a_stream_without_watched_columns_is_hinted_at(columns: str, place: str, wanted: str) -> None:
    """Its lane gives counts and nothing else, which few people want."""
    text = FILE.replace("prediction: y, binary: [x]", columns).replace("FEW", SILENCE).replace("OTHERS", "b")
    (hint,) = map(str, load(text.replace("OTHER", "psi > 1"), "f").hints)
    assert hint.startswith(f"f:{place}: no column of this stream is watched")
    assert hint.endswith(f"name {wanted} under `columns`")


@pytest.mark.parametrize(
    ("expr", "found"),
    [
        ("ks > 0.1", None),
        ('ks{stream="features"} > 0.1', None),
        ("new_category_rate > 0.1", "categorical"),
        ('quantile{quantile="0.5"} > 3', None),
    ],
)
def test_a_rule_on_a_kind_of_columns_that_no_model_has_is_hinted_at(expr: str, found: str | None) -> None:
    """So the shipped rules do for a model of categories alone; a rule that names such a column is refused."""
    hints = hints_of("seconds_since_last_event > 60", other=expr, others="b")
    metric = expr.partition(" ")[0].partition("{")[0]
    message = f"f:13:30: '{metric}' is for {found} columns, and there are none: the rule selects nothing"
    assert hints == ([] if found is None else [message])
    text = FILE.replace("numerical: [x]", "categorical: [x]").replace("FEW", SILENCE).replace("OTHERS", "b")
    (hint,) = [str(hint) for hint in load(text.replace("OTHER", 'ks{stream="features"} > 0.1'), "f").hints]
    assert hint == "f:13:30: 'ks' is for numerical columns, and there are none: the rule selects nothing"


LABELLED = """\
version: 1
models:
  a:
    task: classification_binary
    streams: {predictions: {topic: pa}, labels: {topic: la}}
    columns: {id: key, prediction: y, label: truth}
    performance: {baseline: {accuracy: 0.9}}
  b:
    task: classification_binary
    streams: {predictions: {topic: pb}, labels: {topic: lb}}
    columns: {id: key, prediction: y, label: truth}
  c: {task: regression, streams: {features: {topic: f}}, columns: {numerical: [x]}}
groups:
  - name: g
    models: ["*"]
    rules:
      - {alert: A, expr: EXPR}
"""


@pytest.mark.parametrize(
    ("expr", "hint"),
    [
        (
            "accuracy < baseline",
            "b does not have this rule: the baseline of 'accuracy' is missing: write `performance: {",
        ),
        ("accuracy < 0.9", None),
        ("'events{stream=\"outcomes\"} < 9', window: {time: 1h}", None),
        (
            "seconds_since_last_event > 60",
            "this rule is about labels, too, which may be silent for days; if that is not meant, write "
            'seconds_since_last_event{stream!="labels"}',
        ),
        ("'seconds_since_last_event{stream!=\"labels\"} > 60'", None),
        ("'seconds_since_last_event{stream=\"labels\"} > 90000'", None),
    ],
)
def test_rules_that_labels_make_more_or_less_of_are_hinted_at(expr: str, hint: str | None) -> None:
    """One on silence takes labels in, one on performance leaves out the models with labels that lack something."""
    found = [str(one) for one in load(LABELLED.replace("EXPR", expr), "f").hints]
    assert len(found) == (hint is not None)
    assert all(one.startswith(f"f:17:26: {hint}") for one in found)


def test_check_says_when_labels_count_as_silent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of each model that has them."""
    path = tmp_path / "alerts.yaml"
    text = LABELLED.replace("topic: la}", "topic: la, no_data: 2d}").replace("EXPR", "psi > 1")
    path.write_text(
        text.replace("    task: classification_binary\n", "    task: classification_binary\n    no_data: 3h\n", 1)
    )
    assert check(path, None) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "NoData after 3h (a)",
        "NoData of labels after 2d (a)",
        "NoData after 3 * longest gap of the reference, at least 1h (b, c)",
        "NoData of labels off (b)",
    ]


@pytest.mark.parametrize(
    ("above", "below", "streams"),
    [
        ('psi{stream="features"}', 'psi{column="prediction"}', "features"),
        ("late_rate", "psi", None),
        ('psi{column="x"}', "psi", None),
        ('psi{column="prediction"}', 'change{detector="d"}', "predictions"),
        ('psi{column="x"}', 'change{detector="d"}', None),
    ],
)
def test_a_rule_under_an_alert_of_other_streams_is_hinted_at(above: str, below: str, streams: str | None) -> None:
    """Of one model or of all: no stream is that of both."""
    text = FILE.replace("FEW", "psi > 1").replace("groups:", "detectors: {d: {class: ADWIN, input: x}}\ngroups:")
    rules = f"{{alert: Above, expr: '{above} > 0.5'}}\n      - {{alert: Below, expr: '{below} > 0.5', under: Above}}"
    text = text.replace("OTHERS", '"*"').replace("{alert: Other, expr: 'OTHER'}", rules)
    found = [str(hint) for hint in load(text, "f").hints]
    end = f": 'Above' is about {streams}, and this rule is not, so its alerts are never under that one"
    assert [hint[hint.index(": ") :] for hint in found] == ([] if streams is None else [end])
