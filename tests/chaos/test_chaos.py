"""A small chaos run; `make chaos` is the large one."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from tests.broker import Broker
from tests.chaos.plan import HITS, Fault, Options, faults, owed
from tests.chaos.report import table
from tests.chaos.run import Chaos

SMALL = Options(
    events=40_000,
    kills=6,
    freezes=1,
    joins=2,
    restarts=0,
    broker_kills=0,
    brokers=1,
    idle=True,
    seed=1,
    session_s=3.0,
    labels=3000,
)


@pytest.mark.kafka
@pytest.mark.slow
def test_kills_freezes_and_joins_change_no_byte(own_broker: Broker, tmp_path: Path) -> None:
    """Three profile and two evaluate processes: what they wrote is what an undisturbed replay of their log says."""
    report = Chaos(SMALL, tmp_path / "run", own_broker).run()
    print(table(report))
    assert report["problems"] == []
    assert report["topics"]["alerts"]["found"] > 100
    assert report["heartbeats"] > 0


def test_a_kill_that_missed_its_aim_is_made_up_for() -> None:
    """The next ones that are not aimed are aimed there, until as many have hit as were to."""
    done = [Fault(1.0, "kill", aim="commit"), Fault(3.0, "kill"), Fault(4.0, "freeze"), Fault(5.0, "kill", aim="again")]
    assert owed([], {}) == ""
    assert owed(done[:1], {}) == "commit"
    assert owed(done, {HITS["commit"]: 1}) == "again"
    assert owed(done, {HITS["commit"]: 1, HITS["again"]: 2}) == ""


def test_a_seed_gives_the_same_faults_in_order() -> None:
    """Kills are 2 to 6 s apart, and all faults that were asked for are there."""
    options = Options(1000, 50, 10, 20, 5, 3, 3, True, seed=7)
    planned = faults(options)
    assert planned == faults(options)
    assert planned == sorted(planned)
    assert len(planned) == 50 + 10 + 20 + 5 + 3
    kills = [fault.at for fault in planned if fault.kind == "kill"]
    assert all(2 <= later - earlier <= 6 for earlier, later in pairwise(kills))
    assert max(fault.at for fault in planned) == kills[-1]
