"""How far a chaos run has come, kept in its folder."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tests.chaos.crew import RunFailed
from tests.chaos.plan import Options


@dataclass
class Progress:
    """How far a run has come: kept in DIR, so that an interrupted one goes on."""

    options: Options
    faults_done: int = 0
    sent: int = 0
    seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=Counter)

    def save(self, folder: Path) -> None:
        partial = folder / "progress.json.part"
        partial.write_bytes(msgspec.json.encode(self))
        partial.replace(folder / "progress.json")

    @classmethod
    def load(cls, folder: Path, options: Options) -> Progress:
        path = folder / "progress.json"
        if not path.exists():
            return cls(options)
        found = msgspec.json.decode(path.read_bytes(), type=cls)
        if found.options != options:
            raise RunFailed(f"{folder} holds another run, {found.options}; go on with that, or give another --dir")
        found.counts = Counter(found.counts)  # decoded as a plain dict
        return found
