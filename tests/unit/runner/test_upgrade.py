"""A restart under another place or release goes on, publishes each thing once, and compares what can be compared."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from monitor.config.metrics import METRICS
from monitor.evaluate import message_version
from monitor.evaluate.alerts import Place
from monitor.evaluate.judging import Judge
from monitor.evaluate.measure import Measure
from monitor.evaluate.messages import Message
from monitor.evaluate.task import EvaluateTask
from monitor.ledger.position_records import Snapshot
from monitor.runner.low_water import LowWater, Memory
from tests.unit.runner.test_end_to_end import PLACE, Service, check_once, published, replayed, serve

NEWER = replace(PLACE, version="0.2.0")
AT = 60
"""The second at which the process is started again, or its next commit is torn."""
SCORES: Any = Measure.scores
OBSERVED: Any = Judge._observed


@pytest.fixture(autouse=True)
def _every_process_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here processes of several releases are one, so nothing is kept for the next."""
    monkeypatch.setattr(message_version, "_measured", message_version._measured.__wrapped__)


def ids(service: Service) -> Counter[tuple[str, str]]:
    return Counter((topic, msgspec.json.decode(value)["id"]) for topic, _, value in published(service.bus))


def replayed_ids(service: Service) -> Counter[tuple[str, str]]:
    return Counter((m.topic, msgspec.json.decode(m.value)["id"]) for m in replayed(service))


def served(
    place: Place,
    panes: int,
    loses: tuple[str, str] = ("", ""),
    back: bool = False,
    change: Callable[[], None] = lambda: None,
    fails: random.Random | None = None,
) -> Service:
    """Evaluate is killed and started again under another place; `back`: later as it was, and changed again.

    `fails`: for each commit from then on, whether the process is killed before or after it.
    """

    def meanwhile(service: Service, second: int) -> None:
        if second == AT:
            service.place = place
            change()
            if not loses[0]:
                service.loops.pop("evaluate", None)
            service.bus.fails = fails
        if back and second in (AT + 4, AT + 9):
            service.loops.pop("evaluate", None)
            service.place = PLACE if service.place == place else place

    with capture_logs() as logs:
        service = serve(3, None, snapshot_panes=panes, loses=loses, meanwhile=meanwhile)
    service.events += [entry["event"] for entry in logs]
    return service


@pytest.mark.parametrize(
    "change",
    [{"links_url": "https://drift.example", "cluster_id": "another"}, {"source": "/streamdrift/prod"}],
    ids=["links", "source"],
)
def test_another_place_is_compared_by_what_messages_mean(change: dict[str, str]) -> None:
    """Links, source and cluster may change between two starts: all that was published is found again."""
    service = served(replace(PLACE, **change), 10_000)  # no snapshot: all of the ledger is folded again
    assert "messages_not_compared" not in service.events
    check_once(service)
    assert ids(service) == replayed_ids(service)


@pytest.mark.parametrize(("panes", "back"), [(7, True), (10_000, False), (10_000, True)])
def test_another_release_goes_on(panes: int, back: bool) -> None:
    """It compares nothing, which the log says, and publishes each message once; and so does the old one again."""
    service = served(NEWER, panes, back=back)
    assert service.events.count("messages_not_compared") >= (3 if back else 1)
    check_once(service)
    assert ids(service) == replayed_ids(service)


@pytest.mark.parametrize("lost", ["sd.alerts", "sd.observations", "sd.positions"])
def test_another_release_completes_a_torn_commit(lost: str) -> None:
    """Whichever part of it the broker has lost: by ids, since numbers need not agree."""
    service = served(NEWER, 10_000, loses=("evaluate", lost))
    assert service.deaths == 1
    assert "messages_not_compared" in service.events
    check_once(service)
    assert ids(service) == replayed_ids(service)


@pytest.mark.parametrize("seed", [5, 7, 11])
def test_snapshots_of_the_other_release_are_not_taken_for_those_of_this_one(seed: int) -> None:
    """They stand where the new release begins, and know nothing of what a torn commit of it has published there."""
    service = served(NEWER, 1, loses=("evaluate", "sd.positions"), fails=random.Random(seed))
    check_once(service)
    assert ids(service) == replayed_ids(service)


def with_one_more(measure: Measure, counts: object) -> object:
    found = SCORES(measure, counts)
    return {**found, "energy": found["psi"]}


def without(judge: Judge, observations: object) -> Iterator[Message]:
    """What a release says that publishes no observations of windows of time."""
    return (message for message in OBSERVED(judge, observations) if "20s" not in message.key)


def test_a_release_with_one_more_metric_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was published before stays as it is; from then on observations say more."""
    service = served(NEWER, 10_000, change=lambda: monkeypatch.setattr(Measure, "scores", with_one_more))
    check_once(service)
    assert ids(service) == replayed_ids(service)
    assert len({b'"energy"' in value for topic, _, value in published(service.bus) if topic == "observations"}) == 2


@pytest.mark.parametrize("in_table", [True, False])
def test_one_more_metric_needs_no_other_version(in_table: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever adds it, in the table or not, and forgets the release: the process goes on as one of another does."""

    def add() -> None:
        monkeypatch.setattr(Measure, "scores", with_one_more)
        if in_table:
            monkeypatch.setitem(METRICS, "energy", METRICS["psi"]._replace(name="energy"))

    service = served(PLACE, 10_000, change=add)
    assert "messages_not_compared" in service.events
    check_once(service)
    assert ids(service) == replayed_ids(service)


@pytest.mark.parametrize(("before", "after"), [(OBSERVED, without), (without, OBSERVED)], ids=["fewer", "more"])
def test_a_release_that_publishes_more_or_fewer_messages_goes_on(
    before: Any, after: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers go on without a gap behind those that are there, and no message comes twice."""
    monkeypatch.setattr(Judge, "_observed", before)
    service = served(NEWER, 10_000, change=lambda: monkeypatch.setattr(Judge, "_observed", after))
    check_once(service)
    monkeypatch.setattr(Judge, "_observed", OBSERVED)
    found, expected = ids(service), replayed_ids(service)
    assert {key for key in found if "20s" not in key[1]} == {key for key in expected if "20s" not in key[1]}
    assert found.keys() < expected.keys()


def test_what_was_remembered_before_a_new_version_is_not_written() -> None:
    """Its numbers are those of a fold that numbers nothing; the mark counts as this version's once it is written."""
    low = LowWater(100)
    shared = EvaluateTask(PLACE).shared()
    low.take(Snapshot(0, 0, "", "", {}), 10)
    low.remember(Memory(40, shared, "", {}))
    low.begin_anew()
    assert low.due(50, 50, 0) is None
    low.remember(Memory(50, shared, "", {"sd.alerts/0": 1}))
    memory = low.due(50, 50, 0)
    assert memory is not None
    assert memory.position == 50
    assert low.is_wanted
    low.take(Snapshot(memory.position, 0, "", "", memory.numbers), 10)
    assert not low.is_wanted
