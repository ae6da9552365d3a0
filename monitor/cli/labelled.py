"""What messages say of labels and changes, in words: for the lines of `tail`, for `explain` and the demo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Evidence = Mapping[str, Any]


def details_of(evidence: Evidence) -> str:
    """Return how complete the labels of a window are, and where a change began; empty if it is about neither."""
    return "; ".join(filter(None, (labels_text(evidence.get("labels")), change_text(evidence.get("change")))))


def labels_text(labels: Evidence | None) -> str:
    """Say how complete the labels of a window are; empty without any.

    >>> labels_text({"maturity": "mature", "predictions": 2000, "labels": 1840, "coverage": 0.92, "intervals": {}})
    'mature: 92 % of 2,000 predictions have a label'
    """
    if labels is None:
        return ""
    share = f"{100 * labels['coverage']:.0f} %"
    return f"{labels['maturity']}: {share} of {labels['predictions']:,} predictions have a label"


def change_text(change: Evidence | None) -> str:
    """Say where a change began, and how; empty without any.

    >>> moved = {"at": "2026-11-21T10:00:00Z", "before": 0.05, "after": 0.4, "width": 0, "kind": "sudden"}
    >>> change_text(moved)
    'since 2026-11-21T10:00:00Z: from 0.05 to 0.4, sudden'
    """
    if change is None:
        return ""
    how = f", {change['kind']}" if change["kind"] else ""
    within = f" within {change['width']:,} labels" if change["width"] else ""
    return f"since {change['at']}: from {change['before']:.3g} to {change['after']:.3g}{within}{how}"
