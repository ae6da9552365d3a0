"""The client's records as batches: each is stamped in one way."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from monitor.bus.kafka_clients import record_batches
from monitor.events import TopicPartition


@given(st.lists(st.integers(0, 1)))
def test_records_of_both_kinds_come_in_batches_of_one_kind(kinds: list[int]) -> None:
    """All records, in order, in as few batches as that takes; the client's poll does not divide them."""
    found = [
        SimpleNamespace(offset=i, timestamp=i, key=None, value=b"", headers=(), timestamp_type=kind)
        for i, kind in enumerate(kinds)
    ]
    batches = record_batches(TopicPartition("in", 0), found)
    assert [offset for batch in batches for offset in batch.offsets] == list(range(len(kinds)))
    assert [batch.log_append_time for batch in batches for _ in batch.offsets] == [kind == 1 for kind in kinds]
    assert all(one.log_append_time != other.log_append_time for one, other in pairwise(batches))
