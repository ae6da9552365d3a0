"""River's detectors over the traces of one stream: which detector reads which series, and in what form.

A detector is fed with numbers in [0, 1] only: the rank of a value in the reference, or 0 and 1. Cells that are not
VALID are left out (they are counted apart), except for the input `missing(...)`, which is about them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np

from monitor.config.inputs import Form, ResolvedInput, resolve_inputs
from monitor.config.resolved import DetectorSpec
from monitor.contract import ModelContract
from monitor.detectors import DetectorState
from monitor.detectors.golden import release_of
from monitor.detectors.protocol import Detector, Reads
from monitor.detectors.state import FreshState
from monitor.drift.null import Null
from monitor.errors import FormatError
from monitor.evaluate.ranks import rank_table
from monitor.evaluate.reference import Reference
from monitor.evaluate.state import BankState
from monitor.events import CellState, Codes, Float64s, StreamName
from monitor.panes.grid import Grid, code_table, signed_codes

Sighting = tuple[str, StreamName, str]
"""A detector on a column: (detector's name, stream, column)."""


class _Input(NamedTuple):
    """What some detectors read of one series. `label`: of the form "class". `reads`: in which numbers."""

    series: int
    form: Form
    label: str | None
    reads: Reads


@dataclass(slots=True)
class _Watch:
    """One detector on one series: `input` is its place among the bank's inputs. `kind`: River's class.

    `stands_on`: its class and parameters, as JSON, and what it reads.
    """

    kind: str
    stands_on: tuple[str, _Input]
    sighting: Sighting
    input: int
    detector: Detector


CALL_US = 4.0
"""About what a trace takes for each detector, however few rows it has, µs: with five of them, more than the rows do."""


_DEPENDENT_ROWS = 500
"""Rows whose sums show how much rows depend on each other: detectors compare means of about as many."""


class DetectorBank:
    """All detectors of one stream of one model, in the order of the configuration."""

    def __init__(
        self, specs: Iterable[DetectorSpec], contract: ModelContract, grid: Grid, reference: Reference
    ) -> None:
        self._specs = tuple(specs)
        self._watches: list[_Watch] = []
        self._row_us = 0.0
        # detectors that read the same share the numbers of its codes: NaN where the cell is left out
        inputs: dict[_Input, int] = {}
        places = {name: place for place, name in enumerate(grid.series)}
        inflation = _inflation(grid, reference)
        for spec in self._specs:
            plain = spec.detector.model_dump_json(by_alias=True)
            for resolved in resolve_inputs(spec, contract):
                if resolved.stream == grid.stream:
                    read = _input(spec, resolved, places)
                    names = (grid.model, grid.stream, spec.name, resolved.column, resolved.form)
                    seed = _seed(*names) if spec.detector.draws else 0
                    sighting = (spec.name, grid.stream, resolved.column)
                    place = inputs.setdefault(read, len(inputs))
                    self._row_us += spec.detector.cost_us
                    factor = float(inflation[read.series]) if read.reads == "rank" else 1.0
                    detector = spec.detector.for_dependent(factor).build(seed)
                    self._watches.append(_Watch(spec.detector.class_, (plain, read), sighting, place, detector))
        self._numbers = _Numbers([(read.series, _table(read, grid, reference)) for read in inputs])

    def take_over(self, before: DetectorBank, reads: Reads | None = None) -> frozenset[Sighting]:
        """Go on with the detectors of another bank on the same grid that are the same here.

        Returns where they are: one that is new, or stands on something else, starts from nothing. `reads`: only those
        that read such numbers; None: the reference is the same, too, so all do.
        """
        stay = (watch for watch in before._watches if reads is None or watch.stands_on[1].reads == reads)
        had = {(watch.sighting, watch.stands_on): watch.detector for watch in stay}
        going_on = [watch for watch in self._watches if (watch.sighting, watch.stands_on) in had]
        for watch in going_on:
            watch.detector = had[watch.sighting, watch.stands_on]
        return frozenset(watch.sighting for watch in going_on)

    def work_us(self, rows: int) -> float:
        """Return about what it takes to feed a trace of that many rows to all of them, µs."""
        return rows * self._row_us + CALL_US * len(self._watches)

    def feed(self, codes: Codes) -> dict[Sighting, bool]:
        """One merged trace (m, series), in order. Detectors that got a value -> whether one saw a change."""
        fed = list(self._numbers.of(codes))
        seen: dict[Sighting, bool] = {}
        for watch in self._watches:
            values = fed[watch.input]
            if len(values):
                seen[watch.sighting] = bool(watch.detector.update(values))
        return seen

    def blind(self) -> list[Sighting]:
        """Detectors that were fed with something outside [0, 1], and can find nothing any more."""
        return [watch.sighting for watch in self._watches if watch.detector.is_blind]

    def state(self) -> BankState:
        """The state of every detector."""
        releases = self.releases
        # each is one of the union: the plug-ins and their states are the same list
        detectors = tuple(
            cast("DetectorState", watch.detector.state()) if releases[watch.kind] else FreshState()
            for watch in self._watches
        )
        return BankState(self._digest(), tuple(releases.items()), detectors)

    @property
    def releases(self) -> dict[str, str]:
        """River's classes among them, sorted, and the release of River whose answers each gives."""
        return {kind: release_of(kind) for kind in sorted({watch.kind for watch in self._watches})}

    def restore(self, state: BankState) -> None:
        """Go on from there; of a bank that was just built. Raises FormatError."""
        if state.watches != self._digest() or len(state.detectors) != len(self._watches):
            raise FormatError("not a snapshot: its detectors are not those of the rules")
        if state.releases != tuple(self.releases.items()):
            raise FormatError("not a snapshot: its detectors are of another release of River")
        for watch, detector in zip(self._watches, state.detectors, strict=True):
            watch.detector.restore(detector)

    def _digest(self) -> str:
        """Names the detectors, their classes and parameters, and what they watch, in order."""
        specs = [f"{spec.name} {spec.detector.model_dump_json(by_alias=True)}" for spec in self._specs]
        watched = ["/".join(watch.sighting) for watch in self._watches]
        return hashlib.sha256("\n".join([*specs, *watched]).encode()).hexdigest()


def taken_up(state: BankState) -> tuple[BankState, frozenset[str]]:
    """Return what the running River goes on from, and the classes in which it differs: their detectors start again."""
    here = tuple((kind, release_of(kind)) for kind, _ in state.releases)
    fresh = frozenset(kind for kind, release in {*state.releases, *here} if not release)
    fresh |= {kind for kind, _ in set(state.releases).symmetric_difference(here)}
    if not fresh:
        return state, fresh
    detectors = tuple(FreshState() if type(d).__struct_config__.tag in fresh else d for d in state.detectors)
    return BankState(state.watches, here, detectors), fresh


_AT_ONCE = 64
"""Inputs looked up together: enough to share the cost of numpy's calls, and few beside a long trace."""


class _Numbers:
    """The tables of all inputs, end to end, each with the place of its series among the codes."""

    def __init__(self, tables: Sequence[tuple[int, Float64s]]) -> None:
        sizes = np.array([len(table) for _, table in tables], dtype=np.intp)
        self._series = np.array([series for series, _ in tables], dtype=np.intp)
        self._sizes = sizes[:, np.newaxis]
        self._stops = np.cumsum(sizes)[:, np.newaxis]
        self._starts = self._stops - self._sizes
        self._tables = np.concatenate([np.zeros(0), *(table for _, table in tables)])

    def of(self, codes: Codes) -> Iterator[Float64s]:
        """What each input gives of a trace (m, series), without the cells that are left out."""
        signed = signed_codes(codes)
        for first in range(0, len(self._series), _AT_ONCE):
            part = slice(first, first + _AT_ONCE)
            places = signed[:, self._series[part]].T.astype(np.intp)
            if ((places >= self._sizes[part]) | (places < -self._sizes[part])).any():
                raise IndexError("a pane holds a code unknown to its series")  # else it would read another table
            places += np.where(places < 0, self._stops[part], self._starts[part])
            numbers = self._tables[places]
            left_out = np.isnan(numbers)
            lacking = left_out.any(axis=1).tolist()
            for row, out, lacks in zip(numbers, left_out, lacking, strict=True):
                yield row[~out] if lacks else row


def _inflation(grid: Grid, reference: Reference) -> Float64s:
    """How many times as much as of independent rows the ranks' sums over `_DEPENDENT_ROWS` vary, (series,)."""
    if reference.moments is None:
        return np.ones(len(grid.series))
    return Null(reference.moments).inflation(_DEPENDENT_ROWS)[: len(grid.series)]


def _input(spec: DetectorSpec, resolved: ResolvedInput, places: Mapping[str, int]) -> _Input:
    # the forms `missing` and `class` are 0 and 1 for every detector, and so are errors
    is_rank = resolved.form == "value" and (resolved.stream, resolved.column) != ("outcomes", "error")
    reads = spec.detector.reads if is_rank else "binary"
    return _Input(places[resolved.column], resolved.form, resolved.label, reads)


def _table(read: _Input, grid: Grid, reference: Reference) -> Float64s:
    match read.form:
        case "missing":
            return _missing_table(grid, read.series)
        case "class":
            return _class_table(grid, read.series, read.label or "")
        case _ if read.reads == "binary":
            return _bit_table(grid, read.series)
        case _:
            return rank_table(grid, reference, read.series)


def _seed(*names: str) -> int:
    """A detector's seed comes from what it watches, so that it is the same wherever it runs."""
    return int.from_bytes(hashlib.sha256("/".join(names).encode()).digest()[:4], "big")


def _missing_table(grid: Grid, series: int) -> Float64s:
    table = code_table(grid, series, 0.0)
    table[[-CellState.NULL, -CellState.ABSENT]] = 1.0
    return table


def _bit_table(grid: Grid, series: int) -> Float64s:
    """0 and 1 of a binary column, whose grid has both as atoms."""
    table, bins = code_table(grid, series, np.nan), grid.numeric[series]
    table[: bins.bins] = 0.0
    table[int(bins.codes(np.ones(1))[0]) : bins.bins] = 1.0
    return table


def _class_table(grid: Grid, series: int, label: str) -> Float64s:
    """1 if the predicted class is `label`, else 0; a class that the grid does not know is never predicted."""
    bins = grid.categorical[series - len(grid.numeric)]
    table = code_table(grid, series, np.nan)
    table[: bins.bins] = 0.0
    if label in bins.code_of:
        table[bins.code_of[label]] = 1.0
    return table
