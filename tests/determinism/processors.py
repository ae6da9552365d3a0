"""Digests of what must not depend on the processor, one a line: run in processes of other settings, to be compared.

    python -m tests.determinism.processors [PLANT]

Numbers are digested as they are, before they are rounded for messages. A plant replaces fixed operations by those of a
library, whose sums depend on the processor.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator

import numpy as np

from benchmarks.calibration import ar1, sample_of
from monitor.drift import family
from monitor.drift.core import Limits
from monitor.drift.growing import GrowingMoments
from monitor.drift.moments import pack_moments
from monitor.drift.scores import ScoreTables
from monitor.evaluate.measure import Measure
from monitor.evaluate.spread import ReferenceSpread
from tests.determinism import logs

COLUMNS, ROWS, PANE = 33, 3000, 30
LOCKED = Limits(4.1, 3.9, 4.3)
LOGS = (2, 5)
"""A reference that trails, and one that grows under a lock; both span event time."""


def _product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.asarray(left @ right)


def _lapack(matrix: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.cholesky(matrix))


PLANTS: dict[str, tuple[str, Callable[..., np.ndarray]]] = {
    "dot": ("times", _product),
    "linalg": ("cholesky", _lapack),
}
"""Names of plants: what of `family.py` they replace, and by what."""


def parts() -> Iterator[tuple[str, object]]:
    """What is compared, by name."""
    sample = sample_of(ar1(0.5, ROWS, COLUMNS, 1))
    grid, reference = sample.grid, sample.reference
    yield "reference", (reference.digest, sample.null.piece_rows, sample.null.inflation(100).tolist())
    first = np.asarray(grid.layout.count(sample.codes[:500]))
    sums = GrowingMoments(ScoreTables(grid, first))
    sums.add_rows(sample.codes)
    tables = ScoreTables(grid, reference.total, first)
    yield "growing reference", pack_moments(sums.moments(tables.shift))
    for name, core in (("drift", sample.core(reference)), ("drift by a lock", sample.core(reference, LOCKED))):
        live = sample.codes[::-1]
        panes = [live[start : start + PANE] for start in range(0, len(live), PANE)]
        found = [core.add(10_000 * i, PANE, grid.layout.count(pane), pane) for i, pane in enumerate(panes)]
        yield name, (found, core.explain(), core.state(), core.smallest_shift(1000).tolist())
    spread = ReferenceSpread(Measure(grid, reference))
    for metric in ("psi", "ks", "wasserstein", "mean", "std"):
        yield f"stretches, {metric}", spread.of(metric, grid.series[:3], 200)
    for seed in LOGS:
        yield f"log {seed}", logs.digest(logs.run(logs.random_log(seed)))


def main() -> None:
    """Plant what the argument names, and print digests."""
    for plant in sys.argv[1:]:
        name, other = PLANTS[plant]
        setattr(family, name, other)
    for name, value in parts():
        print(f"{name}: {hashlib.sha256(repr(value).encode()).hexdigest()}", flush=True)


if __name__ == "__main__":
    main()
