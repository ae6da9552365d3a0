"""The fold of one ledger partition: all its models, the watermarks of their inputs, and the order of its outputs.

Every producer's records carry a sequence number without gaps: a repeat is skipped, a gap is a divergence.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from monitor.errors import StateDivergence
from monitor.evaluate.alerts import Place
from monitor.evaluate.messages import Message
from monitor.evaluate.model import ModelFold, Output
from monitor.evaluate.notices import Notices, notice_message
from monitor.events import TopicPartition
from monitor.panes.ledger import Activation, Change, Entry, Heartbeat, Notice, Watermark


class EvaluateTask:
    """One ledger partition. `recorded`: activations of a captured log (see ModelFold)."""

    def __init__(self, place: Place, recorded: Iterable[Activation] = ()) -> None:
        self._place = place
        self._recorded = tuple(recorded)
        self._models: dict[str, ModelFold] = {}
        self._watermarks: dict[TopicPartition, Watermark] = {}
        self._sequences: dict[str, int] = {}
        self._digests: dict[str, hashlib._Hash] = {}
        self._activations: list[str] = []
        self._notices = Notices()
        for activation in self._recorded:
            self.model(activation.change.model)

    @property
    def models(self) -> Mapping[str, ModelFold]:
        return self._models

    @property
    def watermarks(self) -> Mapping[TopicPartition, Watermark]:
        """The newest watermark of each input partition."""
        return self._watermarks

    def model(self, name: str) -> ModelFold:
        """The fold of a model, begun where it is not there yet."""
        if name not in self._models:
            self._models[name] = ModelFold(name, self._place, self._recorded)
        return self._models[name]

    def is_repeat(self, writer: str, sequence: int) -> bool:
        """Whether a record of a writer was there before; raises StateDivergence where one is missing."""
        expected = self._sequences.get(writer, 0)
        if sequence > expected:
            raise StateDivergence(
                f"the ledger lacks records of {writer}: number {expected} was to come, {sequence} came"
            )
        if sequence == expected:
            self._sequences[writer] = expected + 1
        return sequence < expected

    def read(self, entry: Entry) -> list[Output]:
        """One ledger record. Panes are folded by `advance`."""
        if isinstance(entry, Watermark):
            self._watermarks[TopicPartition(entry.topic, entry.partition)] = entry
            return []
        if isinstance(entry, Heartbeat):
            return []  # its effect is in the watermarks; it is here for capture
        if isinstance(entry, Notice) and not entry.model:
            self._notices.hold(entry)
            return self._said("", [notice_message(notice, self._place) for notice in self._notices.due(entry.at)])
        fold = self.model(entry.model)
        # a change counts from the first pane that could not be folded before it, however the ledger was polled
        before = list(fold.advance(self._watermarks)) if isinstance(entry, Change | Notice) else []
        return self._said(entry.model, [*before, *fold.read(entry)])

    def advance(self) -> list[Output]:
        """Fold what is sealed everywhere, model by model."""
        outputs: list[Output] = []
        for name in sorted(self._models):
            outputs += self._said(name, list(self._models[name].advance(self._watermarks)))
        return outputs

    def _said(self, model: str, outputs: list[Output]) -> list[Output]:
        digest = self._digests.setdefault(model, hashlib.sha256())
        for output in outputs:
            if isinstance(output, Message):
                digest.update(output.value)
            else:
                change = output.change
                self._activations.append(f"{model}/{change.kind}/{change.stream}/{change.digest}/{output.pane}")
        return outputs

    def outputs_digest(self) -> str:
        """Digest of each model's outputs so far: a restored task must reach it again.

        Messages count in order. Activations don't: whether one stream's grid is made before or after a pane of the
        other is folded depends on how the ledger was polled.
        """
        parts = [f"{model}:{self._digests[model].hexdigest()}" for model in sorted(self._digests)]
        return hashlib.sha256("\n".join([*parts, *sorted(self._activations)]).encode()).hexdigest()[:32]
