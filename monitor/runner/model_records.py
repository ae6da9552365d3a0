"""The records of the models of one ledger partition in the topic `positions`, and the sum that vouches for all of them.

A commit writes those of the models that it moved; the partition's own record, which the committed offset names, holds
the sum. So what a commit writes grows with what it moved, and not with the number of models.
"""

from __future__ import annotations

from collections.abc import Mapping

from monitor.ledger.position_records import MODULUS, EvaluatedModel, digest_of_records, encode


class ModelRecords:
    """The newest record of each model as bytes."""

    def __init__(self, records: Mapping[str, bytes] | None = None) -> None:
        self._records = dict(records or {})
        self._sum = digest_of_records(self._records)

    @property
    def digest(self) -> str:
        """The sum over all of them, 64 hex digits."""
        return f"{self._sum:064x}"

    def write(self, records: Mapping[str, EvaluatedModel]) -> dict[str, bytes]:
        """Take records in the place of those before, and return the values to write."""
        written = {name: encode(record) for name, record in sorted(records.items())}
        for name, value in written.items():
            if name in self._records:
                self._sum -= digest_of_records({name: self._records[name]})
            self._records[name] = value
            self._sum += digest_of_records({name: value})
        self._sum %= MODULUS
        return written
