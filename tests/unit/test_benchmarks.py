"""The benchmarks of speed go with the code that they measure."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet

from benchmarks import (
    concept_drift,
    drift_speed,
    init_roles,
    labels,
    null_categories,
    performance_intervals,
    rebuild,
    table_replay,
    tables,
)
from benchmarks.core_path import CoreRun, adwin_updates
from benchmarks.reference_spread import METRICS, Report, run
from benchmarks.traffic import make_traffic
from tests.unit.inference.tables import TABLES


def test_the_core_benchmark_folds_all_its_events_and_counts_what_adwin_is_fed_with() -> None:
    """A run that lost an event would raise; each event behind the reference is one update of each column's ADWIN."""
    traffic = make_traffic("features", columns=5, events=20_000)
    run = CoreRun(traffic)
    assert run.seconds.keys() == {"decode", "profile", "evaluate"}
    assert run.counts["alerts"] > 0
    # 5,000 rows are the reference, and what lies behind them in the pane of the last is not judged: a second's worth
    assert adwin_updates(traffic) == 5 * 14_000


def test_the_benchmark_of_tables_reads_every_format() -> None:
    """Each has a figure."""
    figures = tables.run(rows=500, columns=5, repeats=1)
    assert set(figures) == {"parquet", "orc", "csv", "events in JSON"}


def test_the_benchmark_of_replays_of_tables_has_a_rate_for_every_path_and_a_memory() -> None:
    """Rows that were lost would raise, and so would a replay that ends with an error."""
    figures = table_replay.rates(rows=7000, columns=3, repeats=1)
    assert set(figures) == {
        "profile + evaluate alone",
        "replay of parquet",
        "replay of csv",
        "replay of events in JSON",
    }
    peaks = table_replay.memory(columns=3, budget_mb=256, times=0.01)
    assert {form: rows for form, (_, _, rows) in peaks.items()} == {"parquet": 100_000, "csv": 100_000}
    assert all(size > 2 and peak > 20 for size, peak, _ in peaks.values())


def test_the_benchmark_of_concept_drift_finds_a_step_of_the_error() -> None:
    """A step of the error from 5 to 40 % is found within 100 labels, by the engine as by River alone."""
    rng = np.random.default_rng(5)
    wrong = rng.random(4000) < np.where(np.arange(4000) < 2500, 0.05, 0.4)
    assert concept_drift.moves(wrong.astype(float), 2500, 0)
    assert not concept_drift.moves(wrong[:2500].astype(float), 1200, 0)
    alerts = concept_drift.alerts_of(wrong.astype(np.int64), np.zeros(4000, dtype=np.int64))
    for name, clock in concept_drift.CLOCKS.items():
        (change,) = concept_drift.changes(wrong.astype(float), concept_drift.FIRST, clock)
        assert 2500 <= change < 2590
        assert alerts[name] == [change // concept_drift.PANE * concept_drift.PANE + concept_drift.PANE]


def test_the_benchmark_of_roles_compares_streams_that_are_there_and_names_the_others(tmp_path: Path) -> None:
    """A column with another role than the known one is wrong, with both."""
    known = init_roles.known_roles()
    assert len(known) == 22
    assert list(known["phishing"]) == [*(f"f{n}" for n in range(46) if n != 27), "f27", "y"]
    rows = {"f0": [0.5, 1.5, 3.5] * 40, "f1": [7, 8, 9] * 40, "f2": ["a", "b", "c"] * 40, "y": [0, 1, 0] * 40}
    pyarrow.parquet.write_table(pa.table(rows), tmp_path / "sea.parquet")
    compared, absent = init_roles.run(tmp_path)
    assert set(absent) == known.keys() - {"sea"}
    assert [one.table for one in compared] == ["sea", *(table.name for table in TABLES)]
    assert (compared[0].right, compared[0].wrong) == (3, {"f2": ("categorical", "numerical")})


def test_the_benchmark_of_a_rebuild_folds_all_panes_of_its_model_again() -> None:
    """Beside another model, which goes on."""
    cost = rebuild.measure(models=2, columns=2, panes=70)
    assert cost.panes >= 70
    assert cost.slices > 0


def test_the_benchmark_of_the_spread_writes_the_shares_of_every_pair_of_sizes(tmp_path: Path) -> None:
    """Shares of windows above the threshold, of all kinds, and a time for each metric."""
    file = tmp_path / "spread.json"
    run(references="300", windows="64,128", repeats=2, samples=3, columns=3, seed=1, json=file)
    report = msgspec.json.decode(file.read_bytes(), type=Report)
    assert [(pair.reference, pair.window) for pair in report.pairs] == [(300, 64), (300, 128)]
    for pair in report.pairs:
        for shares in (pair.null, pair.shifted, pair.dependent, pair.few):
            assert set(shares) == set(METRICS)
            assert all(0 <= share <= 1 for share in shares.values())
    assert [timing.metric for timing in report.timings] == list(METRICS)


def test_columns_of_many_categories_do_not_drift_by_themselves() -> None:
    """The benchmark's rules in a few streams: psi > 0.25 in 1 % of the windows at most, three deviations in 5 %."""
    sizes = [(50, 300), (300, 300), (1000, 300)]
    found = list(null_categories.all_shares([30, 2000], sizes, repeats=3, samples=20, seed=2))
    assert [one.judged for one in found if one.reference == 50] == [0] * 4
    assert all(one.judged for one in found if one.reference == 1000)
    mean = null_categories.mean_of(found)
    assert mean.folklore <= 0.01
    assert mean.above["psi"] <= 0.05
    assert mean.above["new_category_rate"] <= 0.05


def test_intervals_of_performance_hold_the_truth(tmp_path: Path) -> None:
    """In a few windows of the benchmark's models: each holds it in 85 % of them at least."""
    file = tmp_path / "intervals.json"
    performance_intervals.run(windows=100, labels=1000, rows=200_000, confidence=0.95, seed=1, json=file)
    report = msgspec.json.decode(file.read_bytes(), type=performance_intervals.Report)
    held = {(one.model, one.metric): one.held for one in report.coverages}
    assert {metric for _, metric in held} >= {"accuracy", "f1", "roc_auc", "log_loss", "mae", "bias", "mape"}
    assert min(held.values()) >= 0.85, held


def test_the_benchmark_of_labels_joins_and_restores_all_of_them() -> None:
    """A label that was lost would end it."""
    size = labels.measure(pending=40_000, rows=2000, burst=5000)
    assert (size.pending, size.burst, size.pieces) == (40_000, 5000, 4)
    prediction, label = labels.keyed_bytes()
    assert 12 < prediction <= 16
    assert 8 < label <= 16


def test_the_benchmark_of_the_core_has_a_time_of_each_part_and_a_small_state() -> None:
    """A whole group of columns has the most pairs; once all windows are full, its state is 8 kB a column at most."""
    speed = drift_speed.measure(columns=50, rows=2000, panes=2, repeats=1)
    assert list(speed.micros) == [
        drift_speed.COUNTS,
        drift_speed.TRACE,
        drift_speed.BARE_COUNTS,
        drift_speed.BARE_TRACE,
    ]
    assert speed.micros[drift_speed.COUNTS] > 0
    assert 4_000 < speed.state_bytes <= 8_000
    (header, *lines) = drift_speed.table([speed])
    assert header.split()[-1] == "50"
    assert len(lines) == 5
