"""What is to go wrong, and when: the faults of a run, drawn from its seed."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["kill", "freeze", "join", "broker_restart", "broker_kill"]
Aim = Literal["", "commit", "again"]
"""The phase in which a kill is to hit some process: between begin and commit, or folding again; "" hits blindly."""

HITS: Mapping[Aim, str] = {"commit": "kill between begin and commit", "again": "kill while folding again"}
"""How kills are counted that struck in a phase."""

SETTLING_S = 4.0
"""From the start of the traffic, when all processes are up, to the first fault."""
GAP_S, AIMED_GAP_S = (2.0, 6.0), (2.0, 4.0)
"""Between kills; the time for which an aimed one looks for a process in its phase comes on top."""
AIMED = 0.25
"""Share of kills aimed at each of the two phases; the others strike whoever it is, at whatever it does."""
STAYS_S = (4.0, 9.0)


@dataclass(frozen=True, slots=True)
class Options:
    """Numbers of a run. `session_s`: session time-out of the group's members; a freeze is longer. `labels`: those of
    one night."""

    events: int
    kills: int
    freezes: int
    joins: int
    restarts: int
    broker_kills: int
    brokers: int
    idle: bool
    seed: int
    session_s: float = 10.0
    labels: int = 0


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One fault, `at` seconds after the traffic began. `lasts_s`: of a freeze, of an extra process's stay, of a
    broker's absence after its kill."""

    at: float
    kind: Kind
    lasts_s: float = 0.0
    aim: Aim = ""


def owed(done: Sequence[Fault], counts: Mapping[str, int]) -> Aim:
    """The phase that fewer kills have struck than were aimed at it, among the faults so far; "" if there is none.

    A kill that strikes nobody in its phase strikes blindly; so a later one that is not aimed makes up for it.
    """
    for aim, name in HITS.items():
        if counts.get(name, 0) < sum(fault.aim == aim for fault in done):
            return aim
    return ""


def faults(options: Options) -> list[Fault]:
    """All faults of the run in order. Kills are 2 to 6 s apart, the others anywhere among them."""
    draw = random.Random(options.seed)
    planned = []
    at = SETTLING_S
    for _ in range(options.kills):
        aims: tuple[Aim, ...] = ("commit", "again", "")
        (aim,) = draw.choices(aims, (AIMED, AIMED, 1 - 2 * AIMED))
        at += draw.uniform(*(AIMED_GAP_S if aim else GAP_S))
        planned.append(Fault(at, "kill", aim=aim))
    others: tuple[tuple[Kind, int, tuple[float, float]], ...] = (
        ("freeze", options.freezes, (options.session_s + 1, options.session_s + 4)),
        ("join", options.joins, STAYS_S),
        ("broker_restart", options.restarts, (0.0, 0.0)),
        ("broker_kill", options.broker_kills, (0.5, 4.0)),
    )
    for kind, count, lasts in others:
        # one in each of `count` equal parts of the time, so that they do not pile up
        part = (at - SETTLING_S) / max(1, count)
        planned += [
            Fault(SETTLING_S + part * (number + draw.random()), kind, draw.uniform(*lasts)) for number in range(count)
        ]
    return sorted(planned)
