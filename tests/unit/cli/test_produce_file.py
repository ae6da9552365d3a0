"""`produce file`: rows of tables on a bus are what a replay of the tables reads."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet
import pytest

from monitor.bus.address import open_bus
from monitor.bus.port import Bus
from monitor.bus.reading import read_whole
from monitor.cli.produce import create_inputs
from monitor.cli.produce_file import Target, produce
from monitor.cli.replay_sources import FileFlags
from monitor.errors import ConfigurationError
from monitor.events import TopicPartition
from tests.unit.cli.test_files_as_streams import BOTH, replayed
from tests.unit.cli.test_tables import numbers, times, words, write_csv

ROOT = Path(__file__).parents[3]
ROWS = 1200


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "alerts.yaml"
    path.write_text(BOTH)
    return path


def url_of(folder: Path) -> str:
    return f"sqlite:///{folder}/bus.db"


def columns(**more: Any) -> dict[str, Any]:
    return {
        "event_time": times(),
        "x": ["-", "", *numbers(50, 80)[2:]],
        "y_pred": words([0, 0, 1], [1, 1, 0]),
        "proba": numbers(50, 90),
        **more,
    }


def opened(folder: Path, *topics: str, partitions: int = 1) -> Bus:
    bus = open_bus(url_of(folder), {})
    create_inputs(bus, topics, partitions)
    return bus


def written(bus: Bus, topic: str) -> list[list[dict[str, Any]]]:
    """The events of a topic, by partition."""
    parts = [read_whole(bus, TopicPartition(topic, p)) for p in range(bus.partitions(topic) or 0)]
    return [[msgspec.json.decode(value or b"") for batch in part for value in batch.values] for part in parts]


WRITERS: dict[str, Callable[[Path, dict[str, Any]], object]] = {
    "csv": write_csv,
    "parquet": lambda path, table: pa.parquet.write_table(
        pa.table({name: list(map(str, values)) if name == "x" else values for name, values in table.items()}), path
    ),
    "lines": lambda path, table: path.write_text(
        "\n".join(json.dumps(dict(zip(table, row, strict=True))) for row in zip(*table.values(), strict=True))
    ),
}


@pytest.mark.parametrize("form", list(WRITERS))
def test_a_replay_of_the_topics_is_that_of_the_table(tmp_path: Path, config: Path, form: str) -> None:
    """The same alerts at the same times, invalid and missing cells and rows without a time included."""
    some = [None if i % 100 == 99 and form != "csv" else time for i, time in enumerate(times())]
    WRITERS[form](tmp_path / "t", columns(event_time=some))
    expected = replayed(config, tmp_path / "t")
    alerts = (tmp_path / "alerts.jsonl").read_text().splitlines()
    bus = opened(tmp_path, "f", "p")
    produce((str(tmp_path / "t"),), FileFlags(), Target(config, url_of(tmp_path)))
    bus.close()
    found = replayed(config, "topic:f", "topic:p", bus=url_of(tmp_path))
    assert found == expected

    def said(lines: list[str]) -> list[Any]:
        events = [json.loads(line) for line in lines]
        return [(event["time"], event["data"]["labels"], event["data"].get("evidence")) for event in events]

    assert said((tmp_path / "alerts.jsonl").read_text().splitlines()) == said(alerts)


def test_events_go_to_partitions_in_turn_and_in_order_of_time(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of both streams, each with the row's number as id; topics that are missing are created."""
    table = columns()
    backwards = {name: values[::-1] for name, values in table.items()}
    produce((str(write_csv(tmp_path / "t", backwards)),), FileFlags("features", "m"), Target(config, url_of(tmp_path)))
    assert "events written: 1200 to f\n" in capsys.readouterr().out
    produce((str(write_csv(tmp_path / "t", table)),), FileFlags("predictions"), Target(config, url_of(tmp_path)))
    bus = open_bus(url_of(tmp_path), {})
    for topic in ("f", "p"):
        parts = written(bus, topic)
        assert list(map(len, parts)) == [400, 400, 400]
        assert sorted(int(event["event_id"]) for part in parts for event in part) == list(range(ROWS))
        for part in parts:
            assert [event["event_time"] for event in part] == sorted(event["event_time"] for event in part)
    bus.close()


def test_files_and_folders_are_written_as_one(tmp_path: Path, config: Path) -> None:
    """Merged by time, with ids of their own; rows without times from `--start` on."""
    (tmp_path / "parts").mkdir()
    for k in range(3):
        write_csv(tmp_path / "parts" / f"{k}", {"x": [k] * 10})
    flags = FileFlags(start="2026-03-01T00:00:00Z", step="1m")
    produce((str(tmp_path / "parts"),), flags, Target(config, url_of(tmp_path)))
    bus = open_bus(url_of(tmp_path), {})
    events = sorted((event for part in written(bus, "f") for event in part), key=lambda event: int(event["event_id"]))
    assert [event["features"]["x"] for event in events] == [0] * 10 + [1] * 10 + [2] * 10
    assert [event["event_time"] for event in events] == [f"2026-03-01T00:{i:02}:00Z" for i in range(30)]
    bus.close()


def test_what_is_no_file_of_rows_is_refused_and_begins_no_bus(tmp_path: Path, config: Path) -> None:
    """In one line, with what to do."""
    (tmp_path / "log").write_text('{"format":"streamdrift.captured-log/1"}\n')
    (tmp_path / "xlsx").write_bytes(b"PK\x03\x04")
    for name, why in (("no", "no such file"), ("xlsx", "save the sheet"), ("alerts.yaml", "no column")):
        with pytest.raises(ConfigurationError, match=why) as raised:
            produce((str(tmp_path / name),), FileFlags(), Target(config, url_of(tmp_path)))
        assert "\n" not in str(raised.value)
    with pytest.raises(ConfigurationError, match=r"--model n: alerts.yaml has m"):
        produce(("t",), FileFlags(model="n"), Target(config, url_of(tmp_path)))
    assert not (tmp_path / "bus.db").exists()


def test_an_interrupt_ends_it_after_what_it_has_written(tmp_path: Path, config: Path) -> None:
    """At the pace of the rows' times, a second each; what is written is printed and on the bus."""
    table = write_csv(tmp_path / "t", columns())
    command = ["produce", "file", str(table), "--config", str(config), "--bus", url_of(tmp_path), "--speed", "1"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("STREAMDRIFT_")}
    with subprocess.Popen(
        [sys.executable, "-m", "monitor.cli.main", *command],
        cwd=ROOT, env=clean, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        bus = opened(tmp_path, "f", "p", partitions=3)
        while not any(bus.end(TopicPartition("f", p)) for p in range(3)):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    counts = {topic: sum(bus.end(TopicPartition(topic, p)) for p in range(3)) for topic in ("f", "p")}
    bus.close()
    assert (process.returncode, "Traceback" in err) == (0, False)
    left = 2 * ROWS - sum(counts.values())
    assert out == f"events written: {counts['f']} to f, {counts['p']} to p; interrupted, {left} are left\n"
