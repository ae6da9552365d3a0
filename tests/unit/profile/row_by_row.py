"""Laws 2, 3 and 7 once more, slow and row by row: an oracle for the fold of a partition."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from tests.unit.profile.feeding import LATENESS, PANE, SKEW, Silence, Step


class Oracle:
    """Laws 2, 3 and 7 in plain Python, one row at a time."""

    def __init__(self) -> None:
        self.highest: int | None = None
        self.floor: int | None = None
        self.reach: int | None = None
        self.waiting: list[tuple[int, int]] = []
        self.rows: dict[int, list[int]] = defaultdict(list)
        self.late: Counter[int] = Counter()
        self.rejected: list[int] = []

    @property
    def watermark(self) -> int | None:
        known = [w for w in (None if self.highest is None else self.highest - LATENESS, self.floor) if w is not None]
        return max(known, default=None)

    def row(self, offset: int, time: int) -> None:
        self.waiting.append((offset, time))
        self._decide(None, flush=False)

    def heartbeat(self, watermark: int) -> None:
        self._decide(watermark + LATENESS + SKEW, flush=True)
        self.floor = watermark if self.floor is None else max(self.floor, watermark)

    def silence(self, silent_to: int) -> None:
        self._decide(silent_to + SKEW, flush=True)

    def end(self) -> None:
        self._decide(None, flush=True)

    def _decide(self, plausible: int | None, *, flush: bool) -> None:
        while self.waiting:
            if self.reach is None:
                if len(self.waiting) < 32 and not flush:
                    return
                first = sorted(time for _, time in self.waiting[:32])
                median = first[(len(first) - 1) // 2]
                if len(first) < 32 and plausible is not None and median > plausible:
                    return
                self.reach = median
            offset, time = self.waiting[0]
            if time > self.reach + SKEW:
                jury = [t for _, t in self.waiting[1:33]]
                if len(jury) < 32 and not flush:
                    return
                votes = 2 * sum(t >= time - SKEW for t in jury) > len(jury)
                if len(jury) < 32 and plausible is not None and time <= plausible:
                    votes = True
                elif len(jury) < 32 and plausible is not None and (votes or not jury):
                    return
                elif not jury:
                    votes = True
                if not votes:
                    self.rejected.append(offset)
                    self.waiting.pop(0)
                    continue
            self.waiting.pop(0)
            self.reach = max(self.reach, time)
            self._place(offset, time)

    def _place(self, offset: int, time: int) -> None:
        watermark = self.watermark
        if watermark is not None and (time // PANE + 1) * PANE <= watermark:
            self.late[watermark // PANE] += 1
        else:
            self.rows[time // PANE].append(offset)
        self.highest = time if self.highest is None else max(self.highest, time)


def oracle_of(steps: Sequence[Step]) -> Oracle:
    oracle = Oracle()
    for step in steps:
        if isinstance(step, Silence):
            oracle.silence(step)
        elif isinstance(step, int):
            oracle.heartbeat(step)
        elif step[1] == "m":
            oracle.row(step[0], step[2])
    return oracle
