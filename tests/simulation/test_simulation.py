"""The whole service, simulated: whatever strikes it, it says what a replay of its log says, each thing once."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from monitor.config import load
from tests.simulation.configurations import LABELLED_LAYOUTS, LAYOUTS, VARIANTS, Layout, Shape, configuration, file_text
from tests.simulation.mutations import MUTATIONS, Mutation
from tests.simulation.schedule import Schedule

ROOT = Path(__file__).parents[2]
SCHEDULES = int(os.environ.get("STREAMDRIFT_SCHEDULES", "100"))
"""`make simulate` runs more of them; the environment may ask for others."""
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
"""Processes that share the tests out; each has as many processors as the others."""


@pytest.mark.slow
def test_whatever_strikes_it_each_message_is_published_once() -> None:
    """Kills, pauses, rebalances, late markers and the rest: no message is missing, none comes twice, drift is found."""
    command = [sys.executable, "-m", "tests.simulation.run", "--schedules", str(SCHEDULES)]
    command += ["--jobs", str(max(1, (os.cpu_count() or 1) // WORKERS))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert f"{SCHEDULES} schedules" in done.stdout


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


@pytest.mark.parametrize("variant", range(VARIANTS))
@pytest.mark.parametrize("layout", [*LAYOUTS, *LABELLED_LAYOUTS], ids=lambda layout: layout.models)
def test_a_configuration_is_that_of_its_file(layout: Layout, variant: int) -> None:
    """What is put together of models that were parsed alone is what the whole file says."""
    shapes = (Shape(more=True), Shape(features=layout.models[1:2] not in "mrv"), Shape(pane="2s", first=110))
    of = tuple(zip(layout.models, shapes, strict=False))
    whole = load(file_text(of, variant, 3), "alerts.yaml")
    assert configuration(layout.models, variant, shapes[: len(of)], 3) == replace(whole, hints=())


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_the_text_that_a_mutation_replaces_stands_in_the_code_once(mutation: Mutation) -> None:
    """Else the gate of `make mutations` would fail only when it is run, long after the code was moved."""
    for file, old, _ in mutation.changes:
        assert (ROOT / "monitor" / file).read_text(encoding="utf-8").count(old) == 1, file
