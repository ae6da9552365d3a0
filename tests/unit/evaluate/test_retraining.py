"""Retraining: when a trigger asks, and for which data."""

from __future__ import annotations

from monitor.config.expression import parse
from monitor.config.resolved import ModelRules, ReferenceSpec, RetrainingTrigger, Rule, WindowSpec
from monitor.evaluate.lifecycle import FOREVER, AlertState
from monitor.evaluate.retraining import Retraining
from monitor.events import Verdict

WINDOW = WindowSpec(events=100, every=10, time_ms=None, every_ms=None)
HOUR = 3_600_000
INTERVAL = 30_000


def firing(alert: str, since: int, data_since: int | None = None, episode: int = 1) -> AlertState:
    rule = Rule(
        group="g",
        alert=alert,
        comparison=parse("psi > 0.25"),
        window=WINDOW,
        for_ms=0,
        keep_firing_for_ms=0,
        min_events=0,
        labels={},
        annotations={},
    )
    verdict = Verdict((("alertname", alert),), "features", "x", 1.0, ">", 0.25, "constant", None, True, None)
    return AlertState(alert.lower(), rule, "firing", since, data_since, since, episode, verdict)


def retraining(cooldown_ms: int, max_ms: int = 1000 * HOUR, any_: tuple[str, ...] = ("Drift", "Concept")) -> Retraining:
    trigger = RetrainingTrigger(trigger="refresh", any=any_, cooldown_ms=cooldown_ms, max_ms=max_ms)
    return Retraining(
        ModelRules(
            model="m",
            task="classification_binary",
            pane_ms=10_000,
            interval_ms=INTERVAL,
            window=WINDOW,
            rules=(),
            detectors=(),
            retraining=(trigger,),
            reference=ReferenceSpec(first=5000),
        )
    )


def asked(trigger: Retraining, *judgements: tuple[int, list[AlertState]]) -> list[int]:
    return [request.at for at, alerts in judgements for request in trigger.judge(at, alerts, at)]


def test_it_asks_when_a_named_alert_fires() -> None:
    """Other alerts, and silence, ask for nothing."""
    drift, other = firing("Drift", HOUR), firing("Other", 0)
    trigger = retraining(24 * HOUR)
    assert trigger.judge(0, [], 0) == []
    assert trigger.judge(0, [other], 0) == []
    (request,) = trigger.judge(HOUR, [drift, other], HOUR)
    assert (request.model, request.trigger, request.reasons) == ("m", "refresh", (drift,))


def test_a_firing_that_goes_on_asks_once_per_cooldown() -> None:
    """One request at first, the next when the cooldown has passed and it still fires."""
    drift = firing("Drift", 0)
    times = [k * HOUR for k in range(60)]
    assert asked(retraining(24 * HOUR), *((at, [drift]) for at in times)) == [0, 24 * HOUR, 48 * HOUR]


def test_a_new_firing_waits_for_the_end_of_the_cooldown() -> None:
    """It is asked for then if it still fires, else never."""
    drift, concept = firing("Drift", 0), firing("Concept", HOUR)
    assert asked(retraining(2 * HOUR), (0, [drift]), (HOUR, [concept]), (2 * HOUR, [concept])) == [0, 2 * HOUR]
    assert asked(retraining(2 * HOUR), (0, [drift]), (HOUR, [concept]), (2 * HOUR, [])) == [0]


def test_without_cooldown_each_firing_asks_once() -> None:
    """A cooldown of 0 does not ask at every judgement."""
    drift, again, concept = firing("Drift", 0), firing("Drift", 9, episode=2), firing("Concept", 2)
    trigger = retraining(0)
    assert asked(trigger, (0, [drift]), (1, [drift]), (2, [concept, drift]), (3, [concept, drift])) == [0, 2]
    assert asked(trigger, (8, []), (9, [again])) == [9]


def test_the_data_starts_with_the_window_that_first_violated() -> None:
    """The oldest of the reasons counts; without a window, one interval before its start; `max` bounds it."""
    drift, concept = firing("Drift", 10 * HOUR, data_since=8 * HOUR), firing("Concept", 9 * HOUR)
    (request,) = retraining(HOUR).judge(10 * HOUR, [concept, drift], 10 * HOUR)
    assert (request.start, request.end) == (8 * HOUR, 10 * HOUR)
    (request,) = retraining(HOUR).judge(10 * HOUR, [concept], 10 * HOUR)
    assert request.start == 9 * HOUR - INTERVAL
    (request,) = retraining(HOUR, max_ms=HOUR).judge(10 * HOUR, [concept, drift], 10 * HOUR)
    assert request.start == 9 * HOUR


def test_the_next_request_is_known_while_nothing_changes() -> None:
    """A quiet stretch may be skipped up to there: the end of a running cooldown, or never."""
    drift = firing("Drift", 0)
    trigger = retraining(24 * HOUR)
    assert trigger.next_due(0, [drift], 0) == FOREVER
    trigger.judge(0, [drift], 0)
    assert trigger.next_due(HOUR, [drift], 0) == 24 * HOUR
    assert trigger.next_due(HOUR, [], 0) == FOREVER
    once = retraining(0)
    once.judge(0, [drift], 0)
    assert once.next_due(0, [drift], 0) == FOREVER


def test_it_asks_again_only_where_events_came_since() -> None:
    """The same offsets would train the same model again; an alert that is new asks all the same."""
    drift, concept = firing("Drift", 0), firing("Concept", 50 * HOUR)
    trigger = retraining(24 * HOUR)
    assert trigger.judge(HOUR, [drift], HOUR - 1)
    assert trigger.next_due(HOUR, [drift], HOUR - 1) == FOREVER
    assert trigger.judge(48 * HOUR, [drift], HOUR - 1) == []
    assert trigger.judge(50 * HOUR, [drift, concept], HOUR - 1)
    assert trigger.judge(80 * HOUR, [drift, concept], 79 * HOUR)


def test_new_rules_keep_the_cooldown() -> None:
    """A trigger of the same name goes on where it was."""
    drift = firing("Drift", 0)
    trigger = retraining(2 * HOUR)
    assert asked(trigger, (0, [drift])) == [0]
    trigger.use(
        ModelRules.model_validate_json(
            ModelRules(
                model="m",
                task="regression",
                pane_ms=10_000,
                interval_ms=INTERVAL,
                window=WINDOW,
                rules=(),
                detectors=(),
                retraining=(RetrainingTrigger(trigger="refresh", any=("Drift",), cooldown_ms=3 * HOUR, max_ms=HOUR),),
                reference=ReferenceSpec(first=5000),
            ).model_dump_json()
        )
    )
    assert asked(trigger, (2 * HOUR, [drift]), (3 * HOUR, [drift])) == [3 * HOUR]
