"""Labels hold back nobody: a model with labels of two days ago says of its data what it says without them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import msgspec
import pytest

from monitor.bus.memory import MemoryBus
from monitor.codec.canonical import time_text
from monitor.config import load
from monitor.events import Outgoing, TopicPartition
from monitor.runner.evaluate import EvaluateStage
from monitor.runner.profile import ProfileStage
from tests.unit.runner.fleet import START, Fleet, hash_of, new_bus, published, replayed

TEXT = """
version: 1
defaults: {window: {events: 120, every: 60}, lateness: 20s, pane: 10s, interval: 30s, idle_timeout: %s}
models:
  m:
    task: regression
    streams: {features: {topic: in.features}, predictions: {topic: in.predictions}%s}
    columns: {numerical: [x], prediction: y%s}
    reference: {first: 100}
groups:
  - name: g
    model: m
    rules:
      - {alert: Ks, expr: ks > 0.3}
      - {alert: Quiet, expr: 'seconds_since_last_event{stream="features"} > 45', for: 30s}
      - {alert: QuietToo, expr: 'seconds_since_last_event{stream="predictions"} > 45'}
"""
DATA = {"in.features": 2, "in.predictions": 1}
LABELS = [TopicPartition("in.labels", p) for p in range(2)]
DAYS = 172_800
PANE_MS = 10_000
Times = Callable[[random.Random, int, int], list[float]]
"""Gives the event times of a number of labels that come at a second; s since START."""


@dataclass
class Side:
    """A model with labels, or without, on a bus of its own. `judged`: the newest pane's end after each step, ms."""

    fleet: Fleet
    judged: list[int | None] = field(default_factory=list)

    @property
    def buckets(self) -> Counter[str]:
        """What became of the records of all partitions, but those that are gaps or wait."""
        stages = [stage for stage in self.fleet.stages.values() if isinstance(stage, ProfileStage)]
        accounts = [account for stage in stages for account in stage.accounts().values()]
        assert all(account.difference == 0 for account in accounts)
        return sum((Counter(account.buckets) for account in accounts), Counter())

    def wait(self, seconds: float, turns: int) -> None:
        for _ in range(turns):
            self.fleet.now += seconds / turns
            self.fleet.turn()
        stage = self.fleet.stages["evaluate-1"]
        assert isinstance(stage, EvaluateStage)
        models = [model for held in stage._partitions.values() for model in held.task.models.values()]
        self.judged.append(max((model.judged_to or 0 for model in models), default=None))


def side(bus: MemoryBus, *, labels: bool, idle: str = "30s") -> Side:
    """The same alerts.yaml, as its digest says, with labels or without."""
    texts = [TEXT % (idle, ", labels: {topic: in.labels}", ", id: id, label: truth"), TEXT % (idle, "", "")]
    with_labels, without = (load(text, "alerts.yaml") for text in texts)
    sha256 = with_labels.alerts_yaml_sha256
    same = replace(without, models=tuple(replace(model, alerts_yaml_sha256=sha256) for model in without.models))
    made = Side(Fleet(bus, with_labels if labels else same))
    for name in ("evaluate-1", "profile-1", "profile-2"):
        made.fleet.join(name)
    return made


def both(idle: str = "30s") -> list[Side]:
    """One with labels and one without."""
    inputs = {True: {**DATA, "in.labels": 2}, False: DATA}
    return [side(new_bus(inputs[labels]), labels=labels, idle=idle) for labels in (True, False)]


def send_data(sides: Iterable[Side], tp: TopicPartition, start: int, end: int, shift: float = 0.0) -> None:
    """Two rows a second of event time."""
    name = "y" if tp.topic == "in.predictions" else "x"
    for one in sides:
        sender = one.fleet.bus.sender()
        for half in range(2 * start, 2 * end):
            value = (hash_of(tp, half) % 1000) / 250 + shift
            event = {"model": "m", "event_time": time_text(START + 500 * half), "id": half}
            event |= {name: value} if name == "y" else {"features": {name: value}}
            sender.send(Outgoing(*tp, None, msgspec.json.encode(event)))
        sender.flush()


def send_labels(one: Side, tp: TopicPartition, seconds: Iterable[float]) -> None:
    """A label at each of these seconds of event time, of the prediction then."""
    sender = one.fleet.bus.sender()
    for second in seconds:
        event = {"event_time": time_text(START + int(second * 1000)), "id": int(2 * second), "truth": second % 3}
        sender.send(Outgoing(*tp, None, msgspec.json.encode(event)))
    sender.flush()


def check(with_labels: Side, without: Side) -> list[bytes]:
    """Alerts are the same to the byte, and those of a replay; panes are folded no later. Gives the alerts."""
    alerts = published(with_labels.fleet.bus)
    assert alerts == published(without.fleet.bus)
    for one, other in zip(with_labels.judged, without.judged, strict=True):
        assert (one or 0) >= (other or 0) - PANE_MS
    inputs = (*DATA, "in.labels")
    assert alerts == replayed(with_labels.fleet.bus, inputs)["alerts"]
    assert set(with_labels.buckets) <= {"pane", "late"}
    assert with_labels.buckets["late"] == without.buckets["late"]
    return alerts


def lagging(rng: random.Random, now: int, n: int) -> list[float]:
    """In order of time, two days ago."""
    return sorted(now - DAYS + rng.uniform(0, 20) for _ in range(n))


def carried(rng: random.Random, now: int, n: int) -> list[float]:
    """The times of their predictions: in no order, up to two days ago."""
    return [now - rng.choice([rng.uniform(0, 60), rng.uniform(0, DAYS)]) for _ in range(n)]


@pytest.mark.parametrize("times", [lagging, carried])
@pytest.mark.parametrize("seed", range(2))
def test_data_is_judged_on_time_whatever_the_times_of_labels(seed: int, times: Times) -> None:
    """One partition of labels has some all the time and one none; data drifts, stops for minutes, and comes back."""
    rng = random.Random(seed)
    sides = both()
    stalls = {p: rng.randint(300, 700) for p in range(2)}
    for now in range(0, 1200, 20):
        for topic, partitions in DATA.items():
            for p in range(partitions):
                if not stalls[p] <= now < stalls[p] + 100 and not 900 <= now < 1100:
                    send_data(sides, TopicPartition(topic, p), now, now + 20, shift=2.5 if now > 600 else 0.0)
        if now > 60:  # before the data has begun nobody knows what time it is
            send_labels(sides[0], LABELS[seed % 2], times(rng, now, rng.choice([0, 5, 60])))
        for one in sides:
            one.wait(20, 10)
        for one in sides if now == 500 else ():
            one.fleet.join("profile-2")
    for one in sides:
        one.wait(120, 60)
    alerts = check(*sides)
    names = Counter(msgspec.json.decode(alert)["data"]["labels"]["alertname"] for alert in alerts)
    assert names["Ks"] > 0
    assert names["Quiet"] > 0


def test_labels_come_faster_than_one_can_look() -> None:
    """Whenever the end of their log is asked for, there is another one: the model goes on all the same."""

    class Busy(MemoryBus):
        """A bus to which labels are written all the time."""

        def end(self, tp: TopicPartition) -> int:
            if tp.topic == "in.labels":
                send_labels(sides[0], tp, [0.0])
            return super().end(tp)

    sides = both()
    sides[0].fleet.bus.__class__ = Busy
    for now in range(0, 200, 20):
        for topic, partitions in DATA.items():
            for p in range(partitions):
                send_data(sides, TopicPartition(topic, p), now, now + 20)
        for one in sides:
            one.wait(20, 20)
    assert sides[0].judged[-1] == sides[1].judged[-1]
    assert published(sides[0].fleet.bus, "observations")


def test_a_backlog_of_labels_holds_the_model_back_until_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there is joined before the cohorts of today; then the data is as far as without labels."""
    sides = both()
    monkeypatch.setattr("monitor.runner.loop.MAX_RECORDS", 60)
    for tp in LABELS:
        send_labels(sides[0], tp, (second / 2 - DAYS for second in range(1200)))
    for topic, partitions in DATA.items():
        for p in range(partitions):
            send_data(sides, TopicPartition(topic, p), 0, 120)
    for one in sides:
        one.wait(1, 25)
    held, free = (one.judged[-1] or 0 for one in sides)
    assert held < START < free
    for one in sides:
        one.wait(60, 120)
    assert sides[0].judged[-1] == sides[1].judged[-1]
    assert set(sides[0].buckets) == {"pane"}


def test_labels_that_are_ahead_of_data_that_stands_still_are_folded() -> None:
    """A model whose predictions come once a night: by day its labels go on, and its next rows are in time."""
    (with_labels, _) = both()
    for topic, partitions in DATA.items():
        for p in range(partitions):
            send_data([with_labels], TopicPartition(topic, p), 0, 200)
    with_labels.wait(20, 20)
    for now in range(200, 2000, 20):
        for tp in LABELS:
            send_labels(with_labels, tp, [now + i for i in range(20)])
        with_labels.wait(20, 5)
    assert (with_labels.judged[-1] or 0) > START + 1_900_000
    for topic, partitions in DATA.items():
        for p in range(partitions):
            send_data([with_labels], TopicPartition(topic, p), 1995, 2100)
    with_labels.wait(30, 20)
    assert set(with_labels.buckets) == {"pane"}


def test_off_leaves_nobody_behind_but_labels() -> None:
    """A partition of data that stands still holds back the model; labels never do."""
    sides = both("off")
    for now in range(0, 400, 20):
        for topic, partitions in DATA.items():
            for p in range(partitions):
                if (topic, p) != ("in.features", 1) or now < 300:
                    send_data(sides, TopicPartition(topic, p), now, now + 20)
        send_labels(sides[0], LABELS[0], [now - DAYS])
        for one in sides:
            one.wait(20, 10)
    assert sides[0].judged[-1] == sides[1].judged[-1] == START + 270_000
    check(*sides)


def test_what_is_committed_of_labels_goes_on_after_a_restart() -> None:
    """Every process is begun again at any time, and the topics hold the same."""
    sides = both()
    for now in range(0, 300, 20):
        for topic, partitions in DATA.items():
            for p in range(partitions):
                send_data(sides, TopicPartition(topic, p), now, now + 20, shift=2.0 if now > 200 else 0.0)
        send_labels(sides[0], LABELS[now // 20 % 2], [now - DAYS + i / 10 for i in range(40)])
        for one in sides:
            one.wait(20, 12)
        for name in sorted(sides[0].fleet.loops):
            sides[0].fleet.join(name)
    for one in sides:
        one.wait(60, 40)
    check(*sides)
