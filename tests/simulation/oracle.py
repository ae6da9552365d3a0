"""What must hold at the end of a run: it says what a replay of its log says, and keeps its books.

The replay gets the inputs as they stand in the topics, with the heartbeats and activations that the service wrote:
that is what capture takes along.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator

import msgspec
from fastjsonschema import JsonSchemaValueException

from monitor.bus.reading import read_whole, records_of
from monitor.codec.canonical import time_text
from monitor.codec.reasons import QUARANTINED
from monitor.errors import FormatError
from monitor.evaluate.messages import Message
from monitor.events import Record, Rejected, TopicPartition
from monitor.ledger import position_records as positions
from monitor.ledger.commands import Command, id_of
from monitor.ledger.entries import COMMANDS, Decision
from monitor.ledger.entry_codec import decode_command, decode_entry, kind_of
from monitor.replay import Replay, ReplayLog
from monitor.runner.sequences import writer_and_sequence
from monitor.sources.control import control_records, decode_control
from tests.replaying import replay_log
from tests.schemas import check_message
from tests.simulation.bus import START_MS, SimulatedBus
from tests.simulation.configurations import STREAMS
from tests.simulation.processes import PLACE, TOPICS
from tests.simulation.schedule import Schedule
from tests.simulation.traffic import POISON

_Said = Counter[tuple[str, bytes | None, bytes | None]]
OUTPUTS = ("alerts", "incidents", "retraining", "observations")
STOPPED = "ModelStopped"


class Broken(AssertionError):
    """A promise that a run did not keep. `check`: which."""

    def __init__(self, check: str, what: str) -> None:
        super().__init__(f"{check}: {what}")
        self.check = check


class _Replay(Replay):
    """A replay that keeps the rejected rows, too."""

    def __init__(self, log: ReplayLog) -> None:
        super().__init__(log)
        self.rejected: list[Rejected] = []

    def _hand_over(self, tp: TopicPartition) -> list[Message]:
        self.rejected += self._tasks[tp].fold._rejected
        return super()._hand_over(tp)


class Ended:
    """The end of a run: its topics, and its replay."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.bus = schedule.service.bus
        self.inputs = schedule.service.traffic.partitions
        self.published = [(topic, record) for topic in OUTPUTS for record in all_of(self.bus, TOPICS.name(topic))]
        self.events = [(topic, msgspec.json.decode(record.value or b"")) for topic, record in self.published]
        control = decode_control(control_records(self.bus, TOPICS), TOPICS.prefix)
        log = replay_log(control, self.inputs, PLACE, TOPICS.partitions)
        self.replay = _Replay(log)
        self.expected = list(self._replayed())
        self.expected += self.replay.finish({tp: self.bus.end(tp) for tp in self.inputs})

    def _replayed(self) -> Iterator[Message]:
        for new in self.replay.fold(read_whole(self.bus, tp) for tp in self.inputs):
            yield from new


def all_of(bus: SimulatedBus, topic: str) -> Iterator[Record]:
    """Everything that readers see in a topic."""
    for p in range(bus.partitions(topic) or 0):
        for batch in read_whole(bus, TopicPartition(topic, p)):
            yield from records_of(batch)


def came_to_the_end(ended: Ended) -> None:
    """Every task has folded and committed all that there is, within a bounded number of turns."""
    if not ended.schedule.is_quiet():
        raise Broken("liveness", f"after {ended.schedule.world.now:.0f} s not all is folded: {ended.bus.reached}")


def numbers_have_no_gaps(ended: Ended) -> None:
    """Of each writer the sequence numbers in each output partition are 0, 1, 2 and so on; of `firing` they ascend."""
    found: dict[tuple[str, str, int], list[int]] = {}
    ascending: dict[tuple[str, int], int] = {}
    for topic in ("ledger", *OUTPUTS):
        for record in all_of(ended.bus, TOPICS.name(topic)):
            writer, number = writer_and_sequence(record.headers)
            found.setdefault((writer, record.topic, record.partition), []).append(number)
    for record in all_of(ended.bus, TOPICS.name("firing")):  # which is compacted
        writer, number = writer_and_sequence(record.headers)
        if number < ascending.setdefault((writer, record.partition), 0):
            raise Broken("sequence", f"{writer} wrote number {number} of firing/{record.partition} late or twice")
        ascending[writer, record.partition] = number + 1
    for place, numbers in found.items():
        if numbers != list(range(len(numbers))):
            raise Broken("sequence", f"numbers of {place} are {numbers}")


_FIRES = re.compile(rb'"status":"(firing|updated|opened|reopened)"')
_OF_A_PLACE = re.compile(rb'"(source|cluster_id|version)":"[^"]*"|"http://[^"/]*/')


def _anywhere(value: bytes) -> bytes:
    """A message without source, cluster and release, and without the beginning of its links."""
    return _OF_A_PLACE.sub(b"", value)


def firing_is_what_the_alerts_imply(ended: Ended) -> None:
    """The compacted view of `firing` holds the newest message of what fires or is open, and nothing else."""
    newest = {record.key: record.value for record in all_of(ended.bus, TOPICS.name("firing"))}
    found = {key: _anywhere(value) for key, value in newest.items() if value is not None}
    last = {r.key: r.value for topic, r in ended.published if topic in ("alerts", "incidents")}
    expected = {key: _anywhere(value) for key, value in last.items() if value and _FIRES.search(value)}
    if found != expected:
        raise Broken("firing", f"too many {found.keys() - expected.keys()}, missing {expected.keys() - found.keys()}")


def ids_come_once(ended: Ended) -> None:
    """No id is published twice."""
    ids = Counter((topic, event["id"]) for topic, event in ended.events)
    twice = [key for key, times in ids.items() if times > 1]
    if twice:
        raise Broken("once", f"{len(twice)} messages came twice, first {twice[0]}")


def messages_fit_their_schemas(ended: Ended) -> None:
    """Each of a type that is documented, with its fields and no others."""
    for topic, record in ended.published:
        try:
            check_message(record.value or b"")
        except JsonSchemaValueException as error:
            raise Broken("schema", f"{topic} {record.value!r}: {error}") from error


def says_what_a_replay_says(ended: Ended) -> None:
    """Alerts, retraining requests and observations, byte for byte but for what depends on the place."""
    live: _Said = Counter((topic, record.key, _anywhere(record.value or b"")) for topic, record in ended.published)
    expected: _Said = Counter((m.topic, m.key.encode(), _anywhere(m.value)) for m in ended.expected)
    if live != expected:
        missing, extra = expected - live, live - expected
        first = next(iter(missing or extra))
        raise Broken("replay", f"{missing.total()} messages missing, {extra.total()} too many; first {first!r}")


def counts_every_record(ended: Ended) -> None:
    """The buckets of each partition are those of the replay, and add up to its records."""
    newest = {record.key: record.value for record in all_of(ended.bus, TOPICS.name("positions"))}
    replayed = ended.replay.buckets()
    for tp in ended.inputs:
        position = positions.decode_profile(newest[positions.key_of("sd.profile", *tp)] or b"")
        counted, records = sum(position.buckets.values()) + position.held, len(ended.bus.log(tp).offsets)
        if counted != records:
            raise Broken("accounting", f"{tp}: {records} records, {counted} in buckets {position.buckets}")
        if +Counter(position.buckets) != +replayed[tp]:
            raise Broken("accounting", f"{tp}: buckets {position.buckets}, in the replay {dict(replayed[tp])}")


def tells_every_rejected_record(ended: Ended) -> None:
    """One dead letter for each record that the replay rejects, with its reason."""
    live: Counter[tuple[str, ...]] = Counter()
    for topic in ended.schedule.service.inputs:
        for record in all_of(ended.bus, f"sd.dlq.{topic}"):
            headers = {name: value.decode() for name, value in record.headers}
            live[tuple(headers[f"sd-{name}"] for name in ("topic", "partition", "offset", "reason"))] += 1
    expected: Counter[tuple[str, ...]] = Counter(
        (r.topic, str(r.partition), str(r.offset), r.reason) for r in ended.replay.rejected
    )
    if live != expected:
        raise Broken("dead letters", f"missing {dict(expected - live)}, too many {dict(live - expected)}")


def leaves_out_poison_alone(ended: Ended) -> None:
    """A record is quarantined because it ends the process, and never because somebody killed that."""
    for rejected in ended.replay.rejected:
        if rejected.reason == QUARANTINED:
            log = ended.bus.log(TopicPartition(rejected.topic, rejected.partition))
            value = log.values[log.offsets.index(rejected.offset)]
            if value != POISON:
                raise Broken("quarantine", f"{rejected.topic}/{rejected.partition}@{rejected.offset} is {value!r}")


def refuses_no_sound_snapshot(ended: Ended) -> None:
    """A model stands still, or a ledger is folded from its start, where a bit has turned over, and nowhere else."""
    labels = [event["data"].get("labels", {}) for _, event in ended.events]
    stopped = {label["model"] for label in labels if label.get("alertname") == STOPPED}
    damaged = {model for _, model in ended.bus.damaged}
    if sound := sorted(stopped - damaged):
        raise Broken("stopped", f"models stopped whose snapshots nobody has touched: {sound}")
    if sound := sorted(p for p in ended.bus.unusable if (p, "") not in ended.bus.damaged):
        raise Broken("snapshot", f"partitions folded from the start whose snapshots nobody has touched: {sound}")


def answers_every_command_once(ended: Ended) -> None:
    """Each stands in the ledger once, or is refused by a notice; one that came twice, too."""
    asked = {placed.id for placed in _commands(ended)}
    copied = Counter(id_of(decision.digest) for decision in _decisions(ended) if decision.kind in COMMANDS)
    refused = {event["data"]["labels"].get("command") for _, event in ended.events if "labels" in event["data"]}
    if twice := [name for name, times in copied.items() if times > 1]:
        raise Broken("commands", f"copied twice: {twice}")
    if lost := asked - copied.keys() - refused:
        raise Broken("commands", f"neither copied nor refused: {sorted(lost)}")


def answers_what_was_accepted(ended: Ended) -> None:
    """A stretch that was taken to be a reference is one, or is refused, unless its model has been gone since."""
    decisions = [d for d in _decisions(ended) if d.kind in ("accept", "gone") or d.command]
    gone = {decision.model for decision in decisions if decision.kind == "gone"}
    asked = {id_of(d.digest) for d in decisions if d.kind == "accept" and d.model not in gone}
    if lost := asked - {decision.command for decision in decisions}:
        raise Broken("accepted", f"neither a reference nor refused: {sorted(lost)}")


def _decisions(ended: Ended) -> Iterator[Decision]:
    """All that stand in the ledger, but for those in chunks."""
    for record in all_of(ended.bus, TOPICS.name("ledger")):
        if kind_of(record.headers) == "decision" and b"\0" not in (record.key or b""):
            decision = decode_entry(record.headers, record.value or b"")
            if isinstance(decision, Decision):
                yield decision


def _commands(ended: Ended) -> Iterator[Command]:
    for record in all_of(ended.bus, TOPICS.name("commands")):
        try:
            yield decode_command(record.headers, record.value or b"")
        except FormatError:
            continue


def _drifts(lane: dict[str, str]) -> bool:
    """Whether it is the lane in which the drift of its model is to be found."""
    return lane["stream"] == ("features" if "features" in STREAMS[lane["model"]] else "predictions")


FEWEST_ROWS = 100
"""Rows of a reference with which columns are compared: one of event time may have fewer."""


def _begun_since(ended: Ended, since: str) -> set[str]:
    """Models whose lane that drifts started again so late that it had no reference before the drift, or a small one."""
    newest: dict[str, tuple[str, str]] = {}
    compared: dict[str, tuple[str, int]] = {}
    for _, event in ended.events:
        if event["type"] == "streamdrift.lane.v1" and _drifts(event["data"]):
            data = event["data"]
            if data["state"] != "judged":
                newest[data["model"]] = max(newest.get(data["model"], ("", "")), (event["time"], data["state"]))
            else:
                rows = event["time"], data["reference"]["events"]
                compared[data["model"]] = max(compared.get(data["model"], ("", 0)), rows)
    small = {model for model, (_, rows) in compared.items() if rows < FEWEST_ROWS}
    if ended.schedule.service.changed_at < 0:
        return small
    late = small | {model for model, (at, state) in newest.items() if at >= since or state == "waiting"}
    for record in all_of(ended.bus, TOPICS.name("decisions")):  # rules that a process took only then
        model, kind = (record.key or b"").decode().split("/")[:2]
        if record.timestamp >= START_MS + int(ended.schedule.drift_from * 1000) and kind != "trailing":
            late.add(model)
    return late


def finds_the_drift(ended: Ended) -> None:
    """After the last fault windows close in every model, and the drift that was put there is found."""
    since = time_text(START_MS + int(ended.schedule.drift_from * 1000))
    late = _begun_since(ended, since)
    for model in ended.schedule.service.layout.models:
        statuses = [
            (event["time"], event["data"]["status"])
            for topic, event in ended.events
            if topic == "alerts" and event["data"]["labels"].items() >= {"alertname": "Live", "model": model}.items()
        ]
        if model in late:
            continue  # its reference holds the drift
        if not statuses or (statuses[-1][1] == "resolved" and statuses[-1][0] < since):
            raise Broken("liveness", f"the drift of {model} since {since} was not found: {statuses}")


CHECKS: tuple[Callable[[Ended], None], ...] = (
    came_to_the_end,
    numbers_have_no_gaps,
    firing_is_what_the_alerts_imply,
    ids_come_once,
    messages_fit_their_schemas,
    says_what_a_replay_says,
    counts_every_record,
    tells_every_rejected_record,
    leaves_out_poison_alone,
    refuses_no_sound_snapshot,
    answers_every_command_once,
    answers_what_was_accepted,
    finds_the_drift,
)
