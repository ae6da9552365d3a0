"""A snapshot is the state: what is restored goes on as if nothing had happened, and what is wrong is refused."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import msgspec
import pytest
from msgspec.structs import replace as replace_fields

from monitor.codec.snapshot import Header, decode_part, decode_payload, digest_of_part
from monitor.config import load
from monitor.detectors import DetectorState
from monitor.errors import FormatError
from monitor.evaluate.alerts import Place
from monitor.evaluate.messages import Message
from monitor.evaluate.model import Output
from monitor.evaluate.snapshots import SavedModel, encode_model
from monitor.evaluate.state import BankState, ModelState, PendingPane
from monitor.evaluate.task import EvaluateTask
from monitor.ledger.entries import Activation, Decision, Entry, Notice, PartitionSet, new_decision
from monitor.runner.announce import rules_decision
from tests.another_river import DIFFERENT, RENAMED, SAME, another_river
from tests.determinism import logs
from tests.snapshots import restored, said_by, snapshot

PLACE = Place("/s", "http://localhost", "0", "c")
LABELS = (("bound", "categories"),)
NOTICES = (
    Notice("m", "CardinalityLimited", logs.START + 30_000, logs.TOPICS[0], 0, LABELS, "too many"),
    Notice("m", "CardinalityLimited", logs.START + 90_000, logs.TOPICS[0], 0, (("bound", "columns"),), "too many"),
    Notice("", "DataLost", logs.START + 20_000, logs.TOPICS[0], 0, (("topic", logs.TOPICS[0]),), "lost"),
)
ALL_DETECTORS = """detectors:
  kswin: {class: KSWIN, params: {window_size: 40, stat_size: 15}, input: a}
  ddm: {class: DDM, input: class(1)}
  eddm: {class: EDDM, input: class(1)}
  fhddm: {class: FHDDM, params: {short_window_size: 20}, input: class(1)}
  hddma: {class: HDDMA, input: class(1)}
  hddmw: {class: HDDMW, input: class(1)}
  absent: {class: ADWIN, input: missing(b)}
"""


@lru_cache
def ledger(seed: int, times: int = 1) -> tuple[Entry, ...]:
    """The ledger of a random log: set and rules first, then what profile writes, notices and (odd seeds) new rules.

    `times`: how much slower the log is, with its own rules.
    """
    log = logs.plain_log(seed)
    if times > 1:
        log = logs.slowed(log, times)
    model = log.config.models[0]
    streams = {s.stream: (s.topic, sum(1 for tp in log.records if tp.topic == s.topic)) for s in model.contract.streams}
    partitions = new_decision("m", "set", msgspec.json.encode(PartitionSet(streams)).decode())
    engine = logs.replay_of(log)
    entries: list[Entry] = [partitions, _rules(seed) if times == 1 else rules_decision(model)]
    read = engine._evaluate.read

    def spy(entry: Entry) -> list[Output]:
        entries.append(entry)
        return read(entry)

    engine._evaluate.read = spy  # type: ignore[method-assign]
    for batch in logs.pieces(log, random.Random(seed)):
        engine.feed(batch)
    engine.finish({})
    rng = random.Random(seed)
    late: list[Entry] = [*NOTICES, *([rules_decision(model)] if seed % 2 else [])]
    for entry in late:
        entries.insert(rng.randint(2, len(entries)), entry)
    return tuple(entries)


def _rules(seed: int) -> Decision:
    """The log's rules with all eight detectors, of which one rule or another tells."""
    window = random.Random(seed).choice(["{events: 200, every: 50}", "{time: 20s, every: 4s}"])
    settings = {"lateness": 5, "interval": 4, "points": 40, "origin": "first", "first": 120, "hold": 4, "grid_rows": ""}
    text = logs.CONFIG.format(window=window, windows=2, **settings)
    config = load(text.replace("detectors:\n", ALL_DETECTORS), "alerts.yaml").models[0]
    contract = logs.plain_log(seed).config.models[0].contract
    return rules_decision(replace(config, contract=contract))


def decisions_of(outputs: Sequence[Output]) -> dict[str, Decision]:
    return {output.decision.digest: output.decision for output in outputs if isinstance(output, Activation)}


def evaluated(entries: Sequence[Entry], cuts: Sequence[int]) -> tuple[EvaluateTask, list[Output]]:
    """Folds all entries; at each cut the task is made anew from its snapshot."""
    task, outputs = EvaluateTask(PLACE), list[Output]()
    for place, entry in enumerate(entries):
        if place in cuts:
            parts = snapshot(task)
            task, errors = restored(PLACE, parts, decisions_of(outputs), said_by(task))
            assert not errors
            assert snapshot(task) == parts
        outputs += task.read(entry)
        outputs += task.advance()
    return task, outputs


def messages(outputs: Sequence[Output]) -> list[Message]:
    return [output for output in outputs if isinstance(output, Message)]


@pytest.mark.parametrize("seed", range(6))
def test_a_restored_task_publishes_what_an_undisturbed_one_does(seed: int) -> None:
    """Restored at twelve places, every later message has the same bytes, and so has the state at the end."""
    entries = ledger(seed)
    cuts = random.Random(seed + 100).sample(range(1, len(entries)), 12)
    task, outputs = evaluated(entries, [])
    again, others = evaluated(entries, cuts)
    assert messages(others) == messages(outputs)
    assert {message.topic for message in messages(outputs)} >= {"alerts", "observations"}
    assert said_by(again) == said_by(task)
    assert snapshot(again) == snapshot(task)


@pytest.mark.parametrize("seed", [0, 1, 4])
def test_hidden_alerts_and_updates_come_back_as_they_were(seed: int) -> None:
    """An hour and a half, restored at twelve places: alerts that are under another, and what it names later."""
    entries = ledger(seed, times=45)
    cuts = random.Random(seed + 100).sample(range(1, len(entries)), 12)
    task, outputs = evaluated(entries, [])
    again, others = evaluated(entries, cuts)
    assert messages(others) == messages(outputs)
    assert snapshot(again) == snapshot(task)
    assert [m.status for m in messages(outputs)].count("updated") >= 3


def test_values_are_counted_from_the_restore_on() -> None:
    """A restored task counts from 0 what an undisturbed one counts on: each row for each detector of its stream."""
    entries = ledger(2)
    half = len(entries) // 2
    task, outputs = evaluated(entries[:half], [])
    before = task.models["m"].work_us
    again, _ = restored(PLACE, snapshot(task), decisions_of(outputs))
    assert again.models["m"].work_us == 0
    for entry in entries[half:]:
        for it in (task, again):
            it.read(entry)
            it.advance()
    assert again.models["m"].work_us == pytest.approx(task.models["m"].work_us - before, rel=1e-12)  # a sum of floats
    assert again.models["m"].work_us > 10_000


def test_a_snapshot_at_every_entry_changes_nothing() -> None:
    """Also while a stream has no grid, and right behind new rules."""
    entries = ledger(1)[:90]
    _, outputs = evaluated(entries, [])
    _, others = evaluated(entries, range(1, len(entries)))
    assert messages(others) == messages(outputs)


@lru_cache
def a_snapshot(seed: int = 2, end: int | None = None) -> tuple[dict[str, bytes], dict[str, Decision]]:
    task, outputs = evaluated(ledger(seed)[:end], [])
    return snapshot(task), decisions_of(outputs)


def test_the_state_of_all_eight_detectors_is_in_it() -> None:
    """By River's class name, in the clear."""
    part = a_snapshot()[0]["m"]
    for name in ("ADWIN", "KSWIN", "PageHinkley", "DDM", "EDDM", "FHDDM", "HDDMA", "HDDMW"):
        assert name.encode() in part


def test_a_damaged_model_stops_alone() -> None:
    """The others go on, what the ledger says of it counts for nothing, and a rebuilt one takes its place."""
    entries = [*ledger(3), *(msgspec.structs.replace(e, model="n") for e in ledger(3)[:2] if isinstance(e, Decision))]
    task, outputs = evaluated(entries, [])
    parts = snapshot(task)
    assert set(parts) == {"", "m", "n"}
    damaged = {**parts, "m": parts["m"][:-1] + bytes([parts["m"][-1] ^ 1])}
    digests = {name: digest_of_part(part) for name, part in parts.items()}
    again, errors = restored(PLACE, damaged, decisions_of(outputs), said_by(task), digests)
    assert set(errors) == {"m"} == again.stopped
    assert "streamdrift rebuild m" in str(errors["m"])
    assert set(again.models) == {"n"}
    assert again.read(ledger(3)[-1]) == again.advance() == []
    assert set(snapshot(again)) == {"", "n"}
    again.adopt(task.models["m"], "m", task.digest_of("m"))
    assert not again.stopped
    assert snapshot(again) == parts
    assert said_by(again) == said_by(task)


def test_a_damaged_shared_part_is_an_error() -> None:
    """Nothing can go on without watermarks and sequences."""
    parts, changes = a_snapshot(end=40)
    for wrong in (parts[""][:-1], parts[""] + b"!", b"", parts["m"]):
        with pytest.raises(FormatError):
            restored(PLACE, {**parts, "": wrong}, changes)
    with pytest.raises(FormatError, match="not there"):
        restored(PLACE, {"m": parts["m"]}, changes)


def test_a_part_of_another_snapshot_is_refused() -> None:
    """Position records name the parts: one of an earlier snapshot is intact, and still the wrong one."""
    earlier, _ = a_snapshot(end=60)
    parts, changes = a_snapshot()
    digests = {name: digest_of_part(part) for name, part in parts.items()}
    _, errors = restored(PLACE, {**parts, "m": earlier["m"]}, changes, digests=digests)
    assert "not the one that was committed" in str(errors["m"])
    with pytest.raises(FormatError, match="not the one that was committed"):
        restored(PLACE, {**parts, "": earlier[""]}, changes, digests=digests)


@pytest.mark.parametrize("seed", range(4))
def test_a_model_goes_on_from_a_place_of_its_own(seed: int) -> None:
    """Its part stands anywhere behind the shared one: what lies between is passed over, and then all is as it was."""
    entries = ledger(seed)
    low, own = sorted(random.Random(seed).sample(range(2, len(entries) - 1), 2))
    task, outputs = evaluated(entries[:low], [])
    shared, published = snapshot(task)[""], task.digest_of("")
    task, outputs = evaluated(entries[:own], [])
    again = EvaluateTask.restored(PLACE, shared, published)
    saved = SavedModel(task.part("m"), task.digest_of("m"), {b: value or b"" for b, value in task.blocks("m").items()})
    again.take_up("m", saved, own, decisions_of(outputs))
    for offset, entry in enumerate(entries[low:], low):
        again.reach(offset)
        assert again.passes_over("m") == (offset < own)
        again.read(entry)
        again.advance()
    whole, _ = evaluated(entries, [])
    assert said_by(again) == said_by(whole)
    assert snapshot(again) == snapshot(whole)


def test_a_change_that_is_missing_or_damaged_stops_the_model() -> None:
    """Its grid, reference, rules and set are looked up by digest, and their content has to give it."""
    parts, changes = a_snapshot()
    task, _ = restored(PLACE, parts, changes)
    assert task.stands_on <= changes.keys()
    for digest in task.stands_on:
        lacking = {other: change for other, change in changes.items() if other != digest}
        _, errors = restored(PLACE, parts, lacking)
        assert "is not there" in str(errors["m"])
        damaged = msgspec.structs.replace(changes[digest], content=changes[digest].content + " ")
        _, errors = restored(PLACE, parts, {**changes, digest: damaged})
        assert set(errors) == {"m"}


def forged(part: bytes, **fields: str) -> bytes:
    """The part with other fields in its header, and the checksum made right again."""
    line, _, payload = part.partition(b"\n")
    header = msgspec.structs.replace(msgspec.json.decode(line, type=Header), **fields)
    return checked(header, payload)


def checked(header: Header, payload: bytes) -> bytes:
    """A part with the right size and checksum."""
    bare = msgspec.structs.replace(header, sha256="", size=len(payload))
    digest = hashlib.sha256(msgspec.json.encode(bare) + b"\n" + payload).hexdigest()
    return msgspec.json.encode(msgspec.structs.replace(bare, sha256=digest)) + b"\n" + payload


@pytest.mark.parametrize("fields", [{"version": "1"}, {"version": "9"}])
def test_a_snapshot_of_another_version_is_refused_with_the_remedy(fields: dict[str, str]) -> None:
    """What it holds might load, and mean something else."""
    parts, changes = a_snapshot()
    assert not restored(PLACE, {**parts, "m": forged(parts["m"])}, changes)[1]
    task, errors = restored(PLACE, {**parts, "m": forged(parts["m"], **fields)}, changes)
    assert task.stopped == {"m"}
    assert next(iter(fields.values())) in str(errors["m"])
    assert "streamdrift rebuild m" in str(errors["m"])


@pytest.mark.parametrize("fields", [{"format": "other"}, {"kind": "shared"}, {"name": "n"}, {"kind": "x"}])
def test_a_part_that_is_something_else_is_refused(fields: dict[str, str]) -> None:
    """Also where its checksum is right."""
    parts, changes = a_snapshot()
    _, errors = restored(PLACE, {**parts, "m": forged(parts["m"], **fields)}, changes)
    assert set(errors) == {"m"}


# ---------------------------------------------------------------------- another release of River


def banks(parts: dict[str, bytes]) -> list[BankState]:
    """The detectors of model m in a snapshot, by stream."""
    state = msgspec.msgpack.decode(parts["m"].partition(b"\n")[2], type=ModelState)
    return [lane.fold.bank for lane in state.lanes if lane.fold is not None]


def without(bank: BankState, *kinds: str) -> list[DetectorState]:
    """The states of a bank but those of some classes of River's."""
    return [state for state in bank.detectors if type(state).__struct_config__.tag not in (*kinds, "fresh")]


@pytest.mark.parametrize("release", ["0.25.0", "0.27.1"])
def test_another_river_that_answers_alike_goes_on_from_the_states(release: str) -> None:
    """As if nothing had been changed: the same snapshot again, and nothing to report."""
    parts, changes = a_snapshot()
    with another_river(release, SAME):
        task, errors = restored(PLACE, parts, changes)
        assert (errors, task.begun_anew, snapshot(task)) == ({}, {}, parts)


@pytest.mark.parametrize(("classes", "kind", "release"), [(DIFFERENT, "HDDMA", "0.27.0"), (RENAMED, "HDDMW", "")])
def test_detectors_in_which_another_river_differs_begin_anew(classes: dict[str, type], kind: str, release: str) -> None:
    """Those alone; all other state goes on, and the model with it."""
    half = len(ledger(6)) // 2
    parts, changes = a_snapshot(6, half)
    assert any(len(without(bank, kind)) < len(without(bank)) for bank in banks(parts))
    with another_river("0.27.0", classes):
        task, errors = restored(PLACE, parts, changes)
        assert not errors
        assert task.begun_anew == {"m": {kind}}
        for before, after in zip(banks(parts), banks(snapshot(task)), strict=True):
            assert without(after) == without(before, kind)
            assert dict(after.releases).items() - dict(before.releases).items() <= {(kind, release)}
        for entry in ledger(6)[half:]:
            task.read(entry)
            task.advance()
        later = snapshot(task)
        # from what it has written itself it goes on, but for the states that it can't take
        task, errors = restored(PLACE, later, changes)
        assert not errors
        assert task.begun_anew == ({} if release else {"m": {kind}})
        assert snapshot(task) == later
    # and back: the states of that release are not taken for those of the golden one
    task, errors = restored(PLACE, later, changes)
    assert not errors
    assert task.begun_anew == {"m": {kind}}


def test_a_snapshot_that_does_not_name_its_river_is_refused() -> None:
    """Or something that is none of its classes, or of more classes than it holds."""
    parts, changes = a_snapshot()
    line, _, payload = parts["m"].partition(b"\n")
    for wrong in (b"HDDMX", b"DDM\0\0"):
        damaged = checked(msgspec.json.decode(line, type=Header), payload.replace(b"HDDMA", wrong))
        _, errors = restored(PLACE, {**parts, "m": damaged}, changes)
        assert set(errors) == {"m"}


def of_the_next_release(value: bytes) -> bytes:
    """A pane that holds a field which this release does not know."""
    return msgspec.msgpack.encode([*msgspec.msgpack.decode(value), "of the next release"])


@pytest.mark.parametrize("seed", range(3))
def test_panes_that_another_release_has_written_are_taken_up(seed: int) -> None:
    """Unknown optional fields in panes and first rows of a snapshot are passed over, as in the ledger."""
    panes = tails = 0
    task, outputs = EvaluateTask(PLACE), list[Output]()
    for place, entry in enumerate(ledger(seed)):
        outputs += [*task.read(entry), *task.advance()]
        parts = snapshot(task) if place % 7 == 2 else {}
        if "m" not in parts:
            continue
        state = decode_payload(decode_part(parts["m"], "model", "m"), msgspec.msgpack.Decoder(ModelState))
        held = tuple(PendingPane(pane.kind, of_the_next_release(pane.value)) for pane in state.panes)
        first_rows = tuple(
            (lane, replace_fields(rows, tail=tuple(map(of_the_next_release, rows.tail))))
            for lane, rows in state.first_rows
        )
        newer = encode_model("m", replace_fields(state, panes=held, first_rows=first_rows))
        again, errors = restored(PLACE, {**parts, "m": newer}, decisions_of(outputs), said_by(task))
        assert not errors
        assert snapshot(again) == parts
        panes, tails = panes + len(held), tails + sum(len(rows.tail) for _, rows in state.first_rows)
    assert panes > 0
    assert tails > 0
