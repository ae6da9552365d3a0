"""Columns where events have them: what init proposes for topics and files of events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner, Result

from monitor.bus.address import open_bus
from monitor.cli.main import app
from monitor.cli.produce import create_inputs
from monitor.events import Outgoing

ROWS = 600


def event(n: int, **more: Any) -> dict[str, Any]:
    at = f"2026-03-01T00:{n // 60:02}:{n % 60:02}Z"
    return {"event_time": at, "features": {"amount": n * 0.37 % 5, "country": "DE" if n % 3 else "FR"}} | more


class Place:
    """A bus and a folder."""

    def __init__(self, folder: Path) -> None:
        self.url, self.out = f"sqlite:///{folder}/bus.db", folder / "alerts.yaml"

    def topic(self, *events: dict[str, Any]) -> None:
        bus = open_bus(self.url, {})
        create_inputs(bus, ["t"], 2)
        sender = bus.sender()
        for n, one in enumerate(events):
            sender.send(Outgoing("t", n % 2, None, json.dumps(one).encode()))
        sender.close()
        bus.close()

    def init(self, source: str = "topic:t") -> Result:
        return CliRunner().invoke(app, ["init", source, "--bus", self.url, "--out", str(self.out), "--yes"])

    def replay(self, *arguments: str) -> str:
        done = CliRunner().invoke(app, ["replay", *arguments, "--config", str(self.out), "--bus", self.url])
        assert done.exit_code == 0, done.output
        return done.output

    @property
    def model(self) -> dict[str, Any]:
        return dict(next(iter(YAML(typ="safe").load(self.out.read_text())["models"].values())))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_topic_is_one_stream(place: Place) -> None:
    """Predictions among features are left out, and said to be; a replay of the topic judges every rule."""
    place.topic(*(event(n, y_pred=n % 2, y_pred_proba=n / ROWS) for n in range(ROWS)))
    made = place.init()
    assert "a prediction among features: predictions have a topic of their own" in made.output
    assert place.model["streams"] == {"features": {"topic": "t"}}
    assert f"next: streamdrift run --config {place.out} --bus {place.url}" in made.output.replace("\n", " ")
    replayed = place.replay("topic:t")
    assert f"{ROWS} records: {ROWS} pane" in replayed
    assert "never judged" not in replayed


def test_a_topic_of_rows_that_are_no_events_is_refused(place: Place) -> None:
    """The service would make each of them a dead letter."""
    place.topic(*({"event_time": event(n)["event_time"], "amount": n * 0.37 % 5} for n in range(ROWS)))
    refused = place.init()
    assert refused.exit_code != 0
    assert "amount: stands outside `features`" in str(refused.exception or refused.output)
    assert not place.out.exists()


def test_events_without_a_time_are_said_to_be_dead_letters(place: Place) -> None:
    """On the terminal, and in the file."""
    place.topic(*({"features": event(n)["features"]} for n in range(ROWS)))
    said = "no event has a time that can be read: all of them would be dead letters, missing_time"
    assert said in place.init().output
    assert f"# {said}" in place.out.read_text()
    assert f"{ROWS} dead:missing_time" in place.replay("topic:t")


@pytest.mark.parametrize("source", ["topic", "file"])
def test_a_time_within_features_is_none(source: str, place: Place, tmp_path: Path) -> None:
    """The service reads it beside them; it is said why the other is left out."""
    events = [{"features": event(n)["features"] | {"ts": event(n)["event_time"]}} for n in range(ROWS)]
    file = tmp_path / "events.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in events))
    place.topic(*events)
    made = place.init("topic:t" if source == "topic" else str(file))
    assert "a time within `features`: an event has its time beside them" in made.output
    assert "no event has a time that can be read" in made.output


def test_a_file_may_hold_events_of_both_streams(place: Place, tmp_path: Path) -> None:
    """Those of predictions are events of their own; what stands beside `features` is not read."""
    file = tmp_path / "events.jsonl"
    lines = [
        line
        for n in range(ROWS)
        for line in (event(n, y_pred_proba=n / ROWS), {"event_time": event(n)["event_time"], "y_pred": n % 2})
    ]
    file.write_text("".join(json.dumps(one) + "\n" for one in lines))
    made = place.init(str(file))
    assert "a probability beside `features`: predictions are events of their own" in made.output
    assert set(place.model["streams"]) == {"features", "predictions"}
    assert f"{2 * ROWS} records: {2 * ROWS} pane" in place.replay(str(file))


def test_a_table_without_times_says_what_that_means(place: Place, tmp_path: Path) -> None:
    """On the terminal and in the file; the command that comes next has what is needed."""
    file = tmp_path / "iris.csv"
    file.write_text("a,b\n" + "".join(f"{n * 0.37 % 5:.2f},{n * 0.41 % 7:.2f}\n" for n in range(ROWS)))
    made = place.init(str(file))
    said = "no column of times: `replay` and `produce file` need --start, and rows are --step apart"
    assert said in made.output
    assert f"      # {said}" in place.out.read_text()
    assert made.output.rstrip().endswith("--start 2026-01-01T00:00:00Z")
