"""Tables of the documentation that stand in the code: `python -m tests.tables` writes them into the pages.

Where a page has a line `<!-- table: evaluate/lifecycle.py state, answer, when -->` the table follows that stands in the
docstring of that file under these heads, made into Markdown. Heads may be left out from the end on, and what is not
named is not shown. A test holds the pages against the code.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = tuple(sorted((ROOT / "docs").glob("*.md")))
MARK = re.compile(r"(<!-- table: (?P<file>\S+) (?P<heads>[^\n]+) -->\n)(?:\|[^\n]*\n)*")
_TEXT = re.compile(r"\S+(?: \S+)*")


def rewritten(page: str) -> str:
    """The text of a page with its tables as the code has them now."""
    return MARK.sub(lambda found: found[1] + markdown(found["file"], found["heads"].split(", ")), page)


def markdown(file: str, heads: Sequence[str]) -> str:
    """The columns of these heads of a table in the docstring of a file below `monitor/`."""
    docstring = ast.get_docstring(ast.parse((ROOT / "monitor" / file).read_text(encoding="utf-8"))) or ""
    rows = _table(docstring.splitlines(), heads, file)
    lines = [heads, ["---"] * len(heads), *(row[: len(heads)] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _table(lines: Sequence[str], heads: Sequence[str], file: str) -> list[list[str]]:
    """The rows below the line that holds these heads. A line whose first cell is empty goes on with the row before."""
    rest = iter(lines)
    columns = next((found for line in rest if _begins_with(found := _columns(line), heads)), None)
    if columns is None:
        raise ValueError(f"the docstring of {file} has no table with the heads {', '.join(heads)}")
    starts = [column.start() for column in columns]
    rows: list[list[str]] = []
    for line in takewhile(str.strip, rest):
        ends = [*starts[1:], len(line)]
        cells = [line[start:end].strip() for start, end in zip(starts, ends, strict=True)]
        if cells[0]:
            rows.append(cells)
        else:
            rows[-1] = [f"{old} {new}".strip() for old, new in zip(rows[-1], cells, strict=True)]
    return rows


def _columns(line: str) -> list[re.Match[str]]:
    """The texts of a line that is indented; between two of them are two blanks at least."""
    return list(_TEXT.finditer(line)) if line.startswith("    ") else []


def _begins_with(columns: Sequence[re.Match[str]], heads: Sequence[str]) -> bool:
    return [column[0] for column in columns[: len(heads)]] == list(heads)


def main() -> None:
    """Write the tables into the pages."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        if (new := rewritten(text)) != text:
            page.write_text(new, encoding="utf-8")
            print(page.relative_to(ROOT), file=sys.stderr)


if __name__ == "__main__":
    main()
