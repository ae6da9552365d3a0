"""What becomes of a command: its owner takes it, which copies it into the ledger, or refuses it with a reason.

    outcome    when                                            the ledger gets
    taken      it fits, and it is the first                    the decision that it becomes
    repeated   the model was given it before, or is about to   nothing
    refused    it is a command, and a rule below forbids it    a notice that names it, with the reason
    unusable   it is no command for this service               a notice of its kind, once; the others are counted

    command       refused if
    all           there is no such model; all but `rebuild` if it stands still, or has no data yet
    rebuild       the model runs, or is being rebuilt
    silence       it would be over already, or the model has 1,000 silences
    expire        the model has no such silence, or it is over
    acknowledge   the model has no such incident that is open
    accept        the model has no such stream or column, or no reference yet; the stretch is not judged yet;
                  another one is being made; it is about some columns, and the reference trails;
                  or it can't become a reference

Only the copy counts, by pane, when it is read back from the ledger. The rules are asked of the fold as it is by now; if
it has moved on by then, what a command asks for may have come by itself, and changes nothing.
"""

from __future__ import annotations

from collections import Counter

from monitor.evaluate.accepting import fault_of_accept
from monitor.evaluate.model import ModelFold
from monitor.evaluate.silences import MOST_SILENCES, span_of
from monitor.evaluate.task import EvaluateTask
from monitor.events import TopicPartition
from monitor.ledger.commands import LARGEST_MS, Accept, Acknowledge, Command, Expire, Rebuild, Silence, fault_of
from monitor.ledger.entries import Notice
from monitor.runner.commands import MOST_UNCERTAIN, Placed, Unusable
from monitor.runner.outbox import Outbox
from monitor.runner.stopped_models import StoppedModels
from monitor.telemetry import Log

_ON_THEIR_WAY = 4 * MOST_UNCERTAIN
"""Copies that are remembered until they are read back; fewer are ever on their way."""


class CommandDesk:
    """That of ledger partition `tp`. `still`: its models that stand still."""

    def __init__(self, tp: TopicPartition, outbox: Outbox, still: StoppedModels, log: Log) -> None:
        self.outcomes: Counter[str] = Counter()
        """How many commands ended how, from when this object was made."""
        self._tp = tp
        self._outbox = outbox
        self._still = still
        self._log = log
        self._copied: dict[str, None] = {}
        """Ids of the newest copies, read back or not."""
        self._noted: set[str] = set()
        """Reasons of records that are no commands, each with a notice."""

    def answer(self, found: Placed | Unusable, task: EvaluateTask) -> None:
        """Take or refuse what was read from `commands`. `task`: has read all that the ledger held at the start."""
        if isinstance(found, Unusable):
            self._pass_over(found, task)
            return
        command, keys = found.command, {"command": found.command.kind, "id": found.command.id, "place": found.place}
        why = fault_of(command)
        if not why and self._is_repeated(command, task):
            self.outcomes["repeated"] += 1
            self._log.info("command_repeated", model=command.model, **keys)
            return
        why = why or self._forbids(command, task)
        if why:
            self._refuse(command, why, task)
            self._log.warning("command_refused", model=command.model, why=why, **keys)
            return
        self.outcomes["taken"] += 1
        self._outbox.entries.append(command.decision)
        self._copied[command.id] = None
        while len(self._copied) > _ON_THEIR_WAY:
            self._copied.pop(next(iter(self._copied)))
        self._log.info("command_taken", model=command.model, author=command.author, **keys)

    def _is_repeated(self, command: Command, task: EvaluateTask) -> bool:
        stopped, fold = self._still.stopped.get(command.model), task.models.get(command.model)
        is_asked = stopped is not None and command.id in stopped.asked
        is_known = fold is not None and fold.known.has(command.id, command.time)
        return is_asked or is_known or command.id in self._copied

    def _forbids(self, command: Command, task: EvaluateTask) -> str:
        """Why a command is refused; empty if it is not."""
        if command.model in self._still.stopped:
            if not isinstance(command.request, Rebuild):
                return f"the model stands still; first run: streamdrift rebuild {command.model}"
            return "" if self._still.needs_rebuild(command.model) else "the model is being rebuilt"
        fold = task.models.get(command.model)
        if fold is None or not fold.decisions.newest:
            return "there is no such model"
        if isinstance(command.request, Rebuild):
            return "the model is not stopped"
        if fold.clock is None:
            return "the model has no data yet"
        if isinstance(command.request, Acknowledge):
            is_open = command.request.incident in fold.incidents.open
            return "" if is_open else f"the model has no open incident {command.request.incident}"
        if isinstance(command.request, Accept):
            return fault_of_accept(command.request, fold.lanes, fold.accepting, fold.judged_to or 0)
        return self._forbids_silence(command.request, fold, fold.clock)

    def _forbids_silence(self, request: Silence | Expire, fold: ModelFold, clock: int) -> str:
        if isinstance(request, Expire):
            is_coming = request.silence in self._copied and not fold.known.has(request.silence, LARGEST_MS)
            is_there = request.silence in fold.silences.ids or is_coming
            return "" if is_there else f"the model has no silence {request.silence} that is not over"
        if span_of(request, clock)[1] <= clock:
            return "it ends before the event time to which the model is judged"
        is_full = len(fold.silences.ids) >= MOST_SILENCES
        return f"the model has {MOST_SILENCES} silences that are not over" if is_full else ""

    # ------------------------------------------------------------------ notices

    def _refuse(self, command: Command, why: str, task: EvaluateTask) -> None:
        self.outcomes["refused"] += 1
        text = f"{command.kind} {command.id} of {command.author} for {command.model} is refused: {why}"
        fold = task.models.get(command.model)
        is_known = command.model in self._still.stopped or (fold is not None and fold.decisions.rules is not None)
        model = (("model", command.model),) if is_known else ()
        self._note((("command", command.id), *model), text, task)

    def _pass_over(self, found: Unusable, task: EvaluateTask) -> None:
        self.outcomes["unusable"] += 1
        self._log.warning("command_unusable", place=found.place, reason=found.reason, why=found.text)
        if found.reason not in self._noted:
            self._noted.add(found.reason)
            place = (("partition", str(self._tp.partition)), ("topic", found.place.rpartition("/")[0]))
            text = f"{found.place} is no command: {found.text}; others of that kind are only counted"
            self._note((place[0], ("reason", found.reason), place[1]), text, task)

    def _note(self, labels: tuple[tuple[str, str], ...], text: str, task: EvaluateTask) -> None:
        at = max((watermark.watermark for watermark in task.watermarks.values()), default=0)
        self._outbox.entries.append(Notice("", "CommandRefused", at, *self._tp, labels, text))
