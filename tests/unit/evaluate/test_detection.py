"""The numbers that detectors are fed with: of all inputs at once, what one table after the other gives."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.config import load
from monitor.config.resolved import DetectorSpec
from monitor.contract import ModelContract
from monitor.evaluate.detection import DetectorBank, _Numbers
from monitor.evaluate.reference import build_reference
from monitor.events import Codes, Float64s
from monitor.panes.grid import make_grid
from tests.unit import making

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


FILE = """
version: 1
models:
  m: {{task: regression, streams: {{features: {{topic: f}}}}, columns: {{numerical: [x, y], categorical: [c]}}}}
detectors:
{detectors}
groups:
  - {{name: g, models: [m], rules: [{{alert: A, expr: psi > 0.2}}]}}
"""
ADWIN = "  adwin: {class: ADWIN, input: '*'}"
PAGE = "  page: {class: PageHinkley, input: x}"
KSWIN = "  kswin: {class: KSWIN, params: {window_size: 40, stat_size: 15}, input: y}"


def watched(*detectors: str) -> tuple[tuple[DetectorSpec, ...], ModelContract]:
    model = load(FILE.format(detectors="\n".join(detectors)), "f").models[0]
    return model.rules.detectors, model.contract


def bank(*detectors: str) -> DetectorBank:
    specs, contract = watched(*detectors)
    rows = making.rows(range(300), range(300))
    grid = make_grid(rows, contract.streams[0])
    return DetectorBank(specs, contract, grid, build_reference(grid, rows, "x"))


def traces() -> list[Codes]:
    rng = np.random.default_rng(3)
    return [rng.integers(0, 3, (60, 3)).astype(np.uint16) for _ in range(6)]


def states(of: DetectorBank) -> dict[tuple[str, str, str], object]:
    return dict(zip([watch.sighting for watch in of._watches], of.state().detectors, strict=True))


@pytest.mark.parametrize(
    ("before", "after", "going_on"),
    [
        ((ADWIN, KSWIN), (ADWIN, KSWIN, PAGE), {"adwin/x", "adwin/y", "adwin/c", "kswin/y"}),
        ((ADWIN, KSWIN, PAGE), (PAGE, ADWIN), {"adwin/x", "adwin/y", "adwin/c", "page/x"}),
        ((ADWIN, PAGE), (ADWIN.replace("'*'", "'[xy]*'"), PAGE), {"adwin/x", "adwin/y", "page/x"}),
        ((ADWIN, PAGE), (ADWIN.replace("ADWIN,", "ADWIN, params: {delta: 0.1},"), PAGE), {"page/x"}),
        ((ADWIN, PAGE), (ADWIN, PAGE.replace("PageHinkley", "KSWIN")), {"adwin/x", "adwin/y", "adwin/c"}),
        ((ADWIN, PAGE), (ADWIN, PAGE.replace("input: x", "input: missing(x)")), {"adwin/x", "adwin/y", "adwin/c"}),
        ((ADWIN, PAGE), (ADWIN, PAGE.replace("input: x", "input: y")), {"adwin/x", "adwin/y", "adwin/c"}),
        ((PAGE,), (PAGE.replace("page:", "other:"),), set()),
    ],
)
def test_a_detector_starts_again_if_it_changes_and_no_other(
    before: tuple[str, ...], after: tuple[str, ...], going_on: set[str]
) -> None:
    """Those that stay are where they would be without the change; of the rest all that was read before is forgotten."""
    whole, first, second, fresh = bank(*before), bank(*before), bank(*after), bank(*after)
    for codes in traces()[:4]:
        first.feed(codes)
        whole.feed(codes)
    assert {f"{detector}/{column}" for detector, _, column in second.take_over(first)} == going_on
    for codes in traces()[4:]:
        for one in (whole, second, fresh):
            one.feed(codes)
    stayed, started = states(whole), states(fresh)
    for sighting, state in states(second).items():
        name = f"{sighting[0]}/{sighting[2]}"
        assert state == (stayed if name in going_on else started)[sighting], name
    assert second.state().watches == fresh.state().watches
