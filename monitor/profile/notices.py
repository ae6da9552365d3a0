"""What profile tells of an input partition beside its panes: each notice becomes one alert."""

from __future__ import annotations

from typing import Final

from monitor.events import OffsetRange, TopicPartition
from monitor.ledger.entries import Notice

RECORD_QUARANTINED: Final = "RecordQuarantined"


def data_lost(lost: OffsetRange, published_to: int | None) -> Notice:
    """Retention has deleted records that were still needed. `published_to`: the watermark of what was published."""
    place = f"{lost.topic}/{lost.partition}"
    text = f"{place}: offsets {lost.start} to {lost.end} were deleted before they were folded for good"
    labels = (("from_offset", str(lost.start)), ("partition", str(lost.partition)), ("topic", lost.topic))
    return Notice("", "DataLost", published_to or 0, lost.topic, lost.partition, labels, text)


def record_quarantined(tp: TopicPartition, offset: int, watermark: int | None) -> Notice:
    """A record has ended the process again and again, and is left out."""
    text = (
        f"{tp.topic}/{tp.partition}: the record at offset {offset} ended the process three times; see its dead letter"
    )
    labels = (("offset", str(offset)), ("partition", str(tp.partition)), ("topic", tp.topic))
    return Notice("", RECORD_QUARANTINED, watermark or 0, *tp, labels, text)


def place_quarantined(notice: Notice) -> tuple[TopicPartition, int]:
    """The place of a record that was left out; offset -1 if the notice is about something else."""
    offset = dict(notice.labels).get("offset", "-1") if notice.name == RECORD_QUARANTINED else "-1"
    return TopicPartition(notice.topic, notice.partition), int(offset)
