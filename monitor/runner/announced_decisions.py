"""The decisions that a process has announced in a ledger partition: each is written once, though it counts later.

A decision counts when it is read back from the ledger. Until then only what was announced shows what the ledger will
hold, so that nothing is written twice and a model that is to go is taken for gone. What was read back stays here.
"""

from __future__ import annotations

from collections.abc import Iterable

from monitor.evaluate.task import EvaluateTask
from monitor.events import TopicPartition
from monitor.ledger.entries import Decision, DecisionKey
from monitor.runner.announce import refusal
from monitor.runner.outbox import Outbox
from monitor.telemetry import Log

_GONE: DecisionKey = ("gone", "", "")


class AnnouncedDecisions:
    """Those of ledger partition `tp` since its task began, by model and key: the digest of the newest."""

    def __init__(self, tp: TopicPartition, outbox: Outbox, log: Log) -> None:
        self._tp = tp
        self._outbox = outbox
        self._log = log
        self._digests: dict[tuple[str, DecisionKey], str] = {}

    def announce(self, decisions: Iterable[Decision]) -> None:
        """Write decisions into the ledger; they count from where they are read back."""
        for decision in decisions:
            self._outbox.entries.append(decision)
            ends = (decision.model, _GONE)
            self._digests = {
                key: digest
                for key, digest in self._digests.items()
                if key[0] != decision.model or (decision.kind != "gone" and key != ends)
            }
            self._digests[decision.model, decision.key] = decision.digest
            self._log.info("decision_announced", model=decision.model, kind=decision.kind, digest=decision.digest)

    def refuse(self, task: EvaluateTask, model: str, why: str) -> None:
        """Report that a model is not taken as alerts.yaml has it."""
        at = max((watermark.watermark for watermark in task.watermarks.values()), default=0)
        self._outbox.entries.append(refusal(model, why, self._tp, at))
        self._log.error(
            "model_refused", model=model, why=why, remedy="mend alerts.yaml or what it names, and send SIGHUP"
        )

    def has_any(self, model: str) -> bool:
        """Return true if anything was announced of a model."""
        return any(name == model for name, _ in self._digests)

    def is_leaving(self, task: EvaluateTask, model: str) -> bool:
        """Return true if the model is gone, or is to go by an entry on its way, and nothing brings it back."""
        is_gone = model in task.models and task.models[model].is_gone
        return (model, _GONE) in self._digests or (is_gone and not self.has_any(model))

    def is_news(self, task: EvaluateTask, decision: Decision) -> bool:
        """Return true if a decision is to be written: it is neither there nor on its way, or its model is back."""
        if self.is_leaving(task, decision.model):
            return True
        announced = self._digests.get((decision.model, decision.key))
        if announced is not None:
            return announced != decision.digest
        fold = task.models.get(decision.model)
        return fold is None or fold.decisions.is_new(fold.decisions.of_this_life(decision))
