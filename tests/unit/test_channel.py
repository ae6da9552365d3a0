"""The channel between supervisor and stage: whole messages, the newest of which counts, and nobody waits to write."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Thread

import pytest

from monitor.channel import Channel

LARGE = bytes(range(256)) * 40_000
"""Ten megabytes: more than any system keeps for a socket."""


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    one, other = Channel.pair()
    both = one, Channel(other)
    yield both
    for end in both:
        end.close()


def test_the_newest_of_several_messages_counts(ends: tuple[Channel, Channel]) -> None:
    """A message is returned once; both directions are independent."""
    one, other = ends
    assert other.take_newest() is None
    for message in (b"a", b"", b"c" * 1000):
        one.send(message)
    other.send(b"back")
    assert other.take_newest() == b"c" * 1000
    assert other.take_newest() is None
    assert one.take_newest() == b"back"


def test_a_message_may_be_empty(ends: tuple[Channel, Channel]) -> None:
    """As an alerts.yaml may be, before its check."""
    one, other = ends
    one.send(b"")
    assert other.take_first() == b""


def test_a_message_that_does_not_fit_is_written_on_without_waiting(ends: tuple[Channel, Channel]) -> None:
    """It comes whole; of those sent meanwhile only the newest comes at all."""
    one, other = ends
    for message in (LARGE, b"skipped", b"newest"):
        one.send(message)
    seen = []
    for _ in range(100_000):
        one.pump()
        if (found := other.take_newest()) is not None:
            seen.append(found)
            if found == b"newest":
                break
    assert seen in ([LARGE, b"newest"], [b"newest"])


def test_the_first_message_is_waited_for(ends: tuple[Channel, Channel]) -> None:
    """However many pieces it comes in."""
    one, other = ends
    got: list[bytes | None] = []
    reader = Thread(target=lambda: got.append(other.take_first()))
    reader.start()
    one.send(LARGE)
    while reader.is_alive():
        one.pump()
        reader.join(0.001)
    assert got == [LARGE]


def test_an_end_that_is_gone_is_no_error(ends: tuple[Channel, Channel]) -> None:
    """What it has sent before can be read, and what it is sent is dropped; nobody waits for it."""
    one, other = ends
    one.send(b"last")
    one.close()
    assert other.take_first() == b"last"
    assert other.take_first() is None
    other.send(LARGE)
    other.pump()
    assert other.take_newest() is None
