"""Exit codes: the one list of how our processes end, for the command line, the supervisor and the pages."""

from __future__ import annotations

from enum import IntEnum

from monitor.errors import (
    BusError,
    ConfigurationError,
    FormatError,
    LeaseTaken,
    NewerRelease,
    NotSupported,
    StateDivergence,
    StreamdriftError,
    TransactionFailed,
)


class ExitCode(IntEnum):
    """A code, what it means, and whether it ends the service because no restart of the stage would help."""

    meaning: str
    is_final: bool

    def __new__(cls, code: int, meaning: str, is_final: bool = False) -> ExitCode:
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning, member.is_final = meaning, is_final
        return member

    DONE = 0, "done"
    FOUND = 1, "found what --fail-on named, or what doctor calls failed"
    USAGE = 2, "wrong usage, alerts.yaml or setting, or a file of ours that can't be read", True
    BUS = 3, "the bus can't be reached, or failed"
    DIVERGED = 4, "state divergence", True
    NEWER = 5, "an entry or snapshot of a newer release"
    HUNG = 7, "a stage whose call to the broker did not return"


_OF_ERRORS: tuple[tuple[type[StreamdriftError], ExitCode], ...] = (
    (StateDivergence, ExitCode.DIVERGED),
    (NewerRelease, ExitCode.NEWER),
    (LeaseTaken, ExitCode.USAGE),
    (NotSupported, ExitCode.USAGE),
    (BusError, ExitCode.BUS),
    (TransactionFailed, ExitCode.BUS),
    (ConfigurationError, ExitCode.USAGE),
    (FormatError, ExitCode.USAGE),
)
"""The first line that an error is one of counts."""


def exit_code(error: StreamdriftError) -> ExitCode:
    """The code that a process ends with for an error that nothing has caught."""
    return next((code for kind, code in _OF_ERRORS if isinstance(error, kind)), ExitCode.USAGE)


def is_final(code: int | None) -> bool:
    """Return true if a process that ended with this code is not started again; None and signals (below 0) are."""
    return any(code == known and known.is_final for known in ExitCode)
