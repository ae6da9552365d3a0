"""`for_windows`, `recovery_threshold` and `unless` together: random values against a slow oracle, with restarts."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

import msgspec
import pytest

from monitor.evaluate.lifecycle import Status, fingerprint
from monitor.evaluate.model_alerts import ModelAlerts
from monitor.evaluate.rules import depths
from monitor.evaluate.state import AlertValue
from monitor.events import Observation, Verdict
from tests.unit.evaluate.test_lifecycle import STEP, a_rule, replace_rule


@dataclass
class Subject:
    """What a rule is about, and the verdicts on it that counted, as (time, value, end of the window)."""

    rule: str
    column: str | None
    labels: tuple[tuple[str, str], ...]
    history: list[tuple[int, float, int]] = field(default_factory=list)


@dataclass
class Settings:
    """What a rule of the oracle is judged by."""

    for_ms: int
    for_windows: int
    keep_ms: int
    recovery: float | None
    unless: tuple[str, ...]


def told(subject: Subject, by: Settings) -> tuple[list[tuple[int, Status]], bool]:
    """What is published of a subject, from its whole history, and whether it fires at the end."""
    published, fires = list[tuple[int, Status]](), False
    since, last, ends = 0, 0, list[int]()
    for at, value, end in subject.history:
        if value > 0.25 or (fires and by.recovery is not None and value > by.recovery):
            since = since if ends or fires else at
            last = at
            ends += [end] if not ends or end > ends[-1] else []
            if not fires and at - since >= by.for_ms and len(ends) >= by.for_windows:
                fires = True
                published.append((at, "firing"))
        elif not fires or at - last >= by.keep_ms:
            if fires:
                published.append((at, "resolved"))
            fires, ends = False, []
    return published, fires


def settings(rng: random.Random, unless: tuple[str, ...]) -> Settings:
    windows = rng.choice([1, 1, 2, 3])
    hold = rng.choice([0, 2]) * STEP if windows == 1 else 0
    return Settings(hold, windows, rng.choice([0, 0, 3]) * STEP, rng.choice([None, 0.1]), unless)


@pytest.mark.parametrize("seed", range(150))
def test_any_values_publish_what_a_slow_loop_finds(seed: int) -> None:
    """Rules on columns and on a stream, each of which waits for some before it; restored at random from a snapshot."""
    rng = random.Random(seed)
    chosen = {"A": (), "B": ("A",), "C": rng.choice([("B",), ("A", "B")]), "D": rng.choice([("C",), ("B", "C")])}
    by = {name: settings(rng, unless) for name, unless in chosen.items()}
    rules = {
        name: replace_rule(a_rule(one.for_ms, one.keep_ms, alert=name), for_windows=one.for_windows, unless=one.unless)
        for name, one in by.items()
    }
    assert depths(list(rules.values())) == sorted(depths(list(rules.values())))
    subjects = [
        Subject(name, column, (("alertname", name), *((("column", column),) if column else ()), ("metric", "psi")))
        for name in rules
        for column in ([None] if name == "C" else ["x", "y"])
    ]
    alerts, published = ModelAlerts(), list[tuple[int, str, Status]]()
    at, ends = 0, dict.fromkeys(rules, 0)
    for _ in range(60):
        at += rng.randint(1, 3) * STEP
        ends = {name: end + STEP * rng.choice([0, 1, 1, 1]) for name, end in ends.items()}
        judged = []
        for one in subjects:
            if rng.random() < 0.2:
                continue
            value, end, rule = rng.choice([0.0, 0.2, 0.4, 0.4]), ends[one.rule], rules[one.rule]
            window = Observation("m", "", "features", "events=100,every=10", end, end + 1, 100, (), {}, {})
            bare = Verdict(one.labels, "features", one.column, value, ">", 0.25, "constant", None, value > 0.25, window)
            judged.append((rule, replace(bare, recovery_threshold=by[one.rule].recovery)))
            if not any(told(other, by[other.rule])[1] for other in subjects if excludes(other, one, by[one.rule])):
                one.history.append((at, value, end + 1))
        published += [(t.at, t.alert.fingerprint, t.status) for t in alerts.judge(at, judged)]
        if rng.random() < 0.2:
            kept = msgspec.msgpack.decode(
                msgspec.msgpack.encode(alerts.state(list(rules.values()))), type=tuple[AlertValue, ...]
            )
            alerts = ModelAlerts()
            alerts.restore(kept, list(rules.values()), "m")
    expected = [(when, fingerprint(one.labels), says) for one in subjects for when, says in told(one, by[one.rule])[0]]
    assert sorted(published) == sorted(expected)
    assert expected


def excludes(other: Subject, one: Subject, by: Settings) -> bool:
    """Return true if a subject that fires keeps another one from being judged."""
    return other.rule in by.unless and (other.column == one.column or None in (other.column, one.column))
