"""One request of Kafka's protocol over a plain socket, and its answer: all that the probe needs of the wire.

No client of kafka-python takes a single step and reports how it ended, so these few frames are made here.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from monitor.errors import BusUnreachable

PATIENCE_SECONDS = 5.0
MOST_ANSWER_BYTES = 16 << 20


class ConnectionClosed(Exception):
    """The broker ended the conversation instead of answering. `alert`: its reason in the words of TLS, if any."""

    def __init__(self, alert: str = "") -> None:
        super().__init__(alert)
        self.alert = alert


class NoKafka(Exception):
    """The answer is of another protocol; `first` are its first bytes."""

    def __init__(self, first: bytes) -> None:
        super().__init__("not Kafka's protocol")
        self.first = first


def connected(server: str, host: str, port: int) -> socket.socket:
    """Open a connection, or raise BusUnreachable."""
    try:
        return socket.create_connection((host, port), timeout=PATIENCE_SECONDS)
    except socket.gaierror as error:
        reason, remedy = f"the name {host!r} does not resolve ({error.strerror})", "correct the address or the DNS"
    except ConnectionRefusedError:
        reason, remedy = "nobody listens there", "is the broker up, and is that its port?"
    except TimeoutError:
        reason = f"no answer within {PATIENCE_SECONDS:g} s"
        remedy = "is the address right, and does a firewall stand between?"
    except OSError as error:
        reason, remedy = f"can't be reached ({error.strerror or error})", "correct the address or the network"
    raise BusUnreachable(f"kafka://{server}: unreachable: {reason}; {remedy}") from None


def speaks_tls(host: str, port: int) -> bool:
    """Return true if a TLS handshake gets so far that the other side shows a certificate, whoever's it is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with socket.create_connection((host, port), timeout=PATIENCE_SECONDS) as plain:
            context.wrap_socket(plain, server_hostname=host).close()
    except OSError as error:
        return bool(tls_alert(error))
    return True


def tls_alert(error: OSError) -> str:
    """Return the TLS alert with which the other side ended the handshake, or nothing."""
    reason = str(getattr(error, "reason", "") or "")
    return reason.split("_ALERT_", 1)[1].replace("_", " ").lower() if "_ALERT_" in reason else ""


def ask(connection: socket.socket, request: tuple[int, int], body: bytes = b"") -> bytes:
    """Send one request; return what its answer holds after the header. Raises ConnectionClosed, NoKafka."""
    key, version = request
    frame = struct.pack(">hhi", key, version, 1) + text("streamdrift-probe") + body
    with _conversation():
        connection.sendall(struct.pack(">i", len(frame)) + frame)
        first = _exactly(connection, 4)
        (size,) = struct.unpack(">i", first)
        if not 4 <= size <= MOST_ANSWER_BYTES:
            raise NoKafka(first)
        return _exactly(connection, size)[4:]


@contextmanager
def _conversation() -> Iterator[None]:
    try:
        yield
    except (ssl.SSLError, ConnectionError, TimeoutError) as error:
        raise ConnectionClosed(tls_alert(error)) from None


def _exactly(connection: socket.socket, size: int) -> bytes:
    parts: list[bytes] = []
    while size > 0:
        part = connection.recv(min(size, 65536))
        if not part:
            raise ConnectionClosed
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def text(content: str) -> bytes:
    """A text with its length, as Kafka's protocol has it."""
    encoded = content.encode()
    return struct.pack(">h", len(encoded)) + encoded


def sized(content: bytes) -> bytes:
    """Bytes with their length."""
    return struct.pack(">i", len(content)) + content


def nullable_text(data: bytes) -> tuple[str, bytes]:
    """A text that may be null, and what follows it."""
    (size,) = struct.unpack_from(">h", data)
    end = 2 + max(size, 0)
    return data[2:end].decode(errors="replace"), data[end:]


def texts(data: bytes) -> Iterator[str]:
    """The texts of a list."""
    (count,), data = struct.unpack_from(">i", data), data[4:]
    for _ in range(count):
        content, data = nullable_text(data)
        yield content


def content_of(data: bytes) -> bytes:
    """What `sized` has packed; nothing if it is null."""
    (size,) = struct.unpack_from(">i", data)
    return data[4 : 4 + max(size, 0)]


def advertised_brokers(answer: bytes) -> Iterator[tuple[str, str, int]]:
    """The brokers of a metadata answer, version 1: host:port, host, port."""
    (count,), data = struct.unpack_from(">i", answer), answer[4:]
    for _ in range(count):
        host, data = nullable_text(data[4:])
        (port,), data = struct.unpack_from(">i", data), data[4:]
        _rack, data = nullable_text(data)
        yield f"{host}:{port}", host, port
