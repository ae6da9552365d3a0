"""An open pane gives one sealed pane, whatever the batches and whenever the grid came."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.events import Rows
from monitor.panes import rows as rows_of
from monitor.panes.open_pane import OpenPane, summarise
from monitor.panes.pane import Pane, decode_raw, encode_pane, encode_raw
from monitor.panes.rows import canonical_order, levels, partition_seed, take
from tests.unit.making import FEATURES, GRID, TP, rows

POINTS = 12
offsets_of_a_pane = st.lists(st.integers(0, 10**12), min_size=1, max_size=80, unique=True).map(sorted)


def opened(points: int = POINTS) -> OpenPane:
    return OpenPane(rows_of.empty("m", FEATURES), TP, 7, 10, points)


def some_rows(offsets: list[int], seed: int = 0) -> Rows:
    rng = random.Random(seed)
    return rows(offsets, [rng.randint(70, 79) for _ in offsets])


def sealed_at_once(of: Rows, late: int = 0) -> Pane:
    pane = opened()
    pane.add(of, GRID)
    if late:
        pane.add_late(np.arange(late, dtype=np.int64))
    return pane.seal(GRID)


@settings(max_examples=60)
@given(offsets_of_a_pane, st.lists(st.integers(0, 80), max_size=6), st.integers(0, 7))
def test_any_cut_and_a_late_grid_give_the_same_pane(offsets: list[int], cuts: list[int], grid_from: int) -> None:
    """The grid may come before any batch, between two, or at the end."""
    whole = some_rows(offsets)
    bounds = sorted({0, len(offsets), *(cut for cut in cuts if cut < len(offsets))})
    pane = opened()
    for i, (a, b) in enumerate(pairwise(bounds)):
        pane.add(rows_of.take(whole, np.arange(a, b)), GRID if i >= grid_from else None)
    assert encode_pane(pane.seal(GRID)) == encode_pane(sealed_at_once(whole))


@settings(max_examples=40)
@given(offsets_of_a_pane, st.integers(0, 4))
def test_a_raw_pane_summarised_elsewhere_is_the_same_pane(offsets: list[int], late: int) -> None:
    """Also through its bytes, and with late rows."""
    whole = some_rows(offsets)
    pane = opened()
    for part in np.array_split(np.arange(len(offsets)), 3):
        if len(part):
            pane.add(rows_of.take(whole, part), None)
    if late:
        pane.add_late(np.arange(late, dtype=np.int64))
    raw = decode_raw(encode_raw(pane.seal_raw()))
    assert encode_pane(summarise(raw, GRID)) == encode_pane(sealed_at_once(whole, late))


def test_a_raw_pane_of_late_rows_alone_is_the_same_pane() -> None:
    """No row at all: the counts say how many came late."""
    raw, on_grid = opened(), opened()
    for pane in (raw, on_grid):
        pane.add_late(np.array([4, 9], dtype=np.int64))
    copied = decode_raw(encode_raw(raw.seal_raw()))
    sealed = on_grid.seal(GRID)
    assert encode_pane(summarise(copied, GRID)) == encode_pane(sealed)
    assert (sealed.events, sealed.counts[0], sealed.counts.sum(), sealed.last_time) == (0, 2, 2, None)
    assert sealed.offsets == (*TP, 4, 10)


@settings(max_examples=60)
@given(offsets_of_a_pane)
def test_the_trace_has_the_rows_of_the_smallest_level_that_fits(offsets: list[int]) -> None:
    """In canonical order; a slow count of trailing zeros says which rows these are."""
    whole = some_rows(offsets)
    pane = sealed_at_once(whole)
    own = {
        o: int(level) for o, level in zip(offsets, levels(partition_seed(TP), whole.offset, whole.part), strict=True)
    }
    level = next(j for j in range(65) if sum(of >= j for of in own.values()) <= POINTS)
    times = whole.time.tolist()
    kept = sorted((t, o) for t, o in zip(times, offsets, strict=True) if own[o] >= level)
    assert pane.level == level
    assert pane.levels.tolist() == [own[o] for _, o in kept]
    full = opened(10**6)
    full.add(whole, GRID)
    complete = full.seal(GRID)
    order = canonical_order(whole.time, whole.offset, whole.part)
    place = {int(o): i for i, o in enumerate(whole.offset[order])}
    assert np.array_equal(pane.codes, complete.codes[[place[o] for _, o in kept]].reshape(-1, 3))


@settings(max_examples=40)
@given(offsets_of_a_pane)
def test_counts_and_sums_take_every_row(offsets: list[int]) -> None:
    """Thinning touches the trace alone."""
    whole = some_rows(offsets)
    pane = sealed_at_once(whole)
    layout = GRID.layout
    for j in range(len(GRID.series)):
        assert pane.counts[layout.bins[j]].sum() + pane.counts[layout.invalid[j]].sum() == len(offsets)
    valid = whole.numeric[whole.numeric_states[:, 0] == 0, 0]
    units = [round((x - GRID.numeric[0].center) / GRID.numeric[0].unit) for x in valid.tolist()]
    sums, squares = layout.whole_sums(pane.counts)
    assert sums[0] == sum(units)
    assert squares[0] == sum(unit * unit for unit in units)
    assert pane.events == len(offsets)


def test_unknown_categories_are_counted_by_name() -> None:
    """The heavy hitters of a small pane are exact."""
    whole = some_rows(list(range(200)))
    unknown = Counter(value for value in whole.categorical[0] if value not in ("", *GRID.categorical[0].values))
    assert unknown
    assert dict(sealed_at_once(whole).unknown[0]) == unknown


def test_a_sample_is_the_first_rows_in_canonical_order() -> None:
    """In offset order itself, and marked as incomplete."""
    whole = some_rows(list(range(50)), seed=3)
    pane = opened()
    pane.add(whole, None)
    sample = pane.seal_raw(first_rows=10)
    first = sorted(zip(whole.time.tolist(), whole.offset.tolist(), strict=True))[:10]
    assert sample.rows.offset.tolist() == sorted(o for _, o in first)
    assert not sample.complete
    assert pane.seal_raw().complete


@pytest.mark.parametrize("step", [1, 2, 64, 1000])
def test_levels_halve_whatever_the_period_of_the_offsets(step: int) -> None:
    """A share of about 2**-j of rows has at least level j, for offsets in any regular pattern."""
    n = 1 << 14
    own = levels(partition_seed(TP), np.arange(n, dtype=np.int64) * step, np.zeros(n, dtype=np.int32))
    for j in range(1, 7):
        share = (own >= j).mean() * 2**j
        assert abs(share - 1) < 5 * (2**j / n) ** 0.5  # five standard deviations of a fair coin's share


def test_a_level_is_the_trailing_zeros_of_splitmix64() -> None:
    """Computed once more in Python's integers."""
    mask = (1 << 64) - 1
    seed = int(partition_seed(TP))
    for offset, part in ((0, 0), (1, 0), (2, 0), (77, 0), (2**40 + 1, 0), (77, 1), (77, 2), (2**40 + 1, 9)):
        x = (offset * 0x9E3779B97F4A7C15 + part * 0xBF58476D1CE4E5B9 + seed) & mask
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
        x ^= x >> 31
        zeros = (x & -x).bit_length() - 1
        assert levels(partition_seed(TP), np.array([offset]), np.array([part], dtype=np.int32)).tolist() == [zeros]


def test_rows_of_one_record_are_rows_of_their_own() -> None:
    """By part: in canonical order behind time and offset, each with a level of its own, however they are cut."""
    whole = some_rows(list(range(40)))
    n = len(whole)
    split = replace(
        whole,
        offset=np.arange(n, dtype=np.int64) // 4,
        part=np.arange(n, dtype=np.int32) % 4,
        time=np.full(n, int(whole.time[0])),
    )
    sealed, mixed = opened(10**6), opened(10**6)
    sealed.add(split, GRID)
    for some in (np.arange(10), np.arange(10, 39), np.arange(39, n)):
        mixed.add(take(split, some), GRID)
    assert encode_pane(sealed.seal(GRID)) == encode_pane(mixed.seal(GRID))
    assert len(set(sealed.seal(GRID).levels[:4].tolist())) > 1
    raw = opened()
    raw.add(split, None)
    again = decode_raw(encode_raw(raw.seal_raw()))
    assert again.rows.part.tolist() == split.part.tolist()
    assert encode_pane(summarise(again, GRID)) == encode_pane(sealed_at_once(split))
