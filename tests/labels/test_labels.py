"""Predictions with their labels, against a slow oracle: windows, counters, outcomes and alerts.

Each check is shown to bite: planted faults have to fail it. `python -m tests.labels.run --logs 300` is the full run.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from monitor.evaluate import performance as performance_of_labels
from monitor.evaluate.cohort_pairs import CohortPairs
from monitor.evaluate.join import Join
from monitor.evaluate.join_values import Joined, Labels
from monitor.evaluate.keyed_panes import Coding
from monitor.evaluate.performance import Performance
from monitor.evaluate.pieces import Pieces, Table
from monitor.evaluate.state import PiecesState, WaitingState
from monitor.evaluate.waiting_labels import WaitingLabels
from monitor.events import Int64s, Rows
from monitor.panes.keyed import KeyedRows
from monitor.panes.rows import take
from monitor.profile.model_panes import ModelPanes
from tests.determinism import logs as plain
from tests.labels import logs, ways

SHORT_S = 50
"""Seconds of event time of a short log."""


@pytest.mark.parametrize("seed", [5, 13, 16, 23])
def test_the_engine_says_what_the_oracle_says(seed: int) -> None:
    """Every window, counter, outcome and alert on performance, also in random batches and after restarts."""
    assert ways.check(logs.random_log(seed)) == []


def test_a_snapshot_at_every_entry_changes_nothing() -> None:
    """Also before there is a grid, while labels wait, and where cohorts close."""
    log = logs.random_log(4, 24)
    entries, messages = ways.ledger(log, random.Random(0))
    assert ways.as_if_never_stopped(entries, range(2, len(entries)), messages) == []


def test_drift_of_outcomes_goes_on_from_a_snapshot() -> None:
    """Also while the rows of its reference come, which has the moments of all of them."""
    log = logs.random_log(9, SHORT_S)
    messages, performance = logs.run(log)
    reference = performance.outcomes.reference
    assert reference is not None
    assert reference.moments is not None
    assert reference.moments.rows == reference.events
    labels = [msgspec.json.decode(m.value)["data"]["labels"] for m in messages if m.topic == "alerts"]
    assert {"alertname": "Drift", "metric": "drift", "model": "m", "stream": "outcomes"} in labels
    entries, published = ways.ledger(logs.random_log(18, SHORT_S), random.Random(0))  # these rows come slowly
    assert ways.as_if_never_stopped(entries, range(2, len(entries), 5), published) == []


@pytest.mark.parametrize("seed", [0, 3])
def test_a_service_that_is_killed_says_what_its_replay_says(seed: int) -> None:
    """To the byte, and what the oracle says with the heartbeats that it gave."""
    assert ways.served(logs.random_log(seed, SHORT_S), kills=6) == []


def test_the_logs_are_worth_it() -> None:
    """All that labels can do is in them: what the oracle counts, and what alerts do."""
    counters = dict.fromkeys(("unmatched", "early", "corrections", "repeated_labels", "left_out", "waiting"), 0)
    statuses = {"firing": 0, "resolved": 0}
    tasks = set()
    for seed in (2, 5, 7, 11, 13, 20, 21, 24, 27):
        log = logs.random_log(seed, SHORT_S)
        messages, performance = logs.run(log)
        tasks.add(log.config.models[0].rules.task)
        for name in counters:
            counters[name] += performance.counters[name] > 0
        alerts = [msgspec.json.decode(m.value) for m in messages if m.topic == "alerts"]
        for status in statuses:
            statuses[status] += any(a["data"].get("status") == status for a in alerts if "performance" in a["subject"])
    assert tasks == set(logs.RULES)
    assert min(counters.values()) >= 1, counters
    assert min(statuses.values()) >= 4, statuses


def test_a_rule_without_a_window_behind_its_reference_says_so() -> None:
    """Windows were judged by other rules, but all overlap what the reference was made of."""
    engine = plain.replay_of(logs.random_log(12, 30).plain)
    for batch in plain.pieces(logs.random_log(12, 30).plain, None):
        engine.feed(batch)
    engine.finish({})
    found = {one.rule.alert: one for one in engine._evaluate.models["m"].coverage()}
    assert [one.why for one in found["Below"].never] == ["no window (events=60) behind the reference has ended"]
    assert found["Early"].judged


@pytest.mark.parametrize("share", [0.0, 0.01])
def test_labels_that_never_come_leave_a_bounded_number_of_cohorts(
    monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    """However long the log is, and if so few come that there is never a reference: all that is kept is in snapshots."""
    monkeypatch.setattr(performance_of_labels, "MOST_COHORTS", 30)
    whole = logs.random_log(15)
    kept = random.Random(0)
    few = {tp: [v for v in of if tp.topic != logs.LABELS or kept.random() < share] for tp, of in whole.records.items()}
    assert not whole.heartbeats
    log = replace(whole, records=few)
    _, performance = logs.run(log)
    spec = log.config.models[0].rules.performance
    assert spec is not None
    assert spec.step_ms is not None
    assert spec.max_delay_ms // spec.step_ms < 15
    assert performance.reference is None
    assert performance._join.cohorts[-1].number > 45
    assert len(performance._join.cohorts) <= 31


# ---------------------------------------------------------------------- planted faults


def poll_order(patch: pytest.MonkeyPatch) -> None:
    """Labels of a pane one partition after the other."""
    labels = Coding.labels

    def as_they_came(coding: Coding, parts: Iterable[KeyedRows]) -> Labels:
        found = labels(coding, ())
        for part in parts:
            found = found.followed_by(labels(coding, [part]))
        return found

    patch.setattr(Coding, "labels", as_they_came)


def late_labels_dropped(patch: pytest.MonkeyPatch) -> None:
    """Labels behind the watermark take no part, as other rows that are late."""
    add = ModelPanes._add_labels

    def in_time(panes: ModelPanes, rows: Rows, index: Int64s, state_of: Callable[[int], object]) -> None:
        kept = np.flatnonzero(rows.time // panes.contract.pane_ms == index)
        add(panes, take(rows, kept), index[kept], state_of)  # type: ignore[arg-type]

    patch.setattr(ModelPanes, "_add_labels", in_time)


def correction_only_adds(patch: pytest.MonkeyPatch) -> None:
    """The pair that a correction replaces goes on counting."""
    take_all = CohortPairs.take

    def added(pairs: CohortPairs, joined: Joined, classes: int) -> None:
        nothing = joined.removed._replace(**{name: column[:0] for name, column in joined.removed._asdict().items()})
        take_all(pairs, joined._replace(removed=nothing), classes)

    patch.setattr(CohortPairs, "take", added)


def pieces_without_pane(patch: pytest.MonkeyPatch) -> None:
    """Labels are found again by their id alone: also those of a prediction of that id whose cohort has closed."""
    restore = Pieces.restore

    def by_id(
        pieces: Pieces, state: PiecesState, blocks: Mapping[str, bytes], live_from: int | None, most: int
    ) -> Iterator[Table]:
        of_labels = pieces._kind == "pending/labels"
        return restore(pieces, state, blocks, 0 if of_labels and live_from is not None else live_from, most)

    def label(join: Join, tables: Iterable[Table]) -> None:
        for table in tables:
            for row in table:
                places = join._runs.find(row["id"][np.newaxis])
                if places.run[0] >= 0:
                    join._runs.label(places, row["value"][np.newaxis])

    patch.setattr(Pieces, "restore", by_id)
    patch.setattr(Join, "_restore_labels", label)


def waiting_label_lost(patch: pytest.MonkeyPatch) -> None:
    """A snapshot lacks the newest of the labels that wait."""
    state = WaitingLabels.state

    def without_newest(waiting: WaitingLabels) -> WaitingState:
        found = state(waiting)
        size = len(found.values) // max(len(waiting), 1)
        ends = {"ids": -8, "times": -8, "since": -8, "values": -size}
        return msgspec.structs.replace(
            found, **{name: getattr(found, name)[:end] for name, end in ends.items() if len(waiting)}
        )

    patch.setattr(WaitingLabels, "state", without_newest)


def reference_judged_by_itself(patch: pytest.MonkeyPatch) -> None:
    """Windows are compared with a reference that was made of them."""
    patch.setattr(Performance, "reference_end", None)


def by_the_oracle(seed: int) -> bool:
    return not ways.as_the_oracle(logs.random_log(seed, SHORT_S))[1]


def by_restarts(seed: int) -> bool:
    rng = random.Random(seed)
    entries, messages = ways.ledger(logs.random_log(seed, SHORT_S), rng)
    return not ways.as_if_never_stopped(entries, rng.sample(range(2, len(entries)), 12), messages)


@pytest.mark.parametrize(
    ("plant", "holds", "seeds"),
    [
        (poll_order, by_the_oracle, (5, 11, 15, 16, 17)),
        (late_labels_dropped, by_the_oracle, (1, 5, 7, 11, 13)),
        (correction_only_adds, by_the_oracle, (1, 5, 13, 15, 16)),
        (reference_judged_by_itself, by_the_oracle, (0, 4, 5, 12, 14)),
        (pieces_without_pane, by_restarts, (34, 62, 79, 97, 100)),
        (waiting_label_lost, by_restarts, (5, 13, 15, 20, 23)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_planted_fault_is_found(
    plant: Callable[[pytest.MonkeyPatch], None],
    holds: Callable[[int], bool],
    seeds: tuple[int, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each fault fails five logs, two of which are shown to pass without it."""
    with monkeypatch.context() as patch:
        plant(patch)
        assert [seed for seed in seeds if holds(seed)] == []
    assert [seed for seed in seeds[:2] if not holds(seed)] == []
