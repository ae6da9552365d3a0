"""The pages of the documentation, cut into sections, tables, blocks and spans for the tests that keep them honest."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README, ARCHITECTURE = ROOT / "README.md", ROOT / "monitor" / "README.md"
ALERTS, INCIDENTS, MESSAGES, OPERATIONS, STATISTICS, YOUR_DATA = (
    ROOT / "docs" / f"{name}.md"
    for name in ("alerts-yaml", "incidents", "messages", "operations", "statistics", "your-data")
)
PAGES = [README, ARCHITECTURE, *sorted((ROOT / "docs").glob("*.md"))]

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


def spans(text: str) -> list[str]:
    """The code spans of a text, without its fenced blocks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE))


def section(page: Path, heading: str) -> str:
    """The text under a heading, up to the next one of any level."""
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", page.read_text(), re.DOTALL | re.MULTILINE)
    assert found is not None, f"{page.name} has no section {heading!r}"
    return found[1]


def rows(text: str) -> list[list[str]]:
    """The cells of all tables of a text, without their heads."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    body = [
        line
        for i, line in enumerate(lines)
        if not line.startswith("| ---") and "| ---" not in "".join(lines[i + 1 : i + 2])
    ]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in body]
