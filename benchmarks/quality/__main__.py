"""The scoreboard of detection: false alarms, delays, misses and messages, ours at shipped defaults beside others.

    python -m benchmarks.quality --data DIR [--parts Q1,Q2] [--size 0.1] [--jobs 2] [--peers river] [--json FILE]

DIR holds the public streams with their MANIFEST.csv; lines whose streams are not there are left out by name. The seeds
are fixed: they count from 0. `--size`: rows of the streams without change and numbers of seeds, relative to the whole.

Every message of an alert that begins to fire is an alarm, of whatever severity. A delay is the number of rows from the
change to the message's time. Beside the figures of ours stand those of an alarm that comes at equal distances, as
often as ours.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from time import process_time
from typing import Final

from benchmarks.quality import engine
from benchmarks.quality.cases import Alarm, Case, Name, Outcome
from benchmarks.quality.parts import Line, lines
from benchmarks.quality.peers import PEERS, SEEDS, left_out
from benchmarks.quality.streams import KS, case_of, distance
from benchmarks.quality.table import Scored, show, write
from monitor.errors import ConfigurationError

CONTESTANTS: Final[dict[str, Callable[[Case], list[Alarm]]]] = {
    "ours": engine.alarms_of,
    "ours without Drift": lambda case: engine.alarms_of(case, ("Drift",)),
    **PEERS,
}
Task = tuple[str, Name]
"""A contestant, and the case that it is given."""
Answer = Outcome | str
"""What came of a case, or why nothing did."""


def main() -> None:
    """Run the parts, print their table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the public streams")
    parser.add_argument("--parts", default="", help="such as Q1,Q10a, or Q10 for Q10a to Q10c; all if left out")
    parser.add_argument("--size", type=float, default=1.0, help="of the whole, from 0.01 to 1")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--peers", default="all", help="such as river,evidently; all, or none")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    chosen = lines_of(arguments.parts, lines(arguments.data))
    scored = score(chosen, arguments.data, arguments.size, arguments.jobs, peers_of(arguments.peers))
    show(scored)
    if arguments.json is not None:
        write(scored, arguments.json)


def lines_of(parts: str, of_all: Sequence[Line]) -> list[Line]:
    """The lines of parts such as Q1,Q10a, or Q10 for all that begin so; all if none is named."""
    chosen = [part.strip() for part in parts.split(",") if part.strip()]
    there = {line.part: line.part.rstrip("abc") for line in of_all}
    unknown = set(chosen) - there.keys() - set(there.values())
    if unknown:
        raise SystemExit(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(there)}")
    return [line for line in of_all if not chosen or {line.part, there[line.part]} & set(chosen)]


def peers_of(text: str) -> list[str]:
    """The others that take part; who can't is named."""
    gone = left_out()
    chosen = {"all": [*PEERS, *gone], "none": []}.get(text, text.split(","))
    unknown = set(chosen) - PEERS.keys() - gone.keys()
    if unknown:
        raise SystemExit(f"no such peer: {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
    for name in dict.fromkeys(chosen):
        if name in gone:
            print(f"{name} is left out: {gone[name]}", file=sys.stderr)
    return [name for name in PEERS if name in chosen and name not in gone]


def score(chosen: Sequence[Line], folder: Path, size: float, jobs: int, peers: Sequence[str]) -> list[Scored]:
    """Run all cases of the lines, each once a contestant, and take their figures."""
    tasks = dict.fromkeys(
        (contestant, name)
        for line in chosen
        for contestant in (line.contestant, *(() if line.is_of_pages else peers))
        for name in names_of(line, size, contestant)
    )
    answers = dict(zip(tasks, run(list(tasks), folder, jobs), strict=True))
    return [scored(line, size, answers, peers, folder) for line in chosen]


def names_of(line: Line, size: float, contestant: str) -> list[Name]:
    """The cases of a line. Null streams become shorter with the size, others fewer."""
    seeds = max(2, round(line.seeds * size)) if size < 1 else line.seeds
    seeds = min(seeds, SEEDS.get(contestant, seeds))
    return [Name(stream, seed, size) for stream in line.streams for seed in range(seeds)]


def run(tasks: Sequence[Task], folder: Path, jobs: int) -> Iterable[Answer]:
    """Run tasks in that many processes, and say on standard error how far they are."""
    if jobs == 1:
        for number, task in enumerate(tasks, 1):
            yield _said(answer(folder, task), task, number, len(tasks))
        return
    with ProcessPoolExecutor(jobs) as pool:
        futures = {pool.submit(partial(answer, folder), task): task for task in tasks}
        for number, future in enumerate(as_completed(futures), 1):
            _said(future.result(), futures[future], number, len(tasks))
        yield from (future.result() for future in futures)


def _said(one: Answer, task: Task, number: int, count: int) -> Answer:
    contestant, name = task
    what = one if isinstance(one, str) else f"{one.by_rule}, delay {one.delay}, {one.seconds:.1f} s"
    print(f"{number}/{count} {contestant}: {name.stream} {name.seed}: {what}", file=sys.stderr, flush=True)
    return one


def answer(folder: Path, task: Task) -> Answer:
    """Run one case at one contestant."""
    contestant, name = task
    begun = process_time()
    try:
        case = case_of(name, folder)
        alarms = CONTESTANTS[contestant](case)
    except (FileNotFoundError, ConfigurationError) as error:
        return str(error).splitlines()[0]
    return Outcome(name, case.rows, case.change, case.changed, tuple(alarms), process_time() - begun)


def scored(line: Line, size: float, answers: dict[Task, Answer], peers: Sequence[str], folder: Path) -> Scored:
    """The figures of a line."""
    own = _outcomes(line, line.contestant, size, answers, folder)
    others = {} if line.is_of_pages else {peer: _outcomes(line, peer, size, answers, folder) for peer in peers}
    return Scored.of(line, own, others)


def _outcomes(
    line: Line, contestant: str, size: float, answers: dict[Task, Answer], folder: Path
) -> list[Outcome] | str:
    found = [answers[contestant, name] for name in names_of(line, size, contestant)]
    reason = next((one for one in found if isinstance(one, str)), None)
    if reason is not None:
        return reason
    outcomes = [one for one in found if isinstance(one, Outcome)]
    if line.is_large:
        outcomes = [one for one in outcomes if max(distance(folder, column) for column in one.changed) >= KS]
    return outcomes


if __name__ == "__main__":
    main()
