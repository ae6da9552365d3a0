"""Pieces of a reference, drawn."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.calibration.pieces import Pieces


@pytest.mark.parametrize("mean", [1, 10, 40])
def test_pieces_are_as_long_as_dependence_on_average(mean: int) -> None:
    drawn = Pieces(np.arange(5_000), mean).draw("a", 200_000)
    assert len(drawn) == 200_000
    joins = np.count_nonzero(np.diff(drawn) % 5_000 != 1)
    assert 200_000 / (joins + 1) == pytest.approx(mean, rel=0.05)
    assert np.bincount(drawn, minlength=5_000).min() > 0


def test_what_is_kept_aside_is_nothing_that_limits_are_solved_on() -> None:
    for mean in (1, 10):
        solving, aside = Pieces(np.arange(5_000), mean).split()
        assert sorted([*solving.places.tolist(), *aside.places.tolist()]) == list(range(5_000))
        assert len(aside.places) == pytest.approx(5_000 / 3, rel=0.02)
        assert set(aside.draw("b", 1_000).tolist()) <= set(aside.places.tolist())


def test_whole_periods_stay_whole() -> None:
    """Every row is followed by the next of its period, or by the first of another one."""
    days = Pieces(np.arange(30), 10, np.array([9, 10, 11]))
    drawn = days.draw("c", 200)
    firsts = np.isin(drawn, [0, 9, 19])
    assert firsts[0]
    assert (np.diff(drawn)[~firsts[1:]] == 1).all()
    solving, aside = days.split()
    assert aside.places.tolist() == list(range(19, 30))
    assert solving.periods is not None
    assert solving.periods.tolist() == [9, 10]


def test_the_same_name_draws_the_same_rows() -> None:
    pieces = Pieces(np.arange(1_000), 20)
    assert (pieces.draw("d", 500) == pieces.draw("d", 500)).all()
    assert (pieces.draw("d", 500) != pieces.draw("e", 500)).any()
