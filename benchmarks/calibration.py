"""Whether limits that are solved for a budget keep it: many references, each with rows of the same kind behind it.

    python -m benchmarks.calibration [--references 50] [--rows 20000] [--columns 3] [--streams 24] [--json FILE]

Normal columns, independent and AR(1) with 0.5; the budget is one false alarm in 50,000 rows. The achieved rate is over
all references together, by its budget: 1 is all of it. Last comes the time that one lane of 20 columns takes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np
from scipy.signal import lfilter

from monitor.calibration.alarms import Waits
from monitor.calibration.drawn import Sample, Traffic, streams
from monitor.calibration.drift_limits import DriftRule, DriftStreams, SolvedDrift
from monitor.calibration.model_lock import SOLVED_ON, TRIED_ON
from monitor.contract import ColumnSpec, StreamContract
from monitor.drift.along import evidence_along
from monitor.evaluate.reference import build_reference
from monitor.events import CellState, Float64s, Rows
from monitor.panes.grid import encode, make_grid

REFERENCE_ROWS = 5_000
ROWS_AN_ALARM = 50_000.0
TRAFFIC = Traffic(rows_per_second=1.0, pane_ms=10_000, interval_ms=10_000, trace_points=2_048)
RULE = DriftRule(1.0, Waits(0, 300_000))
"""As it is shipped."""


class Kept(NamedTuple):
    """False alarms in rows behind their references, with solved limits and with the shipped ones."""

    rho: float
    references: int
    rows: int
    alarms: int
    shipped: int

    @property
    def per_budget(self) -> float:
        """False alarms by those that the budget allows."""
        return self.alarms * ROWS_AN_ALARM / self.rows


def ar1(rho: float, rows: int, columns: int, seed: int) -> Float64s:
    """Standard normal columns, each of AR(1)."""
    noise = np.random.default_rng(seed).normal(size=(rows + 100, columns)) * np.sqrt(1 - rho**2)
    return np.asarray(lfilter([1.0], [1.0, -rho], noise, axis=0))[100:]


def rows_of(values: Float64s) -> Rows:
    """Rows of numeric columns x0, x1 and so on, one a second."""
    n, columns = values.shape
    states = np.full((n, columns), int(CellState.VALID), dtype=np.uint8)
    place = np.arange(n), np.zeros(n, dtype=np.int32), np.arange(n) * 1_000
    return Rows("m", "features", "c", *place, values, states, (), np.zeros((n, 0), dtype=np.uint8))


def sample_of(values: Float64s) -> Sample:
    """A lane's reference of these values."""
    rows = rows_of(values)
    columns = tuple(ColumnSpec(f"x{j}", f"x{j}", "numerical") for j in range(values.shape[1]))
    grid = make_grid(rows, StreamContract("features", "t", "event_time", columns))
    return Sample(grid, build_reference(grid, rows, "made"), *encode(grid, rows), rows.time)


def solved(sample: Sample, number: int) -> SolvedDrift:
    """The limits for the budget, by a number of drawn streams."""
    drift = DriftStreams(sample, TRAFFIC, RULE)
    solving, _ = sample.pieces.split()
    drawn = streams(sample, solving, "benchmark", number, drift.rows)
    return drift.solve([drift.evidence(one) for one in drawn], ROWS_AN_ALARM)


def keep(rho: float, references: int, rows: int, columns: int, number: int) -> Kept:
    """Solve the limits of many references by a number of drawn streams, and count alarms in rows of the same kind."""
    alarms = shipped = 0
    for place in range(references):
        sample = sample_of(ar1(rho, REFERENCE_ROWS, columns, 2 * place))
        drift, limits = DriftStreams(sample, TRAFFIC, RULE), solved(sample, number).limits
        codes = encode(sample.grid, rows_of(ar1(rho, rows, columns, 2 * place + 1)))[0]
        a_pane = TRAFFIC.rows_a_pane
        alarms += drift.alarms(evidence_along(sample.core(sample.reference, limits), codes, a_pane, a_pane))
        shipped += drift.alarms(evidence_along(sample.core(sample.reference), codes, a_pane, a_pane))
    return Kept(rho, references, rows * references, alarms, shipped)


def seconds_of_a_lane(columns: int) -> float:
    """How long a lane takes whose reference has 5,000 rows: its limits, and trying them."""
    sample, started = sample_of(ar1(0.0, REFERENCE_ROWS, columns, 0)), perf_counter()
    drift, limits = DriftStreams(sample, TRAFFIC, RULE), solved(sample, SOLVED_ON).limits
    for one in streams(sample, sample.pieces.split()[1], "tried", TRIED_ON, drift.rows):
        drift.alarms(drift.evidence(one, limits))
    return perf_counter() - started


def main() -> None:
    """Run both kinds, print them, and write JSON if it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--references", type=int, default=50)
    parser.add_argument("--rows", type=int, default=20_000, help="behind each reference")
    parser.add_argument("--columns", type=int, default=3)
    parser.add_argument("--streams", type=int, default=SOLVED_ON, help="that are drawn for each reference")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = []
    for rho in (0.0, 0.5):
        kept = keep(rho, options.references, options.rows, options.columns, options.streams)
        found.append({**kept._asdict(), "per_budget": kept.per_budget})
        print(
            f"AR(1) {kept.rho}: {kept.alarms} false alarms in {kept.rows:,} rows behind {kept.references} references, "
            f"{kept.per_budget:.2f} of the budget; {kept.shipped} at the shipped limits",
            flush=True,
        )
    seconds = seconds_of_a_lane(20)
    print(f"a reference of {REFERENCE_ROWS:,} rows of 20 columns: {seconds:.1f} s")
    if options.json is not None:
        options.json.write_text(json.dumps({"kept": found, "seconds_of_20_columns": seconds}, indent=2))


if __name__ == "__main__":
    main()
