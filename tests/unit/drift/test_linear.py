"""Products of rows against numpy's whole numbers, and of matrices against a loop."""

from __future__ import annotations

import numpy as np

from monitor.drift.linear import sums_of_products, times


def test_products_of_many_rows_are_whole_numbers() -> None:
    for size in (0, 1, 3, 60):
        rows = np.random.default_rng(size).integers(-1024, 1024, (5000, size))
        assert sums_of_products(rows.astype(np.float64)).tolist() == (rows.T @ rows).tolist()


def test_products_of_matrices_add_in_index_order() -> None:
    """One after the other, in every shape: another order has other last bits."""
    rng = np.random.default_rng(2)
    for shape in ((1, 1, 1), (1, 2, 2), (5, 66, 66), (1, 100, 100), (3, 17, 2)):
        left, right = rng.normal(size=shape[:2]), rng.normal(size=shape[1:])
        slow = np.zeros((shape[0], shape[2]))
        for k in range(shape[1]):
            slow += left[:, k, np.newaxis] * right[k]
        assert times(left, right).tolist() == slow.tolist()
