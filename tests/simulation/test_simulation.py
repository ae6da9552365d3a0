"""The whole service, simulated: whatever strikes it, it says what a replay of its log says, each thing once."""

from __future__ import annotations

import os

import pytest

from tests.simulation.run import run_one
from tests.simulation.schedule import Schedule

SCHEDULES = int(os.environ.get("STREAMDRIFT_SCHEDULES", "24"))
"""`make simulate` runs more of them; the environment may ask for others."""
CHUNK = 12
OPEN = ()
"""Seeds that show bugs which are known and not mended yet."""


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1, SCHEDULES + 1, CHUNK))
def test_whatever_strikes_it_each_thing_is_said_once(first: int) -> None:
    """Kills, pauses, rebalances, late markers and the rest: no message is missing, none comes twice, drift is found."""
    seeds = [seed for seed in range(first, min(first + CHUNK, SCHEDULES + 1)) if seed not in OPEN]
    outcomes = [run_one(seed) for seed in seeds]
    failed = {outcome.seed: outcome.why for outcome in outcomes if outcome.check}
    assert not failed, f"again: python -m tests.simulation.run --only {min(failed)} -v\n{failed}"
    assert sum(sum(outcome.faults.values()) for outcome in outcomes) > 30 * len(outcomes)


@pytest.mark.slow
@pytest.mark.parametrize("seed", OPEN)
def test_a_seed_that_shows_an_open_bug_still_does(seed: int, request: pytest.FixtureRequest) -> None:
    """So that nobody forgets it: when the bug is mended, the seed goes back among the others."""
    request.applymarker(pytest.mark.xfail(reason=OPEN[seed], strict=False))
    assert not run_one(seed).check


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
