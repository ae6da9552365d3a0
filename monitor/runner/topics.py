"""Our topics: their names, how they are kept, and creating them."""

from __future__ import annotations

from collections.abc import Callable

from monitor.bus.port import Bus
from monitor.codec.dead_letters import DEAD_LETTERS, dead_letters_of
from monitor.errors import ConfigurationError
from monitor.ledger.ledger_topics import LedgerTopics

_DAY = 24 * 3600 * 1000
# A segment that is still written to is never compacted, and every process reads these topics when it starts.
_COMPACTED = {"cleanup.policy": "compact", "segment.bytes": str(16 << 20), "min.cleanable.dirty.ratio": "0.1"}


def _days(days: int) -> dict[str, str]:
    return {"retention.ms": str(days * _DAY)}


def create_topics(bus: Bus, topics: LedgerTopics, inputs: tuple[str, ...]) -> None:
    """Create those of our topics that are missing, with dead letters of the inputs; the users' must be there."""
    missing = [topic for topic in inputs if bus.partitions(topic) is None]
    if missing:
        raise ConfigurationError(
            f"{bus.name}: there is no topic {', '.join(missing)}; create it, or correct alerts.yaml "
            "(Streamdrift never creates the topics that it reads)"
        )
    for topic, (partitions, config) in our_topics(topics, inputs, bus.partitions).items():
        found = bus.partitions(topic)
        if found is None:
            bus.create(topic, partitions, config)
        elif found != partitions and not topic.startswith(topics.name(DEAD_LETTERS)):  # an input may have grown since
            raise ConfigurationError(f"{bus.name}: topic {topic} has {found} partitions; {partitions} are needed")


def our_topics(
    topics: LedgerTopics, inputs: tuple[str, ...], count: Callable[[str], int | None]
) -> dict[str, tuple[int, dict[str, str]]]:
    """Our topics, each with its partitions and how it is kept. `count`: gives the partitions of an input."""
    n = topics.partitions
    return {
        topics.name("ledger"): (n, _days(90)),
        topics.name("commands"): (n, _days(90)),
        topics.name("positions"): (1, _COMPACTED),
        topics.name("decisions"): (1, _COMPACTED),
        topics.name("state"): (n, _COMPACTED),
        topics.name("alerts"): (n, _days(90)),
        topics.name("incidents"): (n, _days(90)),
        topics.name("firing"): (n, _COMPACTED),
        topics.name("retraining"): (n, _days(90)),
        topics.name("observations"): (n, _days(7)),
        **{dead_letters_of(topics.prefix, topic): (count(topic) or 1, _days(14)) for topic in inputs},
    }
