"""Recordings for a replay, and references from a range of a topic."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monitor.bus.memory import MemoryBus
from monitor.cli.replay import Options, replay
from monitor.contract import ColumnSpec, ModelContract, StreamContract
from monitor.errors import ConfigurationError
from monitor.events import Outgoing, TopicPartition
from monitor.sources.file_recordings import PlainRows, plain
from monitor.sources.references import references_of_file, references_of_topic

FEATURES = StreamContract("features", "in", "event_time", (ColumnSpec("x", "x", "numerical"),))
PREDICTIONS = StreamContract("predictions", "out", "event_time", (ColumnSpec("probability", "p", "numerical"),))
CONTRACT = ModelContract("m", 10_000, 30_000, 30_000, 60_000, 100, 2048, (FEATURES, PREDICTIONS))
BASE = 1_790_000_000


def event(i: int, **fields: object) -> bytes:
    stamp = f"2026-09-21T14:{13 + i // 60:02d}:{i % 60:02d}Z"
    return json.dumps({"event_id": str(i), "model": "m", "event_time": stamp, **fields}).encode()


def test_a_reference_of_a_topic_takes_its_range_of_event_time() -> None:
    """Rows of [from, to) of all partitions, in canonical order, whatever else the topic holds."""
    bus = MemoryBus()
    bus.create("in", 2)
    sender = bus.sender()
    for i in range(120):
        sender.send(Outgoing("in", i % 2, None, event(i, features={"x": float(i)})))
    sender.send(Outgoing("in", 0, None, b"{broken"))
    sender.flush()
    start = (BASE - 20) * 1000  # 14:13:00
    ((grid, reference),) = references_of_topic(bus, "in", (start + 20_000, start + 80_000), CONTRACT)
    assert reference.events == 60
    assert (reference.info.start, reference.info.end) == (start + 20_000, start + 79_000)
    bins = grid.numeric[0]
    assert bins.edges[bins.usual[0] - 1] == 20.0
    with pytest.raises(ConfigurationError, match="no rows"):
        references_of_topic(bus, "in", (0, 1), CONTRACT)
    with pytest.raises(ConfigurationError, match="can't be read"):
        references_of_topic(bus, "other", (None, None), CONTRACT)


def test_a_file_of_native_events_is_split_by_stream(tmp_path: Path) -> None:
    """Events with `features` are features, others predictions; what can't be read goes to the first, to be named."""
    path = tmp_path / "events.jsonl"
    lines = [event(0, features={"x": 1}), event(1, p=0.5), b"{broken", event(2, features={"x": 2})]
    path.write_bytes(b"\n".join(lines))
    recording = plain([path], CONTRACT, PlainRows())
    found: dict[TopicPartition, list[bytes | None]] = {}
    for batch in recording.sequences(lambda _: None)[0]:
        found.setdefault(batch.tp, []).extend(batch.values)
    assert found == {
        TopicPartition("in", 0): [lines[0], lines[2], lines[3]],
        TopicPartition("out", 0): [lines[1]],
    }


def test_a_reference_of_native_events_has_both_streams(tmp_path: Path) -> None:
    """A JSONL file gives grid and reference of every stream that it holds events of."""
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"\n".join(event(i, features={"x": i}) if i % 2 else event(i, p=i / 100) for i in range(100)))
    pairs = {grid.stream: reference.events for grid, reference in references_of_file(path, CONTRACT)}
    assert pairs == {"features": 50, "predictions": 50}
    assert [reference.events for _, reference in references_of_file(path, CONTRACT, limit=20)] == [20, 20]


CONFIG = """
version: 1
models:
  m:
    task: regression
    streams: {features: {topic: in}}
    columns: {numerical: [x]}
    reference: {first: 10}
groups:
  - {name: g, models: [m], rules: [{alert: A, expr: psi > 0.2}]}
"""


def test_rows_outside_the_asked_times_are_filtered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--from` and `--to` cut by event time; every record still ends in a bucket."""
    config, path = tmp_path / "alerts.yaml", tmp_path / "events.jsonl"
    config.write_text(CONFIG)
    path.write_bytes(b"\n".join(event(i, features={"x": i}) for i in range(120)))
    outcome = replay(
        Options((str(path),), config, start_at="2026-09-21T14:13:30Z", end_at="2026-09-21T14:14:30Z", model="m")
    )
    assert outcome.records == 120
    assert "120 records: 60 filtered, 60 pane" in capsys.readouterr().out
