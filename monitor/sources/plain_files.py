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


class _Shape(msgspec.Struct):
    """What tells a feature event from a prediction."""

    features: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


def by_topic(lines: Sequence[bytes], streams: Sequence[StreamContract]) -> dict[str, list[bytes]]:
    """Native events by the topic of their stream; what can't be read goes to the first, to be named there."""
    topic_of = {stream.stream: stream.topic for stream in streams}
    first = streams[0].stream
    found: dict[str, list[bytes]] = {}
    decode = msgspec.json.Decoder(_Shape).decode
    for line in lines:  # each line says by itself what it is
        try:
            stream: StreamName = "predictions" if decode(line).features is msgspec.UNSET else "features"
        except (ValueError, RecursionError):
            stream = first
        found.setdefault(topic_of.get(stream, topic_of[first]), []).append(line)
    return found


def plain_batch(tp: TopicPartition, values: Sequence[bytes | None], first: int) -> RecordBatch:
    """Values without keys, headers or stamps, as records with offsets from `first` on."""
    n = len(values)
    return RecordBatch(*tp, range(first, first + n), [0] * n, [None] * n, values, [()] * n)
