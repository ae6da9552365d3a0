"""The rules that every model has, whatever its alerts.yaml: silence is not health, and neither is blindness.

How long a stream may be silent follows from its own rhythm unless `no_data` says it: GAPS times the longest gap between
rows that follow each other in its reference, or so far while it waits for that, and an hour at least.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from math import isnan
from typing import Literal

from monitor.codec.durations import duration_text
from monitor.config.comparison import Comparison
from monitor.config.expression import parse
from monitor.config.metrics import SILENCE
from monitor.config.resolved import PerformanceSpec, Rule, WindowSpec
from monitor.events import StreamName

GROUP = "streamdrift"
"""The group of these rules; alerts.yaml may have none of that name."""
NO_DATA, DETECTOR_BLIND = "NoData", "DetectorBlind"
RESERVED = (NO_DATA, DETECTOR_BLIND)
"""Names of alerts that alerts.yaml may not use."""
_OF_ROWS, _OF_LABELS = '{stream=~"features|predictions"}', '{stream="labels"}'
GAPS = 3
LEAST_SILENCE_MS = 3_600_000
USUAL_SILENCE = f"{GAPS} * longest gap of the reference, at least {duration_text(LEAST_SILENCE_MS)}"
"""How long a stream may be silent without `no_data`, as messages and commands say it."""


def usual_silence_ms(longest_gap_ms: int | None) -> int:
    """Return how long a stream may be silent without `no_data`. `longest_gap_ms`: None if it is not known."""
    return max(LEAST_SILENCE_MS, GAPS * (longest_gap_ms or 0))


def built_in_rules(
    no_data: int | Literal["off"] | None, window: WindowSpec, performance: PerformanceSpec | None
) -> tuple[Rule, ...]:
    """Return the rules of a model.

    `no_data`: longest silence of a stream, ms of event time; None: the usual one. `window`: the model's. `performance`:
    of a model with labels; these have a limit of their own, or none, and outcomes, which come as late, have none.
    """
    blind = "{{ labels.model }}: {{ labels.detector }} can't see changes of {{ labels.column }} any more"
    silent = "{{ labels.model }}: nothing on {{ labels.stream }} for {{ value }} s (limit: {{ threshold }} s)"
    vanished = "{{ labels.model }}: {{ labels.column }} has no usable value ({{ events }} events)"
    always = _rule(DETECTOR_BLIND, parse("detector_blind > 0"), window, blind)
    own = "" if performance is None else _OF_ROWS
    rules = [always]
    if no_data != "off":
        rules.append(_rule(NO_DATA, _silence(no_data, own), window, silent))
        rules.append(_rule(NO_DATA, parse(f"vanished{own} > 0"), window, vanished))
    if performance is not None and performance.no_data_ms is not None:
        rules.append(_rule(NO_DATA, _silence(performance.no_data_ms, _OF_LABELS), window, silent))
    return tuple(rules)


def silence_text(rules: Iterable[Rule], stream: StreamName) -> str:
    """Return how long a stream may be silent under the rules of a model, as commands say it."""
    found = (rule.comparison for rule in rules if rule.alert == NO_DATA and rule.comparison.metric == SILENCE)
    comparison = next((one for one in found if one.matches({"stream": stream})), None)
    if comparison is None:
        return "off"
    seconds = comparison.threshold(None, None)
    return f"after {USUAL_SILENCE if isnan(seconds) else duration_text(round(seconds * 1000))}"


def _silence(no_data: int | None, selected: str) -> Comparison:
    if no_data is None:
        return replace(parse(f"{SILENCE}{selected} > 0"), right="usual_silence", source=USUAL_SILENCE)
    return parse(f"{SILENCE}{selected} > {no_data / 1000:.15g}")


def _rule(alert: str, comparison: Comparison, window: WindowSpec, summary: str) -> Rule:
    return Rule(
        group=GROUP,
        alert=alert,
        comparison=comparison,
        window=window,
        for_ms=0,
        keep_firing_for_ms=0,
        min_events=0,
        labels={"severity": "warning"},
        annotations={"summary": summary},
    )
