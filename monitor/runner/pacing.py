"""How far the partitions of the models have come, in this process and in others, and who has to wait for whom (law 8).

Own partitions are known by their folds, all others by their position records, read every fifth of a second. A
partition more than `max_lead` ahead of the slowest one of its models is paused; that changes the pace, never the
answer. The slowest of all is never paused, and a lead of less than a pane does not count, because no heartbeat could
end it: so somebody can always go on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from monitor.bus.port import Bus
from monitor.config.effective import BUILT_IN
from monitor.config.resolved import Config
from monitor.contract import ModelContract, TopicContract
from monitor.events import TopicPartition
from monitor.ledger.position_records import ProfilePosition, decode_profile
from monitor.runner.heartbeats import Pulse, Reached
from monitor.runner.positions import Positions

FOLLOW_S = 0.2
"""How often the position records of others are read."""


class Pace:
    """The pulses of all partitions of the topics that are read."""

    def __init__(self, bus: Bus, positions: Positions) -> None:
        self.pulses: dict[TopicPartition, Pulse] = {}
        self._bus = bus
        self._positions = positions
        self._own: set[TopicPartition] = set()
        self._seen: dict[TopicPartition, bytes] = {}
        self._is_counted = False
        self._followed_at: float | None = None
        self.is_crowded = False
        """True if memory is short: then no partition may be ahead of the slowest by more than a pane."""
        self._topics: dict[str, TopicContract] = {}
        self._least: dict[str, int] = {}
        self._leads: dict[str, int] = {}
        self._intervals: dict[str, int] = {}

    def use(self, contracts: Iterable[TopicContract], config: Config) -> None:
        """Who reads which topic, and how far each model's partitions may be apart."""
        self._topics = {contract.topic: contract for contract in contracts}
        leads = {model.contract.model: model.max_lead_ms for model in config.models}
        self._intervals = {model.contract.model: model.rules.interval_ms for model in config.models}
        self._least = {model.model: model.pane_ms for contract in self._topics.values() for model in contract.models}
        self._leads = {name: max(leads.get(name, BUILT_IN.max_lead or 0), least) for name, least in self._least.items()}
        for tp, pulse in self.pulses.items():
            fresh = self._pulse(tp.topic, pulse.moved_at)
            pulse.models, pulse.idle_timeout_s = fresh.models, fresh.idle_timeout_s
            pulse.step_ms, pulse.interval_s = fresh.step_ms, fresh.interval_s
            pulse.lateness_ms, pulse.is_labels = fresh.lateness_ms, fresh.is_labels
        self._is_counted = False

    def begin(self, tp: TopicPartition, now: float) -> None:
        """The partition is this process's from now on."""
        self._own.add(tp)
        self.pulses[tp] = self._pulse(tp.topic, now)
        self._is_counted = False  # it may be a new one

    def drop(self, tp: TopicPartition) -> None:
        """The partition is another's from now on, which begins at the committed position."""
        self._own.discard(tp)
        self._seen.pop(tp, None)

    def see(self, tp: TopicPartition, reached: Reached, now: float) -> None:
        """How far a partition has come."""
        self.pulses[tp].see(reached, now)

    def hold(self, paused: Collection[TopicPartition]) -> None:
        """Partitions, of whatever process, that stand still because they are not read: all of them."""
        for tp, pulse in self.pulses.items():
            pulse.held = tp in paused

    def idle(self, now: float) -> list[TopicPartition]:
        """Own partitions that may have to be given a heartbeat."""
        return [tp for tp in sorted(self._own) if self.pulses[tp].is_labels or self.pulses[tp].is_still(now)]

    def _pulse(self, topic: str, now: float) -> Pulse:
        contract = self._topics[topic]
        models = contract.models
        return Pulse(
            frozenset(contract.model for contract in models),
            _idle_timeout_s(models),
            min(contract.pane_ms for contract in models),
            min(self._intervals.get(contract.model, BUILT_IN.interval or 0) for contract in models) / 1000,
            now,
            lateness_ms=contract.lateness_ms,
            is_labels=contract.is_labels,
        )

    def is_due(self, now: float) -> bool:
        """Return true if it is time to look at what others have done."""
        return self._followed_at is None or now - self._followed_at >= FOLLOW_S

    def follow(self, now: float) -> None:
        """Learn how far the partitions of other processes are; then that is not due for a while."""
        self._followed_at = now
        self._positions.follow()
        if not self._is_counted:
            self._count(now)
        for tp in self.pulses.keys() - self._own:
            value = self._positions.newest(tp)
            if value is not None and value is not self._seen.get(tp):
                self._seen[tp] = value
                self.see(tp, reached_by(decode_profile(value)), now)

    def _count(self, now: float) -> None:
        """Partitions that nobody has begun count too, for a while."""
        self._is_counted = True
        for topic in sorted(self._topics):
            for p in range(self._bus.partitions(topic) or 0):
                self.pulses.setdefault(TopicPartition(topic, p), self._pulse(topic, now))

    def ahead(self, now: float) -> frozenset[TopicPartition]:
        """Partitions, of whatever process, that have to wait for slower ones."""
        limits = self._limits(now)
        return frozenset(
            tp
            for tp, pulse in self.pulses.items()
            if pulse.reached.watermark is not None
            and any(pulse.reached.watermark > limits[model] for model in pulse.models if model in limits)
        )

    def _limits(self, now: float) -> dict[str, int]:
        """Return, by model, the watermark that none of its partitions should pass at present.

        A partition that has no watermark yet stands, for a while, where the first of all began.
        """
        watermarks: dict[str, list[int]] = {model: [] for model in self._leads}
        firsts: dict[str, list[int]] = {model: [] for model in self._leads}
        unknown: set[str] = set()
        for pulse in self.pulses.values():
            for model in pulse.models & self._leads.keys():
                if pulse.reached.watermark is not None:
                    watermarks[model].append(pulse.reached.watermark)
                elif not pulse.is_idle(now):
                    unknown.add(model)
                if pulse.reached.first is not None:
                    firsts[model].append(pulse.reached.first)
        slowest = {m: watermarks[m] + (firsts[m] if m in unknown else []) for m in self._leads}
        leads = self._least if self.is_crowded else self._leads
        return {model: min(known) + leads[model] for model, known in slowest.items() if known}


def reached_by(position: ProfilePosition) -> Reached:
    """How far a partition had come when it was committed."""
    return Reached(position.natural, position.watermark, position.first_watermark, position.highest, position.silent_to)


def _idle_timeout_s(models: Iterable[ModelContract]) -> float | None:
    """Models that share a topic agree in it."""
    found = [contract.idle_timeout_ms for contract in models if contract.idle_timeout_ms is not None]
    return min(found) / 1000 if found else None
