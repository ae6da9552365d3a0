"""`drift` in a lane: who has it, when it begins from nothing, and that a restart at any pane changes none of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from monitor.config.expression import parse
from monitor.config.inputs import asks_for_drift
from monitor.config.resolved import ModelRules, SolvedLane
from monitor.contract import ColumnSpec, ModelContract, StreamContract
from monitor.drift.core import SHIPPED
from monitor.errors import FormatError
from monitor.evaluate.lane_drift import Asked, sight_of
from monitor.evaluate.reference import Reference, build_reference, decode_reference, encode_reference
from monitor.evaluate.state import StreamState
from monitor.evaluate.stream import StreamFold
from monitor.events import Float64s, Rows
from monitor.panes.grid import Grid, encode_rows, make_grid
from monitor.panes.merging import MergedPane
from tests.unit.evaluate.test_rules import a_rule, model_rules

PANE_MS, PANE_ROWS = 1000, 7
COLUMNS = tuple(ColumnSpec(name, name, "numerical") for name in "abc")
FEATURES = StreamContract("features", "t", "event_time", COLUMNS)
CONTRACT = ModelContract("m", PANE_MS, 0, 1000, 100, 300, 64, (FEATURES,))
DRIFT = model_rules(a_rule("drift > 1"))
PSI = model_rules(a_rule("psi > 0.2"))


def rows_of(values: Float64s) -> Rows:
    n = len(values)
    states, none = np.zeros(values.shape, dtype=np.uint8), np.zeros((n, 0), dtype=np.uint8)
    place = np.arange(n), np.zeros(n, dtype=np.int32), np.arange(n) * 100
    return Rows("m", "features", "c", *place, values, states, (), none)


def normal(seed: int, rows: int, shift: float = 0.0) -> Float64s:
    """Three columns, of which the second is shifted."""
    values: Float64s = np.random.default_rng(seed).normal(size=(rows, 3))
    values[:, 1] += shift
    return values


SAMPLE = rows_of(normal(0, 300))
GRID = make_grid(SAMPLE, FEATURES)
REFERENCE = build_reference(GRID, SAMPLE, "sample")


def panes_of(values: Float64s) -> list[MergedPane | None]:
    """Panes of seven rows, so that a block has two; every ninth is empty."""
    panes: list[MergedPane | None] = []
    for first in range(0, len(values), PANE_ROWS):
        codes, counts = encode_rows(GRID, rows_of(values[first : first + PANE_ROWS]))
        panes.append(MergedPane(len(panes), len(codes), None, counts, codes, (), ()))
        if len(panes) % 9 == 8:
            panes.append(None)
    return panes


STILL = panes_of(normal(1, 700))
SHIFTED = panes_of(normal(2, 350, shift=1.0))


def a_fold(rules: ModelRules = DRIFT, reference: Reference = REFERENCE, grid: Grid = GRID) -> StreamFold:
    fold = StreamFold(CONTRACT, FEATURES, grid, reference)
    fold.use(rules, CONTRACT)
    return fold


def values_of(fold: StreamFold, panes: Sequence[MergedPane | None], first: int = 0) -> list[float | None]:
    """What a judgement behind each pane sees."""
    found = []
    for number, pane in enumerate(panes, first):
        fold.add((number + 1) * PANE_MS, pane)
        found.append(fold.take_drift())
    return found


def restarted(fold: StreamFold, rules: ModelRules = DRIFT) -> StreamFold:
    """Another one that goes on from the state, as bytes."""
    again = a_fold(rules)
    again.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(fold.state()), type=StreamState))
    return again


def test_it_stays_below_the_limit_until_the_stream_shifts_and_then_above() -> None:
    """A value with each block of ten rows, none with the panes between; the change lies where the shift began."""
    fold = a_fold()
    still = values_of(fold, STILL)
    assert {value is None for value in still} == {True, False}
    assert all(0.0 <= value < 1.0 for value in still if value is not None)
    shifted = [value for value in values_of(fold, SHIFTED, len(STILL)) if value is not None]
    above = [value > 1.0 for value in shifted]
    assert above.index(True) * 14 <= 100
    assert all(above[8:])
    found = fold.explain_drift()
    assert found is not None
    assert [column.column for column in found.columns] == ["b"]
    assert abs(found.change.at - len(STILL) * PANE_MS) <= 4 * PANE_MS


def test_a_judgement_sees_the_largest_since_the_one_before() -> None:
    """However many panes lie between, and once."""
    each, fold = values_of(a_fold(), [*STILL, *SHIFTED]), a_fold()
    for start in range(0, len(each) - 9, 10):
        for number, pane in enumerate([*STILL, *SHIFTED][start : start + 10], start):
            fold.add((number + 1) * PANE_MS, pane)
        assert fold.take_drift() == max(value for value in each[start : start + 10] if value is not None)
        assert fold.take_drift() is None


@pytest.mark.parametrize("interval", [1, 4])
def test_a_restart_at_any_pane_changes_nothing(interval: int) -> None:
    """Values, explanation and state; also between two judgements, within a block, and before the first pane."""
    panes = [*STILL[:60], *SHIFTED[:30]]
    undisturbed, fold = a_fold(), restarted(a_fold())
    for number, pane in enumerate(panes):
        for one in (undisturbed, fold):
            one.add((number + 1) * PANE_MS, pane)
        fold = restarted(fold)
        assert fold.state() == undisturbed.state()
        if number % interval == 0:
            assert fold.take_drift() == undisturbed.take_drift()
        assert fold.explain_drift() == undisturbed.explain_drift()


def test_another_reference_begins_from_nothing() -> None:
    """As if the lane had just been opened with it."""
    other = build_reference(GRID, rows_of(normal(5, 300, shift=1.0)), "other")
    fold = a_fold()
    assert max(value or 0.0 for value in values_of(fold, [*STILL, *SHIFTED])) > 1.0
    fold.compare_with(other)
    assert fold.take_drift() is None
    assert fold.explain_drift() is None
    assert values_of(fold, SHIFTED, 500) == values_of(a_fold(reference=other), SHIFTED, 500)


def test_rules_decide_who_has_it() -> None:
    """It begins with the first pane behind a rule that asks for it, goes on under others, and ends with them."""
    fold = a_fold(PSI)
    assert values_of(fold, STILL[:50]) == [None] * 50
    assert fold.state().drift is None
    fold.use(DRIFT, CONTRACT)
    expected = values_of(a_fold(), [*STILL[50:], *SHIFTED], 50)
    found = values_of(fold, STILL[50:], 50)
    fold.use(model_rules(a_rule("drift > 2"), a_rule("psi > 0.2")), CONTRACT)
    assert found + values_of(fold, SHIFTED, len(STILL)) == expected
    fold.use(PSI, CONTRACT)
    assert values_of(fold, SHIFTED, 500) == [None] * len(SHIFTED)
    assert fold.state().drift is None


@pytest.mark.parametrize(
    ("expr", "asks"), [("drift > 1", True), ('drift{stream="predictions"} > 1', False), ("psi > 1", False)]
)
def test_a_rule_on_another_stream_does_not_ask_for_it(expr: str, asks: bool) -> None:
    assert asks_for_drift(model_rules(a_rule(expr)), "features") is asks


def test_its_work_is_counted() -> None:
    """More than without it, and with each pane."""
    with_it, without = a_fold(), a_fold(PSI)
    for fold in (with_it, without):
        values_of(fold, STILL)
    assert with_it.work_us > without.work_us + 10 * len(STILL)


def test_a_reference_of_an_older_release_gives_none() -> None:
    """Its rows said nothing beside their counts; all else is judged as ever."""
    older = replace(REFERENCE, moments=None)
    assert decode_reference(encode_reference(older), [GRID])[0].moments is None
    fold = a_fold(reference=older)
    assert values_of(fold, [*STILL, *SHIFTED]) == [None] * len([*STILL, *SHIFTED])
    assert fold.state().drift is None
    assert fold.explain_drift() is None


def test_a_state_of_another_grid_is_refused() -> None:
    fold = a_fold()
    values_of(fold, STILL[:5])
    state = fold.state()
    assert state.drift is not None
    assert state.drift.core is not None
    core = msgspec.structs.replace(state.drift.core, open=state.drift.core.open[:-1])
    wrong = msgspec.structs.replace(state, drift=msgspec.structs.replace(state.drift, core=core))
    with pytest.raises(FormatError):
        a_fold().restore(wrong)


def test_a_season_that_is_named_reaches_the_core_as_rows_of_the_reference() -> None:
    """A tenth of the reference's time holds a tenth of its rows; with times that are unknown there is no season."""
    tenth = (299 * 100) // 10
    assert REFERENCE.rows_in(tenth) == 30
    assert REFERENCE.rows_in(0) == 0
    assert REFERENCE.without_times().rows_in(tenth) == 0
    seasonal = normal(5, 300)
    seasonal[:, 0] += 3 * np.sin(2 * np.pi * np.arange(300) / 30)
    grid = make_grid(rows_of(seasonal), FEATURES)
    reference = build_reference(grid, rows_of(seasonal), "sample")
    named, unnamed = sight_of(grid, reference, Asked(tenth)), sight_of(grid, reference)
    assert named is not None
    assert unnamed is not None
    assert named.shifts[1000]["a"] < unnamed.shifts[1000]["a"]


def test_another_season_begins_from_nothing_and_the_same_goes_on() -> None:
    """What the windows hold was judged by another null."""
    fold = a_fold()
    values_of(fold, SHIFTED)
    assert fold.explain_drift() is not None
    fold.use(DRIFT, CONTRACT)
    assert fold.explain_drift() is not None
    fold.use(DRIFT.model_copy(update={"season_ms": 86_400_000}), CONTRACT)
    assert fold.explain_drift() is None


def solved(
    limits: tuple[float, float, float] | None, reference: str = REFERENCE.digest, pieces: int = 100
) -> ModelRules:
    """The rule on drift with what a lock holds for the lane."""
    lane = SolvedLane(reference=reference, pieces=pieces, limits=limits)
    return DRIFT.model_copy(update={"solved": {"features": lane}})


def test_limits_of_a_lock_take_the_place_of_those_that_are_shipped() -> None:
    """Evidence is the same, and is divided by them; other limits begin from nothing."""
    fold, strict, shipped = (
        a_fold(),
        a_fold(solved((10.8, 9.0, 9.8))),
        a_fold(solved((SHIPPED.family, SHIPPED.column, SHIPPED.correlation))),
    )
    values, larger = values_of(fold, SHIFTED), values_of(strict, SHIFTED)
    assert values_of(shipped, SHIFTED) == values
    assert max(value or 0.0 for value in larger) < max(value or 0.0 for value in values)
    fold.use(solved((5.0, 4.0, 4.0)), CONTRACT)
    assert fold.explain_drift() is None


def test_what_is_found_is_unverified_if_the_lock_does_not_fit() -> None:
    """It says why: another reference, too few pieces; rules and lanes without numbers of a lock are as they were."""
    drift, psi = (rules.rules[0].comparison for rules in (DRIFT, PSI))
    far = parse('wasserstein > calibrated("1 per day")')
    limits = (5.1, 4.4, 4.8)
    assert [a_fold().doubt(one) for one in (drift, psi)] == [None, None]
    assert [a_fold(solved(limits)).doubt(one) for one in (drift, psi, far)] == [None, None, None]
    other = "alerts.lock.yaml was solved for another reference: run `streamdrift calibrate` again"
    fold = a_fold(solved(limits, "sha256:0"))
    assert [fold.doubt(one) for one in (drift, psi, far)] == [other, None, other]
    fold = a_fold(solved(None, "sha256:0"))
    assert [fold.doubt(one) for one in (drift, psi, far)] == [None, None, other]
    few = "alerts.lock.yaml was solved on 7 independent pieces of a reference, fewer than 8"
    assert a_fold(solved(limits, pieces=7)).doubt(far) == few
    assert a_fold().doubt(far) == "alerts.lock.yaml was solved without this stream: run `streamdrift calibrate` again"


def test_what_is_found_with_a_reference_of_few_pieces_is_unverified() -> None:
    """A season that it holds thrice: it says how many rows would do, whether there is a lock or not."""
    seasonal = normal(5, 3000) + np.sin(2 * np.pi * np.arange(3000) / 1000)[:, np.newaxis]
    grid = make_grid(rows_of(seasonal), FEATURES)
    reference = build_reference(grid, rows_of(seasonal), "sample")
    fold = a_fold(reference=reference, grid=grid)
    why = fold.doubt(DRIFT.rules[0].comparison)
    assert why is not None
    assert re.fullmatch(r"the reference holds [1-7] independent .* from 8 on: \d+ rows would do", why)
    assert fold.doubt(PSI.rules[0].comparison) is None
