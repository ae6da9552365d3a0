"""A restart from snapshots: damaged ones stop their model alone, lost outputs are written again, and no others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

import msgspec
import pytest
from structlog.testing import capture_logs

from monitor.bus.memory import MemoryBus, MemoryWriter
from monitor.bus.port import Committed, Polled
from monitor.events import Outgoing, TopicPartition
from monitor.ledger.position_records import decode_evaluate, decode_model, decode_profile
from monitor.runner.evaluate import EvaluateStage
from monitor.runner.ledger_partition import LedgerPartition
from monitor.runner.parts import USUAL, WORK_US, Since
from monitor.runner.positions import Positions
from tests.commands import rebuild_of
from tests.unit.runner.test_end_to_end import TOPICS, Service, check_once, published, replayed, serve


def restart(service: Service, turns: int = 4) -> None:
    """The evaluate process is killed, and another one comes as far as it can."""
    service.loops.pop("evaluate", None)
    for _ in range(turns):
        service.now += 1
        service.turn("evaluate")


def messages(bus: MemoryBus) -> Counter[tuple[str, str, bytes]]:
    return Counter(published(bus))


def names(bus: MemoryBus) -> set[str]:
    alerts = [msgspec.json.decode(value)["data"]["labels"] for topic, _, value in published(bus) if topic == "alerts"]
    return {f"{labels['alertname']}/{labels.get('model', '')}" for labels in alerts}


def damage(bus: MemoryBus, model: str) -> None:
    """Flip a bit in the middle of every snapshot of a model."""
    log = bus.log(TopicPartition(TOPICS.name("state"), TOPICS.partition_of(model)))
    for i, (key, value) in enumerate(zip(log.keys, log.values, strict=True)):
        if value is not None and (key or b"").endswith(b"/" + model.encode()):
            log.values[i] = (
                value[: len(value) // 2] + bytes([value[len(value) // 2] ^ 1]) + value[len(value) // 2 + 1 :]
            )


def rebuild(service: Service) -> None:
    service.bus.sender().send(rebuild_of("m", TOPICS, str(service.now)))


def test_a_damaged_snapshot_stops_its_model_and_a_rebuild_brings_it_back() -> None:
    """The model's alert names the command; the others go on; after it, all is as if nothing had been."""
    with capture_logs() as logs:
        service = serve(3, None)
        before = messages(service.bus)
        damage(service.bus, "m")
        restart(service)
        assert "ModelStopped/m" in names(service.bus)
        assert sum(log["event"] == "model_stopped" for log in logs) == 1
        restart(service)
        assert sum(log["event"] == "model_stopped" for log in logs) == 1
        rebuild(service)
        for _ in range(6):
            service.now += 1
            service.turn("evaluate")
        assert any(log["event"] == "model_rebuilt" for log in logs)
        restart(service)
    assert sum(log["event"] == "model_stopped" for log in logs) == 1
    after = messages(service.bus)
    assert {k: n for k, n in (after - before).items() if b"ModelStopped" not in k[2]} == {}
    assert after[next(k for k in after if b"ModelStopped" in k[2])] == 1
    check_once(service)


TORN = [
    ("evaluate", "sd.alerts"),
    ("evaluate", "sd.observations"),
    ("evaluate", "sd.positions"),
    ("profile", "sd.ledger"),
    ("profile", "sd.dlq.ml.features"),
    ("profile", "sd.positions"),
]


@pytest.mark.parametrize("loses", TORN, ids="/".join)
@pytest.mark.parametrize("seed", [5, 6])
def test_a_commit_that_a_broker_tore_is_mended(loses: tuple[str, str], seed: int) -> None:
    """What it lost of the outputs is written again; where it lost the position, nothing is written twice."""
    with capture_logs():
        service = serve(seed, None, snapshot_panes=10_000 if loses[0] == "evaluate" else 7, loses=loses)
    assert service.deaths == 1
    check_once(service)
    assert sorted(published(service.bus)) == sorted((m.topic, m.key, m.value) for m in replayed(service))


@pytest.mark.parametrize(
    ("since", "size", "due"),
    [
        (Since(59, 19_999, 99_999, 0), 0, False),
        (Since(60, 0, 0, 0), 0, True),
        (Since(0, 20_000, 0, 0), 0, True),
        (Since(0, 0, 100_000, 0), 0, True),
        (Since(59, 0, 599_999, 0), 2_000_000, False),
        (Since(59, 0, 600_000, 0), 2_000_000, True),
        (Since(0, 0, 0, 299_999), 0, False),
        (Since(0, 0, 0, 300_000), 0, True),
    ],
)
def test_snapshots_are_due_by_panes_records_and_work(since: Since, size: int, due: bool) -> None:
    """The soonest of the three; of work the more, the larger the last snapshot was."""
    assert USUAL.is_due(since, size) is due


def partition_of(service: Service, model: str) -> LedgerPartition:
    stage = service.loops["evaluate"]._stage
    assert isinstance(stage, EvaluateStage)
    return stage._partitions[TopicPartition(TOPICS.name("ledger"), TOPICS.partition_of(model))]


def test_dense_traffic_brings_snapshots_sooner() -> None:
    """The stage counts what a model's detectors cost, and starts again at each snapshot."""
    with capture_logs():
        service = serve(7, None, snapshot_panes=10_000)
        held = partition_of(service, "m")
        assert held.commits.parts.snapshot_of("m") is None
        assert 0 < held.task.models["m"].work_us < WORK_US
        lane = held.task.models["m"]._lanes.by_stream["features"].fold
        assert lane is not None
        lane.work_us += WORK_US
        service.turn("evaluate")
        assert held.commits.parts.snapshot_of("m") is not None
        assert not held.is_due


def test_a_lost_commit_is_taken_back_before_anything_is_published_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said again need not be the same, and must not be taken for what was lost when it is torn, too."""
    commits: list[tuple[set[str], dict[bytes, int]]] = []
    commit = MemoryWriter.commit

    def watched(
        writer: MemoryWriter,
        outgoing: Sequence[Outgoing],
        offsets: Mapping[TopicPartition, Committed],
        polled: Polled | None,
    ) -> dict[TopicPartition, int]:
        places = [o for o in outgoing if o.topic == "sd.positions" and (o.key or b"").startswith(b"sd.profile/")]
        if places and offsets:
            reached = {o.key or b"": decode_profile(o.value or b"").position for o in places}
            commits.append(({o.topic for o in outgoing}, reached))
        return commit(writer, outgoing, offsets, polled)

    monkeypatch.setattr(MemoryWriter, "commit", watched)
    with capture_logs() as logs:
        serve(5, None, snapshot_panes=7, loses=("profile", "sd.ledger"))
    taken_back = [
        (topics, before[key], now[key])
        for (_, before), (topics, now) in pairwise(commits)
        for key in before.keys() & now.keys()
        if now[key] < before[key]
    ]
    assert 0 < len(taken_back) <= [entry["event"] for entry in logs].count("outputs_lost")
    assert {topic for topics, _, _ in taken_back for topic in topics} == {"sd.positions"}


def test_a_snapshot_is_the_low_water_mark() -> None:
    """The committed offset is that of the shared part; no model's lies before it, and the position behind it."""
    with capture_logs():
        service = serve(7, None)
    positions = Positions(service.bus, TOPICS, "sd.evaluate")
    tp = TopicPartition(TOPICS.name("ledger"), TOPICS.partition_of("m"))
    committed = service.bus.group("sd.evaluate").committed[tp]
    value = positions.of(tp, committed)
    assert value is not None
    position = decode_evaluate(value)
    assert position.low is not None
    assert 0 < position.low.position == committed.offset <= position.position
    models = {name: decode_model(record) for name, record in positions.models(tp).items()}
    places = {name: model.snapshot.position for name, model in models.items() if model.snapshot is not None}
    assert "m" in places
    assert position.low.position <= min(places.values())
