"""What rules can select in a model: its streams, their series, the detectors on these, and its performance."""

from __future__ import annotations

from monitor.config.inputs import InputRefused, lanes_of, resolve_inputs, series_of
from monitor.config.metrics import METRICS, SILENCE
from monitor.config.resolved import ModelRules
from monitor.contract import ModelContract
from monitor.events import Verdict


class Subjects:
    """Those of a model by its rules and contract."""

    def __init__(self, rules: ModelRules, contract: ModelContract) -> None:
        self._heard = {stream.stream for stream in contract.streams}
        self._lanes = {stream.stream for stream in lanes_of(contract)}
        self._has_performance = rules.performance is not None
        self._kinds = {(s.stream, s.name): "numeric" if s.numeric else "categorical" for s in series_of(contract)}
        self._detectors = set[tuple[str, str, str]]()
        for spec in rules.detectors:
            try:
                inputs = resolve_inputs(spec, contract)
            except InputRefused:
                continue
            self._detectors |= {(spec.name, one.stream, one.column) for one in inputs}

    def has(self, verdict: Verdict) -> bool:
        """Return true if what a verdict is about is there, with that metric."""
        labels = dict(verdict.labels)
        metric = METRICS[labels["metric"]]
        if metric.subject == "performance":
            return self._has_performance
        if metric.subject == "stream":
            return verdict.stream in (self._heard if metric.name == SILENCE else self._lanes)
        if verdict.column is None:
            return False
        if metric.subject == "detector":
            return (labels["detector"], verdict.stream, verdict.column) in self._detectors
        return self._kinds.get((verdict.stream, verdict.column)) in metric.kinds
