"""What a reference shows of its own dependence, against the closed form of autoregressive rows and of seasons."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.drift.moments import BlockSums, GroupMoments, Moments
from monitor.drift.null import FEWEST_PIECES, Null
from monitor.events import Float64s


def moments(values: Float64s, block: int = 10) -> Moments:
    """Moments of rows of standard scores, in units of a hundredth; values of shape (rows, an even width)."""
    scores = np.rint(100 * values).astype(np.int64)
    width = scores.shape[1]
    blocks = BlockSums(width)
    for start in range(0, len(scores) - block + 1, block):
        blocks.add(np.array([block]), scores[start : start + block].sum(axis=0, keepdims=True))
    group = GroupMoments(scores.T @ scores, np.zeros((width // 2, width // 2), dtype=np.int64), (scores**4).sum(axis=0))
    return Moments(len(scores), (group,), *blocks.blocks())


def autoregressive(seed: int, rows: int, rho: float, width: int = 2) -> Float64s:
    """Rows of variance 1 whose correlation falls by `rho` a row."""
    noise: Float64s = np.random.default_rng(seed).normal(size=(rows, width)) * np.sqrt(1 - rho * rho)
    noise[0] /= np.sqrt(1 - rho * rho)
    for t in range(1, rows):
        noise[t] += rho * noise[t - 1]
    return noise


def sine(seed: int, periods: float, period: int, size: float = 1.0) -> Float64s:
    """Rows of a season beside noise of deviation 1; its second score is noise alone."""
    rows = int(periods * period)
    values = np.random.default_rng(seed).normal(size=(rows, 2))
    values[:, 0] += size * np.sin(2 * np.pi * np.arange(rows) / period)
    return values


def factor_of(rho: float, n: int) -> float:
    """The variance of a sum of n rows over n, exactly: 1 + 2 Σ (1 - k/n) ρᵏ."""
    lags = np.arange(1, n)
    return float(1 + 2 * ((1 - lags / n) * rho**lags).sum())


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rows", [500, 5000, 50_000])
def test_independent_rows_are_not_inflated(seed: int, rows: int) -> None:
    """The factor is 1 at every length, a piece is a row, and the reference is long enough."""
    null = Null(moments(autoregressive(seed, rows, 0.0)))
    assert all((null.inflation(n) == 1.0).all() for n in (10, 100, 1000, 10_000))
    assert (null.piece_rows, null.pieces >= FEWEST_PIECES) == (1, True)


@pytest.mark.parametrize("rho", [0.5, 0.9])
@pytest.mark.parametrize("n", [10, 80, 640])
def test_the_inflation_of_autoregressive_rows_is_that_of_the_closed_form(rho: float, n: int) -> None:
    """Never less than it by more than its error, and not twice as much."""
    null = Null(moments(autoregressive(1, 50_000, rho, width=8)))
    assert (null.inflation(n) > 0.85 * factor_of(rho, n)).all()
    assert (null.inflation(n) < 2.0 * factor_of(rho, n)).all()
    assert null.pieces >= FEWEST_PIECES


@pytest.mark.parametrize("seed", range(4))
def test_a_trend_has_no_piece_that_could_be_seen(seed: int) -> None:
    """Sums of ever longer stretches vary ever more: the reference is too short for what it shows."""
    values = autoregressive(seed, 5000, 0.0)
    values += np.linspace(-1, 1, 5000)[:, np.newaxis]
    assert Null(moments(values)).pieces < FEWEST_PIECES


@pytest.mark.parametrize(("periods", "is_verified"), [(0.7, False), (1.0, False), (3.0, False), (14.0, True)])
def test_a_season_nobody_has_named_needs_eight_periods(periods: float, is_verified: bool) -> None:
    """Whether the reference shows a part of one, some, or enough."""
    null = Null(moments(sine(2, periods, 4000)))
    assert (null.pieces >= FEWEST_PIECES) == is_verified
    if is_verified:
        assert null.piece_rows == pytest.approx(4000, rel=0.1)


@pytest.mark.parametrize(("periods", "is_verified"), [(7, False), (8, True)])
def test_a_score_of_half_the_period_makes_no_pieces_of_half_a_period(periods: int, is_verified: bool) -> None:
    """How far a sine lies from its middle has twice its frequency."""
    values = sine(2, periods, 1280)
    values[:, 1] = 0.3 * values[:, 1] + 2 * np.abs(np.sin(2 * np.pi * np.arange(len(values)) / 1280))
    null = Null(moments(values))
    assert null.piece_rows == pytest.approx(1280, rel=0.03)
    assert (null.pieces >= FEWEST_PIECES) == is_verified


def test_a_named_season_leaves_sums_of_many_periods_alone() -> None:
    """Short stretches vary by the season; of many periods only what is over does."""
    values = sine(3, 20, 1000)
    named, unnamed = Null(moments(values), period=1000), Null(moments(values))
    assert named.inflation(100)[0] > 20
    assert named.inflation(10_000)[0] < 10 < unnamed.inflation(10_000)[0]
    assert (named.piece_rows, named.pieces) == (1000, 20)


def test_fewer_than_eight_named_periods_are_too_few() -> None:
    """They are pieces all the same, and unverified."""
    null = Null(moments(sine(3, 5, 1000)), period=1000)
    assert null.pieces == 5


def test_blocks_of_several_sizes_give_what_even_ones_give() -> None:
    """A stretch is as long as its blocks: factors go by its rows."""
    values = autoregressive(4, 20_000, 0.5, width=4)
    even = moments(values)
    scores, cuts = np.rint(100 * values).astype(np.int64), np.cumsum([7, 13, 10] * 666)
    scores = scores[: cuts[-1]]
    rows = np.diff(np.concatenate([[0], cuts]))
    sums = np.add.reduceat(scores, np.concatenate([[0], cuts[:-1]]))
    uneven = Moments(even.rows, even.groups, rows, sums)
    for n in (40, 160, 640):
        assert Null(uneven).inflation(n) == pytest.approx(Null(even).inflation(n), rel=0.25)


def test_a_reference_of_no_rows_or_columns_is_not_inflated() -> None:
    """Nothing is measured."""
    assert Null(moments(np.zeros((5, 2)))).inflation(100).tolist() == [1.0, 1.0]
    assert Null(moments(np.zeros((500, 2)))).inflation(100).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("small", [8, 60, 400])
@pytest.mark.parametrize("period", [0, 120_000])
def test_a_block_of_nearly_all_rows_shows_nothing_of_them(small: int, period: int) -> None:
    """Rows of one time are in one block, however many: then there are no stretches that could be compared."""
    rows = np.array([10] * small + [10**6], dtype=np.int64)
    sums = np.rint(100 * np.random.default_rng(1).normal(size=(small + 1, 2)) * np.sqrt(rows)[:, np.newaxis])
    second = np.eye(2, dtype=np.int64) * 10_000 * rows.sum()
    group = GroupMoments(second, np.zeros((1, 1), np.int64), np.ones(2, np.int64))
    null = Null(Moments(int(rows.sum()), (group,), rows, sums.astype(np.int64)), period)
    assert all((null.inflation(n) == 1.0).all() for n in (10, 1000, 100_000))
