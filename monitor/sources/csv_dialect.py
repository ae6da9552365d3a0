"""How a CSV file is written: encoding, separator, decimal sign; found in its beginning, or given."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from monitor.errors import ConfigurationError
from monitor.sources.file_content import SAMPLE, Content, named, opened

SEPARATORS: Final = (",", ";", "\t", "|")
_NAMES: Final = {"tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
_ROWS: Final = 1000
"""Rows of the sample that the decimal sign is looked for in."""
_CHUNK: Final = 1 << 20
_POINT = re.compile(r"\s*[+-]?\d*\.\d+([eE][+-]?\d+)?\s*")
_COMMA = re.compile(r"\s*[+-]?\d*,\d+([eE][+-]?\d+)?\s*")


@dataclass(frozen=True, slots=True)
class CsvFlags:
    """What `--csv` says; None: to be found."""

    sep: str | None = None
    decimal: str | None = None


FOUND: Final = CsvFlags()
"""All is to be found in the file."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one file is written. `names`: its header; `is_empty`: there is nothing behind it."""

    encoding: str
    sep: str
    decimal: str
    names: tuple[str, ...]
    is_empty: bool = False
    notes: tuple[str, ...] = ()


def parse_csv_flags(text: str | None) -> CsvFlags:
    """Return the flag's parts.

    >>> parse_csv_flags("sep=;,decimal=,")
    CsvFlags(sep=';', decimal=',')
    >>> parse_csv_flags("sep=tab")
    CsvFlags(sep='\\t', decimal=None)
    """
    flags = CsvFlags()
    rest = text or ""
    while rest:
        found = re.match(r"(sep|decimal)=(tab|comma|semicolon|pipe|.)(?:,|$)", rest)
        if found is None:
            raise ConfigurationError(f"--csv {text}: write sep=;,decimal=, (one character or tab each)")
        value = _NAMES.get(found[2], found[2])
        flags = replace(flags, **{found[1]: value})
        rest = rest[found.end() :]
    if flags.decimal not in (None, ".", ","):
        raise ConfigurationError(f"--csv decimal={flags.decimal}: is . or ,")
    if flags.sep is not None and (flags.sep == flags.decimal or flags.sep in '"\r\n' or not flags.sep.isascii()):
        raise ConfigurationError(f"--csv {text}: this can't separate columns")
    return flags


def dialect_of(content: Content, wanted: Collection[str], flags: CsvFlags) -> Dialect:
    """How a file is written. `wanted`: names of columns, of which the right separator shows most in the header."""
    encoding = _encoding(content)
    text = content.sample.decode(encoding, "replace").removeprefix("\ufeff")
    seps = SEPARATORS if flags.sep is None else (flags.sep,)
    headers = {sep: _rows(text, sep, 1) for sep in seps}
    found = {sep: tuple(rows[0]) if rows else () for sep, rows in headers.items()}
    sep = max(seps, key=lambda one: (len(set(wanted) & set(found[one])), len(found[one])))
    notes = ("not UTF-8: read as Latin-1",) if encoding == "latin-1" else ()
    is_empty = len(content.sample) < SAMPLE and len(_rows(text, sep, 2)) < 2
    return Dialect(encoding, sep, flags.decimal or _decimal(text, sep), found[sep], is_empty, notes)


def _encoding(content: Content) -> str:
    if content.sample.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    decoder = codecs.getincrementaldecoder("utf-8")()
    with named(content.path), opened(content.path, content.compression) as file:
        try:
            while chunk := file.read(_CHUNK):  # to the end: one letter far behind tells
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "latin-1"
    return "utf-8"


def _decimal(text: str, sep: str) -> str:
    """A comma if it does not separate, numbers have one, and no number has a point."""
    if sep == ",":
        return "."
    cells = [cell for row in _rows(text, sep, _ROWS)[1:] for cell in row]
    has_comma = any(map(_COMMA.fullmatch, cells))
    return "," if has_comma and not any(map(_POINT.fullmatch, cells)) else "."


def _rows(text: str, sep: str, most: int) -> Sequence[list[str]]:
    """The first rows of the sample, without empty lines."""
    try:
        return list(islice((row for row in csv.reader(io.StringIO(text, newline=""), delimiter=sep) if row), most))
    except csv.Error:
        return []
