"""No input ends the service, loses a record, or changes what is said of the good ones."""

from __future__ import annotations

import random

import pytest

from monitor.codec.canonical import time_text
from tests.fuzz import commands, labels
from tests.fuzz.mutants import RECIPES, YEAR_MS, mutate, plain
from tests.fuzz.run import run
from tests.fuzz.service import ALONE, FEATURES, START, STEP_MS, Line, good, serve

SEED = 1
RECORDS = 3000


def test_bad_records_change_nothing_for_the_good_ones() -> None:
    """Every reason occurs, each record is in its bucket, and tombstones in their place give the same alerts."""
    result = run(RECORDS, SEED)
    assert result.broken() == []


def test_bad_labels_change_nothing_for_the_good_ones() -> None:
    """Each label is counted once, good ones are joined as without the bad ones, and all windows end the same."""
    result = labels.run(RECORDS, SEED)
    assert result.broken() == []
    assert min(result.first.labels[name] for name in ("unmatched", "unusable_labels", "unusable_predictions")) > 0


def test_bad_commands_are_counted_and_leave_a_notice_at_most() -> None:
    """Each of a thousand bad ones among as many good ones; alerts are those of a log without them, and of a replay."""
    result = commands.run(1000, SEED)
    assert result.broken() == []


def events(numbers: range, shift: float, seed: int = 0) -> list[Line]:
    """Good events of one partition, at the times of their numbers."""
    rng = random.Random(seed)
    made = (good(FEATURES, number, number * STEP_MS, rng, shift) for number in numbers)
    return [Line(FEATURES, 0, plain({k: v for k, v in event.items() if k != "at"}), None) for event in made]


@pytest.mark.parametrize("at", [0, 1, 15, 31, 32, 33, 200, 799])
def test_one_event_a_year_ahead_makes_no_other_late(at: int) -> None:
    """Wherever it stands, also as the very first: it is the one dead letter, and all others are in their panes."""
    lines = events(range(800), 0.0)
    event = good(FEATURES, 9999, 0, random.Random(1), 0.0)
    value = plain({**{k: v for k, v in event.items() if k != "at"}, "event_time": time_text(START + YEAR_MS)})
    outcome = serve([*lines[:at], Line(FEATURES, 0, value, "ahead"), *lines[at:]], chunk=57, config=ALONE, partitions=1)
    assert outcome.total["late"] == 0
    assert outcome.total["pane"] >= 800 - 32  # the last ones may wait for their neighbours
    assert set(outcome.dead.items()) <= {((FEATURES, 0, at), "time_ahead")}
    assert outcome.observations


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_after_any_bad_input_windows_close_and_drift_is_found(recipe: str) -> None:
    """A thousand records of one recipe, then good ones: after so many good events it alerts.

    Those that are ahead come one among three good ones: where most records are ahead it is time that has gone on.
    """
    rng = random.Random(recipe)
    before = events(range(1200), 0.0)
    bad: list[Line] = []
    for i in range(1200, 2200):
        value = mutate(good(FEATURES, i, i * STEP_MS, rng, 0.0), recipe, rng)
        bad += [Line(FEATURES, 0, value, recipe), *(events(range(i, i + 1), 0.0) * 3 if "ahead" in recipe else [])]
    after = events(range(2200, 4200), 3.0)
    outcome = serve([*before, *bad, *after], chunk=900, config=ALONE, partitions=1)
    assert len(outcome.observations) > 5
    assert any(b'"alertname":"Psi","column":"a"' in alert for alert in outcome.alerts)
