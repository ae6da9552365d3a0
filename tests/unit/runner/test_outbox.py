"""What is written after a restart: neither what a torn commit left in the topics, nor less than what it lost."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import pytest

from monitor.bus.memory import MemoryBus
from monitor.bus.reading import read_whole, records_of
from monitor.evaluate.lifecycle import Status
from monitor.evaluate.messages import Message
from monitor.evaluate.task import EvaluateTask
from monitor.events import Outgoing, Record, TopicPartition
from monitor.ledger.entries import Activation, new_decision
from monitor.ledger.entry_codec import decode_agreement
from monitor.ledger.ledger_topics import LedgerTopics
from monitor.ledger.position_records import (
    FORMAT,
    EvaluatedModel,
    EvaluatePosition,
    Snapshot,
    Stopped,
    decode_model,
)
from monitor.runner.activations import Activations, activation_key
from monitor.runner.commands import Commands, Gate
from monitor.runner.ledger_commits import Fold, LedgerCommits
from monitor.runner.ledger_restore import LedgerRestore, Restored
from monitor.runner.model_records import ModelRecords
from monitor.runner.outbox import Outbox
from monitor.runner.parts import USUAL
from monitor.runner.sequences import Sequencer, writer_and_sequence
from monitor.runner.snapshots import Snapshots
from monitor.runner.stopped_models import StoppedModels
from monitor.runner.topics import create_topics
from monitor.telemetry import get_log
from tests.unit.runner.test_end_to_end import PLACE

TOPICS = LedgerTopics("sd.", 1)
TP = TopicPartition("sd.ledger", 0)
ALERTS = "sd.alerts/0"
WRITER = "sd.evaluate/sd.ledger/0"


def a_bus(written: int, writer: str = f"{WRITER}/m") -> MemoryBus:
    """Our topics, with so many alerts of a writer."""
    bus = MemoryBus()
    create_topics(bus, TOPICS, ())
    alerts = [Outgoing("sd.alerts", 0, b"k", str(n).encode()) for n in range(written)]
    bus.write(Sequencer(writer).number(alerts), markers=False)
    return bus


def all_of(bus: MemoryBus, topic: str) -> list[Record]:
    return [record for batch in read_whole(bus, TopicPartition(topic, 0)) for record in records_of(batch)]


class Committed(NamedTuple):
    """What a commit says: of the partition, and of the model m."""

    position: EvaluatePosition
    model: EvaluatedModel | None


def a_position(published: int, before: int, tail: int = 0) -> Committed:
    """Committed after so many alerts of m."""
    position = EvaluatePosition(FORMAT, 7, None, 9, "", {}, {}, {ALERTS: tail}, "", "", 0)
    numbers, earlier = {ALERTS: published}, {ALERTS: before}
    return Committed(position, EvaluatedModel(FORMAT, 7, None, "", numbers, earlier, numbers, None))


def commit(outbox: Outbox, committed: Committed, moves: bool = True, tail: int | None = None) -> Committed:
    """The next commit; `moves`: whether it writes the model's record, `tail`: where its outputs end."""
    tails = committed.position.tails if tail is None else {ALERTS: tail}
    number = committed.position.commit + 1
    position = msgspec.structs.replace(committed.position, commit=number, tails=tails)
    model = committed.model
    if moves:
        model = EvaluatedModel(FORMAT, number, None, "", stopped=None, **outbox.commit("m")._asdict())
    return Committed(position, model)


def restored(bus: MemoryBus, committed: Committed) -> Outbox:
    outbox = Outbox("sd.evaluate", TP, TOPICS)
    outbox.restore(committed.position, {} if committed.model is None else {"m": committed.model}, bus)
    return outbox


def say(outbox: Outbox, alerts: int, model: str = "m") -> list[int]:
    """Numbers of the alerts that are written when so many more are said."""
    outbox.publish([Message("alerts", 0, model, "k", b"v", b"") for _ in range(alerts)], {})
    return [writer_and_sequence(record.headers)[1] for record in outbox.take()]


def test_folding_again_writes_nothing_that_is_there() -> None:
    """Then the numbers go on."""
    assert say(restored(a_bus(3), a_position(3, 2, tail=2)), 5) == [3, 4]


@pytest.mark.parametrize("torn", [1, 2, 5])
def test_what_a_commit_has_lost_is_written_again(torn: int) -> None:
    """However often that commit is torn again: what it lost does not count as written before it is there."""
    committed = a_position(3, 1, tail=1)
    for _ in range(torn):
        outbox = restored(a_bus(1), committed)
        assert say(outbox, 3) == [1, 2]
        committed = commit(outbox, committed)


def test_the_commit_after_a_restart_names_what_may_be_lost() -> None:
    """Models of the last commit are written again with the next, whether they have something to say or not."""
    outbox = restored(a_bus(1), a_position(3, 1, tail=1))
    say(outbox, 3)
    assert outbox.take_spoken() == {"m"}
    outbox = restored(a_bus(3), a_position(3, 1, tail=1))
    outbox.arrive(())
    assert outbox.has_reached({}, ())
    assert outbox.take_spoken() == {"m"}
    assert outbox.take_spoken() == set()


@pytest.mark.parametrize("commits", [1, 2, 5])
def test_a_model_that_later_commits_did_not_move_has_lost_nothing(commits: int) -> None:
    """Its record stays as it is while others move on, and so does what is there of its outputs."""
    bus, committed = a_bus(3), a_position(3, 1, tail=1)
    outbox = restored(bus, committed)
    assert say(outbox, 3) == []
    committed = commit(outbox, committed)
    for _ in range(commits):
        committed = commit(outbox, committed, moves=False, tail=3)
    assert say(restored(bus, committed), 5) == [3, 4]


@pytest.mark.parametrize("moves", [True, False])
@pytest.mark.parametrize("commits", [0, 1, 3])
def test_what_a_torn_commit_has_left_is_not_written_again(commits: int, moves: bool) -> None:
    """However many commits later, and wherever their tails are: folding has not come to it yet."""
    bus, committed = a_bus(6), a_position(1, 0)
    for number in range(commits):
        outbox = restored(bus, committed)
        assert say(outbox, 1) == []
        committed = commit(outbox, committed, moves or number == 0, tail=6)
    assert say(restored(bus, committed), 8) == [6, 7]


def test_alerts_of_no_model_keep_their_numbers_over_a_restart() -> None:
    """They share their writer with the entries of the task itself, which folding does not say again."""
    bus = a_bus(2, WRITER)
    entries = [Outgoing("sd.ledger", 0, b"k", b"v")] * 3
    bus.write(Sequencer(WRITER).number(entries), markers=False)
    low = Snapshot(5, 0, "", "", {ALERTS: 2, "sd.ledger/0": 1})
    tails = {ALERTS: 2, "sd.ledger/0": 0}
    position = EvaluatePosition(FORMAT, 7, low, 9, "", {ALERTS: 2}, {ALERTS: 2}, tails, "", "", 0)
    outbox = restored(bus, Committed(position, None))
    assert outbox.numbers("") == {ALERTS: 2, "sd.ledger/0": 3}
    assert say(outbox, 1, model="") == [2]


def an_alert(number: int, status: Status | None = "firing") -> Message:
    return Message("alerts", number, "m", "k", b"%d" % number, b"", status)


def test_an_alert_is_written_to_the_log_and_to_what_fires_now() -> None:
    """In this order and in one transaction; resolved, it leaves a tombstone, and notices are in the log alone."""
    outbox = Outbox("sd.evaluate", TP, TOPICS)
    outbox.publish([an_alert(0), an_alert(1, "resolved"), an_alert(2, None)], {})
    written = [(record.topic, record.key, record.value) for record in outbox.take()]
    assert written == [
        ("sd.alerts", b"k", b"0"),
        ("sd.firing", b"k", b"0"),
        ("sd.alerts", b"k", b"1"),
        ("sd.firing", b"k", None),
        ("sd.alerts", b"k", b"2"),
    ]


@pytest.mark.parametrize(("alerts", "firing"), [(3, 0), (0, 3), (3, 2), (1, 3), (0, 0), (3, 3)])
def test_whichever_part_of_a_commit_is_lost_both_are_put_right(alerts: int, firing: int) -> None:
    """A torn commit left so many of three alerts in one topic and so many in the other: each is completed by itself."""
    bus = a_bus(0)
    published = [an_alert(0), an_alert(1, "resolved"), an_alert(2)]
    whole = Outbox("sd.evaluate", TP, TOPICS)
    whole.publish(published, {})
    records = whole.take()
    kept = {"sd.alerts": alerts, "sd.firing": firing}
    for topic, number in kept.items():
        bus.write([record for record in records if record.topic == topic][:number], markers=False)
    numbers = {ALERTS: 3, "sd.firing/0": 3}
    position, model = a_position(3, 0)
    assert model is not None
    outbox = restored(bus, Committed(position, msgspec.structs.replace(model, numbers=numbers, there=numbers)))
    outbox.publish(published, {})
    bus.write(outbox.take(), markers=False)
    found = {topic: [r.value for r in all_of(bus, topic)] for topic in kept}
    assert found == {"sd.alerts": [b"0", b"1", b"2"], "sd.firing": [b"2"]}  # which is compacted


def with_ids(*names: str) -> list[Message]:
    return [Message("alerts", 0, "m", "k", b'{"id":"%s"}' % name.encode(), b"") for name in names]


def of_another_release() -> tuple[MemoryBus, Outbox]:
    """It has left three alerts of m in a commit of which the position is lost; its commit has been folded again to."""
    bus = a_bus(0)
    left = [Outgoing("sd.alerts", 0, b"k", message.value) for message in with_ids("a", "b", "c")]
    bus.write(Sequencer(f"{WRITER}/m").number(left), markers=False)
    committed = a_position(0, 0)
    outbox = Outbox("sd.evaluate", TP, TOPICS)
    outbox.restore(committed.position, {"m": committed.model} if committed.model else {}, bus, is_comparable=False)
    outbox.complete({"", "m"})
    return bus, outbox


@pytest.mark.parametrize("ends_early", [False, True], ids=["goes on", "ends behind its early outputs"])
def test_what_completes_a_commit_of_another_release_is_written_at_once(ends_early: bool) -> None:
    """Of three changes of an alert the last is lost in `firing`; a part of all three would count as that one."""
    bus = a_bus(0)
    changes: tuple[Status, ...] = ("firing", "resolved", "firing")
    messages = [Message("alerts", n, "m", "k", b'{"id":"%d"}' % n, b"", status) for n, status in enumerate(changes)]
    whole = Outbox("sd.evaluate", TP, TOPICS)
    whole.publish(messages, {})
    bus.write(whole.take()[:-1], markers=False)
    numbers = {ALERTS: 3, "sd.firing/0": 3}
    position, model = a_position(3, 0)
    assert model is not None
    models = {"m": msgspec.structs.replace(model, numbers=numbers, there=numbers)}
    for _ in range(1 + ends_early):
        outbox = Outbox("sd.evaluate", TP, TOPICS)
        outbox.restore(position, models, bus, is_comparable=False)
        outbox.come_to_last_commit()
        outbox.publish(messages, {})
        outbox.complete({"", "m"})
        bus.write(outbox.take_early(most_bytes=1), markers=False)
    bus.write(outbox.take(), markers=False)
    assert [record.value for record in all_of(bus, "sd.firing")] == [messages[-1].value]  # it is compacted


def test_a_rebuilt_model_publishes_nothing_that_another_release_has_left() -> None:
    """By ids; what is new is numbered behind it."""
    _, outbox = of_another_release()
    again = outbox.begin_again("m", {ALERTS: 3})
    again.add(with_ids("a", "b", "c", "d"), is_new=True)
    outbox.publish_again("m", {ALERTS: 3}, again, {})
    assert [(r.value, writer_and_sequence(r.headers)[1]) for r in outbox.take()] == [(b'{"id":"d"}', 3)]


def test_a_stopped_model_had_left_some_before_another_release_came() -> None:
    """Behind the place where it stopped, in a commit that is confirmed since: they are known by their ids as well."""
    bus = a_bus(0)
    left = [Outgoing("sd.alerts", 0, b"k", message.value) for message in with_ids("a", "b", "c")]
    bus.write(Sequencer(f"{WRITER}/m").number(left), markers=False)
    position, model = a_position(3, 3, tail=3)
    assert model is not None
    stopped = msgspec.structs.replace(model, stopped=Stopped(9, "damaged", {ALERTS: 1}))
    outbox = Outbox("sd.evaluate", TP, TOPICS)
    outbox.restore(position, {"m": stopped}, bus, is_comparable=False)
    outbox.complete({"", "m"})
    again = outbox.begin_again("m", {ALERTS: 3})
    again.add(with_ids("a"), is_new=False)
    again.add(with_ids("b", "c", "d"), is_new=True)
    outbox.publish_again("m", {ALERTS: 3}, again, {})
    assert [(r.value, writer_and_sequence(r.headers)[1]) for r in outbox.take()] == [(b'{"id":"d"}', 3)]


def commits_of(bus: MemoryBus, outbox: Outbox) -> LedgerCommits:
    log = get_log("test")
    snapshots = Snapshots(bus, TOPICS, USUAL)
    commands = Commands(bus, TopicPartition("sd.commands", 0), Gate("memory", "sd."))
    return LedgerCommits(TP, outbox, snapshots, commands, "0", log)


def test_a_stopped_model_goes_on_behind_what_another_release_has_left() -> None:
    """Its record has the numbers of before that commit; they never go back."""
    bus, outbox = of_another_release()
    commits = commits_of(bus, outbox)
    still = StoppedModels(bus, TP, PLACE, Activations(bus, TOPICS), outbox, commits, get_log("test"))
    still.stopped["m"] = Stopped(9, "damaged", {ALERTS: 1, "sd.observations/0": 5})
    still.go_on_behind({"m": outbox.numbers("m")})
    assert still.stopped["m"].numbers == {ALERTS: 3, "sd.observations/0": 5}
    assert commits.moved == {"m"}


def test_a_model_that_no_commit_knows_goes_on_behind_what_another_release_has_left() -> None:
    """Its first outputs are those of a torn commit: none of what follows is taken for one of them.

    The next commit writes its record, and until it has a snapshot no restart compares its messages.
    """
    bus, left = a_bus(0), with_ids("a", "b", "c")
    records = [Outgoing("sd.alerts", 0, b"k", message.value) for message in left]
    bus.write(Sequencer(f"{WRITER}/m").number(records), markers=False)
    log, outbox, activations = get_log("test"), Outbox("sd.evaluate", TP, TOPICS), Activations(bus, TOPICS)
    commits = commits_of(bus, outbox)
    still = StoppedModels(bus, TP, PLACE, activations, outbox, commits, log)
    parts = Restored(outbox, commits, still, activations, Snapshots(bus, TOPICS, USUAL))
    target = msgspec.structs.replace(a_position(0, 0).position, models=ModelRecords().digest, messages="another")
    restore = LedgerRestore(bus, TP, PLACE, parts, target, {}, log)
    task, _ = restore.begin(EvaluateTask(PLACE))
    restore.look_up()
    restore.arrive()
    outbox.publish([*left[1:], *with_ids("d", "e")], {})
    written = [(record.value, writer_and_sequence(record.headers)[1]) for record in outbox.take()]
    assert written == [(b'{"id":"d"}', 3), (b'{"id":"e"}', 4)]
    position, models = commits.commit(Fold(task, 9, {}))
    record = decode_model(models["m"])
    assert (record.before, record.numbers) == ({ALERTS: 3}, {ALERTS: 5})
    assert position.messages == ""
    assert commits.parts.are_wanted


@pytest.mark.parametrize("found", [0, 1, 3])
@pytest.mark.parametrize("others", [0, 1, 2])
def test_notices_folded_again_from_the_start_end_at_the_committed_numbers(others: int, found: int) -> None:
    """Another release has published some before them, and a torn commit may have lost the last ones.

    Where a shared part may be written whose numbers count is remembered from then on.
    """
    bus, names = MemoryBus(), [*(f"o{n}" for n in range(others)), *(f"n{n}" for n in range(3))]
    create_topics(bus, TOPICS, ())
    notices = [message._replace(model="") for message in with_ids(*names, "next")]
    records = [Outgoing("sd.alerts", 0, b"k", notice.value) for notice in notices[: others + found]]
    bus.write(Sequencer(WRITER).number(records), markers=False)
    numbers, tails = {ALERTS: others + 3}, {ALERTS: others}
    position = EvaluatePosition(FORMAT, 7, None, 9, "", numbers, {ALERTS: others}, tails, "", "", 0)
    outbox = restored(bus, Committed(msgspec.structs.replace(position, skipped={ALERTS: (0, others)}), None))
    commits, task = commits_of(bus, outbox), EvaluateTask(PLACE)
    outbox.publish(notices[:-1], {})
    commits.remember(task, 5)
    assert commits.low.due(7, 7, 0) is None
    outbox.number_notices(numbers)
    commits.remember(task, 7)
    remembered = commits.low.due(7, 7, 0)
    assert remembered is not None
    assert remembered.numbers == numbers
    outbox.publish(notices[-1:], {})
    written = [writer_and_sequence(record.headers)[1] for record in outbox.take()]
    assert written == list(range(others + found, others + 4))


@pytest.mark.parametrize("known", [True, False])
def test_no_rules_are_written_behind_those_that_have_followed_them(known: bool) -> None:
    """Folding again gives all of a pane once more; the file of an older one must not come to be the newest."""
    first, newest, other = (
        Activation(new_decision("m", "rules", content, alerts_yaml_sha256=content), at)
        for content, at in [("a", 2000), ("b", 2000), ("c", 4000)]
    )
    written = {activation_key(newest): newest} if known else {}
    outbox = Outbox("sd.evaluate", TP, TOPICS)
    outbox.publish([first], written)
    outbox.publish([newest, other, other], written)
    found = [decode_agreement(record.headers, record.value or b"") for record in outbox.take()]
    assert found == ([other] if known else [first, newest, other])  # a snapshot may stand on each
    assert outbox.is_empty
    outbox.publish([first], written)
    assert [record.value for record in outbox.take()] == [msgspec.json.encode(first)]
    outbox.publish([newest, first], written)
    assert outbox.is_empty
    of_another_file = msgspec.structs.replace(first.decision, alerts_yaml_sha256="d")
    outbox.publish([newest, Activation(of_another_file, 2000)], written)
    assert [b'"d"' in (record.value or b"") for record in outbox.take()] == [False, True]
