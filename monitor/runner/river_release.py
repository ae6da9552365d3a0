"""What a restart under another release of River means: whose detectors are not those that published before.

Their states were not taken up, or the ledger is folded again by detectors that answer otherwise. So what their models
say on the way to the commit need not be what was published: it is not compared with it, and not published.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from monitor.detectors.golden import release_of, running
from monitor.evaluate.task import EvaluateTask
from monitor.events import TopicPartition
from monitor.ledger.entries import Notice


def begun_anew(task: EvaluateTask, releases: Mapping[str, Mapping[str, str]]) -> dict[str, frozenset[str]]:
    """Return, by model, River's classes whose detectors began again, or answer otherwise than those of a commit.

    `releases`: of each model the classes in use then, and the release of River whose answers they gave.
    """
    differ = {
        name: {kind for kind, release in used.items() if not release or release != release_of(kind)}
        for name, used in releases.items()
    }
    found = {
        name: task.begun_anew.get(name, frozenset()) | (differ.get(name, set()) & fold.releases.keys())
        for name, fold in task.models.items()
    }
    return {name: kinds for name, kinds in sorted(found.items()) if kinds}


def reset_notices(reset: Mapping[str, frozenset[str]], task: EvaluateTask, tp: TopicPartition) -> Iterator[Notice]:
    """What raises the alert of each such model; those that have folded nothing yet have nothing to lose."""
    for model, kinds in reset.items():
        at = task.models[model].judged_to
        if at is not None:
            text = (
                f"{model}: River {running()} does not go on from the states of {', '.join(sorted(kinds))} that another "
                "release of it has written; these detectors began again, and all else goes on"
            )
            yield Notice(model, "DetectorsReset", at, *tp, (("river", running()),), text)
