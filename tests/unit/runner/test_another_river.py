"""A restart under another release of River: no model stops, whatever it answers, and what is lost is reported once."""

from __future__ import annotations

from contextlib import ExitStack

import msgspec
import pytest
from structlog.testing import capture_logs

from tests.another_river import BOLDER_ADWIN, SAME, another_river
from tests.unit.runner.test_end_to_end import Service, check_once, published, replayed, serve


def served(classes: dict[str, type], snapshot_panes: int, kills: tuple[int, ...] = ()) -> Service:
    """River becomes another one at 52 s, and is the old one again at 90 s; killed at each change, and at `kills`."""
    with ExitStack() as stack, capture_logs():

        def meanwhile(service: Service, second: int) -> None:
            if second in (52, 90, *kills):
                service.loops.pop("evaluate", None)
            if second == 52:
                stack.enter_context(another_river("0.27.0", classes))
            if second == 90:
                stack.close()

        return serve(1, None, snapshot_panes, meanwhile=meanwhile)


def resets(service: Service) -> list[tuple[str, str]]:
    """Model and River's release of each notice of detectors that began anew."""
    data = [msgspec.json.decode(value)["data"] for topic, _, value in published(service.bus) if topic == "alerts"]
    found = [d["labels"] for d in data if d["labels"]["alertname"] == "DetectorsReset"]
    return sorted((labels["model"], labels["river"]) for labels in found)


@pytest.mark.parametrize("snapshot_panes", [7, 10_000])
def test_another_river_that_answers_alike_changes_nothing(snapshot_panes: int) -> None:
    """From snapshots and from the ledger's start: everything is what a replay under one River says."""
    service = served(SAME, snapshot_panes)
    check_once(service)
    assert resets(service) == []
    assert sorted(published(service.bus)) == sorted((m.topic, m.key, m.value) for m in replayed(service))


@pytest.mark.parametrize("snapshot_panes", [7, 10_000])
@pytest.mark.parametrize("kills", [(), (53, 54, 57, 91)])
def test_another_river_that_answers_otherwise_stops_no_model(snapshot_panes: int, kills: tuple[int, ...]) -> None:
    """There and back, killed in between: each message once, one notice a model and River, the rest as replayed."""
    service = served(BOLDER_ADWIN, snapshot_panes, kills)
    check_once(service)
    assert resets(service) == [("m", "0.26.1"), ("m", "0.27.0"), ("w", "0.26.1"), ("w", "0.27.0")]
    live = [(topic, key, value) for topic, key, value in published(service.bus) if topic == "observations"]
    assert sorted(live) == sorted((m.topic, m.key, m.value) for m in replayed(service) if m.topic == "observations")
    psi = [value for topic, _, value in published(service.bus) if topic == "alerts" and b'"Psi"' in value]
    assert sorted(psi) == sorted(m.value for m in replayed(service) if m.topic == "alerts" and b'"Psi"' in m.value)
    assert psi
