"""The grid: bins that any later value falls into, integer sums, and an exact copy through its JSON."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.contract import ColumnSpec, StreamContract
from monitor.errors import FormatError
from monitor.events import CellState, Rows
from monitor.panes.grid import (
    BINS,
    CLIP,
    FIRST_INVALID,
    INVALID_BASE,
    decode_grid,
    encode_grid,
    encode_rows,
    fixed_point,
    make_grid,
    make_numeric_bins,
)

finite = st.floats(min_value=-1e12, max_value=1e12, allow_nan=False)
CONTRACT = StreamContract(
    "features",
    "ml.features",
    "event_time",
    (ColumnSpec("x", "x", "numerical"), ColumnSpec("flag", "flag", "binary"), ColumnSpec("c", "c", "categorical")),
)


def rows_of(x: list[float], flags: list[float], categories: list[str], states: list[int] | None = None) -> Rows:
    n = len(x)
    numeric_states = np.zeros((n, 2), dtype=np.uint8)
    if states is not None:
        numeric_states[:, 0] = states
    return Rows(
        "m",
        "features",
        "",
        np.arange(n),
        np.zeros(n, dtype=np.int32),
        np.arange(n) * 1000,
        np.array([x, flags], dtype=np.float64).T.reshape(n, 2),
        numeric_states,
        (categories,),
        np.zeros((n, 1), dtype=np.uint8),
    )


@given(st.lists(finite, min_size=1, max_size=300), st.lists(finite, max_size=50))
def test_every_value_has_a_bin_between_its_edges(sample: list[float], later: list[float]) -> None:
    """A code i means edges[i-1] <= x < edges[i], for values of the sample and for any other."""
    bins = make_numeric_bins("x", np.array(sample))
    values = np.array(sample + later)
    edges = np.concatenate([[-np.inf], bins.edges, [np.inf]])
    codes = bins.codes(values)
    assert (edges[codes] <= values).all()
    assert (values < edges[codes + 1]).all()
    assert bins.bins <= 2 * BINS + 3


@given(st.lists(finite, min_size=1, max_size=300))
def test_the_sample_is_inside_the_grid(sample: list[float]) -> None:
    """No value of the sample is in an overflow bin."""
    bins = make_numeric_bins("x", np.array(sample))
    codes = bins.codes(np.array(sample) + 0.0)
    assert codes.min() >= 1
    assert codes.max() <= bins.bins - 2


def test_a_value_that_repeats_is_an_atom() -> None:
    """Half zeros: the bin of zero holds zero alone."""
    bins = make_numeric_bins("x", np.array([0.0] * 500 + list(np.linspace(1, 2, 500))))
    (code,) = set(bins.codes(np.array([0.0])).tolist())
    assert code in bins.atoms
    assert bins.codes(np.array([np.nextafter(0.0, 1)]))[0] != code
    assert bins.positions[code] == 0.0


def test_a_constant_column_has_bins_below_equal_and_above() -> None:
    """A column that is constant in the sample has three bins."""
    bins = make_numeric_bins("x", np.full(100, 7.0))
    assert bins.codes(np.array([6.9, 7.0, 7.1])).tolist() == [0, 1, 2]


def test_continuous_values_fill_the_bins_evenly() -> None:
    """Of 25,600 distinct values each of the 256 bins holds about a hundred."""
    values = np.random.default_rng(1).normal(size=25_600)
    bins = make_numeric_bins("x", values)
    counts = np.bincount(bins.codes(values), minlength=bins.bins)[1:-1]
    assert len(counts) == BINS
    assert counts.min() >= 99
    assert counts.max() <= 101


@given(st.lists(st.tuples(finite, st.integers(0, 6), st.sampled_from("abcd")), min_size=1, max_size=80), st.data())
@settings(max_examples=60)
def test_counts_of_parts_add_up(cells: list[tuple[float, int, str]], data: st.DataObject) -> None:
    """Rows encoded in two parts give the counts and sums of the whole: integers, so exactly."""
    x = [value if state == 0 else np.nan for value, state, _ in cells]
    rows = rows_of(x, [0.0] * len(cells), [c for _, _, c in cells], [state for _, state, _ in cells])
    grid = make_grid(rows, CONTRACT)
    cut = data.draw(st.integers(0, len(cells)))
    index = np.arange(len(cells))
    from monitor.panes.rows import take

    codes, whole = encode_rows(grid, rows)
    parts = [encode_rows(grid, take(rows, index[:cut]))[1], encode_rows(grid, take(rows, index[cut:]))[1]]
    assert (parts[0] + parts[1] == whole).all()
    valid = [state == CellState.VALID for _, state, _ in cells]
    assert whole[grid.layout.bins[0]].sum() == sum(valid)
    for place, (_, state, _) in enumerate(cells):
        assert (int(codes[place, 0]) == INVALID_BASE - state) if state else (codes[place, 0] < FIRST_INVALID)


def test_one_outlier_moves_the_sums_by_no_more_than_the_clip() -> None:
    """Sums take values clipped at 16 spreads, so that one outlier can't mask a drift."""
    bins = make_numeric_bins("x", np.random.default_rng(2).normal(size=1000))
    assert abs(int(fixed_point(np.array([1e300]), bins.center, bins.unit)[0])) == CLIP


def test_binary_columns_have_both_atoms_even_when_the_sample_lacks_one() -> None:
    """A sample of zeros still tells 0 from 1."""
    grid = make_grid(rows_of([1.0, 2.0], [0.0, 0.0], ["a", "b"]), CONTRACT)
    assert grid.numeric[1].codes(np.array([0.0, 1.0])).tolist() == [1, 3]


def test_json_round_trip_is_exact_and_named_by_digest() -> None:
    """A grid comes back from its JSON with the same edges, bit by bit, and the same digest."""
    values = np.random.default_rng(3).lognormal(size=500).tolist()
    grid = make_grid(rows_of(values, [0.0, 1.0] * 250, ["a", "b", "a", "c", "ü"] * 100), CONTRACT)
    again = decode_grid(encode_grid(grid))
    assert again.digest == grid.digest
    assert again.numeric[0].edges.tobytes() == grid.numeric[0].edges.tobytes()
    assert again.categorical == grid.categorical


def test_damaged_grids_are_refused() -> None:
    """Bytes that are no grid, or a grid of another format, raise FormatError."""
    for value in (b"{}", b"[1", encode_grid(make_grid(rows_of([1.0], [0.0], ["a"]), CONTRACT)).replace(b"/1", b"/9")):
        with pytest.raises(FormatError):
            decode_grid(value)
