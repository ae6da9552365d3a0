"""What the rows of a reference that have a prediction and its label say: the reference of performance and of outcomes.

It is made from a file and travels as a decision of the lane of outcomes, beside grid and reference of the predictions.
Its counts stand on the grid of these, and on that of outcomes, which follows from it.
"""

from __future__ import annotations

import hashlib

import msgspec

from monitor.codec.counts import unpack_counts
from monitor.codec.formats import decode_format
from monitor.config.metrics import Task
from monitor.contract import StreamContract
from monitor.drift.moments import PackedMoments, unpack_moments
from monitor.errors import FormatError
from monitor.evaluate.cohort_pairs import layout_of
from monitor.evaluate.reference import Reference, ReferenceSlice
from monitor.events import Int64s
from monitor.panes.grid import Grid
from monitor.stats.performance import PairLayout

FORMAT = "streamdrift.labelled-reference/2"
BEFORE = "streamdrift.labelled-reference/1"
"""The same without moments, by an older release."""


class LabelledReference(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Counts of rows with prediction and label, per slice of them in order of time.

    `grid`: digest of the predictions' grid. `outcomes`: names what the columns of outcomes mean (`meaning_of`), and so
    which prediction was wrong; `task` and `tolerance` say how vectors are read. `classes`: of a model with several, by
    number in the slices. `pairs`: vectors of a `PairLayout`; `of_outcomes`: count vectors on the grid of outcomes.
    `moments`: of outcomes, in order of time; None if an older release made it.
    """

    format: str
    model: str
    grid: str
    outcomes: str
    origin: str
    task: Task
    tolerance: float | None
    classes: tuple[str, ...]
    pairs: tuple[ReferenceSlice, ...]
    of_outcomes: tuple[ReferenceSlice, ...]
    moments: PackedMoments | None = None

    @property
    def digest(self) -> str:
        """Names it by all that it holds."""
        return "sha256:" + hashlib.sha256(encode_labelled(self).encode()).hexdigest()[:32]

    @property
    def rows(self) -> int:
        """How many rows it is of."""
        return sum(one.events for one in self.pairs)

    def layout(self, grid: Grid) -> PairLayout:
        """How its pairs are counted. `grid`: the predictions'."""
        return layout_of(self.task, grid, len(self.classes), self.tolerance)

    def vectors(self, grid: Grid) -> list[Int64s]:
        """The vector of each slice; raises FormatError."""
        width = self.layout(grid).width
        return [unpack_counts(one.counts, width) for one in self.pairs]

    def without_times(self) -> LabelledReference:
        """The same of rows that have no times: their order is all that is known."""
        pairs, outcomes = (
            tuple(msgspec.structs.replace(one, first_time=None, last_time=None) for one in slices)
            for slices in (self.pairs, self.of_outcomes)
        )
        return msgspec.structs.replace(self, pairs=pairs, of_outcomes=outcomes)

    def fits(self, grid: Grid, outcomes: StreamContract) -> bool:
        """Return true if it was made on a grid of predictions, for outcomes that mean the same."""
        return (self.grid, self.outcomes) == (grid.digest, meaning_of(outcomes))

    def reference_of_outcomes(self, grid: Grid) -> Reference:
        """The reference of outcomes. `grid`: theirs."""
        moments = None if self.moments is None else unpack_moments(self.moments, len(grid.series))
        width = grid.layout.width
        return Reference(self.model, "outcomes", grid.digest, width, self.origin, self.of_outcomes, moments=moments)


def meaning_of(outcomes: StreamContract) -> str:
    """Name what the columns of outcomes mean, whatever the lane of their predictions."""
    return hashlib.sha256(msgspec.json.encode(outcomes.columns)).hexdigest()[:16]


def encode_labelled(labelled: LabelledReference) -> str:
    """The reference as canonical JSON."""
    return msgspec.json.encode(labelled).decode()


def decode_labelled(text: str) -> LabelledReference:
    """The reference of its JSON; raises FormatError."""
    labelled = decode_format(text, LabelledReference, FORMAT, "labelled reference", BEFORE)
    if not labelled.pairs or not labelled.of_outcomes:
        raise FormatError(f"labelled reference of {labelled.model} has no rows")
    return labelled
