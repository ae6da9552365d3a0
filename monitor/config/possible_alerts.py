"""The labels that the alerts of a model can have, by its rules, columns, streams and detectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from monitor.config.comparison import Comparison
from monitor.config.inputs import lanes_of, series_of
from monitor.config.metrics import DRIFT, METRICS, QUANTILES, SILENCE
from monitor.config.model import AlertsFile
from monitor.config.resolve import detector_labels, rules_of
from monitor.contract import ModelContract

Labels = Mapping[str, str]


class PossibleAlerts(NamedTuple):
    """Those of one rule. `fixed`: labels that all of them have. `own`: of each those that only it has, and `stream`."""

    fixed: Labels
    own: tuple[Labels, ...]


def possible_alerts(file: AlertsFile, contract: ModelContract) -> Iterator[PossibleAlerts]:
    """Yield the alerts that a model can have, by rule. All expressions can be parsed.

    One on `drift` is there once without a column, and once for each that it may name.
    """
    for rule in rules_of(contract.model, file):
        comparison = rule.comparison
        fixed = {**rule.labels, "alertname": rule.alert, "metric": comparison.metric, "model": contract.model}
        own = [one for one in _own(comparison, file, contract) if comparison.matches(one)]
        if comparison.metric == DRIFT:
            named = {one["stream"] for one in own}
            own += [column for column in _columns(contract) if column["stream"] in named]
        yield PossibleAlerts(fixed, tuple(own))


def _own(comparison: Comparison, file: AlertsFile, contract: ModelContract) -> Iterator[dict[str, str]]:
    metric = METRICS[comparison.metric]
    if metric.subject == "stream":
        streams = contract.streams if metric.name == SILENCE else lanes_of(contract)
        yield from ({"stream": str(one.stream)} for one in streams)
    elif metric.subject == "performance":
        yield from ({"stream": "performance", "average": one} for one in comparison.averages or ("",))
    elif metric.subject == "detector":
        yield from detector_labels(file.detectors, contract)
    elif metric.name == "quantile":
        yield from ({**column, "quantile": one} for column in _columns(contract) for one in QUANTILES)
    else:
        yield from _columns(contract)


def _columns(contract: ModelContract) -> Iterator[dict[str, str]]:
    yield from ({"column": one.name, "stream": str(one.stream)} for one in series_of(contract))
