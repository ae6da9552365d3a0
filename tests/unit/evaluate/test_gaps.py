"""The longest gap between rows, in any order and in any batches, against all of them sorted."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitor.evaluate.gaps import LongestGap

times = st.lists(st.integers(0, 100_000) | st.integers(0, 300), max_size=120)


def longest(values: list[int]) -> int | None:
    """The slow way."""
    ordered = sorted(values)
    return max((later - earlier for earlier, later in pairwise(ordered)), default=None)


def of(values: list[int], pieces: int, most: int) -> LongestGap:
    gap = LongestGap(most)
    for piece in np.array_split(np.array(values, dtype=np.int64), pieces):
        gap.add(piece)
    return gap


@given(times, st.integers(1, 7))
def test_it_is_that_of_all_rows_sorted(values: list[int], pieces: int) -> None:
    assert of(values, pieces, 1000).ms() == longest(values)


@settings(max_examples=200)
@example([5, 5, 5, 128, 256], 1, 2)
@given(times, st.integers(1, 7), st.integers(2, 20))
def test_of_more_rows_than_are_held_it_is_right_or_shorter_than_a_cell(
    values: list[int], pieces: int, most: int
) -> None:
    """A gap shorter than two spans by the stretches held, less one, may be reported as that; longer ones are exact."""
    found, expected = of(values, pieces, most).ms(), longest(values)
    if expected is None:
        assert found is None
        return
    assert found is not None
    cell = 2 * (max(values) - min(values) + 1) / (most - 1)
    assert found == expected or expected <= found <= cell


def test_a_million_rows_are_held_as_few_stretches() -> None:
    """Rows of a second each, with a hole of an hour; what is held stays bounded."""
    gap = LongestGap(1000)
    for start in range(0, 1_000_000, 50_000):
        gap.add((np.arange(start, start + 50_000) + (3600 if start >= 500_000 else 0)) * 1000)
        assert gap._held <= 2000
    assert gap.ms() == 3_601_000
