"""Regular expressions of selectors: RE2's, matched against the whole text in time linear in it.

Python's own `re` backtracks: `(a+)+b` takes seconds on 26 letters. RE2 knows neither backreferences nor look-around,
and `\\d`, `\\w` and `\\s` are those of ASCII.
"""

from __future__ import annotations

from functools import lru_cache

import re2

_MOST_MEMORY = 1 << 18
"""Bytes for a compiled pattern: one that needs more, such as `\\pL{500}`, takes longer than a check should."""


class PatternError(ValueError):
    """RE2 refuses a pattern; the message is its reason."""


def check_pattern(pattern: str) -> None:
    """Raise PatternError if RE2 does not take the pattern."""
    _compiled(pattern)


def matches(pattern: str, text: str) -> bool:
    """Return true if the pattern matches all of the text.

    >>> matches("amount_.*", "amount_usd"), matches("amount", "amount_usd"), matches("(a+)+b", "a" * 100)
    (True, False, False)
    """
    return _compiled(pattern).fullmatch(text.encode("utf-8", "surrogatepass")) is not None


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re2._Regexp:
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = _MOST_MEMORY
    try:
        return re2.compile(pattern, options)
    except UnicodeEncodeError:
        raise PatternError("it holds half of a surrogate pair") from None
    except re2.error as error:
        reason = error.args[0]
        raise PatternError(reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)) from None
