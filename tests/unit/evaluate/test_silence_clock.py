"""What is decided while the silence clock is ahead of the panes: live and replayed it counts alike."""

from __future__ import annotations

import random

import msgspec
import pytest

from monitor.config import load
from monitor.evaluate.messages import Message
from monitor.evaluate.model import ModelFold, Output
from monitor.events import TopicPartition
from monitor.ledger.entries import Activation, Decision, Heartbeat, PartitionSet, Watermark, new_decision
from monitor.runner.announce import rules_decision
from tests.unit.evaluate.test_empty_runs import CONFIG, PANE, PLACE, a_config, a_log, changes
from tests.unit.making import TOPIC

AHEAD = 40
"""Panes that the silence clock may be ahead."""


def a_set(partitions: int) -> Decision:
    content = msgspec.json.encode(PartitionSet({"features": (TOPIC, partitions)})).decode()
    return new_decision("m", "set", content)


@pytest.mark.parametrize("seed", range(30))
def test_sets_and_rules_that_are_read_in_a_silence_count_alike_live_and_replayed(seed: int) -> None:
    """A set that adds a partition, or takes one away, other rules: the clock and what is judged by it are the same."""
    rng = random.Random(seed)
    model, panes = a_config(rng), a_log(rng)
    other = rules_decision(a_config(rng)) if rng.random() < 0.5 else rules_decision(model)
    last = panes[-1].index + 50
    stalls = sorted(rng.sample(range(502, last), 5))

    def marks(end: int) -> dict[TopicPartition, Watermark]:
        return {TopicPartition(TOPIC, p): Watermark(TOPIC, p, end * PANE, 500 * PANE) for p in range(3)}

    silences: list[tuple[int, Heartbeat]] = []
    live, found = ModelFold("m", PLACE), list[Output]()
    for change in changes(model):
        found += live.read(change)
    for end in [*stalls, last]:
        for pane in panes:
            if pane.index < end and pane.start >= (live._next or 0):
                live.read(pane)
        found += live.advance(marks(end))
        for _ in range(rng.randint(0, 4)):
            if rng.random() < 0.6:
                silent_to = (end + rng.randint(1, AHEAD)) * PANE
                beat = Heartbeat(TOPIC, rng.randrange(3), len(silences), silent_to=silent_to, at=end * PANE)
                silences.append((end, beat))
                live.read(beat)
            else:
                found += live.read(rng.choice([a_set(rng.randint(1, 3)), other, rules_decision(model)]))
            found += live.advance(marks(end))

    replay, again = ModelFold("m", PLACE, [o for o in found if isinstance(o, Activation)]), list[Output]()
    for _, beat in silences:
        replay.read(beat)
    for pane in panes:
        replay.read(pane)
    again += replay.advance(marks(last))
    assert [o for o in again if isinstance(o, Message)] == [o for o in found if isinstance(o, Message)]


def test_a_partition_that_a_model_has_left_does_not_move_its_silence_clock() -> None:
    """Until the next pane the clock goes by the partitions before; what one says of others is none of its silence."""
    model = ModelFold("m", PLACE)
    for change in changes(a_config(random.Random(1)), 2):
        model.read(change)
    marks = {TopicPartition(TOPIC, p): Watermark(TOPIC, p, 510 * PANE, 500 * PANE) for p in range(2)}
    list(model.advance(marks))
    clocks = []
    for without in (("m",), ()):
        for p in range(2):
            beat = Heartbeat(TOPIC, p, p, silent_to=600 * PANE, at=510 * PANE, without=without if p else ())
            model.read(beat)
        clocks.append(model._silence.advance(510 * PANE, 511 * PANE) // PANE)
    assert clocks == [510, 600]


def a_length(rng: random.Random) -> Decision:
    """Rules on silence alone, with panes of some length."""
    silence, length = rng.choice([4, 10, 30]), rng.choice([1, 2, 4, 10])
    text = CONFIG.format(
        window="{time: 20s}", other="{time: 40s}", interval=length, hold=0, keep=0, few=1, op=">", silence=silence,
        cooldown=0, long=30, wait="for: 0s", recovery="", back="",
    ).replace("pane: 2s", f"pane: {length}s")  # fmt: skip
    return rules_decision(load(text, "alerts.yaml").models[0])


@pytest.mark.parametrize("seed", range(60))
def test_panes_of_another_length_in_a_silence_count_alike_live_and_replayed(seed: int) -> None:
    """The silence that was judged before they came stays judged by the rules before, and no more than that."""
    rng = random.Random(seed)
    model = a_config(rng)
    watermarks = {TopicPartition(TOPIC, p): 500 * PANE for p in range(2)}

    def marks() -> dict[TopicPartition, Watermark]:
        return {tp: Watermark(*tp, at, 500 * PANE) for tp, at in watermarks.items()}

    beats = list[Heartbeat]()
    live, found = ModelFold("m", PLACE), list[Output]()
    for change in changes(model, 2):
        found += live.read(change)
    found += live.advance(marks())
    for _ in range(40):
        tp = rng.choice(sorted(watermarks))
        step = rng.randrange(10)
        if step < 4:
            watermarks[tp] += rng.choice([300, 1100, 2000, 5000])
        elif step < 8:
            at = watermarks[tp]
            beats.append(Heartbeat(*tp, len(beats), silent_to=at + rng.randrange(60_000), at=at))
            live.read(beats[-1])
        else:
            found += live.read(a_length(rng))
        found += live.advance(marks())

    replay, again = ModelFold("m", PLACE, [o for o in found if isinstance(o, Activation)]), list[Output]()
    for beat in beats:
        replay.read(beat)
    again += replay.advance(marks())
    assert [o for o in again if isinstance(o, Message)] == [o for o in found if isinstance(o, Message)]
