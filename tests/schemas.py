"""Every message that a test run makes is held against the JSON schemas that are shipped.

The schemas are closed here: a field that none of them lists is refused, though consumers have to pass over it.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import fastjsonschema
import msgspec

from monitor.web.schemas import message_schemas


def check_message(value: bytes) -> dict[str, Any]:
    """The message, if envelope and data fit their schemas; raises JsonSchemaValueException."""
    event: dict[str, Any] = msgspec.json.decode(value)
    _validator("event-v1")(event)
    _validator(Path(event["dataschema"]).stem)(event["data"])
    return event


@cache
def _validator(name: str) -> Any:
    schema = json.loads(message_schemas()[name])
    _close(schema)
    return fastjsonschema.compile(schema, use_default=False)


def _close(node: Any) -> None:
    if isinstance(node, dict):
        if "properties" in node:
            node.setdefault("additionalProperties", False)
        for child in node.values():
            _close(child)
    elif isinstance(node, list):
        for child in node:
            _close(child)
