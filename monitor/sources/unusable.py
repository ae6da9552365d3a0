"""What of tables can't be used, and what was taken for granted: for people, on the terminal."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import pyarrow as pa

from monitor.events import Int64s

EXAMPLES: Final = 3


@dataclass(slots=True)
class _Tally:
    """Counts of one stream: rows, lines that are none, and values by column and reason, with their places as text."""

    rows: int = 0
    bad_lines: int = 0
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)


class Unused(NamedTuple):
    """Values of one column that were not used for one reason, without any of them. `rows`: that were read."""

    column: str
    reason: str
    values: int
    rows: int


class Unusable:
    """What of the tables of one source can't be used, and what was taken for granted: counts, and a few examples.

    `order`: of a table that is read in another order than it is written, the rows' numbers in the file.
    """

    def __init__(self) -> None:
        self.notes: dict[str, None] = {}
        self.order: Int64s | None = None
        self._tallies: dict[str, _Tally] = {}
        self._stream = ""
        self._file = ""
        self._is_closed = False

    def close(self) -> None:
        """Count no more: what is read again has been counted."""
        self._is_closed = True

    def of(self, stream: str, file: str = "") -> Unusable:
        """Return what counts into this one, for one stream. `file`: name of the table if there are several."""
        part = Unusable()
        part.notes, part._tallies = self.notes, self._tallies
        part._stream, part._file = stream, file
        return part

    @property
    def _tally(self) -> _Tally:
        return _Tally() if self._is_closed else self._tallies.setdefault(self._stream, _Tally())

    def add_bad_line(self) -> None:
        """Count a line of a CSV file that has not the header's number of cells."""
        self._tally.bad_lines += 1

    def add_rows(self, n: int) -> None:
        """Count rows that were read."""
        self._tally.rows += n

    def add(self, column: str, why: str, places: Int64s, first: int, values: pa.Array) -> None:
        """Count cells of a block that begins with row `first`. `places`: theirs in the block; `values`: the block's."""
        tally = self._tally
        tally.counts.setdefault(column, Counter())[why] += len(places)
        examples = tally.examples.setdefault(column, [])
        for place in places[: EXAMPLES - len(examples)].tolist():
            row = first + place if self.order is None else int(self.order[first + place])
            examples.append(f"{self._file}{' ' if self._file else ''}row {row + 1}: {_shown(values[place])}")

    def counts(self) -> list[Unused]:
        """Return what was not used, once for all streams of a table."""
        found: dict[Unused, None] = {}
        for tally in self._tallies.values():
            if tally.bad_lines:
                found[Unused("", "another number of cells than the header", tally.bad_lines, tally.rows)] = None
            for column, counts in tally.counts.items():
                found.update((Unused(column, why, n, tally.rows), None) for why, n in sorted(counts.items()))
        return list(found)

    def lines(self, shows_values: bool = True) -> list[str]:
        """What to print, a line each, once for all streams of a table; rows are counted from 1.

        `shows_values`: with examples; never where the line leaves this process.
        """
        lines = list(self.notes)
        for tally in self._tallies.values():
            if tally.bad_lines:
                lines.append(f"{tally.bad_lines} lines left out: they have not as many cells as the header")
            for column, counts in tally.counts.items():
                what = ", ".join(f"{n} {why}" for why, n in sorted(counts.items()))
                some = f"; {', '.join(tally.examples[column])}" if shows_values else ""
                lines.append(f"column {column}: {counts.total()} of {tally.rows} values not used ({what}{some})")
        return list(dict.fromkeys(lines))


def python_value(value: pa.Scalar) -> Any:
    """The value as Python has it; its text if Python has none."""
    try:
        return value.as_py()
    except (ValueError, OverflowError, ImportError, pa.ArrowException):
        return value.cast(pa.string()).as_py()  # a time


def _shown(value: pa.Scalar) -> str:
    """A cell for a terminal: its beginning, quoted."""
    text = str(python_value(value))
    return repr(text if len(text) <= 40 else text[:40] + "...")
