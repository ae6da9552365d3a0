"""What the probe says of places that are no Kafka broker, or one that can't be used."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Thread

import pytest

from monitor.bus import kafka_wire
from monitor.bus.address import open_bus
from monitor.bus.kafka_probe import diagnosis
from monitor.errors import BusUnreachable

TLS = {"security_protocol": "SSL"}


@contextmanager
def listening(answer: Callable[[bytes], bytes]) -> Iterator[str]:
    """A place that answers each message so, an empty answer closes; gives host:port."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    while (asked := connection.recv(65536)) and (published := answer(asked)):
                        connection.sendall(published)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def kafka_answer(advertised: tuple[str, int]) -> Callable[[bytes], bytes]:
    """What a broker without security says to the probe: its versions, and one broker at `advertised`."""

    def answer(asked: bytes) -> bytes:
        (key,) = struct.unpack_from(">h", asked, 4)
        host = advertised[0].encode()
        broker = struct.pack(">iih", 1, 1, len(host)) + host + struct.pack(">ih", advertised[1], -1)
        body = b"\0\0\0\1" + (broker if key == 3 else b"\0\0")
        return struct.pack(">i", len(body)) + body

    return answer


@pytest.mark.parametrize(
    ("answer", "options", "expected"),
    [
        (lambda asked: b"HTTP/1.1 400 Bad Request\r\n\r\n", {}, "is no Kafka broker"),
        (lambda asked: b"HTTP/1.1 400 Bad Request\r\n\r\n", TLS, "does not speak TLS"),
        (lambda asked: b"", {}, "does not answer as a broker"),
        (lambda asked: b"", TLS, "does not speak TLS"),
        (
            kafka_answer(("127.0.0.1", 1)),
            {},
            "brokers can't be reached under the names that it gives.*:1: .*advertised",
        ),
        (kafka_answer(("kafka.invalid", 9092)), {}, "'kafka.invalid' does not resolve"),
    ],
)
def test_what_is_no_broker_to_work_with_is_reported(
    answer: Callable[[bytes], bytes], options: dict[str, object], expected: str
) -> None:
    """Another protocol, a silent end, and brokers that name themselves as nobody here knows them."""
    with listening(answer) as server:
        found = diagnosis([server], options)
        with pytest.raises(type(found) if found else AssertionError, match=expected):
            raise found or AssertionError("let in")


def test_a_place_that_never_answers_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that nobody takes up, as behind some firewalls."""
    monkeypatch.setattr(kafka_wire, "PATIENCE_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = f"127.0.0.1:{silent.getsockname()[1]}"
        assert "does not answer as a broker" in str(diagnosis([server], {}))
        assert "no answer to the handshake" in str(diagnosis([server], TLS))


def test_the_server_that_came_furthest_is_reported() -> None:
    """A wrong port beside a dead host: the wrong port can be corrected."""
    with listening(lambda asked: b"HTTP/1.1 400") as server:
        assert "is no Kafka broker" in str(diagnosis(["127.0.0.1:1", server], {}))


def test_asked_for_at_once_it_is_reported_at_once() -> None:
    """Without the client's own patience."""
    with pytest.raises(BusUnreachable, match="nobody listens there; is the broker up"):
        open_bus("kafka://127.0.0.1:1", at_once=True)


def test_behind_a_proxy_the_way_is_not_known() -> None:
    """The names may mean something there only."""
    assert diagnosis(["127.0.0.1:1"], {"proxy_url": "socks5://127.0.0.1:2"}) is None
