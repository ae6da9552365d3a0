"""Rules: which columns, streams and detectors they judge, and what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from monitor.config.expression import parse
from monitor.config.resolved import ModelRules, ReferenceSpec, Rule, WindowSpec
from monitor.evaluate.rules import Judgement, RuleSet, Silence
from monitor.events import STREAMS, Observation, Series, StreamName, Verdict

WINDOW = WindowSpec(events=100, every=10, time_ms=None, every_ms=None)
HOURLY = WindowSpec(events=None, every=None, time_ms=3_600_000, every_ms=None)
BOTH: frozenset[tuple[StreamName, str]] = frozenset({("features", WINDOW.name), ("predictions", WINDOW.name)})


def a_rule(expr: str, window: WindowSpec = WINDOW, min_events: int = 0, annotation: str = "") -> Rule:
    return Rule(
        group="g",
        alert="A",
        comparison=parse(expr),
        window=window,
        for_ms=0,
        keep_firing_for_ms=0,
        min_events=min_events,
        labels={"severity": "warning", "model": "mine"},
        annotations={"summary": annotation} if annotation else {},
    )


def model_rules(*rules: Rule) -> ModelRules:
    return ModelRules(
        model="m",
        task="classification_binary",
        pane_ms=10_000,
        interval_ms=30_000,
        window=WINDOW,
        rules=rules,
        detectors=(),
        retraining=(),
        reference=ReferenceSpec(first=5000),
    )


def observation(stream: StreamName, columns: Mapping[str, Series], events: int = 100) -> Observation:
    return Observation(
        "m", "", stream, WINDOW.name, 0, 60_000, events, (), {"events": events, "late_rate": 0.5}, columns
    )


FEATURES = observation(
    "features",
    {
        "b_amount": {"psi": 0.4, "ks": 0.1, "quantile_0.05": 1.0, "quantile_0.5": 3.0, "mean": 7.0},
        "a_amount": {"psi": 0.1, "mean": 1.0},
        "country": {"psi": 0.3, "new_category_rate": 0.2},
    },
)
PREDICTIONS = observation("predictions", {"prediction": {"psi": 0.9, "js_distance": 0.3}})


def judge(
    *rules: Rule,
    moved: frozenset[tuple[StreamName, str]] = BOTH,
    changes: Mapping[tuple[str, StreamName, str], bool] | None = None,
    blind: Mapping[tuple[str, StreamName, str], bool] | None = None,
    silences: Mapping[StreamName, Silence] | None = None,
    spread: tuple[float, float] | None = None,
    asked: list[tuple[str, str, tuple[str, ...], int]] | None = None,
    reference_rows: int = 5000,
    drift: Mapping[StreamName, float] | None = None,
) -> list[Verdict]:
    def spreads(stream: StreamName, key: str, columns: Sequence[str], events: int) -> Mapping[str, tuple[float, float]]:
        if asked is not None:
            asked.append((stream, key, tuple(columns), events))
        return dict.fromkeys(columns, spread) if spread is not None else {}

    observations = {(o.stream, o.window): o for o in (FEATURES, PREDICTIONS)}
    rows = dict.fromkeys(STREAMS, reference_rows)
    judgement = Judgement(
        60_000, observations, moved, changes or {}, blind or {}, silences or {}, spreads, rows, drift=drift or {}
    )
    return [verdict for _, verdict in RuleSet(model_rules(*rules)).judge(judgement)]


def test_a_rule_judges_each_column_that_has_the_metric() -> None:
    """One verdict a column, in the streams' and the columns' order; labels are sorted, and ours win."""
    verdicts = judge(a_rule("psi > 0.25"))
    assert [(v.stream, v.column, v.value, v.violated) for v in verdicts] == [
        ("features", "b_amount", 0.4, True),
        ("features", "a_amount", 0.1, False),
        ("features", "country", 0.3, True),
        ("predictions", "prediction", 0.9, True),
    ]
    assert verdicts[0].labels == (
        ("alertname", "A"),
        ("column", "b_amount"),
        ("metric", "psi"),
        ("model", "m"),
        ("severity", "warning"),
    )
    assert verdicts[0].window is FEATURES
    assert [v.column for v in judge(a_rule("ks > 0.25"))] == ["b_amount"]


@pytest.mark.parametrize(
    ("expr", "columns"),
    [
        ('psi{column="country"} > 0', ["country"]),
        ('psi{column=~".*_amount"} > 0', ["b_amount", "a_amount"]),
        ('psi{column!="country", stream="features"} > 0', ["b_amount", "a_amount"]),
        ('psi{column!~"[a-c].*"} > 0', ["prediction"]),
    ],
)
def test_selectors_choose_among_columns(expr: str, columns: list[str]) -> None:
    """=, !=, =~ and !~ on column and stream."""
    assert [v.column for v in judge(a_rule(expr))] == columns


def test_quantiles_are_instances_with_their_own_label() -> None:
    """A quantile is selected by its label, which is part of the alert's."""
    (verdict,) = judge(a_rule('quantile{quantile="0.5"} > 2'))
    assert (verdict.column, verdict.value, dict(verdict.labels)["quantile"]) == ("b_amount", 3.0, "0.5")


def test_a_window_that_has_not_moved_gives_no_verdict() -> None:
    """Only windows closed since the last judgement are judged, each rule on its own specification."""
    assert [v.column for v in judge(a_rule("psi > 0.25"), moved=frozenset({("predictions", WINDOW.name)}))] == [
        "prediction"
    ]
    assert judge(a_rule("psi > 0.25", window=HOURLY)) == []
    assert judge(a_rule("psi > 0.25"), moved=frozenset()) == []


def test_too_few_events_give_no_verdict() -> None:
    """`min_events` is inclusive."""
    assert len(judge(a_rule("psi > 0.25", min_events=100))) == 4
    assert judge(a_rule("psi > 0.25", min_events=101)) == []


@pytest.mark.parametrize(
    ("expr", "compares"),
    [
        ("psi > 0.25", True),
        ("ks > 0.25", True),
        ("js_distance > 0.25", True),
        ("psi > reference_mean", True),
        ('quantile{quantile="0.5"} > reference_mean', True),
        ('quantile{quantile="0.5"} > 2', False),
        ("late_rate > 0.1", False),
    ],
)
def test_a_reference_of_fewer_rows_than_min_events_is_compared_with_nothing(expr: str, compares: bool) -> None:
    """Inclusive, too; rules on what a window is by itself don't mind."""
    rule = a_rule(expr, min_events=60)
    found = [len(judge(rule, spread=(0.1, 0.01), reference_rows=rows)) for rows in (59, 60)]
    assert found[1] > 0
    assert found[0] == (0 if compares else found[1])


def test_streams_are_judged_on_their_window() -> None:
    """Totals of a stream follow the rules of windows; the label names the stream."""
    late = judge(a_rule("late_rate > 0.1"))
    assert [(v.stream, v.column, v.value, dict(v.labels)["stream"], v.window) for v in late] == [
        ("features", None, 0.5, "features", FEATURES),
        ("predictions", None, 0.5, "predictions", PREDICTIONS),
    ]
    assert [v.stream for v in judge(a_rule('events{stream="predictions"} < 1000'))] == ["predictions"]
    assert judge(a_rule("late_rate > 0.1", min_events=101)) == []
    assert judge(a_rule("late_rate > 0.1"), moved=frozenset()) == []


def test_silence_is_judged_as_of_now() -> None:
    """It needs no window and no events; a stream that never had one has no verdict."""
    silences: dict[StreamName, Silence] = {"features": Silence(60_000 - 300_000, 3_600_000)}
    rule = a_rule("seconds_since_last_event > 120", min_events=10)
    (verdict,) = judge(rule, moved=frozenset(), silences=silences)
    assert (verdict.stream, verdict.column, verdict.value, verdict.violated, verdict.window) == (
        "features",
        None,
        300.0,
        True,
        None,
    )


@pytest.mark.parametrize(
    ("selected", "streams"),
    [
        ("", ["features"]),
        ('{severity="warning"}', ["features"]),
        ('{stream="labels"}', ["labels"]),
        ('{stream=~".*"}', ["features", "labels"]),
    ],
)
def test_silence_of_labels_is_judged_if_a_rule_names_streams(selected: str, streams: list[str]) -> None:
    """They may come weeks later; a rule that has one limit for all streams means those that come at once."""
    rules = model_rules(a_rule(f"seconds_since_last_event{selected} > 240"))
    silences: dict[StreamName, Silence] = dict.fromkeys(("features", "labels"), Silence(0, 3_600_000))
    rule_set = RuleSet(rules)
    judged = rule_set.judge(Judgement(300_000, {}, set(), {}, {}, silences, lambda *_: {}, {}))
    assert [verdict.stream for _, verdict in judged] == streams
    assert [stream for stream in STREAMS if stream in silences and rule_set.selects(0, stream, None)] == streams


def test_drift_is_judged_of_each_lane_that_has_completed_a_block() -> None:
    """Whatever its windows do; it is of no window, and its label names the stream."""
    lanes: dict[StreamName, float] = {"outcomes": 1.0, "features": 1.2}
    verdicts = judge(a_rule("drift > 1"), moved=frozenset(), drift=lanes)
    assert [(v.stream, v.column, v.value, v.threshold, v.violated, v.window) for v in verdicts] == [
        ("features", None, 1.2, 1.0, True, None),
        ("outcomes", None, 1.0, 1.0, False, None),
    ]
    assert dict(verdicts[0].labels) == {
        "alertname": "A", "metric": "drift", "model": "m", "severity": "warning", "stream": "features"
    }  # fmt: skip
    assert [v.stream for v in judge(a_rule('drift{stream="outcomes"} >= 1'), drift=lanes)] == ["outcomes"]
    assert judge(a_rule("drift > 1")) == []


def test_change_is_one_at_the_judgement_of_a_detection() -> None:
    """Detectors that saw rows give 1 or 0, sorted by name; the others give no verdict."""
    changes: dict[tuple[str, StreamName, str], bool] = {
        ("kswin", "features", "b_amount"): False,
        ("adwin", "features", "country"): False,
        ("adwin", "features", "b_amount"): True,
    }
    verdicts = judge(a_rule('change{detector="adwin"} > 0'), moved=frozenset(), changes=changes)
    assert [(v.column, v.value, v.violated) for v in verdicts] == [("b_amount", 1.0, True), ("country", 0.0, False)]
    assert dict(verdicts[0].labels)["detector"] == "adwin"
    assert judge(a_rule("change > 0")) == []


def test_blindness_is_judged_of_those_that_are_reported() -> None:
    """Whether or not they saw a row; it has the detector's labels."""
    blind: dict[tuple[str, StreamName, str], bool] = {
        ("adwin", "features", "country"): True,
        ("adwin", "features", "b_amount"): False,
    }
    verdicts = judge(a_rule("detector_blind > 0"), moved=frozenset(), blind=blind)
    assert [(v.column, v.value, v.violated) for v in verdicts] == [("b_amount", 0.0, False), ("country", 1.0, True)]
    assert dict(verdicts[0].labels)["detector"] == "adwin"


def test_reference_thresholds() -> None:
    """Without the reference's spread there is no verdict; with it the threshold is rounded and says its source."""
    rule = a_rule('psi{column="b_amount"} > reference_mean + 3 * reference_std')
    assert judge(rule) == []
    asked: list[tuple[str, str, tuple[str, ...], int]] = []
    (verdict,) = judge(rule, spread=(0.1, 0.1), asked=asked)
    assert (verdict.threshold, verdict.reference_mean, verdict.violated) == (0.4, 0.1, False)
    assert verdict.threshold_source == "reference_mean + 3 * reference_std"
    assert asked == [("features", "psi", ("b_amount",), 100)]


def test_the_reference_is_asked_for_only_where_it_is_shown() -> None:
    """A constant threshold needs the reference's mean only for its annotations."""
    asked: list[tuple[str, str, tuple[str, ...], int]] = []
    judge(a_rule("psi > 0.25"), spread=(0.1, 0.1), asked=asked)
    judge(a_rule("psi > 0.25", annotation="further from the reference"), spread=(0.1, 0.1), asked=asked)
    assert asked == []
    verdicts = judge(a_rule("psi > 0.25", annotation="was {{ reference }}"), spread=(0.1, 0.1), asked=asked)
    assert {v.reference_mean for v in verdicts} == {0.1}
    columns = ("b_amount", "a_amount", "country")
    assert asked == [("features", "psi", columns, 100), ("predictions", "psi", ("prediction",), 100)]
