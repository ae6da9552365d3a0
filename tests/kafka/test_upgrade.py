"""A rolling upgrade on a real broker, and the way back: the same alerts as without one.

Two processes of one service, of this tree and of a copy that stands for the next release (`release.py`).
"""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest

from monitor import __version__
from monitor.bus.kafka import KafkaBus
from monitor.config import load
from monitor.service import prepare
from monitor.settings import load_settings
from tests.broker import Broker
from tests.chaos.oracle import MessageDigest, expected
from tests.chaos.reached import LEDGER, Reached
from tests.chaos.scenario import LEDGER_PARTITIONS, PARTITIONS, PREFIX, TOPIC, Feed, configuration
from tests.kafka.release import NEW_METRIC, NEXT_VERSION, ROOT, make_next_release
from tests.kafka.service import COMMAND, Service, environment
from tests.kafka.test_service import read_all

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
EVENTS, SLICES, SEED = 20_000, 5, 4
PATIENCE_S = 120.0
STAGES = ("profile", "evaluate")
SESSION = {"session_timeout_ms": 3000, "heartbeat_interval_ms": 600}
"""Soon after a process has left, the other one takes its partitions over."""


class Upgrade:
    """A service of two processes, each of which can be of either release, and its traffic."""

    def __init__(self, broker: Broker, folder: Path) -> None:
        self.bus = KafkaBus([broker.address], {})
        self.broker = broker
        self.folder = folder
        self.config = folder / "alerts.yaml"
        self.config.write_text(soon(configuration(idle=True)))
        self.bus.create(TOPIC, PARTITIONS)
        settings = load_settings(prefix=PREFIX, ledger_partitions=LEDGER_PARTITIONS, config=self.config)
        prepare(self.bus, load(self.config.read_text(), str(self.config)), settings)
        options = {"STREAMDRIFT_KAFKA_PYTHON_OPTIONS": json.dumps(SESSION)}
        self.env = environment(f"kafka://{broker.address}", PREFIX) | options
        self.trees = {"this": ROOT, "next": make_next_release(folder / "next")}
        self.running: dict[str, Service] = {}
        self.logs: set[Path] = set()
        self._records = Feed(EVENTS, SEED, idle=True).records()
        self._reached = Reached(self.bus)

    def start(self, instance: str, release: str, *stages: str) -> None:
        """Start a process, and wait for its stages: before that a signal would end it as it ends any process."""
        log = self.folder / f"{instance}.log"
        self.logs.add(log)
        flags = ("--instance", instance, "--stages", ",".join(stages or STAGES))
        service = self.running[instance] = Service(self.env, self.config, log, flags, self.trees[release])
        before = self._started()
        service.start()
        service.wait_until(lambda: self._started() == before + len(stages or STAGES), "it started", PATIENCE_S)

    def _started(self) -> int:
        return sum(log.read_text().count('"stage_started"') for log in self.logs if log.exists())

    def stop(self, instance: str) -> None:
        assert self.running.pop(instance).stop() == 0

    def kill(self, instance: str) -> None:
        self.running.pop(instance).kill()

    def send(self) -> None:
        """One more slice of the traffic, folded and judged by those who run."""
        sender = self.bus.sender()
        for record in islice(self._records, EVENTS // SLICES):
            if record is not None:
                sender.send(record)
        sender.close()
        self._wait(lambda: self._reached.lag(self._reached.inputs) == 0, "all was read")
        self.judge()

    def judge(self) -> None:
        """What is in the ledger now, by those who run."""
        self._wait(lambda: self._reached.lag(LEDGER) == 0, "all was judged")

    def _wait(self, condition: Any, what: str) -> None:
        for service in self.running.values():
            service.wait_until(condition, what, PATIENCE_S)

    def ended(self) -> list[dict[str, Any]]:
        """Stages that ended by themselves."""
        return [entry for entry in self.logged() if entry["event"] == "stage_ended"]

    def logged(self) -> Iterator[dict[str, Any]]:
        for log in sorted(self.logs):
            yield from (json.loads(line) for line in log.read_text().splitlines() if line.startswith("{"))

    def captured(self) -> Path:
        """The log, with what was decided on it."""
        log = self.folder / "captured.jsonl"
        command = [*COMMAND, "capture", TOPIC, "--out", str(log)]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return log

    def close(self) -> None:
        for service in self.running.values():
            service.kill()
        self.bus.close()


def soon(configuration: str) -> str:
    """The configuration with so little to wait for that alerts come in every slice."""
    for name, text in (("events: 1000, every: 250", "events: 400, every: 100"), ("first: 1000", "first: 300")):
        assert name in configuration
        configuration = configuration.replace(name, text)
    return configuration


@pytest.fixture
def upgrade(own_broker: Broker, tmp_path: Path) -> Iterator[Upgrade]:
    upgrade = Upgrade(own_broker, tmp_path)
    yield upgrade
    upgrade.close()


@pytest.mark.parametrize(("first", "second"), [("this", "next"), ("next", "this")])
def test_a_rolling_upgrade_changes_no_alert(upgrade: Upgrade, first: str, second: str) -> None:
    """Processes are stopped and killed, come back as another release, and one of them goes back to the first."""
    upgrade.start("a", first)
    upgrade.start("b", first)
    upgrade.send()
    upgrade.stop("b")
    upgrade.start("b", second)
    upgrade.send()
    upgrade.kill("a")
    upgrade.send()  # the other release takes over what the first has held
    upgrade.start("a", second)
    upgrade.kill("b")
    upgrade.start("b", first)
    upgrade.send()
    upgrade.stop("a")
    upgrade.send()  # and back: the first release alone, however the partitions were shared out before
    upgrade.stop("b")
    upgrade.start("b", first, "evaluate")  # profile may have written something on leaving
    upgrade.judge()
    upgrade.stop("b")

    assert upgrade.ended() == []
    assert any(entry["event"] == "messages_not_compared" for entry in upgrade.logged())
    found = {name: read_all(upgrade.broker.address, f"{PREFIX}{name}") for name in ("alerts", "retraining")}
    observed = read_all(upgrade.broker.address, f"{PREFIX}observations")
    assert len({NEW_METRIC.encode() in record.value for record in observed}) == 2
    wanted = expected(upgrade.captured(), None).topics
    for name, records in {**found, "observations": observed}.items():
        assert Counter(map(meaning, published(records))) == Counter(map(meaning, replayed(wanted[name]))), name
    releases = {msgspec.json.decode(record.value)["data"]["config"]["version"] for record in found["alerts"]}
    assert releases == {__version__, NEXT_VERSION}


def published(records: list[Any]) -> list[MessageDigest]:
    return [(record.key, record.value) for record in records]


def replayed(topic: dict[int, list[MessageDigest]]) -> list[MessageDigest]:
    return [message for partition in topic.values() for message in partition]


def meaning(message: MessageDigest) -> tuple[bytes | None, bytes]:
    """Key and value of a message without what differs by release: its version, and a metric of one of them."""
    key, value = message
    event = msgspec.json.decode(value)
    data = event["data"]
    data.get("config", {}).pop("version", None)
    for column in data.get("columns", {}).values():
        column.pop(NEW_METRIC, None)
    return key, msgspec.json.encode(event, order="deterministic")
