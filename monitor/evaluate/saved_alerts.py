"""Alerts as snapshots hold them, and back."""

from __future__ import annotations

from collections.abc import Sequence

from monitor.config.resolved import Rule
from monitor.errors import FormatError
from monitor.evaluate.lifecycle import AlertState, fingerprint
from monitor.evaluate.state import AlertValue, JudgedWindow, LabelledState
from monitor.events import Labelled, Observation, Verdict


def value_of(alert: AlertState, rule: int) -> AlertValue:
    """An alert of the rule at place `rule` as a snapshot holds it."""
    verdict, w = alert.verdict, alert.verdict.window
    return AlertValue(
        rule=rule,
        state=alert.state,
        pending_since=alert.pending_since,
        data_since=alert.data_since,
        last_violated=alert.last_violated,
        episode=alert.episode,
        labels=verdict.labels,
        stream=verdict.stream,
        column=verdict.column,
        value=verdict.value,
        op=verdict.op,
        threshold=verdict.threshold,
        threshold_source=verdict.threshold_source,
        reference_mean=verdict.reference_mean,
        violated=verdict.violated,
        window=None if w is None else _judged_window(w),
        named=alert.named,
        silenced_by=alert.silenced_by,
        inhibited_by=alert.inhibited_by,
        mutings=alert.mutings,
        struck=alert.struck,
        windows=alert.windows,
        recovery_threshold=verdict.recovery_threshold,
    )


def _judged_window(window: Observation) -> JudgedWindow:
    of = window.labelled
    labelled = None
    if of is not None:
        labelled = LabelledState(of.standing, of.predictions, of.labels, of.coverage, dict(of.intervals))
    return JudgedWindow(window.window, window.start, window.end, window.events, window.offsets, labelled)


def alert_of(value: AlertValue, rules: Sequence[Rule], model: str) -> AlertState:
    """The alert that a snapshot of a model holds; raises FormatError."""
    if value.rule >= len(rules):
        raise FormatError(f"not a snapshot: an alert of rule {value.rule}, of {len(rules)}")
    w = value.window
    window = None
    if w is not None:
        of = w.labelled
        labelled = None if of is None else Labelled(of.standing, of.predictions, of.labels, of.coverage, of.intervals)
        window = Observation(model, "", value.stream, w.window, w.start, w.end, w.events, w.offsets, {}, {}, labelled)
    verdict = Verdict(
        labels=value.labels,
        stream=value.stream,
        column=value.column,
        value=value.value,
        op=value.op,
        threshold=value.threshold,
        threshold_source=value.threshold_source,
        reference_mean=value.reference_mean,
        violated=value.violated,
        window=window,
        recovery_threshold=value.recovery_threshold,
    )
    return AlertState(
        fingerprint(value.labels),
        rules[value.rule],
        value.state,
        value.pending_since,
        value.data_since,
        value.last_violated,
        value.episode,
        verdict,
        value.named,
        value.silenced_by,
        value.inhibited_by,
        value.mutings,
        value.struck,
        windows=value.windows,
    )
