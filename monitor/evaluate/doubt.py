"""Why an alert is unverified: its reference is too short, or the lock is of another reference than its lane has."""

from __future__ import annotations

from monitor.config.lock import LOCK_NAME
from monitor.config.resolved import SolvedLane
from monitor.drift.null import FEWEST_PIECES

_AGAIN = "run `streamdrift calibrate` again"


def doubt_of_pieces(pieces: int, piece_rows: int) -> str | None:
    """Return why the dependence of a reference's rows is not known; None if it is.

    `pieces`: stretches of it that are independent of each other. `piece_rows`: rows of each.
    """
    if pieces >= FEWEST_PIECES:
        return None
    return (
        f"the reference holds {pieces} independent piece{'' if pieces == 1 else 's'} of {piece_rows} rows, and chance "
        f"is known from {FEWEST_PIECES} on: {FEWEST_PIECES * piece_rows} rows would do"
    )


def doubt_of_lock(solved: SolvedLane | None, reference: str) -> str | None:
    """Return why thresholds of a lock don't fit a lane; None if they do.

    `solved`: what the lock holds for it. `reference`: digest of the one that the lane has.
    """
    if solved is None:
        return f"{LOCK_NAME} was solved without this stream: {_AGAIN}"
    if solved.reference != reference:
        return f"{LOCK_NAME} was solved for another reference: {_AGAIN}"
    if solved.pieces < FEWEST_PIECES:
        found = f"{solved.pieces} independent pieces of a reference"
        return f"{LOCK_NAME} was solved on {found}, fewer than {FEWEST_PIECES}"
    return None
