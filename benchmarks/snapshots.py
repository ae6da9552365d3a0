"""Snapshots: what evaluate writes of them, by the number of models, and how far the low-water mark lies behind.

    python benchmarks/snapshots.py [--models 1,200] [--columns 20] [--partitions 8] [--minutes 60] [--json FILE]

Both stages over the bus in memory. Half of the models fall silent when a quarter of the time is over. Bytes are counted
over the last half, and are those of the models that speak: per model and second of event time, so that they should not
depend on how many models there are.
"""

from __future__ import annotations

import json as jsonlib
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a script's path lacks the checkout

from benchmarks.equal_models import create_all, evaluate_stage, event, models_yaml, profile_stage
from monitor.bus.memory import MemoryBus, MemoryWriter
from monitor.bus.port import Committed, Polled
from monitor.config import load
from monitor.config.resolved import Config
from monitor.events import Outgoing, TopicPartition
from monitor.ledger.ledger_topics import LedgerTopics
from monitor.ledger.position_records import decode_evaluate
from monitor.runner.loop import Loop
from monitor.runner.parts import USUAL, Rhythm
from monitor.telemetry import configure_logging

PANE_S = 2
ROWS = 2
"""Of each model in a pane."""
FIRST = 20
_GROUP = "  - {{name: g-{model}, model: {model}, rules: [{{alert: Ks, expr: ks > 0.99}}]}}\n"


@dataclass(frozen=True, slots=True)
class Volume:
    """What was written in the last half, per speaking model and second of event time. `lag`: most ledger records."""

    models: int
    state_bytes: float
    position_bytes: float
    state_bytes_of_all: float
    lag: int


class _CountingBus(MemoryBus):
    """Counts the bytes of each topic, and sees how far each committed offset of evaluate lies behind its position."""

    def __init__(self) -> None:
        super().__init__(clock=lambda: 0, markers=True)
        self.written = Counter[str]()
        self.lags: list[int] = []

    def write(self, outgoing: Sequence[Outgoing], markers: bool) -> dict[TopicPartition, int]:
        for record in outgoing:
            self.written[record.topic] += len(record.key or b"") + len(record.value or b"")
        return super().write(outgoing, markers)

    def writer(self, group: str, instance: str) -> MemoryWriter:
        name = f"{group}-{instance}"
        writer = _WatchedWriter(self, name, self.group(group))
        writer.lags = self.lags
        self._writers[name] = writer
        return writer


class _WatchedWriter(MemoryWriter):
    lags: list[int]

    def commit(
        self, outgoing: Sequence[Outgoing], offsets: Mapping[TopicPartition, Committed], polled: Polled | None
    ) -> dict[TopicPartition, int]:
        for record in outgoing if "evaluate" in self._name else ():
            # "group/topic/partition"; records of models and marks have longer keys
            if record.topic == "sd.positions" and (record.key or b"").count(b"/") == 2:
                position = decode_evaluate(record.value or b"")
                self.lags.append(position.position - (0 if position.low is None else position.low.position))
        return super().commit(outgoing, offsets, polled)


def config_of(models: int, columns: int) -> Config:
    """Models on one topic, each with a group of its own."""
    names, listed = [f"m{i}" for i in range(models)], [f"x{i}" for i in range(columns)]
    text = models_yaml(names, listed, FIRST, "{events: 40, every: 10}", PANE_S, PANE_S)
    return load(text + "groups:\n" + "".join(_GROUP.format(model=name) for name in names), "alerts.yaml")


def measure(
    models: int, columns: int, partitions: int, seconds: int, silent: bool = True, rhythm: Rhythm = USUAL
) -> Volume:
    """Run both stages over a stretch of event time. `silent`: if every other model falls silent."""
    config, topics, bus = config_of(models, columns), LedgerTopics("sd.", partitions), _CountingBus()
    create_all(bus, topics)
    now = [0.0]
    evaluate = evaluate_stage(bus, config, topics, lambda: now[0], rhythm)
    profile = profile_stage(bus, config, topics, lambda: now[0])
    loops = [
        Loop(bus, evaluate, "evaluate", lambda: now[0], 0.0),
        Loop(bus, profile, "profile", lambda: now[0], 0.0),
    ]
    sender, before = bus.sender(), Counter[str]()
    for second in range(0, seconds, PANE_S):
        if second * 2 >= seconds and not before:
            before = Counter(bus.written)
            bus.lags.clear()
        for row in range(ROWS):
            for number in range(models):
                if not (silent and number % 2 and second * 4 >= seconds):
                    sender.send(_event(f"m{number}", second * 1000 + row * PANE_S * 1000 // ROWS, columns))
        now[0] += PANE_S
        for loop in reversed(loops):
            loop.turn(0)
    for _ in range(models * seconds // 1000 + 20):
        loops[0].turn(0)
    speaking = models - (models // 2 if silent else 0)
    spent = {name: (bus.written[f"sd.{name}"] - before[f"sd.{name}"]) * 2 / seconds for name in ("state", "positions")}
    state, positions = spent["state"], spent["positions"]
    return Volume(models, state / speaking, positions / speaking, state / models, max(bus.lags))


def _event(model: str, at: int, columns: int) -> Outgoing:
    values = {f"x{i}": (at * 7919 + i * 104_729) * 2_654_435_761 % (1 << 32) / (1 << 32) for i in range(columns)}
    return event(model, at, values)


def main(
    models: Annotated[str, typer.Option(help="numbers of models, separated by commas")] = "1,200",
    columns: Annotated[int, typer.Option(help="columns of each model")] = 20,
    partitions: Annotated[int, typer.Option(help="ledger partitions")] = 8,
    minutes: Annotated[int, typer.Option(help="of event time")] = 60,
    json: Annotated[Path | None, typer.Option(help="write the figures here, too")] = None,
) -> None:
    """Print a line for each number of models, and the ratio to the first."""
    configure_logging("error", "json")
    found = [measure(int(n), columns, partitions, minutes * 60) for n in models.split(",")]
    for volume in found:
        print(
            f"{volume.models} models: state {volume.state_bytes:.0f} B, positions {volume.position_bytes:.0f} B per "
            f"speaking model and second (x {volume.state_bytes / found[0].state_bytes:.2f}); over all models state "
            f"{volume.state_bytes_of_all:.0f} B; the low-water mark lies {volume.lag} records behind at most"
        )
    if json is not None:
        json.write_text(jsonlib.dumps([asdict(volume) for volume in found], indent=2))


if __name__ == "__main__":
    typer.run(main)
