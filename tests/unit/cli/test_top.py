"""`top`: what it shows is what the topics hold, however often it has looked, and nothing of it acts on a terminal."""

from __future__ import annotations

from io import StringIO

import msgspec
import pytest
from msgspec.structs import replace
from rich.console import Console

from monitor.cli.board import SHOWN, Board, ColumnRow, Snapshot, StreamRow
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
        assert ids == sorted(msgspec.json.decode(value)["id"] for value in values)
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


@pytest.mark.parametrize("lines", [1, 24, 60])
def test_it_fits_a_terminal_and_nothing_acts_on_it(watched: Watched, lines: int) -> None:
    nasty = "x\x1b[31m[red]é"
    look = max(watched.looks, key=lambda look: len(look.alerts))
    row = ColumnRow(nasty, "features", nasty, 10, "2026-11-21T10:00:00Z", {"psi": 1.0}, 2)
    columns = [replace(row, column=f"{nasty}{i}") for i in range(99)]
    streams = [StreamRow(nasty, "features", "t", None, 5, None, None)]
    out = StringIO()
    Console(file=out, width=100).print(shown(Snapshot(streams, columns, look.alerts * 9, 3), "memory:", lines))
    printed = out.getvalue()
    assert "\x1b" not in printed
    assert "[red]é0" in printed
    assert "more columns" in printed
    assert len(printed.splitlines()) <= max(lines, 24)


def test_a_service_that_has_published_nothing_is_shown_all_the_same() -> None:
    out = StringIO()
    Console(file=out, width=100).print(shown(Snapshot([], [], [], 0), "memory:", 24))
    assert "0 models, 0 alerts firing" in out.getvalue()
