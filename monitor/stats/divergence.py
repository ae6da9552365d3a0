"""Divergences between the shares of two histograms: PSI, Jensen-Shannon distance, Hellinger distance.

All: `reference` and `current` are counts, int64, shape (..., bins), broadcast over the leading axes; the result has
the leading shape. 0 if the shares agree, larger means further apart, NaN if either side is empty (n = 0).
"""

from __future__ import annotations

import numpy as np

from monitor.events import Float64s, Int64s
from monitor.stats.exact import log, total
from monitor.stats.shares import ratio, shares

_LN2 = 0.6931471805599453
_SMOOTHING = 0.5


def psi(reference: Int64s, current: Int64s) -> Float64s:
    """Population stability index: sum of (q - p) ln(q / p), with p = (count + 0.5) / (n + 0.5 bins) on both sides.

    The 0.5 (Jeffreys' prior) keeps an empty bin finite. Folklore reads below 0.1 as stable and above 0.25 as shifted.
    It says nothing of n: without any drift its expectation is about
    (bins - 1) (1/n + 1/m), so few rows or many bins pass 0.25 by chance. Hence `min_events`, and ten bins.

    N. Siddiqi, Credit Risk Scorecards, 2006; B. Yurdakul, Statistical Properties of Population Stability Index, 2018.

    >>> round(float(psi(np.array([50, 50]), np.array([80, 20]))), 6)
    0.406287
    """
    return total(psi_terms(reference, current))


def psi_terms(reference: Int64s, current: Int64s) -> Float64s:
    """What each bin adds to `psi`, shape (..., bins); never below 0."""
    p, q = _smoothed(reference), _smoothed(current)
    return np.asarray((q - p) * log(q / p))


def _smoothed(counts: Int64s) -> Float64s:
    n = counts.sum(axis=-1, keepdims=True)
    smoothed = (counts + _SMOOTHING) / (n + _SMOOTHING * counts.shape[-1])
    return np.where(n > 0, smoothed, np.nan)


def js_distance(reference: Int64s, current: Int64s) -> Float64s:
    """Jensen-Shannon distance, in [0, 1]: sqrt of the mean of KL(p | m) and KL(q | m) in bits, m = (p + q) / 2.

    A metric, defined without smoothing: a bin that is empty on one side has a finite share in it. The same as
    `scipy.spatial.distance.jensenshannon(p, q, base=2)`.

    J. Lin, Divergence measures based on the Shannon entropy, 1991; Endres and Schindelin, A new metric for probability
    distributions, 2003.

    >>> round(float(js_distance(np.array([50, 50]), np.array([80, 20]))), 6)
    0.270378
    """
    p, q = total(_entropies(reference, current))
    bits = (p + q) / (2.0 * _LN2)
    return np.asarray(np.sqrt(np.maximum(bits, 0.0)))  # rounding can leave shares that nearly agree at -1e-17


def js_terms(reference: Int64s, current: Int64s) -> Float64s:
    """What each bin adds to the square of `js_distance`, in units of 2 ln 2, shape (..., bins); never below 0."""
    p, q = _entropies(reference, current)
    return np.asarray(np.maximum(p + q, 0.0))


def _entropies(reference: Int64s, current: Int64s) -> Float64s:
    """Relative entropy of either side to the middle of both, a bin, shape (2, ..., bins)."""
    both = np.stack(np.broadcast_arrays(shares(reference), shares(current)))
    return _relative_entropy(both, (both[0] + both[1]) / 2.0)


def _relative_entropy(p: Float64s, middle: Float64s) -> Float64s:
    """p ln(p / middle) a bin; 0 if p is 0 (the limit), NaN if p is NaN."""
    return np.where(p == 0.0, 0.0, p * log(ratio(p, middle)))


def hellinger(reference: Int64s, current: Int64s) -> Float64s:
    """Hellinger distance, in [0, 1]: sqrt of half the sum of (sqrt(p) - sqrt(q))**2; 1 if no bin is shared.

    E. Hellinger, Neue Begründung der Theorie quadratischer Formen von unendlichvielen Veränderlichen, 1909.

    >>> round(float(hellinger(np.array([50, 50]), np.array([80, 20]))), 6)
    0.226532
    """
    return np.sqrt(total(hellinger_terms(reference, current)) / 2.0)


def hellinger_terms(reference: Int64s, current: Int64s) -> Float64s:
    """What each bin adds to twice the square of `hellinger`, shape (..., bins)."""
    gap = np.sqrt(shares(reference)) - np.sqrt(shares(current))
    return np.asarray(gap * gap)
