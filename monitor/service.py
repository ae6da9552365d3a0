"""One stage of the service in this process: on its bus, with its rules, until it is asked to stop."""

from __future__ import annotations

import time
from collections.abc import Sequence

from monitor import __version__
from monitor.alerts_file import Followed
from monitor.bus.address import open_bus
from monitor.bus.kafka_security import client_options
from monitor.bus.port import Bus, Needs
from monitor.channel import Channel
from monitor.config.resolved import Config, ModelConfig
from monitor.errors import LeaseTaken
from monitor.evaluate.alerts import Place
from monitor.instances import file_of, instance_of
from monitor.ledger.entries import Decision
from monitor.ledger.ledger_topics import LedgerTopics
from monitor.runner.announce import References
from monitor.runner.commands import key_in
from monitor.runner.contracts import input_topics
from monitor.runner.evaluate import EvaluateStage
from monitor.runner.hanging import HangingWatch, watched
from monitor.runner.loop import Loop, Stage
from monitor.runner.memory import Budget
from monitor.runner.parts import Rhythm
from monitor.runner.profile import ProfileStage
from monitor.runner.status import Reporter
from monitor.runner.topics import create_topics, our_topics
from monitor.runner.witness import FileWitness, NoWitness, Witness
from monitor.settings import Settings
from monitor.signals import LEAVE_S, Stopping, ignore_hangups
from monitor.sources.reference_thread import Check, Make, ReferenceThread
from monitor.sources.references import reference_decisions
from monitor.sources.unusable import Unusable
from monitor.telemetry import Log

STAGES = ("profile", "evaluate")
_LEASE_PATIENCE_S = 12.0
"""A little longer than a lease outlives its process."""


def place_of(bus: Bus, settings: Settings) -> Place:
    """What messages say of where they come from."""
    return Place(settings.source, settings.links_url, __version__, bus.cluster_id())


def ledger_topics(settings: Settings) -> LedgerTopics:
    """Names of our topics under the settings' prefix."""
    return LedgerTopics(settings.prefix, settings.ledger_partitions)


def prepare(bus: Bus, config: Config, settings: Settings, stages: Sequence[str] = STAGES) -> None:
    """Check that the stages may do what they will; create our topics if they are missing, and check the others."""
    bus.check_rights(needs_of(config, settings, stages))
    create_topics(bus, ledger_topics(settings), input_topics(config))


def needs_of(config: Config, settings: Settings, stages: Sequence[str] = STAGES) -> Needs:
    """What the stages are going to do on a bus."""
    topics, inputs = ledger_topics(settings), input_topics(config)
    members = tuple((f"{topics.prefix}{name}", instance_of(settings.instance, name)) for name in stages)
    return Needs(inputs, tuple(our_topics(topics, inputs, lambda topic: 1)), members)


def run_stage(name: str, bus: Bus, settings: Settings, log: Log, channel: Channel) -> None:
    """One stage in this process, until SIGTERM or SIGINT. `channel`: to the supervisor, which gives it alerts.yaml."""
    stopping = Stopping(LEAVE_S)
    ignore_hangups()
    followed = Followed(channel, settings.config, log)
    references = ReferenceThread(make_references(settings, log), log)
    stage = _stage(name, bus, followed.config, settings, references, log)
    loop = _opened(stage, name, bus, settings, log, stopping)
    if loop is None:
        return
    reporter = Reporter(name, stage, loop, bus, channel)
    watch = HangingWatch(bus, time.monotonic, log)

    def between() -> None:
        followed.follow(loop)
        hanging = watch.look(watched(stage.standings(), ledger_topics(settings)))
        reporter.report_turn(followed.config.alerts_yaml_sha256, hanging)

    log.info("stage_started", stage=name, bus=bus.name)
    try:
        loop.run(lambda: stopping.asked, between)
    finally:
        references.close()
    log.info("stage_stopped", stage=name)


def _opened(stage: Stage, name: str, bus: Bus, settings: Settings, log: Log, stopping: Stopping) -> Loop | None:
    """The stage's loop, or None when asked to stop before there is one.

    A lease may be that of a process just killed: it is waited for until that must have run out.
    """
    instance = instance_of(settings.instance, name)
    deadline = time.monotonic() + _LEASE_PATIENCE_S
    while not stopping.asked:
        try:
            return Loop(
                bus,
                stage,
                instance,
                time.monotonic,
                settings.commit_interval_ms / 1000,
                witness=_witness(bus, settings, instance, log),
            )
        except LeaseTaken as taken:
            if time.monotonic() > deadline:
                raise
            log.info("lease_waited_for", stage=name, why=str(taken))
            time.sleep(1)
    return None


def _witness(bus: Bus, settings: Settings, instance: str, log: Log) -> Witness:
    """What the process before was doing when it ended; nothing if the host keeps no file of it."""
    try:
        return FileWitness(file_of(f"{bus.cluster_id()}/{settings.prefix}", instance, "witness", settings.bus))
    except OSError as error:
        log.warning("witness_unusable", file=error.filename, why=error.strerror)
        return NoWitness()


def make_references(settings: Settings, log: Log) -> Make:
    """What makes references, each on a bus of its own, because one thread uses a bus.

    What of a file can't be used is logged: columns, reasons and counts, and no values.
    """

    def make(model: ModelConfig, check: Check) -> list[Decision]:
        bus = open_bus(settings.bus, client_options(settings))
        unusable = Unusable()
        try:
            return reference_decisions(bus, model, check, unusable)
        finally:
            bus.close()
            for note in unusable.notes:
                log.info("reference_note", model=model.contract.model, note=note)
            for unused in unusable.counts():
                log.warning("reference_values_unused", model=model.contract.model, **unused._asdict())

    return make


def _stage(
    name: str, bus: Bus, config: Config, settings: Settings, references: References, log: Log
) -> ProfileStage | EvaluateStage:
    topics = ledger_topics(settings)
    if name == "profile":
        return ProfileStage(bus, config, topics, time.monotonic, log, Budget(settings.memory_mb << 20, log).measure)
    place = place_of(bus, settings)
    return EvaluateStage(
        bus,
        config,
        topics,
        place,
        references,
        time.monotonic,
        log,
        Rhythm(settings.snapshot_panes),
        key_in(settings.command_key_file),
    )
