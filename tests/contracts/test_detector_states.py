"""What the state of every detector keeps: restored, it goes on as if nothing had happened; what is wrong is refused.

The table of the eight is the union's own list, so a detector that is added is tested at once.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from typing import Any, get_args

import msgspec
import numpy as np
import pytest
from pydantic import TypeAdapter

from monitor.detectors import DetectorPlugin, DetectorState
from monitor.detectors.plugin import Plugin
from monitor.detectors.protocol import Detector
from monitor.errors import FormatError
from monitor.events import Float64s

PLUGIN: TypeAdapter[Plugin] = TypeAdapter(DetectorPlugin)
DECODER = msgspec.msgpack.Decoder(DetectorState)
CLASSES = {member.__name__: member for member in get_args(get_args(DetectorPlugin)[0])}
SENSITIVE: dict[str, dict[str, Any]] = {
    "ADWIN": {"delta": 0.05, "clock": 8, "max_buckets": 3},
    "KSWIN": {"alpha": 0.01, "window_size": 80, "stat_size": 25},
    "PageHinkley": {"threshold": 5, "min_instances": 20},
    "DDM": {"drift_threshold": 2.5},
    "EDDM": {"alpha": 0.9, "beta": 0.8},
    "FHDDM": {"confidence_level": 0.001, "short_window_size": 20},
    "HDDMA": {"drift_confidence": 0.01, "two_sided_test": True},
    "HDDMW": {"drift_confidence": 0.01, "lambda_val": 0.1, "two_sided_test": True},
}
SEED = 20
LENGTH = 1200


def plugin(name: str, setting: str = "sensitive") -> Plugin:
    return PLUGIN.validate_python({"class": name, "params": SENSITIVE[name] if setting == "sensitive" else {}})


def values_for(it: Plugin, seed: int) -> Float64s:
    """A seeded stream of what the detector reads, with five changes up and down."""
    rng = np.random.default_rng(seed)
    level = np.repeat([0.1, 0.8, 0.2, 0.9, 0.1, 0.7], LENGTH // 6)
    if it.reads == "binary":
        return (rng.random(len(level)) < level).astype(np.float64)
    return np.clip(level + rng.normal(0.0, 0.1, len(level)), 0.0, 1.0)


def fed(it: Plugin) -> Detector:
    """After 150 values, at a place where none of the eight has just detected a change."""
    detector = it.build(SEED)
    detector.update(values_for(it, 1)[:150])
    return detector


def encoded(detector: Detector) -> bytes:
    return msgspec.msgpack.encode(detector.state())


def restored(it: Plugin, state: bytes) -> Detector:
    """As a snapshot does it: decode what the union allows, then set it on a detector that was just built."""
    detector = it.build(SEED)
    detector.restore(DECODER.decode(state))
    return detector


def cut_points(it: Plugin, values: Float64s, rng: random.Random) -> list[int]:
    """Beginning, end, places at random, and those right behind a detection, where River resets itself late."""
    found = it.build(SEED).update(values)
    behind = [place + step for place in found[:2] for step in (1, 2)]
    if it.class_ == "KSWIN":
        return sorted({1, len(values) // 2, behind[0]})  # it takes 0.3 ms a value
    return sorted({0, 1, len(values), *(rng.randrange(len(values)) for _ in range(25)), *behind})


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("setting", ["sensitive", "defaults"])
def test_a_restored_detector_finds_what_an_undisturbed_twin_finds(name: str, setting: str) -> None:
    """Cut anywhere, every later detection has the same index, and every later state the same bytes."""
    it = plugin(name, setting)
    values = values_for(it, 1)
    undisturbed = it.build(SEED)
    places = undisturbed.update(values)
    detector, at, found = it.build(SEED), 0, []
    for cut in cut_points(it, values, random.Random(7)):
        found += [at + place for place in detector.update(values[at:cut])]
        at = cut
        state = encoded(detector)
        twin = restored(it, state)
        assert encoded(twin) == state
        rest = it.build(SEED)
        rest.restore(DECODER.decode(state))
        later = [at + place for place in rest.update(values[at:])]
        assert found + later == places
        assert encoded(rest) == encoded(undisturbed)
        detector = twin  # the chain of all restores is as good as none
    assert setting == "defaults" or len(found) >= 2


@pytest.mark.parametrize("name", CLASSES)
def test_the_state_is_named_like_the_class_and_in_the_union(name: str) -> None:
    """River's class name is the tag: nothing that is not in the union can be loaded."""
    it = plugin(name)
    assert it.codec.state in get_args(DetectorState)
    assert it.codec.state.__struct_config__.tag == name == type(it).__name__
    assert len(get_args(DetectorState)) == len(CLASSES) + 2  # the fresh and the blind


@pytest.mark.parametrize("name", CLASSES)
def test_a_state_of_another_class_is_refused(name: str) -> None:
    """A state is not forced upon a detector that it was not made by."""
    for other in CLASSES:
        if other != name:
            with pytest.raises(FormatError, match="is due"):
                plugin(name).build(SEED).restore(fed(plugin(other)).state())


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("seed", range(3))
def test_a_changed_state_is_refused_or_is_another_valid_state(name: str, seed: int) -> None:
    """Bytes changed or cut at random never crash and never load as something that says itself in other bytes."""
    rng = random.Random(seed)
    it = plugin(name)
    detector = it.build(SEED)
    detector.update(values_for(it, seed)[:700])
    state = encoded(detector)
    outcomes = {"refused": 0, "valid": 0}
    for _ in range(60 if name == "KSWIN" else 400):
        changed = mutated(state, rng)
        try:
            again = restored(it, changed)
        except (FormatError, msgspec.DecodeError, UnicodeDecodeError):
            outcomes["refused"] += 1
            continue
        outcomes["valid"] += 1
        again.update(values_for(it, seed + 10)[:100])
        assert not again.is_blind
    assert outcomes["refused"] > 0


def mutated(state: bytes, rng: random.Random) -> bytes:
    """One bit turned, one byte replaced, a stretch removed, or the end cut off."""
    at = rng.randrange(len(state))
    match rng.randrange(4):
        case 0:
            return state[:at] + bytes([state[at] ^ (1 << rng.randrange(8))]) + state[at + 1 :]
        case 1:
            return state[:at] + rng.randbytes(1) + state[at + 1 :]
        case 2:
            return state[:at] + state[at + rng.randint(1, 16) :]
        case _:
            return state[:at]


def _with(state: Any, **fields: Any) -> Any:
    return msgspec.structs.replace(state, **fields)


def _helper(state: Any, at: int, layout: str, value: float) -> Any:
    helper = bytearray(state.helper)
    struct.pack_into(layout, helper, at, value)
    return _with(state, helper=bytes(helper))


NAN, INF = float("nan"), float("inf")
WRONG: list[tuple[str, Callable[[Any], Any]]] = [
    ("ADWIN", lambda s: _helper(s, 0, "<d", 0.01)),  # another delta
    ("ADWIN", lambda s: _helper(s, 36, "<d", NAN)),  # total
    ("ADWIN", lambda s: _helper(s, 36, "<d", 1.0)),  # a total that its buckets do not make
    ("ADWIN", lambda s: _helper(s, 44, "<d", -1.0)),  # variance
    ("ADWIN", lambda s: _helper(s, 52, "<d", 12.0)),  # width
    ("ADWIN", lambda s: _helper(s, 84, "<Q", 2)),  # number of rows
    ("ADWIN", lambda s: _helper(s, 100, "<Q", 2**40)),  # buckets used
    ("ADWIN", lambda s: _with(s, helper=s.helper[:-8])),
    ("ADWIN", lambda s: _with(s, helper=b"")),
    ("KSWIN", lambda s: _with(s, window=s.window[:-3])),
    ("KSWIN", lambda s: _with(s, window=s.window[:-8])),
    ("KSWIN", lambda s: _with(s, window=struct.pack("<d", NAN) + s.window[8:])),
    ("KSWIN", lambda s: _with(s, window=struct.pack("<d", 1.5) + s.window[8:])),
    ("KSWIN", lambda s: _with(s, generator=bytes(2496) + s.generator[-4:])),
    ("KSWIN", lambda s: _with(s, generator=s.generator[:-4])),
    ("KSWIN", lambda s: _with(s, generator=b"")),
    ("KSWIN", lambda s: _with(s, generator=s.generator[:-4] + struct.pack("<I", 625))),
    ("PageHinkley", lambda s: _with(s, mean=1.5)),
    ("PageHinkley", lambda s: _with(s, increase=NAN)),
    ("PageHinkley", lambda s: _with(s, increase=1e200)),
    ("PageHinkley", lambda s: _with(s, min_increase=None)),
    ("PageHinkley", lambda s: _with(s, min_increase=s.increase + 1.0)),
    ("PageHinkley", lambda s: _with(s, max_decrease=s.decrease - 1.0)),
    ("PageHinkley", lambda s: _with(s, n=0)),
    ("DDM", lambda s: _with(s, p=0.9)),
    ("DDM", lambda s: _with(s, p=0.0)),
    ("DDM", lambda s: _with(s, s_min=None)),
    ("DDM", lambda s: _with(s, p_min=None, s_min=None)),
    ("DDM", lambda s: _with(s, p=NAN)),
    ("EDDM", lambda s: _with(s, last_error=s.n + 1)),
    ("EDDM", lambda s: _with(s, mean=s.mean + 0.5)),
    ("EDDM", lambda s: _with(s, squares=INF)),
    ("EDDM", lambda s: _with(s, most=-0.5)),
    ("FHDDM", lambda s: _with(s, most=NAN)),
    ("FHDDM", lambda s: _with(s, window=b"\2" * len(s.window))),
    ("FHDDM", lambda s: _with(s, window=s.window + b"\0")),
    ("FHDDM", lambda s: _with(s, short_most=None)),
    ("HDDMA", lambda s: _with(s, rise_n=s.n + 1)),
    ("HDDMA", lambda s: _with(s, rise_n=0)),
    ("HDDMA", lambda s: _with(s, mean=0.123456789)),
    ("HDDMW", lambda s: _with(s, rise_bound=None)),
    ("HDDMW", lambda s: _with(s, rise_bound=INF)),
    ("HDDMW", lambda s: _with(s, rise_bound=s.before_rise.mean - 0.5)),
    ("HDDMW", lambda s: _with(s, fall_bound=s.before_fall.mean + 0.5)),
    ("HDDMW", lambda s: _with(s, total=None)),
    ("HDDMW", lambda s: _with(s, total=_with(s.total, weight=0.0))),
    ("HDDMW", lambda s: _with(s, total=_with(s.total, mean=NAN))),
]
"""What can be told to be wrong, by class."""


@pytest.mark.parametrize(("name", "wrong"), WRONG, ids=[f"{name}-{i}" for i, (name, _) in enumerate(WRONG)])
def test_what_is_seen_to_be_wrong_is_refused(name: str, wrong: Callable[[Any], Any]) -> None:
    """Types, ranges, lengths, and what must add up; the state itself, unchanged, is taken."""
    it = plugin(name)
    state = fed(it).state()
    restored(it, msgspec.msgpack.encode(state))
    with pytest.raises((FormatError, msgspec.ValidationError)):
        restored(it, msgspec.msgpack.encode(wrong(state)))


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("value", [NAN, INF, -INF, 1e153, 1e308, 2.0, -0.5])
@pytest.mark.parametrize("length", [0, 20, 700])
def test_what_is_no_number_in_range_blinds_and_never_reaches_river(name: str, value: float, length: int) -> None:
    """Evaluate never feeds one. `is_blind` says so from then on, nothing is found, and a restart keeps it."""
    it = plugin(name)
    detector = it.build(SEED)
    detector.update(values_for(it, 1)[:length])
    assert not detector.is_blind
    assert detector.update(np.array([value])) == []
    assert detector.is_blind
    again = restored(it, encoded(detector))
    for blind in (detector, again):
        assert blind.is_blind
        assert blind.update(values_for(it, 1)) == []
        assert encoded(blind) == encoded(detector)


@pytest.mark.parametrize("name", CLASSES)
def test_numbers_in_range_never_blind(name: str) -> None:
    """Long runs of 1, of 0, and of what rounds worst: the gate is exact at both ends."""
    it = plugin(name)
    detector = it.build(SEED)
    longest = 300 if name == "KSWIN" else 20_000
    for value in (1.0, 0.0) if it.reads == "binary" else (1.0, 0.0, np.nextafter(1.0, 0.0), 0.1, 5e-324):
        detector.update(np.full(longest, value))
        assert not detector.is_blind
