"""Tables that the pages show stand in the code: in the docstring, as the data below it is, and in the page as there."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, get_args

import pytest

from monitor.evaluate import incident_life, lifecycle
from monitor.ledger.entries import COMMANDS
from tests.tables import MARK, PAGES, markdown, rewritten
from tests.unit.pages import rows

SHOWN = {
    "evaluate/lifecycle.py",
    "evaluate/incident_life.py",
    "evaluate/silences.py",
    "ledger/commands.py",
    "runner/command_desk.py",
}
"""Files whose tables are shown."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_tables_of_a_page_are_those_of_the_code(page: Path) -> None:
    """Else: python -m tests.tables."""
    text = page.read_text(encoding="utf-8")
    assert rewritten(text) == text


def test_all_of_them_are_shown() -> None:
    assert {found["file"] for page in PAGES for found in MARK.finditer(page.read_text(encoding="utf-8"))} == SHOWN


@pytest.mark.parametrize(
    ("file", "heads", "table"),
    [
        ("evaluate/lifecycle.py", ("state", "answer", "when", "next", "says"), lifecycle.TABLE),
        ("evaluate/incident_life.py", ("state", "event", "when", "next", "says"), incident_life.TABLE),
    ],
)
def test_a_life_goes_as_its_table_says(file: str, heads: tuple[str, ...], table: Mapping[Any, Any]) -> None:
    """Of each state and event: where it leads, what it says and, if something is waited for, what holds otherwise."""
    found = [row for row in rows(markdown(file, heads)) if row[0] != "any"]
    written = {}
    for key, group in groupby(found, key=lambda row: (row[0], row[1])):
        first, *otherwise = group
        written[key] = first[3], first[4], [(row[2], row[3], row[4]) for row in otherwise]
    expected = {}
    for key, row in table.items():
        expected[key] = row.next, row.says or "", [("otherwise", row.until, "")] if _waits(row, written[key]) else []
    assert written == expected


def _waits(row: Any, written: tuple[str, str, list[Any]]) -> bool:
    """A row that waits and forgets what comes too late has no line for that."""
    return row.wait is not None and not (row.wait == "reopen_within" and not written[2])


def test_every_kind_of_command_is_in_both_tables() -> None:
    asked = {row[0] for row in rows(markdown("ledger/commands.py", ["command", "asks for"]))}
    refused = {row[0] for row in rows(markdown("runner/command_desk.py", ["command", "refused if"]))}
    assert asked == set(COMMANDS)
    assert refused == {*COMMANDS, "all"}


def test_a_table_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match=r"silences\.py has no table with the heads from, to"):
        markdown("evaluate/silences.py", ["from", "to"])


def test_the_states_of_an_alert_are_all_in_its_table() -> None:
    assert {state for state, _ in lifecycle.TABLE} == set(get_args(lifecycle.State))
