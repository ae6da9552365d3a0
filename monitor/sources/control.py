"""What the service decided while a log was made: activations from `decisions`; from the ledger heartbeats, and those
notices that no log says again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, fields
from itertools import groupby, islice

import msgspec

from monitor.bus.port import Bus
from monitor.bus.reading import read_whole, records_of
from monitor.codec.chunks import Assembler
from monitor.contract import ModelContract, TopicContract
from monitor.errors import FormatError
from monitor.evaluate.decisions import RulesContent
from monitor.events import Record, RecordBatch, TopicPartition
from monitor.ledger.entries import Activation, ContractSwitch, Heartbeat, Notice, concerns, is_of_the_run
from monitor.ledger.entry_codec import CONTRACT, decode_agreement, decode_entry, kind_of
from monitor.ledger.ledger_topics import LedgerTopics

_OF_THE_LEDGER = ("heartbeat", "contractswitch", "notice")


@dataclass(frozen=True, slots=True)
class Control:
    """Control records as values. `contracts`: those of the newest rules, by model."""

    activations: tuple[Activation, ...]
    heartbeats: tuple[Heartbeat, ...]
    notices: tuple[Notice, ...] = ()
    switches: tuple[ContractSwitch, ...] = ()
    topic_contracts: tuple[TopicContract, ...] = ()

    @property
    def contracts(self) -> tuple[ModelContract, ...]:
        newest: dict[str, ModelContract] = {}
        for activation in self.activations:
            if activation.decision.kind == "rules":
                content = msgspec.json.decode(activation.decision.content, type=RulesContent)
                newest[activation.decision.model] = content.contract
        return tuple(newest[model] for model in sorted(newest))

    def joined(self, other: Control) -> Control:
        """Both together, each record once."""
        both = ((getattr(self, part.name), getattr(other, part.name)) for part in fields(self))
        return Control(*(tuple(dict.fromkeys(ours + theirs)) for ours, theirs in both))

    def of(self, topics: Iterable[str]) -> Control:
        """Return what is about models that read one of the topics, and about these topics."""
        inputs = set(topics)
        models = {c.model for c in self.contracts if any(stream.topic in inputs for stream in c.streams)}
        return Control(
            tuple(a for a in self.activations if a.decision.model in models),
            tuple(h for h in self.heartbeats if h.topic in inputs),
            tuple(n for n in self.notices if concerns(n, models, inputs)),
            tuple(s for s in self.switches if s.topic in inputs),
            tuple(c for c in self.topic_contracts if c.topic in inputs),
        )


def control_records(bus: Bus, topics: LedgerTopics) -> list[Record]:
    """All control records on a bus as they stand there; none where the service never ran."""
    records: list[Record] = []
    decisions, ledger = topics.name("decisions"), topics.name("ledger")
    for topic in (decisions, ledger):
        for p in range(bus.partitions(topic) or 0):
            for batch in read_whole(bus, TopicPartition(topic, p)):
                records += [record for record in records_of(batch) if topic == decisions or _is_carried(record)]
    return records


def _is_carried(record: Record) -> bool:
    """Return true if a ledger record goes with a captured log; a chunk of a large value never does."""
    kind = kind_of(record.headers)
    if kind != "notice" or record.value is None:
        return kind in _OF_THE_LEDGER
    entry = decode_entry(record.headers, record.value)
    return isinstance(entry, Notice) and is_of_the_run(entry)


def _is_of_a_topic(record: Record) -> bool:
    return kind_of(record.headers) in _OF_THE_LEDGER


def is_about(record: Record, models: Collection[str], topics: Collection[str]) -> bool:
    """Return true if a control record is of one of the models, or of one of the input topics."""
    key = (record.key or b"").decode("utf-8", "replace")
    notice = decode_entry(record.headers, record.value or b"") if kind_of(record.headers) == "notice" else None
    if isinstance(notice, Notice):
        return concerns(notice, models, topics)
    if _is_of_a_topic(record):
        return key.rpartition("/")[0] in topics
    if kind_of(record.headers) == CONTRACT:
        return key.split("/")[1] in topics
    return key.partition("/")[0] in models


def decode_control(records: Iterable[Record], prefix: str) -> Control:
    """The values of control records, as a bus or a captured log holds them."""
    assembler = Assembler(compacted=True)
    activations: list[Activation] = []
    heartbeats: dict[Heartbeat, None] = {}  # each stands in the ledger partitions of all its models
    switches: dict[ContractSwitch, None] = {}
    contracts: list[TopicContract] = []
    notices: dict[Notice, None] = {}
    for record in records:
        value = assembler.feed(record)
        if value is None:
            continue
        if record.topic == prefix + "decisions":
            agreed = decode_agreement(record.headers, value)
            if isinstance(agreed, Activation):
                activations.append(agreed)
            else:
                contracts.append(agreed)
            continue
        entry = decode_entry(record.headers, value)
        if isinstance(entry, Heartbeat):
            heartbeats[entry] = None
        elif isinstance(entry, ContractSwitch):
            switches[entry] = None
        elif isinstance(entry, Notice):
            notices[entry] = None
        else:
            raise FormatError(f"{record.topic}/{record.partition}@{record.offset} is no control record")
    return Control(tuple(activations), tuple(heartbeats), tuple(notices), tuple(switches), tuple(contracts))


def in_batches(records: Iterable[Record], most: int = 5000) -> Iterator[RecordBatch]:
    """Records as batches: of `most` records in a row, those of each partition with one kind of stamp together.

    A replay may fold partitions in any order, but each in its own.
    """
    rest = iter(records)
    while some := list(islice(rest, most)):
        held: dict[tuple[str, int], list[Record]] = {}
        for record in some:
            held.setdefault((record.topic, record.partition), []).append(record)
        for part in held.values():
            for _, alike in groupby(part, key=lambda record: record.log_append_time):
                yield _batch(list(alike))


def _batch(records: list[Record]) -> RecordBatch:
    first = records[0]
    _topics, _partitions, offsets, timestamps, keys, values, headers, _stamped = zip(*records, strict=True)
    return RecordBatch(
        first.topic,
        first.partition,
        list(offsets),
        list(timestamps),
        list(keys),
        list(values),
        list(headers),
        first.log_append_time,
    )
