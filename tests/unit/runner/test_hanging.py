"""When a partition that stands still is told, and when it is not."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import pytest
import structlog

from monitor.bus.memory import MemoryBus
from monitor.bus.port import OpenTransaction
from monitor.errors import BusError
from monitor.events import Outgoing, TopicPartition
from monitor.ledger.ledger_topics import LedgerTopics
from monitor.runner.hanging import HangingWatch, watched

TPS = [TopicPartition("in", p) for p in range(4)]
HUNG = TPS[2]


class HangingBus(MemoryBus):
    """A bus in memory on which partitions can be held back. `held`: last stable offset and who holds it."""

    def __init__(self) -> None:
        super().__init__(clock=lambda: 0)
        self.name = "kafka://broker:9092"
        self.held: dict[TopicPartition, tuple[int, OpenTransaction]] = {}
        self.looked: list[TopicPartition] = []
        self.create("in", len(TPS))
        for tp in TPS:
            self.write([Outgoing(tp.topic, tp.partition, None, b"v")] * 5, markers=False)

    def last_stable(self, tp: TopicPartition) -> int:
        self.looked.append(tp)
        return self.held[tp][0] if tp in self.held else self.end(tp)

    def open_transactions(self, tp: TopicPartition) -> tuple[OpenTransaction, ...]:
        return (self.held[tp][1],) if tp in self.held else ()


class Play:
    """A watch on such a bus, and time that passes in turns of a second."""

    def __init__(self, **limits: float) -> None:
        self.bus = HangingBus()
        self.now = 0.0
        self.log: list[Any] = []
        log = structlog.wrap_logger(structlog.ReturnLogger(), processors=[self._keep])
        self.watch = HangingWatch(self.bus, lambda: self.now, log, **limits)

    def _keep(self, logger: object, level: str, event: MutableMapping[str, Any]) -> str:
        self.log.append((level, event))
        return ""

    def after(self, seconds: int) -> list[TopicPartition]:
        """What hangs after so many turns more."""
        for _ in range(seconds):
            self.now += 1
            found = self.watch.look(TPS)
        return [hanging.tp for hanging in found]

    def events(self) -> list[str]:
        return [event["event"] for _, event in self.log]


def test_a_transaction_that_nobody_ends_is_named_once_with_its_remedy() -> None:
    """After the limit and a round at most; once, until it has ended."""
    play = Play(limit_s=30)
    play.bus.held[HUNG] = (3, OpenTransaction(7, 2, 3))
    assert play.after(29) == []
    assert play.after(25) == [HUNG]
    assert play.after(300) == [HUNG]
    assert play.events() == ["hanging_transaction"]
    level, event = play.log[0]
    assert level == "error"
    assert (event["topic"], event["partition"], event["last_stable"], event["end"]) == ("in", 2, 3, 5)
    assert event["what"] == "a transaction is open since offset 3 (producer 7, epoch 2)"
    assert event["remedy"] == (
        "kafka-transactions.sh --bootstrap-server broker:9092 abort --topic in --partition 2 --start-offset 3"
    )
    del play.bus.held[HUNG]
    assert play.after(11) == []
    assert play.events()[1:] == ["hanging_transaction_ended"]


def test_transactions_that_follow_each_other_are_no_hanging_one() -> None:
    """There is one open at every look, and the last stable offset moves."""
    play = Play(limit_s=30)
    for turn in range(200):
        play.bus.held[HUNG] = (turn // 10, OpenTransaction(7, 2, turn // 10))
        play.bus.write([Outgoing("in", 2, None, b"v")] * 2, markers=False)
        assert play.after(1) == []
    assert play.log == []


@pytest.mark.parametrize(("timeout_s", "told_after"), [(5, 30), (60, 75), (10_000, 900)])
def test_a_long_transaction_is_given_its_own_time(timeout_s: int, told_after: int) -> None:
    """Where a coordinator looks after it: its time-out and the coordinator's own, and never more than the longest."""
    play = Play()
    play.bus.held[HUNG] = (3, OpenTransaction(7, 2, 3, "writer", timeout_s * 1000))
    assert play.after(told_after) == []
    assert play.after(20) == [HUNG]
    assert f"of 'writer' with a time-out of {timeout_s} s" in play.log[0][1]["what"]


def test_a_turn_looks_at_one_partition_and_each_has_its_turn() -> None:
    """However many there are, no turn is held up by more than one look, and a round takes some ten seconds."""
    play = Play()
    for _ in range(30):
        before = len(play.bus.looked)
        play.after(1)
        assert len(play.bus.looked) - before <= 1
    assert {tp: play.bus.looked.count(tp) for tp in TPS}.keys() == set(TPS)
    assert 8 <= len(play.bus.looked) <= 12


def test_turns_that_are_seldom_look_at_more_but_not_at_all_at_once() -> None:
    """A turn that waited for data makes up for it; what a turn can cost stays bounded."""
    play = Play()
    for _ in range(3):
        before = len(play.bus.looked)
        play.now += 60
        play.watch.look(TPS)
        assert len(play.bus.looked) - before == len(TPS)
    many = [TopicPartition("in", p % 4) for p in range(100)]
    before = len(play.bus.looked)
    play.now += 60
    play.watch.look(many)
    assert len(play.bus.looked) - before == 8


def test_what_a_stage_reads_is_what_it_folds_and_what_it_restores_from() -> None:
    """Profile follows positions and decisions; evaluate restores itself from its snapshots and outputs, too."""
    topics = LedgerTopics("sd.", 8)
    shared = {TopicPartition("sd.positions", 0), TopicPartition("sd.decisions", 0)}
    assert set(watched(TPS, topics)) == {*TPS, *shared}
    mine = TopicPartition("sd.ledger", 3)
    names = ("state", "alerts", "incidents", "retraining", "observations", "firing")
    outputs = {TopicPartition(f"sd.{name}", 3) for name in names}
    assert set(watched([mine], topics)) == {mine, *shared, *outputs}


def test_a_partition_that_went_to_somebody_else_is_forgotten() -> None:
    """And it does not count as found when it comes back."""
    play = Play()
    play.bus.held[HUNG] = (3, OpenTransaction(7, 2, 3))
    assert play.after(60) == [HUNG]
    play.now += 1
    assert play.watch.look([]) == ()
    assert play.after(20) == []


def test_a_bus_that_fails_does_not_end_the_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who folds and commits finds that out for himself."""
    play = Play()

    def fail(tp: TopicPartition) -> int:
        raise BusError("gone")

    monkeypatch.setattr(play.bus, "last_stable", fail)
    assert play.after(60) == []
