"""Another alerts.yaml while the service runs: active from a recorded pane, the old one until then."""

from __future__ import annotations

import random
from collections.abc import Iterator

import msgspec
import pytest
from structlog.testing import capture_logs

from monitor.bus.reading import read_whole, records_of, whole_values
from monitor.codec.canonical import time_text
from monitor.codec.chunks import Assembler
from monitor.codec.times import parse_time
from monitor.config import load
from monitor.config.resolved import Config, ModelRules
from monitor.errors import ConfigurationError
from monitor.evaluate.decisions import RulesContent
from monitor.events import Outgoing, TopicPartition
from monitor.ledger.entries import Activation
from monitor.ledger.entry_codec import decode_agreement, kind_of
from monitor.runner.topics import create_topics
from tests.locks import load_locked
from tests.unit.runner.test_end_to_end import INPUTS, START, TOPICS, FragileBus, Service, published, replayed

PANE_MS = 2000
CONFIG = """
version: 1
defaults: {{window: {{events: 10, every: 1}}, lateness: 2s, pane: 2s, interval: 2s, max_clock_skew: 1m}}
models:
  m:
    task: classification_binary
    streams: {{features: {{topic: ml.features}}, predictions: {{topic: ml.predictions}}}}
    columns: {{prediction: y_pred, numerical: [a{more}]}}
    reference: {{first: {first}}}
groups:
  - name: g
    models: [m]
    rules:
      - {{alert: Mean, expr: 'mean{{column="a"}} > {threshold}', min_events: 1, labels: {{at: "{threshold}"}}}}
"""
"""The threshold is a label, too: so rules with another one have other alerts."""


def config(threshold: float, more: str = "", first: int = 30) -> Config:
    return load(CONFIG.format(threshold=threshold, more=more, first=first), "alerts.yaml")


class Traffic:
    """Both stages over one bus, and a second of traffic a step."""

    def __init__(self, start: Config) -> None:
        bus = FragileBus(None)
        bus.create(INPUTS[0], 2)
        bus.create(INPUTS[1], 1)
        create_topics(bus, TOPICS, INPUTS)
        self.service = Service(bus, start)
        self._rng = random.Random(1)
        self._second = 0
        self.service.turn("evaluate")

    def step(self, seconds: int = 1) -> None:
        sender = self.service.bus.sender()
        for _ in range(seconds):
            self.service.now += 1
            at, self._second = START + 1000 * self._second, self._second + 1
            for i in range(8):
                event = {"event_id": "e", "event_time": time_text(at + 100 * i), "model": "m"}
                features = {**event, "features": {"a": self._rng.gauss(0, 1), "b": 1.0}}
                sender.send(Outgoing(INPUTS[0], i % 2, b"k", msgspec.json.encode(features)))
                sender.send(Outgoing(INPUTS[1], 0, b"k", msgspec.json.encode({**event, "y_pred": i % 2})))
            self.service.turn("profile")
            self.service.turn("evaluate")

    def reload(self, new: Config) -> None:
        for loop in self.service.loops.values():
            loop.reload(new)
        self.service.config = new


@pytest.fixture
def traffic() -> Iterator[Traffic]:
    with capture_logs():
        running = Traffic(config(-50))
        running.step(20)
        yield running


def activations(traffic: Traffic) -> list[Activation]:
    """Those of rules, in the order of the topic."""
    assembler = Assembler(compacted=True)
    grid = read_whole(traffic.service.bus, TopicPartition(TOPICS.name("decisions"), 0))
    whole = [(record, value) for batch in grid for record, value in whole_values(assembler, batch)]
    found = [decode_agreement(record.headers, value) for record, value in whole]
    return [one for one in found if isinstance(one, Activation) and one.decision.kind == "rules"]


def thresholds(found: list[Activation]) -> list[float]:
    rules = [msgspec.json.decode(activation.decision.content, type=RulesContent).rules for activation in found]
    return [ModelRules.model_validate_json(text).rules[0].comparison.threshold(None, None) for text in rules]


def fired(traffic: Traffic) -> list[tuple[float, int]]:
    """Threshold and pane of every firing alert."""
    messages = [msgspec.json.decode(value) for topic, _, value in published(traffic.service.bus) if topic == "alerts"]
    return [
        (message["data"]["evidence"]["threshold"], parse_time(message["time"]) // PANE_MS - 1)
        for message in messages
        if message["data"]["status"] == "firing"
    ]


def test_new_rules_count_from_the_pane_that_is_recorded(traffic: Traffic) -> None:
    """The first alert under the new threshold is that of the pane in its activation record; a replay says the same."""
    traffic.reload(config(-60))
    traffic.step(20)
    found = activations(traffic)
    assert thresholds(found) == [-50, -60]
    assert fired(traffic)[-1] == (-60, (found[1].at or 0) // PANE_MS)
    assert [threshold for threshold, _ in fired(traffic)] == [-50, -60]
    live = published(traffic.service.bus)
    assert sorted(live) == sorted((m.topic, m.key, m.value) for m in replayed(traffic.service))


def test_back_and_forth_before_anything_was_read_back_ends_at_the_last(traffic: Traffic) -> None:
    """What is on its way counts as known, so that going back is announced too."""
    for threshold in (-60, -50, -70, -50):
        traffic.reload(config(threshold))
    traffic.step(10)
    assert thresholds(activations(traffic))[-1] == -50
    assert fired(traffic)[-1][0] == -50
    live = published(traffic.service.bus)
    assert sorted(live) == sorted((m.topic, m.key, m.value) for m in replayed(traffic.service))


@pytest.mark.parametrize("between", [-1000, 1000])
def test_rules_that_no_pane_was_folded_under_leave_no_trace(traffic: Traffic, between: int) -> None:
    """Neither do they withdraw an alert that fires under those before and after."""
    traffic.reload(config(between))
    traffic.service.turn("evaluate")
    traffic.reload(config(-50))
    before = len(published(traffic.service.bus))
    traffic.service.turn("evaluate")
    assert len(published(traffic.service.bus)) == before
    traffic.step(10)
    assert {threshold for threshold, _ in fired(traffic)} == {-50}
    live = published(traffic.service.bus)
    assert sorted(live) == sorted((m.topic, m.key, m.value) for m in replayed(traffic.service))


def test_the_same_file_again_changes_nothing(traffic: Traffic) -> None:
    """No activation, no message."""
    traffic.step(6)
    before = len(activations(traffic))
    traffic.reload(config(-50))
    traffic.step(6)
    assert len(activations(traffic)) == before


@pytest.mark.parametrize(
    ("new", "why"),
    [
        (Config((), "x"), "other topics are read"),
    ],
)
def test_what_a_running_service_cannot_take_is_refused_and_the_old_one_stays(
    traffic: Traffic, new: Config, why: str
) -> None:
    """Both stages refuse, and nothing is announced."""
    for loop in traffic.service.loops.values():
        with pytest.raises(ConfigurationError, match=why):
            loop.reload(new)
    traffic.step(6)
    assert thresholds(activations(traffic)) == [-50]


def test_rules_that_came_while_the_ledger_was_read_again_are_announced_after_it(traffic: Traffic) -> None:
    """A stage that has just started takes a reload like any other."""
    del traffic.service.loops["evaluate"]
    traffic.service.turn("evaluate")  # joins: nothing is folded again yet
    traffic.reload(config(-60))
    traffic.step(10)
    assert thresholds(activations(traffic)) == [-50, -60]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("version: 1", "# a comment\nversion: 1"),
        ("groups:\n", "groups:  # another\n\n"),
        ("mean{column", "mean{  column"),
        ("{events: 10, every: 1}", "{every: 1, events: 10}"),
    ],
)
def test_an_edit_that_means_nothing_decides_nothing(traffic: Traffic, old: str, new: str) -> None:
    """Ten edits of a comment, of spaces or of the order of keys leave no record on the topic of decisions."""
    tp = TopicPartition(TOPICS.name("decisions"), 0)
    before = traffic.service.bus.end(tp)
    text = CONFIG.format(threshold=-50, more="", first=30)
    assert old in text
    for _ in range(10):
        text = text.replace(old, new, 1) if new not in text else text + "\n"
        traffic.reload(load(text, "alerts.yaml"))
        traffic.step(2)
    assert traffic.service.bus.end(tp) == before
    assert sorted(published(traffic.service.bus)) == sorted(
        (m.topic, m.key, m.value) for m in replayed(traffic.service)
    )


def test_messages_name_the_file_that_their_rules_came_from(traffic: Traffic) -> None:
    """The file that was announced with them, also after a restart and after the same rules came in another file."""
    files = [CONFIG.format(threshold=t, more="", first=30) + f"# {n}\n" for n, t in enumerate((50, 50, -50, 50))]
    configs = [load(text, "alerts.yaml") for text in files]
    for new in configs:
        traffic.reload(new)
        traffic.step(6)
        del traffic.service.loops["evaluate"]
        traffic.step(2)
    alerts = [
        msgspec.json.decode(value)["data"] for topic, _, value in published(traffic.service.bus) if topic == "alerts"
    ]
    reported = [
        (data["status"], data["config"]["alerts_yaml_sha256"])
        for data in alerts
        if data["labels"]["alertname"] == "Mean"
    ]
    first = config(-50).alerts_yaml_sha256
    sums = [one.alerts_yaml_sha256 for one in configs]
    assert reported == [("firing", first), ("resolved", sums[0]), ("firing", sums[2]), ("resolved", sums[3])]
    assert sorted(published(traffic.service.bus)) == sorted(
        (m.topic, m.key, m.value) for m in replayed(traffic.service)
    )


def test_a_process_with_an_older_file_decides_nothing_until_it_is_asked_to(traffic: Traffic) -> None:
    """It would lead the others back when it starts, or takes over a partition; SIGHUP lets its file count again."""
    old, new = config(-50), config(-60)
    traffic.reload(new)
    traffic.step(6)
    assert thresholds(activations(traffic)) == [-50, -60]
    with capture_logs() as logs:
        traffic.service.config = old
        del traffic.service.loops["evaluate"]
        traffic.step(10)
    assert thresholds(activations(traffic)) == [-50, -60]
    assert any(entry["event"] == "alerts_yaml_older" for entry in logs)
    traffic.reload(old)
    traffic.step(6)
    assert thresholds(activations(traffic)) == [-50, -60, -50]
    live = published(traffic.service.bus)
    assert sorted(live) == sorted((m.topic, m.key, m.value) for m in replayed(traffic.service))


def test_fifty_edits_of_a_comment_leave_no_record(traffic: Traffic) -> None:
    """The file's digest stands beside the rules: what decides nothing is written nowhere."""
    traffic.step(6)
    before, decided = len(activations(traffic)), decisions_in_the_ledger(traffic)
    text = CONFIG.format(threshold=-50, more="", first=30)
    for number in range(50):
        traffic.reload(load(f"{text}\n# {number}\n", "alerts.yaml"))
        traffic.step()
    assert len(activations(traffic)) == before
    assert decisions_in_the_ledger(traffic) == decided


def decisions_in_the_ledger(traffic: Traffic) -> int:
    bus, tps = traffic.service.bus, [TopicPartition(TOPICS.name("ledger"), p) for p in range(TOPICS.partitions)]
    records = [record for tp in tps for batch in read_whole(bus, tp) for record in records_of(batch)]
    return sum(kind_of(record.headers) == "decision" for record in records)


def test_another_lock_counts_as_other_rules_do() -> None:
    """From the pane that is recorded, with the digest of both files; what was solved elsewhere is unverified."""
    text = CONFIG.format(threshold=0, more="", first=150).replace("> 0'", '> calibrated("1 per day")\'')
    high, low = load_locked(text, z=50.0), load_locked(text, z=-50.0)
    with capture_logs():
        traffic = Traffic(high)
        traffic.step(30)
        assert fired(traffic) == []
        traffic.reload(low)
        traffic.step(10)
        live = published(traffic.service.bus)
        assert sorted(live) == sorted((m.topic, m.key, m.value) for m in replayed(traffic.service))
    (alert,) = [msgspec.json.decode(value)["data"] for topic, _, value in live if topic == "alerts"]
    assert alert["config"]["alerts_yaml_sha256"] == low.alerts_yaml_sha256 != high.alerts_yaml_sha256
    assert alert["evidence"]["unverified"].startswith("alerts.lock.yaml was solved for another reference")
    assert fired(traffic)[0][1] == (activations(traffic)[1].at or 0) // PANE_MS
