"""`streamdrift stage` as it is, whose process name says what it is at: what the driver reads after a kill.

    python -m tests.chaos.stage profile --config ...        the arguments of `streamdrift stage`

Linux keeps `/proc/PID/comm` of a killed process until somebody has waited for it. So the driver knows the phase in
which a SIGKILL struck, not one from a moment before. Writing it costs a system call when the phase changes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import kafka

from monitor.runner.evaluate import EvaluateStage
from monitor.runner.profile import ProfileStage

PREFIX = "chaos:"
COMMIT, AGAIN, JOINED = "c", "a", "j"


class _Phase:
    """The flags of now: within a transaction, folding again, polling."""

    def __init__(self) -> None:
        self._file = os.open("/proc/self/comm", os.O_WRONLY)
        self._flags: dict[str, bool] = {}
        self.set("", True)

    def set(self, flag: str, on: bool) -> None:
        if self._flags.get(flag, False) != on:
            self._flags[flag] = on
            os.write(self._file, f"{PREFIX}{''.join(sorted(f for f, is_on in self._flags.items() if is_on))}".encode())


def phases(pid: int) -> str:
    """The flags of a process, also of one that was killed and not yet waited for; "" where there is none."""
    try:
        with open(f"/proc/{pid}/comm") as file:
            name = file.read().strip()
    except OSError:
        return ""
    return name.removeprefix(PREFIX) if name.startswith(PREFIX) else ""


def _watch(phase: _Phase) -> None:
    begin, commit = kafka.KafkaProducer.begin_transaction, kafka.KafkaProducer.commit_transaction

    def watched_begin(producer: Any) -> None:
        begin(producer)
        phase.set(COMMIT, True)

    def watched_commit(producer: Any) -> None:
        commit(producer)
        phase.set(COMMIT, False)

    def watched(call: Callable[..., Any], folds_again: Callable[[Any], bool]) -> Callable[..., Any]:
        def with_phase(stage: Any, *arguments: Any) -> Any:
            result = call(stage, *arguments)
            phase.set(AGAIN, folds_again(stage))
            return result

        return with_phase

    kafka.KafkaProducer.begin_transaction, kafka.KafkaProducer.commit_transaction = watched_begin, watched_commit

    def joined(call: Callable[[Any], None]) -> Callable[[Any], None]:
        def with_phase(stage: Any) -> None:
            phase.set(JOINED, True)
            call(stage)

        return with_phase

    for kind in (ProfileStage, EvaluateStage):
        kind.tick = joined(kind.tick)  # type: ignore[assignment, method-assign] # called after every poll
    for name in ("begin", "reach", "drop"):
        for kind, folds_again in ((ProfileStage, _profile_folds_again), (EvaluateStage, _evaluate_folds_again)):
            setattr(kind, name, watched(getattr(kind, name), folds_again))


def _profile_folds_again(stage: Any) -> bool:
    return any(held.task.restoring for held in stage._inputs.values())


def _evaluate_folds_again(stage: Any) -> bool:
    return any(held.restoring for held in stage._partitions.values())


def main() -> None:
    """The command, watched."""
    from monitor.cli.main import main as streamdrift

    _watch(_Phase())
    sys.argv = ["streamdrift", "stage", *sys.argv[1:]]
    streamdrift()


if __name__ == "__main__":
    main()
