"""Whatever a file holds: commands read it, or refuse it in one line."""

from __future__ import annotations

import bz2
import gzip
import json
import os
import random
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pyarrow as pa
import pytest

from monitor.cli.produce import log
from monitor.cli.produce_file import Target, produce
from monitor.cli.reference import build, show
from monitor.cli.replay import Options, replay
from monitor.cli.replay_sources import FileFlags
from monitor.errors import ConfigurationError, FormatError
from tests.unit.cli.test_tables import config_of
from tests.unit.sources.tables import write

ROWS = 300
STAMPS = [f"2026-03-01T00:{i // 60:02}:{i % 60:02}Z" for i in range(ROWS)]
TABLE = pa.table({"event_time": STAMPS, "x": [i * 0.37 % 1 for i in range(ROWS)], "k": ["é", "b", "c"] * (ROWS // 3)})
FORMS = ("parquet", "feather", "stream", "orc", "csv", "gzip", "bz2", "zstd", "lines", "array")


@cache
def content(form: str, folder: Path) -> bytes:
    """A good file of that form."""
    csv = write(TABLE, folder / "csv", "csv").read_bytes()
    packed: dict[str, Callable[[bytes], bytes]] = {
        "csv": bytes,
        "gzip": lambda raw: gzip.compress(raw, mtime=0),
        "bz2": bz2.compress,
        "zstd": lambda raw: bytes(pa.compress(raw, "zstd", asbytes=True)),
        "lines": lambda _: "\n".join(map(json.dumps, TABLE.to_pylist())).encode(),
        "array": lambda _: json.dumps(TABLE.to_pylist(), ensure_ascii=False).encode(),
    }
    return packed[form](csv) if form in packed else write(TABLE, folder / form, form).read_bytes()


def check_all(path: Path, folder: Path) -> set[str]:
    """Give the file to each command that reads one; return why it was refused. Anything but one line is a defect."""
    config = config_of(folder, "{numerical: [x], categorical: [k]}", "{first: 100}")
    with_reference = config.with_name("with_reference.yaml")
    good = write(TABLE, folder / "good", "parquet")
    with_reference.write_text(config.read_text().replace("{first: 100}", f"{{path: {path}}}"))
    target = Target(config, "memory:")
    commands: list[Callable[[], object]] = [
        lambda: replay(Options((str(path),), config)),
        lambda: replay(Options((str(path),), config, start="2026-03-01T00:00:00Z", stream="features")),
        lambda: replay(Options((str(good),), with_reference)),
        lambda: build(path, folder / "out.json", config, None, None, None),
        lambda: produce((str(path),), FileFlags(), target),
        lambda: log(path, "memory:", 0),
        lambda: show(path),
    ]
    refused = set()
    for command in commands:
        try:
            command()
        except (ConfigurationError, FormatError) as error:
            refused.add(str(error))
    assert not [line for line in refused if "\n" in line.strip()]
    return refused


@pytest.mark.parametrize("form", FORMS)
def test_a_file_that_was_cut_off_or_damaged_ends_no_command_with_a_traceback(tmp_path: Path, form: str) -> None:
    """Cut at eight places, and with bytes of other values at three and at thirty."""
    whole, rng, path = content(form, tmp_path), random.Random(form), tmp_path / "t"
    for end in (1, 4, 9, len(whole) // 3, len(whole) // 2, len(whole) - 9, len(whole) - 1):
        path.write_bytes(whole[:end])
        check_all(path, tmp_path)
    for bytes_changed in (1, 3, 3, 30, 30):
        damaged = bytearray(whole)
        for _ in range(bytes_changed):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path.write_bytes(damaged)
        check_all(path, tmp_path)


CSV = b"event_time,x,k\n2026-03-01T00:00:00Z,1,a\n"
ODD = {
    "NUL": CSV + b"2026-03-01T00:00:01Z,\0,a\n",
    "NUL behind the sample": CSV + b"2026-03-01T00:00:01Z,1,a\n" * 20_000 + b"2026-03-01T00:00:01Z,\0,a\n",
    "UTF-16 without a mark": (CSV * 50).decode().encode("utf-16-le"),
    "big-endian": (CSV * 50).decode().encode("utf-16-be"),
    "half a UTF-16": (CSV * 50).decode().encode("utf-16")[:-1],
    "surrogates": b"\xff\xfe" + b"\x00\xd8" * 50,
    "random": random.Random(1).randbytes(5000),
    "random text": bytes(random.Random(2).randrange(1, 256) for _ in range(5000)),
    "an open quote": CSV + b'"2026-03-01T00:00:01Z,1,a\n' * 50,
    "a long cell": CSV + b'2026-03-01T00:00:01Z,1,"' + b"y" * 5_000_000 + b'"\n',
    "a long header": b"event_time,x,k," + b",".join(b"c%d" % i for i in range(50_000)) + b"\n",
    "a column twice": b"event_time,x,x\n2026-03-01T00:00:00Z,1,2\n",
    "deep": b"[" * 100_000,
    "deep objects": b'[{"x":' * 50_000,
    "deep lines": b'{"x":' * 50_000,
    "an empty object": b"{}\n",
    "no objects": b"[null, 1, [2]]",
    "numbers": b"[1,2",
    "half a pair": b'{"event_time":"\\ud800","x":"\\ud800","k":"\\ud800"}\n' * 5,
    "Parquet's mark": b"PAR1PAR1",
    "ORC's mark": b"ORC",
    "Arrow's mark": b"ARROW1\0\0",
    "a stream's mark": b"\xff\xff\xff\xff\xff\xff\xff\x7f",
    "a captured log's header": b'{"format":"streamdrift.captured-log/1"}\n',
    "a captured log's line": b'{"format":"streamdrift.captured-log/1"}\n' + b"[" * 100_000,
    "a reference file": b'{"format":"streamdrift.reference-file/1","streams":[["a","b"]]}',
    "an empty reference file": b'{"format":"streamdrift.reference-file/1","streams":[]}',
}


@pytest.mark.parametrize("name", list(ODD))
def test_an_odd_file_ends_no_command_with_a_traceback(tmp_path: Path, name: str) -> None:
    """Under a name that promises something else."""
    (path := tmp_path / "t.csv").write_bytes(ODD[name])
    assert check_all(path, tmp_path)  # two commands at least take none of these


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """Folders without files, links to nowhere, pipes, and what may not be read."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "locked").write_bytes(CSV)
    (tmp_path / "locked").chmod(0)
    names = ["empty", "dangling", "loop", "pipe", *(["locked"] if os.geteuid() else [])]
    config = config_of(tmp_path, "{numerical: [x]}")
    for name in names:
        with pytest.raises(ConfigurationError, match=name):
            replay(Options((str(tmp_path / name),), config))


def test_texts_that_are_not_utf_8_cost_their_cells(tmp_path: Path) -> None:
    """Some programs write Latin-1 into Parquet's texts: the other rows are read, also if they have to be sorted."""
    texts = pa.array([b"caf\xe9" if i % 10 == 0 else b"tea" for i in range(ROWS)]).cast(pa.string(), safe=False)
    config = config_of(tmp_path, "{categorical: [k]}", "{first: 100}")
    for stamps in (STAMPS, STAMPS[::-1]):
        path = write(pa.table({"event_time": stamps, "k": texts}), tmp_path / "t", "feather")
        out = tmp_path / "alerts.jsonl"
        assert replay(Options((str(path),), config, alerts_out=out)).records == ROWS
        assert {json.loads(line)["data"]["labels"]["alertname"] for line in out.read_text().splitlines()} == set()
