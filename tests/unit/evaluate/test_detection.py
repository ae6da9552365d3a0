"""The numbers that detectors are fed with: of all inputs at once, what one table after the other gives."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.evaluate.detection import _Numbers
from monitor.events import Codes, Float64s

INVALID = 6
"""Places at the end of a table, for the states of invalid cells."""


def tables(rng: np.random.Generator, inputs: int) -> list[tuple[int, Float64s]]:
    """Of three series, in sizes of their own; some of the numbers are NaN, in some tables none."""
    made = []
    for k in range(inputs):
        series = int(rng.integers(3))
        table = rng.random((5, 40, 300)[series] + INVALID)
        if k % 3:
            table[rng.random(len(table)) < 0.3] = np.nan
        made.append((series, table))
    return made


def trace(rng: np.random.Generator, rows: int) -> Codes:
    """Codes of three series, valid and not."""
    columns = [
        np.where(rng.random(rows) < 0.2, -rng.integers(1, 7, rows), rng.integers(0, n, rows)) for n in (5, 40, 300)
    ]
    return np.stack(columns, axis=1).astype(np.uint16)


@pytest.mark.parametrize("inputs", [0, 1, 64, 65, 200])
@pytest.mark.parametrize("rows", [0, 1, 7, 500])
def test_all_inputs_at_once_give_what_each_alone_gives(inputs: int, rows: int) -> None:
    """A cell that is not valid is read from the end of its series' table, and what is NaN is left out."""
    rng = np.random.default_rng([inputs, rows])
    made, codes = tables(rng, inputs), trace(rng, rows)
    found = [values.tolist() for values in _Numbers(made).of(codes)]
    alone = [[table[code] for code in codes.view(np.int16)[:, series].tolist()] for series, table in made]
    assert found == [[value for value in values if not np.isnan(value)] for values in alone]


@pytest.mark.parametrize("code", [11, 65536 - 12])
def test_a_code_beyond_its_table_reads_no_other(code: int) -> None:
    """A pane that does not fit its grid is an error, not the numbers of the next series."""
    numbers = _Numbers([(0, np.zeros(11)), (1, np.zeros(11)), (0, np.zeros(11))])
    with pytest.raises(IndexError, match="unknown to its series"):
        list(numbers.of(np.array([[0, code]], dtype=np.uint16)))
