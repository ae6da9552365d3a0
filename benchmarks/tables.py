"""Tables: CPU time from a file to rows, by format, and beside it the same rows as events in JSON.

    python benchmarks/tables.py [--rows 200000] [--columns 20] [--repeats 5] [--json FILE]

A fifth of the columns are categories of four values, the others numbers of some eight digits. The smallest of the
repeats, of `time.process_time`.
"""

from __future__ import annotations

import json as jsonlib
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.orc
import pyarrow.parquet
import typer
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a script's path lacks the checkout

from monitor.codec.canonical import time_text
from monitor.codec.decode import Decoder
from monitor.contract import ColumnKind, ColumnSpec, ModelContract, StreamContract
from monitor.events import RecordBatch
from monitor.sources.table_rows import TableReader, TableRows
from monitor.sources.table_values import TableDecoder

FIRST_MS = 1_772_323_200_000
WORDS = np.array(["red", "green", "blue", "amber"])
POLL = 5000


def contract_of(columns: int) -> ModelContract:
    """A model with that number of columns."""
    kinds: list[ColumnKind] = ["categorical" if k % 5 == 0 else "numerical" for k in range(columns)]
    specs = tuple(ColumnSpec(f"c{k:03}", f"c{k:03}", kind) for k, kind in enumerate(kinds))
    stream = StreamContract("features", "in", "event_time", specs)
    return ModelContract("m", 10_000, 30_000, 30_000, 60_000, 100, 2048, (stream,))


def table_of(contract: ModelContract, rows: int) -> pa.Table:
    """Rows a second apart."""
    rng = np.random.default_rng(1)
    columns = {
        c.field: WORDS[rng.integers(0, 4, rows)] if c.kind == "categorical" else rng.normal(100, 15, rows).round(5)
        for c in contract.streams[0].columns
    }
    times = pa.array(FIRST_MS + np.arange(rows) * 1000).cast(pa.timestamp("ms", "UTC"))
    return pa.table({"event_time": times, **columns})


def seconds(path: Path, contract: ModelContract) -> Callable[[], float]:
    """Measures one reading of a file."""
    stream = contract.streams[0]

    def measure() -> float:
        begun = process_time()
        decoder = TableDecoder(Decoder(stream.topic, [contract]))
        for batch in TableReader(path, TableRows(contract, stream)).batches():
            decoder.decode(batch)
        return process_time() - begun

    return measure


def seconds_of_json(table: pa.Table, contract: ModelContract) -> Callable[[], float]:
    """Measures the decoding of the same rows as events of a topic."""
    decoder, names = Decoder("in", [contract]), [c.field for c in contract.streams[0].columns]
    values = [
        jsonlib.dumps(
            {
                "event_id": str(i),
                "model": contract.model,
                "event_time": time_text(FIRST_MS + i * 1000),
                "features": {name: row[name] for name in names},
            }
        ).encode()
        for i, row in enumerate(table.to_pylist())
    ]

    def measure() -> float:
        begun = process_time()
        for at in range(0, len(values), POLL):
            some = values[at : at + POLL]
            n = len(some)
            decoder.decode(RecordBatch("in", 0, range(at, at + n), [0] * n, [None] * n, some, [()] * n))
        return process_time() - begun

    return measure


def run(rows: int, columns: int, repeats: int) -> dict[str, float]:
    """CPU time of a row, µs, by format."""
    contract = contract_of(columns)
    table = table_of(contract, rows)
    text = table.set_column(0, "event_time", pa.array([time_text(FIRST_MS + i * 1000) for i in range(rows)]))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pa.parquet.write_table(table, folder / "parquet")
        pa.orc.write_table(table, folder / "orc")
        pa.csv.write_csv(text, folder / "csv")
        parts = {form: seconds(folder / form, contract) for form in ("parquet", "orc", "csv")}
        parts["events in JSON"] = seconds_of_json(table, contract)
        return {form: min(part() for _ in range(repeats)) / rows * 1e6 for form, part in parts.items()}


def main(
    rows: Annotated[int, typer.Option(min=1)] = 200_000,
    columns: Annotated[int, typer.Option(min=1)] = 20,
    repeats: Annotated[int, typer.Option(min=1)] = 5,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    """Measure and print."""
    figures = run(rows, columns, repeats)
    table = Table("to rows, from", "µs a row")
    for form, value in figures.items():
        table.add_row(form, f"{value:.2f}")
    Console().print(table)
    if json is not None:
        json.write_text(jsonlib.dumps({"rows": rows, "columns": columns, "us_a_row": figures}, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
