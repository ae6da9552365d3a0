"""`streamdrift check`, also against a running service, and `streamdrift schema`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import typer

from monitor.alerts_file import load_config
from monitor.bus.port import Bus
from monitor.bus.reading import read_whole, whole_values
from monitor.cli.shell import open_settings_bus_to_read, settings_of
from monitor.cli.sight import sight_text
from monitor.codec.chunks import Assembler
from monitor.config.built_in import GROUP, silence_text
from monitor.config.differences import Running, differences
from monitor.config.inputs import lanes_of
from monitor.config.resolved import Config, ModelConfig, ModelRules
from monitor.config.schema import alerts_schema
from monitor.errors import ConfigurationError, StreamdriftError
from monitor.evaluate.decisions import RulesContent
from monitor.evaluate.lane_drift import Sight, asked_of, sight_of
from monitor.events import StreamName, TopicPartition
from monitor.ledger.entries import Activation
from monitor.ledger.entry_codec import decode_agreement
from monitor.ledger.ledger_topics import LedgerTopics
from monitor.log_lines import escaped
from monitor.runner.reloading import topics_read
from monitor.service import ledger_topics
from monitor.settings import Settings
from monitor.sources.references import INSTEAD, labelled_of_file, references_of_file
from monitor.web.asyncapi import asyncapi
from monitor.web.schemas import message_schemas

_MOST_ROWS = 1 << 17
"""Rows of a reference that are looked at, at most."""


def check(config: Path | None, against: str | None) -> int:
    """Load the configuration and describe it in a few lines; problems are raised, hints printed on standard error.

    `against`: the bus of a running service; what would become of its lanes, detectors and alerts is listed.
    """
    settings = settings_of(config, against)
    path = settings.config
    loaded = load_config(path)
    for hint in loaded.hints:
        typer.echo(escaped(f"{hint.file}:{hint.line}:{hint.column}: hint: {hint.message}"), err=True)
    for text in (*_small_references(loaded), *_without_labels(loaded)):
        typer.echo(escaped(f"{path}: hint: {text}"), err=True)
    own = loaded.own_rules(GROUP)
    names = ", ".join(model.contract.model for model in loaded.models)
    typer.echo(f"{path}: ok, {len(loaded.models)} model(s) ({names}), {own} rule(s) beside the built-in ones")
    for limit, of in _silences(loaded).items():
        typer.echo(f"NoData {limit} ({', '.join(of)})")
    for sight in _sights(loaded):
        typer.echo(escaped(sight_text(sight)))
    if against is not None:
        _compare(loaded, settings)
    return 0


def _silences(loaded: Config) -> dict[str, list[str]]:
    """Return how long a stream may be silent, and the models of which it is true."""
    found: dict[str, list[str]] = {}
    for model in loaded.models:
        found.setdefault(silence_text(model.rules.rules, "features"), []).append(model.contract.model)
        if model.rules.performance is not None:
            of_labels = f"of labels {silence_text(model.rules.rules, 'labels')}"
            found.setdefault(of_labels, []).append(model.contract.model)
    return found


def _small_references(loaded: Config) -> Iterator[str]:
    """Give a line for each stream whose reference has fewer rows than rules that compare with it want."""
    for model in loaded.models:
        comparing = [rule for rule in model.rules.rules if rule.comparison.compares]
        rows = _reference_rows(model, max((rule.min_events for rule in comparing), default=0))
        for stream, number in rows.items():
            if small := dict.fromkeys(rule.alert for rule in comparing if rule.min_events > number):
                yield (
                    f"the reference of {model.contract.model}/{stream} has {number} row{'' if number == 1 else 's'}, "
                    f"fewer than min_events of {', '.join(small)}: never judged"
                )


def _without_labels(loaded: Config) -> Iterator[str]:
    """Give a line for each model with labels whose reference is a file that has too few of them, or none."""
    for model in loaded.models:
        path = model.rules.reference.path
        if path is None or model.rules.performance is None:
            continue
        try:
            pairs = references_of_file(Path(path), model.contract, limit=_MOST_ROWS)
            found = labelled_of_file(Path(path), model, pairs, limit=_MOST_ROWS)
        except (StreamdriftError, OSError):  # `doctor` says why
            continue
        if isinstance(found, str):
            yield f"the reference of {model.contract.model} has none of performance: {found}; so {INSTEAD}"


def _sights(loaded: Config) -> Iterator[Sight]:
    """Give how small a shift `drift` sees in each stream that has a rule on it, of models whose reference is a file."""
    for model in loaded.models:
        path = model.rules.reference.path
        asked = {one.stream: asked_of(model.rules, one.stream) for one in lanes_of(model.contract)}
        if path is None or not any(asked.values()):
            continue
        try:
            pairs = references_of_file(Path(path), model.contract, limit=_MOST_ROWS)
        except (StreamdriftError, OSError):  # `doctor` says why
            continue
        asking = ((grid, reference, asked.get(grid.stream)) for grid, reference in pairs)
        found = (sight_of(grid, reference, own) for grid, reference, own in asking if own is not None)
        yield from (sight for sight in found if sight is not None)


def _reference_rows(model: ModelConfig, most: int) -> Mapping[StreamName, int]:
    """Give the rows of the reference of each stream, of a file as far as `most`; none of what can't be read here."""
    spec = model.rules.reference
    if spec.first is not None:
        return {stream.stream: spec.first for stream in lanes_of(model.contract) if stream.columns}
    if spec.path is None or not most:
        return {}
    try:
        pairs = references_of_file(Path(spec.path), model.contract, limit=most)
    except (StreamdriftError, OSError):  # `doctor` says why
        return {}
    return {grid.stream: reference.events for grid, reference in pairs}


def _compare(loaded: Config, settings: Settings) -> None:
    """List what becomes of the lanes, detectors and alerts of the service on the settings' bus."""
    bus = open_settings_bus_to_read(settings)
    try:
        found = running_on(bus, ledger_topics(settings))
    finally:
        bus.close()
    others = topics_read(r.contract for r in found) ^ topics_read(m.contract for m in loaded.models)
    if found and others:
        typer.echo(escaped(f"needs a restart, because other topics are read ({', '.join(sorted(others))})"))
    model = ""
    for difference in differences(found, loaded):
        if difference.model != model:
            model = difference.model
            typer.echo(escaped(model))
        why = f" ({difference.why})" if difference.why else ""
        typer.echo(escaped(f"  {difference.kind} {difference.name}: {difference.fate}{why}"))


def running_on(bus: Bus, topics: LedgerTopics) -> list[Running]:
    """Return the models of the service on a bus, each with its newest rules; raises ConfigurationError without any."""
    decisions = topics.name("decisions")
    if bus.partitions(decisions) is None:
        raise ConfigurationError(f"{bus.name} has no topic {decisions}: the service never ran there")
    assembler = Assembler(compacted=True)
    newest: dict[str, Running] = {}
    for batch in read_whole(bus, TopicPartition(decisions, 0)):
        for record, value in whole_values(assembler, batch):
            agreed = decode_agreement(record.headers, value)
            if isinstance(agreed, Activation) and agreed.decision.kind == "gone":
                newest.pop(agreed.decision.model, None)
            elif isinstance(agreed, Activation) and agreed.decision.kind == "rules":
                content = msgspec.json.decode(agreed.decision.content, type=RulesContent)
                rules = ModelRules.model_validate_json(content.rules)
                newest[agreed.decision.model] = Running(rules, content.contract)
    return [newest[model] for model in sorted(newest)]


def schema(message: str | None, as_asyncapi: bool) -> None:
    """Print a JSON schema: that of alerts.yaml, or of a message; or the AsyncAPI document of all messages."""
    if as_asyncapi:
        if message is not None:
            raise ConfigurationError("the AsyncAPI document holds all messages: name none with --asyncapi")
        typer.echo(asyncapi(), nl=False)
        return
    if message is None:
        typer.echo(json.dumps(alerts_schema(), indent=2, ensure_ascii=False))
        return
    shipped = message_schemas()
    if message not in shipped:
        raise ConfigurationError(f"there is no schema {message!r}; there are {', '.join(shipped)}")
    typer.echo(shipped[message], nl=False)
