"""What a stage logs of lanes: changes of state, tenths of reference rows, panes left out, columns never judged."""

from __future__ import annotations

from collections.abc import Iterable

from monitor.evaluate.lane import State
from monitor.evaluate.model import ModelFold
from monitor.events import StreamName
from monitor.telemetry import Log

_PAST: dict[State, str] = {"waiting": "lane_waits", "reference": "lane_has_reference", "judged": "lane_judged"}


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

    def _tell_blank(self, model: ModelFold, stream: StreamName) -> None:
        """Log which columns have no usable value in the reference: no rule on their values will ever judge them."""
        never = (missed for rule in model.coverage() for missed in rule.never if missed.stream == stream)
        for missed in {missed.column: missed for missed in never if missed.reason == "no_reference_values"}.values():
            keys = {"model": model.model, "stream": stream, "column": missed.column}
            self._log.warning("column_never_judged", **keys, why=missed.why)

    def _look_at(self, model: ModelFold) -> None:
        for lane in model.standings:
            name = (lane.model, lane.stream, lane.segment)
            if self._known.get(name) != (lane.state, lane.tenths):
                self._known[name] = (lane.state, lane.tenths)
                self._log.info(_PAST[lane.state], model=lane.model, lane=lane.text)
                if lane.state == "judged":
                    self._tell_blank(model, lane.stream)
            if lane.left_out > self._left_out.get(name, 0):
                self._left_out[name] = lane.left_out
                self._log.warning("panes_on_two_contracts", model=lane.model, stream=lane.stream, panes=lane.left_out)
