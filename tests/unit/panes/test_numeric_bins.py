"""Bins of a numeric series: as fine as they have to be wherever a value lies, whatever the sample holds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.panes.numeric_bins import BINS, REACH, NumericBins, make_numeric_bins

finite = st.floats(min_value=-1e12, max_value=1e12, allow_nan=False)
samples = st.lists(finite | st.sampled_from([0.0, -0.0, 1.0, 999_999_999.0]), min_size=1, max_size=300)


def bins_of(*values: float) -> NumericBins:
    return make_numeric_bins("x", np.array(values))


@given(samples, st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=50))
def test_every_value_has_a_bin_between_its_edges(sample: list[float], later: list[float]) -> None:
    """A code i means edges[i-1] <= x < edges[i], for values of the sample and for any other."""
    bins = bins_of(*sample)
    values = np.array(sample + later)
    edges = np.concatenate([[-np.inf], bins.edges, [np.inf]])
    codes = bins.codes(values)
    assert (np.diff(bins.edges) > 0).all()
    assert (edges[codes] <= values).all()
    assert (values < edges[codes + 1]).all()
    assert bins.bins <= 2 * BINS + 175


@given(samples)
def test_a_bin_is_no_wider_than_a_quarter_spread_or_a_fifth_of_its_distance(sample: list[float]) -> None:
    """From the median; also between the sample and a sentinel, and far off the sample."""
    bins = bins_of(*sample)
    lows, highs = (np.array(ends[1:-1]) for ends in bins.bounds)
    nearest = np.minimum(np.abs(lows - bins.center), np.abs(highs - bins.center))
    rounding = 4 * np.spacing(np.maximum(np.abs(lows), np.abs(highs)))
    assert (highs - lows <= np.maximum(0.25 * bins.spread, 0.2 * nearest) * (1 + 1e-9) + rounding).all()
    reach = [bins.center - REACH * bins.spread, bins.center + REACH * bins.spread]
    assert [bins.edges[0], bins.edges[-1]] == reach


@given(samples)
def test_the_usual_bins_hold_all_but_a_few_of_the_sample(sample: list[float]) -> None:
    """At most one in a thousand values lies on each side of them, or lies in an overflow bin."""
    bins = bins_of(*sample)
    codes = bins.codes(np.array(sample) + 0.0)
    first, last = bins.usual
    assert 1 <= first <= last <= bins.bins - 2
    overflow = (codes == 0).sum(), (codes == bins.bins - 1).sum()
    assert (codes < first).sum() <= max(len(sample) // 1000, overflow[0])
    assert (codes > last).sum() <= max(len(sample) // 1000 + 1, overflow[1])


def test_a_value_that_repeats_is_an_atom() -> None:
    """Half zeros: the bin of zero holds zero alone."""
    bins = bins_of(*[0.0] * 500, *np.linspace(1, 2, 500))
    (code,) = set(bins.codes(np.array([0.0])).tolist())
    assert code in bins.atoms
    assert bins.codes(np.array([np.nextafter(0.0, 1)]))[0] != code
    assert bins.positions[code] == 0.0


@pytest.mark.parametrize(("value", "spread"), [(7.0, 7.0), (0.0, 1.0), (-3.0, 3.0), (1e300, 1e300), (5e-324, 2e-302)])
def test_a_constant_column_has_the_spread_of_its_value(value: float, spread: float) -> None:
    """Or 1, if that is 0: so a hundred times the value can be told from ten times."""
    bins = bins_of(*[value] * 100)
    assert bins.spread == pytest.approx(spread, rel=0.2)
    codes = bins.codes(np.array([value, np.nextafter(value, np.inf), value + 10 * spread, value + 100 * spread]))
    assert len(set(codes.tolist())) == 4
    assert codes[0] in bins.atoms


@pytest.mark.parametrize("sentinel", [-1.0, 999_999_999.0, 1e300])
@pytest.mark.parametrize("share", [0.0002, 0.02, 0.05])
def test_a_sentinel_does_not_change_the_spread(sentinel: float, share: float) -> None:
    """That is the deviation of the other values, and their median is the center."""
    values = np.random.default_rng(1).normal(90.8, 4.0, size=5000)
    values[: int(5000 * share)] = sentinel
    bins = make_numeric_bins("x", values)
    assert bins.spread == pytest.approx(4.0, rel=0.1)
    assert bins.center == pytest.approx(90.8, abs=0.5)


@pytest.mark.parametrize("zeros", [0.6, 0.8, 0.92, 0.97, 0.9985])
def test_a_column_of_many_zeros_takes_the_next_wider_range(zeros: float) -> None:
    """The spread is that of the values, not 1 and not 0."""
    values = np.zeros(10_000)
    values[int(10_000 * zeros) :] = np.random.default_rng(1).uniform(50, 100, size=10_000 - int(10_000 * zeros))
    assert 5 < make_numeric_bins("x", values).spread < 60


def test_continuous_values_fill_the_quantile_bins_evenly() -> None:
    """Of 25,600 distinct values no bin holds more than a hundred and one."""
    values = np.random.default_rng(1).normal(size=25_600)
    bins = make_numeric_bins("x", values)
    counts = np.bincount(bins.codes(values), minlength=bins.bins)
    assert counts.max() <= 101
    assert (counts > 0).sum() >= BINS


def test_values_of_any_size_have_finite_edges() -> None:
    """Also the largest and smallest numbers that there are."""
    largest = float(np.finfo(np.float64).max)
    for sample in ([largest] * 3, [-largest, largest], [5e-324, 1e-323, 0.0], [1e15, 1e15 + 0.125, 1e15 + 0.25]):
        bins = bins_of(*sample)
        assert np.isfinite(bins.edges).all()
        assert bins.unit > 0


def test_without_any_value_the_bins_are_those_of_zero() -> None:
    """A column that is empty in the sample."""
    assert make_numeric_bins("x", np.zeros(0)).edges.tolist() == bins_of(0.0).edges.tolist()
