"""What the tests over a real broker share."""

from collections.abc import Iterator

import pytest

from monitor.bus.kafka import KafkaBus


@pytest.fixture
def bus(kafka_address: str) -> Iterator[KafkaBus]:
    """A bus on the session's broker."""
    bus = KafkaBus([kafka_address], {})
    yield bus
    bus.close()
