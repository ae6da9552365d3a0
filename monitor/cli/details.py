"""What messages say of labels, changes and names, in words: for the lines of `tail`, for `explain` and the demo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Evidence = Mapping[str, Any]


def details_of(evidence: Evidence) -> str:
    """Return how complete labels are, where a change began, what is named beside it, and why it is unverified.

    Empty if evidence has none of these.

    Of an update that is what no message has named before.
    """
    change, names = change_text(evidence.get("change")), names_text(evidence.get("added", evidence))
    doubt = f"unverified: {evidence['unverified']}" if "unverified" in evidence else ""
    return "; ".join(filter(None, (labels_text(evidence.get("labels")), change, names, doubt)))


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
    >>> change_text({**moved, "before": None, "after": None, "width": None, "kind": "new_category"})
    'since 2026-11-21T10:00:00Z: new category'
    """
    if change is None:
        return ""
    levels = ""
    if change["before"] is not None:
        within = f" within {change['width']:,} labels" if change["width"] else ""
        levels = f"from {change['before']:.3g} to {change['after']:.3g}{within}"
    what = ", ".join(filter(None, (levels, kind_text(change["kind"]))))
    return f"since {change['at']}" + (f": {what}" if what else "")


def kind_text(kind: str | None) -> str:
    """Say what kind of change it is; empty if nothing tells."""
    return (kind or "").replace("_", " ")


_SHOWN = 3
"""Names that a line shows."""


def names_text(names: Evidence) -> str:
    """Say which columns, and which alerts under it, a message names; empty without any.

    >>> names_text({"under": ["Shift/a", "Shift/b", "Shift/c", "Shift/d"], "under_count": 24})
    'under it Shift/a, Shift/b, Shift/c and 21 more'
    """
    under = listed(names.get("under", ()), names.get("under_count", 0), _SHOWN)
    columns = listed([column_of(one) for one in names.get("columns", ())], names.get("columns_count", 0), _SHOWN)
    return "; ".join(filter(None, (columns and f"in {columns}", under and f"under it {under}")))


def column_of(named: Evidence | str) -> str:
    """The name of a column, as evidence and updates list it."""
    return named if isinstance(named, str) else str(named["column"])


def listed(names: Sequence[str], count: int, most: int) -> str:
    """The first of some names, and how many more there are."""
    more = f" and {count - len(names[:most])} more" if count > most else ""
    return ", ".join(names[:most]) + more
