"""What became of synthetic predictions, in another system's way: late, some never, some twice, some taken back.

Truth is drawn by a relation of features to outcomes, which a drift of kind `concept` changes while features and scores
stay as they are. Labels have draws of their own, so traffic is the same with and without them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Final

import msgspec
import numpy as np

from monitor.events import Float64s, Int64s, Outgoing
from producers.schedule import At, Drift
from producers.traffic import partition_of, time_texts

LABEL: Final = "label"
"""What a schedule calls the column of labels."""


@dataclass(frozen=True, slots=True)
class Labels:
    """How labels come. Shares are of the predictions.

    `delay_ms`: the median from prediction to label; delays are spread around it, from about a third to three times it.
    `missing`: never come. `repeated`: come twice. `corrected`: are wrong at first, and taken back by a second one.
    `unknown`: are of an id that no prediction has. `by_case`: have a case as key and not their prediction, so they
    lie in another partition.
    """

    delay_ms: int = 60_000
    missing: float = 0.05
    repeated: float = 0.01
    corrected: float = 0.01
    unknown: float = 0.005
    by_case: float = 0.2
    topic: str = "ml.labels"
    partitions: int | None = None


class _Label(msgspec.Struct, gc=False):
    event_id: str
    prediction_id: str
    model: str
    event_time: str
    y_true: int
    source: str
    supersedes: str | None = None


_ENCODE = msgspec.json.Encoder().encode
_SPREAD: Final = 0.5
"""Deviation of the delays' logarithm."""


class Labelling:
    """The labels of some traffic that have yet to come."""

    def __init__(self, labels: Labels, drifts: Sequence[Drift], model: str, seed: int) -> None:
        self._labels = labels
        self._concept = [drift for drift in drifts if drift.kind == "concept"]
        self._missing = [drift for drift in drifts if drift.kind == "missingness" and drift.column == LABEL]
        self._model = model
        self._random = np.random.default_rng([seed, 2])
        self._coming: list[tuple[int, int, Outgoing]] = []
        self._number = 0

    def add(self, at: At, time: Int64s, logit: Float64s, other: Float64s) -> None:
        """Draw the labels of predictions made at `time` (ms), shape (n,).

        `logit`, `other`: of the outcome as the model has learned it, and as it is behind a concept drift, shape (n,).
        """
        labels, n = self._labels, len(time)
        for drift in self._concept:
            share = drift.strength(at) * drift.size
            logit = (1.0 - share) * logit + share * other
        truth = self._random.random(n) < 1.0 / (1.0 + np.exp(-logit))
        missing = np.full(n, labels.missing)
        for drift in self._missing:
            missing = np.maximum(missing, drift.strength(at) * drift.size)
        comes = self._random.random(n) >= missing
        delays = labels.delay_ms * np.exp(_SPREAD * self._random.standard_normal((2, n)))
        when = time + np.cumsum(delays.astype(np.int64), axis=0)
        what, by_case = self._random.random(n), self._random.random(n) < labels.by_case
        first, second = map(time_texts, when)
        for i in np.flatnonzero(comes).tolist():  # events are encoded one by one
            name = f"tx-{int(at.number[i]):08d}"
            is_corrected = what[i] < labels.corrected
            is_repeated = labels.corrected <= what[i] < labels.corrected + labels.repeated
            is_unknown = 1.0 - what[i] < labels.unknown
            key = f"case-{int(at.number[i]) // 7}" if by_case[i] else name
            of = f"crm-{name}" if is_unknown else name
            value = int(truth[i] ^ is_corrected)
            event = _Label(f"l-{name[3:]}", of, self._model, first[i], value, "chargeback")
            self._send(int(when[0, i]), key, event)
            if is_corrected:
                self._send(int(when[1, i]), key, _again(event, second[i], 1 - value, event.event_id))
            elif is_repeated:
                self._send(int(when[1, i]), key, _again(event, second[i], value, None))

    def _send(self, time: int, key: str, event: _Label) -> None:
        name = key.encode()
        partition = partition_of(name, self._labels.partitions)
        heappush(self._coming, (time, self._number, Outgoing(self._labels.topic, partition, name, _ENCODE(event))))
        self._number += 1

    def due(self, time: int) -> Iterator[Outgoing]:
        """Take the labels that have come up to `time` (ms), in the order of their times."""
        while self._coming and self._coming[0][0] <= time:
            yield heappop(self._coming)[2]


def _again(event: _Label, time: str, value: int, supersedes: str | None) -> _Label:
    return msgspec.structs.replace(
        event, event_id=f"{event.event_id}-2", event_time=time, y_true=value, supersedes=supersedes
    )
