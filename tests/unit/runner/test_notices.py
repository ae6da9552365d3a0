"""What profile and the shell have to tell becomes one alert, live and in a replay of the captured log."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable

import pytest

from monitor.bus.memory import MemoryBus
from monitor.bus.reading import read_whole, whole_values
from monitor.codec.canonical import time_text
from monitor.codec.chunks import Assembler
from monitor.config import load
from monitor.errors import StateDivergence
from monitor.evaluate.alerts import Place
from monitor.events import Outgoing, TopicPartition
from monitor.ledger.entries import Notice
from monitor.ledger.entry_codec import decode_entry, encode_entry
from monitor.ledger.ledger_topics import LedgerTopics
from monitor.replay import in_order
from monitor.runner import snapshots
from monitor.runner.evaluate import EvaluateStage
from monitor.runner.loop import Loop
from monitor.runner.parts import PANES, Rhythm
from monitor.runner.profile import ProfileStage
from monitor.runner.topics import create_topics
from monitor.telemetry import get_log
from tests import replaying
from tests.accounts import accounts, check_accounts, positions_of
from tests.references import AtOnce

TOPICS = LedgerTopics("sd.", 2)
PLACE = Place("/s", "http://localhost", "0", "memory")
START = 1_790_000_000_000
CONFIG = load(
    """
version: 1
defaults: {window: {events: 60, every: 20}, lateness: 2s, pane: 2s, interval: 2s}
models:
  m:
    task: regression
    streams: {features: {topic: in}}
    columns: {numerical: [x], categorical: [c, d]}
    reference: {first: 100}
groups:
  - {name: g, models: [m], rules: [{alert: Ks, expr: ks > 0.5, min_events: 20}]}
""",
    "alerts.yaml",
)


def send(bus: MemoryBus, seconds: range, rng: random.Random, is_flooded: bool = False) -> None:
    """A hundred rows a second in each of two partitions; the flood gives `c` another value in every row."""
    sender = bus.sender()
    for second in seconds:
        for i in range(100):
            c = f"c{second}-{i}" if is_flooded else rng.choice("abc")
            stamp = time_text(START + second * 1000 + i * 10)
            event = {"event_id": "e", "model": "m", "event_time": stamp}
            value = json.dumps({**event, "features": {"x": rng.gauss(0, 1), "c": c, "d": rng.choice("abc")}}).encode()
            for p in range(2):
                sender.send(Outgoing("in", p, None, value))


def serve(bus: MemoryBus, snapshot_panes: int = PANES) -> list[Loop]:
    """Both stages, started anew."""
    log = get_log("test")
    evaluate = EvaluateStage(bus, CONFIG, TOPICS, PLACE, AtOnce(), lambda: 0.0, log, Rhythm(snapshot_panes))
    return [
        Loop(bus, ProfileStage(bus, CONFIG, TOPICS, lambda: 0.0, log), "one-profile", lambda: 0.0, 0.0),
        Loop(bus, evaluate, "one-evaluate", lambda: 0.0, 0.0),
    ]


def turn(loops: Iterable[Loop], times: int = 12) -> None:
    for _ in range(times):
        for loop in loops:
            loop.turn(wait_ms=0)


def alerts(bus: MemoryBus) -> list[bytes]:
    return [
        value
        for p in range(TOPICS.partitions)
        for batch in read_whole(bus, TopicPartition("sd.alerts", p))
        for _, value in whole_values(Assembler(), batch)
    ]


def replayed(bus: MemoryBus) -> list[bytes]:
    """The alerts of a replay of the topic, with what a capture takes along."""
    messages = replaying.replayed(bus, TOPICS, [TopicPartition("in", p) for p in range(2)], PLACE)
    return [m.value for m in in_order(messages, TOPICS.partitions) if m.topic == "alerts"]


@pytest.fixture
def bus() -> MemoryBus:
    bus = MemoryBus(clock=lambda: 0, markers=True)
    bus.create("in", 2)
    create_topics(bus, TOPICS, ("in",))
    return bus


def test_a_flood_of_categories_is_one_alert_that_names_bound_model_and_column(bus: MemoryBus) -> None:
    """Both partitions see it in every pane; it is told once, after restarts too, and a replay says the same bytes."""
    rng = random.Random(7)
    send(bus, range(40), rng)
    loops = serve(bus)
    turn(loops)
    assert alerts(bus) == []
    for second in range(40, 60, 5):
        send(bus, range(second, second + 5), rng, is_flooded=True)
        turn(loops)
        loops = serve(bus)
    turn(loops)
    (alert,) = [json.loads(value) for value in alerts(bus) if b"CardinalityLimited" in value]
    assert alert["data"]["labels"] == {
        "alertname": "CardinalityLimited",
        "bound": "categories",
        "column": "c",
        "model": "m",
        "severity": "warning",
        "stream": "features",
    }
    assert alert["time"] == time_text(START + 42_000)
    assert alert["type"] == "streamdrift.notice.v1"
    assert not {"status", "endsAt", "fingerprint"} & set(alert["data"])
    assert sorted(replayed(bus)) == sorted(alerts(bus))


def test_what_retention_has_taken_is_one_alert_that_a_capture_takes_along(bus: MemoryBus) -> None:
    """Offsets that were still needed are gone when profile comes back: it says which, once, and so does a replay."""
    rng = random.Random(8)
    send(bus, range(40), rng)
    turn(serve(bus))
    bus.delete_before(TopicPartition("in", 1), 3990)
    for _ in range(2):
        loops = serve(bus)
        turn(loops)
        send(bus, range(40, 50), rng)
    turn(loops)
    (alert,) = [json.loads(value) for value in alerts(bus)]
    assert alert["data"]["labels"]["alertname"] == "DataLost"
    assert (alert["data"]["labels"]["topic"], alert["data"]["labels"]["partition"]) == ("in", "1")
    assert alert["subject"] == "in/1"
    assert [value for value in replayed(bus) if b"DataLost" in value] == alerts(bus)


@pytest.mark.parametrize("restarts", [False, True])
def test_what_a_running_consumer_has_lost_is_one_alert_and_a_bucket(bus: MemoryBus, restarts: bool) -> None:
    """Retention overtakes profile between two turns: nothing is a gap, and the stream goes on from the log's start."""
    rng = random.Random(8)
    send(bus, range(40), rng)
    loops = serve(bus)
    turn(loops)
    send(bus, range(40, 60), rng)
    for p, start in ((0, 3000), (1, 5500)):  # what partition 0 has lost was folded for good
        bus.delete_before(TopicPartition("in", p), start)
    turn(loops)
    send(bus, range(60, 100), rng)
    if restarts:
        loops = serve(bus)
    turn(loops)
    assert check_accounts(bus, TOPICS, ["in"]) == Counter(pane=18_500, lost=1500)
    assert [account.gaps for account in accounts(bus, TOPICS, ["in"]).values()] == [0, 0]
    (alert,) = [json.loads(value) for value in alerts(bus)]
    assert alert["data"]["labels"] == {
        "alertname": "DataLost",
        "from_offset": "4000",
        "partition": "1",
        "severity": "warning",
        "topic": "in",
    }
    assert "offsets 4000 to 5500 were deleted" in alert["data"]["text"]
    assert [value for value in replayed(bus) if b"DataLost" in value] == alerts(bus)


@pytest.mark.parametrize("seed", [14, 16, 19, 21])
def test_whenever_retention_strikes_every_offset_is_counted_once(bus: MemoryBus, seed: int) -> None:
    """Between turns, before a restart, while it is folded again, and again and again: what is no row is lost."""
    rng = random.Random(seed)
    loops, second = serve(bus), 0
    for _ in range(25):
        step = rng.choice(["send", "turn", "turn", "restart", "delete"])
        if step == "send":
            send(bus, range(second, second + 4), rng)
            second += 4
        elif step == "turn":
            turn(loops, rng.randint(1, 3))
        elif step == "restart":
            loops = serve(bus)
        else:
            tp = TopicPartition("in", rng.randrange(2))
            bus.delete_before(tp, rng.randint(bus.beginning(tp), bus.end(tp)))
    send(bus, range(second, second + 4), rng)
    turn(loops, 30)
    found = accounts(bus, TOPICS, ["in"])
    assert {tp: account.position for tp, account in found.items()} == {tp: bus.end(tp) for tp in found}
    for account in found.values():
        assert (account.difference, account.gaps) == (0, 0)
        assert account.buckets.keys() <= {"pane", "late", "lost", "tombstone", "filtered"}
        assert min(account.buckets.values()) >= 0
    assert sum(account.buckets.get("lost", 0) for account in found.values()) > 0
    assert any(b"DataLost" in value for value in alerts(bus))


def test_retention_that_overtakes_a_restart_is_one_alert(bus: MemoryBus) -> None:
    """While it folds again profile passes over what is gone below its committed position, and then over the rest."""
    rng = random.Random(8)
    send(bus, range(40), rng)
    turn(serve(bus))
    send(bus, range(40, 60), rng)
    low = positions_of(bus, TOPICS, ["in"])[TopicPartition("in", 1)].low.offset
    assert low < 4000
    bus.delete_before(TopicPartition("in", 1), 5500)
    turn(serve(bus))
    assert check_accounts(bus, TOPICS, ["in"]) == Counter(pane=10_500, lost=1500)
    (alert,) = [json.loads(value) for value in alerts(bus)]
    assert f"offsets {low} to 5500 were deleted" in alert["data"]["text"]


def test_a_ledger_that_retention_overtakes_is_a_divergence(bus: MemoryBus) -> None:
    """Evaluate can't go on without what was between."""
    rng = random.Random(8)
    send(bus, range(40), rng)
    profile, evaluate = serve(bus)
    turn([profile, evaluate])
    send(bus, range(40, 60), rng)
    turn([profile])
    ledger = TopicPartition("sd.ledger", TOPICS.partition_of("m"))
    bus.delete_before(ledger, bus.end(ledger))
    with pytest.raises(StateDivergence, match=r"sd\.ledger/\d: the ledger's offsets \d+ to \d+ were deleted"):
        turn([evaluate])


def test_a_snapshot_that_is_too_large_is_one_alert_and_is_written_all_the_same(
    bus: MemoryBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After restarts too; a capture takes the notice along, so a replay says the same bytes."""
    monkeypatch.setattr(snapshots, "MODEL_BYTES", 1000)
    rng = random.Random(9)
    for second in range(0, 120, 20):
        send(bus, range(second, second + 20), rng)
        loops = serve(bus, snapshot_panes=4)
        turn(loops)
    (alert,) = [json.loads(value) for value in alerts(bus)]
    assert alert["data"]["labels"]["bound"] == "snapshot_bytes"
    assert alert["data"]["labels"]["model"] == "m"
    assert bus.end(TopicPartition("sd.state", TOPICS.partition_of("m"))) > 4
    assert replayed(bus) == alerts(bus)


def test_a_notice_goes_through_its_bytes() -> None:
    """The ledger holds it as JSON, under topic and partition like a heartbeat."""
    notice = Notice("m", "RecordQuarantined", 10, "in", 3, (("offset", "7"),), "text")
    outgoing = encode_entry(notice, "sd.ledger", 1)
    assert outgoing.key == b"in/3"
    assert decode_entry(outgoing.headers, outgoing.value or b"") == notice
