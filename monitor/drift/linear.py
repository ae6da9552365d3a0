"""Small linear algebra with the same bits everywhere: columns are added one after the other, and nothing else decides.

`numpy.linalg` asks LAPACK, whose sums depend on the processor.
"""

from __future__ import annotations

import numpy as np

from monitor.events import Float64s

_ALONE = 1 << 18
"""Multiplications up to which BLAS asks no other threads: on a busy processor it would wait for them for long."""


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
        inverse[k] = rest[k] / lower[k, k]
        rest[k + 1 :] -= lower[k + 1 :, k, np.newaxis] * inverse[k]
    return inverse


def times(left: Float64s, right: Float64s) -> Float64s:
    """The product of (m, p) and (p, q), summed over p in its order: numpy adds along an outer axis row by row."""
    product: Float64s = np.add.reduce(left[:, :, np.newaxis] * right, axis=1)
    return product
