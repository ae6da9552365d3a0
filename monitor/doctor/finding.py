"""What one look has found: how it stands, in words, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

Status = Literal["ok", "warning", "failed"]
_ORDER: tuple[Status, ...] = ("ok", "warning", "failed")


class Finding(NamedTuple):
    """One line of the examination. `remedy`: "" if nothing is to be done."""

    check: str
    status: Status
    found: str
    remedy: str = ""


def worst(findings: Iterable[Finding]) -> Status:
    """Return the worst status of them; ok without any."""
    return max((finding.status for finding in findings), key=_ORDER.index, default="ok")
