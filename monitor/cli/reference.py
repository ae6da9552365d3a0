"""`streamdrift reference build` and `show`: grids and references as files."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from monitor.alerts_file import load_unlocked_config
from monitor.cli.replay_log import tell
from monitor.cli.replay_sources import chosen_model
from monitor.cli.shell import settings_of, writing
from monitor.cli.tail import printable
from monitor.codec.canonical import time_text
from monitor.codec.durations import duration_text
from monitor.config.built_in import usual_silence_ms
from monitor.errors import ConfigurationError
from monitor.evaluate.labelled_reference import LabelledReference
from monitor.evaluate.lane_drift import sight_of
from monitor.evaluate.measure import Measure
from monitor.evaluate.reference import Reference
from monitor.evaluate.window_views import CONFIDENCE
from monitor.log_lines import escaped
from monitor.panes.grid import CategoryBins, Grid
from monitor.panes.numeric_bins import NumericBins
from monitor.sources.csv_dialect import parse_csv_flags
from monitor.sources.reference_file import read_reference_file, write_reference_file
from monitor.sources.references import INSTEAD, labelled_of_file, references_of_file
from monitor.sources.unusable import Unusable

_SCORES = {
    "mean": "mean",
    "std": "std",
    "quantile_0.5": "median",
    "missing_rate": "missing",
    "invalid_rate": "invalid",
}
"""What `show` prints of a series, and the heads of its columns."""


def build(source: Path, out: Path, config: Path | None, model: str | None, rows: int | None, csv: str | None) -> None:
    """Make grid and reference of every stream that the file has columns of."""
    chosen = chosen_model(load_unlocked_config(settings_of(config).config), model)
    unusable = Unusable()
    how = parse_csv_flags(csv)
    try:
        pairs = references_of_file(source, chosen.contract, rows, unusable=unusable, csv=how)
        labelled = labelled_of_file(source, chosen, pairs, rows, csv=how)
    finally:
        tell({str(source): unusable})
    with writing(out):
        out.write_bytes(write_reference_file(pairs, labelled if chosen.rules.performance is not None else ""))
    for grid, reference in pairs:
        typer.echo(f"{out}: {grid.model}/{grid.stream}, {reference.events} rows, {len(grid.series)} series")
    if isinstance(labelled, LabelledReference):
        typer.echo(f"{out}: {labelled.model}/performance, {labelled.rows} rows, {len(labelled.pairs)} slices")
    elif chosen.rules.performance is not None:
        typer.echo(escaped(f"{out}: {chosen.contract.model}/performance has no reference: {labelled}; so {INSTEAD}"))


def show(file: Path) -> None:
    """Print a table of the file's series."""
    try:
        pairs, labelled = read_reference_file(file.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror or error}") from error
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    for grid, reference in pairs:
        span = _span(reference.info.start, reference.info.end)
        console.print(f"{grid.model} / {grid.stream}: {reference.events} events, {span}")
        console.print(f"grid {grid.digest}  reference {reference.digest}  {len(reference.slices)} slices", style="dim")
        console.print(f"{_gap(reference)}; without `no_data`, NoData after {_silence(reference)}", style="dim")
        sight = sight_of(grid, reference)
        shifts = {} if sight is None else sight.shifts
        heads = (f"σ in {rows:,}" for rows in shifts)
        table = Table("series", "kind", "bins", *_SCORES.values(), *heads, box=None, header_style="dim")
        columns = Measure(grid, reference).columns(reference.total)
        both: list[NumericBins | CategoryBins] = [*grid.numeric, *grid.categorical]
        for bins in both:
            series = columns[bins.name]
            kind = "numeric" if isinstance(bins, NumericBins) else "categorical"
            scores = [_number(series.get(name)) for name in _SCORES]
            smallest = ("" if bins.name not in s else f"{s[bins.name]:.2f}" for s in shifts.values())
            table.add_row(Text(printable(bins.name)), kind, str(bins.bins), *scores, *smallest)
        console.print(table)
        console.print(_sight(reference, shifts), style="dim")
    if isinstance(labelled, LabelledReference):
        _show_labelled(console, labelled, next(grid for grid, _ in pairs if grid.digest == labelled.grid))
    elif labelled:
        console.print(f"{pairs[0][0].model} / performance: no reference, because {labelled}")


def _sight(reference: Reference, shifts: Mapping[int, object]) -> str:
    if reference.moments is None:
        return "no `drift` with it, because an older release has made it: build it again"
    if not shifts:
        return "no shift is seen by `drift`: no numeric column varies"
    return "σ: the smallest shift that `drift` sees in as many rows in half of the cases, in standard deviations"


def _show_labelled(console: Console, labelled: LabelledReference, grid: Grid) -> None:
    """Print what rows with prediction and label say of the model. `grid`: of the predictions."""
    span = _span(labelled.pairs[0].first_time, labelled.pairs[-1].last_time)
    console.print(f"{labelled.model} / performance: {labelled.rows} rows with prediction and label, {span}")
    console.print(f"reference {labelled.digest}  {len(labelled.pairs)} slices", style="dim")
    layout, total = labelled.layout(grid), np.sum(labelled.vectors(grid), axis=0)
    table = Table("metric", "value", "from", "to", box=None, header_style="dim")
    intervals = layout.intervals(total, CONFIDENCE)
    for name, value in layout.metrics(total).items():
        table.add_row(name, _number(value), *(_number(one) for one in intervals.get(name, (None, None))))
    console.print(table)
    console.print(f"from, to: the {CONFIDENCE:.0%} interval, if there is one", style="dim")


def _span(first: int | None, last: int | None) -> str:
    return "without times" if first is None or last is None else f"{time_text(first)} to {time_text(last)}"


def _gap(reference: Reference) -> str:
    gap = reference.longest_gap_ms
    return "longest gap between rows unknown" if gap is None else f"longest gap between rows {duration_text(gap)}"


def _silence(reference: Reference) -> str:
    return duration_text(usual_silence_ms(reference.longest_gap_ms))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
