"""The columns of a model by their role: each a name, or a mapping with what else there is to know of it.

`area` and `{column: area}` are a column whose field in the event has its name; `{name: area, field: "area (m²)"}` is
one with a name of its own. A plain field is literal; a list is the path to a value within objects.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, WithJsonSchema, model_validator
from pydantic_core import CoreSchema

from monitor.codec.columns import flag_of
from monitor.config.entry import Shape
from monitor.config.scalars import COLUMN_PATTERN, SINGLE_SCHEMA, Column, TimeFormat, TimeZone
from monitor.contract import Field as FieldOf

_COLUMN_SCHEMA = {"type": "string", "pattern": COLUMN_PATTERN}
_FIELD_SCHEMA = {"anyOf": [_COLUMN_SCHEMA, {"type": "array", "items": _COLUMN_SCHEMA, "minItems": 1, "maxItems": 16}]}


def _path(value: object) -> object:
    return value if isinstance(value, list) else [value]


def _flag(value: object) -> str:
    if not isinstance(value, str | int | float) or value != value:
        raise ValueError("should be the value that counts as 1: a text, a number or a boolean")
    if not (flag := flag_of(value)):
        raise ValueError("should not be empty: an empty value is missing")
    return flag


Path = Annotated[
    Annotated[list[Column], Field(min_length=1, max_length=16)],
    BeforeValidator(_path),
    WithJsonSchema(_FIELD_SCHEMA),
]
"""A field: its name, or the path to it as a list of names."""


class _Named(Shape):
    """Base of what may be a name alone. `ALONE`: the key that the name stands for."""

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, data: object) -> object:
        return data if isinstance(data, dict) else {cls._alone(): data}

    @classmethod
    def _alone(cls) -> str:
        return "column"

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [_COLUMN_SCHEMA, handler(core)]}


class ColumnEntry(_Named):
    """A column: its name, or a mapping."""

    column: Column | None = None
    """Name of the column, and its field in the event."""
    name: Column | None = None
    """Name of the column, if its field has another one."""
    field: Path | None = None
    """Field in the event, or the path to it as a list: [address, city]."""

    @model_validator(mode="after")
    def _one_field(self) -> Self:
        if (self.column is None) == (self.field is None) or (self.name is not None and self.field is None):
            raise ValueError("a column has `column`, its name and field in one, or else `field` and `name`")
        if self.name is None and self.column is None and len("".join(self.field or ())) > 112:
            raise ValueError("a path that long needs a `name` beside it")
        return self

    @property
    def called(self) -> str:
        """The column's name; of a path without, its parts with points between them."""
        return self.column or self.name or ".".join(self.field or ())

    @property
    def at(self) -> FieldOf:
        """Its field."""
        return field_of(self.field or [self.called])


class BinaryEntry(ColumnEntry):
    """A column of two values: its name, or a mapping."""

    true: Annotated[str | None, BeforeValidator(_flag), WithJsonSchema(SINGLE_SCHEMA)] = None
    """The value that counts as 1, in any case; every other one is 0. Without it yes, y, true, t and 1 are 1."""


class CategoricalEntry(ColumnEntry):
    """A column of categories: its name, or a mapping."""

    as_: Literal["number"] | None = Field(None, alias="as")
    """`number`: the values are numbers, so that 1.0, 1 and 01 are one category."""


class FieldEntry(_Named):
    """A field of the event: its name, or a mapping with its path."""

    field: Path
    """Field in the event, or the path to it as a list: [output, score]."""

    @classmethod
    def _alone(cls) -> str:
        return "field"

    @property
    def at(self) -> FieldOf:
        """The field."""
        return field_of(self.field)


class TimestampEntry(FieldEntry):
    """The field of the event time: its name, or a mapping with its form."""

    unit: Literal["s", "ms", "us", "ns"] | None = None
    """Unit of times that are numbers since 1970."""
    format: TimeFormat | None = None
    """Format of times that are texts, with the directives of strptime: %d.%m.%Y %H:%M."""
    timezone: TimeZone | None = None
    """Time zone of times without offset, such as Europe/Berlin."""

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.unit is not None and self.format is not None:
            raise ValueError("`unit` is for times that are numbers, `format` for texts: leave out one of them")
        return self


def field_of(path: list[str]) -> FieldOf:
    """Return a field as the contract has it: one name is plain."""
    return path[0] if len(path) == 1 else tuple(path)


def _listed(value: object) -> object:
    return [value] if isinstance(value, dict) else value


ONE_OR_MORE = BeforeValidator(_listed)
"""A single mapping may stand without the brackets of a list."""


class ColumnsEntry(Shape):
    """The columns of a model by their role."""

    timestamp: TimestampEntry = TimestampEntry(field=["event_time"])
    """Field of the event time."""
    prediction: FieldEntry | None = None
    """Field of the prediction; rules call the column `prediction`."""
    probability: FieldEntry | None = None
    """Field of the probability; rules call the column `probability`."""
    id: FieldEntry | None = None
    """Field by which predictions and labels meet: a text or a whole number."""
    label: FieldEntry | None = None
    """Field of the label in the stream of labels; rules call the column `label`."""
    numerical: Annotated[list[ColumnEntry], ONE_OR_MORE] = Field(default_factory=list)
    binary: Annotated[list[BinaryEntry], ONE_OR_MORE] = Field(default_factory=list)
    """Columns of two values: 0 and 1, false and true, no and yes, or with {column: NAME, true: VALUE} any."""
    categorical: Annotated[list[CategoricalEntry], ONE_OR_MORE] = Field(default_factory=list)
    text: Annotated[list[ColumnEntry], ONE_OR_MORE] = Field(default_factory=list)
    """Watched by their length, as `NAME.length`."""
    arrays: Annotated[list[ColumnEntry], ONE_OR_MORE] = Field(default_factory=list)
    """Lists of numbers, watched as `NAME.length`, `NAME.mean` and `NAME.norm`."""
