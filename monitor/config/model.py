"""The shape of alerts.yaml: what may be written where, before any names are looked up.

Unknown keys are refused. What a single value may be is in `scalars.py`.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from monitor.config.entry import Shape
from monitor.config.metrics import Maturity, Task
from monitor.config.performance import PerformanceEntry
from monitor.config.roles import ColumnsEntry
from monitor.config.scalars import (
    Column,
    Confidence,
    Count,
    Duration,
    DurationOrOff,
    First,
    Glob,
    Identifier,
    Importance,
    LabelName,
    Name,
    Period,
    PositiveDuration,
    Start,
    Threshold,
    Time,
    TimeZone,
    Topic,
)
from monitor.config.streams import StreamsEntry
from monitor.config.windows import WindowEntry
from monitor.detectors import DetectorPlugin


class IncidentsEntry(Shape):
    """How alerts of a model become incidents: one problem is one incident."""

    group_for: Duration | None = None
    """Alerts whose changes are no further apart in event time belong to one incident."""
    group_wait: Duration | None = None
    """How long an incident waits for more alerts before it is opened; with a critical alert it does not wait."""
    group_interval: Duration | None = None
    """Least time between two messages of an open incident, unless it becomes more severe."""
    reopen_within: Duration | None = None
    """How long after its end an incident is opened again by an alert that belongs to it."""


class ModelSettings(Shape):
    """Settings that stand under `defaults` for all models, and that each model may override."""

    window: WindowEntry | None = None
    """Window of event time or of events that rules are judged on; never of the wall clock."""
    lateness: Duration | None = None
    """Allowed lateness; rows that come later are counted as late."""
    pane: PositiveDuration | None = None
    """Slice of event time that everything is made of; if it changes, all starts again."""
    interval: PositiveDuration | None = None
    """Time between judgements of the rules; a multiple of the pane."""
    idle_timeout: DurationOrOff | None = None
    """A partition that stands still for this long no longer holds back others that move; or off: it always does."""
    max_clock_skew: PositiveDuration | None = None
    """Rows further in the future than this are rejected."""
    max_lead: PositiveDuration | None = None
    """A partition this far ahead (in event time) of the slowest one of its models waits for it."""
    no_data: DurationOrOff | None = None
    """How long a stream may be silent before NoData fires, or off; else 3 times the longest gap of its reference."""
    start: Start | None = None
    """Place where a first start begins: earliest, latest, or a time."""
    grid_rows: Annotated[int, Field(ge=10, le=100_000)] | None = None
    """Most rows that a partition sends raw while it waits for a grid, and rows that `first: 14d` makes that from;
    `first: n` sets it to n."""
    timezone: TimeZone | None = None
    """Time zone of event times without offset, such as Europe/Berlin."""
    trace_points: Annotated[int, Field(ge=16, le=65_536)] | None = None
    """Most rows of a pane that the detectors read."""
    incidents: IncidentsEntry | None = None
    """How alerts become incidents; each setting that a model lacks is that of the defaults."""


class ReferenceEntry(Shape):
    """What is normal: a file, a range of a topic, the first events, by number or by event time, or the newest ones."""

    path: Annotated[str, Field(min_length=1)] | None = None
    topic: Topic | None = None
    from_: Time | None = Field(None, alias="from")
    to: Time | None = None
    first: First | None = None
    """The first events of each stream: how many (the grid is made from them, too), or those of which event time."""
    trailing: PositiveDuration | None = None
    """Event time of the newest events, which each day become what windows are compared with."""

    @model_validator(mode="after")
    def _one_origin(self) -> ReferenceEntry:
        if sum(origin is not None for origin in (self.path, self.topic, self.first, self.trailing)) != 1:
            raise ValueError("a reference has one of `path`, `topic`, `first` and `trailing`")
        if self.topic is None and (self.from_ is not None or self.to is not None):
            raise ValueError("`from` and `to` belong to a reference of a `topic`")
        if self.from_ is not None and self.to is not None and self.from_ >= self.to:
            raise ValueError("`from` must be before `to`")
        return self


class BudgetEntry(Shape):
    """False alarms that the rules on `drift` may give, all streams of the model together."""

    false_alarms: Count = 1
    per: Period
    """day, week, month, a duration such as 30d, or a number of rows such as 50000 rows."""


class ModelEntry(ModelSettings):
    """One model."""

    task: Task
    streams: StreamsEntry
    columns: ColumnsEntry = Field(default_factory=ColumnsEntry)
    performance: PerformanceEntry | None = None
    """How predictions are compared with their labels, of a model with labels."""
    importance: dict[Column, Importance] = Field(default_factory=dict)
    """How much columns matter to the model, by name, for the order in which alerts name them; others share alike."""
    season: Literal["day", "week"] | None = None
    """Period in which the data of the model come back; `drift` takes what comes back in the reference for normal."""
    budget: BudgetEntry | None = None
    """How many false alarms rules on `drift` may give; `streamdrift calibrate` solves the limits for it."""
    reference: ReferenceEntry = Field(default_factory=lambda: ReferenceEntry(first=5000))


class DetectorEntry(Shape):
    """A detector of River, its input, and the model it is for (by default all models that have its input)."""

    detector: DetectorPlugin
    input: Annotated[str, Field(min_length=1, max_length=300)]
    """COLUMN, missing(COLUMN) or class(LABEL); COLUMN may be in quotes, or a glob such as "*" or "amount_*"."""
    model: Name | None = None

    @model_validator(mode="before")
    @classmethod
    def _plugin_apart(cls, data: object) -> object:
        """Separate the plug-in's keys (class, params) from ours, which stand beside them in the file."""
        if not isinstance(data, dict):
            return data
        ours = {key: data[key] for key in ("input", "model") if key in data}
        return {**ours, "detector": {key: value for key, value in data.items() if key not in ours}}


class RuleEntry(Shape):
    """One alerting rule."""

    alert: Name
    expr: Annotated[str, Field(min_length=1)]
    """METRIC{label="value"} > threshold; the threshold may use reference_mean, reference_std and baseline."""
    window: WindowEntry | None = None
    for_: Duration = Field(0, alias="for")
    """How long the rule has to be violated before the alert fires."""
    for_windows: Annotated[int, Field(ge=1, le=1000)] | None = None
    """How many windows in a row have to be violated before the alert fires, instead of `for`."""
    keep_firing_for: Duration = 0
    """How long the alert goes on firing after the rule was last violated."""
    recovery_threshold: Threshold | None = None
    """While the alert fires, the rule counts as violated until the value is on the safe side of this."""
    under: Name | None = None
    """While this alert of the model fires on the same stream, those of the rule are listed in it and not published."""
    unless: Annotated[list[Name], Field(min_length=1)] | None = None
    """While one of these alerts of the model fires, on the same column if both have one, the rule gives no verdict."""
    min_events: Annotated[int, Field(ge=0, le=1_000_000_000)] | None = None
    """A window with fewer events gives no verdict."""
    min_labels: Count | None = None
    """A window of performance with fewer labels gives no verdict."""
    maturity: Maturity | None = None
    """Windows of performance that are judged: mature ones, or provisional ones, too."""
    confidence: Confidence | None = None
    """The whole interval of a metric of performance has to be beyond the threshold, at this confidence."""
    labels: dict[LabelName, str] = Field(default_factory=dict)
    annotations: dict[LabelName, str] = Field(default_factory=dict)
    """Texts with {{ labels.column }}, {{ value | percent }}, {{ threshold }}, {{ reference }}, {{ events }} and
    {{ columns }}."""


MOST_MATCHERS = 20
MatcherText = Annotated[str, Field(min_length=1, max_length=500)]
Matchers = Annotated[list[MatcherText], Field(min_length=1, max_length=MOST_MATCHERS)]


class ForModels(Shape):
    """Base of what is for some models: exactly one of `models` and `model` names them."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["models"]}, {"required": ["model"]}]})

    models: Annotated[list[Glob], Field(min_length=1)] | None = None
    """The models by name or glob, such as "fraud-*"."""
    model: Name | None = None
    """The model by name, if it is one."""

    @model_validator(mode="after")
    def _one_spelling(self) -> Self:
        if (self.models is None) == (self.model is None):
            raise ValueError("names its models by one of `models: [globs]` and `model: NAME`")
        return self


class GroupEntry(ForModels):
    """Rules of some models under one name."""

    name: Name
    rules: Annotated[list[RuleEntry], Field(min_length=1)]


class WhenEntry(Shape):
    """The alerts that ask for retraining."""

    any: Annotated[list[Name], Field(min_length=1)]


class TrainingWindowEntry(Shape):
    """The data to train on: from the first violation on, but no longer than `max`."""

    since: Literal["first_violation"] = "first_violation"
    max: PositiveDuration = 14 * 86_400_000


class RetrainingEntry(ForModels):
    """When retraining of some models is requested, of each by itself."""

    trigger: Name
    when: WhenEntry
    cooldown: Duration = 86_400_000
    """Least time between two requests."""
    approval: Literal["auto"] = "auto"
    training_window: TrainingWindowEntry = Field(default_factory=TrainingWindowEntry)


class InhibitEntry(Shape):
    """Alerts that mute others of their model while they fire, in Alertmanager's words."""

    source_matchers: Matchers
    """What alerts that mute others have to match, all of it: label="value", !=, =~ or !~, one each."""
    target_matchers: Matchers
    """What alerts have to match to be muted; of one that names columns, each column by itself."""
    equal: Annotated[list[LabelName], Field(max_length=MOST_MATCHERS)] = Field(default_factory=list)
    """Labels that both have to have alike; two that lack one have it alike."""


class LimitsEntry(Shape):
    """Limits of what a file may ask for; a file that asks for more is refused."""

    models: Count = 1000
    """Most models of the file."""
    columns: Count = 1000
    """Most series of a model: a list of numbers has three, any other column one."""
    open_panes: Count = 1000
    """Most panes that lateness may keep open in a partition of a model."""
    window_slices: Count = 10_000
    """Most slices of event time in a window of time (its length by the greatest common divisor of length and step), and
    most cohorts in a window of performance."""


class AlertsFile(Shape):
    """alerts.yaml."""

    version: Literal[1]
    limits: LimitsEntry = Field(default_factory=LimitsEntry)
    defaults: ModelSettings = Field(default_factory=ModelSettings)
    models: dict[Name, ModelEntry]
    detectors: dict[Identifier, DetectorEntry] = Field(default_factory=dict)
    groups: list[GroupEntry] = Field(default_factory=list)
    inhibit_rules: list[InhibitEntry] = Field(default_factory=list)
    """Which alerts mute which others."""
    retraining: list[RetrainingEntry] = Field(default_factory=list)
