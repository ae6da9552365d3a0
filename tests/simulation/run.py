"""python -m tests.simulation.run --schedules N --seed S: run schedules, and print what struck them and which failed.

--resume FILE keeps what is done, a line a schedule, so that a run can be stopped and gone on with; what other code did
counts no more. --only SEED -v runs one schedule and prints its faults. A schedule is a function of its seed.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import msgspec

from tests.simulation.faults import FAULTS, PHASES
from tests.simulation.oracle import CHECKS, Broken, Ended
from tests.simulation.schedule import Schedule

ROOT = Path(__file__).resolve().parents[2]
MOST_OF_A_REASON = 1500
ENOUGH_FOR_ALL = 1000
"""Schedules in which every fault has to strike in every phase."""


class Outcome(msgspec.Struct, frozen=True):
    """One schedule: which check failed ("" where none did) and why; its faults by "fault @ phase"; CPU seconds.

    `code`: of what it was run with.
    """

    seed: int
    code: str
    check: str
    why: str
    faults: dict[str, int]
    seconds: float


@cache
def digest_of_code() -> str:
    """Names the service and the simulation as they are."""
    files = [path for folder in ("monitor", "tests/simulation") for path in sorted((ROOT / folder).rglob("*.py"))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]


def run_one(seed: int) -> Outcome:
    """One schedule, checked."""
    began = time.process_time()
    schedule = Schedule(seed)
    check = why = ""
    try:
        schedule.run()
        ended = Ended(schedule)
        for holds in CHECKS:
            holds(ended)
    except Broken as broken:
        check, why = broken.check, str(broken)[:MOST_OF_A_REASON]
    except Exception as error:  # whatever ends a process in another way than by crashing only is a failure
        check, why = type(error).__name__, traceback.format_exc(limit=-3)[-MOST_OF_A_REASON:]
    seen = Counter(f"{strike.fault} @ {strike.phase}" for strike in schedule.strikes if strike.seen)
    return Outcome(seed, digest_of_code(), check, why, dict(seen), time.process_time() - began)


def run_all(seeds: Iterable[int], jobs: int) -> Iterator[Outcome]:
    """The outcomes as they come."""
    if jobs == 1:
        _collect_less_garbage()
        yield from map(run_one, seeds)
        return
    with get_context("spawn").Pool(jobs, _collect_less_garbage, maxtasksperchild=500) as pool:
        yield from pool.imap_unordered(run_one, seeds, chunksize=5)


def _collect_less_garbage() -> None:
    """A schedule leaves little; looking for it took a quarter of the time."""
    gc.freeze()
    gc.set_threshold(100_000)


class Report:
    """What is known so far."""

    def __init__(self) -> None:
        self.faults: Counter[str] = Counter()
        self.failed: list[Outcome] = []
        self.seconds: list[float] = []

    def add(self, outcome: Outcome) -> None:
        self.faults.update(outcome.faults)
        self.seconds.append(outcome.seconds)
        if outcome.check:
            self.failed.append(outcome)

    def line(self) -> str:
        """How far it has come."""
        middle = sorted(self.seconds)[len(self.seconds) // 2]
        return (
            f"{len(self.seconds)} schedules, {self.faults.total()} faults, {len(self.failed)} failed; "
            f"{sum(self.seconds) / len(self.seconds):.2f} s of CPU a schedule (median {middle:.2f})"
        )

    def table(self) -> str:
        """How often each fault struck in each phase."""
        width = max(map(len, FAULTS))
        rows = [" " * width + "".join(f"{phase:>19}" for phase in PHASES)]
        for fault in FAULTS:
            counts = [self.faults[f"{fault} @ {phase}"] for phase in PHASES]
            rows.append(f"{fault:<{width}}" + "".join(f"{count:>19}" for count in counts))
        return "\n".join(rows)

    def empty(self) -> list[str]:
        """Cells of the table without a single fault."""
        cells = [f"{fault} @ {phase}" for fault in FAULTS for phase in PHASES]
        return [cell for cell in cells if not self.faults[cell]]


def kept(path: Path | None) -> list[Outcome]:
    """Outcomes of the run that is gone on with, as far as the same code gave them."""
    if path is None or not path.exists():
        return []
    found = [msgspec.json.decode(line, type=Outcome) for line in path.read_bytes().splitlines()]
    same = [outcome for outcome in found if outcome.code == digest_of_code()]
    if len(same) < len(found):
        print(f"{path}: {len(found) - len(same)} schedules of other code don't count")
    return same


def simulate(seeds: range, jobs: int, resume: Path | None, first_failure: bool = False) -> Report:
    """Run what is not done yet, or up to the first failure."""
    digest_of_code()  # before somebody edits a file
    report, known = Report(), [outcome for outcome in kept(resume) if outcome.seed in seeds]
    for outcome in known:
        report.add(outcome)
    done = {outcome.seed for outcome in known}
    left = [seed for seed in seeds if seed not in done]
    print(f"seeds {seeds.start} to {seeds.stop - 1}: {len(done)} done before, {len(left)} to run", flush=True)
    every = max(1, min(50, len(left) // 20))
    for n, outcome in enumerate(run_all(left, jobs), 1):
        report.add(outcome)
        if resume is not None:
            with resume.open("ab") as file:
                file.write(msgspec.json.encode(outcome) + b"\n")
        if outcome.check:
            print(f"seed {outcome.seed} FAILED: {outcome.why}", flush=True)
            if first_failure:
                break
        if n % every == 0:
            print(report.line(), flush=True)
    return report


def only(seed: int, verbose: bool) -> int:
    """One schedule again, with its faults."""
    schedule = Schedule(seed)
    try:
        schedule.run()
        ended = Ended(schedule)
    finally:
        for strike in schedule.strikes if verbose else ():
            seen = "" if strike.seen else " (not seen)"
            print(f"{strike.at:8.2f}  {strike.process:<12} {strike.phase:<19} {strike.fault}{seen}")
        if verbose:
            print(f"{schedule.service.layout}, {schedule.turns} turns, {schedule.world.now:.1f} s")
    for check in CHECKS:
        check(ended)
        print(f"holds: {check.__doc__}")
    return 0


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schedules", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1, help="the first seed; the others follow it")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--resume", type=Path, help="file of what is done")
    parser.add_argument("--first-failure", action="store_true", help="end with the first schedule that fails")
    parser.add_argument("--only", type=int, help="run this seed alone")
    parser.add_argument("-v", "--verbose", action="store_true")
    given = parser.parse_args()
    if given.only is not None:
        return only(given.only, given.verbose)
    report = simulate(range(given.seed, given.seed + given.schedules), given.jobs, given.resume, given.first_failure)
    print(report.table())
    print(report.line())
    for cell in report.empty():
        print(f"never struck: {cell}")
    for outcome in report.failed:
        again = f"python -m tests.simulation.run --only {outcome.seed} -v"
        print(f"failed: seed {outcome.seed} ({outcome.check}); again: {again}")
    is_thin = len(report.seconds) >= ENOUGH_FOR_ALL and report.empty() != []
    return 1 if report.failed or is_thin else 0


if __name__ == "__main__":
    sys.exit(main())
