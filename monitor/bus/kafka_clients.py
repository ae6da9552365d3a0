"""Every client of kafka-python is made here, with our settings, and its errors are translated into ours.

The client ships no types, so it is `Any` here and nowhere else is it handed on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import kafka
import kafka.admin
from kafka import errors as kafka_errors
from kafka.net.compat import KafkaNetClient

from monitor.bus.kafka_probe import diagnosis
from monitor.bus.kafka_rights import Right, refusal
from monitor.config.suggest import did_you_mean
from monitor.errors import BusError, BusUnreachable, ConfigurationError
from monitor.events import Headers, RecordBatch, TopicPartition
from monitor.settings import ENV_PREFIX

BOOTSTRAP_MS = 10_000
LOG_APPEND_TIME = 1
_NO_HEADERS: Headers = ()


class KafkaClients:
    """Makes clients of one cluster. `options`: settings by kafka-python's names; each client takes those it knows."""

    def __init__(self, servers: Sequence[str], options: Mapping[str, object]) -> None:
        self.name = "kafka://" + ",".join(servers)
        self._servers = servers
        self._options = options
        self._common = {"bootstrap_servers": list(servers), "bootstrap_timeout_ms": BOOTSTRAP_MS}
        kinds = (kafka.KafkaConsumer, kafka.KafkaProducer, kafka.admin.KafkaAdminClient)
        known = {name for kind in kinds for name in kind.DEFAULT_CONFIG}
        unknown = [f"unknown option {name!r}{did_you_mean(name, known)}" for name in sorted(options.keys() - known)]
        if unknown:
            raise ConfigurationError(f"{ENV_PREFIX}KAFKA_PYTHON_OPTIONS: {'; '.join(unknown)}")

    def consumer(self, **settings: object) -> Any:
        """A consumer that reads committed records, commits nothing by itself and creates no topic."""
        own = {
            "isolation_level": "read_committed",
            "enable_auto_commit": False,
            "auto_offset_reset": "none",  # a position that is out of range is reported, not corrected
            "kafka_client": _uncreating_client,
            "max_partition_fetch_bytes": 4 << 20,
            "fetch_max_bytes": 16 << 20,
            "metrics_enabled": False,
        }
        return self._make(kafka.KafkaConsumer, own | settings)

    def producer(self, **settings: object) -> Any:
        own = {
            "kafka_client": _uncreating_client,
            "batch_size": 1 << 16,
            "metrics_enabled": False,
            # The broker knows its own limit (message.max.bytes) and refuses by it.
            "max_request_size": 64 << 20,
        }
        return self._make(kafka.KafkaProducer, own | settings)

    def admin(self) -> Any:
        return self._make(kafka.admin.KafkaAdminClient, {})

    def _make(self, kind: Callable[..., Any], settings: dict[str, object]) -> Any:
        known = {name: value for name, value in self._options.items() if name in vars(kind)["DEFAULT_CONFIG"]}
        try:
            return kind(**(self._common | settings | known))
        except kafka_errors.KafkaTimeoutError as error:
            found = diagnosis(self._servers, self._options)
            waited = BusUnreachable(f"{self.name}: no broker answers there (waited {BOOTSTRAP_MS // 1000} s)")
            raise (found or waited) from error
        except kafka_errors.KafkaConfigurationError as error:
            raise ConfigurationError(f"{self.name}: {error}") from error
        except kafka_errors.KafkaError as error:
            raise BusError(f"{self.name}: {error}") from error

    def refusal(self, rights: Iterable[Right]) -> BusError:
        """The error that names rights which the user lacks."""
        return refusal(self.name, self._options, rights)

    @contextmanager
    def translated(self, what: str) -> Iterator[None]:
        """Translate the client's errors into ours."""
        try:
            yield
        except kafka_errors.KafkaError as error:
            raise BusError(f"{self.name}: {what}: {error}") from error


def _uncreating_client(**settings: object) -> Any:
    """A network client whose questions about a topic don't create it.

    kafka-python 3.0.12 drops the setting `allow_auto_create_topics` on its way to the metadata request.
    """
    client = KafkaNetClient(**settings)
    client.cluster.config["allow_auto_create_topics"] = False
    return client


def poll(client: Any, timeout_ms: int, max_records: int) -> dict[Any, list[Any]]:
    """A poll of the client that brings records of resumed partitions too.

    kafka-python 3.0.12 parks what it had in hand of a partition that was paused, and takes it back when its slot for
    records in hand is None; but a drained batch stays in that slot, and then the resumed partition is read no more.
    """
    fetcher = client._fetcher
    if not fetcher._next_partition_records:
        fetcher._next_partition_records = None
    found: dict[Any, list[Any]] = client.poll(timeout_ms, max_records)
    return found


def kafka_tp(tp: TopicPartition) -> Any:
    """The client's own type of the same pair: some calls check for it."""
    return kafka.TopicPartition(tp.topic, tp.partition)


def record_batches(tp: TopicPartition, records: Sequence[Any]) -> list[RecordBatch]:
    """The client's records of one partition as batches, each of one kind of stamp; one without records if none are."""
    kinds = [record.timestamp_type for record in records]
    cuts = [i for i in range(1, len(kinds)) if kinds[i] != kinds[i - 1]]
    bounds = zip([0, *cuts], [*cuts, len(records)], strict=True)
    return [_record_batch(tp, records[start:end]) for start, end in bounds]


def _record_batch(tp: TopicPartition, records: Sequence[Any]) -> RecordBatch:
    """Records as columns, without an object of ours for each."""
    return RecordBatch(
        tp.topic,
        tp.partition,
        [r.offset for r in records],
        [r.timestamp for r in records],
        [r.key for r in records],
        [r.value for r in records],
        [_headers(r.headers) if r.headers else _NO_HEADERS for r in records],
        bool(records) and records[0].timestamp_type == LOG_APPEND_TIME,
    )


def _headers(pairs: Sequence[tuple[str, bytes | None]]) -> Headers:
    return tuple((name, value or b"") for name, value in pairs)
