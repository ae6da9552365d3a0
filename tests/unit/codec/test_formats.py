"""Values that name their format: another one is refused by its name, and nothing else passes either."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from monitor.codec.formats import decode_format
from monitor.errors import FormatError
from monitor.evaluate.reference import decode_reference
from monitor.ledger.position_records import decode_evaluate, decode_mark, decode_model, decode_profile
from monitor.panes.grid import decode_grid
from monitor.sources.reference_file import read_reference_file


class Point(msgspec.Struct, forbid_unknown_fields=True):
    format: str
    x: int


def decoded(value: bytes | str) -> Point:
    return decode_format(value, Point, "point/2", "point")


@pytest.mark.parametrize("value", ['{"format": "point/2", "x": 3}', b'{"x": 3, "format": "point/2"}'])
def test_a_value_of_the_format_is_read(value: bytes | str) -> None:
    """From text or bytes, wherever the format stands."""
    assert decoded(value) == Point("point/2", 3)


@pytest.mark.parametrize(
    "value",
    [
        '{"format": "point/1", "x": 3}',
        '{"format": "point/1"}',
        '{"format": "point/1", "x": "three"}',
        '{"format": "point/1", "x": 3, "y": [4, {"z": null}]}',
    ],
)
def test_another_format_is_refused_by_its_name(value: str) -> None:
    """Also if its fields are not those of today: what is wrong with it is the version, and not a field."""
    with pytest.raises(FormatError, match=r"^point has format 'point/1'; this version reads 'point/2'$"):
        decoded(value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "{",
        "[]",
        "{}",
        "null",
        '{"format": null, "x": 3}',
        '{"format": 2, "x": 3}',
        '{"format": "point/2"}',
        '{"format": "point/2", "x": 3.5}',
        '{"format": "point/2", "x": 3, "y": 4}',
        '{"format": "point/2", "x": 3} {}',
        b'{"format": "point/2", "x": 3, "\xff": 0}',
        b'{"format": "\xff", "x": 3}',
        '{"x": ' + "[" * 100_000,
    ],
)
def test_what_is_no_such_value_is_refused(value: bytes | str) -> None:
    """Cut, of another shape, without a format, no UTF-8 or nested without end: one error, which says what it is not."""
    with pytest.raises(FormatError, match=r"^not a point: "):
        decoded(value)


@pytest.mark.parametrize(
    ("decode", "what"),
    [
        (decode_profile, "position record"),
        (decode_evaluate, "position record"),
        (decode_model, "position record"),
        (decode_mark, "position record"),
        (decode_grid, "grid"),
        (lambda value: decode_reference(value.decode(), []), "reference"),
        (read_reference_file, "reference file"),
    ],
)
def test_every_format_of_ours_is_refused_in_one_line_if_it_is_another(
    decode: Callable[[bytes], object], what: str
) -> None:
    """A record of another release has other fields, too."""
    with pytest.raises(FormatError, match=rf"^{what} has format 'streamdrift\.other/0'; this version reads '.*'$"):
        decode(b'{"format": "streamdrift.other/0"}')
