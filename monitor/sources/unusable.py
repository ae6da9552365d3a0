"""What of a table can't be used, and what was taken for granted: for people, on the terminal."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import pyarrow as pa

from monitor.events import Int64s

EXAMPLES: Final = 3


class Unusable:
    """What of a table can't be used, and what was taken for granted, for people: counts, and a few examples."""

    def __init__(self) -> None:
        self.notes: dict[str, None] = {}
        self._rows = 0
        self._bad_lines = 0
        self._counts: dict[str, Counter[str]] = {}
        self._examples: dict[str, list[tuple[int, str]]] = {}

    def add_bad_line(self) -> None:
        """Count a line of a CSV file that has not the header's number of cells."""
        self._bad_lines += 1

    def add_rows(self, n: int) -> None:
        """Count rows that were read."""
        self._rows += n

    def add(self, column: str, why: str, places: Int64s, first: int, values: pa.Array) -> None:
        """Count cells of a block that begins with row `first`. `places`: theirs in the block; `values`: the block's."""
        self._counts.setdefault(column, Counter())[why] += len(places)
        examples = self._examples.setdefault(column, [])
        for place in places[: EXAMPLES - len(examples)].tolist():
            examples.append((first + place + 1, _shown(values[place])))

    def lines(self) -> list[str]:
        """What to print, a line each; rows are counted from 1."""
        lines = list(self.notes)
        if self._bad_lines:
            lines.append(f"{self._bad_lines} lines left out: they have not as many cells as the header")
        for column, counts in self._counts.items():
            what = ", ".join(f"{n} {why}" for why, n in sorted(counts.items()))
            some = ", ".join(f"row {row}: {value}" for row, value in self._examples[column])
            lines.append(f"column {column}: {sum(counts.values())} of {self._rows} values not used ({what}; {some})")
        return lines


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
