"""Damaged snapshots: whatever has happened to the bytes, none is loaded wrong, and nothing but FormatError comes out.

Loaded wrong: loaded without an error, and not the state that was written. A checksum finds what happens by accident;
what was made right again on purpose is found by the digest that the position record holds of it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import msgspec

from monitor.codec.snapshot import Header, digest_of_part
from monitor.errors import FormatError
from tests.snapshots import restored, snapshot
from tests.unit.evaluate.test_snapshot import PLACE, a_snapshot, checked

DAMAGED = 1000
SEED = 4


def test_of_a_thousand_damaged_snapshots_none_is_loaded_wrong(record_property: Callable[[str, object], None]) -> None:
    """Every third with its checksum made right again."""
    parts, changes = a_snapshot()
    digests = {name: digest_of_part(part) for name, part in parts.items()}
    rng = random.Random(SEED)
    outcomes: Counter[str] = Counter()
    for number in range(DAMAGED):
        name = rng.choice(["m", "m", "m", ""])
        part = cunning(parts[name], rng) if number % 3 == 0 else clumsy(parts[name], rng)
        if part == parts[name]:
            continue
        try:
            task, errors = restored(PLACE, {**parts, name: part}, changes, digests=digests)
        except FormatError:
            outcomes["the partition refused"] += 1
            continue
        outcomes["a model stopped"] += 1
        assert errors.keys() == {"m"} == task.stopped
        assert all("rebuild" in str(error) or "snapshot" in str(error) for error in errors.values())
    print(dict(outcomes))
    record_property("outcomes", dict(outcomes))
    assert min(outcomes.values()) > 100


def test_without_digests_what_can_be_seen_is_refused_and_nothing_crashes(
    record_property: Callable[[str, object], None],
) -> None:
    """Of states forged with all checksums right, what is loaded is written in bytes that load as the same state."""
    parts, changes = a_snapshot()
    rng = random.Random(SEED)
    outcomes: Counter[str] = Counter()
    for _ in range(DAMAGED // 2):
        try:
            task, errors = restored(PLACE, {**parts, "m": cunning(parts["m"], rng)}, changes)
        except FormatError:
            continue
        outcomes["refused" if errors else "can't be told"] += 1
        written = snapshot(task)
        assert errors or snapshot(restored(PLACE, written, changes)[0]) == written
    print(dict(outcomes))
    record_property("outcomes", dict(outcomes))
    assert outcomes["refused"] > 150


def clumsy(part: bytes, rng: random.Random) -> bytes:
    """Damage as it happens: bits turned, bytes lost, doubled or added, the end or the beginning cut off."""
    at, size = rng.randrange(len(part)), rng.randint(1, 40)
    match rng.randrange(7):
        case 0:
            return part[:at] + bytes([part[at] ^ (1 << rng.randrange(8))]) + part[at + 1 :]
        case 1:
            return part[:at] + rng.randbytes(size) + part[at + size :]
        case 2:
            return part[:at] + part[at + size :]
        case 3:
            return part[: at + size] + part[at:]
        case 4:
            return part[:at]
        case 5:
            return part[at:]
        case _:
            return part + rng.randbytes(size)


def cunning(part: bytes, rng: random.Random) -> bytes:
    """Damage with the size and the checksum made right again: of the payload's bytes, or of one value in it."""
    line, _, payload = part.partition(b"\n")
    header = msgspec.json.decode(line, type=Header)
    if rng.random() < 0.3:
        return checked(header, clumsy(payload, rng))
    tree = msgspec.msgpack.decode(payload)
    _change_a_leaf(tree, rng)
    return checked(header, msgspec.msgpack.encode(tree))


def _change_a_leaf(tree: object, rng: random.Random) -> None:
    """Walks down at random to one value and puts another in its place."""
    while True:
        assert isinstance(tree, list | dict)
        keys = list(range(len(tree))) if isinstance(tree, list) else list(tree)
        deeper = [key for key in keys if isinstance(tree[key], list | dict) and tree[key]]
        if not deeper or rng.random() < 0.1:
            key = rng.choice(keys)
            tree[key] = _another(tree[key], rng)
            return
        tree = tree[rng.choice(deeper)]


def _another(value: object, rng: random.Random) -> object:
    other: list[object] = [None, True, -1, 2**63, 1e308, float("nan"), float("-inf"), "", "x", b"", b"\xff" * 7, [], {}]
    match value:
        case bool():
            other.append(not value)
        case int():
            other += [value + 1, value - 1, -value, float(value)]
        case float():
            other += [value * (1 + 1e-9), -value, value + 1]
        case str():
            other += [value + "x", value[:-1]]
        case bytes():
            other += [value[:-1], value + b"\0", value[::-1]]
        case list():
            other += [value[:-1], value + value[-1:], value[::-1]]
        case _:
            pass
    return rng.choice(other)
