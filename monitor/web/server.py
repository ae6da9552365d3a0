"""The server of the endpoints: a thread of its own, in which slow readers cost a socket each and hold nobody.

A connection carries one request and is given up after some seconds, however far its client has come. If too many are
open, the oldest gives way to the newest: so `/live` is answered while others open as many as they can.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from http import HTTPStatus
from threading import Thread
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

from monitor.errors import ConfigurationError

CLIENT_S = 5.0
MOST_CLIENTS = 250
_MOST_HEADER_BYTES = 8192
_HEADERS = [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"), ("Connection", "close")]


class Page(NamedTuple):
    """An answer. Pages are read only, and hold no secret."""

    status: HTTPStatus
    content_type: str
    text: str


Pages = Mapping[str, Callable[[], Page]]
"""Path -> what it shows now; called from the server's thread, which waits for it."""


class WebServer:
    """Serves pages at `place`, host:port, until it is closed. `client_s`: how long a connection may last."""

    def __init__(self, place: str, pages: Pages, client_s: float = CLIENT_S) -> None:
        self._socket = _listening(place)
        self.port = int(self._socket.getsockname()[1])
        """The port on which it listens: the one it was given, or the system's choice for 0."""
        routes = [Route(path, _endpoint(page)) for path, page in pages.items()]
        self._server = Server(
            Config(
                Router(routes, redirect_slashes=False),
                http=_connections(client_s),
                ws="none",
                lifespan="off",
                loop="asyncio",
                log_config=None,
                log_level="error",  # what clients do wrong is no news
                access_log=False,
                proxy_headers=False,
                server_header=False,
                headers=_HEADERS,
                h11_max_incomplete_event_size=_MOST_HEADER_BYTES,
            )
        )
        self._thread = Thread(target=self._server.run, args=([self._socket],), name="web", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answer nobody any more."""
        self._server.should_exit = self._server.force_exit = True
        self._thread.join()


def _listening(place: str) -> socket.socket:
    """A socket that listens there; raises ConfigurationError if that can't be."""
    host, _, port = place.rpartition(":")
    host = host.strip("[]")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, int(port)), family=family, backlog=MOST_CLIENTS)
    except (OSError, OverflowError) as error:
        raise ConfigurationError(f"--web {place}: {getattr(error, 'strerror', None) or error}") from error


def _endpoint(page: Callable[[], Page]) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        shown = page()
        return Response(shown.text, shown.status, media_type=shown.content_type)

    return answer


def _connections(client_s: float) -> type[H11Protocol]:
    """The class of a server's connections, each of which lasts `client_s` at most."""
    open_now: dict[Connection, asyncio.TimerHandle] = {}
    """The oldest first."""

    class Connection(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as the base class
            super().connection_made(transport)
            if len(open_now) >= MOST_CLIENTS:
                next(iter(open_now)).shutdown()
            open_now[self] = self.loop.call_later(client_s, self.shutdown)

        def connection_lost(self, exc: Exception | None) -> None:
            self._forget()
            super().connection_lost(exc)

        def shutdown(self) -> None:
            """Give the client up at once: the base class would wait for it."""
            self._forget()
            self.transport.abort()

        def _forget(self) -> None:
            if (timer := open_now.pop(self, None)) is not None:
                timer.cancel()

    return Connection
