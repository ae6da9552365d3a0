"""Evaluation is a function of the ledger alone: neither its cuts nor how partitions interleave change anything."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec
import pytest

from monitor.config import load
from monitor.config.resolved import ModelRules
from monitor.errors import StateDivergence
from monitor.evaluate.alerts import Place
from monitor.evaluate.decisions import RulesContent
from monitor.evaluate.messages import Message
from monitor.evaluate.model import Output
from monitor.evaluate.task import EvaluateTask
from monitor.events import TopicPartition
from monitor.ledger.entries import Activation, Decision, Entry, PartitionSet, Watermark, new_decision
from monitor.ledger.entry_codec import decode_entry, encode_entry
from monitor.profile.grids import Grids
from monitor.profile.partition import PartitionFold
from monitor.replay import in_order
from tests.snapshots import said_by
from tests.unit import making
from tests.unit.making import PREDICTIONS, TOPIC, two_streams

PLACE = Place("/s", "http://localhost", "0", "c")
CONFIG = """
version: 1
defaults: {{window: {{events: 30, every: 10}}, lateness: 2s, pane: 2s, interval: 2s}}
models:
  m:
    task: classification_binary
    streams: {{features: {{topic: ml.features}}}}
    columns: {{numerical: [x, y], categorical: [c]}}
    reference: {{first: 5000}}
detectors:
  adwin: {{class: ADWIN, params: {{delta: 0.5}}, input: x}}
groups:
  - name: g
    models: [m]
    rules:
      - {{alert: Psi, expr: psi > {psi}}}
      - {{alert: Mean, expr: mean > reference_mean + 2 * reference_std, window: {{time: 20s, every: 4s}}}}
      - {{alert: Change, expr: 'change{{detector="adwin"}} > 0'}}
      - {{alert: Silence, expr: seconds_since_last_event > 9}}
retraining:
  - trigger: a
    models: [m]
    when: {{any: [Psi, Change]}}
    cooldown: 10s
    training_window: {{since: first_violation, max: 1h}}
"""


def rules(psi: float, pane_ms: int = 2000) -> Decision:
    config = load(CONFIG.format(psi=psi), "alerts.yaml").models[0]
    text: str = ModelRules.model_dump_json(config.rules, by_alias=True)
    content = RulesContent(text, two_streams(pane_ms=pane_ms))
    return new_decision("m", "rules", msgspec.json.encode(content).decode())


@dataclass
class Log:
    """Batches of each input partition, and the ledger that folding them in some interleaving makes."""

    batches: dict[TopicPartition, list[list[making.Entry]]]
    ledger: list[Entry] = field(default_factory=list)
    published: list[Output] = field(default_factory=list)


def a_log(seed: int) -> dict[TopicPartition, list[list[making.Entry]]]:
    """Two partitions of features, one or two of predictions; rates differ, and each has a gap of its own."""
    rng = random.Random(seed)
    batches = {}
    for tp in [(TOPIC, 0), (TOPIC, 1), (PREDICTIONS, 0), *([(PREDICTIONS, 1)] if rng.random() < 0.5 else [])]:
        step, gap = rng.choice([200, 500, 900]), rng.randint(10_000, 60_000)
        entries: list[making.Entry] = []
        for i in range(80_000 // step):
            time = 1_000_000 + i * step + rng.randint(-300, 300)
            if not gap < i * step < gap + 15_000:
                entries.append((i if i * step < 50_000 else 10_000 + i, "m", time))
        sizes = rng.choice([3, 20])
        batches[TopicPartition(*tp)] = [entries[a : a + sizes] for a in range(0, len(entries), sizes)]
    return batches


def partition_set(log: Iterable[TopicPartition]) -> Decision:
    streams = {
        "features": (TOPIC, sum(tp.topic == TOPIC for tp in log)),
        "predictions": (PREDICTIONS, sum(tp.topic == PREDICTIONS for tp in log)),
    }
    return new_decision("m", "set", msgspec.json.encode(PartitionSet(streams)).decode())  # type: ignore[arg-type]


def live(batches: dict[TopicPartition, list[list[making.Entry]]], rng: random.Random) -> Log:
    """Profile and evaluate together, in a random interleaving; partitions wait for their grids."""
    log = Log(batches)
    grids = Grids()
    folds = {tp: PartitionFold(tp, [two_streams()], grids) for tp in batches}
    left = {tp: list(parts) for tp, parts in batches.items()}
    task = EvaluateTask(PLACE)

    def read(entry: Entry) -> None:
        out = encode_entry(entry, "ledger", 0)
        again = decode_entry(out.headers, out.value or b"")
        log.ledger.append(again)
        outputs = task.read(again)
        if rng.random() < 0.5:
            outputs += task.advance()
        for output in outputs:
            if isinstance(output, Activation) and output.decision.kind == "grid":
                grids.add(output)
                for fold in folds.values():
                    fold.use_grids()
        log.published.extend(outputs)

    read(partition_set(sorted(batches)))
    read(rules(0.5))
    while any(left.values()) or any(fold.waiting for fold in folds.values()):
        tp = rng.choice(sorted(folds))
        fold = folds[tp]
        if not fold.waiting and left[tp]:
            part = left[tp].pop(0)
            fold.feed(making.batch(part, tp, under=fold.contract), making.records(part, tp))
        drained = fold.drain()
        for pane in drained.panes:
            read(pane)
        if drained.watermark is not None:
            read(drained.watermark)
    log.published.extend(task.advance())
    return log


def evaluated(
    ledger: Sequence[Entry], rng: random.Random, recorded: Sequence[Activation] = ()
) -> tuple[list[Output], dict[str, str]]:
    task = EvaluateTask(PLACE, recorded)
    outputs: list[Output] = []
    for entry in ledger:
        outputs += task.read(entry)
        if rng.random() < 0.1:
            outputs += task.advance()
    return outputs + task.advance(), said_by(task)


def messages(outputs: Iterable[Output]) -> list[Message]:
    return [output for output in outputs if isinstance(output, Message)]


def activations(outputs: Iterable[Output]) -> list[Activation]:
    return [output for output in outputs if isinstance(output, Activation)]


@pytest.mark.parametrize("seed", range(4))
def test_how_partitions_interleave_in_the_ledger_changes_no_message(seed: int) -> None:
    """Also the grids and references, made from the first rows, are the same."""
    batches = a_log(seed)
    one, other = (live(batches, random.Random(salt)) for salt in (1, 2))
    assert in_order(messages(one.published), 8) == in_order(messages(other.published), 8)
    assert {m.topic for m in messages(one.published)} >= {"observations", "alerts"}
    assert sorted(map(msgspec.json.encode, activations(one.published))) == sorted(
        map(msgspec.json.encode, activations(other.published))
    )


@pytest.mark.parametrize("seed", range(4))
def test_how_the_ledger_is_polled_changes_nothing(seed: int) -> None:
    """Any polls of one ledger, with new rules in its midst, give the same messages in order, and the same digest."""
    rng = random.Random(seed)
    ledger = live(a_log(seed), rng).ledger
    for psi in (0.2, 1.5):
        ledger.insert(rng.randint(2, len(ledger)), rules(psi))
    (one, digest), *others = (evaluated(ledger, random.Random(salt)) for salt in range(4))
    for outputs, again in others:
        assert messages(outputs) == messages(one)
        assert again == digest
        assert [a for a in activations(outputs) if a.decision.kind == "rules"] == [
            a for a in activations(one) if a.decision.kind == "rules"
        ]


def is_of_first_rows(output: Output) -> bool:
    return isinstance(output, Activation) and output.decision.kind in ("grid", "reference")


@pytest.mark.parametrize("seed", [0, 1])
def test_how_the_ledger_is_polled_decides_of_no_lane_that_ends(seed: int) -> None:
    """Whether it gets a grid is the same for all polls, wherever in the ledger the rules stand that end it."""
    ledger = live(a_log(seed), random.Random(seed)).ledger
    task = EvaluateTask(PLACE)
    made = next(i for i, e in enumerate(ledger) if any(map(is_of_first_rows, [*task.read(e), *task.advance()])))
    found = set()
    for at in range(max(2, made - 24), made + 3):
        changed = [*ledger[:at], rules(0.5, 4000), *ledger[at : made + 30]]
        polls = [evaluated(changed, random.Random(salt)) for salt in range(6)]
        assert len({msgspec.json.encode(sorted(digests.items())) for _, digests in polls}) == 1
        one, *others = [sorted(msgspec.json.encode(o) for o in outputs if is_of_first_rows(o)) for outputs, _ in polls]
        assert others == [one] * 5
        found.add(len(one))
        replay = EvaluateTask(PLACE, activations(polls[0][0]))
        for entry in changed:
            replay.read(entry)
        assert not any(map(is_of_first_rows, replay.advance()))  # those made before were recorded
    assert len(found) > 1  # with and without


@pytest.mark.parametrize("seed", range(4))
def test_a_replay_with_recorded_activations_publishes_the_same(seed: int) -> None:
    """Changes apply by the pane that live evaluation wrote back, wherever they stand in the ledger."""
    rng = random.Random(seed)
    ledger = live(a_log(seed), rng).ledger
    for psi in (0.2, 1.5):
        ledger.insert(rng.randint(2, len(ledger)), rules(psi))
    published, _ = evaluated(ledger, rng)
    recorded = activations(published)
    rng.shuffle(ledger_of := [entry for entry in ledger if isinstance(entry, Decision)])
    again, _ = evaluated([*ledger_of, *(e for e in ledger if not isinstance(e, Decision))], rng, recorded)
    assert in_order(messages(again), 8) == in_order(messages(published), 8)


@pytest.mark.parametrize("seed", range(4))
def test_a_watermark_that_is_published_again_takes_nothing_back(seed: int) -> None:
    """After a torn commit a partition says what is below its last; how that falls into polls changes nothing."""
    rng = random.Random(seed)
    log = live(a_log(seed), rng)
    ledger: list[Entry] = []
    reported: list[Watermark] = []
    for entry in log.ledger:
        ledger.append(entry)
        if isinstance(entry, Watermark):
            reported.append(entry)
            ledger += rng.sample(reported, 1) if rng.random() < 0.3 else []
    for salt in range(3):
        outputs, _ = evaluated(ledger, random.Random(salt))
        assert messages(outputs) == messages(evaluated(log.ledger, random.Random(salt))[0])


@pytest.mark.parametrize("salt", range(6))
def test_how_the_ledger_is_polled_decides_of_no_first_pane(salt: int) -> None:
    """Profile leaves a model that is back, and takes it up again, before evaluate has read any of that."""
    tps = [TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1)]

    def marks(at: int, again: dict[str, tuple[int, int]]) -> list[Entry]:
        return [Watermark(*tp, at, 1000, {"m": 1000}, again=again) for tp in tps]

    ledger: list[Entry] = [partition_set(tps), rules(0.5), *marks(9000, {}), new_decision("m", "gone", "")]
    ledger += [partition_set(tps), rules(0.5), *marks(12_000, {"m": (1, 11_000)}), *marks(20_000, {})]
    ledger += [*marks(30_000, {"m": (1, 29_000)}), *marks(40_000, {"m": (1, 29_000)})]
    outputs, _ = evaluated(ledger, random.Random(salt))
    assert [a.at for a in activations(outputs) if a.decision.kind == "begun"] == [12_000]


def test_a_repeat_is_skipped_and_a_gap_stops_the_task() -> None:
    """Every writer's records are numbered without gaps."""
    task = EvaluateTask(PLACE)
    assert [task.count("w", n) for n in (0, 1, 1, 0, 2)] == [True, True, False, False, True]
    assert task.count("other", 0)
    with pytest.raises(StateDivergence, match="number 3 was to come, 4 came"):
        task.count("w", 4)


def test_nothing_is_folded_before_every_partition_has_sealed_it() -> None:
    """A partition that has not told its watermark holds all back."""
    ledger = live(a_log(0), random.Random(0)).ledger
    silent = [e for e in ledger if not (isinstance(e, Watermark) and (e.topic, e.partition) == (TOPIC, 1))]
    assert messages(evaluated(silent, random.Random(0))[0]) == []


@pytest.mark.parametrize("back", [False, True])
def test_rules_that_come_before_the_first_pane_count_from_it(back: bool) -> None:
    """However often they change by then: the newest decide where it begins, and a compacted log says no more."""
    tp = TopicPartition(TOPIC, 0)
    changes = [rules(0.5, 4000), rules(0.5), *([rules(0.5, 4000)] if back else [])]
    ledger: list[Entry] = [partition_set([tp]), *changes, Watermark(*tp, 1_013_000, 1_002_500, {"m": 1_002_500})]
    published, _ = evaluated(ledger, random.Random(1))
    compacted = {(a.decision.digest, a.at): a for a in reversed(activations(published))}
    assert len(compacted) == 3
    first = min(message.at for message in messages(published))
    assert first == (1_000_000 if back else 1_002_000)
    recorded = list(reversed(compacted.values()))
    again, _ = evaluated(ledger, random.Random(1), recorded)
    assert messages(again) == messages(published)
