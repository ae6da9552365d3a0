"""How often rules on `psi` and `new_category_rate` hold without drift, and find one, in columns of many categories.

python benchmarks/null_categories.py [--categories 30,100,300,1000,3000,20000,50000] [--references 50,100,...]
    [--windows 300,1000,5000] [--repeats 20] [--samples 20] [--seed 1] [--json FILE]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from monitor.contract import ColumnSpec, StreamContract
from monitor.evaluate.measure import Measure
from monitor.evaluate.reference import build_reference
from monitor.evaluate.spread import ReferenceSpread
from monitor.events import Float64s, Rows
from monitor.panes.grid import encode_rows, make_grid

METRICS = ("psi", "new_category_rate")
FOLKLORE, FACTOR, TRIPLED = 0.25, 3, 0.1
Law = Literal["even", "zipf"]
CATEGORY = StreamContract("features", "bench", "event_time", (ColumnSpec("c", "c", "categorical"),))


class Share(msgspec.Struct):
    """What rules say of windows of one size against references of one size, of one stream.

    `judged`: references that give psi a value and a deviation. Of their windows: `folklore`: the share with
    psi > 0.25; `above`: by metric, with more than reference_mean + 3 * reference_std; `tripled`: the same of windows in
    which the shares of a tenth of the values are three times what they were.
    """

    law: Law
    categories: int
    reference: int
    window: int
    references: int
    judged: int
    folklore: float
    above: dict[str, float]
    tripled: dict[str, float]


def shares_of(law: Law, categories: int) -> Float64s:
    """Share of each value: all alike, or by Zipf's law."""
    weights = np.ones(categories) if law == "even" else 1.0 / np.arange(1, categories + 1)
    return np.asarray(weights / weights.sum())


def tripled(shares: Float64s, rng: np.random.Generator) -> Float64s:
    """The shares after those of a tenth of the values were multiplied by three."""
    chosen = rng.permutation(len(shares))[: max(1, round(len(shares) * TRIPLED))]
    weights = shares.copy()
    weights[chosen] *= 3.0
    return np.asarray(weights / weights.sum())


def of_categories(values: Sequence[str]) -> Rows:
    """Rows of one categorical column, a second apart."""
    n = len(values)
    offset, part, none = np.arange(n), np.zeros(n, dtype=np.int32), np.zeros((n, 0))
    states = np.zeros((n, 1), dtype=np.uint8)
    return Rows("bench", "features", "", offset, part, offset * 1000, none, states[:, :0], (list(values),), states)


def share(
    law: Law, categories: int, sizes: tuple[int, int], repeats: int, samples: int, rng: np.random.Generator
) -> Share:
    """What the rules say of one stream with these sizes of reference and window."""
    reference, window = sizes
    shares = shares_of(law, categories)
    names = [f"v{value:05d}" for value in range(categories)]
    found = Share(law, categories, reference, window, repeats, 0, 0.0, {}, {})
    for _ in range(repeats):
        sample = of_categories([names[k] for k in rng.choice(categories, reference, p=shares).tolist()])
        grid = make_grid(sample, CATEGORY)
        measure = Measure(grid, build_reference(grid, sample, "bench"))
        spread = ReferenceSpread(measure)
        spreads = {metric: spread.of(metric, ["c"], window).get("c") for metric in METRICS}
        found.judged += spreads["psi"] is not None
        codes = encode_rows(grid, of_categories(names))[0][:, 0].astype(np.int64)
        for changed in (False, True):
            of_window = tripled(shares, rng) if changed else shares
            drawn = rng.choice(categories, (samples, window), p=of_window)
            scores = measure.scores(np.array([grid.layout.count(codes[one][:, np.newaxis]) for one in drawn]))
            into = found.tripled if changed else found.above
            for metric, both in spreads.items():
                if both is not None and spreads["psi"] is not None:
                    is_above = float((scores[metric][:, 0] > both[0] + FACTOR * both[1]).mean())
                    into[metric] = into.get(metric, 0.0) + is_above
            if not changed:
                found.folklore += float((scores["psi"][:, 0] > FOLKLORE).mean())  # of what is undefined: none
    of_judged = max(1, found.judged)
    found.folklore /= of_judged
    found.above = {metric: total / of_judged for metric, total in found.above.items()}
    found.tripled = {metric: total / of_judged for metric, total in found.tripled.items()}
    return found


def all_shares(
    categories: Sequence[int], sizes: Sequence[tuple[int, int]], repeats: int, samples: int, seed: int
) -> Iterator[Share]:
    """Of even and of Zipf's streams of that many categories."""
    rng = np.random.default_rng(seed)
    laws: tuple[Law, ...] = ("even", "zipf")
    for law in laws:
        for number in categories:
            for size in sizes:
                yield share(law, number, size, repeats, samples, rng)


def run(
    categories: Annotated[str, typer.Option(help="Numbers of categories.")] = "30,100,1000,5000,20000,50000",
    references: Annotated[str, typer.Option(help="Rows of the references.")] = "50,100,200,500,1000,5000",
    windows: Annotated[str, typer.Option(help="Rows of the windows.")] = "300,2000",
    repeats: Annotated[int, typer.Option(help="References of each size.")] = 20,
    samples: Annotated[int, typer.Option(help="Windows of each reference.")] = 20,
    seed: Annotated[int, typer.Option(help="Seed of the values.")] = 1,
    json: Annotated[Path | None, typer.Option(help="File for the report.")] = None,
) -> None:
    """Print the shares of every stream and pair of sizes, and their means."""
    numbers, of_references, of_windows = (
        [int(n) for n in text.split(",")] for text in (categories, references, windows)
    )
    sizes = [(reference, window) for reference in of_references for window in of_windows]
    found = list(all_shares(numbers, sizes, repeats, samples, seed))
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    table = Table("law", "categories", "reference", "window", "judged", "psi > 0.25", *METRICS, "tripled")
    for one in [*found, mean_of(found)]:
        above = [f"{one.above.get(metric, 0.0):.1%}" for metric in METRICS]
        sizes_of_it = [str(one.categories), str(one.reference), str(one.window), f"{one.judged} of {one.references}"]
        table.add_row(one.law, *sizes_of_it, f"{one.folklore:.2%}", *above, f"{one.tripled.get('psi', 0.0):.0%}")
    Console().print(table)


def mean_of(found: Sequence[Share]) -> Share:
    """The mean over all streams and sizes that are judged, each as often as it is."""
    judged = sum(one.judged for one in found)
    total = Share("even", 0, 0, 0, sum(one.references for one in found), judged, 0.0, {}, {})
    total.folklore = sum(one.folklore * one.judged for one in found) / max(1, judged)
    for into, parts in ((total.above, [s.above for s in found]), (total.tripled, [s.tripled for s in found])):
        for metric in METRICS:
            shares = (part.get(metric, 0.0) * one.judged for part, one in zip(parts, found, strict=True))
            into[metric] = sum(shares) / max(1, judged)
    return total


if __name__ == "__main__":
    typer.run(run)
