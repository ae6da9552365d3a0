"""Several processes a stage on a real broker: the bytes of a replay, a restart without a rebalance, own names."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from monitor.bus.kafka import KafkaBus
from tests.kafka.scenario import PARTITIONS, Feed, Scenario, time_of
from tests.kafka.service import COMMAND, Reached, Service, environment
from tests.kafka.test_service import read_alerts

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
EVENTS = 24_000
PATIENCE_S = 120.0


class Fleet:
    """Processes of one service, each with its own log."""

    def __init__(self, bus: KafkaBus, address: str, folder: Path) -> None:
        name = uuid.uuid4().hex[:8]
        self.bus = bus
        self.prefix = f"{name}."
        self.address = address
        self.scenario = Scenario(f"ml.features-{name}", EVENTS)
        self.env = environment(f"kafka://{address}", self.prefix)
        self.reached = Reached(bus, self.scenario.topic, self.prefix)
        self._folder = folder
        self._config = folder / "alerts.yaml"
        self._config.write_text(self.scenario.config.replace("lateness: 20s", "lateness: 5s"))
        self.services: dict[str, Service] = {}

    def start(self, instance: str, stage: str) -> Service:
        service = self.services.get(instance) or Service(
            self.env,
            self._config,
            self._folder / f"{instance}.log",
            ("--instance", instance, "--stages", stage),
        )
        self.services[instance] = service
        service.start()
        return service

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        next(iter(self.services.values())).wait_until(condition, what, PATIENCE_S)

    def stop(self) -> None:
        assert [service.stop() for service in self.services.values()] == [0] * len(self.services)

    def kill(self) -> None:
        for service in self.services.values():
            service.kill()


@pytest.fixture
def fleet(bus: KafkaBus, kafka_address: str, tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(bus, kafka_address, tmp_path)
    bus.create(fleet.scenario.topic, PARTITIONS)
    fleet.reached = Reached(bus, fleet.scenario.topic, fleet.prefix)
    yield fleet
    fleet.kill()


@contextmanager
def sending(bus: KafkaBus, feed: Feed, until: int) -> Iterator[None]:
    """Records of the scenario up to that event are written before what follows."""
    sender = bus.sender()
    for record in feed.until(until):
        sender.send(record)
    sender.flush()
    sender.close()
    yield


def events_of(service: Service, *names: str) -> list[dict[str, object]]:
    """What a process has logged under these names."""
    lines = service.log.read_text().splitlines()
    published = [json.loads(line) for line in lines if line.startswith("{")]
    return [line for line in published if line["event"] in names]


def partitions_of(service: Service) -> list[object]:
    """The partitions that a process has begun, in order."""
    return [line["partition"] for line in events_of(service, "partition_started", "partition_restored")]


def test_two_processes_a_stage_publish_what_a_replay_does(fleet: Fleet, tmp_path: Path) -> None:
    """One of each is killed in the middle, and takes its partitions up again."""
    feed = Feed(fleet.scenario)
    for instance, stage in (("p1", "profile"), ("p2", "profile"), ("e1", "evaluate"), ("e2", "evaluate")):
        fleet.start(instance, stage)
    with sending(fleet.bus, feed, EVENTS // 2):
        fleet.wait_until(fleet.reached.has_read_all, "half was read")
    for instance, stage in (("p2", "profile"), ("e2", "evaluate")):
        fleet.services[instance].kill()
        fleet.start(instance, stage)
    with sending(fleet.bus, feed, EVENTS):
        fleet.wait_until(lambda: fleet.reached.has_sealed_all(time_of(EVENTS)), "all was read and sealed")
    ledger = fleet.reached.ledger()
    fleet.wait_until(lambda: fleet.reached.has_judged(ledger), "all was judged")
    fleet.stop()
    assert all(partitions_of(fleet.services[name]) for name in ("p1", "p2"))
    assert all(events_of(fleet.services[name], "ledger_opened") for name in ("e1", "e2"))

    alerts = read_alerts(fleet.address, f"{fleet.prefix}alerts")
    log, out = tmp_path / "captured.jsonl", tmp_path / "alerts.jsonl"
    for arguments in (
        ("capture", fleet.scenario.topic, "--out", str(log)),
        ("replay", str(log), "--alerts-out", str(out)),
    ):
        subprocess.run([*COMMAND, *arguments], env=fleet.env, cwd=tmp_path, check=True, capture_output=True)
    expected = sorted(alerts, key=lambda message: message.order)
    assert len({message.event["id"] for message in alerts}) == len(alerts) > 0
    assert out.read_bytes() == b"".join(message.value + b"\n" for message in expected)


MEMBER = """
import json, sys
from monitor.bus.kafka import KafkaBus
address, group, topic, instance = sys.argv[1:]
bus = KafkaBus([address], {})
print("ready", flush=True)
input()
consumer = bus.consumer(group, [topic], instance)
while True:
    polled = consumer.poll(100, 10)
    metadata = polled.generation.metadata
    print(json.dumps([metadata.generation_id, sorted(tp.partition for tp in polled.assigned)]), flush=True)
"""


class Member:
    """A member of a group in a process of its own, which joins when it is told to."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-c", MEMBER, *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._line() == "ready"

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def join(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def says(self, generation: int, seconds: float = 60) -> tuple[int, list[int]]:
        """Its generation and its share, once that generation or a later one has begun."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            found, share = json.loads(self._line())
            if found >= generation and share:
                return found, share
        raise AssertionError(f"no share in generation {generation}")

    def kill(self) -> None:
        with self._process:
            self._process.kill()


def test_a_process_that_comes_back_under_its_name_keeps_its_partitions(bus: KafkaBus, kafka_address: str) -> None:
    """Killed and started again it has the same ones, and for the others the group's generation is the same."""
    topic = f"in-{uuid.uuid4().hex[:8]}"
    bus.create(topic, PARTITIONS)
    members = [Member(kafka_address, f"{topic}-group", topic, name) for name in ("one", "two", "two")]
    try:
        first, second, again = members
        first.join()
        generation, everything = first.says(0)
        assert everything == list(range(PARTITIONS))
        second.join()
        generation, share = second.says(generation + 1)
        _, rest = first.says(generation)
        assert sorted(share + rest) == everything
        second.kill()
        again.join()
        assert again.says(0) == (generation, share)
        assert [first.says(0) for _ in range(20)] == [(generation, rest)] * 20
    finally:
        for member in members:
            member.kill()


def test_a_second_process_of_the_same_name_is_refused(fleet: Fleet, tmp_path: Path) -> None:
    """At once, with the remedy, before it has touched the group."""
    first = fleet.start("p1", "profile")
    fleet.wait_until(lambda: len(partitions_of(first)) == PARTITIONS, "the first had begun")
    double = Service(
        fleet.env, tmp_path / "alerts.yaml", tmp_path / "double.log", ("--instance", "p1", "--stages", "profile")
    )
    double.start()
    assert double.wait_for_end(60) == 2
    assert "name it with --instance" in double.tail()
    fleet.stop()
