"""What the tests over real processes share."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from monitor.bus.address import open_bus
from tests.broker import free_ports
from tests.kafka.service import Reached, Service, environment
from tests.processes.running import PARTITIONS, PATIENCE_S, Running


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Running]:
    """The service on each bus."""
    url = f"sqlite:///{tmp_path}/bus.db"
    if request.param == "kafka":
        url = f"kafka://{request.getfixturevalue('kafka_address')}"
    with service_on(url, tmp_path) as one:
        yield one


@contextmanager
def service_on(url: str, folder: Path) -> Iterator[Running]:
    """A service that has read some events. It commits rarely while traffic flows: when there is nothing to read."""
    bus, topic, prefix = open_bus(url), f"in-{uuid.uuid4().hex[:8]}", f"s{uuid.uuid4().hex[:8]}."
    bus.create(topic, PARTITIONS)
    (port,) = free_ports(1)
    config, web = folder / "alerts.yaml", f"127.0.0.1:{port}"
    env = environment(url, prefix) | {"STREAMDRIFT_COMMIT_INTERVAL_MS": "60000", "STREAMDRIFT_WEB": web}
    (folder / "temporary").mkdir()
    env |= {"TMPDIR": str(folder / "temporary"), "XDG_RUNTIME_DIR": ""}
    service = Service(env, config, folder / "service.log")
    one = Running(bus, topic, service, Reached(bus, topic, prefix), config, web)
    one.write(50)
    one.send(200)
    service.start()
    try:
        service.wait_until(one.reached.has_read_all, "all was read", PATIENCE_S)
        yield one
    finally:
        service.kill()
        bus.close()
