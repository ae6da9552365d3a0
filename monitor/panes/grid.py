"""The grid: fixed bins and scales of one stream of one model, made once from a sample and named by its digest.

A numeric series has `edges` e0 < e1 < ... < em. Code 0 counts x < e0, code i counts e(i-1) <= x < e(i), code m
counts x >= em: the first and the last bin are the overflow bins. A value that repeats in the sample (a share of at
least 1/256) is an *atom*: it gets the bin [a, nextafter(a)) for itself. The other values share the rest of the 256
bins by quantiles. A categorical series has a dictionary, most frequent value first; the code after the last value
counts everything else. A value that is not VALID gets a code from the top of the range that tells its state.

Sums are integers too: q = round((x - center) / unit), clipped to +-2**18, so that they are exact and order-free.
`unit` makes 2**14 of the sample's spread; so moments are those of values clipped at 16 spreads.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property

import msgspec
import numpy as np

from monitor.codec.formats import decode_format
from monitor.contract import StreamContract
from monitor.errors import FormatError
from monitor.events import CellState, Codes, Float64s, Int16s, Int64s, Rows, States, StreamName
from monitor.panes.steps import Steps, at_once

BINS = 256
INVALID_BASE = 65536
"""A cell that is not VALID has code INVALID_BASE - state."""
FIRST_INVALID = INVALID_BASE - max(CellState)
INVALID_STATES = len(CellState) - 1
MAX_CATEGORIES = 1000
CLIP = 1 << 18
_UNITS_PER_SPREAD = 1 << 14
_SMALLEST_UNIT = float(np.finfo(np.float64).tiny)
"""A subnormal spread would leave a unit of 0."""


@dataclass(frozen=True)
class NumericBins:
    """Bins of one numeric series. `edges` ascending; `atoms`: codes of bins that hold one value."""

    name: str
    edges: Float64s
    atoms: tuple[int, ...]
    center: float
    unit: float

    @property
    def bins(self) -> int:
        return len(self.edges) + 1

    @cached_property
    def positions(self) -> Float64s:
        """Representative value of each bin, ascending: its middle; an atom's value; the nearest edge outside."""
        inner = self.edges[:-1] + (self.edges[1:] - self.edges[:-1]) / 2
        for code in self.atoms:
            inner[code - 1] = self.edges[code - 1]
        return np.concatenate([self.edges[:1], inner, self.edges[-1:]])

    @property
    def bounds(self) -> tuple[Float64s, Float64s]:
        """Lowest and highest value of each bin; those of an atom and of an overflow bin are one value."""
        lows = np.concatenate([self.edges[:1], self.edges])
        highs = np.concatenate([self.edges, self.edges[-1:]])
        for code in self.atoms:
            highs[code] = lows[code]
        return lows, highs

    def codes(self, values: Float64s) -> Codes:
        """Code of each value (n,); values have to be finite."""
        return np.searchsorted(self.edges, values, side="right").astype(np.uint16)


def fixed_point(values: Float64s, center: float | Float64s, unit: float | Float64s) -> Int64s:
    """Values as integers in units of the scale, clipped to +-CLIP."""
    with np.errstate(over="ignore"):  # infinitely many units are clipped like others
        return np.minimum(np.maximum(np.rint((values - center) / unit), -CLIP), CLIP).astype(np.int64)


@dataclass(frozen=True)
class CategoryBins:
    """Dictionary of one categorical series; code `len(values)` counts what is not in it."""

    name: str
    values: tuple[str, ...]

    @property
    def bins(self) -> int:
        return len(self.values) + 1

    @cached_property
    def code_of(self) -> dict[str, int]:
        return {value: code for code, value in enumerate(self.values)}


@dataclass(frozen=True)
class Grid:
    """All bins of one stream of one model. `pane counts` are one flat int64 vector, laid out by `Layout`."""

    model: str
    stream: StreamName
    numeric: tuple[NumericBins, ...]
    categorical: tuple[CategoryBins, ...]
    digest: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", "sha256:" + hashlib.sha256(encode_grid(self)).hexdigest()[:32])

    @cached_property
    def series(self) -> tuple[str, ...]:
        """Names of all series, numeric first: the order of code columns."""
        return tuple(bins.name for bins in self.numeric) + tuple(bins.name for bins in self.categorical)

    @cached_property
    def centers(self) -> Float64s:
        """Center of each numeric series."""
        return np.array([bins.center for bins in self.numeric], dtype=np.float64)

    @cached_property
    def unit_sizes(self) -> Float64s:
        """Unit of each numeric series."""
        return np.array([bins.unit for bins in self.numeric], dtype=np.float64)

    def units(self, numeric: Float64s) -> Int64s:
        """Values of all numeric series (n, numeric series) as fixed-point integers, clipped to +-CLIP."""
        return fixed_point(numeric, self.centers, self.unit_sizes)

    @cached_property
    def layout(self) -> Layout:
        return Layout([b.bins for b in self.numeric], [b.bins for b in self.categorical])


class Layout:
    """The places of a summary's numbers in its flat count vector.

    [late, numeric sums..., numeric sums of squares..., then for each series its bins and its six invalid states].
    """

    def __init__(self, numeric_bins: list[int], categorical_bins: list[int]) -> None:
        self.late = 0
        self.sums = slice(1, 1 + len(numeric_bins))
        self.squares = slice(self.sums.stop, self.sums.stop + len(numeric_bins))
        self.bins: list[slice] = []
        self.invalid: list[slice] = []
        at = self.squares.stop
        for count in numeric_bins + categorical_bins:
            self.bins.append(slice(at, at + count))
            self.invalid.append(slice(at + count, at + count + INVALID_STATES))
            at += count + INVALID_STATES
        self.width = at
        # code -> place in the flat vector is `code + start` for a valid code; an invalid code (65536 - state) counts
        # down from the end of the series' part.
        self.starts = np.array([part.start for part in self.bins], dtype=np.int64)
        self.ends = np.array([part.stop for part in self.invalid], dtype=np.int64)

    def count(self, codes: Codes) -> Int64s:
        """Flat vector of how often each code stands in `codes` (n, series); sums are left 0."""
        wide = codes.astype(np.int64)
        places = np.where(wide < FIRST_INVALID, wide + self.starts, wide - INVALID_BASE + self.ends)
        return np.bincount(places.ravel(), minlength=self.width)


def encode_rows(grid: Grid, rows: Rows) -> tuple[Codes, Int64s]:
    """The rows on the grid: codes (n, series) and their flat count vector, sums included."""
    width = len(grid.numeric)
    codes = np.empty((len(rows), width + len(grid.categorical)), dtype=np.uint16)
    by_column = np.ascontiguousarray(rows.numeric.T)
    for j, bins in enumerate(grid.numeric):
        codes[:, j] = bins.codes(by_column[j])  # NaN sorts last; its code is replaced below
    values = rows.numeric
    if rows.numeric_states.any():
        values = np.where(rows.numeric_states == CellState.VALID, values, grid.centers)  # the center is 0 units
        _mark_invalid(codes[:, :width], rows.numeric_states)
    units = grid.units(values)
    for j, category in enumerate(grid.categorical):
        code_of, other = category.code_of, len(category.values)
        # a dictionary look-up a row: strings have no array form that is faster
        codes[:, width + j] = [code_of.get(value, other) for value in rows.categorical[j]]
    if grid.categorical and rows.categorical_states.any():
        _mark_invalid(codes[:, width:], rows.categorical_states)
    counts = grid.layout.count(codes)
    counts[grid.layout.sums] = units.sum(axis=0)
    counts[grid.layout.squares] = (units * units).sum(axis=0)
    return codes, counts


def _mark_invalid(codes: Codes, states: States) -> None:
    bad = states != CellState.VALID
    codes[bad] = (INVALID_BASE - states[bad].astype(np.int64)).astype(np.uint16)


def code_table(grid: Grid, series: int, fill: float) -> Float64s:
    """A number for each code of a series, shape (bins + 6,): of an invalid cell at the place -state.

    `signed_codes` are its places. So a table has the size of the series and not of all that two bytes can say.
    """
    bins = grid.layout.bins[series]
    return np.full(bins.stop - bins.start + INVALID_STATES, fill)


def signed_codes(codes: Codes) -> Int16s:
    """The codes as places in a `code_table`: those of invalid cells (65536 - state) count from its end."""
    return codes.view(np.int16)


def make_grid(sample: Rows, contract: StreamContract) -> Grid:
    """Return the grid of a sample of that stream."""
    return at_once(grid_in_steps(sample, contract))


def grid_in_steps(sample: Rows, contract: StreamContract) -> Steps[Grid]:
    """Make the grid of a sample of that stream, whose order means nothing; a step is a series."""
    binary = {column.name for column in contract.columns if column.kind == "binary"}
    numeric: list[NumericBins] = []
    for j, name in enumerate(contract.numeric_series):
        valid = sample.numeric_states[:, j] == CellState.VALID
        numeric.append(_binary_bins(name) if name in binary else make_numeric_bins(name, sample.numeric[valid, j]))
        yield
    categorical: list[CategoryBins] = []
    for j, name in enumerate(contract.categorical_series):
        categorical.append(_category_bins(name, sample.categorical[j], sample.categorical_states[:, j]))
        yield
    return Grid(sample.model, sample.stream, tuple(numeric), tuple(categorical))


def make_numeric_bins(name: str, values: Float64s) -> NumericBins:
    """Bins of a numeric series from its valid sample values (n,); without any value one edge at 0."""
    if len(values) == 0:
        return NumericBins(name, np.zeros(1), (), 0.0, 1.0 / _UNITS_PER_SPREAD)
    ordered = np.sort(values + 0.0)  # -0.0 becomes 0.0: they are one value
    distinct, repeats = np.unique(ordered, return_counts=True)
    is_atom = repeats >= max(2, -(-len(ordered) // BINS))
    atoms = distinct[is_atom]
    rest = ordered[~np.isin(ordered, atoms)]
    quantile_bins = max(1, BINS - len(atoms))
    places = (np.arange(quantile_bins) * len(rest)) // quantile_bins
    cuts = rest[places] if len(rest) else rest
    end = np.nextafter(ordered[-1:], np.inf)
    edges = np.unique(np.concatenate([ordered[:1], cuts, atoms, np.nextafter(atoms, np.inf), end]))
    atom_codes = tuple(int(code) for code in np.searchsorted(edges, atoms, side="right"))
    last = len(ordered) - 1
    low, center, high = (float(ordered[(last * i) // 1000]) for i in (1, 500, 999))
    spread = max(high - center, center - low) or abs(center) or 1.0
    unit = max(spread / _UNITS_PER_SPREAD, _SMALLEST_UNIT)
    return NumericBins(name, edges, atom_codes, center, unit)


def _binary_bins(name: str) -> NumericBins:
    """0 and 1 are atoms, whether the sample held both or not."""
    zero, one = np.nextafter(0.0, np.inf), np.nextafter(1.0, np.inf)
    return NumericBins(name, np.array([0.0, zero, 1.0, one]), (1, 3), 0.0, 1.0 / _UNITS_PER_SPREAD)


def _category_bins(name: str, values: list[str], states: States) -> CategoryBins:
    valid = Counter(value for value, state in zip(values, states.tolist(), strict=True) if state == CellState.VALID)
    ranked = sorted(valid.items(), key=lambda item: (-item[1], item[0]))
    return CategoryBins(name, tuple(value for value, _ in ranked[:MAX_CATEGORIES]))


class _NumericValue(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    edges: str
    atoms: tuple[int, ...]
    center: float
    unit: float


class _CategoryValue(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    values: tuple[str, ...]


class _GridValue(msgspec.Struct, forbid_unknown_fields=True):
    format: str
    model: str
    stream: StreamName
    numeric: tuple[_NumericValue, ...]
    categorical: tuple[_CategoryValue, ...]


_FORMAT = "streamdrift.grid/1"


def encode_grid(grid: Grid) -> bytes:
    """The grid as canonical JSON; edges as base64 of little-endian doubles, so that they are exact."""
    return msgspec.json.encode(
        _GridValue(
            _FORMAT,
            grid.model,
            grid.stream,
            tuple(
                _NumericValue(
                    b.name, base64.b64encode(b.edges.astype("<f8").tobytes()).decode(), b.atoms, b.center, b.unit
                )
                for b in grid.numeric
            ),
            tuple(_CategoryValue(b.name, b.values) for b in grid.categorical),
        )
    )


def decode_grid(value: bytes) -> Grid:
    """The grid of its JSON; raises FormatError for anything else."""
    raw = decode_format(value, _GridValue, _FORMAT, "grid")
    try:
        return Grid(
            raw.model,
            raw.stream,
            tuple(NumericBins(b.name, _edges(b.edges), b.atoms, b.center, b.unit) for b in raw.numeric),
            tuple(CategoryBins(b.name, b.values) for b in raw.categorical),
        )
    except ValueError as error:
        raise FormatError(f"not a grid: {error}") from error


def _edges(text: str) -> Float64s:
    edges = np.frombuffer(base64.b64decode(text, validate=True), dtype="<f8").astype(np.float64)
    if len(edges) == 0 or not np.isfinite(edges).all() or (np.diff(edges) <= 0).any():
        raise FormatError("a grid's edges have to be finite and ascending")
    return edges
