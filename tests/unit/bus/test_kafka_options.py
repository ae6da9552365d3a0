"""Options that are handed to kafka-python: by its names, and no others."""

from __future__ import annotations

import pytest

from monitor.bus.kafka_clients import KafkaClients
from monitor.errors import ConfigurationError


def test_an_option_that_kafka_python_does_not_know_is_refused() -> None:
    """All at once, each with what was probably meant, before anybody is connected to; values are not shown."""
    with pytest.raises(ConfigurationError) as refused:
        KafkaClients(["localhost:1"], {"request_timeout": 123, "zzz": "hunter2", "retry_backoff_ms": 100})
    assert str(refused.value) == (
        "STREAMDRIFT_KAFKA_PYTHON_OPTIONS: unknown option 'request_timeout'; did you mean 'request_timeout_ms'?; "
        "unknown option 'zzz'"
    )


def test_options_of_any_of_its_clients_are_known() -> None:
    """A consumer's alone, a producer's alone: each client takes those that it knows."""
    KafkaClients(["localhost:1"], {"fetch_min_bytes": 1, "linger_ms": 5, "security_protocol": "SSL"})
