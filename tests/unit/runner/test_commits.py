"""Outputs too large for one commit are written in several, closed at ends of panes; a crash leaves no trace."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from structlog.testing import capture_logs

from monitor.bus.memory import MemoryBus
from monitor.errors import TransactionFailed
from monitor.evaluate.messages import Message
from monitor.events import Outgoing, TopicPartition
from monitor.runner.evaluate import EvaluateStage
from monitor.runner.loop import Loop
from monitor.runner.outbox import Outbox
from monitor.runner.parts import Rhythm
from monitor.runner.topics import create_topics
from monitor.telemetry import get_log
from tests.references import AtOnce
from tests.unit.runner.fleet import INPUTS, PLACE, TOPICS, Fleet, check_against_replay, config, inputs_of, send

SMALL = 6_000
TP = TopicPartition("sd.ledger", 0)


class Noting(MemoryBus):
    """Keeps what each transaction holds of our messages, and refuses all after the first `most`."""

    def __init__(self) -> None:
        super().__init__(clock=lambda: 0, markers=True)
        self.commits: list[list[Outgoing]] = []
        self.most: int | None = None

    def write(self, outgoing: Sequence[Outgoing], markers: bool) -> dict[TopicPartition, int]:
        messages = [record for record in outgoing if record.topic in ("sd.alerts", "sd.observations", "sd.firing")]
        if self.most is not None and len(self.commits) >= self.most and messages:
            raise TransactionFailed("the broker is gone")
        if messages:
            self.commits.append(messages)
        return super().write(outgoing, markers)


def a_backlog() -> Noting:
    """Over a minute of two models in the ledger, which evaluate has yet to read; some of it has drifted."""
    bus = Noting()
    for topic, partitions in INPUTS.items():
        bus.create(topic, partitions)
    create_topics(bus, TOPICS, tuple(INPUTS))
    fleet = Fleet(bus, config())
    fleet.join("profile-1")
    evaluate = start(bus)
    for tp in inputs_of(bus):
        send(bus, tp, [i * 0.2 for i in range(100)])
    for _ in range(12):
        fleet.turn()
        evaluate.turn(wait_ms=0)
    for tp in inputs_of(bus):
        send(bus, tp, [20 + i * 0.2 for i in range(260)], shift=2.0)
    for _ in range(6):
        fleet.turn()
    bus.commits.clear()
    return bus


def start(bus: MemoryBus, commit_bytes: int = SMALL) -> Loop:
    """Evaluate in one process of its own."""
    rhythm = Rhythm(commit_bytes=commit_bytes)
    stage = EvaluateStage(bus, config(), TOPICS, PLACE, AtOnce(), lambda: 0.0, get_log("test"), rhythm)
    return Loop(bus, stage, "evaluate-1", lambda: 0.0, 0.0)


def turn(loop: Loop) -> None:
    """Enough turns to take the partitions over and to read all that there is."""
    for _ in range(6):
        loop.turn(wait_ms=0)


def panes_of(records: Sequence[Outgoing]) -> list[tuple[str, str]]:
    """The model and the time of each message, without repeats in a row; a tombstone belongs to the alert before it."""
    found: list[tuple[str, str]] = []
    for record in records:
        if record.value is not None:
            event = msgspec.json.decode(record.value)
            pane = (event["subject"].split("/")[0], event["time"])
            found += [pane] if not found or found[-1] != pane else []
    return found


def bytes_of(records: Sequence[Outgoing]) -> int:
    return sum(len(record.value or b"") for record in records)


def test_a_commit_closes_at_the_end_of_the_pane_that_passes_its_bytes() -> None:
    """Over a backlog: each commit is smaller than that but for its last pane, and shares no pane with another."""
    with capture_logs():
        bus = a_backlog()
        turn(start(bus))
        assert sum(bytes_of(commit) >= SMALL for commit in bus.commits) > 4
        for commit in bus.commits:
            last = panes_of(commit)[-1]
            before = [record for record in commit if record.value is None or panes_of([record])[0] != last]
            assert bytes_of(before) < SMALL
        panes = [set(panes_of(commit)) for commit in bus.commits]
        assert sum(map(len, panes)) == len(set().union(*panes))
        assert check_against_replay(bus)


@pytest.mark.parametrize("most", range(6))
def test_a_crash_between_the_parts_of_a_commit_leaves_no_trace(most: int) -> None:
    """The parts that were written are not written again, and what was lost is: by a process of another size, too."""
    with capture_logs():
        bus = a_backlog()
        bus.most = most
        loop = start(bus)
        with pytest.raises(TransactionFailed):
            turn(loop)
        assert len(bus.commits) == most
        bus.most = None
        again = start(bus, SMALL if most % 2 else 1 << 30)
        turn(again)
        assert check_against_replay(bus)


def test_as_much_as_one_commit_takes_is_not_cut() -> None:
    """8 MiB of panes of 1 MiB go out at once, 20 in three parts; a pane of its own is never cut, however large."""
    outbox = Outbox("sd.evaluate", TP, TOPICS)
    usual = Rhythm().commit_bytes
    outbox.publish([Message("observations", at, "m", "k", b"x" * (1 << 20), b"") for at in range(8)], {})
    assert outbox.take_early(usual) == []
    assert bytes_of(outbox.take()) == 8 << 20
    outbox.publish([Message("observations", at, "m", "k", b"x" * (1 << 20), b"") for at in range(20)], {})
    assert [bytes_of(outbox.take_early(usual)) >> 20 for _ in range(3)] == [8, 8, 0]
    assert bytes_of(outbox.take()) == 4 << 20
    outbox.publish([Message("alerts", 7, "m", str(i), b"x" * (1 << 20), b"", "firing") for i in range(20)], {})
    assert outbox.take_early(usual) == []
