"""A damaged ledger entry stops its model alone; what a newer release wrote goes to a process that knows it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from structlog.testing import capture_logs

from monitor.bus.memory import MemoryBus
from monitor.bus.reading import read_whole, records_of
from monitor.errors import NewerRelease
from monitor.events import Headers, Outgoing, Record, TopicPartition
from monitor.exit_codes import ExitCode, exit_code
from monitor.ledger.entry_codec import KIND, VERSION, VERSION_HEADER, kind_of
from monitor.runner.sequences import SEQUENCE
from tests.unit.runner.fleet import TOPICS, Fleet, config, inputs_of, new_bus, published, send


def running() -> Fleet:
    """Both models judged; what they share is a ledger partition only if digests say so."""
    bus = new_bus()
    fleet = Fleet(bus, config())
    fleet.join("evaluate-1")
    fleet.join("profile-1")
    for tp in inputs_of(bus):
        send(bus, tp, [i * 0.2 for i in range(300)])
    fleet.settle()
    return fleet


def newest(bus: MemoryBus, kind: str, key: str) -> Record:
    tp = TopicPartition(TOPICS.name("ledger"), TOPICS.partition_of("w"))
    records = [record for batch in read_whole(bus, tp) for record in records_of(batch)]
    return [r for r in records if kind_of(r.headers) == kind and (r.key or b"").decode().startswith(key)][-1]


def write_next(bus: MemoryBus, like: Record, value: bytes, changed: dict[str, str] | None = None) -> None:
    """One more record of the same writer, with the number that follows its newest one."""
    tp = TopicPartition(like.topic, like.partition)
    numbers = [
        int(dict(r.headers)[SEQUENCE])
        for batch in read_whole(bus, tp)
        for r in records_of(batch)
        if dict(r.headers).get("sd-writer") == dict(like.headers)["sd-writer"]
    ]
    new = {SEQUENCE: str(max(numbers) + 1), **(changed or {})}
    headers: Headers = tuple((name, new[name].encode() if name in new else v) for name, v in like.headers)
    bus.sender().send(Outgoing(like.topic, like.partition, like.key, value, headers))


@pytest.mark.parametrize("damaged", [lambda value: value[:-3], lambda value: b"", lambda value: b"\xc1" + value[1:]])
def test_a_damaged_entry_stops_its_model_alone(damaged: Callable[[bytes], bytes]) -> None:
    """Its alert fires, the process goes on, and the other model is judged to the end; after a restart too."""
    with capture_logs() as logs:
        fleet = running()
        last = newest(fleet.bus, "pane", "w")
        write_next(fleet.bus, last, damaged(last.value or b""))
        for _ in range(4):
            fleet.turn("evaluate-1")
        fleet.join("evaluate-1")
        for tp in inputs_of(fleet.bus):
            send(fleet.bus, tp, [60 + i * 0.2 for i in range(100)])
        fleet.settle()
    assert [log["model"] for log in logs if log["event"] == "model_stopped"] == ["w"]
    stopped = [
        m for m in map(msgspec.json.decode, published(fleet.bus)) if m["data"]["labels"]["alertname"] == "ModelStopped"
    ]
    assert [m["data"]["labels"]["model"] for m in stopped] == ["w"]
    seen = [msgspec.json.decode(value) for value in published(fleet.bus, "observations")]
    assert max(m["time"] for m in seen if m["data"]["model"] == "m") > max(
        m["time"] for m in seen if m["data"]["model"] == "w"
    )


@pytest.mark.parametrize(
    ("kind", "key", "changed"),
    [
        ("pane", "w", {VERSION_HEADER: str(VERSION + 1)}),
        ("watermark", "in.", {VERSION_HEADER: str(VERSION + 1)}),
        ("watermark", "in.", {KIND: "song"}),
    ],
)
def test_what_a_newer_release_wrote_ends_the_process(kind: str, key: str, changed: dict[str, str]) -> None:
    """With an exit code of its own, which is retried: nothing is passed over, and no model is stopped for it."""
    with capture_logs() as logs:
        fleet = running()
        last = newest(fleet.bus, kind, key)
        write_next(fleet.bus, last, last.value or b"", changed)
        with pytest.raises(NewerRelease) as raised:
            fleet.turn("evaluate-1")
    assert exit_code(raised.value) == ExitCode.NEWER
    assert not [log for log in logs if log["event"] == "model_stopped"]


def test_a_damaged_entry_of_no_model_ends_the_process() -> None:
    """A watermark is everybody's: without it nobody can be judged."""
    with capture_logs():
        fleet = running()
        last = newest(fleet.bus, "watermark", "in.")
        write_next(fleet.bus, last, b"{")
        with pytest.raises(NewerRelease, match="belongs to no model"):
            fleet.turn("evaluate-1")
