"""From the text of alerts.yaml to the configuration, or to all that is wrong with it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from monitor.config.check import check
from monitor.config.document import compose
from monitor.config.resolve import resolve
from monitor.config.resolved import Config
from monitor.config.shape import validate
from monitor.config.sheet import Sheet
from monitor.errors import ConfigurationError, Problem


def load(text: str, file: str) -> Config:
    """The configuration that `text` says; raises ConfigurationError with all problems. `file`: its name in them."""
    root, problems = compose(text, file)
    if root is None:
        raise _refusal(problems)
    sheet = Sheet(file, root)
    alerts_file, more = validate(sheet)
    problems += more
    if alerts_file is not None:
        problems += check(alerts_file, sheet)
    if problems or alerts_file is None:
        raise _refusal(problems)
    return resolve(alerts_file, hashlib.sha256(text.encode()).hexdigest())


def _refusal(problems: Iterable[Problem]) -> ConfigurationError:
    """Problems in order of place; of several at one place the first, since the others follow from it."""
    first: dict[tuple[int, int], Problem] = {}
    for problem in problems:
        first.setdefault((problem.line, problem.column), problem)
    ordered = tuple(first[place] for place in sorted(first))
    return ConfigurationError("\n".join(str(problem) for problem in ordered), ordered)
