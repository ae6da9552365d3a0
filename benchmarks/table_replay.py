"""Replays of tables: how much slower one is than its profile and evaluate alone, and the memory of a long one.

    python benchmarks/table_replay.py [--rows 100000] [--columns 20] [--repeats 3] [--budget 320] [--json FILE]

*Rate*: CPU time of a whole replay (a look at the order, reading, both folds), and of both folds alone over rows that
are in memory already; beside them the same rows as events in JSON. The model is that of `throughput.py`, with an ADWIN
on every column. *Memory*: the most resident memory of `streamdrift replay` in a process of its own, over a sorted file
of three times its budget.
"""

from __future__ import annotations

import json as jsonlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import process_time
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import typer
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a script's path lacks the checkout

from benchmarks.traffic import make_traffic
from monitor.cli.replay_log import configured
from monitor.codec.canonical import time_text
from monitor.config.resolved import Config
from monitor.evaluate.alerts import Place
from monitor.events import RecordBatch
from monitor.replay import Replay, ReplayLog
from monitor.sources.file_recordings import PlainRows, plain
from monitor.sources.recordings import Recording

FIRST_MS = 1_790_000_000_000
_BLOCK = 100_000
_CONFIG = """\
version: 1
defaults: {{window: {{events: 20000, every: 20000}}, lateness: 2s, pane: 20s, interval: 20s}}
models:
  bench:
    task: classification_binary
    streams: {{features: {{topic: features}}}}
    columns: {{numerical: [{columns}]}}
    reference: {{first: 5000}}
groups: [{{name: g, models: [bench], rules: [{{alert: Psi, expr: psi > 0.1}}]}}]
"""

_CHILD = """\
import sys
from pathlib import Path
from monitor.cli.main import main
sys.argv[0] = "streamdrift"
try:
    main()
finally:
    print(Path("/proc/self/status").read_text(), file=sys.stderr)
"""
"""Not the `ru_maxrss` of a child: that is at least what its parent had when it began."""


def blocks(columns: int, rows: int, seed: int = 1) -> Iterator[pa.Table]:
    """Rows a millisecond apart, in order, block by block."""
    rng = np.random.default_rng(seed)
    for start in range(0, rows, _BLOCK):
        n = min(_BLOCK, rows - start)
        times = pa.array(FIRST_MS + np.arange(start, start + n)).cast(pa.timestamp("ms", "UTC"))
        numbers = {f"f{k:02d}": rng.normal(50.0, 10.0, n).round(4) for k in range(columns)}
        yield pa.table({"event_time": times, **numbers})


def write(path: Path, form: str, columns: int, is_enough: Callable[[int], bool]) -> int:
    """Write blocks of rows until there are enough (asked with the file's size); returns how many rows."""
    source = blocks(columns, 1 << 40)
    first = next(source)
    made = 0
    writer: Any = (pa.parquet.ParquetWriter if form == "parquet" else pa.csv.CSVWriter)(path, first.schema)
    with writer:
        block = first
        while True:
            writer.write_table(block)
            made += len(block)
            if is_enough(path.stat().st_size):
                return made
            block = next(source)


def write_events(path: Path, table: pa.Table) -> None:
    """The same rows as native events."""
    with path.open("w") as file:
        for i, row in enumerate(table.to_pylist()):
            event = {"event_id": str(i), "model": "bench", "event_time": time_text(FIRST_MS + i)}
            features = {name: value for name, value in row.items() if name != "event_time"}
            file.write(jsonlib.dumps({**event, "features": features}) + "\n")


def replayed(config: Config, recording: Recording, sequences: list[Iterator[RecordBatch]]) -> None:
    """Fold it all; a replay that loses rows measures nothing."""
    contracts, activations = configured(recording, config, None)
    place = Place("/bench", "http://localhost:8787", "0", "bench")
    engine = Replay(ReplayLog(contracts, recording.partitions, (), activations, place, True, 8))
    for _ in engine.fold(sequences):
        pass
    engine.finish({})
    (buckets,) = engine.buckets().values()
    if buckets["pane"] != buckets.total():
        raise RuntimeError(f"not all rows are in panes: {buckets}")


def rates(rows: int, columns: int, repeats: int) -> dict[str, float]:
    """CPU time of a row, µs, the smallest of the repeats, by path."""
    config = make_traffic("features", columns, 10).config
    (model,) = config.models
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = pa.concat_tables(blocks(columns, rows))
        pa.parquet.write_table(table, folder / "parquet")
        pa.csv.write_csv(table, folder / "csv")
        write_events(folder / "events in JSON", table)

        def whole(form: str) -> float:
            begun = process_time()
            recording = plain([folder / form], model.contract, PlainRows("features"))
            replayed(config, recording, recording.sequences(lambda _: None))
            return process_time() - begun

        def alone() -> float:
            recording = plain([folder / "parquet"], model.contract, PlainRows("features"))
            held = [list(sequence) for sequence in recording.sequences(lambda _: None)]
            begun = process_time()
            replayed(config, recording, [iter(batches) for batches in held])
            return process_time() - begun

        found: dict[str, float] = {}
        for _ in range(repeats):  # in turn, so that what else the machine does strikes all of them
            for path, seconds in (
                ("profile + evaluate alone", alone()),
                *((f"replay of {form}", whole(form)) for form in ("parquet", "csv", "events in JSON")),
            ):
                found[path] = min(seconds / rows * 1e6, found.get(path, float("inf")))
        return found


def peak_mb(path: Path, config: Path, budget_mb: int) -> float:
    """The most resident memory of `streamdrift replay` over the file, MiB (Linux)."""
    arguments = ["replay", str(path), "--config", str(config)]
    environment = {**os.environ, "STREAMDRIFT_MEMORY_MB": str(budget_mb)}
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, *arguments], env=environment, capture_output=True, text=True, check=True
    )
    return int(done.stderr.rpartition("VmHWM:")[2].split()[0]) / 1024


def memory(columns: int, budget_mb: int, times: float) -> dict[str, tuple[float, float, int]]:
    """Size of the file and the most memory of its replay, MiB, and its rows, by format."""
    found = {}
    with tempfile.TemporaryDirectory() as name:
        config = Path(name) / "alerts.yaml"
        config.write_text(_CONFIG.format(columns=", ".join(f"f{k:02d}" for k in range(columns))))
        for form in ("parquet", "csv"):
            path = Path(name) / form
            rows = write(path, form, columns, lambda size: size >= times * budget_mb * (1 << 20))
            found[form] = (path.stat().st_size / (1 << 20), peak_mb(path, config, budget_mb), rows)
            path.unlink()
    return found


def main(
    rows: Annotated[int, typer.Option(min=1)] = 100_000,
    columns: Annotated[int, typer.Option(min=1)] = 20,
    repeats: Annotated[int, typer.Option(min=1)] = 3,
    budget: Annotated[int, typer.Option(min=128, help="STREAMDRIFT_MEMORY_MB where memory is measured.")] = 320,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    """Measure and print."""
    figures = rates(rows, columns, repeats)
    table = Table("path", "µs a row", "rows a second", "of the rate of the folds alone")
    alone = figures["profile + evaluate alone"]
    for path, value in figures.items():
        table.add_row(path, f"{value:.2f}", f"{1e6 / value:,.0f}", f"{alone / value:.2f}")
    Console().print(table)
    peaks = memory(columns, budget, 3)
    table = Table("sorted file", "MiB", "rows", "budget, MiB", "most memory of its replay, MiB")
    for form, (size, peak, n) in peaks.items():
        table.add_row(form, f"{size:.0f}", f"{n:,}", str(budget), f"{peak:.0f}")
    Console().print(table)
    if json is not None:
        json.write_text(jsonlib.dumps({"us_a_row": figures, "budget_mib": budget, "memory": peaks}, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
