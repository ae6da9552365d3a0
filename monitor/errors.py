"""What Streamdrift raises, and what a caller may do about each.

    StreamdriftError
    ├── ConfigurationError     alerts.yaml, a setting or a flag is wrong: stop before the first record (exit code 2)
    ├── FormatError            a record or file of ours can't be read: its bytes are damaged
    ├── NewerRelease           a newer release wrote it, or it belongs to no model and is damaged (exit code 5, retried)
    ├── BusError               the transport failed
    │   ├── BusUnreachable     nobody answers there (exit code 3)
    │   ├── LeaseTaken         another process serves this group and stage (embedded bus)
    │   ├── RecordsLost        retention has deleted records that were to be read: the reader says so, and may go on
    │   ├── NotSupported       this bus can't do that, and says so by name
    │   └── StaleGeneration    the assignment changed since the batch was polled: discard it
    ├── TransactionFailed      the outcome of a commit is an abort or unknown: end the process (crash only)
    └── StateDivergence        folding again gave another state than the committed one (exit code 4)

Bad data is a value (`events.Rejected`), never an exception.
"""

from __future__ import annotations

from dataclasses import dataclass


class StreamdriftError(Exception):
    """Base of all errors that Streamdrift raises on purpose."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong in a configuration file. `line` and `column` count from 1."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class ConfigurationError(StreamdriftError):
    """The configuration is refused; `problems` lists every reason at once, if there are places to name."""

    def __init__(self, message: str, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


class FormatError(StreamdriftError):
    """Bytes that claim to be one of our formats are not."""


class NewerRelease(StreamdriftError):
    """What a newer release wrote, so that a process of that release has to read it."""


class BusError(StreamdriftError):
    """The transport failed."""


class BusUnreachable(BusError):
    """No broker or file answers at the address."""


class LeaseTaken(BusError):
    """Another process holds the lease of this group on the embedded bus."""


class RecordsLost(BusError):
    """Records were deleted before they were read; `beginning`: the first offset that is kept."""

    def __init__(self, message: str, beginning: int) -> None:
        super().__init__(message)
        self.beginning = beginning


class NotSupported(BusError):
    """The bus does not offer what was asked for."""


class StaleGeneration(BusError):
    """The batch was polled under an assignment that is no longer this process's."""


class TransactionFailed(StreamdriftError):
    """A commit did not succeed for certain; only a new process may go on."""


class StateDivergence(StreamdriftError):
    """Folding the log again did not reach the committed state."""
