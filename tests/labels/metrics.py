"""Metrics of raw pairs with numpy, by their definitions, and their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import NormalDist

import numpy as np

from tests.oracles.test_join import Value

Pair = tuple[Value, Value, float]
"""Truth, prediction and probability."""
Series = Mapping[str, float]
Interval = tuple[float, float]
OTHER = 100
CLIPPED_SPREADS, CLIPPED_RATIO = 64, 256


def series(
    task: str,
    pairs: Sequence[Pair],
    spread: float,
    tolerance: float | None,
    costs: Mapping[tuple[int, int], float] | None,
) -> Series:
    """Metric -> value; what divides by zero is left out."""
    if not pairs:
        return {}
    truth, predicted, probability = (np.array(column, dtype=np.float64) for column in zip(*pairs, strict=True))
    if task == "regression":
        return _of_numbers(truth, predicted, spread, tolerance)
    found = {}
    if costs is not None:
        found["cost_per_1000"] = 1000 * sum(costs.get((int(t), int(p)), 0.0) for t, p, _ in pairs) / len(pairs)
    if task == "classification_multiclass":
        return {**found, **_of_classes(truth, predicted)}
    return {**found, **_of_two_classes(truth, predicted), **_of_scores(truth, probability)}


def outcome(task: str, pair: Pair, tolerance: float | None) -> tuple[float | None, float]:
    """Whether a pair is wrong (None: nobody says which are), and how wrong it is."""
    truth, predicted, probability = pair
    if task == "regression":
        size = abs(predicted - truth)
        return None if tolerance is None else float(size > tolerance), size
    error = float(truth != predicted or truth == OTHER)
    if task == "classification_multiclass" or probability != probability:
        return error, error
    return error, 1 - probability if truth == 1 else probability


def _of_numbers(truth: np.ndarray, predicted: np.ndarray, spread: float, tolerance: float | None) -> Series:
    raw = predicted - truth
    error = np.clip(raw, -CLIPPED_SPREADS * spread, CLIPPED_SPREADS * spread)
    found = {"mae": np.abs(error).mean(), "rmse": np.sqrt((error**2).mean()), "bias": error.mean()}
    if (truth != 0).any():
        ratio = np.abs(raw[truth != 0] / truth[truth != 0])
        found["mape"] = np.minimum(ratio, CLIPPED_RATIO).mean()
    if tolerance is not None:
        found["error_rate"] = (np.abs(raw) > tolerance).mean()
    return {name: float(value) for name, value in found.items()}


def _of_two_classes(truth: np.ndarray, predicted: np.ndarray) -> Series:
    return {name: hits / n for name, (hits, n) in _shares(truth, predicted).items() if n} | _f1(truth, predicted)


def _shares(truth: np.ndarray, predicted: np.ndarray) -> dict[str, tuple[int, int]]:
    """Hits and pairs of what is a share of two classes."""
    right, said, is_true = truth == predicted, predicted == 1, truth == 1
    n = len(truth)
    return {
        "accuracy": (int(right.sum()), n),
        "error_rate": (int((~right).sum()), n),
        "precision": (int((said & is_true).sum()), int(said.sum())),
        "recall": (int((said & is_true).sum()), int(is_true.sum())),
        "false_positive_rate": (int((said & ~is_true).sum()), int((~is_true).sum())),
    }


def _f1(truth: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    hits, either = int(((truth == 1) & (predicted == 1)).sum()), int(((truth == 1) | (predicted == 1)).sum())
    return {"f1": 2 * hits / (hits + either)} if either else {}


def _of_scores(truth: np.ndarray, probability: np.ndarray) -> Series:
    has = ~np.isnan(probability)
    if not has.any():
        return {}
    y, p = truth[has], probability[has]
    q = np.where(y == 1, p, 1 - p)
    found = {"log_loss": -np.log(np.maximum(q, 1e-15)).mean(), "brier": ((p - y) ** 2).mean()}
    bins = np.minimum(np.floor(p * 10), 9)
    gaps = [abs(p[bins == k].sum() - y[bins == k].sum()) for k in range(10)]
    found["calibration_error"] = sum(gaps) / len(p)
    if 0 < y.sum() < len(y):
        above = p[y == 1][:, np.newaxis] - p[y == 0]
        found["roc_auc"] = (above > 0).mean() + (above == 0).mean() / 2
    return {name: float(value) for name, value in found.items()}


def _of_classes(truth: np.ndarray, predicted: np.ndarray) -> Series:
    right = (truth == predicted) & (truth != OTHER)
    found = {"accuracy": float(right.mean()), "error_rate": float(1 - right.mean())}
    of: dict[str, list[float]] = {"precision": [], "recall": [], "f1": []}
    weights = []
    for k in sorted({*truth.tolist(), *predicted.tolist()}):
        hits, said, is_true = (int(one.sum()) for one in (right & (truth == k), predicted == k, truth == k))
        weights.append(is_true)
        of["precision"].append(hits / said if said else 0.0)
        of["recall"].append(hits / is_true if is_true else 0.0)
        of["f1"].append(2 * hits / (said + is_true))
    for name, values in of.items():
        found[f"{name}_macro"] = float(np.mean(values))
        found[f"{name}_weighted"] = float(np.average(values, weights=weights))
    return found


# ---------------------------------------------------------------------- intervals


def intervals(
    task: str, pairs: Sequence[Pair], spread: float, tolerance: float | None, confidence: float
) -> Mapping[str, Interval]:
    """Wilson's of shares, the normal one of means, and DeLong's of the area under the curve, on raw scores."""
    if not pairs:
        return {}
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    truth, predicted, probability = (np.array(column, dtype=np.float64) for column in zip(*pairs, strict=True))
    if task == "regression":
        return _around_errors(truth, predicted, spread, tolerance, z)
    if task == "classification_multiclass":
        hits = int(((truth == predicted) & (truth != OTHER)).sum())
        shares = {"accuracy": (hits, len(truth)), "error_rate": (len(truth) - hits, len(truth))}
        return {name: _wilson(*share, z) for name, share in shares.items()}
    found = {name: _wilson(*share, z) for name, share in _shares(truth, predicted).items() if share[1]}
    hits, either = int(((truth == 1) & (predicted == 1)).sum()), int(((truth == 1) | (predicted == 1)).sum())
    if either:
        low, high = _wilson(hits, either, z)
        found["f1"] = 2 * low / (1 + low), 2 * high / (1 + high)
    has = ~np.isnan(probability)
    if has.sum() > 1:
        y, p = truth[has], probability[has]
        losses = -np.log(np.maximum(np.where(y == 1, p, 1 - p), 1e-15))
        found |= {"log_loss": _mean(losses, z), "brier": _mean((p - y) ** 2, z)}
        if min(sides(pairs)) > 1:
            found["roc_auc"] = _delong(p[y == 1], p[y == 0], z)
    return found


def sides(pairs: Sequence[Pair]) -> tuple[int, int]:
    """How many pairs with a probability are truly of class 0, and of class 1."""
    truths = [truth for truth, _, probability in pairs if not np.isnan(probability)]
    return truths.count(0), truths.count(1)


def _delong(positives: np.ndarray, negatives: np.ndarray, z: float) -> Interval:
    """The area's variance is that of the mean of each side's placements among the other side, pair by pair."""
    above = np.array([[(p > n) + (p == n) / 2 for n in negatives] for p in positives])
    of_each = above.mean(axis=1), above.mean(axis=0)
    half = z * np.sqrt(sum(one.var(ddof=1) / len(one) for one in of_each))
    return max(0.0, float(above.mean() - half)), min(1.0, float(above.mean() + half))


def _around_errors(
    truth: np.ndarray, predicted: np.ndarray, spread: float, tolerance: float | None, z: float
) -> Mapping[str, Interval]:
    raw, found = predicted - truth, dict[str, Interval]()
    error = np.clip(raw, -CLIPPED_SPREADS * spread, CLIPPED_SPREADS * spread)
    if len(error) > 1:
        found |= {"mae": _mean(np.abs(error), z), "bias": _mean(error, z, least=-np.inf)}
    if (truth != 0).sum() > 1:
        ratio = np.minimum(np.abs(raw[truth != 0] / truth[truth != 0]), CLIPPED_RATIO)
        found["mape"] = _mean(ratio, z)
    if tolerance is not None:
        found["error_rate"] = _wilson(int((np.abs(raw) > tolerance).sum()), len(raw), z)
    return found


def _wilson(hits: int, n: int, z: float) -> Interval:
    share = hits / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def _mean(values: np.ndarray, z: float, least: float = 0.0) -> Interval:
    half = z * values.std(ddof=1) / np.sqrt(len(values))
    return max(least, float(values.mean() - half)), float(values.mean() + half)
