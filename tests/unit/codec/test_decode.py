"""Decoding: every record is one row or has one reason, whatever it is decoded with and beside."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.codec import reasons
from monitor.codec.dead_letters import MOST_BYTES
from monitor.codec.decode import BLOCK, BLOCK_BYTES, Decoder, _blocks
from monitor.contract import ColumnKind, ColumnSpec, ModelContract, StreamContract
from monitor.events import STREAMS, Batch, CellState, RecordBatch, StreamName

KINDS: dict[str, ColumnKind] = {
    "x": "numerical",
    "y": "numerical",
    "b": "binary",
    "c": "categorical",
    "t": "text",
    "v": "array",
}
TIME = "2026-11-21T10:31:07.412Z"
TIME_MS = 1795257067412


def contract(model: str, kinds: dict[str, ColumnKind], stream: StreamName = "features") -> ModelContract:
    columns = tuple(ColumnSpec(name, name, kind) for name, kind in kinds.items())
    return ModelContract(model, 10_000, 0, 0, 0, 0, 0, (StreamContract(stream, "in", "event_time", columns),))


FIRST = contract("m", KINDS)
SECOND = contract("other", {"y": "categorical", "z": "numerical"})
DECODER = Decoder("in", [FIRST, SECOND], frozenset({"left-out"}))


def batch(values: Sequence[bytes | None], first: int = 100) -> RecordBatch:
    n = len(values)
    return RecordBatch("in", 3, list(range(first, first + n)), [7] * n, [b"k"] * n, values, [()] * n)


def event(features: Any = None, **changes: Any) -> bytes:
    whole = {"event_id": "e", "model": "m", "event_time": TIME, "features": {} if features is None else features}
    return json.dumps({**whole, **changes}).encode()


def reported(decoded: Batch) -> dict[int, object]:
    """Offset -> what became of the record, comparable (NaN as text); asserts that each has one bucket."""
    found: list[tuple[int, object]] = [(offset, "tombstone") for offset in decoded.tombstones.tolist()]
    found += [(offset, "filtered") for offset in decoded.filtered.tolist()]
    found += [(rejected.offset, rejected.reason) for rejected in decoded.rejected]
    for rows in decoded.rows:
        assert rows.offset.tolist() == sorted(rows.offset.tolist())
        assert np.isnan(rows.numeric[rows.numeric_states != CellState.VALID]).all()
        assert np.isfinite(rows.numeric[rows.numeric_states == CellState.VALID]).all()
        for i, offset in enumerate(rows.offset.tolist()):
            numbers = str(rows.numeric[i].tolist()), rows.numeric_states[i].tolist()
            texts = [texts[i] for texts in rows.categorical], rows.categorical_states[i].tolist()
            found.append((offset, (rows.model, int(rows.time[i]), numbers, texts)))
    assert len(dict(found)) == len(found)
    return dict(found)


def alone(values: Sequence[bytes | None], decoder: Decoder = DECODER) -> dict[int, object]:
    answers: dict[int, object] = {}
    for i, value in enumerate(values):
        answers |= reported(decoder.decode(batch([value], 100 + i)))
    return answers


def states(column: str, value: str) -> list[CellState]:
    """States of the column's series for a value given as JSON text."""
    decoded = Decoder("in", [contract("m", {column: KINDS[column]})]).decode(
        batch([event().replace(b'"features": {}', f'"features": {{"{column}": {value}}}'.encode())])
    )
    assert not decoded.rejected
    rows = decoded.rows[0]
    return [CellState(state) for state in (*rows.numeric_states[0].tolist(), *rows.categorical_states[0].tolist())]


VALUES = st.sampled_from(
    [
        *("1", "0", "-0", "2.5", "true", "false", "null", '"a"', '"12.5"', '""', "[]", "[1, 2.5]", '[1, "a"]', "{}"),
        *("NaN", "-Infinity", "1e400", "-1e150", "9e149", "1" + "0" * 400, "9" * 5000, "[NaN, 1]", "[1e200]", "[null]"),
        *(
            '"\\ud800"',
            '"\\u00e9\\ud83d\\ude00"',
            '"' + "a" * 300 + '"',
            '"\\q"',
            "nul",
            "18446744073709551616",
            "[true]",
        ),
        *("9007199254740993", "1.7976931348623157e308", "5e-324", '"\\u0000"', '"tab\t"', "[[1]]", "[1,2", "01", "1 2"),
    ]
)
FEATURES = st.one_of(
    st.lists(st.tuples(st.sampled_from([*KINDS, "z", "unknown"]), VALUES), max_size=5).map(
        lambda items: "{" + ", ".join(f'"{name}": {value}' for name, value in items) + "}"
    ),
    st.just('{"x": 1.5, "y": 2, "b": 1, "c": "a", "t": "abc", "v": [1], "z": 4}'),
    VALUES,
)
ENVELOPE = st.fixed_dictionaries(
    {
        '"event_id"': st.sampled_from(['"e1"', '"e1"', '"é"', '""', '"a\\nb"', "1", "null", '"' + "x" * 257 + '"']),
        '"model"': st.sampled_from(['"m"', '"m"', '"other"', '"nobody"', '"left-out"', "null", "[]", '"\\ud800"']),
        '"event_time"': st.sampled_from(
            [f'"{TIME}"', f'"{TIME}"', '"2026-11-21T11:31:07+01:00"', '"1999-12-31T23:59:59Z"', '"soon"', "5", "null"]
        ),
        '"features"': FEATURES,
    },
    optional={'"more"': VALUES, '"model" ': st.just('"m"'), '"event_\\u0069d"': st.just('"e2"')},
)
TEXTS = ENVELOPE.map(lambda fields: ("{" + ", ".join(f"{k}: {v}" for k, v in fields.items()) + "}").encode())
RECORDS = st.one_of(
    TEXTS,
    TEXTS,
    st.none(),
    st.binary(max_size=8),
    TEXTS.map(lambda text: text[: len(text) // 2]),
    TEXTS.map(lambda text: text + text),
    TEXTS.map(lambda text: text.replace(b", ", b",\n")),
    st.sampled_from(
        [b"", b" ", b"[]", b"3", b"NaN", b"\xff", b'{"a": "\xff"}', b"[" * 501, b'{"a":' * 501, b"\xef\xbb\xbf{}"]
    ),
)


@settings(max_examples=400)
@given(st.lists(RECORDS, min_size=1, max_size=6))
def test_a_records_fate_depends_on_the_record_alone(values: list[bytes | None]) -> None:
    """A record gets the same row or the same reason in any company: all tiers agree."""
    together = reported(DECODER.decode(batch(values)))
    assert together == alone(values)
    assert sorted(together) == list(range(100, 100 + len(values)))


@settings(max_examples=200)
@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_sound_records_are_read_alike_by_all_tiers(values: list[bytes]) -> None:
    """A broken neighbour sends the whole block through the slow tiers, and changes nothing."""
    broken = [*values, b"{", event({"x": "12.5"}), event({"x": math.nan})]
    assert reported(DECODER.decode(batch(broken))) == alone(broken)


def test_blocks_of_a_large_poll_are_put_together_in_order() -> None:
    """Rows of a poll of several blocks and two models stand in offset order, none lost."""
    values = [event({"x": i, "z": i}, model="m" if i % 3 else "other") for i in range(2 * BLOCK + 7)]
    rows = {rows.model: rows for rows in DECODER.decode(batch(values, 0)).rows}
    assert rows["m"].offset.tolist() == [i for i in range(len(values)) if i % 3]
    assert rows["m"].numeric[:, 0].tolist() == [float(i) for i in range(len(values)) if i % 3]
    assert rows["other"].numeric[:, 0].tolist() == [float(i) for i in range(0, len(values), 3)]


@pytest.mark.parametrize("seed", range(5))
def test_large_records_are_cut_into_small_blocks_and_nothing_changes(seed: int) -> None:
    """A block of large events could take gigabytes as objects; how it is cut makes no difference."""
    rng = random.Random(seed)
    sizes = [rng.choice([10, 300_000, BLOCK_BYTES + 5]) for _ in range(40)]
    values = [None if i % 9 == 5 else event({"x": i, "unknown": "u" * size}) for i, size in enumerate(sizes)]
    cuts = list(_blocks(values))
    assert [a for a, _ in cuts[1:]] == [b for _, b in cuts[:-1]]
    assert (cuts[0][0], cuts[-1][1]) == (0, len(values))
    assert all(b - a == 1 or sum(len(v or b"") for v in values[a:b]) <= BLOCK_BYTES for a, b in cuts)
    assert reported(DECODER.decode(batch(values))) == alone(values)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b'{"event_id": "\xff"}', reasons.INVALID_UTF8),
        (event()[:-3], reasons.INVALID_JSON),
        (b"", reasons.INVALID_JSON),
        (event() + event(), reasons.INVALID_JSON),
        (b"[" * 100_000, reasons.JSON_TOO_DEEP),
        (event({"unknown": 0}).replace(b"0}", b"[" * 600 + b"]" * 600 + b"}"), reasons.JSON_TOO_DEEP),
        (b"[1]", reasons.NOT_AN_OBJECT),
        (b"null", reasons.NOT_AN_OBJECT),
        (b"{}", reasons.MISSING_MODEL),
        (event(model=None), reasons.MISSING_MODEL),
        (event(model="nobody"), reasons.UNKNOWN_MODEL),
        (event(model=["m"]), reasons.UNKNOWN_MODEL),
        (event(event_id=""), reasons.INVALID_ID),
        (event(event_id=5), reasons.INVALID_ID),
        (event(event_id="a\nb"), reasons.INVALID_ID),
        (event(event_id="x" * 257), reasons.INVALID_ID),
        (event(event_time=None), reasons.MISSING_TIME),
        (event(event_time=" "), reasons.MISSING_TIME),
        (event(event_time=12), reasons.INVALID_TIME),
        (event(event_time=True), reasons.INVALID_TIME),
        (event(event_time=[TIME_MS]), reasons.INVALID_TIME),
        (event(event_time="21.11.2026"), reasons.INVALID_TIME),
        (event(event_time="1999-12-31T23:59:59.999Z"), reasons.TIME_OUT_OF_RANGE),
        (event(event_time="2100-01-01T00:00:00Z"), reasons.TIME_OUT_OF_RANGE),
        (event(features=[1]), reasons.MISSING_FEATURES),
        (event().replace(b', "features": {}', b""), reasons.MISSING_FEATURES),
    ],
)
def test_each_broken_envelope_has_its_reason(value: bytes, reason: str) -> None:
    """A record that can't be a row is quoted as its dead letter will, with the first reason that holds."""
    (rejected,) = DECODER.decode(batch([value])).rejected
    assert (rejected.reason, rejected.value, rejected.key, rejected.offset) == (reason, value[:MOST_BYTES], b"k", 100)
    assert (rejected.length, rejected.sha256) == (len(value), hashlib.sha256(value).hexdigest())
    assert reason in reasons.SENTENCES


def test_tombstones_and_filtered_models_are_no_dead_letters() -> None:
    """A record without value, and one of a model that is left out, are counted apart."""
    decoded = DECODER.decode(batch([None, event(model="left-out", event_time="broken"), event()]))
    assert reported(decoded).keys() == {100, 101, 102}
    assert decoded.tombstones.tolist() == [100]
    assert decoded.filtered.tolist() == [101]
    assert not decoded.rejected


@pytest.mark.parametrize(
    ("column", "value", "state"),
    [
        ("x", "1.5", CellState.VALID),
        ("x", "9007199254740993", CellState.VALID),
        ("x", "null", CellState.NULL),
        ("x", '"12.5"', CellState.WRONG_TYPE),
        ("x", "true", CellState.WRONG_TYPE),
        ("x", "[1]", CellState.WRONG_TYPE),
        ("x", "NaN", CellState.NAN),
        ("x", "-Infinity", CellState.INFINITE),
        ("x", "1e400", CellState.OUT_OF_RANGE),
        ("x", "-1e150", CellState.OUT_OF_RANGE),
        ("x", "9" * 400, CellState.OUT_OF_RANGE),
        ("x", "9" * 5000, CellState.OUT_OF_RANGE),
        ("b", "1", CellState.VALID),
        ("b", "false", CellState.VALID),
        ("b", "0.5", CellState.OUT_OF_RANGE),
        ("b", '"1"', CellState.VALID),
        ("b", '"Yes"', CellState.VALID),
        ("b", '"maybe"', CellState.WRONG_TYPE),
        ("c", '"a"', CellState.VALID),
        ("c", "3", CellState.VALID),
        ("c", "true", CellState.VALID),
        ("c", "3.0", CellState.VALID),
        ("c", "3.5", CellState.WRONG_TYPE),
        ("c", "NaN", CellState.NAN),
        ("c", "Infinity", CellState.INFINITE),
        ("c", "1e300", CellState.OUT_OF_RANGE),
        ("c", '"' + "a" * 257 + '"', CellState.OUT_OF_RANGE),
        ("c", '"\\ud800"', CellState.WRONG_TYPE),
        ("t", '"abc"', CellState.VALID),
        ("t", "3", CellState.WRONG_TYPE),
    ],
)
def test_values_that_are_no_numbers_are_told_apart(column: str, value: str, state: CellState) -> None:
    """A bad value in one column keeps the row, and says what is bad."""
    assert states(column, value) == [state]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("[]", [CellState.VALID, CellState.NULL, CellState.NULL]),
        ("[3, 4.0]", [CellState.VALID] * 3),
        ("[NaN]", [CellState.VALID, CellState.NAN, CellState.NAN]),
        ("[1e400]", [CellState.VALID, CellState.OUT_OF_RANGE, CellState.OUT_OF_RANGE]),
        ("[1, null]", [CellState.WRONG_TYPE] * 3),
        ("[true]", [CellState.WRONG_TYPE] * 3),
        ("null", [CellState.NULL] * 3),
        ("5", [CellState.WRONG_TYPE] * 3),
    ],
)
def test_an_array_has_the_state_of_its_elements(value: str, expected: list[CellState]) -> None:
    """Length, mean and norm of an array each have a state."""
    assert states("v", value) == expected


def test_values_arrive_as_they_were_sent() -> None:
    """Numbers, flags, lengths, means, norms and categories of one row."""
    features = {"x": -1.25, "y": 7, "b": True, "c": "grün", "t": "naïve 😀", "v": [3, 4]}
    for company in ([], [b"{"], [event({"x": "a"})]):
        rows = DECODER.decode(batch([event(features), *company])).rows[0]
        assert rows.numeric[0].tolist() == [-1.25, 7.0, 1.0, 7.0, 2.0, 3.5, 5.0]
        assert rows.categorical[0][0] == "grün"
        assert rows.time[0] == TIME_MS


@pytest.mark.parametrize("neighbour", [None, b"{", event({"x": "12.5"})], ids=["strict", "single", "loose"])
def test_the_last_of_duplicate_keys_wins_in_every_tier(neighbour: bytes | None) -> None:
    """Of two values, two objects or two models under one key the last counts."""
    value = (
        b'{"model": "nobody", "event_id": 1, "event_id": "e", "event_time": "' + TIME.encode() + b'", "model": "m",'
        b' "features": {"x": 1, "y": 5}, "features": {"x": "a", "x": 1, "x": 2}}'
    )
    rows = DECODER.decode(batch([value, neighbour])).rows[0]
    assert rows.numeric[0, 0] == 2.0
    assert rows.numeric_states[0, 1] == CellState.ABSENT


def test_predictions_have_their_fields_at_the_top() -> None:
    """Class labels become text; 1, 1.0 and true are one class."""
    kinds: dict[str, ColumnKind] = {"y_pred": "categorical", "y_pred_proba": "numerical"}
    decoder = Decoder("in", [contract("m", kinds, STREAMS[1])])
    base = {"event_id": "e", "model": "m", "event_time": TIME}
    labels = (0, True, "spam", 0.5, 1.0, "1", "1.0", "True", "01")
    values = [json.dumps({**base, "y_pred": label, "y_pred_proba": 0.5}).encode() for label in labels]
    (rows,) = decoder.decode(batch(values)).rows
    assert rows.stream == "predictions"
    assert rows.categorical == (["0", "1", "spam", "", "1", "1", "1", "1", "01"],)
    assert rows.categorical_states[:, 0].tolist() == [0, 0, 0, CellState.WRONG_TYPE, 0, 0, 0, 0, 0]
    assert rows.numeric[:, 0].tolist() == [0.5] * 9


def test_a_record_at_the_brokers_limit_is_read() -> None:
    """A megabyte of a text column, and of unknown fields, is a row like any other."""
    large = "é" * 500_000
    (rows,) = DECODER.decode(batch([event({"t": large, "x": 1}), event({"unknown": [[1]] * 100_000, "x": 2})])).rows
    assert rows.numeric[:, 0].tolist() == [1.0, 2.0]
    assert rows.numeric[0, 3] == 500_000.0


def test_the_brokers_stamps_are_kept_under_log_append_time_only() -> None:
    """They are what an event's time may not run ahead of."""
    plain = batch([event(), b"{"])
    stamped = RecordBatch("in", 3, plain.offsets, [5, 6], plain.keys, plain.values, plain.headers, True)
    assert len(DECODER.decode(plain).timestamp) == 0
    decoded = DECODER.decode(stamped)
    assert (decoded.timestamp_offset.tolist(), decoded.timestamp.tolist()) == ([100, 101], [5, 6])
