"""What the rules have judged, in lines for people: one a rule if all is well, and one more for each reason if not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from monitor.cli.tail import printable
from monitor.config.metrics import METRICS
from monitor.evaluate.coverage import Never, RuleCoverage

_MOST_NAMES = 5


def coverage_lines(rules: Sequence[RuleCoverage]) -> Iterator[str]:
    """Give the lines, rule by rule; models are named if there are several."""
    several = len({rule.model for rule in rules}) > 1
    for one in rules:
        comparison = one.rule.comparison
        model = f"{one.model}: " if several else ""
        name = f"{model}{one.rule.alert} ({comparison.metric} {comparison.op} {comparison.source})"
        if one.judged:
            yield printable(f"{name}: judged {_times(one)} on {_subjects(one)}")
        for why, missed in _by_why(one.never).items():
            on = "" if all(never.column is None for never in missed) else f" on {_names(missed)}"
            yield printable(f"{name}: never judged{on}: {why}")
        for why, missed in _by_why(one.unreachable).items():
            yield printable(f"{name}: never fires on {_names(missed)}: {why}")
        if not one.judged and not one.never:
            yield printable(f"{name}: never judged: nothing in the model has this metric")


def _times(one: RuleCoverage) -> str:
    least, most = min(one.judged.values()), max(one.judged.values())
    return f"{most} time{'' if most == 1 else 's'}" if least == most else f"{least} to {most} times"


def _subjects(one: RuleCoverage) -> str:
    if METRICS[one.rule.comparison.metric].subject in ("stream", "performance"):
        *others, last = (stream for stream, _ in one.judged)
        return f"{', '.join(others)} and {last}" if others else last
    return f"{len(one.judged)} column{'' if len(one.judged) == 1 else 's'}"


def _by_why(never: Iterable[Never]) -> dict[str, list[Never]]:
    found: dict[str, list[Never]] = {}
    for one in never:
        of_stream = one.stream if one.column is None else ""
        found.setdefault(f"{of_stream and of_stream + ': '}{one.why}", []).append(one)
    return found


def _names(missed: Sequence[Never]) -> str:
    names = [one.column or one.stream for one in missed]
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
