"""Commands of people: each counts once and by pane, what is false changes nothing, and a replay gives the same."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from monitor.codec.times import parse_time
from monitor.evaluate.known_commands import KnownCommands
from monitor.evaluate.notices import MOST_PASSING, PASSING
from monitor.events import Headers, Outgoing
from monitor.ledger.commands import SIGNATURE, Command, Rebuild, Request, Silence, signature
from monitor.runner.commands import MOST_UNCERTAIN, Gate
from tests.commands import accept, acknowledge, command, copies, expire, record_of, silence
from tests.unit.runner.fleet import START, TOPICS, published
from tests.unit.runner.test_silence import reported, with_rules
from tests.unit.runner.test_stalls import Stall, tps

QUIET = """
groups:
  - name: g
    model: m
    rules:
      - {alert: Quiet, expr: seconds_since_last_event > 45}
      - {alert: Loud, expr: events > 1, window: {time: 30s, every: 30s}, min_events: 1}
retraining:
  - {trigger: again, model: m, when: {any: [Loud]}, cooldown: 0s, training_window: {since: first_violation, max: 1h}}
"""
ALERTS = ((), ("alertname=Quiet",), ("alertname=Loud",))


def a_run() -> Stall:
    """One partition of features, with 600 s of traffic that has been judged."""
    run = with_rules(Stall({"in.features": 1}, "0s"), "0s", rules=QUIET)
    (tp,) = tps(1)
    run.send(tp, 0, 600)
    run.wait(10, 20)
    return run


def ask(run: Stall, *asked: Command | Outgoing) -> None:
    """Write commands, and let the service take them."""
    sender = run.fleet.bus.sender()
    for one in asked:
        sender.send(record_of(one, TOPICS) if isinstance(one, Command) else one)
    sender.flush()
    run.wait(6, 6)


def silenced(run: Stall, alert: str) -> list[tuple[str, str, list[str]]]:
    """Time, status and silences of the messages of an alert of m."""
    events = [msgspec.json.decode(value) for value in published(run.fleet.bus)]
    own = [e for e in events if e["data"]["labels"].items() >= {"alertname": alert, "model": "m"}.items()]
    return sorted((e["time"], e["data"]["status"], e["data"].get("silencedBy", [])) for e in own)


def copied(run: Stall) -> Counter[str]:
    """The kinds of commands in the ledger."""
    return Counter(decision.kind for decision in copies(run.fleet.bus, TOPICS))


def refusals(run: Stall) -> list[str]:
    """The texts of notices of commands, sorted."""
    events = [msgspec.json.decode(value)["data"] for value in published(run.fleet.bus)]
    return sorted(data["text"] for data in events if data["labels"]["alertname"] == "CommandRefused")


@pytest.mark.parametrize("restarts", [False, True])
def test_a_silence_ends_by_itself_while_all_traffic_stands_still(restarts: bool) -> None:
    """It begins at the next judgement, ends at the first one at or behind its end, and mutes its alerts alone."""
    run = a_run()
    run.wait(120, 20)
    asked = command("m", silence(300_000, "alertname=Quiet"))
    ask(run, asked)
    if restarts:
        run.fleet.join("evaluate-1")
    run.wait(900, 60)
    (_, first, before), (begun, second, during), (ended, third, behind) = silenced(run, "Quiet")
    assert (first, second, third) == ("firing", "updated", "updated")
    assert (before, during, behind) == ([], [asked.id], [])
    lasted = parse_time(ended) - parse_time(begun)
    assert 270_000 <= lasted <= 300_000
    assert all(not by for _, _, by in silenced(run, "Loud") + silenced(run, "NoData"))
    run.check()


def test_a_silence_is_ended_by_a_command_and_one_of_the_past_is_refused() -> None:
    """What fires at its end is updated without it, while traffic goes on; what can't be is refused with a reason."""
    run = a_run()
    asked = command("m", silence(3_600_000, "alertname=Loud"))
    ask(run, asked, command("m", Silence((), "too late", start=None, end=1), "2"))
    (tp,) = tps(1)
    run.send(tp, 600, 700)
    run.wait(10, 10)
    assert silenced(run, "Loud")[-1][1:] == ("updated", [asked.id])
    ask(run, command("m", expire(asked.id), "3"))
    run.send(tp, 700, 800)
    run.wait(10, 10)
    assert silenced(run, "Loud")[-1][1:] == ("updated", [])
    ask(run, command("m", expire(asked.id), "4"), command("nobody", silence(1000)), command("m", Rebuild(), "5"))
    texts = [text.partition(" is refused: ")[2] for text in refusals(run)]
    assert sorted(texts) == [
        "it ends before the event time to which the model is judged",
        f"the model has no silence {asked.id} that is not over",
        "the model is not stopped",
        "there is no such model",
    ]
    run.check()


def test_an_alert_that_is_silenced_is_no_reason_for_retraining() -> None:
    """A trigger asks when the silence has ended, if the alert still fires then."""
    run = with_rules(Stall({"in.features": 1}, "0s"), "0s", rules=QUIET)
    (tp,) = tps(1)
    run.send(tp, 0, 110)
    run.wait(6, 6)
    ask(run, command("m", silence(300_000)))
    run.send(tp, 110, 350)
    run.wait(10, 10)
    assert reported(run, "Loud")
    assert not published(run.fleet.bus, "retraining")
    run.send(tp, 350, 700)
    run.wait(10, 10)
    assert len(published(run.fleet.bus, "retraining")) == 1
    run.check()


def incidents(run: Stall) -> list[dict[str, Any]]:
    """The data of all messages of incidents, by time."""
    events = [msgspec.json.decode(value) for value in published(run.fleet.bus, "incidents")]
    return [event["data"] for event in sorted(events, key=lambda event: (event["time"], event["id"]))]


@pytest.mark.parametrize("restarts", [False, True])
def test_an_incident_is_acknowledged_at_once_while_all_traffic_stands_still(restarts: bool) -> None:
    """Its messages say so until it closes; one that is closed or unknown is refused, and nothing is muted."""
    run = a_run()
    run.wait(120, 20)
    opened = next(data for data in incidents(run) if data["model"] == "m" and data["status"] == "opened")
    assert "acknowledged" not in opened
    ask(run, command("m", acknowledge(opened["incident"])), command("m", acknowledge("0" * 16), "2"))
    if restarts:
        run.fleet.join("evaluate-1")
    run.wait(40, 20)
    taken = [data for data in incidents(run) if data["incident"] == opened["incident"]][-1]
    assert taken["status"] == "updated"
    assert {key: taken["acknowledged"][key] for key in ("by", "comment")} == {"by": "somebody", "comment": "looking"}
    assert [text.partition(" is refused: ")[2] for text in refusals(run)] == [
        f"the model has no open incident {'0' * 16}"
    ]
    run.check()


def test_a_command_counts_once_however_often_it_comes() -> None:
    """In a row, across restarts, and long after: one copy, one activation; a repeat is no refusal."""
    run = a_run()
    asked = command("m", silence(60_000))
    ask(run, asked, asked)
    run.fleet.join("evaluate-1")
    ask(run, asked)
    run.wait(400, 20)
    ask(run, asked)
    assert copied(run) == {"silence": 1}
    assert refusals(run) == []
    run.check()


def test_what_is_not_signed_or_for_another_service_changes_nothing() -> None:
    """With a key only what is signed with it is taken; each reason is told once, and every record counted."""
    run = a_run()
    stage = run.fleet.stages["evaluate-1"]
    gate = Gate("memory", "sd.", "secret")
    for held in stage._partitions.values():  # type: ignore[attr-defined]
        held.commits.commands._gate = gate
    unsigned = record_of(command("m", silence(60_000), "1"), TOPICS)
    forged = _signed(record_of(command("m", silence(60_000), "2"), TOPICS), "another")
    moved = _signed(record_of(command("m", silence(60_000), "3"), TOPICS), "secret", b"60000", b"61000")
    elsewhere = _signed(record_of(command("m", silence(60_000), "4", prefix="other."), TOPICS), "secret")
    ask(run, unsigned, forged, moved, elsewhere)
    assert copied(run) == {}
    assert [text.partition("no command: ")[2].partition(";")[0] for text in refusals(run)] == [
        "its signature is not made with this service's key, or missing",
        "it is for another cluster or another prefix",
    ]
    samples = {s.labels: s.value for s in stage.numbers() if s.name == "streamdrift_commands_total"}  # type: ignore[attr-defined]
    assert samples[str(TOPICS.partition_of("m")), "unusable"] == 4
    ask(run, _signed(record_of(command("m", silence(60_000), "5"), TOPICS), "secret"))
    assert copied(run) == {"silence": 1}
    run.check()


def _signed(record: Outgoing, key: str, old: bytes = b"", new: bytes = b"") -> Outgoing:
    """The record with a signature, and something else in the place of what was signed."""
    value = record.value or b""
    headers: Headers = (*record.headers, (SIGNATURE, signature(key, value)))
    return replace(record, headers=headers, value=value.replace(old, new) if old else value)


@pytest.mark.parametrize("seed", range(6))
def test_random_commands_in_a_random_log_count_alike_live_restarted_and_replayed(seed: int) -> None:
    """Of each kind, at random times of traffic and of stalls, with processes started anew in between."""
    rng = random.Random(seed)
    run = with_rules(Stall({"in.features": 2}, rng.choice(["0s", "20s"])), "0s", rules=QUIET)
    asked: list[Command] = []
    second = 0.0
    for _ in range(14):
        if rng.random() < 0.6:
            for tp in tps(2):
                run.send(tp, second, second + rng.choice([20, 60]))
            second += 60
        run.wait(rng.choice([5, 60, 300]), 8, rng)
        for _ in range(rng.choice([0, 0, 1, 2])):
            request: Request = silence(rng.randrange(10_000, 400_000), *rng.choice(ALERTS))
            if asked and rng.random() < 0.4:
                request = expire(rng.choice(asked).id)
            elif rng.random() < 0.3 and (open_ones := incidents(run)):
                request = acknowledge(rng.choice(open_ones)["incident"])
            elif rng.random() < 0.5:
                end = START + int(1000 * rng.uniform(0, second))
                request = accept(end - rng.randrange(20_000, 300_000), end)
            asked.append(command(rng.choice("mw"), request, str(len(asked))))
            ask(run, *[asked[-1]] * rng.choice([1, 2]))
        if rng.random() < 0.3:
            run.fleet.join(rng.choice(["evaluate-1", "profile-1"]))
    run.wait(600, 60)
    run.check()


# ---------------------------------------------------------------------- parts


def test_the_newest_commands_are_known_and_older_ones_count_as_known() -> None:
    """By their own time; what is no newer than what was forgotten can't be told from it."""
    known = KnownCommands(most=3)
    for time in (5, 3, 9, 7):
        known.add(f"c{time}", time)
    assert [known.has(f"c{time}", time) for time in (3, 5, 7, 9)] == [True] * 4
    assert known.has("another", 3)
    assert not known.has("another", 4)
    again = KnownCommands(most=3)
    again.restore(known.state())
    assert again.state() == known.state()


def test_no_more_is_read_ahead_than_notices_are_known() -> None:
    """Else a crash could have one refused twice."""
    assert MOST_UNCERTAIN < MOST_PASSING
    assert PASSING == ("CommandRefused",)
