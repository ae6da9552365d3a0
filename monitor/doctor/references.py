"""The reference of each model: whether it can be made, of how many rows, and what of its values can't be used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from monitor.bus.port import Bus
from monitor.codec.durations import duration_text
from monitor.config.resolved import Config, ModelConfig
from monitor.doctor.finding import Finding
from monitor.errors import StreamdriftError
from monitor.evaluate.labelled_reference import LabelledReference
from monitor.events import TopicPartition
from monitor.sources.reference_file import GridAndReference
from monitor.sources.references import INSTEAD, labelled_of_file, references_of_file, references_of_topic
from monitor.sources.unusable import Unusable


def references_found(bus: Bus | None, config: Config) -> Iterator[Finding]:
    """Make the reference of each model as a start of the service would. `bus`: None if it can't be reached."""
    for model in config.models:
        if model.rules.reference.is_of_traffic:
            yield from _first_rows(bus, model)
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
    if model.rules.performance is not None and spec.path is not None:
        yield _labelled(Path(spec.path), model, pairs)
    without = {stream.stream for stream in model.contract.streams if stream.has_lane} - {g.stream for g, _ in pairs}
    for stream in sorted(without):
        found = f"{name}/{stream}: the reference has none of its columns, so it is never judged"
        yield Finding("references", "warning", found, "add them to the reference, or remove the stream")
    for unused in unusable.counts():
        found = f"{name}: {unused.column}: {unused.values} of {unused.rows} values can't be used: {unused.reason}"
        yield Finding("references", "warning", found, "`streamdrift reference build` shows examples")


def _labelled(path: Path, model: ModelConfig, pairs: list[GridAndReference]) -> Finding:
    """What the rows of a file that have a label give the performance to be compared with."""
    found, name = labelled_of_file(path, model, pairs), model.contract.model
    if isinstance(found, LabelledReference):
        return Finding("references", "ok", f"{name}: performance of {found.rows} rows with prediction and label")
    remedy = f"add labels to its rows, or leave it so: {INSTEAD}"
    return Finding("references", "warning", f"{name}: performance has no reference: {found}", remedy)


def _first_rows(bus: Bus | None, model: ModelConfig) -> Iterator[Finding]:
    """The first rows of the traffic: whether there are as many, of those that the grid is made from at least."""
    wanted, span = model.contract.raw_rows, model.contract.reference_ms
    first = f"the first {wanted} rows" if not span else f"the first {duration_text(span)}, its bins of {wanted} rows"
    for stream in [stream for stream in model.contract.streams if stream.has_lane]:
        n = None if bus is None else bus.partitions(stream.topic)
        if bus is None or n is None:
            continue
        there = sum(bus.end(tp) - bus.beginning(tp) for tp in (TopicPartition(stream.topic, p) for p in range(n)))
        found = f"{model.contract.model}/{stream.stream}: {first}; {stream.topic} holds {there} records"
        if there >= wanted:
            yield Finding("references", "ok", found)
        else:
            remedy = "wait for more, or give a reference by file: until then nothing is judged"
            yield Finding("references", "warning", found, remedy)
