"""The JSON schemas of messages as they are shipped: what `dataschema` names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "schema" / "messages"


def message_schemas() -> Mapping[str, str]:
    """Name, such as `alert-v1`, to the text of the schema."""
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.json"))}
