"""What is known of the change behind the verdict of an alert."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from monitor.drift.change import are_beyond_chance
from monitor.evaluate.named import not_struck
from monitor.events import NamedColumn


class Findings(NamedTuple):
    """The change behind a verdict: since when (ms), and the columns that it is in, in order, of `series` of them."""

    since: int | None = None
    columns: tuple[NamedColumn, ...] = ()
    series: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns, each once."""
        return tuple(dict.fromkeys(column.column for column in self.columns))

    @property
    def all_names(self) -> tuple[str, ...]:
        """The same, and behind each those of columns that it is correlated with."""
        names = (name for one in self.columns for name in (one.column, one.with_column) if name is not None)
        return tuple(dict.fromkeys(names))

    def but(self, struck: Collection[str]) -> Findings:
        """The same without these columns."""
        return self._replace(columns=not_struck(self.columns, struck))

    @property
    def are_sure(self) -> bool:
        """Return true if more than chance has named its columns: of those that are named a tenth may be by chance."""
        return are_beyond_chance([column.z for column in self.columns], self.series)


NO_FINDINGS = Findings()
