"""Counts as shares of their sum."""

from __future__ import annotations

import numpy as np

from monitor.events import Float64s, Int64s


def shares(counts: Int64s) -> Float64s:
    """count / n over the last axis, same shape; NaN where n = 0.

    >>> shares(np.array([[1, 3], [0, 0]])).tolist()
    [[0.25, 0.75], [nan, nan]]
    """
    return ratio(counts, counts.sum(axis=-1, keepdims=True))


def ratio(above: Int64s | Float64s, below: Int64s | Float64s) -> Float64s:
    """above / below, broadcast; NaN where below is 0 or NaN.

    >>> ratio(np.array([1, 1]), np.array([4, 0])).tolist()
    [0.25, nan]
    """
    return np.asarray(above / (below if below.all() else np.where(below != 0, below, np.nan)))
