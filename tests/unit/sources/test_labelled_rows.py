"""The labelled reference of a file: of all rows with both, in slices of time, whatever its form and order."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from monitor.codec.canonical import time_text
from monitor.codec.counts import unpack_counts
from monitor.config import load
from monitor.config.resolved import ModelConfig
from monitor.drift.scores import ScoreTables
from monitor.errors import FormatError
from monitor.evaluate.labelled_reference import LabelledReference, decode_labelled, encode_labelled
from monitor.evaluate.outcomes import outcomes_grid
from monitor.panes.grid import Grid
from monitor.sources.labelled_rows import LEAST_ROWS, Look, labelled_streams
from monitor.sources.reference_file import read_reference_file, write_reference_file
from monitor.sources.references import labelled_of_file, reference_decisions, references_of_file

START = 1_790_000_000_000
BINARY, MULTICLASS, REGRESSION = "classification_binary", "classification_multiclass", "regression"
Row = dict[str, object]
CLASSES = [f"c{k:03}" for k in range(130)]


def model(task: str, path: Path, performance: str = "{}") -> ModelConfig:
    probability = ", probability: p" if task == BINARY else ""
    text = f"""
version: 1
models:
  m:
    task: {task}
    streams: {{predictions: {{topic: p}}, labels: {{topic: l}}}}
    columns: {{id: id, prediction: y{probability}, label: truth}}
    performance: {performance}
    reference: {{path: {path}}}
"""
    return load(text, "alerts.yaml").models[0]


def rows_of(task: str, n: int = 3000, seed: int = 0) -> list[Row]:
    """Rows a second apart; every seventh has no label, and every eleventh no prediction."""
    rng, rows = random.Random(seed), []
    for k in range(n):
        row: Row = {"event_time": time_text(START + 1000 * k), "y": None, "truth": None}
        if task == REGRESSION:
            y: object = rng.gauss(10, 2)
            truth: object = y + rng.gauss(0, 1)  # type: ignore[operator]
        elif task == MULTICLASS:
            y = rng.choice(CLASSES[:3] if k < 500 else CLASSES)
            truth = y if rng.random() < 0.8 else rng.choice(CLASSES)
        else:
            p = round(rng.random(), 4)
            y, truth = int(p >= 0.5), int((p >= 0.5) != (rng.random() < 0.1))
            row["p"] = p
        row |= {"y": y} if k % 11 else {}
        row |= {"truth": truth} if k % 7 else {}
        rows.append(row)
    return rows


def write_csv(path: Path, rows: Sequence[Row]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def made(path: Path, model: ModelConfig) -> tuple[Grid, LabelledReference]:
    """The grid of the predictions and the labelled reference of a file."""
    pairs = references_of_file(path, model.contract)
    found = labelled_of_file(path, model, pairs)
    assert isinstance(found, LabelledReference), found
    return pairs[0][0], found


def both(task: str, rows: Sequence[Row]) -> list[Row]:
    """The rows that have prediction and label: in a binary model the probability stands for a prediction."""
    has_score = task == BINARY
    return [row for row in rows if row["truth"] is not None and (has_score or row["y"] is not None)]


@pytest.mark.parametrize("task", [BINARY, MULTICLASS, REGRESSION])
def test_it_counts_each_row_with_prediction_and_label_once(task: str, tmp_path: Path) -> None:
    """Slices are in order of time, of 200 rows at least; metrics are those of the rows; outcomes are of the same."""
    rows = rows_of(task)
    own = model(task, tmp_path, "{tolerance: 1.5}" if task == REGRESSION else "{}")
    grid, found = made(write_csv(tmp_path / "r.csv", rows), own)
    held = both(task, rows)
    assert found.rows == len(held) == sum(one.events for one in found.of_outcomes)
    assert min(one.events for one in found.pairs) >= LEAST_ROWS
    assert len(found.pairs) == len(held) // LEAST_ROWS
    times = [time for one in found.pairs for time in (one.first_time or 0, one.last_time or 0)]
    assert times == sorted(times)
    metrics = found.layout(grid).metrics(np.sum(found.vectors(grid), axis=0))
    if task == REGRESSION:
        errors = np.array([row["y"] - row["truth"] for row in held])  # type: ignore[operator]
        assert metrics["mae"] == pytest.approx(np.abs(errors).mean(), abs=1e-8)
        assert metrics["error_rate"] == pytest.approx((np.abs(errors) > 1.5).mean(), abs=1e-12)
        wrong = int((np.abs(errors) > 1.5).sum())
    else:
        predicted = [int(row["p"] >= 0.5) if row["y"] is None else row["y"] for row in held]  # type: ignore[operator]
        known = {0, 1} if task == BINARY else set(found.classes)
        hits = [p == row["truth"] and p in known for p, row in zip(predicted, held, strict=True)]
        assert metrics["accuracy"] == pytest.approx(np.mean(hits), abs=1e-12)
        wrong = len(held) - sum(hits)
    streams = labelled_streams(own.contract)
    assert streams is not None
    on = outcomes_grid(own.rules.task, streams.outcomes, grid)
    counts = sum(unpack_counts(one.counts, on.layout.width) for one in found.of_outcomes)
    reference = found.reference_of_outcomes(on)
    assert np.array_equal(reference.total, counts)
    error = reference.total[on.layout.bins[on.series.index("error")]]
    assert sorted(error[error > 0].tolist()) == sorted([wrong, len(held) - wrong])


@pytest.mark.parametrize("task", [BINARY, MULTICLASS, REGRESSION])
def test_it_is_the_same_in_every_form_and_order(task: str, tmp_path: Path) -> None:
    """CSV, Parquet, rows as JSON, predictions as events, and rows that are not sorted."""
    rows, own = rows_of(task), model(task, tmp_path)
    shuffled = random.Random(1).sample(rows, len(rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "r.parquet")
    lines = [json.dumps({k: v for k, v in row.items() if v is not None}) for row in rows]
    (tmp_path / "r.jsonl").write_text("\n".join(lines))
    events = [json.dumps({"event_id": str(k), "model": "m", **json.loads(line)}) for k, line in enumerate(lines)]
    (tmp_path / "events.jsonl").write_text("\n".join(events))
    paths = [write_csv(tmp_path / "r.csv", rows), write_csv(tmp_path / "shuffled.csv", shuffled)]
    paths += [tmp_path / name for name in ("r.parquet", "r.jsonl", "events.jsonl")]
    found = [msgspec.structs.replace(made(path, own)[1], origin="") for path in paths]
    assert [one.digest for one in found] == [found[0].digest] * len(paths)


def test_classes_are_numbered_as_they_first_come_in_time(tmp_path: Path) -> None:
    """A row's prediction comes before its label; those behind the first hundred have no number."""
    rows = rows_of(MULTICLASS)
    seen = dict.fromkeys(str(row[name]) for row in both(MULTICLASS, rows) for name in ("y", "truth"))
    shuffled = random.Random(2).sample(rows, len(rows))
    _, found = made(write_csv(tmp_path / "r.csv", shuffled), model(MULTICLASS, tmp_path))
    assert list(found.classes) == list(seen)[:100]
    assert len(seen) > 100


def test_too_few_labels_are_no_reference_and_it_says_why(tmp_path: Path) -> None:
    """No column, or fewer rows with both than a slice has; what can't be read of the column is said, too."""
    rows, own = rows_of(BINARY, 400), model(BINARY, tmp_path)
    for name, some, why in (
        ("none", [{k: v for k, v in row.items() if k != "truth"} for row in rows], "it has no column truth, the label"),
        ("few", rows[:150], f"128 of its rows have prediction and label, fewer than {LEAST_ROWS}"),
    ):
        path = write_csv(tmp_path / f"{name}.csv", some)
        pairs = references_of_file(path, own.contract)
        assert str(labelled_of_file(path, own, pairs)).startswith(why)
        decisions = reference_decisions(None, model(BINARY, path))
        assert [decision.stream for decision in decisions] == ["predictions", "predictions"]
    numbers = model(REGRESSION, tmp_path)
    path = write_csv(tmp_path / "odd.csv", [{**row, "truth": "about 3"} for row in rows_of(REGRESSION, 300)])
    why = str(labelled_of_file(path, numbers, references_of_file(path, numbers.contract)))
    assert why.startswith("0 of its rows")
    assert "column truth: 300 of 300 values not used" in why


def test_it_is_a_decision_of_the_lane_of_outcomes(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "r.csv", rows_of(BINARY))
    decisions = reference_decisions(None, model(BINARY, path))
    kinds = [(decision.kind, decision.stream) for decision in decisions]
    assert kinds == [("grid", "predictions"), ("reference", "predictions"), ("reference", "outcomes")]
    assert len({decision.lane for decision in decisions}) == 2


def test_it_goes_into_a_reference_file_and_out_again(tmp_path: Path) -> None:
    """As it was; but not for a model that takes other predictions for wrong, and not if it is damaged."""
    path, own = write_csv(tmp_path / "r.csv", rows_of(BINARY)), model(BINARY, tmp_path)
    pairs, (_, labelled) = references_of_file(path, own.contract), made(path, own)
    out = tmp_path / "r.json"
    out.write_bytes(write_reference_file(pairs, labelled))
    assert read_reference_file(out.read_bytes()).labelled == labelled
    assert labelled_of_file(out, own, references_of_file(out, own.contract)) == labelled
    other = model(BINARY, tmp_path, "{positive: '1'}")
    assert labelled_of_file(out, other, pairs) == "it was built for another label, task or `performance`"
    cut = replace_counts(labelled)
    out.write_bytes(write_reference_file(pairs, cut))
    with pytest.raises(FormatError, match="packed counts"):
        read_reference_file(out.read_bytes())
    out.write_bytes(write_reference_file(pairs[:0], labelled))
    with pytest.raises(FormatError, match="which is not there"):
        read_reference_file(out.read_bytes())


def test_it_holds_the_moments_of_outcomes(tmp_path: Path) -> None:
    """Blocks in order of time hold every row once; one of an older release has none, and keeps its digest."""
    own = model(BINARY, tmp_path)
    predictions, labelled = made(write_csv(tmp_path / "r.csv", rows_of(BINARY)), own)
    streams = labelled_streams(own.contract)
    assert streams is not None
    grid = outcomes_grid("classification_binary", streams.outcomes, predictions)
    reference = labelled.reference_of_outcomes(grid)
    assert reference.moments is not None
    assert (reference.moments.rows, int(reference.moments.block_rows.sum())) == (labelled.rows, labelled.rows)
    assert len(reference.moments.block_rows) > labelled.rows / 20
    tables = ScoreTables(grid, reference.total)
    assert reference.moments.block_sums.sum(axis=0).tolist() == tables.sums(reference.total).tolist()
    older = msgspec.structs.replace(labelled, format="streamdrift.labelled-reference/1", moments=None)
    again = decode_labelled(encode_labelled(older))
    assert "moments" not in encode_labelled(older)
    assert (again, again.digest, again.reference_of_outcomes(grid).moments) == (older, older.digest, None)


def replace_counts(labelled: LabelledReference) -> LabelledReference:
    """The same with counts of a slice of outcomes in the place of pairs."""
    first = msgspec.structs.replace(labelled.pairs[0], counts=labelled.of_outcomes[0].counts)
    return msgspec.structs.replace(labelled, pairs=(first, *labelled.pairs[1:]))


def test_rows_of_one_time_stay_in_one_slice(tmp_path: Path) -> None:
    """Times of whole days cut where a day begins; rows without times have slices without."""
    rows = rows_of(BINARY, 2800)
    days = [{**row, "event_time": time_text(START + k // 700 * 86_400_000)} for k, row in enumerate(rows)]
    _, found = made(write_csv(tmp_path / "days.csv", days), model(BINARY, tmp_path))
    assert [one.first_time == one.last_time for one in found.pairs] == [True] * len(found.pairs)
    assert len(found.pairs) == 4
    untimed = [{k: v for k, v in row.items() if k != "event_time"} for row in rows]
    _, found = made(write_csv(tmp_path / "untimed.csv", untimed), model(BINARY, tmp_path))
    assert {(one.first_time, one.last_time) for one in (*found.pairs, *found.of_outcomes)} == {(None, None)}
    assert found.rows == len(both(BINARY, rows))


def test_many_rows_are_cut_by_a_part_of_their_times() -> None:
    """Slices of a million rows are as long, to one in a hundred, and no more than 128."""
    seen, rng = Look(has_classes=False), np.random.default_rng(0)
    times = rng.permutation(1_000_000).astype(np.int64)
    for batch in np.array_split(times, 37):
        seen.add(None, batch)  # type: ignore[arg-type]  # only classes are looked for in rows
    lengths = np.diff([0, *seen.cuts.tolist(), 1_000_000])
    assert len(lengths) == 128
    assert abs(lengths / (1_000_000 / 128) - 1).max() < 0.2
