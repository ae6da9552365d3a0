"""Every message that a test run makes fits the JSON schemas that are shipped, and the CloudEvents SDK reads it.

The schemas are closed here: a field that none of them lists is refused, though consumers have to pass over it.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import fastjsonschema
import msgspec
from cloudevents.core.formats.json import JSONFormat

from monitor.web.schemas import message_schemas


def check_message(value: bytes) -> dict[str, Any]:
    """The message, if envelope and data fit their schemas; raises JsonSchemaValueException.

    Raises ValueError if the SDK of CloudEvents reads something else, or another error of its own.
    """
    event: dict[str, Any] = msgspec.json.decode(value)
    _validator("event-v1")(event)
    _validator(Path(event["dataschema"]).stem)(event["data"])
    read = JSONFormat().read(None, value)
    if (read.get_id(), read.get_type(), read.get_data()) != (event["id"], event["type"], event["data"]):
        raise ValueError(f"the CloudEvents SDK reads another message: {read.get_attributes()}")
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
