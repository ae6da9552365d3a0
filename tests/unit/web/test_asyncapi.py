"""The AsyncAPI document: as the code makes it, of all messages and commands, and nothing in it leads nowhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import fastjsonschema
import msgspec
import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from monitor.cli.main import app
from monitor.codec.cloud_events import MessageType
from monitor.ledger import commands
from monitor.ledger.commands import Accept, Acknowledge, Command, Expire, Matcher, Rebuild, Request, Silence
from monitor.ledger.ledger_topics import LedgerTopics
from monitor.runner.topics import our_topics
from monitor.web.asyncapi import CHANNELS, asyncapi
from tests.unit.pages import MESSAGES, rows, section

FILE = Path(commands.__file__).parents[1] / "schema" / "asyncapi.yaml"
DOCUMENT: dict[str, Any] = YAML(typ="safe").load(asyncapi())
REQUESTS: tuple[Request, ...] = (
    Rebuild(),
    Silence((Matcher("column", "=~", "a.*"),), "late", lasts_ms=1000),
    Silence((), "late", start=1, end=2),
    Expire("89967e18"),
    Accept("as it is now", start=1, end=2, stream="features"),
    Acknowledge("5b0c7e0c5b2d1a44", "late"),
)
"""One of each form."""


def test_the_file_is_what_the_code_makes() -> None:
    """Else: streamdrift schema --asyncapi > monitor/schema/asyncapi.yaml."""
    assert FILE.read_text(encoding="utf-8") == asyncapi()


def test_the_command_prints_it_and_takes_no_name_beside_it() -> None:
    runner = CliRunner()
    assert runner.invoke(app, ["schema", "--asyncapi"]).output == asyncapi()
    refused = runner.invoke(app, ["schema", "alert-v1", "--asyncapi"])
    assert "name none with --asyncapi" in str(refused.exception)


def test_every_type_is_in_the_topic_that_the_page_names() -> None:
    """`firing` holds some of those of `alerts` once more."""
    shown = {cells[0].strip("`"): cells[2].strip("`") for cells in rows(section(MESSAGES, "Messages"))}
    found = {kind: channel.name for channel in CHANNELS if channel.name != "firing" for kind in channel.types}
    assert found == shown
    assert set(found) == set(get_args(MessageType))


def test_every_channel_is_a_topic_of_ours() -> None:
    """Those that are left out are between our own processes."""
    ours = our_topics(LedgerTopics("", 1), (), lambda _: 1)
    assert ours.keys() - {channel.name for channel in CHANNELS} == {"ledger", "positions", "decisions", "state"}


def test_every_reference_leads_somewhere() -> None:
    found = list(references(DOCUMENT))
    assert len(found) > 20
    for path in found:
        node = DOCUMENT
        for part in path.removeprefix("#/").split("/"):
            node = node[part]


def references(node: object) -> Iterator[str]:
    """All `$ref` below a node."""
    if isinstance(node, dict):
        for name, child in node.items():
            if name == "$ref":
                yield child
            else:
                yield from references(child)
    elif isinstance(node, list):
        for child in node:
            yield from references(child)


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda one: type(one).__name__)
def test_commands_fit_their_schema(request_: Request) -> None:
    """Each as it is written, and none without its author."""
    validate = fastjsonschema.compile({"$ref": "#/components/schemas/Command", **DOCUMENT}, use_default=False)
    content = json.loads(msgspec.json.encode(Command("m", request_, "me", 1, "n", "c", "sd.")))
    validate(content)
    del content["author"]
    with pytest.raises(fastjsonschema.JsonSchemaValueException):
        validate(content)


def test_there_is_a_command_of_every_kind() -> None:
    assert {type(one) for one in REQUESTS} == set(get_args(Request))
