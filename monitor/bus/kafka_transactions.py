"""Transactions that hold readers back: how far a partition can be read, and who has written there without an end.

A broker that is killed in the middle of a commit can leave a transaction without its marker for good (seen with Kafka
4.3.1). Readers of committed records then stop at the last stable offset, and don't learn why.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from kafka import errors as kafka_errors
from kafka.admin import OffsetSpec
from kafka.protocol.consumer.offsets import IsolationLevel

from monitor.bus.kafka_clients import kafka_tp
from monitor.bus.port import OpenTransaction
from monitor.events import TopicPartition


def last_stable(admin: Any, tp: TopicPartition) -> int:
    """Return what `Bus.last_stable` does."""
    asked = {kafka_tp(tp): OffsetSpec.LATEST}
    found = admin.list_partition_offsets(asked, isolation_level=IsolationLevel.READ_COMMITTED)
    return int(found[kafka_tp(tp)].offset)


def open_transactions(admin: Any, tp: TopicPartition) -> tuple[OpenTransaction, ...]:
    """Return what `Bus.open_transactions` does.

    The partition's leader names them; the coordinators know more of the same producers.
    """
    producers = admin.describe_producers([kafka_tp(tp)])[kafka_tp(tp)].active_producers
    found = [producer for producer in producers if producer.current_transaction_start_offset >= 0]
    known = _coordinated(admin, [producer.producer_id for producer in found]) if found else {}
    return tuple(
        OpenTransaction(
            producer.producer_id,
            producer.producer_epoch,
            producer.current_transaction_start_offset,
            *known.get((producer.producer_id, producer.producer_epoch), (None, None)),
        )
        for producer in sorted(found, key=lambda producer: producer.current_transaction_start_offset)
    )


def _coordinated(admin: Any, producer_ids: list[int]) -> Mapping[tuple[int, int], tuple[str, int]]:
    """Transactional id and time-out (ms) by producer and epoch, of transactions that a coordinator looks after."""
    listed = admin.list_transactions(producer_id_filters=producer_ids)
    found: dict[tuple[int, int], tuple[str, int]] = {}
    for name in sorted({row.transactional_id for rows in listed.values() for row in rows}):
        with suppress(kafka_errors.TransactionalIdNotFoundError, kafka_errors.AuthorizationError):
            open_one = admin.describe_transactions([name])[name]
            if open_one.state.value == "Ongoing":
                found[open_one.producer_id, open_one.producer_epoch] = (name, open_one.transaction_timeout_ms)
    return found
