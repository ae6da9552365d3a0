"""Matchers: conditions on the labels of alerts, as Alertmanager writes them; those of silences and of inhibit rules.

Of an alert all its labels can be matched, and `stream`, whether it is a label or not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from monitor.config.comparison import Selector
from monitor.config.pattern import PatternError, check_pattern
from monitor.events import Verdict

_MATCHER = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*(=~|!~|!=|=)\s*(.*?)\s*", re.DOTALL)
FORMS = "label=value, label!=value, label=~pattern or label!~pattern"


class MatcherError(ValueError):
    """A text is no matcher. `position`: place of the fault in it, from 0."""

    def __init__(self, message: str, position: int = 0) -> None:
        super().__init__(message)
        self.position = position


def parse_matcher(text: str) -> Selector:
    """Return the matcher that a text stands for; the value may stand in quotes. Raises MatcherError.

    >>> parse_matcher('column=~"amount.*"').matches({"column": "amount_usd"})
    True
    """
    found = _MATCHER.fullmatch(text)
    if found is None:
        raise MatcherError(f"{text!r} is no matcher: write {FORMS}")
    label, op, value = found.groups()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        value = re.sub(r"\\([\"'\\])", r"\1", value[1:-1])
    if op in ("=~", "!~"):
        try:
            check_pattern(value)
        except PatternError as error:
            raise MatcherError(f"{value!r} is not a regular expression of RE2: {error}", found.start(3)) from None
    return Selector(label, op, value, found.start(1))


def matched_labels(verdict: Verdict) -> Mapping[str, str]:
    """Return what matchers see of the alert of a verdict."""
    return {**dict(verdict.labels), "stream": verdict.stream}
