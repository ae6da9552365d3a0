"""Labels in plain files: beside their predictions or alone, in tables, rows or events, in any order."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pytest

from monitor.codec import reasons
from monitor.codec.canonical import time_text
from monitor.codec.decode import Decoder
from monitor.codec.ids import digest_of
from monitor.contract import ColumnSpec, Keys, ModelContract, StreamContract
from monitor.errors import ConfigurationError
from monitor.sources.file_recordings import PlainRows, plain
from monitor.sources.plain_files import topics_of
from monitor.sources.references import references_of_file
from monitor.sources.table_values import TableDecoder
from monitor.sources.unusable import Unusable
from tests.unit.sources.tables import TIME_MS, write

FEATURES = StreamContract("features", "f", "event_time", (ColumnSpec("x", "x", "numerical"),))
PREDICTIONS = StreamContract(
    "predictions", "p", "event_time", (ColumnSpec("prediction", "y_pred", "categorical"),), keys=Keys("id")
)
LABELS = StreamContract("labels", "l", "event_time", (ColumnSpec("label", "y", "categorical"),), keys=Keys("id"))
CONTRACT = ModelContract("m", 10_000, 30_000, 30_000, 60_000, 100, 2048, (FEATURES, PREDICTIONS, LABELS))
NUMBER = msgspec.structs.replace(LABELS, columns=(ColumnSpec("label", "y", "numerical"),))
TABLES = ("parquet", "feather", "stream", "orc", "csv")
FORMS = (*TABLES, "lines", "array")
EVENTS = ("events", "bare events")
Row = dict[str, Any]


class Found(NamedTuple):
    """A row of a stream with keys: time, digest of the id, label or prediction."""

    time: int
    id: int
    value: Any


def row(i: int, **more: Any) -> Row:
    return {"event_time": time_text(TIME_MS + 1000 * i), "id": f"tx-{i}", **more}


def rows_of(n: int) -> list[Row]:
    """Rows of everything; every third has no label."""
    return [row(i, x=float(i), y_pred=i % 2, y=None if i % 3 == 2 else str(i % 2)) for i in range(n)]


def write_rows(rows: Sequence[Row], path: Path, form: str) -> Path:
    if form in TABLES:
        return write(pa.Table.from_pylist(list(rows)), path, form)
    if form in EVENTS:
        envelope = {"event_id": "e", "model": "m"} if form == "events" else {"model": "m"}
        rows = [{**envelope, **row} for row in rows]
    lines = [json.dumps(row) for row in rows]
    path.write_text("[" + ",".join(lines) + "]" if form == "array" else "\n".join(lines))
    return path


def read(
    paths: Sequence[Path], how: PlainRows | None = None, contract: ModelContract = CONTRACT, piece: int = 1 << 30
) -> tuple[dict[str, list[Found]], dict[str, list[str]]]:
    """The rows of a replay by topic, and the reasons of its dead letters; each sequence cut into pieces."""
    recording = plain(paths, contract, how or PlainRows(), Unusable())
    decoders = {s.topic: TableDecoder(Decoder(s.topic, [contract])) for s in contract.streams}
    found: dict[str, list[Found]] = {tp.topic: [] for tp in recording.partitions}
    dead: dict[str, list[str]] = {}
    ends = dict.fromkeys(found, 0)
    for batch in (batch for sequence in recording.sequences(lambda _: None) for batch in sequence):
        assert list(batch.offsets) == list(range(ends[batch.topic], ends[batch.topic] + len(batch)))
        ends[batch.topic] += len(batch)
        for at in range(0, len(batch), piece):
            decoded = decoders[batch.topic].decode(batch.cut(at, at + piece))
            dead.setdefault(batch.topic, []).extend(rejected.reason for rejected in decoded.rejected)
            for rows in decoded.rows:
                values = rows.categorical[0] if rows.categorical else rows.numeric[:, 0].tolist()
                ids = [0] * len(rows) if rows.ids is None else rows.ids.tolist()
                found[batch.topic] += map(Found, rows.time.tolist(), ids, values)
    return found, {topic: why for topic, why in dead.items() if why}


def labels_of(rows: Sequence[Row], delay_ms: int = 0) -> list[Found]:
    return [
        Found(TIME_MS + 1000 * i + delay_ms, digest_of(one["id"]), one["y"])
        for i, one in enumerate(rows)
        if one["y"] is not None
    ]


def test_an_event_is_a_label_by_its_field() -> None:
    """If it has neither features nor a prediction; of a model without labels it is a prediction as before."""
    events = [
        ({"features": {"x": 1}}, "f"),
        ({"features": {}, "y": 1}, "f"),
        ({"y_pred": 1}, "p"),
        ({"y_pred": 1, "y": 1}, "p"),
        ({"y": 1, "id": 2}, "l"),
        ({"y": None}, "l"),
        ({"z": 1}, "p"),
    ]
    lines = [*(json.dumps(event).encode() for event, _ in events), b"{", b"[]"]
    assert topics_of(lines, CONTRACT.streams) == [*(topic for _, topic in events), "f", "f"]
    assert topics_of(lines, (FEATURES, PREDICTIONS))[4:7] == ["p", "p", "p"]
    assert set(topics_of(lines, (LABELS,))) == {"l"}


@pytest.mark.parametrize("form", FORMS)
def test_a_row_gives_features_a_prediction_and_a_label(tmp_path: Path, form: str) -> None:
    """The label comes a delay behind the row; a row without one has none, and is no dead letter."""
    rows = rows_of(2000)
    path = write_rows(rows, tmp_path / "t", form)
    found, dead = read([path], PlainRows(label_delay_ms=90_000), piece=7)
    assert list(found) == ["f", "p", "l"]
    assert not dead
    assert [one.value for one in found["f"]] == [one["x"] for one in rows]
    assert [one.id for one in found["p"]] == [digest_of(one["id"]) for one in rows]
    assert found["l"] == labels_of(rows, 90_000)


@pytest.mark.parametrize("form", [*FORMS, *EVENTS])
def test_labels_alone_are_a_stream_with_times_of_their_own(tmp_path: Path, form: str) -> None:
    """In the order of their times, however they stand in the file, and without a delay."""
    labels = [row(i, y=str(i % 2)) for i in range(1000)]
    shuffled = labels[:]
    random.Random(1).shuffle(shuffled)
    data = write_rows([row(i, x=1.0, y_pred=1) for i in range(9)], tmp_path / "data", "parquet")
    path = write_rows(shuffled, tmp_path / "labels", form)
    found, dead = read([path, data], PlainRows(label_delay_ms=90_000))
    assert found["l"] == labels_of(labels)
    assert not dead
    assert read([path], PlainRows(stream="labels"))[0] == {"l": found["l"]}


@pytest.mark.parametrize("seed", range(4))
def test_labels_are_the_same_log_in_whichever_files_they_are(tmp_path: Path, seed: int) -> None:
    """Dealt out to files of all formats, given in any order; also where two labels have the same time."""
    rng = random.Random(seed)
    places = [rng.randrange(200) for _ in range(900)]
    labels = [{**row(i, y=str(rng.randrange(2))), "id": rng.randrange(50)} for i in places]
    events = [{"event_id": "e", "model": "m", **row(i, features={"x": float(i)})} for i in range(50)]
    events += [{"event_id": "e", "model": "m", **row(i, y_pred=1)} for i in range(50)]
    paths = []
    for k in range(4):
        own = labels[k::4]
        if k == 0:
            own = [*({"event_id": "e", "model": "m", **one} for one in own), *events]  # in one file with all else
        paths.append(write_rows(own, tmp_path / f"{k}", "lines" if k == 0 else rng.choice([*FORMS, *EVENTS])))
    expected = read(paths)[0]
    assert [one.time for one in expected["l"]] == [TIME_MS + 1000 * i for i in sorted(places)]
    assert [one.value for one in expected["f"]] == [float(i) for i in range(50)]
    for order in [*permutations(paths)][5::6]:
        assert read(order)[0] == expected


def test_labels_change_nothing_of_the_order_of_other_events(tmp_path: Path) -> None:
    """Files of events are merged by the times of features and predictions alone."""
    for k in range(2):
        own = [{"event_id": "e", "model": "m", **row(2 * i + k, features={"x": float(2 * i + k)})} for i in range(20)]
        late = {"event_id": "e", "model": "m", **row(10_000, y="1")}
        write_rows([late, *own], tmp_path / f"{k}", "lines")
    found = read([tmp_path / "0", tmp_path / "1"])[0]
    assert [one.value for one in found["f"]] == [float(i) for i in range(40)]


def test_rows_and_events_are_replayed_together_only_where_one_of_them_is_labels(tmp_path: Path) -> None:
    """And what can't be read in a file of labels is a dead letter of theirs."""
    table = write_rows(rows_of(10), tmp_path / "table", "csv")
    labels = write_rows([row(i, y="1") for i in range(10)], tmp_path / "labels", "events")
    labels.write_text(labels.read_text() + "\n{")
    assert read([table, labels])[1] == {"l": [reasons.INVALID_JSON]}
    labels.write_text(labels.read_text() + '\n{"model": "m", "y_pred": 1}')
    with pytest.raises(ConfigurationError, match=r"labels holds events, and .*table rows: replay one of them"):
        read([table, labels])


def test_labels_that_can_not_be_used_are_dead_letters(tmp_path: Path) -> None:
    """Without an id or a value of the task; what is empty is no label at all."""
    contract = msgspec.structs.replace(CONTRACT, streams=(FEATURES, PREDICTIONS, NUMBER))
    cells = ["1.5", "", "nan", "x", "2", "3", "4"]
    ids = ["a", "b", "c", "d", "", "f", "g" * 300]
    rows = [{**row(i, y=cell), "id": one} for i, (cell, one) in enumerate(zip(cells, ids, strict=True))]
    rows[5]["event_time"] = "never"
    path = write_rows(rows, tmp_path / "labels", "csv")
    data = write_rows([row(i, x=1.0, y_pred=1) for i in range(9)], tmp_path / "data", "csv")
    found, dead = read([path, data], contract=contract)
    assert found["l"] == [Found(TIME_MS, digest_of("a"), 1.5)]
    assert dead == {
        "l": [
            reasons.INVALID_LABEL,
            reasons.MISSING_PREDICTION_ID,
            reasons.INVALID_TIME,
            reasons.MISSING_PREDICTION_ID,
        ]
    }


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", [int, float, str])
def test_an_id_is_one_and_the_same_in_tables_and_events(tmp_path: Path, form: str, kind: type) -> None:
    """An integer as its text; a column of floats that are integers is one of integers with gaps."""
    if kind is float and form in ("csv", "lines", "array"):
        return  # there it is written as it is meant
    rows = [{**row(i, y="1"), "id": kind(i)} for i in range(9)]
    found = read([write_rows(rows, tmp_path / "t", form)], PlainRows(stream="labels"))[0]
    assert [one.id for one in found["l"]] == [digest_of(i) for i in range(9)]


@pytest.mark.parametrize("form", ["csv", "parquet", "lines"])
def test_a_row_without_an_id_meets_its_own_label(tmp_path: Path, form: str) -> None:
    """Its place is the id, in each file another one; labels alone need ids, and features need no labels."""
    for name, n in (("a", 30), ("b", 20)):
        rows = [{key: value for key, value in one.items() if key != "id"} for one in rows_of(n)]
        write_rows(rows, tmp_path / name, form)
    paths = [tmp_path / "a", tmp_path / "b"]
    found = read(paths)[0]
    assert len({one.id for one in found["p"]}) == 50
    pairs = {one.id: one.value for one in found["p"]}
    assert [pairs[one.id] for one in found["l"]] == [one.value for one in found["l"]]
    assert sorted(read(paths[::-1])[0]["l"]) == sorted(found["l"])
    alone = write_rows([{"event_time": time_text(TIME_MS), "y": "1"}], tmp_path / "alone", form)
    with pytest.raises(ConfigurationError, match="has no column id, the id by which labels meet predictions"):
        read([alone], PlainRows())
    unusable = Unusable()
    beside = write_rows([{"event_time": time_text(TIME_MS), "x": 1.0, "y": "1"}], tmp_path / "beside", form)
    assert [tp.topic for tp in plain([beside], CONTRACT, PlainRows(), unusable).partitions] == ["f"]
    assert any("has no column id, the id by which labels meet predictions" in line for line in unusable.lines())


@pytest.mark.parametrize("form", ["csv", "parquet", "lines"])
def test_rows_as_events_keep_their_ids(tmp_path: Path, form: str) -> None:
    """What `produce file` writes decodes to the rows that a replay sees."""
    rows = rows_of(40)
    path = write_rows(rows, tmp_path / "t", form)
    recording = plain([path], CONTRACT, PlainRows(label_delay_ms=5000))
    decoders = {stream.topic: Decoder(stream.topic, [CONTRACT]) for stream in CONTRACT.streams}
    again: dict[str, list[Found]] = {}
    for batch in (batch for sequence in recording.sequences(lambda _: None) for batch in sequence):
        values = [value for value in batch.values if value is not None]
        (found,) = decoders[batch.topic].decode(batch.__class__(*batch.tp, *_columns(values))).rows
        own = found.categorical[0] if found.categorical else found.numeric[:, 0].tolist()
        ids = [0] * len(found) if found.ids is None else found.ids.tolist()
        again.setdefault(batch.topic, []).extend(map(Found, found.time.tolist(), ids, own))
    assert again == read([path], PlainRows(label_delay_ms=5000))[0]


def _columns(values: Sequence[bytes]) -> tuple[Any, ...]:
    n = len(values)
    return range(n), [0] * n, [None] * n, values, [()] * n


@pytest.mark.parametrize("form", [*FORMS, "events"])
def test_labels_are_in_no_reference(tmp_path: Path, form: str) -> None:
    """It is made of features and predictions, whatever else is in the file."""
    rows = rows_of(300)
    if form == "events":
        envelope = {"event_id": "e", "model": "m"}
        rows = [
            event
            for one in rows
            for event in (
                {**envelope, "event_time": one["event_time"], "features": {"x": one["x"]}},
                {**envelope, "event_time": one["event_time"], "id": one["id"], "y_pred": one["y_pred"]},
                {**envelope, "event_time": one["event_time"], "id": one["id"], "y": "1"},
            )
        ]
    path = write_rows(rows, tmp_path / "t", "lines" if form == "events" else form)
    pairs = references_of_file(path, CONTRACT)
    assert [(grid.stream, reference.events) for grid, reference in pairs] == [("features", 300), ("predictions", 300)]
