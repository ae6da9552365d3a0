"""Law 9: all processes agree on what a topic is folded under, and it changes at a place that is recorded."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest
from structlog.testing import capture_logs

from monitor.config.resolved import Config, ModelConfig
from monitor.events import TopicPartition
from monitor.ledger.entries import Activation, ContractSwitch, new_decision
from monitor.runner.contracts import Contracts, contracts_of
from monitor.sources.control import control_records, decode_control, is_about
from tests.unit.runner.fleet import TOPICS, Fleet, check_against_replay, config, inputs_of, new_bus, published, send

FEATURES = [TopicPartition("in.features", p) for p in range(3)]


def with_limits(config: Config, **limits: int) -> Config:
    """All models with other limits in their contracts."""
    return of_models(config, lambda model: replace(model, contract=msgspec.structs.replace(model.contract, **limits)))


def of_models(config: Config, change: Callable[[ModelConfig], ModelConfig]) -> Config:
    return replace(config, models=tuple(change(model) for model in config.models))


def without(config: Config, name: str) -> Config:
    return replace(config, models=tuple(model for model in config.models if model.contract.model != name))


def traffic(fleet: Fleet, seconds: range, shift: float = 0.0) -> None:
    """Two seconds at a time in every partition, and a turn of all processes."""
    for second in seconds[::2]:
        for tp in inputs_of(fleet.bus):
            send(fleet.bus, tp, (second + i / 10 for i in range(20)), shift)
        fleet.now += 2
        fleet.turn()


def switches(fleet: Fleet) -> list[ContractSwitch]:
    return list(decode_control(control_records(fleet.bus, TOPICS), TOPICS.prefix).switches)


def names_of(fleet: Fleet) -> dict[TopicPartition, list[str]]:
    """Digests that each partition was folded under, in order."""
    found: dict[TopicPartition, list[str]] = {tp: [] for tp in inputs_of(fleet.bus)}
    for switch in switches(fleet):
        found[TopicPartition(switch.topic, switch.partition)].append(switch.digest)
    return found


@pytest.fixture
def fleet() -> Fleet:
    return Fleet(new_bus(), config())


def start(fleet: Fleet, *names: str) -> None:
    for name in names:
        fleet.join(name)


def test_other_limits_count_from_a_recorded_place(fleet: Fleet) -> None:
    """After a restart with another lateness panes that were open go on, and a replay switches where the service did."""
    with capture_logs():
        start(fleet, "profile-1", "evaluate-1")
        traffic(fleet, range(40))
        fleet.config = with_limits(fleet.config, lateness_ms=7000, trace_points=16)
        start(fleet, "profile-1", "evaluate-1")
        before = fleet.watermarks()
        traffic(fleet, range(40, 80), shift=2.0)
        assert all((before[tp] or 0) <= (at or 0) for tp, at in fleet.watermarks().items())
        fleet.settle()
    assert {len(set(names)) for names in names_of(fleet).values()} == {2}
    assert all(switch.watermark is not None for switch in switches(fleet) if switch.offset)
    records = control_records(fleet.bus, TOPICS)
    captured = [record for record in records if is_about(record, {"m", "w"}, {tp.topic for tp in FEATURES})]
    kept = decode_control(captured, TOPICS.prefix)
    assert kept.switches == tuple(switch for switch in switches(fleet) if switch.topic == "in.features")
    assert len(kept.topic_contracts) == 2
    assert check_against_replay(fleet.bus)


@pytest.mark.parametrize("evaluate_first", [True, False])
def test_a_model_joins_a_topic_that_is_read(fleet: Fleet, evaluate_first: bool) -> None:
    """It begins where the topic's partitions took it in, whichever stage has read alerts.yaml first."""
    both, fleet.config = fleet.config, without(fleet.config, "w")
    with capture_logs():
        start(fleet, "profile-1", "evaluate-1")
        traffic(fleet, range(30))
        fleet.config = both
        first, second = ("evaluate-1", "profile-1") if evaluate_first else ("profile-1", "evaluate-1")
        start(fleet, first)
        traffic(fleet, range(30, 50))
        start(fleet, second)
        traffic(fleet, range(50, 70))
        traffic(fleet, range(70, 90), shift=3.0)
        fleet.settle()
    assert any(b'"model":"w"' in message for message in published(fleet.bus))
    assert check_against_replay(fleet.bus)


def test_a_model_leaves_a_topic_that_others_read(fleet: Fleet) -> None:
    """What was sealed of it is folded, wherever the switch fell; the others go on."""
    with capture_logs():
        start(fleet, "profile-1", "profile-2", "evaluate-1")
        traffic(fleet, range(40))
        traffic(fleet, range(40, 60), shift=3.0)
        fleet.config = without(fleet.config, "w")
        start(fleet, "profile-1", "evaluate-1")
        traffic(fleet, range(60, 100))
        fleet.settle()
    assert any(b'"model":"w"' in message for message in published(fleet.bus))
    assert check_against_replay(fleet.bus)


def test_a_process_with_an_old_file_takes_the_newer_contract(fleet: Fleet) -> None:
    """Nor does it lead the others back when it starts again; a running one does, when it is told to."""
    old, new = fleet.config, with_limits(fleet.config, lateness_ms=5000)
    expected = [contracts_of(c)["in.features"].digest for c in (old, new, old)]
    with capture_logs() as logs:
        start(fleet, "profile-1", "profile-2", "evaluate-1")
        traffic(fleet, range(20))
        fleet.join("profile-1", new)
        traffic(fleet, range(20, 40))
        assert all(names_of(fleet)[tp] == expected[:2] for tp in FEATURES)
        fleet.join("profile-2", old)
        fleet.join("profile-3", old)
        traffic(fleet, range(40, 60))
        assert all(names_of(fleet)[tp] == expected[:2] for tp in FEATURES)
        assert any(entry["event"] == "contract_older" for entry in logs)
        fleet.loops["profile-1"].reload(old)
        traffic(fleet, range(60, 80), shift=3.0)
        fleet.settle()
    assert all(names_of(fleet)[tp] == expected for tp in FEATURES)
    assert check_against_replay(fleet.bus)


@pytest.mark.parametrize("seed", range(2))
def test_changes_and_kills_in_any_order_give_the_replays_bytes(seed: int) -> None:
    """Limits, models and processes change at random moments: each partition folds again what it folded before."""
    rng = random.Random(seed)
    fleet = Fleet(new_bus(), config(rng.choice([5000, 600_000])))
    base = fleet.config
    with capture_logs():
        start(fleet, "profile-1", "profile-2", "evaluate-1")
        for second in range(0, 80, 4):
            traffic(fleet, range(second, second + 4), shift=3.0 if second > 40 else 0.0)
            if rng.random() < 0.4:
                lateness, skew = rng.choice([1000, 2000, 6000]), rng.choice([5000, 60_000])
                limits = {"lateness_ms": lateness, "max_clock_skew_ms": skew}
                fleet.config = with_limits(without(base, "w") if rng.random() < 0.3 else base, **limits)
                for name in rng.sample(sorted(fleet.loops), rng.randint(1, 3)):
                    if rng.random() < 0.5:
                        fleet.loops[name].reload(fleet.config)
            if rng.random() < 0.4:
                fleet.join(rng.choice(["profile-1", "profile-2", "evaluate-1"]))
        fleet.settle()
    assert max(len(names) for names in names_of(fleet).values()) > 2
    assert check_against_replay(fleet.bus)


def test_the_newest_is_the_last_published(fleet: Fleet) -> None:
    """A digest that is published again is the newest again."""
    old, new = contracts_of(fleet.config), contracts_of(with_limits(fleet.config, lateness_ms=5000))
    contracts = Contracts(fleet.config)
    assert contracts.to_publish == [old[topic] for topic in sorted(old)]
    for published_one in (old, new):
        contracts.add(published_one["in.features"])
    assert contracts.newest("in.features") == new["in.features"]
    assert contracts.older == ["in.features"]
    contracts.add(old["in.features"])
    assert contracts.newest("in.features") == old["in.features"]
    assert contracts.to_publish == [old["in.predictions"]]


def test_what_a_partition_was_begun_under_is_published_though_a_life_has_ended_since(fleet: Fleet) -> None:
    """Before what follows it: a position names it, and the switch to the other is an entry of its own."""
    contracts = Contracts(fleet.config)
    begun = contracts.begin("in.features")
    contracts.lives.add(Activation(new_decision("m", "gone", ""), None))
    predictions, *features = sorted(contracts.to_publish, key=lambda contract: contract.topic == "in.features")
    assert predictions.topic == "in.predictions"
    assert features[0] == begun == contracts.get(begun.digest)
    assert [[model.life for model in contract.models if model.model == "m"] for contract in features] == [[0], [1]]
    contracts.note_published()
    assert contracts.to_publish == []
    assert {contract.digest for contract in contracts.to_repeat} == {c.digest for c in [*features, predictions]}
    for contract in [*features, predictions]:
        contracts.add(contract)
    assert contracts.to_repeat == []


def test_what_is_repeated_ends_with_the_newest(fleet: Fleet) -> None:
    """The last contract of a topic counts, so one that comes back is repeated behind the one in between."""
    other = with_limits(fleet.config, lateness_ms=5000)
    contracts = Contracts(fleet.config)
    contracts.note_published()
    for used in (other, fleet.config):
        contracts.use(used)
        contracts.note_published()
    newest = {contract.topic: contract for contract in contracts.to_repeat}
    assert newest == contracts_of(fleet.config)
