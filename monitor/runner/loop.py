"""One process of one stage: poll, fold, commit. The stage says what to fold and what to publish.

Crash only: after any doubt about a transaction the process ends. What was folded under an assignment that has changed
is discarded with its tasks, and they begin again from what is committed. Records that end the process are found by the
marks of `guard.py`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol

from monitor.bus.port import Bus, Committed, Consumer, Polled
from monitor.config.resolved import Config
from monitor.errors import StaleGeneration, StateDivergence
from monitor.events import OffsetRange, Outgoing, RecordBatch, TopicPartition
from monitor.runner.guard import Guard
from monitor.runner.positions import Positions
from monitor.runner.witness import NoWitness, Witness

POLL_MS = 1000
"""How long a poll may wait for data; it returns at once when there is some."""
MAX_RECORDS = 5000
MAX_ALONE = 200
"""Records of a poll while some are folded one by one, each in a transaction: so that a turn stays short."""


@dataclass(frozen=True, slots=True)
class Work:
    """What one transaction publishes and commits."""

    outgoing: list[Outgoing]
    offsets: Mapping[TopicPartition, Committed]


class Stage(Protocol):
    """A stage of the service, as its loop drives it; all calls come from one thread."""

    group: str
    positions: Positions
    max_records: int
    """Records of a turn: what they cost must stay far below the time that the group waits for the next poll."""

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics that the stage consumes."""

    def begin(self, tp: TopicPartition, committed: Committed | None) -> int:
        """A partition was assigned; returns the offset to read from. It has begun nothing if it raises."""

    def position(self, tp: TopicPartition) -> int:
        """The committed position of a partition; records before it are folded again."""

    def drop(self, tp: TopicPartition) -> None:
        """A partition went to somebody else, with all its state."""

    def feed(self, records: RecordBatch) -> None:
        """Records of an assigned partition, following those before."""

    @property
    def hurries(self) -> bool:
        """True if `tick` has more to do at once, so that a poll does not wait for records."""

    def quarantine(self, record: RecordBatch) -> None:
        """One record, in the place of `feed`: it has ended the process again and again, and is left out."""

    def lose(self, lost: OffsetRange, end: int) -> None:
        """Records that follow those before were deleted before they were read; pass over them, up to `end` for now."""

    def reach(self, tp: TopicPartition, position: int) -> None:
        """All records of the partition below `position` have been fed."""

    def tick(self) -> None:
        """Called once a turn, after all records."""

    def paused(self) -> frozenset[TopicPartition]:
        """Partitions that are not to be read now."""

    def limits(self) -> Mapping[TopicPartition, int]:
        """Partitions that are not to be fed from an offset on, for now: what a poll brings from there is read again."""

    def take_work(self) -> Work | None:
        """What there is to commit, or None. It is handed out once, and asked for until there is no more."""

    def reload(self, config: Config) -> None:
        """Another alerts.yaml from now on; raises ConfigurationError, and keeps the old one, if that can't be."""

    def begin_again(self) -> frozenset[TopicPartition]:
        """Partitions that are to be dropped and begun again, right after a commit."""

    def confirm(self, ends: Mapping[TopicPartition, int]) -> None:
        """The work handed out last is committed. `ends`: the offset behind the last record of each output partition."""


class Loop:
    """Drives a stage until `stopping` says so. `clock`: seconds, monotonic. `alone`, `witness`: see `guard.py`."""

    def __init__(
        self,
        bus: Bus,
        stage: Stage,
        instance: str,
        clock: Callable[[], float],
        commit_interval_s: float,
        alone: int = MAX_RECORDS,
        witness: Witness | None = None,
    ) -> None:
        self._stage = stage
        self._clock = clock
        self._commit_interval_s = commit_interval_s
        self._consumer: Consumer = bus.consumer(stage.group, stage.topics, instance)
        self._writer = bus.writer(stage.group, instance)
        self._witness = witness or NoWitness()
        self._guard = Guard(stage.positions, instance, alone, self._witness)
        self._known: set[TopicPartition] = set()
        self._next: dict[TopicPartition, int] = {}
        self._committed_at = clock()
        self.joined = False
        """True if the group has given its share to this process, even if that is nothing."""
        self.transactions = 0

    def run(self, stopping: Callable[[], bool], between: Callable[[], None] = lambda: None) -> None:
        """Turn after turn; at the end what is folded is committed and the group is left. `between`: after each turn."""
        try:
            while not stopping():
                self.turn()
                between()
            self.turn(wait_ms=0, last=True)
        finally:
            self._writer.close()
            self._consumer.close()

    def reload(self, config: Config) -> None:
        """Another alerts.yaml, between two turns; what it says is published by the next commit."""
        self._stage.reload(config)

    def turn(self, wait_ms: int = POLL_MS, last: bool = False) -> None:
        """One poll, all folding that it allows, and a commit when one is due."""
        most = min(MAX_RECORDS, self._stage.max_records)
        wait_ms = 0 if self._stage.hurries else wait_ms
        polled = self._consumer.poll(wait_ms, MAX_ALONE if self._guard.anything_alone else most)
        self.joined = self.joined or polled.epoch > 0
        try:
            self._fold(polled, begins=not last)
            now = self._clock()
            due = now - self._committed_at >= self._commit_interval_s or self._guard.hurries
            if last or due or not polled.batches:
                self._committed_at = now
                self._commit(polled)
                self._drop(self._stage.begin_again())
        except StaleGeneration:
            # its records are somebody else's by now, and what was folded of them is his to publish
            self._drop(self._known)
            return
        self._consumer.pause(self._stage.paused())

    def _fold(self, polled: Polled, begins: bool) -> None:
        """`begins`: whether new partitions are begun; a process that leaves does not restore for nothing."""
        self._drop(polled.revoked & self._known)
        fresh = sorted(polled.assigned - self._known) if begins else []
        for tp in fresh:
            self._begin(tp)
        # what came with a new partition was fetched from elsewhere than the sought offset
        limits = self._stage.limits()
        for lost in polled.lost:
            if (tp := TopicPartition(lost.topic, lost.partition)) in self._known and tp not in fresh:
                self._lose(tp, lost, limits.get(tp, lost.end))
        ours = [batch for batch in polled.batches if batch.tp in self._known and batch.tp not in fresh]
        batches = [self._within(limits.get(batch.tp), self._unread(batch)) for batch in ours]
        batches = [batch for batch in batches if batch.offsets]
        self._mark(batch.tp for batch in batches if self._is_beyond(batch))
        for batch in batches:
            if self._guard.is_alone(batch.tp):
                self._feed_alone(batch, polled)
            else:
                self._feed(batch)
            self._next[batch.tp] = batch.offsets[-1] + 1
        for tp in sorted(self._known):
            self._stage.reach(tp, self._consumer.position(tp))
        self._stage.tick()

    def _unread(self, batch: RecordBatch) -> RecordBatch:
        """What of a batch was not read before: whatever a client delivers again is folded once."""
        return batch.cut(bisect_left(batch.offsets, self._next[batch.tp]), len(batch))

    def _within(self, limit: int | None, batch: RecordBatch) -> RecordBatch:
        """The part of a batch that may be fed now; from there on it is read again."""
        if limit is None or not batch.offsets or batch.offsets[-1] < limit:
            return batch
        self._consumer.seek(batch.tp, limit)
        return batch.cut(0, bisect_left(batch.offsets, limit))

    def _lose(self, tp: TopicPartition, lost: OffsetRange, limit: int) -> None:
        """Pass over a range that was deleted, up to `limit`; from there on the next poll reports it again."""
        end = min(lost.end, limit)
        if end < lost.end:
            self._consumer.seek(tp, end)
        start = max(lost.start, self._next[tp])
        if end > start:
            self._stage.lose(OffsetRange(*tp, start, lost.end), end)
            self._next[tp] = end

    def _begin(self, tp: TopicPartition) -> None:
        committed = self._consumer.committed(tp)
        try:
            start = self._stage.begin(tp, committed)
        except StateDivergence:
            if self._consumer.committed(tp) == committed:
                raise
            raise self._overtaken(tp) from None
        if self._consumer.committed(tp) != committed:
            self._stage.drop(tp)
            raise self._overtaken(tp)
        self._known.add(tp)
        self._guard.begin(tp, self._stage.position(tp))
        self._next[tp] = start
        self._consumer.seek(tp, start)

    @staticmethod
    def _overtaken(tp: TopicPartition) -> StaleGeneration:
        """Somebody else has taken the partition over and committed, between two of our looks."""
        return StaleGeneration(f"{tp.topic}/{tp.partition} was committed by another process")

    def _drop(self, tps: AbstractSet[TopicPartition]) -> None:
        for tp in sorted(tps):
            self._stage.drop(tp)
            self._guard.drop(tp)
        self._known -= tps

    # ------------------------------------------------------------------ records that end the process

    def _is_beyond(self, batch: RecordBatch) -> bool:
        position = self._guard.position(batch.tp)
        return position is not None and batch.offsets[-1] >= position

    def _mark(self, tps: Iterable[TopicPartition]) -> None:
        marks = self._guard.take_marks(tps)
        if marks:
            self._writer.commit(marks, {}, None)

    def _feed(self, batch: RecordBatch) -> None:
        self._witness.note_fold(batch.tp, batch.offsets[-1] + 1)
        self._stage.feed(batch)
        self._witness.note_fold(None)

    def _feed_alone(self, batch: RecordBatch, polled: Polled) -> None:
        """Record by record, each committed with the mark of the next."""
        tp, position = batch.tp, self._guard.position(batch.tp) or 0
        known = sum(1 for offset in batch.offsets if offset < position)
        if known:
            self._feed(batch.cut(0, known))
        for i in range(known, len(batch)):
            record = batch.cut(i, i + 1)
            if not self._guard.is_alone(tp):
                self._feed(batch.cut(i, len(batch)))
                return
            if self._guard.is_deadly(tp):
                self._stage.quarantine(record)
            else:
                self._feed(record)
            self._stage.reach(tp, record.offsets[0] + 1)
            self._commit(polled, alone=tp)

    # ------------------------------------------------------------------ committing

    def _commit(self, polled: Polled, alone: TopicPartition | None = None) -> None:
        """All work that there is, a transaction each."""
        while (work := self._stage.take_work()) is not None:
            marks: list[Outgoing] = []
            for tp in work.offsets:
                self._guard.note_commit(tp, self._stage.position(tp))
            if alone is not None and alone in work.offsets and self._guard.is_alone(alone):
                marks = self._guard.mark_next_alone(alone, self._stage.position(alone))
            self._stage.confirm(self._writer.commit([*work.outgoing, *marks], work.offsets, polled))
            self.transactions += 1
