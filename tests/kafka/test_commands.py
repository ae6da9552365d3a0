"""Commands of people on a real broker: signed, taken once across a kill -9, and the same in a replay of the capture."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from monitor.bus.kafka import KafkaBus
from monitor.codec.canonical import time_text
from monitor.events import Outgoing, TopicPartition
from tests.kafka.service import COMMAND, Service, environment
from tests.kafka.test_service import read_all

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
START_MS = 1_790_000_000_000
PATIENCE_S = 120.0
CONFIG = """
version: 1
defaults: {{window: {{time: 2s, every: 2s}}, lateness: 0s, pane: 1s, interval: 1s, idle_timeout: 2s}}
models:
  m:
    task: regression
    streams: {{features: {{topic: {topic}}}}}
    columns: {{numerical: [x]}}
    reference: {{first: 20}}
groups:
  - {{name: g, model: m, rules: [{{alert: Loud, expr: events > 1, min_events: 1}}]}}
"""


def rows(topic: str, first: int, last: int) -> Iterator[Outgoing]:
    """Ten rows a second, of seconds `first` to `last`."""
    for number in range(first * 10, last * 10):
        event = {"event_id": str(number), "model": "m", "event_time": time_text(START_MS + number * 100)}
        yield Outgoing(topic, 0, None, msgspec.json.encode({**event, "features": {"x": float(number % 7)}}))


def send(bus: KafkaBus, records: Iterator[Outgoing]) -> None:
    sender = bus.sender()
    for record in records:
        sender.send(record)
    sender.flush()
    sender.close()


def messages(address: str, topic: str) -> list[dict[str, Any]]:
    """All messages of a topic."""
    return [msgspec.json.decode(record.value) for record in read_all(address, topic)]


def asked(env: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """A command of the command line, to its end."""
    return subprocess.run([*COMMAND, *words], env=env, capture_output=True, text=True, check=False, timeout=PATIENCE_S)


def test_a_signed_silence_is_taken_once_across_a_kill(kafka_address: str, tmp_path: Path) -> None:
    """One with another key changes nothing; the alert is updated with the silence, and without it when that is over."""
    topic, prefix = f"in-{uuid.uuid4().hex[:8]}", f"c{uuid.uuid4().hex[:6]}."
    bus = KafkaBus([kafka_address], {})
    bus.create(topic, 1)
    (tmp_path / "alerts.yaml").write_text(CONFIG.format(topic=topic))
    keys = {name: tmp_path / name for name in ("key", "another")}
    for name, path in keys.items():
        path.write_text(name * 10)
    envs = {
        name: {**environment(f"kafka://{kafka_address}", prefix), "STREAMDRIFT_COMMAND_KEY_FILE": str(path)}
        for name, path in keys.items()
    }
    alerts = f"{prefix}alerts"

    def statuses() -> list[tuple[str, list[str]]]:
        loud = [m["data"] for m in messages(kafka_address, alerts) if m["data"]["labels"]["alertname"] == "Loud"]
        return [(data["status"], data.get("silencedBy", [])) for data in loud]

    service = Service(envs["key"], tmp_path / "alerts.yaml", tmp_path / "log")
    service.start()
    try:
        service.wait_until(lambda: bus.partitions(alerts) is not None, "topics are there", PATIENCE_S)
        send(bus, rows(topic, 0, 30))
        service.wait_until(lambda: bool(statuses()), "the alert fires", PATIENCE_S)
        silence = ("silence", "add", "--model", "m", "--match", "alertname=Loud", "--for", "1h", "--comment", "test")
        forged = subprocess.Popen([*COMMAND, *silence], env=envs["another"], stderr=subprocess.DEVNULL)
        commands = [TopicPartition(f"{prefix}commands", p) for p in range(bus.partitions(f"{prefix}commands") or 0)]
        service.wait_until(lambda: any(bus.end(tp) for tp in commands), "a false command is there", PATIENCE_S)
        forged.kill()
        forged.wait()
        sent = subprocess.Popen([*COMMAND, *silence], env=envs["key"], stdout=subprocess.PIPE, text=True)
        service.wait_until(lambda: sum(map(bus.end, commands)) > 1, "the command is there", PATIENCE_S)
        service.kill()
        service.start()
        name = sent.communicate(timeout=PATIENCE_S)[0].strip()
        assert sent.returncode == 0
        assert asked(envs["key"], "silence", "list", "--json").stdout.count(name) == 1
        send(bus, rows(topic, 30, 33))
        service.wait_until(lambda: statuses()[-1] == ("updated", [name]), "the alert is silenced", PATIENCE_S)
        assert asked(envs["key"], "silence", "expire", name[:8]).returncode == 0
        send(bus, rows(topic, 33, 40))
        service.wait_until(lambda: statuses()[-1] == ("updated", []), "the silence is over", PATIENCE_S)
        assert service.stop() == 0, service.tail()
    finally:
        service.kill()
    assert statuses() == [("firing", []), ("updated", [name]), ("updated", [])]
    refused = [m["data"]["labels"] for m in messages(kafka_address, alerts) if m["type"] == "streamdrift.notice.v1"]
    assert [labels.get("reason") for labels in refused] == ["unsigned"]
    log, out = tmp_path / "captured.jsonl", tmp_path / "alerts.jsonl"
    assert asked(envs["key"], "capture", topic, "--out", str(log)).returncode == 0
    assert asked(envs["key"], "replay", str(log), "--alerts-out", str(out)).returncode == 0
    assert sorted(out.read_bytes().splitlines()) == sorted(record.value for record in read_all(kafka_address, alerts))
    bus.close()
