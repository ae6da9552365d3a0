"""The channel between the supervisor and a stage: whole messages both ways, of which only the newest counts.

The supervisor hands down the texts of alerts.yaml and its lock, the stage reports how it is. A pair of connected
sockets, one end of which is the stage's standard input: there is no file that somebody else could put there first, and
what a process that hangs or is gone has reported last is kept by the other side. Nobody waits to write: a message that
does not fit yet is written on by `pump`, and one that has not been begun is replaced by the next.
"""

from __future__ import annotations

import select
import socket
import struct
import sys

from monitor.errors import ConfigurationError

_LENGTH = struct.Struct(">Q")
_READ_BYTES = 1 << 16


class Channel:
    """One end. It may be used by one thread at a time."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._end = end
        self._writing = memoryview(b"")
        self._waiting: bytes | None = None
        self._read = bytearray()

    @staticmethod
    def pair() -> tuple[Channel, socket.socket]:
        """A new channel's end for this process, and the one to be the standard input of another."""
        own, other = socket.socketpair()
        return Channel(own), other

    @staticmethod
    def of_stdin() -> Channel:
        """The end that this process was started with; raises ConfigurationError if it was started without one."""
        try:
            return Channel(socket.socket(fileno=sys.__stdin__.fileno() if sys.__stdin__ is not None else -1))
        except OSError as error:
            raise ConfigurationError("a stage is started by `streamdrift run`, which hands it alerts.yaml") from error

    def send(self, message: bytes) -> None:
        """Write a message as soon as the other end takes it, unless a newer one is sent before."""
        self._waiting = _LENGTH.pack(len(message)) + message
        self.pump()

    def pump(self) -> None:
        """Write as much as fits now; what the other end can't be given because it is gone is dropped."""
        while self._writing or self._waiting is not None:
            if not self._writing and self._waiting is not None:
                self._writing, self._waiting = memoryview(self._waiting), None
            try:
                self._writing = self._writing[self._end.send(self._writing) :]
            except BlockingIOError:
                return
            except OSError:
                self._writing, self._waiting = memoryview(b""), None

    def take_newest(self) -> bytes | None:
        """The newest message that has come whole since the last call; None if none has."""
        self._fill()
        return self._take()

    def take_first(self) -> bytes | None:
        """The next message, waited for; None if the other end is gone before it has come."""
        while (message := self._take()) is None:
            select.select([self._end], [], [])
            if not self._fill():
                return self._take()
        return message

    def close(self) -> None:
        """Give up this end."""
        self._end.close()

    def _fill(self) -> bool:
        """Take all bytes that are there; returns whether the other end is still open."""
        try:
            while found := self._end.recv(_READ_BYTES):
                self._read += found
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def _take(self) -> bytes | None:
        message = None
        while len(self._read) >= _LENGTH.size:
            end = _LENGTH.size + _LENGTH.unpack_from(self._read)[0]
            if len(self._read) < end:
                break
            message = bytes(self._read[_LENGTH.size : end])
            del self._read[:end]
        return message
