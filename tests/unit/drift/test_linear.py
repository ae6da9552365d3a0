"""Products of rows against numpy's whole numbers, and of matrices against a loop."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from monitor.drift.linear import cholesky, inverse_of_lower, sums_of_products, times


def test_products_of_many_rows_are_whole_numbers() -> None:
    for size in (0, 1, 3, 60):
        rows = np.random.default_rng(size).integers(-1024, 1024, (5000, size))
        assert sums_of_products(rows.astype(np.float64)).tolist() == (rows.T @ rows).tolist()


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (5, 20, 1), (1, 2, 2), (5, 66, 66), (1, 100, 100), (3, 17, 2), (90, 70, 60)]
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_products_of_matrices_add_in_index_order(shape: tuple[int, int, int], order: Literal["C", "F"]) -> None:
    """One after the other, however they lie in memory: another order has other last bits."""
    rng = np.random.default_rng(2)
    left, right = (np.asarray(rng.normal(size=size), order=order) for size in (shape[:2], shape[1:]))
    slow = np.zeros((shape[0], shape[2]))
    for k in range(shape[1]):
        slow += left[:, k, np.newaxis] * right[k]
    assert times(left, right).tolist() == slow.tolist()


@pytest.mark.parametrize("size", [1, 2, 8, 33, 100])
def test_triangles_are_those_of_numpy(size: int) -> None:
    rows = np.random.default_rng(size).normal(size=(2 * size, size))
    matrix = rows.T @ rows + np.eye(size)
    lower = cholesky(matrix)
    assert lower == pytest.approx(np.linalg.cholesky(matrix), rel=1e-9, abs=1e-9)
    assert inverse_of_lower(lower) @ lower == pytest.approx(np.eye(size), abs=1e-9)
