"""The JSON schema of alerts.yaml, for editors: what `streamdrift schema` prints and the shipped file's modeline names.

It is made from the models that check the file, so the two agree, and it lists the keys that are known at a place.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from monitor.config.entry import Shape
from monitor.config.model import AlertsFile

JsonSchema = dict[str, Any]
Path = tuple[str | int, ...]


def alerts_schema() -> JsonSchema:
    """Return the JSON schema (draft 2020-12) of alerts.yaml."""
    schema = AlertsFile.model_json_schema(by_alias=True)
    # In the file a plug-in's keys (class, params) stand beside input and model: unite what the models keep apart.
    entry = schema["$defs"].pop("DetectorEntry")
    plugins = entry["properties"].pop("detector")
    for reference in plugins["oneOf"]:
        plugin = _resolved(schema, reference)
        plugin["properties"].update(entry["properties"])
        plugin["required"] = ["class", "input"]
    for mapping in ("models", "detectors"):
        schema["properties"][mapping]["additionalProperties"] = False
    names = schema["properties"]["detectors"]["patternProperties"]
    schema["properties"]["detectors"]["patternProperties"] = dict.fromkeys(names, plugins)
    schema["properties"]["models"]["minProperties"] = 1
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Streamdrift alerts.yaml",
        **{key: value for key, value in schema.items() if key != "title"},
    }


def known_keys(shape: type[Shape], path: Path, plugin_class: str) -> list[str]:
    """Return the keys that the mapping at `path` may have; empty if they are free.

    `shape`: what the file is. `plugin_class`: of a detector.
    """
    schema = _shared(shape)
    node: JsonSchema = schema
    for step in path:
        node = _object(schema, node, plugin_class)
        if isinstance(step, int):
            node = node.get("items", {})
        else:
            named = [*node.get("patternProperties", {}).values(), node.get("additionalProperties"), {}]
            others = next(one for one in named if isinstance(one, dict))
            node = node.get("properties", {}).get(step, others)
    return list(_object(schema, node, plugin_class).get("properties", {}))


@cache
def _shared(shape: type[Shape]) -> JsonSchema:
    return alerts_schema() if shape is AlertsFile else shape.model_json_schema(by_alias=True)


def _object(schema: JsonSchema, node: JsonSchema, plugin_class: str) -> JsonSchema:
    """Return the mapping or list that a node stands for, behind references, optional values and unions."""
    if "$ref" in node:
        return _object(schema, _resolved(schema, node), plugin_class)
    mapping = node.get("discriminator", {}).get("mapping", {})
    if mapping:
        return _resolved(schema, {"$ref": mapping.get(plugin_class, next(iter(mapping.values())))})
    choices = [choice for choice in node.get("anyOf", ()) if choice.get("type") not in ("null", "string")]
    return _object(schema, choices[0], plugin_class) if choices else node


def _resolved(schema: JsonSchema, reference: JsonSchema) -> JsonSchema:
    found: JsonSchema = schema["$defs"][reference["$ref"].rsplit("/", 1)[1]]
    return found
