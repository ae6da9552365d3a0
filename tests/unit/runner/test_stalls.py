"""A stall loses nothing (law 6): rows of later panes than all that was seen are never late, however long it was."""

from __future__ import annotations

import random

import pytest

from monitor.config import load
from monitor.events import TopicPartition
from monitor.ledger.entries import Heartbeat
from monitor.runner.profile import ProfileStage
from monitor.sources.control import control_records, decode_control
from tests.unit.runner.fleet import (
    START,
    TOPICS,
    Fleet,
    check_against_replay,
    config,
    new_bus,
    published,
    replayed,
    send,
)

HEAD = """
version: 1
defaults: {window: {events: 120, every: 60}, lateness: %s, pane: 10s, interval: 30s, idle_timeout: %s}
models:
"""
MODEL = """
  %s: {task: regression, streams: {%s}, columns: {numerical: [x]%s}, reference: {first: 100}}
"""
FEATURES, PREDICTIONS = "features: {topic: in.features}", "predictions: {topic: in.predictions}"
PANE_S = 10


class Stall:
    """Processes over one bus, with what each partition has been sent."""

    def __init__(self, inputs: dict[str, int], lateness: str = "120s", idle: str = "30s") -> None:
        predictions = len(inputs) > 1
        streams, column = (f"{FEATURES}, {PREDICTIONS}", ", prediction: y") if predictions else (FEATURES, "")
        text = HEAD % (lateness, idle) + MODEL % ("m", streams, column) + MODEL % ("w", FEATURES, "")
        self.fleet = Fleet(new_bus(inputs), load(text, "alerts.yaml"))
        self.inputs = tuple(inputs)
        for name in ("evaluate-1", "profile-1"):
            self.fleet.join(name)

    def send(self, tp: TopicPartition, start: float, end: float, step: float = 0.5) -> None:
        send(self.fleet.bus, tp, [start + i * step for i in range(int((end - start) / step))])

    def wait(self, seconds: float, turns: int, rng: random.Random | None = None) -> None:
        """Wall time goes on, turn by turn; some processes may have no turn at times."""
        for _ in range(turns):
            self.fleet.now += seconds / turns
            names = [name for name in sorted(self.fleet.loops) if rng is None or rng.random() < 0.8]
            if names:
                self.fleet.turn(*names)

    def late(self) -> int:
        """Late rows of all partitions."""
        stages = [s for s in self.fleet.stages.values() if isinstance(s, ProfileStage)]
        return sum(a.buckets.get("late", 0) for stage in stages for a in stage.accounts().values())

    def heartbeats(self) -> list[Heartbeat]:
        control = decode_control(control_records(self.fleet.bus, TOPICS), TOPICS.prefix)
        return list(control.heartbeats)

    def is_read(self) -> None:
        """Nothing waits to be read: a check of lateness that has seen all."""
        positions = self.fleet.positions()
        assert all(p is not None and p.held == 0 for tp, p in positions.items() if tp.topic in self.inputs)

    def check(self) -> None:
        """What was published is what a replay of the log publishes."""
        expected = replayed(self.fleet.bus, self.inputs)
        assert {topic: published(self.fleet.bus, topic) for topic in expected} == expected
        assert expected["observations"]


def tps(n: int, topic: str = "in.features") -> list[TopicPartition]:
    return [TopicPartition(topic, p) for p in range(n)]


@pytest.mark.parametrize("lateness", ["0s", "20s", "120s"])
@pytest.mark.parametrize("again", [600.0, 613.5, 1800.0, 90_000.0])
def test_a_backlog_after_a_stall_of_one_partition_is_in_time(lateness: str, again: float) -> None:
    """A sender stalls for twenty minutes and then sends what it had held, or what is new; all before is judged."""
    run = Stall({"in.features": 1}, lateness)
    (tp,) = tps(1)
    run.send(tp, 0, 600)
    run.wait(10, 20)
    run.wait(1200, 40)
    position = run.fleet.positions()[tp]
    assert position is not None
    assert position.watermark == START + 600_000
    run.send(tp, again, again + 1200)
    run.wait(10, 20)
    run.is_read()
    assert run.late() == 0
    run.check()


@pytest.mark.parametrize("seed", range(8))
def test_three_partitions_that_stop_at_different_times(seed: int) -> None:
    """Whatever each process does when, and with a restart in the middle: what is newer than all of them is in time."""
    rng = random.Random(seed)
    run = Stall({"in.features": 3}, rng.choice(["0s", "20s", "120s"]))
    stops = [rng.uniform(100, 900) for _ in range(3)]
    for second in range(0, 900, 100):  # event time at the pace of the wall
        for tp, stop in zip(tps(3), stops, strict=True):
            if second < stop:
                run.send(tp, second, min(stop, second + 100))
        run.wait(100, 12, rng)
        if rng.random() < 0.2:
            run.fleet.join("profile-1")
    run.wait(rng.choice([60, 300, 4000]), 40, rng)
    if rng.random() < 0.5:
        run.fleet.join(rng.choice(["profile-1", "profile-2"]))
    run.wait(rng.choice([60, 300, 4000]), 40, rng)
    run.wait(2, 4)
    before = run.late()
    newest = (int(max(stops)) // PANE_S + 1) * PANE_S
    ends = [p.watermark for tp, p in run.fleet.positions().items() if p is not None and tp.topic == "in.features"]
    assert all(end is not None and end <= START + newest * 1000 for end in ends)
    for tp in tps(3):
        run.send(tp, newest + rng.choice([0, 3, 700]), newest + 1500)
    run.wait(20, 40, rng)
    run.wait(2, 4)
    assert run.late() == before
    run.check()


def test_a_topic_of_two_models_of_which_one_still_moves() -> None:
    """Where another partition of one of its models moves, an idle one is left behind; the other topic stalls alone."""
    run = Stall({"in.features": 2, "in.predictions": 1}, "20s")
    first, second = tps(2)
    (predictions,) = tps(1, "in.predictions")
    for start in range(0, 300, 20):
        for tp in (first, second, predictions):
            run.send(tp, start, start + 20)
        run.wait(20, 5)
    for start in range(300, 900, 20):
        run.send(second, start, start + 20)
        run.wait(20, 5)
    positions = run.fleet.positions()
    behind, moving, other = (positions[tp] for tp in (first, second, predictions))
    assert behind is not None
    assert moving is not None
    assert other is not None
    assert (behind.watermark or 0) >= START + 840_000
    assert (other.watermark or 0) >= START + 840_000  # model m has a partition that moves
    assert (behind.silent_to, other.silent_to) == (None, None)
    run.send(predictions, 900, 1000)
    run.send(first, 900, 1000)
    run.send(second, 900, 1000)
    run.wait(60, 20)
    assert run.late() == 0
    run.check()


def test_two_models_of_one_partition_of_which_one_still_moves() -> None:
    """The partition moves, so nobody stalls; the other model's rows are in time if they are new to the partition."""
    run = Stall({"in.features": 1}, "20s")
    (tp,) = tps(1)
    run.send(tp, 0, 300)
    run.wait(60, 20)
    run.send(tp, 300, 900, step=20.0)
    run.wait(900, 40)
    run.send(tp, 910, 1500)
    run.wait(20, 20)
    assert run.late() == 0
    run.check()


@pytest.mark.parametrize("idle", ["30s", "off"])
def test_an_empty_partition_holds_back_nobody_unless_nobody_is_to_be_left_behind(idle: str) -> None:
    """It goes with those that move, to the end of the newest pane, and its silence is the largest of theirs."""
    run = Stall({"in.features": 2}, "20s", idle)
    full, empty = tps(2)
    run.send(full, 0, 300)
    run.wait(400, 60)
    found = run.fleet.positions()[empty]
    assert found is not None
    assert found.watermark == (START + 300_000 if idle == "30s" else None)
    assert (found.silent_to or 0) > START + 600_000
    run.send(empty, 310, 400)
    run.send(full, 310, 400)
    run.wait(20, 20)
    assert run.late() == 0
    if idle == "30s":
        run.check()


def test_off_gives_no_watermark_and_reports_the_silence() -> None:
    """A partition that stops holds back the others; each says how long it is silent, once an interval."""
    run = Stall({"in.features": 2}, "20s", "off")
    for tp in tps(2):
        run.send(tp, 0, 300)
    run.wait(300, 60)
    given = run.heartbeats()
    assert all(beat.watermark is None for beat in given)
    assert 16 <= len(given) <= 22
    for p in range(2):
        ends = [beat.silent_to for beat in given if beat.partition == p]
        assert ends == sorted(ends, key=lambda at: at or 0)
        assert (ends[-1] or 0) >= START + 560_000
    run.send(tps(2)[0], 900, 1000)
    run.wait(60, 10)
    assert run.late() == 0
    run.send(tps(2)[1], 300, 1000)
    run.wait(60, 10)
    assert run.late() == 0
    run.check()


def test_a_long_silence_is_reported_once_an_interval_and_goes_on_after_a_restart() -> None:
    """Of all that a position keeps the newest of each kind; a process that takes over does not begin from nothing."""
    run = Stall({"in.features": 1}, "20s")
    (tp,) = tps(1)
    run.send(tp, 0, 300)
    run.wait(10, 20)
    run.wait(3600, 1200)
    run.fleet.join("profile-1")
    run.wait(600, 200)
    reported = [beat for beat in run.heartbeats() if beat.silent_to is not None]
    assert len(reported) <= 4200 / 30 + 1
    assert [beat.silent_to for beat in reported] == sorted(beat.silent_to or 0 for beat in reported)
    assert (reported[-1].silent_to or 0) >= START + 4_400_000
    assert {beat.at for beat in reported} == {START + 300_000}
    position = run.fleet.positions()[tp]
    assert position is not None
    assert position.silent_to == reported[-1].silent_to
    assert len(position.heartbeats) <= 2  # the newest of each kind
    run.check()


def test_nobody_stands_still_that_has_something_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction that is open holds readers back below the high watermark: that is no silence."""
    run = Stall({"in.features": 1}, "20s")
    (tp,) = tps(1)
    run.send(tp, 0, 300)
    run.wait(10, 20)
    bus = run.fleet.bus
    end = bus.end
    monkeypatch.setattr(bus, "end", lambda of: end(of) + (of == tp))
    run.wait(600, 60)
    assert run.heartbeats() == []
    monkeypatch.undo()
    run.wait(60, 60)
    assert run.heartbeats() != []


def test_a_row_after_a_silence_is_let_in_by_it() -> None:
    """One row an hour has no neighbours that could speak for it: it is as late as the wall clock says, and accepted."""
    run = Stall({"in.features": 1}, "20s")
    (tp,) = tps(1)
    run.send(tp, 0, 300)
    for hour in range(1, 4):
        run.wait(3600, 400)
        run.send(tp, hour * 3600 + 300, hour * 3600 + 301, step=1.0)
    run.wait(120, 60)
    run.is_read()
    position = run.fleet.positions()[tp]
    assert position is not None
    assert position.highest == START + 11_100_000
    assert position.buckets == {"filtered": 0, "late": 0, "pane": 603, "tombstone": 0}
    run.check()


def test_a_stall_of_all_topics_gives_the_replays_bytes() -> None:
    """The two models of the other tests, which share a topic: alerts and observations, live and replayed."""
    fleet = Fleet(new_bus(), config())
    for name in ("evaluate-1", "profile-1", "profile-2"):
        fleet.join(name)
    bus = fleet.bus
    rng = random.Random(5)
    for round_ in range(3):
        for topic in ("in.features", "in.predictions"):
            for p in range(bus.partitions(topic) or 0):
                at = round_ * 300.0
                seconds = [at + i * 0.2 for i in range(rng.randint(100, 400))]
                send(bus, TopicPartition(topic, p), seconds, shift=float(round_))
        for _ in range(60):
            fleet.now += rng.choice([0.5, 5.0])
            fleet.turn()
        if round_ == 1:
            fleet.join("profile-1")
    fleet.settle()
    check_against_replay(bus)
