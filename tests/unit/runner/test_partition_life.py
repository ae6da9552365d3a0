"""The life of an input partition: its table is the one of the docstring, and whole."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from monitor.runner import partition_life
from monitor.runner.partition_life import RIGHTS, TABLE, Event, PartitionLife, State

DOC = partition_life.__doc__ or ""
STATES, EVENTS = get_args(State), get_args(Event)


def rows_of_docstring() -> set[tuple[str, str, str]]:
    """Those of the first table, with the rows that "as reading" stands for."""
    text = DOC.split("An event that")[0]
    found = {m.groups() for m in re.finditer(r"^ {4}(\w+) +(\w+) +(\w+)\b", text, re.M) if m[1] in STATES}
    own = {(a, e, b) for a, e, b in found if a in STATES and e in EVENTS and b in STATES}
    as_reading = re.findall(r"^ {4}(\w+) +as reading", text, re.M)
    return own | {(state, event, to) for state in as_reading for start, event, to in own if start == "reading"}


def test_the_docstring_draws_the_table() -> None:
    """Every row stands in both."""
    assert rows_of_docstring() == {(a, e, b) for a, row in TABLE.items() for e, b in row.items()}


def test_the_docstring_lists_the_rights() -> None:
    """Every state, with what it may do."""
    drawn = {
        m[1]: tuple(word == "yes" for word in m[2].split())
        for m in re.finditer(r"^ {4}(\w+) +((?:(?:yes|-) +){4}(?:yes|-))", DOC, re.M)
    }
    assert drawn == {state: tuple(rights) for state, rights in RIGHTS.items()}
    assert set(drawn) == set(STATES)


def test_every_state_is_reached_and_every_event_has_a_row() -> None:
    """From the two states in which a life begins; only what is dropped is left by nothing."""
    reached = {"unnamed", "again"}
    while more := {to for state in reached for to in TABLE[state].values()} - reached:  # type: ignore[index]  # states
        reached |= more
    assert reached == set(STATES) == set(TABLE)
    assert {event for row in TABLE.values() for event in row} == set(EVENTS)
    assert [state for state in STATES if not TABLE[state]] == ["stale"]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("event", EVENTS)
def test_what_has_no_row_changes_nothing(state: State, event: Event) -> None:
    """Nothing raises, whatever is met when."""
    life = PartitionLife(state)
    life.meet(event)
    assert life.state == TABLE[state].get(event, state)
    assert life.may == RIGHTS[life.state]


def test_nothing_is_published_or_reported_as_still_before_it_is_committed_where_it_began() -> None:
    """What publishes also commits, and only what reads freely writes heartbeats."""
    assert all(rights.commit for rights in RIGHTS.values() if rights.publish)
    assert [state for state, rights in RIGHTS.items() if rights.beat] == ["reading"]
    assert {to for state in ("unnamed", "fresh", "again", "undone") for to in TABLE[state].values()} == {
        "fresh",
        "held",
        "stale",
    }
