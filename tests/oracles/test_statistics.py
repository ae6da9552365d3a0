"""Statistics against independent ones: scipy where it has them, slow loops where not, and the raw values' own.

The tolerance of 1e-9 is that of another order of adding; the bounds against raw values are those of the docstrings.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from monitor.events import Float64s, Int64s
from monitor.stats.chi2 import chi2, cramers_v
from monitor.stats.distance import ks, wasserstein
from monitor.stats.divergence import hellinger, js_distance, psi
from monitor.stats.moments import moments
from monitor.stats.quantiles import quantiles

ONE = np.array(1.0)
count = st.one_of(st.integers(0, 5), st.integers(0, 100_000))


@st.composite
def histograms(draw: st.DrawFn) -> tuple[Int64s, Int64s]:
    """Two histograms of 1 to 40 bins, neither empty."""
    bins = draw(st.integers(1, 40))
    r, c = (np.array(draw(st.lists(count, min_size=bins, max_size=bins)), dtype=np.int64) for _ in range(2))
    assume(r.sum() > 0)
    assume(c.sum() > 0)
    return r, c


def close(ours: object, other: float) -> bool:
    return math.isclose(float(ours), other, rel_tol=1e-9, abs_tol=1e-9)  # type: ignore[arg-type]


@given(histograms())
def test_psi_is_that_of_a_loop(pair: tuple[Int64s, Int64s]) -> None:
    """PSI with half a count added to each bin."""
    r, c = (counts.tolist() for counts in pair)
    slow = 0.0
    for a, b in zip(r, c, strict=True):
        p = (a + 0.5) / (sum(r) + 0.5 * len(r))
        q = (b + 0.5) / (sum(c) + 0.5 * len(c))
        slow += (q - p) * math.log(q / p)
    assert close(psi(*pair), slow)


@given(histograms())
def test_js_distance_is_scipys(pair: tuple[Int64s, Int64s]) -> None:
    """Base 2; scipy's square is compared where its own root would magnify its rounding."""
    r, c = pair
    theirs = float(jensenshannon(r, c, base=2))
    ours = float(js_distance(r, c))
    assert close(ours, theirs) or close(ours * ours, theirs * theirs)
    assert 0.0 <= ours <= 1.0 + 1e-12


@given(histograms())
def test_js_distance_is_that_of_an_exact_loop(pair: tuple[Int64s, Int64s]) -> None:
    """Against a loop with math.fsum, to 1e-9 in the distance itself."""
    r, c = (counts.tolist() for counts in pair)
    terms = []
    for a, b in zip(r, c, strict=True):
        p, q = a / sum(r), b / sum(c)
        terms += [x * math.log(2 * x / (p + q)) for x in (p, q) if x > 0]
    assert close(js_distance(*pair), math.sqrt(max(math.fsum(terms), 0.0) / (2 * math.log(2))))


@given(histograms())
def test_hellinger_is_that_of_a_loop(pair: tuple[Int64s, Int64s]) -> None:
    """From shares, term by term."""
    r, c = (counts.tolist() for counts in pair)
    terms = [(math.sqrt(a / sum(r)) - math.sqrt(b / sum(c))) ** 2 for a, b in zip(r, c, strict=True)]
    assert close(hellinger(*pair), math.sqrt(math.fsum(terms) / 2))


@given(histograms())
def test_chi2_is_scipys_on_the_contingency_table(pair: tuple[Int64s, Int64s]) -> None:
    """Statistic, degrees of freedom, p-value and effect size; bins that are empty on both sides dropped."""
    table = np.array(pair)
    table = table[:, table.sum(axis=0) > 0]
    theirs = stats.chi2_contingency(table, correction=False)
    statistic, degrees, p_value = chi2(*pair)
    assert close(statistic, float(theirs.statistic))
    assert int(degrees) == theirs.dof
    assert math.isclose(float(p_value), float(theirs.pvalue), rel_tol=1e-6, abs_tol=1e-9)
    effect = stats.contingency.association(table, method="cramer") if table.shape[1] > 1 else 0.0
    assert close(cramers_v(*pair), float(effect))


@settings(max_examples=50)
@given(st.lists(st.integers(0, 15), min_size=3, max_size=80), st.lists(st.integers(0, 15), min_size=3, max_size=80))
def test_ks_on_codes_is_scipys(reference: list[int], current: list[int]) -> None:
    """The codes themselves as values: the same distance as the raw two-sample test."""
    r, c = (np.bincount(codes, minlength=16) for codes in (reference, current))
    assert close(ks(r, c), float(stats.ks_2samp(reference, current, method="asymp").statistic))


@given(histograms())
def test_ks_is_that_of_a_loop(pair: tuple[Int64s, Int64s]) -> None:
    """Largest gap of the cumulative shares."""
    r, c = (counts.tolist() for counts in pair)
    gaps = [abs(sum(r[: i + 1]) / sum(r) - sum(c[: i + 1]) / sum(c)) for i in range(len(r))]
    assert close(ks(*pair), max(gaps))


@given(histograms(), st.floats(0.01, 100.0), st.integers(0, 2**32 - 1))
def test_wasserstein_is_scipys_with_weights(pair: tuple[Int64s, Int64s], scale: float, seed: int) -> None:
    """Each bin's count as the weight of its position, over the scale."""
    r, c = pair
    positions = np.sort(np.random.default_rng(seed).normal(0.0, 10.0, len(r)))
    theirs = float(stats.wasserstein_distance(positions, positions, r, c)) / scale
    assert close(wasserstein(r, c, positions, np.array(scale)), theirs)


@given(
    st.lists(st.integers(-(2**18), 2**18), min_size=1, max_size=200),
    st.floats(-1e6, 1e6),
    st.floats(1e-6, 1e3),
)
def test_moments_are_those_of_the_values(units: list[int], center: float, unit: float) -> None:
    """Mean and population variance of center + unit * q."""
    n, sums, squares = (np.array(value) for value in (len(units), sum(units), sum(q * q for q in units)))
    mean, variance = moments(n, sums, squares, np.array(center), np.array(unit))
    exact_mean = math.fsum(units) / len(units)
    assert close(mean, center + unit * exact_mean)
    slow = unit * unit * math.fsum((q - exact_mean) ** 2 for q in units) / len(units)
    assert math.isclose(float(variance), slow, rel_tol=1e-9, abs_tol=1e-12 * unit * unit)


@given(histograms(), st.sampled_from([0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0]))
def test_quantiles_are_those_of_a_loop(pair: tuple[Int64s, Int64s], q: float) -> None:
    """Walks to the bin in which the cumulative count passes q * n, then along it."""
    counts = pair[0].tolist()
    edges = np.arange(len(counts) + 1, dtype=np.float64) ** 2 / 4
    wanted, below, slow = q * sum(counts), 0, math.nan
    for number, low, high in zip(counts, edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        if number > 0 and below + number >= wanted:
            slow = low + (wanted - below) / number * (high - low)
            break
        below += number
    assert close(quantiles(pair[0], edges[:-1], edges[1:], q), slow)


def raw_pair(seed: int) -> tuple[Float64s, Float64s, Float64s]:
    """Two raw samples and edges that cover both: shifted normals, or lognormals with some repeated values."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(0.0, 1.0, 400), rng.normal(rng.choice([0.0, 0.3, 1.0]), 1.2, 300)
    if seed % 2:
        x, y = (np.asarray(np.round(np.exp(v), seed % 4), dtype=np.float64) for v in (x, y))
    low, high = min(x.min(), y.min()), np.nextafter(max(x.max(), y.max()), np.inf)
    inner = np.quantile(x, np.linspace(0.0, 1.0, int(rng.integers(3, 60))))
    return x, y, np.unique([low, *inner, high])


def binned(values: Float64s, edges: Float64s) -> Int64s:
    """Counts of the half-open bins [edge, next edge)."""
    return np.bincount(np.searchsorted(edges, values, side="right") - 1, minlength=len(edges) - 1)


@pytest.mark.parametrize("seed", range(40))
def test_binned_ks_is_below_the_raw_one_by_at_most_the_largest_bin_mass(seed: int) -> None:
    """The bound that the docstring of `ks` states."""
    x, y, edges = raw_pair(seed)
    r, c = binned(x, edges), binned(y, edges)
    raw = float(stats.ks_2samp(x, y, method="asymp").statistic)
    largest = max(float((counts / counts.sum()).max()) for counts in (r, c))
    assert -1e-12 <= raw - float(ks(r, c)) <= largest + 1e-12


@pytest.mark.parametrize("seed", range(40))
def test_binned_wasserstein_differs_by_at_most_the_way_to_the_positions(seed: int) -> None:
    """The bound that the docstring of `wasserstein` states, and the coarser one that follows from it."""
    x, y, edges = raw_pair(seed)
    positions = (edges[:-1] + edges[1:]) / 2
    ways = [np.abs(v - positions[np.searchsorted(edges, v, side="right") - 1]) for v in (x, y)]
    gap = abs(
        float(stats.wasserstein_distance(x, y)) - float(wasserstein(binned(x, edges), binned(y, edges), positions, ONE))
    )
    assert gap <= sum(float(way.mean()) for way in ways) + 1e-12
    assert gap <= 2 * max(float(way.max()) for way in ways) + 1e-12


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("q", [0.05, 0.5, 0.99])
def test_binned_quantile_lies_in_the_bin_of_the_raw_one(seed: int, q: float) -> None:
    """The bound that the docstring of `quantiles` states: one bin's width."""
    x, _, edges = raw_pair(seed)
    raw = float(np.quantile(x, q, method="inverted_cdf"))
    ours = float(quantiles(binned(x, edges), edges[:-1], edges[1:], q))
    low, high = next((low, high) for low, high in pairwise(edges.tolist()) if low <= raw < high)
    assert low <= ours <= high
