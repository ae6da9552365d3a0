"""What one ledger partition commits: outputs, then the snapshots that are due, and the records of where it stands.

`ledger_partition.py` folds; this file decides what goes into the next transaction, and remembers the last one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from monitor.codec.snapshot import digest_of_part
from monitor.evaluate.message_version import version_of_messages
from monitor.evaluate.snapshots import encode_shared
from monitor.evaluate.task import EvaluateTask
from monitor.events import Outgoing, TopicPartition
from monitor.ledger.position_records import FORMAT, EvaluatedModel, EvaluatePosition, Snapshot, Stopped
from monitor.runner.commands import Commands
from monitor.runner.low_water import LowWater, Memory
from monitor.runner.model_records import ModelRecords
from monitor.runner.outbox import Outbox
from monitor.runner.parts import DUE_BYTES, Parts
from monitor.runner.snapshots import Snapshots, block_name, too_large
from monitor.telemetry import Log


class Fold(NamedTuple):
    """What is to be committed: a task that has folded the ledger up to `position`, and its `stopped` models."""

    task: EvaluateTask
    position: int
    stopped: Mapping[str, Stopped]


class LedgerCommits:
    """The commits of ledger partition `tp`. `version`: of the release that runs."""

    def __init__(
        self, tp: TopicPartition, outbox: Outbox, snapshots: Snapshots, commands: Commands, version: str, log: Log
    ) -> None:
        self.committed = 0
        self.is_fresh = True
        """True if the partition has neither committed nor folded anything, ever."""
        self.parts = Parts(snapshots.rhythm)
        self.low = LowWater(snapshots.rhythm.records)
        self.messages = version_of_messages(version)
        """The version in which this process writes messages."""
        self.commands = commands
        self.moved: set[str] = set()
        """Models whose records the next commit writes, whether they say something or not."""
        self._tp = tp
        self._outbox = outbox
        self._snapshots = snapshots
        self._log = log
        self._records = ModelRecords()
        self._commits = 0
        self._settles = False
        """True if messages can't be compared before all snapshots have been written again: another version wrote some.

        One that it wrote at the very offset where this one began counts as such: its numbers are those of what that
        version had published.
        """
        self._previous = 0
        """The position committed with the outputs that are confirmed."""
        self._rebuilt: dict[str, Stopped] = {}
        """Models that run again: as long as they have no snapshot, a restart finds them stopped."""
        self._unsettled: set[str] = set()
        """Models whose detectors began again: until a snapshot has them, their messages can't be compared."""
        self._large: set[str] = set()
        """Models of which an alert was asked for, since their snapshot is too large."""

    def restore(self, target: EvaluatePosition, records: ModelRecords) -> None:
        """Go on from a committed position."""
        self.is_fresh = False
        self.committed, self._commits, self._previous = target.position, target.commit, target.previous
        self._records = records
        self.commands.restore(target.commands)

    def settle(self, models: Iterable[str]) -> None:
        """Other versions have published messages: until all snapshots are of this one, no restart compares them."""
        self._settles = True
        self.low.begin_anew()
        for model in models:
            self.parts.want(model)

    def unsettle(self, model: str) -> None:
        """Detectors of a model began again: a snapshot is due, and until it is there no restart compares them."""
        self.parts.want(model)
        self._unsettled.add(model)

    def take_rebuilt(self, model: str, stopped: Stopped, offset: int) -> None:
        """A model runs again, from `offset` on. `stopped`: what its record says until it has a snapshot."""
        self._rebuilt[model] = stopped
        self.parts.meet(model, offset)
        self.parts.want(model)

    # ------------------------------------------------------------------ outputs

    def has_work(self, position: int) -> bool:
        """Return true if a commit would publish or move something."""
        has_moved = position > self.committed or bool(self.moved) or self.commands.has_news
        return self.is_fresh or has_moved or not self._outbox.is_empty

    def take_outputs(self) -> list[Outgoing]:
        """All that was published since the last commit."""
        # a first start says where its outputs will begin before there are any, so that they can be looked up
        outgoing = [] if self.is_fresh else self._outbox.take()
        self.is_fresh = False
        return outgoing

    # ------------------------------------------------------------------ snapshots

    def is_due(self, task: EvaluateTask, position: int) -> bool:
        """Return true if parts of a snapshot are to be written."""
        return bool(self.parts.due(task.models, position)) or self._low_due(position) is not None

    def _low_due(self, position: int, size: int = 0) -> Memory | None:
        return self.low.due(self.parts.lowest(position), position, size)

    def snapshot(self, task: EvaluateTask, position: int) -> list[Outgoing]:
        """The parts that are due at the position, and the shared one of where folding again is to begin."""
        self.remember(task, position)
        start, parts, blocks = self._snapshots.end(self._tp.partition), dict[str, bytes](), dict[str, bytes | None]()
        before: dict[str, int] = {}
        for name in self.parts.due(task.models, position):
            part = parts[name] = task.part(name)
            held, written = task.blocks(name), self.parts.blocks_of(name)
            blocks |= {block_name(name, block): held[block] for block in held.keys() - written.keys()}
            task.models[name].forget_bytes(held)
            blocks |= {block_name(name, block): None for block in written.keys() - held.keys()}
            snapshot = Snapshot(
                position=position,
                start=start,
                digest=digest_of_part(part),
                outputs=task.digest_of(name),
                numbers=self._outbox.numbers(name),
                blocks={block: written.get(block, start) for block in sorted(held)},
            )
            before[name] = self.parts.size_of(name)
            self.parts.take(name, snapshot, len(part), task.models[name])
            self._rebuilt.pop(name, None)
            self._unsettled.discard(name)
            if sum(len(value or b"") for value in (*parts.values(), *blocks.values())) > DUE_BYTES:
                break
        self.moved |= parts.keys()
        self._warn_of_size(task, parts)
        size = sum(map(len, parts.values()))
        memory = self._low_due(position, size)
        self.low.add(size)
        if memory is not None:
            part = parts[""] = encode_shared(memory.state)
            snapshot = Snapshot(memory.position, start, digest_of_part(part), memory.outputs, memory.numbers)
            self.low.take(snapshot, len(part))
        return self._snapshots.outgoing(self._tp.partition, {**parts, **blocks}, before)

    def remember(self, task: EvaluateTask, position: int) -> None:
        """Keep what belongs to no model, as of the position, if the numbers of its notices are known."""
        if self._outbox.is_numbered:
            self.low.remember(Memory(position, task.shared(), task.digest_of(""), self._outbox.numbers("")))

    def _warn_of_size(self, task: EvaluateTask, parts: Mapping[str, bytes]) -> None:
        """One alert for a model whose snapshot is too large; published once by a process."""
        judged_to = {name: fold.judged_to for name, fold in task.models.items() if name not in self._large}
        for notice in too_large(parts, {name: at for name, at in judged_to.items() if at is not None}, self._tp):
            self._large.add(notice.model)
            self._outbox.entries.append(notice)
            self._log.warning("snapshot_large", model=notice.model, bytes=len(parts[notice.model]))

    # ------------------------------------------------------------------ records

    def commit(self, fold: Fold) -> tuple[EvaluatePosition, dict[str, bytes]]:
        """The position to commit with the outputs taken or the snapshots made; and the records of models that moved."""
        self.committed = fold.position
        self._commits += 1
        moved, self.moved = self.moved | self._outbox.take_spoken(), set()
        models = self._records.write({name: self._record(name, fold) for name in sorted(moved) if name})
        standing = self._outbox.commit("")
        self._settles = self._settles and (self.parts.are_wanted or self.low.is_wanted)
        position = EvaluatePosition(
            format=FORMAT,
            commit=self._commits,
            low=self.low.snapshot,
            position=fold.position,
            outputs=fold.task.digest_of(""),
            numbers=standing.numbers,
            before=standing.before,
            tails=dict(sorted(self._outbox.present.tails.items())),
            models=self._records.digest,
            messages="" if self._settles else self.messages,
            previous=self._previous,
            skipped=self._outbox.present.skipped,
            commands=self.commands.commit(),
        )
        return position, models

    def _record(self, name: str, fold: Fold) -> EvaluatedModel:
        return EvaluatedModel(
            format=FORMAT,
            commit=self._commits,
            snapshot=self.parts.snapshot_of(name),
            outputs=fold.task.digest_of(name),
            stopped=fold.stopped.get(name) or self._rebuilt.get(name),
            releases=self._releases(name, fold.task),
            **self._outbox.commit(name)._asdict(),
        )

    def _releases(self, name: str, task: EvaluateTask) -> dict[str, str]:
        """Return the release of River whose answers each class of a model gives; empty if not to be compared."""
        fold = task.models.get(name)
        found = sorted(fold.releases.items()) if fold is not None else ()
        return {kind: "" if name in self._unsettled else release for kind, release in found}

    def confirm(self, ends: Mapping[TopicPartition, int]) -> None:
        """The commit is done. `ends`: of the output partitions that it wrote to, the offset behind its records."""
        self._outbox.present.confirm(ends)
        self.commands.confirm()
        self._previous = self.committed
