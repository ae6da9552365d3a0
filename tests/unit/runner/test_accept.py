"""What people accept as normal: the reference is made of stored panes, once, and a replay gives the same."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec
import pytest

from monitor.codec.canonical import time_text
from monitor.config import load
from monitor.config.resolved import Config
from monitor.evaluate.accepting import Refusal
from monitor.events import Outgoing, TopicPartition
from monitor.ledger.commands import Accept
from monitor.ledger.entries import Activation, Decision, DecisionKind, PartitionSet
from monitor.runner.accepted import GONE, AcceptedReferences
from monitor.runner.evaluate import EvaluateStage
from monitor.runner.outbox import Outbox
from monitor.sources.control import control_records, decode_control
from monitor.telemetry import get_log
from tests import commands
from tests.commands import command
from tests.unit.runner.fleet import START, TOPICS, hash_of, published, send
from tests.unit.runner.test_commands import ask, refusals
from tests.unit.runner.test_models_that_go import reload
from tests.unit.runner.test_silence import with_rules
from tests.unit.runner.test_stalls import FEATURES, HEAD, MODEL, Stall, tps

DRIFT = """
groups:
  - name: g
    model: m
    rules:
      - {alert: Psi, expr: psi > 0.5, window: {time: 60s, every: 60s}, min_events: 20}
      - {alert: Moved, expr: drift > 1}
      - {alert: Many, expr: events > 1, window: {time: 60s, every: 60s}, min_events: 1}
"""


def accept(start: float, end: float, stream: Literal["predictions", ""] = "") -> Accept:
    """The stretch between two seconds of the run."""
    begin, behind = (START + int(second * 1000) for second in (start, end))
    return commands.accept(begin, behind, stream)


def a_run(inputs: int = 1) -> Stall:
    """600 s as the reference is, and 600 s that have moved."""
    run = with_rules(Stall({"in.features": inputs}, "0s"), "0s", rules=DRIFT)
    go_on(run, 0, 600)
    go_on(run, 600, 1200, shift=2.0)
    return run


def go_on(run: Stall, start: float, end: float, shift: float = 0.0) -> None:
    """More traffic, which is judged."""
    for tp in tps(run.fleet.bus.partitions("in.features") or 0):
        send(run.fleet.bus, tp, [start + i * 0.5 for i in range(int((end - start) / 0.5))], shift)
    run.wait(10, 20)


def told(run: Stall, alert: str, **labels: str) -> list[tuple[str, str | None]]:
    """Status and reason of the messages of an alert of m, by time."""
    events = [msgspec.json.decode(value) for value in published(run.fleet.bus)]
    wanted = {"alertname": alert, "model": "m", **labels}
    own = [e for e in events if e["data"]["labels"].items() >= wanted.items()]
    return [(e["data"]["status"], e["data"].get("reason")) for e in sorted(own, key=lambda e: str(e["time"]))]


def go_on_in_two(run: Stall, start: int, end: int, x: float, z: float) -> None:
    """More traffic of a model with two columns, which have moved as far."""
    sender = run.fleet.bus.sender()
    for tp in tps(run.fleet.bus.partitions("in.features") or 0):
        for number in range(start * 2, end * 2):
            values = {"x": hash_of(tp, number) % 1000 / 250 + x, "z": hash_of(tp, number + 7) % 1000 / 250 + z}
            event = {"model": "m", "event_time": time_text(START + number * 500), "features": values}
            sender.send(Outgoing(tp.topic, tp.partition, None, msgspec.json.encode(event)))
    sender.flush()
    run.wait(10, 20)


def a_run_of_two(inputs: int, z: float) -> Stall:
    """600 s as the reference is, and 600 s in which `x` has moved and `z` by as much as that."""
    run = Stall({"in.features": inputs}, "0s")
    text = HEAD % ("0s", "30s") + MODEL.replace("[x]", "[x, z]") % ("m", FEATURES, "") + DRIFT
    run.fleet.config = load(text, "alerts.yaml")
    for name in ("evaluate-1", "profile-1"):
        run.fleet.join(name)
    go_on_in_two(run, 0, 600, 0.0, 0.0)
    go_on_in_two(run, 600, 1200, 2.0, z)
    return run


@pytest.mark.parametrize(("inputs", "restarts", "z"), [(1, False, 2.0), (2, True, 0.0)])
def test_one_column_is_accepted_and_the_other_stays_what_it_was(inputs: int, restarts: bool, z: float) -> None:
    """Its alert resolves with the reason. What the other one has done in that stretch stays an alert, as for both."""
    run = a_run_of_two(inputs, z)
    ask(run, command("m", commands.accept(START + 700_000, START + 1_100_000, columns=("x",))))
    if restarts:
        run.fleet.join("evaluate-1")
    go_on_in_two(run, 1200, 2000, 2.0, z)
    if restarts:
        run.fleet.join("evaluate-1")
    resolved, on_z = [("firing", None), ("resolved", "accepted")], [("firing", None)] if z else []
    assert told(run, "Psi", column="x") == resolved
    assert told(run, "Psi", column="z") == on_z
    assert told(run, "Moved") == (on_z or resolved)
    go_on_in_two(run, 2000, 2300, 0.0, z)
    assert told(run, "Psi", column="x") == [*resolved, ("firing", None)]
    assert refusals(run) == []
    run.check()


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("inputs", [1, 3])
def test_what_is_accepted_is_normal_from_then_on_and_a_further_shift_is_not(inputs: int, restarts: bool) -> None:
    """Alerts on the reference resolve with the reason; others go on; the same data never fires again."""
    run = a_run(inputs)
    assert told(run, "Psi") == told(run, "Moved") == [("firing", None)]
    ask(run, command("m", accept(700, 1100)))
    if restarts:
        run.fleet.join("evaluate-1")
    go_on(run, 1200, 3000, shift=2.0)
    if restarts:
        run.fleet.join("evaluate-1")
    assert told(run, "Psi") == told(run, "Moved") == [("firing", None), ("resolved", "accepted")]
    assert told(run, "Many") == [("firing", None)]
    go_on(run, 3000, 3600, shift=4.0)
    assert told(run, "Psi")[2:] == told(run, "Moved")[2:] == [("firing", None)]
    assert refusals(run) == []
    run.check()


def with_reference(reference: str) -> Config:
    """One model with that `reference`."""
    model = MODEL.replace("{first: 100}", reference) % ("m", FEATURES, "")
    return load(HEAD % ("0s", "30s") + model + DRIFT, "alerts.yaml")


def run_of(config: Config, rows: int = 0) -> Stall:
    """A service under that alerts.yaml. `rows`: those that its topic holds before it begins."""
    run = Stall({"in.features": 1}, "0s")
    send(run.fleet.bus, tps(1)[0], [n * 0.5 for n in range(rows)])
    run.fleet.config = config
    for name in ("evaluate-1", "profile-1"):
        run.fleet.join(name)
    return run


def decided(run: Stall, kind: DecisionKind) -> list[Activation]:
    """The decisions of a kind about m, in the order in which they counted."""
    control = decode_control(control_records(run.fleet.bus, TOPICS), TOPICS.prefix)
    own = [a for a in control.activations if a.decision.kind == kind and a.decision.model == "m"]
    return sorted(own, key=lambda activation: activation.at or 0)


def compared_with(run: Stall) -> str:
    """The reference that the newest window of m was compared with."""
    events = [msgspec.json.decode(value) for value in published(run.fleet.bus, "observations")]
    windows = [e for e in events if e["type"] == "streamdrift.observation.v1" and e["data"]["model"] == "m"]
    return str(max(windows, key=lambda event: str(event["data"]["window"]["to"]))["data"]["reference"])


RESOLVED = [("firing", None), ("resolved", "accepted")]


@pytest.mark.parametrize("source", ["topic", "path"])
def test_it_stays_in_the_place_of_a_file_or_topic_until_alerts_yaml_has_another_reference(
    source: str, tmp_path: Path
) -> None:
    """Over restarts, whatever the file holds by then; and it counts again once the same one is named again."""
    path = tmp_path / "rows.jsonl"
    times = (time_text(START + n * 1000) for n in range(300))
    rows = [
        {"event_time": time, "model": "m", "features": {"x": n * 7919 % 1000 / 250}} for n, time in enumerate(times)
    ]
    path.write_bytes(b"\n".join(map(msgspec.json.encode, rows)))
    span = f"from: {time_text(START)}, to: {time_text(START + 300_000)}"
    own = with_reference(f"{{path: {path}}}" if source == "path" else f"{{topic: in.features, {span}}}")
    run = run_of(own, 1200)
    go_on(run, 600, 1200, shift=2.0)
    assert told(run, "Psi") == [("firing", None)]
    ask(run, command("m", accept(700, 1100)))
    go_on(run, 1200, 1300, shift=2.0)
    assert told(run, "Psi") == RESOLVED
    accepted = compared_with(run)
    path.write_bytes(b"\n".join(map(msgspec.json.encode, rows[:200])))
    run.fleet.join("evaluate-1")
    go_on(run, 1300, 1700, shift=2.0)
    assert (told(run, "Psi"), compared_with(run)) == (RESOLVED, accepted)
    reload(run.fleet, with_reference("{first: 100}"))
    go_on(run, 1700, 1720, shift=2.0)
    go_on(run, 1720, 2100, shift=2.0)
    assert compared_with(run) != accepted
    reload(run.fleet, own)
    go_on(run, 2100, 2120, shift=2.0)
    go_on(run, 2120, 2500, shift=2.0)
    assert compared_with(run) == accepted
    run.check()


@pytest.mark.parametrize("restarts", [False, True])
def test_a_reference_that_trails_goes_on_from_what_is_accepted(restarts: bool) -> None:
    """Windows get another one a span later. Before the first one nothing can be accepted, nor some columns alone."""
    run = run_of(with_reference("{trailing: 20m}, grid_rows: 100"))
    go_on(run, 0, 600)
    ask(run, command("m", accept(100, 500)))
    go_on(run, 600, 1260)
    go_on(run, 1260, 1500, shift=2.0)
    assert told(run, "Psi") == told(run, "Moved") == [("firing", None)]
    ask(run, command("m", commands.accept(START + 1_300_000, START + 1_480_000, columns=("x",)), "2"))
    ask(run, command("m", accept(1300, 1480), "3"))
    if restarts:
        run.fleet.join("evaluate-1")
    go_on(run, 1500, 2200, shift=2.0)
    if restarts:
        run.fleet.join("evaluate-1")
    go_on(run, 2200, 3000, shift=2.0)
    assert told(run, "Psi") == told(run, "Moved") == RESOLVED
    accepted, following = decided(run, "reference")[-1], decided(run, "trailing")
    assert [(one.at or 0) - (accepted.at or 0) for one in following] == [1_200_000]
    assert compared_with(run) == following[0].decision.digest
    whys = [text.partition(" is refused: ")[2] for text in refusals(run)]
    assert [why.partition(":")[0] for why in sorted(whys)] == [
        "the reference of features trails, so all columns go on together; leave out --columns",
        "the stream features has no reference yet",
    ]
    run.check()


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (accept(700, 5000), "the stretch ends behind the event time to which the model is judged"),
        (accept(700, 1100, "predictions"), "the model has no stream predictions; it has features"),
        (commands.accept(START, START + 1, columns=("y",)), "the stream features has no column 'y'"),
        (commands.accept(START, START + 1, columns=("",)), "the stream features has no column ''"),
        (accept(700, 711), "the stretch has 10 rows, and a reference needs 100"),
        (accept(1000, 1009), "the stretch has 0 rows, and a reference needs 100"),
    ],
)
def test_a_stretch_that_can_be_no_reference_is_refused(asked: Accept, why: str) -> None:
    """With the reason, as a notice; the reference stays, and so do its alerts."""
    run = a_run()
    ask(run, command("m", asked))
    go_on(run, 1200, 1300, shift=2.0)
    assert [text.partition(" is refused: ")[2] for text in refusals(run)] == [why]
    assert told(run, "Psi") == [("firing", None)]
    run.check()


def test_a_stream_whose_partitions_are_not_in_the_set_any_more_is_refused() -> None:
    """Its lane is there up to the next pane, when new rules count; sets count at once."""
    run, tp = a_run(), TopicPartition(TOPICS.name("ledger"), TOPICS.partition_of("m"))
    stage = run.fleet.stages["evaluate-1"]
    assert isinstance(stage, EvaluateStage)
    held, outbox = stage._partitions[tp], Outbox(stage.group, tp, stage._ledger)
    fold = held.task.models["m"]
    fold.decisions.partitions = PartitionSet({"features": ("in.other", 1)})
    fold.accepting.add(command("m", accept(700, 1100)).decision)
    AcceptedReferences(run.fleet.bus, tp, outbox, get_log("test")).go_on(held.task, held.position, lambda: False)
    (answer,) = outbox.entries
    assert isinstance(answer, Decision)
    assert answer.kind == "refusal"
    text = msgspec.json.decode(answer.content, type=Refusal).text
    assert text.partition(" is refused: ")[2] == "the model reads no partition of in.features any more"


def test_values_that_the_grid_can_not_tell_are_no_reference() -> None:
    """So far from where they were that it is coarse there."""
    run = a_run()
    go_on(run, 1200, 1800, shift=100.0)
    ask(run, command("m", accept(1300, 1700)))
    go_on(run, 1800, 1900, shift=100.0)
    (text,) = refusals(run)
    assert text.partition(" is refused: ")[2].startswith("100% of the values of x lie in one bin of the grid;")
    run.check()


def test_panes_that_are_gone_are_no_reference() -> None:
    """A stretch before what the ledger still holds is refused, one behind it is taken."""
    run = a_run()
    tp = TopicPartition(TOPICS.name("ledger"), TOPICS.partition_of("m"))
    go_on(run, 1200, 1800, shift=2.0)
    middle = run.fleet.bus.end(tp)
    go_on(run, 1800, 1900, shift=2.0)
    go_on(run, 1900, 2400, shift=2.0)
    run.fleet.bus.delete_before(tp, middle)
    ask(run, command("m", accept(1500, 2300)))
    go_on(run, 2400, 2500, shift=2.0)
    assert [text.partition(" is refused: ")[2] for text in refusals(run)] == [GONE]
    ask(run, command("m", accept(1900, 2300), "2"))
    go_on(run, 2500, 2600, shift=2.0)
    assert told(run, "Psi") == [("firing", None), ("resolved", "accepted")]
