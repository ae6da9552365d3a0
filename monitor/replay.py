"""Replay: a log through the same two folds as the service, without bus and clock.

Input partitions are folded in the order of the source, entries go straight from profile to evaluate, and what was
decided while the log was made (heartbeats, sets, grids, references, rules, notices of crashes) is given beforehand, by
offset and pane.

Plain files have no heartbeats but those of their labels (law 6): a partition of labels whose records have all been read
follows the lowest of the features and predictions, so that labels that end early hold back nobody. Until then it is
read as soon as it is behind the others, and holds back nobody either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from monitor.codec.decode import Decoder
from monitor.config.effective import BUILT_IN
from monitor.contract import ModelContract, TopicContract, contract_of_topic
from monitor.evaluate.alerts import Place
from monitor.evaluate.coverage import RuleCoverage
from monitor.evaluate.lane import LaneStanding
from monitor.evaluate.lane_drift import Sight
from monitor.evaluate.messages import Message
from monitor.evaluate.task import EvaluateTask
from monitor.events import Batch, RecordBatch, TopicPartition
from monitor.ledger.entries import Activation, ContractSwitch, Heartbeat, Notice, concerns
from monitor.ledger.ledger_topics import ledger_partition
from monitor.panes.rows import take
from monitor.profile.grids import Grids
from monitor.profile.notices import place_quarantined
from monitor.profile.partition import Drained, PartitionFold
from monitor.profile.task import Decode, Mark, ProfileTask, mark_of
from monitor.sources.interleaving import interleaved
from monitor.sources.table_values import TableDecoder

LEAD_MS = BUILT_IN.max_lead or 0
"""How far a partition may be ahead of the slowest, ms of event time: the service's default."""


@dataclass(frozen=True, slots=True)
class ReplayLog:
    """What a replay is given beside the records.

    `partitions`: all input partitions. `ends`: a plain file ends, so
    what is open is sealed; of a captured log nothing is sealed beyond the last watermark.
    """

    contracts: Sequence[ModelContract]
    partitions: Collection[TopicPartition]
    heartbeats: Sequence[Heartbeat]
    activations: Sequence[Activation]
    place: Place
    ends: bool
    ledger_partitions: int
    filtered: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """The models that read a topic and are not replayed, by topic."""
    switches: Sequence[ContractSwitch] = ()
    topic_contracts: Mapping[str, TopicContract] = field(default_factory=dict)
    """Contracts that `switches` name, by digest; a partition without any has that of `contracts` from the start."""
    notices: Sequence[Notice] = ()
    """Those that no log says again (`is_of_the_run`)."""
    time_range: tuple[int | None, int | None] = (None, None)
    """Rows outside [from, to) of event time (ms) are filtered."""
    label_delays: Mapping[str, int] = field(default_factory=dict)
    """How far behind the end of `time_range` labels may lie, by their topic (ms)."""


class Replay:
    """One replay. Feed it with records in the log's order, then `finish`; messages come as they are decided."""

    def __init__(self, log: ReplayLog) -> None:
        self._log = log
        self._evaluate = EvaluateTask(log.place, log.activations)
        self._grids = Grids(log.activations)
        models = {contract.model for contract in log.contracts}
        read = {stream.topic for contract in log.contracts for stream in contract.streams}
        # a topic that no model reads any more was read under the contracts that its switches name
        under = [(switch.topic, log.topic_contracts[switch.digest].models) for switch in log.switches]
        read |= {topic for topic, contracts in under if models & {contract.model for contract in contracts}}
        tasks = {tp: self._task(tp) for tp in sorted(log.partitions) if tp.topic in read}
        # a partition that no set names was never read
        self._tasks = {tp: task for tp, task in tasks.items() if task.fold.join(log.activations)}
        self._waiting: dict[TopicPartition, list[RecordBatch]] = {}
        self._followed = _followed(log.contracts, self._tasks) if log.ends else {}
        self._coming: dict[int, TopicPartition] = {}
        """The partition of the records that come next, by the number of the sequence; one that has ended has none."""
        read_notices = [n for n in log.notices if concerns(n, models, read)]
        for heartbeat in log.heartbeats:  # each says at which watermark of its partition it counts
            self._evaluate.read(heartbeat)
        self._noticed = [o for n in read_notices for o in self._evaluate.read(n) if isinstance(o, Message)]

    def _task(self, tp: TopicPartition) -> ProfileTask:
        first, switches = self._contracts_of(tp)
        fold = PartitionFold(tp, first.models, self._grids)
        fold.quarantined |= {offset for at, offset in map(place_quarantined, self._log.notices) if at == tp}
        beats = [Mark(h.offset, heartbeat=h) for h in self._log.heartbeats if (h.topic, h.partition) == tp]
        return ProfileTask(fold, self._decoder, [*switches, *beats])

    def _decoder(self, contract: TopicContract) -> Decode:
        filtered = self._log.filtered.get(contract.topic, frozenset())
        start, end = self._log.time_range
        end = None if end is None else end + self._log.label_delays.get(contract.topic, 0)
        return TimeRange(TableDecoder(Decoder(contract.topic, contract.models, filtered)), start, end)

    def _contracts_of(self, tp: TopicPartition) -> tuple[TopicContract, list[Mark]]:
        """What a partition begins with and what it switches to, of the models that are replayed."""
        wanted = {contract.model for contract in self._log.contracts}
        marks = []
        for switch in self._log.switches:
            if (switch.topic, switch.partition) == tp:
                models = [c for c in self._log.topic_contracts[switch.digest].models if c.model in wanted]
                if models:
                    contract = contract_of_topic(tp.topic, models)
                    marks.append(mark_of(switch, contract))
        marks.sort(key=lambda mark: mark.order)
        if not marks or marks[0].contract is None:
            return contract_of_topic(tp.topic, self._log.contracts), []
        return marks[0].contract, marks[1:]

    def fold(self, sequences: Iterable[Iterator[RecordBatch]]) -> Iterator[list[Message]]:
        """Fold all records of the log, the partition that is furthest behind first; then comes `finish`.

        Of a log that ends, labels are in sequences of their own.
        """
        noted = [self._noted(number, batches) for number, batches in enumerate(sequences)]
        for batch in interleaved(noted, self._watermark, self._waiting.__contains__, LEAD_MS):
            yield self.feed(batch) + self._follow()

    def _noted(self, number: int, batches: Iterator[RecordBatch]) -> Iterator[RecordBatch]:
        """The batches of a sequence; which comes next is noted when it is fetched, before the last one is folded."""
        for batch in batches:
            self._coming[number] = batch.tp
            yield batch
        self._coming.pop(number, None)

    def _follow(self) -> list[Message]:
        """Let the labels that have all been read follow their models' other partitions, pane by pane."""
        messages = []
        for tp, others in self._followed.items():
            if tp in self._coming.values():
                continue
            watermarks = [self._tasks[other].fold.watermark for other in others]
            lowest = min((at for at in watermarks if at is not None), default=None)
            if lowest is None or None in watermarks:
                continue
            fold = self._tasks[tp].fold
            if fold.watermark is None or fold.lanes.has_end_between(fold.watermark, lowest):
                fold.end(lowest)
                messages += self._hand_over(tp)
        return messages

    def _watermark(self, tp: TopicPartition) -> int | None:
        # what nobody folds is read at once, and passed over
        return self._tasks[tp].fold.watermark if tp in self._tasks else None

    def feed(self, records: RecordBatch) -> list[Message]:
        """Fold records of one partition: kept while it waits for a grid, and passed over if nobody reads it."""
        if records.tp not in self._tasks:
            return []
        if records.tp in self._waiting:
            self._waiting[records.tp].append(records)
            return []
        return self._fold(records)

    def _fold(self, records: RecordBatch) -> list[Message]:
        self._tasks[records.tp].feed(records)
        task = self._tasks[records.tp]
        if task.fold.waiting and not task.switches_later:  # else the lane may have ended without a grid
            self._waiting[records.tp] = []
        return self._hand_over(records.tp)

    def finish(self, positions: Mapping[TopicPartition, int]) -> list[Message]:
        """The log's end; `positions`: of each partition, where its capture ended (heartbeats may stand there)."""
        messages, self._noticed = self._noticed, []
        for tp, task in self._tasks.items():
            task.reach(positions.get(tp, task.fold.position))
            messages += self._hand_over(tp)
        return messages + self._end() if self._log.ends else messages

    def _end(self) -> list[Message]:
        """Nothing more comes: what is open is sealed, and every partition is as far as the furthest.

        Labels may come long after the last row of all else. That this has ended is no silence.
        """
        messages: list[Message] = []
        done: tuple[list[TopicPartition], int] | None = None
        while True:  # the end of one partition may bring the grid that another waits for, whose records move the end
            ready = [tp for tp in self._tasks if tp not in self._waiting]
            for tp in ready:
                self._tasks[tp].fold.end()
            self._end_silence()
            ends = [task.fold.watermark for task in self._tasks.values()]  # of those that wait, too: they are further
            furthest = max((end for end in ends if end is not None), default=None)
            if furthest is None or done == (ready, furthest):
                return messages
            done = (ready, furthest)
            for tp in ready:
                self._tasks[tp].fold.take_heartbeat(furthest)
                messages += self._hand_over(tp)

    def _end_silence(self) -> None:
        """Let no rule on silence look behind the features and predictions of its model."""
        for contract in self._log.contracts:
            topics = {stream.topic for stream in contract.streams if stream.has_lane}
            ends = [task.fold.watermark for tp, task in self._tasks.items() if tp.topic in topics]
            known = [end for end in ends if end is not None]
            if known and contract.model in self._evaluate.models:
                self._evaluate.models[contract.model].end_silence(max(known))

    def drain(self, tp: TopicPartition) -> Drained:
        """What a partition has put out; a replay that keeps dead letters takes them here."""
        return self._tasks[tp].fold.drain()

    def _hand_over(self, tp: TopicPartition) -> list[Message]:
        """Hand what a partition has put out to evaluate, and new grids back to all partitions that wait for one."""
        drained = self.drain(tp)
        entries = [*drained.panes, *([] if drained.watermark is None else [drained.watermark])]
        outputs = [output for entry in entries for output in self._evaluate.read(entry)]
        outputs += self._evaluate.advance()
        grids = [output for output in outputs if isinstance(output, Activation) and output.decision.kind == "grid"]
        for grid in grids:
            self._grids.add(grid)
        messages = [output for output in outputs if isinstance(output, Message)]
        return messages + (self._spread() if grids else [])

    def _spread(self) -> list[Message]:
        messages = []
        for tp, task in self._tasks.items():
            if task.fold.lanes.lacks_grid:
                task.fold.use_grids()
                messages += self._hand_over(tp)
        for tp in sorted(self._waiting):
            if tp in self._waiting and not self._tasks[tp].fold.waiting:  # else a later grid has let it go on
                for records in self._waiting.pop(tp):
                    messages += self.feed(records)
        return messages

    def lanes(self) -> list[LaneStanding]:
        """How the lanes of all models stand."""
        return [lane for _, fold in sorted(self._evaluate.models.items()) for lane in fold.standings]

    def assumed(self) -> dict[str, list[str]]:
        """Return, by topic, what was taken for granted of the form of its times."""
        found: dict[str, dict[str, None]] = {}
        for tp, task in self._tasks.items():
            found.setdefault(tp.topic, {}).update(task.assumed)
        return {topic: list(notes) for topic, notes in found.items() if notes}

    def coverage(self) -> list[RuleCoverage]:
        """What the rules of all models have judged, or never and why."""
        return [rule for _, fold in sorted(self._evaluate.models.items()) for rule in fold.coverage()]

    def sights(self) -> list[Sight]:
        """How small a shift `drift` can see in each lane that has a rule on it, model by model."""
        return [sight for _, fold in sorted(self._evaluate.models.items()) for sight in fold.sights()]

    def buckets(self) -> dict[TopicPartition, Counter[str]]:
        """Return, by partition, how many records ended in each bucket."""
        return {tp: task.fold.buckets for tp, task in self._tasks.items()}


def _followed(
    contracts: Iterable[ModelContract], partitions: Iterable[TopicPartition]
) -> dict[TopicPartition, list[TopicPartition]]:
    """Return the partitions of labels, each with those of their models' features and predictions."""
    found: dict[TopicPartition, set[TopicPartition]] = {}
    for contract in contracts:
        lanes = {stream.topic: stream.has_lane for stream in contract.streams}
        own = {tp: lanes[tp.topic] for tp in partitions if tp.topic in lanes}
        for tp in (tp for tp, has_lane in own.items() if not has_lane):
            found.setdefault(tp, set()).update(other for other, has_lane in own.items() if has_lane)
    return {tp: sorted(others) for tp, others in found.items() if others}


class TimeRange:
    """Decodes, and puts rows outside [start, end) of event time into the filtered bucket."""

    def __init__(self, decoder: Decode, start: int | None, end: int | None) -> None:
        self._decoder = decoder
        self._start = start if start is not None else -(1 << 62)
        self._end = end if end is not None else 1 << 62

    def decode(self, batch: RecordBatch) -> Batch:
        decoded = self._decoder.decode(batch)
        inside = [(rows.time >= self._start) & (rows.time < self._end) for rows in decoded.rows]
        if all(mask.all() for mask in inside):
            return decoded
        outside = [rows.offset[~mask] for rows, mask in zip(decoded.rows, inside, strict=True)]
        kept = [take(rows, mask) for rows, mask in zip(decoded.rows, inside, strict=True) if mask.any()]
        filtered = np.sort(np.concatenate([decoded.filtered, *outside]))
        return replace(decoded, rows=tuple(kept), filtered=filtered)


def in_order(messages: Iterable[Message], ledger_partitions: int) -> list[Message]:
    """Messages by (pane end, partition, model, key): one order, however they were folded."""
    return sorted(messages, key=lambda m: (m.at, ledger_partition(m.model, ledger_partitions), m.model, m.key))
