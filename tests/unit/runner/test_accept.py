"""What people accept as normal: the reference is made of stored panes, once, and a replay gives the same."""

from __future__ import annotations

from typing import Literal

import msgspec
import pytest

from monitor.events import TopicPartition
from monitor.ledger.commands import Accept
from monitor.runner.accepted import GONE
from tests import commands
from tests.commands import command
from tests.unit.runner.fleet import START, TOPICS, published, send
from tests.unit.runner.test_commands import ask, refusals
from tests.unit.runner.test_silence import with_rules
from tests.unit.runner.test_stalls import Stall, tps

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


def told(run: Stall, alert: str) -> list[tuple[str, str | None]]:
    """Status and reason of the messages of an alert of m, by time."""
    events = [msgspec.json.decode(value) for value in published(run.fleet.bus)]
    own = [e for e in events if e["data"]["labels"].items() >= {"alertname": alert, "model": "m"}.items()]
    return [(e["data"]["status"], e["data"].get("reason")) for e in sorted(own, key=lambda e: str(e["time"]))]


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


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (accept(700, 5000), "the stretch ends behind the event time to which the model is judged"),
        (accept(700, 1100, "predictions"), "the model has no stream predictions; it has features"),
        (commands.accept(START, START + 1, columns=("y",)), "the stream features has no column 'y'"),
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
