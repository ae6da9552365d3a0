"""docs/your-data.md is true: its commands print what it shows, and its tables are what values of every type become."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from monitor.cli.main import app
from monitor.codec.canonical import time_text
from monitor.codec.decode import Decoder
from monitor.config import load
from monitor.contract import ModelContract
from monitor.events import Batch, CellState, RecordBatch
from monitor.sources.table_rows import TableReader, TableRows
from monitor.sources.table_values import TableDecoder
from monitor.sources.unusable import Unusable
from tests.unit.pages import ROOT, YOUR_DATA, blocks, rows, section

# ---------------------------------------------------------------------- commands

BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FILE: Final = re.compile(r"As\s`([\w-]+\.\w+)`:\n\n$")
"""What stands before a block that is to be saved."""


class Reader:
    """Somebody who follows the page in an empty folder: saves what it says to save, and types what it says to type."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.service: subprocess.Popen[str] | None = None
        self._patch = monkeypatch
        monkeypatch.chdir(folder)
        for name in [name for name in os.environ if name.startswith("STREAMDRIFT_")]:
            monkeypatch.delenv(name)

    def save(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    def type(self, line: str) -> str:
        """What a line prints."""
        words = shlex.split(line, comments=True)
        if words[0] == "export":
            self._patch.setenv(*words[1].split("=", 1))
        elif words[:2] == ["streamdrift", "run"]:
            self.service = subprocess.Popen(
                [sys.executable, "-m", "monitor.cli.main", "run"],
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        elif words[0] == "streamdrift":
            return self._streamdrift(words[1:])
        else:
            done = subprocess.run(["bash", "-ec", line], capture_output=True, text=True, check=True)
            return done.stdout + done.stderr
        return ""

    def _streamdrift(self, words: list[str]) -> str:
        """In this process; `tail` waits until the service has made its topics."""
        for _ in range(600 if words[0] == "tail" else 1):
            done = CliRunner().invoke(app, words)
            if done.exit_code == 0:
                break
            time.sleep(0.1)
        assert done.exit_code == 0, (words, done.output, done.exception)
        return done.output

    def end(self) -> None:
        if self.service is not None:
            self.service.send_signal(signal.SIGINT)
            assert self.service.wait(timeout=60) == 0


def steps(text: str) -> Iterator[tuple[str, str, str]]:
    """The blocks that are typed or saved: kind, text, and for a file its name, else what is shown as output."""
    found = list(BLOCK.finditer(text))
    for block, following in zip(found, [*found[1:], None], strict=True):
        if (named := FILE.search(text[: block.start()])) is not None:
            yield block[1], block[2], named[1]
        elif block[1] == "sh":
            yield "sh", block[2], following[2] if following is not None and following[1] == "text" else ""


def plain(output: str) -> str:
    """Output without the blanks at the ends of lines, and without empty lines."""
    return "\n".join(line.rstrip() for line in output.splitlines() if line.strip())


def fits(shown: str, printed: str) -> bool:
    """Tell whether output is what is shown, in which `...` is anything."""
    return re.fullmatch(".*".join(map(re.escape, plain(shown).split("..."))), plain(printed), re.DOTALL) is not None


@contextmanager
def reader(folder: Path) -> Iterator[Reader]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        found = Reader(folder, monkeypatch)
        try:
            yield found
        finally:
            found.end()


def follow(one: Reader, see: Callable[[str, str, str], None]) -> None:
    """Follow the page from its beginning. `see`: is given each block of commands, what is shown and what is printed."""
    for kind, text, more in steps(YOUR_DATA.read_text()):
        if kind == "sh":
            see(text, more, "".join(one.type(line) for line in text.splitlines()))
        else:
            one.save(more, text)


def test_every_command_of_the_page_prints_what_it_shows(tmp_path: Path) -> None:
    """In an empty folder, from its first line to its last; the alert of the service is that of the replay."""
    seen: dict[str, str] = {}

    def see(commands: str, shown: str, printed: str) -> None:
        assert not shown or fits(shown, printed), f"{commands}\n{plain(printed)}"
        seen[commands] = printed

    with reader(tmp_path) as one:
        follow(one, see)
    tailed = next(printed for commands, printed in seen.items() if "tail alerts" in commands)
    published = json.loads(tailed.splitlines()[0])
    replayed = json.loads((tmp_path / "alerts.jsonl").read_text().splitlines()[0])
    assert (published["id"], published["data"]["labels"]) == (replayed["id"], replayed["data"]["labels"])
    contract = load((tmp_path / "alerts.yaml").read_text(), "alerts.yaml").models[0].contract
    for stream, event in zip(contract.streams, blocks(YOUR_DATA, "json"), strict=False):
        batch = RecordBatch(stream.topic, 0, range(1), [0], [None], [event.encode()], [()])
        (found,) = Decoder(stream.topic, [contract]).decode(batch).rows
        assert (found.numeric_states[0] == CellState.VALID).all()
        assert (found.categorical_states[0] == CellState.VALID).all()


# ---------------------------------------------------------------------- what values become

ROLES: Final = ("numerical", "binary", "categorical", "prediction of a class", "text", "arrays")
TIME: Final = "2026-03-01T00:00:00Z"
ONE_COLUMN: Final = """
version: 1
models:
  m:
    task: classification_binary
    streams: {{{stream}: {{topic: in}}}}
    columns: {{{columns}}}
"""


def contract_of(columns: str, stream: str = "features") -> ModelContract:
    return load(ONE_COLUMN.format(stream=stream, columns=columns), "alerts.yaml").models[0].contract


def from_table(path: Path, contract: ModelContract, unusable: Unusable | None = None) -> Batch:
    """The first batch of a table, as a replay decodes it."""
    stream = contract.streams[0]
    (batch,) = TableReader(path, TableRows(contract, stream), unusable).batches()
    return TableDecoder(Decoder(stream.topic, [contract])).decode(batch)


def from_event(event: str, contract: ModelContract) -> Batch:
    batch = RecordBatch("in", 0, range(1), [0], [None], [event.encode()], [()])
    return Decoder("in", [contract]).decode(batch)


def counted(role: str, read: Callable[[ModelContract], Batch]) -> str:
    """What the value of the column `v` counts as in a role."""
    is_class = role == "prediction of a class"
    contract = contract_of("prediction: v" if is_class else f"{role}: [v]", "predictions" if is_class else "features")
    (found,) = read(contract).rows
    is_label = found.categorical_states.size > 0
    states = (found.categorical_states if is_label else found.numeric_states)[0]
    if states[0] != CellState.VALID:
        return "missing" if states[0] <= CellState.ABSENT else "invalid"
    if is_label:
        return f"`{found.categorical[0][0]}`" if found.categorical[0][0] else "the empty text"
    return f"{found.numeric[0][0]:.15g}"


def as_event(value: str, role: str) -> str:
    return f'{{"event_time": "{TIME}", "v": {value}}}' if "class" in role else (
        f'{{"event_time": "{TIME}", "features": {{"v": {value}}}}}'
    )  # fmt: skip


def code(cell: str) -> str:
    """What stands in a code span; nothing in an empty cell."""
    return cell.strip("`").replace("\\|", "|") if cell.startswith("`") else ""


def of_event(value: str, _: Path) -> list[str]:
    return [counted(role, partial(from_event, as_event(value, role))) for role in ROLES]


def of_csv(cell: str, folder: Path) -> list[str]:
    path = folder / "t.csv"
    path.write_text(f'event_time,v\n{TIME},"{cell}"\n' if cell else f"event_time,v\n{TIME},\n")
    return [counted(role, partial(from_table, path)) for role in ROLES]


ARROW: Final = {
    ("int64", "12"): pa.array([12], pa.int64()),
    ("uint64", "18446744073709551615"): pa.array([2**64 - 1], pa.uint64()),
    ("float", "0.1"): pa.array([0.1], pa.float32()),
    ("double", "1.0"): pa.array([1.0]),
    ("double", "12.5"): pa.array([12.5]),
    ("double", "NaN"): pa.array([float("nan")]),
    ("decimal128(9, 2)", "12.50"): pa.array([Decimal("12.50")], pa.decimal128(9, 2)),
    ("decimal128(9, 2)", "12.00"): pa.array([Decimal("12.00")], pa.decimal128(9, 2)),
    ("bool", "true"): pa.array([True]),
    ("string", '"12.0"'): pa.array(["12.0"]),
    ("string", '"yes"'): pa.array(["yes"]),
    ("string", '""'): pa.array([""]),
    ("dictionary of string", '"blue"'): pa.array(["blue"]).dictionary_encode(),
    ("binary", "62 6c 75 65"): pa.array([b"blue"]),
    ("binary", "ff"): pa.array([b"\xff"]),
    ("date32", "2026-03-01"): pa.array([date(2026, 3, 1)]),
    ("timestamp[ms]", "2026-03-01 12:00"): pa.array([datetime(2026, 3, 1, 12)], pa.timestamp("ms")),
    ("list of double", "[0.5, 1.0]"): pa.array([[0.5, 1.0]]),
    ("list of string", '["a"]'): pa.array([["a"]]),
    ("struct", '{"a": 1}'): pa.array([{"a": 1}]),
    ("duration", "1 s"): pa.array([timedelta(seconds=1)]),
    ("null", "null"): pa.array([None]),
}
"""Type and value, as the page writes them."""


def of_arrow(array: pa.Array, folder: Path) -> list[str]:
    pa.parquet.write_table(pa.table({"event_time": [TIME], "v": array}), folder / "t.parquet")
    return [counted(role, partial(from_table, folder / "t.parquet")) for role in ROLES]


@pytest.mark.parametrize("cells", rows(section(YOUR_DATA, "In events")), ids=lambda cells: cells[0])
def test_each_value_of_json_becomes_what_the_page_says(cells: list[str], tmp_path: Path) -> None:
    """In each role."""
    assert of_event(code(cells[0]), tmp_path) == cells[1:]


@pytest.mark.parametrize("cells", rows(section(YOUR_DATA, "In CSV files")), ids=lambda cells: cells[0] or "empty")
def test_each_cell_of_a_csv_file_becomes_what_the_page_says(cells: list[str], tmp_path: Path) -> None:
    """In each role."""
    assert of_csv(code(cells[0]), tmp_path) == cells[1:]


ARROW_ROWS: Final = [cells for cells in rows(section(YOUR_DATA, "In tables with types")) if len(cells) > 2]


@pytest.mark.parametrize("cells", ARROW_ROWS, ids=lambda cells: " ".join(cells[:2]))
def test_each_arrow_type_becomes_what_the_page_says(cells: list[str], tmp_path: Path) -> None:
    """In each role, through a Parquet file."""
    assert of_arrow(ARROW[code(cells[0]), code(cells[1])], tmp_path) == cells[2:]


def test_the_page_has_each_arrow_type() -> None:
    """With a value at least."""
    assert [(code(cells[0]), code(cells[1])) for cells in ARROW_ROWS] == list(ARROW)


# ---------------------------------------------------------------------- times


def time_of(batch: Batch) -> str:
    """The time of the first row, or why there is none."""
    if batch.rejected:
        return f"`{batch.rejected[0].reason}`"
    return f"`{time_text(int(batch.rows[0].time[0]))}`"


@pytest.mark.parametrize("cells", rows(section(YOUR_DATA, "Times")), ids=lambda cells: " ".join(cells[:2]))
def test_each_form_of_time_is_read_as_the_page_says(cells: list[str], tmp_path: Path) -> None:
    """From a CSV file and from an event, as a text and, where it is one, as a number; the note is the shown one."""
    written, form, read, reported = cells
    contract = contract_of(f"timestamp: {code(form)}, numerical: [v]")
    path, unusable = tmp_path / "t.csv", Unusable()
    path.write_text(f'ts,v\n"{code(written)}",1\n')
    assert time_of(from_table(path, contract, unusable)) == read
    notes = [note.removeprefix("ts: ") for note in unusable.notes]
    assert notes == ([reported] if reported else [])
    for value in [json.dumps(code(written)), *([code(written)] if code(written).isdecimal() else [])]:
        assert time_of(from_event(f'{{"ts": {value}, "features": {{"v": 1}}}}', contract)) == read
