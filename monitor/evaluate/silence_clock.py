"""The silence clock of one model: how far event time has come, by its panes or, if all stand still, by the wall clock.

A partition that stands still writes from time to time how far event time would have come (`Heartbeat.silent_to`), and
its watermark then (`at`). The clock is the larger of the end of the newest folded pane and the lowest of these values
over the model's partitions of features and predictions. Between two panes a partition's value is the largest that it
wrote before its watermark passed the next one. So the clock is a function of the log, whichever partition was read
first, and never goes back.

Where other rules wait for the next pane, that may have another length than the one that was to come, and what counted
before may count behind it. So such rules are recorded with how far silence had been judged when they came.

A new set of partitions is read between two panes, when the clock may be ahead of them. It counts for the clock once the
next pane is folded; else a replay, which knows the pane of the set and no more, could not tell how far the clock was.
"""

from __future__ import annotations

from collections.abc import Iterable

from monitor.events import TopicPartition
from monitor.ledger.entries import Heartbeat

_BEFORE_ALL = -(1 << 62)

SilenceState = tuple[tuple[tuple[str, int], ...], tuple[tuple[str, int, tuple[tuple[int, int], ...]], ...]]
"""The partitions of the newest pane; and by topic and partition what it wrote of its silence, as (watermark then,
silent_to), ascending."""


class SilenceClock:
    """What the partitions have written of their silence. Times: ms UTC."""

    def __init__(self) -> None:
        self._written: dict[TopicPartition, dict[int, int]] = {}
        self._partitions: tuple[TopicPartition, ...] = ()

    def begin_pane(self, partitions: Iterable[TopicPartition]) -> None:
        """A pane of these partitions is folded: until the next one the clock goes by them."""
        self._partitions = tuple(sorted(partitions))

    def read(self, heartbeat: Heartbeat) -> None:
        """Take a heartbeat; one that carries a watermark says nothing of silence."""
        if heartbeat.silent_to is not None:
            at = _BEFORE_ALL if heartbeat.at is None else heartbeat.at
            self._write(TopicPartition(heartbeat.topic, heartbeat.partition), at, heartbeat.silent_to)

    def _write(self, tp: TopicPartition, at: int, silent_to: int) -> None:
        written = self._written.setdefault(tp, {})
        written[at] = max(silent_to, written.get(at, silent_to))

    def advance(self, folded_to: int, next_end: int) -> int:
        """Give the clock as far as it is known, between the pane that ends at `folded_to` and the next one."""
        for tp, written in self._written.items():
            past = [at for at in written if at <= folded_to]
            if len(past) > 1:  # one value is all that counts of them from here on
                largest = max(written.pop(at) for at in past)
                self._write(tp, max(past), largest)
        values = [
            max((silent_to for at, silent_to in self._written.get(tp, {}).items() if at < next_end), default=folded_to)
            for tp in self._partitions
        ]
        return max(folded_to, min(values, default=folded_to))

    def later(self, next_end: int) -> list[int]:
        """Watermarks, from `next_end` on, at which something is written: it counts between later panes."""
        return [at for written in self._written.values() for at in written if at >= next_end]

    def state(self) -> SilenceState:
        """What later times depend on."""
        written = tuple((*tp, tuple(sorted(self._written[tp].items()))) for tp in sorted(self._written))
        return tuple((*tp,) for tp in self._partitions), written

    def restore(self, state: SilenceState) -> None:
        """Go on from there."""
        partitions, written = state
        self._partitions = tuple(TopicPartition(topic, p) for topic, p in partitions)
        self._written = {TopicPartition(topic, p): dict(values) for topic, p, values in written}
