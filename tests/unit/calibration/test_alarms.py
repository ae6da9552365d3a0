"""Alarms are counted as alerts live."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monitor.calibration.alarms import Judged, Waits, peaks
from monitor.config.expression import parse
from monitor.config.resolved import Rule, WindowSpec
from monitor.evaluate.lifecycle import AlertState, advance
from monitor.events import Verdict


def a_rule(waits: Waits) -> Rule:
    return Rule(
        group="g",
        alert="A",
        comparison=parse("drift > 1"),
        window=WindowSpec(events=500),
        for_ms=waits.for_ms,
        keep_firing_for_ms=waits.keep_firing_for_ms,
        for_windows=waits.for_windows,
        min_events=0,
        labels={},
        annotations={},
    )


def begins(judged: Judged, level: float, rule: Rule, recovery: float | None) -> int:
    """How often the alert of one series begins to fire, by its life."""
    alert: AlertState | None = None
    for at, value in zip(judged.time.tolist(), judged.value.tolist(), strict=True):
        verdict = Verdict((), "features", None, value, ">", level, "calibrated", None, value > level, None, recovery)
        alert, _ = advance(alert, at, rule, verdict)
    return 0 if alert is None else alert.episode


@given(
    st.lists(st.tuples(st.integers(1, 4), st.sampled_from([0.0, 0.9, 2.0])), max_size=60),
    st.sampled_from([0, 10, 30]),
    st.sampled_from([0, 10, 20, 50]),
    st.sampled_from([1, 1, 2, 3]),
    st.sampled_from([None, 0.5, 3.0]),
)
def test_an_alarm_begins_when_an_alert_does(
    steps: list[tuple[int, float]], for_ms: int, keep_ms: int, windows: int, recovery: float | None
) -> None:
    """Compared with the table of an alert's life, whatever it waits for and the gaps between judgements."""
    time = np.cumsum([10 * step for step, _ in steps], dtype=np.int64)
    value = np.array([value for _, value in steps])
    lasting = None if recovery is None else np.full(len(value), recovery)
    judged, waits = Judged(time, value, lasting), Waits(for_ms, keep_ms, windows)
    assert len(peaks(judged, 1.0, waits)) == begins(judged, 1.0, a_rule(waits), recovery)


def test_a_peak_is_the_largest_value_of_an_alarm() -> None:
    judged = Judged(np.arange(6) * 10, np.array([2.0, 3.0, 0.0, 4.0, 0.0, 5.0]))
    assert peaks(judged, 1.0, Waits(0, 0)) == [3.0, 4.0, 5.0]
    assert peaks(judged, 1.0, Waits(0, 30)) == [5.0]
