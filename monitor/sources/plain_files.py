"""Files of native events: lines of JSON or one array of objects, as blocks of records, by the topic of their stream."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import IO, Final

import msgspec

from monitor.contract import StreamContract
from monitor.errors import ConfigurationError
from monitor.events import RecordBatch, StreamName, TopicPartition
from monitor.sources.file_content import Content, named, opened

BLOCK: Final = 5000
_CHUNK: Final = 1 << 20
_LONGEST_ELEMENT: Final = 1 << 26
_BETWEEN: Final = re.compile(r"[\s,]*")


def events_of(content: Content) -> Iterator[list[bytes]]:
    """The events of a file in blocks: its lines without their ends and without empty ones, or the array's elements."""
    with named(content.path), opened(content.path, content.compression) as file:
        events = _elements(file, content) if content.kind == "array" else _lines(file)
        while block := list(islice(events, BLOCK)):
            yield block


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    for number, line in enumerate(file):
        text = line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line
        if text.strip():
            yield text.rstrip(b"\r\n")


def _elements(file: IO[bytes], content: Content) -> Iterator[bytes]:
    """Elements of an array, as many at a time as are in a part of the file. What is broken is the last one."""
    scan = json.JSONDecoder().raw_decode
    text, is_end, is_begun = "", False, False
    decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
    while not is_end:
        chunk = file.read(_CHUNK)
        is_end = not chunk
        text += decode(chunk, is_end)
        if not is_begun:
            text, is_begun = text.removeprefix("\ufeff").lstrip()[1:], True
        at = 0
        while True:  # each element says by itself where it ends
            found = _BETWEEN.match(text, at)
            start = found.end() if found else at
            try:
                end = scan(text, start)[1]
            except (json.JSONDecodeError, RecursionError):
                break
            if end == len(text) and not is_end:
                break  # a number may go on in the next part
            yield text[start:end].encode("utf-8", "surrogateescape")
            at = end
        text = text[at:]
        if len(text) > _LONGEST_ELEMENT:
            raise ConfigurationError(f"{content.path}: an element of the array is broken, or longer than 64 MiB")
    rest = text.strip().lstrip(",").lstrip()
    if rest != "]":
        yield rest.encode("utf-8", "surrogateescape")


def by_topic(lines: Sequence[bytes], streams: Sequence[StreamContract]) -> dict[str, list[bytes]]:
    """Native events by the topic of their stream; what can't be read goes to the first, to be named there."""
    found: dict[str, list[bytes]] = {}
    for line, topic in zip(lines, topics_of(lines, streams), strict=True):
        found.setdefault(topic, []).append(line)
    return found


def topics_of(lines: Sequence[bytes], streams: Sequence[StreamContract]) -> list[str]:
    """The topic of each native event, by the names that it has; all are of the stream if there is only one.

    Features have `features`. A label has the label, and no prediction and no probability; all else is a prediction.
    """
    if len(streams) == 1:
        return [streams[0].topic] * len(lines)
    topic_of: dict[StreamName, str] = {stream.stream: stream.topic for stream in streams}
    roots = {stream.stream: stream.roots for stream in streams}
    labels, predictions = roots.get("labels", frozenset()), roots.get("predictions", frozenset())
    decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
    found: list[StreamName] = []
    for line in lines:  # each line says by itself what it is
        try:
            names = decode(line).keys()
        except (ValueError, RecursionError):
            found.append(streams[0].stream)
            continue
        is_label = not labels.isdisjoint(names) and predictions.isdisjoint(names)
        found.append("features" if "features" in names else "labels" if is_label else "predictions")
    return [topic_of.get(stream, streams[0].topic) for stream in found]


def plain_batch(tp: TopicPartition, values: Sequence[bytes | None], first: int) -> RecordBatch:
    """Values without keys, headers or stamps, as records with offsets from `first` on."""
    n = len(values)
    return RecordBatch(*tp, range(first, first + n), [0] * n, [None] * n, values, [()] * n)
