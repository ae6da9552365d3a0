"""Rows as pieces that are written once each, beside a tail that is written with every snapshot.

The n-th piece holds the rows n · PIECE_ROWS and following of all that were ever added, so it does not depend on when
snapshots are taken. Its name ends in the digest of its content. It is listed as long as one of its rows may be needed;
its bytes are kept until the caller has written them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.errors import FormatError
from monitor.evaluate.state import PiecesState

PIECE_ROWS = 16_384
Table = NDArray[np.void]
"""Rows of a structured type, which has a field `pane` of uint32."""


@dataclass(slots=True)
class _Piece:
    """`last`: its newest pane. `value`: None if its bytes are forgotten."""

    name: str
    last: int
    value: bytes | None


class Pieces:
    """The rows of one kind, in the order in which they were added."""

    def __init__(self, kind: str, row: np.dtype[np.void], piece_rows: int = PIECE_ROWS) -> None:
        self._kind = kind
        self._row = row
        self._piece_rows = piece_rows
        self._pieces: list[_Piece] = []
        self._tail: list[Table] = []
        self._tail_rows = 0
        self._next = 0

    def table(self, **columns: NDArray[Any]) -> Table:
        """The rows of columns, by the names of the fields."""
        rows = np.empty(len(columns["pane"]), dtype=self._row)
        for name, column in columns.items():
            rows[name] = column
        return rows

    def add(self, rows: Table) -> None:
        """Add rows behind the others."""
        if not len(rows):
            return
        self._tail.append(rows)
        self._tail_rows += len(rows)
        if self._tail_rows < self._piece_rows:
            return
        tail = np.concatenate(self._tail)
        whole = len(tail) // self._piece_rows * self._piece_rows
        for start in range(0, whole, self._piece_rows):
            self._pieces.append(self._cut(tail[start : start + self._piece_rows]))
        self._tail, self._tail_rows = [tail[whole:].copy()], len(tail) - whole

    def _cut(self, rows: Table) -> _Piece:
        value = rows.tobytes()
        name = f"{self._kind}/{self._next}/{_digest(value)}"
        self._next += 1
        return _Piece(name, _newest(rows), value)

    def forget_before(self, pane: int | None) -> None:
        """Rows of earlier panes are needed no longer; None: all that are held."""
        self._pieces = [] if pane is None else [piece for piece in self._pieces if piece.last >= pane]

    # ------------------------------------------------------------------ state

    def blocks(self) -> Mapping[str, bytes | None]:
        """The pieces that are needed, by name; None: its bytes are forgotten."""
        return {piece.name: piece.value for piece in self._pieces}

    def forget_bytes(self, names: Collection[str]) -> None:
        """Keep the bytes of pieces with these names no longer."""
        for piece in self._pieces:
            if piece.name in names:
                piece.value = None

    def state(self) -> PiecesState:
        return PiecesState(self._next, tuple(p.name for p in self._pieces), b"".join(t.tobytes() for t in self._tail))

    def restore(
        self, state: PiecesState, blocks: Mapping[str, bytes], live_from: int | None, most: int
    ) -> Iterator[Table]:
        """Go on from there; gives the rows of panes from `live_from` on, in tables of about `most` rows; None: no rows.

        Each table is sorted by id; rows of one id, and tables, are in the order in which they were added. Raises
        FormatError.
        """
        held: list[Table] = []
        for rows in self._taken_up(state, blocks):
            held.append(rows[:0] if live_from is None else rows[rows["pane"] >= live_from])
            if sum(map(len, held)) + self._piece_rows > most:
                yield _by_id(held)
                held = []
        if held:
            yield _by_id(held)

    def _taken_up(self, state: PiecesState, blocks: Mapping[str, bytes]) -> Iterator[Table]:
        """All rows that are listed, piece by piece, and those of the tail."""
        numbers = [self._number(name) for name in state.names]
        if numbers != sorted(set(numbers)) or (numbers and numbers[-1] >= state.next):
            raise FormatError(f"not a snapshot: the pieces of {self._kind} are not in order")
        tail = self._rows(state.tail)
        if len(tail) >= self._piece_rows:
            raise FormatError(f"not a snapshot: too many rows of {self._kind} are in no piece")
        for name in state.names:
            value = blocks.get(name)
            if value is None or name.rpartition("/")[2] != _digest(value):
                raise FormatError(f"not a snapshot: its piece {name} is not there, or damaged")
            rows = self._rows(value)
            if len(rows) != self._piece_rows:
                raise FormatError(f"not a snapshot: its piece {name} has {len(rows)} rows")
            self._pieces.append(_Piece(name, _newest(rows), None))
            yield rows
        self._next, self._tail, self._tail_rows = state.next, [tail.copy()], len(tail)
        yield tail

    def _number(self, name: str) -> int:
        kind, _, rest = name.rpartition("/")[0].rpartition("/")
        if kind != self._kind or not rest.isdecimal():
            raise FormatError(f"not a snapshot: {name} is no piece of {self._kind}")
        return int(rest)

    def _rows(self, value: bytes) -> Table:
        if len(value) % self._row.itemsize:
            raise FormatError(f"not a snapshot: rows of {self._kind} are cut")
        return np.frombuffer(value, dtype=self._row)


def _by_id(tables: Sequence[Table]) -> Table:
    table = np.concatenate(tables)
    return table[np.argsort(table["id"], kind="stable")]


def _newest(rows: Table) -> int:
    return int(rows["pane"].max())


def _digest(value: bytes) -> str:
    return hashlib.sha256(value).hexdigest()[:32]
