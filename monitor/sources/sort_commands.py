"""The command that sorts a file by its times: for people whose file is too large to be sorted while it is read."""

from __future__ import annotations

import csv
import io
import re
import shlex
from typing import Final

from monitor.contract import Field, path_of
from monitor.sources.file_content import UTF16, Content, Kind

_UNPACK: Final = {None: "cat", "gzip": "gzip -cd", "zstd": "zstd -cdq", "bz2": "bzip2 -cd"}
_PYTHON: Final[dict[Kind, tuple[str, str]]] = {
    "parquet": (
        "import pyarrow.parquet as p; p.write_table(p.read_table({file!r}).sort_by({field!r}), {out!r})",
        "sorted.parquet",
    ),
    "orc": (
        "import pyarrow.orc as p; p.write_table(p.read_table({file!r}).sort_by({field!r}), {out!r})",
        "sorted.orc",
    ),
    "arrow file": (
        "import pyarrow.feather as p; p.write_feather(p.read_table({file!r}).sort_by({field!r}), {out!r})",
        "sorted.feather",
    ),
    "arrow stream": (
        "import pyarrow as a, pyarrow.feather as p; "
        "p.write_feather(a.ipc.open_stream({file!r}).read_all().sort_by({field!r}), {out!r})",
        "sorted.feather",
    ),
}
"""Programs that name the file."""
_PIPED: Final[dict[Kind, tuple[str, str]]] = {
    "lines": (
        "import json, sys; rows = map(str.strip, sys.stdin); "
        "print(*sorted(rows, key=lambda row: str(json.loads(row){keys}).rstrip({z!r})), sep={end!r})",
        "sorted.jsonl",
    ),
    "array": (
        "import json, sys; json.dump("
        "sorted(json.load(sys.stdin), key=lambda row: str(row{keys}).rstrip({z!r})), sys.stdout)",
        "sorted.json",
    ),
    "csv": (
        "import csv, sys; rows = csv.reader(sys.stdin, delimiter={sep!r}); out = csv.writer(sys.stdout, "
        "delimiter={sep!r}); out.writerow(next(rows)); "
        "out.writerows(sorted(rows, key=lambda row: row[{place}].rstrip({z!r})))",
        "sorted.csv",
    ),
}
"""Programs that read the file's bytes from standard input."""
_NUMBER = re.compile(r"\s*-?\d+(\.\d+)?\s*")


def sort_command(content: Content, time_field: Field, sep: str) -> str:
    """Return a command of a shell. `time_field`: of the times; `sep`: what separates the columns of a CSV file."""
    field, keys = path_of(time_field)[0], "".join(f"[{name!r}]" for name in path_of(time_field))
    file = shlex.quote(str(content.path))
    if content.kind in _PYTHON:
        program, out = _PYTHON[content.kind]
        return f"python -c {shlex.quote(program.format(file=str(content.path), field=field, out=out))}"
    unpack = f"{_UNPACK[content.compression]} {file}"
    place = 0
    if content.kind == "csv":
        is_utf16 = content.sample.startswith(UTF16)
        unpack += " | iconv -f UTF-16 -t UTF-8" if is_utf16 else ""
        text = content.sample.decode("utf-16" if is_utf16 else "utf-8", "replace").removeprefix("\ufeff")
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=sep))
        place = rows[0].index(field)
        times = [row[place] for row in rows[1:-1] if len(row) > place]
        # a cell in quotes may hold the separator; and Z comes behind the decimals that another time has
        if '"' not in text and not ("Z" in times[0] and len(set(map(len, times))) > 1):
            flags = "-s -n" if _NUMBER.fullmatch(times[0]) else "-s"
            sort = f"LC_ALL=C sort {flags} -t {shlex.quote(sep)} -k {place + 1},{place + 1}"
            return f"{unpack} | (IFS= read -r names; printf '%s\\n' \"$names\"; {sort}) > sorted.csv"
    program, out = _PIPED[content.kind]
    filled = program.format(keys=keys, sep=sep, place=place, z="Z", end="\n")
    return f"{unpack} | python -c {shlex.quote(filled)} > {out}"
