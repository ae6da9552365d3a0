"""River's detectors over the traces of one stream: which detector reads which series, and in what form.

A detector is fed with numbers in [0, 1] only: the rank of a value in the reference, or 0 and 1. Cells that are not
VALID are left out (they are counted apart), except for the input `missing(...)`, which is about them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from monitor.config.inputs import ResolvedInput, resolve_inputs
from monitor.config.resolved import DetectorSpec
from monitor.contract import ModelContract
from monitor.detectors.protocol import Detector
from monitor.evaluate.ranks import CODES, rank_table
from monitor.evaluate.reference import Reference
from monitor.events import CellState, Codes, Float64s, StreamName
from monitor.panes.grid import FIRST_INVALID, INVALID_BASE, Grid

Sighting = tuple[str, StreamName, str]
"""A detector on a column: (detector's name, stream, column)."""


@dataclass(slots=True)
class _Watch:
    """One detector on one series: `values` gives the number of each code, NaN where the cell is left out."""

    sighting: Sighting
    series: int
    values: Float64s
    detector: Detector


class DetectorBank:
    """All detectors of one stream of one model, in the order of the configuration."""

    def __init__(
        self, specs: Iterable[DetectorSpec], contract: ModelContract, grid: Grid, reference: Reference
    ) -> None:
        self._watches = [
            _watch(spec, resolved, grid, reference)
            for spec in specs
            for resolved in resolve_inputs(spec, contract)
            if resolved.stream == grid.stream
        ]

    def feed(self, codes: Codes) -> dict[Sighting, bool]:
        """One merged trace (m, series), in order. Detectors that got a value -> whether one saw a change."""
        seen: dict[Sighting, bool] = {}
        for watch in self._watches:
            values = watch.values[codes[:, watch.series]]
            values = values[~np.isnan(values)]
            if len(values):
                seen[watch.sighting] = bool(watch.detector.update(values))
        return seen


def _watch(spec: DetectorSpec, resolved: ResolvedInput, grid: Grid, reference: Reference) -> _Watch:
    series = grid.series.index(resolved.column)
    match resolved.form:
        case "missing":
            values = _missing_table()
        case "class":
            values = _class_table(grid, series, resolved.label or "")
        case _ if spec.detector.eats == "binary":
            values = _bit_table(grid, series)
        case _:
            values = rank_table(grid, reference, series)
    seed = _seed(grid.model, grid.stream, spec.name, resolved.column, resolved.form)
    return _Watch((spec.name, grid.stream, resolved.column), series, values, spec.detector.build(seed))


def _seed(*names: str) -> int:
    """A detector's seed comes from what it watches, so that it is the same wherever it runs."""
    return int.from_bytes(hashlib.sha256("/".join(names).encode()).digest()[:4], "big")


def _missing_table() -> Float64s:
    table = np.zeros(CODES)
    table[[INVALID_BASE - CellState.NULL, INVALID_BASE - CellState.ABSENT]] = 1.0
    return table


def _bit_table(grid: Grid, series: int) -> Float64s:
    """0 and 1 of a binary column, whose grid has both as atoms."""
    table = np.full(CODES, np.nan)
    table[:FIRST_INVALID] = 0.0
    table[int(grid.numeric[series].codes(np.ones(1))[0]) : FIRST_INVALID] = 1.0
    return table


def _class_table(grid: Grid, series: int, label: str) -> Float64s:
    """1 where the predicted class is `label`; a class that the grid does not know is never predicted."""
    bins = grid.categorical[series - len(grid.numeric)]
    table = np.full(CODES, np.nan)
    table[:FIRST_INVALID] = 0.0
    if label in bins.code_of:
        table[bins.code_of[label]] = 1.0
    return table
