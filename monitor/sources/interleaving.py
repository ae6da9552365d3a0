"""The order in which a replay reads its partitions: the one that is furthest behind in event time goes first.

What evaluate holds of a log is what some partitions have sealed and others have not. So a replay paces itself as the
service does (law 8): it reads a few records of the slowest partition, looks how far that has come, and goes on. That
changes the pace, never the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from monitor.events import RecordBatch, TopicPartition

FEWEST, MOST = 16, 4096
"""Records of a partition that are read at once: fewer where their event time moves fast."""
_NEVER = -(1 << 62)


class _Sequence:
    """Batches in their order, handed out in pieces."""

    def __init__(self, number: int, batches: Iterator[RecordBatch]) -> None:
        self.number = number
        self.size = FEWEST
        self._batches = batches
        self._at = 0
        self.head: RecordBatch | None = next(batches, None)

    def take(self) -> RecordBatch:
        """The next piece: at most `size` records of one partition."""
        head, end = self.head, self._at + self.size
        if head is None:
            raise StopIteration
        piece = head if self._at == 0 and end >= len(head) else head.cut(self._at, end)
        self._at = end
        if end >= len(head):
            self.head, self._at = next(self._batches, None), 0
        return piece


def interleaved(
    sequences: Iterable[Iterator[RecordBatch]],
    watermark_of: Callable[[TopicPartition], int | None],
    waits: Callable[[TopicPartition], bool],
    lead_ms: int,
) -> Iterator[RecordBatch]:
    """All batches, in pieces. Each has to be folded before the next is asked for.

    `sequences`: batches of disjoint partitions. `watermark_of`, `waits`: how far a partition has been folded (ms), and
    whether it can't be folded on before others are. `lead_ms`: event time that a partition may be ahead of the others.
    """
    left = [s for s in (_Sequence(i, iter(batches)) for i, batches in enumerate(sequences)) if s.head is not None]

    def place(sequence: _Sequence) -> tuple[bool, int, int]:
        tp = _tp_of(sequence)
        watermark = watermark_of(tp)
        return waits(tp), _NEVER if watermark is None else watermark, sequence.number

    while left:
        slowest = min(left, key=place)
        tp = _tp_of(slowest)
        before = watermark_of(tp)
        yield slowest.take()
        after = watermark_of(tp)
        moved = 0 if before is None or after is None else after - before
        if len(left) == 1:  # nobody waits for it
            slowest.size = MOST
            left = [sequence for sequence in left if sequence.head is not None]
            continue
        # half of the lead, because the size doubles only after a piece that moved little
        slowest.size = max(FEWEST, slowest.size // 2) if 4 * moved > lead_ms else min(MOST, slowest.size * 2)
        left = [sequence for sequence in left if sequence.head is not None]


def _tp_of(sequence: _Sequence) -> TopicPartition:
    if sequence.head is None:
        raise ValueError("the sequence has ended")
    return sequence.head.tp
