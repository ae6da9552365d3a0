"""Every series of a window against scipy and slow loops over the same codes; spreads, coarse bins and ranks."""

from __future__ import annotations

import bisect
import json
import math
import random
from collections import Counter
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from benchmarks.null_categories import CATEGORY, of_categories, shares_of, tripled
from monitor.config.metrics import COMPARED, METRICS, QUANTILES
from monitor.drift.moments import moments_of, pack_moments
from monitor.drift.scores import ScoreTables
from monitor.errors import FormatError
from monitor.evaluate.measure import DIVERGENCES, OF_CELLS, Measure
from monitor.evaluate.ranks import rank_table
from monitor.evaluate.reference import build_reference, decode_reference, encode_reference
from monitor.evaluate.spread import ReferenceSpread
from monitor.events import Rows, Series
from monitor.panes.coarse import BINS, CoarseBins
from monitor.panes.grid import MAX_CATEGORIES, CategoryBins, encode_rows, left_out_codes, make_grid
from monitor.panes.numeric_bins import make_numeric_bins
from monitor.panes.rows import take
from monitor.stats.ranks import mid_ranks, surprisal_ranks
from tests.unit.making import FEATURES, rows

CLOSE = 1e-9
REFERENCE_ROWS = rows(list(range(700)), list(range(700)))
GRID = make_grid(REFERENCE_ROWS, FEATURES)
REFERENCE = build_reference(GRID, REFERENCE_ROWS, "test")
CODES = encode_rows(GRID, REFERENCE_ROWS)[0]
MEASURE = Measure(GRID, REFERENCE)


def a_window(seed: int) -> Rows:
    rng = random.Random(seed)
    offsets = sorted(rng.sample(range(rng.choice([900, 30_000])), rng.choice([1, 20, 400])))
    return rows(offsets, offsets)


def valid(of: Rows, column: int) -> np.ndarray:
    return np.asarray(of.numeric[of.numeric_states[:, column] == 0, column])


def scores(window: Rows, column: str) -> Series:
    return MEASURE.columns(encode_rows(GRID, window)[1])[column]


def ten_bins(window: Rows, j: int) -> tuple[list[int], list[int]]:
    """Counts of reference and window on the coarse bins, row by row."""
    bins = GRID.numeric[j]
    starts = MEASURE._coarse[j].starts.tolist()
    tables = []
    for values in (valid(REFERENCE_ROWS, j), valid(window, j)):
        counts = [0] * len(starts)
        for code in bins.codes(values).tolist():
            counts[sum(start <= code for start in starts) - 1] += 1
        tables.append(counts)
    return tables[0], tables[1]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("column", "j"), [("x", 0), ("y", 1)])
def test_divergences_are_those_of_ten_bins(seed: int, column: str, j: int) -> None:
    """PSI by a loop, Jensen-Shannon and chi-square by scipy, Hellinger by its formula."""
    window = a_window(seed)
    reference, current = ten_bins(window, j)
    if not sum(current):
        assert "psi" not in scores(window, column)
        return
    got = scores(window, column)
    k, n, m = len(reference), sum(reference), sum(current)
    psi = 0.0
    for r, c in zip(reference, current, strict=True):
        p, q = (r + 0.5) / (n + 0.5 * k), (c + 0.5) / (m + 0.5 * k)
        psi += (q - p) * math.log(q / p)
    assert got["psi"] == pytest.approx(psi, rel=CLOSE, abs=CLOSE)
    p_all, q_all = np.array(reference) / n, np.array(current) / m
    # scipy's square root turns a rounding of 1e-17 into 1e-8 where shares nearly agree
    assert got["js_distance"] == pytest.approx(jensenshannon(p_all, q_all, base=2), rel=CLOSE, abs=1e-7)
    gap = np.sqrt(p_all) - np.sqrt(q_all)
    assert got["hellinger"] == pytest.approx(math.sqrt(float((gap * gap).sum()) / 2), rel=CLOSE, abs=CLOSE)
    table = np.array([reference, current])
    statistic = stats.chi2_contingency(table[:, table.sum(axis=0) > 0], correction=False).statistic
    assert got["chi2"] == pytest.approx(statistic, rel=CLOSE, abs=CLOSE)
    assert got["cramers_v"] == pytest.approx(math.sqrt(statistic / (n + m)), rel=CLOSE, abs=CLOSE)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("column", "j"), [("x", 0), ("y", 1)])
def test_distances_and_moments_are_those_of_the_codes(seed: int, column: str, j: int) -> None:
    """Kolmogorov-Smirnov and Wasserstein by scipy on bin positions; moments within half a unit of the raw ones."""
    window = a_window(seed)
    bins, values, sample = GRID.numeric[j], valid(window, j), valid(REFERENCE_ROWS, j)
    if len(values) == 0:
        return
    got = scores(window, column)
    there, here = bins.codes(sample), bins.codes(values)
    assert got["ks"] == pytest.approx(stats.ks_2samp(there, here, method="asymp").statistic, rel=CLOSE, abs=CLOSE)
    way = stats.wasserstein_distance(bins.positions[there], bins.positions[here])
    apart = abs(float(values.mean() - sample.mean()))
    assert got["wasserstein"] == pytest.approx(max(way, apart) / bins.spread, rel=1e-8, abs=2e-6)
    assert got["mean"] == pytest.approx(values.mean(), abs=bins.unit)
    assert got["std"] == pytest.approx(values.std(), abs=bins.unit)
    assert got["beyond_rate"] == 0
    ordered = np.sort(sample)
    low, high = (ordered[(len(ordered) - 1) * at // 1000] for at in (1, 999))
    outside = ((values < low) | (values > high)).mean()
    assert got["out_of_grid_rate"] == pytest.approx(outside, rel=CLOSE, abs=CLOSE)
    lows, highs = bins.bounds
    for q in (0.05, 0.25, 0.5, 0.75, 0.95, 0.99):
        true = float(np.quantile(values, q, method="inverted_cdf"))
        code = int(bins.codes(np.array([true]))[0])
        least = min(lows[code], float(values.mean() + values.std() * math.sqrt(q / (1 - q))))
        most = max(highs[code], float(values.mean() - values.std() * math.sqrt((1 - q) / q)))
        assert least - 2 * bins.unit <= got[f"quantile_{q}"] <= most + 2 * bins.unit


@pytest.mark.parametrize("seed", range(12))
def test_rates_count_cells_by_state(seed: int) -> None:
    """Missing is null or absent, invalid all other states; a new category is one that the grid does not know."""
    window = a_window(seed)
    n = len(window)
    for j, column in enumerate(("x", "y")):
        states = window.numeric_states[:, j].tolist()
        got = scores(window, column)
        assert got["missing_rate"] == pytest.approx(sum(s in (1, 2) for s in states) / n, abs=CLOSE)
        assert got["invalid_rate"] == pytest.approx(sum(s > 2 for s in states) / n, abs=CLOSE)
        assert "new_category_rate" not in got
    got = scores(window, "c")
    known = set(GRID.categorical[0].values)
    cells = [v for v, s in zip(window.categorical[0], window.categorical_states[:, 0], strict=True) if s == 0]
    if cells:
        assert got["new_category_rate"] == pytest.approx(sum(v not in known for v in cells) / len(cells), abs=CLOSE)
    assert not {"ks", "mean", "quantile_0.5", "wasserstein"} & set(got)


def test_a_window_of_invalid_cells_has_rates_only() -> None:
    """No score is made of nothing."""
    window = take(rows([0, 9, 18, 36, 45], [0] * 5), np.arange(1, 5))
    assert (window.numeric_states[:, 0] > 0).sum() >= 3
    window = take(window, window.numeric_states[:, 0] > 0)
    assert set(scores(window, "x")) == {"missing_rate", "invalid_rate"}


def test_a_reference_is_cut_into_slices_in_order_of_time() -> None:
    """Of at least 50 rows, at most 24; 700 rows make 14, and their sum is what windows are compared with."""
    slices = [take(REFERENCE_ROWS, part) for part in np.array_split(np.arange(700), 14)]
    assert [part.events for part in REFERENCE.slices] == [len(part) for part in slices]
    for part, rows_of_it in zip(REFERENCE.by_slice, slices, strict=True):
        assert (part == encode_rows(GRID, rows_of_it)[1]).all()
    total = REFERENCE.total.copy()
    GRID.layout.normalise(total)
    assert (total == encode_rows(GRID, REFERENCE_ROWS)[1]).all()


def test_a_reference_comes_back_from_its_json() -> None:
    """With the grid that it stands on, and the same digest."""
    again, grid = decode_reference(encode_reference(REFERENCE), [GRID])
    assert (again, grid, again.digest) == (REFERENCE, GRID, REFERENCE.digest)
    assert encode_reference(again) == encode_reference(REFERENCE)


def test_a_reference_holds_the_moments_of_its_rows() -> None:
    """Those of the scores that the core takes, which go by the counts of all its rows."""
    tables = ScoreTables(GRID, REFERENCE.total)
    expected = moments_of(tables, [CODES])
    assert REFERENCE.moments is not None
    assert pack_moments(REFERENCE.moments) == pack_moments(expected)


def test_the_moments_of_a_reference_are_of_its_rows_as_it_counts_them() -> None:
    """A value that only knows itself is new in both; else every later row would differ from them."""
    ids = [str(n % 600) if state == 0 else "" for n, state in enumerate(REFERENCE_ROWS.categorical_states[:, 0])]
    rows_of_ids = replace(REFERENCE_ROWS, categorical=(ids,))
    grid = make_grid(rows_of_ids, FEATURES)
    reference = build_reference(grid, rows_of_ids, "test")
    codes = encode_rows(grid, rows_of_ids)[0]
    expected = moments_of(ScoreTables(grid, reference.total), [left_out_codes(grid, codes)])
    assert reference.moments is not None
    assert pack_moments(reference.moments) == pack_moments(expected)
    assert (left_out_codes(grid, codes) != codes).any()


def test_the_moments_of_a_reference_do_not_depend_on_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five rows a step give the same entry."""
    monkeypatch.setattr("monitor.evaluate.reference.CELLS_A_STEP", 5 * len(GRID.series))
    assert encode_reference(build_reference(GRID, REFERENCE_ROWS, "test")) == encode_reference(REFERENCE)


def test_a_reference_of_an_older_release_is_read_and_has_no_moments() -> None:
    """It keeps the digest that messages have named it by."""
    older = replace(REFERENCE, moments=None)
    text = encode_reference(older)
    assert json.loads(text)["format"] == "streamdrift.reference/2"
    again, _ = decode_reference(text, [GRID])
    assert (again.moments, again.digest) == (None, older.digest)


def test_moments_of_another_grid_are_refused() -> None:
    """One series less, and they would be read as those of other columns."""
    value, narrow = json.loads(encode_reference(REFERENCE)), CODES[:, :2]
    narrow_grid = replace(GRID, categorical=())
    narrow_tables = ScoreTables(narrow_grid, narrow_grid.layout.count(narrow))
    value["moments"] = msgspec.to_builtins(pack_moments(moments_of(narrow_tables, [narrow])))
    with pytest.raises(FormatError, match="does not fit its grid"):
        decode_reference(json.dumps(value), [GRID])


# ---------------------------------------------------------------------- coarse bins and ranks

samples = st.lists(
    st.sampled_from([0.0, 1.0]) | st.floats(-5, 5, allow_nan=False, allow_subnormal=False), min_size=1, max_size=400
)


@settings(max_examples=60)
@given(samples)
def test_coarse_bins_are_runs_of_whole_grid_bins(sample: list[float]) -> None:
    """At most ten, and one for ten rows; ascending from 0; counts add up; each holds its part and one grid bin more."""
    bins = make_numeric_bins("x", np.array(sample))
    counts = np.bincount(bins.codes(np.array(sample) + 0.0), minlength=bins.bins)
    coarse = CoarseBins(bins, counts)
    starts = coarse.starts.tolist()
    assert starts[0] == 0
    assert starts == sorted(set(starts))
    parts = min(BINS, max(1, len(sample) // 10))
    assert len(coarse) <= parts
    merged = coarse.merge(counts)
    assert merged.sum() == len(sample)
    largest = max(counts.tolist())
    assert (merged <= len(sample) / parts + largest).all()
    shown = coarse.histogram(counts, counts)
    assert len(shown.edges) == len(coarse) + 1
    assert sum(shown.reference) == pytest.approx(1, abs=1e-5)  # shares are shown to six digits
    assert list(shown.edges) == sorted(shown.edges, key=float)


@pytest.mark.parametrize("known", [0, 1, 8, 9, 10, 30, 400])
@pytest.mark.parametrize("each", [1, 3, 40])
def test_frequent_categories_stand_alone_and_the_others_share_bins(known: int, each: int) -> None:
    """Those of 30 rows and 5 %; the others by digest, in bins of at least 20 rows; the last has the unknown ones."""
    names = tuple(f"v{i:03d}" for i in range(known))
    reference = np.array([each] * known + [5])
    coarse = CoarseBins(CategoryBins("c", names, known, known, 0), reference)
    merged = coarse.merge(reference).tolist()
    own = known if each >= 30 and 20 * each >= reference.sum() else 0
    shared = merged[own:-1]
    assert merged[:own] == [each] * own
    assert sum(merged) == reference.sum()
    assert len(shared) <= max(1, max(BINS, min(40, reference.sum() // 125)) - 1 - own)
    assert all(rows >= 20 for rows in shared)
    assert bool(shared) == (own < known and each * known >= 20)
    shown = coarse.histogram(reference, reference)
    assert len(shown.edges) == len(shown.current) == own + min(len(shared), max(1, BINS - 1 - own)) + 1
    assert shown.edges[:own] == names[:own]
    assert shown.edges[-1] == "(new)"
    assert sum(shown.current) == pytest.approx(1, abs=1e-5)
    assert shown.current[-1] == pytest.approx(merged[-1] / sum(merged), abs=1e-6)


@pytest.mark.parametrize(("rows", "most"), [(800, 10), (1249, 10), (1400, 11), (4999, 39), (5000, 40), (80_000, 40)])
def test_a_reference_of_many_rows_affords_more_bins_of_categories(rows: int, most: int) -> None:
    """Ten, and beyond 1,250 rows one for each 125, at most forty, the bin of the new values included."""
    names = tuple(f"v{i:03d}" for i in range(1000))
    reference = np.array([*np.bincount(np.arange(rows) % 1000, minlength=1000), 0])
    assert len(CoarseBins(CategoryBins("c", names, 1000, 1000, 0), reference)) == most


def test_a_bin_that_one_value_has_alone_is_called_by_it() -> None:
    """Also if the value is too rare for a bin of its own."""
    for names, expected in [(("a", "b"), ("a", "b", "(new)")), (("a", "b", "c"), ("a", "(other known)", "(new)"))]:
        reference = np.array([*[2000, 30, 2][: len(names)], 1])
        coarse = CoarseBins(CategoryBins("c", names, len(names), len(names), 0), reference)
        assert coarse.histogram(reference, reference).edges == expected


def test_values_that_share_a_bin_do_not_hide_that_a_tenth_of_them_tripled() -> None:
    """100 values by Zipf's law, 5,000 rows against windows of 2,000: found in nine of ten, whichever values it is."""
    rng = np.random.default_rng(11)
    shares, names = shares_of("zipf", 100), [f"v{k:03d}" for k in range(100)]
    sample = of_categories([names[k] for k in rng.choice(100, 5000, p=shares)])
    grid = make_grid(sample, CATEGORY)
    measure = Measure(grid, build_reference(grid, sample, "test"))
    mean, deviation = ReferenceSpread(measure).of("psi", ["c"], 2000)["c"]
    found = 0
    for _ in range(60):
        values = [names[k] for k in rng.choice(100, 2000, p=tripled(shares, rng))]
        found += measure.columns(encode_rows(grid, of_categories(values))[1])["c"]["psi"] > mean + 3 * deviation
    assert found >= 54


def test_a_row_does_not_make_itself_known() -> None:
    """Each row is known on a grid as it would be on the grid of all other rows: leave one out, by the slow way."""
    rng = random.Random(4)
    for number in (40, 1500):
        values = [f"v{min(int(rng.expovariate(3 / number)), number):04d}" for _ in range(1600)]
        sample = of_categories(values)
        grid = make_grid(sample, CATEGORY)
        reference = build_reference(grid, sample, "test")
        counts, known = Counter(values), 0
        for value, count in counts.items():
            others = sorted((-n, name) for name, n in counts.items() if name != value)
            ahead = bisect.bisect_left(others, (1 - count, value))
            known += count if count > 1 and ahead < MAX_CATEGORIES else 0
        bins = reference.total[grid.layout.bins[0]]
        assert int(bins[:-1].sum()) == known
        assert int(bins.sum()) == len(values)
        assert grid.categorical[0].distinct == len(counts)


def test_even_ids_of_which_a_grid_knows_a_twentieth_do_not_drift() -> None:
    """5,000 rows of 20,000 ids choose 1,000 of them; the reference expects as many new ones as windows have."""
    rng = np.random.default_rng(3)
    sample = of_categories([f"v{k:05d}" for k in rng.integers(0, 20_000, 5000)])
    grid = make_grid(sample, CATEGORY)
    measure = Measure(grid, build_reference(grid, sample, "test"))
    window = encode_rows(grid, of_categories([f"v{k:05d}" for k in rng.integers(0, 20_000, 2000)]))[1]
    got = measure.columns(window)["c"]
    assert got["psi"] < 0.05
    mean, _ = ReferenceSpread(measure).of("new_category_rate", ["c"], 2000)["c"]
    assert mean == pytest.approx(0.95, abs=0.015)


def test_what_a_reference_is_too_small_for_is_undefined() -> None:
    """Of 99 categories there is no divergence, nor a deviation; of 100 there is."""
    for number in (1, 12, 99, 100):
        sample = of_categories(["a", "b", "c", "d"] * 25)
        sample = take(sample, np.arange(number))
        grid = make_grid(sample, CATEGORY)
        measure = Measure(grid, build_reference(grid, sample, "test"))
        got = measure.columns(encode_rows(grid, of_categories(["a", "b"] * 200))[1])["c"]
        for metric in DIVERGENCES:
            assert (metric in got) == (number >= 100)
            assert (measure.why_undefined(metric, "c", by_reference=False) is None) == (number >= 100)
        for metric in ("psi", "new_category_rate"):
            assert bool(ReferenceSpread(measure).of(metric, ["c"], 300)) == (number >= 100)


@pytest.mark.parametrize("valid_rows", [1, 12, 99, 100, 101])
def test_of_few_numbers_there_is_nothing_but_what_they_are(valid_rows: int) -> None:
    """Of 99 valid ones no divergence and no deviation; moments, quantiles and rates stay. Invalid ones don't count."""
    sample = rows(list(range(300)), list(range(300)))
    places = np.flatnonzero(sample.numeric_states[:, 0] == 0)[:valid_rows]
    sample = take(sample, np.sort(np.concatenate([places, np.flatnonzero(sample.numeric_states[:, 0] != 0)])))
    grid = make_grid(sample, FEATURES)
    measure = Measure(grid, build_reference(grid, sample, "test"))
    spread = ReferenceSpread(measure)
    got = measure.columns(encode_rows(grid, rows(list(range(400)), list(range(400))))[1])["x"]
    is_enough = valid_rows >= 100
    for metric in METRICS.values():
        names = [f"quantile_{q}" for q in QUANTILES] if metric.name == "quantile" else [metric.name]
        if metric.subject != "column" or metric.name == "new_category_rate":
            continue
        compares, of_cells = metric.name in COMPARED, metric.name in OF_CELLS
        for name in names:
            assert (name in got) == (is_enough or not compares)
            assert bool(spread.of(name, ["x"], 3000)) == (is_enough or of_cells)
        for by_reference in (False, True):
            why = measure.why_undefined(metric.name, "x", by_reference)
            assert (why is None) == (is_enough or not (compares or (by_reference and not of_cells)))


def test_a_reference_in_one_bin_has_no_divergences() -> None:
    """A constant, or ids of which none comes twice: nothing could be compared, and a deviation of 0 would mislead."""
    ids = of_categories([f"v{k}" for k in range(500)])
    grid = make_grid(ids, CATEGORY)
    measure = Measure(grid, build_reference(grid, ids, "test"))
    got = measure.columns(encode_rows(grid, ids)[1])["c"]
    assert not set(DIVERGENCES) & set(got)
    assert ReferenceSpread(measure).of("psi", ["c"], 300) == {}
    assert ReferenceSpread(measure).of("new_category_rate", ["c"], 300)["c"][0] == 1


@settings(max_examples=60)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=40).filter(any))
def test_ranks_are_in_the_unit_interval(counts: list[int]) -> None:
    """Mid-ranks ascend; weighted by the reference their mean is 1/2; surprisal is 1 for what was never seen."""
    n = sum(counts)
    ranks = mid_ranks(np.array(counts))
    slow = [(sum(counts[:i]) + counts[i] / 2) / n for i in range(len(counts))]
    assert ranks.tolist() == pytest.approx(slow, rel=1e-12)
    surprise = surprisal_ranks(np.array(counts))
    known = counts[:-1]
    slow = [(sum(c for c in known if c > own) + sum(c for c in known if c == own) / 2) / n for own in known]
    slow.append((sum(known) + counts[-1] / 2) / n)
    assert surprise.tolist() == pytest.approx(slow, rel=1e-12)
    for each in (ranks, surprise):
        assert ((each >= 0) & (each <= 1)).all()
        assert float((each * np.array(counts)).sum() / n) == pytest.approx(0.5, rel=1e-9)
    unseen = [rank for rank, count in zip(surprise[:-1], known, strict=True) if count == 0]
    assert unseen == pytest.approx([1 - counts[-1] / n] * len(unseen), rel=1e-12)


def test_cells_that_are_not_valid_have_no_rank() -> None:
    """They are left out of what a detector is fed with."""
    for series in range(3):
        table = rank_table(GRID, REFERENCE, series)
        width = GRID.layout.bins[series].stop - GRID.layout.bins[series].start
        assert np.isnan(table[width:]).all()
        assert ((table[:width] >= 0) & (table[:width] <= 1)).all()
