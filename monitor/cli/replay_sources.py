"""What the arguments of `replay` and `produce file` name, as one recording: captured logs, topics, or plain files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from monitor.alerts_file import load_unlocked_config
from monitor.bus.port import Bus
from monitor.codec.durations import parse_duration
from monitor.codec.times import parse_time
from monitor.config.resolved import Config, ModelConfig
from monitor.contract import ModelContract
from monitor.errors import ConfigurationError
from monitor.events import INPUT_STREAMS, RecordBatch
from monitor.service import ledger_topics, place_of
from monitor.settings import Settings
from monitor.sources.csv_dialect import parse_csv_flags
from monitor.sources.file_recordings import PlainRows, plain
from monitor.sources.recordings import Progress, Recording, captured, is_captured_log, topics_of_bus
from monitor.sources.source_paths import paths_of
from monitor.sources.unusable import Unusable

TOPIC = "topic:"


@dataclass(frozen=True, slots=True)
class FileFlags:
    """The flags by which plain files are read, as they are written."""

    stream: str | None = None
    model: str | None = None
    start: str | None = None
    step: str = "1s"
    csv: str | None = None
    label_delay: str = "0s"


def recording_of(
    sources: Sequence[str],
    flags: FileFlags,
    settings: Settings,
    bus: Bus | None,
    unusable: Unusable,
    config: Config | None = None,
) -> Recording:
    """Return all sources as one log. `unusable`: is given what of tables can't be used.

    `config`: instead of the file that the settings name.
    """
    recordings: list[Recording] = []
    files: dict[Path, Path] = {}
    for source in sources:
        if source.startswith(TOPIC):
            if bus is None:
                raise ConfigurationError(f"{source}: no bus")
            names = (source.removeprefix(TOPIC),)
            recordings.append(topics_of_bus(bus, names, ledger_topics(settings), place_of(bus, settings)))
            continue
        for path in paths_of(source):
            if is_captured_log(path):
                recordings.append(captured(path))
            elif files.setdefault(path.resolve(), path) is not path:
                unusable.notes[f"{path} is named twice, and read once"] = None
    if files:
        contract = chosen_model(load_unlocked_config(settings.config), flags.model).contract
        recordings.append(files_of(list(files.values()), contract, flags, settings, unusable))
    return joined(recordings)


def files_of(
    paths: Sequence[Path], contract: ModelContract, flags: FileFlags, settings: Settings, unusable: Unusable
) -> Recording:
    """Return plain files as one log, read as the flags say."""
    how = PlainRows(
        stream=next((s for s in INPUT_STREAMS if s == flags.stream), None),
        start_ms=None if flags.start is None else time_of("--start", flags.start),
        step_ms=duration_of("--step", flags.step),
        label_delay_ms=duration_of("--label-delay", flags.label_delay),
        csv=parse_csv_flags(flags.csv),
        sorted_bytes=settings.memory_mb << 19,  # half of it: the other half is for all else
    )
    return plain(paths, contract, how, unusable)


def chosen_model(config: Config, name: str | None) -> ModelConfig:
    """Return the model of that name, or the only one."""
    names = [model.contract.model for model in config.models]
    if name is None and len(names) != 1:
        raise ConfigurationError(f"--model is needed: alerts.yaml has {', '.join(names)}")
    for model in config.models:
        if name in (None, model.contract.model):
            return model
    raise ConfigurationError(f"--model {name}: alerts.yaml has {', '.join(names)}")


def joined(recordings: Sequence[Recording]) -> Recording:
    """Return several sources as one log; they must not hold the same partition, nor be of two kinds."""
    first = recordings[0]
    for other in recordings[1:]:
        both = sorted(set(first.partitions) & set(other.partitions))
        if both or (other.ends is None) != (first.ends is None):
            where = ", ".join(f"{tp.topic}/{tp.partition}" for tp in both) or "a plain file and a captured log"
            raise ConfigurationError(f"can't replay together: {where}")
        before = first
        first = replace(
            before,
            partitions=(*before.partitions, *other.partitions),
            control=before.control.joined(other.control),
            contracts=tuple({c.model: c for c in before.contracts + other.contracts}.values()),
            ends=None if before.ends is None else {**before.ends, **(other.ends or {})},
            size=before.size + other.size,
            sequences=_all_of(before, other),
        )
    return first


def _all_of(first: Recording, second: Recording) -> Callable[[Progress], list[Iterator[RecordBatch]]]:
    return lambda progress: [*first.sequences(progress), *second.sequences(progress)]


def time_of(flag: str, text: str) -> int:
    """Return the time of a flag, ms."""
    try:
        return parse_time(text)
    except ValueError as error:
        raise ConfigurationError(f"{flag} {error}") from error


def duration_of(flag: str, text: str) -> int:
    """Return the duration of a flag, ms."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise ConfigurationError(f"{flag} {error}") from error
