"""What every detector keeps: River's own detections, however the stream is cut, the same for the same seed.

The table of the eight is the union's own list, so a detector that is added is tested at once.
"""

from __future__ import annotations

import inspect
import subprocess
import sys
import warnings
from functools import partial
from itertools import pairwise
from typing import Any, get_args

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError
from river import drift
from river.drift import binary
from scipy import stats

from monitor.detectors import DetectorPlugin
from monitor.detectors.adapter import RiverDetector
from monitor.detectors.ddm import ErrorGate
from monitor.detectors.kswin import RememberedTests
from monitor.detectors.plugin import Plugin
from monitor.detectors.protocol import Detector
from monitor.detectors.state import FreshState
from monitor.events import Float64s
from tests.river_loop import detections_of

PLUGIN: TypeAdapter[Plugin] = TypeAdapter(DetectorPlugin)
NAMES = [member.__name__ for member in get_args(get_args(DetectorPlugin)[0])]
EATS = {
    "ADWIN": "rank",
    "KSWIN": "rank",
    "PageHinkley": "rank",
    "DDM": "binary",
    "EDDM": "binary",
    "FHDDM": "binary",
    "HDDMA": "binary",
    "HDDMW": "binary",
}
SENSITIVE: dict[str, dict[str, Any]] = {
    "ADWIN": {"delta": 0.05, "clock": 8},
    "KSWIN": {"alpha": 0.01, "window_size": 80, "stat_size": 25},
    "PageHinkley": {"threshold": 5, "min_instances": 20},
    "DDM": {"drift_threshold": 2.5},
    "EDDM": {"alpha": 0.9, "beta": 0.8},
    "FHDDM": {"confidence_level": 0.001, "short_window_size": 20},
    "HDDMA": {"drift_confidence": 0.01, "two_sided_test": True},
    "HDDMW": {"drift_confidence": 0.01, "lambda_val": 0.1, "two_sided_test": True},
}
SEED = 20
STREAMS = ("stationary", "step", "drifts")


def stream(name: str, reads: str, n: int = 1200) -> Float64s:
    """A seeded stream in [0, 1], or of 0 and 1: without change, with one, with several up and down."""
    rng = np.random.default_rng([len(name), len(reads), 11])
    levels = {"stationary": [0.3], "step": [0.2, 0.7], "drifts": [0.1, 0.8, 0.2, 0.9, 0.1, 0.7]}[name]
    level = np.repeat(levels, n // len(levels))
    if reads == "binary":
        return (rng.random(len(level)) < level).astype(np.float64)
    return np.clip(level + rng.normal(0.0, 0.1, len(level)), 0.0, 1.0)


def plugin(name: str, params: dict[str, Any] | None = None) -> Plugin:
    return PLUGIN.validate_python({"class": name, "params": params or {}})


def of_river(name: str, params: dict[str, Any]) -> Any:
    """River's own class, made without our code."""
    seed = {"seed": SEED} if name == "KSWIN" else {}
    return getattr(drift if hasattr(drift, name) else binary, name)(**params, **seed)


def identity(it: Plugin) -> Detector:
    """The detector without polarity and gate on errors."""
    if it.class_ == "DDM":
        return plugin("DDM", dict(it.params) | {"min_errors": 0}).build(SEED)
    return RiverDetector(partial(it.river, SEED), it.reads, it.codec, feed=type(it).feed)


def test_the_eight_are_there() -> None:
    """All eight of River's detectors are offered, and each says what it reads."""
    assert {name: plugin(name).reads for name in NAMES} == EATS


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.parametrize("setting", ["defaults", "sensitive"])
def test_identity_input_gives_rivers_own_detections(name: str, kind: str, setting: str) -> None:
    """Through identity input, the places are those that River itself gives."""
    params = SENSITIVE[name] if setting == "sensitive" else {}
    values = stream(kind, EATS[name])
    assert identity(plugin(name, params)).update(values) == detections_of(of_river(name, params), values)


@pytest.mark.parametrize("name", NAMES)
def test_the_streams_of_this_suite_make_every_detector_speak(name: str) -> None:
    """The comparison with River is not one of empty lists: each finds at least two changes in `drifts`."""
    values = stream("drifts", EATS[name])
    assert len(plugin(name, SENSITIVE[name]).build(SEED).update(values)) >= 2


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("setting", ["defaults", "sensitive"])
def test_every_answer_and_every_number_is_rivers(name: str, setting: str) -> None:
    """After every value of a stream with changes, River's own class gives the same answer and the same state."""
    params = SENSITIVE[name] if setting == "sensitive" else {}
    it = plugin(name, params)
    ours, rivers = identity(it), of_river(name, params)
    found = 0
    for value in stream("drifts", EATS[name], 600 if name == "KSWIN" else 2400).tolist():
        rivers.update(value)
        assert ours.update(np.array([value])) == ([0] if rivers.drift_detected else [])
        found += rivers.drift_detected
        held = ErrorGate(rivers, 0) if name == "DDM" else rivers
        assert ours.state() == (FreshState() if rivers.drift_detected else it.codec.save(held))
    assert setting == "defaults" or found >= 2


@pytest.mark.parametrize("name", NAMES)
def test_the_engine_is_rivers_own_class(name: str) -> None:
    """The code of its `update` is River's, and no other is set on it."""
    river, rivers = plugin(name).river(SEED), type(of_river(name, {}))
    river = river.ddm if name == "DDM" else river
    assert isinstance(river, rivers)
    assert type(river).update.__code__ is rivers.update.__code__
    assert "update" not in vars(river)


@pytest.mark.parametrize("size", [1, 2, 7, 30, 200])
def test_kswin_remembers_scipys_p_values(size: int) -> None:
    """Statistic and p-value of any two samples of one size, with ties and without, are those of SciPy's own test."""
    rng = np.random.default_rng(size)
    for digits in (1, 2, 12):
        for shift in (0.0, 0.2, 0.5):
            one = np.round(rng.random(size), digits)
            other = np.round(np.clip(rng.random(size) + shift, 0.0, 1.0), digits)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", category=RuntimeWarning)  # as River does
                expected = stats.ks_2samp(one, other)
            found = RememberedTests.ks_2samp(one.tolist(), other.tolist(), "auto")
            assert found == (expected.statistic, expected.pvalue)


@pytest.mark.parametrize("name", [name for name in NAMES if EATS[name] == "rank"])
def test_a_rank_detector_takes_bits_as_well(name: str) -> None:
    """0 and 1 are numbers in [0, 1]: River's own detections again."""
    values = stream("drifts", "binary")
    assert identity(plugin(name)).update(values) == detections_of(of_river(name, {}), values)


def test_the_fast_loop_of_adwin_equals_river_over_a_long_stream() -> None:
    """ADWIN's loop in C finds what River's class finds in 200,000 values with 40 changes."""
    rng = np.random.default_rng(5)
    values = np.clip(np.repeat(rng.random(40), 5000) + rng.normal(0.0, 0.2, 200_000), 0.0, 1.0)
    found = plugin("ADWIN").build(SEED).update(values)
    assert found == detections_of(of_river("ADWIN", {}), values)
    assert len(found) >= 30


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("cut_seed", [1, 2, 3])
def test_cuts_make_no_difference(name: str, cut_seed: int) -> None:
    """However a stream is cut into updates, empty ones included, the same values are found."""
    values = stream("drifts", EATS[name])
    it = plugin(name, SENSITIVE[name])
    rng = np.random.default_rng(cut_seed)
    cuts = [0, *sorted(rng.integers(0, len(values), 40).tolist()), len(values)]
    detector = it.build(SEED)
    found = [start + place for start, end in pairwise(cuts) for place in detector.update(values[start:end])]
    assert found == it.build(SEED).update(values)


@pytest.mark.parametrize("name", NAMES)
def test_one_value_at_a_time_makes_no_difference(name: str) -> None:
    """A detection at the last value of an update is found in that update."""
    values = stream("step", EATS[name])
    it = plugin(name, SENSITIVE[name])
    detector = it.build(SEED)
    found = [place for place in range(len(values)) if detector.update(values[place : place + 1])]
    assert found == it.build(SEED).update(values)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_detections(name: str) -> None:
    """Two detectors of one seed agree, and so does one from parameters that went through JSON."""
    it = plugin(name, SENSITIVE[name])
    again = PLUGIN.validate_json(PLUGIN.dump_json(it))
    values = stream("drifts", EATS[name])
    assert again == it
    assert it.build(SEED).update(values) == it.build(SEED).update(values) == again.build(SEED).update(values)


@pytest.mark.parametrize("name", NAMES)
def test_only_those_that_draw_depend_on_the_seed(name: str) -> None:
    """Evaluate makes no seed for the others."""
    it, values = plugin(name, SENSITIVE[name]), stream("drifts", EATS[name])
    found = [it.build(seed).update(values) for seed in range(3)]
    assert (found[0] == found[1] == found[2]) is not it.draws
    assert it.draws is (name == "KSWIN")


@pytest.mark.parametrize("name", NAMES)
def test_names_and_defaults_are_rivers(name: str) -> None:
    """Parameters have River's names, order and defaults; `window` is data, `min_errors` ours."""
    rivers = {
        parameter.name: parameter.default
        for parameter in inspect.signature(type(of_river(name, {}))).parameters.values()
        if parameter.name != "window"
    }
    ours = plugin(name).model_dump()["params"]
    ours.pop("min_errors", None)
    assert list(ours.items()) == list(rivers.items())


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("ADWIN", {"delta": 0}),
        ("ADWIN", {"delta": 1.0}),
        ("ADWIN", {"delta": "0.1"}),
        ("ADWIN", {"delta": float("nan")}),
        ("ADWIN", {"clock": 0}),
        ("ADWIN", {"max_buckets": 0}),
        ("ADWIN", {"max_buckets": 1}),
        ("ADWIN", {"max_buckets": 2**70}),
        ("ADWIN", {"grace_period": True}),
        ("ADWIN", {"detla": 0.1}),
        ("KSWIN", {"stat_size": 51}),
        ("KSWIN", {"window_size": 40}),
        ("KSWIN", {"window": [0.5]}),
        ("KSWIN", {"alpha": -0.1}),
        ("PageHinkley", {"mode": "sideways"}),
        ("PageHinkley", {"threshold": 0}),
        ("PageHinkley", {"alpha": 1.1}),
        ("DDM", {"min_errors": -1}),
        ("DDM", {"drift_threshold": 0}),
        ("EDDM", {"alpha": 0.8}),
        ("EDDM", {"alpha": 0.7, "beta": 0.8}),
        ("FHDDM", {"sliding_window_size": 0}),
        ("FHDDM", {"sliding_window_size": 20, "short_window_size": 21}),
        ("FHDDM", {"confidence_level": 1}),
        ("HDDMA", {"drift_confidence": 0.0}),
        ("HDDMA", {"lambda_val": 0.1}),
        ("HDDMW", {"lambda_val": 1.5}),
        ("HDDMW", {"two_sided_test": 1}),
    ],
)
def test_parameters_out_of_range_are_refused(name: str, params: dict[str, Any]) -> None:
    """A parameter that River would take and fail on, or misread, is refused before a detector is made."""
    with pytest.raises(ValidationError) as refusal:
        plugin(name, params)
    assert all(error["loc"][:2] == (name, "params") for error in refusal.value.errors())


@pytest.mark.parametrize("value", [{"class": "ADWINN"}, {"params": {}}, {"class": "ADWIN", "parms": {}}])
def test_unknown_classes_and_keys_are_refused(value: dict[str, Any]) -> None:
    """Nothing beside `class` and `params` is taken, and no class but the eight."""
    with pytest.raises(ValidationError):
        PLUGIN.validate_python(value)


def test_the_service_imports_river_with_its_first_detector() -> None:
    """A supervisor has none, nor has profile: each would start half a second later."""
    program = "import sys, monitor.cli.run, monitor.service; sys.exit(bool({'river', 'scipy'} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_first_detector_does_not_import_scipy_stats() -> None:
    """River imports it for KSWIN alone, and it is two thirds of what River's import takes."""
    program = (
        "import sys; from pydantic import TypeAdapter; from monitor.detectors import DetectorPlugin; "
        "make = lambda name: TypeAdapter(DetectorPlugin).validate_python({'class': name}).river(1); "
        "make('ADWIN'); assert 'scipy.stats._stats_py' not in sys.modules; "
        "kswin = make('KSWIN'); [kswin.update(float(x % 7)) for x in range(300)]; "
        "assert 'scipy.stats._stats_py' in sys.modules; "
        "from scipy import stats; assert stats.norm.cdf(0) == 0.5; import scipy.stats; assert scipy.stats is stats"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_stage_imports_no_web_server() -> None:
    """Its supervisor alone answers over HTTP, and that if it is asked to."""
    program = "import sys, monitor.cli.run; sys.exit(bool({'uvicorn', 'starlette'} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_parsing_a_configuration_does_not_import_river() -> None:
    """`--help` and `check` start without river, scipy and kafka."""
    program = (
        "import sys; from pydantic import TypeAdapter; from monitor.detectors import DetectorPlugin; "
        "TypeAdapter(DetectorPlugin).validate_python({'class': 'KSWIN'}); "
        "sys.exit(bool({'river', 'scipy', 'kafka'} & sys.modules.keys()))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
