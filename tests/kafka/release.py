"""A copy of this tree that stands for the next release: one more metric, one more optional field of all that is
written, and another version.
"""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NEXT_VERSION = "99.0.0"
NEW_METRIC = "one_more"
_FIELD = '    one_more: str = "of the next release"\n'
_CHANGES = (
    ("monitor/__init__.py", '__version__ = "', f'__version__ = "{NEXT_VERSION}"\n_WAS = "'),
    (
        "monitor/config/metrics.py",
        "_ALL = (\n",
        f'_ALL = (\n    Metric("{NEW_METRIC}", "column", _BOTH, _SHARE, "of the next release"),\n',
    ),
    (
        "monitor/evaluate/measure.py",
        '    "hellinger": hellinger,\n',
        f'    "hellinger": hellinger,\n    "{NEW_METRIC}": hellinger,\n',
    ),
)
"""File, what stands there once, and what stands there in the next release."""
_STRUCTS = {
    "monitor/ledger/entries.py": ("Watermark", "Heartbeat", "ContractSwitch", "Notice", "Decision", "Activation"),
    "monitor/ledger/position_records.py": ("ProfilePosition", "Snapshot", "EvaluatePosition", "EvaluatedModel"),
    "monitor/evaluate/state.py": ("LaneState", "ModelState", "SharedState", "StreamState"),
    "monitor/panes/pane.py": ("_PaneValue", "_RawValue"),
    "monitor/config/resolved.py": ("ModelRules", "Rule"),
}
"""What has one more optional field there, and writes it."""
_CONTRACTS = {"monitor/contract.py": ("StreamContract", "ModelContract", "TopicContract")}
"""What has one that is not set, because rows mean the same to both releases: only then both can read a contract."""


def make_next_release(folder: Path) -> Path:
    """Copy the packages into `folder` and change them there; returns the folder, where a process is to run."""
    for package in ("monitor", "producers"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, old, new in _CHANGES:
        text = (folder / name).read_text()
        assert text.count(old) == 1, (name, old)
        (folder / name).write_text(text.replace(old, new))
    for name, structs in (_STRUCTS | _CONTRACTS).items():
        for struct in structs:
            (folder / name).write_text(_with_field((folder / name).read_text(), struct, name in _STRUCTS))
    return folder


def _with_field(text: str, struct: str, is_written: bool) -> str:
    """The source with one more field behind the others of a struct. `is_written`: even with its default."""
    (found,) = (node for node in ast.parse(text).body if isinstance(node, ast.ClassDef) and node.name == struct)
    last = max(node.end_lineno or 0 for node in found.body if isinstance(node, ast.AnnAssign))
    lines = text.splitlines(keepends=True)
    if is_written:
        lines[found.lineno - 1] = lines[found.lineno - 1].replace(", omit_defaults=True", "")
    return "".join([*lines[:last], _FIELD, *lines[last:]])
