"""Watches for transactions that hold back what the service reads, longer than any transaction may last.

A partition whose last stable offset stands still behind its end has an open transaction. Most end soon, or their
coordinator aborts them when their time-out has passed; one that stands longer than that hangs until somebody aborts it,
and all readers wait there in silence. So it is found here, named, and logged with its remedy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from monitor.bus.port import Bus, OpenTransaction
from monitor.errors import BusError
from monitor.events import TopicPartition
from monitor.ledger.ledger_topics import LedgerTopics
from monitor.telemetry import Log

ROUND_S = 10.0
LIMIT_S = 30.0
"""Longer than a transaction of ours stays open after its writer died."""
_RECONCILED = ("state", "alerts", "incidents", "retraining", "observations", "firing")
MOST_LOOKS = 8
"""Looks of one turn; each is two questions to the broker."""
MARGIN_S = 15.0
"""Coordinators look for transactions to abort every 10 s."""
LONGEST_S = 900.0
"""Kafka's `transaction.max.timeout.ms`: whatever its writer asked for, by then it should have ended."""


@dataclass(frozen=True, slots=True)
class HangingTransaction:
    """A partition that can be read up to `last_stable` only, for `standing_s` now, although it goes on to `end`."""

    tp: TopicPartition
    last_stable: int
    end: int
    standing_s: float
    transactions: tuple[OpenTransaction, ...]
    bus: str

    @property
    def remedy(self) -> str:
        """What an administrator does about it."""
        return self.transactions[0].remedy(self.bus, self.tp)


def watched(assigned: Iterable[TopicPartition], topics: LedgerTopics) -> list[TopicPartition]:
    """What a stage reads that was assigned these partitions, when it folds them and when it restores itself."""
    own = sorted(assigned)
    shared = [TopicPartition(topics.name(name), 0) for name in ("positions", "decisions")]
    ledger = [tp.partition for tp in own if tp.topic == topics.name("ledger")]
    outputs = [TopicPartition(topics.name(name), p) for name in _RECONCILED for p in ledger]
    return [*own, *shared, *outputs]


class HangingWatch:
    """Looks at one partition after another, each about once in `ROUND_S`, so that no turn is held up.

    `clock`: seconds, monotonic. `limit_s`: how long a partition may stand before it is asked why. `longest_s`: how long
    a transaction may last at most, whatever its own time-out.
    """

    def __init__(
        self, bus: Bus, clock: Callable[[], float], log: Log, limit_s: float = LIMIT_S, longest_s: float = LONGEST_S
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._log = log
        self._limit_s = limit_s
        self._longest_s = longest_s
        self._turn = 0
        self._next_at = clock()
        self._standing: dict[TopicPartition, tuple[int, float]] = {}
        self._found: dict[TopicPartition, HangingTransaction] = {}

    def look(self, tps: Sequence[TopicPartition]) -> tuple[HangingTransaction, ...]:
        """Called every turn with all partitions that are read; gives those that hang, as far as is known."""
        now = self._clock()
        for tp in self._standing.keys() - set(tps):
            self._note_move(tp)
        try:
            for tp in self._take_due(tps, now):
                self._check(tp, now)
        except BusError as error:  # the stage will hit the same error when it folds or commits, and handles it there
            self._log.debug("hanging_not_checked", why=str(error))
        return tuple(self._found.values())

    def _take_due(self, tps: Sequence[TopicPartition], now: float) -> Iterator[TopicPartition]:
        """Those whose turn it is: one after the other, evenly over the round, a few where turns are seldom."""
        if not tps or now < self._next_at:
            return
        pause = ROUND_S / len(tps)
        count = min(1 + int((now - self._next_at) / pause), len(tps), MOST_LOOKS)
        self._next_at = now + pause
        for _ in range(count):
            self._turn += 1
            yield tps[self._turn % len(tps)]

    def _check(self, tp: TopicPartition, now: float) -> None:
        end = self._bus.end(tp)  # first, so that what is committed meanwhile does not look open
        stable = self._bus.last_stable(tp)
        if stable >= end:
            self._note_move(tp)
            return
        before, since = self._standing.get(tp, (stable, now))
        if before != stable:
            self._note_move(tp)
            since = now
        self._standing[tp] = (stable, since)
        if now - since < self._limit_s:
            return
        found = self._bus.open_transactions(tp)
        if found and now - since >= self._allowed_s(found[0]):
            self._report(HangingTransaction(tp, stable, end, now - since, found, self._bus.name))

    def _allowed_s(self, oldest: OpenTransaction) -> float:
        """How long it may stand: until its coordinator should have aborted it, where one still looks after it."""
        return 0.0 if oldest.timeout_ms is None else min(oldest.timeout_ms / 1000 + MARGIN_S, self._longest_s)

    def _report(self, hanging: HangingTransaction) -> None:
        if hanging.tp not in self._found:
            self._log.error(
                "hanging_transaction",
                topic=hanging.tp.topic,
                partition=hanging.tp.partition,
                last_stable=hanging.last_stable,
                end=hanging.end,
                standing_s=round(hanging.standing_s),
                what="; ".join(map(str, hanging.transactions)),
                remedy=hanging.remedy,
            )
        self._found[hanging.tp] = hanging

    def _note_move(self, tp: TopicPartition) -> None:
        self._standing.pop(tp, None)
        if self._found.pop(tp, None) is not None:
            self._log.info("hanging_transaction_ended", topic=tp.topic, partition=tp.partition)
