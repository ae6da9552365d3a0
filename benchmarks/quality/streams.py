"""The streams, by name: a function of data, seed and size that gives the case. Each change begins at `case.change`.

Streams of public data draw whole rows with replacement, reference and live rows from the same ones: so what is without
change is independent and of one distribution, whatever the size. `elec` takes whole weeks, each once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow.parquet as pq
from scipy.signal import lfilter

from benchmarks.quality.cases import Case, Columns, Name
from monitor.events import Float64s

BEFORE: Final = 2_500
"""Rows of a case before its change."""
WEEK, ERA, WEEKS_OF_REFERENCE, WEEKS_BEFORE = 336, 52, 12, 13
"""Half hours in a week; the week of `elec` from which on columns behave otherwise; and how its weeks are dealt."""
DAY: Final = 1_440
"""Minutes."""
TARGETS: Final = ("y", "label", "class", "target")
Make = Callable[[Path, np.random.Generator, float], Case]


@lru_cache
def table(folder: Path, name: str) -> tuple[tuple[str, ...], Float64s]:
    """Columns of a public stream but its label, and their values, shape (rows, columns)."""
    file = folder / f"{name}.parquet"
    if not file.exists():
        raise FileNotFoundError(f"{file.name} is not there")
    read = pq.read_table(file)
    names = tuple(column for column in read.schema.names if column not in TARGETS)
    return names, np.stack([read.column(column).to_numpy().astype(np.float64) for column in names], axis=1)


def case_of(name: Name, folder: Path) -> Case:
    """Make a case."""
    number = list(STREAMS).index(name.stream)
    return STREAMS[name.stream](folder, np.random.default_rng([number, name.seed]), name.size)


def scaled(rows: int, size: float) -> int:
    """That many rows at a size, a multiple of ten."""
    return max(10, round(rows * size / 10) * 10)


def _columns(values: Float64s, names: tuple[str, ...] = ()) -> Columns:
    names = names or tuple(f"f{k}" for k in range(values.shape[1]))
    return Columns({name: np.ascontiguousarray(values[:, k]) for k, name in enumerate(names)})


# ------------------------------------------------------------------ without change


def null_of(name: str, reference: int, rows: int) -> Make:
    """Rows of a public stream, independent."""

    def make(folder: Path, rng: np.random.Generator, size: float) -> Case:
        names, values = table(folder, name)
        drawn = values[rng.integers(0, len(values), reference + scaled(rows, size))]
        return Case(_columns(drawn, names), reference)

    return make


def uniform_categories(folder: Path, rng: np.random.Generator, size: float) -> Case:
    """Uniform categories of 30 to 900 values, a column each."""
    n = 5_000 + scaled(20_000, size)
    texts = {f"c{k}": [f"v{v:03d}" for v in rng.integers(0, k, n).tolist()] for k in (30, 100, 300, 900)}
    return Case(Columns({}, texts), 5_000)


AWKWARD: Final[dict[str, Callable[[np.random.Generator, int], Float64s]]] = {
    "ties": lambda rng, n: np.floor(rng.exponential(1.5, (n, 3))),
    "lognormal": lambda rng, n: rng.lognormal(0.0, 2.0, (n, 3)),
    "t2": lambda rng, n: rng.standard_t(2, (n, 3)),
    "missing": lambda rng, n: np.where(rng.random((n, 3)) < 0.1, np.nan, rng.normal(size=(n, 3))),
}
"""Three columns of values that chance treats badly."""


def awkward(kind: str) -> Make:
    """30,000 rows of one of `AWKWARD`, or of categories by Zipf's law."""

    def make(folder: Path, rng: np.random.Generator, size: float) -> Case:
        n = 5_000 + scaled(30_000, size)
        if kind == "zipf":
            shares = 1.0 / np.arange(1, 1_001)
            shares /= shares.sum()
            texts = {f"c{k}": [f"v{v}" for v in rng.choice(1_000, n, p=shares).tolist()] for k in range(3)}
            return Case(Columns({}, texts), 5_000)
        return Case(_columns(AWKWARD[kind](rng, n)), 5_000)

    return make


def autoregressive(rho: float, rows: int, shift: float = 0.0) -> Make:
    """Three standard normal columns of AR(1); `shift`: by which one of them moves, in standard deviations."""

    def make(folder: Path, rng: np.random.Generator, size: float) -> Case:
        n = 5_000 + (BEFORE + rows if shift else scaled(rows, size))
        noise = rng.normal(size=(n + 1_000, 3)) * np.sqrt(1 - rho**2)
        values = np.asarray(lfilter([1.0], [1.0, -rho], noise, axis=0))[1_000:]
        if not shift:
            return Case(_columns(values), 5_000)
        values[5_000 + BEFORE :, 0] += shift
        return Case(_columns(values), 5_000, BEFORE, ("f0",))

    return make


def daily(days: int, shift: float = 0.0) -> Make:
    """One row a minute with the period of a day, and four weeks behind a reference of that many days.

    `shift`: by which one of two columns moves, in standard deviations, behind two days of four.
    """

    def make(folder: Path, rng: np.random.Generator, size: float) -> Case:
        reference, rows = days * DAY, 4 * DAY if shift else scaled(28 * DAY, size)
        phase = 2 * np.pi * np.arange(reference + rows) / DAY
        values = np.stack([np.sin(phase), np.sin(phase + 1.0)], axis=1) + rng.normal(0, 0.5, (len(phase), 2))
        settings = {"reference": {"first": f"{days}d"}, "pane": "10m", "interval": "10m", "lateness": "10m"}
        if not shift:
            return Case(_columns(values), reference, step_ms=60_000, settings=settings)
        values[reference + 2 * DAY :, 0] += shift * np.sqrt(0.75)
        return Case(_columns(values), reference, 2 * DAY, ("f0",), 60_000, settings)

    return make


# ------------------------------------------------------------------ public streams that change


def b_to_d(step_ms: int) -> Make:
    """Insects: from the regime b to d. At 1,000 ms a row for 2,500 rows behind the change, else for 4,000."""

    def make(folder: Path, rng: np.random.Generator, size: float) -> Case:
        (names, b), (_, d) = table(folder, "insects_regime_b"), table(folder, "insects_regime_d")
        rows = 2_500 if step_ms >= 1_000 else 4_000
        parts = [b[rng.integers(0, len(b), 2_000 + BEFORE)], d[rng.integers(0, len(d), rows)]]
        changed = tuple(name for k, name in enumerate(names) if ks(b[:, k], d[:, k]) >= KS)
        return Case(_columns(np.concatenate(parts), names), 2_000, BEFORE, changed, step_ms)

    return make


def two_columns(how: str) -> Make:
    """Two of the 33 columns of insects change, from b to d; 5,000 rows behind the change.

    `quantiles`: each value becomes the quantile of d that it was of b. `rows`: values of d, which have nothing to do
    with the other columns of their row.
    """

    def make(folder: Path, rng: np.random.Generator, size: float) -> Case:
        (names, b), (_, d) = table(folder, "insects_regime_b"), table(folder, "insects_regime_d")
        pair = rng.choice(len(names), 2, replace=False)
        drawn = b[rng.integers(0, len(b), 2_000 + BEFORE + 5_000)]
        behind = drawn[2_000 + BEFORE :]
        for k in pair:
            if how == "rows":
                behind[:, k] = d[rng.integers(0, len(d), len(behind)), k]
            else:
                behind[:, k] = np.quantile(d[:, k], mid_rank(b[:, k], behind[:, k]))
        return Case(_columns(drawn, names), 2_000, BEFORE, tuple(names[k] for k in sorted(pair)))

    return make


KS: Final = 0.1
"""The distance from which on a change of a column is to be found and named."""


def ks(before: Float64s, after: Float64s) -> float:
    """The largest gap between two distribution functions."""
    before, after = np.sort(before), np.sort(after)
    at = np.concatenate([before, after])
    shares = [np.searchsorted(values, at, "right") / len(values) for values in (before, after)]
    return float(np.abs(shares[0] - shares[1]).max())


def mid_rank(values: Float64s, at: Float64s) -> Float64s:
    """The share of `values` below each of `at`, half of those that equal it among them."""
    ordered = np.sort(values)
    below, through = (np.searchsorted(ordered, at, side).astype(np.float64) for side in ("left", "right"))
    return np.asarray((below + through) / (2 * len(values)))


def distance(folder: Path, column: str) -> float:
    """How far a column of insects is in d from b."""
    (names, b), (_, d) = table(folder, "insects_regime_b"), table(folder, "insects_regime_d")
    k = names.index(column)
    return ks(b[:, k], d[:, k])


def elec(*, changes: bool) -> Make:
    """Demand and price of electricity every half hour, weeks in any order; `changes`: into the era behind week 52."""

    def make(folder: Path, rng: np.random.Generator, size: float) -> Case:
        names, values = table(folder, "elec_first_30k")
        values = values[:, [names.index("f1"), names.index("f2")]]
        weeks = [values[k * WEEK : (k + 1) * WEEK] for k in range(len(values) // WEEK)]
        early, late = rng.permutation(ERA - 1), ERA + rng.permutation(len(weeks) - ERA)
        held = WEEKS_OF_REFERENCE + (WEEKS_BEFORE if changes else len(early) - WEEKS_OF_REFERENCE)
        order = [*early[:held], *(late if changes else [])]
        first = {"first": f"{WEEKS_OF_REFERENCE}w"}
        of_time = {"pane": "30m", "interval": "30m", "lateness": "30m", "no_data": "10d"}
        settings = {"reference": first, "season": "week", **of_time}
        columns = _columns(np.concatenate([weeks[k] for k in order]), ("price", "demand"))
        change = WEEKS_BEFORE * WEEK if changes else None
        reference = WEEKS_OF_REFERENCE * WEEK
        return Case(columns, reference, change, ("price", "demand") if changes else (), 1_800_000, settings)

    return make


# ------------------------------------------------------------------ made streams that change


def small_shift(folder: Path, rng: np.random.Generator, size: float) -> Case:
    """0.05 standard deviations in one of three columns, 1,000 rows a second, 100,000 rows of reference."""
    before = 20_000
    values = rng.normal(size=(100_000 + before + 40_000, 3))
    values[100_000 + before :, 0] += 0.05
    return Case(_columns(values), 100_000, before, ("f0",), 1)


Change = Callable[[Float64s, np.random.Generator], None]
"""What happens to the rows behind the change, shape (rows, 10), in place."""


def normal(change: Change, changed: tuple[str, ...], rows: int) -> Make:
    """Ten independent normal columns, of which some change."""

    def make(folder: Path, rng: np.random.Generator, size: float) -> Case:
        values = rng.normal(size=(5_000 + BEFORE + rows, 10))
        change(values[5_000 + BEFORE :], rng)
        return Case(_columns(values), 5_000, BEFORE, changed)

    return make


def _correlate(values: Float64s, rng: np.random.Generator) -> None:
    values[:, 1] = 0.5 * values[:, 0] + np.sqrt(0.75) * values[:, 1]


def _scale(by: float) -> Change:
    def change(values: Float64s, rng: np.random.Generator) -> None:
        values[:, 0] *= by

    return change


def _lose(share: float, most: int | None = None) -> Change:
    def change(values: Float64s, rng: np.random.Generator) -> None:
        part = values[:most]
        part[rng.random(len(part)) < share, 0] = np.nan

    return change


def _throw(values: Float64s, rng: np.random.Generator) -> None:
    values[rng.random(len(values)) < 0.03, 0] = 20.0


def _shift(values: Float64s, rng: np.random.Generator) -> None:
    values[:, 0] += 0.3


def _ramp(values: Float64s, rng: np.random.Generator) -> None:
    values[:, 0] += 0.5 * np.minimum(1.0, np.arange(len(values)) / 20_000)


def categories(before: tuple[float, ...], after: tuple[float, ...]) -> Make:
    """A column of categories with these shares, before and behind the change, and two that stay."""

    def make(folder: Path, rng: np.random.Generator, size: float) -> Case:
        names = [f"v{k}" for k in range(len(before))]
        head, tail = 5_000 + BEFORE, 6_000
        own = [*rng.choice(names, head, p=before), *rng.choice(names, tail, p=after)]
        others = {f"c{k}": rng.choice(names[:3], head + tail).tolist() for k in (1, 2)}
        return Case(Columns({}, {"c0": [str(text) for text in own], **others}), 5_000, BEFORE, ("c0",))

    return make


KINDS: Final = (*AWKWARD, "zipf")
STREAMS: Final[dict[str, Make]] = {
    "uniform": uniform_categories,
    "null insects": null_of("insects_regime_b", 2_000, 15_000),
    "null car loan": null_of("car_loan_first_50k", 5_000, 15_000),
    "null phishing": null_of("phishing", 5_000, 15_000),
    "b to d": b_to_d(1_000),
    "b to d, fast": b_to_d(10),
    "two by quantiles": two_columns("quantiles"),
    "two from other rows": two_columns("rows"),
    "small shift": small_shift,
    "deviation x 1.5": normal(_scale(1.5), ("f0",), 3_000),
    "deviation x 1.25": normal(_scale(1.25), ("f0",), 6_000),
    "correlation": normal(_correlate, ("f0", "f1"), 3_000),
    "equal surprisal": categories((0.3, 0.3, 0.4), (0.4, 0.2, 0.4)),
    "vanished": categories((0.4, 0.4, 0.2), (0.5, 0.5, 0.0)),
    "new category": categories((0.3, 0.3, 0.4, 0.0), (0.294, 0.294, 0.392, 0.02)),
    "missing 3 %": normal(_lose(0.03), ("f0",), 4_000),
    "outliers 3 %": normal(_throw, ("f0",), 4_000),
    "60 rows missing": normal(_lose(1.0, 60), ("f0",), 4_000),
    "lasting shift": normal(_shift, ("f0",), 10_100),
    "ramp": normal(_ramp, ("f0",), 20_000),
    "elec": elec(changes=False),
    "elec, era": elec(changes=True),
    **{f"null {kind}": awkward(kind) for kind in KINDS},
    "AR 0.5": autoregressive(0.5, 30_000),
    "AR 0.9": autoregressive(0.9, 30_000),
    "AR 0.5, shift": autoregressive(0.5, 4_000, 0.5),
    "daily": daily(8),
    "daily, 3 days": daily(3),
    "daily, shift": daily(8, 2.0),
    "daily, 7 days, shift": daily(7, 2.0),
    "daily, 3 days, shift": daily(3, 2.0),
}
