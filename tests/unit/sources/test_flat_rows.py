"""Rows as JSON without an envelope are read as a table of the same rows is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from monitor.codec.decode import Decoder
from monitor.contract import ColumnSpec, ModelContract, StreamContract
from monitor.errors import ConfigurationError
from monitor.sources.file_recordings import PlainRows, plain
from monitor.sources.references import references_of_file
from monitor.sources.unusable import Unusable
from tests.unit.sources.tables import CONTRACT, TIME, Row, cells, decoded_json

ROWS: list[dict[str, Any]] = [
    {"x": 1.5, "b": True, "c": "a", "t": "abc", "more": [1]},
    {"x": None, "b": "yes", "c": 2.0, "t": ""},
    {"x": "?", "b": 2, "c": None},
    {},
]


def read(path: Path, contract: ModelContract = CONTRACT, unusable: Unusable | None = None, **how: Any) -> list[Row]:
    batches = list(plain([path], contract, PlainRows(**how), unusable).sequences(lambda _: None)[0])
    return cells([Decoder(batch.topic, [contract]).decode(batch) for batch in batches])


@pytest.mark.parametrize("time", [TIME, "2026-03-01", "2026-03-01 00:00:00", 1772323200, 1772323200000.0])
@pytest.mark.parametrize("is_array", [True, False])
def test_rows_give_the_cells_of_a_topic(tmp_path: Path, time: Any, is_array: bool) -> None:
    """Lines or an array; the time in every form of tables."""
    rows = [{**row, "event_time": time} for row in ROWS]
    path, unusable = tmp_path / "rows", Unusable()
    path.write_text(json.dumps(rows) if is_array else "\n".join(map(json.dumps, rows)))
    assert read(path, unusable=unusable) == decoded_json(ROWS)
    assert bool(unusable.lines()) == (time != TIME)


def test_predictions_stand_at_the_top(tmp_path: Path) -> None:
    """The envelope goes behind them; a line that is no row costs itself."""
    stream = StreamContract("predictions", "out", "event_time", (ColumnSpec("prediction", "y", "categorical"),))
    contract = ModelContract("m", 10_000, 30_000, 30_000, 60_000, 100, 2048, (stream,))
    path = tmp_path / "rows"
    path.write_text(
        f'{{"event_time": "{TIME}", "y": 1.0}}\n{{broken\n{{"event_time": "{TIME}", "y": NaN}}\n{{"y": 2}}\n'
    )
    assert [(row[3], row[4]) for row in read(path, contract)] == [(("1",), [0]), (("",), [4])]


def test_rows_without_times_or_columns_are_refused(tmp_path: Path) -> None:
    """As tables are; with a start they are a step apart, and a reference needs no times."""
    path = tmp_path / "rows"
    path.write_text('{"x": 1}\n{"x": 2}\n')
    with pytest.raises(ConfigurationError, match=r"no column event_time.*--start"):
        read(path)
    assert [row[0] for row in read(path, start_ms=1772323200000, step_ms=500)] == [1772323200000, 1772323200500]
    assert [reference.events for _, reference in references_of_file(path, CONTRACT)] == [2]
    path.write_text('{"X": 1}\n')
    for refused in (read, lambda path: references_of_file(path, CONTRACT)):
        with pytest.raises(ConfigurationError, match="did you mean 'X'"):
            refused(path)
