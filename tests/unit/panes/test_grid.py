"""The grid: bins that any later value falls into, integer sums, and an exact copy through its JSON."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.contract import ColumnSpec, StreamContract
from monitor.errors import FormatError
from monitor.events import CellState, Rows
from monitor.panes.grid import (
    FIRST_INVALID,
    INVALID_BASE,
    decode_grid,
    encode_grid,
    encode_rows,
    leave_one_out,
    left_out_codes,
    make_grid,
)
from monitor.panes.rows import take

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


@given(st.lists(st.tuples(finite, st.integers(0, 6), st.sampled_from("abcd")), min_size=1, max_size=80), st.data())
@settings(max_examples=60)
def test_counts_of_parts_add_up(cells: list[tuple[float, int, str]], data: st.DataObject) -> None:
    """Rows encoded in two parts give the counts and sums of the whole: integers, so exactly."""
    x = [value if state == 0 else np.nan for value, state, _ in cells]
    rows = rows_of(x, [0.0] * len(cells), [c for _, _, c in cells], [state for _, state, _ in cells])
    grid = make_grid(rows, CONTRACT)
    cut = data.draw(st.integers(0, len(cells)))
    index = np.arange(len(cells))
    codes, whole = encode_rows(grid, rows)
    parts = [encode_rows(grid, take(rows, index[:cut]))[1], encode_rows(grid, take(rows, index[cut:]))[1]]
    added = parts[0] + parts[1]
    grid.layout.normalise(added)
    assert (added == whole).all()
    valid = [state == CellState.VALID for _, state, _ in cells]
    assert whole[grid.layout.bins[0]].sum() == sum(valid)
    for place, (_, state, _) in enumerate(cells):
        assert (int(codes[place, 0]) == INVALID_BASE - state) if state else (codes[place, 0] < FIRST_INVALID)


def test_values_beyond_the_grid_take_no_part_in_sums() -> None:
    """One value of 10**300 among others, and cells that are not valid: the sums are those of the others."""
    values = np.random.default_rng(2).normal(size=1000).tolist()
    grid = make_grid(rows_of(values, [0.0] * 1000, ["a"] * 1000), CONTRACT)
    one = encode_rows(grid, rows_of(values, [0.0] * 1000, ["a"] * 1000))[1]
    states = [0] * 1002 + [int(CellState.NAN)]
    far = encode_rows(grid, rows_of([*values, 1e300, -1e7, np.nan], [0.0] * 1003, ["a"] * 1003, states))[1]
    for part in (grid.layout.sums, grid.layout.squares):
        assert (one[part] == far[part]).all()
    bins = grid.layout.bins[0]
    assert (far[bins][0], far[bins][-1]) == (1, 1)


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
    for value in (
        b"{}",
        b"[1",
        encode_grid(make_grid(rows_of([1.0], [0.0], ["a"]), CONTRACT)).replace(b"grid/3", b"grid/9"),
    ):
        with pytest.raises(FormatError):
            decode_grid(value)


def test_codes_of_what_is_left_out_are_counted_as_it_is() -> None:
    """Of 2,000 rows of so many values that the dictionary holds only some of them."""
    values = np.random.default_rng(2).integers(0, 3000, 2000).astype(str).tolist()
    rows = rows_of([1.0] * 2000, [0.0] * 2000, values)
    grid = make_grid(rows, CONTRACT)
    codes, counts = encode_rows(grid, rows)
    leave_one_out(grid, counts, counts)
    part = grid.layout.bins[2]
    assert 0 < counts[part][:-1].sum() < 1500
    assert (grid.layout.count(left_out_codes(grid, codes))[part] == counts[part]).all()
    assert (left_out_codes(grid, codes)[:, :2] == codes[:, :2]).all()
