"""The rules that every model has, whatever its alerts.yaml: silence is not health, and neither is blindness."""

from __future__ import annotations

from typing import Literal

from monitor.config.expression import parse
from monitor.config.resolved import Rule, WindowSpec

GROUP = "streamdrift"
"""The group of these rules; alerts.yaml may have none of that name."""
NO_DATA, DETECTOR_BLIND = "NoData", "DetectorBlind"
RESERVED = (NO_DATA, DETECTOR_BLIND)
"""Names of alerts that alerts.yaml may not use."""


def built_in_rules(no_data: int | Literal["off"], window: WindowSpec) -> tuple[Rule, ...]:
    """Return the rules of a model. `no_data`: longest silence of a stream, ms of event time. `window`: the model's."""
    blind = "{{ labels.model }}: {{ labels.detector }} can't see changes of {{ labels.column }} any more"
    silent = "{{ labels.model }}: nothing on {{ labels.stream }} for {{ value }} s"
    vanished = "{{ labels.model }}: {{ labels.column }} has no usable value ({{ events }} events)"
    always = _rule(DETECTOR_BLIND, "detector_blind > 0", window, blind)
    if no_data == "off":
        return (always,)
    return (
        always,
        _rule(NO_DATA, f"seconds_since_last_event > {no_data / 1000:.15g}", window, silent),
        _rule(NO_DATA, "vanished > 0", window, vanished),
    )


def _rule(alert: str, expr: str, window: WindowSpec, summary: str) -> Rule:
    return Rule(
        group=GROUP,
        alert=alert,
        comparison=parse(expr),
        window=window,
        for_ms=0,
        keep_firing_for_ms=0,
        min_events=0,
        labels={"severity": "warning"},
        annotations={"summary": summary},
    )
