"""python -m tests.simulation.mutations: break the protocol on purpose, and see the simulation notice.

A mutation replaces text of production code that has to stand there exactly once, in a copy of `monitor/`. The
simulation alone runs over the copy, seed by seed, until one of its checks fails. The gate is 100 %: every mutation is
caught, and the code as it is passes all the seeds that any of them took. A text that is gone fails the gate, too.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.simulation.run import run_one

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Mutation:
    """`changes`: (file below monitor/, what stands there, what stands there instead)."""

    name: str
    changes: tuple[tuple[str, str, str], ...]


MUTATIONS = (
    Mutation(
        "a part of a commit moves the tails",
        (
            (
                "runner/evaluate.py",
                "self._handed = ()  # tails",
                "self._handed = (tp,)  # tails",
            ),
        ),
    ),
    Mutation(
        "an alert that is resolved goes on firing",
        (
            (
                "runner/outbox.py",
                "now = None if message.ends else record.value",
                "now = record.value",
            ),
        ),
    ),
    Mutation(
        "no mute",
        (
            (
                "runner/present_outputs.py",
                'return number < self._numbers.get((writer, f"{record.topic}/{record.partition}"), 0)',
                "return False",
            ),
        ),
    ),
    Mutation(
        "no mute in profile",
        (
            (
                "profile/partition.py",
                "        self._panes, self._rejected, self._left_out = [], [], []\n        self.published_to",
                "        self.published_to",
            ),
        ),
    ),
    Mutation(
        "position for low-water mark",
        (
            (
                "runner/profile.py",
                "return low",
                "return position.position",
            ),
        ),
    ),
    Mutation(
        "position for low-water mark in evaluate",
        (
            (
                "runner/ledger_partition.py",
                "        self.position = max(beginning, needed)\n",
                "        self.position = max(beginning, needed, self.committed)\n",
            ),
        ),
    ),
    Mutation(
        "stale generation accepted",
        (
            (
                "bus/memory.py",
                "if not consumer.holds(generation):",
                "if not consumer.holds(consumer._group.generation):",
            ),
        ),
    ),
    Mutation(
        "group metadata taken at commit",
        (
            (
                "runner/loop.py",
                "self._writer.commit([*work.outgoing, *marks], work.offsets, polled)",
                "self._writer.commit([*work.outgoing, *marks], work.offsets, __import__('dataclasses').replace("
                "polled, generation=(self._consumer, self._consumer._group.generation)))",
            ),
        ),
    ),
    Mutation(
        "reconcile skipped",
        (("runner/present_outputs.py", "found = self._found(tp, target, bus)", "found = None"),),
    ),
    Mutation(
        "reconcile skipped in profile",
        (
            (
                "runner/reconcile.py",
                "        _look_into(bus, tp, tail, writer, present)\n",
                "        present.sequences[place] = position.sequences.get(place, 0)\n",
            ),
        ),
    ),
    Mutation(
        "heartbeat dropped on folding again",
        (
            (
                "profile/task.py",
                "beats = [Mark(beat.offset, heartbeat=beat) for beat in position.heartbeats]",
                "beats: list[Mark] = []",
            ),
        ),
    ),
    Mutation(
        "restore to the last stable offset",
        (
            (
                "bus/reading.py",
                "if start is None else start, bus.end(tp)",
                "if start is None else start, bus.last_stable(tp)",
            ),
        ),
    ),
    Mutation(
        "a snapshot without one detector",
        (
            (
                "evaluate/detection.py",
                "for watch, detector in zip(self._watches, state.detectors, strict=True):",
                "for watch, detector in zip(self._watches[:-1], state.detectors[:-1], strict=True):",
            ),
        ),
    ),
    Mutation(
        "snapshot and offsets in two transactions",
        (
            (
                "runner/evaluate.py",
                "                self._commit(held, outgoing, offsets)\n                self._handed = (tp,)\n"
                "                return Work(outgoing, offsets)\n",
                "                held.commits.committed = -1  # the offsets follow\n"
                "                self._handed = (tp,)\n"
                "                return Work(outgoing, {})\n",
            ),
        ),
    ),
    Mutation(
        "mute ended per partition",
        (
            (
                "runner/present_outputs.py",
                'return number < self._numbers.get((writer, f"{record.topic}/{record.partition}"), 0)',
                'here = f"{record.topic}/{record.partition}"\n'
                "        return number < max((n for (_, at), n in self._numbers.items() if at == here), default=0)",
            ),
        ),
    ),
    Mutation(
        "global watermark",
        (
            (
                "profile/intake.py",
                "start = NEVER if self.highest is None else self.highest",
                "start = Intake.__dict__.get('_all', NEVER)\n"
                "        setattr(Intake, '_all', int(time.max(initial=start)))",
            ),
        ),
    ),
    Mutation(
        "a decision applied at its place",
        (
            (
                "evaluate/task.py",
                "before = fold.advance(self._watermarks) if isinstance(entry, Decision | Notice) else ()",
                "before = ()",
            ),
        ),
    ),
    Mutation(
        "a lane that waits for another",
        (
            (
                "evaluate/model.py",
                "            folded += 1\n",
                "            if len({lane.fold is None for lane in self._lanes.by_stream.values()}) == 2:\n"
                "                return\n"
                "            folded += 1\n",
            ),
        ),
    ),
    Mutation(
        "no sort",
        (("panes/merging.py", "parts = sorted(panes, key=lambda pane: pane.tp)", "parts = list(panes)"),),
    ),
    Mutation(
        "a heartbeat that is not in the ledger",
        (
            (
                "runner/input_partition.py",
                "self._heartbeats.append(self.task.fold.take_heartbeat(watermark, silent_to))",
                "self.task.fold.take_heartbeat(watermark, silent_to)",
            ),
        ),
    ),
    Mutation(
        "a silence that is told moves the watermark",
        (
            (
                "runner/input_partition.py",
                "self._heartbeats.append(self.task.fold.take_heartbeat(watermark, silent_to))",
                "self._heartbeats.append(self.task.fold.take_heartbeat(watermark, silent_to))\n"
                "        if silent_to is not None:\n            self.task.fold.take_heartbeat(silent_to)",
            ),
        ),
    ),
    Mutation(
        "what a torn commit has left is forgotten",
        (
            (
                "runner/input_partition.py",
                "if self._before is None or not self._present.is_ahead_of(self._before, pane_ms):",
                "if True:",
            ),
        ),
    ),
    Mutation(
        "a model's snapshot at another's position",
        (
            (
                "runner/ledger_restore.py",
                "self._task.take_up(name, saved, snapshot.position,",
                "self._task.take_up(name, saved, min(s.position for s in snapshots.values()),",
            ),
        ),
    ),
    Mutation(
        "a rebuilt model runs before it has caught up",
        (
            (
                "runner/rebuild.py",
                "return self.position >= to and not self._unfolded and self._assembler.is_empty",
                "return self._is_new and not self._unfolded and self._assembler.is_empty",
            ),
        ),
    ),
    Mutation(
        "a rebuilt model publishes again what it had published",
        (
            (
                "runner/rebuild.py",
                "        self._is_new = False\n",
                "        self._is_new = True\n",
            ),
        ),
    ),
    Mutation(
        "a model that is gone keeps its labels",
        (
            (
                "evaluate/model.py",
                "        self._labels.forget()\n        self._lanes = self._lanes.begin_anew",
                "        self._lanes = self._lanes.begin_anew",
            ),
        ),
    ),
    Mutation(
        "an observation of performance has the id of its window",
        (("evaluate/observations.py", 'if at is None else f"{key}/{end}/{time_text(at)}"', "if True else key"),),
    ),
    Mutation(
        "a command applied at its place",
        (
            (
                "evaluate/task.py",
                "before = fold.advance(self._watermarks) if isinstance(entry, Decision | Notice) else ()",
                "counts = isinstance(entry, Decision | Notice)\n"
                "        is_command = isinstance(entry, Decision) and entry.kind in ('silence', 'expire')\n"
                "        before = fold.advance(self._watermarks) if counts and not is_command else ()",
            ),
        ),
    ),
    Mutation(
        "a command is lost over a restart",
        (("runner/commands.py", "return self.safe", "return self._next"),),
    ),
    Mutation(
        "a command is copied twice",
        (("runner/command_desk.py", "return is_asked or is_known or command.id in self._copied", "return is_asked"),),
    ),
    Mutation(
        "a command counts twice",
        (
            ("runner/command_desk.py", "return is_asked or is_known or command.id in self._copied", "return False"),
            (
                "evaluate/model.py",
                "if self.decisions.is_replay or self.known.has(command.id, command.time):",
                "if self.decisions.is_replay:",
            ),
        ),
    ),
    Mutation(
        "a command counts from where its pane begins, however far silence was judged",
        (
            (
                "evaluate/model.py",
                "activation = Activation(decision, self._next, self._judge.silence_judged_to)\n        self._obey",
                "activation = Activation(decision, self._next, None)\n        self._obey",
            ),
        ),
    ),
    Mutation(
        "a kill counts as the record's doing",
        (("runner/guard.py", "return self._witness.folded_to(tp) > 0", "return True"),),
    ),
)


@contextmanager
def mutated(mutation: Mutation) -> Iterator[Path]:
    """A folder with the mutated `monitor/` and all else as it is."""
    with tempfile.TemporaryDirectory(prefix="streamdrift-mutation-") as name:
        folder = Path(name)
        shutil.copytree(ROOT / "monitor", folder / "monitor", ignore=shutil.ignore_patterns("__pycache__"))
        for other in ("tests", "producers", "alerts.yaml"):
            (folder / other).symlink_to(ROOT / other)
        for file, old, new in mutation.changes:
            path = folder / "monitor" / file
            text = path.read_text(encoding="utf-8")
            if text.count(old) != 1:
                raise SystemExit(f"{mutation.name}: {file} has {text.count(old)} times, not once:\n{old}")
            path.write_text(text.replace(old, new), encoding="utf-8")
        yield folder


def first_failure(mutation: Mutation, seeds: range) -> tuple[int, str] | None:
    """The first seed that catches a mutation, and the check that failed."""
    with mutated(mutation) as folder:
        command = [sys.executable, "-m", "tests.simulation.run", "--first-failure"]
        command += ["--seed", str(seeds.start), "--schedules", str(len(seeds))]
        environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    failed = [line for line in done.stdout.splitlines() if line.startswith("failed: ")]
    if not failed and done.returncode not in (0, 1):
        raise SystemExit(f"{mutation.name}: the simulation did not run\n{done.stderr[-2000:]}")
    if not failed:
        return None
    seed, _, check = failed[0].removeprefix("failed: seed ").partition(" ")
    return int(seed), check.partition(")")[0].removeprefix("(")


def gate(mutations: Sequence[Mutation], seeds: range) -> bool:
    """Whether all are caught, and the code as it is passes the seeds that it took; prints a table."""
    width, last, missed = max(len(m.name) for m in mutations), seeds.start - 1, 0
    for mutation in mutations:
        caught = first_failure(mutation, seeds)
        reported = "NOT CAUGHT" if caught is None else f"seed {caught[0]}: {caught[1]}"
        print(f"{mutation.name:<{width}}  {reported}", flush=True)
        missed += caught is None
        last = max(last, seeds.stop - 1 if caught is None else caught[0])
    failed = [outcome for seed in range(seeds.start, last + 1) if (outcome := run_one(seed)).check]
    for outcome in failed:
        print(f"the code as it is fails seed {outcome.seed}: {outcome.why}")
    print(
        f"{len(mutations) - missed} of {len(mutations)} caught; as it is the code passes seeds {seeds.start} to {last}"
    )
    return not missed and not failed


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=200, help="how many are tried before a mutation counts as missed")
    parser.add_argument("--seed", type=int, default=1, help="the first of them")
    parser.add_argument("--only", help="mutations whose name holds this text")
    given = parser.parse_args()
    chosen = [m for m in MUTATIONS if given.only is None or given.only in m.name]
    if not chosen:
        parser.error(f"no mutation is called {given.only}; there are: {', '.join(m.name for m in MUTATIONS)}")
    return 0 if gate(chosen, range(given.seed, given.seed + given.seeds)) else 1


if __name__ == "__main__":
    sys.exit(main())
