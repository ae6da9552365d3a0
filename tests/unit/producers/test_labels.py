"""Labels of synthetic traffic: late, missing, repeated, corrected, and keyed as another system has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest

from monitor.codec.times import parse_time
from monitor.events import Outgoing
from producers.labels import Labels
from producers.schedule import Drift, load_schedule
from producers.synthetic import FRAUD_TRAFFIC, fraud_traffic, fraud_transactions
from producers.traffic import Traffic, partition_of

TRAFFIC = Traffic(10_000, 7, 1_790_000_000_000, 20.0, partitions=3)
LABELS = Labels(30_000, partitions=4)


class Sent(NamedTuple):
    """A record and its event."""

    record: Outgoing
    event: dict[str, Any]
    time: int


def sent(drifts: Sequence[Drift] = (), labels: Labels = LABELS, traffic: Traffic = TRAFFIC) -> list[Sent]:
    records = chain.from_iterable(fraud_transactions(traffic, drifts, labels))
    events = [(record, msgspec.json.decode(record.value or b"")) for record in records]
    return [Sent(record, event, parse_time(event["event_time"])) for record, event in events]


def of(topic: str, records: Sequence[Sent]) -> list[Sent]:
    return [one for one in records if one.record.topic == topic]


def newest(labels: Sequence[Sent]) -> dict[str, int]:
    """The value of each id that counts in the end."""
    return {one.event["prediction_id"]: one.event["y_true"] for one in labels}


def test_labels_change_nothing_of_the_traffic() -> None:
    """Features and predictions are the same bytes with them, and with a drift of what is true."""
    expected = list(fraud_traffic(TRAFFIC))
    concept = Drift("concept", "label", timed=False, start=100, size=1.0)
    for drifts in ((), (concept,)):
        assert [one.record for one in sent(drifts) if one.record.topic != "ml.labels"] == expected


def test_the_same_seed_gives_the_same_labels() -> None:
    """Fewer transactions are the first of more; another seed gives others."""
    some = sent(traffic=replace(TRAFFIC, events=2000))
    assert some == sent()[: len(some)]
    assert of("ml.labels", some)
    assert some != sent(traffic=replace(TRAFFIC, events=2000, seed=8))


def test_a_label_goes_with_the_first_transaction_behind_its_time() -> None:
    """So it is never from the future; and it comes around the median delay behind its prediction."""
    records = sent()
    made = {one.event["prediction_id"]: one.time for one in of("ml.predictions", records)}
    before, held, delays = 0, list[Sent](), list[int]()
    for one in records:
        if one.record.topic == "ml.features":
            assert all(label.time <= one.time for label in held)
            before, held = one.time, []
        elif one.record.topic == "ml.labels":
            assert one.time > before
            held.append(one)
            if one.event["supersedes"] is None and one.event["prediction_id"] in made:
                delays.append(one.time - made[one.event["prediction_id"]])
    assert min(delays) > 0
    assert 28_000 < np.median(delays) < 33_000


def test_labels_are_as_another_system_has_them() -> None:
    """Some never come, some twice, some are taken back, some are of unknown ids; keys put them where they will."""
    records = sent()
    labels = of("ml.labels", records)
    due = {one.event["prediction_id"] for one in of("ml.predictions", records)[:8000]}
    seen: dict[str, list[Sent]] = {}
    for one in labels:
        seen.setdefault(one.event["prediction_id"], []).append(one)
        assert one.record.partition == partition_of(one.record.key or b"", 4)
    shares = {
        "missing": 1 - len(due & seen.keys()) / len(due) - 0.005,
        "repeated": sum(len(own) > 1 and own[1].event["supersedes"] is None for own in seen.values()) / len(seen),
        "corrected": sum(own[-1].event["supersedes"] is not None for own in seen.values()) / len(seen),
        "unknown": sum(name.startswith("crm-") for name in seen) / len(seen),
        "by_case": sum((one.record.key or b"").startswith(b"case-") for one in labels) / len(labels),
    }
    for name, share in shares.items():
        assert share == pytest.approx(getattr(LABELS, name), rel=0.4), name
    for own in seen.values():
        if own[-1].event["supersedes"] is not None:
            assert [one.event["y_true"] for one in own] == [1 - own[-1].event["y_true"], own[-1].event["y_true"]]
            assert own[-1].event["supersedes"] == own[0].event["event_id"]


def errors(drifts: Sequence[Drift]) -> list[float]:
    """How often predictions are wrong, before and behind number 5,000."""
    records = sent(drifts)
    truth = newest(of("ml.labels", records))
    wrong: list[list[bool]] = [[], []]
    for one in of("ml.predictions", records):
        name = one.event["prediction_id"]
        if name in truth:
            wrong[int(name[3:]) >= 5000].append(one.event["y_pred"] != truth[name])
    return [float(np.mean(own)) for own in wrong]


def test_a_drift_of_what_is_true_is_seen_in_labels_alone() -> None:
    """At once or bit by bit, from its place on."""
    before, same = errors(())
    assert before == pytest.approx(same, abs=0.01)
    at_once = load_schedule("- {at: 5000, column: label, kind: concept, size: 1}", "d", FRAUD_TRAFFIC)
    slowly = load_schedule("- {at: 5000, column: label, kind: concept, size: 1, over: 5000}", "d", FRAUD_TRAFFIC)
    first, second = errors(at_once), errors(slowly)
    assert first[0] == second[0] == before
    assert first[1] > second[1] + 0.05 > before + 0.06


def test_labels_may_come_more_rarely_from_some_time_on() -> None:
    """A drift of kind missingness on `label`."""
    drift = load_schedule("- {at: 0, column: label, kind: missingness, size: 0.5}", "d", FRAUD_TRAFFIC)
    share = len(newest(of("ml.labels", sent(drift)))) / len(newest(of("ml.labels", sent())))
    assert share == pytest.approx(0.5 / 0.95, rel=0.05)
