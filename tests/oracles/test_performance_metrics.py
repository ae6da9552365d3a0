"""Metrics of predictions with labels against loops over the raw pairs, and their vectors as exact sums over pairs.

The loops know nothing of vectors and fixed-point units: they take the definitions at their word.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from monitor.events import Float64s
from monitor.panes.numeric_bins import make_numeric_bins
from monitor.stats.binary import BinaryLayout
from monitor.stats.multiclass import MulticlassLayout
from monitor.stats.performance import OTHER, PairLayout, Pairs, cost_per_1000, vector, vectors
from monitor.stats.regression import RegressionLayout

SEEDS = range(60)
CONFIDENCE, Z = 0.9, 1.6448536269514722

# ---------------------------------------------------------------------- raw pairs


def binary_case(seed: int) -> tuple[BinaryLayout, Pairs]:
    """Zero to 300 pairs: one true class only, no probability, some, ties, and probabilities of 0, 1 and near them."""
    rng = np.random.default_rng([1, seed])
    n = int(rng.choice([0, 1, 2, 3, 30, 300]))
    truth = (rng.random(n) < rng.choice([0.0, 0.02, 0.3, 0.5, 1.0])).astype(np.uint8)
    smooth = 1 / (1 + np.exp(-rng.normal(size=n) - 2 * truth + 1))
    extreme = rng.choice([0.0, 1e-30, 1e-16, 1e-9, 0.1, 0.3, 0.5, 0.7, 0.9, 1 - 2**-24, 1.0], size=n)
    p = [smooth, np.round(smooth, 1), extreme][seed % 3].astype(np.float32)
    p[rng.random(n) < rng.choice([0.0, 0.0, 0.3, 1.0])] = np.nan
    guess = (rng.random(n) < 0.4).astype(np.uint8)
    prediction = np.where(np.isnan(p), guess, p >= 0.5).astype(np.uint8)
    grid = make_numeric_bins(
        "probability", rng.choice([smooth, np.round(rng.random(500), 2)][seed % 2], 500) if n else smooth
    )
    return BinaryLayout(grid.edges), Pairs(truth, prediction, p)


def multiclass_case(seed: int) -> tuple[MulticlassLayout, Pairs]:
    """Zero to 300 pairs of few or many classes, some of them `other`, some never predicted."""
    rng = np.random.default_rng([2, seed])
    n, classes = int(rng.choice([0, 1, 2, 30, 300])), int(rng.choice([0, 1, 2, 3, 10, 100]))
    codes = np.append(np.arange(classes), OTHER).astype(np.uint8)
    truth = rng.choice(codes, n)
    prediction = np.where(rng.random(n) < 0.6, truth, rng.choice(codes[: max(classes // 2, 1)], n))
    return MulticlassLayout(classes), Pairs(truth, prediction, rng.random(n).astype(np.float32))


def regression_case(seed: int) -> tuple[RegressionLayout, Pairs]:
    """Zero to 300 pairs, of any size, with truths that are 0 and errors that have to be clipped."""
    rng = np.random.default_rng([3, seed])
    n, spread = int(rng.choice([0, 1, 2, 30, 300])), float(10.0 ** rng.integers(-200, 120))
    truth = np.round(rng.normal(rng.choice([0.0, 3.0]), 1.0, n), int(rng.integers(0, 3)))
    error = rng.standard_t(2, n) * rng.choice([0.0, 0.1, 1.0, 30.0])
    tolerance = [None, spread][seed % 2]
    return RegressionLayout(spread, tolerance), Pairs(truth * spread, (truth + error) * spread, np.zeros(n, np.float32))


CASES: dict[str, Callable[[int], tuple[PairLayout, Pairs]]] = {
    "binary": binary_case,
    "multiclass": multiclass_case,
    "regression": regression_case,
}

# ---------------------------------------------------------------------- loops


def ratio(above: float, below: float) -> float:
    return above / below if below else math.nan


def mean(values: list[float]) -> float:
    return ratio(math.fsum(values), len(values))


def binary_metrics(pairs: Pairs) -> dict[str, float]:
    rows = list(zip(pairs.truth.tolist(), pairs.prediction.tolist(), pairs.probability.tolist(), strict=True))
    tn, fp, fn, tp = (sum((y, h) == cell for y, h, _ in rows) for cell in ((0, 0), (0, 1), (1, 0), (1, 1)))
    scored = [(y, p) for y, _, p in rows if not math.isnan(p)]
    of_truth = [p if y else 1 - p for y, p in scored]
    gaps = []
    for k in range(10):
        inside = [(y, p) for y, p in scored if k <= p * 10 < k + 1 or (k == 9 and p == 1)]
        if inside:
            gaps.append(len(inside) * abs(mean([p for _, p in inside]) - mean([y for y, _ in inside])))
    return {
        "accuracy": ratio(tp + tn, len(rows)),
        "error_rate": ratio(fp + fn, len(rows)),
        "precision": ratio(tp, tp + fp),
        "recall": ratio(tp, tp + fn),
        "f1": ratio(2 * tp, 2 * tp + fp + fn),
        "false_positive_rate": ratio(fp, fp + tn),
        "roc_auc": area([p for y, p in scored if y], [p for y, p in scored if not y]),
        "log_loss": mean([-math.log(min(max(q, 1e-15), 1 - 1e-15)) for q in of_truth]),
        "brier": mean([(p - y) ** 2 for y, p in scored]),
        "calibration_error": ratio(math.fsum(gaps), len(scored)),
    }


def area(positives: list[float], negatives: list[float]) -> float:
    """Mann and Whitney: the share of pairs in which the positive is ahead, ties one half."""
    return mean([(p > q) + (p == q) / 2 for p in positives for q in negatives])


def multiclass_metrics(pairs: Pairs) -> dict[str, float]:
    rows = list(zip(pairs.truth.tolist(), pairs.prediction.tolist(), strict=True))
    found = {
        "accuracy": mean([truth == guess != OTHER for truth, guess in rows]),
        "error_rate": mean([truth != guess or guess == OTHER for truth, guess in rows]),
    }
    by_class = {}
    for c in sorted({c for row in rows for c in row}):
        right = sum(truth == guess == c != OTHER for truth, guess in rows)
        precision, recall = (right / max(sum(row[k] == c for row in rows), 1) for k in (1, 0))
        f1 = 2 * precision * recall / (precision + recall) if right else 0.0
        by_class[c] = {"precision": precision, "recall": recall, "f1": f1}
    for name in ("precision", "recall", "f1"):
        found[f"{name}_macro"] = mean([scores[name] for scores in by_class.values()])
        found[f"{name}_weighted"] = mean([by_class[truth][name] for truth, _ in rows])
    return found


def regression_values(layout: RegressionLayout, pairs: Pairs) -> dict[str, list[float]]:
    """What each metric is the mean of: errors in spreads, or ratios; of rmse the squares."""
    rows = list(zip(pairs.truth.tolist(), pairs.prediction.tolist(), strict=True))
    errors = [min(max((guess - truth) / layout.spread, -64.0), 64.0) for truth, guess in rows]
    found = {
        "mae": [abs(e) for e in errors],
        "rmse": [e * e for e in errors],
        "bias": errors,
        "mape": [min(abs(guess - truth) / abs(truth), 256.0) for truth, guess in rows if truth],
    }
    if layout.tolerance is not None:
        found["error_rate"] = [float(abs(guess - truth) > layout.tolerance) for truth, guess in rows]
    return found


def wilson(hits: float, n: float) -> tuple[float, float]:
    found = stats.binomtest(round(hits), round(n)).proportion_ci(CONFIDENCE, method="wilson")
    return found.low, found.high


def normal(values: list[float], least: float = 0.0) -> tuple[float, float]:
    half = Z * statistics.stdev(values) / math.sqrt(len(values))
    return max(mean(values) - half, least), mean(values) + half


def delong(positives: list[float], negatives: list[float]) -> tuple[float, float]:
    """The variances of both sides' placements, as the paper has them."""
    above = [area([p], negatives) for p in positives]
    below = [area(positives, [q]) for q in negatives]
    half = Z * math.sqrt(statistics.variance(above) / len(above) + statistics.variance(below) / len(below))
    center = area(positives, negatives)
    return max(center - half, 0.0), min(center + half, 1.0)


def assert_equal(found: dict[str, float], expected: dict[str, float], tolerance: float = 1e-9) -> None:
    """What is undefined is left out, and all else is within the tolerance."""
    defined = {name: value for name, value in expected.items() if not math.isnan(value)}
    assert found.keys() == defined.keys()
    for name, value in defined.items():
        assert found[name] == pytest.approx(value, rel=1e-11, abs=tolerance), name


def assert_intervals(
    found: dict[str, tuple[float, float]], expected: dict[str, tuple[float, float]], tolerance: float = 1e-8
) -> None:
    assert found.keys() == expected.keys()
    for name, interval in expected.items():
        assert found[name] == pytest.approx(interval, rel=1e-11, abs=tolerance), name


# ---------------------------------------------------------------------- metrics


@pytest.mark.parametrize("seed", SEEDS)
def test_metrics_of_two_classes_are_those_of_a_loop(seed: int) -> None:
    """To 1e-9, and the area under the curve within the bound beside it; with one true class only there is none."""
    layout, pairs = binary_case(seed)
    found, expected = layout.metrics(vector(layout, pairs)), binary_metrics(pairs)
    bound, exact = found.pop("roc_auc_error", math.nan), expected.pop("roc_auc")
    assert math.isnan(bound) == math.isnan(exact)
    if not math.isnan(exact):
        assert abs(found.pop("roc_auc") - exact) <= bound + 1e-9
    assert_equal(found, expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_area_is_exact_where_no_bin_holds_two_scores(seed: int) -> None:
    """The grid's atoms are doubles, and a float32 that is one of them keeps its bin; so the bound is that of ties."""
    _, pairs = binary_case(seed)
    scored = pairs.part(~np.isnan(pairs.probability))
    values = np.unique(scored.probability.astype(np.float64))
    layout = BinaryLayout(np.unique(np.concatenate([values, np.nextafter(values, np.inf)])))
    expected = binary_metrics(scored)["roc_auc"]
    assert layout.metrics(vector(layout, scored)).get("roc_auc", math.nan) == pytest.approx(
        expected, rel=1e-11, nan_ok=True
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_metrics_of_several_classes_are_those_of_a_loop(seed: int) -> None:
    """`other` is a class that is never right."""
    layout, pairs = multiclass_case(seed)
    assert_equal(layout.metrics(vector(layout, pairs)), multiclass_metrics(pairs))


@pytest.mark.parametrize("seed", SEEDS)
def test_metrics_of_numbers_are_those_of_a_loop(seed: int) -> None:
    """Within 1e-9 spreads, and in the label's unit."""
    layout, pairs = regression_case(seed)
    expected = {name: mean(values) for name, values in regression_values(layout, pairs).items()}
    expected["rmse"] = math.sqrt(expected["rmse"])
    in_unit = {"mae": layout.spread, "rmse": layout.spread, "bias": layout.spread}
    found = {name: value / in_unit.get(name, 1.0) for name, value in layout.metrics(vector(layout, pairs)).items()}
    assert_equal(found, expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_costs_are_those_of_a_loop(seed: int) -> None:
    """Of two and of several classes: the mean of each pair's cost, a thousand times."""
    rng = np.random.default_rng(seed)
    for case in (binary_case, multiclass_case):
        layout, pairs = case(seed)
        confusion = layout.confusion(vector(layout, pairs))
        costs = rng.normal(size=confusion.shape)
        rows = zip(pairs.truth.tolist(), pairs.prediction.tolist(), strict=True)
        last = len(costs) - 1
        each = [float(costs[min(truth, last), min(guess, last)]) for truth, guess in rows]
        assert cost_per_1000(confusion, costs) == pytest.approx(1000 * mean(each), rel=1e-9, abs=1e-9, nan_ok=True)


# ---------------------------------------------------------------------- intervals


@pytest.mark.parametrize("seed", SEEDS)
def test_intervals_of_two_classes_are_scipys_and_those_of_loops(seed: int) -> None:
    """Wilson's for shares, DeLong's of the scores' bins for the area, the normal one for means."""
    layout, pairs = binary_case(seed)
    rows = list(zip(pairs.truth.tolist(), pairs.prediction.tolist(), strict=True))
    expected = {
        name: wilson(sum(inside), len(inside))
        for name, inside in {
            "accuracy": [y == h for y, h in rows],
            "error_rate": [y != h for y, h in rows],
            "precision": [y == 1 for y, h in rows if h],
            "recall": [h == 1 for y, h in rows if y],
            "false_positive_rate": [h == 1 for y, h in rows if not y],
        }.items()
        if inside
    }
    if either := [y == h for y, h in rows if y or h]:
        low, high = wilson(sum(either), len(either))
        expected["f1"] = 2 * low / (1 + low), 2 * high / (1 + high)
    scored = pairs.part(~np.isnan(pairs.probability))
    if len(scored) > 1:
        p, truth = scored.probability.astype(np.float64), scored.truth
        q = np.where(truth == 1, p, 1 - p)
        expected["log_loss"] = normal([-math.log(min(max(one, 1e-15), 1 - 1e-15)) for one in q.tolist()])
        expected["brier"] = normal(((1 - q) ** 2).tolist())
        bins = binned(layout.score_edges, scored.probability)
        positives, negatives = (bins[truth == y].tolist() for y in (1, 0))
        if min(len(positives), len(negatives)) > 1:
            expected["roc_auc"] = delong(positives, negatives)
    assert_intervals(layout.intervals(vector(layout, pairs), CONFIDENCE), expected)


def binned(edges: Float64s | None, p: np.ndarray) -> np.ndarray:
    """Bins of probabilities that are the doubles, as far as a float32 tells."""
    assert edges is not None
    ends = sorted({*edges.astype(np.float32).tolist()})
    atoms = {a for a, b in zip(edges.tolist(), edges.tolist()[1:], strict=False) if np.float32(a) == np.float32(b)}
    ends += [float(np.nextafter(np.float32(a), np.float32(2))) for a in atoms]
    return np.array([sum(end <= one for end in ends) for one in p.tolist()])


@pytest.mark.parametrize("seed", SEEDS)
def test_intervals_of_several_classes_are_scipys(seed: int) -> None:
    """Of accuracy and error_rate: averages of classes have none."""
    layout, pairs = multiclass_case(seed)
    right = (pairs.truth == pairs.prediction) & (pairs.truth != OTHER)
    n, hits = len(right), int(right.sum())
    expected = {"accuracy": wilson(hits, n), "error_rate": wilson(n - hits, n)} if n else {}
    assert_intervals(layout.intervals(vector(layout, pairs), CONFIDENCE), expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_intervals_of_numbers_are_those_of_loops(seed: int) -> None:
    """The normal one for means, Wilson's for the share beyond the tolerance."""
    layout, pairs = regression_case(seed)
    values = regression_values(layout, pairs)
    del values["rmse"]
    expected = {
        name: normal(one, -math.inf if name == "bias" else 0.0)
        for name, one in values.items()
        if name != "error_rate" and len(one) > 1
    }
    if beyond := values.get("error_rate"):
        expected["error_rate"] = wilson(sum(beyond), len(beyond))
    in_unit = {"mae": layout.spread, "bias": layout.spread}
    found = layout.intervals(vector(layout, pairs), CONFIDENCE).items()
    scaled = {name: (low / in_unit.get(name, 1.0), high / in_unit.get(name, 1.0)) for name, (low, high) in found}
    assert_intervals(scaled, expected)


# ---------------------------------------------------------------------- vectors


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", CASES)
def test_a_vector_is_an_exact_sum_over_its_pairs(kind: str, seed: int) -> None:
    """The same bytes in any order and any parts, by cohort too; and what is subtracted leaves nothing behind."""
    layout, pairs = CASES[kind](seed)
    n, rng, everything = len(pairs), np.random.default_rng(seed), vector(layout, pairs)
    assert everything.shape == (layout.width,)
    mixed = rng.permutation(n)
    assert vector(layout, pairs.part(mixed)).tobytes() == everything.tobytes()
    cohort = rng.integers(0, 5, n)
    each = vectors(layout, pairs, cohort, 5)
    assert each.sum(axis=0).tobytes() == everything.tobytes()
    for k in range(5):
        assert each[k].tobytes() == vector(layout, pairs.part(cohort == k)).tobytes()
    without = everything.copy()
    for k in mixed[:3]:
        without -= vector(layout, pairs.part(slice(k, k + 1)))
    kept = np.setdiff1d(np.arange(n), mixed[:3])
    assert without.tobytes() == vector(layout, pairs.part(kept)).tobytes()
    assert layout.counts(without)["pairs"] == len(kept)
    assert layout.metrics(without) == layout.metrics(vector(layout, pairs.part(kept)))
