"""The join of predictions with labels against a slow fold with dictionaries, over random panes.

    python -m tests.oracles.test_join FIRST_SEED SEEDS

Labels come early, late, twice, corrected, for unknown ids and for predictions that wait no longer; ids are used again;
budgets are small, and lengths and bounds change. After every pane what it has changed, all cohorts and counters and the
labels that wait are the oracle's. At random panes a join is taken up from its encoded state and its pieces, and is like
the one that was never stopped; so are one with runs of another length, and one that is not called for panes without
rows.
"""

from __future__ import annotations

import math
import random
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import numpy as np
import pytest

from monitor.errors import FormatError
from monitor.evaluate.join import COUNTERS, Join, Sizes
from monitor.evaluate.join_values import NO_CLASS, Joined, JoinedPairs, JoinSpec, Labels, Predictions, Values, ValueType
from monitor.evaluate.state import JoinState

PANE_MS = 10
START_MS = 1_790_000_000_000
Value = float | int
Pair = tuple[int, Value, Value, float]
"""Cohort, truth, prediction, probability."""


class Label(NamedTuple):
    """One row of a pane's labels, or one that waits, with the pane that it came in (ms)."""

    id: int
    value: Value
    time: int
    since: int = 0


class Log(NamedTuple):
    """What a seed gives, by pane: other specifications, predictions (id, value, probability), labels in their order."""

    spec: JoinSpec
    panes: int
    changes: Mapping[int, JoinSpec]
    predictions: Mapping[int, list[tuple[int, Value, float]]]
    labels: Mapping[int, list[Label]]


def random_log(seed: int) -> Log:
    """Ids are few, so that they come again, and share their last bits, as those of a sample do."""
    rng = random.Random(seed)
    panes, is_regression = rng.randint(30, 150), rng.random() < 0.3
    spec = random_spec(rng, is_regression)
    changes = {rng.randrange(panes): random_spec(rng, is_regression) for _ in range(rng.choice([0, 0, 1, 10]))}
    ids = [rng.getrandbits(63) << 1 for _ in range(rng.choice([20, 100, 400]))]
    known: list[Value] = [-0.5, 0.0, 1.25] if is_regression else [0, 1, 2, 3]
    predictions: dict[int, list[tuple[int, Value, float]]] = {}
    labels: dict[int, list[Label]] = {}
    share = rng.choice([0.3, 0.9])
    busy = [pane for pane in range(panes) if rng.random() < share] or [0]
    for _ in range(rng.randint(20, 500)):
        pane, id_ = rng.choice(busy), rng.choice(ids)
        none = np.nan if is_regression else NO_CLASS
        row = (id_, none if rng.random() < 0.05 else rng.choice(known), float(np.float32(rng.random())))
        for again in (pane, pane, pane + rng.randrange(40))[: rng.choice([1, 1, 1, 1, 2, 3])]:
            predictions.setdefault(again, []).append(row)
        for _ in range(0 if rng.random() < 0.1 else rng.choice([1, 1, 1, 2, 4])):
            delay = rng.choice([-12, -3, -1, 0, 0, 1, 5, 40, 90])
            at = max(pane + delay, 0)
            time = START_MS + at * PANE_MS + rng.randrange(-50, 10)
            labels.setdefault(at, []).append(Label(id_, rng.choice(known), time))
    for _ in range(rng.randrange(40)):
        labels.setdefault(rng.randrange(panes), []).append(Label(rng.getrandbits(64), rng.choice(known), START_MS))
    return Log(spec, panes + 60, changes, predictions, labels)


def random_spec(rng: random.Random, is_regression: bool) -> JoinSpec:
    by_events = rng.random() < 0.4
    return JoinSpec(
        pane_ms=PANE_MS,
        step_ms=None if by_events else PANE_MS * rng.choice([1, 4, 10]),
        step_events=rng.choice([5, 20]) if by_events else None,
        max_delay_ms=PANE_MS * rng.choice([0, 20, 50, 100]) + rng.choice([0, 3]),
        max_early_ms=PANE_MS * rng.choice([0, 2, 10]) + rng.choice([0, 7]),
        pending=rng.choice([10, 60, 150, 10**6]),
        is_regression=is_regression,
    )


@dataclass
class Row:
    """A prediction of the oracle."""

    pane: int
    value: Value
    probability: float
    cohort: int
    label: Value | None = None


@dataclass
class Cohort:
    start: int
    end: int | None
    predictions: int = 0
    labelled: int = 0
    closed: str | None = None


@dataclass
class Change:
    """What a pane has changed: pairs added with prediction time, label time and is_first; pairs removed."""

    opened: int | None = None
    closed: list[tuple[int, str, int, int | None]] = field(default_factory=list)
    added: list[tuple[Pair, int, int, bool]] = field(default_factory=list)
    removed: list[Pair] = field(default_factory=list)


class Oracle:
    """One row after the other."""

    def __init__(self, spec: JoinSpec) -> None:
        self.spec = spec
        self.cohorts: list[Cohort] = []
        self.rows: dict[int, list[Row]] = {}
        self.waiting: list[Label] = []
        self.counters = dict.fromkeys(COUNTERS, 0)

    def fold(self, now: int, predictions: list[tuple[int, Value, float]], labels: list[Label]) -> Change:
        change, spec = Change(), self.spec
        for number, cohort in enumerate(self.cohorts):
            if not cohort.closed and cohort.end is not None and cohort.end + spec.max_delay_ms <= now:
                self.close(number, "age", None, change)
        self.leave([label for label in self.waiting if now - label.since > spec.max_early_ms])
        fresh = self.predict(now, predictions, change)
        if fresh:
            self.keep_to_budget(now + spec.pane_ms, change)
        early = [label for label in self.waiting if label.id in fresh and self.live(label.id)]
        self.waiting = [label for label in self.waiting if label not in early]
        self.counters["early"] += len(early)
        for label in [*early, *labels]:
            self.label(label, now, change)
        if any(label.since == now for label in self.waiting):
            self.leave(self.waiting[: max(len(self.waiting) - spec.pending // 10, 0)])
        return change

    def close(self, number: int, why: str, needed: int | None, change: Change) -> None:
        cohort = self.cohorts[number]
        cohort.closed = why
        change.closed.append((number, why, cohort.predictions - cohort.labelled, needed))
        if why == "budget":
            self.counters["left_out"] += cohort.predictions - cohort.labelled

    def leave(self, labels: list[Label]) -> None:
        self.counters["unmatched"] += len(labels)
        for label in labels:
            self.waiting.remove(label)

    def live(self, id_: int) -> list[Row]:
        return [row for row in self.rows.get(id_, []) if not self.cohorts[row.cohort].closed]

    def predict(self, now: int, predictions: list[tuple[int, Value, float]], change: Change) -> set[int]:
        fresh = set[int]()
        for id_, value, probability in predictions:
            if id_ in fresh or self.live(id_):
                self.counters["repeated_predictions"] += 1
                continue
            fresh.add(id_)
            self.counters["predictions"] += 1
            newest = self.cohorts[-1] if self.cohorts else None
            step = self.spec.step_ms
            if newest is not None and newest.end is None and step is not None:
                newest.end = now
            if newest is None or (newest.end is not None and newest.end <= now):
                start = now if step is None else now - now % step
                end = None if step is None else start + step
                newest = Cohort(start if newest is None else max(start, newest.end or 0), end)
                self.cohorts.append(newest)
                change.opened = len(self.cohorts) - 1
            newest.predictions += 1
            self.rows.setdefault(id_, []).append(Row(now, value, probability, len(self.cohorts) - 1))
            self.counters["left_out"] += newest.closed is not None
        if fresh and self.spec.step_events is not None and self.cohorts[-1].predictions >= self.spec.step_events:
            self.cohorts[-1].end = now + self.spec.pane_ms
        return fresh

    def keep_to_budget(self, pane_end: int, change: Change) -> None:
        needed = None
        while (live := sum(c.predictions for c in self.cohorts if not c.closed)) > self.spec.pending:
            number, oldest = next((n, c) for n, c in enumerate(self.cohorts) if not c.closed)
            if needed is None:
                length = (pane_end if oldest.end is None else oldest.end) - oldest.start
                whole = live * (self.spec.max_delay_ms + length)
                needed = max(-(-whole // (pane_end - oldest.start)), live)
            self.close(number, "budget", needed, change)

    def label(self, label: Label, now: int, change: Change) -> None:
        rows = self.live(label.id)
        if not rows:
            self.waiting.append(label._replace(since=now))
            return
        (row,) = rows
        if row.label == label.value:
            self.counters["repeated_labels"] += 1
            return
        if row.label is None:
            self.cohorts[row.cohort].labelled += 1
            self.counters["joined"] += 1
        else:
            self.counters["corrections"] += 1
            change.removed.append((row.cohort, row.label, row.value, row.probability))
        pair = (row.cohort, label.value, row.value, row.probability)
        change.added.append((pair, row.pane, label.time, row.label is None))
        row.label = label.value

    def live_from(self) -> float:
        return min((cohort.start for cohort in self.cohorts if not cohort.closed), default=math.inf)

    def live_pairs(self) -> list[Pair]:
        """By cohort and id."""
        found = [(row.cohort, id_, row) for id_ in self.rows for row in self.live(id_) if row.label is not None]
        ordered = sorted(found, key=lambda place: place[:2])
        return [(c, row.label, row.value, row.probability) for c, _, row in ordered if row.label is not None]


# ---------------------------------------------------------------------- both at once


def arrays(log: Log, pane: int) -> tuple[Predictions, Labels]:
    """The rows of a pane as the join takes them."""
    kind = log.spec.value_type
    predictions, labels = log.predictions.get(pane, []), log.labels.get(pane, [])
    return (
        Predictions(
            np.array([row[0] for row in predictions], np.uint64),
            typed([row[1] for row in predictions], kind),
            np.array([row[2] for row in predictions], np.float32),
        ),
        Labels(
            np.array([label.id for label in labels], np.uint64),
            typed([label.value for label in labels], kind),
            np.array([label.time for label in labels], np.int64),
        ),
    )


def typed(values: list[Value], kind: ValueType) -> Values:
    column = np.empty(len(values), dtype=kind)
    column[:] = values
    return column


def pairs_of(pairs: JoinedPairs) -> list[Pair]:
    cohort, truth, prediction, probability = (column.tolist() for column in pairs)
    return list(zip(cohort, truth, prediction, probability, strict=True))


def same(ours: object, theirs: object) -> bool:
    """Equal, NaN too."""
    return repr(ours) == repr(theirs)


def change_of(joined: Joined) -> Change:
    added = zip(
        pairs_of(joined.added),
        joined.prediction_time.tolist(),
        joined.label_time.tolist(),
        joined.is_first.tolist(),
        strict=True,
    )
    return Change(
        joined.opened,
        [(c.number, c.why, c.unlabelled, c.needed) for c in joined.closed],
        list(added),
        pairs_of(joined.removed),
    )


def cohorts_of(join: Join) -> list[Cohort]:
    """The cohorts, which are the same as columns."""
    columns = join.cohort_columns()
    rows = zip(*(column.tolist() for column in columns[1:]), strict=True)
    ends = {one.end for one in join.cohorts if one.end is not None}
    assert [(start, end if end in ends else None, *rest) for start, end, *rest in rows] == [
        (c.start, c.end, c.predictions, c.labelled, c.closed is None) for c in join.cohorts
    ]
    assert not join.cohorts or columns.first == join.cohorts[0].number
    return [Cohort(c.start, c.end, c.predictions, c.labelled, c.closed) for c in join.cohorts]


class Topic:
    """Where pieces are written, each once; and what of them a snapshot lists."""

    def __init__(self) -> None:
        self.pieces: dict[str, bytes] = {}

    def snapshot(self, join: Join) -> bytes:
        for name, value in join.blocks().items():
            assert (value is None) == (name in self.pieces), "a piece is written twice, or never"
            if value is not None:
                self.pieces[name] = value
        join.forget_bytes(join.blocks())
        return encoded(join)


def newest_time(piece: bytes, sizes: Sizes, oracle: Oracle) -> int:
    """The start of the newest pane of a piece's rows, which begin with id and pane."""
    rest = len(piece) // sizes.piece - 12
    rows = np.frombuffer(piece, dtype=[("id", "<u8"), ("pane", "<u4"), ("rest", "u1", (rest,))])
    return oracle.cohorts[0].start + int(rows["pane"].max()) * PANE_MS


def encoded(join: Join) -> bytes:
    return msgspec.msgpack.encode(join.state())


def restored(spec: JoinSpec, sizes: Sizes, state: bytes, pieces: Mapping[str, bytes]) -> Join:
    join = Join(spec, sizes)
    join.restore(msgspec.msgpack.decode(state, type=JoinState), pieces)
    return join


def check(seed: int) -> Counter[str]:
    """Fold a random log in all the ways; returns what it held."""
    log, rng = random_log(seed), random.Random(-seed - 1)
    sizes = Sizes(piece=rng.choice([3, 16]), run=rng.choice([4, 32, 1 << 20]))
    whole, stopped, lazy = Join(log.spec, sizes), Join(log.spec, sizes), Join(log.spec)
    spec, oracle, topic = log.spec, Oracle(log.spec), Topic()
    numbers = Counter[str]()
    for pane in range(log.panes):
        now, rows = START_MS + pane * PANE_MS, arrays(log, pane)
        if pane in log.changes:
            spec = oracle.spec = log.changes[pane]
            for join in (whole, stopped, lazy):
                join.use(spec)
        expected = oracle.fold(now, log.predictions.get(pane, []), log.labels.get(pane, []))
        due = lazy.next_closing()
        if len(rows[0].ids) or len(rows[1].ids) or (due is not None and due <= now):
            assert same(change_of(lazy.fold(now, *rows)), expected), (seed, pane)
        else:
            assert same(expected, Change()), (seed, pane)
        assert same(change_of(whole.fold(now, *rows)), expected), (seed, pane)
        assert same(change_of(stopped.fold(now, *rows)), expected), (seed, pane)
        for join in (whole, stopped, lazy):
            assert cohorts_of(join) == oracle.cohorts, (seed, pane)
            assert join.counters == oracle.counters, (seed, pane)
            assert join.waiting == len(oracle.waiting), (seed, pane)
            assert same(pairs_of(join.live_pairs()), oracle.live_pairs()), (seed, pane)
        assert encoded(stopped) == encoded(whole), (seed, pane)
        if rng.random() < 0.1:
            numbers["restored"] += 1
            stopped = restored(spec, sizes, topic.snapshot(stopped), topic.pieces)
            assert all(
                newest_time(topic.pieces[name], sizes, oracle) >= oracle.live_from() for name in stopped.blocks()
            )
            assert encoded(stopped) == encoded(whole), (seed, pane)
        numbers["cohorts closed by budget"] += sum(why == "budget" for _, why, *_ in expected.closed)
        numbers["pieces"] = len(topic.pieces)
    ends = sum(oracle.counters[name] for name in ("joined", "repeated_labels", "corrections", "unmatched"))
    assert ends + whole.waiting == sum(len(found) for pane, found in log.labels.items() if pane < log.panes), seed
    numbers["ids used again"] = sum(len(rows) > 1 for rows in oracle.rows.values())
    return numbers + Counter(oracle.counters)


@pytest.mark.parametrize("seed", range(30))
def test_the_join_is_that_of_the_oracle(seed: int) -> None:
    """After every pane, whatever the runs are, and wherever it was stopped and taken up."""
    check(seed)


def test_the_logs_hold_what_they_are_for() -> None:
    """Every counter moves, ids come again behind their cohort, and the budget closes cohorts."""
    held = sum((check(seed) for seed in range(30, 40)), Counter[str]())
    for name in (*COUNTERS, "ids used again", "cohorts closed by budget", "pieces", "restored"):
        assert held[name] >= 10, (name, held)


# ---------------------------------------------------------------------- what is refused


SPEC = JoinSpec(PANE_MS, 4 * PANE_MS, None, 1 << 40, 1 << 40, 10**6, is_regression=False)
SIZES = Sizes(piece=4)


def predictions_of(*ids: int) -> Predictions:
    column = np.array(ids, np.uint64)
    return Predictions(column, (column % 4).astype(np.uint8), np.full(len(ids), 0.5, np.float32))


def labels_of(*ids: int) -> Labels:
    column = np.array(ids, np.uint64)
    return Labels(column, (column % 3).astype(np.uint8), np.full(len(ids), START_MS))


def folded() -> tuple[bytes, dict[str, bytes]]:
    """A join as it was written: 90 predictions, the labels of 85 of them, and seven that wait."""
    join, topic = Join(SPEC, SIZES), Topic()
    for pane in range(23):
        ids = range(4 * pane + 8, 4 * pane + 12)
        join.fold(START_MS + pane * PANE_MS, predictions_of(*ids[: 4 if pane else 2]), labels_of(*(i - 5 for i in ids)))
    return topic.snapshot(join), topic.pieces


def test_a_piece_that_is_missing_or_damaged_is_refused() -> None:
    """Each one that is listed is needed, and what its name says."""
    state, pieces = folded()
    restored(SPEC, SIZES, state, pieces | {"pending/labels/999/x": b"of nobody"})
    assert len(pieces) > 10
    for name, value in pieces.items():
        with pytest.raises(FormatError, match="is not there, or damaged"):
            restored(SPEC, SIZES, state, {other: pieces[other] for other in pieces if other != name})
        with pytest.raises(FormatError, match="is not there, or damaged"):
            restored(SPEC, SIZES, state, pieces | {name: bytes([value[0] ^ 1]) + value[1:]})


def test_a_state_that_does_not_fit_its_pieces_is_refused() -> None:
    """Pieces of another kind or another order, rows that are cut, cohorts of other numbers."""
    encoded_state, pieces = folded()
    state = msgspec.msgpack.decode(encoded_state, type=JoinState)
    replace = msgspec.structs.replace
    predictions, labels, cohort = state.predictions, state.labels, state.cohorts[0]
    for planted in (
        replace(state, predictions=replace(predictions, names=labels.names)),
        replace(state, predictions=replace(predictions, names=predictions.names[::-1])),
        replace(state, predictions=replace(predictions, names=predictions.names[1:])),
        replace(state, predictions=replace(predictions, next=predictions.next - 1)),
        replace(state, predictions=replace(predictions, tail=predictions.tail + b"x")),
        replace(state, predictions=replace(predictions, tail=b"")),
        replace(state, labels=replace(labels, names=())),
        replace(state, labels=replace(labels, tail=4 * labels.tail)),
        replace(state, cohorts=(replace(cohort, predictions=cohort.predictions + 1), *state.cohorts[1:])),
        replace(state, cohorts=state.cohorts[::-1]),
        replace(state, cohorts=(replace(cohort, labelled=cohort.labelled + 1), *state.cohorts[1:])),
        replace(state, counters={}),
        replace(state, waiting=replace(state.waiting, values=state.waiting.values + b"x")),
    ):
        assert planted != state
        with pytest.raises(FormatError, match="not a snapshot"):
            restored(SPEC, SIZES, msgspec.msgpack.encode(planted), pieces)


def test_pieces_leave_the_list_with_their_cohorts() -> None:
    """When all have closed, none is listed, and the numbers of later ones go on."""
    state, pieces = folded()
    join = restored(SPEC._replace(max_delay_ms=0), SIZES, state, pieces)
    assert join.blocks().keys() == pieces.keys()
    join.fold(START_MS + 10**6, predictions_of(*range(8)), labels_of())
    later = join.blocks()
    assert later
    assert not later.keys() & pieces.keys()
    for kind in ("predictions", "labels"):
        assert min(numbers_of(kind, later)) == max(numbers_of(kind, pieces)) + 1


def numbers_of(kind: str, pieces: Iterable[str]) -> list[int]:
    split = (name.split("/") for name in pieces)
    return [int(number) for _, of, number, _ in split if of == kind]


def test_forgotten_cohorts_are_those_that_have_closed() -> None:
    """Live ones stay, and so does the newest."""
    state, pieces = folded()
    join = restored(SPEC, SIZES, state, pieces)
    numbers = [cohort.number for cohort in join.cohorts]
    join.forget_before(numbers[-1])
    assert [cohort.number for cohort in join.cohorts] == numbers
    join.use(SPEC._replace(max_delay_ms=0))
    join.fold(START_MS + 10**6, predictions_of(), labels_of())
    assert all(cohort.closed for cohort in join.cohorts)
    join.forget_before(numbers[3])
    assert [cohort.number for cohort in join.cohorts] == numbers[3:]
    assert len(cohorts_of(join)) == len(numbers) - 3
    join.forget_before(numbers[-1] + 1)
    assert [cohort.number for cohort in join.cohorts] == numbers[-1:]
    again = restored(SPEC, SIZES, encoded(join), {})
    assert encoded(again) == encoded(join)


def test_rows_of_another_pane_or_task_need_another_join() -> None:
    """What is held could not be read."""
    for other in (SPEC._replace(pane_ms=5), SPEC._replace(is_regression=True)):
        with pytest.raises(ValueError, match="is not for rows of"):
            Join(SPEC).use(other)


if __name__ == "__main__":
    first, seeds = int(sys.argv[1]), int(sys.argv[2])
    total = sum((check(seed) for seed in range(first, first + seeds)), Counter[str]())
    print(f"{seeds} logs are as the oracle has them: {dict(total)}")
