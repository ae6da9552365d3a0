"""Seeded synthetic traffic: a fraud scorer's features and predictions, and plain numeric columns.

The fraud scorer is a fixed logistic function of its features, so a drift of a feature moves its predictions too.
The same seed gives the same traffic; a drift changes nothing before its start, and nothing but its column and score.
What is fraud follows the same function, and surer than the scorer is; labels tell it later (`labels.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, Final

import msgspec
import numpy as np

from monitor.contract import ColumnKind
from monitor.events import Float64s, Outgoing
from producers.changes import Changes, Shape
from producers.labels import LABEL, Labelling, Labels
from producers.schedule import At, Drift, TrafficKind
from producers.traffic import Traffic, blocks, partition_of, time_texts

FRAUD_MODEL: Final = "fraud-scorer"
FRAUD_COLUMNS: Final[Mapping[str, ColumnKind]] = {
    "amount_usd": "numerical",
    "account_age_days": "numerical",
    "tx_last_hour": "numerical",
    "is_foreign": "binary",
    "merchant_type": "categorical",
    "country": "categorical",
}
FRAUD_TRAFFIC: Final[Mapping[str, TrafficKind]] = {**FRAUD_COLUMNS, LABEL: "label"}
"""What a schedule may change: the columns, and what is true."""
_AMOUNT = Shape(45.6, 43.2, 0.01, 2)
_AGE = Shape(600.0, 600.0, 0.0, 0)
_RECENT = Shape(2.0, 1.414, 0.0, 0)
_FOREIGN_SHARE = Shape(0.1, 0.3, 0.0, 6)
_NORMAL = Shape(0.0, 1.0, -np.inf, 6)
_MERCHANTS = np.array(["grocery", "fuel", "travel", "electronics", "restaurant"])
_MERCHANT_SHARES = (0.4, 0.2, 0.1, 0.1, 0.2)
_COUNTRIES = np.array(["DE", "FR", "NL", "PL", "US"])
_COUNTRY_SHARES = (0.5, 0.2, 0.1, 0.1, 0.1)
_BASE, _NEW_BASE = -2.2, -0.8
"""Logit of fraud of a mean transaction, and that of a kind of fraud which the scorer doesn't know."""
_CERTAINTY = 2.5
"""How much surer the truth is than the scorer: its labels are wrong where both are in doubt."""
_SCORING_MS = 19
"""Between the features' event and the prediction's."""


class _Features(msgspec.Struct, gc=False):
    event_id: str
    prediction_id: str
    model: str
    event_time: str
    features: dict[str, Any]


class _Prediction(msgspec.Struct, gc=False):
    event_id: str
    prediction_id: str
    model: str
    event_time: str
    y_pred: int
    y_pred_proba: float


_ENCODE = msgspec.json.Encoder().encode


def fraud_traffic(
    traffic: Traffic, drifts: Sequence[Drift] = (), topics: tuple[str, str] = ("ml.features", "ml.predictions")
) -> Iterator[Outgoing]:
    """Features and prediction of one transaction after the other, keyed by prediction id. `topics`: of the two."""
    return chain.from_iterable(fraud_transactions(traffic, drifts, None, topics))


def fraud_transactions(
    traffic: Traffic,
    drifts: Sequence[Drift] = (),
    labels: Labels | None = None,
    topics: tuple[str, str] = ("ml.features", "ml.predictions"),
) -> Iterator[list[Outgoing]]:
    """Records by transaction: the labels that have come meanwhile, its features and its prediction."""
    return islice(_fraud(traffic, drifts, labels, topics), traffic.events)


def numeric_columns(columns: int) -> Mapping[str, ColumnKind]:
    """The columns of `numeric_traffic`: f00, f01, ..."""
    return {f"f{k:02d}": "numerical" for k in range(columns)}


def numeric_traffic(
    traffic: Traffic, columns: int, drifts: Sequence[Drift] = (), topic: str = "ml.features", model: str = "numeric"
) -> Iterator[Outgoing]:
    """Feature events of independent standard normal columns, for benchmarks and tests."""
    return islice(_numeric(traffic, columns, drifts, (topic, model)), traffic.events)


def _fraud(
    traffic: Traffic, drifts: Sequence[Drift], labels: Labels | None, topics: tuple[str, str]
) -> Iterator[list[Outgoing]]:
    random, changes = np.random.default_rng(traffic.seed), Changes(drifts, traffic.seed)
    labelling = None if labels is None else Labelling(labels, drifts, FRAUD_MODEL, traffic.seed)
    for block in blocks(traffic, random):
        columns, logit = _transactions(block.at, random, changes)
        if labelling is not None:
            unknown = _NEW_BASE - (logit - _BASE)  # what spoke for fraud speaks against it
            labelling.add(block.at, block.time + _SCORING_MS, _CERTAINTY * logit, _CERTAINTY * unknown)
        rows = zip(
            block.at.number.tolist(),
            block.time.tolist(),
            time_texts(block.time),
            time_texts(block.time + _SCORING_MS),
            zip(*columns.values(), strict=True),
            np.round(1.0 / (1.0 + np.exp(-logit)), 6).tolist(),
            strict=True,
        )
        for number, now, time, scored, values, p in rows:  # events are encoded one by one
            name = f"tx-{number:08d}"
            key = name.encode()
            partition = partition_of(key, traffic.partitions)
            features = _Features(f"f-{number:08d}", name, FRAUD_MODEL, time, dict(zip(columns, values, strict=True)))
            prediction = _Prediction(f"p-{number:08d}", name, FRAUD_MODEL, scored, int(p >= 0.5), p)
            yield [
                *([] if labelling is None else labelling.due(now)),
                Outgoing(topics[0], partition, key, _ENCODE(features)),
                Outgoing(topics[1], partition, key, _ENCODE(prediction)),
            ]


def _transactions(at: At, random: np.random.Generator, changes: Changes) -> tuple[dict[str, list[Any]], Float64s]:
    """The features of a block of transactions, and the scorer's logit of each (which takes a null for its value)."""
    n = len(at.number)
    amount = changes.numbers("amount_usd", random.lognormal(3.5, 0.8, n), _AMOUNT, at)
    age = changes.numbers("account_age_days", random.exponential(600.0, n), _AGE, at)
    recent = changes.numbers("tx_last_hour", random.poisson(2.0, n).astype(np.float64), _RECENT, at)
    share = changes.numbers("is_foreign", np.full(n, _FOREIGN_SHARE.mean), _FOREIGN_SHARE, at)
    foreign = random.random(n) < share
    merchant = random.choice(_MERCHANTS, n, p=_MERCHANT_SHARES)
    country = random.choice(_COUNTRIES, n, p=_COUNTRY_SHARES)
    logit = _BASE + 0.012 * (amount - 45.6) + 0.35 * (recent - 2.0) - 0.0008 * (age - 600.0) + 0.9 * foreign
    logit += 0.6 * (merchant == "electronics") + 0.3 * (country == "US")
    numeric = {
        "amount_usd": amount.tolist(),
        "account_age_days": age.astype(np.int64).tolist(),
        "tx_last_hour": recent.astype(np.int64).tolist(),
        "is_foreign": foreign.astype(np.int64).tolist(),
    }
    columns = {name: changes.with_nulls(name, values, at) for name, values in numeric.items()}
    columns["merchant_type"] = changes.labels("merchant_type", merchant.tolist(), at)
    columns["country"] = changes.labels("country", country.tolist(), at)
    return columns, logit


def _numeric(traffic: Traffic, columns: int, drifts: Sequence[Drift], place: tuple[str, str]) -> Iterator[Outgoing]:
    topic, model = place
    names = list(numeric_columns(columns))
    random, changes = np.random.default_rng(traffic.seed), Changes(drifts, traffic.seed)
    for block in blocks(traffic, random):
        drawn = random.standard_normal((columns, len(block.time)))
        moved = {name: changes.numbers(name, drawn[k], _NORMAL, block.at) for k, name in enumerate(names)}
        values = [changes.with_nulls(name, column.tolist(), block.at) for name, column in moved.items()]
        rows = zip(block.at.number.tolist(), time_texts(block.time), zip(*values, strict=True), strict=True)
        for number, time, row in rows:  # events are encoded one by one
            name = f"e-{number:08d}"
            key = name.encode()
            event = _Features(name, name, model, time, dict(zip(names, row, strict=True)))
            yield Outgoing(topic, partition_of(key, traffic.partitions), key, _ENCODE(event))
