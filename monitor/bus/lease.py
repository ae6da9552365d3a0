"""The lease of a group on the embedded bus: the right of one process to serve it.

It ends when its consumer closes, when its process is gone, or ten seconds after its last sign of life.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable

from monitor.bus.sqlite_log import SqliteLog
from monitor.errors import LeaseTaken

LEASE_MS = 10_000
RENEW_MS = 1_000

_owned: set[str] = set()
"""Leases of this process: in a restarted container the pid of a dead holder may be our own."""


class Lease:
    """The right to serve a group, taken when made. Raises LeaseTaken, naming the holder, when another lives."""

    def __init__(self, log: SqliteLog, clock: Callable[[], int], group: str, instance: str) -> None:
        self.owner = uuid.uuid4().hex
        self._log = log
        self._clock = clock
        self._group = group
        self._renewed = clock()
        with log.writing():
            self._refuse_second()
            row = (group, self.owner, instance, socket.gethostname(), os.getpid(), self._renewed)
            log.db.execute("INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?, ?, ?)", row)
        _owned.add(self.owner)

    def _refuse_second(self) -> None:
        holder = self._holder()
        if holder is None:
            return
        owner, instance, host, pid, heartbeat = holder
        gone = host == socket.gethostname() and not _lives(owner, pid)
        if not gone and self._clock() - heartbeat < LEASE_MS:
            raise LeaseTaken(
                f"group {self._group!r} is served by process {pid} on {host} (instance {instance!r});"
                " on this bus one process serves a group: stop it first, or use Kafka"
            )

    def _holder(self) -> tuple[str, str, str, int, int] | None:
        query = "SELECT owner, instance, host, pid, heartbeat FROM leases WHERE grp=?"
        holder: tuple[str, str, str, int, int] | None = self._log.db.execute(query, (self._group,)).fetchone()
        return holder

    def renew(self) -> None:
        """A sign of life; at most one a second is written. Raises LeaseTaken when it is another's by now."""
        now = self._clock()
        if 0 <= now - self._renewed < RENEW_MS:
            return
        with self._log.writing():
            beaten = self._log.db.execute("UPDATE leases SET heartbeat=? WHERE owner=?", (now, self.owner)).rowcount
            holder = self._holder()
        if not beaten:
            taker = "nobody" if holder is None else f"process {holder[3]} on {holder[2]} (instance {holder[1]!r})"
            raise LeaseTaken(f"group {self._group!r} was taken over by {taker} while this process was silent")
        self._renewed = now

    def release(self) -> None:
        with self._log.writing():
            self._log.db.execute("DELETE FROM leases WHERE owner=?", (self.owner,))
        _owned.discard(self.owner)


def _lives(owner: str, pid: int) -> bool:
    if pid == os.getpid():
        return owner in _owned
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
