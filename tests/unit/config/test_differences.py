"""What another alerts.yaml means for a running service: by lane, detector and alert."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from monitor.bus.address import open_bus
from monitor.cli.check import check
from monitor.config import load
from monitor.config.differences import Running, differences
from monitor.errors import ConfigurationError
from monitor.ledger.entries import Activation
from monitor.ledger.entry_codec import encode_entry
from monitor.runner.announce import rules_decision
from tests.locks import load_locked

FILE = """\
version: 1
models:
  m:
    task: regression
    streams: {features: {topic: f}, predictions: {topic: p}}
    columns: {prediction: y, numerical: [x, z], categorical: [c]}
  n: {task: regression, streams: {features: {topic: g}}, columns: {numerical: [x]}}
detectors:
  all: {class: ADWIN, params: {delta: 0.01}, input: "*"}
  gaps: {class: FHDDM, input: missing(x), model: m}
groups:
  - name: g
    models: [m]
    rules:
      - {alert: Drift, expr: 'psi{stream="features"} > 0.25', labels: {severity: warning}}
      - {alert: Few, window: {time: 2h}, expr: events < 5}
      - {alert: Silent, expr: seconds_since_last_event > 60}
      - {alert: Change, expr: 'change{detector="all"} > 0'}
"""


def found(new: str, old: str = FILE, model: str = "m") -> dict[str, tuple[str, str]]:
    """By kind and name, fate and reason; of alerts of the file only."""
    running = [Running(one.rules, one.contract) for one in load(old, "old").models]
    listed = differences(running, load(new, "new"))
    return {
        f"{d.kind} {d.name}" + ("" if d.fate != "resolved" else "!"): (d.fate, d.why)
        for d in listed
        if d.model == model and not d.name.startswith("streamdrift/")
    }


def others_than(fate: str, listed: dict[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    return {name: one for name, one in listed.items() if one[0] != fate}


def changed(old: str, new: str) -> str:
    assert old in FILE
    return FILE.replace(old, new)


def test_all_of_the_same_file_is_kept() -> None:
    """Each lane, detector and alert is listed once."""
    listed = found(FILE)
    assert {fate for fate, _ in listed.values()} == {"kept"}
    assert "lane features" in listed
    assert "detector all on features/x" in listed
    assert "alert g/Drift{severity=warning}" in listed


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('psi{stream="features"} > 0.25', 'psi{stream="features"} > 0.5'),
        (
            "alert: Few, window: {time: 2h}, expr: events < 5",
            "alert: Few, for: 5m, window: {time: 1h}, expr: events < 9",
        ),
        ("numerical: [x, z], categorical: [c]", "categorical: [c], numerical: [z, x]"),
        ("    task: regression\n", "    task: regression\n    lateness: 1m\n    idle_timeout: 10s\n"),
        ('delta: 0.01}, input: "*"}', 'delta: 0.01}, input: "[a-z]*"}'),
        ("severity: warning}}", "severity: warning}, annotations: {a: b}}"),
    ],
)
def test_edited_thresholds_windows_orders_and_limits_keep_everything(old: str, new: str) -> None:
    """An alert is its group, name and labels; a lane what its panes stand on."""
    assert others_than("kept", found(changed(old, new))) == {}


@pytest.mark.parametrize(
    ("old", "new", "lanes", "why"),
    [
        ("numerical: [x, z]", "numerical: [x, z, w]", ["features"], "columns"),
        ("{topic: f}", "{topic: f2}", ["features"], "topic"),
        ("    task: regression\n", "    task: regression\n    pane: 30s\n", ["features", "predictions"], "pane"),
        ("{prediction: y,", "{prediction: y, timestamp: at,", ["features", "predictions"], "timestamp"),
        ("{prediction: y,", "{prediction: yy,", ["predictions"], "columns"),
        (
            "    columns: {prediction",
            "    reference: {first: 900}\n    columns: {prediction",
            ["features", "predictions"],
            "reference",
        ),
    ],
)
def test_lanes_start_again_if_what_they_stand_on_changes(old: str, new: str, lanes: list[str], why: str) -> None:
    """With their detectors, and without the lanes that stand on something else; alerts are kept."""
    listed = others_than("new", others_than("kept", found(changed(old, new))))
    assert {name: one for name, one in listed.items() if name.startswith("lane")} == {
        f"lane {lane}": ("starts again", why) for lane in lanes
    }
    detectors = {name: one for name, one in listed.items() if name.startswith("detector")}
    assert {name.split(" on ")[1].split("/")[0] for name in detectors} == set(lanes)
    assert set(detectors.values()) == {("starts again", "its lane starts again")}
    assert len(listed) == len(lanes) + len(detectors)


def test_a_detector_starts_again_alone() -> None:
    """Other parameters of one are nothing to the others."""
    listed = others_than("kept", found(changed("class: FHDDM,", "class: FHDDM, params: {sliding_window_size: 50},")))
    assert listed == {"detector gaps on features/x": ("starts again", "class, params or input")}


SEASONAL = changed("    rules:\n", "    rules:\n      - {alert: All, expr: 'drift{stream=\"features\"} > 1'}\n")


def test_drift_starts_again_with_another_season_and_with_its_lane() -> None:
    """It is listed for each stream that has a rule on it."""
    assert others_than("kept", found(SEASONAL, SEASONAL)) == {}
    assert {name for name in found(SEASONAL, SEASONAL) if name.startswith("drift")} == {"drift features"}
    daily = SEASONAL.replace("    task: regression\n", "    task: regression\n    season: day\n")
    assert others_than("kept", found(daily, SEASONAL)) == {"drift features": ("starts again", "season")}
    assert others_than("kept", found(SEASONAL)) == {"drift features": ("new", ""), "alert g/All": ("new", "")}
    assert found(FILE, SEASONAL)["drift features"] == ("ends", "")
    others = found(SEASONAL.replace("numerical: [x, z]", "numerical: [x]"), SEASONAL)
    assert others["drift features"] == ("starts again", "its lane starts again")


def test_what_goes_ends_and_its_alerts_are_resolved() -> None:
    """A rule, a column that a rule selects, a detector, a stream."""
    listed = others_than("kept", found(changed("      - {alert: Few, window: {time: 2h}, expr: events < 5}\n", "")))
    assert listed == {"alert g/Few!": ("resolved", "its rule is gone")}
    listed = found(changed("numerical: [x, z]", "numerical: [x]"))
    assert listed["alert g/Drift{severity=warning}!"] == ("resolved", "no longer selected: features/z")
    assert listed["alert g/Drift{severity=warning}"] == ("kept", "")
    assert listed["detector all on features/z"] == ("ends", "")
    listed = found(changed(", predictions: {topic: p}", "").replace("prediction: y, ", ""))
    assert listed["lane predictions"] == ("ends", "the stream is gone")
    assert listed["alert g/Silent!"] == ("resolved", "no longer selected: predictions")


def test_other_labels_are_another_alert() -> None:
    """The old one is resolved, and a new one comes."""
    listed = others_than("kept", found(changed("severity: warning", "severity: critical")))
    assert listed == {
        "alert g/Drift{severity=warning}!": ("resolved", "its rule is gone"),
        "alert g/Drift{severity=critical}": ("new", ""),
    }


def test_each_line_names_one_thing() -> None:
    """Alerts of one name and labels are told apart by their metric, such as the two of the built-in NoData."""
    running = [Running(one.rules, one.contract) for one in load(FILE, "old").models]
    listed = [(d.model, d.kind, d.name) for d in differences(running, load(FILE, "new"))]
    assert len(listed) == len(set(listed))
    assert ("m", "alert", "streamdrift/NoData{severity=warning} on vanished") in listed
    edited = others_than("kept", found(changed('psi{stream="features"} > 0.25', 'ks{stream="features"} > 0.25')))
    assert edited == {
        "alert g/Drift{severity=warning} on psi!": ("resolved", "its rule is gone"),
        "alert g/Drift{severity=warning} on ks": ("new", ""),
    }


def test_new_detectors_are_listed_in_order() -> None:
    """By name, stream and column, in every run of the command."""
    running = [Running(one.rules, one.contract) for one in load(FILE, "old").models]
    more = changed("  gaps:", '  aa: {class: DDM, input: "missing(x)"}\n  gaps:').replace("[x, z]", "[x, z, u, v, w]")
    new = [
        d.name for d in differences(running, load(more, "new")) if (d.model, d.kind, d.fate) == ("m", "detector", "new")
    ]
    assert new == sorted(new)
    assert len(new) >= 4


def test_models_that_come_and_go() -> None:
    """All of a model that goes ends; of a new one there is nothing to keep."""
    without = re.sub(r"  n: .*\n", "", FILE)
    listed = found(without, model="n")
    assert listed["model n"] == ("ends", "it is not in the file")
    assert listed["lane features"] == ("ends", "")
    assert found(FILE, old=without, model="n") == {"model n": ("new", "")}


def test_check_lists_the_differences_from_the_service_on_a_bus(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It reads the newest rules of each model there, and changes nothing."""
    url = f"sqlite:///{tmp_path}/bus.db"
    path = tmp_path / "alerts.yaml"
    path.write_text(changed('psi{stream="features"} > 0.25', "psi > 0.9").replace("events < 5", "events > 5"))
    with pytest.raises(ConfigurationError, match=r"bus\.db: there is no such file"):
        check(path, url)
    open_bus(url, {}).close()
    with pytest.raises(ConfigurationError, match=r"no topic streamdrift\.decisions: the service never ran there"):
        check(path, url)
    bus = open_bus(url, {})
    bus.create("streamdrift.decisions", 1)
    sender = bus.sender()
    for text in (FILE.replace("numerical: [x, z]", "numerical: [x]"), FILE):
        for model in load(text, "f").models:
            activation = Activation(rules_decision(model), None)
            sender.send(encode_entry(activation, "streamdrift.decisions", 0))
    sender.flush()
    bus.close()
    capsys.readouterr()
    assert check(path, url) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "NoData after 3 * longest gap of the reference, at least 1h (m, n)"
    assert lines[2:5] == ["m", "  lane features: kept", "  lane predictions: kept"]
    assert "  alert g/Drift{severity=warning}: kept" in lines
    assert "n" in lines
    assert not any("starts again" in line or "resolved" in line for line in lines)


LABELLED = """\
version: 1
models:
  m:
    task: classification_multiclass
    streams: {features: {topic: f}, predictions: {topic: p}, labels: {topic: l}}
    columns: {id: key, prediction: y, label: truth, numerical: [x]}
    performance: {baseline: {recall: 0.9}}
detectors:
  wrong: {class: DDM, input: error}
groups:
  - name: g
    models: [m]
    rules:
      - {alert: Worse, expr: recall < 0.7}
      - {alert: Other, expr: psi > 0.5}
"""
WITHOUT = (
    LABELLED.replace(", labels: {topic: l}", "")
    .replace("id: key, ", "")
    .replace("label: truth, ", "")
    .replace("    performance: {baseline: {recall: 0.9}}\n", "")
    .replace("  wrong: {class: DDM, input: error}\n", "  other: {class: ADWIN, input: x}\n")
    .replace("      - {alert: Worse, expr: recall < 0.7}\n", "")
)


def test_labels_come_and_go() -> None:
    """With them come the lane of outcomes, its detectors and the rules on performance; all else is kept."""
    new = others_than(
        "kept",
        found(
            LABELLED, old=WITHOUT.replace("other: {class: ADWIN, input: x}", "wrong: {class: DDM, input: missing(x)}")
        ),
    )
    assert new == {
        "lane outcomes": ("new", ""),
        "detector wrong on features/x": ("ends", ""),
        "detector wrong on outcomes/error": ("new", ""),
        "alert g/Worse": ("new", ""),
    }
    gone = others_than("new", others_than("kept", found(WITHOUT, old=LABELLED)))
    assert gone == {
        "lane outcomes": ("ends", "the stream is gone"),
        "detector wrong on outcomes/error": ("ends", ""),
        "alert g/Worse!": ("resolved", "its rule is gone"),
        "alert g/Other!": (
            "resolved",
            "no longer selected: outcomes/error, outcomes/label, outcomes/label_delay_seconds, outcomes/loss",
        ),
    }


@pytest.mark.parametrize(
    ("old", "new", "lanes"),
    [
        ("prediction: y", "prediction: yy", {"predictions": "columns", "outcomes": "its predictions start again"}),
        ("label: truth", "label: truths", {"outcomes": "columns"}),
        ("topic: l}", "topic: l2, max_delay: 14d, sample: 1/4, no_data: 2d}", {}),
        ("performance: {", "performance: {window: {time: 2d, every: 2h}, mature: 0.5, ", {}),
        ("recall < 0.7", "recall < 0.6", {}),
    ],
)
def test_outcomes_start_again_with_what_they_mean(old: str, new: str, lanes: dict[str, str]) -> None:
    """With their detectors; alerts are kept."""
    assert old in LABELLED
    listed = others_than("kept", found(LABELLED.replace(old, new), old=LABELLED))
    assert {name: one for name, one in listed.items() if name.startswith("lane")} == {
        f"lane {lane}": ("starts again", why) for lane, why in lanes.items()
    }
    assert not [name for name in listed if name.startswith("alert")]
    assert ("detector wrong on outcomes/error" in listed) == ("outcomes" in lanes)


def test_another_average_is_another_alert() -> None:
    """Its label says which."""
    listed = others_than(
        "kept",
        found(LABELLED.replace("recall <", '\'recall{average="weighted"} <').replace("0.7}", "0.7'}"), old=LABELLED),
    )
    assert listed == {"alert g/Worse!": ("resolved", "no longer selected: macro")}


def test_drift_starts_again_with_other_limits() -> None:
    """A budget brings those of its lock; another lock with the same ones changes nothing."""
    text = SEASONAL.replace("task: regression\n    streams", "task: regression\n    budget: {per: day}\n    streams", 1)
    one, other = load_locked(text), load_locked(text, limits=(6.0, 5.0, 5.0))
    running = [Running(model.rules, model.contract) for model in one.models]
    listed = {f"{d.kind} {d.name}": (d.fate, d.why) for d in differences(running, other) if d.fate != "kept"}
    assert listed == {"drift features": ("starts again", "limits")}
    assert all(d.fate == "kept" for d in differences(running, load_locked(text, z=9.0)))
