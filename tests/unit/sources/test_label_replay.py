"""Labels of plain files in a replay: they arrive at their event time and hold back nobody (law 6)."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from monitor.cli import replay as command
from monitor.cli.replay_log import restricted
from monitor.codec.canonical import time_text
from monitor.codec.ids import digest_of
from monitor.config import load
from monitor.contract import ModelContract
from monitor.errors import ConfigurationError
from monitor.events import RecordBatch, TopicPartition
from monitor.panes.keyed import KeyedRows
from monitor.profile.partition import Drained
from monitor.replay import Replay
from monitor.settings import load_settings
from monitor.sources.file_recordings import PlainRows, plain
from tests.unit.sources.tables import TIME_MS
from tests.unit.sources.test_labels_in_files import Row, write_rows

CONFIG = """
version: 1
defaults: {window: {events: 200, every: 50}, lateness: 20s, pane: 10s, interval: 30s}
models:
  m:
    task: classification_binary
    streams: {features: {topic: f}, predictions: {topic: p}, labels: {topic: l, max_delay: 1h}}
    columns: {id: id, prediction: y_pred, label: y, numerical: [x]}
    reference: {first: 100}
groups: [{name: g, model: m, rules: [{alert: Silent, expr: 'seconds_since_last_event{stream="features"} > 300'}]}]
"""
CONTRACT: ModelContract = load(CONFIG, "alerts.yaml").models[0].contract
LABELS = TopicPartition("l", 0)
WEEK = 7 * 86_400


@dataclass
class Heard:
    """What a replay has said: keyed rows of labels as (pane, id, time), alerts, and most parts that evaluate held."""

    labels: list[tuple[int, int, int]] = field(default_factory=list)
    alerts: list[str] = field(default_factory=list)
    held: int = 0
    buckets: dict[str, int] = field(default_factory=dict)


class _Replay(Replay):
    """A replay of which a test sees what its partitions put out."""

    heard: Heard

    def drain(self, tp: TopicPartition) -> Drained:
        drained = super().drain(tp)
        if tp == LABELS:
            for part in drained.panes:
                if isinstance(part, KeyedRows):
                    own = zip(part.ids.tolist(), part.times.tolist(), strict=True)
                    self.heard.labels += [(part.start, *one) for one in own]
        return drained


def cut(batches: Iterator[RecordBatch], rng: random.Random) -> Iterator[RecordBatch]:
    for batch in batches:
        at = 0
        while at < len(batch):
            size = rng.choice((1, 3, 50, 5000))
            yield batch.cut(at, at + size)
            at += size


def replayed(
    tmp_path: Path, paths: Sequence[Path], seed: int | None = None, end: str | None = None, delay_ms: int = 0
) -> Heard:
    """A replay of files, read in pieces of any size if a seed is given."""
    (file := tmp_path / "alerts.yaml").write_text(CONFIG)
    recording = plain(paths, CONTRACT, PlainRows(label_delay_ms=delay_ms))
    log = command.log_of(recording, command.Options((), file, end_at=end), load_settings(config=file), None)
    engine, heard = _Replay(log), Heard()
    engine.heard = heard
    sequences = recording.sequences(lambda _: None)
    if seed is not None:
        sequences = [cut(batches, random.Random(seed)) for batches in sequences]
    for messages in engine.fold(sequences):
        heard.alerts += [message.value.decode() for message in messages if message.topic == "alerts"]
        parts = engine._evaluate.models["m"]._parts._parts.values()
        heard.held = max(heard.held, sum(len(own) for own in parts))
    heard.alerts += [message.value.decode() for message in engine.finish({}) if message.topic == "alerts"]
    heard.alerts.sort()
    heard.buckets = {name: n for name, n in engine.buckets().get(LABELS, {}).items() if n}
    return heard


def at(second: float, **more: Any) -> Row:
    return {"event_time": time_text(TIME_MS + int(second * 1000)), **more}


def data(n: int, step: float = 1.0) -> list[Row]:
    return [at(step * i, id=f"tx-{i}", x=float(i % 7), y_pred=i % 2) for i in range(n)]


def labels(times: Sequence[float]) -> list[Row]:
    return [at(second, id=f"tx-{i}", y=str(i % 2)) for i, second in enumerate(times)]


def expected(times: Sequence[float]) -> list[tuple[int, int, int]]:
    """Each label in the pane of its event time."""
    found = [(TIME_MS + int(second * 1000), digest_of(f"tx-{i}")) for i, second in enumerate(times)]
    return sorted((time // 10_000 * 10_000, one, time) for time, one in found)


def shuffled(rows: Sequence[Row]) -> list[Row]:
    return random.Random(2).sample(rows, len(rows))


LATE: dict[str, list[float]] = {
    "at once": [float(i) for i in range(1000)],
    "an hour later": [3600.0 + i for i in range(1000)],
    "end early": [float(i) for i in range(60)],
    "one": [777.0],
    "before all": [i - 90_000.0 for i in range(300)],
    "seldom": [200.0 * i for i in range(5)],
    "far behind the end": [float(WEEK * i) for i in range(60)],
}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A thousand seconds of features and predictions."""
    return write_rows(data(1000), tmp_path_factory.mktemp("data") / "data", "parquet")


@pytest.fixture(scope="module")
def held(table: Path, tmp_path_factory: pytest.TempPathFactory) -> int:
    """What a replay of them holds without labels."""
    return replayed(tmp_path_factory.mktemp("held"), [table]).held


@pytest.mark.parametrize("form", ["csv", "bare events"])
@pytest.mark.parametrize("late", LATE)
def test_a_label_arrives_at_its_event_time_and_holds_back_nobody(
    tmp_path: Path, table: Path, held: int, late: str, form: str
) -> None:
    """However labels lie in time and in their file: of all else a replay holds what it holds without them."""
    path = write_rows(shuffled(labels(LATE[late])), tmp_path / "labels", form)
    heard = replayed(tmp_path, [table, path])
    assert sorted(heard.labels) == expected(LATE[late])
    assert heard.buckets == {"pane": len(LATE[late])}
    # a partial pane of predictions has keyed rows, too, and one of labels both
    assert heard.held <= 2 * held + 2 * len({pane for pane, *_ in heard.labels})


def test_labels_that_end_early_are_followed_pane_by_pane(tmp_path: Path) -> None:
    """Hours of features are never held for labels of their first minute."""
    hours = write_rows(data(3000, step=10.0), tmp_path / "data", "parquet")
    path = write_rows(labels([float(i) for i in range(60)]), tmp_path / "labels", "csv")
    assert replayed(tmp_path, [hours, path]).held < 300


@pytest.mark.parametrize("seed", range(4))
def test_the_answer_depends_on_no_batches_and_no_order_of_files(tmp_path: Path, seed: int) -> None:
    """Files of labels dealt out at random, some among the events of all else."""
    rng = random.Random(seed)
    times = [rng.choice((0.0, 300.0, 9000.0)) + rng.randrange(1500) for _ in range(800)]
    rows = shuffled(labels(times))
    envelope = {"event_id": "e", "model": "m"}
    events = [
        {**envelope, **event}
        for i in range(1500)
        for event in (at(i, id=f"tx-{i}", features={"x": i % 7}), at(i, id=f"tx-{i}", y_pred=i % 2))
    ]
    paths = [write_rows([*events, *({**envelope, **one} for one in rows[::3])], tmp_path / "b", "lines")]
    paths += [write_rows(rows[1::3], tmp_path / "a", "csv"), write_rows(rows[2::3], tmp_path / "c", "parquet")]
    first = replayed(tmp_path, paths)
    assert sorted(first.labels) == expected(times)
    for order in (paths[::-1], [paths[1], paths[0], paths[2]]):
        again = replayed(tmp_path, order, seed)
        assert (again.labels, again.alerts) == (first.labels, first.alerts)


def test_the_end_of_all_else_is_no_silence(tmp_path: Path) -> None:
    """Labels that come behind the last row don't make it one; a gap before it is one."""
    rows = data(1500)
    path = write_rows(labels([7200.0 + i for i in range(1500)]), tmp_path / "labels", "csv")
    whole = write_rows(rows, tmp_path / "whole", "parquet")
    assert replayed(tmp_path, [whole, path]).alerts == []
    gap = write_rows([*rows[:600], *rows[1100:]], tmp_path / "gap", "parquet")
    assert len(replayed(tmp_path, [gap, path]).alerts) == 2  # it fires, and is resolved


def test_labels_behind_the_end_are_taken_as_long_as_they_may_come(tmp_path: Path) -> None:
    """`--to` ends features and predictions; labels may come `max_delay` behind it."""
    rows = [{**one, "y": "1"} for one in data(7200)]
    path = write_rows(rows, tmp_path / "t", "parquet")
    end = time_text(TIME_MS + 1_800_000)
    assert replayed(tmp_path, [path], end=end, delay_ms=600_000).buckets == {"filtered": 2400, "pane": 4800}


def test_labels_need_their_predictions(tmp_path: Path) -> None:
    """Labels alone can't be replayed, and without predictions they are left out."""
    path = write_rows(labels([1.0]), tmp_path / "labels", "csv")
    with pytest.raises(ConfigurationError, match="labels alone: replay them with the predictions"):
        replayed(tmp_path, [path])
    features = [{key: row[key] for key in ("event_time", "x")} for row in data(300)]
    assert replayed(tmp_path, [write_rows(features, tmp_path / "f", "csv"), path]).labels == []
    kept = restricted(CONTRACT, {"f", "p"})
    assert [(stream.stream, stream.keys) for stream in kept.streams] == [("features", None), ("predictions", None)]
