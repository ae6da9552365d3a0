"""Fuzz the input: bad records mixed one to one with good ones, and the twin with tombstones in their place.

    python -m tests.fuzz.run [--records N] [--seed S] [--labels | --commands]

With --labels it is labels that are bad, and what is said of the good ones and their predictions has to stay; with
--commands it is commands, and what is said of all else has to stay. Prints what became of the records of each recipe,
and ends with 1 where a promise is broken. A seed repeats its run.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from monitor.codec.reasons import QUARANTINED, SENTENCES
from tests.fuzz import commands, labels
from tests.fuzz.mutants import is_json
from tests.fuzz.service import Line, Outcome, a_log, serve, twin

LEAST_JSON = 0.3
LEAST_OF_A_REASON = 0.005
"""Of the bad records: each reason 500 times in 100,000."""


@dataclass(frozen=True)
class Result:
    """A run and its twin. `fates`: by recipe and fate, how many records."""

    lines: Sequence[Line]
    first: Outcome
    second: Outcome
    json_share: float
    fates: Counter[tuple[str, str]]

    def broken(self) -> list[str]:
        """The promises that this run breaks; `serve` itself has checked that every record is in its bucket."""
        records = sum(self.fates.values())
        reasons = Counter(self.first.dead.values())
        own = [reason for reason in SENTENCES if reason not in (QUARANTINED, *labels.REASONS)]
        few = [reason for reason in own if reasons[reason] < LEAST_OF_A_REASON * records]
        alerts = Counter(json.loads(value)["data"]["labels"]["alertname"] for value in self.first.alerts)
        found = {
            f"only {self.json_share:.0%} of the bad records are JSON": self.json_share < LEAST_JSON,
            f"too few dead letters of {few} to prove anything": bool(few),
            f"the drift was not found: {dict(alerts)}": not alerts["Psi"],
            "the twin's alerts are others": self.first.alerts != self.second.alerts,
            "the twin's observations are others": len(self.first.observations) != len(self.second.observations),
            "the twin has dead letters": bool(self.second.dead),
            "a good record is a dead letter": any(self.fates["good", reason] for reason in SENTENCES),
        }
        return [promise for promise, is_broken in found.items() if is_broken]


def run(records: int, seed: int) -> Result:
    """Both runs of one seed."""
    lines = a_log(records, seed)
    first = serve(lines)
    second = serve(twin(lines, first.dead))
    return Result(lines, first, second, json_share(lines), fates(lines, first))


def json_share(lines: Sequence[Line]) -> float:
    """Which share of the bad records is JSON."""
    bad = [line for line in lines if line.recipe is not None]
    return sum(is_json(line.value or b"") for line in bad) / len(bad)


def fates(lines: Sequence[Line], outcome: Outcome) -> Counter[tuple[str, str]]:
    """How many records of each recipe became what."""
    found: Counter[tuple[str, str]] = Counter()
    offsets: Counter[tuple[str, int]] = Counter()
    for line in lines:
        place = (line.topic, line.partition)
        found[line.recipe or "good", outcome.dead.get((*place, offsets[place]), "row")] += 1
        offsets[place] += 1
    return found


RUNS: Mapping[str, Callable[[int, int], Result | labels.Result | commands.Result]] = {
    "records": run,
    "labels": labels.run,
    "commands": commands.run,
}


def main(
    records: Annotated[int, typer.Option(min=1000, help="Bad records, and as many good ones.")] = 100_000,
    seed: Annotated[int, typer.Option(help="Seed of the log.")] = 1,
    of_labels: Annotated[bool, typer.Option("--labels", help="Fuzz labels alone.")] = False,
    of_commands: Annotated[bool, typer.Option("--commands", help="Fuzz commands alone.")] = False,
) -> None:
    """Fuzz the input of the service."""
    what = "labels" if of_labels else "commands" if of_commands else "records"
    typer.echo(f"seed {seed}, {records} bad {what} and as many good ones")
    result = RUNS[what](records, seed)
    found = result.fates if isinstance(result, commands.Result) else fates(result.lines, result.first)
    for (recipe, fate), count in sorted(found.items()):
        typer.echo(f"  {recipe:<18} {fate:<18} {count:>8}")
    buckets = {name: count for name, count in sorted(result.first.total.items()) if count}
    typer.echo(f"{json_share(result.lines):.0%} of the bad ones are JSON; buckets: {buckets}")
    for name, counts in (("labels", result.first.labels), ("commands", dict(result.first.commands))):
        if counts:
            typer.echo(f"{name}: {counts}")
    typer.echo(f"{len(result.first.alerts)} alerts, {len(result.first.observations)} observations")
    broken = result.broken()
    for promise in broken:
        typer.echo(f"BROKEN: {promise}")
    raise typer.Exit(1 if broken else 0)


if __name__ == "__main__":
    typer.run(main)
