"""A model that was gone and is back has another life, in every contract that is folded under from then on."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from monitor.config import load
from monitor.contract import TopicContract, in_life, lane_contract, life_of
from monitor.ledger.entries import Activation, DecisionKind, new_decision
from monitor.runner.contracts import Contracts
from tests.unit.runner import fleet

CONFIG = load(fleet.CONFIG, "alerts.yaml")
WITHOUT = replace(CONFIG, models=tuple(model for model in CONFIG.models if model.contract.model != "w"))
TOPIC = "in.features"


def decided(contracts: Contracts, kind: DecisionKind, life: int, model: str = "w") -> None:
    """Evaluate has decided that of the model."""
    decision = msgspec.structs.replace(new_decision(model, kind, ""), life=life)
    contracts.lives.add(Activation(decision, None))


def publish(contracts: Contracts) -> list[TopicContract]:
    """What is to be published is committed and read back."""
    published = contracts.to_publish
    contracts.note_published()
    for one in published:
        contracts.add(one)
    return published


def lives(contracts: Contracts) -> dict[str, int]:
    return {model.model: model.life for model in contracts.newest(TOPIC).models}


def test_a_model_that_is_back_is_in_the_life_that_comes_next() -> None:
    """Of the contracts that a process publishes; the others go on in theirs."""
    contracts = Contracts(CONFIG)
    assert {one.topic for one in publish(contracts)} == {TOPIC, "in.predictions"}
    assert publish(contracts) == []
    contracts.use(WITHOUT)
    publish(contracts)
    decided(contracts, "gone", 0)
    contracts.use(CONFIG)
    publish(contracts)
    assert lives(contracts) == {"m": 0, "w": 1}
    decided(contracts, "rules", 1)
    assert publish(contracts) == []


def test_who_has_missed_that_a_model_was_gone_follows_once_it_is_back() -> None:
    """Not before: a partition would wait for a grid that nobody makes."""
    contracts = Contracts(CONFIG)
    publish(contracts)
    decided(contracts, "gone", 0)
    assert publish(contracts) == []
    decided(contracts, "rules", 1)
    assert [one.topic for one in publish(contracts)] == [TOPIC]
    assert lives(contracts) == {"m": 0, "w": 1}
    decided(contracts, "gone", 1)
    assert publish(contracts) == []
    decided(contracts, "gone", 0)  # evaluate writes again what was lost
    decided(contracts, "rules", 2)
    publish(contracts)
    assert lives(contracts) == {"m": 0, "w": 2}


def test_a_process_with_an_old_file_leads_nobody_back_however_often_models_were_gone() -> None:
    """Whether a contract was there before has nothing to do with the lives of its models."""
    contracts = Contracts(WITHOUT)
    publish(contracts)
    contracts.use(CONFIG)
    publish(contracts)
    decided(contracts, "gone", 0)
    decided(contracts, "rules", 1)
    publish(contracts)
    stale = Contracts(WITHOUT)
    for one in contracts.by_digest.values():
        stale.add(one)
    decided(stale, "gone", 0)
    decided(stale, "rules", 1)
    assert publish(stale) == []
    assert stale.older == [TOPIC]
    assert lives(stale) == {"m": 0, "w": 1}


def test_a_contract_of_a_life_before_that_is_published_late_is_put_right() -> None:
    """However often: the newest by offset counts."""
    contracts = Contracts(CONFIG)
    publish(contracts)
    before = contracts.newest(TOPIC)
    decided(contracts, "gone", 0)
    decided(contracts, "rules", 1)
    for _ in range(3):
        assert len(publish(contracts)) == 1
        contracts.add(before)
    publish(contracts)
    assert lives(contracts) == {"m": 0, "w": 1}


def test_a_lane_names_the_life_of_its_model() -> None:
    """The first life goes without a number."""
    (model,) = (model.contract for model in WITHOUT.models)
    lane = lane_contract(model, model.streams[0])
    assert (lane, life_of(lane)) == (in_life(f"{lane}.7", 0), 0)
    assert (in_life(lane, 12), life_of(in_life(lane, 12))) == (f"{lane}.12", 12)
