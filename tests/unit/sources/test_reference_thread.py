"""References are made in a thread, one after the other, and none of them can stop another or the stage."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from monitor.config import load
from monitor.config.resolved import ModelConfig
from monitor.errors import BusError, ConfigurationError, FormatError
from monitor.ledger.entries import Decision, new_decision
from monitor.sources.reference_thread import Check, Make, ReferenceThread
from monitor.telemetry import get_log

PATIENCE_S = 30.0
CONFIG = """
version: 1
models:
  a:
    task: regression
    streams: {features: {topic: in}}
    columns: {numerical: [x]}
    reference: {path: a.jsonl}
  b:
    task: regression
    streams: {features: {topic: in}}
    columns: {numerical: [x]}
    reference: {topic: in, from: 2026-09-21T00:00:00Z, to: 2027-01-01T00:00:00Z}
  c:
    task: regression
    streams: {features: {topic: in}}
    columns: {numerical: [x]}
    reference: {first: 100}
groups: [{name: g, models: ["*"], rules: [{alert: Ks, expr: ks > 0.5}]}]
"""
A, B, C = load(CONFIG, "alerts.yaml").models


def decision(model: ModelConfig, content: str = "{}") -> Decision:
    return new_decision(model.contract.model, "reference", content, "features")


@contextmanager
def making(make: Make) -> Iterator[ReferenceThread]:
    references = ReferenceThread(make, get_log("test"), retry_s=0.0)
    try:
        yield references
    finally:
        references.close()


def arrival(references: ReferenceThread, of: ModelConfig) -> None:
    """Wait until something is known of a model."""
    with references._changed:
        assert references._changed.wait_for(lambda: of.contract.model in references._made, PATIENCE_S)


def test_first_rows_need_no_thread() -> None:
    """A model whose first rows are its reference has nothing to wait for."""
    with making(lambda model, check: [decision(model)]) as references:
        assert references.take(C) == []
        assert references._thread is None


def test_what_is_made_is_handed_over_once() -> None:
    """While it is made there is nothing; then the stage hears that it is there, and gets it when it asks again."""
    gate = threading.Event()

    def make(model: ModelConfig, check: Check) -> list[Decision]:
        assert gate.wait(PATIENCE_S)
        return [decision(model)]

    with making(make) as references:
        assert references.take(A) is None
        assert references.take(A) is None
        assert references.take_arrived() == []
        gate.set()
        arrival(references, A)
        assert references.take_arrived() == ["a"]
        assert references.take_arrived() == []
        assert references.take(A) == [decision(A)]


@pytest.mark.parametrize("error", [ConfigurationError("not there"), FormatError("damaged"), PermissionError(13, "no")])
def test_what_cannot_be_made_is_a_refusal_of_that_model_alone(error: Exception) -> None:
    """The other model's is made."""

    def make(model: ModelConfig, check: Check) -> list[Decision]:
        if model is A:
            raise error
        return [decision(model)]

    with making(make) as references:
        assert references.take(A) is None
        assert references.take(B) is None
        arrival(references, B)
        assert references.take(B) == [decision(B)]
        with pytest.raises(ConfigurationError):
            references.take(A)


def test_an_error_that_nobody_expects_ends_the_stage() -> None:
    """It is raised where the stage asks, since a thread that dies would go by unseen."""

    def make(model: ModelConfig, check: Check) -> list[Decision]:
        raise ZeroDivisionError

    with making(make) as references:
        assert references.take(A) is None
        arrival(references, A)
        with pytest.raises(ZeroDivisionError):
            references.take(A)


def test_a_bus_that_fails_is_asked_again_behind_the_other_models() -> None:
    """Until it answers; meanwhile the others get theirs."""
    made: list[str] = []
    both = threading.Event()

    def make(model: ModelConfig, check: Check) -> list[Decision]:
        assert both.wait(PATIENCE_S)
        made.append(model.contract.model)
        if made.count("a") < 3 and model is A:
            raise BusError("gone")
        return [decision(model)]

    with capture_logs() as logs, making(make) as references:
        assert references.take(A) is None
        assert references.take(B) is None
        both.set()
        arrival(references, A)
        assert references.take(A) == [decision(A)]
    assert made == ["a", "b", "a", "a"]
    assert [log["model"] for log in logs if log["event"] == "reference_unreadable"] == ["a", "a"]


def until_interrupted(check: Check) -> None:
    while True:
        check()


def test_another_specification_takes_the_place_of_one_that_is_being_made() -> None:
    """The first is left, wherever its reading is, and never handed over."""
    other = replace(A, rules=A.rules.model_copy(update={"reference": B.rules.reference}))

    def make(model: ModelConfig, check: Check) -> list[Decision]:
        if model is A:
            until_interrupted(check)
        return [decision(model, '"other"')]

    with making(make) as references:
        assert references.take(A) is None
        assert references.take(other) is None
        arrival(references, other)
        assert references.take(other) == [decision(A, '"other"')]


def never(check: Check) -> None:
    """A read that hangs: it looks at nothing."""
    threading.Event().wait()


@pytest.mark.parametrize("reads", [until_interrupted, never])
def test_a_stage_that_stops_leaves_a_reference_unmade(reads: Callable[[Check], None]) -> None:
    """Between two batches the thread ends; one that hangs is a daemon, and ends with the process."""
    begun = threading.Event()

    def make(model: ModelConfig, check: Check) -> list[Decision]:
        begun.set()
        reads(check)
        return []

    references = ReferenceThread(make, get_log("test"))
    assert references.take(A) is None
    assert begun.wait(PATIENCE_S)
    references.close()
    thread = references._thread
    assert thread is not None
    assert thread.daemon
    assert thread.is_alive() == (reads is never)
