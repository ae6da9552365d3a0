"""A model is rebuilt in slices between the turns of a service: the others go on, and a crash changes nothing."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from monitor.bus.memory import MemoryBus
from monitor.events import Outgoing, TopicPartition
from monitor.ledger.commands import Rebuild
from monitor.ledger.entries import Activation, Decision
from monitor.ledger.entry_codec import decode_agreement, encode_entry
from monitor.ledger.position_records import Stopped, decode_evaluate, decode_model
from monitor.runner.positions import Positions
from monitor.runner.rebuild import SLICE_S
from monitor.runner.stopped_models import MOST_TRIES
from tests.commands import command, copies, rebuild_of
from tests.unit.runner.test_end_to_end import (
    TOPICS,
    Service,
    all_of,
    check_once,
    published,
    replayed,
    serve,
)
from tests.unit.runner.test_snapshots import damage, partition_of, rebuild

STOPS, ASKED = 50, 80
"""Seconds at which the model m is stopped, and its rebuild asked for."""
TICK_S = SLICE_S / 8


def stop_and_rebuild(service: Service, second: int) -> None:
    if second == STOPS:
        damage(service.bus, "m")
        service.loops.pop("evaluate", None)
    if second == ASKED:
        rebuild(service)


def in_slices(then: Callable[[Service, int], None] = lambda service, second: None) -> Callable[[Service, int], None]:
    """The same with a clock that lets a slice be a few steps long. `then`: what else happens in a second."""

    def meanwhile(service: Service, second: int) -> None:
        service.tick_s = TICK_S
        stop_and_rebuild(service, second)
        then(service, second)

    return meanwhile


def stopped(bus: MemoryBus, model: str = "m") -> Stopped | None:
    """What is committed of a model that stands still."""
    positions = Positions(bus, TOPICS, "sd.evaluate")
    positions.follow()
    tp = TopicPartition(TOPICS.name("ledger"), TOPICS.partition_of(model))
    return decode_model(positions.models(tp)[model]).stopped


def check_all_is_published(service: Service) -> None:
    """All that a replay says, each message once, beside the notices of models that stood still."""
    check_once(service)
    live = [message for message in published(service.bus) if b"ModelStopped" not in message[2]]
    assert sorted(live) == sorted(
        (m.topic, m.key, m.value) for m in replayed(service) if b"ModelStopped" not in m.value
    )


def rebuilds(bus: MemoryBus) -> list[tuple[Decision, int | None]]:
    """The decisions to rebuild that were written back, each with its pane."""
    agreed = [decode_agreement(r.headers, r.value or b"") for r in all_of(bus, TOPICS.name("decisions"))]
    activations = [entry for entry in agreed if isinstance(entry, Activation)]
    return [(a.decision, a.at) for a in activations if a.decision.kind == "rebuild"]


def test_what_a_stopped_model_missed_is_published_after_its_rebuild() -> None:
    """Panes that came while it stood still are folded by the rebuild, and their messages published once."""
    with capture_logs():
        service = serve(4, None, meanwhile=stop_and_rebuild)
    check_all_is_published(service)
    assert [(decision.model, pane is not None) for decision, pane in rebuilds(service.bus)] == [("m", True)]


def test_the_other_models_go_on_while_one_is_rebuilt() -> None:
    """A slice takes no longer than it may, the rebuild takes many, and between them the ledger is folded on."""
    positions: list[int] = []

    def look(service: Service, second: int) -> None:
        if "evaluate" in service.loops and (held := partition_of(service, "m")).still.is_rebuilding:
            positions.append(held.position)

    with capture_logs() as logs:
        service = serve(3, None, meanwhile=in_slices(look))
    events = [log["event"] for log in logs if log["event"].startswith("model_re")]
    assert events[0] == "model_rebuild_begun"
    assert events[-1] == "model_rebuilt"
    assert len(set(positions)) > 5
    assert events.count("model_rebuilding") > 3
    check_all_is_published(service)


class Fates(random.Random):
    """Every fifth commit ends its process from the first one on, before it is done and behind it by turns."""

    def __init__(self, first: int) -> None:
        super().__init__(0)
        self._number = -first

    def random(self) -> float:
        self._number += 1
        return 1.0 if self._number % 5 else 0.1 + 0.1 * (self._number % 2)


@pytest.mark.parametrize("first", range(1, 4))
def test_killed_while_a_model_is_rebuilt_each_thing_is_published_once(first: int) -> None:
    """The record of the model says that it is being rebuilt, so the next process begins that once more by itself."""
    fates = Fates(first)

    def kill(service: Service, second: int) -> None:
        record = stopped(service.bus) if second > ASKED else None
        is_asked = record is not None and bool(record.rebuild)
        service.bus.fails = fates if is_asked and service.deaths < MOST_TRIES else None

    with capture_logs() as logs:
        service = serve(3, None, meanwhile=in_slices(kill))
    events = Counter(log["event"] for log in logs)
    assert events["model_rebuild_begun"] > 1
    assert events["model_rebuild_failed"] == 0
    assert stopped(service.bus) is None
    check_all_is_published(service)


class AtAdoption(random.Random):
    """The process ends right after the commit that publishes what a rebuilt model has missed, before its snapshot."""

    def __init__(self, service: Service) -> None:
        super().__init__(0)
        self._service = service
        self.is_over = False

    def random(self) -> float:
        if self.is_over or "evaluate" not in self._service.loops:
            return 1.0
        self.is_over = bool(partition_of(self._service, "m").commits._rebuilt)
        return 0.2 if self.is_over else 1.0


def test_killed_before_its_snapshot_a_rebuilt_model_is_rebuilt_once_more() -> None:
    """What it has published by then is there, and not written again."""

    def kill(service: Service, second: int) -> None:
        if second == ASKED:
            service.bus.fails = AtAdoption(service)

    with capture_logs() as logs:
        service = serve(3, None, meanwhile=in_slices(kill))
    assert service.deaths == 1
    assert sum(log["event"] == "model_rebuilt" for log in logs) == 2
    assert stopped(service.bus) is None
    check_all_is_published(service)


def test_a_rebuild_that_ends_the_process_is_given_up() -> None:
    """It may be the doing of the rebuild: the model stands still again, says why, and may be asked for once more."""

    def kill(service: Service, second: int) -> None:
        if "evaluate" in service.loops and partition_of(service, "m").still.is_rebuilding:
            service.loops.pop("evaluate")

    with capture_logs() as logs:
        service = serve(3, None, meanwhile=in_slices(kill))
        tries = [log["attempt"] for log in logs if log["event"] == "model_rebuild_begun"]
        assert tries == list(range(1, MOST_TRIES + 1))
        record = stopped(service.bus)
        assert record is not None
        assert (record.rebuild, record.tries) == ("", 0)
        assert "interrupted" in record.why
        service.tick_s = 0.0
        service.loops.pop("evaluate")
        for is_lost in (False, True):  # a commit that is lost lets the command be read again
            if is_lost:
                partition_of(service, "m").commits.commands.restore(0)
            for _ in range(4):
                service.now += 1
                service.turn("evaluate")
        assert len(list(copies(service.bus, TOPICS))) == 1
        rebuild(service)
        for _ in range(8):
            service.now += 1
            service.turn("evaluate")
    assert stopped(service.bus) is None
    check_all_is_published(service)


def test_a_command_that_is_not_needed_or_not_readable_changes_nothing() -> None:
    """A model that runs is not rebuilt; a record that is no command, which anybody may write, is passed over."""
    topic, partition = TOPICS.name("commands"), TOPICS.partition_of("m")

    def send(service: Service, second: int) -> None:
        if second == STOPS:
            sender = service.bus.sender()
            sender.send(rebuild_of("m", TOPICS))
            for value in (b"", b"{broken", None):
                sender.send(Outgoing(topic, partition, b"m", value))
            sender.send(Outgoing(topic, partition, b"m", b"{}", (("sd-kind", b"command"), ("sd-version", b"9"))))
            sender.send(encode_entry(Decision("m", "rebuild", "", "", ""), topic, partition))

    with capture_logs() as logs:
        service = serve(3, None, meanwhile=send)
    found = Counter(log["event"] for log in logs if log["event"].startswith("command_"))
    assert found == {"command_refused": 1, "command_unusable": 5}
    assert rebuilds(service.bus) == []
    check_all_is_published(service)


def test_a_fold_that_was_not_stopped_passes_over_a_rebuild() -> None:
    """It counts by pane and is written back with it; nothing else changes, and a restart restores it."""

    def decide(service: Service, second: int) -> None:
        if second in (STOPS, ASKED) and "evaluate" in service.loops:
            decision = command("m", Rebuild(), str(second)).decision
            partition_of(service, "m")._outbox.entries.append(decision)
        if second == ASKED + 10:
            service.loops.pop("evaluate", None)

    with capture_logs() as logs:
        service = serve(3, None, meanwhile=decide)
    assert not [log for log in logs if log["event"].startswith("model_rebuil")]
    panes = [pane for _, pane in rebuilds(service.bus)]
    assert len(panes) == 2
    assert panes == sorted(panes, key=lambda pane: pane or 0)
    check_all_is_published(service)


def test_a_command_counts_as_taken_one_commit_after_its_decision() -> None:
    """A commit that a broker tears may lose the decision and keep the record: the command is then read again."""
    with capture_logs():
        service = serve(3, None)
        damage(service.bus, "m")
        del service.loops["evaluate"]
        positions = Positions(service.bus, TOPICS, "sd.evaluate")
        tp = TopicPartition(TOPICS.name("ledger"), TOPICS.partition_of("m"))
        rebuild(service)
        safe: list[int] = []
        for _ in range(8):
            service.now += 1
            service.turn("evaluate")
            positions.follow()
            safe.append(decode_evaluate(positions.newest(tp) or b"").commands)
    ledger = [r for r in all_of(service.bus, TOPICS.name("ledger")) if b'"rebuild"' in (r.value or b"")]
    assert len(ledger) == 1
    assert safe[0] == 0
    assert safe[-1] == service.bus.end(TopicPartition(TOPICS.name("commands"), tp.partition)) > 0
