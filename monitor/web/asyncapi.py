"""The AsyncAPI document: the topics of ours that others read or write, and what their messages hold.

It is made of the shipped JSON schemas of messages and of the class of commands; beside these it says only which topic
carries what, in CHANNELS.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
from ruamel.yaml import YAML

from monitor.codec.cloud_events import SCHEMAS, MessageType
from monitor.ledger.commands import SIGNATURE, Command
from monitor.web.schemas import message_schemas

_SCHEMAS = "#/components/schemas/"
Node = dict[str, object]


@dataclass(frozen=True)
class Channel:
    """A topic, by its name without prefix. `key`: of its records. `types`: of its messages; none of `commands`."""

    name: str
    what: str
    key: str
    types: Sequence[MessageType] = ()

    @property
    def action(self) -> Literal["send", "receive"]:
        """What the service does there."""
        return "send" if self.types else "receive"

    @property
    def messages(self) -> Sequence[str]:
        """The names of its messages."""
        return self.types or (COMMAND,)


COMMAND = "command"
_INCIDENTS: tuple[MessageType, ...] = (
    "streamdrift.incident.opened.v1",
    "streamdrift.incident.updated.v1",
    "streamdrift.incident.reopened.v1",
    "streamdrift.incident.closed.v1",
)
CHANNELS = (
    Channel(
        "alerts",
        "Alerts that began to fire, changed, or were resolved, and notices.",
        "The fingerprint.",
        (
            "streamdrift.alert.firing.v1",
            "streamdrift.alert.updated.v1",
            "streamdrift.alert.resolved.v1",
            "streamdrift.notice.v1",
        ),
    ),
    Channel(
        "incidents",
        "Alerts that are one problem, from when it is opened until it closes.",
        "The incident.",
        _INCIDENTS,
    ),
    Channel(
        "firing",
        "What fires now: the newest message of each alert that fires and each incident that is open, a tombstone when "
        "it ends. Compacted.",
        "The fingerprint, or the incident.",
        ("streamdrift.alert.firing.v1", "streamdrift.alert.updated.v1", *_INCIDENTS[:-1]),
    ),
    Channel("retraining", "Requests for training.", "The model.", ("streamdrift.retraining.requested.v1",)),
    Channel(
        "observations",
        "All series of every closed window, and how far each stream is on its way to be judged.",
        "Model, segment, stream and window, with a / between them.",
        ("streamdrift.observation.v1", "streamdrift.lane.v1"),
    ),
    Channel("commands", "What people ask for.", "The model."),
)


def asyncapi() -> str:
    """Return the document as YAML."""
    yaml, text = YAML(), io.StringIO()
    yaml.default_flow_style = False
    yaml.width = 120
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.dump(_document(), text)
    return text.getvalue()


def _document() -> Node:
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Streamdrift",
            "version": "v1",
            "description": "What Streamdrift publishes on Kafka, and what it takes from people. "
            "Read with isolation.level=read_committed.",
        },
        "defaultContentType": "application/json",
        "channels": {channel.name: _channel(channel) for channel in CHANNELS},
        "operations": {f"{channel.action}_{channel.name}": _operation(channel) for channel in CHANNELS},
        "components": {
            "messages": {**{name: _event(name, schema) for name, schema in SCHEMAS.items()}, COMMAND: _command()},
            "schemas": _schemas(),
            "parameters": {"prefix": {"default": "streamdrift.", "description": "STREAMDRIFT_PREFIX"}},
        },
    }


def _channel(channel: Channel) -> Node:
    return {
        "address": f"{{prefix}}{channel.name}",
        "description": f"{channel.what} Key: {channel.key[0].lower()}{channel.key[1:]}",
        "parameters": {"prefix": {"$ref": "#/components/parameters/prefix"}},
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in channel.messages},
    }


def _operation(channel: Channel) -> Node:
    return {"action": channel.action, "channel": {"$ref": f"#/channels/{channel.name}"}}


def _event(name: str, schema: str) -> Node:
    data = {"properties": {"type": {"const": name}, "data": {"$ref": _SCHEMAS + schema}}}
    return {"name": name, "payload": {"allOf": [{"$ref": f"{_SCHEMAS}event-v1"}, data]}}


def _command() -> Node:
    signed = {"type": "string", "description": "HMAC with SHA-256 of the value, in hex, if the service has a key."}
    return {
        "name": COMMAND,
        "headers": {"type": "object", "properties": {SIGNATURE: signed}},
        "payload": {"$ref": _SCHEMAS + Command.__name__},
    }


def _schemas() -> Node:
    """The shipped schemas, with references that lead to where they stand here, and those of commands."""
    found: Node = {}
    for name, text in message_schemas().items():
        schema = json.loads(text.replace('"#/', f'"{_SCHEMAS}{name}/'))
        found[name] = {key: value for key, value in schema.items() if key not in ("$schema", "$id")}
    _, commands = msgspec.json.schema_components([Command], ref_template=_SCHEMAS + "{name}")
    return found | {name: _plain(schema) for name, schema in sorted(commands.items())}


def _plain(node: object) -> object:
    """A schema without what AsyncAPI does not know, its descriptions as one line each."""
    if isinstance(node, list):
        return [_plain(child) for child in node]
    if not isinstance(node, dict):
        return node
    kept = {name: _plain(child) for name, child in node.items() if name != "discriminator"}
    is_text = isinstance(kept.get("description"), str)
    return kept | ({"description": " ".join(str(kept["description"]).split())} if is_text else {})
