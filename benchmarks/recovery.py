"""Recovery: from `kill -9` of the whole service to its first new alert, with many detectors and old snapshots.

    python benchmarks/recovery.py [--detectors 50000] [--models 24] [--rows 5] [--json FILE]

Twice: started again under the same instance name, and taken over by another instance, which first has to wait for the
session of the killed one to run out. The drift that raises the new alert begins after the kill. More in
benchmarks/README.md.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import kafka
import msgspec
import typer
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a script's path lacks the checkout

from benchmarks.recovery_load import (
    LEDGER_PARTITIONS,
    PARTITIONS,
    PREFIX,
    REFERENCE_ROWS,
    TOPIC,
    Panes,
    column_count,
    configuration,
    detectors_of,
    model_names,
)
from monitor.bus.kafka import KafkaBus
from monitor.config import load
from monitor.events import Outgoing, TopicPartition
from monitor.ledger import position_records as positions
from monitor.ledger.ledger_topics import LedgerTopics
from monitor.runner.parts import PANES
from monitor.runner.positions import Positions
from monitor.service import prepare
from monitor.settings import load_settings
from tests.broker import Broker
from tests.kafka.service import Service, environment

SHIFT_PANES = 20
"""Enough for a window that is wholly shifted, and for every partition's watermark to pass its end."""
PATIENCE_S = 1200.0


class Recovery(msgspec.Struct, frozen=True):
    """One kill. Seconds from the kill to: the stages' start, all state restored, the first new alert, one of each
    model. `cpu_s`: CPU time of the service until then, which depends less on what else the machine does.
    `age_panes`: panes folded since the oldest snapshot."""

    how: str
    started_s: float
    restored_s: float
    first_alert_s: float
    all_models_s: float
    cpu_s: float
    age_panes: int


class Report(msgspec.Struct, frozen=True):
    """All that was measured. `detectors`: by River's class."""

    models: int
    ledger_partitions: int
    columns: int
    rows_per_pane: int
    detectors: dict[str, int]
    state_bytes: int
    recoveries: list[Recovery]


class MeasuredService(Service):
    """`streamdrift run` under an instance name, with default time-outs; its CPU time, and the times in its log."""

    def __init__(self, address: str, config: Path, log: Path) -> None:
        own = environment(f"kafka://{address}", PREFIX) | {"STREAMDRIFT_LEDGER_PARTITIONS": str(LEDGER_PARTITIONS)}
        del own["STREAMDRIFT_COMMIT_INTERVAL_MS"]
        super().__init__(own, config, log)

    def start_as(self, instance: str) -> None:
        """Start it under a name."""
        self._flags = ("--instance", instance)
        self.start()

    def check(self) -> None:
        """Raise RuntimeError if it has ended."""
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(f"the service ended:\n{self.tail()}")

    def cpu_s(self) -> float:
        """CPU time that its processes have taken so far."""
        ticks = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has ended
            if self._process is not None and int(fields[2]) == self._process.pid:
                ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def times(self, event: str, begin: int) -> list[float]:
        """When (s, epoch) the service logged an event, behind byte `begin` of its log."""
        lines = self.log.read_bytes()[begin:].splitlines()
        found = [msgspec.json.decode(line) for line in lines if f'"{event}"'.encode() in line]
        return [datetime.fromisoformat(e["timestamp"]).timestamp() for e in found]


class Bench:
    """The service on a broker, its traffic and how far it has come."""

    def __init__(self, address: str, config: Path, panes: Panes, service: MeasuredService) -> None:
        self._bus = KafkaBus([address], {})
        self._bus.create(TOPIC, PARTITIONS)
        settings = load_settings(prefix=PREFIX, ledger_partitions=LEDGER_PARTITIONS, config=config)
        prepare(self._bus, load(config.read_text(), str(config)), settings)
        self._sender = self._bus.sender()
        self._panes = panes
        self.service = service
        self._address = address
        self._models = frozenset(panes.models)
        self._seen = [0] * LEDGER_PARTITIONS
        topics = LedgerTopics(PREFIX, LEDGER_PARTITIONS)
        self._topics = topics
        self._evaluate = Positions(self._bus, topics, f"{PREFIX}evaluate")
        self._profile = Positions(self._bus, topics, f"{PREFIX}profile")

    def send(self, panes: int) -> None:
        """Panes of ordinary traffic."""
        for _ in range(panes):
            self._send(self._panes.take())

    def _send(self, records: Iterable[Outgoing]) -> None:
        for record in records:
            self._sender.send(record)
        self._sender.flush()

    def caught_up(self) -> bool:
        """Return true if all input is folded and all of the ledger judged."""
        inputs = [TopicPartition(TOPIC, p) for p in range(PARTITIONS)]
        ledger = [TopicPartition(self._topics.name("ledger"), p) for p in range(LEDGER_PARTITIONS)]
        for tp in inputs:
            value = self._profile.of(tp, None)
            if value is None or positions.decode_profile(value).position < self._bus.end(tp):
                return False
        for tp in ledger:
            value = self._evaluate.of(tp, None)
            if value is None or positions.decode_evaluate(value).position < self._bus.end(tp):
                return False
        return True

    def written(self) -> set[str]:
        """The models whose snapshots were written since it was last asked."""
        names: set[str] = set()
        for p in range(LEDGER_PARTITIONS):
            tp = TopicPartition(self._topics.name("state"), p)
            end = self._bus.end(tp)
            while self._seen[p] < end and (batch := self._bus.read(tp, self._seen[p], end, 10_000)).offsets:
                keys = [(key or b"").split(b"\0")[0].decode().partition("/")[2] for key in batch.keys]
                names |= set(keys) & self._models
                self._seen[p] = batch.offsets[-1] + 1
        return names

    def age(self) -> int:
        """Pane by pane until just before the model whose snapshot is the oldest has its next one.

        How often each has one is seen from its last two. Returns the age of that snapshot, in panes.
        """
        self.written()
        panes: dict[str, list[int]] = {model: [] for model in self._models}
        for pane in range(1, 4 * PANES):
            self.send(1)
            self.service.wait_until(self.caught_up, "a pane was judged", PATIENCE_S)
            for model in self.written():
                panes[model].append(pane)
            if all(len(its) > 1 for its in panes.values()):
                oldest = min(panes.values(), key=lambda its: its[-1])
                if pane - oldest[-1] >= oldest[-1] - oldest[-2] - 1:
                    return pane - oldest[-1]
        raise RuntimeError(f"the snapshots of the models came at {panes}")

    def ends(self) -> dict[Any, int]:
        name = self._topics.name("alerts")
        return {kafka.TopicPartition(name, p): self._bus.end(TopicPartition(name, p)) for p in range(LEDGER_PARTITIONS)}

    def recover(self, how: str, instance: str, models: list[str], age: int) -> Recovery:
        """Kill, start under a name, send the shift, and wait for the alerts."""
        consumer = kafka.KafkaConsumer(
            bootstrap_servers=self._address, isolation_level="read_committed", metrics_enabled=False
        )
        ends = self.ends()
        consumer.assign(list(ends))
        for tp, end in ends.items():
            consumer.seek(tp, end)
        log_size = self.service.log.stat().st_size
        shift = [record for _ in range(SHIFT_PANES) for record in self._panes.take(shifted=True)]
        killed = time.time()
        self.service.kill()
        self.service.start_as(instance)
        self._send(shift)
        alerted: dict[str, float] = {}
        until = killed + PATIENCE_S
        while len(alerted) < len(models):
            self.service.check()
            if time.time() > until:
                raise RuntimeError(f"{len(alerted)} of {len(models)} models alerted\n{self.service.tail()}")
            for records in consumer.poll(200).values():
                for record in records:
                    labels = msgspec.json.decode(record.value)["data"]["labels"]
                    if labels["alertname"] == "Shift":
                        alerted.setdefault(labels["model"], time.time() - killed)
        cpu_s = self.service.cpu_s()
        consumer.close()
        self.service.wait_until(self.caught_up, "everything was judged", PATIENCE_S)
        started = self.service.times("stage_started", log_size)
        restored = self.service.times("ledger_restored", log_size)
        return Recovery(
            how,
            round(max(started) - killed, 1),
            round(max(restored) - killed, 1),
            round(min(alerted.values()), 1),
            round(max(alerted.values()), 1),
            round(cpu_s, 1),
            age,
        )

    def state_bytes(self) -> int:
        """Bytes of the newest snapshots."""
        newest: dict[tuple[int, bytes | None], int] = {}
        for p in range(LEDGER_PARTITIONS):
            tp = TopicPartition(self._topics.name("state"), p)
            at, end = self._bus.beginning(tp), self._bus.end(tp)
            while at < end and (batch := self._bus.read(tp, at, end, 10_000)).offsets:
                newest |= {(p, key): len(value or b"") for key, value in zip(batch.keys, batch.values, strict=True)}
                at = batch.offsets[-1] + 1
        return sum(newest.values())

    def close(self) -> None:
        self._sender.close()
        self._bus.close()


def main(
    detectors: Annotated[int, typer.Option(help="At least so many, of all eight kinds.")] = 50_000,
    models: Annotated[
        int, typer.Option(help="Models that they are spread over, evenly over 8 ledger partitions.")
    ] = 24,
    rows: Annotated[int, typer.Option(help="Rows of each model in a pane of 2 s.")] = 5,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    """Measure, and print a table."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that nothing outlives it
    names, columns = model_names(models), column_count(detectors, models)
    text = configuration(names, columns)
    counted = detectors_of(load(text, "alerts.yaml"))
    print(f"{counted.total()} detectors of {len(counted)} kinds, {models} models, {columns} columns", flush=True)
    with tempfile.TemporaryDirectory(prefix="recovery-") as folder:
        config = Path(folder) / "alerts.yaml"
        config.write_text(text)
        broker = Broker(Path(folder) / "kafka").start()
        service = MeasuredService(broker.address, config, Path(folder) / "log")
        bench = Bench(broker.address, config, Panes(names, columns, rows), service)
        try:
            report = _measured(bench, names, columns, rows, counted)
        finally:
            bench.service.kill()
            bench.close()
            broker.close()
    _show(report)
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2))


def _measured(bench: Bench, names: list[str], columns: int, rows: int, counted: Counter[str]) -> Report:
    recoveries = []
    bench.send(2 * REFERENCE_ROWS // rows)
    bench.service.start_as("first")
    bench.service.wait_until(bench.caught_up, "the reference was made", PATIENCE_S)
    for how, instance in (("same instance", "first"), ("taken over", "second")):
        age = bench.age()
        print(f"{how}: snapshots are {age} panes old; kill -9", flush=True)
        recoveries.append(bench.recover(how, instance, names, age))
        print(recoveries[-1], flush=True)
        bench.send(2 * SHIFT_PANES)  # the shift passes, and its alerts resolve
        bench.service.wait_until(bench.caught_up, "the shift has passed", PATIENCE_S)
    return Report(len(names), LEDGER_PARTITIONS, columns, rows, dict(counted), bench.state_bytes(), recoveries)


def _show(report: Report) -> None:
    heads = ("after kill -9", "snapshot age", "started", "restored", "first new alert", "every model's", "CPU")
    table = Table(*heads, box=None)
    for r in report.recoveries:
        times = (f"{s:g} s" for s in (r.started_s, r.restored_s, r.first_alert_s, r.all_models_s, r.cpu_s))
        table.add_row(r.how, f"{r.age_panes} panes", *times)
    console = Console()
    console.print(table)
    total = sum(report.detectors.values())
    console.print(f"{total} detectors, {report.models} models, {report.state_bytes / 1e6:.1f} MB of snapshots")


if __name__ == "__main__":
    typer.run(main)
