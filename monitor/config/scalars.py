"""The single values of alerts.yaml: durations, times, names and counts, how each is read and what its schema is.

Nothing is coerced: text is text, a number a number, a duration text with its unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, WithJsonSchema

from monitor.codec.durations import DURATION_PATTERN, parse_duration
from monitor.codec.formats_of_time import check_format
from monitor.codec.times import TIME_PATTERN, parse_time
from monitor.codec.zones import UnknownZone, zone_names, zone_of
from monitor.config.rates import rate_of
from monitor.config.suggest import did_you_mean

OFF = "off"


def duration(value: object) -> int:
    """Read a duration, ms; raises ValueError."""
    if not isinstance(value, str):
        raise ValueError('a duration is text with its unit: write "30s" or "5m"')
    return parse_duration(value)


def positive(value: int) -> int:
    """Return a duration that is not 0s, or raise ValueError."""
    if value == 0:
        raise ValueError("must be longer than 0s")
    return value


def _time(value: object) -> int:
    if not isinstance(value, str):
        raise ValueError("a time is text: write 2026-10-01T00:00:00Z")
    return parse_time(value)


def _zone(value: object) -> object:
    if isinstance(value, str):
        try:
            zone_of(value)
        except UnknownZone as error:
            raise ValueError(f"{error}{did_you_mean(value, zone_names())}") from None
    return value


def _format(value: object) -> object:
    if isinstance(value, str):
        check_format(value)
    return value


def _start(value: object) -> str | int:
    if value in ("earliest", "latest"):
        return str(value)
    try:
        return _time(value)
    except ValueError as error:
        raise ValueError(f"{error}, earliest or latest") from None


DURATION_SCHEMA = {"type": "string", "pattern": DURATION_PATTERN, "minLength": 2, "examples": ["30s", "5m", "1h30m"]}
_TIME_SCHEMA = {"type": "string", "pattern": TIME_PATTERN, "examples": ["2026-10-01T00:00:00Z"]}
_START_SCHEMA = {"anyOf": [{"enum": ["earliest", "latest"]}, _TIME_SCHEMA]}

Duration = Annotated[int, BeforeValidator(duration), WithJsonSchema(DURATION_SCHEMA)]
PositiveDuration = Annotated[int, BeforeValidator(duration), AfterValidator(positive), WithJsonSchema(DURATION_SCHEMA)]
Time = Annotated[int, BeforeValidator(_time), WithJsonSchema(_TIME_SCHEMA)]
Start = Annotated[Literal["earliest", "latest"] | int, BeforeValidator(_start), WithJsonSchema(_START_SCHEMA)]


@dataclass(frozen=True)
class Span:
    """A stretch of event time, ms, where a number of rows may stand, too."""

    ms: int


_FEWEST_FIRST, _MOST_FIRST = 10, 100_000


def _first(value: object) -> int | Span:
    if isinstance(value, str):
        return Span(positive(duration(value)))
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("should be a number of rows, or event time with its unit: write 5000 or 14d")
    if value < _FEWEST_FIRST:
        raise ValueError(f"should be greater than or equal to {_FEWEST_FIRST}")
    if value > _MOST_FIRST:
        raise ValueError(f"should be less than or equal to {_MOST_FIRST}; more rows take event time: write 14d")
    return value


_ROWS_SCHEMA = {"type": "integer", "minimum": _FEWEST_FIRST, "maximum": _MOST_FIRST}
First = Annotated[
    int | Span,
    PlainValidator(_first),
    WithJsonSchema({"anyOf": [_ROWS_SCHEMA, {**DURATION_SCHEMA, "examples": ["14d"]}]}),
]

TimeZone = Annotated[str, BeforeValidator(_zone), WithJsonSchema({"type": "string", "examples": ["Europe/Berlin"]})]
_FORMAT_SCHEMA = {"type": "string", "examples": ["%d.%m.%Y %H:%M"]}
TimeFormat = Annotated[str, BeforeValidator(_format), WithJsonSchema(_FORMAT_SCHEMA)]

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
Glob = Annotated[str, Field(pattern=r"^[A-Za-z0-9._*?!\[\]-]{1,128}$")]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
LabelName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
COLUMN_PATTERN = r"^[^\x00-\x1f\x7f-\x9f]{1,128}$"
"""Names of columns and fields are compared byte by byte: nothing is folded, trimmed or composed."""
Column = Annotated[str, Field(pattern=COLUMN_PATTERN)]
Topic = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,248}$")]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]

Importance = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]


def _confidence(value: float) -> float:
    if not 0.5 < value < 1:
        raise ValueError("should be above 0.5 and below 1: write 0.95 for 95 %")
    return value


_CONFIDENCE_SCHEMA = {"type": "number", "exclusiveMinimum": 0.5, "exclusiveMaximum": 1}
Confidence = Annotated[float, AfterValidator(_confidence), WithJsonSchema(_CONFIDENCE_SCHEMA)]
SINGLE_SCHEMA = {"type": ["string", "number", "boolean"]}
_SMALLEST_SAMPLE = 10
_SAMPLES = {text: bits for bits in range(_SMALLEST_SAMPLE + 1) for text in (f"1/{1 << bits}", 2.0**-bits)}


def _sample(value: object) -> int:
    """Read a share of ids as the zero bits that their digests end in."""
    bits = None if isinstance(value, bool) or not isinstance(value, str | int | float) else _SAMPLES.get(value)
    if bits is None:
        raise ValueError(f"should be 1 or a power of one half: 1/2, 1/4 and so on down to 1/{1 << _SMALLEST_SAMPLE}")
    return bits


Sample = Annotated[int, BeforeValidator(_sample), WithJsonSchema({"enum": list(_SAMPLES), "examples": ["1/8"]})]


def _period(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("a period is text: write 30d, week, or 50000 rows")
    rate_of(1, value)
    return value


Period = Annotated[
    str, BeforeValidator(_period), WithJsonSchema({"type": "string", "examples": ["30d", "week", "50000 rows"]})
]


def _threshold(value: object) -> float | str:
    if isinstance(value, bool) or not isinstance(value, int | float | str) or not str(value).strip():
        raise ValueError("should be a number, or an expression such as reference_mean + 2 * reference_std")
    return value if isinstance(value, str) else float(value)


Threshold = Annotated[
    float | str,
    PlainValidator(_threshold),
    WithJsonSchema({"type": ["number", "string"], "examples": [0.1, "reference_mean + 2 * reference_std"]}),
]


def _duration_or_off(value: object) -> str | int:
    if value == OFF:
        return OFF
    try:
        return positive(duration(value))
    except ValueError as error:
        raise ValueError(f"{error}, or off") from None


DurationOrOff = Annotated[
    Literal["off"] | int,
    BeforeValidator(_duration_or_off),
    WithJsonSchema({"anyOf": [{"const": OFF}, DURATION_SCHEMA]}),
]
