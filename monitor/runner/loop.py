"""One process of one stage: poll, fold, commit. The stage says what to fold and what to publish."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from monitor.bus.port import Bus, Committed, Consumer
from monitor.config.resolved import Config
from monitor.events import Outgoing, RecordBatch, TopicPartition

POLL_MS = 1000
"""How long a poll may wait for data; it returns at once when there is some."""
MAX_RECORDS = 5000


@dataclass(frozen=True, slots=True)
class Work:
    """What one transaction publishes and commits."""

    outgoing: list[Outgoing]
    offsets: Mapping[TopicPartition, Committed]


class Stage(Protocol):
    """A stage of the service, as its loop drives it; all calls come from one thread."""

    group: str

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics that the stage consumes."""

    def begin(self, tp: TopicPartition, committed: Committed | None) -> int:
        """A partition was assigned; returns the offset to read from."""

    def drop(self, tp: TopicPartition) -> None:
        """A partition went to somebody else, with all its state."""

    def feed(self, records: RecordBatch) -> None:
        """Records of an assigned partition, following those before."""

    def reached(self, tp: TopicPartition, position: int) -> None:
        """All records of the partition below `position` have been fed."""

    def tick(self) -> None:
        """Called once a turn, after all records."""

    def paused(self) -> frozenset[TopicPartition]:
        """Partitions that are not to be read now."""

    def work(self) -> Work | None:
        """What there is to commit, or None. It is handed out once."""

    def reload(self, config: Config) -> None:
        """Another alerts.yaml from now on; raises ConfigurationError, and keeps the old one, where that can't be."""


class Loop:
    """Drives a stage until `stopping` says so. `clock`: seconds, monotonic."""

    def __init__(
        self,
        bus: Bus,
        stage: Stage,
        instance: str,
        clock: Callable[[], float],
        commit_interval_s: float,
    ) -> None:
        self._stage = stage
        self._clock = clock
        self._commit_interval_s = commit_interval_s
        self._consumer: Consumer = bus.consumer(stage.group, stage.topics, instance)
        self._writer = bus.writer(stage.group, instance)
        self._known: set[TopicPartition] = set()
        self._committed_at = clock()

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
        polled = self._consumer.poll(wait_ms, MAX_RECORDS)
        for tp in sorted(polled.revoked & self._known):
            self._stage.drop(tp)
            self._known.discard(tp)
        fresh = sorted(polled.assigned - self._known)
        for tp in fresh:
            self._consumer.seek(tp, self._stage.begin(tp, self._consumer.committed(tp)))
            self._known.add(tp)
        for batch in polled.batches:
            if batch.tp in self._known and batch.tp not in fresh:  # else fetched from elsewhere than the sought offset
                self._stage.feed(batch)
        for tp in sorted(self._known):
            self._stage.reached(tp, self._consumer.position(tp))
        self._stage.tick()
        now = self._clock()
        if last or now - self._committed_at >= self._commit_interval_s or not polled.batches:
            self._committed_at = now
            work = self._stage.work()
            if work is not None:
                self._writer.commit(work.outgoing, work.offsets, polled)
        self._consumer.pause(self._stage.paused())
