"""How long a stream may be silent without `no_data`: three of its longest gaps, whatever its rhythm, and an hour."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from monitor.cli.main import app
from monitor.cli.replay import Options, replay
from monitor.evaluate.measure import Measure
from monitor.events import Int64s, Series

CONFIG = """
version: 1
defaults: {{window: {{events: 20, every: 5}}, {more}}}
models:
  m:
    task: regression
    streams: {{features: {{topic: f}}}}
    columns: {{timestamp: time, numerical: [x]}}
    reference: {reference}
groups:
  - name: g
    model: m
    rules: [{{alert: Drift, expr: mean > 100, min_events: 10}}]
"""
BEGIN = datetime(2026, 1, 5, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
RHYTHMS = {
    "every minute": [timedelta(minutes=1)],
    "hourly": [HOUR],
    "daily": [DAY],
    "weekly": [7 * DAY],
    "weekdays": [DAY, DAY, DAY, DAY, 3 * DAY],
    "in bursts": [timedelta(seconds=1)] * 9 + [5 * HOUR],
}


def table(path: Path, gaps: Iterable[timedelta]) -> Path:
    rng, at, lines = random.Random(1), BEGIN, ["time,x"]
    for gap in gaps:
        lines.append(f"{at.isoformat().replace('+00:00', 'Z')},{rng.gauss(0, 1):.3f}")
        at += gap
    path.write_text("\n".join(lines) + "\n")
    return path


def cycled(name: str, rows: int) -> list[timedelta]:
    """Gaps behind `rows` rows of a rhythm."""
    rhythm = RHYTHMS[name]
    return [rhythm[i % len(rhythm)] for i in range(rows)]


Alert = tuple[datetime, str, float]


def no_data(folder: Path, source: Path, reference: str, more: str = "lateness: 1m") -> list[Alert]:
    """When it began and ended to be silent, and the limit, in seconds."""
    config, out = folder / "alerts.yaml", folder / "alerts.jsonl"
    config.write_text(CONFIG.format(reference=reference, more=more))
    replay(Options((str(source),), config=config, alerts_out=out))
    messages = [json.loads(line) for line in out.read_text().splitlines()]
    return [
        (datetime.fromisoformat(m["time"]), m["data"]["status"], m["data"]["evidence"]["threshold"])
        for m in messages
        if m["data"]["labels"]["alertname"] == "NoData"
    ]


@pytest.mark.parametrize("name", RHYTHMS)
def test_a_rhythm_is_no_silence_and_three_of_its_longest_gaps_are(tmp_path: Path, name: str) -> None:
    """Known from a reference of a file: nothing while it goes on; a hole of four gaps is told after three."""
    past = table(tmp_path / "past.csv", cycled(name, 120))
    longest = max(RHYTHMS[name])
    limit = max(HOUR, 3 * longest)
    goes_on = table(tmp_path / "on.csv", cycled(name, 150))
    assert no_data(tmp_path, goes_on, f"{{path: {past}}}") == []
    hole = max(4 * longest, 2 * HOUR)
    gaps = [*cycled(name, 60), hole, *cycled(name, 40)]
    found = no_data(tmp_path, table(tmp_path / "hole.csv", gaps), f"{{path: {past}}}")
    assert [status for _, status, _ in found] == ["firing", "resolved"]
    assert {seconds for _, _, seconds in found} == {limit.total_seconds()}
    last = BEGIN + sum(gaps[:60], timedelta())
    assert limit < found[0][0] - last <= limit + timedelta(minutes=2)
    assert found[1][0] <= last + hole + timedelta(minutes=2)


def test_while_a_stream_waits_the_longest_gap_so_far_counts(tmp_path: Path) -> None:
    """One alert behind the very first row, of which no gap is known; none of the reference's hole in what follows."""
    holes = cycled("daily", 50), [2 * DAY], cycled("daily", 60), [5 * DAY], cycled("daily", 40), [7 * DAY]
    gaps = [gap for part in (*holes, cycled("daily", 5)) for gap in part]
    found = no_data(tmp_path, table(tmp_path / "t.csv", gaps), "{first: 100}")
    assert [(status, seconds) for _, status, seconds in found] == [
        ("firing", 3600),
        ("resolved", 3 * 86_400),
        ("firing", 6 * 86_400),
        ("resolved", 6 * 86_400),
    ]
    assert found[0][0] < BEGIN + 2 * HOUR


def test_no_data_decides_if_it_is_given(tmp_path: Path) -> None:
    source = table(tmp_path / "t.csv", [*cycled("hourly", 120), 5 * HOUR, *cycled("hourly", 5)])
    assert no_data(tmp_path, source, "{first: 100}", "lateness: 1m, no_data: 'off'") == []
    found = no_data(tmp_path, source, "{first: 100}", "lateness: 1m, no_data: 2h")
    assert [(status, seconds) for _, status, seconds in found] == [("firing", 7200), ("resolved", 7200)]


def test_the_limit_is_printed_by_check_and_of_a_reference(tmp_path: Path) -> None:
    config, file = tmp_path / "alerts.yaml", tmp_path / "reference.json"
    for more, expected in (
        ("lateness: 1m", "NoData after 3 * longest gap of the reference, at least 1h (m)"),
        ("no_data: 90m", "NoData after 1h30m (m)"),
        ("no_data: 'off'", "NoData off (m)"),
    ):
        config.write_text(CONFIG.format(reference="{first: 100}", more=more))
        assert expected in CliRunner().invoke(app, ["check", "--config", str(config)]).output
    source = table(tmp_path / "t.csv", cycled("weekdays", 120))
    arguments = ["reference", "build", str(source), "--out", str(file), "--config", str(config)]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    shown = CliRunner().invoke(app, ["reference", "show", str(file)]).output
    assert "longest gap between rows 3d; without `no_data`, NoData after 9d" in shown


def test_windows_of_a_sparse_stream_are_measured_when_something_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of windows of 60 days that close each hour those of one row a day are the same for a day."""
    measured = 0
    columns = Measure.columns

    def counted(measure: Measure, counts: Int64s) -> Mapping[str, Series]:
        nonlocal measured
        measured += 1
        return columns(measure, counts)

    monkeypatch.setattr(Measure, "columns", counted)
    source, scores = table(tmp_path / "t.csv", cycled("daily", 160)), tmp_path / "scores.jsonl"
    config = tmp_path / "alerts.yaml"
    more = "lateness: 1m"
    text = CONFIG.format(reference="{first: 60}", more=more).replace("{events: 20, every: 5}", "{time: 60d, every: 1h}")
    config.write_text(text)
    replay(Options((str(source),), config=config, scores=scores))
    published = len(scores.read_bytes().splitlines())
    assert published > 38 * 24  # from the sixtieth day behind the reference on
    assert measured <= 2 * 40


@pytest.mark.parametrize("name", ["past.csv", "past.jsonl"])
@pytest.mark.parametrize("is_timed", [True, False])
def test_a_reference_without_times_has_none(tmp_path: Path, name: str, is_timed: bool) -> None:
    """Its rows have an order, and nothing that a message could name; the usual silence is an hour."""
    past, rng = tmp_path / name, random.Random(2)
    rows = [{"time": f"2026-01-01T{i // 60:02}:{i % 60:02}:00Z", "x": rng.gauss(0, 1)} for i in range(200)]
    kept = [row if is_timed else {"x": row["x"]} for row in rows]
    if name.endswith(".csv"):
        past.write_text("\n".join([",".join(kept[0]), *(",".join(map(str, row.values())) for row in kept)]) + "\n")
    else:
        past.write_text("".join(json.dumps(row) + "\n" for row in kept))
    config, out = tmp_path / "alerts.yaml", tmp_path / "alerts.jsonl"
    config.write_text(CONFIG.format(reference=f"{{path: {past}}}", more="lateness: 1m").replace("> 100", "> -100"))
    replay(Options((str(table(tmp_path / "now.csv", cycled("hourly", 60))),), config=config, alerts_out=out))
    messages = [json.loads(line) for line in out.read_text().splitlines()]
    (reference,) = [m["data"]["evidence"]["reference"] for m in messages if m["data"]["labels"]["alertname"] == "Drift"]
    times = ("2026-01-01T00:00:00Z", "2026-01-01T03:19:00Z") if is_timed else (None, None)
    assert (reference["events"], reference["from"], reference["to"]) == (200, *times)
    file = tmp_path / "reference.json"
    arguments = ["reference", "build", str(past), "--out", str(file), "--config", str(config)]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    shown = CliRunner().invoke(app, ["reference", "show", str(file)]).output
    assert ("200 events, without times" in shown) == (not is_timed)
    assert ("longest gap between rows unknown" in shown) == (not is_timed)
