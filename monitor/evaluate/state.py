"""What a snapshot holds: the structs of a model's part and of the shared part, written as msgpack in this order.

This is all state that affects later messages, except what can be derived: sums of windows come from their slices,
tables from the reference. Decisions are named by digest; their content is in the ledger. Sets are written sorted, so
that the same state has the same bytes.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from monitor.codec.counts import Counts
from monitor.detectors import DetectorState
from monitor.drift.core import DriftState
from monitor.drift.growing import GrowingState
from monitor.drift.moments import PackedMoments
from monitor.evaluate.named import NOTHING, Named
from monitor.evaluate.silence_clock import SilenceState
from monitor.events import OffsetRange, Standing, StreamName
from monitor.ledger.commands import Matcher
from monitor.ledger.entries import DecisionKind, Notice, Watermark

DecisionState = tuple[DecisionKind, StreamName | Literal[""], str, str]
"""Kind, stream, lane and digest."""
Natural = Annotated[int, msgspec.Meta(ge=0)]


class _Struct(msgspec.Struct, frozen=True, array_like=True):
    pass


class SliceState(_Struct, frozen=True):
    """A stretch of event time of a window. `counts`: None if no pane of it held anything."""

    start: int
    events: Natural
    counts: Counts | None
    offsets: tuple[OffsetRange, ...]


class TumblingState(_Struct, frozen=True, tag="tumbling"):
    """The open window; None before the first pane."""

    slice: SliceState | None


class SlidingState(_Struct, frozen=True, tag="sliding"):
    """The slices held, and how many events came since a window last closed."""

    slices: tuple[SliceState, ...]
    since_closing: Natural


class TimeState(_Struct, frozen=True, tag="time"):
    """The start of the first pane, and the slices held."""

    first: int | None
    slices: tuple[SliceState, ...]


WindowsState = TumblingState | SlidingState | TimeState


class ClosedState(_Struct, frozen=True):
    """A closed window."""

    start: int
    end: int
    events: Natural
    counts: Counts
    offsets: tuple[OffsetRange, ...]


class WindowState(_Struct, frozen=True):
    """Windows of one specification. `columns`: series of the last one, if it is still to be judged."""

    name: str
    windows: WindowsState
    last: ClosedState | None
    columns: dict[str, dict[str, float]] | None


class BankState(_Struct, frozen=True):
    """All detectors of a stream, in the order of the configuration. `watches`: digest of what they are and watch.

    `releases`: River's classes among them, sorted, and the release of River that the states of each are of.
    """

    watches: str
    releases: tuple[tuple[str, str], ...]
    detectors: tuple[DetectorState, ...]


class LaneDriftState(_Struct, frozen=True):
    """The sequential core of a lane; None before its first pane. `largest`: value since the last judgement, if any."""

    core: DriftState | None
    largest: float | None


class StreamState(_Struct, frozen=True):
    """Windows and detectors of a lane. `seen`: (detector, column, change) since the last judgement, sorted.

    `drift`: None if no rule asks for it, or if its reference has no moments.
    """

    begun: bool
    filled_to: int
    seen: tuple[tuple[str, str, bool], ...]
    windows: tuple[WindowState, ...]
    bank: BankState
    drift: LaneDriftState | None


class LabelledState(_Struct, frozen=True):
    """How much of a window of performance had labels, and the intervals of its metrics."""

    standing: Standing
    predictions: Natural
    labels: Natural
    coverage: float
    intervals: dict[str, tuple[float, float]]


class JudgedWindow(_Struct, frozen=True):
    """What messages say of the window that an alert was judged on."""

    window: str
    start: int
    end: int
    events: Natural
    offsets: tuple[OffsetRange, ...]
    labelled: LabelledState | None = None


class AlertValue(_Struct, frozen=True):
    """One alert, with its newest verdict. `rule`: its place among the rules."""

    rule: Natural
    state: Literal["inactive", "pending", "hidden", "firing"]
    pending_since: int
    data_since: int | None
    last_violated: int
    episode: Natural
    labels: tuple[tuple[str, str], ...]
    stream: StreamName
    column: str | None
    value: float
    op: str
    threshold: float
    threshold_source: str
    reference_mean: float | None
    violated: bool
    window: JudgedWindow | None
    named: Named = NOTHING
    silenced_by: tuple[str, ...] = ()
    inhibited_by: tuple[str, ...] = ()
    mutings: Natural = 0
    struck: tuple[str, ...] = ()
    windows: Natural = 1
    recovery_threshold: float | None = None


class SilenceValue(_Struct, frozen=True):
    """A silence of alerts, [start, end) in ms; its id is that of its command."""

    id: str
    matchers: tuple[Matcher, ...]
    start: int
    end: int


Severity = Literal["warning", "critical"]
"""That of an incident, and of an alert in one: what is not critical counts as a warning; info is in none."""
Cause = Literal["pipeline", "upstream", "concept", "data"]
"""What an alert is about, the likeliest cause of others first."""
IncidentStanding = Literal["waiting", "open", "closed", "forgotten"]
News = Literal["none", "some", "urgent"]


class IncidentMember(_Struct, frozen=True):
    """An alert of an incident. `alert`: its name. `columns`: those that its messages name, or its own.

    `change`: when its change was; `starts_at`: its first violated judgement; `ended`: when it was resolved, None while
    it fires; ms. `weight`: how far it was beyond its threshold at most, times the importance of its column.
    """

    fingerprint: str
    alert: str
    stream: StreamName
    column: str | None
    columns: tuple[str, ...]
    severity: Severity
    cause: Cause
    change: int
    starts_at: int
    weight: float
    ended: int | None


class Acknowledged(_Struct, frozen=True):
    """Who has acknowledged an incident, and when, by the judging clock, ms."""

    by: str
    at: int
    comment: str


class IncidentState(_Struct, frozen=True):
    """One incident (`incident_life.py`)."""

    id: str
    state: IncidentStanding
    begun_at: int
    spoken_at: int
    closed_at: int
    episode: Natural
    messages: Natural
    severity: Severity
    news: News
    forgotten: Natural
    acknowledged: Acknowledged | None
    changes: tuple[tuple[int, int], ...]
    members: tuple[IncidentMember, ...]
    related: tuple[str, ...]


class KnownState(_Struct, frozen=True):
    """Commands by their own time (ms) and id, ascending; and the time of the newest one that is forgotten."""

    by_time: tuple[tuple[int, str], ...] = ()
    forgotten_to: int | None = None


class AcceptedState(_Struct, frozen=True):
    """Columns of a stream that have got a reference which somebody has accepted; all of them if none is named."""

    stream: StreamName
    columns: tuple[str, ...]


class AskedState(_Struct, frozen=True):
    """When a trigger last asked, and for which firings (fingerprint, episode), sorted."""

    trigger: str
    at: int
    reasons: tuple[tuple[str, int], ...]


class PastState(_Struct, frozen=True):
    """Stretches of event time and the offsets in them, as packed columns (`past_offsets.py`).

    A stretch each: distance from the end of the one before, length in panes, number of ranges. A range each: place
    among `places`, distance from the end of the one before in its partition, length.
    """

    places: tuple[tuple[str, int], ...]
    gaps: bytes
    panes: bytes
    sizes: bytes
    which: bytes
    distances: bytes
    lengths: bytes


class JudgeState(_Struct, frozen=True):
    """Alerts by fingerprint, triggers by name, and which offsets each stretch of event time holds.

    `begun_at`: event time from which the silence of streams without a row counts, ms; None before the first pane.
    `silence_at`: the newest time at which silence was judged. `silences`: of alerts, in the order in which they came.
    `incidents`: those that are not forgotten, the oldest first.
    `accepted`: of what alerts are resolved at the next judgement, because its reference was accepted.
    """

    alerts: tuple[AlertValue, ...]
    asked: tuple[AskedState, ...]
    offsets: PastState
    begun_at: int | None
    silence_at: int | None
    silences: tuple[SilenceValue, ...] = ()
    incidents: tuple[IncidentState, ...] = ()
    accepted: tuple[AcceptedState, ...] = ()


class FirstRowsState(_Struct, frozen=True):
    """The first rows of a lane that waits. `tail`: those in no block, as raw panes are written.

    `blocks`: name and digest of each block, which is a part of its own. `sampled`: of each partition that waits, where
    its sample ends, as (topic, partition, time in ms, offset, part).
    """

    blocks: tuple[tuple[str, str], ...]
    tail: tuple[bytes, ...]
    sampled: tuple[tuple[str, int, int, int, int], ...]


class CohortState(_Struct, frozen=True):
    """A cohort of predictions, [start, end) in ms; `end`: None if it has not ended. `labelled`: of its predictions."""

    number: Natural
    start: int
    end: int | None
    predictions: Natural
    labelled: Natural
    closed: Literal["age", "budget"] | None


class PiecesState(_Struct, frozen=True):
    """Rows of one kind. `next`: number of the next piece.

    `names`: of the pieces that are needed, each a part of its own. `tail`: the rows behind the last piece.
    """

    next: Natural
    names: tuple[str, ...]
    tail: bytes


class WaitingState(_Struct, frozen=True):
    """Labels that wait for their prediction, as columns. `since`: where the panes begin that they came in, ms."""

    ids: bytes
    values: bytes
    times: bytes
    since: bytes


class JoinState(_Struct, frozen=True):
    """Predictions that wait for labels. `origin`: where the first pane begins from which panes are counted, ms.

    `labels`: by id and pane of their prediction, the newest last.
    """

    origin: int | None
    counters: dict[str, int]
    cohorts: tuple[CohortState, ...]
    predictions: PiecesState
    labels: PiecesState
    waiting: WaitingState


class GrowingSlice(_Struct, frozen=True):
    """Rows of a reference that grows: how many, first and last time, ms, and counts."""

    events: Natural
    first_time: int | None
    last_time: int | None
    counts: Counts


class GrowthState(_Struct, frozen=True):
    """A reference that grows. `is_open`: whether panes are taken. `ends`: where it will count from, ms.

    `length`: fewest rows of a slice that is full. `last_time`: of its newest row; `longest_gap`: so far, ms.
    """

    is_open: bool
    ends: int
    length: Natural
    slices: tuple[GrowingSlice, ...]
    last_time: int | None
    longest_gap: Natural
    moments: GrowingState


class TrailingState(_Struct, frozen=True):
    """A reference that trails. `due`: the pane that the next one is made at, ms; `slices`: those that it may hold."""

    due: int
    slices: tuple[GrowingSlice, ...]


class LaneState(_Struct, frozen=True):
    """One lane of the contract in use. `rows`: that its panes held while it waited. `last_time`: of its newest row, ms.

    `since`: where its silence begins if no row has come, ms; None: where the model's does. `counts_from`: where the
    pane begins for which a reference that is known will count first, ms. `left_out`: panes that were judged under
    neither of two contracts. `fold`: None without a reference. `longest_gap`: that its silence is measured by, ms.
    `spans_from`, `spans_to`: the event time of its rows while it waits, ms. `growth`: its reference, if that grows;
    `trailing`: what windows are compared with, if that follows the data.
    """

    stream: StreamName
    segment: str
    state: Literal["waiting", "reference", "judged"]
    begun: bool
    rows: Natural
    last_time: int | None
    since: int | None
    counts_from: int
    left_out: Natural
    fold: StreamState | None
    longest_gap: int | None = None
    spans_from: int | None = None
    spans_to: int | None = None
    growth: GrowthState | None = None
    trailing: TrailingState | None = None


class PendingPane(_Struct, frozen=True):
    """A pane not yet folded, or keyed rows of one, as they are written."""

    kind: Literal["pane", "raw", "keyed"]
    value: bytes


class NoticesState(_Struct, frozen=True):
    """Fingerprints of published notices, sorted, and notices that wait for their pane, by fingerprint.

    `passing`: those of the newest published ones that are forgotten at last, in the order in which they came.
    """

    published: tuple[str, ...]
    held: tuple[Notice, ...]
    passing: tuple[str, ...] = ()


class CohortPairsState(_Struct, frozen=True):
    """The pairs of one cohort. `changes`: how often pairs have come or gone. `is_lost`: some came before the grid."""

    number: Natural
    changes: Natural
    is_lost: bool
    vector: Counts | None


class PerformanceReferenceState(_Struct, frozen=True):
    """The reference of performance: event time and labels of it, and width and vector of each slice."""

    start: int | None
    end: int | None
    labels: Natural
    slices: tuple[tuple[Natural, Counts], ...]


class PublishedWindowsState(_Struct, frozen=True):
    """How far windows of one specification had come when they were last published (`WindowTable.levels`), by end."""

    name: str
    ends: tuple[int, ...]
    levels: tuple[Natural, ...]


class JudgedPerformance(_Struct, frozen=True):
    """The window that rules of some kind were last judged on: its end, changes of pairs, predictions and level."""

    window: str
    min_labels: Natural
    standing: Standing
    end: int
    changes: Natural
    predictions: Natural
    reached: Standing


class NewestOutcomesState(_Struct, frozen=True):
    """The newest outcomes in order: steps between the panes of their predictions, errors as bits, and losses."""

    first: int
    steps: bytes
    errors: bytes
    losses: bytes


class OutcomesState(_Struct, frozen=True):
    """The lane of outcomes: how many there were, and slices of its reference (rows, first and last time, counts).

    `has_begun`: see Outcomes. `has_reference`: whether it counts; else its slices grow. `newest`: the newest outcomes,
    as `newest_outcomes.py` packs them. `codes`: rows of the reference as long as it is not made, else its `moments`.
    """

    has_begun: bool
    number: Natural
    slices: tuple[tuple[Natural, int, int, Counts], ...]
    has_reference: bool
    newest: NewestOutcomesState | None
    codes: bytes
    moments: PackedMoments | None


class PerformanceState(_Struct, frozen=True):
    """Labels of one model. `spec`: names what they are joined by. `grid`: digest of the one that pairs are counted on.

    `unusable`: how many predictions, and how many labels. `reference`: of cohorts; `labelled`: digest of a file's.
    `to_ms`: end of the newest pane that was judged.
    """

    spec: str
    grid: str
    join: JoinState
    classes: tuple[str, ...]
    unusable: tuple[Natural, Natural]
    pairs: tuple[CohortPairsState, ...]
    reference: PerformanceReferenceState | None
    labelled: str
    published: tuple[PublishedWindowsState, ...]
    judged: tuple[JudgedPerformance, ...]
    outcomes: OutcomesState
    last_label: int | None
    to_ms: int


class ModelState(_Struct, frozen=True):
    """One model. `active`: newest change by (kind, stream); `used`: those in use, which a restore is given.

    `files`: SHA-256 of the alerts.yaml that the rules in use came from, and of the one that the newest rules came from.
    `references_from`: by lane, where the first pane begins that its reference counts for, ms. `life`: how often the
    model was gone. `accepted_over`: by lane, the digest of the reference that an accepted one has taken the place of.
    `accepting`: commands whose reference is being made, in the order in which they came. `ended`: where the pane begins
    at which it last was, ms; None if it had no pane before. `next`: where the pane begins that is folded next, ms.
    `first_rows`: by lane, of those that wait, or have not begun.
    """

    active: tuple[DecisionState, ...]
    used: tuple[DecisionState, ...]
    files: tuple[str, str]
    references_from: tuple[tuple[str, int], ...]
    life: Natural
    ended: int | None
    next: int | None
    lanes: tuple[LaneState, ...]
    first_rows: tuple[tuple[str, FirstRowsState], ...]
    panes: tuple[PendingPane, ...]
    judge: JudgeState
    notices: NoticesState
    silence: SilenceState
    performance: PerformanceState | None = None
    known: KnownState = KnownState()
    accepted_over: tuple[tuple[str, str], ...] = ()
    accepting: tuple[str, ...] = ()


class SharedState(_Struct, frozen=True):
    """What belongs to no model: watermarks of the inputs, sequences of the writers, notices."""

    watermarks: tuple[Watermark, ...]
    sequences: tuple[tuple[str, int], ...]
    notices: NoticesState
