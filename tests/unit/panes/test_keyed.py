"""Keyed rows: whatever the batches, the same parts; through their bytes unchanged; damaged bytes are refused."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import msgspec
import numpy as np
import pytest

from monitor.codec.ids import NO_ID
from monitor.contract import ColumnSpec, Keys, StreamContract
from monitor.errors import FormatError
from monitor.events import CellState, Rows
from monitor.panes.keyed import (
    NO_CLASS,
    OTHER_TEXT,
    PART_CLASSES,
    PART_ROWS,
    KeyedRows,
    decode_keyed,
    encode_keyed,
)
from monitor.panes.open_keyed import OpenKeyed
from monitor.panes.rows import concat, empty, take
from tests.unit.making import TP

KEYS = Keys("id")
PROBABILITY = ColumnSpec("probability", "p", "numerical")
CLASS, NUMBER = ColumnSpec("prediction", "y", "categorical"), ColumnSpec("prediction", "y", "numerical")
STREAMS = {
    "class": StreamContract("predictions", "t", "time", (CLASS, PROBABILITY), keys=KEYS),
    "class alone": StreamContract("predictions", "t", "time", (CLASS,), keys=KEYS),
    "probability": StreamContract("predictions", "t", "time", (PROBABILITY,), keys=KEYS),
    "number": StreamContract("predictions", "t", "time", (NUMBER,), keys=KEYS),
    "label": StreamContract("labels", "t", "time", (ColumnSpec("label", "y", "categorical"),), keys=KEYS),
    "label number": StreamContract("labels", "t", "time", (ColumnSpec("label", "y", "numerical"),), keys=KEYS),
}
BYTES = {"class": 13, "class alone": 9, "probability": 12, "number": 16, "label": 13, "label number": 20}
"""Bytes of a row."""


@dataclass
class Given:
    """One row as a test thinks of it."""

    offset: int
    time: int
    id: int
    text: str = ""
    value: float = math.nan
    probability: float = math.nan


def some(rng: random.Random, n: int, classes: int = 4) -> list[Given]:
    """Rows in offset order; some without id, value or probability, or with a probability that is none."""
    return [
        Given(
            offset=100 + 3 * i,
            time=1_790_000_000_000 + rng.randint(0, 40),
            id=rng.choice([NO_ID, *[rng.getrandbits(64) or 1] * 9]),
            text=rng.choice(["", *[f"c{rng.randrange(classes)}"] * 4]),
            value=rng.choice([math.nan, rng.gauss(0, 5), rng.gauss(0, 5)]),
            probability=rng.choice([math.nan, rng.random(), rng.random(), 1.5]),
        )
        for i in range(n)
    ]


def rows_of(stream: StreamContract, given: Sequence[Given]) -> Rows:
    """Rows of that stream."""
    names = stream.numeric_series
    cells = [[one.probability if name == "probability" else one.value for name in names] for one in given]
    numeric = np.array(cells, dtype=np.float64).reshape(len(given), len(names))
    texts = tuple([one.text for one in given] for _ in stream.categorical_series)
    valid = np.array([[CellState.VALID if one.text else CellState.NULL for _ in texts] for one in given])
    return replace(
        empty("m", stream, "lane"),
        offset=np.array([one.offset for one in given], dtype=np.int64),
        part=np.zeros(len(given), dtype=np.int32),
        time=np.array([one.time for one in given], dtype=np.int64),
        numeric=numeric,
        numeric_states=np.where(np.isnan(numeric), CellState.NULL, CellState.VALID).astype(np.uint8),
        categorical=texts,
        categorical_states=valid.reshape(len(given), len(texts)).astype(np.uint8),
        ids=np.array([one.id for one in given], dtype=np.uint64),
    )


def sealed(stream: StreamContract, batches: Sequence[Rows], sample_bits: int = 0) -> list[KeyedRows]:
    """The parts of a pane that takes these batches."""
    opened = OpenKeyed(stream, Keys("id", sample_bits))
    for batch in batches:
        opened.add(batch)
    return list(opened.seal(empty("m", stream, "lane"), TP, 7, 10))


def told(parts: Sequence[KeyedRows]) -> list[tuple[object, ...]]:
    """Of each row id, class, value, probability and time; what is not there as None."""
    found: list[tuple[object, ...]] = []
    for part in parts:
        for i, one in enumerate(part.ids.tolist()):
            code = int(part.codes[i]) if len(part.codes) else NO_CLASS
            value = float(part.values[i]) if len(part.values) else math.nan
            probability = float(part.probabilities[i]) if len(part.probabilities) else math.nan
            text = None if code == NO_CLASS else part.classes[code]
            numbers = (None if math.isnan(number) else number for number in (value, probability))
            found.append((one, text, *numbers, int(part.times[i]) if len(part.times) else None))
    return found


def expected(stream: StreamContract, given: Sequence[Given], sample_bits: int = 0) -> list[tuple[object, ...]]:
    """The same, slow and row by row."""
    found: list[tuple[object, ...]] = []
    for one in sorted(given, key=lambda one: (one.time, one.offset)):
        text = one.text if stream.categorical_series and one.text else None
        value = one.value if stream.numeric_series[:1] in (("prediction",), ("label",)) else math.nan
        probability = one.probability if "probability" in stream.numeric_series else math.nan
        probability = float(np.float32(probability)) if 0 <= probability <= 1 else math.nan
        numbers = [None if math.isnan(number) else number for number in (value, probability)]
        if one.id == NO_ID or one.id % (1 << sample_bits) or (text, *numbers) == (None, None, None):
            continue
        found.append((one.id, text, *numbers, one.time if stream.stream == "labels" else None))
    return found


def cut(rng: random.Random, rows: Rows) -> list[Rows]:
    """The rows in batches of any size."""
    places = sorted(rng.randint(0, len(rows)) for _ in range(rng.randint(0, 6)))
    spans = zip([0, *places], [*places, len(rows)], strict=True)
    return [take(rows, np.arange(a, b)) for a, b in spans if a < b]


# ---------------------------------------------------------------------- what is kept


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("seed", range(8))
def test_a_pane_keeps_what_takes_part_whatever_the_batches(name: str, seed: int) -> None:
    """In canonical order, against a slow loop; the others are counted, the same ones for any sample."""
    rng, stream = random.Random(seed), STREAMS[name]
    given, bits = some(rng, rng.choice([0, 1, 30, 200])), rng.choice([0, 0, 1, 3])
    rows = rows_of(stream, given)
    parts = sealed(stream, cut(rng, rows), bits)
    assert told(parts) == expected(stream, given, bits)
    assert [encode_keyed(part) for part in parts] == [encode_keyed(p) for p in sealed(stream, cut(rng, rows), bits)]
    without_id = sum(one.id == NO_ID for one in given)
    of_the_sample = sum(one.id != NO_ID and one.id % (1 << bits) == 0 for one in given)
    assert sum(part.without_id for part in parts) == without_id
    assert sum(part.without_value for part in parts) == of_the_sample - len(told(parts))


def test_the_order_in_which_batches_of_a_pane_come_is_that_of_offsets_and_no_other_counts() -> None:
    """Rows of one time stand by offset, whatever batch they came in; ids and classes say nothing."""
    given = [Given(100 + i, 5, 900 - i, "ab"[i % 2]) for i in range(40)]
    (part,) = sealed(STREAMS["label"], [rows_of(STREAMS["label"], given)])
    assert part.ids.tolist() == [one.id for one in given]


def test_a_pane_in_which_nothing_takes_part_tells_how_many() -> None:
    """One part without rows; a pane without any row has none."""
    given = [Given(1, 5, NO_ID, "a"), Given(2, 5, 8), Given(3, 5, 16)]
    (part,) = sealed(STREAMS["class"], [rows_of(STREAMS["class"], given)])
    assert (len(part), part.without_id, part.without_value) == (0, 1, 2)
    assert decode_keyed(encode_keyed(part)).without_value == 2
    assert sealed(STREAMS["class"], []) == []


def test_rows_that_were_decoded_without_keys_count_as_without_id() -> None:
    """They waited when a contract brought the keys; so it is whether they come alone or with others."""
    stream = STREAMS["class"]
    first, second = rows_of(stream, [Given(1, 5, 3, "a")]), rows_of(stream, [Given(2, 6, 4, "a")])
    bare = replace(first, ids=None)
    together, apart = sealed(stream, [concat([bare, second])]), sealed(stream, [bare, second])
    assert told(together) == told(apart) == [(4, "a", None, None, None)]
    assert together[0].without_id == apart[0].without_id == 1


def test_a_sample_keeps_the_same_ids_of_predictions_and_labels() -> None:
    """One in eight, by the digest alone: so both sides of a pair are kept, or none."""
    rng = random.Random(3)
    given = [Given(i, 5 + i % 3, rng.getrandbits(64) or 1, "a") for i in range(4000)]
    ids = [
        {int(one) for part in sealed(stream, [rows_of(stream, given)], 3) for one in part.ids}
        for stream in (STREAMS["class"], STREAMS["label"])
    ]
    assert ids[0] == ids[1] == {one.id for one in given if one.id % 8 == 0}
    assert 400 < len(ids[0]) < 600


def test_many_rows_travel_in_parts() -> None:
    """Of 8,192 rows, numbered, in order; what takes no part is told by the first."""
    given = [Given(i, 5 + i // 100, NO_ID if i == 3 else i + 1, f"c{i % 3}") for i in range(2 * PART_ROWS + 12)]
    parts = sealed(STREAMS["label"], [rows_of(STREAMS["label"], given)])
    assert [len(part) for part in parts] == [PART_ROWS, PART_ROWS, 11]
    assert [part.part for part in parts] == [0, 1, 2]
    assert [part.without_id for part in parts] == [1, 0, 0]
    assert told(parts) == expected(STREAMS["label"], given)


@pytest.mark.parametrize("at", [None, 5, PART_CLASSES + 3])
def test_a_dictionary_holds_a_thousand_texts_and_the_others_are_other(at: int | None) -> None:
    """The first in canonical order; a class that has that name itself is one with them, wherever it stands."""
    names = [f"c{i}" for i in range(PART_CLASSES + 20)]
    if at is not None:
        names[at] = OTHER_TEXT
    given = [Given(i, 5, i + 1, names[i % len(names)]) for i in range(3 * len(names))]
    (part,) = sealed(STREAMS["class"], [rows_of(STREAMS["class"], given)])
    again = decode_keyed(encode_keyed(part))
    assert len(again.classes) == PART_CLASSES + (0 if at == 5 else 1)
    assert again.codes.tolist() == part.codes.tolist()
    kept = {*names[:PART_CLASSES]}
    assert [row[1] for row in told([again])] == [one.text if one.text in kept else OTHER_TEXT for one in given]


# ---------------------------------------------------------------------- bytes


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("seed", range(6))
def test_keyed_rows_come_back_as_they_were(name: str, seed: int) -> None:
    """All columns with their types, and the same bytes again."""
    rng = random.Random(seed)
    given = some(rng, 300, rng.choice([1, 200, 254, 255, 256, 700]))
    for number, one in enumerate(given):
        one.time += number * rng.choice([0, 3, 90_000, 40_000_000])  # apart by some ms, by hours, by years
    for part in sealed(STREAMS[name], [rows_of(STREAMS[name], given)]):
        value = encode_keyed(part)
        again = decode_keyed(value)
        assert encode_keyed(again) == value
        for field in fields(KeyedRows):
            was, is_now = getattr(part, field.name), getattr(again, field.name)
            if isinstance(was, np.ndarray):
                assert was.dtype == is_now.dtype
                assert np.array_equal(was, is_now, equal_nan=was.dtype.kind == "f")
            else:
                assert was == is_now


@pytest.mark.parametrize("name", STREAMS)
def test_a_row_is_small(name: str) -> None:
    """A prediction of a class takes at most 16 bytes, its label 14, the names of the part included."""
    rng = random.Random(1)
    given = [
        Given(i, 5 + i, rng.getrandbits(64) or 1, f"c{i % 5}", rng.random(), rng.random()) for i in range(PART_ROWS)
    ]
    (part,) = sealed(STREAMS[name], [rows_of(STREAMS[name], given)])
    size = len(encode_keyed(part)) / len(part)
    assert BYTES[name] - 2 <= size < BYTES[name] + 0.1
    if name.startswith(("class", "label")) and name != "label number":
        assert size <= (14 if name == "label" else 16)


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("seed", range(3))
def test_damaged_bytes_are_refused_or_are_rows(name: str, seed: int) -> None:
    """Cut off, or with one byte changed: no other exception than FormatError, and no rows that can't be."""
    rng = random.Random(seed)
    (part,) = sealed(STREAMS[name], [rows_of(STREAMS[name], some(rng, 40))])
    value = encode_keyed(part)
    for at in range(0, len(value), 7):
        with pytest.raises(FormatError):
            decode_keyed(value[:at])
    for _ in range(600):
        damaged = bytearray(value)
        damaged[rng.randrange(len(value))] = rng.randrange(256)
        try:
            again = decode_keyed(bytes(damaged))
        except FormatError:
            continue
        told([again])
        encode_keyed(again)


def test_rows_that_cannot_be_are_refused() -> None:
    """Columns of other lengths or streams, classes beyond the dictionary, ids and labels that are none."""
    damages: dict[str, list[tuple[int, object]]] = {
        "label": [
            (1, "predictions"),
            (1, "features"),
            (1, "nothing"),
            (6, 0),
            (7, -1),
            (8, b"\0" * 16),
            (8, b"\1" * 24),
            (9, ("a", "a")),
            (9, ("a",)),
            (9, ()),
            (10, "<u4"),
            (11, b"\xff\0"),
            (11, b"\0"),
            (11, b""),
            (12, b"\0" * 16),
            (13, b"\0" * 8),
            (14, 1 << 60),
            (15, "<i8"),
            (16, b""),
            (16, b"\0\0\0"),
            (17, -1),
        ],
        "label number": [(12, np.array([1.0, math.nan]).tobytes()), (12, np.array([1.0, math.inf]).tobytes())],
        "number": [(8, b"\1" * 8), (1, "labels"), (12, b"\0" * 15)],
        "class": [(1, "labels"), (16, b"\0" * 4), (12, b"\0" * 16)],
    }
    given = [Given(1, 5, 3, "a", 1.5, 0.5), Given(2, 6, 4, "b", 2.5, 0.25)]
    for name, changes in damages.items():
        (part,) = sealed(STREAMS[name], [rows_of(STREAMS[name], given)])
        written = msgspec.msgpack.decode(encode_keyed(part))
        for at, wrong in changes:
            damaged = [wrong if i == at else field for i, field in enumerate(written)]
            with pytest.raises(FormatError):
                decode_keyed(msgspec.msgpack.encode(damaged))
    (part,) = sealed(STREAMS["label"], [rows_of(STREAMS["label"], given)])
    written = msgspec.msgpack.decode(encode_keyed(part))
    far = [{15: "<u8", 16: np.array([0, 1 << 62], dtype="<u8").tobytes()}.get(i, f) for i, f in enumerate(written)]
    with pytest.raises(FormatError, match="out of range"):
        decode_keyed(msgspec.msgpack.encode(far))
