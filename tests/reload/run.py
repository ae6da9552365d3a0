"""Mutated configurations under traffic: `python -m tests.reload.run --configs 1000 --seed 1`.

Both stages run over the bus in memory, on files as `streamdrift run` keeps them: the supervisor's side accepts or
refuses each file, the stages follow what was accepted, and die at random in between. What has to hold is checked
against the log alone:

- each activation names a pane; every alert message is judged under the threshold of the newest activation at or before
  its pane, and a new threshold shows itself at the first judgement that it may;
- what was announced is what was accepted, in that order, the last one at the end;
- an undisturbed replay of the log says the same bytes; nothing is missing, nothing twice, every record in its bucket.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from structlog.testing import capture_logs

from monitor.alerts_file import Accepted, Followed
from monitor.channel import Channel
from monitor.codec.canonical import time_text
from monitor.codec.chunks import Assembler
from monitor.codec.times import parse_time
from monitor.config.resolved import ModelRules
from monitor.errors import ConfigurationError
from monitor.evaluate.decisions import RulesContent
from monitor.events import Outgoing, TopicPartition
from monitor.ledger.entries import Decision
from monitor.ledger.entry_codec import decode_entry, kind_of
from monitor.runner.activations import Activations
from monitor.runner.parts import Rhythm
from monitor.runner.topics import create_topics
from monitor.stats.exact import significant
from monitor.telemetry import get_log
from tests.reload.mutants import labelled, mutant, sound
from tests.replaying import replayed
from tests.unit.runner.test_end_to_end import (
    INPUTS,
    PLACE,
    START,
    TOPICS,
    FragileBus,
    Service,
    all_of,
    published,
)

MODEL, LABELS = "m", "ml.labels"
PANE_MS = 2000
NOTICE = "streamdrift.notice.v1"
STAGES = ("profile", "evaluate")
QUIET_S = 30


LANE_STATES = ("waiting", "reference", "judged")
"""In the order in which a lane goes through them at one time."""


@dataclass
class Report:
    """What came of the configurations; `problems`: what did not hold."""

    seed: int
    outcomes: Counter[str] = field(default_factory=Counter)
    deaths: int = 0
    thresholds: int = 0
    activations: int = 0
    shown: int = 0
    messages: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


class Reloads:
    """A service under traffic whose alerts.yaml is replaced again and again. `labels`: whether there are any."""

    def __init__(self, seed: int, folder: Path, *, labels: bool) -> None:
        self.report = Report(seed)
        self._rng = random.Random(seed)
        self._label_rng = random.Random(seed) if labels else None
        self._sound = labelled if labels else sound
        self.inputs = (*INPUTS, LABELS) if labels else INPUTS
        self._path = folder / "alerts.yaml"
        self._path.write_text(self._sound(self._rng))
        self._accepted = Accepted(self._path)
        self.accepted = [self._accepted.config.models[0].rules]
        bus = FragileBus(None)
        bus.create(INPUTS[0], 2)
        bus.create(INPUTS[1], 1)
        if labels:
            bus.create(LABELS, 2)
        create_topics(bus, TOPICS, self.inputs)
        self.service = Service(bus, self._accepted.config, rhythm=Rhythm(20))
        self._followed: dict[str, Followed] = {}
        self._channels: dict[str, Channel] = {}
        self._second = self._number = 0
        self._turn("evaluate")

    def run(self, configs: int) -> Report:
        for _ in range(40):
            self._pass()
        for _ in range(configs):
            self._path.write_bytes(mutant(self._rng, self._sound))
            self._hang_up()
            if self._rng.random() < 0.05:
                self._die(self._rng.choice(STAGES))
            for _ in range(self._rng.choice([0, 1, 2, 2, 3, 5])):
                self._pass()
        for _ in range(QUIET_S):
            self._pass()
        Check(self).all()
        return self.report

    def _hang_up(self) -> None:
        """What SIGHUP does in the supervisor."""
        try:
            self._accepted.reload()
        except ConfigurationError as error:
            running = not error.problems and ("running" in str(error) or "restart" in str(error))
            self.report.outcomes["refused by what runs" if running else "refused by its check"] += 1
            return
        for channel in self._channels.values():
            channel.send(self._accepted.message)
        rules = self._accepted.config.models[0].rules
        self.report.outcomes["the same text" if rules == self.accepted[-1] else "accepted"] += 1
        if rules != self.accepted[-1]:
            self.accepted.append(rules)

    def _pass(self) -> None:
        """A second of traffic, and some turns of the stages in any order."""
        self.service.now += 1
        sender = self.service.bus.sender()
        at, self._second = START + 1000 * self._second, self._second + 1
        for i in range(6):
            self._number += 1
            event = {"event_id": str(self._number), "event_time": time_text(at + 150 * i), "model": "m"}
            drifted = 3.0 if self._second % 60 > 45 else 0.0
            features = {"a": self._rng.gauss(drifted, 1), "c": self._rng.choice("xyz")}
            sender.send(Outgoing(INPUTS[0], i % 2, b"k", msgspec.json.encode({**event, "features": features})))
            prediction = {**event, "y_pred": i % 2, "prediction_id": self._number}
            sender.send(Outgoing(INPUTS[1], 0, b"k", msgspec.json.encode(prediction)))
            if self._label_rng is not None:
                self._label(self._label_rng, prediction)
        for _ in range(self._rng.choice([1, 2, 2, 3])):
            self._turn(self._rng.choice(STAGES))
        self._turn("profile")
        self._turn("evaluate")

    def _label(self, rng: random.Random, prediction: dict[str, Any]) -> None:
        """The same prediction of the other model, and the labels of some that came before, in their partitions."""
        sender = self.service.bus.sender()
        sender.send(Outgoing(INPUTS[1], 0, b"k", msgspec.json.encode({**prediction, "model": "n"})))
        number = self._number - rng.randint(20, 120)
        for model in ("m", "n") if number > 0 else ():
            label = {**prediction, "model": model, "prediction_id": number, "y_true": int(rng.random() < 0.7)}
            sender.send(Outgoing(LABELS, number % 2, b"k", msgspec.json.encode(label)))

    def _turn(self, name: str) -> None:
        """A turn of a stage's process, which then looks for another text."""
        if name not in self.service.loops:
            if name in self._channels:
                self._channels[name].close()
            self._channels[name], other = Channel.pair()
            self._channels[name].send(self._accepted.message)
            self._followed[name] = Followed(Channel(other), self._path, get_log("test"))
            self.service.config = self._followed[name].config
        self.service.turn(name)
        self._followed[name].follow(self.service.loops[name])

    def _die(self, name: str) -> None:
        self.service.loops.pop(name, None)
        self.report.deaths += 1


class Check:
    """What has to hold afterwards, by the log alone."""

    def __init__(self, run: Reloads) -> None:
        self._run = run
        self._bus = run.service.bus
        self._report = run.report
        decided = Activations(self._bus, TOPICS)
        decided.read()
        self._activations = [one for one in decided.all if one.decision.kind == "rules" and one.decision.model == MODEL]
        self._rules = [_rules_of(activation.decision) for activation in self._activations]
        self._contracts = [_content_of(activation.decision).contract for activation in self._activations]
        messages = [msgspec.json.decode(value) for topic, _, value in published(self._bus) if topic == "alerts"]
        self._observations: list[dict[str, Any]] = [
            message
            for topic, _, value in published(self._bus)
            if topic == "observations"
            and (message := msgspec.json.decode(value))["type"].endswith("observation.v1")
            and message["data"]["model"] == MODEL
        ]
        self._alerts: list[dict[str, Any]] = [
            message for message in messages if message["type"] != NOTICE and message["data"]["labels"]["model"] == MODEL
        ]
        lanes = [msgspec.json.decode(value) for topic, _, value in published(self._bus) if topic == "observations"]
        self._lanes = [
            (parse_time(lane["time"]), LANE_STATES.index(lane["data"]["state"]), lane["data"]["stream"])
            for lane in lanes
            if lane["type"] == "streamdrift.lane.v1"
            and lane["data"]["model"] == MODEL
            and lane["data"]["stream"] != "outcomes"
        ]

    def all(self) -> None:
        """Every check; what fails is a problem of the report."""
        self._report.activations = len(self._activations)
        self._report.messages = Counter(topic for topic, _, _ in published(self._bus))
        self._report.thresholds = len({_threshold(rules, "Always") for rules in self._rules}) - 1
        self._announced()
        self._governed()
        self._shown()
        self._replayed()

    def _problem(self, text: str) -> None:
        self._report.problems.append(text)

    def _announced(self) -> None:
        """The ledger's changes are those accepted, in order; those replaced while evaluate was down may lack."""
        entries = [r for r in all_of(self._bus, TOPICS.name("ledger")) if kind_of(r.headers) == "decision"]
        assembler = Assembler()
        decisions = [decode_entry(r.headers, v) for r in entries if (v := assembler.feed(r)) is not None]
        changes = [change for change in decisions if isinstance(change, Decision) and change.kind == "rules"]
        announced = [_rules_of(change) for change in changes if change.model == MODEL]
        left = iter(self._run.accepted)
        if not all(any(rules == one for one in left) for rules in announced):
            self._problem("what was announced is not what was accepted, in that order")
        if announced[-1] != self._run.accepted[-1] or self._rules[-1] != self._run.accepted[-1]:
            self._problem("the last accepted file is not the one that counts at the end")
        lacking = len(self._run.accepted) - len(announced)
        if lacking > self._report.outcomes["accepted"] // 2:
            self._problem(f"{lacking} accepted files were never announced")

    def _at(self, end: int) -> int:
        """Which activation counts for the pane that ends there (ms): the newest that counts from before."""
        return max(
            (i for i, one in enumerate(self._activations) if one.at is None or one.at < end),
            key=lambda i: (-1 if (found := self._activations[i].at) is None else found, i),
        )

    def _governed(self) -> None:
        """Every message's threshold is that of the rules that count at its pane."""
        for message in self._alerts:
            data, end = message["data"], parse_time(message["time"])
            group, _, alert = data["config"]["rule"].partition("/")
            if group == "streamdrift":
                continue
            at = self._at(self._judged_at(data, end))
            expected, found = _threshold(self._rules[at], alert), data["evidence"]["threshold"]
            if expected is not None and found != expected and not (data["status"] == "resolved" and self._stale(at)):
                self._problem(f"{message['id']}: threshold {found}, not {expected}")

    def _judged_at(self, data: Mapping[str, Any], end: int) -> int:
        """When its evidence was judged (ms). What is resolved because rules go keeps the evidence of before.

        Rules that are replaced before their first judgement have judged nothing.
        """
        window = data["evidence"]["window"]
        is_withdrawn = data["status"] == "resolved" and end in {activation.at for activation in self._activations}
        return parse_time(window["to"]) if is_withdrawn and window is not None else end

    def _stale(self, i: int) -> bool:
        """Whether lanes started again with an activation: what is resolved has the evidence of before, then."""
        return i > 0 and self._contracts[i] != self._contracts[i - 1]

    def _shown(self) -> None:
        """A threshold that counts at a judgement, and did not at the one before, is in force for its window there.

        An alert that fires goes on firing under another threshold, so no alert shows it.
        """
        in_force = {
            (parse_time(m["time"]), one.get("threshold"))
            for m in self._observations
            for one in m["data"]["thresholds"]
            if one["rule"].endswith("/Always")
        }
        closed = {
            parse_time(m["time"])
            for m in self._observations
            if m["data"]["stream"] == "features" and m["data"]["window"]["name"].startswith("events=")
        }
        last = max(time for time, _ in in_force)
        for i, activation in enumerate(self._activations):
            pane_ms = self._contracts[i].pane_ms
            if activation.at is None or i != self._at(activation.at + pane_ms):
                continue  # replaced before a pane was judged
            # a pane of another length begins as soon as one can
            interval, first = self._rules[i].interval_ms, -(-activation.at // pane_ms) * pane_ms + pane_ms
            at = first + -first % interval
            threshold, before = _threshold(self._rules[i], "Always"), _threshold(self._rules[i - 1], "Always")
            if threshold in (None, before) or self._at(at) != i or at > last:
                continue
            if not any(self._judged_since(first) < end <= first for end, _ in in_force):
                continue  # lanes that start again close no window yet
            if not any(first <= end <= at for end in closed):
                continue  # nor do panes of two contracts: they are in none that is counted in rows
            self._report.shown += 1
            if not any((end, threshold) in in_force for end in range(first, at + 1, pane_ms)):
                self._problem(f"at {activation.at}: the threshold {threshold} did not show at its first judgement")

    def _judged_since(self, at: int) -> int:
        """Since when all lanes are judged (ms); `at` if one is not, because it stands on something else than before."""
        newest = {stream: (time, state) for time, state, stream in sorted(self._lanes) if time <= at}
        is_judged = {state for _, state in newest.values()} == {LANE_STATES.index("judged")}
        return max(time for time, _ in newest.values()) if is_judged else at

    def _replayed(self) -> None:
        live = Counter(published(self._bus))
        tps = [TopicPartition(topic, p) for topic in self._run.inputs for p in range(self._bus.partitions(topic) or 0)]
        again: Counter[tuple[str, str, bytes]] = Counter(
            (str(m.topic), m.key, m.value) for m in replayed(self._bus, TOPICS, tps, PLACE)
        )
        if live != again:
            self._problem(f"a replay says {len(again - live)} other messages and lacks {len(live - again)}")
        if max(Counter(msgspec.json.decode(value)["id"] for _, _, value in live.elements()).values()) > 1:
            self._problem("an id is there twice")


def _rules_of(change: Decision) -> ModelRules:
    return ModelRules.model_validate_json(_content_of(change).rules)


def _content_of(change: Decision) -> RulesContent:
    return msgspec.json.decode(change.content, type=RulesContent)


def _threshold(rules: ModelRules, alert: str) -> float | None:
    """The constant threshold of a rule; None where there is none."""
    for rule in rules.rules:
        comparison = rule.comparison
        if rule.alert == alert and not (comparison.needs_reference_spread or comparison.needs_baseline):
            return significant(comparison.threshold(None, None))
    return None


def run(configs: int, seed: int, *, labels: bool = False) -> Report:
    """The whole run, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder, capture_logs():
        return Reloads(seed, Path(folder), labels=labels).run(configs)


def table(report: Report) -> str:
    """The figures, a line each."""
    lines = {
        "seed": report.seed,
        **dict(sorted(report.outcomes.items())),
        "other thresholds": report.thresholds,
        "activations": report.activations,
        "thresholds shown at their first judgement": report.shown,
        "deaths of a stage": report.deaths,
        **{f"messages: {topic}": n for topic, n in sorted(report.messages.items())},
        "problems": len(report.problems),
    }
    return "\n".join(f"{name:<45} {value}" for name, value in lines.items())


def main() -> int:
    """Prints the figures and the problems, of a run without labels and of one with them; 1 where there is one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--configs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    reports = [run(options.configs, options.seed, labels=labels) for labels in (False, True)]
    for report in reports:
        print(table(report))
        print("\n".join(report.problems[:20]))
    return 1 if any(report.problems for report in reports) else 0


if __name__ == "__main__":
    raise SystemExit(main())
