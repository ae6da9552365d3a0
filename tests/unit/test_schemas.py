"""The JSON schemas of messages: shipped, closed against surprises in tests, and true of what the pages show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import fastjsonschema
import pytest

from monitor.codec.cloud_events import SCHEMAS, MessageType
from monitor.web.pages import pages_of
from monitor.web.schemas import FOLDER, message_schemas
from tests.schemas import check_message
from tests.unit.pages import MESSAGES, blocks, rows, section

EXAMPLES = [block for block in blocks(MESSAGES, "json") if '"specversion"' in block]


def test_every_type_has_a_schema_that_is_shipped_and_explained() -> None:
    """The table of the page is the list of the code; the envelope's schema is the one that no type names."""
    assert set(SCHEMAS) == set(get_args(MessageType))
    assert {path.stem for path in FOLDER.glob("*.json")} == {*SCHEMAS.values(), "event-v1"}
    shown = {cells[0].strip("`"): cells[1].strip("`") for cells in rows(section(MESSAGES, "Messages"))}
    assert shown == SCHEMAS


def test_the_envelope_lists_all_types_and_schemas() -> None:
    properties = json.loads((FOLDER / "event-v1.json").read_text())["properties"]
    assert set(properties["type"]["enum"]) == set(SCHEMAS)
    assert set(properties["dataschema"]["enum"]) == {f"/schemas/{name}.json" for name in SCHEMAS.values()}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_a_schema_names_itself(path: Path) -> None:
    """`dataschema` is its `$id`."""
    assert json.loads(path.read_text())["$id"] == f"/schemas/{path.name}"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: json.loads(example)["type"])
def test_the_examples_of_the_page_fit_their_schemas(example: str) -> None:
    check_message(example.encode())


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 2


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("data", "labels", "alertname"), 3),
        (("data", "extra"), 1),
        (("extra",), 1),
        (("time",), "2026-11-21 10:40"),
        (("data", "text"), None),
    ],
)
def test_what_does_not_fit_is_refused(path: tuple[str, ...], value: object) -> None:
    """The check of the tests sees it: another type, a field that is not listed, a time in another form."""
    event = next(json.loads(example) for example in EXAMPLES if "notice" in example)
    node = event
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    with pytest.raises(fastjsonschema.JsonSchemaValueException):
        check_message(json.dumps(event).encode())


@pytest.mark.parametrize("schema", sorted(SCHEMAS.values()))
def test_dataschema_names_a_page_of_the_service(schema: str) -> None:
    """Relative to the base of links: the supervisor answers there with the schema that is shipped."""
    page = pages_of(list, list)[f"/schemas/{schema}.json"]()
    assert (page.status, page.content_type) == (200, "application/schema+json")
    assert page.text == message_schemas()[schema]
