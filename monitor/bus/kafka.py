"""The bus on an Apache Kafka cluster: topics, offsets and reading without a group."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from kafka import errors as kafka_errors
from kafka.admin import OffsetSpec

from monitor.bus.kafka_clients import KafkaClients, kafka_tp, poll, record_batches
from monitor.bus.kafka_group import REQUEST_MS, KafkaMember
from monitor.bus.kafka_rights import TOPIC, Right, lacking
from monitor.bus.kafka_transactions import last_stable, open_transactions
from monitor.bus.kafka_writer import KafkaSender, KafkaWriter
from monitor.bus.port import Needs, OpenTransaction
from monitor.bus.records import records_lost
from monitor.errors import BusError
from monitor.events import RecordBatch, TopicPartition

READ_RECORDS = 5_000
SLICE_MS = 20
FETCH_WAIT_MS = 20
"""How long a broker may hold back an answer that has no records. It is asked for another partition only when it has
answered for the one before: at the client's 500 ms a restart, which reads dozens to their ends, mostly waited."""


class KafkaBus:
    """One cluster. `options`: settings of every client, by kafka-python's names (security and the like)."""

    unsupported: frozenset[str] = frozenset()

    def __init__(self, servers: Sequence[str], options: Mapping[str, object]) -> None:
        self._clients = KafkaClients(servers, options)
        self.name = self._clients.name
        self._given = ExitStack()
        self._admin = self._clients.admin()
        self._given.callback(self._admin.close)
        self._reader: KafkaReader | None = None

    def check_rights(self, needs: Needs) -> None:
        with self._clients.translated("asking for the user's rights"):
            rights = lacking(self._admin, needs)
        if rights:
            raise self._clients.refusal(rights)

    def partitions(self, topic: str) -> int | None:
        with self._clients.translated(f"looking up topic {topic!r}"):
            (found,) = self._admin.describe_topics([topic])
            error = kafka_errors.for_code(found["error_code"])
            if error is kafka_errors.UnknownTopicOrPartitionError:
                return None
            if error is not kafka_errors.NoError:
                raise error
        return len(found["partitions"])

    def create(self, topic: str, partitions: int, config: Mapping[str, str] | None = None) -> None:
        # The replication factor is the broker's default.
        asked = {topic: {"num_partitions": partitions, "replication_factor": -1, "configs": dict(config or {})}}
        with self._clients.translated(f"creating topic {topic!r}"):
            try:
                self._admin.create_topics(asked)
            except kafka_errors.TopicAlreadyExistsError:
                return
            except kafka_errors.AuthorizationError:
                raise self._clients.refusal([Right("CREATE", TOPIC, topic)]) from None
            self._admin.wait_for_topics([topic])

    def topics(self) -> tuple[str, ...]:
        with self._clients.translated("listing the topics"):
            return tuple(sorted(name for name in self._admin.list_topics() if not name.startswith("__")))

    def beginning(self, tp: TopicPartition) -> int:
        return self._offset(tp, OffsetSpec.EARLIEST)

    def end(self, tp: TopicPartition) -> int:
        return self._offset(tp, OffsetSpec.LATEST)

    def last_stable(self, tp: TopicPartition) -> int:
        with self._clients.translated(f"looking up how far {tp.topic}/{tp.partition} can be read"):
            return last_stable(self._admin, tp)

    def open_transactions(self, tp: TopicPartition) -> tuple[OpenTransaction, ...]:
        with self._clients.translated(f"looking for open transactions on {tp.topic}/{tp.partition}"):
            return open_transactions(self._admin, tp)

    def offset_at(self, tp: TopicPartition, time: int) -> int:
        found = self._offset(tp, max(0, time))
        return self.end(tp) if found < 0 else found

    def _offset(self, tp: TopicPartition, spec: object) -> int:
        """An offset as read-uncommitted clients see it: the end is the high watermark."""
        with self._clients.translated(f"looking up an offset of {tp.topic}/{tp.partition}"):
            return int(self._admin.list_partition_offsets({kafka_tp(tp): spec})[kafka_tp(tp)].offset)

    def read(self, tp: TopicPartition, start: int, end: int | None, timeout_ms: int) -> RecordBatch:
        if self._reader is None:
            self._reader = KafkaReader(self._clients)
            self._given.callback(self._reader.close)
        with self._clients.translated(f"reading {tp.topic}/{tp.partition}"):
            batch = self._reader.read(tp, start, end, timeout_ms)
        if batch is None:
            raise BusError(f"{self.name}: {end} was asked for, and {tp.topic}/{tp.partition} {self._obstacle(tp)}")
        return batch

    def _obstacle(self, tp: TopicPartition) -> str:
        """Why reading did not come further."""
        stable, end = self.last_stable(tp), self.end(tp)
        if stable >= end:
            return f"is written up to {end} and was not read any further in time"
        found = self.open_transactions(tp)
        first = f": {found[0]}; if it stays, abort it: {found[0].remedy(self.name, tp)}" if found else ""
        return f"can be read up to {stable} and is written up to {end}{first}"

    def cluster_id(self) -> str:
        with self._clients.translated("asking for the cluster's id"):
            return str(self._admin.describe_cluster()["cluster_id"])

    def release(self) -> str:
        with self._clients.translated("asking for the brokers' release"):
            brokers = [broker["broker_id"] for broker in self._admin.describe_cluster()["brokers"]]
            found = min(self._admin.get_broker_version_data(broker).broker_version for broker in brokers)
        return "Kafka " + ".".join(map(str, found))

    def consumer(self, group: str, topics: Sequence[str], instance: str) -> KafkaMember:
        member = KafkaMember(self._clients, group, topics, instance)
        self._given.callback(member.close)
        return member

    def writer(self, group: str, instance: str) -> KafkaWriter:
        writer = KafkaWriter(self._clients, group, instance)
        self._given.callback(writer.close)
        return writer

    def sender(self) -> KafkaSender:
        sender = KafkaSender(self._clients)
        self._given.callback(sender.close)
        return sender

    def close(self) -> None:
        """Closes all that this bus gave out, too."""
        self._given.close()


class KafkaReader:
    """Reads partitions without a group, one at a time, through one client: all that were ever read stay assigned
    and all but one are paused, so that neither connections nor what was fetched ahead are lost between calls."""

    def __init__(self, clients: KafkaClients) -> None:
        self._clients = clients
        self._client = clients.consumer(fetch_max_wait_ms=FETCH_WAIT_MS)

    def read(self, tp: TopicPartition, start: int, end: int | None, timeout_ms: int) -> RecordBatch | None:
        """Read as `Bus.read` does; return None if time is over before `end`."""
        until = time.monotonic() + timeout_ms / 1000
        self._turn_to(kafka_tp(tp), start)
        while True:
            left_ms = max(0, int((until - time.monotonic()) * 1000))
            # In slices: a poll comes back for records only, not when the position moves over control records.
            try:
                found = poll(self._client, min(left_ms, SLICE_MS), READ_RECORDS).get(kafka_tp(tp), ())
            except kafka_errors.OffsetOutOfRangeError as error:
                raise self._out_of_range(tp, start) from error
            kept = [record for record in found if end is None or record.offset < end]
            position = self._client.position(kafka_tp(tp), timeout_ms=REQUEST_MS)
            if kept or (end is not None and position >= end) or (left_ms == 0 and end is None):
                return record_batches(tp, kept)[0]
            if left_ms == 0:
                return None

    def _out_of_range(self, tp: TopicPartition, start: int) -> BusError:
        beginning = int(self._client.beginning_offsets([kafka_tp(tp)])[kafka_tp(tp)])
        if start < beginning:
            return records_lost(self._clients.name, tp, start, beginning)
        return BusError(
            f"{self._clients.name}: offset {start} of {tp.topic}/{tp.partition} is past the end of its log:"
            " was the topic deleted and created again?"
        )

    def _turn_to(self, tp: Any, start: int) -> None:
        others = self._client.assignment() - {tp}
        if tp not in self._client.assignment():
            self._client.assign([*sorted(others), tp])
            self._client.seek(tp, start)
        self._client.pause(*(others - self._client.paused()))
        self._client.resume(*({tp} & self._client.paused()))
        if self._client.position(tp, timeout_ms=REQUEST_MS) != start:
            self._client.seek(tp, start)

    def close(self) -> None:
        self._client.close(autocommit=False)
