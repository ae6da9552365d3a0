"""The parts of a snapshot as bytes: of one model, and of what belongs to none."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from monitor.codec.snapshot import decode_part, decode_payload, encode_part, remedy
from monitor.errors import FormatError
from monitor.evaluate.model import ModelFold
from monitor.evaluate.state import ModelState, SharedState
from monitor.ledger.entries import Decision

_ENCODE = msgspec.msgpack.Encoder().encode
_MODEL = msgspec.msgpack.Decoder(ModelState)
_SHARED = msgspec.msgpack.Decoder(SharedState)


def encode_model(name: str, state: ModelState) -> bytes:
    """The part of a model; it names River's version where it has detectors."""
    return encode_part("model", name, _river() if _has_detectors(state) else "", _ENCODE(state))


def restore_model(fold: ModelFold, part: bytes, decisions: Mapping[str, Decision]) -> None:
    """Set a fold just begun to the state of its part (see `ModelFold.restore`); raises FormatError.

    What was loaded has to give the state again that it was loaded from: else something of it was passed over.
    """
    payload, river = decode_part(part, "model", fold.model, _river)
    state = decode_payload(payload, _MODEL)
    if _has_detectors(state) != bool(river):
        raise FormatError(f"the snapshot of {fold.model} does not say of which version of River its detectors are")
    fold.restore(state, decisions)
    if fold.state() != state:
        raise FormatError(f"the snapshot of {fold.model} holds what can't be; rebuild it: {remedy(fold.model)}")


def _has_detectors(state: ModelState) -> bool:
    return any(stream.bank.detectors for stream in state.streams)


def encode_shared(state: SharedState) -> bytes:
    """The part that belongs to no model."""
    return encode_part("shared", "", "", _ENCODE(state))


def decode_shared(part: bytes) -> SharedState:
    """Its state; raises FormatError."""
    payload, _ = decode_part(part, "shared", "", _river)
    return decode_payload(payload, _SHARED)


def _river() -> str:
    from river import __version__  # here, because --help and check must start without river

    return str(__version__)
