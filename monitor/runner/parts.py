"""When the models of a ledger partition are snapshotted: where the part of each stands, and which are due.

A part is due by the model's own panes, and the work of its detectors; and when too many records of the ledger partition
lie behind it, so that a model without panes does not hold the low-water mark back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from monitor.evaluate.model import ModelFold
from monitor.ledger.position_records import Snapshot

PANES = 60
"""Panes of a model between two snapshots of it."""
RECORDS = 20_000
"""Ledger records behind a model's snapshot at most."""
KEYED_ROWS = 300_000
"""Predictions and labels of a model that are joined between two snapshots: each is written once, in 17 to 28 bytes."""
WORK_US, WORK_US_A_BYTE = 100_000, 0.25
"""Work of a model's detectors between two snapshots at most, µs, and for each byte of the last one. To take the state,
encode and write it costs 40 ns a byte, and a commit 4 ms: so a snapshot is written for a sixth of the work at most, and
what a restart has to fold again is bounded in time however dense the traffic is, and whichever detectors read it. With
50,000 detectors in 24 models that is 0.3 s a model, and 8 s of CPU in all."""
COMMIT_BYTES = 8 << 20
"""Outputs after which a commit closes, at the end of the pane that passes it: readers wait as long as a transaction is
open, and a broker bounds how long that is."""
DUE_BYTES = 4 << 20
"""Past this many bytes the parts that are due go into a commit of their own."""


class Since(NamedTuple):
    """What came since a model's last snapshot. `records`: of the ledger. `work_us`: of its detectors.

    `keyed_rows`: that were joined.
    """

    panes: int
    records: int
    work_us: float
    keyed_rows: int


class Rhythm(NamedTuple):
    """Most panes of a model, and most ledger records, between two snapshots of it. `commit_bytes`: see COMMIT_BYTES."""

    panes: int = PANES
    records: int = RECORDS
    commit_bytes: int = COMMIT_BYTES

    def is_due(self, since: Since, size: int) -> bool:
        """Return true if a model's next snapshot is to be written. `size`: of the last one, bytes."""
        most_us = WORK_US + WORK_US_A_BYTE * size
        is_old = since.panes >= self.panes or since.records >= self.records
        return is_old or since.work_us >= most_us or since.keyed_rows >= KEYED_ROWS


USUAL = Rhythm()


@dataclass(slots=True)
class _Part:
    """One model. `at`: offset of its snapshot, else its first entry. What follows `size`: counted by the fold then."""

    at: int
    snapshot: Snapshot | None = None
    size: int = 0
    panes: int = 0
    work_us: float = 0.0
    keyed_rows: int = 0


class Parts:
    """The models of a ledger partition that run, each with its newest snapshot, if there is one."""

    def __init__(self, rhythm: Rhythm) -> None:
        self._rhythm = rhythm
        self._parts: dict[str, _Part] = {}
        self._wanted: set[str] = set()

    def meet(self, name: str, offset: int) -> None:
        """An entry of a model came at that offset: a new one begins there."""
        if name not in self._parts:
            self._parts[name] = _Part(offset)

    def take(self, name: str, snapshot: Snapshot, size: int, fold: ModelFold | None = None) -> None:
        """A model was snapshotted, or restored; without `fold` its counters begin at 0."""
        counted = (0, 0.0, 0) if fold is None else (fold.folded, fold.work_us, fold.keyed_rows)
        self._parts[name] = _Part(snapshot.position, snapshot, size, *counted)
        self._wanted.discard(name)

    def drop(self, name: str) -> None:
        """A model runs no longer."""
        self._parts.pop(name, None)
        self._wanted.discard(name)

    def want(self, name: str) -> None:
        """A snapshot of that model is due at once."""
        self._wanted.add(name)

    @property
    def are_wanted(self) -> bool:
        """True if a snapshot that is due at once has not been written yet."""
        return bool(self._wanted)

    def snapshot_of(self, name: str) -> Snapshot | None:
        """The newest snapshot of a model that runs."""
        return self._parts[name].snapshot if name in self._parts else None

    def size_of(self, name: str) -> int:
        """Bytes of a model's newest snapshot; 0 without one."""
        return self._parts[name].size if name in self._parts else 0

    def blocks_of(self, name: str) -> Mapping[str, int]:
        """The blocks that a model's newest snapshot lists, and where each begins in `state`."""
        snapshot = self.snapshot_of(name)
        return {} if snapshot is None else snapshot.blocks

    def due(self, models: Mapping[str, ModelFold], position: int) -> list[str]:
        """Models to be snapshotted at that position of the ledger, those first that stand furthest back."""
        known = sorted((part.at, name) for name, part in self._parts.items() if name in models)
        return [name for _, name in known if self._is_due(name, models[name], position)]

    def _is_due(self, name: str, fold: ModelFold, position: int) -> bool:
        part = self._parts[name]
        if part.at == position and part.snapshot is not None:
            return False
        keyed = fold.keyed_rows - part.keyed_rows
        since = Since(fold.folded - part.panes, position - part.at, fold.work_us - part.work_us, keyed)
        return name in self._wanted or self._rhythm.is_due(since, part.size)

    def lowest(self, position: int) -> int:
        """The offset that no model stands below."""
        return min((part.at for part in self._parts.values()), default=position)
