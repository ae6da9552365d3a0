"""The reference of each model: whether it can be made, of how many rows, and what of its values can't be used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from monitor.bus.port import Bus
from monitor.config.resolved import Config, ModelConfig
from monitor.doctor.finding import Finding
from monitor.errors import StreamdriftError
from monitor.events import TopicPartition
from monitor.sources.references import GridAndReference, references_of_file, references_of_topic
from monitor.sources.unusable import Unusable


def references_found(bus: Bus | None, config: Config) -> Iterator[Finding]:
    """Make the reference of each model as a start of the service would. `bus`: None if it can't be reached."""
    for model in config.models:
        if model.rules.reference.first is not None:
            yield from _first_rows(bus, model, model.rules.reference.first)
        elif bus is not None or model.rules.reference.topic is None:
            yield from _made(bus, model)


def _made(bus: Bus | None, model: ModelConfig) -> Iterator[Finding]:
    spec, name = model.rules.reference, model.contract.model
    unusable = Unusable()
    try:
        pairs: list[GridAndReference]
        if spec.path is not None:
            pairs = references_of_file(Path(spec.path), model.contract, unusable=unusable)
        else:
            pairs = references_of_topic(bus, spec.topic or "", (spec.from_ms, spec.to_ms), model.contract)
    except (StreamdriftError, OSError) as error:
        yield Finding("references", "failed", f"{name}: {error}", "correct `reference` in alerts.yaml, or the file")
        return
    rows = ", ".join(f"{grid.stream} of {reference.events} rows" for grid, reference in pairs)
    yield Finding("references", "ok", f"{name}: {rows}")
    without = {stream.stream for stream in model.contract.streams} - {grid.stream for grid, _ in pairs}
    for stream in sorted(without):
        found = f"{name}/{stream}: the reference has none of its columns, so it is never judged"
        yield Finding("references", "warning", found, "add them to the reference, or remove the stream")
    for unused in unusable.counts():
        found = f"{name}: {unused.column}: {unused.values} of {unused.rows} values can't be used: {unused.reason}"
        yield Finding("references", "warning", found, "`streamdrift reference build` shows examples")


def _first_rows(bus: Bus | None, model: ModelConfig, wanted: int) -> Iterator[Finding]:
    """The first rows of the traffic: whether there are as many."""
    for stream in model.contract.streams:
        n = None if bus is None else bus.partitions(stream.topic)
        if bus is None or n is None:
            continue
        there = sum(bus.end(tp) - bus.beginning(tp) for tp in (TopicPartition(stream.topic, p) for p in range(n)))
        found = f"{model.contract.model}/{stream.stream}: the first {wanted} rows; {stream.topic} holds {there} records"
        if there >= wanted:
            yield Finding("references", "ok", found)
        else:
            remedy = "wait for more, or give a reference by file: until then nothing is judged"
            yield Finding("references", "warning", found, remedy)
