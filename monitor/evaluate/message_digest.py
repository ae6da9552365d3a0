"""What a model has published, as a digest that goes on: so that a task folded again, or restored, can be compared."""

from __future__ import annotations

import hashlib
import re

from monitor.errors import FormatError
from monitor.evaluate.messages import Message
from monitor.ledger.entries import Activation

_FORM = re.compile(r"[0-9a-f]{128}")
_MODULUS = 1 << 256


class MessageDigest:
    """A chain over the messages, and a sum over the activations.

    Messages count in order, by what they mean and not by what depends on the place: each link is the SHA-256 of the one
    before and the message's topic, time, key and basis. Activations don't: whether one
    stream's grid is made before or after a pane of the other is folded depends on how the ledger was polled.
    """

    def __init__(self, chain: bytes = bytes(32), activations: int = 0) -> None:
        self._chain = chain
        self._activations = activations

    def add(self, output: Message | Activation) -> None:
        """One more output."""
        if isinstance(output, Message):
            text = f"{output.topic}/{output.at}/{output.key}/"
            self._chain = hashlib.sha256(self._chain + text.encode() + output.basis).digest()
        else:
            change = output.decision
            place = f"{output.at}/{output.silence_judged_to}"
            text = f"{change.model}/{change.kind}/{change.stream}/{change.lane}/{change.digest}/{place}"
            added = int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")
            self._activations = (self._activations + added) % _MODULUS

    @property
    def digest(self) -> str:
        """128 hex digits, from which it can go on."""
        return self._chain.hex() + self._activations.to_bytes(32, "big").hex()

    @classmethod
    def of(cls, digest: str) -> MessageDigest:
        """Going on from a digest; raises FormatError."""
        if not _FORM.fullmatch(digest):
            raise FormatError(f"{digest!r} is no digest of outputs")
        return cls(bytes.fromhex(digest[:64]), int(digest[64:], 16))
