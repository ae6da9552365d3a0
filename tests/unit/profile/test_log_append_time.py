"""LogAppendTime is a matter of each batch: a topic can be switched, so one log holds records of both kinds."""

from __future__ import annotations

import random

import pytest

from monitor.codec.canonical import time_text
from monitor.codec.decode import Decoder
from monitor.events import RecordBatch, TopicPartition
from monitor.ledger.position_records import decode_profile, encode
from monitor.profile.partition import PartitionFold
from monitor.profile.task import ProfileTask
from monitor.runner.profile import ProfileStage
from tests.unit.making import TP, Entry, batch, contract, records
from tests.unit.profile.feeding import Output
from tests.unit.runner import fleet

SKEW = contract().max_clock_skew_ms
Stamped = tuple[int, str, int, int | None]
"""An entry with the broker's stamp, or None where its sender stamped it."""


def a_log_of_both_kinds(rng: random.Random) -> list[Stamped]:
    """Stretches of either kind; some rows are ahead of their neighbours, and some of those of their stamps too."""
    log: list[Stamped] = []
    now, kind = 1000, rng.random() < 0.5
    for offset in range(rng.choice([5, 40, 150, 300])):
        kind = kind if rng.random() < 0.9 else not kind
        now += rng.randint(0, 8)
        ahead = rng.choice([90, 150, 5000]) if rng.random() < 0.1 else 0
        now += ahead if rng.random() < 0.2 else 0
        late_stamp = rng.choice([0, 0, 4950])
        log.append((offset, "m", now + ahead, now + late_stamp if kind else None))
    return log


def pieces(log: list[Stamped], rng: random.Random) -> list[list[Stamped]]:
    """The log as batches of one kind each, of random sizes."""
    out: list[list[Stamped]] = []
    room = 0
    for entry in log:
        if room and (out[-1][-1][3] is None) == (entry[3] is None):
            out[-1].append(entry)
            room -= 1
        else:
            out.append([entry])
            room = rng.randint(0, 60)
    return out


def feed(fold: PartitionFold, piece: list[Stamped]) -> None:
    entries: list[Entry] = [entry[:3] for entry in piece]
    stamps = [entry[3] for entry in piece if entry[3] is not None]
    fold.feed(batch(entries, stamps=stamps or None, under=fold.contract), records(entries))


def folded(log: list[list[Stamped]]) -> tuple[PartitionFold, Output]:
    fold, out = PartitionFold(TP, [contract(raw_rows=10**6)]), Output()
    for piece in log:
        feed(fold, piece)
        out.take(fold)
    return fold, out


@pytest.mark.parametrize("seed", range(60))
def test_any_cut_of_a_log_of_both_kinds_gives_the_same_panes(seed: int) -> None:
    """Whatever the polls, each row is decided by the stamp of its own batch, or by its neighbours."""
    rng = random.Random(seed)
    log = a_log_of_both_kinds(rng)
    one, first = folded(pieces(log, rng))
    other, second = folded([[entry] for entry in log])
    assert first.panes == second.panes
    assert sorted(r.offset for r in first.rejected) == sorted(r.offset for r in second.rejected)
    assert (one.buckets, one.watermark, one.low()) == (other.buckets, other.watermark, other.low())
    assert one.open_digest() == other.open_digest()
    plain = {offset for offset, _, time, stamp in log if stamp is not None and time > stamp + SKEW}
    vouched = {offset for offset, _, time, stamp in log if stamp is not None and time <= stamp + SKEW}
    assert plain <= {r.offset for r in first.rejected}
    assert not vouched & {r.offset for r in first.rejected}


@pytest.mark.parametrize("seed", range(60))
def test_a_restart_between_batches_of_both_kinds_changes_nothing(seed: int) -> None:
    """What is folded again from the low-water mark gives the committed state, and goes on as if nothing had been."""
    rng = random.Random(seed)
    parts = pieces(a_log_of_both_kinds(rng), rng)
    undisturbed, out = PartitionFold(TP, [contract(raw_rows=10**6)]), Output()
    at = rng.randint(1, len(parts))
    for piece in parts[:at]:
        feed(undisturbed, piece)
    undisturbed.drain()
    position = decode_profile(encode(undisturbed.snapshot({})))
    again, second = PartitionFold(TP, [contract(raw_rows=10**6)]), Output()
    again.go_back(position)
    for piece in parts[:at]:
        if rest := [entry for entry in piece if entry[0] >= position.low.offset]:
            feed(again, rest)
    assert again.arrive(position)
    for fold, taken in ((undisturbed, out), (again, second)):
        for piece in parts[at:]:
            feed(fold, piece)
        fold.end()
        taken.take(fold)
    assert second == out
    assert again.buckets == undisturbed.buckets


def test_a_stamped_row_ahead_of_its_stamp_is_dead_at_once() -> None:
    """Though a row before it waits; and it is no witness for that one."""
    fold = PartitionFold(TP, [contract(raw_rows=1000)])
    entries: list[Entry] = [(i, "m", 1000 + i) for i in range(40)]
    fold.feed(batch(entries, under=fold.contract), records(entries))
    fold.feed(batch([(40, "m", 9000)], under=fold.contract), records([(40, "m", 9000)]))
    ahead: list[Entry] = [(41 + i, "m", 9000 if i < 20 else 1040) for i in range(40)]
    fold.feed(batch(ahead, stamps=[1040] * 40, under=fold.contract), records(ahead))
    assert [r.offset for r in fold.drain().rejected] == [*range(41, 61)]
    assert fold.account().held == 21
    more: list[Entry] = [(81 + i, "m", 1041) for i in range(12)]
    fold.feed(batch(more, stamps=[1041] * 12, under=fold.contract), records(more))
    assert [r.offset for r in fold.drain().rejected] == [40]
    assert fold.account().held == 0


@pytest.mark.parametrize("stamped", [True, False])
def test_decoded_batches_hold_how_they_were_stamped(stamped: bool) -> None:
    """From the bytes on: a fold takes either kind, whatever the topic's setting is by now."""
    decoder = Decoder(TP.topic, [contract(raw_rows=1000)])
    values = [
        b'{"event_id":"e","model":"m","event_time":"%s","features":{"x":1,"y":1,"c":"a"}}'
        % time_text(10**12 + i).encode()
        for i in range(40)
    ]
    found = RecordBatch(*TP, range(40), [10**12 + i for i in range(40)], [None] * 40, values, [()] * 40, stamped)
    fold = PartitionFold(TP, [contract(raw_rows=1000)])
    fold.feed(decoder.decode(found), found)
    assert fold.buckets["pane"] == 40
    assert fold.watermark == 10**12 + 39 - 25


def test_a_task_that_begins_again_in_the_other_kind_of_batch_arrives() -> None:
    """The low-water mark may lie in records of another kind than those that follow it."""
    entries: list[Entry] = [(i, "m", 1000 + i) for i in range(80)]
    fold = PartitionFold(TP, [contract(raw_rows=1000)])
    for kind, part in ((True, entries[:50]), (False, entries[50:])):
        fold.feed(batch(part, stamps=[e[2] for e in part] if kind else None, under=fold.contract), records(part))
    fold.drain()
    position = fold.snapshot({})
    assert position.low.offset < 79

    class Made:
        def decode(self, found: RecordBatch) -> object:
            part = [entries[offset] for offset in found.offsets]
            return batch(part, stamps=[e[2] for e in part] if part[0][0] < 50 else None, under=fold.contract)

    task = ProfileTask(PartitionFold(TP, [contract(raw_rows=1000)]), lambda _: Made())  # type: ignore[arg-type,return-value]  # decodes entries
    task.restore(position)
    for start, end in ((position.low.offset, 50), (max(50, position.low.offset), 80)):
        if start < end:
            task.feed(records(entries[start:end]))
    assert not task.restoring
    assert task.fold.open_digest() == position.digest


def test_a_topic_that_is_switched_ends_no_process_and_replays_alike() -> None:
    """Records that were written before the setting changed keep their kind; polls of every size bring both."""
    bus = fleet.new_bus({"in.features": 1, "in.predictions": 1}, clock=lambda: fleet.START + 70_000)
    tps = fleet.inputs_of(bus, ("in.features", "in.predictions"))
    run = fleet.Fleet(bus, fleet.config())
    run.join("evaluate-1")
    run.join("profile-1")
    for stretch in range(6):
        for tp in tps:
            bus.stamp(tp.topic, stretch % 2 == 0)
            fleet.send(bus, TopicPartition(*tp), [stretch * 30 + i * 0.2 for i in range(150)])
        for _ in range(2 if stretch % 3 else 0):
            run.now += 0.5
            run.turn()
        if stretch == 3:
            run.join("profile-1")
    run.settle()
    accounts = [a for s in run.stages.values() if isinstance(s, ProfileStage) for a in s.accounts().values()]
    assert [account.difference for account in accounts] == [0, 0]
    assert any(account.buckets["dead:time_ahead"] for account in accounts)
    fleet.check_against_replay(bus)
