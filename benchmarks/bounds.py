"""Bounds: resident memory of the service under floods, on real Kafka, and whether a drift is found as without them.

    python benchmarks/bounds.py [--flood ids,categories,large] [--records N] [--large N] [--memory MB] [--json FILE]

The same good traffic goes twice through `streamdrift run`: alone, and among the floods. `ids`: as many records with as
many unknown models. `categories`: as many rows of another model, each with a category of its own. `large`: records at
the broker's limit (valid ones, broken ones, deep ones). The most resident memory of each stage, interpreter and client
buffers included, has to stay within the budget and a fifth; the good model's alerts have to come at the same panes.
"""

from __future__ import annotations

import json as jsonlib
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import typer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a script's path lacks the checkout

from benchmarks.throughput import broker, machine
from monitor.bus.kafka import KafkaBus
from monitor.bus.reading import read_whole, whole_values
from monitor.codec.canonical import time_text
from monitor.codec.chunks import Assembler
from monitor.events import Outgoing, TopicPartition
from monitor.ledger.ledger_topics import LedgerTopics
from monitor.telemetry import configure_logging
from tests.accounts import accounts
from tests.kafka.service import LEDGER_PARTITIONS, Reached, Service, environment

PARTITIONS = 2
GOOD = 60_000
"""Good events; in the second half `x` has drifted."""
STEP_MS = 5
LARGE_BYTES = 1_000_000
"""A little under `message.max.bytes`, which counts the batch around the record too."""
START_MS = 1_790_000_000_000
FIFTH = 1.2

_ALERTS_YAML = """\
version: 1
defaults: {{window: {{events: 5000, every: 1000}}, lateness: 2s, pane: 2s, interval: 2s, idle_timeout: 5s}}
models:
  good:
    task: regression
    streams: {{features: {{topic: {topic}}}}}
    columns: {{numerical: [x, y], categorical: [c]}}
    reference: {{first: 5000}}
  wild:
    task: regression
    streams: {{features: {{topic: {topic}}}}}
    columns: {{numerical: [x], categorical: [c]}}
    reference: {{first: 5000}}
detectors:
  adwin: {{class: ADWIN, input: x, model: good}}
groups:
  - name: drift
    models: [good]
    rules:
      - {{alert: Psi, expr: psi > 0.2, min_events: 2000}}
      - {{alert: Change, expr: 'change{{detector="adwin"}} > 0'}}
"""

Told = tuple[str, str, str, str]
"""Of an alert of the good model: time, name, column, status."""


class Run(msgspec.Struct):
    """One run of the service. `peak_mb`: most resident memory of each stage."""

    floods: list[str]
    records: int
    seconds: float
    peak_mb: dict[str, float]
    buckets: dict[str, int]
    alerts: list[Told]
    limited: int


class Report(msgspec.Struct):
    """Both runs, with what they depend on."""

    machine: dict[str, str | int]
    budget_mb: int
    large: int
    runs: list[Run]
    broken: list[str]


def event(model: str, at: int, features: dict[str, object], **fields: object) -> bytes:
    """One event at `at` ms of the run."""
    whole = {"event_id": "e", "model": model, "event_time": time_text(START_MS + at), "features": features, **fields}
    return msgspec.json.encode(whole)


def good() -> Iterator[tuple[int, int, bytes]]:
    """Time, partition and value of the good events."""
    rng = np.random.default_rng(1)
    x, y, c = rng.normal(size=GOOD), rng.random(GOOD), rng.integers(0, 4, GOOD)
    x[GOOD // 2 :] += 1.0
    for i in range(GOOD):
        features = {"x": float(x[i]), "y": float(y[i]), "c": "abcd"[c[i]]}
        yield i * STEP_MS, i % PARTITIONS, event("good", i * STEP_MS, features)


def spread(n: int) -> Iterator[tuple[int, int]]:
    """Number and time of `n` records that are spread over the time of the good ones."""
    for i in range(n):
        yield i, i * GOOD * STEP_MS // n


def large(i: int, at: int) -> bytes:
    """A record of the largest size: a valid row, an unknown model, cut off, a list of numbers, or deep."""
    filler = "x" * (LARGE_BYTES - 400)
    kinds = (
        lambda: event("wild", at, {"x": 1.0, "c": "a"}, unknown=filler),
        lambda: event("nobody", at, {"x": filler}),
        lambda: event("wild", at, {"x": filler})[:-2],
        lambda: event("wild", at, {"x": [1] * (LARGE_BYTES // 2 - 400), "c": "a"}),
        lambda: b"[" * (LARGE_BYTES - 400),
    )
    return kinds[i % len(kinds)]()


def floods(names: list[str], records: int, large_ones: int) -> Iterator[tuple[int, int, bytes]]:
    """Time, partition and value of all bad traffic, each flood in order of time."""
    if "ids" in names:
        yield from ((at, i % PARTITIONS, event(f"model-{i}", at, {"x": 1.0})) for i, at in spread(records))
    if "categories" in names:
        for i, at in spread(records):
            yield at, i % PARTITIONS, event("wild", at, {"x": 1.0, "c": f"category-{i}"})
    if "large" in names:
        yield from ((at, i % PARTITIONS, large(i, at)) for i, at in spread(large_ones))


def send(bus: KafkaBus, topic: str, names: list[str], records: int, large_ones: int) -> int:
    """All records in order of time: slice by slice, so that no more than a slice is held here."""
    sender, sent = bus.sender(), 0
    parts = [good(), *(floods([name], records, large_ones) for name in names)]
    heads = [next(part, None) for part in parts]
    for until in range(1000, GOOD * STEP_MS + 1001, 1000):
        for k, part in enumerate(parts):
            head = heads[k]
            while head is not None and head[0] < until:
                sender.send(Outgoing(topic, head[1], None, head[2]))
                sent += 1
                head = next(part, None)
            heads[k] = head
    # the watermark passes the last pane by one row of each partition
    for p in range(PARTITIONS):
        sender.send(Outgoing(topic, p, None, event("good", GOOD * STEP_MS + 5000, {"x": 0.0, "y": 0.5, "c": "a"})))
    sender.flush()
    sender.close()
    return sent + PARTITIONS


def serve(bus: KafkaBus, address: str, names: list[str], records: int, large_ones: int, memory: int) -> Run:
    """Send, and let the service read it all; how much memory its stages took at most."""
    topic = f"bounds-{'-'.join(names) or 'alone'}"
    prefix = f"{topic}."
    bus.create(topic, PARTITIONS)
    sent = send(bus, topic, names, records, large_ones)
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "alerts.yaml"
        config.write_text(_ALERTS_YAML.format(topic=topic))
        env = environment(f"kafka://{address}", prefix) | {"STREAMDRIFT_MEMORY_MB": str(memory)}
        service = Service(env, config, Path(folder) / "log")
        service.start()
        peaks: Counter[str] = Counter()
        began, reached = time.monotonic(), Reached(bus, topic, prefix)
        try:
            patience = 120 + sent / 500
            service.wait_until(lambda: _measured(service, peaks) and reached.has_read_all(), "all was read", patience)
            seconds = time.monotonic() - began
            end = START_MS + GOOD * STEP_MS
            service.wait_until(lambda: reached.has_sealed_all(end), "all was sealed", 120)
            ledger = reached.ledger()
            service.wait_until(lambda: _measured(service, peaks) and reached.has_judged(ledger), "judged", 300)
        finally:
            service.kill()
    peak_mb = {name: round(kb / 1024, 1) for name, kb in sorted(peaks.items())}
    typer.echo(f"{topic}: {sent:,} records, {seconds:.0f} s, peak MB {peak_mb}")
    buckets = _buckets(bus, topic, prefix)
    alerts = list(_alerts(bus, prefix))
    return Run(
        names,
        sent,
        round(seconds, 1),
        peak_mb,
        {name: n for name, n in sorted(buckets.items()) if n},
        sorted(
            _told(alert) for alert in alerts if alert["labels"].get("model") == "good" and _told(alert)[0] <= _end()
        ),
        sum(alert["labels"]["alertname"] == "CardinalityLimited" for alert in alerts),
    )


def _buckets(bus: KafkaBus, topic: str, prefix: str) -> Counter[str]:
    """What became of the records, by the position records: all of them are in a bucket, or wait."""
    found = accounts(bus, LedgerTopics(prefix, LEDGER_PARTITIONS), [topic])
    if any(account.difference or account.position < bus.end(tp) for tp, account in found.items()):
        raise RuntimeError(f"records are in no bucket: {found}")
    return sum((Counter(account.buckets) for account in found.values()), Counter())


def _end() -> str:
    """Later alerts depend on heartbeats: on when the service is stopped."""
    return time_text(START_MS + GOOD * STEP_MS)


def _measured(service: Service, peaks: Counter[str]) -> bool:
    """Note the most resident memory of each stage so far; always true."""
    for pid in service.children():
        folder = Path(f"/proc/{pid}")
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            status = (folder / "status").read_text()
        except OSError:
            continue  # it has just ended
        if b"stage" not in words:
            continue  # it is just being made
        stage = words[words.index(b"stage") + 1].decode()
        peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
        peaks[stage] = max(peaks[stage], int(peak))
    return True


def _alerts(bus: KafkaBus, prefix: str) -> Iterator[dict[str, dict[str, str]]]:
    for p in range(LEDGER_PARTITIONS):
        for batch in read_whole(bus, TopicPartition(f"{prefix}alerts", p)):
            for _, value in whole_values(Assembler(), batch):
                message = jsonlib.loads(value)
                yield message["data"] | {"time": message["time"]}


def _told(alert: dict[str, dict[str, str]]) -> Told:
    labels = alert["labels"]
    return str(alert["time"]), labels["alertname"], labels.get("column", ""), str(alert.get("status", "notice"))


def broken(alone: Run, flooded: Run, budget: int) -> list[str]:
    """The promises that the runs break."""
    most = {name: mb for run in (alone, flooded) for name, mb in run.peak_mb.items() if mb > FIFTH * budget}
    found = {
        f"above the budget and a fifth: {most}": bool(most),
        f"no drift was found: {alone.alerts}": not any(
            reported[1] == "Psi" and reported[2] == "x" for reported in alone.alerts
        ),
        "the flood changed what is said of the good model, or when": alone.alerts != flooded.alerts,
        "the flood of categories was not told": "categories" in flooded.floods and flooded.limited != 1,
    }
    return [promise for promise, is_broken in found.items() if is_broken]


def main(
    flood: Annotated[str, typer.Option(help="Floods, with commas: ids, categories, large.")] = "ids,categories,large",
    records: Annotated[int, typer.Option(min=1000, help="Records of `ids` and of `categories`.")] = 1_000_000,
    large_ones: Annotated[int, typer.Option("--large", min=5, help="Records of `large`.")] = 1000,
    memory: Annotated[int, typer.Option(min=128, help="Budget of each process, MB.")] = 512,
    json: Annotated[Path | None, typer.Option(help="File for the report.")] = None,
) -> None:
    """Resident memory under floods, and whether a drift is found as without them."""
    configure_logging("error", "json")
    logging.getLogger("kafka").setLevel(logging.ERROR)
    names = [name for name in flood.split(",") if name]
    with broker(wanted=True) as address:
        if address is None:
            raise typer.BadParameter("there is no broker")
        bus = KafkaBus([address], {})
        alone = serve(bus, address, [], records, large_ones, memory)
        flooded = serve(bus, address, names, records, large_ones, memory)
        typer.echo(f"buckets: {flooded.buckets}")
        typer.echo(f"alerts of the good model: {alone.alerts}")
        bus.close()
    report = Report(machine(), memory, large_ones, [alone, flooded], broken(alone, flooded, memory))
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    for promise in report.broken:
        typer.echo(f"BROKEN: {promise}")
    raise typer.Exit(1 if report.broken else 0)


if __name__ == "__main__":
    typer.run(main)
