"""Secrets that the service is given are nowhere afterwards: a search for two canaries in all that it leaves behind."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from monitor.bus.kafka import KafkaBus
from monitor.bus.reading import read_whole, records_of
from monitor.events import Outgoing, TopicPartition
from tests.broker import free_ports
from tests.kafka.certificates import needs_openssl
from tests.kafka.scenario import CONFIG
from tests.kafka.secure_broker import APP, APP_PASSWORD, SecureBroker, everything
from tests.kafka.service import COMMAND, Service, environment

pytestmark = [pytest.mark.kafka, needs_openssl]

PREFIX, TOPIC = "canary.", "canary.in"
OPTION = "canary-91c4-option"
FORMS = [
    form
    for secret in (APP_PASSWORD.encode(), OPTION.encode())
    for form in (secret, base64.b64encode(secret).rstrip(b"="), secret.hex().encode())
]


class Traces:
    """What was found where, as bytes by place."""

    def __init__(self) -> None:
        self.found: dict[str, bytes] = {}

    def take(self, place: str, content: bytes) -> None:
        self.found[place] = self.found.get(place, b"") + content

    def holding_a_canary(self) -> list[str]:
        return [place for place, content in self.found.items() if any(form in content for form in FORMS)]


def settings(broker: SecureBroker, password: str) -> dict[str, str]:
    env = environment(f"kafka://{broker.listener('SASLTLS')}", PREFIX)
    own = {
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SASL_MECHANISM": "PLAIN",
        "KAFKA_CA_FILE": str(broker.authority.ca),
        "KAFKA_USERNAME": APP,
        "KAFKA_PASSWORD": password,
        "KAFKA_PYTHON_OPTIONS": json.dumps({"sasl_kerberos_name": OPTION}),
        "LOG_LEVEL": "debug",
    }
    return env | {f"STREAMDRIFT_{name}": value for name, value in own.items()}


def records() -> Iterator[Outgoing]:
    """Rows of a model, and what is none."""
    for i in range(400):
        row = {"event_id": f"e{i}", "event_time": 1_790_000_000_000 + i * 100, "f00": i / 7}
        yield Outgoing(TOPIC, 0, None, b"{no JSON" if i % 10 == 9 else json.dumps(row).encode())


def command_lines(pids: list[int]) -> bytes:
    return b"".join(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids if Path(f"/proc/{pid}").exists())


def fetched(port: int, path: str) -> bytes:
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return bytes(answer.read())
    return b""


def test_no_secret_is_left_anywhere(secure_broker: SecureBroker, tmp_path: Path) -> None:
    """Logs at debug, errors, dead letters, metrics, topics with snapshots, command lines, files; after failures."""
    secure_broker.allow(APP, *everything(f"{PREFIX}*"))
    owner = KafkaBus([secure_broker.address], {})
    owner.create(TOPIC, 1)
    sender = owner.sender()
    for outgoing in records():
        sender.send(outgoing)
    sender.close()
    config = tmp_path / "alerts.yaml"
    config.write_text(CONFIG.format(topic=TOPIC, columns="f00"))
    (port,) = free_ports(1)
    folder = tmp_path / "temporary"
    folder.mkdir()
    env = settings(secure_broker, APP_PASSWORD) | {"STREAMDRIFT_WEB": f"127.0.0.1:{port}", "TMPDIR": str(folder)}
    traces = Traces()
    service = Service(env, config, tmp_path / "service.log")
    service.start()
    try:
        ends = [TopicPartition(f"{PREFIX}dlq.{TOPIC}", 0), TopicPartition(f"{PREFIX}positions", 0)]
        service.wait_until(lambda: all(owner.partitions(tp.topic) for tp in ends), "topics were made", 90)
        service.wait_until(lambda: all(owner.end(tp) > 0 for tp in ends), "it committed", 90)
        service.wait_until(lambda: b"streamdrift_input_records_total" in fetched(port, "/metrics"), "metrics", 60)
        traces.take("metrics", fetched(port, "/metrics") + fetched(port, "/live") + fetched(port, "/ready"))
        traces.take("command lines", command_lines([os.getpid(), *service.children()]))
        config.write_text("nonsense: [")
        service.signal(signal.SIGHUP)
        service.wait_until(lambda: "config_reload_failed" in service.log.read_text(), "it refused the file", 60)
        secure_broker.take_away(APP, ("WRITE", "TOPIC", f"{PREFIX}*"))
        refused = owner.sender()
        for outgoing in records():
            refused.send(outgoing)
        refused.close()
        service.wait_until(lambda: "stage_ended" in service.log.read_text(), "a stage ended by its lost right", 90)
        for file in folder.rglob("*"):
            if file.is_file():
                traces.take(f"file {file.name}", file.read_bytes())
    finally:
        service.stop()
    config.write_text(CONFIG.format(topic=TOPIC, columns="f00"))
    wrong = settings(secure_broker, f"{APP_PASSWORD}-wrong")
    for command in (["run", "--config", str(config)], ["tail", "alerts"]):
        ended = subprocess.run([*COMMAND, *command], env=wrong, capture_output=True, timeout=90, check=False)
        assert ended.returncode == 3, ended.stderr
        traces.take(f"output of {command[0]}", ended.stdout + ended.stderr)
    for topic in owner.topics():
        for partition in range(owner.partitions(topic) or 0):
            for batch in read_whole(owner, TopicPartition(topic, partition)):
                for record in records_of(batch):
                    headers = b"".join(name.encode() + value for name, value in record.headers)
                    traces.take(f"topic {topic}", (record.key or b"") + (record.value or b"") + headers)
    owner.close()
    traces.take("log", service.log.read_bytes())
    places = {
        "metrics",
        "command lines",
        "log",
        "output of run",
        f"topic {PREFIX}dlq.{TOPIC}",
        f"topic {PREFIX}positions",
    }
    assert places <= traces.found.keys()
    assert all(traces.found[place] for place in places)
    assert traces.holding_a_canary() == []
    traces.take("planted", b"x" + APP_PASSWORD.encode())
    assert traces.holding_a_canary() == ["planted"]
