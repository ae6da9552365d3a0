"""A damaged ledger entry stops its model alone; what a newer release wrote goes to a process that knows it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from structlog.testing import capture_logs

from monitor.bus.memory import MemoryBus
from monitor.bus.reading import read_whole, records_of
from monitor.config import load
from monitor.errors import NewerRelease
from monitor.events import Headers, Outgoing, Record, TopicPartition
from monitor.exit_codes import ExitCode, exit_code
from monitor.ledger.entry_codec import KIND, VERSION, VERSION_HEADER, kind_of
from monitor.runner.sequences import SEQUENCE
from tests.commands import rebuild_of
from tests.unit.runner.fleet import CONFIG, TOPICS, Fleet, config, inputs_of, new_bus, published, send


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


def write_next(bus: MemoryBus, like: Record, value: bytes | None, changed: dict[str, str] | None = None) -> None:
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


Damage = Callable[[bytes], bytes | None]
DAMAGES: list[Damage] = [
    lambda value: value[:-3],
    lambda value: b"",
    lambda value: b"\xc1" + value[1:],
    lambda value: b"[]",
    lambda value: None,
]


@pytest.mark.parametrize("kind", ["pane", "raw"])
@pytest.mark.parametrize("damaged", DAMAGES)
def test_a_damaged_entry_stops_its_model_alone(damaged: Damage, kind: str) -> None:
    """Its alert fires, the process goes on, and the other model is judged to the end; after a restart too."""
    with capture_logs() as logs:
        fleet = running()
        last = newest(fleet.bus, kind, "w")
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


@pytest.mark.parametrize("damaged", DAMAGES)
def test_a_damaged_decision_stops_its_model_alone(damaged: Damage) -> None:
    """New rules that can't be read when they come back from the ledger."""
    with capture_logs() as logs:
        fleet = running()
        tp = TopicPartition(TOPICS.name("ledger"), TOPICS.partition_of("w"))
        log = fleet.bus.log(tp)
        before = len(log.values)
        for loop in fleet.loops.values():
            loop.reload(load(CONFIG.replace("psi > 0.8", "psi > 0.7"), "alerts.yaml"))
        fleet.turn("evaluate-1")
        (rules,) = [i for i in range(before, len(log.values)) if kind_of(log.headers[i]) == "decision"]
        log.values[rules] = damaged(log.values[rules] or b"")
        for _ in range(4):
            fleet.turn()
    assert [entry["model"] for entry in logs if entry["event"] == "model_stopped"] == ["w"]
    (alert,) = map(msgspec.json.decode, published(fleet.bus))
    assert (alert["data"]["labels"]["alertname"], alert["data"]["labels"]["model"]) == ("ModelStopped", "w")


def test_the_rebuild_of_a_model_whose_ledger_is_damaged_fails_and_says_why() -> None:
    """As often as it is asked for; the model stands still as before, and the other one goes on."""
    with capture_logs() as logs:
        fleet = running()
        last = newest(fleet.bus, "pane", "w")
        write_next(fleet.bus, last, None)
        place = f"{last.topic}/{last.partition}@{newest(fleet.bus, 'pane', 'w').offset}"
        for nonce in "ab":
            fleet.bus.sender().send(rebuild_of("w", TOPICS, nonce))
            for _ in range(8):
                fleet.now += 0.5
                fleet.turn()
    events = [(entry["event"], entry.get("why", "")) for entry in logs if "rebuil" in entry["event"]]
    failed = "model_rebuild_failed", f"its rebuild failed: the ledger entry {place} is damaged: it has no value"
    assert events == [("model_rebuild_begun", ""), failed] * 2


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


@pytest.mark.parametrize("value", [b"{", b"", b"[]", None])
def test_a_damaged_entry_of_no_model_ends_the_process(value: bytes | None) -> None:
    """A watermark is everybody's: without it nobody can be judged."""
    with capture_logs():
        fleet = running()
        last = newest(fleet.bus, "watermark", "in.")
        write_next(fleet.bus, last, value)
        with pytest.raises(NewerRelease, match="belongs to no model"):
            fleet.turn("evaluate-1")
