"""Snapshots of a task taken and restored at once: all its parts at one place of the ledger."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.codec.snapshot import digest_of_part
from monitor.errors import FormatError
from monitor.evaluate.alerts import Place
from monitor.evaluate.message_digest import MessageDigest
from monitor.evaluate.snapshots import SavedModel, committed_part, encode_shared
from monitor.evaluate.task import EvaluateTask
from monitor.ledger.entries import Decision


def snapshot(task: EvaluateTask) -> dict[str, bytes]:
    """The part of each model that runs, its blocks under the model's name and theirs, and the shared part."""
    parts = {"": encode_shared(task.shared()), **{name: task.part(name) for name in sorted(task.models)}}
    return parts | {f"{name}/{b}": value or b"" for name in task.models for b, value in task.blocks(name).items()}


def said_by(task: EvaluateTask) -> dict[str, str]:
    """Digest of what each model has said, and of what belongs to none."""
    return {name: task.digest_of(name) for name in ("", *sorted(task.models))}


def restored(
    place: Place,
    parts: Mapping[str, bytes],
    decisions: Mapping[str, Decision],
    published: Mapping[str, str] | None = None,
    digests: Mapping[str, str] | None = None,
) -> tuple[EvaluateTask, dict[str, FormatError]]:
    """The task of the parts, and why models could not be restored; they are stopped.

    `digests`: of the parts as they were written; without them each part vouches for itself. Raises FormatError if the
    shared part can't be used.
    """
    published = published or {}
    known = digests or {name: digest_of_part(part) for name, part in parts.items()}
    shared = committed_part("", parts.get(""), known.get("", ""))
    task, errors = (
        EvaluateTask.restored(place, shared, published.get("", MessageDigest().digest)),
        dict[str, FormatError](),
    )
    for name in sorted(name for name in known if name and "/" not in name):
        try:
            part = committed_part(name, parts.get(name), known[name])
            held = {key.removeprefix(f"{name}/"): block for key, block in parts.items() if key.startswith(f"{name}/")}
            task.take_up(name, SavedModel(part, published.get(name, MessageDigest().digest), held), 0, decisions)
        except FormatError as error:
            task.stop(name)
            errors[name] = error
    task.reach(0)
    return task, errors
