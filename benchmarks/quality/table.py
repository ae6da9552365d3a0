"""The table of the scoreboard, and its JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.quality.cases import Outcome
from benchmarks.quality.parts import Line
from benchmarks.quality.scoring import periodic


@dataclass(frozen=True)
class Scored:
    """A line with its figures. `others`: by contestant, the periodic alarm first. `why`: why ours has none."""

    part: str
    label: str
    target: str
    ours: float | None
    is_met: bool | None
    others: dict[str, float | None]
    cases: int
    rows: int
    why: str = ""

    @staticmethod
    def of(line: Line, own: list[Outcome] | str, others: Mapping[str, list[Outcome] | str]) -> Scored:
        """Take the figures of a line's outcomes."""
        target = "" if line.target is None else f"{'≤' if line.most else '≥'} {line.target:,g}"
        beside = {name: None if isinstance(one, str) else line.measure(one) for name, one in others.items()}
        if isinstance(own, str):
            return Scored(line.part, line.label, target, None, None, beside, 0, 0, own)
        value = line.measure(own)
        if not line.is_of_pages:
            beside = {"periodic": line.measure(periodic(own)), **beside}
        is_met, rows = None if value is None else line.is_met(value), sum(one.rows for one in own)
        why = "messages do not say it" if value is None else ""
        return Scored(line.part, line.label, target, value, is_met, beside, len(own), rows, why)


def show(scored: Sequence[Scored]) -> None:
    """Print all lines, and why some have no figure."""
    others = list(dict.fromkeys(name for one in scored for name in one.others))
    table = Table("part", "what", "cases", "rows", "target", "ours", "", *others)
    before = ""
    for one in scored:
        if before not in ("", one.part):
            table.add_section()
        before = one.part
        met = {True: "met", False: "MISSED", None: ""}[one.is_met]
        cells = (number(one.ours), met, *(number(one.others.get(name)) for name in others))
        table.add_row(one.part, one.label, str(one.cases), f"{one.rows:,}", one.target, *cells)
    console = Console(highlight=False, width=200)
    console.print(table)
    for why in dict.fromkeys(f"{one.part}: {one.why}" for one in scored if one.why):
        console.print(f"n/a  {why}", markup=False)


def number(value: float | None) -> str:
    """A figure, short."""
    if value is None:
        return "n/a"
    return "never" if value == inf else f"{value:,.3g}" if abs(value) < 100 else f"{value:,.0f}"


def write(scored: Sequence[Scored], file: Path) -> None:
    """Write all lines; what is never found is null, as what has no figure is."""

    def plain(value: float | None) -> float | None:
        return None if value == inf else value

    rows = [asdict(one) for one in scored]
    for row in rows:
        row["ours"] = plain(row["ours"])
        row["others"] = {name: plain(value) for name, value in row["others"].items()}
    file.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
