"""Silence is judged by its own clock: it begins and ends alike live, restarted and replayed, in any interleaving."""

from __future__ import annotations

import random
from collections import Counter
from datetime import datetime

import msgspec
import pytest

from monitor.codec.canonical import time_text
from monitor.config import load
from monitor.events import TopicPartition
from tests.unit.runner import test_stalls
from tests.unit.runner.fleet import START, TOPICS, published
from tests.unit.runner.test_stalls import FEATURES, HEAD, MODEL, Stall, tps

RULES = """
groups:
  - {name: g, model: m, rules: [{alert: Quiet, expr: seconds_since_last_event > 45, for: 30s}]}
retraining:
  - {trigger: again, model: m, when: {any: [Quiet]}, cooldown: 1h, training_window: {since: first_violation, max: 1h}}
"""

HOLE = """
groups:
  - name: g
    model: m
    rules:
      - {alert: Quiet, expr: seconds_since_last_event > 45}
      - {alert: Few, expr: events < 5, window: {time: 10m, every: 10s}, for: 1h}
"""


def with_rules(run: Stall, lateness: str, idle: str = "30s", rules: str = RULES) -> Stall:
    """The run under rules on silence, from its first record on."""
    streams = FEATURES + (f", {test_stalls.PREDICTIONS}" if len(run.inputs) > 1 else "")
    column = ", prediction: y" if len(run.inputs) > 1 else ""
    text = HEAD % (lateness, idle) + MODEL % ("m", streams, column) + MODEL % ("w", FEATURES, "") + rules
    run.fleet.config = load(text, "alerts.yaml")
    for name in ("evaluate-1", "profile-1"):
        run.fleet.join(name)
    return run


def reported(run: Stall, alert: str, model: str = "m") -> list[tuple[str, float]]:
    """Status and time (s since the start) of the messages of an alert, by time."""
    found = []
    for event in map(msgspec.json.decode, published(run.fleet.bus)):
        labels = event["data"]["labels"]
        if (labels["alertname"], labels.get("model")) == (alert, model):
            at = datetime.fromisoformat(event["time"]).timestamp() - START / 1000
            found.append((at, event["data"]["status"]))
    return [(status, at) for at, status in sorted(found)]


@pytest.mark.parametrize(("idle", "fires"), [("30s", 700), ("off", 670)])
def test_silence_of_all_partitions_begins_and_ends(idle: str, fires: int) -> None:
    """No pane is sealed meanwhile, but the clock goes on: NoData, and a rule's `for`, go by it."""
    run = with_rules(Stall({"in.features": 1}, "20s", idle), "20s", idle)
    (tp,) = tps(1)
    run.send(tp, 0, 600)
    run.wait(10, 20)
    run.wait(4800, 200)
    # Judgements are at 10 s, 40 s and so on. The newest row is at 599.5 s: more than 45 s later is 670, 30 s on is 700.
    # With `off` nobody seals the panes of the last 20 s, so the newest row that is folded is at 579.5 s.
    assert reported(run, "Quiet") == [("firing", fires)]
    ((status, begun),) = reported(run, "NoData")
    assert (status, begun % 30) == ("firing", 10)
    requests = [msgspec.json.decode(value) for value in published(run.fleet.bus, "retraining")]
    assert [event["id"] for event in requests] == [f"again/m/{time_text(START + 1000 * fires)}"]
    run.send(tp, 5400, 5500)
    run.wait(60, 30)
    assert [status for status, _ in reported(run, "Quiet")] == ["firing", "resolved"]
    assert [status for status, _ in reported(run, "NoData")] == ["firing", "resolved"]
    assert run.late() == 0
    run.check()


def test_a_backlog_ends_a_silence_as_soon_as_it_is_young_enough() -> None:
    """The sender sends what it had held: while its rows are old the silence goes on, at the clock's own time."""
    run = with_rules(Stall({"in.features": 1}, "20s"), "20s")
    (tp,) = tps(1)
    run.send(tp, 0, 600)
    run.wait(10, 20)
    run.wait(1200, 80)
    clock = max(beat.silent_to or 0 for beat in run.heartbeats()) // 30_000 * 30_000
    assert reported(run, "Quiet") == [("firing", 700.0)]
    run.send(tp, 600, 1000)
    run.wait(1, 4)
    assert reported(run, "Quiet") == [("firing", 700.0)]  # 800 s old, by the clock
    run.send(tp, 1000, 1790)
    run.wait(1, 4)
    assert reported(run, "Quiet") == [("firing", 700.0), ("resolved", (clock - START) / 1000)]
    run.check()


@pytest.mark.parametrize("seed", range(10))
def test_silences_are_reported_alike_live_restarted_and_replayed(seed: int) -> None:
    """Three partitions and two topics, stalls at random, processes that stand still or are replaced."""
    rng = random.Random(seed)
    inputs = {"in.features": 3, "in.predictions": rng.choice([1, 2])}
    run = with_rules(Stall(inputs, rng.choice(["0s", "20s"])), "20s")
    at = 0.0
    for _ in range(5):
        for tp in [*tps(3), *tps(inputs["in.predictions"], "in.predictions")]:
            if rng.random() < 0.85:
                run.send(tp, at, at + rng.choice([50, 200]))
        run.wait(200, 20, rng)
        pause = rng.choice([30, 200, 700])
        run.wait(pause, 25, rng)
        at += 200 + (pause if rng.random() < 0.6 else 0)  # else what comes next was held back
        if rng.random() < 0.4:
            run.fleet.join(rng.choice(["profile-1", "evaluate-1"]))
    run.wait(900, 60)
    run.wait(2, 6)
    assert reported(run, "Quiet")
    run.check()


def after_a_hole(days: int, partitions: int) -> Counter[str]:
    """Records of the ledger, and messages by topic, of a log with a hole of so many days."""
    run = with_rules(Stall({"in.features": partitions}, "20s"), "20s", rules=HOLE)
    for at in (0, days * 86_400):
        for tp in tps(partitions):
            run.send(tp, at, at + 300)
        run.wait(10, 20)
    run.check()
    bus = run.fleet.bus
    found = Counter(ledger=sum(bus.end(TopicPartition(TOPICS.name("ledger"), p)) for p in range(TOPICS.partitions)))
    return found + Counter({topic: len(published(bus, topic)) for topic in ("alerts", "observations")})


@pytest.mark.parametrize("partitions", [1, 3])
def test_a_hole_costs_the_same_however_long_it_is(partitions: int) -> None:
    """Of a day or of twenty years: as many entries and messages, though windows would close every ten seconds."""
    day = after_a_hole(1, partitions)
    assert day["alerts"] > 2
    assert day["ledger"] < 300 * partitions
    assert after_a_hole(365, partitions) == after_a_hole(7300, partitions) == day


def test_the_ledger_is_read_in_any_order() -> None:
    """Evaluate that reads all at the end publishes what one that kept up did."""
    run = with_rules(Stall({"in.features": 2}, "20s"), "20s")
    for tp in tps(2):
        run.send(tp, 0, 300)
    run.wait(900, 60)
    run.send(tps(2)[0], 1200, 1300)
    run.wait(400, 30)
    kept_up = published(run.fleet.bus)
    del run.fleet.loops["evaluate-1"], run.fleet.stages["evaluate-1"]
    run.send(tps(2)[1], 1200, 1300)
    run.wait(900, 60)
    run.fleet.join("evaluate-1")
    run.wait(5, 10)
    assert set(kept_up) <= set(published(run.fleet.bus))
    run.check()
