"""Rights on a broker with an authorizer: who may write `commands` alone can silence, and can't write the ledger."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from monitor.bus.kafka import KafkaBus
from monitor.bus.kafka_security import client_options
from monitor.errors import BusError
from monitor.events import Outgoing, TopicPartition
from monitor.runner.topics import our_topics
from monitor.service import ledger_topics
from monitor.settings import Settings, load_settings
from tests.kafka.certificates import needs_openssl
from tests.kafka.secure_broker import POOR, POOR_PASSWORD, SecureBroker
from tests.kafka.service import COMMAND, LEDGER_PARTITIONS, environment
from tests.stories import silenced
from tests.stories.on_kafka import OnKafka
from tests.stories.story import View

pytestmark = [pytest.mark.kafka, pytest.mark.slow, needs_openssl]
MAY_READ = ("commands", "decisions", "alerts", "firing", "ledger")
"""What docs/operations.md asks for beside the right to write `commands`."""


def poor_settings(broker: SecureBroker, prefix: str) -> Settings:
    """The settings of somebody who has no rights yet."""
    return load_settings(
        bus=f"kafka://{broker.listener('SASLTLS')}",
        prefix=prefix,
        ledger_partitions=LEDGER_PARTITIONS,
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_mechanism="PLAIN",
        kafka_ca_file=broker.authority.ca,
        kafka_username=POOR,
        kafka_password=POOR_PASSWORD,
    )


def silence(settings: Settings) -> subprocess.CompletedProcess[str]:
    """`streamdrift silence add`, to its end."""
    env = environment(settings.bus, settings.prefix) | {
        "STREAMDRIFT_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "STREAMDRIFT_KAFKA_SASL_MECHANISM": "PLAIN",
        "STREAMDRIFT_KAFKA_CA_FILE": str(settings.kafka_ca_file),
        "STREAMDRIFT_KAFKA_USERNAME": POOR,
        "STREAMDRIFT_KAFKA_PASSWORD": POOR_PASSWORD,
    }
    words = ("silence", "add", "--model", "silenced", "--match", "column=x", "--for", "1h", "--comment", "a try")
    return subprocess.run([*COMMAND, *words], env=env, capture_output=True, text=True, check=False, timeout=120)


def test_who_may_write_commands_alone_can_silence_and_no_more(secure_broker: SecureBroker, tmp_path: Path) -> None:
    """With the rights that the page asks for the alert is silenced; each other topic of ours refuses the writer."""
    live = OnKafka([silenced.STORY], secure_broker.address, tmp_path)
    try:
        view, prefix = View(live, silenced.STORY), live.settings.prefix
        view.send(silenced.rows(0, 20))
        view.wait_until(lambda: bool(view.alerts(column="x")), "the alert fires")
        secure_broker.allow(POOR, *(("READ", "TOPIC", prefix + name) for name in MAY_READ))
        settings = poor_settings(secure_broker, prefix)
        refused = silence(settings)
        assert refused.returncode == 3, refused.stderr
        assert f"user 'poor' lacks WRITE on topic {prefix}commands" in refused.stderr
        secure_broker.allow(POOR, ("WRITE", "TOPIC", f"{prefix}commands"))
        taken = silence(settings)
        assert taken.returncode == 0, taken.stderr
        view.send(silenced.rows(20, 30))
        name = [taken.stdout.strip()]
        view.wait_until(lambda: silenced.changes(view, "x")[-1] == ("updated", name), "the alert is silenced")
        _check_that_nothing_else_takes_it(live, settings)
        live.end()
    finally:
        live.close()


def _check_that_nothing_else_takes_it(live: OnKafka, settings: Settings) -> None:
    poor = KafkaBus([settings.bus.removeprefix("kafka://")], client_options(settings))
    names = set(our_topics(ledger_topics(settings), tuple(live.topics.values()), lambda _: 1))
    for topic in sorted(names - {f"{settings.prefix}commands"}):
        sender = poor.sender()
        sender.send(Outgoing(topic, 0, None, b"forged"))
        with pytest.raises(BusError, match="Authorization"):
            sender.flush()
        tp = TopicPartition(topic, 0)
        newest = live.bus.read(tp, live.bus.beginning(tp), None, 1000).values if live.bus.end(tp) else ()
        assert b"forged" not in newest, topic
    poor.close()
