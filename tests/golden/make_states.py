"""Makes the golden states of one version of River: `python -m tests.golden.make_states`, once a version.

The file says how a state was written and what came after it. A test loads it and compares. It is made anew only with a
new version of River or of the codec, next to the old one, together with a migration or the refusal of the old one.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import numpy as np
from river import __version__

from monitor.detectors.plugin import Plugin
from monitor.evaluate.messages import Message
from monitor.events import Float64s, Headers
from monitor.ledger.entries import Decision
from monitor.ledger.entry_codec import encode_entry
from tests.contracts.test_detector_states import CLASSES, SEED, encoded, plugin
from tests.snapshots import snapshot
from tests.unit.evaluate.test_snapshot import decisions_of, evaluated, ledger

FOLDER = Path(__file__).parent
LOG = 2
"""The random log whose model is snapshotted; all eight detectors watch it."""
BEFORE, AFTER = 700, 500


class DetectorCase(msgspec.Struct, forbid_unknown_fields=True):
    """A detector after `BEFORE` values: its state, what it finds in the next `AFTER`, and its state then."""

    name: str
    setting: str
    state: bytes
    found: list[int]
    later: bytes


class Golden(msgspec.Struct, forbid_unknown_fields=True):
    """One file. `entries`: the ledger behind the snapshot, as (kind, value). `messages`: digests of what is said."""

    river: str
    detectors: list[DetectorCase]
    parts: dict[str, bytes]
    changes: list[Decision]
    entries: list[tuple[Headers, bytes]]
    messages: list[str]


def values_for(it: Plugin, n: int) -> Float64s:
    """Values that depend on no library's random numbers: by SHA-256, with changes up and down."""
    levels = (0.1, 0.8, 0.2, 0.9, 0.1, 0.7)
    numbers = []
    for i in range(n):
        x = int.from_bytes(hashlib.sha256(f"golden/{i}".encode()).digest()[:6], "big") / (1 << 48)
        level = levels[i * len(levels) // (BEFORE + AFTER)]
        numbers.append(float(x < level) if it.reads == "binary" else min(1.0, max(0.0, level + (x - 0.5) / 4)))
    return np.array(numbers)


def detector_case(name: str, setting: str) -> DetectorCase:
    it = plugin(name, setting)
    detector, values = it.build(SEED), values_for(it, BEFORE + AFTER)
    detector.update(values[:BEFORE])
    state = encoded(detector)
    found = detector.update(values[BEFORE:])
    return DetectorCase(name, setting, state, found, encoded(detector))


def published(messages: list[Message]) -> list[str]:
    """Digests of messages."""
    return [hashlib.sha256(message.value).hexdigest() for message in messages]


def make() -> Golden:
    entries = list(ledger(LOG))
    cut = len(entries) // 2
    task, outputs = evaluated(entries[:cut], [])
    parts, rest, messages = snapshot(task), entries[cut:], list[Message]()
    for entry in rest:
        messages += [out for out in [*task.read(entry), *task.advance()] if isinstance(out, Message)]
    records = [encode_entry(entry, "ledger", 0) for entry in rest]
    return Golden(
        river=__version__,
        detectors=[detector_case(name, setting) for name in CLASSES for setting in ("defaults", "sensitive")],
        parts=parts,
        changes=list(decisions_of(outputs).values()),
        entries=[(record.headers, record.value or b"") for record in records],
        messages=published(messages),
    )


if __name__ == "__main__":
    (FOLDER / f"river-{__version__}.msgpack").write_bytes(msgspec.msgpack.encode(make()))
