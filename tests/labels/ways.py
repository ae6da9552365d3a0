"""One log folded in all ways: whole, in random batches, restored at random places, and by a service that is killed."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from unittest.mock import patch

import msgspec

from monitor.evaluate import performance
from monitor.evaluate.alerts import Place
from monitor.evaluate.join import Join, Sizes
from monitor.evaluate.messages import Message
from monitor.evaluate.model import Output
from monitor.evaluate.task import EvaluateTask
from monitor.ledger.entries import Activation, Entry, PartitionSet, new_decision
from monitor.replay import in_order
from monitor.runner.announce import rules_decision
from tests.determinism import logs as plain
from tests.labels import logs, service
from tests.labels.comparing import differences
from tests.labels.logs import LabelLog
from tests.snapshots import restored, said_by, snapshot

PLACE = Place("/streamdrift", "http://localhost:8787", "0", "cluster")
SMALL = Sizes(piece=64, run=100)
CUTS = 8


def check(log: LabelLog) -> list[str]:
    """What is wrong with a log."""
    messages, wrong = as_the_oracle(log)
    entries, again = ledger(log, random.Random(log.seed))
    if again != messages:
        wrong.append("other batches give other messages")
    cuts = random.Random(log.seed + 100).sample(range(2, len(entries)), CUTS)
    return wrong + as_if_never_stopped(entries, cuts, messages)


def as_the_oracle(log: LabelLog) -> tuple[list[Message], list[str]]:
    """The messages of a log, folded partition by partition, and what they say otherwise than the slow oracle."""
    with logs.outcomes_read() as outcomes:
        messages, found = logs.run(log)
    return messages, differences(log, messages, found, outcomes)


def as_if_never_stopped(entries: Sequence[Entry], cuts: Collection[int], messages: Sequence[Message]) -> list[str]:
    """What changes if evaluate is restored from its snapshots at these places of the ledger."""
    with small_pieces():
        wrong, found = evaluated(entries, cuts)
    return wrong or ([] if in_order(found, plain.LEDGER_PARTITIONS) == messages else ["a restored task differs"])


@contextmanager
def small_pieces() -> Iterator[None]:
    """Joins write their rows in small pieces, so that short logs have some."""
    with patch.object(performance, "Join", partial(Join, sizes=SMALL)):
        yield


def ledger(log: LabelLog, rng: random.Random) -> tuple[list[Entry], list[Message]]:
    """What evaluate reads of a log in random batches, set and rules first, and what it says."""
    model = log.config.models[0]
    streams = {s.stream: (s.topic, sum(1 for tp in log.records if tp.topic == s.topic)) for s in model.contract.streams}
    entries: list[Entry] = [
        new_decision("m", "set", msgspec.json.encode(PartitionSet(streams)).decode()),
        rules_decision(model),
    ]
    engine = plain.replay_of(log.plain)
    read = engine._evaluate.read

    def spy(entry: Entry) -> list[Output]:
        entries.append(entry)
        return read(entry)

    engine._evaluate.read = spy  # type: ignore[method-assign]
    messages = [message for batch in plain.pieces(log.plain, rng) for message in engine.feed(batch)]
    messages += engine.finish({})
    return entries, in_order(messages, plain.LEDGER_PARTITIONS)


def evaluated(entries: Sequence[Entry], cuts: Collection[int]) -> tuple[list[str], list[Message]]:
    """Fold all entries; at each cut the task is made anew from its snapshot. Gives what is wrong, and the messages."""
    task, outputs, written = EvaluateTask(PLACE), list[Output](), dict[str, bytes]()
    for place, entry in enumerate(entries):
        if place in cuts:
            parts, state = snapshot(task), state_of(task)
            written |= {name: part for name, part in parts.items() if part}  # a piece is written once
            decisions = {o.decision.digest: o.decision for o in outputs if isinstance(o, Activation)}
            task, errors = restored(PLACE, {name: written[name] for name in parts}, decisions, said_by(task))
            if errors:
                return [f"not restored: {error}" for error in errors.values()], []
            if state_of(task) != state or snapshot(task).keys() != parts.keys():
                return ["a restored task has another state"], []
        outputs += task.read(entry)
        outputs += task.advance()
    return [], [output for output in outputs if isinstance(output, Message)]


def state_of(task: EvaluateTask) -> dict[str, bytes]:
    """The parts of its snapshot, without the pieces that these list."""
    return {name: part for name, part in snapshot(task).items() if "/" not in name}


def served(log: LabelLog, kills: int) -> list[str]:
    """What a service whose processes are killed says otherwise than a replay of its capture, or than the oracle."""
    bus = service.serve(log, kills)
    return service.differences_from_replay(bus) + as_the_oracle(service.captured(bus, log))[1]
