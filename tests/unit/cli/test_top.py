"""`top`: what it shows is what the topics hold, however often it has looked, and nothing of it acts on a terminal."""

from __future__ import annotations

from io import StringIO

import msgspec
import pytest
from msgspec.structs import replace
from rich.console import Console

from monitor.cli.board import SHOWN, Board, ColumnRow, Snapshot, StreamRow, by_drift
from monitor.cli.top import shown
from monitor.codec.canonical import time_text
from monitor.events import Outgoing
from tests.unit.runner.test_end_to_end import INPUTS, START, TOPICS, FragileBus, Service, all_of, serve


class Watched:
    """A service at whose topics a board has looked every second."""

    def __init__(self) -> None:
        self.looks: list[Snapshot] = []
        self.firing: list[set[bytes]] = []
        self._board: Board | None = None
        self.service = serve(3, None, meanwhile=self._look)
        assert self._board is not None
        self.last: Snapshot = self._board.look()

    def _look(self, service: Service, _: int) -> None:
        self._board = self._board or Board(service.bus, TOPICS)
        self.looks.append(self._board.look())
        self.firing.append(firing(service.bus))


def firing(bus: FragileBus) -> set[bytes]:
    """Messages of the alerts that fire, as the topic holds them."""
    newest = {(record.partition, record.key): record.value for record in all_of(bus, TOPICS.name("firing"))}
    return {value for value in newest.values() if value is not None}


@pytest.fixture(scope="module")
def watched() -> Watched:
    return Watched()


def test_each_look_shows_what_fires_then(watched: Watched) -> None:
    assert max(map(len, watched.firing)) >= 2
    for look, values in zip(watched.looks, watched.firing, strict=True):
        ids = sorted(message["id"] for message in look.alerts)
        events = [msgspec.json.decode(value) for value in values]  # of alerts, and of incidents that are open
        assert ids == sorted(event["id"] for event in events if event["type"].startswith("streamdrift.alert."))
        times = [message["time"] for message in look.alerts]
        assert times == sorted(times, reverse=True)


def test_one_who_has_followed_sees_what_one_sees_who_comes_now(watched: Watched) -> None:
    assert watched.last == Board(watched.service.bus, TOPICS).look()


def test_streams_go_from_waiting_to_judged_and_lag_is_what_is_not_folded(watched: Watched) -> None:
    states = [{(row.model, row.stream): row.state for row in look.streams} for look in watched.looks]
    of_m = [seen.get(("m", "features")) for seen in states]
    assert any(state is not None and state.endswith(" of 110 reference rows") for state in of_m)
    assert of_m[-1] == "judged"
    assert {row.topic for row in watched.last.streams} == set(INPUTS)


def test_lag_is_what_is_not_folded() -> None:
    """Of records that come while nobody folds, until the service goes on; then of entries that wait for evaluate."""
    service = serve(4, None)
    board = Board(service.bus, TOPICS)
    assert {row.lag for row in board.look().streams} == {board.look().undecided} == {0}
    sender = service.bus.sender()
    for i in range(30):
        at = START + 200_000 + i * 1000
        event = {"event_id": str(i), "event_time": time_text(at), "model": "m", "features": {"a": 1.0, "c": "x"}}
        sender.send(Outgoing(INPUTS[0], i % 2, b"k", msgspec.json.encode(event)))
    assert {row.topic: row.lag for row in board.look().streams} == {INPUTS[0]: 30, INPUTS[1]: 0}
    for name in ("profile", "evaluate"):
        service.now += 20
        for _ in range(6):
            service.turn(name)
        assert {row.lag for row in board.look().streams} == {0}
        assert (board.look().undecided == 0) == (name == "evaluate")


def test_columns_are_those_of_the_newest_window_the_most_drifting_first(watched: Watched) -> None:
    rows = watched.last.columns
    assert {(row.model, row.column) for row in rows} >= {("m", "a"), ("m", "c"), ("w", "a")}
    scores = [row.scores[SHOWN[0]] for row in rows if SHOWN[0] in row.scores]
    assert scores == sorted(scores, reverse=True)
    records = all_of(watched.service.bus, TOPICS.name("observations"))
    messages = [msgspec.json.decode(record.value or b"") for record in records]
    windows = [m["data"] for m in messages if m["type"].endswith("observation.v1")]
    ends = [one["window"]["to"] for one in windows if (one["model"], one["stream"]) == ("m", "features")]
    assert {row.to for row in rows if (row.model, row.stream) == ("m", "features")} == {max(ends)}
    drifted = [look for look in watched.looks if any(row.alerts for row in look.columns)]
    assert drifted
    for row in drifted[-1].columns:
        on_it = [m for m in drifted[-1].alerts if m["data"]["labels"].get("column") == row.column]
        assert row.alerts <= len(on_it)


def test_columns_without_divergences_come_after_those_with_them_and_by_what_they_have() -> None:
    scores = [{"missing_rate": 0.0}, {"psi": 0.0, "ks": 0.1}, {"missing_rate": 0.2}, {"psi": 2.0}]
    rows = [replace(ROW, column=str(i), scores=one) for i, one in enumerate(scores)]
    assert [row.column for row in by_drift(rows)] == ["3", "1", "2", "0"]


NASTY = "x\x1b[31m[red]é"
ROW = ColumnRow(NASTY, "features", NASTY, 123_456, "2026-11-21T10:00:00Z", dict.fromkeys(SHOWN, 10.123), 2)
STREAM = StreamRow("m0", "features", "t", "1234 of 50000 reference rows", 56_789, 12_345.6, "2026-11-21T10:00:00Z")


def printed(snapshot: Snapshot, width: int, lines: int) -> str:
    out = StringIO()
    name = "kafka://" + ",".join(f"broker-{i}:9092" for i in range(9))
    Console(file=out, width=width).print(shown(snapshot, name, lines))
    return out.getvalue()


@pytest.mark.parametrize("models", [1, 40])
@pytest.mark.parametrize("lines", [1, 24, 60])
def test_it_fits_a_terminal_and_nothing_acts_on_it(watched: Watched, lines: int, models: int) -> None:
    look = max(watched.looks, key=lambda look: len(look.alerts))
    columns = [replace(ROW, column=f"{NASTY}{i}") for i in range(99)]
    streams = [replace(STREAM, model=f"m{i}", stream=NASTY) for i in range(models)]
    text = printed(Snapshot(streams, columns, look.alerts * 9, 3), 100, lines)
    assert "\x1b" not in text
    assert "[red]é0" in text
    assert "more columns" in text
    assert ("more streams" in text) == (models == 40)
    assert "more alerts" in text
    assert len(text.splitlines()) <= max(lines, 24)


@pytest.mark.parametrize("width", [80, 100, 120])
@pytest.mark.parametrize("models", [1, 2])
def test_names_are_cut_where_it_is_narrow_and_numbers_never(watched: Watched, width: int, models: int) -> None:
    alerts = max(watched.looks, key=lambda look: len(look.alerts)).alerts
    long = "a rather long name of something in square metres " * 3
    streams = [replace(STREAM, model=f"m{i}{long}") for i in range(models)]
    text = printed(Snapshot(streams, [replace(ROW, column=long, model=long)], alerts, 12_345), width, 40)
    assert max(map(len, text.splitlines())) <= width
    assert {"56,789", "12,345.6", "2026-11-21", "10:00:00", "123,456", "10.123"} <= set(text.split())
    assert text.split().count("10.123") == len(SHOWN)
    for alert in alerts:
        assert alert["data"]["fingerprint"][:12] in text
        assert f" {alert['data']['evidence']['value']:.4g} " in text
        assert f" {alert['data']['evidence']['op']} {alert['data']['evidence']['threshold']:.4g} " in text


def test_of_more_streams_than_there_is_room_for_those_with_the_most_lag_are_shown() -> None:
    streams = [replace(STREAM, model=f"model-{i}", lag=i * 37 % 100) for i in range(100)]
    most = max(streams, key=lambda row: row.lag)
    assert f"{most.model} " in printed(Snapshot(streams, [], [], 0), 100, 24)
    few = printed(Snapshot(streams[:3], [], [], 0), 100, 24)
    assert few.index("model-0 ") < few.index("model-1 ") < few.index("model-2 ")


def test_a_service_that_has_published_nothing_is_shown_all_the_same() -> None:
    assert "0 models, 0 alerts firing" in printed(Snapshot([], [], [], 0), 100, 24)
