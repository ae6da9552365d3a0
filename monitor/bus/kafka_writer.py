"""Writing to Kafka: the transactional writer, crash only, and the plain sender.

What the client needs (kafka-python 3.0): every future of a transaction is kept and asked before the commit, because
`commit_transaction()` succeeds although records were lost by time-out; the offsets of a failed transaction leak
into the next one, so a writer that has failed once is not used again; a commit may hang for good, so it runs under
a watchdog; `retry_backoff_ms` is slept between transactions, so it is small.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from kafka import errors as kafka_errors
from kafka.structs import OffsetAndMetadata

from monitor.bus.kafka_clients import KafkaClients, kafka_tp
from monitor.bus.kafka_group import Generation
from monitor.bus.kafka_rights import TRANSACTIONAL_ID, Right
from monitor.bus.port import Committed, Polled
from monitor.bus.watchdog import watchdog
from monitor.errors import BusError, StaleGeneration, TransactionFailed
from monitor.events import Outgoing, TopicPartition

TRANSACTION_MS = 15_000
BLOCK_MS = 10_000
HANGING_SECONDS = 30.0
SEND_BYTES = 16 << 20


class KafkaWriter:
    """The transactional writer `<group>-<instance>`; opening it fences an older one of the same name."""

    def __init__(self, clients: KafkaClients, group: str, instance: str) -> None:
        self._name = f"{group}-{instance}"
        self._failed = False
        self._producer = clients.producer(
            transactional_id=self._name,
            client_id=self._name,
            transaction_timeout_ms=TRANSACTION_MS,
            delivery_timeout_ms=BLOCK_MS,
            max_block_ms=BLOCK_MS,
            request_timeout_ms=BLOCK_MS // 2,
            retry_backoff_ms=5,
            linger_ms=5,
        )
        with watchdog(f"opening the writer {self._name!r}", HANGING_SECONDS), clients.translated("opening the writer"):
            try:
                self._producer.init_transactions()
            except kafka_errors.TransactionalIdAuthorizationFailedError:
                raise clients.refusal([Right("WRITE", TRANSACTIONAL_ID, self._name)]) from None

    def commit(
        self,
        outgoing: Sequence[Outgoing],
        offsets: Mapping[TopicPartition, Committed],
        polled: Polled | None,
    ) -> dict[TopicPartition, int]:
        if self._failed:
            raise TransactionFailed(f"the writer {self._name!r} has failed before; only a new process may go on")
        generation = _generation(offsets, polled)
        if not outgoing and not offsets:
            return {}
        try:
            with watchdog(f"a commit of {self._name!r}", HANGING_SECONDS):
                return self._transact(outgoing, offsets, generation)
        except Exception as error:
            # Whatever it is, the outcome is an abort or unknown; the open transaction is aborted by the next writer.
            self._failed = True
            raise TransactionFailed(f"the commit of {self._name!r} failed: {error!r}") from error

    def _transact(
        self, outgoing: Sequence[Outgoing], offsets: Mapping[TopicPartition, Committed], generation: Generation | None
    ) -> dict[TopicPartition, int]:
        self._producer.begin_transaction()
        futures = [
            self._producer.send(o.topic, o.value, o.key, list(o.headers), o.partition, o.timestamp) for o in outgoing
        ]
        if generation is not None and offsets:
            taken = {kafka_tp(tp): OffsetAndMetadata(c.offset, c.metadata, -1) for tp, c in offsets.items()}
            self._producer.send_offsets_to_transaction(taken, generation.metadata)
        self._producer.flush()
        ends: dict[TopicPartition, int] = {}
        for future in futures:
            written = future.get(timeout=0)
            tp = TopicPartition(written.topic, written.partition)
            ends[tp] = max(ends.get(tp, 0), written.offset + 1)
        self._producer.commit_transaction()
        return ends

    def close(self) -> None:
        """Never aborts: the next writer of this name does, and an abort can hang like a commit."""
        with watchdog(f"closing the writer {self._name!r}", HANGING_SECONDS):
            if not self._failed:
                self._producer.close(timeout=BLOCK_MS / 1000)
                return
            with suppress(kafka_errors.KafkaError):  # what a failed transaction has left unsent
                self._producer.close(timeout=1)


def _generation(offsets: Mapping[TopicPartition, Committed], polled: Polled | None) -> Generation | None:
    if polled is None:
        if offsets:
            raise ValueError("offsets are committed with the poll that they came from")
        return None
    if not isinstance(polled.generation, Generation):
        raise ValueError("the poll comes from another bus")
    if not polled.generation.is_current:
        raise StaleGeneration("the group's assignment changed since the poll")
    return polled.generation


class KafkaSender:
    """Plain, idempotent writing. The client bounds no memory: it is flushed every 16 MB."""

    def __init__(self, clients: KafkaClients) -> None:
        self._clients = clients
        self._producer = clients.producer(linger_ms=20)
        self._lost: list[Exception] = []
        self._bytes = 0

    def send(self, outgoing: Outgoing) -> None:
        o = outgoing
        try:
            with self._clients.translated(f"sending to {o.topic!r}"):
                future = self._producer.send(o.topic, o.value, o.key, list(o.headers), o.partition, o.timestamp)
        except ValueError as error:
            raise BusError(f"{self._clients.name}: sending to {o.topic!r}: {error}") from error
        future.add_errback(self._lost.append)
        self._bytes += len(o.value or b"") + len(o.key or b"") + 100
        if self._bytes > SEND_BYTES:
            self.flush()

    def flush(self) -> None:
        self._producer.flush()
        self._bytes = 0
        if self._lost:
            lost, self._lost = self._lost, []
            raise BusError(f"{self._clients.name}: {len(lost)} records were not written: {lost[0]!r}") from lost[0]

    def close(self) -> None:
        try:
            self.flush()
        finally:
            self._producer.close()
