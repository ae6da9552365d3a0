"""What there is to say of an alert, from the messages that a service or a replay has written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np

from monitor.codec.times import parse_time
from monitor.errors import ConfigurationError
from monitor.events import Float64s, Int64s
from monitor.stats.chi2 import chi2_terms
from monitor.stats.divergence import hellinger_terms, js_terms, psi_terms
from monitor.stats.exact import total

LEAST_LETTERS = 6
"""Fewest letters of a fingerprint or an id that name an alert."""
_KNOWN = 5
"""Alerts that an error names if it finds none."""
Data = dict[str, Any]
Messages = Callable[[], Iterable[bytes]]
"""Gives all messages, each time it is called; those of an alert in their order."""
_TERMS: Mapping[str, Callable[[Int64s, Int64s], Float64s]] = {
    "psi": psi_terms,
    "js_distance": js_terms,
    "hellinger": hellinger_terms,
    "chi2": chi2_terms,
    "cramers_v": chi2_terms,
}
"""What each bin adds to the metrics that are taken on them."""


class _Head(msgspec.Struct):
    """What is read of each message. A notice has no fingerprint."""

    id: str
    time: str
    data: _HeadData


class _HeadData(msgspec.Struct, rename="camel"):
    labels: dict[str, str] = {}
    fingerprint: str = ""
    status: str = ""
    starts_at: str = ""


class Bin(msgspec.Struct, frozen=True):
    """One bin: its name, the shares of both sides, and its part of the score; None if the score has no parts."""

    name: str
    reference: float
    window: float
    part: float | None


class Step(msgspec.Struct, frozen=True):
    """A message of the alert: when it began to fire, named more or was resolved; its value then, and what it added."""

    time: str
    status: str
    value: float
    added: Data = {}


class Other(msgspec.Struct, frozen=True):
    """Another alert of the model that fired at some time while this one did. `ended`: None while it fires."""

    fingerprint: str
    labels: dict[str, str]
    began: str
    ended: str | None


class Explanation(msgspec.Struct, frozen=True):
    """An alert in one of its episodes: its message, its history, where it shows, and what else fired."""

    alert: Data
    history: list[Step]
    bins: list[Bin]
    others: list[Other]

    @property
    def evidence(self) -> Data:
        """What the rule compared."""
        evidence: Data = self.alert["data"]["evidence"]
        return evidence


_HEAD = msgspec.json.Decoder(_Head)


def explained(wanted: str, messages: Messages) -> Explanation:
    """Explain the alert that a fingerprint, a message's id, or the beginning of one names.

    Of several messages that begin so it is the newest that says that the alert fires.
    """
    found = _found(wanted, messages)
    decoded = [msgspec.json.decode(raw) for raw in found]
    alert = next((m for m in reversed(decoded) if m["data"]["status"] != "resolved"), decoded[-1])
    data = alert["data"]
    own = [msgspec.json.decode(raw) for raw in _of_fingerprint(data["fingerprint"], messages)]
    history = [_step(message) for message in own]
    ended = next((m["time"] for m in own if m["data"]["endsAt"] and m["data"]["startsAt"] == data["startsAt"]), None)
    return Explanation(alert, history, bins_of(data), _others(data, ended, messages))


def _step(message: Data) -> Step:
    evidence = message["data"]["evidence"]
    return Step(message["time"], message["data"]["status"], evidence["value"], evidence.get("added", {}))


def _found(wanted: str, messages: Messages) -> list[bytes]:
    """The messages that are meant, of one alert."""
    if len(wanted) < LEAST_LETTERS:
        raise ConfigurationError(f"{wanted!r} is too short: name at least {LEAST_LETTERS} characters of a fingerprint")
    matches: dict[str, list[bytes]] = {}
    known: dict[str, str] = {}
    for raw, head in _heads(messages):
        fingerprint = head.data.fingerprint
        known.pop(fingerprint, None)  # the newest comes last
        known[fingerprint] = head.data.labels.get("alertname", "")
        if head.id.startswith(wanted):
            matches.setdefault(fingerprint, []).append(raw)
    if len(matches) > 1:
        raise ConfigurationError(f"{wanted} is the beginning of several: {', '.join(sorted(matches)[:_KNOWN])}")
    if not matches:
        newest = [f"{fingerprint} ({name})" for fingerprint, name in reversed(list(known.items())[-_KNOWN:])]
        others = f"the newest are {', '.join(newest)}" if newest else "there is none at all"
        raise ConfigurationError(f"there is no alert {wanted}; {others}")
    return next(iter(matches.values()))


def _heads(messages: Messages) -> Iterator[tuple[bytes, _Head]]:
    """Messages of alerts; notices are passed over."""
    for raw in messages():
        try:
            head = _HEAD.decode(raw)
        except msgspec.MsgspecError as error:
            raise ConfigurationError(f"not a message of an alert: {error}") from error
        if head.data.fingerprint:
            yield raw, head


def _of_fingerprint(fingerprint: str, messages: Messages) -> Iterator[bytes]:
    return (raw for raw, head in _heads(messages) if head.data.fingerprint == fingerprint)


def _others(data: Data, ended: str | None, messages: Messages) -> list[Other]:
    """Other alerts of the model that fired between the first violation and the end, newest first."""
    episodes: dict[tuple[str, str], Other] = {}
    for _, head in _heads(messages):
        other = head.data
        if other.labels.get("model") == data["labels"]["model"] and other.fingerprint != data["fingerprint"]:
            resolved = head.time if other.status == "resolved" else None
            key = other.fingerprint, other.starts_at
            episodes[key] = Other(other.fingerprint, other.labels, other.starts_at, resolved)
    began, end = parse_time(data["startsAt"]), None if ended is None else parse_time(ended)
    overlapping = [
        episode
        for episode in episodes.values()
        if (end is None or parse_time(episode.began) <= end)
        and (episode.ended is None or parse_time(episode.ended) >= began)
    ]
    return sorted(overlapping, key=lambda episode: (-parse_time(episode.began), episode.fingerprint))


def bins_of(data: Data) -> list[Bin]:
    """The bins of an alert's histogram, with each one's part of the score."""
    evidence = data["evidence"]
    histogram = evidence["histogram"]
    if histogram is None:
        return []
    sides = histogram["reference"], histogram["current"]
    parts = _parts(data["labels"]["metric"], sides, evidence)
    names = _names(histogram["edges"], len(sides[0]))
    return [Bin(*row) for row in zip(names, *sides, parts, strict=True)]


def _parts(metric: str, sides: tuple[list[float], list[float]], evidence: Data) -> list[float] | list[None]:
    """Each bin's part of the score, in sum 1; None if the metric is no sum over bins.

    The counts are those of the shares in the message, so they are right to a row.
    """
    if metric not in _TERMS or evidence["reference"] is None or evidence["window"] is None:
        return [None] * len(sides[0])
    rows = evidence["reference"]["events"], evidence["window"]["events"]
    counts = [np.rint(np.array(side) * n).astype(np.int64) for side, n in zip(sides, rows, strict=True)]
    terms = _TERMS[metric](*counts)
    whole = float(total(terms))
    return [float(term) / whole for term in terms] if whole > 0 else [None] * len(sides[0])


def _names(edges: list[float | str], bins: int) -> list[str]:
    """What each bin is called: categories by themselves, numbers by their ends."""
    if len(edges) == bins:
        return [str(edge) for edge in edges]
    inner = [f"{edge:.6g}" for edge in edges[1:-1]]
    if not inner:
        return ["all values"]
    between = [f"{low} to {high}" for low, high in pairwise(inner)]
    return [f"up to {inner[0]}", *between, f"above {inner[-1]}"]
