"""Thresholds that the grid of a reference can't reach: none is named that a window passes, and the bounds are tight."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.config.expression import parse
from monitor.config.metrics import METRICS, QUANTILES
from monitor.contract import ColumnSpec, StreamContract
from monitor.evaluate.measure import Measure
from monitor.evaluate.reach import reach, why_never_holds
from monitor.evaluate.reference import build_reference
from monitor.events import Float64s, Rows
from monitor.panes.grid import encode_rows, make_grid

COLUMNS = (ColumnSpec("x", "x", "numerical"), ColumnSpec("b", "b", "binary"), ColumnSpec("c", "c", "categorical"))
STREAM = StreamContract("features", "f", "event_time", COLUMNS)
NORMAL = np.random.default_rng(5).normal(50.0, 5.0, 500)


def rows_of(values: Float64s, flags: Float64s) -> Rows:
    """Numbers, zeros and ones, and a constant category, a second apart."""
    n = len(values)
    offset, part = np.arange(n), np.zeros(n, dtype=np.int32)
    numeric, states = np.stack([values, flags], axis=1), np.zeros((n, 2), dtype=np.uint8)
    return Rows("m", "features", "", offset, part, offset * 1000, numeric, states, (["a"] * n,), states[:, :1])


def measure_of(values: Float64s) -> Measure:
    """Against these numbers; every fourth flag is 1."""
    sample = rows_of(values, (np.arange(len(values)) % 4 == 0).astype(np.float64))
    grid = make_grid(sample, STREAM)
    return Measure(grid, build_reference(grid, sample, "test"))


MEASURE = measure_of(NORMAL)
FIRST, LAST = (float(edge) for edge in MEASURE.grid.numeric[0].edges[[0, -1]])
WIDTH = LAST - FIRST


def is_told(expr: str, column: str, measure: Measure = MEASURE) -> bool:
    return why_never_holds(measure, parse(expr), column) is not None


@pytest.mark.parametrize("metric", ["mean", 'quantile{quantile="0.95"}'])
@pytest.mark.parametrize(
    ("op", "threshold", "expected"),
    [
        (">", LAST, True),
        (">", LAST - WIDTH * 1e-9, False),
        (">", LAST + WIDTH * 1e-9, True),
        (">=", LAST, False),
        (">=", LAST + WIDTH * 1e-9, True),
        ("<", FIRST, True),
        ("<", FIRST + WIDTH * 1e-9, False),
        ("<", FIRST - WIDTH * 1e-9, True),
        ("<=", FIRST, False),
        ("<=", FIRST - WIDTH * 1e-9, True),
        ("==", LAST, False),
        ("==", LAST + WIDTH * 1e-9, True),
        ("==", FIRST - WIDTH * 1e-9, True),
        (">", FIRST - WIDTH, False),
        ("<", LAST + WIDTH, False),
        ("!=", LAST + WIDTH, False),
    ],
)
def test_a_threshold_beyond_an_end_of_the_grid_is_told(metric: str, op: str, threshold: float, expected: bool) -> None:
    """Just within is not; what every window violates is no matter of reach."""
    assert is_told(f"{metric} {op} {threshold!r}", "x") == expected


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        ("mean > 1", True),
        ("mean > 0.999", False),
        ("mean >= 1", False),
        ("mean < 0", True),
        ("mean < 0.001", False),
        ("std > 0.5", True),
        ("std > 0.499", False),
        ("wasserstein > 0.75", True),
        ("wasserstein > 0.749", False),
        ('quantile{quantile="0.5"} > 1', True),
    ],
)
def test_a_binary_column_reaches_from_0_to_1(expr: str, expected: bool) -> None:
    """A quarter of its reference is 1: the farthest window has ones only."""
    assert is_told(expr, "b") == expected


def test_the_deviation_reaches_half_of_the_grid() -> None:
    """Half of the values at each end."""
    assert is_told(f"std > {WIDTH / 2!r}", "x")
    assert not is_told(f"std > {WIDTH / 2 * (1 - 1e-9)!r}", "x")


def test_the_distance_reaches_as_far_as_a_window_at_one_end() -> None:
    """A million spreads and what the reference lies off its median, measured with all values in the last bin."""
    _, high = reach(MEASURE, "wasserstein", "x")
    ends = [np.full(200, end) for end in (FIRST, np.nextafter(LAST, 0.0))]
    windows = [encode_rows(MEASURE.grid, rows_of(end, np.zeros(200)))[1] for end in ends]
    scores = [MEASURE.columns(window)["x"]["wasserstein"] for window in windows]
    assert max(scores) == pytest.approx(high, rel=1e-9)
    assert is_told(f"wasserstein > {high * (1 + 1e-9)!r}", "x")
    assert not is_told(f"wasserstein > {high * (1 - 1e-9)!r}", "x")


def test_what_has_no_bound_of_the_grid_is_never_told() -> None:
    """Thresholds that follow the reference, categories, and metrics whose range is known without a grid."""
    assert not is_told("mean > 1000000000 * reference_mean", "x")
    assert not is_told("psi > 1000000", "c")
    for metric in METRICS.values():
        if metric.subject == "column" and metric.name not in ("mean", "quantile", "std", "wasserstein"):
            assert reach(MEASURE, metric.name, "x") == (-np.inf, np.inf)


numbers = st.floats(-1e12, 1e12, allow_nan=False) | st.sampled_from([0.0, 1.0, -999.0, 1e300])
samples = st.lists(numbers, min_size=100, max_size=140)


@settings(max_examples=60)
@given(samples, st.lists(numbers, min_size=1, max_size=40))
def test_no_window_leaves_the_reach(sample: list[float], window: list[float]) -> None:
    """Whatever reference and window, the scores lie within, but for half a unit of the sums."""
    measure = measure_of(np.array(sample))
    got = measure.columns(encode_rows(measure.grid, rows_of(np.array(window), np.ones(len(window))))[1])
    for column in ("x", "b"):
        bins = measure.grid.numeric[measure.places[column]]
        for metric in ("mean", "std", "wasserstein", *(f"quantile_{q}" for q in QUANTILES)):
            if metric in got[column]:
                low, high = reach(measure, metric.split("_")[0], column)
                unit = 1e-6 if metric == "wasserstein" else bins.unit
                slack = unit + 1e-9 * max(abs(low), abs(high))
                assert low - slack <= got[column][metric] <= high + slack
