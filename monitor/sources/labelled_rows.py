"""The labelled reference from rows that have a prediction and its label, which may be too many to hold: read twice.

The first reading finds when the rows were, and so where to cut them into slices of time; and in which order classes
came first, by which they are numbered. The second one counts. What a row's prediction and label are is found as it is
of a pane's keyed rows, where the number of a row stands for its id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from monitor.codec.counts import pack_counts
from monitor.config.metrics import Task
from monitor.config.resolved import ModelRules
from monitor.contract import Keys, ModelContract, StreamContract, outcomes_of
from monitor.drift.moments import Moments, MomentSums, pack_moments
from monitor.drift.scores import ScoreTables
from monitor.evaluate.cohort_pairs import layout_of
from monitor.evaluate.keyed_panes import MOST_CLASSES, Coding
from monitor.evaluate.labelled_reference import FORMAT, LabelledReference, meaning_of
from monitor.evaluate.outcomes import outcome_rows, outcomes_grid
from monitor.evaluate.performance_reference import SLICE_LABELS
from monitor.evaluate.reference import MOST_SLICES, ReferenceSlice
from monitor.events import CellState, Int64s, Rows, TopicPartition
from monitor.panes import rows as rows_of
from monitor.panes.grid import Grid, encode_rows
from monitor.panes.keyed import KeyedRows
from monitor.panes.open_keyed import OpenKeyed
from monitor.sources.reference_rows import BlocksOfTime, Parts
from monitor.stats.performance import Pairs, vectors

LEAST_ROWS = SLICE_LABELS
"""Rows with prediction and label that a reference of performance needs: those of one slice."""
_MOST_PIECES = 128
"""Slices of performance at most: each has a vector of its own."""
_MOST_TIMES = 1 << 18
"""Times that are held to cut rows into slices; of more, every second one, again and again."""


class LabelledStreams(NamedTuple):
    """A model's streams of predictions, labels and outcomes, and `both`: rows that have a prediction and its label."""

    predictions: StreamContract
    labels: StreamContract
    outcomes: StreamContract
    both: StreamContract


def labelled_streams(contract: ModelContract) -> LabelledStreams | None:
    """Return the streams of a model with labels; None of another one."""
    streams, outcomes = {stream.stream: stream for stream in contract.streams}, outcomes_of(contract)
    if outcomes is None:
        return None
    predictions, labels = streams["predictions"], streams["labels"]
    columns = predictions.columns + labels.columns
    both = StreamContract("predictions", predictions.topic, predictions.time_field, columns, times=predictions.times)
    return LabelledStreams(predictions, labels, outcomes, both)


class Look:
    """What a first reading of rows has found so far. `rows`: that have both. `has_classes`: more than two."""

    def __init__(self, has_classes: bool) -> None:
        self.rows = 0
        self._has_classes = has_classes
        self._times: list[Int64s] = []
        self._step = 1
        self._first: dict[str, tuple[int, int, int]] = {}

    def add(self, rows: Rows, times: Int64s) -> None:
        """Take rows of a batch. `times`: of those that have both, ms."""
        self.rows += len(times)
        self._times.append(times[:: self._step])
        while sum(map(len, self._times)) > _MOST_TIMES:
            self._times, self._step = [np.concatenate(self._times)[::2]], self._step * 2
        if self._has_classes:
            self._see_classes(rows)

    def _see_classes(self, rows: Rows) -> None:
        has_both = (rows.categorical_states == CellState.VALID).all(axis=1)
        later_first = np.argsort(rows.time, kind="stable")[::-1]
        places = later_first[has_both[later_first]].tolist()
        for side, texts in enumerate(rows.categorical):
            first = {texts[i]: i for i in places if texts[i]}  # of each text the first in time is left
            for text, place in first.items():
                seen = (int(rows.time[place]), int(rows.offset[place]), side)
                self._first[text] = min(self._first.get(text, seen), seen)

    @property
    def classes(self) -> list[str]:
        """The first classes in order of time; a row's prediction comes before its label."""
        return sorted(self._first, key=self._first.__getitem__)[:MOST_CLASSES]

    @property
    def cuts(self) -> Int64s:
        """Times at which slices begin, but for the first one, ms, ascending."""
        pieces = max(1, min(_MOST_PIECES, self.rows // LEAST_ROWS))
        return np.unique(np.array([one[0] for one in np.array_split(self.times, pieces)[1:]], dtype=np.int64))

    @property
    def times(self) -> Int64s:
        """The times of a part of the rows, ms, ascending."""
        return np.sort(np.concatenate(self._times))


def labelled_pairs(coding: Coding, streams: LabelledStreams, rows: Rows) -> tuple[Pairs, Int64s]:
    """Return the pairs of rows that have both, and their times, ms (n,). `rows`: of the stream `both`."""
    made = coding.predictions(_keyed(rows, streams.predictions, 0))
    found = coding.labels(_keyed(rows, streams.labels, len(streams.predictions.columns)))
    _, mine, theirs = np.intersect1d(made.ids, found.ids, assume_unique=True, return_indices=True)
    return Pairs(found.value[theirs], made.value[mine], made.probability[mine]), found.time[theirs]


def _keyed(rows: Rows, stream: StreamContract, first: int) -> list[KeyedRows]:
    """Keyed rows of one stream. `first`: how many columns of the rows come before its own."""
    numbers, texts = len(stream.numeric_series), len(stream.categorical_series)
    before = 0 if first == 0 else rows.numeric.shape[1] - numbers
    before_texts = 0 if first == 0 else len(rows.categorical) - texts
    own = replace(
        rows,
        stream=stream.stream,
        numeric=rows.numeric[:, before : before + numbers],
        numeric_states=rows.numeric_states[:, before : before + numbers],
        categorical=rows.categorical[before_texts : before_texts + texts],
        categorical_states=rows.categorical_states[:, before_texts : before_texts + texts],
        ids=np.arange(1, len(rows) + 1, dtype=np.uint64),
    )
    held = OpenKeyed(stream, Keys(""))
    held.add(own)
    return list(held.seal(own, TopicPartition(stream.topic, 0), 0, 1))


def labelled_reference(
    parts: Parts, rules: ModelRules, contract: ModelContract, grid: Grid, origin: str
) -> LabelledReference | int:
    """Return the labelled reference of rows; if they are fewer than LEAST_ROWS, how many have both.

    `parts`: of the stream `both`. `grid`: of the predictions.
    """
    streams, spec = labelled_streams(contract), rules.performance
    if streams is None or spec is None:
        raise ValueError(f"model {contract.model} has no labels")
    coding, has_classes = Coding(rules.task, spec.positive, spec.threshold), rules.task == "classification_multiclass"
    seen = Look(has_classes)
    for _, rows in parts():
        seen.add(rows, labelled_pairs(coding, streams, rows)[1])
    if seen.rows < LEAST_ROWS:
        return seen.rows
    coding = Coding(rules.task, spec.positive, spec.threshold)
    classes = seen.classes if has_classes else []
    coding.numbers(classes)
    pieces = _Pieces(rules.task, coding, streams, grid, spec.tolerance, seen.cuts)
    for _, rows in parts():
        pieces.add(rows)
    stands_on = (FORMAT, contract.model, grid.digest, meaning_of(streams.outcomes), origin, rules.task, spec.tolerance)
    slices, moments = pieces.slices(), pieces.moments(parts, seen.times)
    return LabelledReference(*stands_on, tuple(classes), *slices, pack_moments(moments))


class _Pieces:
    """Counts of pairs and of outcomes by slice of time. `cuts`: where each begins but the first one, ms."""

    def __init__(
        self,
        task: Task,
        coding: Coding,
        streams: LabelledStreams,
        grid: Grid,
        tolerance: float | None,
        cuts: Int64s,
    ) -> None:
        self._coding = coding
        self._streams = streams
        self._cuts = cuts
        self._layout = layout_of(task, grid, len(coding.classes), tolerance)
        self._grid = outcomes_grid(task, streams.outcomes, grid)
        many = len(cuts) + 1
        self._pairs = np.zeros((many, self._layout.width), dtype=np.int64)
        self._outcomes = np.zeros((many, self._grid.layout.width), dtype=np.int64)
        self._events = np.zeros(many, dtype=np.int64)
        self._low, self._high = np.full(many, 1 << 62, dtype=np.int64), np.full(many, -(1 << 62), dtype=np.int64)

    def add(self, rows: Rows) -> None:
        """Count those of the rows that have both."""
        pairs, times = labelled_pairs(self._coding, self._streams, rows)
        piece = np.searchsorted(self._cuts, times, side="right").astype(np.int64)
        self._pairs += vectors(self._layout, pairs, piece, len(self._pairs))
        self._events += np.bincount(piece, minlength=len(self._events))
        np.minimum.at(self._low, piece, times)
        np.maximum.at(self._high, piece, times)
        outcomes = self._rows(rows.model, pairs)
        for one in np.unique(piece).tolist():
            self._outcomes[one] += encode_rows(self._grid, rows_of.take(outcomes, piece == one))[1]

    def _rows(self, model: str, pairs: Pairs) -> Rows:
        unknown = np.full(len(pairs), np.nan)
        return outcome_rows(model, self._streams.outcomes, pairs, unknown, self._layout, self._coding.classes)

    def moments(self, parts: Parts, times: Int64s) -> Moments:
        """Read all rows once more, now that they are counted. `times`: of a part of them, ms, ascending."""
        total = self._outcomes.sum(axis=0)
        self._grid.layout.normalise(total)
        tables = ScoreTables(self._grid, total)
        sums, blocks = MomentSums(tables), BlocksOfTime(times, tables.width)
        for _, rows in parts():
            pairs, at = labelled_pairs(self._coding, self._streams, rows)
            codes = encode_rows(self._grid, self._rows(rows.model, pairs))[0]
            sums.add(codes)
            blocks.add(at, tables.of_codes(codes))
        return blocks.in_place_of_those(sums.moments())

    def slices(self) -> tuple[tuple[ReferenceSlice, ...], tuple[ReferenceSlice, ...]]:
        """Slices of performance, each with enough rows; and of outcomes fewer and larger ones."""
        places = _groups(self._events)
        larger = [(some[0][0], some[-1][1]) for some in _split(places, MOST_SLICES)]
        return self._summed(self._pairs, places), self._summed(self._outcomes, larger)

    def _summed(self, counts: Int64s, places: Sequence[tuple[int, int]]) -> tuple[ReferenceSlice, ...]:
        found = []
        for first, stop in places:
            vector = counts[first:stop].sum(axis=0)
            if counts is self._outcomes:
                self._grid.layout.normalise(vector)
            events = int(self._events[first:stop].sum())
            times = int(self._low[first:stop].min()), int(self._high[first:stop].max())
            found.append(ReferenceSlice(events, *times, pack_counts(vector)))
        return tuple(found)


def _groups(events: Int64s) -> list[tuple[int, int]]:
    """Begin and end of runs of pieces, each with enough rows; the rest belongs to the last one."""
    found, first, held = list[tuple[int, int]](), 0, 0
    for place, rows in enumerate(events.tolist(), 1):
        held += rows
        if held >= LEAST_ROWS:
            found.append((first, place))
            first, held = place, 0
    return [*found[:-1], (found[-1][0], len(events))]


def _split(places: Sequence[tuple[int, int]], most: int) -> list[Sequence[tuple[int, int]]]:
    """Return places in at most that many groups of nearly equal number, in order."""
    ends = np.linspace(0, len(places), min(most, len(places)) + 1).astype(int).tolist()
    return [places[first:stop] for first, stop in pairwise(ends)]
