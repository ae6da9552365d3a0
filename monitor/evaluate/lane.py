"""The life of a lane (one stream of one model, under one contract) as a table: waiting, reference, judged.

    state      event      next
    waiting    rows       waiting     its rows are counted
    waiting    reference  reference
    reference  rows       judged
    reference  reference  reference
    judged     rows       judged
    judged     reference  reference   another one on the same grid

`rows`: a pane is folded that holds rows of the lane. `reference`: the first pane is reached for which a reference
counts. With a reference from a file or a topic that is the model's first pane; with `first: n` it is the pane behind
the one that holds the n-th row in canonical order, so what made a reference is never judged by it. With `first: 14d`
there are two: that of the first rows opens nothing, and grows (`growth.py`), pane by pane, to the one that counts. With
`trailing: 7d` windows are compared, from a day behind that on, with another one each day (`trailing.py`).

A lane that waits holds back nobody: its panes are folded with all others. They count for silence (the time of its
newest row, and the longest gap so far) and, in the judge, for the offsets of retraining; they move no window and feed
no detector.

If what a lane stands on changes (`contract.lane_contract`), another lane takes its place and starts again. A pane with
a part of another contract is left out: it counts like one of a lane that waits, and is empty for windows and detectors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from monitor.codec.durations import duration_text
from monitor.config.resolved import ModelRules
from monitor.contract import ModelContract, StreamContract
from monitor.errors import FormatError
from monitor.evaluate.growth import Growth
from monitor.evaluate.reference import Reference
from monitor.evaluate.state import LaneState
from monitor.evaluate.stream import StreamFold
from monitor.evaluate.trailing import Trailing
from monitor.events import Observation, OffsetRange, ReferenceInfo, StreamName
from monitor.panes.grid import Grid
from monitor.panes.merging import MergedPane
from monitor.panes.pane import Pane, RawPane

State = Literal["waiting", "reference", "judged"]
Event = Literal["rows", "reference"]
TENTHS = 10
"""How often a lane that waits reports how far it has come."""

TABLE: Mapping[tuple[State, Event], State] = {
    ("waiting", "rows"): "waiting",
    ("waiting", "reference"): "reference",
    ("reference", "rows"): "judged",
    ("reference", "reference"): "reference",
    ("judged", "rows"): "judged",
    ("judged", "reference"): "reference",
}


class Passed(NamedTuple):
    """What counts of a pane of a lane that waits, or one that is left out.

    `last_time`: of its newest row, ms; None if it has none in time.
    """

    events: int
    last_time: int | None
    offsets: tuple[OffsetRange, ...]
    is_left_out: bool = False


def passed(parts: Sequence[Pane | RawPane], is_left_out: bool = False) -> Passed:
    """The partial panes of one lane and index as far as they count while it waits, or if they are left out."""
    parts = sorted(parts, key=lambda part: part.tp)
    times = [part.last_time for part in parts if part.last_time is not None]
    offsets = tuple(part.offsets for part in parts)
    return Passed(sum(part.events for part in parts), max(times, default=None), offsets, is_left_out)


def _tenths(state: State, there: int, wanted: int) -> int:
    return min(there * TENTHS // wanted, TENTHS - 1) if state == "waiting" and wanted else 0


class LaneStanding(NamedTuple):
    """How a lane stands. `contract`: names what it stands on.

    `rows`: of `wanted`, those that its panes have held while it waits. `reference`: None while it waits. `left_out`:
    panes of the stream, so far, that were judged under neither of two contracts. `span`, `wanted_span`: event time that
    its rows have come for, and that the reference is of, ms; 0 if it is of a number of rows.
    """

    model: str
    segment: str
    stream: StreamName
    contract: str
    state: State
    rows: int
    wanted: int
    reference: ReferenceInfo | None
    left_out: int
    span: int = 0
    wanted_span: int = 0

    @property
    def tenths(self) -> int:
        """How many tenths of the rows, or of the event time, are there as far as it waits for them.

        Of the last one its reference tells.
        """
        if self.wanted_span:
            return _tenths(self.state, self.span, self.wanted_span)
        return _tenths(self.state, self.rows, self.wanted)

    @property
    def progress(self) -> str:
        """How far its reference has come, such as "200 of 5000 reference rows"."""
        return progress_text(self.rows, self.wanted, self.event_time)

    @property
    def event_time(self) -> tuple[str, str] | None:
        """The event time that rows have come for, and that which the reference is of; None if it is of rows."""
        return (duration_text(self.span), duration_text(self.wanted_span)) if self.wanted_span else None

    @property
    def text(self) -> str:
        """What is shown of it, such as "predictions: 200 of 5000 reference rows"."""
        name = f"{self.stream}/{self.segment}" if self.segment else self.stream
        if self.state == "waiting":
            return f"{name}: {self.progress}"
        events = self.reference.events if self.reference is not None else 0
        return f"{name}: reference of {events} rows" + (", judged" if self.state == "judged" else ", not judged yet")


def progress_text(rows: int, wanted: int, event_time: tuple[str, str] | None) -> str:
    """Return how far a reference has come, by its rows or by the event time that these have come for."""
    if event_time is None:
        return f"{rows} of {wanted} reference rows"
    return f"{event_time[0]} of the reference's {event_time[1]}, {rows} rows"


class Step(NamedTuple):
    """A lane that has changed its state, come a tenth further, or left out its first pane.

    `at`: ms, a pane's begin or end.
    """

    at: int
    standing: LaneStanding


_NEVER = 1 << 62


class Lane:
    """One lane. The model's fold calls `begin` and then `add` or `skip` for each pane or run of panes, in order.

    `contract`: names what it stands on. `since`: see `LaneState`.
    """

    def __init__(
        self, model: str, stream: StreamName, contract: str, since: int | None = None, segment: str = ""
    ) -> None:
        self.stream = stream
        self.contract = contract
        self.since = since
        self.fold: StreamFold | None = None
        """Windows, detectors and reference; there once a reference is known, and fed from where that counts."""
        self.last_time: int | None = None
        self.longest_gap_ms: int | None = None
        """The gap of the reference that counts for the newest pane; before there is one, that of the rows so far."""
        self._model = model
        self._segment = segment
        self._state: State = "waiting"
        self._rows = 0
        self._wanted = 0
        self._wanted_span = 0
        self._pane_ms = 0
        self._spans_from: int | None = None
        self._spans_to: int | None = None
        """Begin and end of the panes with rows that its reference is to hold, ms."""
        self.growth: Growth | None = None
        """Its reference as long as that grows."""
        self.trailing: Trailing | None = None
        """What its windows are compared with next, if that follows the data."""
        self._counts_from = _NEVER
        """Start of the first pane for which the newest reference counts, until that pane is reached, ms."""
        self._left_out = 0
        self.has_begun = False
        """True once a pane has begun that it may hold rows of."""
        self._steps: list[Step] = []

    @property
    def waits(self) -> bool:
        """True if its panes only pass."""
        return self._state == "waiting"

    @property
    def grows(self) -> bool:
        """True if its panes make its reference larger."""
        return self.growth is not None and self.growth.is_open

    @property
    def judged_fold(self) -> StreamFold | None:
        """The windows that are judged; None as long as the lane waits, or has yet to fold a pane with rows."""
        return self.fold if self._state == "judged" else None

    @property
    def standing(self) -> LaneStanding:
        """How it stands."""
        info = self.fold.reference.info if self.fold is not None and not self.waits else None
        place = (self._model, self._segment, self.stream, self.contract)
        spans = self._span, self._wanted_span
        return LaneStanding(*place, self._state, self._rows, self._wanted, info, self._left_out, *spans)

    @property
    def _span(self) -> int:
        if self._spans_from is None or self._spans_to is None:
            return 0
        return min(self._spans_to - self._spans_from, self._wanted_span)

    def want(self, contract: ModelContract) -> None:
        """Set the number of rows, or the event time, that a reference is made of, unless one is given."""
        self._wanted, self._pane_ms = contract.raw_rows, contract.pane_ms
        self._wanted_span = 0 if self.stream == "outcomes" else contract.reference_ms

    def follow(self, before: Lane) -> None:
        """Take the place of a lane of the same stream: silence goes on, and panes that are left out are counted on."""
        self.last_time, self.since, self._left_out = before.last_time, before.since, before._left_out
        self.longest_gap_ms = before.longest_gap_ms

    def open(
        self, contract: ModelContract, stream: StreamContract, grid: Grid, reference: Reference, rules: ModelRules
    ) -> None:
        """Grid and reference are known."""
        self.growth = None
        self.fold = StreamFold(contract, stream, grid, reference)
        self.fold.use(rules, contract)

    def trail(self, contract: ModelContract, grid: Grid, first: Reference, since: int, span_ms: int) -> None:
        """From the pane on that begins at `since` (ms), count for references of the newest rows, of a span."""
        self.trailing = Trailing(grid, first, since, contract.pane_ms, span_ms)

    def follow_trailing(self, reference: Reference) -> None:
        """Compare windows with the reference of the newest rows, which was due."""
        if self.fold is not None and self.trailing is not None:
            self.fold.compare_windows_with(reference)
            self.trailing.pass_over(self.trailing.due)

    def grow(self, contract: ModelContract, grid: Grid, first: Reference) -> None:
        """Grid and the reference of the first rows are known, which grows."""
        self.growth = Growth(grid, first, contract.pane_ms, contract.reference_ms)

    def refer(self, at: int) -> None:
        """Another reference counts from the pane on that begins there, ms."""
        self._counts_from = at

    # ------------------------------------------------------------------ panes

    def begin(self, at: int) -> None:
        """The pane that begins at `at` (ms) is the next to be folded."""
        before = self._shown if self.has_begun else None
        if self.fold is not None and self._counts_from <= at:
            self._counts_from = _NEVER
            self._state = TABLE[self._state, "reference"]
        elif self.growth is not None and self._counts_from <= at:
            self.growth.open(at, is_late=self._counts_from < at)
            self._spans_from, self._counts_from = self.growth.begins, _NEVER
        if self.trailing is not None:
            self.trailing.pass_over(at)
        self.has_begun = True
        self._report(before, at)

    def add(self, pane_end: int, pane: MergedPane | Passed | None) -> list[Observation]:
        """One pane (None: it holds nothing of the lane); returns the observations of the windows that close."""
        self._see(None if pane is None else pane.last_time)
        before = self._shown
        if isinstance(pane, Passed) and pane.is_left_out:
            self._left_out += 1
            self._report(before, pane_end)
            pane = None
        if pane is not None and pane.events:
            if self.waits:
                self._wait(pane_end, pane)
            self._state = TABLE[self._state, "rows"]
            self._report(before, pane_end)
        if self.fold is None or self.waits or isinstance(pane, Passed):
            return []
        if self.trailing is not None and pane is not None:
            self.trailing.add(pane_end, pane)
        return self.fold.add(pane_end, pane)

    def _wait(self, pane_end: int, pane: MergedPane | Passed) -> None:
        """Take a pane with rows of a lane that waits."""
        self._rows = self._rows + pane.events
        if not self._wanted_span:
            self._rows = min(self._rows, self._wanted)
        elif self._spans_from is None:
            self._spans_from = pane_end - self._pane_ms
        self._spans_to = pane_end
        if self.growth is not None and isinstance(pane, MergedPane):
            self.growth.add(pane_end, pane)

    def skip(self, first_end: int, last_end: int) -> list[Observation]:
        """A run of panes that are empty everywhere."""
        self._see(None)
        return [] if self.fold is None or self.waits else self.fold.skip(first_end, last_end)

    def _see(self, last_time: int | None) -> None:
        """Take the time of a pane's newest row (None: it has none), and the gap before it if no reference tells.

        Gaps so far lie between the newest rows of panes, because more is not known of a pane that is on a grid. So they
        are the same however panes travel, and longer than those between rows by a pane at most. A reference tells from
        the first pane on that it counts for, and not when it comes: silence before that pane is judged as if it did not
        know of it, in a replay, too.
        """
        if self.fold is not None and not self.waits:
            self.longest_gap_ms = self.fold.reference.longest_gap_ms
        elif last_time is not None and self.last_time is not None:
            self.longest_gap_ms = max(last_time - self.last_time, self.longest_gap_ms or 0)
        if last_time is not None:
            self.last_time = max(last_time, self.last_time if self.last_time is not None else last_time)

    @property
    def _shown(self) -> tuple[State, int, bool]:
        there, wanted = (self._span, self._wanted_span) if self._wanted_span else (self._rows, self._wanted)
        return self._state, _tenths(self._state, there, wanted), self._left_out > 0

    def _report(self, before: tuple[State, int, bool] | None, at: int) -> None:
        if self._shown != before:
            self._steps.append(Step(at, self.standing))

    def take_steps(self) -> list[Step]:
        """What has changed since the last call."""
        steps, self._steps = self._steps, []
        return steps

    # ------------------------------------------------------------------ state

    def state(self) -> LaneState:
        """All that later messages depend on, beside grid, reference and rules."""
        return LaneState(
            self.stream,
            self._segment,
            self._state,
            self.has_begun,
            self._rows,
            self.last_time,
            self.since,
            self._counts_from,
            self._left_out,
            None if self.fold is None else self.fold.state(),
            self.longest_gap_ms,
            self._spans_from,
            self._spans_to,
            None if self.growth is None else self.growth.state(),
            None if self.trailing is None else self.trailing.state(),
        )

    def restore(self, state: LaneState) -> None:
        """Go on from there, once the decisions have been applied. Raises FormatError."""
        self._state, self.has_begun, self._rows = state.state, state.begun, state.rows
        self.last_time, self.since = state.last_time, state.since
        self._counts_from, self._left_out, self.longest_gap_ms = state.counts_from, state.left_out, state.longest_gap
        self._spans_from, self._spans_to = state.spans_from, state.spans_to
        if (self.growth is None, self.trailing is None) != (state.growth is None, state.trailing is None):
            raise FormatError(f"not a snapshot: {self.stream} of {self._model} stands on another reference")
        if self.growth is not None and state.growth is not None:
            self.growth.restore(state.growth)
        if self.trailing is not None and state.trailing is not None:
            self.trailing.restore(state.trailing)
        if self.fold is None or state.fold is None:
            if self.fold is not None or state.fold is not None or not self.waits:
                raise FormatError(f"not a snapshot: {self.stream} of {self._model} stands on other decisions")
            return
        self.fold.restore(state.fold)
