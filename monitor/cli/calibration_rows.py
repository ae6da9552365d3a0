"""The rows that references were made of, read again: what `streamdrift calibrate` draws from.

A reference holds counts, and no rows. So its log is replayed without rules, until each lane has the reference that the
service makes of it, with that digest; the first rows of the log, in canonical order, are those that it was made of. Of
a reference that is a table, the table is read again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from monitor.bus.port import Bus
from monitor.calibration.drawn import Sample, sample_of
from monitor.cli.replay import Options, log_of
from monitor.config.lock import Lane
from monitor.config.resolved import Config, ModelConfig
from monitor.contract import TopicContract
from monitor.errors import ConfigurationError
from monitor.evaluate.reference import Reference
from monitor.events import Batch, RecordBatch, Rows
from monitor.panes import rows as rows_of
from monitor.panes.grid import Grid
from monitor.profile.task import Decode
from monitor.replay import Replay, ReplayLog
from monitor.settings import Settings
from monitor.sources.recordings import Recording
from monitor.sources.reference_rows import MOST_ROWS
from monitor.sources.references import references_of_file, rows_of_file

_Key = tuple[str, str]
"""A model and a stream."""


def samples_of_file(model: ModelConfig, lanes: Collection[Lane]) -> dict[Lane, Sample]:
    """Return the rows of a reference that is a table; raises ConfigurationError."""
    path = Path(str(model.rules.reference.path))
    made = {reference.stream: (grid, reference) for grid, reference in references_of_file(path, model.contract)}
    found: dict[Lane, Sample] = {}
    for lane in lanes:
        if lane not in made:
            raise ConfigurationError(f"{path} has no rows of {model.contract.model}/{lane}")
        rows = rows_of_file(path, model.contract, lane, MOST_ROWS)
        if rows is None:
            raise ConfigurationError(
                f"{path} holds counts and no rows: name the tables or logs that it was built from, too"
            )
        found[lane] = _sample(*made[lane], [rows], model)
    return found


def samples_of_log(
    recording: Recording,
    config: Config,
    options: Options,
    settings: Settings,
    bus: Bus | None,
    wanted: Mapping[str, Collection[Lane]],
    advance: Callable[[int], None],
) -> dict[str, dict[Lane, Sample]]:
    """Return by model and lane the rows that references are made of; raises ConfigurationError if the log has too few.

    `wanted`: lanes by model. `advance`: is given the bytes that were read.
    """
    bare = replace(config, models=tuple(_without_rules(model) for model in config.models))
    engine = _Reading(log_of(recording, options, settings, bus, bare))
    for _ in engine.fold(recording.sequences(advance)):
        if all(engine.reference(model, lane) is not None for model, lanes in wanted.items() for lane in lanes):
            break
    models = {model.contract.model: model for model in config.models}
    return {name: {lane: engine.sample(models[name], lane) for lane in lanes} for name, lanes in wanted.items()}


class _Reading(Replay):
    """A replay that keeps the first rows of each lane, and ends when all have their references."""

    def __init__(self, log: ReplayLog) -> None:
        self._rows: dict[_Key, list[tuple[int, Rows]]] = {}
        super().__init__(log)

    def _decoder(self, contract: TopicContract) -> Decode:
        return _Keeping(super()._decoder(contract), self._rows)

    def reference(self, model: str, lane: Lane) -> tuple[Grid, Reference] | None:
        """Grid and reference of a lane, once it has one that is whole."""
        fold = self._evaluate.models.get(model)
        if fold is None:
            return None
        decisions = fold.decisions
        name = next((name for name, (_, stream) in decisions.lanes.items() if stream.stream == lane), "")
        found = decisions.references.get(name)
        if found is None or found.grows_to is not None:
            return None
        return decisions.grids[name], found

    def sample(self, model: ModelConfig, lane: Lane) -> Sample:
        name = model.contract.model
        found = self.reference(name, lane)
        if found is None:
            standing = [one.text for one in self.lanes() if (one.model, one.stream) == (name, lane)]
            raise ConfigurationError(
                f"the log is too short for the reference of {name}/{lane}" + "".join(f": {text}" for text in standing)
            )
        return _sample(*found, [rows for _, rows in self._kept(name, lane)], model)

    def _kept(self, model: str, lane: Lane) -> list[tuple[int, Rows]]:
        """Return the rows of a lane, those of one partition behind those of the one before."""
        return sorted(self._rows.get((model, lane), []), key=lambda part: part[0])


class _Keeping:
    """Decodes, and keeps the rows."""

    def __init__(self, decoder: Decode, rows: dict[_Key, list[tuple[int, Rows]]]) -> None:
        self._decoder = decoder
        self._rows = rows

    def decode(self, batch: RecordBatch) -> Batch:
        decoded = self._decoder.decode(batch)
        for rows in decoded.rows:
            self._rows.setdefault((rows.model, rows.stream), []).append((decoded.partition, rows))
        return decoded


def _sample(grid: Grid, reference: Reference, parts: list[Rows], model: ModelConfig) -> Sample:
    """The first rows by time, as many as the reference has, and no more than are held."""
    joined = rows_of.concat(parts)
    order = np.argsort(joined.time, kind="stable")[: min(reference.events, MOST_ROWS)]
    return sample_of(grid, reference, rows_of.take(joined, order), model.rules.season_ms)


def _without_rules(model: ModelConfig) -> ModelConfig:
    return replace(model, rules=model.rules.model_copy(update={"rules": (), "detectors": (), "retraining": ()}))
