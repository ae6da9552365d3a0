"""Small linear algebra with the same bits everywhere: columns are added one after the other, and nothing else decides.

`numpy.linalg` asks LAPACK, whose sums depend on the processor.
"""

from __future__ import annotations

import numpy as np

from monitor.events import Float64s
from monitor.stats.exact import total

_ALONE = 1 << 18
"""Multiplications up to which BLAS asks no other threads: on a busy processor it would wait for them for long."""
_IN_CACHE = 1 << 15
"""Products that are made at once before they are added."""


def sums_of_products(rows: Float64s) -> Float64s:
    """The sums of products of each two columns of rows (m, p), (p, p): of whole numbers below 2⁵³, so exact in BLAS."""
    size = rows.shape[1]
    at_once = max(1, _ALONE // max(1, size * size))
    products = np.zeros((size, size))
    for start in range(0, len(rows), at_once):
        part = rows[start : start + at_once]
        products += part.T @ part
    return products


def cholesky(matrix: Float64s) -> Float64s:
    """The lower triangle L of a positive definite matrix A = L Lᵀ, (p, p), column by column."""
    size = len(matrix)
    rest, lower = matrix.copy(), np.zeros_like(matrix)
    for k in range(size):
        column = rest[k:, k] / np.sqrt(rest[k, k])
        lower[k:, k] = column
        rest[k:, k:] -= column[:, np.newaxis] * column
    return lower


def inverse_of_lower(lower: Float64s) -> Float64s:
    """The inverse of a lower triangle, row by row."""
    size = len(lower)
    inverse, rest = np.zeros_like(lower), np.eye(size)
    for k in range(size):
        part = slice(k + 1)  # beyond it the row is 0
        inverse[k, part] = rest[k, part] / lower[k, k]
        rest[k + 1 :, part] -= lower[k + 1 :, k, np.newaxis] * inverse[k, part]
    return inverse


def times(left: Float64s, right: Float64s) -> Float64s:
    """The product of (m, p) and (p, q), summed over p in its order.

    numpy adds along an outer axis row by row, and by halves along the innermost one; so `right` is laid out by rows,
    and a single column is summed by `total`.
    """
    if right.shape[1] == 1:
        return total(left * right[:, 0])[:, np.newaxis]
    right = np.ascontiguousarray(right)
    product = np.empty((len(left), right.shape[1]))
    at_once = max(1, _IN_CACHE // max(1, right.size))
    for start in range(0, len(left), at_once):
        part = slice(start, start + at_once)
        np.add.reduce(left[part, :, np.newaxis] * right, axis=1, out=product[part])
    return product
