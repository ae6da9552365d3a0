"""What a file holds, by its first bytes and never by its name: a table, lines or an array of events, or neither."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import pyarrow as pa

from monitor.errors import ConfigurationError

Kind = Literal["parquet", "orc", "arrow file", "arrow stream", "csv", "lines", "array"]
SAMPLE: Final = 1 << 18
"""Bytes at the beginning that are looked at."""

_BINARY: Final[tuple[tuple[bytes, Kind], ...]] = (
    (b"PAR1", "parquet"),
    (b"ORC", "orc"),
    (b"ARROW1", "arrow file"),
    (b"\xff\xff\xff\xff", "arrow stream"),
)
_COMPRESSED: Final = ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"BZh", "bz2"))
_REFUSED: Final = (
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook (.xlsx)", "save the sheet as CSV, or unpack the archive"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook (.xls)", "save the sheet as CSV"),
    (b"PARE", "an encrypted Parquet file", "write it without encryption"),
    (b"FEA1", "a Feather file of version 1", "write it as version 2, or as Parquet"),
    (b"SQLite format 3", "a SQLite database", "export the table as CSV"),
    (b"\x89HDF", "an HDF5 file", "write the table as Parquet or CSV"),
    (b"Obj\x01", "an Avro file", "write it as Parquet or as lines of JSON"),
    (b"\xfd7zXZ", "compressed with xz", "unpack it, or compress it with gzip, zstd or bzip2"),
    (b"\x04\x22\x4d\x18", "compressed with lz4", "unpack it, or compress it with gzip, zstd or bzip2"),
    (b"%PDF", "a PDF document", "write the table as Parquet or CSV"),
    (b"\x80\x04\x95", "a Python pickle", "write the table as Parquet or CSV"),
)
UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
_ARRAY: Final = re.compile(rb"\[\s*[{\]]")


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds, and how it is compressed. `sample`: its beginning, unpacked."""

    path: Path
    kind: Kind
    compression: str | None
    sample: bytes

    @property
    def is_table(self) -> bool:
        return self.kind not in ("lines", "array")


@contextmanager
def named(path: Path) -> Iterator[None]:
    """What can't be read raises a ConfigurationError that names the file."""
    try:
        yield
    except (pa.ArrowException, OSError, EOFError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())
        raise ConfigurationError(f"{path}: {why}") from error


def content_of(path: Path) -> Content:
    """Look at a file's beginning; a file that can't be read here is refused, with what to do."""
    if path.is_dir():
        raise ConfigurationError(f"{path}: is a folder; name the files in it")
    with named(path), path.open("rb") as file:
        sample = file.read(SAMPLE)
    compression = next((name for magic, name in _COMPRESSED if sample.startswith(magic)), None)
    if compression is not None:
        with named(path), opened(path, compression) as unpacked:
            sample = unpacked.read(SAMPLE)
    for magic, what, remedy in _REFUSED:
        if sample.startswith(magic):
            raise ConfigurationError(f"{path}: is {what}, which can't be read; {remedy}")
    kind = _kind(path, sample)
    if compression is not None and kind in dict(_BINARY).values():
        raise ConfigurationError(f"{path}: {kind} within {compression}, which can't be read; unpack it first")
    return Content(path, kind, compression, sample)


def opened(path: Path, compression: str | None) -> io.BufferedReader:
    """The file's bytes, unpacked."""
    if compression is None:
        return path.open("rb")
    # pyarrow's streams have what a raw file has
    return io.BufferedReader(pa.CompressedInputStream(pa.OSFile(str(path)), compression))


def _kind(path: Path, sample: bytes) -> Kind:
    for magic, kind in _BINARY:
        if sample.startswith(magic):
            return kind
    text = sample.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text:
        raise ConfigurationError(f"{path}: is empty")
    if text.startswith(b"{"):
        return "lines"
    if _ARRAY.match(text):
        return "array"
    if b"\0" in sample and not sample.startswith(UTF16):
        raise ConfigurationError(f"{path}: is not Parquet, Feather, ORC, CSV or JSON; write the table as one of these")
    return "csv"
