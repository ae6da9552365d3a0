"""The records of a run: each partition has its own pace, a column that drifts in waves, some disorder, bad records."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field

import msgspec

from monitor.codec.canonical import time_text
from monitor.events import Outgoing, TopicPartition
from tests.simulation.bus import START_MS, SimulatedBus
from tests.simulation.configurations import LABELS, LIVE, PREDICTIONS, RARE, STREAMS, Layout

POISON = b'{"poison": true}'
"""A record that ends the process that folds it."""
DISORDER_S = 1.5
WAVE_S = 14.0
BRISK_ROWS, BRISK_S = 115, 6.0
"""So many rows of a model and stream come within so many seconds when a lane begins: more than its reference needs."""
MOST_BEHIND = 30
"""Predictions of a model that may yet get a label, or another one."""
UNKNOWN, AGAIN, WITH_OWN_TIME = 0.05, 0.15, 0.6
"""Shares of labels: without a prediction, also those that come again, and those with a time of their own."""
Prediction = dict[str, str | int]
ENOUGH = 8.0
"""Events per second of a partition in which drift is to be found soon; evenly in time and over its models."""


@dataclass
class Labels:
    """Of one model: which predictions wait for a label, and what the next one is."""

    rng: random.Random
    waiting: deque[Prediction] = field(default_factory=lambda: deque(maxlen=MOST_BEHIND))
    labelled: deque[Prediction] = field(default_factory=lambda: deque(maxlen=MOST_BEHIND))
    predictions: int = 0

    def predict(self, time: str, y: int) -> Prediction:
        """The fields of another prediction."""
        self.predictions += 1
        prediction: Prediction = {"event_time": time, "prediction_id": f"p{self.predictions}", "y_pred": y}
        self.waiting.append(prediction)
        return prediction

    def next(self, *, drifts: bool) -> Prediction:
        """The fields of a label: mostly of a prediction that has none; else of another one, or of none."""
        chance, is_wrong = self.rng.random(), self.rng.random() < (0.8 if drifts else 0.3)
        if chance < UNKNOWN or not self.waiting:
            return {"prediction_id": f"x{self.rng.randint(0, 9)}", "y_true": 1}
        of = self.rng.choice(self.labelled) if chance < AGAIN and self.labelled else self.waiting.popleft()
        self.labelled.append(of)
        label: Prediction = {"prediction_id": of["prediction_id"], "y_true": int(of["y_pred"]) ^ is_wrong}
        return label if self.rng.random() < WITH_OWN_TIME else {**label, "event_time": of["event_time"]}


class Traffic:
    """Events of all partitions, as far as the time has come. `rates`: events per second."""

    def __init__(self, bus: SimulatedBus, layout: Layout, rng: random.Random) -> None:
        self.rates = {
            TopicPartition(topic, p): rng.choice((0.04, 0.08) if topic == RARE else (0.8, 1.2, 1.8))
            for topic, n in layout.topics
            for p in range(n)
        }
        self.flowing = True
        self.drifting = False
        self._even = False
        self._brisk_until = BRISK_S
        self._turn_of: dict[str, int] = {}
        self._bus = bus
        self._models = layout.models
        self._rng = rng
        self._next = dict.fromkeys(self.rates, 0.0)
        self._silent_until = dict.fromkeys(self.rates, -1.0)
        self._labels = {model: Labels(self._rng) for model in layout.models if LABELS in STREAMS[model].values()}

    @property
    def partitions(self) -> list[TopicPartition]:
        return sorted(self.rates)

    @property
    def busy(self) -> list[TopicPartition]:
        """Those in which a row that waits for its neighbours, or is folded alone, does not wait long."""
        return [tp for tp in self.partitions if tp.topic != RARE]

    def until(self, now: float) -> None:
        """Send what is due by now."""
        due: list[Outgoing] = []
        for tp in self.partitions:
            while self._next[tp] <= now:
                at = self._next[tp]
                self._next[tp] += self._pause(tp, at)
                if self.flowing and at > self._silent_until[tp]:
                    value = self.event(tp, at - self._rng.uniform(0, DISORDER_S))
                    due.append(Outgoing(tp.topic, tp.partition, b"k", value))
        if due:
            self._bus.write(due, markers=False)

    def _pause(self, tp: TopicPartition, at: float) -> float:
        rate = self.rates[tp]
        if at < self._brisk_until and tp.topic != RARE:
            partitions = sum(1 for other in self.rates if other.topic == tp.topic)
            rate = max(rate, BRISK_ROWS * len(self._readers(tp.topic)) / partitions / BRISK_S)
        return 1 / rate if self._even else self._rng.expovariate(rate)

    def be_brisk(self) -> None:
        """For some seconds so much comes that lanes which begin now have their references soon."""
        self._brisk_until = self._bus.world.now + BRISK_S

    def be_good(self) -> None:
        """From now on there is enough sound traffic in every partition, so that chance hides no drift."""
        self._even = True
        self._next = dict.fromkeys(self._next, self._bus.world.now)
        self.rates = {tp: rate if tp.topic == RARE else ENOUGH for tp, rate in self.rates.items()}
        self._silent_until = dict.fromkeys(self.rates, -1.0)

    def silence(self, tp: TopicPartition, until: float) -> None:
        """Nothing comes to that partition for a while."""
        self._silent_until[tp] = until

    def add(self, tp: TopicPartition) -> None:
        """A partition that has come to a topic."""
        self.rates[tp] = 1.2
        self._next[tp] = self._bus.world.now
        self._silent_until[tp] = -1.0

    def send(self, tp: TopicPartition, value: bytes | None) -> None:
        self._bus.write([Outgoing(tp.topic, tp.partition, b"k", value)], markers=False)

    def event(self, tp: TopicPartition, at: float) -> bytes:
        """A sound event of that time."""
        rng = self._rng
        event: dict[str, object] = {
            "event_id": "e",
            "event_time": time_text(START_MS + int(at * 1000)),
            "model": self._model(tp.topic),
        }
        if tp.topic == LABELS:
            return msgspec.json.encode({**event, **self._labels[str(event["model"])].next(drifts=self.drifting)})
        if tp.topic in (PREDICTIONS, RARE):
            y = rng.randint(0, 1)
            if labels := self._labels.get(str(event["model"])):
                return msgspec.json.encode(event | labels.predict(str(event["event_time"]), 1 if self.drifting else y))
            return msgspec.json.encode({**event, "y_pred": y})
        shift = 3.0 if at % (2 * WAVE_S) > WAVE_S else 0.0
        live = rng.gauss(9.0 if self.drifting else 0.0, 1)
        features = {"a": rng.gauss(shift, 1), LIVE: live, "c": rng.choice("xyz"), "d": rng.gauss(shift, 1)}
        return msgspec.json.encode({**event, "features": features})

    def _model(self, topic: str) -> str:
        readers = self._readers(topic)
        if not self._even:
            return self._rng.choice(readers)
        self._turn_of[topic] = self._turn_of.get(topic, -1) + 1
        return readers[self._turn_of[topic] % len(readers)]

    def _readers(self, topic: str) -> list[str]:
        return [model for model in self._models if topic in STREAMS[model].values()]
