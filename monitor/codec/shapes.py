"""The types that events of a topic are decoded to, generated from the contracts of its models.

Two shapes of the same event. *Strict*: every number is typed, so that a whole poll becomes arrays without a look at
its values; one value of a wrong type refuses the record. *Loose*: every value is taken as it is, to be looked at
column by column. Both skip fields that no model declares, both let the last of duplicate keys win, and what strict
accepts loose reads as the same values. An object that a path leads into is taken as it is in both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final

import msgspec

from monitor.contract import ColumnSpec, Field, ModelContract, StreamContract, path_of

FEATURES: Final = "features"
ENVELOPE: Final = "envelope"
FLAGS: Final = "flags"
OBJECT: Final = "object"
"""How a field is used, beside the kinds: in the envelope, as flags whose true value is named, as an object or an id."""

_STRICT: Mapping[frozenset[str], tuple[Any, Any]] = {
    frozenset({ENVELOPE}): (str, msgspec.UNSET),
    frozenset({"numerical"}): (float | None, math.nan),  # JSON has no NaN, so it can stand for absent
    frozenset({"binary"}): (float | bool | None, math.nan),
}
_LOOSE = (Any, msgspec.UNSET)


@dataclass(frozen=True, slots=True)
class Shapes:
    """Decoders of one topic, and where they put what.

    `envelope` gives model, event id and time of an event; `features` the object that holds its columns. `attributes`:
    of the fields that the columns' paths begin with. `typed`: fields that the strict shape holds as numbers, NaN where
    absent.
    """

    strict: Callable[[bytes], Any]
    loose: Callable[[bytes], Any]
    from_object: Callable[[Mapping[str, Any]], Any]
    envelope: Callable[[Any], tuple[Any, Any, Any]]
    features: Callable[[Any], Any] | None
    attributes: Mapping[str, str]
    typed: frozenset[str]

    def getter(self, field: Field) -> Callable[[Any], Any]:
        """Return what takes the value of a column's field out of an object."""
        return _getter(self.attributes, field)


def stream_on(contract: ModelContract, topic: str) -> StreamContract:
    """The model's stream that the topic carries."""
    return next(stream for stream in contract.streams if stream.topic == topic)


@lru_cache(maxsize=64)
def shapes_of(streams: tuple[StreamContract, ...]) -> Shapes:
    """Return the shapes of the events of one topic; the streams are of one kind and have one time field.

    Kept, because every partition of a topic needs the same ones, and a type takes long to generate.
    """
    nested = streams[0].stream == FEATURES
    time_field = streams[0].time_field
    names = ("model", "event_id", path_of(time_field)[0])
    columns = _uses(column for stream in streams for column in stream.columns)
    ids = [path_of(stream.keys.id_field)[0] for stream in streams if stream.keys is not None]
    top: dict[str, set[str]] = {name: {ENVELOPE} for name in names}
    if not nested:
        for field, kinds in columns.items():
            top.setdefault(field, set()).update(kinds)
        for field in ids:  # an id is a text or a number
            top.setdefault(field, set()).add(OBJECT)
    attributes = {field: f"a{i}" for i, field in enumerate(columns if nested else top)}
    of_envelope = {field: f"a{i}" for i, field in enumerate(top)}
    strict_inner = _struct("Features", columns, attributes, strict=True) if nested else None
    loose_inner = _struct("Features", columns, attributes, strict=False) if nested else None
    strict = _struct("Event", top, of_envelope, strict=True, features=strict_inner)
    loose = _struct("Event", top, of_envelope, strict=False, features=loose_inner)
    from_object = _builder(loose, of_envelope, loose_inner, attributes)
    is_nameable = all(map(_is_nameable, [*columns, *top]))
    by_hand = _by_hand(from_object)
    return Shapes(
        strict=msgspec.json.Decoder(strict).decode if is_nameable else by_hand,
        loose=msgspec.json.Decoder(loose).decode if is_nameable else by_hand,
        from_object=from_object,
        envelope=_envelope(of_envelope, names, time_field),
        features=attrgetter(FEATURES) if nested else None,
        attributes=attributes,
        typed=frozenset(
            field for field in columns if is_nameable and _is_typed(columns[field] if nested else top[field])
        ),
    )


def _uses(columns: Iterable[ColumnSpec]) -> dict[str, set[str]]:
    """Field -> the kinds of the columns that read it; two models may read one field differently."""
    uses: dict[str, set[str]] = {}
    for column in columns:
        first, *rest = path_of(column.field)
        uses.setdefault(first, set()).add(OBJECT if rest else FLAGS if column.true else column.kind)
    return uses


def _getter(attributes: Mapping[str, str], field: Field) -> Callable[[Any], Any]:
    first, *rest = path_of(field)
    take = attrgetter(attributes[first])
    return (lambda item: value_at(take(item), rest)) if rest else take


def value_at(found: Any, names: Iterable[str]) -> Any:
    """Return the value that names lead to within objects; absent, if there is something else on the way."""
    for name in names:
        found = found.get(name, msgspec.UNSET) if isinstance(found, dict) else msgspec.UNSET
    return found


def _envelope(
    attributes: Mapping[str, str], names: tuple[str, str, str], time_field: Field
) -> Callable[[Any], tuple[Any, Any, Any]]:
    plain = attrgetter(*[attributes[name] for name in names])
    _, *rest = path_of(time_field)
    if not rest:
        return plain

    def envelope(event: Any) -> tuple[Any, Any, Any]:
        model, event_id, first = plain(event)
        return model, event_id, value_at(first, rest)

    return envelope


def _is_typed(kinds: set[str]) -> bool:
    return frozenset(kinds) in _STRICT and ENVELOPE not in kinds


def _struct(
    name: str,
    uses: Mapping[str, set[str]],
    attributes: Mapping[str, str],
    *,
    strict: bool,
    features: type[msgspec.Struct] | None = None,
) -> type[msgspec.Struct]:
    fields: list[tuple[str, Any, Any]] = []
    for field, kinds in uses.items():
        kind, default = _STRICT.get(frozenset(kinds), _LOOSE) if strict else _LOOSE
        fields.append((attributes[field], kind, default))
    if features is not None:
        fields.append((FEATURES, features if strict else features | None, msgspec.UNSET))
    rename = {attribute: field for field, attribute in attributes.items() if field in uses and _is_nameable(field)}
    return msgspec.defstruct(name, fields, rename=rename, gc=False)


def _is_nameable(field: str) -> bool:
    """Return false for a name that msgspec takes for no field of a type: then objects are taken apart one by one."""
    return not {'"', "\\"} & set(field)


def _by_hand(from_object: Callable[[Mapping[str, Any]], Any]) -> Callable[[bytes], Any]:
    def read(value: bytes) -> Any:
        found = msgspec.json.decode(value)
        if not isinstance(found, dict):
            raise msgspec.DecodeError("no object")
        return from_object(found)

    return read


def _builder(
    event: type[msgspec.Struct],
    of_envelope: Mapping[str, str],
    inner: type[msgspec.Struct] | None,
    attributes: Mapping[str, str],
) -> Callable[[Mapping[str, Any]], Any]:
    """Makes a loose event from an object that another parser read."""

    def build(found: Mapping[str, Any]) -> Any:
        values = {attribute: found[field] for field, attribute in of_envelope.items() if field in found}
        features = found.get(FEATURES)
        if inner is not None and isinstance(features, dict):
            held = {attribute: features[field] for field, attribute in attributes.items() if field in features}
            values[FEATURES] = inner(**held)
        return event(**values)

    return build
