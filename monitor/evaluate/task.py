"""The fold of one ledger partition: all its models, the watermarks of their inputs, and the order of its outputs.

Every producer's records carry a sequence number without gaps: a repeat is skipped, a gap is a divergence.

A snapshot has a part for each model and one for what belongs to none, each at an offset of its own. A task that folds
the ledger again begins at the shared part, which is the lowest; so watermarks and sequence numbers are at every offset
what they were. A model goes on from the offset of its part; what stands before it is in that state already.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from monitor.codec.snapshot import remedy
from monitor.errors import FormatError, StateDivergence
from monitor.evaluate.alerts import Place
from monitor.evaluate.message_digest import MessageDigest
from monitor.evaluate.model import ModelFold, Output
from monitor.evaluate.notices import Notices, notice_message
from monitor.evaluate.snapshots import SavedModel, decode_shared, encode_model, restore_model
from monitor.evaluate.state import SharedState
from monitor.events import TopicPartition
from monitor.ledger.entries import (
    Activation,
    ContractSwitch,
    Decision,
    Entry,
    Heartbeat,
    Notice,
    Watermark,
)
from monitor.panes.keyed import KeyedRows
from monitor.panes.pane import Pane, RawPane


class EvaluateTask:
    """One ledger partition. `recorded`: activations of a captured log (see ModelFold)."""

    def __init__(self, place: Place, recorded: Iterable[Activation] = ()) -> None:
        self._place = place
        self._recorded = tuple(recorded)
        self._models: dict[str, ModelFold] = {}
        self._later: dict[str, tuple[int, ModelFold]] = {}
        """Models that the fold has not come to, each with the offset that it goes on from."""
        self._stopped: set[str] = set()
        self._broken: dict[str, str] = {}
        self.begun_anew: dict[str, frozenset[str]] = {}
        """Models of which detectors began again at the restore, and River's classes of those."""
        self._watermarks: dict[TopicPartition, Watermark] = {}
        self._sequences: dict[str, int] = {}
        self._digests: dict[str, MessageDigest] = {}
        self._notices = Notices()
        for activation in self._recorded:
            self.open_model(activation.decision.model)

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

    def open_model(self, name: str) -> ModelFold:
        """Return the fold of a model; it begins here if it is not there yet."""
        if name not in self._models:
            self._models[name] = ModelFold(name, self._place, self._recorded)
        return self._models[name]

    def passes_over(self, name: str) -> bool:
        """Return true if what the ledger says of a model now counts for nothing."""
        return name in self._later or name in self._stopped

    def count(self, writer: str, sequence: int) -> bool:
        """Count a record of a writer; False if it was there before. Raises StateDivergence if one is missing."""
        expected = self._sequences.get(writer, 0)
        if sequence > expected:
            raise StateDivergence(
                f"the ledger lacks records of {writer}: number {expected} was to come, {sequence} came"
            )
        if sequence == expected:
            self._sequences[writer] = expected + 1
        return sequence == expected

    def reach(self, offset: int) -> None:
        """The fold has come to an offset: models whose parts stand there go on."""
        for name in [name for name, (at, _) in self._later.items() if at <= offset]:
            _, self._models[name] = self._later.pop(name)

    def read(self, entry: Entry) -> list[Output]:
        """One ledger record. Panes are folded by `advance`."""
        if isinstance(entry, Watermark):
            self._take_watermark(entry)
            by_record = [name for name in sorted(self._models) if self._models[name].goes_by_record]
            return [output for name in by_record for output in self._guard(name, self._advance_by_record(name))]
        if isinstance(entry, Heartbeat):  # its watermark, if it has one, is in the watermarks
            for fold in self._models.values():
                fold.read(entry)
            return []
        if isinstance(entry, ContractSwitch):
            return []  # it is here for capture
        if isinstance(entry, Notice) and not entry.model:
            self._notices.hold(entry)
            return self._record(
                "", [notice_message(notice, self._place) for notice in self._notices.take_due(entry.at)]
            )
        if self.passes_over(entry.model):
            return []
        fold = self.open_model(entry.model)
        # a decision counts from the first pane that could not be folded before it, however the ledger was polled
        before = fold.advance(self._watermarks) if isinstance(entry, Decision | Notice) else ()
        return self._guard(entry.model, chain(before, _read(fold, entry), self._advance_by_record(entry.model)))

    def _take_watermark(self, entry: Watermark) -> None:
        # after a torn commit a partition tells again what is below the last: it will come back to that
        known = self._watermarks.setdefault(TopicPartition(entry.topic, entry.partition), entry)
        is_newer = entry.watermark > known.watermark
        if is_newer or (entry.watermark == known.watermark and entry.held.keys() <= known.held.keys()):
            self._watermarks[TopicPartition(entry.topic, entry.partition)] = entry

    def _advance_by_record(self, model: str) -> Iterator[Output]:
        """Fold a model record by record while rules wait for its next pane, and until its first one is found.

        A lane that ends with those rules gets a grid only if its first rows are certain before that pane is sealed.
        And where the first pane begins, the newest watermarks say: profile may have left the model meanwhile.
        Which came first must not depend on how the ledger was polled.
        """
        fold = self._models[model]
        if fold.goes_by_record:
            yield from fold.advance(self._watermarks)

    def prepare(self) -> Iterator[None]:
        """Make in steps what `advance` will publish of first rows; without it that makes them at once."""
        for fold in self._models.values():
            yield from fold.prepare(self._watermarks)

    def advance(self, most: int | None = None) -> list[Output]:
        """Fold what is sealed everywhere, model by model. `most`: panes of each; a run of empty ones is one."""
        outputs: list[Output] = []
        for name in sorted(self._models):
            outputs += self._guard(name, self._models[name].advance(self._watermarks, most))
        return outputs

    def _guard(self, model: str, found: Iterable[Output]) -> list[Output]:
        """The outputs of one model; if an entry of its is damaged, those before that, and the model is stopped."""
        outputs: list[Output] = []
        try:
            outputs += found
        except FormatError as error:
            self.stop_for(model, str(error))
        return self._record(model, outputs)

    def stop_for(self, model: str, why: str) -> None:
        """Stop a model because an entry of its is damaged; `take_broken` gives the reason, once."""
        self.stop(model)
        self._broken[model] = why

    def take_broken(self) -> dict[str, str]:
        """Why models were stopped by a damaged entry since the last call."""
        broken, self._broken = self._broken, {}
        return broken

    def _record(self, model: str, outputs: list[Output]) -> list[Output]:
        digest = self._digests.setdefault(model, MessageDigest())
        for output in outputs:
            digest.add(output)
        return outputs

    def stop(self, name: str) -> None:
        """Pass over a model from now on, until it is rebuilt."""
        self._models.pop(name, None)
        self._later.pop(name, None)
        self._stopped.add(name)

    def digest_of(self, model: str) -> str:
        """What a model has published so far; empty name: what belongs to none."""
        return self._digests.get(model, MessageDigest()).digest

    # ------------------------------------------------------------------ snapshots

    @property
    def stands_on(self) -> frozenset[str]:
        """Digests of the decisions that a restore of its models has to be given."""
        return frozenset(digest for fold in self._models.values() for digest in fold.decisions.stands_on)

    def part(self, name: str) -> bytes:
        """All that later messages of a model depend on, beside the shared part."""
        return encode_model(name, self._models[name].state())

    def shared(self) -> SharedState:
        """What belongs to no model."""
        return SharedState(
            watermarks=tuple(self._watermarks[tp] for tp in sorted(self._watermarks)),
            sequences=tuple(sorted(self._sequences.items())),
            notices=self._notices.state(),
        )

    @classmethod
    def restored(cls, place: Place, part: bytes, digest: str) -> EvaluateTask:
        """Return a task without models that goes on from a shared part; raises FormatError. `digest`: at its offset."""
        state = decode_shared(part)
        task = cls(place)
        task._watermarks = {TopicPartition(w.topic, w.partition): w for w in state.watermarks}
        task._sequences = dict(state.sequences)
        task._notices.restore(state.notices)
        task._digests[""] = MessageDigest.of(digest)
        if task.shared() != state:
            raise FormatError(f"the shared part of a snapshot holds what can't be; rebuild it: {remedy('')}")
        return task

    def blocks(self, name: str) -> Mapping[str, bytes | None]:
        """The blocks that a model's part lists: they never change, and are written once each. None: it is written."""
        return self._models[name].blocks()

    def take_up(self, name: str, saved: SavedModel, at: int, decisions: Mapping[str, Decision]) -> None:
        """Have a model go on from its part when the fold comes to offset `at`; raises FormatError.

        `decisions`: by digest, those that it stands on among them.
        """
        fold, digest = ModelFold(name, self._place), MessageDigest.of(saved.outputs)
        if reset := restore_model(fold, saved.part, decisions, saved.blocks):
            self.begun_anew[name] = reset
        self._later[name] = at, fold
        self._digests[name] = digest

    def adopt(self, fold: ModelFold, name: str, digest: str) -> None:
        """Take a model that was rebuilt from the ledger up to where this task is. `digest`: what it has published."""
        self._stopped.discard(name)
        self._models[name] = fold
        self._digests[name] = MessageDigest.of(digest)


def _read(fold: ModelFold, entry: Pane | RawPane | KeyedRows | Decision | Notice) -> Iterator[Output]:
    """What a fold says of an entry, once it is asked for: behind what was folded before it."""
    yield from fold.read(entry)
