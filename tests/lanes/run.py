"""A dense stream beside a sparse one: live, restarted and replayed the same bytes, whatever the sparse one has.

    python -m tests.lanes.run --rows 0 200 4999 5000 --partitions 1 3 --wanted 5000 --restarts 4 --seed 1

Both stages run over the bus in memory and are killed at panes that chance picks. In each case the last partition of a
topic is empty, or falls silent after a third of the time. What has to hold of each case is in `check`.
"""

from __future__ import annotations

import argparse
import random
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec

from monitor.bus.memory import MemoryBus
from monitor.codec.canonical import time_text
from monitor.config import load
from monitor.events import TopicPartition
from monitor.runner.evaluate import EvaluateStage
from monitor.runner.parts import Rhythm
from monitor.telemetry import configure_logging
from tests.unit.runner import fleet
from tests.unit.runner.fleet import Fleet

SECONDS, SLOT = 120, 4
DRIFT = "{alert: Drift, expr: drift > 1}"
LAST_SPARSE_S = SECONDS - 20
Quiet = Literal["empty", "silent"]


@dataclass(frozen=True)
class Case:
    """`features`, `predictions`: partitions of the dense and of the sparse topic. `rows`: of the sparse one in all.

    `wanted`: rows that make a reference. `quiet`: what the last partition of a topic does, unless it is the only one.
    """

    features: int
    predictions: int
    rows: int
    quiet: Quiet
    wanted: int
    seed: int
    restarts: int

    @property
    def dense_rows(self) -> int:
        """Rows of the dense topic in all: each of its two models has its reference before half of the time is over."""
        return SECONDS * max(8, self.wanted // 25)


def cases(rows: Iterable[int], partitions: Sequence[int], wanted: int, restarts: int, seed: int = 0) -> Iterator[Case]:
    """All pairs of numbers of partitions with all numbers of rows, each with an empty and with a silent partition."""
    for features in partitions:
        for predictions in partitions:
            for sparse in rows:
                for quiet in ("empty", "silent"):
                    number = seed + features * 100 + sparse
                    yield Case(features, predictions, sparse, quiet, wanted, number, restarts)


# ---------------------------------------------------------------------- a run


def a_fleet(features: int, predictions: int, wanted: int, snapshot_panes: int = 7) -> Fleet:
    """One process of each stage."""
    bus = fleet.new_bus({"in.features": features, "in.predictions": predictions})
    config = re.sub(r"first: \d+", f"first: {wanted}", fleet.CONFIG).replace("rules: [", f"rules: [{DRIFT}, ")
    running = Fleet(bus, load(config, "alerts.yaml"))
    restart(running, snapshot_panes)
    return running


def restart(running: Fleet, snapshot_panes: int = 7) -> None:
    """Start both processes again without closing those before."""
    running.join("profile-1")
    running.join("evaluate-1")
    stage = running.stages["evaluate-1"]
    assert isinstance(stage, EvaluateStage)
    stage._snapshots.rhythm = Rhythm(snapshot_panes)


def traffic(bus: MemoryBus, case: Case, rng: random.Random) -> dict[TopicPartition, list[float]]:
    """When the events of each partition are, evenly over the time, in seconds."""
    times: dict[TopicPartition, list[float]] = {tp: [] for tp in fleet.inputs_of(bus)}
    for topic, rows, seconds in (
        ("in.features", case.dense_rows, SECONDS),
        ("in.predictions", case.rows, LAST_SPARSE_S),
    ):
        tps = fleet.inputs_of(bus, (topic,))
        stops = 0.0 if case.quiet == "empty" else SECONDS / 3
        for i in range(rows):
            at = i * seconds / rows
            times[rng.choice(tps if at < stops or len(tps) == 1 else tps[:-1])].append(at)
    return times


def run(case: Case) -> MemoryBus:
    """The log of a case through both stages, which are killed at places that chance picks.

    The clock goes with event time, and no event is older than a heartbeat before it.
    """
    running, rng = a_fleet(case.features, case.predictions, case.wanted), random.Random(case.seed + case.restarts)
    times = traffic(running.bus, case, random.Random(case.seed))
    kills = set(rng.sample(range(SECONDS // SLOT), case.restarts))
    for slot in range(SECONDS // SLOT):
        for turn in send_slot(running, times, slot):
            if slot in kills and turn == rng.randint(0, 3):
                restart(running)
    running.settle()
    return running.bus


def send_slot(running: Fleet, times: Mapping[TopicPartition, Sequence[float]], slot: int) -> Iterator[int]:
    """Send the events of some seconds; the processes turn four times meanwhile. Gives the number of each turn."""
    for tp, mine in times.items():
        shift = 30.0 if slot * SLOT > SECONDS / 2 else 0.0
        fleet.send(running.bus, tp, [at for at in mine if slot * SLOT <= at < (slot + 1) * SLOT], shift)
    for turn in range(4):
        running.now += SLOT / 4
        running.turn()
        yield turn


# ---------------------------------------------------------------------- what has to hold


def check(case: Case) -> int:
    """Live, restarted and replayed: the same bytes, and nobody has waited for the sparse stream.

    Returns how many messages there are.
    """
    bus, undisturbed = run(case), run(replace(case, restarts=0))
    fleet.check_against_replay(bus)
    fleet.check_against_replay(undisturbed)
    # heartbeats follow the clock, so the last panes may be sealed further in one of them
    end = time_text(fleet.START + (SECONDS - 6) * 1000)
    found = [[event for event in events_of(one) if event["time"] <= end] for one in (bus, undisturbed)]
    assert found[0] == found[1], "a restart changed what was published"
    assert lanes_of(bus, "features")[-1][0] == "judged"
    judged = {e["data"]["window"]["to"] for e in events_of(bus) if "window" in e["data"]}
    assert max(judged) > time_text(fleet.START + (SECONDS - 20) * 1000), "the dense stream was held back"
    raised = [value for value in fleet.published(bus) if b'"alertname":"Drift"' in value]
    assert any(b'"stream":"features"' in value for value in raised), "the shift has raised no alert on drift"
    states = lanes_of(bus, "predictions")
    assert states[0] == ("waiting", 0)
    last = "waiting" if case.rows < case.wanted else "reference" if case.rows == case.wanted else "judged"
    assert states[-1][0] == last
    return len(fleet.published(bus)) + len(fleet.published(bus, "observations"))


def events_of(bus: MemoryBus) -> list[dict[str, Any]]:
    """Observations, by time."""
    return sorted(map(msgspec.json.decode, fleet.published(bus, "observations")), key=lambda event: event["time"])


def lanes_of(bus: MemoryBus, stream: str, model: str = "m") -> list[tuple[str, int]]:
    """State and rows of what was published of a lane, by time."""
    found = [event["data"] for event in events_of(bus) if event["type"] == "streamdrift.lane.v1"]
    return [(lane["state"], lane["rows"]) for lane in found if (lane["model"], lane["stream"]) == (model, stream)]


def main() -> int:
    """The command; 0 if all holds."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, nargs="+", default=[0, 200, 4999, 5000], help="of the sparse stream")
    parser.add_argument("--partitions", type=int, nargs="+", default=[1, 3], help="of each of the two topics")
    parser.add_argument("--wanted", type=int, default=5000, help="rows that make a reference")
    parser.add_argument("--restarts", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    configure_logging("critical", "json")
    began, failed, messages = time.monotonic(), 0, 0
    todo = list(cases(options.rows, options.partitions, options.wanted, options.restarts, options.seed))
    for case in todo:
        try:
            messages += check(case)
            print(f"holds   {case}", flush=True)
        except AssertionError as error:
            failed += 1
            print(f"FAILED  {case}: {str(error)[:300]}", flush=True)
    print(f"{len(todo)} cases, {failed} failed; {messages} messages; {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
