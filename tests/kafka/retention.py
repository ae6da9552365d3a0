"""Retention at will: deleting the records of a partition below an offset, as a broker does when their time is over."""

from __future__ import annotations

from kafka import TopicPartition as KafkaTopicPartition
from kafka.admin import KafkaAdminClient

from monitor.events import TopicPartition


def delete_before(url: str, tp: TopicPartition, offset: int) -> None:
    """The partition's log starts at `offset` when this returns. `url`: kafka://host:port."""
    admin = KafkaAdminClient(bootstrap_servers=url.removeprefix("kafka://"))
    try:
        admin.delete_records({KafkaTopicPartition(*tp): offset})
    finally:
        admin.close()
