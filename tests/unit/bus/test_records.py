"""What the buses of our own share."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from monitor.bus.records import share_out


@given(st.lists(st.integers(0, 100), max_size=12), st.integers(0, 300))
def test_a_poll_is_divided_fully_and_evenly(waiting: list[int], budget: int) -> None:
    """Nobody gets more than waits; nothing of the budget is left while somebody waits; shares differ by need only."""
    shares = share_out(waiting, budget)
    assert all(0 <= share <= need for share, need in zip(shares, waiting, strict=True))
    assert sum(shares) == min(budget, sum(waiting))
    unmet = [share for share, need in zip(shares, waiting, strict=True) if share < need]
    assert not unmet or max(shares) - min(unmet) <= 1
