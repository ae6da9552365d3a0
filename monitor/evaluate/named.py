"""What the messages of an alert name beside it: columns, and alerts that joined under it; and when the next may come.

A list of names grows while an alert fires. What it holds at first is in the message by which the alert begins; what is
named later is in updates. The first one waits for FIRST_MS of event time, and each twice as long as the one before, so
never is more than one due. Whether there is something new is looked at every FIRST_MS, because finding the columns of a
change takes longer than a judgement.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Annotated, NamedTuple

import msgspec
from msgspec.structs import replace

from monitor.events import NamedColumn

FIRST_MS = 300_000
"""Shortest time between a message by which an alert begins to fire and its first update, ms."""
Natural = Annotated[int, msgspec.Meta(ge=0)]


class Names(NamedTuple):
    """Columns, and alerts that joined under one."""

    columns: tuple[str, ...] = ()
    under: tuple[str, ...] = ()


class Named(msgspec.Struct, frozen=True, array_like=True):
    """The names of one episode of an alert.

    `columns`: those that messages have named, in that order. `under`: all that have joined, in that order; `reported`:
    how many of these messages have named. `at`: of the newest message, ms. `updates`: published so far.
    """

    columns: tuple[str, ...] = ()
    under: tuple[str, ...] = ()
    reported: Natural = 0
    at: int = 0
    updates: Annotated[int, msgspec.Meta(ge=0, le=40)] = 0

    def is_looked_at(self, at: int, interval_ms: int) -> bool:
        """Return true if an update may be published at the judgement `at` (ms). `interval_ms`: between judgements."""
        return at >= self.at + (FIRST_MS << self.updates) and (at - self.at) % FIRST_MS < interval_ms

    def next_look(self, at: int) -> int:
        """The first time behind the judgement `at` (ms) for which the next judgement from there on is looked at."""
        since = max((FIRST_MS << self.updates), at + 1 - self.at)
        return self.at + -(-since // FIRST_MS) * FIRST_MS

    def joined(self, names: Iterable[str]) -> Named:
        """With alerts that are under it now; those that come together stand by name."""
        fresh = sorted(set(names).difference(self.under))
        return replace(self, under=(*self.under, *fresh)) if fresh else self

    def news(self, columns: Collection[str]) -> Names:
        """What no message has named yet. `columns`: those that are known now, in the order of messages."""
        known = set(self.columns)
        return Names(tuple(name for name in columns if name not in known), self.under[self.reported :])

    def published(self, at: int, columns: Collection[str], is_update: bool) -> Named:
        """Behind a message at the time `at` (ms): an update, or the one by which the alert begins to fire."""
        known = (*self.columns, *self.news(columns).columns)
        return Named(known, self.under, len(self.under), at, self.updates + is_update)


NOTHING = Named()
"""What is named beside an alert that never had any."""
NO_NAMES = Names()


def not_struck(columns: Iterable[NamedColumn], struck: Collection[str]) -> tuple[NamedColumn, ...]:
    """The columns without those that are struck, and without correlations with them."""
    return tuple(one for one in columns if one.column not in struck and one.with_column not in struck)


def by_importance(
    columns: Sequence[NamedColumn], importance: Mapping[str, float], number: int
) -> tuple[NamedColumn, ...]:
    """Sort columns by importance × z, the largest first; those that are alike there by name.

    `importance`: as the model has it; what it does not name counts as 1 / `number`, that of the stream's columns.
    """
    share = 1 / max(number, 1)
    return tuple(sorted(columns, key=lambda c: (-importance.get(c.column, share) * abs(c.z), c.column)))
