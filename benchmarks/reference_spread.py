"""How often `metric > reference_mean + 3 * reference_std` holds: without drift, shifted, dependent, of few values.

python benchmarks/reference_spread.py [--references 500,5000,100000,500000] [--windows 500,2000,5000,20000]
    [--repeats 25] [--samples 100] [--columns 1000] [--seed 1] [--json FILE]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import perf_counter, process_time
from typing import Annotated

import msgspec
import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from scipy.signal import lfilter

from monitor.contract import ColumnSpec, StreamContract
from monitor.evaluate.measure import Measure
from monitor.evaluate.reference import build_reference
from monitor.evaluate.spread import ReferenceSpread
from monitor.events import Float64s, Rows
from monitor.panes.grid import encode_rows, make_grid

METRICS = ("psi", "js_distance", "hellinger", "ks", "wasserstein")
SHIFT, DEPENDENCE, FACTOR = 0.3, 0.9, 3
Values = Callable[[int], Float64s]
"""The next rows of a stream, shape (rows, columns)."""


class Pair(msgspec.Struct):
    """One size of reference with one of windows: the share of windows above the threshold, by metric.

    Each is the mean over the references. `null`: windows of the same normal distribution. `shifted`: by 0.3 standard
    deviations. `dependent`: reference and windows are one AR(1) series with coefficient 0.9.
    `few`: columns of two to eight values, without drift.
    """

    reference: int
    window: int
    null: dict[str, float]
    shifted: dict[str, float]
    dependent: dict[str, float]
    few: dict[str, float]


class Timing(msgspec.Struct):
    """Time to draw one metric at one size for all columns, in seconds."""

    metric: str
    cpu_seconds: float
    wall_seconds: float


class Report(msgspec.Struct):
    """What `--json` writes."""

    repeats: int
    samples: int
    columns: int
    pairs: list[Pair]
    timings: list[Timing]


def independent(columns: int, seed: int) -> Values:
    """Standard normal values."""
    rng = np.random.default_rng(seed)
    return lambda rows: rng.normal(size=(rows, columns))


def dependent(columns: int, seed: int) -> Values:
    """AR(1) series with standard normal values, each row next to the one before it."""
    rng = np.random.default_rng(seed)
    last = rng.normal(size=(1, columns))
    noise = np.sqrt(1.0 - DEPENDENCE**2)

    def values(rows: int) -> Float64s:
        nonlocal last
        series = lfilter(
            [1.0], [1.0, -DEPENDENCE], noise * rng.normal(size=(rows, columns)), axis=0, zi=DEPENDENCE * last
        )
        last = series[0][-1:]
        return np.asarray(series[0])

    return values


def few_values(columns: int, seed: int) -> Values:
    """Columns of two to eight values, each as frequent as the others."""
    rng = np.random.default_rng(seed)
    numbers = 2 + np.arange(columns) % 7
    return lambda rows: np.floor(rng.random((rows, columns)) * numbers)


def measure_of(values: Float64s) -> Measure:
    """What windows are compared with, if these are the reference's values: each column is a reference of its own."""
    names = [f"c{j}" for j in range(values.shape[1])]
    columns = tuple(ColumnSpec(name, name, "numerical") for name in names)
    contract = StreamContract("features", "bench", "event_time", columns)
    sample = rows_of(values)
    grid = make_grid(sample, contract)
    return Measure(grid, build_reference(grid, sample, "bench"))


def rows_of(values: Float64s) -> Rows:
    """Valid rows of those values, a second apart."""
    rows, columns = values.shape
    states = np.zeros((rows, columns), dtype=np.uint8)
    none = np.zeros((rows, 0), dtype=np.uint8)
    offset, part = np.arange(rows), np.zeros(rows, dtype=np.int32)
    return Rows("bench", "features", "", offset, part, offset * 1000, values, states, (), none)


def above(measure: Measure, spread: ReferenceSpread, windows: Sequence[Float64s]) -> dict[str, float]:
    """Metric -> share of the windows' columns that are above reference_mean + 3 * reference_std."""
    counts = np.array([encode_rows(measure.grid, rows_of(values))[1] for values in windows])
    scores, names = measure.scores(counts), measure.grid.series
    shares = {}
    for metric in METRICS:
        found = spread.of(metric, names, len(windows[0]))
        thresholds = np.array([found[name][0] + FACTOR * found[name][1] for name in names])
        shares[metric] = round(float((scores[metric] > thresholds).mean()), 5)
    return shares


def pairs(references: Sequence[int], windows: Sequence[int], repeats: int, samples: int, seed: int) -> Iterator[Pair]:
    """The shares of every pair of sizes."""
    for reference in references:
        streams = independent(repeats, seed), dependent(repeats, seed), few_values(repeats, seed)
        measures = [measure_of(values(reference)) for values in streams]
        spreads = [ReferenceSpread(measure) for measure in measures]
        for window in windows:
            null, series, few = ([values(window) for _ in range(samples)] for values in streams)
            yield Pair(
                reference,
                window,
                null=above(measures[0], spreads[0], null),
                shifted=above(measures[0], spreads[0], [values + SHIFT for values in null]),
                dependent=above(measures[1], spreads[1], series),
                few=above(measures[2], spreads[2], few),
            )


def timings(columns: int, seed: int) -> Iterator[Timing]:
    """How long it takes to draw each metric at a standing size, for columns that have nothing in common."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(5000, columns))
    values[rng.random((5000, columns)) < rng.random(columns) / 2] = 0.0  # so each column has other bins
    measure = measure_of(values)
    for metric in METRICS:
        spread, cpu, wall = ReferenceSpread(measure), process_time(), perf_counter()
        spread.of(metric, measure.grid.series, 2048)
        yield Timing(metric, round(process_time() - cpu, 2), round(perf_counter() - wall, 2))


def run(
    references: Annotated[str, typer.Option(help="Rows of the references.")] = "500,5000,100000,500000",
    windows: Annotated[str, typer.Option(help="Rows of the windows.")] = "500,2000,5000,20000",
    repeats: Annotated[int, typer.Option(help="References of each size.")] = 25,
    samples: Annotated[int, typer.Option(help="Windows of each reference.")] = 100,
    columns: Annotated[int, typer.Option(help="Columns of the reference that is timed.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the values.")] = 1,
    json: Annotated[Path | None, typer.Option(help="File for the report.")] = None,
) -> None:
    """Print the shares of every pair of sizes, and the times."""
    of_references, of_windows = ([int(size) for size in text.split(",")] for text in (references, windows))
    report = Report(repeats, samples, columns, [], [])
    console = Console()
    for pair in pairs(of_references, of_windows, repeats, samples, seed):
        report.pairs.append(pair)
        _write(report, json)
    titles = {
        "no drift": "null",
        "0.3 σ": "shifted",
        "AR(1) with 0.9, no drift": "dependent",
        "two to eight values, no drift": "few",
    }
    for title, kind in titles.items():
        table = Table("reference", "window", *METRICS, title=title)
        for pair in report.pairs:
            shares = getattr(pair, kind).values()
            table.add_row(str(pair.reference), str(pair.window), *(f"{share:.1%}" for share in shares))
        console.print(table)
    report.timings.extend(timings(columns, seed))
    for timing in report.timings:
        console.print(f"{timing.metric}: {columns} columns in {timing.cpu_seconds} s of CPU, {timing.wall_seconds} s")
    _write(report, json)


def _write(report: Report, file: Path | None) -> None:
    if file is not None:
        file.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")


if __name__ == "__main__":
    typer.run(run)
