"""The scoreboard of detection counts what it says that it counts, and its streams change where they say."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.quality import scoring
from benchmarks.quality.__main__ import lines_of, peers_of, score
from benchmarks.quality.cases import Alarm, Case, Columns, Name, Outcome
from benchmarks.quality.engine import alarms_of, config_of, read_alarms, rows_of
from benchmarks.quality.parts import lines
from benchmarks.quality.peers import river
from benchmarks.quality.streams import BEFORE, case_of, ks, mid_rank
from monitor.codec.canonical import time_text
from monitor.config import load

NOWHERE = Path("nowhere")


def planted(*alarms: Alarm, change: int | None = 1_000, changed: tuple[str, ...] = ("a", "b")) -> Outcome:
    """What came of a case of 2,000 rows."""
    return Outcome(Name("planted", 0), 2_000, change, changed, alarms)


def test_an_alarm_up_to_the_change_is_false_and_the_first_behind_it_is_the_delay() -> None:
    """One with the last row before the change is false; updates are no alarms."""
    outcome = planted(Alarm(10), Alarm(1_000), Alarm(1_005, is_new=False), Alarm(1_040), Alarm(1_900))
    assert outcome.false == 2
    assert outcome.delay == 40
    assert scoring.false_rate([outcome]) == 2 / 1_000 * 10_000
    assert scoring.firing_messages([outcome]) == 2
    assert scoring.updates([outcome]) == 1


def test_without_change_every_alarm_is_false_in_all_rows() -> None:
    """The rows behind the last alarm count, too."""
    outcome = planted(Alarm(10), Alarm(1_500), change=None)
    assert (outcome.false, outcome.delay, outcome.quiet_rows) == (2, None, 2_000)


def test_what_is_missed_makes_a_delay_infinite() -> None:
    """Half of four are found, so the median lies between the found and the missed."""
    found, missed = planted(Alarm(1_030)), planted(Alarm(900))
    assert scoring.delays([missed, found]) == [30, inf]
    assert scoring.middle([found, found, missed]) == 30
    assert scoring.middle([found, missed]) == inf
    assert scoring.ninth([found] * 9 + [missed]) == 30
    assert scoring.share_found([found, missed]) == 0.5
    assert scoring.share_within(29)([found]) == 0


def test_a_delay_can_be_that_of_some_rules() -> None:
    """Others are passed over."""
    outcome = planted(Alarm(1_010, "Drift"), Alarm(1_200, "FeatureShift"))
    assert outcome.delay_of("Feature") == 200


def test_an_alert_that_was_resolved_does_not_fire_later() -> None:
    """It fires up to the row by which it was resolved; what fired before the change says nothing of it."""
    assert scoring.share_firing_at(500)([planted(Alarm(1_100))]) == 1
    assert scoring.share_firing_at(500)([planted(Alarm(1_100, until=1_499))]) == 0
    assert scoring.share_firing_at(500)([planted(Alarm(1_100, until=1_501))]) == 1
    assert scoring.share_firing_at(500)([planted(Alarm(900))]) == 0


def test_columns_are_those_of_the_newest_message_within_the_rows() -> None:
    """The page names one of two, an update both and a wrong one, and the last comes too late."""
    page, update = Alarm(1_050, "D", ("a",), 990), Alarm(1_200, "D", ("a", "b", "c"), is_new=False)
    outcome = planted(Alarm(900, "D", ("z",)), page, update, Alarm(1_400, "D", ("z",), is_new=False))
    assert scoring.named(outcome, 250) == ("a", "b", "c")
    assert scoring.false_discoveries(250)([outcome]) == pytest.approx(1 / 3)
    assert scoring.discovered(250, lambda column: True)([outcome]) == 1
    assert scoring.discovered(100, lambda column: True)([outcome]) == 0.5
    assert scoring.discovered(100, lambda column: column == "a")([outcome]) == 1
    assert scoring.names_a_true_one([outcome]) == 1
    assert scoring.names_a_true_one([replace(outcome, changed=("b",))]) == 0
    assert scoring.names_a_true_one([outcome, planted(Alarm(1_050))]) == 0.5
    assert scoring.change_point([outcome]) == 10


def test_messages_that_name_nothing_give_no_figure() -> None:
    """That is no zero."""
    outcome = planted(Alarm(1_050))
    assert scoring.false_discoveries(250)([outcome]) is None
    assert scoring.discovered(250, lambda column: True)([outcome]) is None
    assert scoring.names_a_true_one([outcome]) is None
    assert scoring.change_point([outcome]) is None


def test_the_periodic_alarm_comes_as_often() -> None:
    """Its distances are equal through all cases."""
    outcomes = [planted(Alarm(5), Alarm(6), Alarm(1_900)), planted(), planted(Alarm(3))]
    found = scoring.periodic(outcomes)
    assert [one.firing for one in found] == [[750], [250, 1_750], [1_250]]


def test_messages_are_read_with_their_rows() -> None:
    """An update is none that fires; a resolved one ends the alarm of its fingerprint."""
    case = Case(Columns({"a": np.zeros(300)}), reference=100)

    def message(second: int, kind: str, fingerprint: str, evidence: dict[str, object]) -> dict[str, Any]:
        status = "resolved" if kind == "resolved" else "firing"
        data = {"status": status, "labels": {"alertname": "D"}, "fingerprint": fingerprint, "evidence": evidence}
        return {"type": f"streamdrift.alert.{kind}.v1", "time": time_text(begin + second * 1_000), "data": data}

    begin = 2_960 * 7 * 86_400_000 + 4 * 86_400_000
    change = {"at": time_text(begin + 130_000)}
    alerts: list[dict[str, Any]] = [
        message(140, "firing", "x", {"change": change, "columns": [{"column": "a", "z": 9.0}]}),
        message(150, "firing", "y", {"change": None, "unverified": "the reference is short"}),
        message(160, "updated", "x", {"columns": []}),
        message(190, "resolved", "x", {}),
        {"type": "streamdrift.lane.started.v1", "time": time_text(begin), "data": {}},
    ]
    assert read_alarms(alerts, case) == [
        Alarm(40, "D", ("a",), 30, until=90),
        Alarm(50, "D", is_unverified=True),
        Alarm(60, "D", (), is_new=False),
    ]


@pytest.mark.parametrize(
    ("stream", "far"),
    [("lasting shift", 0.05), ("deviation x 1.5", 0.05), ("AR 0.5, shift", 0.08)],
)
def test_a_made_stream_changes_at_its_change_and_in_its_column(stream: str, far: float) -> None:
    """Rows before are of the reference's distribution, rows behind are not; the other columns stay."""
    case = case_of(Name(stream, 1), NOWHERE)
    at = case.reference + (case.change or 0)
    for name, values in case.columns.numeric.items():
        before, behind = values[:at], values[at:]
        assert ks(before[: case.reference], before[case.reference :]) < 0.06
        assert (ks(before, behind) > far) == (name in case.changed), name


def test_rows_before_the_change_are_as_without_it() -> None:
    """Gap, outliers, ramp, pair of columns: nothing is moved before the row that is named."""
    at = 5_000 + BEFORE
    thrown = case_of(Name("outliers 3 %", 0), NOWHERE).columns.numeric["f0"]
    assert np.abs(thrown[:at]).max() < 10
    assert (thrown[at:] > 10).mean() == pytest.approx(0.03, abs=0.01)
    gap = case_of(Name("60 rows missing", 0), NOWHERE).columns.numeric["f0"]
    assert np.flatnonzero(np.isnan(gap)).tolist() == list(range(at, at + 60))
    a, b = (case_of(Name("correlation", 0), NOWHERE).columns.numeric[name] for name in ("f0", "f1"))
    assert abs(np.corrcoef(a[:at], b[:at])[0, 1]) < 0.05
    assert abs(np.corrcoef(a[at:], b[at:])[0, 1] - 0.5) < 0.05
    ramp, still = (case_of(Name(name, 0), NOWHERE).columns.numeric["f0"] for name in ("ramp", "lasting shift"))
    assert abs(ramp[at : at + 2_000].mean()) < 0.1
    assert abs(ramp[-2_000:].mean() - 0.475) < 0.1
    assert abs(still[at:].mean() - 0.3) < 0.05


def test_shares_of_categories_change_at_the_change() -> None:
    """A value that vanishes is there up to the change, and one that is new from it on."""
    at = 5_000 + BEFORE
    vanished = case_of(Name("vanished", 0), NOWHERE).columns.categorical["c0"]
    assert "v2" in vanished[at - 50 : at]
    assert "v2" not in vanished[at:]
    new = case_of(Name("new category", 0), NOWHERE).columns.categorical["c0"]
    assert "v3" not in new[:at]
    assert new[at:].count("v3") / len(new[at:]) == pytest.approx(0.02, abs=0.008)


def test_a_case_is_the_same_each_time_and_another_with_another_seed() -> None:
    """So figures can be compared."""
    first, again, other = (case_of(Name("null ties", seed), NOWHERE).columns.matrix() for seed in (3, 3, 4))
    assert (first == again).all()
    assert (first != other).any()


def test_the_mid_rank_is_that_of_the_definition() -> None:
    """Half of those that are equal."""
    assert mid_rank(np.array([1.0, 2.0, 2.0, 3.0]), np.array([0.0, 1.0, 2.0, 9.0])).tolist() == [0, 0.125, 0.5, 1]


def test_the_shipped_rules_are_taken_for_any_columns() -> None:
    """Columns of numbers, of categories, and of rows that are half an hour apart; rules on predictions are left."""
    numbers, texts = np.zeros(20), ["a"] * 20
    for columns in (Columns({"a": numbers}), Columns({}, {"c": texts}), Columns({"a": numbers}, {"c": texts})):
        for step, settings in ((1_000, {}), (1_800_000, {"pane": "30m", "interval": "30m", "lateness": "30m"})):
            config = load(config_of(Case(columns, 10, None, (), step, settings)), "alerts.yaml")
            names = [rule.alert for rule in config.models[0].rules.rules]
            assert "FeatureDrift" in names
            assert "PredictionDrift" not in names
            assert "ConceptDrift" not in names


def test_a_step_is_an_alarm_behind_it_through_the_engine_and_by_river() -> None:
    """A step of two standard deviations, 300 rows behind the reference; no alarm comes before."""
    rng = np.random.default_rng(4)
    values = rng.normal(size=1_600)
    values[1_000 + 300 :] += 2.0
    case = Case(Columns({"a": values}), 1_000, 300, ("a",))
    for contestant in (alarms_of, river):
        rows = [alarm.row for alarm in contestant(case)]
        assert min(rows) > 300
        assert min(rows) < 450
    assert all(alarm.row % 10 == 0 for alarm in alarms_of(case))  # a message's time is the end of a pane


def test_values_stand_under_their_columns_names() -> None:
    """A model sorts its columns by name."""
    case = Case(Columns({"f2": np.full(20, 2.0), "f10": np.full(20, 10.0)}, {"d": ["d"] * 20, "c": ["c"] * 20}), 10)
    model = load(config_of(case), "alerts.yaml").models[0]
    rows, stream = rows_of(case.columns, model, 1_000), model.contract.streams[0]
    assert dict(zip(stream.numeric_series, rows.numeric[0].tolist(), strict=True)) == {"f2": 2.0, "f10": 10.0}
    assert dict(zip(stream.categorical_series, (texts[0] for texts in rows.categorical), strict=True)) == {
        "d": "d",
        "c": "c",
    }


def test_streams_that_are_not_there_are_left_out_by_name() -> None:
    """A line then has no figure, and says why."""
    (line,) = [line for line in lines(NOWHERE) if line.label == "null insects: false alarms per 10,000"]
    (one,) = score([line], NOWHERE, 0.01, 1, ())
    assert one.ours is None
    assert one.why == "insects_regime_b.parquet is not there"


def test_peers_are_chosen_by_name_and_those_that_are_not_there_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    """River is a part of the project, so it is always there; a name that nobody has is refused."""
    assert peers_of("none") == []
    assert peers_of("river") == ["river"]
    assert "river" in peers_of("all")
    assert "alibi-detect is left out: it needs numpy below 2" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="no such peer: rivers"):
        peers_of("rivers")


def test_parts_are_chosen_by_name_with_all_that_begin_so() -> None:
    """Q1 is not Q10 or Q11; a name that no part has is refused."""
    of_all = lines(NOWHERE)
    assert {line.part for line in lines_of("Q1,Q10", of_all)} == {"Q1", "Q10a", "Q10b", "Q10c"}
    assert {line.part for line in lines_of("Q3b, Q11", of_all)} == {"Q3b", "Q11"}
    assert lines_of("", of_all) == of_all
    with pytest.raises(SystemExit, match="no such part: Q7; there are Q0, Q1, "):
        lines_of("Q0,Q7", of_all)


def test_alerts_that_say_so_are_unverified() -> None:
    """Those of one rule are counted in all cases, and no alert at all gives no figure."""
    doubted, other = Alarm(1_010, "Drift", is_unverified=True), Alarm(1_020, "FeatureShift")
    measure = scoring.share_unverified("Drift")
    assert measure([planted(doubted, other), planted(Alarm(1_030, "Drift"))]) == 0.5
    assert measure([planted(other)]) is None


@pytest.mark.parametrize(("stream", "days"), [("daily, shift", 8), ("daily, 3 days, shift", 3)])
def test_a_reference_in_time_has_the_rows_that_places_count_from(stream: str, days: int) -> None:
    """They are days of a row a minute; alerts of fewer than eight are unverified."""
    case = case_of(Name(stream, 0), NOWHERE)
    model = load(config_of(case), "alerts.yaml").models[0]
    assert model.contract.reference_ms == days * 86_400_000
    assert case.reference == days * 1_440
    first = next(alarm for alarm in alarms_of(case) if alarm.rule == "Drift")
    assert first.row > (case.change or 0)
    assert first.is_unverified == (days < 8)


BOUNDS = {
    "uniform categories, 100,000 rows: false alarms": 0,
    "deviation x 1.5: median delay": 300,
    "missing 3 %: median delay": 500,
    "vanished: median delay": 500,
    "0.5 σ at AR(1) 0.5: median delay": 400,
}
"""Lines of a small run, and the most that each may be."""


def test_a_small_run_keeps_its_bounds() -> None:
    """What is made needs no public streams."""
    chosen = [line for line in lines(NOWHERE) if line.label in BOUNDS]
    scored = score(chosen, NOWHERE, 0.1, 1, ())
    assert {one.label for one in scored} == BOUNDS.keys()
    for one in scored:
        assert one.ours is not None, one.why
        assert one.ours <= BOUNDS[one.label], one
