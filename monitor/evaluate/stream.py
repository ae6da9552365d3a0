"""The fold of a lane that has its reference: merged panes into windows, observations and detections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from monitor.codec.counts import pack_counts, unpack_counts
from monitor.config.comparison import Comparison
from monitor.config.metrics import DRIFT, METRICS
from monitor.config.resolved import DetectorSpec, ModelRules, SolvedLane, WindowSpec
from monitor.contract import ModelContract, StreamContract
from monitor.drift.change import Explanation
from monitor.errors import FormatError
from monitor.evaluate.detection import DetectorBank, Sighting
from monitor.evaluate.doubt import doubt_of_lock
from monitor.evaluate.lane_drift import Asked, LaneDrift, Sight, asked_of, drift_of, sight_of
from monitor.evaluate.measure import LEAST, Measure
from monitor.evaluate.reference import Reference
from monitor.evaluate.spread import ReferenceSpread
from monitor.evaluate.state import ClosedState, StreamState, WindowState
from monitor.evaluate.windows import Closed, Windows, open_windows
from monitor.events import Histogram, Observation, Series
from monitor.panes.grid import Grid
from monitor.panes.merging import MergedPane
from monitor.stats.exact import significant


@dataclass(slots=True)
class _Window:
    """The windows of one specification, what the last closed one held, and whether one has closed since judged."""

    spec: WindowSpec
    windows: Windows
    last: Closed | None = None
    observation: Observation | None = None
    moved: bool = False
    measure: Measure | None = None
    """What has measured the last closed one; None if that was before a restart."""


class StreamFold:
    """One stream of one model, from the first pane that is judged."""

    def __init__(self, contract: ModelContract, stream: StreamContract, grid: Grid, reference: Reference) -> None:
        self.contract = contract
        self.stream = stream
        self.grid = grid
        self._windows: dict[str, _Window] = {}
        self._specs: tuple[DetectorSpec, ...] = ()
        self._seen: dict[Sighting, bool] = {}
        self._asked: Asked | None = None
        self._solved: SolvedLane | None = None
        self._drift: LaneDrift | None = None
        self._min_events: set[int] = set()
        self._begun = False
        self._filled_to = 0
        self.work_us = 0.0
        """About what detectors and `drift` took since this object was made, µs; cells left out count too."""
        self._bank = self._measure_by(reference)

    def compare_with(self, reference: Reference) -> None:
        """Another reference on the same grid: all starts again but windows and, of outcomes, detectors of 0 and 1."""
        before, self._bank = self._bank, self._measure_by(reference)
        if self.grid.stream == "outcomes":
            self._bank.take_over(before, reads="binary")

    def forget_news(self) -> None:
        """What windows and detectors have found since the last judgement is of another reference: judge none of it."""
        self._seen.clear()
        for window in self._windows.values():
            window.moved = False

    def compare_windows_with(self, reference: Reference) -> None:
        """Compare windows with another reference on the same grid; all else keeps the one that it has."""
        self.measure = Measure(self.grid, reference)
        self.spread = ReferenceSpread(self.measure)

    def _measure_by(self, reference: Reference) -> DetectorBank:
        """Compare windows with a reference; returns detectors that begin with it."""
        self.reference = reference
        self.compare_windows_with(reference)
        self._drift = self._begin_drift()
        return DetectorBank(self._specs, self.contract, self.grid, reference)

    def use(self, rules: ModelRules, contract: ModelContract) -> None:
        """New rules: windows, detectors and `drift` that stay go on, others begin.

        `contract`: that the rules came with. It may have other streams, and means the same of this one.
        """
        self.contract = contract
        width = self.grid.layout.width
        own = (rule for rule in rules.rules if METRICS[rule.comparison.metric].subject != "performance")
        windows = [rules.window, *(rule.window for rule in own)]
        self._min_events = {rule.min_events for rule in rules.rules}
        self._windows = {
            spec.name: self._windows.get(spec.name) or _Window(spec, open_windows(spec, self.contract.pane_ms, width))
            for spec in windows
        }
        if rules.detectors != self._specs:
            self._specs = rules.detectors
            bank = DetectorBank(self._specs, self.contract, self.grid, self.reference)
            going_on = bank.take_over(self._bank)
            self._bank = bank
            self._seen = {sighting: change for sighting, change in self._seen.items() if sighting in going_on}
        self._solved = rules.solved.get(self.stream.stream)
        asked = asked_of(rules, self.stream.stream)
        if asked != self._asked:
            self._asked = asked
            self._drift = self._begin_drift()

    def _begin_drift(self) -> LaneDrift | None:
        return None if self._asked is None else drift_of(self.grid, self.reference, self._asked)

    def add(self, pane_end: int, pane: MergedPane | None) -> list[Observation]:
        """One pane (None: empty in this stream); returns the observations of the windows that close.

        A stream begins with the first pane that holds something of it, whenever its grid was made.
        """
        if pane is not None:
            self._begun, self._filled_to = True, pane_end
            self.work_us += self._bank.work_us(len(pane.codes))
            for sighting, detected in self._bank.feed(pane.codes).items():
                self._seen[sighting] = self._seen.get(sighting, False) or detected
            if self._drift is not None:
                self.work_us += self._drift.work_us(len(pane.codes))
                self._drift.add(pane_end - self.contract.pane_ms, pane)
        if not self._begun:
            return []
        observations = []
        for name, window in self._windows.items():
            if pane is None:
                closed = window.windows.add(pane_end, 0, None, ())
            else:
                closed = window.windows.add(pane_end, pane.events, pane.counts, pane.offsets)
            if closed is not None:
                observations += self._observe(name, window, closed)
        return observations

    def skip(self, first_end: int, last_end: int) -> list[Observation]:
        """A run of panes that are empty everywhere."""
        if not self._begun:
            return []
        observations = []
        for name, window in self._windows.items():
            for closed in window.windows.skip(first_end, last_end):
                observations += self._observe(name, window, closed)
        return observations

    def _observe(self, name: str, window: _Window, closed: Closed) -> list[Observation]:
        """Return a closed window's observation, or nothing if it is empty like the one before."""
        last, before = window.last, window.observation
        silent = closed.events == 0 and last is not None and last.events == 0
        columns: Mapping[str, Series] = {}
        stays = last is not None and last.counts is closed.counts and window.measure is self.measure
        if stays and before is not None:  # those of a sparse stream do for long
            columns = before.columns
        elif closed.events > 0:
            columns = self.measure.columns(closed.counts)
        window.last, window.moved, window.measure = closed, True, self.measure
        window.observation = self._observation(name, closed, columns)
        return [] if silent else [window.observation]

    def _observation(self, name: str, closed: Closed, columns: Mapping[str, Series]) -> Observation:
        late = int(closed.counts[self.grid.layout.late])
        return Observation(
            model=self.contract.model,
            segment="",
            stream=self.stream.stream,
            window=name,
            start=closed.start,
            end=closed.end,
            events=closed.events,
            offsets=closed.offsets,
            totals=_totals(closed, late),
            columns=columns,
        )

    @property
    def longest_window_ms(self) -> int:
        """The length of the longest window, ms; one of events has what as many of the reference took."""
        specs = [window.spec for window in self._windows.values()]
        return max(spec.time_ms or self.reference.time_of(spec.events or 0) for spec in specs)

    @property
    def fewest_rows(self) -> int:
        """Rows of a reference with which the columns and rules can be judged that the first one is large enough for."""
        needed = (1, LEAST, self.contract.raw_rows, *self._min_events)
        return max(rows for rows in needed if rows <= self.reference.events)

    def unsettled(self) -> set[str]:
        """Windows of time whose observations more empty panes change: they have yet to close behind the last rows."""
        timed = {name: window.last for name, window in self._windows.items() if name.startswith("time")}
        return {name for name, last in timed.items() if self._begun and (last is None or last.start < self._filled_to)}

    @property
    def releases(self) -> Mapping[str, str]:
        """River's classes among its detectors, and the release of River whose answers each gives."""
        return self._bank.releases

    def blind(self) -> list[Sighting]:
        """Detectors that were fed with what is no number in [0, 1], and find nothing more: none, unless by a bug."""
        return self._bank.blind()

    # ------------------------------------------------------------------ state

    def state(self) -> StreamState:
        """All that later messages depend on, beside grid, reference and rules."""
        return StreamState(
            self._begun,
            self._filled_to,
            tuple((detector, column, change) for (detector, _, column), change in sorted(self._seen.items())),
            tuple(_window_state(name, window) for name, window in self._windows.items()),
            self._bank.state(),
            None if self._drift is None else self._drift.state(),
        )

    def restore(self, state: StreamState) -> None:
        """Go on from there, once the rules have been given. Raises FormatError."""
        if [window.name for window in state.windows] != list(self._windows):
            raise FormatError("not a snapshot: its windows are not those of the rules")
        self._begun, self._filled_to = state.begun, state.filled_to
        self._seen = {(detector, self.stream.stream, column): change for detector, column, change in state.seen}
        for part in state.windows:
            self._restore_window(self._windows[part.name], part)
        self._bank.restore(state.bank)
        if self._drift is not None and state.drift is not None:
            self._drift.restore(state.drift)

    def _restore_window(self, window: _Window, state: WindowState) -> None:
        window.windows.restore(state.windows)
        window.moved = state.columns is not None
        if state.last is not None:
            last = state.last
            counts = unpack_counts(last.counts, self.grid.layout.width)
            window.last = Closed(last.start, last.end, last.events, counts, last.offsets)
            # the series of a window that has been judged are not asked for again
            window.observation = self._observation(state.name, window.last, state.columns or {})

    # ------------------------------------------------------------------ what rules ask

    def observations(self) -> Mapping[str, Observation]:
        """The last closed window of each specification that has one."""
        return {name: w.observation for name, w in self._windows.items() if w.observation is not None}

    def take_moved(self, since: int) -> set[str]:
        """Specifications of which a window has closed since the last call, and behind the time `since` (ms)."""
        closed = {name: window.last for name, window in self._windows.items() if window.moved}
        moved = {name for name, last in closed.items() if last is not None and last.end > since}
        for window in self._windows.values():
            window.moved = False
        return moved

    def take_seen(self) -> dict[Sighting, bool]:
        """Detectors that saw a row since the last call -> whether one of them saw a change."""
        seen, self._seen = self._seen, {}
        return seen

    def take_drift(self) -> float | None:
        """The largest value of `drift` since the last call; None if there was none."""
        return None if self._drift is None else self._drift.take()

    def sight(self) -> Sight | None:
        """How small a shift `drift` can see; None if no rule asks for it, or if nothing tells."""
        return None if self._asked is None else sight_of(self.grid, self.reference, self._asked)

    def explain_drift(self) -> Explanation | None:
        """What has changed since when, by the rows so far; None if nothing tells."""
        return None if self._drift is None else self._drift.explain()

    def doubt(self, comparison: Comparison) -> str | None:
        """Why what a rule with this comparison finds here is unverified; None if it can be trusted."""
        is_of_drift = comparison.metric == DRIFT
        has_limits = self._solved is not None and self._solved.limits is not None
        is_solved = has_limits if is_of_drift else comparison.rate is not None
        doubt = self._drift.doubt() if is_of_drift and self._drift is not None else None
        return doubt or (doubt_of_lock(self._solved, self.reference.digest) if is_solved else None)

    def histogram(self, column: str, window: str) -> Histogram | None:
        """The column's coarse bins in the last closed window of a specification."""
        last: Closed | None = self._windows[window].last if window in self._windows else None
        if last is None or last.events == 0 or column not in self.grid.series:
            return None
        return self.measure.histogram(column, last.counts)

    def spreads(self, metric: str, columns: Sequence[str], events: int) -> Mapping[str, tuple[float, float]]:
        """Column -> (reference_mean, reference_std) of a metric in windows of this many events."""
        return self.spread.of(metric, columns, events)


def _window_state(name: str, window: _Window) -> WindowState:
    closed, columns = None, None
    if window.last is not None and window.observation is not None:
        last = window.last
        closed = ClosedState(last.start, last.end, last.events, pack_counts(last.counts), last.offsets)
        if window.moved:
            columns = {column: dict(series) for column, series in window.observation.columns.items()}
    return WindowState(name, window.windows.state(), closed, columns)


def _totals(closed: Closed, late: int) -> Series:
    seconds = (closed.end - closed.start) / 1000
    totals = {"events": float(closed.events), "events_per_second": significant(closed.events / seconds)}
    if closed.events + late:
        totals["late_rate"] = significant(late / (closed.events + late))
    return totals
