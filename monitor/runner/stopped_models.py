"""The models of one ledger partition that stand still, and those of them that are folded again because somebody asked.

A restart goes by the models' records: until a rebuilt model has a snapshot, its record says that it is stopped, with
the decision by which it is rebuilt. So a rebuild that a crash has interrupted begins once more, and publishes nothing
twice; but only `MOST_TRIES` times, because it may be the rebuild that ends the process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from monitor.bus.port import Bus
from monitor.errors import FormatError, RecordsLost
from monitor.evaluate.alerts import Place
from monitor.evaluate.task import EvaluateTask
from monitor.events import TopicPartition
from monitor.ledger.commands import id_of
from monitor.ledger.entries import Decision
from monitor.ledger.position_records import Stopped
from monitor.runner.activations import Activations
from monitor.runner.ledger_commits import LedgerCommits
from monitor.runner.outbox import Outbox
from monitor.runner.present_outputs import Numbers
from monitor.runner.rebuild import Rebuild
from monitor.telemetry import Log

MOST_ASKED = 100
"""Commands to rebuild a stopped model that are remembered: they may be read again after a restart."""
MOST_TRIES = 5
"""A rebuild that the end of the process has interrupted that often is given up; it may be asked for again."""
TENTHS = 10


class Progress(NamedTuple):
    """How far a rebuild is: offsets of the ledger partition."""

    position: int
    end: int


class StoppedModels:
    """Those of ledger partition `tp`, by name: why they stand still, and what they had published by then."""

    def __init__(
        self,
        bus: Bus,
        tp: TopicPartition,
        place: Place,
        activations: Activations,
        outbox: Outbox,
        commits: LedgerCommits,
        log: Log,
    ) -> None:
        self.stopped: dict[str, Stopped] = {}
        self._bus = bus
        self._tp = tp
        self._place = place
        self._activations = activations
        self._outbox = outbox
        self._commits = commits
        self._log = log
        self._asked: list[str] = []
        """Models whose rebuild begins when their records say so."""
        self._rebuilds: dict[str, Rebuild] = {}
        self._tenths: dict[str, int] = {}

    @property
    def is_rebuilding(self) -> bool:
        """True while a model is folded again."""
        return bool(self._rebuilds)

    def progress(self, position: int) -> Iterator[tuple[str, Progress]]:
        """How far each model is that is folded again. `position`: of the fold that runs."""
        for model, rebuild in sorted(self._rebuilds.items()):
            yield model, Progress(rebuild.position, position)

    def go_on_behind(self, there: Mapping[str, Numbers]) -> None:
        """Go on behind what another release has published of each model: it is known by ids, and not by numbers."""
        for model, numbers in there.items():
            stopped = self.stopped[model]
            behind = {place: max(number, stopped.numbers.get(place, 0)) for place, number in numbers.items()}
            self.stopped[model] = msgspec.structs.replace(stopped, numbers={**stopped.numbers, **behind})
            self._commits.moved.add(model)

    # ------------------------------------------------------------------ asked for

    def needs_rebuild(self, model: str) -> bool:
        """Return true if a model stands still, and nobody has asked for its rebuild."""
        return model in self.stopped and not self.stopped[model].rebuild

    def obey(self, decision: Decision) -> None:
        """The decision to rebuild a model has come in the ledger; it counts unless the model is being rebuilt."""
        stopped = self.stopped.get(decision.model)
        if stopped is None:
            return
        asked = (*stopped.asked, id_of(decision.digest))[-MOST_ASKED:]
        self.stopped[decision.model] = msgspec.structs.replace(stopped, asked=asked)
        self._commits.moved.add(decision.model)
        if self.needs_rebuild(decision.model):
            self._begin_soon(decision.model, decision.digest)

    def resume(self) -> None:
        """Begin the rebuilds once more that a restart has interrupted."""
        for model, stopped in sorted(self.stopped.items()):
            if stopped.rebuild and stopped.tries >= MOST_TRIES:
                self._give_up(model, f"its rebuild was interrupted {MOST_TRIES} times by the end of the process")
            elif stopped.rebuild:
                self._begin_soon(model, stopped.rebuild)

    def _begin_soon(self, model: str, digest: str) -> None:
        stopped = self.stopped[model]
        self.stopped[model] = msgspec.structs.replace(stopped, rebuild=digest, tries=stopped.tries + 1)
        self._commits.moved.add(model)
        self._asked.append(model)

    def confirm(self) -> None:
        """The records are committed: the rebuilds that they name may begin."""
        asked, self._asked = self._asked, []
        for model in asked:
            self._begin(model)

    def _begin(self, model: str) -> None:
        self._activations.read()
        stopped = self.stopped[model]
        mine = [activation for activation in self._activations.all if activation.decision.model == model]
        again = self._outbox.begin_again(model, stopped.numbers)
        rebuild = Rebuild(self._bus, self._tp, model, self._place, mine, stopped.position, again)
        self._rebuilds[model] = rebuild
        self._log.info("model_rebuild_begun", model=model, offset=rebuild.position, attempt=stopped.tries)

    # ------------------------------------------------------------------ folded again

    def go_on(self, task: EvaluateTask, position: int, is_over: Callable[[], bool]) -> bool:
        """Fold a slice of the rebuilds, one after the other; return true if a model runs again.

        `task`: the one that runs, which has folded the ledger up to `position`. `is_over`: asked after each step.
        """
        has_ended = False
        for model, rebuild in list(self._rebuilds.items()):
            try:
                is_there = rebuild.go_on(position, is_over)
            except (FormatError, RecordsLost) as error:
                self._give_up(model, f"its rebuild failed: {error}")
                continue
            if not is_there:
                self._report(model, rebuild, position)
                break
            self._adopt(task, model, position)
            has_ended = True
        return has_ended

    def _report(self, model: str, rebuild: Rebuild, position: int) -> None:
        tenth = TENTHS * rebuild.position // max(1, position)
        if tenth > self._tenths.get(model, 0):
            self._tenths[model] = tenth
            self._log.info(
                "model_rebuilding", model=model, offset=rebuild.position, of=position, panes=rebuild.fold.folded
            )

    def _adopt(self, task: EvaluateTask, model: str, position: int) -> None:
        """The rebuilt model takes the place of the one that stands still."""
        rebuild, stopped = self._rebuilds.pop(model), self.stopped.pop(model)
        self._tenths.pop(model, None)
        self._commits.take_rebuilt(model, stopped, position)
        task.adopt(rebuild.fold, model, rebuild.digest)
        self._activations.read()
        self._outbox.publish_again(model, stopped.numbers, rebuild.again, self._activations.newest)
        self._log.info(
            "model_rebuilt", model=model, offset=position, panes=rebuild.fold.folded, messages=len(rebuild.again.after)
        )

    def _give_up(self, model: str, why: str) -> None:
        self._rebuilds.pop(model, None)
        self._tenths.pop(model, None)
        self.stopped[model] = msgspec.structs.replace(self.stopped[model], why=why, rebuild="", tries=0)
        self._commits.moved.add(model)
        self._log.error("model_rebuild_failed", model=model, why=why)
