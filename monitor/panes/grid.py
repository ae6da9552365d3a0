"""The grid: fixed bins and scales of one stream of one model, made once from a sample and named by its digest.

A numeric series has `NumericBins`. A categorical series has a dictionary, most frequent value first; the code after the
last value counts everything else. A value that is not VALID gets a code from the top of the range that tells its state.

A dictionary knows every row that chose it, and fewer of those that come later: of 20,000 ids that are all as frequent,
5,000 rows choose 1,000, which are a fifth of these rows and a twentieth of all others. So rows that chose a grid are
counted on it by *leave one out*: a row is known if its value, counted without it, would still be in the dictionary.

Sums are integers too: q = round((x - center) / unit) of the values between the overflow bins, in limbs
(`monitor.stats.limbs`), so that they are exact and order-free.
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
from monitor.panes.numeric_bins import NumericBins, make_binary_bins, make_numeric_bins
from monitor.panes.steps import Steps, at_once
from monitor.stats.limbs import (
    ROWS_AT_ONCE,
    SQUARE_BITS,
    SQUARE_LIMBS,
    SUM_BITS,
    SUM_LIMBS,
    limbs_of,
    normalised,
    whole,
)

INVALID_BASE = 65536
"""A cell that is not VALID has code INVALID_BASE - state."""
FIRST_INVALID = INVALID_BASE - max(CellState)
INVALID_STATES = len(CellState) - 1
MAX_CATEGORIES = 1000


@dataclass(frozen=True)
class CategoryBins:
    """Dictionary of one categorical series, most frequent value first; code `len(values)` counts what is not in it.

    `firm`: how many of them, the first ones, would be in it without any one of their own rows. `distinct`: values that
    the sample had; if they are more than those of the dictionary, it has left some out. `doubt`: how much more the
    number of rows that are new, one left out, varies than a binomial one, as a variance: the sum of c (c - 1) over the
    values of c rows that would not be firm without any two of their rows. If the dictionary holds all values that is
    twice the number of those with two rows (W. Esty, A normal limit law for a nonparametric estimator of the coverage
    of a random sample, 1983).
    """

    name: str
    values: tuple[str, ...]
    firm: int
    distinct: int
    doubt: int

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

    @cached_property
    def spreads(self) -> Float64s:
        """Spread of each numeric series."""
        return np.array([bins.spread for bins in self.numeric], dtype=np.float64)

    @cached_property
    def _inner_bins(self) -> Codes:
        """Bins of each numeric series but the two of its overflow."""
        return np.array([bins.bins - 2 for bins in self.numeric], dtype=np.uint16)

    def units(self, numeric: Float64s, codes: Codes) -> Int64s:
        """Values of all numeric series (n, numeric series) as fixed-point integers; 0 in overflow, and where invalid.

        `codes`: theirs.
        """
        is_inside = codes - np.uint16(1) < self._inner_bins  # code 0 becomes the largest
        with np.errstate(over="ignore", invalid="ignore"):  # of what is not inside
            return np.rint(np.where(is_inside, numeric - self.centers, 0.0) / self.unit_sizes).astype(np.int64)

    @cached_property
    def layout(self) -> Layout:
        return Layout([b.bins for b in self.numeric], [b.bins for b in self.categorical])


class Layout:
    """The places of a summary's numbers in its flat count vector.

    [late, numeric sums, numeric sums of squares, then for each series its bins and its six invalid states]; of sums and
    squares the lowest limbs of all series come first.
    """

    def __init__(self, numeric_bins: list[int], categorical_bins: list[int]) -> None:
        self.late = 0
        self.numeric = len(numeric_bins)
        self.sums = slice(1, 1 + SUM_LIMBS * self.numeric)
        self.squares = slice(self.sums.stop, self.sums.stop + SQUARE_LIMBS * self.numeric)
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

    def add_units(self, counts: Int64s, units: Int64s) -> None:
        """Add rows of fixed-point integers (n, numeric series) to the sums of a count vector."""
        for start in range(0, len(units), ROWS_AT_ONCE):
            sums, squares = limbs_of(units[start : start + ROWS_AT_ONCE])
            counts[self.sums] += sums.ravel()
            counts[self.squares] += squares.ravel()

    def whole_sums(self, counts: Int64s) -> tuple[np.ndarray, np.ndarray]:
        """Sums and sums of squares of count vectors (..., width), as Python's integers (..., numeric series)."""
        parts = ((self.sums, SUM_LIMBS, SUM_BITS), (self.squares, SQUARE_LIMBS, SQUARE_BITS))
        sums, squares = (
            whole(counts[..., part].reshape(*counts.shape[:-1], limbs, self.numeric), bits)
            for part, limbs, bits in parts
        )
        return sums, squares

    def normalise(self, counts: Int64s) -> None:
        """Carry in the sums of a count vector, so that they say nothing of how they came about."""
        for part, limbs, bits in ((self.sums, SUM_LIMBS, SUM_BITS), (self.squares, SQUARE_LIMBS, SQUARE_BITS)):
            counts[part] = normalised(counts[part].reshape(limbs, self.numeric), bits).ravel()

    def count(self, codes: Codes) -> Int64s:
        """Flat vector of how often each code stands in `codes` (n, series); sums are left 0."""
        return np.bincount(self.places(codes).ravel(), minlength=self.width)

    def places(self, codes: Codes) -> Int64s:
        """The place of each code (n, series) in the flat vector."""
        wide = codes.astype(np.int64)
        return np.where(wide < FIRST_INVALID, wide + self.starts, wide - INVALID_BASE + self.ends)


def encode_rows(grid: Grid, rows: Rows) -> tuple[Codes, Int64s]:
    """The rows on the grid: codes (n, series) and their flat count vector, sums included."""
    codes, units = encode(grid, rows)
    return codes, count_encoded(grid, codes, units)


def count_encoded(grid: Grid, codes: Codes, units: Int64s) -> Int64s:
    """The flat count vector of encoded rows, sums included."""
    counts = grid.layout.count(codes)
    grid.layout.add_units(counts, units)
    return counts


def encode(grid: Grid, rows: Rows) -> tuple[Codes, Int64s]:
    """The rows on the grid: codes (n, series), and values as fixed-point integers (n, numeric series)."""
    width = len(grid.numeric)
    codes = np.empty((len(rows), width + len(grid.categorical)), dtype=np.uint16)
    by_column = np.ascontiguousarray(rows.numeric.T)
    for j, bins in enumerate(grid.numeric):
        codes[:, j] = bins.codes(by_column[j])  # NaN sorts last; its code is replaced below
    if rows.numeric_states.any():
        _mark_invalid(codes[:, :width], rows.numeric_states)
    units = grid.units(rows.numeric, codes[:, :width])
    for j, category in enumerate(grid.categorical):
        code_of, other = category.code_of, len(category.values)
        # a dictionary look-up a row: strings have no array form that is faster
        codes[:, width + j] = [code_of.get(value, other) for value in rows.categorical[j]]
    if grid.categorical and rows.categorical_states.any():
        _mark_invalid(codes[:, width:], rows.categorical_states)
    return codes, units


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
        numeric.append(make_binary_bins(name) if name in binary else make_numeric_bins(name, sample.numeric[valid, j]))
        yield
    categorical: list[CategoryBins] = []
    for j, name in enumerate(contract.categorical_series):
        categorical.append(_category_bins(name, sample.categorical[j], sample.categorical_states[:, j]))
        yield
    return Grid(sample.model, sample.stream, tuple(numeric), tuple(categorical))


def _category_bins(name: str, values: list[str], states: States) -> CategoryBins:
    valid = Counter(value for value, state in zip(values, states.tolist(), strict=True) if state == CellState.VALID)
    ranked = sorted((-count, value) for value, count in valid.items())
    known = ranked[:MAX_CATEGORIES]
    # the first that is left out would take the place of a value that ranks behind it without one of its rows
    after = ranked[MAX_CATEGORIES] if len(ranked) > MAX_CATEGORIES else (0, "")
    firm = sum((count + 1, value) < after for count, value in known)
    doubt = sum(count * (count + 1) for count, value in known[:firm] if (count + 2, value) >= after)
    return CategoryBins(name, tuple(value for _, value in known), firm, len(ranked), doubt)


def leave_one_out(grid: Grid, counts: Int64s, own: Int64s) -> None:
    """Count as new, in `counts`, what only knows itself among the rows that chose the grid. Both: (width,).

    `own`: counts of those rows, which are among the rows of `counts`; they may be all of them, and the same vector.
    """
    for category, part in zip(grid.categorical, grid.layout.bins[len(grid.numeric) :], strict=True):
        weak = slice(part.start + category.firm, part.stop - 1)
        moved = own[weak].copy()
        counts[weak] -= moved
        counts[part.stop - 1] += moved.sum()


def left_out_codes(grid: Grid, codes: Codes) -> Codes:
    """Codes (n, series) of rows that chose the grid, as `leave_one_out` counts them: what only knows itself is new."""
    counted = codes.copy()
    for column, category in zip(counted[:, len(grid.numeric) :].T, grid.categorical, strict=True):
        column[(column >= category.firm) & (column < len(category.values))] = len(category.values)
    return counted


class _NumericValue(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    edges: str
    atoms: tuple[int, ...]
    center: float
    spread: float
    usual: tuple[int, int]


class _CategoryValue(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    values: tuple[str, ...]
    firm: int
    distinct: int
    doubt: int


class _GridValue(msgspec.Struct, forbid_unknown_fields=True):
    format: str
    model: str
    stream: StreamName
    numeric: tuple[_NumericValue, ...]
    categorical: tuple[_CategoryValue, ...]


_FORMAT = "streamdrift.grid/3"


def encode_grid(grid: Grid) -> bytes:
    """The grid as canonical JSON; edges as base64 of little-endian doubles, so that they are exact."""
    return msgspec.json.encode(
        _GridValue(
            _FORMAT,
            grid.model,
            grid.stream,
            tuple(_NumericValue(b.name, _text_of(b.edges), b.atoms, b.center, b.spread, b.usual) for b in grid.numeric),
            tuple(_CategoryValue(b.name, b.values, b.firm, b.distinct, b.doubt) for b in grid.categorical),
        )
    )


def decode_grid(value: bytes) -> Grid:
    """The grid of its JSON; raises FormatError for anything else."""
    raw = decode_format(value, _GridValue, _FORMAT, "grid")
    try:
        return Grid(
            raw.model,
            raw.stream,
            tuple(NumericBins(b.name, _edges(b.edges), b.atoms, b.center, b.spread, b.usual) for b in raw.numeric),
            tuple(_category(b) for b in raw.categorical),
        )
    except ValueError as error:
        raise FormatError(f"not a grid: {error}") from error


def _category(raw: _CategoryValue) -> CategoryBins:
    if not 0 <= raw.firm <= len(raw.values) <= raw.distinct or raw.doubt < 0:
        raise FormatError("a grid's firm categories are some of those that it knows, and these some of the sample's")
    return CategoryBins(raw.name, raw.values, raw.firm, raw.distinct, raw.doubt)


def _text_of(edges: Float64s) -> str:
    return base64.b64encode(edges.astype("<f8").tobytes()).decode()


def _edges(text: str) -> Float64s:
    edges = np.frombuffer(base64.b64decode(text, validate=True), dtype="<f8").astype(np.float64)
    if len(edges) < 2 or not np.isfinite(edges).all() or (np.diff(edges) <= 0).any():
        raise FormatError("a grid's edges have to be finite and ascending")
    return edges
