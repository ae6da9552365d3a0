"""The broker of the Kafka tests: where it comes from, and what happens when there is none.

In this order: `STREAMDRIFT_TEST_KAFKA` (an address), testcontainers when a Docker engine answers, Apache Kafka's
jars on the local Java. When none works Kafka tests are skipped, and the last line says so; under `CI=true` or
`STREAMDRIFT_REQUIRE_KAFKA=1` they fail, and so does a whole run in which not one of them was executed. Tests may be
shared out among processes (pytest-xdist): each has a broker of its own, and their controller gives the verdict.
"""

from __future__ import annotations

import _pickle
import os
import pickle
import socket
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, settings

from monitor.codec.cloud_events import CloudEvent
from tests.broker import BRIEF, Broker, BrokerUnavailable
from tests.schemas import check_message

CONTAINER_IMAGE = "confluentinc/cp-kafka:7.9.0"
REQUIRED = os.environ.get("CI") == "true" or os.environ.get("STREAMDRIFT_REQUIRE_KAFKA") == "1"

# How long an example takes says how busy the machine is, and nothing of what is tested.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

_executed: set[str] = set()
_missing: list[str] = []


@pytest.fixture(scope="session", autouse=True)
def nothing_is_unpickled() -> Iterator[None]:
    """Loading a pickle runs what is in it: for as long as tests run, whatever tries is stopped, whoever it is.

    The functions are replaced, and an audit hook stops what has bound them before, as soon as a pickle names a class.
    """
    with pytest.MonkeyPatch.context() as patched:
        for module, name in product((pickle, _pickle), ("load", "loads", "Unpickler")):
            patched.setattr(module, name, _refuse_pickle)
        _forbidden.add("pickle.find_class")
        yield
        _forbidden.clear()


def _refuse_pickle(*arguments: object, **settings: object) -> NoReturn:
    raise AssertionError("a pickle was loaded; state has explicit codecs")


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if event in _forbidden:
        _refuse_pickle()


_forbidden: set[str] = set()
sys.addaudithook(_audit)  # there is no way to take one away again


@pytest.fixture(scope="session", autouse=True)
def every_message_fits_its_schema() -> Iterator[None]:
    """All messages go through one envelope, on every bus and in every replay: each that is made is checked there."""
    encode = CloudEvent.encode

    def checked(event: CloudEvent) -> bytes:
        value = encode(event)
        check_message(value)
        return value

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(CloudEvent, "encode", checked)
        yield


@pytest.fixture(scope="session")
def kafka_address() -> Iterator[str]:
    """`host:port` of a real broker; the test is skipped, or fails where Kafka is required, when there is none."""
    given = os.environ.get("STREAMDRIFT_TEST_KAFKA")
    if given:
        yield given
    elif _docker_answers():
        yield from _container()
    else:
        try:
            broker = Broker(java=BRIEF).start()
        except BrokerUnavailable as error:
            _missing.append(str(error))
            (pytest.fail if REQUIRED else pytest.skip)(f"no Kafka broker: {error}")
        yield broker.address
        broker.close()


def _docker_answers() -> bool:
    """Whether an engine answers within a second at its usual socket or `DOCKER_HOST`."""
    place = urlsplit(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"))
    family = socket.AF_UNIX if place.scheme == "unix" else socket.AF_INET
    address = place.path if place.scheme == "unix" else (place.hostname or "localhost", place.port or 2375)
    try:
        with socket.socket(family) as connection:
            connection.settimeout(1)
            connection.connect(address)
            connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return connection.recv(64).startswith(b"HTTP/")
    except OSError:
        return False


def _container() -> Iterator[str]:
    from testcontainers.community.kafka import KafkaContainer

    container = KafkaContainer(CONTAINER_IMAGE).with_kraft()
    container.with_env("KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR", "1")
    container.with_env("KAFKA_TRANSACTION_STATE_LOG_MIN_ISR", "1")
    with container:
        yield container.get_bootstrap_server()


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Broker]:
    """A broker of the test's own, started, to be stopped and killed at will."""
    try:
        broker = Broker(tmp_path, java=BRIEF)
    except BrokerUnavailable as error:
        (pytest.fail if REQUIRED else pytest.skip)(f"no Kafka broker of our own: {error}")
    try:
        yield broker.start()
    finally:
        broker.close()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Shared out, the simulation comes first: it keeps a processor busy for minutes, while tests over Kafka wait."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.path.parent.name != "simulation")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" and not report.skipped and "kafka" in report.keywords:
        _executed.add(report.nodeid)


def pytest_deselected(items: list[pytest.Item]) -> None:
    if items:
        items[0].config.stash[_narrowed] = True


_narrowed = pytest.StashKey[bool]()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """The controller's view of a worker that has ended: what it missed, and whether it had less to do."""
    output = getattr(node, "workeroutput", {})
    _missing.extend(output.get("missing", ()))
    if output.get("narrowed"):
        node.config.stash[_narrowed] = True


def _is_whole(session: pytest.Session) -> bool:
    """Whether the run was not narrowed by hand: no path, no -k, no -m, no --lf."""
    config = session.config
    by_path = config.args_source is pytest.Config.ArgsSource.ARGS and config.args != ["tests"]
    return not by_path and not config.stash.get(_narrowed, False) and not config.option.collectonly


def _lacks_kafka(session: pytest.Session) -> bool:
    return REQUIRED and not _executed and _is_whole(session)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["missing"] = _missing
        output["narrowed"] = session.config.stash.get(_narrowed, False)
    elif exitstatus == pytest.ExitCode.OK and _lacks_kafka(session):
        _missing.append("no test marked kafka was executed")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    if _missing and not hasattr(config, "workeroutput"):
        verdict = "Kafka is required here: this run FAILS" if REQUIRED else "Kafka tests were SKIPPED"
        print(f"\n!!! {verdict}: {_missing[-1].splitlines()[0]}")
