"""Writes the captured log of some topics: the header, the records as they come, the trailer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from monitor.codec.captured import CapturedHeader, header_line, record_line, trailer_line
from monitor.events import Record


def capture(header: CapturedHeader, records: Iterable[Record], write: Callable[[bytes], object]) -> Counter[str]:
    """Write a captured log line by line; gives the number of records of each topic.

    `records`: input records and control records of ours, in the order in which a replay is to read them. Records of
    topics that the header does not name are control records, and need no range there.
    """
    counts: Counter[str] = Counter()
    write(header_line(header))
    for record in records:
        write(record_line(record))
        counts[record.topic] += 1
    write(trailer_line(counts))
    return counts
