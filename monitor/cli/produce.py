"""`streamdrift produce synthetic` and `log`: seeded traffic, or a recorded log, into topics."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from monitor.bus.port import Bus
from monitor.cli.replay_sources import duration_of
from monitor.cli.shell import open_settings_bus, settings_of
from monitor.errors import ConfigurationError
from monitor.events import Outgoing
from monitor.signals import Stopping, stopping_meanwhile
from monitor.sources.recordings import captured, is_captured_log
from producers.labels import Labels
from producers.log import Paced, captured_traffic
from producers.schedule import Drift, load_schedule
from producers.synthetic import FRAUD_TRAFFIC, fraud_transactions
from producers.traffic import Traffic

FRAUD_TOPICS = ("ml.features", "ml.predictions")
LABEL_TOPIC = "ml.labels"
PARTITIONS = 3
FULL_SPEED_RATE = 20.0
"""Events a second of event time if traffic is written as fast as possible."""
_FLUSH_EVERY = 5000
_WORTH_A_PAUSE_S = 0.02
_LOOK_EVERY_S = 0.1
"""While records wait for their time, a request to stop is looked for as often."""


@dataclass(frozen=True, slots=True)
class Synthetic:
    """The flags of `produce synthetic`. `label_delay`: a duration, the median; None: without labels."""

    drift: Path | None = None
    rate: float = 100.0
    events: int | None = None
    seed: int = 1
    label_delay: str | None = "1m"


def synthetic(bus_url: str | None, flags: Synthetic) -> None:
    """Write the fraud scorer's traffic at its rate, its event time being now; at rate 0 at once, up to now."""
    drifts = load_drifts(flags.drift)
    delay_ms = None if flags.label_delay is None else duration_of("--label-delay", flags.label_delay)
    rate, events = flags.rate, flags.events
    if rate == 0 and events is None:
        raise ConfigurationError("--rate 0 (as fast as possible) needs --events")
    bus = open_settings_bus(settings_of(bus=bus_url))
    create_inputs(bus)
    dense = rate or FULL_SPEED_RATE
    start = int(time.time() * 1000) - (int((events or 0) / dense * 1000) if rate == 0 else 0)
    traffic = Traffic(events, flags.seed, start, dense, partitions=bus.partitions(FRAUD_TOPICS[0]))
    labels = None
    if delay_ms is not None:
        create_inputs(bus, (LABEL_TOPIC,))
        labels = Labels(delay_ms, topic=LABEL_TOPIC, partitions=bus.partitions(LABEL_TOPIC))
    transactions = fraud_transactions(traffic, drifts, labels, FRAUD_TOPICS)
    # labels that are due go with the transaction that is next; so how many there are is not known before
    total = None if events is None or labels is not None else 2 * events
    send(bus, _spaced(transactions, 0.0 if rate == 0 else 1 / rate), total)
    bus.close()


def _spaced(transactions: Iterable[Sequence[Outgoing]], gap: float) -> Iterator[Paced]:
    """The records of transactions, which come a gap (s) after one another."""
    for records in transactions:
        for record in records:
            yield gap if record is records[0] else 0.0, record


def load_drifts(file: Path | None) -> tuple[Drift, ...]:
    """Return the schedule of a file; an empty one without a file."""
    if file is None:
        return ()
    try:
        return load_schedule(file.read_text(encoding="utf-8"), str(file), FRAUD_TRAFFIC)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ConfigurationError(f"{file}: {why}") from error


def create_inputs(bus: Bus, topics: Sequence[str] = FRAUD_TOPICS, partitions: int = PARTITIONS) -> None:
    """Create the producers' own topics if they are missing."""
    for topic in topics:
        if bus.partitions(topic) is None:
            bus.create(topic, partitions)


def log(file: Path, bus_url: str | None, speed: float) -> None:
    """Write a captured log's records into topics of the same names and partitions."""
    if not is_captured_log(file):
        raise ConfigurationError(f"{file}: not a captured log (see `streamdrift capture`)")
    recording = captured(file)
    bus = open_settings_bus(settings_of(bus=bus_url))
    topics = sorted({tp.topic for tp in recording.partitions})
    for topic in topics:
        partitions = sum(1 for tp in recording.partitions if tp.topic == topic)
        create_inputs(bus, (topic,), partitions)
        if bus.partitions(topic) != partitions:
            raise ConfigurationError(f"{bus.name}: topic {topic} has not the {partitions} partitions of the log")
    send(bus, captured_traffic(file, topics, speed or None), None)
    bus.close()


def send(bus: Bus, paced: Iterable[Paced], total: int | None) -> Counter[str]:
    """Write records, each after its pause, until asked to stop; return how many, by topic."""
    sender = bus.sender()
    sent: Counter[str] = Counter()
    columns = (TextColumn("produce"), BarColumn(), MofNCompleteColumn())
    due = time.monotonic()
    with (
        stopping_meanwhile() as stopping,
        Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar,
    ):
        task = bar.add_task("produce", total=total)
        for number, (pause, record) in enumerate(paced, 1):
            due += pause
            if due - time.monotonic() > _WORTH_A_PAUSE_S:
                sender.flush()
                _wait(due, stopping)
            if stopping.asked:
                break
            sender.send(record)
            sent[record.topic] += 1
            if number % _FLUSH_EVERY == 0:
                sender.flush()
            if number % 100 == 0:
                bar.update(task, completed=number)
        sender.flush()
        bar.update(task, completed=sent.total())
    sender.close()
    return sent


def _wait(due: float, stopping: Stopping) -> None:
    while not stopping.asked and (left := due - time.monotonic()) > 0:
        time.sleep(min(left, _LOOK_EVERY_S))


def send_all(bus: Bus, records: Iterable[Outgoing]) -> int:
    """Write records as fast as possible; returns how many."""
    sender = bus.sender()
    number = 0
    for record in records:
        sender.send(record)
        number += 1
        if number % _FLUSH_EVERY == 0:
            sender.flush()
    sender.flush()
    sender.close()
    return number
