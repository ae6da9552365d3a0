"""The configuration as the service uses it: every default filled in, every duration in milliseconds, names resolved."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from monitor.codec.durations import duration_text
from monitor.config.comparison import Comparison, Selector
from monitor.config.metrics import Maturity, Task
from monitor.config.rates import Rate
from monitor.contract import ModelContract
from monitor.detectors import DetectorPlugin
from monitor.errors import Problem
from monitor.events import StreamName


class _Resolved(BaseModel):
    """Frozen values that go through JSON unchanged: they are written to the ledger. A later release may add keys."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, allow_inf_nan=False)


class WindowSpec(_Resolved):
    """A window of `events` or of `time_ms`; tumbling, or sliding by `every` or `every_ms`."""

    events: int | None = Field(None, ge=1)
    every: int | None = Field(None, ge=1)
    time_ms: int | None = Field(None, ge=1)
    every_ms: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _one_unit(self) -> WindowSpec:
        if (self.events is None) == (self.time_ms is None):
            raise ValueError("a window has either events or time_ms")
        if (self.every is not None and self.events is None) or (self.every_ms is not None and self.time_ms is None):
            raise ValueError("the step of a window is in its own unit")
        return self

    @cached_property
    def name(self) -> str:
        """The canonical name: "events=5000,every=500", "time=1h,every=5m", "events=2000"."""
        if self.time_ms is not None:
            size, step = f"time={duration_text(self.time_ms)}", self.every_ms and duration_text(self.every_ms)
        else:
            size, step = f"events={self.events}", self.every and str(self.every)
        return f"{size},every={step}" if step else size


class Rule(_Resolved):
    """One alerting rule of one model. `comparison`: its expression, parsed.

    `min_labels`, `maturity`, `confidence`: of rules on performance. With a confidence the whole interval has to be
    beyond the threshold. `under`: name of the alert that, while it fires on the same stream, keeps those of the rule
    from being published. `for_windows`: how many windows in a row have to be violated. `unless`: names of alerts
    that keep it from giving a verdict while they fire, on the same column if both have one.
    """

    group: str
    alert: str
    comparison: Comparison
    window: WindowSpec
    for_ms: int
    keep_firing_for_ms: int
    min_events: int
    labels: dict[str, str]
    annotations: dict[str, str]
    min_labels: int = 0
    maturity: Maturity = "mature"
    confidence: float | None = None
    under: str | None = None
    for_windows: int = 1
    unless: tuple[str, ...] = ()


class DetectorSpec(_Resolved):
    """A detector and what it reads; `inputs.resolve_inputs` returns the series."""

    name: str
    detector: DetectorPlugin
    input: str


class RetrainingTrigger(_Resolved):
    """A reason to request retraining. `any`: names of alerts. `max_ms`: longest stretch of data to train on."""

    trigger: str
    any: tuple[str, ...]
    cooldown_ms: int
    max_ms: int


class InhibitRule(_Resolved):
    """Alerts that all of `source` accept mute those that all of `target` accept and that have the same labels `equal`.

    An absent label has the value "".
    """

    source: tuple[Selector, ...]
    target: tuple[Selector, ...]
    equal: tuple[str, ...] = ()


class ReferenceSpec(_Resolved):
    """The origin of the reference: exactly one of a file, a topic's range [from, to), the first n events, those of
    the first `first_ms` of event time, or those of the newest `trailing_ms`."""

    path: str | None = None
    topic: str | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    first: int | None = None
    first_ms: int | None = None
    trailing_ms: int | None = None

    @property
    def is_of_traffic(self) -> bool:
        """Return true if it is made of what the service reads first."""
        return self.path is None and self.topic is None


class SolvedLane(_Resolved):
    """What a lock holds for one lane. `reference`: digest of the one that it was solved for.

    `pieces`: independent stretches of that. `limits`: z of `drift` by family, column and correlation; None without a
    budget.
    """

    reference: str
    pieces: int
    limits: tuple[float, float, float] | None = None


class PerformanceSpec(_Resolved):
    """How the predictions of a model are joined with their labels, and judged by the time of the prediction.

    `window`: the model's window of performance. `step_ms`: length of a cohort; None if the window is of events.
    `max_delay_ms`: a cohort takes no labels this long after its end. `max_early_ms`: how long a label waits for its
    prediction. `pending`: most rows that wait for labels. `mature`: least coverage of a mature window. `positive`: the
    class that counts as 1, as `codec.columns.class_of` gives it; None if it is 1. `threshold`: least probability of
    class 1 if there is no prediction. `tolerance`: largest error of a right prediction of a regression. `baseline`:
    by metric. `costs`: by true and predicted class. `no_data_ms`: longest silence of the labels.
    """

    window: WindowSpec
    step_ms: int | None
    max_delay_ms: int
    max_early_ms: int
    pending: int
    mature: float = 0.9
    positive: str | None = None
    threshold: float = 0.5
    tolerance: float | None = None
    baseline: dict[str, float] = {}
    costs: dict[str, dict[str, float]] = {}
    no_data_ms: int | None = None

    @property
    def step(self) -> int:
        """Length of a cohort: ms, or predictions if the window is of events."""
        return self.step_ms or self.window.every or self.window.events or 0


class IncidentSpec(_Resolved):
    """How alerts of one model become incidents.

    `group_for_ms`: changes that are no further apart belong together. `group_wait_ms`: from the first alert to the
    message that opens one. `group_interval_ms`: between messages of one. `reopen_within_ms`: how long a closed one may
    be opened again.
    """

    group_for_ms: int = 3_600_000
    group_wait_ms: int = 30_000
    group_interval_ms: int = 300_000
    reopen_within_ms: int = 3_600_000


class ModelRules(_Resolved):
    """All that evaluate needs of one model, beside its contract; part of the ledger.

    `performance`: of a model with labels. `rules`: without those on performance that the model can't have.
    `importance`: of columns, for the order in which alerts name them. `season_ms`: of a season that is named, or 0.
    `budget`: the rate of false alarms of the rules on `drift`, all lanes together. `solved`: what the
    lock holds for each lane.
    """

    model: str
    task: Task
    pane_ms: int
    interval_ms: int
    window: WindowSpec
    rules: tuple[Rule, ...]
    detectors: tuple[DetectorSpec, ...]
    retraining: tuple[RetrainingTrigger, ...]
    reference: ReferenceSpec
    performance: PerformanceSpec | None = None
    importance: dict[str, float] = {}
    season_ms: int = 0
    budget: Rate | None = None
    solved: dict[StreamName, SolvedLane] = {}
    inhibit_rules: tuple[InhibitRule, ...] = ()
    incidents: IncidentSpec = IncidentSpec()


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """One model: the contract that profile reads, the rules that evaluate reads, and the place of a first start.

    `start`: "earliest", "latest", or ms UTC. `max_lead_ms`: how far (event time) a partition may be ahead of the
    slowest. Both decide where and how fast profile reads, not what it makes of the records, so they are not part of the
    contract.
    `alerts_yaml_sha256`: of the file. It stands beside the rules, because a changed comment does not change a rule.
    """

    contract: ModelContract
    rules: ModelRules
    start: Literal["earliest", "latest"] | int
    max_lead_ms: int
    alerts_yaml_sha256: str


@dataclass(frozen=True, slots=True)
class Config:
    """A whole alerts.yaml. `models`: sorted by name. `hints`: passages that are right and probably not meant."""

    models: tuple[ModelConfig, ...]
    alerts_yaml_sha256: str
    hints: tuple[Problem, ...] = ()

    def own_rules(self, built_in: str) -> int:
        """How many rules stand in the file, those of several models once. `built_in`: group of the others."""
        rules = (rule for model in self.models for rule in model.rules.rules if rule.group != built_in)
        return len({(rule.group, rule.alert, str(rule.comparison)) for rule in rules})
