"""The whole service, simulated: whatever strikes it, it says what a replay of its log says, each thing once."""

from __future__ import annotations

import os

import pytest

from tests.simulation.run import run_all
from tests.simulation.schedule import Schedule

SCHEDULES = int(os.environ.get("STREAMDRIFT_SCHEDULES", "500"))
"""`make simulate` runs more of them; the environment may ask for others."""


@pytest.mark.slow
def test_whatever_strikes_it_each_thing_is_said_once() -> None:
    """Kills, pauses, rebalances, late markers and the rest: no message is missing, none comes twice, drift is found."""
    outcomes = list(run_all(range(1, SCHEDULES + 1), os.cpu_count() or 1))
    failed = {outcome.seed: outcome.why for outcome in outcomes if outcome.check}
    assert not failed, f"again: python -m tests.simulation.run --only {min(failed)} -v\n{failed}"
    assert sum(sum(outcome.faults.values()) for outcome in outcomes) > 30 * len(outcomes) > 0


def test_a_seed_is_one_history() -> None:
    """The same seed gives the same faults and the same bytes in every topic."""
    histories = []
    for _ in range(2):
        schedule = Schedule(7)
        schedule.run()
        bus = schedule.service.bus
        faults = [(strike.fault, strike.phase, strike.at) for strike in schedule.strikes]
        histories.append((faults, [[log.values for log in bus._logs[topic]] for topic in bus.topics()]))
    assert histories[0] == histories[1]
