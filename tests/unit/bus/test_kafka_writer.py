"""What the transactional writer does round its client, on a client that is not there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import errors as kafka_errors

from monitor.bus import kafka_writer
from monitor.bus.kafka_group import Assignment, Generation
from monitor.bus.kafka_writer import KafkaWriter
from monitor.bus.port import Committed, Polled
from monitor.errors import TransactionFailed
from monitor.events import Outgoing, TopicPartition

TP = TopicPartition("in", 0)


class Producer:
    """Notes its calls, and whether a watchdog was on watch. `fails`: the error that a call or a record brings."""

    def __init__(self, watched: list[str], fails: dict[str, Exception]) -> None:
        self.calls: list[tuple[str, bool]] = []
        self._watched = watched
        self._fails = fails

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: object, **settings: object) -> Any:
            self.calls.append((name, bool(self._watched)))
            if name in self._fails:
                raise self._fails[name]
            return SimpleNamespace(get=self._acknowledged) if name == "send" else None

        return call

    def _acknowledged(self, timeout: float) -> Any:
        if "record" in self._fails:
            raise self._fails["record"]
        return SimpleNamespace(topic="out", partition=0, offset=4)


class Clients:
    def __init__(self, producer: Producer) -> None:
        self._producer = producer

    def producer(self, **settings: object) -> Producer:
        return self._producer

    @contextmanager
    def translated(self, what: str) -> Iterator[None]:
        yield


def writer_on(monkeypatch: pytest.MonkeyPatch, **fails: Exception) -> tuple[KafkaWriter, Producer]:
    watched: list[str] = []

    @contextmanager
    def watchdog(what: str, seconds: float) -> Iterator[None]:
        watched.append(what)
        yield
        watched.pop()

    monkeypatch.setattr(kafka_writer, "watchdog", watchdog)
    producer = Producer(watched, fails)
    clients: Any = Clients(producer)
    return KafkaWriter(clients, "g", "a"), producer


def polled() -> Polled:
    assignment = Assignment()
    return Polled((), frozenset({TP}), frozenset(), 0, Generation(0, "metadata", assignment))


def test_every_call_that_may_hang_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening, beginning, sending, offsets, flushing, committing and closing."""
    writer, producer = writer_on(monkeypatch)
    assert writer.commit([Outgoing("out", 0, None, b"v")], {TP: Committed(1, "")}, polled()) == {("out", 0): 5}
    writer.close()
    assert producer.calls == [
        (call, True)
        for call in (
            "init_transactions",
            "begin_transaction",
            "send",
            "send_offsets_to_transaction",
            "flush",
            "commit_transaction",
            "close",
        )
    ]


CALLS = ("begin_transaction", "send", "send_offsets_to_transaction", "flush", "record", "commit_transaction")


@pytest.mark.parametrize("failing", CALLS)
def test_after_any_failure_there_is_no_other_commit(monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    """Nor an abort: what the client holds of the failed one, offsets too, would leak into the next."""
    writer, producer = writer_on(monkeypatch, **{failing: kafka_errors.KafkaTimeoutError("late")})
    work = ([Outgoing("out", 0, None, b"v")], {TP: Committed(1, "")}, polled())
    with pytest.raises(TransactionFailed, match="late"):
        writer.commit(*work)
    made = list(producer.calls)
    with pytest.raises(TransactionFailed, match="failed before"):
        writer.commit(*work)
    assert producer.calls == made
    writer.close()
    names = [name for name, _ in producer.calls]
    assert "abort_transaction" not in names
    assert ("commit_transaction" in names) == (failing == "commit_transaction")
