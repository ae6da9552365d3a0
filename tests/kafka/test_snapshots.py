"""Damaged snapshots of the running service, on a real broker: the model stops by name, and the rest goes on."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from monitor.bus.kafka import KafkaBus
from monitor.bus.reading import read_whole, records_of
from monitor.events import Outgoing, Record, TopicPartition
from monitor.ledger.ledger_topics import LedgerTopics
from producers.synthetic import numeric_traffic
from producers.traffic import Traffic
from tests.kafka.retention import delete_before
from tests.kafka.service import COMMAND, LEDGER_PARTITIONS, Reached, Service, environment

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
MODELS = ("black", "blue", "brown", "cyan", "green", "grey", "red", "white")
"""Two in each of the four ledger partitions, so that a stopped one has a neighbour there."""
START_MS = 1_790_000_000_000
PANE_MS = 2000
ROWS = 40
"""Of each model in a pane."""
SNAPSHOT_PANES = 60
PATIENCE_S = 180.0
CONFIG = """
version: 1
defaults: {{window: {{events: 100, every: 50}}, lateness: 2s, pane: 2s, interval: 2s, idle_timeout: 1h}}
models:
{models}
detectors:
  adwin: {{class: ADWIN, input: "*"}}
  gaps: {{class: HDDMA, input: "missing(*)"}}
groups:
{groups}
"""
MODEL = """
  {model}:
    task: regression
    streams: {{features: {{topic: {topic}}}}}
    columns: {{timestamp: event_time, numerical: [f00, f01]}}
    reference: {{first: 100}}
"""
GROUP = """
  - {{name: g-{model}, model: {model}, rules: [{{alert: Low, expr: "mean > -100"}}]}}
"""


class Bench:
    """A service over one topic, and its traffic, pane by pane."""

    def __init__(self, bus: KafkaBus, address: str, folder: Path) -> None:
        self.name = f"s{uuid.uuid4().hex[:8]}"
        self.topic = f"{self.name}.features"
        self.prefix = f"{self.name}."
        self._bus = bus
        self._address = address
        bus.create(self.topic, 2)
        config = folder / "alerts.yaml"
        models = "".join(MODEL.format(model=model, topic=self.topic) for model in MODELS)
        config.write_text(CONFIG.format(models=models, groups="".join(GROUP.format(model=model) for model in MODELS)))
        self.env = environment(f"kafka://{address}", self.prefix)
        self.service = Service(self.env, config, folder / "service.log")
        self.ours = LedgerTopics(self.prefix, LEDGER_PARTITIONS)
        # a broker deletes records of a topic only if its policy lets it: see `damage`
        keeping = {"cleanup.policy": "compact,delete", "retention.ms": "-1"}
        bus.create(self.ours.name("state"), LEDGER_PARTITIONS, keeping)
        self._traffic = [self._model(model, seed) for seed, model in enumerate(MODELS)]

    def _model(self, model: str, seed: int) -> Iterator[Outgoing]:
        traffic = Traffic(None, seed, START_MS, ROWS * 1000 / PANE_MS, partitions=2)
        return numeric_traffic(traffic, 2, (), self.topic, model)

    def send(self, panes: int) -> None:
        sender = self._bus.sender()
        for _ in range(panes * ROWS):
            for records in self._traffic:
                sender.send(next(records))
        sender.close()

    def settle(self) -> None:
        """Until all is folded and judged."""
        reached = Reached(self._bus, self.topic, self.prefix)
        self.service.wait_until(reached.has_read_all, "all was read", PATIENCE_S)
        ledger = reached.ledger()
        self.service.wait_until(lambda: reached.has_judged(ledger), "all was judged", PATIENCE_S)

    def records(self, name: str) -> list[Record]:
        tps = [TopicPartition(self.ours.name(name), p) for p in range(LEDGER_PARTITIONS)]
        return [record for tp in tps for batch in read_whole(self._bus, tp) for record in records_of(batch)]

    def alerts(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(record.value or b"")["data"]["labels"] for record in self.records("alerts")]

    def stopped(self) -> list[dict[str, Any]]:
        return [labels for labels in self.alerts() if labels["alertname"] == "ModelStopped"]

    def has_snapshots(self, models: Iterable[str]) -> bool:
        """Whether each of these models has one."""
        keys = {(record.key or b"").split(b"\0")[0] for record in self.records("state")}
        return all(f"{self.ours.partition_of(model)}/{model}".encode() in keys for model in models)

    def damage(self, model: str) -> None:
        """Flip one byte of a model's newest snapshot, and delete the good ones.

        The log can't be changed in place: the newest of each part is written again, and what is before them is deleted.
        """
        tp = TopicPartition(self.ours.name("state"), self.ours.partition_of(model))
        end = self._bus.end(tp)
        newest = {record.key: record for record in self.records("state") if record.partition == tp.partition}
        key = f"{tp.partition}/{model}".encode()
        sender = self._bus.sender()
        for record in newest.values():
            value = bytearray(record.value or b"")
            if (record.key or b"").split(b"\0")[0] == key:
                value[len(value) // 2] ^= 1
            sender.send(Outgoing(*tp, record.key, bytes(value), record.headers))
        sender.close()
        delete_before(self._address, tp, end)

    def rebuild(self, model: str) -> None:
        command = [*COMMAND, "rebuild", model]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
        assert done.returncode == 0, done.stderr


def test_a_model_whose_snapshot_is_damaged_stops_by_name_and_can_be_rebuilt(
    bus: KafkaBus, kafka_address: str, tmp_path: Path
) -> None:
    """The process stays up and the other models go on; after `rebuild` it has said all that it would have said."""
    bench = Bench(bus, kafka_address, tmp_path)
    damaged = ("blue", "white")
    bench.send(SNAPSHOT_PANES + 6)  # a model's snapshot is due by its own panes; the last ones are still open
    bench.service.start()
    try:
        bench.settle()
        bench.service.wait_until(lambda: bench.has_snapshots(damaged), "snapshots were written", PATIENCE_S)
        bench.service.kill()
        for model in damaged:
            bench.damage(model)
        bench.service.start()
        bench.send(SNAPSHOT_PANES // 4)
        bench.settle()
        bench.service.wait_until(lambda: len(bench.stopped()) >= len(damaged), "both models were stopped", PATIENCE_S)
        stopped = bench.stopped()
        assert sorted(labels["model"] for labels in stopped) == sorted(damaged)
        assert bench.service.log.read_text().count('"model_stopped"') == len(damaged)
        before = newest(bench)
        assert max(before[m] for m in damaged) < min(at for m, at in before.items() if m not in damaged)
        for model in damaged:
            bench.rebuild(model)
        bench.send(SNAPSHOT_PANES // 4)
        bench.settle()
        # a rebuilt model has to catch up with the others
        bench.service.wait_until(lambda: len(set(newest(bench).values())) == 1, "all models are as far", PATIENCE_S)
        assert bench.service.stop() == 0
    finally:
        bench.service.kill()


def newest(bench: Bench) -> dict[str, str]:
    """Of each model, the time of its newest observation."""
    found: dict[str, str] = {}
    for record in bench.records("observations"):
        event = msgspec.json.decode(record.value or b"")
        model = event["data"]["model"]
        found[model] = max(found.get(model, ""), event["time"])
    return found
