"""Retraining requests: when a trigger asks, and the message.

The rules of this file:

- A trigger asks at a judgement where one of its alerts fires, if its cooldown has passed since it last asked. What
  fires only while the cooldown runs is not forgotten: it is asked for at its end, if it still fires then.
- An alert that goes on firing asks again after every cooldown in which events came, as a new request: the remedy has
  not come or has not helped. With a cooldown of 0 each firing asks once.
- The reasons are all alerts of the trigger that fire at that judgement. The data to train on goes from the start of
  the oldest window that first violated one of them (without a window: one rule interval before that judgement), but no
  longer back than the trigger's `max`, to the end of the pane that decided.

The message has the keys of the design that are true by now. Not yet: `version` and `registry_uri` of the model,
vetoes, ranges to leave out, joined rows, `log_start` and retention, and approvals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from monitor.codec.canonical import time_text
from monitor.codec.cloud_events import CloudEvent, JsonObject
from monitor.config.resolved import ModelRules, RetrainingTrigger
from monitor.evaluate.alerts import Place
from monitor.evaluate.lifecycle import FOREVER, AlertState
from monitor.evaluate.rules import on_silence
from monitor.evaluate.state import AskedState
from monitor.events import OffsetRange

_REASONS = 100
"""Most reasons that a message names."""


@dataclass(frozen=True, slots=True)
class RetrainingRequest:
    """One request of one trigger. `start`, `end`: event time of the data to train on, ms UTC, [start, end)."""

    at: int
    model: str
    trigger: str
    reasons: tuple[AlertState, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Asked:
    """When a trigger last asked, and for which firings (fingerprint, episode)."""

    at: int
    reasons: frozenset[tuple[str, int]]


class Retraining:
    """The triggers of one model."""

    def __init__(self, rules: ModelRules) -> None:
        self._asked: dict[str, _Asked] = {}
        self.use(rules)

    def use(self, rules: ModelRules) -> None:
        """New rules: triggers that keep their name keep their cooldown."""
        self._model = rules.model
        self._interval_ms = rules.interval_ms
        silent = {rule.alert for rule in rules.rules if on_silence(rule)}
        self._triggers = {
            by_clock: tuple(trigger for trigger in rules.retraining if by_clock != silent.isdisjoint(trigger.any))
            for by_clock in (False, True)
        }

    def judge(
        self, at: int, firing: Sequence[AlertState], newest: int | None, by_clock: bool = False
    ) -> list[RetrainingRequest]:
        """The requests to publish, in the triggers' order. `firing`: all alerts that fire after this judgement.

        `newest`: the time of the model's newest row, ms. `by_clock`: of the triggers that name a rule on silence, which
        go by the silence clock, or of the others.
        """
        requests: list[RetrainingRequest] = []
        for trigger in self._triggers[by_clock]:
            reasons = _reasons(trigger, firing)
            if not reasons or self._due_at(trigger, reasons, newest) > at:
                continue
            self._asked[trigger.trigger] = _Asked(at, frozenset((a.fingerprint, a.episode) for a in reasons))
            start = max(min(self._data_since(alert) for alert in reasons), at - trigger.max_ms)
            requests.append(RetrainingRequest(at, self._model, trigger.trigger, reasons, start, at))
        return requests

    def state(self) -> tuple[AskedState, ...]:
        """When each trigger last asked, by name."""
        return tuple(AskedState(name, a.at, tuple(sorted(a.reasons))) for name, a in sorted(self._asked.items()))

    def restore(self, state: Sequence[AskedState]) -> None:
        """Go on from there."""
        self._asked = {asked.trigger: _Asked(asked.at, frozenset(asked.reasons)) for asked in state}

    def next_due(self, at: int, firing: Sequence[AlertState], newest: int | None, by_clock: bool = False) -> int:
        """When, after the judgement `at`, a trigger asks again if nothing changes; FOREVER if none will."""
        due = [
            self._due_at(trigger, reasons, newest)
            for trigger in self._triggers[by_clock]
            if (reasons := _reasons(trigger, firing)) and trigger.trigger in self._asked
        ]
        return min((time for time in due if time > at), default=FOREVER)

    def _due_at(self, trigger: RetrainingTrigger, reasons: Sequence[AlertState], newest: int | None) -> int:
        """From when on the trigger asks for these reasons; FOREVER if there is nothing new to ask for."""
        asked = self._asked.get(trigger.trigger)
        if asked is None:
            return -FOREVER
        is_new = any((alert.fingerprint, alert.episode) not in asked.reasons for alert in reasons)
        has_data = newest is not None and newest >= asked.at
        return asked.at + trigger.cooldown_ms if is_new or (trigger.cooldown_ms > 0 and has_data) else FOREVER

    def _data_since(self, alert: AlertState) -> int:
        return alert.pending_since - self._interval_ms if alert.data_since is None else alert.data_since


def _reasons(trigger: RetrainingTrigger, firing: Sequence[AlertState]) -> tuple[AlertState, ...]:
    return tuple(alert for alert in firing if alert.rule.alert in trigger.any)


def retraining_message(
    request: RetrainingRequest, place: Place, ranges: Callable[[int, int], tuple[OffsetRange, ...]]
) -> bytes:
    """The message of one request. `ranges`: offsets of the model's topics over event time [from, to) in ms."""
    request_id = f"{request.trigger}/{request.model}/{time_text(request.at)}"  # a trigger may be for many models
    reasons = [
        {"alertname": alert.rule.alert, "fingerprint": alert.fingerprint, "startsAt": time_text(alert.pending_since)}
        for alert in request.reasons[:_REASONS]
    ]
    return CloudEvent(
        type="streamdrift.retraining.requested.v1",
        source=place.source,
        id=request_id,
        at=request.at,
        subject=request.model,
        key=request.model,
        data={
            "request_id": request_id,
            "trigger": request.trigger,
            "state": "requested",
            "model": {"name": request.model},
            "reasons": reasons,
            "reasons_count": len(request.reasons),
            "training_window": {
                "from": time_text(request.start),
                "to": time_text(request.end),
                "interval": "half-open [start,end)",
                "cluster_id": place.cluster_id,
                "topics": _topics(ranges(request.start, request.end)),
            },
            "approval": {"required": False, "state": "not_required"},
        },
    ).encode()


def _topics(ranges: Sequence[OffsetRange]) -> list[JsonObject]:
    """Ranges by topic. `records` is the length of the range: markers of transactions and gaps count."""
    topics: list[JsonObject] = []
    for name, parts in groupby(sorted(ranges), key=lambda part: part.topic):
        partitions = [
            {"partition": p.partition, "start": p.start, "end": p.end, "records": p.end - p.start} for p in parts
        ]
        topics.append({"name": name, "partitions": partitions})
    return topics
