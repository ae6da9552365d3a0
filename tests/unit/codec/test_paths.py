"""Columns within objects: the path leads to the value, in whatever tier the record is decoded."""

from __future__ import annotations

import json
from typing import Any

import pytest

from monitor.codec.decode import Decoder
from monitor.contract import ColumnSpec, ModelContract, StreamContract
from monitor.events import CellState, RecordBatch

COLUMNS = (
    ColumnSpec("area", ("house", "area"), "numerical"),
    ColumnSpec("literal", "house.area", "numerical"),
    ColumnSpec("x", "x", "numerical"),
)
STREAM = StreamContract("features", "in", ("meta", "time"), COLUMNS)
DECODER = Decoder("in", [ModelContract("m", 10_000, 0, None, 0, 100, 2048, (STREAM,))])
TIME = "2026-03-01T00:00:00Z"


def decoded(features: Any, meta: Any, *beside: bytes) -> tuple[list[int], list[float], list[str]]:
    """States and values of the first event's cells, and the reasons of dead letters."""
    event = {"event_id": "1", "model": "m", "meta": meta, "features": features}
    values = [json.dumps(event).encode(), *beside]
    n = len(values)
    batch = DECODER.decode(RecordBatch("in", 0, range(n), [0] * n, [None] * n, values, [()] * n))
    reasons = [rejected.reason for rejected in batch.rejected if rejected.offset == 0]
    rows = batch.rows[0] if batch.rows and not reasons else None
    if rows is None:
        return [], [], reasons
    return rows.numeric_states[0].tolist(), rows.numeric[0].tolist(), reasons


@pytest.mark.parametrize("beside", [(), (b"[",), (b'{"x": NaN}',)], ids=["typed", "broken", "lenient"])
@pytest.mark.parametrize(
    ("house", "state"),
    [
        ({"area": 5.0}, CellState.VALID),
        ({"area": 5}, CellState.VALID),
        ({"area": None}, CellState.NULL),
        ({"area": "5"}, CellState.WRONG_TYPE),
        ({}, CellState.ABSENT),
        (None, CellState.ABSENT),
        ("area", CellState.ABSENT),
        ([{"area": 5}], CellState.ABSENT),
    ],
)
def test_a_path_leads_to_a_value(house: Any, state: CellState, beside: tuple[bytes, ...]) -> None:
    """A plain field with a point in it is another one; what is no object on the way is an absent value."""
    features = {"house": house, "house.area": 7.0, "x": 1.0}
    states, values, _ = decoded(features, {"time": TIME}, *beside)
    assert states == [state, CellState.VALID, CellState.VALID]
    assert values[1:] == [7.0, 1.0]
    if state == CellState.VALID:
        assert values[0] == 5.0


@pytest.mark.parametrize("meta", [None, {}, TIME, {"time": None}])
def test_a_time_that_its_path_does_not_lead_to_is_missing(meta: Any) -> None:
    """The record is a dead letter."""
    assert decoded({"x": 1.0}, meta)[2] == ["missing_time"]
