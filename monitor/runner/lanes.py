"""What a stage logs of lanes: changes of state, tenths of reference rows, panes left out, what is never judged."""

from __future__ import annotations

from collections.abc import Iterable

from monitor.evaluate.coverage import LASTING, Reason
from monitor.evaluate.lane import State
from monitor.evaluate.model import ModelFold
from monitor.events import StreamName
from monitor.telemetry import Log

_PAST: dict[State, str] = {"waiting": "lane_waits", "reference": "lane_has_reference", "judged": "lane_judged"}
_OF_RULES: dict[Reason, str] = {
    "few_reference_rows": "rule_never_judged",
    "no_moments": "rule_never_judged",
    "unreachable": "threshold_never_reached",
}
"""What is logged once a rule, with all of its columns, and not once a column."""


class LaneLog:
    """Remembers how each lane stood when it was last looked at."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._folded: dict[str, int] = {}
        self._known: dict[tuple[str, str, str], tuple[State, int]] = {}
        self._left_out: dict[tuple[str, str, str], int] = {}

    def look(self, models: Iterable[ModelFold]) -> None:
        """Log what has changed since the last call, of models that have folded a pane since."""
        for model in models:
            if self._folded.get(model.model, 0) != model.folded:
                self._folded[model.model] = model.folded
                self._look_at(model)

    def _tell_never(self, model: ModelFold, stream: StreamName) -> None:
        """Log what the reference, or its grid, is the reason of: whatever comes, these rules will say nothing."""
        of_columns: dict[tuple[str, str], list[str]] = {}
        of_rules: dict[tuple[str, str, str], list[str]] = {}
        for rule in model.coverage():
            for one in (*rule.never, *rule.unreachable):
                if one.stream != stream:
                    continue
                if one.reason in _OF_RULES:
                    columns = of_rules.setdefault((_OF_RULES[one.reason], rule.rule.alert, one.why), [])
                    columns += [] if one.column is None else [one.column]
                elif one.reason in LASTING and one.column is not None:
                    of_columns.setdefault((one.column, one.why), []).append(rule.rule.alert)
        keys = {"model": model.model, "stream": stream}
        for (column, why), alerts in of_columns.items():
            self._log.warning("column_never_judged", **keys, column=column, alerts=alerts, why=why)
        for (event, alert, why), columns in of_rules.items():
            self._log.warning(event, **keys, alert=alert, columns=columns, why=why)

    def _look_at(self, model: ModelFold) -> None:
        for lane in model.standings:
            name = (lane.model, lane.stream, lane.segment)
            if self._known.get(name) != (lane.state, lane.tenths):
                self._known[name] = (lane.state, lane.tenths)
                self._log.info(_PAST[lane.state], model=lane.model, lane=lane.text)
                if lane.state == "judged":
                    self._tell_never(model, lane.stream)
            if lane.left_out > self._left_out.get(name, 0):
                self._left_out[name] = lane.left_out
                self._log.warning("panes_on_two_contracts", model=lane.model, stream=lane.stream, panes=lane.left_out)
