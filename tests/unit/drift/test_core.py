"""The sequential core: what it finds, what it leaves alone, and that its state is all that it depends on."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from monitor.drift.core import Drift, DriftState
from monitor.drift.null import FEWEST_PIECES
from monitor.errors import FormatError
from monitor.events import Codes, Float64s, Rows, StreamName
from tests.unit.drift.making import Lane, feed, normal, rows_of

REFERENCE = 3000


def delay(core: Drift, lane: Lane, codes: Codes, first: int = 0) -> int | None:
    """Rows until drift passes 1; None if it does not. `first`: number of the first pane."""
    for number, evidence in enumerate(feed(core, lane, codes, first=first), 1):
        if evidence is not None and evidence.value > 1:
            return 10 * number
    return None


def changed(how: Callable[[Float64s], None], rows: int = 4000) -> Float64s:
    values = normal(7, rows)
    how(values)
    return values


def wider(values: Float64s) -> None:
    values[:, 1] *= 1.5


def shifted(values: Float64s) -> None:
    values[:, 1] += 0.3


def correlated(values: Float64s) -> None:
    values[:, 0] = 0.5 * values[:, 1] + np.sqrt(0.75) * values[:, 0]


def missing(values: Float64s) -> None:
    values[::33, 2] = np.nan


def outlying(values: Float64s) -> None:
    values[::33, 3] = 40.0


@pytest.mark.parametrize(
    ("how", "most", "kind", "column"),
    [
        (shifted, 700, "location", "x1"),
        (wider, 320, "spread", "x1"),
        (correlated, 300, "correlation", "x0"),
        (missing, 500, "missing", "x2"),
        (outlying, 500, None, "x3"),
    ],
)
def test_changes_are_found_and_named(how: Callable[[Float64s], None], most: int, kind: str | None, column: str) -> None:
    """Within so many rows; 500 rows later the kind and the column are named, and where it began."""
    lane = Lane(rows_of(normal(1, REFERENCE), []))
    core = lane.core()
    before = lane.encode(rows_of(normal(2, 1500), []))
    assert delay(core, lane, before) is None
    after = lane.encode(rows_of(changed(how), []))
    found = delay(core, lane, after, first=150)
    assert found is not None
    assert found <= most
    *_, evidence = feed(core, lane, after[found : found + 500], first=(1500 + found) // 10)
    assert evidence is not None
    explained = core.explain()
    assert explained is not None
    assert explained.change.start <= explained.change.at <= explained.change.end
    assert abs(explained.change.at / 1000 - 1500) <= 160
    assert explained.columns[0].column == column
    assert kind is None or (explained.columns[0].kind == kind and explained.change.kind == kind)


def test_a_category_that_vanishes_and_one_that_is_new_are_named() -> None:
    rng = random.Random(3)
    old = [rng.choice("aabbc") for _ in range(REFERENCE)]
    lane = Lane(rows_of(normal(1, REFERENCE, 1), [old]))
    for now, kind in (("aabb", "vanished_category"), ([*"aabbc" * 10, "z", "z"], "new_category")):
        core = lane.core()
        rows = rows_of(normal(5, 2000, 1), [[rng.choice(now) for _ in range(2000)]])
        *_, evidence = feed(core, lane, lane.encode(rows))
        explained = core.explain()
        assert evidence is not None
        assert explained is not None
        assert evidence.value > 1
        assert (explained.columns[0].column, explained.columns[0].kind) == ("c0", kind)


def test_rows_of_the_same_distribution_raise_nothing() -> None:
    """Ten references, 200,000 rows in all; of columns with ties, heavy tails, missing cells and rare categories."""
    for seed in range(10):
        rng = np.random.default_rng(seed)

        def rows(n: int, rng: np.random.Generator = rng) -> tuple[Float64s, list[list[str]]]:
            x = np.stack([rng.normal(size=n), rng.lognormal(size=n), rng.integers(0, 4, n), rng.standard_t(2, n)], 1)
            x[rng.random(n) < 0.1, 0] = np.nan
            return x, [[f"z{v}" for v in rng.zipf(1.6, n)]]

        lane = Lane(rows_of(*rows(2000)))
        assert delay(lane.core(), lane, lane.encode(rows_of(*rows(20_000)))) is None


def test_ten_rows_are_no_evidence_of_all_columns_together() -> None:
    """One of them may be so far out that it decides; twenty rows that have shifted by a deviation are clear."""
    lane = Lane(rows_of(normal(1, REFERENCE, 25), []))
    found = list(feed(lane.core(), lane, lane.encode(rows_of(normal(7, 20, 25) + 1.0, []))))
    assert [evidence is not None and evidence.family > 1 for evidence in found] == [False, True]


def test_categories_that_are_all_as_frequent_raise_nothing() -> None:
    """Chance makes some of them frequent in the reference, and no others have them as often."""
    rng = random.Random(1)
    for values in (30, 300, 900):
        columns = [[[f"v{rng.randrange(values)}" for _ in range(n)] for _ in range(2)] for n in (5000, 6000)]
        lane = Lane(rows_of(np.zeros((5000, 0)), columns[0]))
        assert delay(lane.core(), lane, lane.encode(rows_of(np.zeros((6000, 0)), columns[1]))) is None


def test_the_first_page_names_a_column() -> None:
    """Many columns that move together by a little are clear as a family, while none is alone."""
    lane = Lane(rows_of(normal(1, REFERENCE, 30), []))
    core = lane.core()
    for evidence in feed(core, lane, lane.encode(rows_of(normal(9, 3000, 30) + 0.12, []))):
        if evidence is not None and evidence.value > 1:
            break
    explained = core.explain()
    assert evidence is not None
    assert evidence.family > 1 > evidence.column
    assert explained is not None
    assert len(explained.columns) >= 1


def test_sums_of_skewed_scores_need_many_rows() -> None:
    """A value that one row in 33 has moves the mean of few rows far by chance."""
    values = normal(1, REFERENCE, 2)
    values[:, 0] = np.arange(REFERENCE) % 33 == 0
    lane = Lane(rows_of(values, []))
    core = lane.core()
    rare = values[:60].copy()
    rare[:, 0] = np.arange(60) % 12 == 0
    *_, evidence = feed(core, lane, lane.encode(rows_of(rare, [])))
    assert evidence is not None
    assert evidence.value < 0.8


def test_a_restored_core_goes_on_with_the_same_bits() -> None:
    """At any pane, and also while a block is not full."""
    lane = Lane(rows_of(normal(1, REFERENCE), [["a", "b", "c"] * 1000]))
    codes = lane.encode(rows_of(normal(2, 900), [["a", "b"] * 450]))
    core, whole = lane.core(), lane.core()
    for number, evidence in enumerate(feed(whole, lane, codes, pane=4)):
        (again,) = feed(core, lane, codes[4 * number : 4 * number + 4], pane=4, first=number)
        assert again == evidence
        raw = msgspec.msgpack.encode(core.state())
        core = lane.core()
        core.restore(msgspec.msgpack.decode(raw, type=DriftState))
    assert core.explain() == whole.explain()
    assert len(raw) < 8000 * 6
    other = Lane(rows_of(normal(1, REFERENCE, 2), [])).core()
    with pytest.raises(FormatError, match="another grid"):
        other.restore(core.state())


def test_evidence_of_long_windows_stays_between_their_moves() -> None:
    """A shift that is seen in 640 rows and not in 80 has no gaps; rows without it take it away in the end."""
    lane = Lane(rows_of(normal(1, REFERENCE), []))
    core = lane.core()
    values = normal(2, 8000)
    values[:4000, 1] += 0.25
    above = [e is not None and e.value > 1 for e in feed(core, lane, lane.encode(rows_of(values, [])))]
    assert all(above[150:400])
    assert not above[-1]


def test_empty_panes_and_columns_without_values_are_no_evidence() -> None:
    values = normal(1, 500, 3)
    values[:, 0] = np.nan
    values[:, 1] = 5.0
    lane = Lane(rows_of(values, []))
    core = lane.core()
    assert core.add(0, 0, np.zeros(lane.grid.layout.width, dtype=np.int64), lane.codes[:0]) is None
    assert core.explain() is None
    assert delay(core, lane, lane.codes) is None
    assert np.isnan(lane.core().smallest_shift(1000)[:2]).all()


def test_the_smallest_shift_is_found_in_half_of_the_cases() -> None:
    lane = Lane(rows_of(normal(1, REFERENCE, 2), []))
    shift = float(lane.core().smallest_shift(1000)[0])
    assert 0.1 < shift < 0.4
    found = 0
    for seed in range(20):
        values = normal(100 + seed, 1000, 2)
        values[:, 0] += shift
        codes = lane.encode(rows_of(values, []))
        counts = lane.grid.layout.count(codes)
        evidence = lane.core().add(0, 1000, counts, codes)
        assert evidence is not None
        found += evidence.family > 1
    assert 4 <= found <= 16


def test_a_season_that_the_reference_shows_raises_nothing() -> None:
    """Fourteen periods of it, named or not, and as many behind it; one of which it shows three is unverified."""
    period = 1000

    def values(seed: int, periods: int) -> Float64s:
        found = normal(seed, periods * period, 3)
        found[:, 0] += np.sin(2 * np.pi * np.arange(len(found)) / period)
        return found

    lane = Lane(rows_of(values(1, 14), []))
    codes = lane.encode(rows_of(values(2, 14), []))
    for named in (0, period):
        core = Drift(lane.grid, lane.counts, lane.rows, lane.moments, period=named)
        assert core.pieces[0] >= FEWEST_PIECES
        assert max(one.value for one in feed(core, lane, codes) if one is not None) < 1
    assert Lane(rows_of(values(3, 3), [])).core().pieces[0] < FEWEST_PIECES


@pytest.mark.parametrize(("stream", "is_found"), [("outcomes", False), ("features", True)])
def test_outcomes_are_not_compared_with_what_their_reference_can_not_know(stream: StreamName, is_found: bool) -> None:
    """A file has no delays of labels, and so none that differ; a feature that comes to life is a change."""
    known = normal(1, REFERENCE, 3)
    known[:, 2] = np.nan
    lane = Lane(rows_of(known, []))
    lane.grid = replace(lane.grid, stream=stream)
    core = lane.core()
    assert (delay(core, lane, lane.encode(rows_of(normal(2, 1500, 3), []))) is not None) is is_found
    explained = core.explain()
    assert explained is not None
    assert ("x2" in [named.column for named in explained.columns]) is is_found


@pytest.mark.parametrize("values", [2000, 100_000])
def test_columns_of_many_values_do_not_drift_by_themselves(values: int) -> None:
    """Half of the rows that chose the grid, and hardly one of all others, know their own value."""
    rng = np.random.default_rng(3)

    def drawn(rows: int) -> Rows:
        return rows_of(np.zeros((rows, 0)), [rng.integers(0, values, rows).astype(str).tolist() for _ in range(3)])

    lane = Lane(drawn(2000))
    assert delay(lane.core(), lane, lane.encode(drawn(3000))) is None
