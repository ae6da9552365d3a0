"""The benchmarks of speed go with the code that they measure."""

from __future__ import annotations

from benchmarks.core_path import CoreRun, adwin_updates
from benchmarks.traffic import make_traffic


def test_the_core_benchmark_folds_all_its_events_and_counts_what_adwin_is_fed_with() -> None:
    """A run that lost an event would raise; each event is one update of each column's ADWIN."""
    traffic = make_traffic("features", columns=5, events=20_000)
    run = CoreRun(traffic)
    assert run.seconds.keys() == {"decode", "profile", "evaluate"}
    assert run.counts["alerts"] > 0
    assert adwin_updates(traffic) == 5 * 20_000
