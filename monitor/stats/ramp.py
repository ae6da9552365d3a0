"""The change that explains a sequence best: one level before, one behind, and a ramp between them.

For a ramp of width w that starts at s, the levels are least squares on the basis that is 0 up to s, 1 from s + w on,
and even in between; w = 0 is a step. With n values and a residual sum of squares R the log-likelihood is
-n/2 ln(R / n), up to a constant. All sums come from cumulated ones, so a ramp costs the same whatever its width.

A step and a ramp are told apart, as *sudden* and *gradual*, and so is a stretch at whose end the level comes back, as
*recurring*, if the likelihood of one exceeds that of the others by 3 nats; else the change has no kind.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from monitor.events import Float64s, Int64s
from monitor.stats.exact import log, significant

MOST = 4000
"""Values that are looked at: the newest."""
FEWEST = 20
LEAST_SEGMENT = 10
"""Fewest values on each side of a change."""
LEAST_RAMP = 200
"""Fewest values of a ramp that counts as gradual."""
NATS = 3.0
WITHIN = 1.92
"""Half of the 95 % quantile of chi-square with one degree of freedom: what a likelihood may be lower and be likely."""
_STRETCHES = 64

Kind = Literal["sudden", "gradual", "recurring"]


class Change(NamedTuple):
    """A change among n values. `at`: place of the first value that is affected, which may lie from `first` to `last`.

    `before`, `after`: the levels. `width`: values of the ramp, 0 for a step. `kind`: None if nothing tells.
    """

    at: int
    first: int
    last: int
    before: float
    after: float
    width: int
    kind: Kind | None


def best_change(values: Float64s) -> Change | None:
    """Return the change that explains values (n,) in their order best; None for fewer than 20, or if all are equal.

    >>> best_change(np.repeat([0.1, 0.9], 50))
    Change(at=50, first=50, last=50, before=0.1, after=0.9, width=0, kind='sudden')
    """
    n = len(values)
    if n < FEWEST or bool((values == values[0]).all()):
        return None
    sums = _Sums(values)
    widths = [0, *_widths(n)]
    found = [_of_width(sums, width) for width in widths]
    best = [float(likelihoods.max()) for _, likelihoods in found]
    which = int(np.argmax(best))
    places, likelihoods = found[which]
    at = int(places[np.argmax(likelihoods)])
    likely = places[likelihoods >= best[which] - WITHIN]
    width = widths[which]
    before, after = sums.levels(at, width)
    kind = _kind(sums, best[0], max((b for b, w in zip(best, widths, strict=True) if w >= LEAST_RAMP), default=-np.inf))
    return Change(at, int(likely[0]), int(likely[-1]), significant(before), significant(after), width, kind)


def _widths(n: int) -> list[int]:
    """Widths of ramps: half as long again from one to the next."""
    widths, width = list[int](), 16
    while width <= n - 2 * LEAST_SEGMENT:
        widths.append(width)
        width += width // 2
    return widths


class _Sums:
    """Cumulated sums of the values, and of the values times their places."""

    def __init__(self, values: Float64s) -> None:
        self.n = len(values)
        places = np.arange(self.n, dtype=np.float64)
        self._values = np.concatenate([[0.0], np.cumsum(values)])
        self._moments = np.concatenate([[0.0], np.cumsum(values * places)])
        self._total = float(self._values[-1])
        self._squares = float(np.cumsum(values * values)[-1])
        self._spread = self._squares - self._total * self._total / self.n

    def ramp(self, start: Int64s, width: int) -> tuple[Float64s, Float64s, Float64s]:
        """Sums of the basis r, of r squared, and of r times the values, for ramps that start there."""
        behind = (self.n - start - width).astype(np.float64)
        of_values: Float64s = self._total - self._values[start + width]
        if width == 0:
            return behind, behind, of_values
        steps = np.arange(1, width + 1) / (width + 1)
        inside = self._moments[start + width] - self._moments[start]
        inside = inside - (start - 1) * (self._values[start + width] - self._values[start])
        r, rr = float(np.cumsum(steps)[-1]), float(np.cumsum(steps * steps)[-1])
        of_values = of_values + inside / (width + 1)
        return np.asarray(behind + r), np.asarray(behind + rr), of_values

    def likelihoods(self, r: Float64s, rr: Float64s, ry: Float64s) -> Float64s:
        """Log-likelihoods of fits on a basis with these sums."""
        free = rr - r * r / self.n
        explained = (ry - r * self._total / self.n) ** 2 / np.maximum(free, 1e-12)
        residual = np.maximum(self._spread - explained, 1e-12 * max(self._spread, 1e-300) + 1e-300)
        return np.asarray(-0.5 * self.n * log(residual / self.n))

    def levels(self, start: int, width: int) -> tuple[float, float]:
        """The levels before and behind a ramp."""
        r, rr, ry = (float(one[0]) for one in self.ramp(np.array([start]), width))
        slope = (ry - r * self._total / self.n) / max(rr - r * r / self.n, 1e-12)
        before = (self._total - slope * r) / self.n
        return before, before + slope

    def stretches(self) -> float:
        """The largest log-likelihood of a stretch between two equal levels, on a coarse net of its ends."""
        cuts = np.unique(np.linspace(LEAST_SEGMENT, self.n - LEAST_SEGMENT, _STRETCHES).astype(np.int64))
        first, last = np.meshgrid(cuts, cuts, indexing="ij")
        is_one = last - first >= LEAST_SEGMENT
        if not is_one.any():
            return -np.inf
        first, last = first[is_one], last[is_one]
        inside = (last - first).astype(np.float64)
        return float(self.likelihoods(inside, inside, self._values[last] - self._values[first]).max())


def _of_width(sums: _Sums, width: int) -> tuple[Int64s, Float64s]:
    """All places where a ramp of a width may start, and their log-likelihoods."""
    places = np.arange(LEAST_SEGMENT, sums.n - width - LEAST_SEGMENT + 1, dtype=np.int64)
    return places, sums.likelihoods(*sums.ramp(places, width))


def _kind(sums: _Sums, step: float, ramp: float) -> Kind | None:
    ranked = sorted(
        [("sudden", step), ("gradual", ramp), ("recurring", sums.stretches())], key=lambda one: one[1], reverse=True
    )
    (name, best), (_, second), _ = ranked
    kinds: dict[str, Kind] = {"sudden": "sudden", "gradual": "gradual", "recurring": "recurring"}
    return kinds[name] if best - second >= NATS else None
