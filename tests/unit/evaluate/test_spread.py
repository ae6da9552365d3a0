"""reference_mean and reference_std: what windows of that size measure if nothing has changed."""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from benchmarks.reference_spread import above, dependent, few_values, independent, measure_of
from monitor.config.metrics import METRICS, QUANTILES
from monitor.evaluate.dispersion import Dispersion
from monitor.evaluate.measure import DIVERGENCES, RATES, Measure
from monitor.evaluate.reference import build_reference
from monitor.evaluate.spread import ReferenceSpread, standing_sizes
from monitor.events import Float64s, Int64s
from monitor.panes.grid import make_grid
from monitor.stats.distance import ks, wasserstein
from tests.unit.making import FEATURES, rows

COLUMNS = 20


@cache
def spread_of(rows_of_reference: int, columns: int = COLUMNS) -> tuple[Measure, ReferenceSpread]:
    """A reference of standard normal values, each column one of its own."""
    measure = measure_of(independent(columns, 11)(rows_of_reference))
    return measure, ReferenceSpread(measure)


def windows_of(size: int, number: int, seed: int, shift: float = 0.0) -> list[Float64s]:
    values = independent(COLUMNS, seed)
    return [values(size) + shift for _ in range(number)]


# ---------------------------------------------------------------------- what rules make of it


@pytest.mark.parametrize(("reference", "window"), [(500, 500), (500, 5000), (5000, 500), (20_000, 2000)])
def test_a_window_without_drift_is_seldom_above_mean_plus_three_deviations(reference: int, window: int) -> None:
    """At most 3 % of the windows in the mean over the references, for every size of either side."""
    measure, spread = spread_of(reference)
    shares = above(measure, spread, windows_of(window, 40, seed=5))
    assert max(shares.values()) <= 0.03


@pytest.mark.parametrize(
    ("reference", "window"), [(500, 5000), (5000, 500), (2000, 20_000), (100_000, 500), (100_000, 5000)]
)
def test_columns_of_few_values_do_not_drift_by_themselves(reference: int, window: int) -> None:
    """Two to eight values, in which most coarse bins are empty: a chi-square of one degree passes in 2 %."""
    values = few_values(40, 3)
    measure = measure_of(values(reference))
    shares = above(measure, ReferenceSpread(measure), [values(window) for _ in range(10)])
    assert max(shares.values()) <= 0.03


def test_a_small_shift_is_found() -> None:
    """0.3 standard deviations, with the default reference of 5,000 rows and windows of 2,000."""
    measure, spread = spread_of(5000)
    shares = above(measure, spread, windows_of(2000, 20, seed=6, shift=0.3))
    assert min(shares.values()) >= 0.95


def test_a_larger_window_has_a_lower_threshold() -> None:
    """Mean and deviation fall with the size of the window, down to what the reference's own rows leave."""
    _, spread = spread_of(5000)
    for metric in ("psi", "ks"):
        found = [spread.of(metric, ["c0"], size)["c0"] for size in (128, 512, 2048, 8192, 100_000)]
        thresholds = [mean + 3 * deviation for mean, deviation in found]
        assert thresholds == sorted(thresholds, reverse=True)
        assert thresholds[-1] > thresholds[0] * (100 / 5000) / 2


def test_rows_that_depend_on_each_other_raise_the_threshold() -> None:
    """AR(1) with 0.9: some 60 % of windows without drift would be above it if rows counted as independent."""
    values = dependent(20, 3)
    measure = measure_of(values(5000))
    shares = above(measure, ReferenceSpread(measure), [values(2000) for _ in range(20)])
    assert max(shares.values()) <= 0.2


def test_windows_of_dependent_rows_are_seldom_above_what_stretches_of_the_reference_measure() -> None:
    """AR(1) with 0.9 in windows of 500: by the shape that independent rows have, 5 to 9 % would be above it."""
    values = dependent(20, 3)
    measure = measure_of(values(5000))
    shares = above(measure, ReferenceSpread(measure), [values(500) for _ in range(60)])
    assert max(shares.values()) <= 0.03


def test_independent_rows_have_no_overdispersion() -> None:
    """Of forty columns at most a few, by chance: an estimate counts only beyond twice its error."""
    measure, _ = spread_of(5000, 40)
    for kind in ("shares", "ranks", "mean"):
        factors = Dispersion(measure).of(kind, 500)
        assert (factors > 1).sum() <= 4
        assert (factors[factors > 1] > 1.3).all()


# ---------------------------------------------------------------------- against independent ways


@cache
def of_kind(kind: str, reference: int) -> tuple[Measure, ReferenceSpread]:
    """A reference of normal values, of few values, or of few that are hardly ever something else."""
    if kind == "normal":
        return spread_of(reference)
    values = few_values(COLUMNS, 12)(reference)
    if kind == "rare":
        values[:: reference // 6, :] = 0.5
    measure = measure_of(values)
    return measure, ReferenceSpread(measure)


@cache
def numpys_pairs(kind: str, window: int, reference: int) -> dict[str, Float64s]:
    """What 2,000 pairs of numpy's multinomial measure, both sides with the reference's shares."""
    measure, _ = of_kind(kind, reference)
    rng = np.random.default_rng(4)
    counts, width = measure.reference_bins[0], measure.grid.layout.width
    sides = [rng.multinomial(size, counts / counts.sum(), 2000) for size in (reference, window)]
    flat = [np.zeros((2000, width), dtype=np.int64) for _ in sides]
    for table, side in zip(flat, sides, strict=True):
        place = measure.grid.layout.bins[0]
        table[:, place] = side[:, : place.stop - place.start]  # the others are padding
    group = next(group for group, _ in measure.groups if 0 in group.members)
    coarse = [group.merge(table)[:, group.members.index(0)] for table in flat]
    scores = {metric: divergence(*coarse) for metric, divergence in DIVERGENCES.items()}
    there, here = sides
    scores["ks"] = ks(there, here)
    scores["wasserstein"] = wasserstein(there, here, measure.padded.positions[0], measure.grid.spreads[:1])
    binned = variance_of(np.stack([counts, *here]), measure.padded.positions[0])
    scores["std"] = np.sqrt(binned[1:] / binned[0]) * measure.reference_std[0]
    return scores


def variance_of(counts: Int64s, positions: Float64s) -> Float64s:
    """Of values at the positions of their bins."""
    n = counts.sum(axis=-1)
    mean = counts @ positions / n
    return np.asarray(counts @ positions**2 / n - mean**2)


@pytest.mark.parametrize("metric", [*DIVERGENCES, "ks", "wasserstein", "std"])
@pytest.mark.parametrize("window", [700, 40_000])
@pytest.mark.parametrize("kind", ["normal", "few", "rare"])
def test_draws_measure_what_those_of_a_multinomial_do(metric: str, window: int, kind: str) -> None:
    """With 700 rows between two standing sizes, with 40,000 made from fewer draws, as is the reference of 30,000.

    The tolerances are four times the error of 400 draws: the mean's is a twentieth of the deviation, the deviation's
    goes by the fourth moment (4 % of itself where that is a normal distribution's), and numpy's draws are given 5 %.
    """
    _, spread = of_kind(kind, 30_000)
    true = numpys_pairs(kind, window, 30_000)[metric]
    mean, deviation = spread.of(metric, ["c0"], window)["c0"]
    assert mean == pytest.approx(float(true.mean()), abs=4 * float(true.std()) / 20)
    kurtosis = float(((true - true.mean()) ** 4).mean() / true.var() ** 2)
    assert deviation == pytest.approx(float(true.std()), rel=0.05 + 4 * math.sqrt((kurtosis - 1) / 4 / 400))


@pytest.mark.parametrize("window", [1, 2, 150, 2000, 9000])
def test_means_and_rates_go_by_their_formulas(window: int) -> None:
    """sigma / sqrt(n), and a binomial share of n and of the reference's cells, of what is left for the column."""
    measure, spread = MIXED, ReferenceSpread(MIXED)
    dispersion = Dispersion(measure)
    columns = measure.columns(measure.reference.total)
    for place, column in enumerate(measure.grid.series):
        for metric in (*RATES, "mean"):
            found = spread.of(metric, [column], window)
            assert (column in found) == (metric in columns[column])
            if column not in found:
                continue
            mean, deviation = found[column]
            cells = 1.0 if metric in ("missing_rate", "invalid_rate") else float(measure.valid_share[place])
            value, overdispersion = columns[column][metric], dispersion.of(metric, window)[place]
            assert mean == pytest.approx(value, rel=1e-9)
            if metric == "mean":
                variance = columns[column]["std"] ** 2 / (window * cells)
            else:
                there = cells * len(MIXED_ROWS.offset)
                likely = (round(value * there) + 0.5) / (there + 1)
                variance = likely * (1 - likely) * (1 / (window * cells) + 1 / there)
            assert deviation == pytest.approx(math.sqrt(variance * overdispersion), rel=1e-9)


# ---------------------------------------------------------------------- promises

MIXED_ROWS = rows(list(range(700)), list(range(700)))
MIXED_GRID = make_grid(MIXED_ROWS, FEATURES)
MIXED = Measure(MIXED_GRID, build_reference(MIXED_GRID, MIXED_ROWS, "test"))
"""Two numeric columns and a categorical one, of which one cell in nine is not valid."""
OF_COLUMNS = [metric.name for metric in METRICS.values() if metric.subject == "column" and metric.name != "quantile"]


@pytest.mark.parametrize("metric", [*OF_COLUMNS, *(f"quantile_{q}" for q in QUANTILES)])
def test_every_metric_of_a_column_has_a_spread(metric: str) -> None:
    """Those of the columns that the reference itself has it for; what else is asked for is left out."""
    spread = ReferenceSpread(MIXED)
    columns = MIXED.columns(MIXED.reference.total)
    found = spread.of(metric, ["x", "y", "c", "no such column"], 300)
    assert set(found) == {column for column, series in columns.items() if metric in series}
    for mean, deviation in found.values():
        assert math.isfinite(mean)
        assert 0.0 <= deviation < math.inf


def test_what_is_no_metric_of_columns_has_none() -> None:
    """Neither names nor columns that nobody knows, nor a window without rows."""
    spread = ReferenceSpread(MIXED)
    assert spread.of("no such metric", ["x"], 300) == {}
    assert spread.of("events", ["x"], 300) == {}
    assert spread.of("psi", ["no such column"], 300) == {}
    assert spread.of("psi", [], 300) == {}
    assert spread.of("psi", ["x"], 0) == {}


@pytest.mark.parametrize("metric", ["psi", "ks", "wasserstein", "quantile_0.5"])
def test_a_columns_spread_does_not_depend_on_what_else_is_asked(metric: str) -> None:
    """Asked alone, with others, in another order, or after other sizes: the same to the last bit."""
    alone = {column: ReferenceSpread(MIXED).of(metric, [column], 300).get(column) for column in ("x", "y", "c")}
    spread = ReferenceSpread(MIXED)
    spread.of(metric, ["y"], 299)
    together = spread.of(metric, ["c", "y", "x"], 300)
    assert {column: together.get(column) for column in alone} == alone


def test_sizes_stand_two_to_an_octave_and_the_rest_lies_between() -> None:
    """Interpolated in 1/n: linear there between the sizes, and equal to what was drawn at each."""
    standing = [size for size in range(1, 100_000) if standing_sizes(size) == (size, size)]
    assert standing[:8] == [1, 2, 3, 4, 6, 8, 12, 16]
    assert standing[-4:] == [32_768, 49_152, 65_536, 98_304]
    for before, after in pairwise(standing):
        assert all(standing_sizes(size) == (before, after) for size in range(before + 1, after))
    spread = spread_of(5000)[1]
    low, middle, high = (spread.of("psi", ["c0"], size)["c0"] for size in (512, 600, 768))
    share = (1 / 600 - 1 / 768) / (1 / 512 - 1 / 768)
    for a, b, c in zip(low, middle, high, strict=True):
        assert b == pytest.approx(c + share * (a - c), rel=1e-9)


def test_the_draws_are_these() -> None:
    """To the last digit, on every machine and with every numpy: integer draws, and IEEE operations on them."""
    spread = ReferenceSpread(MIXED)
    found = {metric: spread.of(metric, ["x"], 300)["x"] for metric in ("psi", "ks", "wasserstein", "quantile_0.5")}
    assert found == {
        "ks": (0.0590223251354, 0.0188082288111),
        "psi": (0.0458675578491, 0.0216374733414),
        "quantile_0.5": (7.11822857143, 0.428332715244),
        "wasserstein": (0.062293035119, 0.0269802480265),
    }
