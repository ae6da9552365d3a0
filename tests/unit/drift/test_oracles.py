"""The core against its definition, and under what must not matter: order of columns and rows, panes, restarts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import numpy as np
import pytest

from monitor.drift.core import Drift, DriftState, Evidence
from monitor.events import Codes, DriftKind, Float64s, Int64s, Rows
from tests.unit.drift.making import Lane, rows_of
from tests.unit.drift.slow_core import SlowCore, rows_of_codes


class Case(NamedTuple):
    """A lane with rows behind its reference, and these cut to panes."""

    lane: Lane
    codes: Codes
    panes: list[Codes]


def column(rng: np.random.Generator, rows: int, kind: int) -> Float64s:
    """Numbers: normal, skewed, few, heavy-tailed, rarely or sometimes other than 0, never, dependent, only in size."""
    noise: Float64s = rng.normal(size=rows)
    if kind in (7, 8):
        for i in range(1, rows):
            noise[i] += 0.8 * noise[i - 1]
    others = (
        noise,
        rng.lognormal(size=rows),
        rng.integers(0, 4, rows),
        rng.standard_t(2, rows),
        rng.random(rows) < 0.03,
        rng.random(rows) < 0.14,
        np.full(rows, 5),
        noise,
        np.abs(noise) * rng.choice([-1, 1], rows),
    )
    return np.asarray(others[kind], dtype=np.float64)


def draw(rng: np.random.Generator, rows: int, kinds: list[int], shift: float = 0.0) -> Rows:
    """Rows of columns of these kinds; 9 and above are categories, of ever more values."""
    numeric = [column(rng, rows, kind) + shift for kind in kinds if kind < 9]
    values = np.stack(numeric, axis=1) if numeric else np.zeros((rows, 0))
    values[rng.random(values.shape) < 0.04] = np.nan
    categories = [
        [f"v{v}" for v in (rng.zipf(1.4, rows) + int(4 * shift)) % 8 ** (kind - 8)] for kind in kinds if kind > 8
    ]
    return rows_of(values, categories)


def cuts(rng: np.random.Generator, rows: int, most: int) -> Int64s:
    """Where panes of 0 to `most` rows end."""
    stops = np.cumsum(rng.integers(0, most + 1, rows))
    return stops[stops < rows]


def case(seed: int, kinds: list[int], reference: int, rows: int, most: int = 20) -> Case:
    """A lane of such columns; a third of the rows behind its reference are as those in it, then they drift."""
    rng = np.random.default_rng(seed)
    lane = Lane(draw(rng, reference, kinds))
    codes = np.concatenate(
        [lane.encode(draw(rng, rows // 3, kinds)), lane.encode(draw(rng, rows - rows // 3, kinds, 0.2))]
    )
    return Case(lane, codes, np.split(codes, cuts(rng, len(codes), most)))


def evidence_of(
    core: Drift, lane: Lane, panes: list[Codes], step: int = 1, first: int = 0
) -> Iterator[Evidence | None]:
    """Evidence of panes whose trace has each `step`-th row; `first`: number of the first one."""
    for number, pane in enumerate(panes, first):
        yield core.add(1000 * number, len(pane), lane.grid.layout.count(pane), pane[::step])


KINDS = {
    "numbers": [0, 1, 2, 3],
    "categories": [9, 10, 11, 12],
    "both": [0, 5, 2, 4, 6, 9, 11],
    "sometimes": [5, 5, 5, 5],
    "dependent": [7, 8, 0, 9],
    "one": [0],
    "groups": [0, 1, 2, 4, 0] * 10 + [0, 2, 9],
}


@pytest.mark.parametrize(
    ("kinds", "reference", "rows", "most", "step"),
    [
        ("numbers", 611, 1200, 20, 3),
        ("categories", 1307, 1200, 20, 1),
        ("both", 907, 900, 20, 3),
        ("both", 43, 300, 20, 1),
        ("sometimes", 1103, 500, 20, 1),
        ("dependent", 2003, 1200, 20, 1),
        ("one", 499, 6500, 20, 1),
        ("both", 809, 300, 1, 1),
        ("numbers", 1201, 2000, 300, 1),
        ("groups", 211, 80, 20, 3),
    ],
)
def test_evidence_is_that_of_the_definition(kinds: str, reference: int, rows: int, most: int, step: int) -> None:
    """Of every pane, to ten digits: whatever the columns, panes, and share of rows in the trace."""
    lane, _, panes = case(3, KINDS[kinds], reference, rows, most)
    slow = SlowCore(lane)
    for pane, found in zip(panes, evidence_of(lane.core(), lane, panes, step), strict=True):
        codes = rows_of_codes(pane)
        expected = slow.add(codes, codes[::step])
        assert (found is None) == (expected is None)
        if found is not None and expected is not None:
            assert tuple(found) == pytest.approx(tuple(expected), rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("kinds", [kinds for kinds in KINDS if kinds != "groups"])
def test_the_order_of_columns_changes_no_name_and_no_evidence(kinds: str) -> None:
    """Column and correlation have the same bits; the family, whose algebra goes by the order, ten digits."""
    rng = np.random.default_rng(5)
    reference, later = draw(rng, 1103, KINDS[kinds]), draw(rng, 1500, KINDS[kinds], 0.2)
    stops = cuts(rng, 1500, 20)
    numeric, categorical = np.arange(reference.numeric.shape[1]), np.arange(len(reference.categorical))
    one = named(reference, later, stops, numeric, categorical)
    other = named(reference, later, stops, rng.permutation(numeric), rng.permutation(categorical))
    assert [tuple(e)[1:] for e in one.evidence] == [tuple(e)[1:] for e in other.evidence]
    assert [e.family for e in one.evidence] == pytest.approx([e.family for e in other.evidence], rel=1e-10)
    assert one.columns == other.columns


class Named(NamedTuple):
    """Evidence of panes, and what is named behind them, pairs in either order."""

    evidence: list[Evidence]
    columns: set[tuple[frozenset[str | None], float, DriftKind | None]]


def named(reference: Rows, later: Rows, stops: Int64s, numeric: Int64s, categorical: Int64s) -> Named:
    """What is found if columns stand in this order. `stops`: of panes."""
    first, behind = (
        rows_of(rows.numeric[:, numeric], [rows.categorical[k] for k in categorical.tolist()])
        for rows in (reference, later)
    )
    lane = Lane(first)
    core, codes = lane.core(), lane.encode(behind)
    evidence = [e for e in evidence_of(core, lane, np.split(codes, stops)) if e is not None]
    name = dict(zip(lane.grid.series, [*(f"x{j}" for j in numeric), *(f"c{j}" for j in categorical)], strict=True))
    name |= {"": ""}
    explanation = core.explain()
    assert explanation is not None
    return Named(
        evidence,
        {(frozenset({name[one.column], name[one.with_column or ""]}), one.z, one.kind) for one in explanation.columns},
    )


@pytest.mark.parametrize("kinds", KINDS)
def test_blocks_do_not_depend_on_how_they_are_cut(kinds: str) -> None:
    """A block is the same if its rows come in several panes, in another order, and with empty panes between."""
    lane, codes, _ = case(4, KINDS[kinds], 307, 600)
    rng = np.random.default_rng(6)
    blocks = np.split(codes, np.cumsum(rng.integers(10, 20, 30)))[:-1]
    whole, parts = lane.core(), lane.core()
    for number, block in enumerate(blocks):
        (expected,) = evidence_of(whole, lane, [block], first=number)
        mixed = rng.permutation(block)
        cuts = np.sort(rng.integers(1, 10, 3)).tolist()
        *before, found = evidence_of(parts, lane, np.split(mixed, cuts), first=number)
        assert before == [None] * 3
        assert found == expected
        assert found is not None
        assert parts.state() == whole.state()


@pytest.mark.parametrize("kinds", KINDS)
def test_a_core_that_is_restored_at_every_pane_goes_on_with_the_same_bits(kinds: str) -> None:
    """Its evidence, its state and what it explains, whatever the panes; blocks may be open."""
    lane, _, panes = case(8, KINDS[kinds], 307, 400)
    whole, again = lane.core(), lane.core()
    for number, pane in enumerate(panes):
        expected, found = (next(evidence_of(core, lane, [pane], first=number)) for core in (whole, again))
        assert found == expected
        raw = msgspec.msgpack.encode(again.state())
        assert raw == msgspec.msgpack.encode(whole.state())
        again = lane.core()
        again.restore(msgspec.msgpack.decode(raw, type=DriftState))
    assert again.explain() == whole.explain()
    assert whole.explain() is not None
