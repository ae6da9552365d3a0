"""The role of each column by its name and its values, or the reason why it is left out.

A pure function of the sample. What a name says counts for the roles that a model gives its columns (time, prediction,
probability, label, version, id), and only if the values can have that role; else the values decide. On a terminal
somebody is asked about what is `unsure`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from math import isfinite
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from monitor.codec.event_times import read_numbers, read_texts
from monitor.codec.times import UNREADABLE
from monitor.contract import TimeForm
from monitor.events import Float64s, Int64s
from monitor.inference.sample import Sample

Role = Literal[
    "timestamp", "prediction", "probability", "label", "numerical", "binary", "categorical", "arrays", "left out"
]
ENOUGH: Final = 0.95
"""Share of the values that must have a form for the column to have it."""
_FEW: Final = 20
"""Different whole numbers up to which a column may be one of codes."""
_WORDS: Final = 3.0
"""Words of a value, in the mean, from which on a text is free."""
_MOST_NAME: Final = 128
_FLAGS: Final = ({"0", "1"}, {"true", "false"}, {"yes", "no"}, {"y", "n"}, {"t", "f"})

_NAMED: Final[Mapping[str, re.Pattern[str]]] = {
    "timestamp": re.compile(
        r"((event|creation|request)_?)?(time|date|timestamp|datetime|ts|epoch|day|zeit|datum|zeitstempel)(_(s|ms|us|ns|utc))?"
        r"|.*_(time|date|timestamp|datetime|at|ts|datum|zeit)"
    ),
    "prediction": re.compile(
        r"y_?pred(icted|iction)?|pred(icted|iction)?s?|y_?hat|(predicted|prediction|pred)_.*|.*_(pred|predicted|prediction)"
    ),
    "probability": re.compile(
        r"(y_)?(pred|predicted|prediction)_?(proba?|probability|score)s?|proba?|probability|y_?score|.*_(proba|probability)|y_proba?"
    ),
    "label": re.compile(r"y|y_?true|label|target|class|ground_?truth|truth|actual|outcome|.*_(label|target)"),
    "version": re.compile(r"(model_?)?version|model_?v(er)?"),
    "id": re.compile(
        r"(.*[_\W])?(id|uuid|guid|key|hash|index|idx|nr|no|number)|.*_id|id_.*|unnamed: ?\d+|row(_?(number|nr|id))?|"
    ),
    "code": re.compile(
        r"(.*_)?(code|type|kind|class|category|kategorie|group|level|grade|zip|plz|postal|month|weekday|region|status|store"
        r"|branch)(_.*|s)?"
    ),
}


class Decision(NamedTuple):
    """What became of one column. `why`: the reason, in words. `unsure`: another role that it may well have."""

    name: str
    role: Role
    why: str
    unsure: Role | None = None


def roles_of(sample: Sample, given: Mapping[str, Role] | None = None) -> list[Decision]:
    """Decide on each column, in the sample's order. `given`: roles that are known already."""
    known = dict(given or {})
    found: dict[str, Decision] = {}
    seen = {name: Values(values, sample.decimal) for name, values in sample.columns.items()}
    for name, values in seen.items():
        if name in known:
            found[name] = Decision(name, known[name], "as given")
        else:
            found[name] = _decide(name, values)
    _keep_one(found, seen, "timestamp", lambda name: (seen[name].ascends, _rank("timestamp", name)))
    for role in ("prediction", "probability", "label"):
        _keep_one(found, seen, role, lambda name, role=role: (_rank(role, name),))
    _find_copies(found, seen)
    return list(found.values())


class Values:
    """The values of one column, looked at once."""

    def __init__(self, values: Sequence[Any], decimal: str) -> None:
        self.cells = [value.strip() if isinstance(value, str) else value for value in values]
        present = [cell for cell in self.cells if cell is not None and cell != ""]
        self.n = len(present)
        self.is_list = self.n > 0 and all(isinstance(cell, list | tuple) for cell in present)
        self.is_object = self.n > 0 and any(isinstance(cell, dict) for cell in present)
        self.texts = [] if self.is_list or self.is_object else [_text(cell) for cell in present]
        self.different = set(self.texts)
        self._typed = present
        self._decimal = decimal

    @property
    def numbers(self) -> Float64s:
        """Its values as numbers; NaN for what is none."""
        if self._typed and all(isinstance(cell, bool) for cell in self._typed):
            return np.full(self.n, np.nan)
        return np.array([_number(text, self._decimal) for text in self.texts], dtype=np.float64)

    @property
    def are_numbers(self) -> bool:
        found = self.numbers
        return self.n > 0 and float(np.isfinite(found).mean()) >= ENOUGH and not self._has_leading_zeros

    @property
    def _has_leading_zeros(self) -> bool:
        """Texts such as 01067 are codes."""
        return any(len(t) > 1 and t[0] == "0" and t.isdecimal() for t in self.different)

    @property
    def are_whole(self) -> bool:
        found = self.numbers
        return bool((found[np.isfinite(found)] % 1 == 0).all())

    @property
    def times(self) -> Int64s:
        """Its values as times, ms; UNREADABLE for what is none."""
        dated = [cell for cell in self._typed if isinstance(cell, datetime | date)]
        if dated and len(dated) == self.n:
            return np.array([_time_of(cell) for cell in dated], dtype=np.int64)
        if self._typed and all(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in self._typed):
            return read_numbers(np.array(self._typed, dtype=np.float64), TimeForm()).times
        return read_texts(self.texts, TimeForm()).times

    @property
    def known_times(self) -> Int64s:
        """Those of its values that are times, ms, in order of rows."""
        found = self.times
        return np.asarray(found[found != UNREADABLE], dtype=np.int64)

    @property
    def are_times(self) -> bool:
        return self.n > 0 and float((self.times != UNREADABLE).mean()) >= ENOUGH

    @property
    def ascends(self) -> float:
        """Share of steps that don't go back; of times."""
        known = self.known_times
        return float((np.diff(known) >= 0).mean()) if len(known) > 1 else 0.0


def _decide(name: str, values: Values) -> Decision:
    found = _left_out(name, values)
    if found is not None:
        return Decision(name, "left out", found)
    if values.is_list:
        is_numeric = all(isinstance(part, int | float) for cell in values.cells if cell for part in cell)
        return Decision(name, "arrays", "lists of numbers") if is_numeric else _out(name, "lists of something else")
    if (decided := _by_name(name, values)) is not None:
        return decided
    if {text.lower() for text in values.different} in _FLAGS:
        return Decision(name, "binary", f"{' and '.join(sorted(values.different))}")
    if values.are_times and not values.are_numbers:
        return Decision(name, "timestamp", "times")
    if values.are_numbers:
        return _of_numbers(name, values)
    return _of_texts(name, values)


def _left_out(name: str, values: Values) -> str | None:
    if values.n == 0:
        return "empty"
    if len(name) > _MOST_NAME or any(ord(letter) < 32 or ord(letter) == 127 for letter in name) or not name.strip():
        return "without a usable name" if not name.strip() else "its name can't be written"
    if values.is_object:
        return "objects; name a path in alerts.yaml to watch a part"
    if not values.is_list and len(values.different) == 1:
        return f"constant ({next(iter(values.different))[:40]})"
    return None


def _by_name(name: str, values: Values) -> Decision | None:
    """What the name says, if the values can have that role."""
    plain = _plain(name)
    if _NAMED["timestamp"].fullmatch(plain) and values.are_times:
        return Decision(name, "timestamp", "times, and named so")
    if _NAMED["probability"].fullmatch(plain) and values.are_numbers and _within_one(values):
        return Decision(name, "probability", "numbers from 0 to 1, and named so")
    if _NAMED["prediction"].fullmatch(plain):
        return Decision(name, "prediction", "named so")
    if _NAMED["label"].fullmatch(plain) and (values.are_numbers or len(values.different) <= _FEW * 5):
        return Decision(name, "label", "named so")
    if _NAMED["version"].fullmatch(plain) and len(values.different) <= _FEW * 5:
        return _out(name, "version of the model")
    is_key = len(values.different) >= 0.5 * values.n and (not values.are_numbers or values.are_whole)
    if _NAMED["id"].fullmatch(plain) and is_key and values.n > 1:
        return _out(name, "id-like: named so, and mostly different")
    return None


def _of_numbers(name: str, values: Values) -> Decision:
    if values.are_whole and values.n > 2:
        steps = np.diff(values.numbers)
        if (steps == steps[0]).all() and steps[0] > 0 and values.are_times:
            return Decision(name, "timestamp", "numbers since 1970, equally far apart")
        if (steps == steps[0]).all() and steps[0] != 0:
            return _out(name, "id-like: counts the rows")
    is_code = values.are_whole and len(values.different) <= _FEW and values.n >= 5 * len(values.different)
    if is_code and _NAMED["code"].fullmatch(_plain(name)):
        return Decision(name, "categorical", f"{len(values.different)} whole numbers, named like codes", "numerical")
    unsure: Role | None = "categorical" if is_code and len(values.different) <= 5 else None
    return Decision(name, "numerical", "numbers", unsure)


def _of_texts(name: str, values: Values) -> Decision:
    words = float(np.mean([len(text.split()) for text in values.texts]))
    share = len(values.different) / values.n
    if words >= _WORDS and share > 0.2:
        return _out(name, "free text")
    if share >= 0.9 and values.n >= 20:
        return _out(name, "id-like: mostly different texts")
    return Decision(name, "categorical", f"{len(values.different)} different texts")


def _find_copies(found: dict[str, Decision], seen: Mapping[str, Values]) -> None:
    """Leave out what tells the label row by row, though it has another name."""
    label = next((name for name, decision in found.items() if decision.role == "label"), None)
    if label is None or len(seen[label].different) < 2:
        return
    for name, decision in found.items():
        if decision.role in ("numerical", "binary", "categorical") and decision.why != "as given":
            pairs = {
                (a if isinstance(a, str) else repr(a), b if isinstance(b, str) else repr(b))
                for a, b in zip(seen[name].cells, seen[label].cells, strict=True)
            }
            if len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}):
                found[name] = _out(name, f"copy of the label {label}")


def _keep_one(found: dict[str, Decision], seen: Mapping[str, Values], role: str, rank: Any) -> None:
    """Let the best of several columns keep a role that one alone can have."""
    several = [name for name, decision in found.items() if decision.role == role]
    if len(several) < 2:
        return
    given = [name for name in several if found[name].why == "as given"]
    best = given[0] if given else max(several, key=rank)
    for name in several:
        if name != best:
            if role in ("timestamp", "prediction", "label"):
                found[name] = _out(name, f"another {role} beside {best}")
            else:
                found[name] = Decision(name, "numerical", "numbers")


_BEST: Final = {
    "timestamp": ("event_time", "timestamp", "time", "datetime", "ts", "date"),
    "prediction": ("prediction", "y_pred", "predicted", "pred"),
    "probability": ("probability", "y_pred_proba", "pred_proba", "y_score", "proba"),
    "label": ("label", "target", "y_true", "y", "class"),
}


def _rank(role: str, name: str) -> int:
    """The nearer a name is to the usual ones of a role, the higher."""
    best = _BEST[role]
    plain = _plain(name)
    return len(best) - best.index(plain) if plain in best else 0


def _plain(name: str) -> str:
    """A name in lower case, with _ for what separates its words."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[\s.\-/]+", "_", spaced.strip().lower())


def _out(name: str, why: str) -> Decision:
    return Decision(name, "left out", why)


def _within_one(values: Values) -> bool:
    found = values.numbers
    known = found[np.isfinite(found)]
    return bool(((known >= 0) & (known <= 1)).all())


def _text(cell: object) -> str:
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, bytes):
        return cell.decode("utf-8", "replace")
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    return str(cell)


def _number(text: str, decimal: str) -> float:
    try:
        value = float(Decimal(text.replace(decimal, ".") if decimal != "." else text))
    except ArithmeticError:
        return np.nan
    return value if isfinite(value) else np.nan


def _time_of(cell: datetime | date) -> int:
    at = np.datetime64(cell.replace(tzinfo=None) if isinstance(cell, datetime) else cell, "ms")
    return int(at.astype(np.int64))
