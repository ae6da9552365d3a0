"""Moments of a reference whose rows come for days: scored by the ranks of its first rows, centred once all are there.

Scores are centred on a mean that is not known before the last row. Taking c off the scores x of all valid cells, and
leaving the others 0, changes Σ x y to Σ x y - c Σ v y - d Σ x w + c d Σ v w, with v and w 1 in valid cells and 0 else,
and d the mean of y; sums of products of squares change alike. So sums of products of x, v and x² are kept beside each
other, and moments that are centred at the end are to the bit those of rows that had been centred at once.

A pane adds the rows of its trace, of which at most some are taken; `MOST_ROWS` of a whole reference tell enough. Blocks
take the sums of all rows of a pane whose rows are not all taken.
"""

from __future__ import annotations

import msgspec
import numpy as np

from monitor.codec.varints import pack, unpack, unzigzag, zigzag
from monitor.drift.linear import sums_of_products
from monitor.drift.moments import BlocksState, BlockSums, GroupMoments, Moments, group_slices, upper, whole
from monitor.drift.scores import Scores, ScoreTables
from monitor.errors import FormatError
from monitor.events import Codes, Int64s

MOST_ROWS = 1 << 21
"""Rows that products are summed of, about: those of fourth powers then stay below 2⁶²."""
MOST_NUMBERS = 1 << 14
"""Numbers that blocks hold together, because they are written with every snapshot."""
_ROWS_AT_ONCE = 1 << 12
"""Rows whose products are summed at once: those of squares are at most 2⁴⁰, so sums stay below 2⁵³."""


class GrowingState(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What has been added up. `groups`: sums of products, and of third and fourth powers of spread scores, packed."""

    rows: int
    groups: tuple[bytes, ...]
    blocks: BlocksState


class GrowingMoments:
    """Sums over rows that come in their order. `tables`: scores by the ranks of the first of them.

    `most`: numbers that blocks hold together.
    """

    def __init__(self, tables: ScoreTables, most: int = MOST_NUMBERS) -> None:
        self._tables = tables
        self._series = tables.width // 2
        self._parts = group_slices(self._series)
        self._rows = 0
        self._products = [np.zeros((4 * size, 4 * size), dtype=np.int64) for size in self._sizes]
        self._powers = [np.zeros((2, size), dtype=np.int64) for size in self._sizes]
        self._blocks = BlockSums(3 * self._series, most)

    @property
    def _sizes(self) -> list[int]:
        return [part.stop - part.start for part in self._parts]

    def add_rows(self, codes: Codes) -> None:
        """Add rows (m, series)."""
        for start in range(0, len(codes), _ROWS_AT_ONCE):
            scores, valid = self._add_products(codes[start : start + _ROWS_AT_ONCE])
            self._blocks.add(np.ones(len(scores), dtype=np.int64), np.concatenate([scores, valid], 1).astype(np.int64))

    def add_pane(self, events: int, counts: Int64s, codes: Codes, most: int) -> None:
        """Add a pane of `events` rows by its flat counts and its trace, of which `most` rows are taken."""
        if len(codes) == events <= most:
            self.add_rows(codes)
        elif events:
            taken = np.arange(min(most, len(codes))) * len(codes) // max(min(most, len(codes)), 1)
            for start in range(0, len(taken), _ROWS_AT_ONCE):
                self._add_products(codes[taken[start : start + _ROWS_AT_ONCE]])
            sums = np.concatenate([self._tables.sums(counts), self._tables.valid(counts)])
            self._blocks.add(np.array([events], dtype=np.int64), sums[np.newaxis])

    def _add_products(self, codes: Codes) -> tuple[Scores, Scores]:
        scores, valid = self._tables.of_codes(codes), self._tables.is_valid(codes)
        self._rows += len(codes)
        for n, part in enumerate(self._parts):
            ranks, spreads = scores[:, part], scores[:, self._series + part.start : self._series + part.stop]
            both = np.concatenate([ranks, spreads, valid[:, part], ranks * ranks], axis=1)
            self._products[n] += sums_of_products(both).astype(np.int64)
            cubes = spreads * spreads * spreads
            self._powers[n] += np.stack([cubes.sum(axis=0), (cubes * spreads).sum(axis=0)]).astype(np.int64)
        return scores, valid

    def moments(self, shift: Int64s) -> Moments:
        """The moments of the rows, with scores that `shift` (width,) has been taken off."""
        rows, sums = self._blocks.blocks()
        valid = np.concatenate([sums[:, 2 * self._series :]] * 2, axis=1)
        groups = tuple(
            _centred(products, powers, shift[part], shift[self._series + part.start : self._series + part.stop])
            for products, powers, part in zip(self._products, self._powers, self._parts, strict=True)
        )
        return Moments(self._rows, groups, rows, sums[:, : 2 * self._series] - shift * valid)

    def state(self) -> GrowingState:
        """What has been added up."""
        groups = (
            pack(zigzag(np.concatenate([upper(products), powers.ravel()])))
            for products, powers in zip(self._products, self._powers, strict=True)
        )
        return GrowingState(self._rows, tuple(groups), self._blocks.state())

    def restore(self, state: GrowingState) -> None:
        """Go on from there; raises FormatError."""
        if len(state.groups) != len(self._parts):
            raise FormatError("the moments of a reference are of other series than its grid")
        for n, (raw, size) in enumerate(zip(state.groups, self._sizes, strict=True)):
            numbers, half = unzigzag(unpack(raw)), 2 * size * (4 * size + 1)
            if len(numbers) != half + 2 * size:
                raise FormatError("a group of a reference's moments has another size")
            self._products[n], self._powers[n] = whole(numbers[:half], 4 * size), numbers[half:].reshape(2, size)
        self._rows = state.rows
        self._blocks.restore(state.blocks)


def _centred(products: Int64s, powers: Int64s, ranks: Int64s, spreads: Int64s) -> GroupMoments:
    """Moments of a group of p series from sums of products of [ranks, spreads, valid, squared ranks] (4p, 4p).

    `powers`: third and fourth powers of the spreads (2, p). `ranks`, `spreads`: what is taken off. Integers wrap round
    on the way, if at all, and come back, because what comes out fits.
    """
    p = len(ranks)
    rank, score, valid, square = (slice(p), slice(2 * p), slice(2 * p, 3 * p), slice(3 * p, 4 * p))
    shift = np.concatenate([ranks, spreads])
    of_valid = np.concatenate([products[score, valid]] * 2, axis=1) * shift
    pairs_valid = np.tile(products[valid, valid], (2, 2)) * shift * shift[:, np.newaxis]
    second = products[score, score] - of_valid - of_valid.T + pairs_valid
    # (x - c v)² = x² - 2 c x + c² v
    terms = ((square, np.ones(p, dtype=np.int64)), (rank, -2 * ranks), (valid, ranks * ranks))
    squares = np.zeros((p, p), dtype=np.int64)
    for one, own in terms:
        for other, theirs in terms:
            squares += products[one, other] * own[:, np.newaxis] * theirs
    third, fourth = powers
    of_spreads = (
        fourth
        - 4 * spreads * third
        + 6 * spreads**2 * np.diag(products)[p : 2 * p]
        - 4 * spreads**3 * np.diag(products[p : 2 * p, valid])
        + spreads**4 * np.diag(products)[valid]
    )
    return GroupMoments(second, squares, np.concatenate([np.diag(squares), of_spreads]))
