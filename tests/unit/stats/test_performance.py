"""Predictions with their labels: at the ends of what they may be. The formulas are tried in `tests/oracles`."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from monitor.panes.numeric_bins import make_numeric_bins
from monitor.stats.binary import BinaryLayout
from monitor.stats.intervals import normal_quantile
from monitor.stats.multiclass import MulticlassLayout
from monitor.stats.performance import OTHER, PairLayout, Pairs, cost_per_1000, vector, vectors
from monitor.stats.regression import RegressionLayout

EDGES = np.arange(1, 100) / 100
NO_COSTS = np.zeros((2, 2))


def classes(truth: list[int], prediction: list[int], probability: list[float] | None = None) -> Pairs:
    p = np.full(len(truth), np.nan) if probability is None else np.array(probability)
    return Pairs(np.array(truth, np.uint8), np.array(prediction, np.uint8), p.astype(np.float32))


def numbers(truth: list[float], prediction: list[float]) -> Pairs:
    return Pairs(np.array(truth), np.array(prediction), np.zeros(len(truth), np.float32))


LAYOUTS: dict[str, tuple[PairLayout, Pairs]] = {
    "binary": (BinaryLayout(EDGES), classes([1, 0], [0, 1], [0.0, 1.0])),
    "multiclass": (MulticlassLayout(100), classes([99, OTHER], [OTHER, 99])),
    "regression": (RegressionLayout(1e-9, 1.0), numbers([1e-12, 1e-12], [1e30, -1e30])),
}


@pytest.mark.parametrize("kind", LAYOUTS)
def test_no_number_overflows_before_two_to_the_31_pairs(kind: str) -> None:
    """The largest losses and errors there are, that often: the metrics are those of two such pairs."""
    layout, pairs = LAYOUTS[kind]
    two, times = vector(layout, pairs), 1 << 30
    assert max(abs(number) for number in two.tolist()) * times < 1 << 63
    assert layout.metrics(two * times) == layout.metrics(two)
    for name, (low, high) in layout.intervals(two * times, 0.95).items():
        assert low == pytest.approx(layout.metrics(two)[name], abs=0.01), name
        assert high == pytest.approx(layout.metrics(two)[name], abs=0.01), name


@pytest.mark.parametrize("kind", LAYOUTS)
def test_no_pairs_have_no_metric_and_no_interval(kind: str) -> None:
    """Their vector is 0."""
    layout, pairs = LAYOUTS[kind]
    none = vector(layout, pairs.part(slice(0, 0)))
    assert none.shape == (layout.width,)
    assert not none.any()
    assert not layout.metrics(none)
    assert not layout.intervals(none, 0.95)
    assert set(layout.counts(none).values()) == {0}


def test_pairs_beyond_those_of_one_turn_are_added_up_as_well() -> None:
    """More than 2**18, by cohort."""
    layout, n = BinaryLayout(EDGES), (1 << 18) + 1000
    rng = np.random.default_rng(1)
    truth, prediction = rng.integers(0, 2, (2, n), dtype=np.uint8)
    pairs = Pairs(truth, prediction, rng.random(n, dtype=np.float32))
    cohort = rng.integers(0, 3, n)
    found = vectors(layout, pairs, cohort, 3)
    assert [layout.counts(one)["pairs"] for one in found] == np.bincount(cohort).tolist()
    parts = [vector(layout, pairs.part(slice(start, start + 50_000))) for start in range(0, n, 50_000)]
    assert found.sum(axis=0).tobytes() == np.sum(parts, axis=0).tobytes()


@pytest.mark.parametrize(("truth", "without"), [(1, "false_positive_rate"), (0, "recall")])
def test_one_true_class_leaves_out_what_divides_by_zero(truth: int, without: str) -> None:
    """The area under the curve among it; accuracy and the losses stay."""
    layout = BinaryLayout(EDGES)
    sums = vector(layout, classes([truth] * 3, [0, 1, 1], [0.2, 0.6, 0.7]))
    for found in (layout.metrics(sums), layout.intervals(sums, 0.95)):
        assert not found.keys() & {"roc_auc", "roc_auc_error", without}
        assert found.keys() >= {"accuracy", "log_loss", "brier", "precision", "f1"}


@pytest.mark.parametrize("truth", [[0, 1, 1], [0, 0, 1]])
def test_an_area_of_one_positive_or_negative_has_no_interval(truth: list[int]) -> None:
    """Its placement has no variance."""
    layout = BinaryLayout(EDGES)
    sums = vector(layout, classes(truth, truth, [0.2, 0.3, 0.4]))
    assert layout.metrics(sums)["roc_auc"] == 1
    assert "roc_auc" not in layout.intervals(sums, 0.95)


def test_pairs_without_probability_count_for_the_classes_alone() -> None:
    """So do all of them if the model has no probabilities."""
    pairs = classes([1, 0, 1], [1, 1, 0], [0.9, np.nan, np.nan])
    scored = BinaryLayout(EDGES)
    assert scored.counts(vector(scored, pairs)) == {"pairs": 3, "positives": 2, "scored": 1}
    plain = BinaryLayout(None)
    assert plain.width == 4
    assert plain.counts(vector(plain, pairs)) == {"pairs": 3, "positives": 2, "scored": 0}
    names = {"accuracy", "error_rate", "precision", "recall", "f1", "false_positive_rate"}
    assert plain.metrics(vector(plain, pairs)).keys() == names


def test_a_probability_beyond_its_range_counts_as_its_end() -> None:
    """So it is in the first or the last bin, and its losses are those of 0 or 1."""
    layout = BinaryLayout(EDGES)
    beyond, ends = (vector(layout, classes([0, 1], [0, 1], p)) for p in ([-3.0, np.inf], [0.0, 1.0]))
    assert beyond.tobytes() == ends.tobytes()


def test_scores_that_repeat_keep_bins_of_their_own() -> None:
    """An atom of the grid is one double wide, and a float32 that is nearest to it is in its bin."""
    scores = np.repeat([0.1, 0.3, 0.7], 200)
    grid = make_numeric_bins("p", np.concatenate([scores, np.linspace(0, 1, 600)]))
    truth = (np.arange(600) % 3 == 0).astype(np.uint8)
    layout = BinaryLayout(grid.edges)
    found = layout.metrics(vector(layout, Pairs(truth, truth, scores.astype(np.float32))))
    exact = stats.mannwhitneyu(scores[truth == 1], scores[truth == 0]).statistic / (200 * 400)
    assert found["roc_auc"] == pytest.approx(exact, abs=1e-12)


def test_vectors_of_several_classes_grow_with_their_number() -> None:
    """That of two classes is the beginning of that of five, and `other` stays where it is."""
    pairs = classes([0, 1, OTHER, 0], [1, 1, 0, OTHER])
    few, more = (vector(MulticlassLayout(n), pairs) for n in (2, 5))
    assert more[: len(few)].tobytes() == few.tobytes()
    assert not more[len(few) :].any()
    assert MulticlassLayout(5).metrics(more) == MulticlassLayout(2).metrics(few)
    assert MulticlassLayout(5).counts(more) == {"pairs": 4, "other": 2}


@pytest.mark.parametrize("code", [2, 99])
def test_a_class_that_a_layout_does_not_know_is_refused(code: int) -> None:
    """It would be counted for another cohort."""
    with pytest.raises(ValueError, match="invalid entry"):
        vectors(MulticlassLayout(2), classes([code], [0]), np.array([0]), 2)


def test_errors_and_losses_of_pairs() -> None:
    """In two classes the loss is what the true class lacks; `other` is wrong; numbers lose their distance."""
    pairs = classes([1, 0, 1, 0], [1, 1, 0, 0], [0.75, 0.75, np.nan, np.nan])
    assert BinaryLayout(EDGES).errors(pairs).tolist() == [0, 1, 1, 0]
    assert BinaryLayout(EDGES).losses(pairs).tolist() == [0.25, 0.75, 1, 0]
    several = classes([1, 0, OTHER, OTHER], [1, 2, OTHER, 1], [0.9] * 4)
    assert MulticlassLayout(3).errors(several).tolist() == [0, 1, 1, 1]
    assert MulticlassLayout(3).losses(several).tolist() == [0, 1, 1, 1]
    far = numbers([1.0, 1.0, 1.0], [1.5, 2.0, -1e9])
    assert RegressionLayout(1.0, None).errors(far) is None
    errors = RegressionLayout(1.0, 0.5).errors(far)
    assert errors is not None
    assert errors.tolist() == [0, 1, 1]
    sums = vector(RegressionLayout(1.0, 0.5), far)
    assert RegressionLayout(1.0, 0.5).metrics(sums)["error_rate"] == pytest.approx(2 / 3)
    assert RegressionLayout(1.0, None).losses(far).tolist() == [0.5, 1.0, 1e9 + 1]


def test_errors_without_bound_are_clipped_and_counted() -> None:
    """Beyond 64 spreads, and beyond 256 times the truth; what is no error is not."""
    layout = RegressionLayout(2.0, None)
    sums = vector(layout, numbers([100.0, 0.0, 1.0, 1e-3, 0.0], [-1e6, 128.0, 1.0, 1.0, 1e300]))
    assert layout.counts(sums) == {"pairs": 5, "clipped": 3}
    found = layout.metrics(sums)
    assert found["mae"] == pytest.approx((128 + 128 + 0 + 0.999 + 128) / 5)
    assert found["bias"] == pytest.approx((-128 + 128 + 0 + 0.999 + 128) / 5)
    assert found["mape"] == pytest.approx((256 + 0 + 256) / 3)


def test_a_sharper_confidence_makes_a_wider_interval() -> None:
    """Each holds the one before it, and the metric's value."""
    layout = BinaryLayout(EDGES)
    rng = np.random.default_rng(4)
    p = rng.random(500, dtype=np.float32)
    truth = (rng.random(500) < p).astype(np.uint8)
    sums = vector(layout, Pairs(truth, (p >= 0.5).astype(np.uint8), p))
    narrow, wide = (layout.intervals(sums, confidence) for confidence in (0.5, 0.99))
    assert narrow.keys() == layout.metrics(sums).keys() - {"roc_auc_error", "calibration_error"}
    for name, value in layout.metrics(sums).items():
        if name in narrow:
            assert wide[name][0] < narrow[name][0] < value < narrow[name][1] < wide[name][1]


@pytest.mark.parametrize("confidence", [1e-9, 0.1, 0.5, 0.849999, 0.85, 0.850001, 0.95, 0.99, 1 - 1e-9, 1 - 1e-14])
def test_the_normal_quantile_is_scipys(confidence: float) -> None:
    """In all three ranges of its formula."""
    tail = (1.0 - confidence) / 2.0
    expected = stats.norm.isf(tail) if confidence > 0.5 else stats.norm.ppf(0.5 + confidence / 2.0)
    assert normal_quantile(confidence) == pytest.approx(expected, rel=1e-14 if confidence > 1e-3 else 1e-6)


def test_no_pairs_have_no_cost() -> None:
    """It is undefined, and not 0."""
    assert np.isnan(cost_per_1000(np.zeros((2, 2), np.int64), NO_COSTS))


def test_layouts_keep_the_protocol() -> None:
    """mypy reads this."""
    layouts: list[PairLayout] = [BinaryLayout(None), MulticlassLayout(3), RegressionLayout(1.0, None)]
    assert [layout.width for layout in layouts] == [4, 16, 16]
