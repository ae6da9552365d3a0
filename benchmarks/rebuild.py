"""A rebuild: how long its slices are, and what it costs beside folding the same panes for the first time.

    python benchmarks/rebuild.py [--columns 20] [--panes 400] [--models 4] [--first 2000] [--rows 100] [--json FILE]

Both stages over the bus in memory, all models in one ledger partition. Evaluate folds the ledger; then the snapshots of
one model are damaged, evaluate is started again, and the model is rebuilt while records of the others come in.
"""

from __future__ import annotations

import json as jsonlib
import random
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import process_time
from typing import Annotated

import typer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a script's path lacks the checkout

from benchmarks.equal_models import START_MS, create_all, evaluate_stage, event, models_yaml, profile_stage
from monitor.bus.memory import MemoryBus
from monitor.config import load
from monitor.events import TopicPartition
from monitor.ledger.commands import Command, Rebuild
from monitor.ledger.entry_codec import encode_entry
from monitor.ledger.ledger_topics import LedgerTopics
from monitor.runner.evaluate import EvaluateStage
from monitor.runner.loop import Loop
from monitor.runner.profile import ProfileStage
from monitor.telemetry import configure_logging

LEDGER = TopicPartition("sd.ledger", 0)
TOPICS = LedgerTopics("sd.", 1)
PANE_S = 10
_REST = """
detectors:
  adwin: {class: ADWIN, input: "*"}
groups:
  - name: g
    models: ["*"]
    rules: [{alert: Ks, expr: ks > 0.9}, {alert: Psi, expr: psi > 0.9}, {alert: Change, expr: change > 0}]
"""


@dataclass(frozen=True)
class Cost:
    """Panes of the model; CPU ms a pane, of the first fold and of the rebuild; the slices, s."""

    panes: int
    folded_ms: float
    rebuilt_ms: float
    slices: int
    longest_s: float
    panes_of_others: int


class Bench:
    """Both stages, and traffic for them. `first`: rows of the reference; `rows`: of each model in a pane."""

    def __init__(self, models: int, columns: int, first: int, rows: int) -> None:
        self.rows = rows
        self.names = [f"m{number}" for number in range(models)]
        self.columns = [f"x{number}" for number in range(columns)]
        text = models_yaml(self.names, self.columns, first, "{events: 2000, every: 500}", PANE_S, 3 * PANE_S)
        self.config = load(text + _REST, "alerts.yaml")
        self.bus = MemoryBus(clock=lambda: 0, markers=True)
        create_all(self.bus, TOPICS)
        self.now = 0.0
        self.pane = 0
        self._rng = random.Random(1)  # noqa: S311 - traffic
        self.profile = self._loop(profile_stage(self.bus, self.config, TOPICS, lambda: self.now))
        self.evaluate = self.start()

    def _loop(self, stage: ProfileStage | EvaluateStage) -> Loop:
        return Loop(self.bus, stage, stage.group, lambda: self.now, 0.0)

    def start(self) -> Loop:
        """Start evaluate, once more."""
        self.stage = evaluate_stage(self.bus, self.config, TOPICS, process_time)
        return self._loop(self.stage)

    def send(self, panes: int) -> None:
        """The traffic of some panes, as entries of the ledger."""
        sender = self.bus.sender()
        for _ in range(panes):
            for row in range(self.rows):
                at_ms = int((self.pane + row / self.rows) * PANE_S * 1000)
                for name in self.names:
                    sender.send(event(name, at_ms, {column: self._rng.random() for column in self.columns}))
            self.pane += 1
        for _ in range(panes * self.rows * len(self.names) // 5000 + 3):
            self.turn(self.profile)

    def turn(self, loop: Loop) -> None:
        self.now += 1
        loop.turn(0)

    def fold(self) -> float:
        """Turns of evaluate until all of the ledger is folded; returns CPU seconds."""
        began = process_time()
        while not self.stage.standings() or self.stage.standings()[LEDGER].position < self.bus.end(LEDGER):
            self.turn(self.evaluate)
        return process_time() - began

    def folded(self) -> int:
        """The panes that this start of evaluate has folded, of all models."""
        return sum(fold.folded for fold in self.stage._partitions[LEDGER].task.models.values())

    def panes_of(self, name: str) -> int:
        """The end of the newest pane of a model that is judged."""
        fold = self.stage._partitions[LEDGER].task.models[name]
        return (fold.judged_to or START_MS) // (PANE_S * 1000)


def damage(bus: MemoryBus, model: str) -> None:
    """Turn a bit over in all snapshots of a model."""
    log = bus.log(TopicPartition("sd.state", 0))
    for i, (key, value) in enumerate(zip(log.keys, log.values, strict=True)):
        if value and (key or b"").split(b"\0")[0].endswith(b"/" + model.encode()):
            log.values[i] = bytes([value[0] ^ 1]) + value[1:]


def measure(models: int, columns: int, panes: int, first: int = 2000, rows: int = 100) -> Cost:
    """Fold, damage, rebuild."""
    bench = Bench(models, columns, first, rows)
    while bench.pane < first // rows + 10:
        bench.send(1)
        bench.fold()
        bench.turn(bench.profile)
    for _ in range(10):
        bench.turn(bench.profile)
        bench.fold()
    begun = bench.folded()
    bench.send(panes)
    folded_s = bench.fold()
    folded_ms = 1000 * folded_s / (bench.folded() - begun)
    for _ in range(3):
        bench.turn(bench.evaluate)
    damage(bench.bus, "m0")
    bench.evaluate = bench.start()
    for _ in range(10):
        bench.turn(bench.evaluate)
    bench.fold()
    before = bench.panes_of("m1") if models > 1 else 0
    command = Command("m0", Rebuild(), "bench", 0, "1", bench.bus.cluster_id(), TOPICS.prefix)
    bench.bus.sender().send(encode_entry(command, TOPICS.name("commands"), 0))
    slices = timed(bench.stage)
    held = bench.stage._partitions[LEDGER]
    while "m0" in held.stopped:
        bench.turn(bench.evaluate)
        bench.send(1)
    others = bench.panes_of("m1") - before if models > 1 else 0
    count = held.task.models["m0"].folded
    return Cost(count, folded_ms, 1000 * sum(slices) / count, len(slices), max(slices), others)


def timed(stage: EvaluateStage) -> list[float]:
    """CPU seconds of each slice from now on."""
    found: list[float] = []
    held = stage._partitions[LEDGER]
    rebuild = held.rebuild

    def slice_of(is_over: Callable[[], bool]) -> None:
        began = process_time()
        rebuild(is_over)
        found.append(process_time() - began)

    held.rebuild = slice_of  # type: ignore[method-assign]
    return found


def main(
    columns: Annotated[int, typer.Option(help="columns of each model, an ADWIN on each")] = 20,
    panes: Annotated[int, typer.Option(help="panes of the ledger")] = 400,
    models: Annotated[int, typer.Option(help="models of the ledger partition")] = 4,
    first: Annotated[int, typer.Option(help="rows of the reference")] = 2000,
    rows: Annotated[int, typer.Option(help="rows of a model in a pane")] = 100,
    json: Annotated[Path | None, typer.Option(help="write the figures here, too")] = None,
) -> None:
    """Print the cost of a pane both times, and how long the slices were."""
    configure_logging("error", "json")
    cost = measure(models, columns, panes, first, rows)
    print(
        f"{cost.panes} panes: folded at {cost.folded_ms:.2f} ms, rebuilt at {cost.rebuilt_ms:.2f} ms a pane "
        f"(x {cost.rebuilt_ms / cost.folded_ms:.2f}), in {cost.slices} slices of {cost.longest_s * 1000:.0f} ms at "
        f"most; meanwhile {cost.panes_of_others} panes of another model"
    )
    if json is not None:
        json.write_text(jsonlib.dumps(asdict(cost), indent=2))


if __name__ == "__main__":
    typer.run(main)
