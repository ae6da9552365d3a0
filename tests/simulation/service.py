"""The simulated service: its processes over one bus, its traffic, and its configuration, which may change."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import replace

import msgspec

from monitor.bus.reading import read_whole, records_of
from monitor.config.resolved import Config
from monitor.evaluate.accepting import ACCEPTED_STREAMS
from monitor.events import TopicPartition
from monitor.ledger.commands import Acknowledge, Expire
from monitor.ledger.position_records import EvaluatedModel, decode_evaluate, decode_model, key_of, models_key
from monitor.runner.contracts import contracts_of, whatever_life
from monitor.runner.topics import create_topics
from monitor.sources.control import control_records, decode_control
from tests.commands import accept, acknowledge, command, expire, rebuild_of, record_of, silence
from tests.simulation.bus import START_MS, SimulatedBus
from tests.simulation.configurations import STREAMS, Layout, Shape, configuration, streams_of
from tests.simulation.processes import PLACE, TOPICS, Process
from tests.simulation.traffic import Traffic
from tests.simulation.world import World

STAGES = ("profile", "evaluate")
ALERTS = ((), ("alertname=Psi",), ("alertname=Live",), ("alertname=Silence",), ("stream=features",))
"""What may be silenced of a model."""
MOST_OF_A_STAGE = 3


class Service:
    """Everything that one run moves."""

    def __init__(self, world: World, layout: Layout) -> None:
        rng = world.rng
        self.world = world
        self.layout = layout
        self.variant = 0
        self.shapes = dict.fromkeys(layout.models, Shape())
        """What the models stand on; one that is not there is gone from alerts.yaml."""
        self.edition = 0
        self.changed_at = -1.0
        """When alerts.yaml last changed in what models stand on."""
        self.place = PLACE
        self.bus = SimulatedBus(world, compacts=rng.random() < 0.5)
        for topic, partitions in layout.topics:
            self.bus.create(topic, partitions)
        create_topics(self.bus, TOPICS, self.inputs)
        self.traffic = Traffic(self.bus, layout, random.Random(rng.random()))
        self.processes: list[Process] = []
        self._number = self._asked = 0
        self._silences: list[tuple[str, Expire]] = []
        """Each by its model, with what ends it."""
        for stage in STAGES:
            for _ in range(rng.choice((1, 1, 2))):
                self.join(stage)
        world.traffic = self.traffic.until
        world.others = self.turn

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(topic for topic, _ in self.layout.topics)

    def config(self) -> Config:
        models = "".join(self.shapes)
        return configuration(models, self.variant, tuple(self.shapes.values()), self.edition)

    def of(self, stage: str) -> list[Process]:
        return [p for p in self.processes if p.stage == stage]

    def free(self) -> list[Process]:
        """Processes that are not in the middle of a turn."""
        return [p for p in self.processes if p not in self.world.running]

    def turn(self) -> None:
        """One of the processes takes its next turn."""
        free = self.free()
        if free:
            self.world.rng.choice(free).turn()

    def join(self, stage: str, instance: str | None = None) -> Process:
        """Another process, which starts with its first turn."""
        self._number += 1
        process = Process(self.bus, stage, instance or f"{stage}-{self._number}", self.config, lambda: self.place)
        self.processes.append(process)
        return process

    def leave(self, process: Process) -> None:
        """A process is stopped as by SIGTERM."""
        self.processes.remove(process)
        process.stop()

    def restart(self, stage: str) -> None:
        """Every process of a stage that is not in the middle of a turn is stopped, and another one started for it."""
        for process in [p for p in self.of(stage) if p not in self.world.running]:
            if process in self.processes:  # else something has happened to it while others left
                self.leave(process)
                self.join(stage)

    def stopped(self) -> dict[int, list[str]]:
        """Models that stand still since their snapshot was found damaged, by ledger partition."""
        records = {p: self._models(p) for p in range(TOPICS.partitions)}
        return {p: sorted(name for name, r in models.items() if r.stopped is not None) for p, models in records.items()}

    def rebuild(self) -> None:
        """What an operator does about them."""
        for models in self.stopped().values():
            commands = [rebuild_of(m, TOPICS, str(self.world.now)) for m in models]
            self.bus.write(commands, markers=False)

    def command(self) -> None:
        """What people ask for of a model: a silence of some alerts or the end of one, a stretch of time to be accepted
        as normal, or what can't be taken.
        """
        rng = self.world.rng
        model = rng.choice([*self.layout.models, "nobody"])
        self._asked += 1
        nonce = str(self._asked)
        asked = command(model, silence(rng.randrange(1, 40) * 1000, *rng.choice(ALERTS)), nonce)
        if rng.random() < 0.2 and (found := self._incidents()):
            asked = command(*rng.choice(found), nonce)
        elif self._silences and rng.random() < 0.4:
            asked = command(*rng.choice(self._silences), nonce)
        elif rng.random() < 0.5:
            self._silences.append((model, expire(asked.id)))
        else:
            end = START_MS + int((self.world.now - rng.uniform(2, 30)) * 1000)
            stream = rng.choice([s for s in ACCEPTED_STREAMS if s in STREAMS.get(model, ACCEPTED_STREAMS)])
            columns = rng.choice([(), ("a",)]) if stream == "features" else ()
            asked = command(model, accept(end - rng.randrange(5, 60) * 1000, end, stream, columns), nonce)
        records = [record_of(asked, TOPICS)] * rng.choice((1, 1, 2))
        if rng.random() < 0.1:
            records.append(replace(records[0], value=(records[0].value or b"")[1:]))
        self.bus.write(records, markers=False)

    def _incidents(self) -> list[tuple[str, Acknowledge]]:
        """All that there have been, each by its model, with what acknowledges it."""
        found: dict[str, str] = {}
        for p in range(TOPICS.partitions):
            tp = TopicPartition(TOPICS.name("incidents"), p)
            for batch in read_whole(self.bus, tp, to=self.bus.last_stable(tp)):
                events = (msgspec.json.decode(record.value or b"") for record in records_of(batch))
                found |= {event["data"]["incident"]: event["data"]["model"] for event in events}
        return [(model, acknowledge(name)) for name, model in found.items()]

    def reload(self) -> None:
        """What alerts.yaml says now: every process takes it before its next turn."""
        self.edition += 1
        for process in self.processes:
            process.offer(self.config())

    def reshape(self, shapes: dict[str, Shape]) -> None:
        """Another alerts.yaml, in which models stand on something else, or are gone."""
        self.shapes = {model: shapes[model] for model in self.layout.models if model in shapes}
        self.changed_at = self.world.now
        self.traffic.be_brisk()
        self.reload()

    def wants_a_signal(self) -> bool:
        """Whether a newer contract than that of the file counts for a topic, so that the file needs SIGHUP.

        A process that has seen the signal may have ended before it published what the file says.
        """
        published = decode_control(control_records(self.bus, TOPICS), TOPICS.prefix).topic_contracts
        newest = {contract.topic: whatever_life(contract) for contract in published}
        own = contracts_of(self.config())
        return any(newest.get(topic, contract) != contract for topic, contract in own.items())

    def may_leave(self, model: str, streams: Collection[str] = ("features", "predictions", "labels")) -> bool:
        """Whether others read the topics of these streams of a model, too, so that they may go by a reload."""
        topics = {topic for stream, topic in STREAMS[model].items() if stream in streams}
        others = {
            topic
            for other, shape in self.shapes.items()
            for topic in streams_of(other, shape).values()
            if other != model
        }
        return topics <= others

    def offer(self, config: Config) -> None:
        """One that no process can take."""
        for process in self.processes:
            process.offer(config)

    def snapshots(self, partition: int) -> dict[str, int]:
        """Where the parts begin from which the next task of a ledger partition starts, by model; empty: of none."""
        found = {name: record.snapshot for name, record in self._models(partition).items()}
        value = self._positions().get(key_of("sd.evaluate", TOPICS.name("ledger"), partition))
        if value is not None:
            found[""] = decode_evaluate(value).low
        return {name: snapshot.start for name, snapshot in sorted(found.items()) if snapshot is not None}

    def _positions(self) -> dict[bytes, bytes]:
        log = self.bus.log(TopicPartition(TOPICS.name("positions"), 0))
        newest = dict(zip(log.keys, log.values, strict=True))
        return {key: value for key, value in newest.items() if key is not None and value is not None}

    def _models(self, partition: int) -> dict[str, EvaluatedModel]:
        prefix = models_key("sd.evaluate", TOPICS.name("ledger"), partition)
        records = {key: value for key, value in self._positions().items() if key.startswith(prefix)}
        return {key.removeprefix(prefix).decode(): decode_model(value) for key, value in records.items()}
