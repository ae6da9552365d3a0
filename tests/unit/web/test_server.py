"""The server of the endpoints: what it answers, and that no client, however slow, keeps it from the others."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from http import HTTPStatus
from http.client import HTTPConnection

import pytest

from monitor.errors import ConfigurationError
from monitor.web.server import MOST_CLIENTS, Page, WebServer

PAGES = {
    "/ready": lambda: Page(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain; charset=utf-8", "profile: starting\n"),
    "/live": lambda: Page(HTTPStatus.OK, "text/plain; charset=utf-8", "ok\n"),
    "/metrics": lambda: Page(HTTPStatus.OK, "text/plain; charset=utf-8", "x" * 1_000_000),
}


@pytest.fixture
def server() -> Iterator[WebServer]:
    server = WebServer("127.0.0.1:0", PAGES, client_s=60)
    yield server
    server.close()


def ask(server: WebServer, path: str, method: str = "GET") -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        assert "python" not in str(answer.headers).lower()
        assert "uvicorn" not in str(answer.headers).lower()
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_pages_are_got_and_nothing_else(server: WebServer) -> None:
    """Unknown paths are not found, other methods refused; a query is let pass."""
    assert ask(server, "/ready?x=1") == (503, "profile: starting\n")
    assert ask(server, "/ready", "HEAD") == (503, "")
    assert ask(server, "/../ready")[0] == 404
    assert ask(server, "/ready/")[0] == 404
    assert ask(server, "/ready", "POST")[0] == 405
    assert len(ask(server, "/metrics")[1]) == 1_000_000


def _say_nothing(client: socket.socket) -> None: ...


def _never_end_the_headers(client: socket.socket) -> None:
    client.sendall(b"GET /live HTTP/1.1\r\nHost: x\r\nX: ")


def _never_end_the_body(client: socket.socket) -> None:
    client.sendall(b"GET /live HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nx")


def _never_read(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")


def _ask_again(client: socket.socket) -> None:
    client.sendall(b"GET /live HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n" * 3)


def _go_on(clients: list[socket.socket]) -> None:
    for client in clients:
        with suppress(OSError):  # it was given up
            client.send(b"x")


SLOW = [_say_nothing, _never_end_the_headers, _never_end_the_body, _never_read, _ask_again]


@pytest.mark.parametrize("begin", SLOW)
def test_a_hundred_slow_clients_hold_nobody(begin: Callable[[socket.socket], None], server: WebServer) -> None:
    """Whatever they are slow at, /live is answered while they go on, a byte at a time."""
    with ExitStack() as stack:
        clients: list[socket.socket] = []
        for _ in range(100):
            clients.append(stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10)))
            begin(clients[-1])
            _go_on(clients)
        for _ in range(5):
            assert ask(server, "/live") == (200, "ok\n")
            _go_on(clients)


@pytest.mark.parametrize("begin", SLOW)
def test_a_slow_client_is_given_up(begin: Callable[[socket.socket], None]) -> None:
    """After its time the connection is closed, and its socket with it."""
    server = WebServer("127.0.0.1:0", PAGES, client_s=0.2)
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
            begin(client)
            assert _is_closed_in_the_end(client)
        assert ask(server, "/live") == (200, "ok\n")
    finally:
        server.close()


def test_of_too_many_clients_the_oldest_gives_way(server: WebServer) -> None:
    """So the newest is answered, and descriptors do not run out."""
    with ExitStack() as clients:
        opened = [
            clients.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10))
            for _ in range(MOST_CLIENTS + 20)
        ]
        assert ask(server, "/live") == (200, "ok\n")
        assert all(_is_closed_in_the_end(client) for client in opened[:20])
        opened[-1].sendall(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert opened[-1].recv(12) == b"HTTP/1.1 200"


def _is_closed_in_the_end(client: socket.socket) -> bool:
    """Whether the other side closes the connection; raises TimeoutError if it does not."""
    try:
        while client.recv(1 << 20):
            pass
    except ConnectionResetError:
        pass
    return True


def test_closing_waits_for_nobody() -> None:
    """A client in the middle of its request is given up."""
    server = WebServer("127.0.0.1:0", PAGES, client_s=3600)
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        _never_end_the_headers(client)
        assert ask(server, "/live") == (200, "ok\n")
        server.close()
        assert _is_closed_in_the_end(client)


def test_a_port_that_is_taken_is_named(server: WebServer) -> None:
    """Before the first record."""
    with pytest.raises(ConfigurationError, match=f"--web 127.0.0.1:{server.port}: Address already in use"):
        WebServer(f"127.0.0.1:{server.port}", {})


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_ipv6_is_written_in_brackets() -> None:
    """As in URLs."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6 address of its own")
    WebServer("[::1]:0", {}).close()
