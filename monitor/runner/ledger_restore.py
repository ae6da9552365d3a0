"""Going on from a committed position: the snapshots of a ledger partition, and then the ledger up to that position.

What is put out on the way was published before. It has to be as many messages as were committed, and the same ones;
but not of a commit of another version of messages, nor of models whose detectors begin again under another River.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

import msgspec

from monitor.bus.port import Bus
from monitor.errors import FormatError, StateDivergence
from monitor.evaluate.alerts import Place
from monitor.evaluate.snapshots import SavedModel, committed_part
from monitor.evaluate.task import EvaluateTask
from monitor.events import TopicPartition
from monitor.ledger.position_records import EvaluatedModel, EvaluatePosition, Snapshot, decode_model
from monitor.runner.activations import Activations
from monitor.runner.ledger_commits import LedgerCommits
from monitor.runner.memory import uncollected
from monitor.runner.model_records import ModelRecords
from monitor.runner.outbox import Outbox
from monitor.runner.present_outputs import Numbers
from monitor.runner.river_release import begun_anew, reset_notices
from monitor.runner.snapshots import Snapshots, block_name
from monitor.runner.stopped_models import StoppedModels
from monitor.telemetry import Log


class Restored(NamedTuple):
    """What a restore sets right, and what it reads beside the ledger: activations and snapshots."""

    outbox: Outbox
    commits: LedgerCommits
    still: StoppedModels
    activations: Activations
    snapshots: Snapshots


class LedgerRestore:
    """One restore, from its begin to the arrival at `target`. `records`: of the models there."""

    def __init__(
        self,
        bus: Bus,
        tp: TopicPartition,
        place: Place,
        parts: Restored,
        target: EvaluatePosition,
        records: Mapping[str, bytes],
        log: Log,
    ) -> None:
        self._bus = bus
        self._tp = tp
        self._place = place
        self._outbox, self._commits, self._still, self._activations, self._snapshots = parts
        self._target = target
        self._log = log
        self._unusable: str | None = None
        """Why the shared part can't be used, until that is logged."""
        self._models: Mapping[str, EvaluatedModel] = {name: decode_model(value) for name, value in records.items()}
        known = ModelRecords(records)
        if known.digest != target.models:
            raise StateDivergence(f"{tp.topic}/{tp.partition}: records of models are not those committed")
        self._commits.restore(target, known)

    def begin(self, task: EvaluateTask) -> tuple[EvaluateTask, dict[str, str]]:
        """Return the task at its snapshots, and why models are not in it whose snapshots can't be used.

        `task`: a new one. What belongs to no model begins with it if the shared part can't be used.
        """
        stopped = {name: r.stopped for name, r in sorted(self._models.items()) if r.stopped is not None}
        self._still.stopped = stopped
        snapshots = {name: r.snapshot for name, r in self._models.items() if r.snapshot is not None}
        low = self._target.low
        wanted = snapshots if low is None else {**snapshots, "": low}
        parts = self._snapshots.read(self._tp.partition, wanted)
        self._task = self._restored(task, parts.get(""))
        for name in stopped:
            self._task.stop(name)
        with uncollected():
            return self._task, dict(self._take_up(snapshots, parts))

    def _restored(self, task: EvaluateTask, part: bytes | None) -> EvaluateTask:
        """Begin at the shared part; if it can't be used, what belongs to no model can be had from the ledger alone."""
        low = self._target.low
        if low is None:
            return task
        try:
            part = committed_part("", part, low.digest)
            task = EvaluateTask.restored(self._place, part, low.outputs)
        except FormatError as error:
            self._unusable = str(error)
            self._target = msgspec.structs.replace(self._target, low=None)
            return task
        self._commits.low.take(low, len(part))
        return task

    def report(self) -> None:
        """Log once that the shared part can't be used: the partition is known to be this process's by now."""
        if self._unusable is not None:
            self._log.warning("snapshot_unusable", partition=self._tp.partition, why=self._unusable)
            self._unusable = None

    def _take_up(self, snapshots: Mapping[str, Snapshot], parts: Mapping[str, bytes]) -> Iterator[tuple[str, str]]:
        """Have the models go on from their parts; gives those that can't, and why."""
        for name, snapshot in sorted(snapshots.items()):
            try:
                part = committed_part(name, parts.get(name), snapshot.digest)
                blocks = {block: parts[key] for block in snapshot.blocks if (key := block_name(name, block)) in parts}
                saved = SavedModel(part, snapshot.outputs, blocks)
                self._task.take_up(name, saved, snapshot.position, self._activations.decisions)
                self._commits.parts.take(name, snapshot, len(part))
            except FormatError as error:
                yield name, str(error)

    def look_up(self) -> None:
        """Find what is in the output topics."""
        self._outbox.restore(self._target, self._models, self._bus, self.is_comparable)
        self.come_to(self._commits.low.position)

    @property
    def is_comparable(self) -> bool:
        """Return true if all messages since the snapshots are of the version that this process writes."""
        return self._target.messages == self._commits.messages

    @property
    def last_commit(self) -> int:
        """The ledger offset at which the last commit's stretch begins."""
        return self._target.previous

    def come_to(self, offset: int) -> None:
        """The fold has come to an offset. Of another version's last commit some may be lost."""
        if not self.is_comparable and offset >= self._target.previous:
            self._outbox.come_to_last_commit()

    def numbers_of(self, model: str) -> Numbers | None:
        """What a model had published at the commit; None if that does not know it."""
        return self._models[model].numbers if model in self._models else None

    # ------------------------------------------------------------------ arrival

    def arrive(self) -> None:
        """End folding again; raises StateDivergence if it gave other messages than those committed."""
        target = self._target
        self._task.reach(target.position)
        reset = begun_anew(self._task, {name: record.releases for name, record in self._models.items()})
        others = {*self._still.stopped, *reset}
        if not self.is_comparable:
            others |= self._task.models.keys() | self._outbox.present.models
            self._take_over(others)
        known = {name: record.outputs for name, record in self._models.items() if name not in others}
        if self.is_comparable:
            known[""] = target.outputs
            self._outbox.number_notices(target.numbers)
            self._outbox.go_on_behind(others)
        self._outbox.arrive(others)
        same = self._outbox.has_reached(self._models, others)
        if not same or any(self._task.digest_of(name) != digest for name, digest in known.items()):
            raise StateDivergence(
                f"{self._tp.topic}/{self._tp.partition}: folding the ledger again to {target.position} gave other "
                "messages than those published"
            )
        self._report_reset(reset)
        self._still.resume()
        self._log.info("ledger_restored", partition=self._tp.partition, to=target.position)

    def _take_over(self, names: Collection[str]) -> None:
        """Go on from a commit of another version of messages, and snapshot every model in this one."""
        self._outbox.complete({"", *names})
        self._still.go_on_behind({model: self._outbox.numbers(model) for model in self._still.stopped})
        self._commits.settle(set(names) - self._still.stopped.keys())
        committed, running = self._target.messages, self._commits.messages
        self._log.warning("messages_not_compared", partition=self._tp.partition, committed=committed, running=running)

    def _report_reset(self, reset: Mapping[str, frozenset[str]]) -> None:
        """Raise an alert for each model whose detectors began again under another River, and snapshot it."""
        for model, kinds in reset.items():
            self._commits.unsettle(model)
            self._log.warning("detectors_reset", model=model, detectors=sorted(kinds))
        self._outbox.entries += reset_notices(reset, self._task, self._tp)
