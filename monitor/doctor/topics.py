"""The bus, the topics on it, and what the user of this process may do there."""

from __future__ import annotations

from collections.abc import Iterator

from monitor.bus.port import Bus
from monitor.config.resolved import Config
from monitor.config.suggest import did_you_mean
from monitor.doctor.finding import Finding
from monitor.errors import BusError, NotSupported
from monitor.events import TopicPartition
from monitor.runner.contracts import input_topics
from monitor.runner.topics import our_topics
from monitor.service import ledger_topics, needs_of
from monitor.settings import Settings


def bus_found(bus: Bus) -> Finding:
    """What answers there, and its release."""
    try:
        return Finding("bus", "ok", f"{bus.name}: {bus.release()}, cluster {bus.cluster_id()}")
    except BusError as error:
        return Finding("bus", "failed", str(error), "look at the broker's log")


def inputs_found(bus: Bus, config: Config) -> Iterator[Finding]:
    """Look for the topics that models read, and for what stops their readers."""
    for topic in input_topics(config):
        n = bus.partitions(topic)
        if n is None:
            remedy = f"create it, or correct alerts.yaml{did_you_mean(topic, bus.topics())}"
            yield Finding("topics", "failed", f"there is no topic {topic}", remedy)
            continue
        yield Finding("topics", "ok", f"{topic}: {n} partition(s)")
        yield from _held_back(bus, topic, n)


def _held_back(bus: Bus, topic: str, partitions: int) -> Iterator[Finding]:
    """Transactions that nobody will end hold back every reader of committed records."""
    for tp in (TopicPartition(topic, p) for p in range(partitions)):
        for transaction in bus.open_transactions(tp):
            if transaction.timeout_ms is None:
                found = f"{topic}/{tp.partition}: {transaction}, and no coordinator will end it"
                yield Finding("topics", "failed", found, f"abort it: {transaction.remedy(bus.name, tp)}")


def our_topics_found(bus: Bus, config: Config, settings: Settings) -> Finding:
    """Compare our own topics with those that this process would make."""
    topics = ledger_topics(settings)
    wanted = our_topics(topics, input_topics(config), bus.partitions)
    found = {topic: bus.partitions(topic) for topic in wanted}
    missing = [topic for topic, n in found.items() if n is None]
    if len(missing) == len(wanted):
        return Finding("topics", "ok", f"none of ours with prefix {topics.prefix!r} yet; the first run creates them")
    n = found[topics.name("ledger")]
    if n is not None and n != topics.partitions:
        remedy = f"set STREAMDRIFT_LEDGER_PARTITIONS to {n}"
        return Finding(
            "topics", "failed", f"{topics.name('ledger')} has {n} partitions, not {topics.partitions}", remedy
        )
    if missing:
        return Finding(
            "topics", "warning", f"not there: {', '.join(missing)}", "start the service again: it creates them"
        )
    return Finding("topics", "ok", f"{len(wanted)} of ours with prefix {topics.prefix!r}")


def rights_found(bus: Bus, config: Config, settings: Settings) -> Finding:
    """Ask if the user of this process may do all that the service does."""
    try:
        bus.check_rights(needs_of(config, settings))
    except NotSupported as error:
        return Finding("rights", "warning", str(error), "ask the cluster's administrator")
    except BusError as error:
        return Finding("rights", "failed", str(error), "ask the cluster's administrator to grant them")
    return Finding("rights", "ok", "all that the service needs, or the bus knows no users")
