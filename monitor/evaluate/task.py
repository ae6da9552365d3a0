"""The fold of one ledger partition: all its models, the watermarks of their inputs, and the order of its outputs.

Every producer's records carry a sequence number without gaps: a repeat is skipped, a gap is a divergence.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from monitor.codec.snapshot import digest_of_part, remedy
from monitor.errors import FormatError, StateDivergence
from monitor.evaluate.alerts import Place
from monitor.evaluate.model import ModelFold, Output
from monitor.evaluate.notices import Notices, notice_message
from monitor.evaluate.said import Said
from monitor.evaluate.snapshots import decode_shared, encode_model, encode_shared, restore_model
from monitor.evaluate.state import ModelEntry, SharedState
from monitor.events import TopicPartition
from monitor.ledger.entries import (
    Activation,
    Command,
    ContractSwitch,
    Decision,
    Entry,
    Heartbeat,
    Notice,
    Watermark,
)
from monitor.panes.pane import Pane, RawPane

SHARED = ""
"""Under this name stands the part of a snapshot that belongs to no model."""


class EvaluateTask:
    """One ledger partition. `recorded`: activations of a captured log (see ModelFold)."""

    def __init__(self, place: Place, recorded: Iterable[Activation] = ()) -> None:
        self._place = place
        self._recorded = tuple(recorded)
        self._models: dict[str, ModelFold] = {}
        self._stopped: set[str] = set()
        self._broken: dict[str, str] = {}
        self.begun_anew: dict[str, frozenset[str]] = {}
        """Models of which detectors began anew at the restore, and River's classes of those."""
        self._watermarks: dict[TopicPartition, Watermark] = {}
        self._sequences: dict[str, int] = {}
        self._said: dict[str, Said] = {}
        self._notices = Notices()
        for activation in self._recorded:
            self.model(activation.decision.model)

    @property
    def models(self) -> Mapping[str, ModelFold]:
        return self._models

    @property
    def stopped(self) -> frozenset[str]:
        """Models whose state was lost: what the ledger says of them is passed over until they are rebuilt."""
        return frozenset(self._stopped)

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
            # after a torn commit a partition tells again what is below the last: it will come back to that
            known = self._watermarks.setdefault(TopicPartition(entry.topic, entry.partition), entry)
            is_newer = entry.watermark > known.watermark
            if is_newer or (entry.watermark == known.watermark and entry.held.keys() <= known.held.keys()):
                self._watermarks[TopicPartition(entry.topic, entry.partition)] = entry
            return []
        if isinstance(entry, Heartbeat | ContractSwitch | Command):
            return []  # their effect is elsewhere: heartbeats and switches are here for capture
        if isinstance(entry, Notice) and not entry.model:
            self._notices.hold(entry)
            return self._say("", [notice_message(notice, self._place) for notice in self._notices.due(entry.at)])
        if entry.model in self._stopped:
            return []
        fold = self.model(entry.model)
        # a decision counts from the first pane that could not be folded before it, however the ledger was polled
        before = fold.advance(self._watermarks) if isinstance(entry, Decision | Notice) else ()
        return self._guarded(entry.model, chain(before, _read(fold, entry)))

    def advance(self) -> list[Output]:
        """Fold what is sealed everywhere, model by model."""
        outputs: list[Output] = []
        for name in sorted(self._models):
            outputs += self._guarded(name, self._models[name].advance(self._watermarks))
        return outputs

    def _guarded(self, model: str, found: Iterable[Output]) -> list[Output]:
        """The outputs of one model; if an entry of its is damaged, those before that, and the model is stopped."""
        outputs: list[Output] = []
        try:
            outputs += found
        except FormatError as error:
            self.stop_for(model, str(error))
        return self._say(model, outputs)

    def stop_for(self, model: str, why: str) -> None:
        """Stop a model because an entry of its is damaged; `take_broken` gives the reason, once."""
        self.stop(model)
        self._broken[model] = why

    def take_broken(self) -> dict[str, str]:
        """Why models were stopped by a damaged entry since the last call."""
        broken, self._broken = self._broken, {}
        return broken

    def _say(self, model: str, outputs: list[Output]) -> list[Output]:
        said = self._said.setdefault(model, Said())
        for output in outputs:
            said.add(output)
        return outputs

    @property
    def folded(self) -> int:
        """Panes of all models that were folded since this object was made."""
        return sum(fold.folded for fold in self._models.values())

    @property
    def fed(self) -> int:
        """Values that detectors of all models were given, since this object was made."""
        return sum(fold.fed for fold in self._models.values())

    def stop(self, name: str) -> None:
        """Pass over a model from now on, until it is rebuilt."""
        self._models.pop(name, None)
        self._stopped.add(name)

    def outputs_digest(self) -> str:
        """Digest of each model's outputs so far: a restored task must reach it again."""
        told = {model: self._said[model].digest for model in sorted(self._said)}
        parts = [f"{model}:{digest}" for model, digest in told.items() if digest != Said().digest]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]

    def digest_of(self, model: str) -> str:
        """What a model has said so far; empty name: what belongs to none."""
        return self._said.get(model, Said()).digest

    # ------------------------------------------------------------------ snapshots

    @property
    def stands_on(self) -> frozenset[str]:
        """Digests of the decisions that a restore of its snapshot has to be given."""
        return frozenset(digest for fold in self._models.values() for digest in fold.decisions.stands_on)

    def snapshot(self) -> dict[str, bytes]:
        """All that later messages depend on: a part for each model that runs, under its name, and the shared one.

        Blocks of first rows are parts of their own, under the model's name and theirs.
        """
        parts = {name: encode_model(name, self._models[name].state()) for name in sorted(self._models)}
        digests = {name: digest_of_part(part) for name, part in parts.items()}
        blocks = {f"{name}/{b}": value for name in parts for b, value in self._models[name].blocks().items()}
        return {SHARED: encode_shared(self._shared(digests)), **parts, **blocks}

    def _shared(self, digests: Mapping[str, str]) -> SharedState:
        """What belongs to no model. `digests`: of the models' parts."""
        return SharedState(
            watermarks=tuple(self._watermarks[tp] for tp in sorted(self._watermarks)),
            sequences=tuple(sorted(self._sequences.items())),
            notices=self._notices.state(),
            said=self.digest_of(""),
            models=tuple(
                ModelEntry(name, self.digest_of(name), digests.get(name, ""))
                for name in sorted(self._models.keys() | self._stopped)
            ),
        )

    @classmethod
    def restored(
        cls,
        place: Place,
        parts: Mapping[str, bytes],
        decisions: Mapping[str, Decision],
        digests: Mapping[str, str] | None = None,
    ) -> tuple[EvaluateTask, dict[str, FormatError]]:
        """The task of a snapshot, and why the models that are stopped could not be restored.

        `decisions`: by digest, those that the snapshot stands on among them. `digests`: of parts (`digest_of_part`), as
        kept elsewhere. Raises FormatError where the shared part can't be read: nothing can go on without it.
        """
        known = digests or {}
        _agree(SHARED, parts, known.get(SHARED))
        state = decode_shared(parts[SHARED])
        task = cls(place)
        task._watermarks = {TopicPartition(w.topic, w.partition): w for w in state.watermarks}
        task._sequences = dict(state.sequences)
        task._notices.restore(state.notices)
        if state.said != Said().digest:
            task._said[""] = Said.of(state.said)
        errors: dict[str, FormatError] = {}
        for entry in state.models:
            task._said[entry.model] = Said.of(entry.said)
            try:
                fold, anew = _model(entry, place, parts, decisions, known)
                task._models[entry.model] = fold
                if anew:
                    task.begun_anew[entry.model] = anew
            except FormatError as error:
                task._stopped.add(entry.model)
                errors[entry.model] = error
        if task._shared({entry.model: entry.part for entry in state.models}) != state:
            raise FormatError(f"the shared part of a snapshot holds what can't be; rebuild it: {remedy(SHARED)}")
        return task, errors

    def adopt(self, fold: ModelFold, name: str, digest: str) -> None:
        """Take a model that was rebuilt from the ledger up to where this task is. `digest`: what it has said."""
        self._stopped.discard(name)
        self._models[name] = fold
        self._said[name] = Said.of(digest)


def _model(
    entry: ModelEntry,
    place: Place,
    parts: Mapping[str, bytes],
    decisions: Mapping[str, Decision],
    known: Mapping[str, str],
) -> tuple[ModelFold, frozenset[str]]:
    """The model of its part, and River's classes whose detectors began anew; raises FormatError."""
    name = entry.model
    if not entry.part:
        raise FormatError(f"model {name} was stopped; rebuild it from the ledger: {remedy(name)}")
    _agree(name, parts, entry.part)
    _agree(name, parts, known.get(name))
    fold = ModelFold(name, place)
    blocks = {key.removeprefix(f"{name}/"): part for key, part in parts.items() if key.startswith(f"{name}/")}
    return fold, restore_model(fold, parts[name], decisions, blocks)


def _read(fold: ModelFold, entry: Pane | RawPane | Decision | Notice) -> Iterator[Output]:
    """What a fold says of an entry, once it is asked for: behind what was folded before it."""
    yield from fold.read(entry)


def _agree(name: str, parts: Mapping[str, bytes], digest: str | None) -> None:
    """Refuse a part that is missing, or is another one than was written with the rest."""
    if name not in parts:
        raise FormatError(f"the snapshot of {name or 'the ledger partition'} is not there; rebuild it: {remedy(name)}")
    if digest is not None and digest_of_part(parts[name]) != digest:
        raise FormatError(
            f"the snapshot of {name or 'the ledger partition'} is not the one that was committed; rebuild it from the "
            f"ledger: {remedy(name)}"
        )
