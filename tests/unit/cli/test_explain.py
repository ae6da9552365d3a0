"""`explain` and `records`: what is found, what of it is printed, and what is refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from monitor.cli import explain as command
from monitor.cli.explained import bins_of, explained
from monitor.cli.records import Options, parse_range, records
from monitor.cli.replay_sources import FileFlags
from monitor.errors import ConfigurationError
from monitor.events import OffsetRange
from monitor.settings import load_settings

HISTOGRAM = {"edges": [0.5, 25.0, 50.0, 1000.0], "reference": [0.3, 0.3, 0.4], "current": [0.1, 0.2, 0.7]}


def alert(fingerprint: str, at: str, status: str = "firing", **changes: Any) -> bytes:
    """A message of an alert that began at `starts`, with what is not needed here left out."""
    labels = {"alertname": "FeatureDrift", "model": "m", "column": "x", "metric": "psi", "severity": "warning"}
    window = {"name": "events=100,every=20", "events": 100, "from": "2026-11-21T10:00:00Z", "to": at}
    offsets = [{"topic": "t", "partition": 1, "start": 5, "end": 105}]
    data = {
        "status": status,
        "labels": labels | changes.pop("labels", {}),
        "annotations": {"summary": "m: psi of x is 0.31"},
        "startsAt": changes.pop("starts", at),
        "endsAt": at if status == "resolved" else None,
        "fingerprint": fingerprint,
        "evidence": {
            "value": 0.31,
            "op": ">",
            "threshold": 0.25,
            "threshold_source": "constant",
            "window": {**window, "offsets": offsets, "offsets_count": 1},
            "reference": {"id": "sha256:0123456789abcdef", "events": 500, "from": None, "to": None},
            "histogram": {**HISTOGRAM, "beyond_rate": 0.0},
            "also_drifting": [],
            "also_drifting_count": 0,
            **changes,
        },
        "config": {"rule": "drift/FeatureDrift"},
    }
    return msgspec.json.encode({"id": f"{fingerprint}/{at}/{status}/1", "time": at, "data": data})


FIRST = alert("aaaaaa11", "2026-11-21T10:10:00Z")
ENDED = alert("aaaaaa11", "2026-11-21T10:20:00Z", "resolved", starts="2026-11-21T10:10:00Z")
SECOND = alert("aaaaaa11", "2026-11-21T11:00:00Z")
BEFORE = (
    alert("bbbbbb22", "2026-11-21T10:05:00Z"),
    alert("bbbbbb22", "2026-11-21T10:15:00Z", "resolved", starts="2026-11-21T10:05:00Z"),
)
AFTER = alert("aaaabb33", "2026-11-21T10:30:00Z", labels={"column": "y"})
ELSEWHERE = alert("cccccc44", "2026-11-21T10:12:00Z", labels={"model": "other"})
NOTICE = msgspec.json.encode({"id": "n/1", "time": "2026-11-21T10:00:00Z", "data": {"labels": {"alertname": "Lost"}}})
ALL = [BEFORE[0], FIRST, NOTICE, ELSEWHERE, BEFORE[1], ENDED, AFTER, SECOND]


def messages() -> list[bytes]:
    return ALL


def test_a_fingerprint_is_its_newest_firing_and_an_id_that_message() -> None:
    assert explained("aaaaaa11", messages).alert == msgspec.json.decode(SECOND)
    assert explained("aaaaaa", messages).alert == msgspec.json.decode(SECOND)
    for raw in (FIRST, ENDED, SECOND):
        assert explained(msgspec.json.decode(raw)["id"], messages).alert == msgspec.json.decode(raw)
    assert [step.status for step in explained("aaaaaa11", messages).history] == ["firing", "resolved", "firing"]


def test_others_are_alerts_of_the_model_that_fired_meanwhile() -> None:
    """Of an episode that has ended those that overlap it; of one that goes on all that still fire, too."""
    first = explained("aaaaaa11/2026-11-21T10:10:00Z", messages)
    assert [(other.fingerprint, other.ended) for other in first.others] == [("bbbbbb22", "2026-11-21T10:15:00Z")]
    assert [other.fingerprint for other in explained("aaaaaa11", messages).others] == ["aaaabb33"]
    assert [other.fingerprint for other in explained("cccccc44", messages).others] == []


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ("aaaaa", "too short"),
        ("aaaaaa", "aaaaaa is the beginning of several: aaaaaa11, aaaaaa119"),
        ("dddddd", "the newest are aaaaaa11 (FeatureDrift), aaaabb33"),
        ("aaaaaa11x", "there is no alert"),
        ("", "too short"),
    ],
)
def test_what_names_no_alert_is_refused_with_those_there_are(wanted: str, says: str) -> None:
    several = [*ALL, alert("aaaaaa11", "2026-11-21T10:40:00Z"), alert("aaaaaa119", "2026-11-21T10:41:00Z")]
    with pytest.raises(ConfigurationError, match=says.replace("(", r"\(").replace(")", r"\)")):
        explained(wanted, lambda: several if "several" in says else ALL)
    with pytest.raises(ConfigurationError, match="there is none at all"):
        explained("dddddd", lambda: [NOTICE])


@pytest.mark.parametrize("metric", ["psi", "js_distance", "hellinger", "chi2", "cramers_v"])
def test_parts_of_a_score_that_is_a_sum_over_bins_sum_to_one(metric: str) -> None:
    """The bin that changed most has the largest part; other metrics have none."""
    found = bins_of(msgspec.json.decode(alert("aaaaaa11", "2026-11-21T10:10:00Z", labels={"metric": metric}))["data"])
    assert [one.name for one in found] == ["up to 25", "25 to 50", "above 50"]
    parts = [one.part or 0.0 for one in found]
    assert sum(parts) == pytest.approx(1)
    assert min(parts) == parts[1]
    others = bins_of(msgspec.json.decode(alert("aaaaaa11", "2026-11-21T10:10:00Z", labels={"metric": "mean"}))["data"])
    assert [one.part for one in others] == [None] * 3


@pytest.mark.parametrize("edges", [["a", "b", "(new)"], [0.5, 25.0, 50.0, 1000.0]])
def test_everything_is_printed_and_nothing_of_it_acts_on_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], edges: list[Any]
) -> None:
    nasty = "x\x1b[31m[bold]é\u202e"
    file = tmp_path / "alerts.jsonl"
    histogram = {**HISTOGRAM, "edges": [nasty if edge == "b" else edge for edge in edges], "beyond_rate": 0.25}
    shown: dict[str, Any] = {"labels": {"column": nasty, "who": nasty}, "histogram": histogram}
    column = {"column": nasty, "kind": "shape", "z": 5.0, "before": 0.0, "after": 1.0, "with_column": nasty}
    shown |= {"also_drifting": [nasty], "also_drifting_count": 3, "under": [nasty], "under_count": 1}
    shown |= {"columns": [column], "columns_count": 1, "added": {"columns": [nasty], "columns_count": 1}}
    file.write_bytes(alert("eeeeee55", "2026-11-21T10:10:00Z", **shown) + b"\n\n")
    command.explain("eeeeee55", file, None, False)
    printed = capsys.readouterr().out
    assert not {"\x1b", "\u202e"} & set(printed)
    assert "streamdrift records t/1:5-105 --in SOURCE" in printed
    for text in ("[bold]é", "0.31 > 0.25", "part of psi", "25.00%", "and 2 more"):
        assert text in printed


def test_what_an_alert_names_is_printed_and_so_is_what_updates_add(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The newest message that says it fires is shown, with its columns, the alerts under it, and all its updates."""
    column = {"column": "a", "kind": "new_category", "z": 12.5, "before": 0.0, "after": 0.0213}
    pair = {"column": "b", "kind": "correlation", "z": 6.0, "before": 0.1, "after": 0.5, "with_column": "c"}
    change = {"at": "2026-11-21T10:09:00Z", "before": None, "after": None, "width": None, "kind": "location"}
    begun = alert("aaaaaa11", "2026-11-21T10:10:00Z", change=change, columns=[column], columns_count=1)
    added = {"columns": ["b"], "columns_count": 1, "under": ["Psi/a", "Psi/b"], "under_count": 2}
    named: dict[str, Any] = {"columns": [column, pair], "columns_count": 22, "change": change, "added": added}
    named |= {"under": ["Psi/a", "Psi/b"], "under_count": 2, "starts": "2026-11-21T10:10:00Z"}
    update = alert("aaaaaa11", "2026-11-21T10:20:00Z", "updated", **named)
    ended = alert("aaaaaa11", "2026-11-21T10:30:00Z", "resolved", starts="2026-11-21T10:10:00Z")
    file = tmp_path / "alerts.jsonl"
    file.write_bytes(b"\n".join([begun, update, ended]))
    command.explain("aaaaaa11", file, None, as_json=False)
    shown = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert shown[0] == "FeatureDrift m/x updated 2026-11-21 10:20:00Z"
    assert "change since 2026-11-21T10:09:00Z: location" in shown
    first = shown.index("columns a new category from 0 to 0.0213 (z 12.5)")
    assert shown[first + 1 : first + 3] == ["b with c correlation from 0.1 to 0.5 (z 6)", "and 20 more"]
    assert "alerts under it Psi/a, Psi/b" in shown
    assert "2026-11-21 10:20:00Z updated 0.31 in b; under it Psi/a, Psi/b" in shown


def test_rules_on_silence_have_no_window_and_are_explained_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "alerts.jsonl"
    file.write_bytes(alert("ffffff66", "2026-11-21T10:10:00Z", window=None, reference=None, histogram=None))
    command.explain("ffffff66", file, None, False)
    command.explain("ffffff66", file, None, True)
    text, tree = capsys.readouterr().out.rsplit("\n{", 1)
    assert "to print them" not in text
    assert msgspec.json.decode("{" + tree)["rows"] is None


def test_a_window_without_offsets_has_no_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One of performance is of pairs, so there are no rows to print."""
    window = {"name": "events=100", "events": 100, "from": "2026-11-21T10:00:00Z", "to": "2026-11-21T10:10:00Z"}
    path = tmp_path / "alerts.jsonl"
    path.write_bytes(alert("aaaaaa11", "2026-11-21T10:10:00Z", window={**window, "offsets": [], "offsets_count": 0}))
    command.explain("aaaaaa11", path, None, as_json=False)
    shown = capsys.readouterr().out
    assert "100 rows" in shown
    assert "to print them" not in shown
    command.explain("aaaaaa11", path, None, as_json=True)
    assert msgspec.json.decode(capsys.readouterr().out)["rows"] is None


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "alerts.jsonl"
    for content in (b"x,y\n1,2\n", b"[]\n", b'{"id": 1}\n'):
        file.write_bytes(content)
        with pytest.raises(ConfigurationError, match="not a message of an alert"):
            command.explain("ffffff66", file, None, False)
    with pytest.raises(ConfigurationError, match="No such file"):
        command.explain("ffffff66", tmp_path / "none", None, False)


BROKEN = "t", "t/0", "t/0:5", "t/0:5-5", "t/0:6-5", "t/x:1-2", "t/0:-1-2", "/0:1-2", "t/0:1-2 ", ""


@pytest.mark.parametrize("text", BROKEN)
def test_a_range_is_a_topic_a_partition_and_two_offsets(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is no range of offsets"):
        parse_range(text)
    assert parse_range("ml.a-b_c/12:0-7") == OffsetRange("ml.a-b_c", 12, 0, 7)


def test_records_of_a_table_have_the_offsets_of_its_replay(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    table, config = tmp_path / "t.csv", tmp_path / "alerts.yaml"
    table.write_text("time,x\n" + "".join(f"2026-01-01T00:00:{i:02}Z,{i}\n" for i in range(60)))
    config.write_text(
        "version: 1\nmodels:\n  m:\n    task: regression\n    streams: {features: {topic: f}}\n"
        "    columns: {timestamp: time, numerical: [x]}\n    reference: {first: 100}\ngroups: []\n"
    )
    settings = load_settings(config=config)
    records(Options((OffsetRange("f", 0, 10, 13), OffsetRange("f", 0, 58, 90)), (str(table),), FileFlags()), settings)
    lines = [msgspec.json.decode(line) for line in capfdbinary.readouterr().out.splitlines()]
    assert [line["offset"] for line in lines] == [10, 11, 12, 58, 59]
    assert "12" in lines[2]["value"]
    with pytest.raises(ConfigurationError, match="no records in f/0:60-70"):
        records(Options((OffsetRange("f", 0, 60, 70),), (str(table),), FileFlags()), settings)
    with pytest.raises(ConfigurationError, match="no partition f/1"):
        records(Options((OffsetRange("f", 1, 0, 1),), (str(table),), FileFlags()), settings)
