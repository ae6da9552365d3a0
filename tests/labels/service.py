"""A log as it comes, through both stages over the bus in memory, which are killed at places that chance picks.

What it says has to be what a replay of its capture says, to the byte; and with the heartbeats that it has given, what
the slow oracle says.
"""

from __future__ import annotations

import random
from dataclasses import replace

from monitor.bus.memory import MemoryBus
from monitor.events import Outgoing, TopicPartition
from monitor.runner.evaluate import EvaluateStage
from monitor.runner.parts import Rhythm
from monitor.sources.control import control_records, decode_control
from tests.labels import logs
from tests.labels.logs import LabelLog
from tests.unit.runner import fleet
from tests.unit.runner.fleet import Fleet

INPUTS = (logs.FEATURES, logs.PREDICTIONS, logs.LABELS)
NAMES = ("evaluate-1", "profile-1", "profile-2")
SLOT_MS, TURNS = 2000, 4
SETTLING = 60
"""Turns behind the last record: labels follow, and what stands still is left behind."""


def serve(log: LabelLog, kills: int) -> MemoryBus:
    """The bus when all of the log has been served. `kills`: how many processes end without closing anything."""
    rng = random.Random(log.seed + kills)
    bus = fleet.new_bus({topic: sum(tp.topic == topic for tp in log.records) for topic in INPUTS})
    running = Fleet(bus, log.config)
    for name in NAMES:
        _start(running, name)
    slots = max(at for of in log.arrivals.values() for at in of) // SLOT_MS + 1
    first = min(at for of in log.arrivals.values() for at in of[:1]) // SLOT_MS
    killed = sorted(rng.choices(range(first, slots), k=kills))
    sent = dict.fromkeys(log.records, 0)
    for slot in range(first, slots):
        _send(bus, log, sent, (slot + 1) * SLOT_MS)
        for turn in range(TURNS):
            running.now += SLOT_MS / 1000 / TURNS
            running.turn()
            if turn == rng.randrange(TURNS):
                for _ in range(killed.count(slot)):
                    _start(running, rng.choice(NAMES))
    for _ in range(SETTLING):
        running.now += 0.5
        running.turn()
    return bus


def _start(running: Fleet, name: str) -> None:
    """Start a process; one of that name that runs is not closed."""
    running.join(name)
    stage = running.stages[name]
    if isinstance(stage, EvaluateStage):
        stage._snapshots.rhythm = Rhythm(7)


def _send(bus: MemoryBus, log: LabelLog, sent: dict[TopicPartition, int], end: int) -> None:
    """Send what comes before `end` (ms)."""
    sender = bus.sender()
    for tp, arrivals in log.arrivals.items():
        while sent[tp] < len(arrivals) and arrivals[sent[tp]] < end:
            sender.send(Outgoing(*tp, None, log.records[tp][sent[tp]]))
            sent[tp] += 1
    sender.flush()


def captured(bus: MemoryBus, log: LabelLog) -> LabelLog:
    """The log with the heartbeats that the service has given."""
    control = decode_control(control_records(bus, fleet.TOPICS), fleet.TOPICS.prefix)
    return replace(log, heartbeats=list(control.heartbeats))


def differences_from_replay(bus: MemoryBus) -> list[str]:
    """What the service has said otherwise than a replay of its capture."""
    replayed = fleet.replayed(bus, INPUTS)
    return [
        f"{topic}: of {len(said)} messages {len(set(said) ^ set(replayed[topic]))} are not the replay's"
        for topic in ("alerts", "observations")
        if (said := fleet.published(bus, topic)) != replayed[topic]
    ]
