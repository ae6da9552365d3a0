"""Drift on a schedule: what changes in which column, from when on, and how strongly.

    - {at: 20000, column: amount_usd, kind: step, size: 1.5}              # the mean moves by 1.5 standard deviations
    - {at: 10m, column: tx_last_hour, kind: ramp, size: 2, over: 1h}      # it moves bit by bit
    - {at: 0, column: amount_usd, kind: recurring, size: 1, period: 24h}  # it moves in every second half of a period
    - {at: 1h, column: amount_usd, kind: variance, size: 2}               # the spread doubles around the same mean
    - {at: 1h, until: 2h, column: country, kind: missingness, size: 0.2}  # a fifth of the values are null
    - {at: 5000, column: country, kind: new_category, size: 0.1, category: XX}
    - {at: 8000, column: label, kind: concept, size: 0.6, over: 1000}     # fraud is another one; features stay

`at`, `until`, `over`, `period`: a number of events, or a duration of event time since the start, as `90s` or `1h30m`.
`until` may be left out, and `over` of a concept, which changes at once then. Both lengths are counted as `at` is.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from monitor.codec.durations import parse_duration
from monitor.contract import ColumnKind
from monitor.errors import ConfigurationError, Problem
from monitor.events import Float64s, Int64s

Kind = Literal["step", "ramp", "recurring", "variance", "missingness", "new_category", "concept"]
TrafficKind = ColumnKind | Literal["label"]
"""The kind of a column of traffic: the outcomes, which labels tell, are one of them."""

_LARGEST_FILE = 1 << 20
_COLUMNS: Mapping[Kind, tuple[TrafficKind, ...]] = {
    "step": ("numerical", "binary"),
    "ramp": ("numerical", "binary"),
    "recurring": ("numerical", "binary"),
    "variance": ("numerical",),
    "missingness": ("numerical", "binary", "categorical", "label"),
    "new_category": ("categorical",),
    "concept": ("label",),
}
_NEEDS: Mapping[Kind, str] = {"ramp": "over", "recurring": "period"}
_MAY_HAVE: Mapping[str, tuple[Kind, ...]] = {
    "over": ("ramp", "concept"),
    "period": ("recurring",),
    "category": ("new_category",),
}
_SHARES: tuple[Kind, ...] = ("missingness", "new_category", "concept")


class At(NamedTuple):
    """Places of events: numbers from 0, and ms of event time since the start; both of shape (n,)."""

    number: Int64s
    elapsed: Int64s


class Drift(msgspec.Struct, frozen=True):
    """One change of one column. Lengths are ms of event time where `timed`, else numbers of events.

    `size`: standard deviations (step, ramp, recurring), a factor (variance), or a share of the rows; of a concept, the
    share of the new one. `length`: of a ramp, or of a period; 0: it changes at once. `end` is exclusive.
    """

    kind: Kind
    column: str
    timed: bool
    start: int
    size: float
    end: int | None = None
    length: int = 0
    category: str = "new"

    def strength(self, at: At) -> Float64s:
        """How much of the change holds at each event, in [0, 1]."""
        place = at.elapsed if self.timed else at.number
        since = place - self.start
        on: NDArray[np.bool_] = since >= 0
        if self.end is not None:
            on &= place < self.end
        if self.kind == "recurring":
            on &= since % self.length >= self.length // 2
        if self.kind in ("ramp", "concept") and self.length:
            return np.where(on, np.clip(since / self.length, 0.0, 1.0), 0.0)
        return on.astype(np.float64)


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry as it is written."""

    at: int | str
    column: str
    kind: Kind
    size: float
    until: int | str | None = None
    over: int | str | None = None
    period: int | str | None = None
    category: str | None = None


def load_schedule(text: str, file: str, columns: Mapping[str, TrafficKind]) -> tuple[Drift, ...]:
    """The drifts of a YAML or JSON file; raises ConfigurationError with all problems. `columns`: of the traffic."""
    entries = _parse(text, file)
    drifts: list[Drift] = []
    problems: list[Problem] = []
    for i, raw in enumerate(entries):
        try:
            drifts.append(_drift(msgspec.convert(_plain(raw), _Entry), columns))
        except (msgspec.ValidationError, ValueError) as error:
            line, column = entries.lc.item(i)
            problems.append(Problem(file, line + 1, column + 1, f"drift {i + 1}: {error}"))
    if problems:
        raise ConfigurationError("\n".join(map(str, problems)), tuple(problems))
    return tuple(drifts)


def _parse(text: str, file: str) -> Any:
    """The list, with the places of its entries."""
    if len(text) > _LARGEST_FILE:
        raise ConfigurationError(f"{file}: larger than 1 MB; a schedule is a short list")
    try:
        found = YAML(typ="rt", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        problem = Problem(file, mark.line + 1 if mark else 1, mark.column + 1 if mark else 1, str(error.problem))
        raise ConfigurationError(str(problem), (problem,)) from error
    except (YAMLError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"{file}: not YAML: {error}") from error
    if not isinstance(found, list):
        problem = Problem(
            file, 1, 1, "a schedule is a list of drifts, such as - {at: 1000, column: x, kind: step, size: 1}"
        )
        raise ConfigurationError(str(problem), (problem,))
    return found


def _plain(raw: object) -> object:
    """Without the parser's own classes of scalars."""
    if not isinstance(raw, dict):
        return raw
    return {str(key): _scalar(value) for key, value in raw.items()}


def _scalar(value: object) -> object:
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value


def _drift(entry: _Entry, columns: Mapping[str, TrafficKind]) -> Drift:
    """Raises ValueError for what the types can't say."""
    kind = columns.get(entry.column)
    if kind is None:
        near = difflib.get_close_matches(entry.column, columns, 1)
        raise ValueError(
            f"unknown column {entry.column!r}; "
            + (f"did you mean {near[0]!r}?" if near else f"there are {', '.join(columns)}")
        )
    if kind not in _COLUMNS[entry.kind]:
        raise ValueError(f"{entry.kind} is not for a {kind} column such as {entry.column}")
    if entry.kind in _SHARES and not 0 <= entry.size <= 1:
        raise ValueError(f"size {entry.size:g} is a share of the rows; write a number from 0 to 1")
    if entry.kind == "variance" and entry.size < 0:
        raise ValueError(f"size {entry.size:g} is a factor of the spread; write 0 or more")
    for name, owners in _MAY_HAVE.items():
        if getattr(entry, name) is not None and entry.kind not in owners:
            raise ValueError(f"{name} belongs to {' and '.join(owners)}, not to {entry.kind}")
    start, timed = _length(entry.at, "at")
    needed = _NEEDS.get(entry.kind) or ("over" if entry.over is not None else None)
    return Drift(
        entry.kind,
        entry.column,
        timed,
        start,
        entry.size,
        None if entry.until is None else _like(entry.until, "until", start + 1, timed),
        0 if needed is None else _like(getattr(entry, needed), needed, 2, timed),
        entry.category or "new",
    )


def _like(value: int | str | None, name: str, least: int, timed: bool) -> int:
    """A length that is counted as `at` is, and at least `least`."""
    if value is None:
        raise ValueError(f"`{name}` is missing")
    length, own = _length(value, name)
    if own != timed:
        raise ValueError(f"{name} {value!r} and `at` are one a duration, the other a number of events; use one of them")
    if length < least:
        raise ValueError(f"{name} {value!r} is too small")
    return length


def _length(value: int | str, name: str) -> tuple[int, bool]:
    """A number of events, or milliseconds; and whether it is the latter."""
    if isinstance(value, int):
        if value < 0:
            raise ValueError(f"{name} {value} is negative")
        return value, False
    try:
        return parse_duration(value), True
    except ValueError as error:
        raise ValueError(f"{name} is neither a number of events nor a duration: {error}") from None
