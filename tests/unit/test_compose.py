"""The compose file and the image, as far as they can be checked without an engine."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from monitor.web.pages import pages_of

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "deploy" / "Dockerfile"


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The services of the compose file, anchors resolved."""
    services: dict[str, Any] = YAML(typ="safe").load(COMPOSE)["services"]
    return services


def streamdrift_help(*words: str) -> str:
    """What `streamdrift <words> --help` prints; fails when there is no such command."""
    start = "from monitor.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", start, *words, "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_broker_is_apache_kafka_at_one_exact_version(services: dict[str, Any]) -> None:
    """The one that the tests run: a tag that moves would change what people try."""
    assert services["kafka"]["image"] == "apache/kafka:4.3.1"
    assert "<version>4.3.1</version>" in (ROOT / "tests" / "kafka" / "pom.xml").read_text()


def test_only_the_broker_starts_without_the_demo_profile(services: dict[str, Any]) -> None:
    """And with it the producers and the service start as well."""
    assert {name: service.get("profiles", []) for name, service in services.items()} == {
        "kafka": [],
        "produce": ["demo"],
        "service": ["demo"],
    }


def test_clients_wait_until_the_broker_answers(services: dict[str, Any]) -> None:
    """The broker's health is an answered request, and both clients depend on it."""
    health = services["kafka"]["healthcheck"]["test"]
    assert health[:2] == ["CMD", "/opt/kafka/bin/kafka-broker-api-versions.sh"]
    for name in ("produce", "service"):
        assert services[name]["depends_on"] == {"kafka": {"condition": "service_healthy"}}
        assert services[name]["environment"]["STREAMDRIFT_BUS"] == "kafka://kafka:9092"


def test_the_endpoints_are_published_on_loopback_only(services: dict[str, Any]) -> None:
    """They have no login; the health check asks for one that exists."""
    service = services["service"]
    assert service["environment"]["STREAMDRIFT_WEB"] == "0.0.0.0:8787"
    assert service["ports"] == ["127.0.0.1:8787:8787"]
    assert "http://127.0.0.1:8787/live" in service["healthcheck"]["test"][-1]
    assert "/live" in pages_of(list, list)


def test_every_listener_is_advertised_and_mapped(services: dict[str, Any]) -> None:
    """Containers reach the broker as kafka:9092, people as localhost:29092, which is published on loopback only."""
    settings = services["kafka"]["environment"]
    listeners = dict(part.split("://") for part in settings["KAFKA_LISTENERS"].split(","))
    advertised = dict(part.split("://") for part in settings["KAFKA_ADVERTISED_LISTENERS"].split(","))
    protocols = dict(part.split(":") for part in settings["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(","))
    assert advertised == {"INSIDE": "kafka:9092", "OUTSIDE": "localhost:29092"}
    assert listeners.keys() == protocols.keys() == advertised.keys() | {settings["KAFKA_CONTROLLER_LISTENER_NAMES"]}
    assert services["kafka"]["ports"] == ["127.0.0.1:29092:29092"]


def test_the_health_check_asks_a_listener_that_is_there(services: dict[str, Any]) -> None:
    """Inside the container."""
    assert services["kafka"]["healthcheck"]["test"][-1] == "localhost:9092"


def test_transactions_work_on_one_node(services: dict[str, Any]) -> None:
    """Kafka's own topics ask for three copies by default, and a single broker would refuse every transaction."""
    settings = services["kafka"]["environment"]
    for topic in ("OFFSETS_TOPIC", "TRANSACTION_STATE_LOG", "SHARE_COORDINATOR_STATE_TOPIC"):
        assert settings[f"KAFKA_{topic}_REPLICATION_FACTOR"] == "1"
    assert settings["KAFKA_TRANSACTION_STATE_LOG_MIN_ISR"] == "1"


@pytest.mark.parametrize("name", ["produce", "service"])
def test_the_commands_exist_with_their_flags(services: dict[str, Any], name: str) -> None:
    """Every word is a command of the command line, every flag one of its own."""
    command = services[name]["command"]
    words = command[: 2 if name == "produce" else 1]
    shown = streamdrift_help(*words)
    assert all(flag in shown for flag in command if flag.startswith("--"))


def test_the_image_is_built_from_files_that_are_there() -> None:
    """What the Dockerfile copies exists and is let through to the engine."""
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE.read_text(), re.MULTILINE)
    copied = {name for names in copies for name in names.split()}
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)


def test_the_image_does_not_run_as_root() -> None:
    """The last word on the user is an ordinary one."""
    assert re.findall(r"^USER (\S+)$", DOCKERFILE.read_text(), re.MULTILINE)[-1] == "streamdrift"


@pytest.mark.skipif(
    shutil.which("docker") is None
    or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode != 0,
    reason="no `docker compose` on this machine",
)
def test_compose_itself_accepts_the_file() -> None:
    """`docker compose config` needs no engine."""
    command = ["docker", "compose", "-f", str(COMPOSE), "--profile", "demo", "config", "--quiet"]
    subprocess.run(command, check=True, capture_output=True)
