"""Polarity, the gate on errors, the reset and the seed: what the adapter adds to River, each tested alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from river.drift import KSWIN as RIVERS_KSWIN
from river.drift.binary import DDM as RIVERS_DDM
from river.drift.binary import FHDDM as RIVERS_FHDDM

from monitor.detectors import ADWIN, DDM, EDDM, FHDDM, HDDMA, HDDMW, KSWIN
from monitor.detectors.plugin import Plugin
from monitor.detectors.protocol import Detector
from monitor.events import Float64s
from tests.river_loop import detections_of


def bits(rng: np.random.Generator, *parts: tuple[int, float]) -> Float64s:
    """0 and 1 in parts of (length, share of ones)."""
    return np.concatenate([(rng.random(n) < share).astype(np.float64) for n, share in parts])


def of(plugin: type[Plugin], **params: Any) -> Detector:
    return plugin.model_validate({"class": plugin.__name__, "params": params}).build(seed=3)


def test_fhddm_finds_rising_errors() -> None:
    """.1 -> .5 is found in 50 of 50 runs, within 100 values in the median."""
    delays = []
    for seed in range(50):
        found = of(FHDDM).update(bits(np.random.default_rng(seed), (500, 0.1), (500, 0.5)))
        delays += [place - 500 for place in found if place >= 500][:1]
    assert len(delays) == 50
    assert np.median(delays) < 100


def test_fhddm_does_not_take_falling_errors_for_drift() -> None:
    """.5 -> .1 is an improvement: after the fall there is no detection in at least 48 of 50 runs."""
    alarmed = 0
    for seed in range(50):
        found = of(FHDDM).update(bits(np.random.default_rng(seed), (500, 0.5), (500, 0.1)))
        alarmed += any(place >= 500 for place in found)
    assert alarmed <= 2


def test_fhddm_is_river_fed_with_one_minus_x() -> None:
    """The whole adapter equals River's class on the inverted stream."""
    values = bits(np.random.default_rng(8), (400, 0.1), (400, 0.6), (400, 0.1), (400, 0.6))
    expected = detections_of(RIVERS_FHDDM(), 1.0 - values)
    assert of(FHDDM).update(values) == expected
    assert expected


@pytest.mark.parametrize("plugin", [DDM, EDDM, HDDMA, HDDMW])
def test_the_other_binary_detectors_alarm_on_rising_errors(plugin: type[Plugin]) -> None:
    """1 is the error for them all: .1 -> .8 is found within 200 values."""
    values = bits(np.random.default_rng(2), (1000, 0.1), (400, 0.8))
    assert any(1000 <= place < 1200 for place in of(plugin).update(values))


def test_river_ddm_alarms_on_a_single_error() -> None:
    """Why there is a gate: 2,000 zeros and a single 1 are an alarm for River."""
    assert detections_of(RIVERS_DDM(), np.array([0.0] * 2000 + [1.0])) == [2000]


def test_ddm_does_not_alarm_on_a_single_error() -> None:
    """Through the gate 2,000 zeros and a single 1 are none."""
    assert of(DDM).update(np.array([0.0] * 2000 + [1.0] + [0.0] * 500)) == []


def test_ddm_stays_silent_on_rare_steady_errors() -> None:
    """At a steady error rate of 0.1 % River alarms several times in 20,000 values, the gated one never."""
    values = bits(np.random.default_rng(4), (20_000, 0.001))
    assert len(detections_of(RIVERS_DDM(), values)) > 5
    assert of(DDM).update(values) == []


def test_ddm_finds_errors_that_begin_after_none() -> None:
    """The gate puts off and does not blind: 0 -> 50 % is found within 60 values, in 20 of 20 runs."""
    for seed in range(20):
        found = of(DDM).update(bits(np.random.default_rng(seed), (2000, 0.0), (200, 0.5)))
        assert 2010 <= found[0] < 2060


def test_ddm_never_alarms_before_min_errors() -> None:
    """Before each detection there are at least `min_errors` ones since the one before."""
    values = bits(np.random.default_rng(9), *[(300, 0.02), (150, 0.6)] * 10)
    for min_errors in (1, 5, 25):
        found = of(DDM, min_errors=min_errors).update(values)
        starts = [0, *(place + 1 for place in found)]
        assert len(found) >= 5
        assert all(values[start : place + 1].sum() >= min_errors for start, place in zip(starts, found, strict=False))


def test_ddm_without_the_gate_is_rivers() -> None:
    """min_errors: 0 gives River's own detections."""
    values = bits(np.random.default_rng(9), *[(300, 0.02), (150, 0.6)] * 10)
    assert of(DDM, min_errors=0).update(values) == detections_of(RIVERS_DDM(), values)


def test_eddm_counts_nothing_but_ones() -> None:
    """A number that is not 1 is no error for EDDM; that is why it reads bits only."""
    values = bits(np.random.default_rng(6), (1000, 0.1), (1000, 0.9))
    assert of(EDDM).update(np.where(values == 1.0, 1.0, 0.5)) == of(EDDM).update(values)
    assert of(EDDM).update(values * 0.5) == []


def test_kswin_draws_by_the_series_seed_unless_one_is_set() -> None:
    """Without `seed` the caller's counts, else the configuration's."""
    rng = np.random.default_rng(12)
    values = np.clip(np.repeat([0.3, 0.5, 0.3], 250) + rng.normal(0.0, 0.15, 750), 0.0, 1.0)
    expected = {seed: detections_of(RIVERS_KSWIN(seed=seed), values) for seed in (3, 42)}
    assert of(KSWIN).update(values) == expected[3]
    assert of(KSWIN, seed=42).update(values) == expected[42]
    assert expected[3] != expected[42]


def test_adwin_starts_afresh_after_a_detection() -> None:
    """After a detection ADWIN is a new one: the rest of the stream gives what it gives alone."""
    rng = np.random.default_rng(1)
    values = np.clip(np.repeat([0.2, 0.8, 0.3], 1000) + rng.normal(0.0, 0.1, 3000), 0.0, 1.0)
    first, *others = of(ADWIN).update(values)
    assert others == [first + 1 + place for place in of(ADWIN).update(values[first + 1 :])]
    assert others


@pytest.mark.parametrize("delta", [1e-9, 0.002, 0.05, 0.9])
def test_adwin_of_dependent_values_asks_for_as_much_more_evidence(delta: float) -> None:
    """Its delta is at most the power that the bound wants, hardly less, and still a normal number for any inflation."""
    plugin = ADWIN.model_validate({"class": "ADWIN", "params": {"delta": delta}})
    assert plugin.for_dependent(1.0) == plugin
    for inflation in (1.3, 2.0, 19.0):
        found, wanted = plugin.for_dependent(inflation).params.delta, max(delta**inflation, delta / 2.0**900)
        assert wanted / 2.0 ** (inflation + 1) <= found <= wanted
    assert plugin.for_dependent(1e9).params.delta > 1e-290


def test_a_shift_of_dependent_values_is_found_later_than_one_of_independent_ones() -> None:
    """In values that vary 19 times as much, as those of AR(1) with 0.9 do, it takes several times as long."""
    values = np.concatenate([np.random.default_rng(1).random(2000) * 0.5 + shift for shift in (0.0, 0.5)])
    plugin = ADWIN.model_validate({"class": "ADWIN"})
    delays = [plugin.for_dependent(inflation).build(seed=0).update(values)[0] - 2000 for inflation in (1.0, 19.0)]
    assert delays[0] < 100
    assert 3 * delays[0] < delays[1] < 1000
