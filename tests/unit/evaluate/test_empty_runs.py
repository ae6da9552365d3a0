"""Silence: a run of panes that are empty everywhere is folded in one step, and says what pane by pane would say."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator, Mapping, Sequence

import msgspec
import numpy as np
import pytest

from monitor.config import load
from monitor.config.resolved import ModelConfig
from monitor.evaluate.alerts import Place
from monitor.evaluate.empty_runs import Quiet, Timetable
from monitor.evaluate.judging import Judge
from monitor.evaluate.lane import Lane
from monitor.evaluate.messages import Message
from monitor.evaluate.model import ModelFold, Output
from monitor.evaluate.reference import build_reference, encode_reference
from monitor.events import Rows, StreamName, TopicPartition
from monitor.ledger.entries import Activation, Decision, Heartbeat, PartitionSet, Watermark, new_decision
from monitor.panes.grid import CategoryBins, Grid
from monitor.panes.keyed import KeyedRows
from monitor.panes.open_pane import OpenPane
from monitor.panes.pane import Pane, RawPane
from monitor.panes.rows import empty
from monitor.runner.announce import rules_decision
from tests.unit.making import FEATURES, GRID, NONE, PREDICTIONS, TOPIC, TP, grid_decision, lane_of, pane, rows

PANE = 2000
PLACE = Place("/s", "http://localhost", "0", "c")
CONFIG = """
version: 1
defaults: {{window: {window}, lateness: 2s, pane: 2s, interval: {interval}s}}
models:
  m:
    task: classification_binary
    streams: {{features: {{topic: ml.features}}}}
    columns: {{numerical: [x, y], categorical: [c]}}
    reference: {{first: 5000}}
groups:
  - name: g
    models: [m]
    rules:
      - {{alert: Psi, expr: psi > 0.5, for: {hold}s, keep_firing_for: {keep}s}}
      - {{alert: Ks, expr: ks > 0.3, window: {other}, for: {hold}s, keep_firing_for: {keep}s}}
      - {{alert: Few, expr: events < {few}, window: {other}, {wait}, keep_firing_for: {keep}s, min_events: 0}}
      - {{alert: Many, expr: events > {few}, window: {other}, for: {hold}s, keep_firing_for: {keep}s{recovery}}}
      - {{alert: Late, expr: late_rate > 0.2, keep_firing_for: {keep}s, min_events: 0}}
      - {{alert: Silence, expr: seconds_since_last_event {op} {silence}, for: {hold}s, keep_firing_for: {keep}s}}
      - {{alert: Brief, expr: seconds_since_last_event < {silence}{back}, keep_firing_for: {keep}s}}
retraining:
  - trigger: a
    models: [m]
    when: {{any: [Psi, Ks]}}
    cooldown: {cooldown}s
    training_window: {{since: first_violation, max: 1h}}
  - trigger: b
    models: [m]
    when: {{any: [Few, Silence]}}
    cooldown: {long}s
    training_window: {{since: first_violation, max: 1h}}
"""


UNLESS: list[dict[str, str]] = [
    {},
    {"Few": "Silence"},
    {"Few": "NoData, Brief", "Ks": "Many"},
    {"Many": "Few", "Psi": "Many"},
    {"Many": "Brief, Few", "Few": "Silence"},
]


def a_config(rng: random.Random) -> ModelConfig:
    windows = [
        "{events: 30, every: 10}",
        "{events: 20}",
        "{time: 20s, every: 4s}",
        "{time: 12s}",
        "{time: 60s, every: 30s}",
    ]
    text = CONFIG.format(
        window=rng.choice(windows),
        other=rng.choice(windows[2:]),
        interval=rng.choice([2, 4, 6]),
        hold=rng.choice([0, 4, 10]),
        recovery=rng.choice(["", ", recovery_threshold: 0.5"]),
        back=rng.choice(["", ", recovery_threshold: 31", ", recovery_threshold: 44.5"]),
        wait=rng.choice(["for: 0s", "for: 4s", "for: 10s", "for_windows: 2", "for_windows: 7"]),
        keep=rng.choice([0, 6, 40]),
        few=rng.choice([1, 20]),
        op=rng.choice([">", ">="]),
        silence=rng.choice([4, 10, 30.5]),
        cooldown=rng.choice([0, 10, 50]),
        long=rng.choice([30, 70]),
    )
    for alert in rng.choice([[], ["Psi", "Ks", "Late", "Many"], ["Psi", "Ks"]]):
        text = text.replace(f"alert: {alert},", f"alert: {alert}, under: Few,")
    for alert, others in rng.choice(UNLESS).items():
        text = text.replace(f"alert: {alert},", f"alert: {alert}, unless: [{others}],")
    return load(text, "alerts.yaml").models[0]


LANE = lane_of(a_config(random.Random(0)).contract)
"""Their contracts are the same."""


def a_log(rng: random.Random, partitions: int = 1) -> list[Pane]:
    """Panes with gaps of every length between them; some drifted, some with late rows alone."""
    panes: list[Pane] = []
    index = 500
    at = dict.fromkeys(range(partitions), 100)
    for _ in range(rng.randint(3, 14)):
        index += rng.choice([1, 1, 2, 3, 9, 40, 200])
        for p in range(partitions):
            n, late = rng.choice([0, 5, 11, 30]), rng.choice([0, 0, 3])
            if n or late:
                first = at[p] + 10_000 * rng.randint(0, 1)
                panes.append(pane(index, list(range(first, first + n)), TopicPartition(TOPIC, p), late, PANE, LANE))
                at[p] += n
    return panes


def partition_set(streams: dict[StreamName, tuple[str, int]]) -> Decision:
    return new_decision("m", "set", msgspec.json.encode(PartitionSet(streams)).decode())


def changes(model: ModelConfig, partitions: int = 1) -> list[Decision]:
    """What begins a model with the grid of `making`: set, grid, reference, rules."""
    lane = lane_of(model.contract)
    reference = build_reference(GRID, rows(list(range(400)), list(range(400))), "test")
    return [
        partition_set({"features": (TOPIC, partitions)}),
        grid_decision(GRID, lane),
        new_decision("m", "reference", encode_reference(reference), "features", lane=lane),
        rules_decision(model),
    ]


def fold_all(model: ModelConfig, panes: Sequence[Pane], ends: Sequence[int]) -> list[Message]:
    """All messages, when watermarks come as `ends` (pane indices, ascending) say."""
    fold = ModelFold("m", PLACE, [Activation(change, None) for change in changes(model)])
    outputs: list[Output] = []
    for end in ends:
        for one in panes:
            if end > one.index >= (fold._next or 0) // PANE:
                fold.read(one)
        outputs += fold.advance({TP: Watermark(*TP, end * PANE, 500 * PANE)})
    return [output for output in outputs if isinstance(output, Message)]


def pane_by_pane(self: Judge, lanes: Mapping[StreamName, Lane], first_end: int, last_end: int) -> Iterator[Message]:
    for end in range(first_end, last_end + 1, PANE):
        yield from self.judge_pane(lanes, dict.fromkeys(lanes), end)


@pytest.mark.parametrize("seed", range(24))
def test_an_empty_run_publishes_what_pane_by_pane_does(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the run is cut by watermarks, with windows of time, `for`, `keep_firing_for`, silence, cooldowns."""
    rng = random.Random(seed)
    model, panes = a_config(rng), a_log(rng)
    last = panes[-1].index + 1 + rng.choice([0, 3, 100, 500]) if panes else 600
    cuts = sorted({*(rng.randint(501, last) for _ in range(rng.randint(0, 6))), last})
    at_once, cut = fold_all(model, panes, [last]), fold_all(model, panes, cuts)
    monkeypatch.setattr(Judge, "judge_empty_run", pane_by_pane)
    slow = fold_all(model, panes, [last])
    assert [(m.topic, m.at, m.key) for m in at_once] == [(m.topic, m.at, m.key) for m in slow]
    assert at_once == slow
    assert cut == slow


@pytest.mark.parametrize("years", [1, 20])
@pytest.mark.parametrize("seed", range(6))
def test_a_hole_is_judged_a_few_hundred_times_however_long_it_is(
    seed: int, years: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With alerts that are pending or fire on each kind of window, timers, triggers and rules on silence."""
    rng = random.Random(seed)
    model, panes = a_config(rng), a_log(rng)
    judged: list[int] = []
    judge = Judge._judge

    def counted(self: Judge, at: int, since: int) -> Iterator[Message]:
        judged.append(at)
        return judge(self, at, since)

    monkeypatch.setattr(Judge, "_judge", counted)
    last = panes[-1].index + 1
    before = len(fold_all(model, panes, [last])), len(judged)
    messages = fold_all(model, panes, [last + years * 365 * 86_400_000 // PANE])
    assert len(judged) - 2 * before[1] < 300
    assert len(messages) - before[0] < 300


def at_every_multiple(self: Timetable, at: int, quiet: Quiet) -> int:
    return at + self._interval


@pytest.mark.parametrize("seed", [*range(40), 1017, 1110])
def test_rules_that_change_while_the_silence_clock_is_ahead_are_judged_as_at_every_interval(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the log is cut: the new rules see the silence where its clock goes on, and no later."""
    rng = random.Random(seed)
    before, panes = a_config(rng), a_log(rng)
    after = dataclasses.replace(a_config(rng), contract=before.contract)
    last = panes[-1].index + rng.choice([10, 100])
    watermarks = sorted(rng.sample(range(502, last), 4))
    silences = [
        Heartbeat(*TP, offset, watermark=None, silent_to=(end + rng.randint(1, 60)) * PANE + 7, at=end * PANE)
        for offset, end in enumerate(watermarks)
    ]
    changed = Activation(rules_decision(after), (rng.choice(watermarks) + rng.randint(0, 2)) * PANE)
    recorded = [*(Activation(change, None) for change in changes(before)), changed]

    def folded(cuts: Sequence[int]) -> list[Message]:
        fold, outputs = ModelFold("m", PLACE, recorded), list[Output]()
        for end in sorted({*cuts, last}):
            entries: list[Heartbeat | Pane] = [*silences, *panes]
            for one in entries:
                at = one.index if isinstance(one, Pane) else (one.at or 0) // PANE
                if end > at >= (fold._next or 0) // PANE:
                    fold.read(one)
            outputs += fold.advance({TP: Watermark(*TP, end * PANE, 500 * PANE)})
        return [output for output in outputs if isinstance(output, Message)]

    at_once, cut = folded([]), folded(rng.sample(range(502, last), 5))
    monkeypatch.setattr(Timetable, "next", at_every_multiple)
    slow = folded([])
    assert at_once == slow
    assert cut == slow


LABELS = "ml.labels"
TWO_STREAMS = """
version: 1
defaults: {{window: {{events: 30}}, lateness: 2s, pane: {pane}s, interval: 4s}}
models:
  m:
    task: classification_binary
    streams: {{features: {{topic: ml.features}}, predictions: {{topic: ml.predictions}}}}
    columns: {{numerical: [x, y], categorical: [c], prediction: p}}
    reference: {{first: 30s}}
groups: [{{name: g, models: [m], rules: [{{alert: Psi, expr: psi > 0.5}}]}}]
"""
LABELLED = """
version: 1
defaults: {window: {events: 30}, lateness: 2s, pane: 2s, interval: 2s}
models:
  m:
    task: classification_binary
    streams: {predictions: {topic: ml.predictions}, labels: {topic: ml.labels, max_delay: 200s}}
    columns: {id: id, label: y, prediction: p}
    performance: {window: {time: 4s}, mature: 0.5}
    reference: {first: 5000}
groups: [{name: g, models: [m], rules: [{alert: Errors, expr: error_rate > 0.9}]}]
"""


def seal(fold: ModelFold, topics: Sequence[str], ends: Sequence[int]) -> list[Message]:
    """The messages, when the first partition of each topic seals up to each of `ends` (ms) in turn."""
    tps = [TopicPartition(topic, 0) for topic in topics]
    outputs = [output for end in ends for output in fold.advance({tp: Watermark(*tp, end, 20_000) for tp in tps})]
    return [output for output in outputs if isinstance(output, Message)]


def raw(model: ModelConfig, index: int) -> RawPane:
    """Forty rows of features of one pane, before there is a grid."""
    lane, pane_ms = lane_of(model.contract), model.contract.pane_ms
    opened = OpenPane(empty("m", FEATURES, lane), TP, index, pane_ms, 8)
    offsets = range(index * 100, index * 100 + 40)
    opened.add(rows(offsets, [index * pane_ms + i for i in range(40)], lane=lane), None)
    return opened.seal_raw()


def test_a_reference_from_the_midst_of_a_pane_on_moves_no_pane() -> None:
    """One that counts from 50 s on in panes of 2 s leaves those of 4 s, which rules bring, at multiples of 4 s."""
    before, after = (load(TWO_STREAMS.format(pane=seconds), "alerts.yaml").models[0] for seconds in (2, 4))
    streams: dict[StreamName, tuple[str, int]] = {"features": (TOPIC, 1), "predictions": (PREDICTIONS, 1)}

    def folded(ends: Sequence[int]) -> list[Message]:
        fold = ModelFold("m", PLACE)
        for decision in (partition_set(streams), rules_decision(before)):
            fold.read(decision)
        fold.read(raw(before, 10))
        sealed = {TOPIC: 60_000, PREDICTIONS: 22_000}
        outputs = list(fold.advance({TopicPartition(t, 0): Watermark(t, 0, end, 20_000) for t, end in sealed.items()}))
        made = [one for one in outputs if isinstance(one, Activation) and one.decision.kind == "reference"]
        assert [one.at for one in made] == [50_000]
        fold.read(rules_decision(after))
        for index in (13, 14, 15):  # at once behind 50 s: another run of empty panes would end at a multiple again
            fold.read(raw(after, index))
        return seal(fold, (TOPIC, PREDICTIONS), ends)

    at_once = folded([100_000])
    assert at_once == folded(range(28_000, 100_001, 4000))
    assert [m.at for m in at_once if m.key == "m//features/lane"] == [24_000, 56_000, 60_000, 64_000, 84_000]


def keyed(model: ModelConfig, stream: StreamName, topic: str) -> KeyedRows:
    """Eight predictions of the pane that begins at 20 s, or their labels."""
    codes, nothing = np.arange(8, dtype=np.uint16) % 2, np.zeros(0)
    times = np.arange(20_000, 20_008) if stream == "labels" else NONE
    place = ("m", stream, lane_of(model.contract, stream), TopicPartition(topic, 0), 10, PANE, 0)
    ids = np.arange(1, 9, dtype=np.uint64)
    return KeyedRows(*place, ids, ("0", "1"), codes, nothing, nothing.astype(np.float32), times)


def predictions() -> tuple[Grid, Rows]:
    """Forty predictions, and the grid of such."""
    n = 40
    values, places = (["0", "1"] * (n // 2),), np.arange(n, dtype=np.int64)
    none, states = np.zeros((n, 0)), [np.zeros((n, columns), dtype=np.uint8) for columns in (0, 1)]
    part = np.zeros(n, dtype=np.int32)
    made = Rows("m", "predictions", "", places, part, places, none, states[0], values, states[1])
    return Grid("m", "predictions", (), (CategoryBins("prediction", ("0", "1"), 2, 2, 0),)), made


def test_the_lane_of_outcomes_opens_behind_the_pane_from_which_its_grid_counts() -> None:
    """That pane is empty, and so are all behind it; the first cohort had been complete before."""
    model = load(LABELLED, "alerts.yaml").models[0]
    lane, (grid, sample) = lane_of(model.contract, "predictions"), predictions()
    reference = encode_reference(build_reference(grid, sample, "test"))
    recorded = [
        Activation(partition_set({"predictions": (PREDICTIONS, 1), "labels": (LABELS, 1)}), None),
        Activation(rules_decision(model), None),
        Activation(grid_decision(grid, lane), 30_000),
        Activation(new_decision("m", "reference", reference, "predictions", lane=lane), 30_000),
    ]

    def folded(ends: Sequence[int]) -> list[Message]:
        fold = ModelFold("m", PLACE, recorded)
        fold.read(keyed(model, "predictions", PREDICTIONS))
        fold.read(keyed(model, "labels", LABELS))
        return seal(fold, (PREDICTIONS, LABELS), ends)

    at_once = folded([100_000])
    assert at_once == folded(range(22_000, 100_001, PANE))
    opened = [m.at for m in at_once if m.key == "m//outcomes/lane" and b'"state":"reference"' in m.value]
    assert opened == [32_000]
