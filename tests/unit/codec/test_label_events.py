"""Decoding labels, and the ids that they share with predictions: one bucket each, and one id however it is written."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.codec import reasons
from monitor.codec.decode import BLOCK, Decoder
from monitor.codec.ids import NO_ID, digest_of
from monitor.contract import ColumnKind, ColumnSpec, Field, Keys, ModelContract, StreamContract
from monitor.events import Batch, CellState, RecordBatch

TIME = "2026-11-23T08:00:00Z"


def contract(
    model: str, kind: ColumnKind = "categorical", id_field: Field = "prediction_id", label: Field = "y_true"
) -> ModelContract:
    """A model with labels on the topic "labels"."""
    columns = (ColumnSpec("label", label, kind),)
    stream = StreamContract("labels", "labels", "event_time", columns, keys=Keys(id_field))
    return ModelContract(model, 10_000, 0, 0, 0, 0, 0, (stream,))


def with_predictions(model: str, keys: Keys | None) -> ModelContract:
    """A model with predictions on the topic "labels"."""
    columns = (ColumnSpec("prediction", "y_pred", "categorical"), ColumnSpec("probability", "p", "numerical"))
    stream = StreamContract("predictions", "labels", "event_time", columns, keys=keys)
    return ModelContract(model, 10_000, 0, 0, 0, 0, 0, (stream,))


ALONE = Decoder("labels", [contract("m")])
NUMBERS = Decoder("labels", [contract("m", "numerical")])
TWO = Decoder("labels", [contract("m"), contract("w", "numerical", ("order", "id"), ("result", "paid"))])
PREDICTIONS = Decoder("labels", [with_predictions("m", Keys("prediction_id"))])
DECODERS = [ALONE, NUMBERS, TWO, PREDICTIONS]


def batch(values: Sequence[bytes | None], first: int = 100) -> RecordBatch:
    n = len(values)
    return RecordBatch("labels", 3, list(range(first, first + n)), [7] * n, [b"k"] * n, values, [()] * n)


def event(**changes: Any) -> bytes:
    """A label; a field that is `...` is left out."""
    whole = {"event_id": "e", "model": "m", "event_time": TIME, "prediction_id": "tx-1", "y_true": 1, **changes}
    return json.dumps({name: value for name, value in whole.items() if value is not ...}).encode()


def fates(decoded: Batch) -> dict[int, object]:
    """Offset -> what became of the record; asserts that each has one bucket."""
    found: list[tuple[int, object]] = [(offset, "tombstone") for offset in decoded.tombstones.tolist()]
    found += [(rejected.offset, rejected.reason) for rejected in decoded.rejected]
    for rows in decoded.rows:
        assert rows.ids is not None
        for i, offset in enumerate(rows.offset.tolist()):
            cells = [texts[i] for texts in rows.categorical], str(rows.numeric[i].tolist())
            states = rows.categorical_states[i].tolist(), rows.numeric_states[i].tolist()
            found.append((offset, (rows.model, int(rows.ids[i]), int(rows.time[i]), cells, states)))
    assert len(dict(found)) == len(found)
    return dict(found)


# ---------------------------------------------------------------------- ids


@pytest.mark.parametrize(
    ("id_text", "name"),
    [
        ('"88213"', "88213"),
        ("88213", "88213"),
        ("88213.0", "88213"),
        ("8.8213e4", "88213"),
        ("-7", "-7"),
        ("-0.0", "0"),
        ('"tx-\\u00e9"', "tx-é"),
        ('"a\\nb"', "a\nb"),
        ("9007199254740991.0", "9007199254740991"),
        ("18446744073709551616", "18446744073709551616"),
        ("9" * 256, "9" * 256),
        ('"' + "é" * 256 + '"', "é" * 256),
        ("9007199254740992.0", None),
        ("9" * 257, None),
        ("9" * 400, None),
        ("9" * 5000, None),
        ('"' + "x" * 257 + '"', None),
        ('""', None),
        ('"\\ud800"', None),
        ("0.5", None),
        ("NaN", None),
        ("1e400", None),
        ("true", None),
        ("null", None),
        ("[1]", None),
        ("{}", None),
    ],
)
@pytest.mark.parametrize("company", [None, b"{", event(y_true=[1])], ids=["strict", "single", "loose"])
def test_an_id_is_a_text_or_an_integer_and_both_are_one(id_text: str, name: str | None, company: bytes | None) -> None:
    """In any tier; what can't be an id makes a label a dead letter, and a prediction one that takes no part."""
    value = event(prediction_id="?").replace(b'"?"', id_text.encode())
    expected = NO_ID
    if name is not None:
        expected = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")
    (rows,) = PREDICTIONS.decode(batch([value, company])).rows
    assert rows.ids is not None
    assert rows.ids[0] == expected
    labels = ALONE.decode(batch([value, company]))
    if name is None:
        assert labels.rejected[0].reason == reasons.MISSING_PREDICTION_ID
        assert all(100 not in rows.offset for rows in labels.rows)
    else:
        assert labels.rows[0].ids is not None
        assert labels.rows[0].ids[0] == expected


@given(st.integers(), st.integers(-(2**53) + 1, 2**53 - 1))
def test_numbers_are_the_ids_of_their_texts(whole: int, small: int) -> None:
    """Integers of any size, floats as long as they are exact."""
    assert digest_of(whole) == digest_of(str(whole)) != NO_ID
    assert digest_of(float(small)) == digest_of(small)


def test_predictions_are_the_same_rows_with_and_without_keys() -> None:
    """An id decides on nothing but the join: a prediction without one is a row like any other."""
    plain = Decoder("labels", [with_predictions("m", None)])
    values = [event(prediction_id=one, y_pred=1, p=0.5) for one in ("a", 5, None, ..., True, [1], {"x": 1})]
    with_keys, without = (decoder.decode(batch(values)) for decoder in (PREDICTIONS, plain))
    assert with_keys.rows[0].contract == without.rows[0].contract
    assert with_keys.rows[0].categorical == without.rows[0].categorical
    assert not with_keys.rejected
    assert with_keys.rows[0].ids is not None
    assert (with_keys.rows[0].ids != NO_ID).tolist() == [True, True, *[False] * 5]
    assert without.rows[0].ids is None


# ---------------------------------------------------------------------- labels


@pytest.mark.parametrize(
    ("decoder", "value", "fate"),
    [
        (ALONE, event(), "1"),
        (ALONE, event(y_true=True), "1"),
        (ALONE, event(y_true="0.0"), "0"),
        (ALONE, event(y_true="fraud"), "fraud"),
        (ALONE, event(event_id=..., model=...), "1"),
        (ALONE, event(event_id=None, model=None), "1"),
        (ALONE, event(prediction_id=...), reasons.MISSING_PREDICTION_ID),
        (ALONE, event(prediction_id=..., y_true=None), reasons.MISSING_PREDICTION_ID),
        (ALONE, event(y_true=...), reasons.MISSING_LABEL),
        (ALONE, event(y_true=None), reasons.MISSING_LABEL),
        (ALONE, event(y_true=""), reasons.MISSING_LABEL),
        (ALONE, event(y_true=0.5), reasons.INVALID_LABEL),
        (ALONE, event(y_true=[1]), reasons.INVALID_LABEL),
        (ALONE, event(y_true="x" * 257), reasons.INVALID_LABEL),
        (ALONE, event(y_true="\ud800"), reasons.INVALID_LABEL),
        (ALONE, event(y_true=float("nan")), reasons.INVALID_LABEL),
        (ALONE, event(model="w"), reasons.UNKNOWN_MODEL),
        (ALONE, event(event_time=..., prediction_id=...), reasons.MISSING_TIME),
        (NUMBERS, event(y_true=-2.5), -2.5),
        (NUMBERS, event(y_true=...), reasons.MISSING_LABEL),
        (NUMBERS, event(y_true=None), reasons.MISSING_LABEL),
        (NUMBERS, event(y_true=""), reasons.INVALID_LABEL),
        (NUMBERS, event(y_true="12.5"), reasons.INVALID_LABEL),
        (NUMBERS, event(y_true=True), reasons.INVALID_LABEL),
        (NUMBERS, event(y_true=1e200), reasons.INVALID_LABEL),
        (NUMBERS, event(y_true=float("inf")), reasons.INVALID_LABEL),
        (TWO, event(model=...), reasons.MISSING_MODEL),
        (TWO, event(model="w", result={"paid": 3}, order={"id": 7}), 3.0),
        (TWO, event(model="w", result={"paid": 3}), reasons.MISSING_PREDICTION_ID),
        (TWO, event(model="w", result=3, order={"id": 7}), reasons.MISSING_LABEL),
    ],
)
@pytest.mark.parametrize("company", [None, b"{", event(y_true=[1])], ids=["strict", "single", "loose"])
def test_each_label_has_its_value_or_its_reason(
    decoder: Decoder, value: bytes, fate: str | float, company: bytes | None
) -> None:
    """In any tier, and with the first reason that holds."""
    decoded = decoder.decode(batch([value, company]))
    rejected = [one.reason for one in decoded.rejected if one.offset == 100]
    values = [rows.categorical[0] if rows.categorical else rows.numeric[:, 0].tolist() for rows in decoded.rows]
    assert [*rejected, *(own[0] for own in values if own)] == [fate]
    assert set(rejected) <= reasons.SENTENCES.keys()


def test_models_of_one_topic_may_have_their_ids_in_different_fields() -> None:
    """Each takes its own, whatever the other finds there."""
    values = [
        event(prediction_id="a", order={"id": "b"}),
        event(model="w", prediction_id="a", order={"id": "b"}, result={"paid": 1.5}),
    ]
    found = {rows.model: rows for rows in TWO.decode(batch(values)).rows}
    assert found["m"].ids is not None
    assert found["w"].ids is not None
    assert found["m"].ids.tolist() == [digest_of("a")]
    assert found["w"].ids.tolist() == [digest_of("b")]


JSON = st.sampled_from(
    [
        *("1", "0", "-0", "2.5", "3.0", "true", "false", "null", '"a"', '"12.5"', '""', "[]", "{}", '{"id": 3}', "NaN"),
        *("1e400", "1e200", "1" + "0" * 400, "9" * 5000, '"\\ud800"', '"\\u00e9"', '"' + "a" * 300 + '"', "nul"),
        *("18446744073709551616", '{"id": true, "paid": 2}', '{"id": "x", "paid": "2"}', '"a\\u0000b"'),
    ]
)
LABELS = st.fixed_dictionaries(
    {'"event_time"': st.sampled_from([f'"{TIME}"', f'"{TIME}"', f'"{TIME}"', "null", '"soon"'])},
    optional={
        '"event_id"': st.sampled_from(['"e1"', "null", "7", '""']),
        '"model"': st.sampled_from(['"m"', '"m"', '"w"', "null", '"nobody"']),
        '"prediction_id"': st.one_of(JSON, st.just('"tx"'), st.just("12")),
        '"order"': JSON,
        '"y_true"': st.one_of(JSON, st.just("1")),
        '"result"': JSON,
    },
).map(lambda fields: ("{" + ", ".join(f"{k}: {v}" for k, v in fields.items()) + "}").encode())


@settings(max_examples=300)
@given(st.lists(st.one_of(LABELS, LABELS, st.none(), st.binary(max_size=8)), min_size=1, max_size=6))
def test_a_labels_fate_depends_on_the_record_alone(values: list[bytes | None]) -> None:
    """It is one row or has one reason, the same in any company: all tiers agree."""
    for decoder in DECODERS:
        together = fates(decoder.decode(batch(values)))
        alone: dict[int, object] = {}
        for i, value in enumerate(values):
            alone |= fates(decoder.decode(batch([value], 100 + i)))
        assert together == alone
        assert sorted(together) == list(range(100, 100 + len(values)))


def test_good_labels_among_many_bad_ones_are_all_there() -> None:
    """Over several blocks, in offset order; each bad one in exactly one bucket."""
    bad = {
        reasons.MISSING_PREDICTION_ID: event(prediction_id=None),
        reasons.MISSING_LABEL: event(y_true=None),
        reasons.INVALID_LABEL: event(y_true={}),
        reasons.INVALID_TIME: event(event_time="soon"),
        reasons.INVALID_JSON: b"{",
    }
    kinds = [*bad, "good", "good"]
    names = [kinds[(i * 2_654_435_761 >> 7) % 7] for i in range(2 * BLOCK + 33)]
    values = [bad.get(name, event(prediction_id=i)) for i, name in enumerate(names)]
    decoded = ALONE.decode(batch(values, 0))
    assert Counter(one.reason for one in decoded.rejected) == Counter(name for name in names if name != "good")
    assert [one.offset for one in decoded.rejected] == [i for i, name in enumerate(names) if name != "good"]
    (rows,) = decoded.rows
    good = [i for i, name in enumerate(names) if name == "good"]
    assert rows.offset.tolist() == good
    assert rows.ids is not None
    assert rows.ids.tolist() == [digest_of(i) for i in good]
    assert not (rows.categorical_states != CellState.VALID).any()
    assert rows.ids.dtype == np.uint64


def test_a_topic_of_bad_labels_alone_has_no_rows() -> None:
    """Nothing is left of a batch in which each label is a dead letter."""
    decoded = ALONE.decode(batch([event(y_true=None)] * 3))
    assert not decoded.rows
    assert len(decoded.rejected) == 3


def test_an_id_may_be_the_events_own() -> None:
    """`event_id` names the prediction if alerts.yaml says so."""
    made = contract("m", id_field="event_id").streams[0]
    decoder = Decoder("labels", [ModelContract("m", 10, 0, 0, 0, 0, 0, (made,))])
    (rows,) = decoder.decode(batch([event(event_id="own")])).rows
    assert rows.ids is not None
    assert rows.ids.tolist() == [digest_of("own")]
