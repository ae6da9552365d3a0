"""What a broker has lost of a commit is written again, wherever it went; what is there is not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from monitor.bus.memory import MemoryBus
from monitor.bus.port import Committed, Polled
from monitor.bus.reading import read_whole, records_of, whole_values
from monitor.codec.canonical import time_text
from monitor.codec.chunks import Assembler
from monitor.config import load
from monitor.config.resolved import Config
from monitor.contract import ColumnSpec, Keys, StreamContract, TopicContract
from monitor.errors import TransactionFailed
from monitor.events import OffsetRange, Outgoing, TopicPartition
from monitor.ledger.entries import ContractSwitch, PartitionSet
from monitor.ledger.entry_codec import decode_agreement, decode_entry, encode_entry
from monitor.ledger.ledger_topics import LedgerTopics
from monitor.ledger.position_records import ModelPosition, ProfilePosition, RowState
from monitor.panes.keyed import PART_ROWS
from monitor.panes.open_keyed import OpenKeyed
from monitor.panes.rows import empty
from monitor.runner.contracts import contracts_of
from monitor.runner.loop import Loop
from monitor.runner.profile import ProfileStage
from monitor.runner.reconcile import KEYED, PANE, Name, Present, to_go_on_from
from monitor.runner.sequences import Sequencer
from monitor.runner.topics import create_topics
from monitor.telemetry import get_log
from tests.sets import name_partitions

TOPICS = LedgerTopics("sd.", 1)
TEXT = """
version: 1
models:
  m: {task: regression, streams: {features: {topic: in}}, columns: {numerical: [x]}, reference: {first: 10}}
"""
CONFIG = load(TEXT, "alerts.yaml")


def a_bus(partitions: int = 1) -> MemoryBus:
    """The topic that the model reads, with as many partitions of dead letters, and what evaluate decides of it."""
    bus = MemoryBus(lambda: 1_790_000_000_000)
    bus.create("in", partitions)
    bus.create("sd.dlq.in", partitions)
    create_topics(bus, TOPICS, ("in",))
    name_partitions(bus, TOPICS, "m", PartitionSet({"features": ("in", partitions)}))
    return bus


def begun(bus: MemoryBus, config: Config = CONFIG) -> Loop:
    """Profile, started anew."""
    return Loop(bus, ProfileStage(bus, config, TOPICS, lambda: 0.0, get_log("test")), "one", lambda: 0.0, 0.0)


def turn(loop: Loop) -> None:
    for _ in range(4):
        loop.turn(wait_ms=0)


def dead_letters(bus: MemoryBus) -> list[bytes | None]:
    partitions = range(bus.partitions("sd.dlq.in") or 0)
    return [v for p in partitions for batch in read_whole(bus, TopicPartition("sd.dlq.in", p)) for v in batch.values]


def test_a_dead_letter_is_not_lost_where_the_process_saw_fewer_partitions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Brokers may tell of a topic as it was: then what is written does not go where the process before wrote."""
    bus = a_bus(partitions=2)
    good = json.dumps({"event_id": "e", "model": "m", "event_time": time_text(1_790_000_000_000), "features": {"x": 1}})
    bus.sender().send(Outgoing("in", 1, None, good.encode()))
    turn(begun(bus))

    partitions = bus.partitions
    monkeypatch.setattr(bus, "partitions", lambda topic: 1 if topic == "sd.dlq.in" else partitions(topic))
    loop = begun(bus)
    commit = loop._writer.commit

    def torn(
        outgoing: Sequence[Outgoing], offsets: Mapping[TopicPartition, Committed], polled: Polled | None
    ) -> Mapping[TopicPartition, int]:
        left = [o for o in outgoing if o.topic != "sd.dlq.in"]
        ends = commit(left, offsets, polled)
        if len(left) < len(outgoing):
            raise TransactionFailed("the broker crashed, and the dead letters with it")
        return ends

    monkeypatch.setattr(loop._writer, "commit", torn)
    bus.sender().send(Outgoing("in", 1, None, b"{"))
    with pytest.raises(TransactionFailed):
        turn(loop)
    monkeypatch.undo()
    assert not dead_letters(bus)
    turn(begun(bus))
    turn(begun(bus))
    assert dead_letters(bus) == [b"{"]


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_first_commit_that_has_lost_its_contract_is_made_again(
    goes_on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the process that made it, if that goes on, else by the next: no output was published before it."""
    bus = a_bus()
    loop = begun(bus)
    commit = loop._writer.commit

    def torn(
        outgoing: Sequence[Outgoing], offsets: Mapping[TopicPartition, Committed], polled: Polled | None
    ) -> Mapping[TopicPartition, int]:
        monkeypatch.undo()
        ends = commit([o for o in outgoing if o.topic != "sd.decisions"], offsets, polled)
        assert contracts_in(bus) == []
        if not goes_on:
            raise TransactionFailed("the broker crashed, and the contract with it")
        return ends

    monkeypatch.setattr(loop._writer, "commit", torn)
    if not goes_on:
        with pytest.raises(TransactionFailed):
            turn(loop)
        loop = begun(bus, load(TEXT.replace("[x]", "[x, y]"), "alerts.yaml"))
    bus.sender().send(Outgoing("in", 0, None, b"{"))
    turn(loop)
    (contract,) = contracts_in(bus)
    assert len(contract.models[0].streams[0].columns) == (1 if goes_on else 2)
    assert len(dead_letters(bus)) == 1


@pytest.mark.parametrize("ends_again", [False, True], ids=["goes on", "ends when the lost commit is taken back"])
def test_a_switch_that_is_lost_behind_the_low_water_mark_is_made_again_where_it_was(
    ends_again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was rejected behind it, because a model had gone, is there, and was under no other contract."""
    of_one = TEXT.replace("{first: 10}", "{first: 1000}").replace("{task", "{pane: 10s, lateness: 1s, task")
    of_two = of_one + of_one.splitlines()[-1].replace("m:", "n:") + "\n"
    bus, now = a_bus(), [0.0]
    name_partitions(bus, TOPICS, "n", PartitionSet({"features": ("in", 1)}))
    stage = ProfileStage(bus, load(of_two, "alerts.yaml"), TOPICS, lambda: now[0], get_log("test"))
    loop = Loop(bus, stage, "one", lambda: now[0], 1000.0)

    def send(model: str, second: int) -> None:
        row = {"event_id": "e", "model": model, "event_time": time_text(1_790_000_000_000 + 1000 * second)}
        bus.sender().send(Outgoing("in", 0, None, json.dumps({**row, "features": {"x": 1}}).encode()))

    send("m", 0)
    turn(loop)
    loop.reload(load(of_one, "alerts.yaml"))
    turn(loop)
    now[0] += 100.0
    send("m", 1)
    loop.turn(wait_ms=0)  # takes the contract of one model behind the second row
    for model, second in [("n", 2), *(("m", second) for second in range(3, 60))]:
        send(model, second)
    loop.turn(wait_ms=0)
    commit = loop._writer.commit

    def torn(
        outgoing: Sequence[Outgoing], offsets: Mapping[TopicPartition, Committed], polled: Polled | None
    ) -> Mapping[TopicPartition, int]:
        commit([o for o in outgoing if o.topic != "sd.ledger"], offsets, polled)
        raise TransactionFailed("the broker crashed, and the ledger with it")

    monkeypatch.setattr(loop._writer, "commit", torn)
    with pytest.raises(TransactionFailed):
        loop.turn(wait_ms=0)
    assert len(dead_letters(bus)) == 1
    if ends_again:
        end_with_the_next_commit(begun(bus, load(of_one, "alerts.yaml")))
    turn(begun(bus, load(of_one, "alerts.yaml")))
    assert len(dead_letters(bus)) == 1
    assert [entry.offset for entry in switches_in(bus)] == [0, 2]


def end_with_the_next_commit(loop: Loop) -> None:
    """Take turns until something is committed, and no more."""
    commit = loop._writer.commit

    def last(
        outgoing: Sequence[Outgoing], offsets: Mapping[TopicPartition, Committed], polled: Polled | None
    ) -> Mapping[TopicPartition, int]:
        commit(outgoing, offsets, polled)
        raise TransactionFailed("the process was killed behind its commit")

    loop._writer.commit = last  # type: ignore[method-assign]
    with pytest.raises(TransactionFailed):
        turn(loop)


@pytest.mark.parametrize("before", [0, 1, 2])
def test_a_switch_at_the_position_is_made_again_only_if_it_has_yet_to_come(before: int) -> None:
    """Several may have been at one offset, and the newest of them has left the first one's ledger partition alone.

    Those that have been are published again, because another ledger partition may lack them.
    """
    bus, writer = a_bus(), "sd.profile/in/0"
    switches = [ContractSwitch("in", 0, 9, 20, digest, nth=nth) for nth, digest in ((1, "a"), (2, "b"))]
    entries = [encode_entry(switch, "sd.ledger", 0) for switch in switches]
    bus.write(Sequencer(writer).number(entries), markers=False)
    contract = ("", "a", "b")[before]
    last = ProfilePosition("", RowState(9), 9, 0, 0, 20, 20, 20, "", contract, switched=before)
    known = to_go_on_from(bus, writer, [TopicPartition("sd.ledger", 0)], last)
    assert [switch.digest for switch in known.switches] == ["a", "b"][before:]
    assert [switch.digest for switch in known.past_switches] == ["a", "b"][:before]
    assert Present(switches=known.present.switches).is_beyond(last, [], {})  # so no other is taken yet


def switches_in(bus: MemoryBus) -> list[ContractSwitch]:
    records = (r for batch in read_whole(bus, TopicPartition("sd.ledger", 0)) for r in records_of(batch))
    entries = [decode_entry(record.headers, record.value or b"") for record in records]
    return [entry for entry in entries if isinstance(entry, ContractSwitch)]


def contracts_in(bus: MemoryBus) -> list[TopicContract]:
    assembler = Assembler(compacted=True)
    batches = read_whole(bus, TopicPartition("sd.decisions", 0))
    agreed = [decode_agreement(r.headers, v) for batch in batches for r, v in whole_values(assembler, batch)]
    return [found for found in agreed if isinstance(found, TopicContract)]


@pytest.mark.parametrize(
    ("lane", "start", "end", "beyond"),
    [("a", 20, 9, True), ("b", 20, 9, False), ("b", 24, 9, False), ("b", 24, 10, True), ("b", 24, 6, True)],
)
def test_only_panes_of_the_lane_that_waits_are_taken_for_those_to_come(
    lane: str, start: int, end: int, beyond: bool
) -> None:
    """A partition that waits for the grid of a lane has sealed the panes of the lane that it left.

    Those of a lane to come hold rows that have yet to be folded: behind the position, or waiting there.
    """
    models = {"m": ModelPosition(blocked_at=5)}
    position = ProfilePosition("", RowState(9), 9, 0, 0, 26, 26, 26, "", "", models=models)
    name: Name = (PANE, "m", "features", lane, start, start + 4)
    rows = {name: OffsetRange("in", 0, 4, end)}
    for names in ({name}, {name, (KEYED, *name[1:], 0)}):
        present = Present(names={"sd.ledger/0": set(names)}, rows=rows)
        assert present.is_beyond(position, [5] if end == 6 else [], {"m": ("a", 4)}) is beyond


@pytest.mark.parametrize("kept", ["rejected", "sealed"])
def test_a_partition_that_waits_for_a_grid_reads_on_to_what_it_had_written(kept: str) -> None:
    """The grid may be that of a lane that alerts.yaml has left: then only another contract ends the wait.

    What is there of the commit that is lost lies behind the pane that waits: a dead letter, or panes of another model.
    """
    of_one = TEXT.replace("{task", "{pane: 10s, lateness: 1s, task")
    both = load(of_one + of_one.splitlines()[-1].replace("m:", "n:") + "\n", "alerts.yaml")
    bus = a_bus()
    name_partitions(bus, TOPICS, "n", PartitionSet({"features": ("in", 1)}))
    loop = begun(bus, both)
    commit = loop._writer.commit

    def torn(
        outgoing: Sequence[Outgoing], offsets: Mapping[TopicPartition, Committed], polled: Polled | None
    ) -> Mapping[TopicPartition, int]:
        left = [o for o in outgoing if (o.topic == "sd.dlq.in" if kept == "rejected" else o.key == b"n")]
        if not left:
            return commit(outgoing, offsets, polled)
        commit(left, {}, None)
        raise TransactionFailed("the broker crashed, and the rest of the commit with it")

    loop._writer.commit = torn  # type: ignore[method-assign]
    for second in range(100):
        for model in ("m", "n") if second % 10 == 0 else ("m",):
            event = {"event_id": "e", "model": model, "event_time": time_text(1_790_000_000_000 + second * 1000)}
            bus.sender().send(Outgoing("in", 0, None, json.dumps(event | {"features": {"x": 1}}).encode()))
    bus.sender().send(Outgoing("in", 0, None, b"{"))
    with pytest.raises(TransactionFailed):
        turn(loop)

    loop = begun(bus, both)
    stage = loop._stage
    assert isinstance(stage, ProfileStage)
    stage.max_records = 10
    for _ in range(30):
        turn(loop)
    held = stage._inputs[TopicPartition("in", 0)]
    assert held.life.state == "blocked"
    assert held.may_take(contracts_of(load(of_one.replace("[x]", "[x, z]"), "alerts.yaml"))["in"])
    assert dead_letters(bus) == ([b"{"] if kept == "rejected" else [])


def test_each_part_of_the_keyed_rows_of_a_pane_is_an_output_of_its_own() -> None:
    """What is there of a pane is told apart from what is lost by model, stream, times and part."""
    stream = StreamContract("labels", "in", "event_time", (ColumnSpec("label", "y", "categorical"),), keys=Keys("id"))
    opened, n = OpenKeyed(stream, Keys("id")), PART_ROWS + 1
    places = np.arange(n)
    rows = replace(
        empty("m", stream, "lane"),
        offset=places,
        time=places,
        part=np.zeros(n, dtype=np.int32),
        numeric=np.zeros((n, 0)),
        numeric_states=np.zeros((n, 0), dtype=np.uint8),
        categorical=(["a"] * n,),
        categorical_states=np.zeros((n, 1), dtype=np.uint8),
        ids=places.astype(np.uint64) + np.uint64(1),
    )
    opened.add(rows)
    parts = list(opened.seal(rows, TopicPartition("in", 0), 7, 10))
    first, second = (encode_entry(part, "sd.ledger", 0) for part in parts)
    named = (KEYED, "m", "labels", "lane", 70, 80)
    assert Present(names={"sd.ledger/0": {(*named, 0)}}).without([first, second]) == [second]
    assert Present(names={"sd.ledger/0": {(*named, 1)}}).without([first, second]) == [first]
