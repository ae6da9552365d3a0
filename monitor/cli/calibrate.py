"""`streamdrift calibrate`: solves the limits and thresholds that budgets ask for, and writes alerts.lock.yaml."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from monitor.alerts_file import load_unlocked_config, lock_path, read_lock, write_lock
from monitor.calibration.drawn import Sample
from monitor.calibration.model_lock import drawn_streams, lanes_to_solve, locked_model
from monitor.cli.calibration_rows import samples_of_file, samples_of_log
from monitor.cli.replay import Options
from monitor.cli.replay_log import tell
from monitor.cli.replay_sources import TOPIC, FileFlags, recording_of
from monitor.cli.shell import open_settings_bus_to_read, settings_of
from monitor.cli.tail import printable
from monitor.codec.durations import duration_text
from monitor.config.lock import FORMAT, Achieved, Lane, Lock, LockedLane, LockedModel
from monitor.config.locking import asks_for_lock
from monitor.config.resolved import Config
from monitor.drift.null import FEWEST_PIECES
from monitor.errors import ConfigurationError
from monitor.settings import Settings
from monitor.sources.unusable import Unusable

_Samples = Mapping[str, Mapping[Lane, Sample]]


def calibrate(options: Options, seed: int, dry_run: bool) -> None:
    """Solve what every model asks for, print it, and write the lock unless it is a dry run."""
    settings = settings_of(options.config, options.bus)
    config = load_unlocked_config(settings.config)
    wanted = {
        model.contract.model: lanes_to_solve(model)
        for model in config.models
        if asks_for_lock(model.rules) and options.model in (None, model.contract.model)
    }
    if not wanted:
        raise ConfigurationError(
            f"{settings.config} asks for no calibration: give a model a `budget`, or a rule calibrated(...)"
        )
    samples = _samples(options, settings, config, wanted)
    locked = _solved(config, samples, seed)
    _show(locked, samples)
    if dry_run:
        return
    path = lock_path(settings.config)
    others = read_lock(path).models if options.model is not None and path.exists() else {}
    write_lock(path, Lock(format=FORMAT, models=others | locked))
    typer.echo(f"{path} written: `streamdrift check` reads it with {settings.config}; restart, or send SIGHUP")


def _samples(options: Options, settings: Settings, config: Config, wanted: Mapping[str, Collection[Lane]]) -> _Samples:
    """Return the rows of all references: from the sources, if there are some, else from the files of the references."""
    if options.sources:
        return _samples_of_sources(options, settings, config, wanted)
    found = dict[str, Mapping[Lane, Sample]]()
    for model in config.models:
        name = model.contract.model
        if name in wanted:
            if model.rules.reference.path is None:
                raise ConfigurationError(
                    f"{name}: its reference is no file, so name a log or table that begins with its rows,"
                    " or topic:NAME with --bus"
                )
            found[name] = samples_of_file(model, wanted[name])
    return found


def _samples_of_sources(
    options: Options, settings: Settings, config: Config, wanted: Mapping[str, Collection[Lane]]
) -> _Samples:
    bus = open_settings_bus_to_read(settings) if any(source.startswith(TOPIC) for source in options.sources) else None
    unusable = Unusable()
    flags = FileFlags(options.stream, options.model, options.start, options.step, options.csv, options.label_delay)
    recording = recording_of(options.sources, flags, settings, bus, unusable, config)
    try:
        with _progress("read", recording.size or None) as advance:
            return samples_of_log(recording, config, options, settings, bus, wanted, advance)
    finally:
        tell({options.sources[0] if len(options.sources) == 1 else "files": unusable})
        if bus is not None:
            bus.close()


def _solved(config: Config, samples: _Samples, seed: int) -> dict[str, LockedModel]:
    models = [model for model in config.models if model.contract.model in samples]
    total = sum(drawn_streams(model, samples[model.contract.model]) for model in models)
    with _progress("draw", total) as advance:
        return {
            model.contract.model: locked_model(model, samples[model.contract.model], seed, lambda: advance(1))
            for model in models
        }


@contextmanager
def _progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn(what), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda n: bar.advance(task, n)


# ---------------------------------------------------------------------- what is printed


def _show(locked: Mapping[str, LockedModel], samples: _Samples) -> None:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    for name, model in locked.items():
        for lane, held in model.lanes.items():
            speed = f"{held.rows_per_second:.4g} rows/s"
            console.print(f"{printable(name)} / {lane}: {held.rows} reference rows, {speed}, {held.pieces} pieces")
            console.print(_table(held))
            if held.drift is not None:
                console.print(_sight(held), style="dim")
            if held.pieces < FEWEST_PIECES:
                console.print(_too_short(samples[name][lane]), style="yellow")


def _table(lane: LockedLane) -> Table:
    table = Table("what", "z", "false alarms on pieces kept aside", "of the budget", "95 %", "", box=None)
    if lane.drift is not None:
        tried = _tried(lane.drift.achieved)
        for way, limit in lane.drift.limits.model_dump().items():
            table.add_row(f"drift, {way}", f"{limit:.2f}", *tried, "extrapolated" if lane.drift.extrapolated else "")
            tried = ("", "", "")
    for alert, threshold in lane.thresholds.items():
        note = "extrapolated" if threshold.extrapolated else ""
        table.add_row(Text(printable(alert)), f"{threshold.z:.2f}", *_tried(threshold.achieved), note)
    return table


def _tried(achieved: Achieved) -> tuple[str, str, str]:
    low, high = achieved.interval
    return (
        f"{achieved.false_alarms} in {achieved.rows:,} rows",
        f"{achieved.per_budget:.2f}",
        f"{low:.2f} to {high:.2f}",
    )


def _sight(lane: LockedLane) -> str:
    shifts = lane.drift.smallest_shift if lane.drift is not None else {}
    if not shifts:
        return "no shift is seen by `drift`: no numeric column varies"
    named = ", ".join(f"{printable(column)} {shift:.2f}" for column, shift in list(shifts.items())[:8])
    more = f" and {len(shifts) - 8} more" if len(shifts) > 8 else ""
    return f"smallest shift seen within 1,000 events in half of the cases, in deviations: {named}{more}"


def _too_short(sample: Sample) -> str:
    piece = sample.null.piece_rows
    wanted = FEWEST_PIECES * piece
    reference = sample.reference
    first, last = reference.slices[0].first_time, reference.slices[-1].last_time
    time = "" if first is None or last is None else duration_text((last - first) * wanted // max(reference.events, 1))
    return (
        f"the reference holds fewer than {FEWEST_PIECES} independent pieces, of {piece} rows each, so its alerts are"
        f" marked unverified: {wanted} rows, or {time}, would do"
    )
