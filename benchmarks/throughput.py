"""Throughput: CPU time per event of decode, profile, evaluate, and of the whole path from Kafka.

    python benchmarks/throughput.py [--columns 5,20,50] [--events N] [--repeats N] [--no-kafka] [--json FILE]

Each repeat measures a pair, one after the other: the path, and what it is compared with. Medians, minima and maxima
over the repeats, in CPU time of this process, so that other processes disturb little. See benchmarks/README.md.
"""

from __future__ import annotations

import logging
import os
import platform
import statistics
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a script's path lacks the checkout

from benchmarks.core_path import CoreRun, adwin_updates, bare_decode_seconds
from benchmarks.kafka_path import discard_seconds, path_seconds, send
from benchmarks.traffic import PARTITIONS, UNJUDGED, Traffic, make_traffic
from monitor.bus.kafka import KafkaBus
from monitor.telemetry import configure_logging
from tests.broker import Broker

STAGES = ("decode", "profile", "evaluate")
CORE, BARE, DISCARD, KAFKA = "decode + profile + evaluate", "bare msgspec decode", "poll and discard", "path from Kafka"
LEAST_EVENTS = 20 * 1000
"""Ten panes of 2,000 rows."""


class Cost(msgspec.Struct, frozen=True):
    """CPU time of one part, in µs an event: median, smallest and largest of the repeats."""

    part: str
    median_us: float
    min_us: float
    max_us: float

    @property
    def events_per_second(self) -> float:
        """Events that one core takes in a second, by the median."""
        return 1e6 / self.median_us


class Result(msgspec.Struct, frozen=True):
    """What one number of columns gave. `ratios`: medians over the pairs. `counts`: what one run put out."""

    columns: int
    events: int
    bytes_per_event: float
    costs: list[Cost]
    ratios: dict[str, float]
    counts: dict[str, int]
    adwin_updates: int


class Report(msgspec.Struct, frozen=True):
    """The JSON file: the machine, and a result for each number of columns."""

    machine: dict[str, str | int]
    partitions: int
    repeats: int
    results: list[Result]


Measures = dict[str, list[float]]
"""Part -> CPU seconds of each repeat."""


def measure(traffic: Traffic, repeats: int, kafka: str | None) -> Result:
    """All parts, and what the core put out."""
    measures: Measures = {}
    counts: dict[str, int] = {}
    CoreRun(traffic)  # warms caches and imports up
    for _ in range(repeats):
        _note(measures, BARE, bare_decode_seconds(traffic))
        run = CoreRun(traffic)
        counts = dict(sorted(run.counts.items()))
        for stage in STAGES:
            _note(measures, stage, run.seconds[stage])
        _note(measures, CORE, sum(run.seconds[stage] for stage in STAGES))
    if kafka is not None:
        _measure_kafka(traffic, repeats, kafka, measures)
    updates = adwin_updates(traffic)
    judged = traffic.events - UNJUDGED
    if updates != judged * traffic.columns:
        raise RuntimeError(f"{updates} ADWIN updates; {judged} x {traffic.columns} were to be")
    costs = [_cost(part, seconds, traffic.events) for part, seconds in measures.items()]
    ratios = {f"decode / {BARE}": _ratio(measures["decode"], measures[BARE])}
    if kafka is not None:
        ratios[f"{KAFKA} / {DISCARD}"] = _ratio(measures[KAFKA], measures[DISCARD])
    return Result(traffic.columns, traffic.events, traffic.bytes_per_event, costs, ratios, counts, updates)


def _measure_kafka(traffic: Traffic, repeats: int, address: str, measures: Measures) -> None:
    bus = KafkaBus([address], {})
    try:
        send(bus, traffic)
        for _ in range(repeats):
            _note(measures, DISCARD, discard_seconds(address, traffic))
            _note(measures, KAFKA, path_seconds(bus, traffic))
    finally:
        bus.close()


def _note(measures: Measures, part: str, seconds: float) -> None:
    measures.setdefault(part, []).append(seconds)


def _cost(part: str, seconds: list[float], events: int) -> Cost:
    micros = [1e6 * s / events for s in seconds]
    return Cost(part, statistics.median(micros), min(micros), max(micros))


def _ratio(above: list[float], below: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def machine() -> dict[str, str | int]:
    """What the figures depend on beside the code."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": platform.platform(),
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count() or 0,
    }


def show(result: Result, console: Console) -> None:
    """One table, and below it what was checked."""
    table = Table(title=f"{result.columns} numeric columns, {result.events:,} events")
    for name in ("part", "µs/event", "min", "max", "events/s/core"):
        table.add_column(name, justify="left" if name == "part" else "right")
    for cost in result.costs:
        micros = (f"{value:.2f}" for value in (cost.median_us, cost.min_us, cost.max_us))
        table.add_row(cost.part, *micros, f"{cost.events_per_second:,.0f}")
    console.print(table)
    for name, ratio in result.ratios.items():
        console.print(f"  {name}: {ratio:.2f}")
    console.print(f"  {result.bytes_per_event:.0f} bytes an event; one run put out {result.counts}")
    judged = result.events - UNJUDGED
    console.print(f"  ADWIN updates: {result.adwin_updates:,} = {judged:,} judged events x {result.columns} columns\n")


@contextmanager
def broker(wanted: bool) -> Iterator[str | None]:
    """Address of `STREAMDRIFT_TEST_KAFKA`, or of a broker that lives as long as the block."""
    given = os.environ.get("STREAMDRIFT_TEST_KAFKA")
    if given or not wanted:
        yield given if wanted else None
        return
    own = Broker().start()
    try:
        yield own.address
    finally:
        own.close()


def main(
    columns: Annotated[str, typer.Option(help="Numbers of columns, with commas.")] = "5,20,50",
    events: Annotated[int, typer.Option(min=LEAST_EVENTS, help="Events of one run.")] = 100_000,
    repeats: Annotated[int, typer.Option(min=1, help="Pairs to measure.")] = 5,
    kafka: Annotated[bool, typer.Option(help="Measure the path from Kafka too.")] = True,
    json: Annotated[Path | None, typer.Option(help="File for the report.")] = None,
) -> None:
    """CPU time per event, and events a second a core, of decode, profile, evaluate and the path from Kafka."""
    console = Console()
    configure_logging("error", "json")
    logging.getLogger("kafka").setLevel(logging.ERROR)  # it warns of every large fetch
    results = []
    with broker(kafka) as address:
        for width in map(int, columns.split(",")):
            traffic = make_traffic(f"bench-{uuid.uuid4().hex[:8]}", width, events)
            results.append(measure(traffic, repeats, address))
            show(results[-1], console)
    report = Report(machine(), PARTITIONS, repeats, results)
    console.print(", ".join(f"{key} {value}" for key, value in report.machine.items()))
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")


if __name__ == "__main__":
    typer.run(main)
