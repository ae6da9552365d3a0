"""The parts of a snapshot as bytes: of one model, and of what belongs to none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from monitor.codec.snapshot import decode_part, decode_payload, digest_of_part, encode_part, remedy
from monitor.errors import FormatError
from monitor.evaluate.detection import taken_up
from monitor.evaluate.model import ModelFold
from monitor.evaluate.open_parts import rewritten
from monitor.evaluate.state import ModelState, SharedState
from monitor.ledger.entries import Decision
from monitor.panes.pane import decode_raw, encode_raw

_ENCODE = msgspec.msgpack.Encoder().encode
_MODEL = msgspec.msgpack.Decoder(ModelState)
_SHARED = msgspec.msgpack.Decoder(SharedState)


class SavedModel(NamedTuple):
    """What a model goes on from. `outputs`: digest of all it published by then. `blocks`: of first rows, by name."""

    part: bytes
    outputs: str
    blocks: Mapping[str, bytes] = {}


def encode_model(name: str, state: ModelState) -> bytes:
    """The part of a model."""
    return encode_part("model", name, _ENCODE(state))


def restore_model(
    fold: ModelFold, part: bytes, decisions: Mapping[str, Decision], blocks: Mapping[str, bytes]
) -> frozenset[str]:
    """Set a fold just begun to the state of its part (see `ModelFold.restore`); raises FormatError.

    What was loaded has to give the state again that it was loaded from: else something of it was passed over. Returns
    River's classes whose detectors start again, because the running River differs in them from the one that wrote their
    states.
    """
    state, fresh = _taken_up(_rewritten(decode_payload(decode_part(part, "model", fold.model), _MODEL)))
    fold.restore(state, decisions, blocks)
    if fold.state() != state:
        raise FormatError(f"the snapshot of {fold.model} holds what can't be; rebuild it: {remedy(fold.model)}")
    return fresh


def _rewritten(state: ModelState) -> ModelState:
    """The state with its panes as this release writes them: another one may write fields that are not known here."""
    rows = []
    for lane, first in state.first_rows:
        tail = tuple(encode_raw(decode_raw(value)) for value in first.tail)
        rows.append((lane, msgspec.structs.replace(first, tail=tail)))
    return msgspec.structs.replace(state, panes=tuple(map(rewritten, state.panes)), first_rows=tuple(rows))


def _taken_up(state: ModelState) -> tuple[ModelState, frozenset[str]]:
    lanes, begun = [], set[str]()
    for lane in state.lanes:
        if lane.fold is not None:
            bank, fresh = taken_up(lane.fold.bank)
            begun |= fresh
            lane = msgspec.structs.replace(lane, fold=msgspec.structs.replace(lane.fold, bank=bank))
        lanes.append(lane)
    return msgspec.structs.replace(state, lanes=tuple(lanes)), frozenset(begun)


def encode_shared(state: SharedState) -> bytes:
    """The part that belongs to no model."""
    return encode_part("shared", "", _ENCODE(state))


def decode_shared(part: bytes) -> SharedState:
    """Its state; raises FormatError."""
    return decode_payload(decode_part(part, "shared", ""), _SHARED)


def committed_part(name: str, part: bytes | None, digest: str) -> bytes:
    """The part, if it is the one that a position record names; raises FormatError."""
    what = name or "the ledger partition"
    if part is None:
        raise FormatError(f"the snapshot of {what} is not there; rebuild it: {remedy(name)}")
    if digest_of_part(part) != digest:
        raise FormatError(
            f"the snapshot of {what} is not the one that was committed; rebuild it from the ledger: {remedy(name)}"
        )
    return part
