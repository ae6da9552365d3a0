"""Every detector against every hostile value, from the bytes of the event on: it finds what it finds without them.

Two logs are paired: the same good events, with a hostile one between every few of them, and with a tombstone in its
place. Decoding, grid and rank are production's; what a detector is fed with, and where it finds a change, is the same.
"""

from __future__ import annotations

import json
import random
from functools import lru_cache
from typing import Any

import msgspec
import pytest

from monitor.codec.canonical import time_text
from monitor.config import load
from monitor.config.resolved import Config
from monitor.detectors.protocol import Detector
from monitor.evaluate.alerts import Place
from monitor.evaluate.detection import DetectorBank
from monitor.events import Float64s, RecordBatch, TopicPartition
from monitor.ledger.entries import Activation, PartitionSet, new_decision
from monitor.replay import Replay, ReplayLog
from monitor.runner.announce import rules_decision
from tests.contracts.test_detector_states import CLASSES, SENSITIVE

TP = TopicPartition("in", 0)
START = 1_790_000_000_000
REFERENCE, EVENTS, EVERY = 250, 1050, 7
BINARY = {"DDM", "EDDM", "FHDDM", "HDDMA", "HDDMW"}

GATED: dict[str, bytes] = {
    "nan": b"NaN",
    "inf": b"Infinity",
    "-inf": b"-Infinity",
    "1e308": b"1e308",
    "-1e308": b"-1e308",
    "1e153": b"1e153",
    "1e400": b"1e400",
    "a number as text": b'"0.5"',
    "nan as text": b'"nan"',
    "empty text": b'""',
    "null": b"null",
    "list": b"[0.5]",
    "object": b'{"x": 1}',
    "400 digits": b"9" * 400,
    "5000 digits": b"-" + b"9" * 5000,
}
"""What must never reach a detector, as it stands in the event."""

ORDINARY: dict[str, tuple[bytes, bytes]] = {
    "subnormal": (b"5e-324", b"0.0"),
    "-subnormal": (b"-5e-324", b"0.0"),
    "1e149": (b"1e149", b"1e6"),
    "-1e149": (b"-1e149", b"-1e6"),
    "100 digits": (b"9" * 100, b"1e6"),
    "2**63": (b"9223372036854775808", b"1e6"),
}
"""Numbers that are valid, if odd, and the ordinary one that has the same rank: to a detector they are the same."""


def _config() -> Config:
    """One detector of each class on the column that it reads."""
    detectors = [
        f"  {name}: {{class: {name}, params: {json.dumps(SENSITIVE[name])}, input: {'b' if name in BINARY else 'x'}}}"
        for name in CLASSES
    ]
    text = f"""
version: 1
defaults: {{window: {{events: 500}}, lateness: 2s, pane: 2s, interval: 2s, trace_points: 2048}}
models:
  m:
    task: classification_binary
    streams: {{features: {{topic: in}}}}
    columns: {{numerical: [x], binary: [b]}}
    reference: {{first: {REFERENCE}}}
detectors:
{chr(10).join(detectors)}
groups:
  - {{name: g, models: [m], rules: [{{alert: Change, expr: 'change{{detector=~".*"}} > 0'}}]}}
"""
    return load(text, "alerts.yaml")


def _event(number: int, x: bytes, b: bytes) -> bytes:
    envelope = {"event_id": f"e{number}", "model": "m", "event_time": time_text(START + number * 20)}
    return json.dumps(envelope).encode()[:-1] + b', "features": {"x": ' + x + b', "b": ' + b + b"}}"


def _log(x: bytes | None, b: bytes | None) -> list[bytes | None]:
    """Good events with changes up and down, from the reference on; every few of them one with these values.

    Both None: a tombstone. One None: that column is good.
    """
    rng = random.Random(5)
    values: list[bytes | None] = []
    for number in range(EVENTS):
        level = (0.1, 0.8, 0.2, 0.9)[max(0, number - REFERENCE) * 4 // (EVENTS - REFERENCE)]
        good = str(round(level + rng.gauss(0, 0.1), 6)).encode(), str(int(rng.random() < level)).encode()
        if number > REFERENCE and number % EVERY == 0:
            odd = None if x is None and b is None else _event(number, x or good[0], b or good[1])
            values.append(odd)
        values.append(_event(number, *good))
    return values


class Recorder:
    """A detector that keeps what it is fed with and where it finds a change, as the number of the value."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.fed: list[float] = []
        self.found: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.detector, name)

    def update(self, values: Float64s) -> list[int]:
        found = self.detector.update(values)
        self.found += [len(self.fed) + place for place in found]
        self.fed += values.tolist()
        return found


@lru_cache(maxsize=100)
def outcome(x: bytes | None, b: bytes | None) -> dict[str, Recorder]:
    """What each detector was fed with and found in the log with these values."""
    config = _config()
    model, values = config.models[0], _log(x, b)
    content = msgspec.json.encode(PartitionSet({"features": (TP.topic, 1)})).decode()
    activations = [Activation(new_decision("m", "set", content), None), Activation(rules_decision(model), None)]
    place = Place("/s", "http://localhost", "0", "c")
    recorders: dict[str, Recorder] = {}
    feed = DetectorBank.feed

    def spied(bank: DetectorBank, codes: Any) -> Any:
        for watch in bank._watches:
            if not isinstance(watch.detector, Recorder):
                watch.detector = recorders[watch.sighting[0]] = Recorder(watch.detector)
        return feed(bank, codes)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DetectorBank, "feed", spied)
        engine = Replay(ReplayLog([model.contract], [TP], [], activations, place, True, 1))
        n = len(values)
        engine.feed(RecordBatch(*TP, list(range(n)), [0] * n, [None] * n, values, [()] * n))
        engine.finish({})
    return recorders


def same(name: str, one: dict[str, Recorder], other: dict[str, Recorder]) -> None:
    assert not one[name].is_blind
    assert one[name].fed == other[name].fed
    assert one[name].found == other[name].found
    assert one[name].found, "the log makes every detector speak"


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("value", GATED)
def test_what_is_no_number_in_range_never_reaches_a_detector(name: str, value: str) -> None:
    """The detection index is the same with the hostile events and without them."""
    same(name, outcome(GATED[value], GATED[value]), outcome(None, None))


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("value", ["true", "false"])
def test_a_boolean_is_no_number_and_is_a_flag(name: str, value: str) -> None:
    """In a numeric column it is left out; in a binary one it is 1 or 0."""
    flag = b"1" if value == "true" else b"0"
    paired = outcome(None, None) if name not in BINARY else outcome(b"null", flag)
    same(name, outcome(value.encode(), value.encode()), paired)


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("value", ORDINARY)
def test_an_odd_number_is_its_rank(name: str, value: str) -> None:
    """Tiny numbers are 0 and large ones large: one of 1e149 is no more of an outlier than one of 1e6.

    In a binary column they are neither 0 nor 1, and left out.
    """
    odd, ordinary = ORDINARY[value]
    paired = outcome(None, None) if name in BINARY else outcome(ordinary, b"null")
    same(name, outcome(odd, odd), paired)
