"""Ways into a secured broker through our own bus, and what is said of those that lead nowhere."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from monitor.bus.kafka import KafkaBus
from monitor.bus.kafka_probe import diagnosis
from monitor.bus.kafka_security import client_options
from monitor.bus.port import Committed, Needs
from monitor.errors import BusError, TransactionFailed
from monitor.events import Outgoing, TopicPartition
from monitor.settings import load_settings
from tests.kafka.certificates import needs_openssl
from tests.kafka.scenario import CONFIG
from tests.kafka.secure_broker import APP, APP_PASSWORD, POOR, POOR_PASSWORD, SecureBroker, everything, token
from tests.kafka.service import COMMAND, environment

pytestmark = [pytest.mark.kafka, needs_openssl]
WAIT_MS = 10_000
KEY_LOCK = "key-password"


@pytest.fixture
def broker(secure_broker: SecureBroker) -> SecureBroker:
    secure_broker.allow(APP, *everything("way-*"))
    return secure_broker


def ways(broker: SecureBroker, folder: Path) -> dict[str, tuple[str, dict[str, Any]]]:
    """Every way in that is meant to work: listener and settings."""
    app, locked = broker.authority.sign(APP), broker.authority.sign(APP, password=KEY_LOCK)
    (folder / "token").write_text(token(APP))
    (folder / "password").write_text(f"{APP_PASSWORD}\n")
    tls = {"kafka_ca_file": broker.authority.ca}
    user = {"kafka_username": APP, "kafka_password": APP_PASSWORD}
    sasl = {**tls, "kafka_security_protocol": "SASL_SSL"}
    mutual = {**tls, "kafka_security_protocol": "SSL"}
    return {
        "TLS": ("TLS", mutual),
        "mutual TLS": ("MTLS", {**mutual, "kafka_cert_file": app.cert, "kafka_key_file": app.key}),
        "mutual TLS, one file": ("MTLS", {**mutual, "kafka_cert_file": app.store}),
        "mutual TLS, locked key": (
            "MTLS",
            {
                **mutual,
                "kafka_cert_file": locked.cert,
                "kafka_key_file": locked.key,
                "kafka_key_password": KEY_LOCK,
            },
        ),
        **{
            mechanism: ("SASLTLS", {**sasl, **user, "kafka_sasl_mechanism": mechanism})
            for mechanism in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
        },
        "password from a file": (
            "SASLTLS",
            {
                **sasl,
                "kafka_username": APP,
                "kafka_password_file": folder / "password",
                "kafka_sasl_mechanism": "SCRAM-SHA-512",
            },
        ),
        "OAUTHBEARER": (
            "SASLTLS",
            {**sasl, "kafka_sasl_mechanism": "OAUTHBEARER", "kafka_token_file": folder / "token"},
        ),
        "PLAIN, open": (
            "SASLOPEN",
            {
                **user,
                "kafka_security_protocol": "SASL_PLAINTEXT",
                "kafka_sasl_mechanism": "PLAIN",
                "kafka_allow_plaintext_credentials": True,
            },
        ),
    }


def test_every_way_in_reads_and_writes_transactions(broker: SecureBroker, tmp_path: Path) -> None:
    """Through all of our clients: topics, a transaction with offsets, a group, reading without one."""
    for number, (way, (listener, settings)) in enumerate(ways(broker, tmp_path).items()):
        options = client_options(load_settings(**settings))
        assert diagnosis([broker.listener(listener)], options) is None, way
        bus = KafkaBus([broker.listener(listener)], options)
        topic, group = f"way-{number}", f"way-group-{number}"
        bus.create(topic, 1)
        consumer, writer = bus.consumer(group, [topic], "a"), bus.writer(group, "a")
        while not (polled := consumer.poll(WAIT_MS, 10)).assigned:
            pass
        tp = TopicPartition(topic, 0)
        assert writer.commit([Outgoing(topic, 0, None, way.encode())], {tp: Committed(0, way)}, polled) == {tp: 1}
        assert consumer.committed(tp) == Committed(0, way)
        assert list(bus.read(tp, 0, None, WAIT_MS).values) == [way.encode()]
        bus.close()


def test_what_keeps_a_client_out_is_told_apart(broker: SecureBroker, tmp_path: Path) -> None:
    """TLS, authentication, and which side does not do what the other wants: each with its remedy."""
    known = ways(broker, tmp_path)
    stranger = broker.stranger.sign(APP)
    (tmp_path / "old").write_text(token(APP, -10))
    cases: list[tuple[str, str, dict[str, Any], str]] = [
        # listener, way, what is changed in it, what is told
        ("TLS", "TLS", {"kafka_ca_file": broker.stranger.ca}, "certificate is not trusted.*KAFKA_CA_FILE"),
        ("TLS", "PLAIN", {}, "asks nobody for credentials; set STREAMDRIFT_KAFKA_SECURITY_PROTOCOL=SSL$"),
        ("TLS", "PLAIN, open", {}, "the listener is encrypted, and SASL_PLAINTEXT is not; set .*=SASL_SSL$"),
        ("FOREIGN", "TLS", {}, "certificate is not for '127.0.0.1'"),
        ("MTLS", "TLS", {}, "wants a client's certificate.*set STREAMDRIFT_KAFKA_CERT_FILE"),
        (
            "MTLS",
            "mutual TLS",
            {"kafka_cert_file": stranger.cert, "kafka_key_file": stranger.key},
            "does not accept the client's certificate",
        ),
        ("SASLOPEN", "TLS", {}, "what listens there does not speak TLS"),
        ("SASLTLS", "TLS", {}, "the listener wants credentials; set .*=SASL_SSL"),
        ("SASLTLS", "PLAIN", {"kafka_password": "wrong"}, "PLAIN failed.*Invalid username or password"),
        ("SASLTLS", "SCRAM-SHA-256", {"kafka_password": "wrong"}, "SCRAM-SHA-256 failed.*invalid credentials"),
        ("SASLTLS", "SCRAM-SHA-512", {"kafka_username": "nobody"}, "SCRAM-SHA-512 failed.*invalid credentials"),
        ("SASLTLS", "OAUTHBEARER", {"kafka_token_file": tmp_path / "old"}, "OAUTHBEARER failed.*KAFKA_TOKEN_FILE"),
        (
            "SASLOPEN",
            "PLAIN, open",
            {"kafka_sasl_mechanism": "SCRAM-SHA-256"},
            "does not take SCRAM-SHA-256, but PLAIN; set STREAMDRIFT_KAFKA_SASL_MECHANISM",
        ),
    ]
    for listener, way, changed, expected in cases:
        options = client_options(load_settings(**known[way][1] | changed))
        found = diagnosis([broker.listener(listener)], options)
        with pytest.raises(BusError, match=expected):
            raise found or AssertionError(f"{way} was let in at {listener}")
        assert str(found).startswith(f"kafka://{broker.listener(listener)}: ")
    assert "encrypted, and PLAINTEXT is not" in str(diagnosis([broker.listener("SASLTLS")], {}))
    assert "listener wants credentials" in str(diagnosis([broker.listener("SASLOPEN")], {}))
    assert "nobody listens there" in str(diagnosis(["127.0.0.1:1"], {}))
    assert "does not resolve" in str(diagnosis(["nowhere.invalid:9092"], {}))
    assert diagnosis(["127.0.0.1:1", broker.address], {}) is None


def test_a_client_that_is_not_let_in_reports_why(broker: SecureBroker, tmp_path: Path) -> None:
    """Also where nobody probed before: the client itself would only say that its time is over."""
    listener, settings = ways(broker, tmp_path)["PLAIN"]
    options = client_options(load_settings(**settings | {"kafka_password": "wrong"}))
    with pytest.raises(BusError, match="Invalid username or password"):
        KafkaBus([broker.listener(listener)], options | {"bootstrap_timeout_ms": 500})


def test_lacking_rights_are_named_with_the_command_that_gives_them(broker: SecureBroker, tmp_path: Path) -> None:
    """All at once, by operation and resource; with the rights that the page asks for, everything is allowed."""
    listener, settings = ways(broker, tmp_path)["SCRAM-SHA-512"]
    poor = settings | {"kafka_username": POOR, "kafka_password": POOR_PASSWORD}
    bus = KafkaBus([broker.listener(listener)], client_options(load_settings(**poor)))
    owner = KafkaBus([broker.address], {})
    owner.create("in", 1)
    needs = Needs(("in",), ("r.dlq.in", "r.ledger"), (("r.profile", "one"),))
    with pytest.raises(BusError, match="user 'poor' lacks") as caught:
        bus.check_rights(needs)
    for lacking in (
        "READ on topic in,",
        "DESCRIBE_CONFIGS on topic in,",
        "WRITE on topic r.ledger,",
        "READ on topic r.dlq.in,",
        "READ on group r.profile",
        "WRITE on transactional-id r.profile-one",
        "--add --allow-principal 'User:poor' --operation",
    ):
        assert lacking in str(caught.value)
    for refused in (lambda: bus.create("r.ledger", 1), lambda: bus.writer("r.profile", "one")):
        with pytest.raises(BusError, match=r"user 'poor' lacks (CREATE|WRITE) on"):
            refused()
    broker.allow(POOR, ("READ", "TOPIC", "in"), ("DESCRIBE", "TOPIC", "r.ledger"))
    with pytest.raises(BusError, match=r"lacks DESCRIBE_CONFIGS on topic in, .*CREATE on topic r.ledger,"):
        bus.check_rights(needs)
    broker.allow(POOR, *everything("in*"), *everything("r.*"))
    bus.check_rights(needs)
    bus.create("r.ledger", 1)
    writer = bus.writer("r.profile", "one")
    assert writer.commit([Outgoing("r.ledger", 0, None, b"v")], {}, None)
    owner.create("forbidden", 1)
    with pytest.raises(TransactionFailed, match="TopicAuthorizationFailed"):
        writer.commit([Outgoing("forbidden", 0, None, b"v")], {}, None)
    bus.close()
    owner.close()


def run(broker: SecureBroker, address: str, config: Path, settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
    env = environment(f"kafka://{address}", "probe.") | {f"STREAMDRIFT_{name}": text for name, text in settings.items()}
    command = [*COMMAND, "run", "--config", str(config)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_run_ends_with_the_reason_in_one_line(broker: SecureBroker, tmp_path: Path) -> None:
    """Exit code 3 for what the bus refuses, 2 for settings that are wrong; no stage was started."""
    config = tmp_path / "alerts.yaml"
    config.write_text(CONFIG.format(topic="probe-in", columns="f00"))
    tls = {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_CA_FILE": str(broker.authority.ca)}
    user = {"KAFKA_SASL_MECHANISM": "PLAIN", "KAFKA_USERNAME": APP, "KAFKA_PASSWORD": "wrong"}
    poor = {"KAFKA_USERNAME": POOR, "KAFKA_PASSWORD": POOR_PASSWORD}
    cases: list[tuple[str, dict[str, str], int, str]] = [
        ("127.0.0.1:1", {}, 3, "unreachable: nobody listens there"),
        (broker.listener("SASLTLS"), tls | user, 3, "authentication: PLAIN failed"),
        (broker.listener("SASLTLS"), tls | user | poor, 3, "rights: user 'poor' lacks"),
        (broker.listener("SASLTLS"), tls, 2, "STREAMDRIFT_KAFKA_SASL_MECHANISM: SASL_SSL needs one of"),
    ]
    for address, settings, code, expected in cases:
        ended = run(broker, address, config, settings)
        assert (ended.returncode, expected in ended.stderr) == (code, True), ended.stderr
        assert len(ended.stderr.strip().splitlines()) == 1, ended.stderr
        assert POOR_PASSWORD not in ended.stderr
