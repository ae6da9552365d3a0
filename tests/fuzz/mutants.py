"""Bad records by recipe: mutations of good events, one recipe an idea, all from one seed.

A recipe is given a good event (a dict that it may change) and a generator, and returns the bytes of a record. Some of
them are rows after all; what a record is, decoding alone decides.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from monitor.codec.canonical import time_text

Event = dict[str, Any]
Recipe = Callable[[Event, random.Random], bytes]
YEAR_MS = 365 * 86_400_000
CONTROLS = "".join(map(chr, [*range(32), 127, 0x85, 0x9B]))


def plain(event: Event) -> bytes:
    return json.dumps(event).encode()


def _with(event: Event, **fields: Any) -> bytes:
    return plain({**event, **fields})


def _without(event: Event, *names: str) -> bytes:
    return plain({name: value for name, value in event.items() if name not in names})


def _columns(event: Event) -> Event:
    """Where an event's columns stand: inside `features`, or beside the envelope."""
    found = event.get("features", event)
    assert isinstance(found, dict)
    return found


def _column(event: Event, rng: random.Random) -> str:
    envelope = ("event_id", "model", "event_time")
    return rng.choice([name for name in sorted(_columns(event)) if name not in envelope])


# ------------------------------------------------------------------ the envelope


def missing_model(event: Event, rng: random.Random) -> bytes:
    return _without(event, "model") if rng.random() < 0.5 else _with(event, model=None)


def unknown_model(event: Event, rng: random.Random) -> bytes:
    odd = ["M", "m ", "m\x00", "\u202em", f"m{rng.random()}", "x" * 5000, "", 7, True, ["m"], {"m": 1}, 1e300]
    return _with(event, model=rng.choice(odd))


def missing_id(event: Event, rng: random.Random) -> bytes:
    return _without(event, "event_id") if rng.random() < 0.5 else _with(event, event_id=None)


def invalid_id(event: Event, rng: random.Random) -> bytes:
    ids = ["", "x" * 257, "a\nb", "\x1b[31m", "\u0085", 5, 1.5, False, [], {}, "\ud800"]
    return _with(event, event_id=rng.choice(ids))


def missing_time(event: Event, rng: random.Random) -> bytes:
    return _without(event, "event_time") if rng.random() < 0.5 else _with(event, event_time=None)


def invalid_time(event: Event, rng: random.Random) -> bytes:
    good = event["event_time"]
    times = ["", "now", good[:-1], good + "Z", good.replace("T", " "), "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z"]
    times += [1795257067412, 1.5, [good], "2026-11-21T25:00:00Z", "+002026-11-21T10:00:00Z"]
    times += [good.replace("2", "\u0662")]
    return _with(event, event_time=rng.choice(times))


def time_out_of_range(event: Event, rng: random.Random) -> bytes:
    times = ["1999-12-31T23:59:59.999Z", "2100-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"]
    return _with(event, event_time=rng.choice(times))


def missing_features(event: Event, rng: random.Random) -> bytes:
    """For a stream of predictions it is another field that is of no matter."""
    if rng.random() < 0.3:
        return _without(event, "features")
    return _with(event, features=rng.choice([None, [], "x", 5, True, [{}], 1e400]))


def a_year_ahead(event: Event, rng: random.Random) -> bytes:
    return _with(event, event_time=time_text(event["at"] + YEAR_MS + rng.randint(0, YEAR_MS)))


def long_ago(event: Event, rng: random.Random) -> bytes:
    return _with(event, event_time=time_text(event["at"] - rng.randint(1, 26 * 365) * 86_400_000))


# ------------------------------------------------------------------ values


def other_type(event: Event, rng: random.Random) -> bytes:
    values: list[object] = [
        "12.5",
        "",
        None,
        True,
        [],
        {},
        [1, "x", None],
        {"a": {}},
        -0.0,
        10**400,
        "NaN",
        [[1]],
        "x" * 300,
    ]
    _columns(event)[_column(event, rng)] = rng.choice(values)
    return plain(event)


def huge_number(event: Event, rng: random.Random) -> bytes:
    number = rng.choice([b"1e400", b"-1e400", b"1e308", b"1e-400", b"9" * 400, b"-" + b"9" * 5000, b"1" + b"0" * 160])
    name = _column(event, rng)
    _columns(event)[name] = "HERE"
    return plain(event).replace(b'"HERE"', number)


def no_number(event: Event, rng: random.Random) -> bytes:
    _columns(event)[_column(event, rng)] = rng.choice([float("nan"), float("inf"), float("-inf")])
    return plain(event)


def all_gone(event: Event, rng: random.Random) -> bytes:
    columns = _columns(event)
    for name in [name for name in columns if name not in ("event_id", "model", "event_time")]:
        if rng.random() < 0.7:
            del columns[name]
    return plain(event)


def new_category(event: Event, rng: random.Random) -> bytes:
    categories = [f"c{rng.random()}", "\u202egnp", "a\x00b", "x" * 256, "x" * 257, "\U0001f4a9", 3, "3", True, "true"]
    _columns(event)["c"] = rng.choice(categories)
    return plain(event)


def giant_string(event: Event, rng: random.Random) -> bytes:
    giant = "x" * rng.choice([*[5_000] * 18, 100_000, 900_000])
    target = rng.choice(["value", "field", "name", "id"])
    if target == "value":
        _columns(event)[_column(event, rng)] = giant
        return plain(event)
    fields: dict[str, Event] = {"id": {"event_id": giant}, "name": {giant[:9000]: 1}, "field": {"u": giant}}
    odd = fields[target]
    return plain({**event, **odd})


def giant_array(event: Event, rng: random.Random) -> bytes:
    _columns(event)[_column(event, rng)] = [rng.randint(0, 9)] * rng.choice([*[300] * 19, 100_000])
    return plain(event)


# ------------------------------------------------------------------ structure


def duplicate_keys(event: Event, rng: random.Random) -> bytes:
    name = rng.choice([*sorted(event), "new"])
    other = json.dumps(rng.choice([None, 1, "m", "other", {}, event["event_time"], event.get("features")]))
    return plain(event)[:-1] + f", {json.dumps(name)}: {other}}}".encode()


def unknown_fields(event: Event, rng: random.Random) -> bytes:
    odd = {"": 1, "__proto__": {}, "model ": "m", "\u0000": [], "MODEL": None, "a" * 500: "b"}
    return plain({**odd, **event, rng.choice(sorted(odd)): {"x": [None] * rng.randint(0, 50)}})


def shallow_nesting(event: Event, rng: random.Random) -> bytes:
    depth = rng.randint(50, 490)
    return plain(event)[:-1] + b', "u": ' + b"[" * depth + b"]" * depth + b"}"


def deep_nesting(event: Event, rng: random.Random) -> bytes:
    depth = rng.choice([501, 1000, 20_000])
    if rng.random() < 0.5:
        return plain(event)[:-1] + b', "u": ' + b"[" * depth + b"]" * depth + b"}"
    return rng.choice([b"[", b'{"a":']) * depth


def no_object(event: Event, rng: random.Random) -> bytes:
    values: list[object] = [[], [event], "text", 5, -1.5e10, True, False, None, [[]], "", [1, 2, 3]]
    return json.dumps(rng.choice(values)).encode()


# ------------------------------------------------------------------ bytes


def no_json(event: Event, rng: random.Random) -> bytes:
    whole = plain(event)
    texts = [b"", b" ", whole + whole, whole + b",", whole[1:], b"{" + whole, whole.replace(b":", b"=", 1)]
    texts += [b"\xef\xbb\xbf" + whole]
    texts += [whole.replace(b'"', b"'"), b"<event/>", b"model=m", b"nul", b"+1", b"01", b".5", b'{"a": tru}', b"\x00"]
    return rng.choice(texts)


def truncated(event: Event, rng: random.Random) -> bytes:
    whole = plain(event)
    return whole[: rng.randrange(len(whole))]


def flipped(event: Event, rng: random.Random) -> bytes:
    whole = bytearray(plain(event))
    for _ in range(rng.choice([1, 1, 2, 10])):
        whole[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
    return bytes(whole)


def spliced(event: Event, rng: random.Random) -> bytes:
    whole = plain(event)
    i, j, k = (rng.randrange(len(whole)) for _ in range(3))
    return whole[:i] + whole[min(j, k) : max(j, k)] + whole[i + rng.randrange(3) :]


def no_utf8(event: Event, rng: random.Random) -> bytes:
    bad = rng.choice([b"\xff", b"\xc3(", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\xc0\xaf"])
    whole = plain(event)
    at = rng.randrange(len(whole))
    return whole[:at] + bad + whole[at:] if rng.random() < 0.8 else whole.decode().encode("utf-16")


def controls(event: Event, rng: random.Random) -> bytes:
    whole = plain(event)
    at = rng.randrange(len(whole))
    return whole[:at] + rng.choice(CONTROLS).encode() + whole[at:]


def surrogates(event: Event, rng: random.Random) -> bytes:
    text = rng.choice(["\\ud800", "\\udfff\\ud800", "\\u0000", "\\u202e", "\\uZZZZ", "\\x00"])
    _columns(event)[_column(event, rng)] = "HERE"
    return plain(event).replace(b"HERE", text.encode())


def noise(event: Event, rng: random.Random) -> bytes:
    return rng.randbytes(rng.choice([1, 10, 300]))


RECIPES: dict[str, Recipe] = {
    recipe.__name__: recipe
    for recipe in (
        missing_model,
        unknown_model,
        missing_id,
        invalid_id,
        missing_time,
        invalid_time,
        time_out_of_range,
        missing_features,
        a_year_ahead,
        long_ago,
        other_type,
        huge_number,
        no_number,
        all_gone,
        new_category,
        giant_string,
        giant_array,
        duplicate_keys,
        unknown_fields,
        shallow_nesting,
        deep_nesting,
        no_object,
        no_json,
        truncated,
        flipped,
        spliced,
        no_utf8,
        controls,
        surrogates,
        noise,
    )
}


def mutate(event: Event, name: str, rng: random.Random) -> bytes:
    """A record by the recipe of that name. `event` holds `at`, its time in ms, beside its fields."""
    copy = {**event, "features": dict(event["features"])} if "features" in event else dict(event)
    if name not in _TIMED:
        del copy["at"]
    return RECIPES[name](copy, rng)


_TIMED = ("a_year_ahead", "long_ago")
"""Recipes that look at `at`; to the service it is a field that it does not know."""


def is_json(value: bytes) -> bool:
    """Whether it is JSON by its standard: without NaN and Infinity."""
    try:
        json.loads(value, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(text: str) -> None:
    raise ValueError(text)
