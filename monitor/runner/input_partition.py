"""One input partition of a profile process: its task, what it has to say, and what a commit holds of that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from monitor.codec.dead_letters import dead_letter
from monitor.contract import TopicContract, lane_contract
from monitor.events import OffsetRange, Outgoing, Rejected, TopicPartition
from monitor.ledger.entries import BEFORE_ALL, ContractSwitch, Entry, Heartbeat, Notice, Watermark
from monitor.ledger.entry_codec import encode_entry
from monitor.ledger.ledger_topics import LedgerTopics
from monitor.ledger.position_records import ProfilePosition, Switch, switch_of
from monitor.profile.notices import data_lost, record_quarantined
from monitor.profile.task import ProfileTask
from monitor.runner.partition_life import PartitionLife
from monitor.runner.reconcile import Known, Present
from monitor.runner.sequences import Sequencer
from monitor.telemetry import Log


class InputPartition:
    """A task, the numbers of its outputs, and what it has to say beside what the task gives."""

    def __init__(self, task: ProfileTask, sequencer: Sequencer, log: Log) -> None:
        self.task = task
        self._sequencer = sequencer
        self._log = log
        self.life = PartitionLife()
        self.committed = -1
        """The committed position; -1 before the first commit."""
        self.notices: list[Notice] = []
        self.to_read: int | None = None
        """The offset up to which it is to be read before its next heartbeat; None: there is nothing to wait for."""
        self._tails: dict[str, int] = {}
        """From where the output partitions have to be looked into, by "topic/partition"."""
        self._lost_to = 0
        """The end of the newest range that was deleted and is reported."""
        self._heartbeats: list[Heartbeat] = []
        self._switches: list[ContractSwitch] = []
        self._written: tuple[tuple[Switch, ...], tuple[Heartbeat, ...]] = (), ()
        """The switches and heartbeats among what was to be taken of it last."""
        self._reported: set[str] = set()
        """What is logged of the form of its times."""
        self._touched: set[str] = set()
        """Models that were let go since the last commit: their ledger partitions get its entries, too."""
        self._present = Present()
        self._before: ProfilePosition | None = None
        self._undone: ProfilePosition | None = None
        """Its position before a commit that is lost in part, to be committed before anything is published again."""

    @property
    def tp(self) -> TopicPartition:
        """The partition."""
        return self.task.fold.tp

    @property
    def models(self) -> tuple[str, ...]:
        """The models that read it, sorted."""
        return tuple(sorted(self.task.fold.lanes.models))

    # ------------------------------------------------------------------ what happens to it

    def lose(self, lost: OffsetRange, end: int) -> bool:
        """Pass over a range that was deleted, up to `end` for now; whether there is something in it to report."""
        is_news = lost.end > self._lost_to
        if is_news:
            self._lost_to = lost.end
            self.notices.append(data_lost(lost, self.task.published_to))
        self.task.reach(lost.start)
        self.task.lose(end)
        return is_news

    def begin_contract(self) -> None:
        """From its position on the fold is under its contract, which it begins with."""
        fold = self.task.fold
        self._announce_switch(Switch(fold.position, fold.watermark, fold.contract.digest))

    def _announce_switch(self, switch: Switch) -> None:
        place = (*self.tp, switch.offset, switch.watermark, switch.digest)
        self._switches.append(ContractSwitch(*place, switch.held, switch.silent_to, switch.nth))

    def may_take(self, contract: TopicContract) -> bool:
        """Return true if another contract may count from where it is.

        Not before it has come to all that it had written when a commit was lost: that was under the contract before.
        """
        if not self.life.may.switch and not self._waits_for_leaving(contract):
            return False
        if self._present.is_empty:
            return True
        fold = self.task.fold
        lanes = {name: (panes.lane, panes.contract.pane_ms) for name, panes in fold.lanes.models.items()}
        position = self.task.snapshot(self._sequencer.sequences)
        return not self._present.is_beyond(position, fold.intake.offsets(), lanes)

    def switch(self, contract: TopicContract) -> None:
        """From its position on the fold is under another contract."""
        self._touched.update(self.models)
        switch = self.task.fold.switch_here(contract)
        self.task.switch(contract, switch)
        self._announce_switch(switch)

    def _waits_for_leaving(self, contract: TopicContract) -> bool:
        """Return true if it waits only for grids of lanes that a contract lets go: perhaps nobody makes them."""
        kept = {lane_contract(model, stream) for model in contract.models for stream in model.streams}
        return self.life.state == "blocked" and self.task.fold.held_lanes.isdisjoint(kept)

    def take_heartbeat(self, watermark: int | None, silent_to: int | None) -> None:
        """Give it a heartbeat: its watermark moves while it stands still, or its silence is reported."""
        self._heartbeats.append(self.task.fold.take_heartbeat(watermark, silent_to))

    def go_on_from(self, known: Known) -> None:
        """Go on from what commits and output topics hold; heartbeats and switches the ledger lacks are published."""
        self.life = PartitionLife("again")
        self._undone = known.position if known.is_again else None
        self._present, self._tails, self._before = known.present, known.tails, known.before
        self._present.expect(known.heartbeats, known.past_switches + known.switches)
        self._sequencer.go_on(known.present.sequences)
        self.committed = known.position.position
        self._heartbeats = list(known.heartbeats)
        begun = Switch(known.position.start, None, known.position.contract)
        has_begun = any(known.position.sequences.values())  # the first commit comes before the first output
        self._switches = []
        for switch in [*([] if has_begun else [begun]), *known.past_switches, *known.switches]:
            self._announce_switch(switch)

    def look_round(self, is_apart: bool, is_ahead: bool) -> None:
        """Meet what can be seen of it and of those that share a model with it, once a turn and after each commit.

        `is_apart`: whether one of these folds again; `is_ahead`: whether it is too far ahead of them.
        """
        fold = self.task.fold
        if fold.lanes.wants_again:
            self.life.meet("lacking")
        if not self.task.restoring:
            self.life.meet("arrived")
        if is_apart:
            self.life.meet("apart")
        else:
            self.life.meet("together" if self._undone is None else "torn")
        is_blocked = fold.waiting and not self._has_read_on
        self.life.meet("blocked" if is_blocked else "ahead" if is_ahead else "free")

    @property
    def _has_read_on(self) -> bool:
        """True if it had read further before a commit was lost: what is known of that lies there, and comes first.

        It may wait for a grid that nobody makes any more, and may take no other contract before.
        """
        fold = self.task.fold
        watermark = BEFORE_ALL if fold.watermark is None else fold.watermark
        return (
            self.task.expects_more
            or self._present.rejects_beyond(fold.position, fold.intake.offsets())
            or self._present.seals_beyond(watermark, self.models)
        )

    # ------------------------------------------------------------------ what it commits

    def take_outputs(self, topics: LedgerTopics, dead_letters: TopicPartition) -> list[Outgoing]:
        """What is new and not there yet, numbered. `dead_letters`: where rejected records go."""
        switches = tuple(switch_of(entry) for entry in self._switches if entry.nth)  # 0: what it begins with
        self._written = switches, tuple(self._heartbeats)
        if not self.life.may.publish:
            return []
        outgoing = self._take_outgoing(topics, dead_letters)
        return self._sequencer.number(self._present.without(outgoing))

    @property
    def is_committed(self) -> bool:
        """Return true if a commit would move nothing."""
        return self._undone is None and self.task.fold.position <= self.committed

    def commit(self, places: Iterable[TopicPartition], end: Callable[[TopicPartition], int]) -> ProfilePosition:
        """The position to commit, with where the outputs ended before it and what was committed before it.

        `places`: where outputs go now. Each has a tail: else what is lost there would count as there.
        """
        self._tails |= {name: end(p) for name, p in _names(places) if name not in self._tails}
        position, self._undone = self._undone or self.task.snapshot(self._sequencer.sequences), None
        switches, beats = self._written
        full = msgspec.structs.replace(
            position, tails=self._tails, before=self._before, written_switches=switches, written_heartbeats=beats
        )
        self._before = msgspec.structs.replace(position, before=None)
        self.committed = position.position
        return full

    def confirm(self, ends: Mapping[TopicPartition, int], places: Iterable[TopicPartition]) -> None:
        """The commit is done. `ends`: of the output partitions that it wrote to, the offset behind its records."""
        self.life.meet("committed")
        pane_ms = {name: panes.contract.pane_ms for name, panes in self.task.fold.lanes.models.items()}
        if self._before is None or not self._present.is_ahead_of(self._before, pane_ms):
            self._present = Present()
            tails = self._tails | {name: ends[p] for name, p in _names(places) if p in ends}
            self._tails = {name: tails[name] for name, _ in _names(places) if name in tails}

    def _take_outgoing(self, topics: LedgerTopics, dead_letters: TopicPartition) -> list[Outgoing]:
        drained, ledger, of = self.task.drain(), topics.name("ledger"), topics.partition_of
        readers = sorted({of(model) for model in self._touched.union(self.models)})
        shared: list[Entry] = [*self._switches, *self._heartbeats]
        notices = [*self.notices, *(record_quarantined(self.tp, offset, at) for offset, at in drained.quarantined)]
        self._switches, self._heartbeats, self._touched, self.notices = [], [], set(), []
        outgoing = [encode_entry(pane, ledger, of(pane.model)) for pane in drained.panes]
        outgoing += [encode_entry(notice, ledger, of(notice.model or self.models[0])) for notice in notices]
        for partition in readers:
            sealed = [] if drained.watermark is None else [_for_partition(drained.watermark, topics, partition)]
            outgoing += [encode_entry(entry, ledger, partition) for entry in [*shared, *sealed]]
        outgoing += [dead_letter(rejected, dead_letters) for rejected in drained.rejected]
        self._log_rejected(drained.rejected)
        self._log_assumed()
        return outgoing

    def _log_assumed(self) -> None:
        """Log once what is taken for granted of the form of its times."""
        for note in self.task.assumed:
            if note not in self._reported:
                self._reported.add(note)
                remedy = "say it in alerts.yaml: columns: {timestamp: {field: ..., timezone: UTC}}, or unit, or format"
                self._log.warning("times_taken_for_granted", form=note, remedy=remedy, **self.tp._asdict())

    def _log_rejected(self, rejected: Sequence[Rejected]) -> None:
        counts = Counter(record.reason for record in rejected)
        for reason, records in sorted(counts.items()):
            first = next(record.offset for record in rejected if record.reason == reason)
            place = {"topic": self.tp.topic, "partition": self.tp.partition, "first_offset": first}
            self._log.warning("records_rejected", reason=reason, records=records, **place)


def _names(places: Iterable[TopicPartition]) -> list[tuple[str, TopicPartition]]:
    return [(f"{p.topic}/{p.partition}", p) for p in places]


def _for_partition(watermark: Watermark, topics: LedgerTopics, partition: int) -> Watermark:
    """What it says of the models in that ledger partition."""
    of = topics.partition_of
    firsts = {model: at for model, at in (watermark.firsts or {}).items() if of(model) == partition}
    gone = {model: span for model, span in watermark.gone.items() if of(model) == partition}
    held = {model: at for model, at in watermark.held.items() if of(model) == partition}
    again = {model: at for model, at in watermark.again.items() if of(model) == partition}
    return msgspec.structs.replace(watermark, firsts=firsts, gone=gone, held=held, again=again)
