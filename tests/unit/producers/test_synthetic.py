"""Synthetic traffic: seeded, in the wire format, drifting where it is told to and nowhere else."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest

from monitor.codec.decode import Decoder
from monitor.contract import ColumnSpec, ModelContract, StreamContract
from monitor.events import CellState, Outgoing, RecordBatch, Rows
from producers.schedule import Drift, load_schedule
from producers.synthetic import FRAUD_COLUMNS, FRAUD_MODEL, fraud_traffic, numeric_columns, numeric_traffic
from producers.traffic import Traffic, partition_of

START = 1_795_257_600_000
TRAFFIC = Traffic(events=6000, seed=7, start_ms=START)


def features(traffic: Traffic, drifts: tuple[Drift, ...] = ()) -> dict[str, list[Any]]:
    """Column -> its values, as sent."""
    sent = [
        json.loads(out.value or b"")["features"] for out in fraud_traffic(traffic, drifts) if "features" in out.topic
    ]
    return {name: [row[name] for row in sent] for name in FRAUD_COLUMNS}


def rows_of(records: list[Outgoing]) -> Rows:
    columns = tuple(ColumnSpec(name, name, kind) for name, kind in FRAUD_COLUMNS.items())
    stream = StreamContract("features", "ml.features", "event_time", columns)
    decoder = Decoder("ml.features", [ModelContract(FRAUD_MODEL, 10_000, 0, 0, 0, 0, 0, (stream,))])
    values = [record.value for record in records]
    n = len(values)
    batch = decoder.decode(RecordBatch("ml.features", 0, range(n), [0] * n, [None] * n, values, [()] * n))
    assert not batch.rejected
    return batch.rows[0]


def test_the_same_seed_gives_the_same_bytes() -> None:
    """Fewer events are the first of more; another seed is other traffic."""
    traffic = list(fraud_traffic(TRAFFIC))
    assert len(traffic) == 12_000
    assert list(fraud_traffic(Traffic(300, 7, START))) == traffic[:600]
    assert list(fraud_traffic(Traffic(300, 8, START))) != traffic[:600]


def test_every_event_is_read_without_a_flaw() -> None:
    """What the generator writes, the decoder takes: no rejected record, no invalid value, times as asked for."""
    rows = rows_of([out for out in fraud_traffic(TRAFFIC) if out.topic == "ml.features"])
    assert (rows.numeric_states == CellState.VALID).all()
    assert (rows.categorical_states == CellState.VALID).all()
    assert (np.diff(rows.time) >= 0).all()
    assert START <= rows.time[0] < START + 100
    assert START + 599_900 <= rows.time[-1] < START + 600_000


def test_features_and_prediction_share_id_and_partition() -> None:
    """Both are keyed by the prediction id, so that they meet."""
    sent = list(fraud_traffic(Traffic(50, 1, START, partitions=3)))
    for left, right in zip(sent[::2], sent[1::2], strict=True):
        a, b = json.loads(left.value or b""), json.loads(right.value or b"")
        assert (left.topic, right.topic) == ("ml.features", "ml.predictions")
        assert left.key == right.key == a["prediction_id"].encode() == b["prediction_id"].encode()
        assert left.partition == right.partition == partition_of(left.key or b"", 3)
        assert b["y_pred"] == int(b["y_pred_proba"] >= 0.5)
    assert set(Counter(out.partition for out in sent)) == {0, 1, 2}


def test_a_share_of_events_is_out_of_order() -> None:
    """Their time is set back, by at most what was asked for."""
    records = list(fraud_traffic(Traffic(4000, 3, START, disorder=0.1, disorder_ms=2000)))
    time = rows_of([out for out in records if out.topic == "ml.features"]).time
    back = np.maximum.accumulate(time) - time
    assert 0.08 < (back > 0).mean() < 0.115  # three standard errors, and those set back behind nobody
    assert back.max() <= 2000


def test_a_drift_changes_its_column_from_its_start_on() -> None:
    """Before it, and in all other columns, the traffic is the same."""
    drift = Drift("step", "amount_usd", False, 3000, 1.0)
    with_drift, without = features(TRAFFIC, (drift,)), features(TRAFFIC)
    assert with_drift["amount_usd"][:3000] == without["amount_usd"][:3000]
    moved = np.array(with_drift["amount_usd"][3000:]) - np.array(without["amount_usd"][3000:])
    assert np.allclose(moved, 43.2, atol=0.011)  # values are cents
    assert {name for name in FRAUD_COLUMNS if with_drift[name] != without[name]} == {"amount_usd"}


@pytest.mark.parametrize(
    ("drift", "column"),
    [
        (Drift("missingness", "country", False, 1000, 0.25), "country"),
        (Drift("missingness", "is_foreign", False, 1000, 0.25), "is_foreign"),
        (Drift("new_category", "country", False, 1000, 0.25, category="XX"), "country"),
    ],
)
def test_a_share_of_values_goes_missing_or_is_new(drift: Drift, column: str) -> None:
    """About the share that was asked for, and in that column only."""
    with_drift, without = features(TRAFFIC, (drift,)), features(TRAFFIC)
    hit = [value == ("XX" if drift.kind == "new_category" else None) for value in with_drift[column]]
    assert not any(hit[:1000])
    assert 0.22 < np.mean(hit[1000:]) < 0.28
    assert {name for name in FRAUD_COLUMNS if with_drift[name] != without[name]} == {column}


def test_variance_spreads_round_the_same_mean() -> None:
    """The mean of a column stays, its deviation is multiplied."""
    drifts = (Drift("variance", "f01", False, 0, 3.0),)
    sent = [json.loads(out.value or b"")["features"]["f01"] for out in numeric_traffic(TRAFFIC, 3, drifts)]
    assert abs(np.mean(sent)) < 0.15  # 3 sigma / sqrt(6000) is 0.12
    assert 2.85 < np.std(sent) < 3.15


def test_ramps_and_recurring_drifts_follow_their_schedule() -> None:
    """A ramp rises evenly; a recurring drift holds in the second half of each period; `until` ends both."""
    text = (
        "- {at: 1000, column: f00, kind: ramp, size: 10, over: 1000, until: 4000}\n"
        "- {at: 1m, column: f01, kind: recurring, size: 10, period: 2m}\n"
    )
    drifts = load_schedule(text, "drift.yaml", numeric_columns(2))
    plain = [json.loads(out.value or b"")["features"] for out in numeric_traffic(TRAFFIC, 2)]
    moved = [json.loads(out.value or b"")["features"] for out in numeric_traffic(TRAFFIC, 2, drifts)]
    ramp = np.array([b["f00"] - a["f00"] for a, b in zip(plain, moved, strict=True)])
    again = np.array([b["f01"] - a["f01"] for a, b in zip(plain, moved, strict=True)])
    assert np.allclose(ramp[[0, 999, 1500, 2000, 3999, 4000]], [0, 0, 5, 10, 10, 0])
    assert np.allclose(again[[0, 599, 1100, 1300, 1700, 2300, 2500]], [0, 0, 0, 10, 10, 0, 10])
