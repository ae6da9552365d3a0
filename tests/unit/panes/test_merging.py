"""Merging partial panes: order is irrelevant, counts add up, traces interleave by relative position."""

from __future__ import annotations

import random
from collections import Counter
from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.events import TopicPartition
from monitor.panes import heavy
from monitor.panes.merging import interleave, merge
from monitor.panes.pane import Pane
from tests.unit.making import TOPIC, pane

sizes = st.lists(st.integers(0, 40), min_size=1, max_size=5)


def partials(counts: list[int]) -> list[Pane]:
    """One partial pane a partition; traces hold at most eight rows, so their levels differ."""
    return [
        pane(3, list(range(100 * p, 100 * p + n)), TopicPartition(TOPIC, p), late=p % 2)
        for p, n in enumerate(counts)
        if n or p % 2
    ] or [pane(3, [1], TopicPartition(TOPIC, 0))]


@settings(max_examples=50)
@given(sizes, st.randoms(use_true_random=False))
def test_the_order_of_partials_is_irrelevant(counts: list[int], rng: random.Random) -> None:
    """Panes merge in partition order, whichever was read first."""
    parts = partials(counts)
    one = merge(parts)
    rng.shuffle(parts)
    other = merge(parts)
    assert (one.counts == other.counts).all()
    assert (one.codes == other.codes).all()
    assert (one.offsets, one.events, one.unknown) == (other.offsets, other.events, other.unknown)
    assert (one.counts == np.sum([part.counts for part in parts], axis=0)).all()
    assert one.events == sum(part.events for part in parts)


@settings(max_examples=50)
@given(sizes)
def test_traces_interleave_as_exact_fractions_do(counts: list[int]) -> None:
    """Thinned to the largest level, then by (i + 1/2) / n, ties by partition."""
    parts = sorted(partials(counts), key=lambda part: part.tp)
    level = max(part.level for part in parts)
    wanted = []
    for p, part in enumerate(parts):
        kept = [code.tolist() for code, own in zip(part.codes, part.levels.tolist(), strict=True) if own >= level]
        wanted += [(Fraction(2 * i + 1, 2 * len(kept)), p, code) for i, code in enumerate(kept)]
    assert interleave(parts).tolist() == [code for _, _, code in sorted(wanted, key=lambda row: row[:2])]


@given(st.lists(st.text("abcdefghij", min_size=1, max_size=2), max_size=3000), st.integers(1, 4))
@settings(max_examples=30)
def test_heavy_hitters_are_never_too_high_and_at_most_a_share_too_low(values: list[str], parts: int) -> None:
    """Misra-Gries: an error of n / (k + 1) at most, also after merging."""
    counters: list[dict[str, int]] = [{} for _ in range(parts)]
    for p in range(parts):
        heavy.feed(counters[p], values[p::parts])
    found, true = heavy.merged(counters), Counter(values)
    assert len(found) <= heavy.COUNTERS
    for value, count in true.items():
        assert found.get(value, 0) <= count
        assert found.get(value, 0) >= count - len(values) / (heavy.COUNTERS + 1)
    assert list(found.items()) == sorted(found.items(), key=lambda item: (-item[1], item[0]))


def test_a_flood_of_new_categories_keeps_the_frequent_one() -> None:
    """A value that makes up half of all is found among thousands of others."""
    counters: dict[str, int] = {}
    heavy.feed(counters, (value for i in range(5000) for value in ("often", f"once-{i}")))
    assert len(counters) <= heavy.COUNTERS
    assert counters["often"] >= 5000 - 10_000 / (heavy.COUNTERS + 1)
