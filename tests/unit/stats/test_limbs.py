"""Sums in limbs: exact at any size, and a function of the sum alone once they are normalised."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.stats.limbs import SQUARE_BITS, SUM_BITS, limbs_of, normalised, whole

LARGEST = 1 << 40
units = st.lists(st.integers(-LARGEST, LARGEST) | st.integers(-3, 3), min_size=1, max_size=40)


def column(values: list[int]) -> np.ndarray:
    return np.array([values], dtype=np.int64).T


@given(units, st.integers(0, 40))
def test_sums_are_those_of_integers_of_any_size(values: list[int], cut: int) -> None:
    """Of a whole, and of two parts that are added limb by limb."""
    expected = sum(values), sum(q * q for q in values)
    for parts in ([values], [values[:cut], values[cut:]]):
        limbs = [limbs_of(column(part)) for part in parts]
        sums, squares = (np.sum([one[k] for one in limbs], axis=0) for k in (0, 1))
        assert (whole(sums, SUM_BITS).tolist(), whole(squares, SQUARE_BITS).tolist()) == tuple([e] for e in expected)


@given(units, st.integers(0, 40))
def test_normalised_limbs_say_nothing_of_the_parts(values: list[int], cut: int) -> None:
    """The limbs of a whole and of two parts are the same, and all but the highest are small and not negative."""
    together = limbs_of(column(values))
    parts = [limbs_of(column(part)) for part in (values[:cut], values[cut:])]
    for k, bits in ((0, SUM_BITS), (1, SQUARE_BITS)):
        added = normalised(parts[0][k] + parts[1][k], bits)
        assert added.tolist() == together[k].tolist()
        assert (added[:-1] >= 0).all()
        assert (added[:-1] < 1 << bits).all()


@given(st.lists(units, min_size=1, max_size=4), st.integers(1, 30))
def test_few_numbers_have_the_limbs_that_many_have(series: list[list[int]], rows: int) -> None:
    """Few are added up otherwise than many: rows of zeros, which make many of few, change no limb."""
    few = np.zeros((rows, len(series)), dtype=np.int64)
    for k, values in enumerate(series):
        few[: len(values), k] = values[:rows]
    many = np.concatenate([few, np.zeros((100, len(series)), dtype=np.int64)])
    for limbs, same in zip(limbs_of(few), limbs_of(many), strict=True):
        assert limbs.dtype == same.dtype
        assert limbs.tolist() == same.tolist()


@settings(max_examples=10)
@given(st.integers(-LARGEST, LARGEST))
def test_no_limb_overflows_before_two_to_the_35_rows(value: int) -> None:
    """A billion times 34 rows of one value, added up as panes are, without carry."""
    sums, squares = limbs_of(column([value]))
    rows = (1 << 35) - 1
    assert max(abs(limb) * rows for limb in sums[:, 0].tolist() + squares[:, 0].tolist()) < 1 << 63
    assert whole(sums * rows, SUM_BITS).tolist() == [value * rows]
    assert whole(squares * rows, SQUARE_BITS).tolist() == [value * value * rows]


@pytest.mark.parametrize("shape", [(0, 3), (5, 0), (0, 0)])
def test_no_rows_and_no_series_are_zero(shape: tuple[int, int]) -> None:
    """Empty sums."""
    sums, squares = limbs_of(np.zeros(shape, dtype=np.int64))
    assert (sums.shape, squares.shape) == ((2, shape[1]), (3, shape[1]))
    assert not sums.any()
    assert not squares.any()
