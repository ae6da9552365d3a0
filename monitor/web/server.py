"""The server of the endpoints: a thread of its own, so that no reader, slow or busy, holds the supervisor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET6, socket
from threading import BoundedSemaphore, Thread
from typing import NamedTuple

from monitor.errors import ConfigurationError

CLIENT_S = 5.0
MOST_CLIENTS = 16


class Page(NamedTuple):
    """An answer. Pages are read only, and hold no secret."""

    status: HTTPStatus
    content_type: str
    text: str


Pages = Mapping[str, Callable[[], Page]]
"""Path -> what it shows now; called from the server's threads."""


class WebServer(ThreadingHTTPServer):
    """Serves pages at `host:port` until it is closed. At most 16 clients at once, each for five seconds."""

    daemon_threads = True

    def __init__(self, place: str, pages: Pages) -> None:
        host, _, port = place.rpartition(":")
        host = host.strip("[]")
        if ":" in host:
            self.address_family = AF_INET6
        self.pages = pages
        self._clients = BoundedSemaphore(MOST_CLIENTS)
        try:
            super().__init__((host, int(port)), _Handler)
        except (OSError, OverflowError) as error:
            raise ConfigurationError(f"--web {place}: {getattr(error, 'strerror', None) or error}") from error
        Thread(target=self.serve_forever, name="web", daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens: the one it was given, or the system's choice for 0."""
        return int(self.server_address[1])

    def close(self) -> None:
        """Answer nobody any more."""
        self.shutdown()
        self.server_close()

    def process_request(self, request: socket | tuple[bytes, socket], client_address: object) -> None:
        if self._clients.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: socket | tuple[bytes, socket], client_address: object) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._clients.release()


class _Handler(BaseHTTPRequestHandler):
    """GET and HEAD of the pages; everything else is refused."""

    timeout = CLIENT_S
    server_version = "streamdrift"
    sys_version = ""
    server: WebServer

    def do_GET(self) -> None:
        page = self._page()
        body = page.text.encode()
        self.send_response(page.status)
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - as above

    def _page(self) -> Page:
        found = self.server.pages.get(self.path.partition("?")[0])
        return found() if found is not None else Page(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", "not here\n")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a probe every few seconds is no news."""
