"""What windows of performance are compared with: mean, deviation, and the labelled rows of a file."""

from __future__ import annotations

from math import isnan, sqrt

import numpy as np
import pytest

from monitor.codec.counts import pack_counts
from monitor.evaluate.keyed_panes import Coding
from monitor.evaluate.labelled_reference import FORMAT, LabelledReference, decode_labelled, encode_labelled
from monitor.evaluate.performance_reference import PerformanceReference, reference_of_file
from monitor.evaluate.reference import ReferenceSlice
from monitor.panes.grid import CategoryBins, Grid
from monitor.stats.binary import BinaryLayout
from monitor.stats.multiclass import MulticlassLayout
from monitor.stats.performance import OTHER, Pairs, vector

GRID = Grid("m", "predictions", (), (CategoryBins("prediction", ("a",), 1, 1, 0),))


def pairs_of(truth: np.ndarray, prediction: np.ndarray) -> Pairs:
    nothing = np.full(len(truth), np.nan, dtype=np.float32)
    return Pairs(truth.astype(np.uint8), prediction.astype(np.uint8), nothing)


def reference_of(slices: int, rows: int) -> PerformanceReference:
    """Independent pairs, of which a tenth is wrong."""
    rng, layout = np.random.default_rng(0), BinaryLayout(None)
    parts = []
    for _ in range(slices):
        truth = rng.integers(0, 2, rows)
        parts.append(vector(layout, pairs_of(truth, truth ^ (rng.random(rows) < 0.1))))
    return PerformanceReference(0, 1, slices * rows, parts)


@pytest.mark.parametrize("labels", [50, 100, 200, 300, 1000, 5000])
@pytest.mark.parametrize("rows", [200, 2000])
def test_the_deviation_goes_by_the_labels_of_the_window_and_not_by_the_slices(labels: int, rows: int) -> None:
    """Of independent pairs it is sqrt(p (1 - p) / labels), for windows of less than a slice, too."""
    found = reference_of(60, rows).spread("accuracy", BinaryLayout(None), labels)
    assert found is not None
    assert found[0] == pytest.approx(0.9, abs=0.01)
    assert found[1] == pytest.approx(sqrt(0.09 / labels), rel=0.35)


def test_few_slices_have_no_deviation() -> None:
    found = reference_of(7, 200).spread("accuracy", BinaryLayout(None), 200)
    assert found is not None
    assert isnan(found[1])


def labelled(classes: tuple[str, ...], truth: list[int], prediction: list[int]) -> LabelledReference:
    counts = vector(MulticlassLayout(len(classes)), pairs_of(np.array(truth), np.array(prediction)))
    slices = (ReferenceSlice(len(truth), 5, 9, pack_counts(counts)),)
    return LabelledReference(
        FORMAT, "m", GRID.digest, "x", "test", "classification_multiclass", None, classes, slices, slices
    )


def test_classes_of_a_file_come_first_and_keep_the_numbers_that_they_have() -> None:
    """Whatever numbers they have in the file, the confusions are those of their names."""
    file = labelled(("b", "c", "a"), [0, 1, 2, 2, OTHER], [0, 0, 2, 1, 1])
    names = {0: "b", 1: "c", 2: "a", OTHER: "other"}
    wanted = sorted(zip([names[t] for t in (0, 1, 2, 2, OTHER)], [names[p] for p in (0, 0, 2, 1, 1)], strict=True))
    for before in ([], ["a", "z", "c"]):
        coding = Coding("classification_multiclass", None, 0.5)
        coding.numbers(before)
        reference = reference_of_file(file, GRID, coding)
        assert coding.classes == [*before, *[c for c in ("b", "c", "a") if c not in before]]
        layout = MulticlassLayout(len(coding.classes))
        confusion = layout.confusion(reference._grown(layout).sum(axis=0))
        known = [*coding.classes, "other"]
        found = [(known[t], known[p]) for t, p in np.argwhere(confusion).tolist() for _ in range(confusion[t, p])]
        assert sorted(found) == wanted
        assert (reference.info.events, reference.info.start, reference.info.end) == (5, 5, 9)


def test_classes_that_have_no_number_left_are_other() -> None:
    coding = Coding("classification_multiclass", None, 0.5)
    coding.numbers([f"n{k}" for k in range(99)])
    layout = MulticlassLayout(100)
    reference = reference_of_file(labelled(("a", "b"), [0, 1, 1], [0, 1, 0]), GRID, coding)
    confusion = layout.confusion(reference._grown(layout).sum(axis=0))
    assert (confusion[99, 99], confusion[100, 100], confusion[100, 99]) == (1, 1, 1)


def test_it_is_read_as_it_was_written() -> None:
    file = labelled(("a",), [0], [0])
    assert decode_labelled(encode_labelled(file)) == file
