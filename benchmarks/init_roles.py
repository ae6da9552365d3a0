"""Columns to which `streamdrift init` gives the right role, by table: of public streams, and of tables that are made.

    python benchmarks/init_roles.py [--data DIR] [--json FILE]

DIR holds the public streams whose roles `init_roles.yaml` has, as NAME.parquet; what is not there is left out, by name.
The other tables are those of the tests, whose roles stand beside them. It ends with 1 if fewer than 95 % are right.
"""

from __future__ import annotations

import json as jsonlib
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.table import Table as Shown
from ruamel.yaml import YAML

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a script's path lacks the checkout

from monitor.inference.roles import Role, roles_of
from monitor.inference.sample import sample_of_files
from tests.unit.inference.tables import TABLES

KNOWN: Final = Path(__file__).parent / "init_roles.yaml"
WANTED: Final = 0.95
"""Share of the columns that are to be right."""


class Compared(msgspec.Struct, frozen=True):
    """One table. `wrong`: what init says, and what is right, by column."""

    table: str
    columns: int
    wrong: dict[str, tuple[str, str]]

    @property
    def right(self) -> int:
        """Columns with the role that was written down."""
        return self.columns - len(self.wrong)


def known_roles() -> dict[str, dict[str, Role]]:
    """Column -> role, by public stream."""
    written: dict[str, dict[Role, list[str]]] = YAML(typ="safe").load(KNOWN.read_text())
    return {
        table: {column: role for role, names in by_role.items() for name in names for column in _each(name)}
        for table, by_role in written.items()
    }


def _each(name: str) -> Iterator[str]:
    """The columns that one name stands for.

    >>> list(_each("f9..f11")), list(_each("age"))
    (['f9', 'f10', 'f11'], ['age'])
    """
    if (span := re.fullmatch(r"(\D+)(\d+)\.\.\1(\d+)", name)) is None:
        yield name
    else:
        yield from (f"{span[1]}{n}" for n in range(int(span[2]), int(span[3]) + 1))


def compare(table: str, file: Path, known: Mapping[str, Role]) -> Compared:
    """Infer the roles of a file's columns, and compare each with the one that is known."""
    found = {decision.name: decision.role for decision in roles_of(sample_of_files(str(file)))}
    if found.keys() != known.keys():
        raise AssertionError(f"{table}: roles are written down for other columns than {', '.join(found)}")
    wrong: dict[str, tuple[str, str]] = {n: (found[n], known[n]) for n in found if found[n] != known[n]}
    return Compared(table, len(found), wrong)


def run(data: Path | None) -> tuple[list[Compared], list[str]]:
    """Compare all tables; and name the public streams that are not there."""
    compared, absent = [], []
    for name, known in known_roles().items():
        file = None if data is None else data / f"{name}.parquet"
        if file is not None and file.exists():
            compared.append(compare(name, file, known))
        else:
            absent.append(name)
    with tempfile.TemporaryDirectory() as folder:
        compared += [compare(table.name, table.file(Path(folder)), table.roles) for table in TABLES]
    return compared, absent


def main(
    data: Annotated[Path | None, typer.Option(help="Folder of the public streams.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    """Columns whose role `streamdrift init` finds."""
    compared, absent = run(data)
    shown = Shown("table", "columns", "right", "wrong (what is right)")
    for one in compared:
        wrong = ", ".join(f"{name}: {found} ({right})" for name, (found, right) in one.wrong.items())
        shown.add_row(one.table, str(one.columns), str(one.right), wrong)
    columns, right = sum(one.columns for one in compared), sum(one.right for one in compared)
    console = Console()
    console.print(shown)
    if absent:
        console.print(f"left out, for the file is not there: {', '.join(absent)}")
    console.print(f"{right} of {columns} columns are right: {right / columns:.1%}, wanted {WANTED:.0%}")
    if json is not None:
        json.write_text(jsonlib.dumps([msgspec.to_builtins(one) for one in compared], indent=2) + "\n")
    raise typer.Exit(int(right < WANTED * columns))


if __name__ == "__main__":
    typer.run(main)
