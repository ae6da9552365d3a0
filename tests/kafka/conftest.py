"""What the tests over a real broker share."""

from collections.abc import Iterator

import pytest

from monitor.bus.kafka import KafkaBus
from tests.broker import BrokerUnavailable
from tests.conftest import REQUIRED
from tests.kafka.secure_broker import SecureBroker


@pytest.fixture
def bus(kafka_address: str) -> Iterator[KafkaBus]:
    """A bus on the session's broker."""
    bus = KafkaBus([kafka_address], {})
    yield bus
    bus.close()


@pytest.fixture(scope="session")
def secure_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureBroker]:
    """A broker with a listener for each way in, and rights."""
    try:
        broker = SecureBroker(tmp_path_factory.mktemp("secure") / "broker")
    except BrokerUnavailable as error:
        (pytest.fail if REQUIRED else pytest.skip)(f"no Kafka broker of our own: {error}")
    try:
        yield broker.start()
    finally:
        broker.close()
