"""What a contestant is given: a table whose first rows are the reference, and where it changes.

A case is named by a stream and a seed, and made where it is needed: so processes pass names, and not rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from monitor.events import Float64s


@dataclass(frozen=True)
class Columns:
    """Values by column, all of the same length. `numeric`: NaN where a cell is missing."""

    numeric: Mapping[str, Float64s]
    categorical: Mapping[str, list[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        lengths = [*map(len, self.numeric.values()), *map(len, self.categorical.values())]
        return lengths[0]

    def matrix(self) -> Float64s:
        """The numeric columns, shape (rows, columns)."""
        return np.stack(list(self.numeric.values()), axis=1)


@dataclass(frozen=True)
class Case:
    """A stream. `reference`: how many of its rows are the reference; all other places count from behind them.

    `change`: the row at which it changes; None: never. `changed`: the columns that do. `step_ms`: time between rows.
    `settings`: what alerts.yaml says of the data, of a model; its `reference` names these rows by time.
    """

    columns: Columns
    reference: int
    change: int | None = None
    changed: tuple[str, ...] = ()
    step_ms: int = 1000
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """How many rows are judged."""
        return len(self.columns) - self.reference


class Name(NamedTuple):
    """What names a case: its stream, one of `streams.STREAMS`, its seed, and how many rows it has relative to 1."""

    stream: str
    seed: int
    size: float = 1.0


@dataclass(frozen=True)
class Alarm:
    """A message. `row`: how many rows of the case had come by its time.

    `columns`: those that it names. `at`: the row at which it says that the change began. `is_new`: it fires; else it
    is an update of an alert that does. `until`: the row by which the alert has been resolved; None: never.
    `is_unverified`: it says that it can't be trusted as others can.
    """

    row: int
    rule: str = ""
    columns: tuple[str, ...] | None = None
    at: int | None = None
    is_new: bool = True
    until: int | None = None
    is_unverified: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of one case at one contestant. `alarms`: in the order of time."""

    name: Name
    rows: int
    change: int | None
    changed: tuple[str, ...]
    alarms: tuple[Alarm, ...]
    seconds: float = 0.0

    @property
    def firing(self) -> list[int]:
        """The rows by which alerts began to fire."""
        return [alarm.row for alarm in self.alarms if alarm.is_new]

    @property
    def by_rule(self) -> str:
        """How many alerts of each rule fire, as text."""
        counts = Counter(alarm.rule for alarm in self.alarms if alarm.is_new)
        return ", ".join(f"{number} {rule}" for rule, number in counts.most_common()) or "no alarm"

    @property
    def false(self) -> int:
        """Alarms before anything has changed: a message that comes with the row before the change is one."""
        return sum(self.change is None or row <= self.change for row in self.firing)

    @property
    def quiet_rows(self) -> int:
        """The rows in which each alarm is false."""
        return self.rows if self.change is None else self.change

    @property
    def delay(self) -> int | None:
        """Rows from the change to the first alarm behind it; None: there is none."""
        return self.delay_of("")

    def delay_of(self, *rules: str) -> int | None:
        """The delay of alerts whose names begin with one of these."""
        if self.change is None:
            return None
        rows = (a.row for a in self.alarms if a.is_new and a.rule.startswith(rules) and a.row > self.change)
        return next((row - self.change for row in rows), None)
