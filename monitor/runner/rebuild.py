"""A model folded again from the ledger's start, when its snapshot can't be used; the notice that it stands still."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from monitor.bus.port import Bus
from monitor.codec.chunks import Assembler
from monitor.errors import FormatError
from monitor.evaluate.alerts import Place
from monitor.evaluate.model import ModelFold, Output
from monitor.evaluate.task import EvaluateTask
from monitor.events import RecordBatch, TopicPartition
from monitor.ledger.entries import Activation, Decision, Entry, Notice, Watermark
from monitor.ledger.entry_codec import COMMAND, decode_entry, kind_of
from monitor.runner.sequences import writer_and_sequence
from monitor.runner.topics import read_whole, records_of


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A model's fold, the digest of all that it has said, and what that is, before and after the model was stopped."""

    fold: ModelFold
    digest: str
    before: list[Output]
    after: list[Output]


def rebuilt(
    bus: Bus, tp: TopicPartition, model: str, place: Place, activations: Sequence[Activation], new: tuple[int, int]
) -> Rebuilt:
    """Folds the ledger from its first record for one model. `new`: offsets of the entries since it was stopped.

    Raises FormatError if an entry of the model is damaged.

    If the ledger's start has been deleted, the model's newest activations in `decisions` stand in for what was there.
    """
    published, end = new
    task, before, after = EvaluateTask(place), list[Output](), list[Output]()
    if bus.beginning(tp) > 0:
        for decision in _of_the_last_life(activations):
            task.read(decision)
    assembler, numbers = Assembler(), dict[str, int]()
    for batch in read_whole(bus, tp, to=end):
        known = sum(1 for offset in batch.offsets if offset < published)
        for part, is_new in ((batch.cut(0, known), False), (batch.cut(known, len(batch)), True)):
            outputs = [output for entry in _entries(part, model, assembler, numbers) for output in task.read(entry)]
            outputs += task.advance()
            (after if is_new else before).extend(outputs)
    for why in task.take_broken().values():
        raise FormatError(why)
    return Rebuilt(task.model(model), task.digest_of(model), before, after)


def _of_the_last_life(activations: Sequence[Activation]) -> list[Decision]:
    """The newest decision of each kind and stream since the model was last gone."""
    newest: dict[tuple[str, str], Decision] = {}
    for decision in (activation.decision for activation in activations):
        if decision.kind == "gone":
            newest.clear()
        elif decision.kind != "begun":
            newest[decision.kind, decision.stream] = decision
    return list(newest.values())


def _entries(batch: RecordBatch, model: str, assembler: Assembler, numbers: dict[str, int]) -> Iterable[Entry]:
    """What of the records is about the model: its own, and the watermarks and heartbeats of all inputs, each once.

    `numbers`: of each writer the number behind its newest record. A repeat has a lower one, as in the fold that runs.
    """
    for record in records_of(batch):
        kind = kind_of(record.headers)
        if kind == COMMAND:
            continue
        writer, number = writer_and_sequence(record.headers)
        if number < numbers.get(writer, 0):
            continue
        numbers[writer] = number + 1
        if kind in ("watermark", "heartbeat") or (record.key or b"").split(b"\0")[0] == model.encode():
            value = assembler.feed(record)
            if value is not None:
                yield decode_entry(record.headers, value)


def stop_notice(model: str, why: str, tp: TopicPartition, watermarks: Mapping[TopicPartition, Watermark]) -> Notice:
    """The notice of a model that is not evaluated any more."""
    at = max((watermark.watermark for watermark in watermarks.values()), default=0)
    text = f"{model} is not evaluated any more: {why}. Run: streamdrift rebuild {model}"
    return Notice("", "ModelStopped", at, tp.topic, tp.partition, (("model", model),), text)
