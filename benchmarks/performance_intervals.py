"""How often the 95 % intervals of performance hold the truth: windows of labels from models whose metrics are known.

python benchmarks/performance_intervals.py [--windows 2000] [--labels 1000] [--rows 4000000] [--confidence 0.95]
    [--seed 1] [--json FILE]
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from monitor.events import Float64s
from monitor.panes.numeric_bins import make_numeric_bins
from monitor.stats.binary import BinaryLayout
from monitor.stats.multiclass import MulticlassLayout
from monitor.stats.performance import PairLayout, Pairs, vector, vectors
from monitor.stats.regression import RegressionLayout

Draw = Callable[[np.random.Generator, int], Pairs]
"""The next pairs of a model."""
GRID_ROWS = 5000
"""Predictions that a grid is made from."""
ROWS_AT_ONCE = 1_000_000
"""Rows that are drawn at once for the truth."""


class Coverage(msgspec.Struct):
    """One metric of one model. `truth`: of all rows. `held`: share of the windows whose interval holds it.

    `below`, `above`: shares of those whose interval lies below it, or above it.
    """

    model: str
    metric: str
    truth: float
    held: float
    below: float
    above: float


class Report(msgspec.Struct):
    """What `--json` writes."""

    windows: int
    labels: int
    confidence: float
    coverages: list[Coverage]


def scored(offset: float) -> Draw:
    """A logistic model that is too sure of itself. `offset`: the mean of its score."""

    def draw(rng: np.random.Generator, n: int) -> Pairs:
        score = rng.normal(size=n) * 1.3 + offset
        p = (1.0 / (1.0 + np.exp(-score))).astype(np.float32)
        truth = rng.random(n) < 1.0 / (1.0 + np.exp(-0.9 * score))
        return Pairs(truth.astype(np.uint8), (p >= 0.5).astype(np.uint8), p)

    return draw


def several(rng: np.random.Generator, n: int) -> Pairs:
    """Ten classes, the first the most frequent; three quarters of the predictions are right."""
    truth, guess = (np.minimum(rng.geometric(0.3, n) - 1, 9) for _ in range(2))
    prediction = np.where(rng.random(n) < 0.7, truth, guess)
    return Pairs(truth.astype(np.uint8), prediction.astype(np.uint8), np.full(n, np.nan, dtype=np.float32))


def skewed(rng: np.random.Generator, n: int) -> Pairs:
    """Amounts (log-normal) whose errors have heavy tails and grow with them."""
    truth = np.exp(rng.normal(size=n) * 0.5 + 3.0)
    return Pairs(truth, truth * (1.02 + 0.1 * rng.standard_t(6, n)), np.full(n, np.nan, dtype=np.float32))


def layout_of(sample: Pairs) -> PairLayout:
    """The layout that a service would make of these predictions."""
    if sample.truth.dtype == np.float64:
        return RegressionLayout(make_numeric_bins("prediction", sample.prediction.astype(np.float64)).spread, 5.0)
    if np.isnan(sample.probability).all():
        return MulticlassLayout(10)
    return BinaryLayout(make_numeric_bins("probability", sample.probability.astype(np.float64)).edges)


MODELS: dict[str, Draw] = {
    "two classes, 30 % positive": scored(-1.2),
    "two classes, 14 % positive": scored(-2.5),
    "ten classes": several,
    "amounts": skewed,
}


def coverages(model: str, sizes: tuple[int, int, int], confidence: float, seed: int) -> list[Coverage]:
    """Coverage of each metric that has an interval. `sizes`: windows, labels in each, rows that give the truth."""
    windows, labels, rows = sizes
    draw, rng = MODELS[model], np.random.default_rng(seed)
    layout = layout_of(draw(rng, GRID_ROWS))
    everything = np.zeros(layout.width, dtype=np.int64)
    for start in range(0, rows, ROWS_AT_ONCE):
        everything += vector(layout, draw(rng, min(ROWS_AT_ONCE, rows - start)))
    truth = layout.metrics(everything)
    of_windows = vectors(layout, draw(rng, windows * labels), np.repeat(np.arange(windows), labels), windows)
    found = [layout.intervals(one, confidence) for one in of_windows]
    names = [name for name in truth if name in found[0]]
    return [coverage(model, name, truth[name], np.array([one[name] for one in found])) for name in names]


def coverage(model: str, metric: str, truth: float, ends: Float64s) -> Coverage:
    """How often intervals `ends` (windows, 2) hold the truth."""
    below, above = float((ends[:, 1] < truth).mean()), float((ends[:, 0] > truth).mean())
    return Coverage(model, metric, truth, round(1.0 - below - above, 5), below, above)


def run(
    windows: Annotated[int, typer.Option(help="Windows of each model.")] = 2000,
    labels: Annotated[int, typer.Option(help="Labels in a window.")] = 1000,
    rows: Annotated[int, typer.Option(help="Rows that give the truth.")] = 4_000_000,
    confidence: Annotated[float, typer.Option(help="Confidence of the intervals.")] = 0.95,
    seed: Annotated[int, typer.Option(help="Seed of the rows.")] = 1,
    json: Annotated[Path | None, typer.Option(help="File for the report.")] = None,
) -> None:
    """Print the coverage of every metric of every model."""
    report = Report(windows, labels, confidence, [])
    table = Table("model", "metric", "truth", "held", "below", "above", title=f"{windows} windows of {labels} labels")
    for model in MODELS:
        for one in coverages(model, (windows, labels, rows), confidence, seed):
            report.coverages.append(one)
            shares = (f"{share:.1%}" for share in (one.held, one.below, one.above))
            table.add_row(model, one.metric, f"{one.truth:.4f}", *shares)
    Console().print(table)
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")


if __name__ == "__main__":
    typer.run(run)
