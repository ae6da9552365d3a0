"""What a stage reports to its supervisor: that it turns, whether it is ready, and its numbers."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

from monitor.bus.port import Bus
from monitor.channel import Channel
from monitor.events import TopicPartition
from monitor.runner.hanging import HangingTransaction
from monitor.runner.loop import Loop
from monitor.runner.memory import resident_bytes
from monitor.runner.numbers import PartitionStanding, hanging_numbers, lag_numbers
from monitor.telemetry import Sample, sample

SEND_S = 1.0
LAG_S = 10.0


class Status(msgspec.Struct, frozen=True):
    """One report of a stage's process. Times: s, monotonic, one clock for all processes of a machine.

    `unready`: why it is not ready; empty when it is.
    """

    turned_at: float
    committed_at: float
    unready: str
    samples: list[Sample]


class Reporting(Protocol):
    """What a stage tells of itself."""

    def standings(self) -> Mapping[TopicPartition, PartitionStanding]:
        """Return where each of its partitions stands."""

    def numbers(self) -> Iterable[Sample]:
        """Its numbers, but for the lag."""


class Reporter:
    """Sends a stage's status after its turns, once a second at most."""

    def __init__(self, name: str, stage: Reporting, loop: Loop, bus: Bus, channel: Channel) -> None:
        self._name = name
        self._stage = stage
        self._loop = loop
        self._bus = bus
        self._channel = channel
        self._sent_at = self._looked_at = float("-inf")
        self._transactions = 0
        self._committed_at = time.monotonic()
        self._lags: list[Sample] = []

    def report_turn(self, alerts_yaml_sha256: str, hanging: Sequence[HangingTransaction] = ()) -> None:
        """The stage has ended a turn. `hanging`: what holds it back now."""
        now = time.monotonic()
        if self._loop.transactions != self._transactions:
            self._transactions, self._committed_at = self._loop.transactions, now
        if now - self._sent_at < SEND_S:
            self._channel.pump()
            return
        self._sent_at = now
        standings = self._stage.standings()
        again = sum(standing.folding_again for standing in standings.values())
        why = "joining its group" if not self._loop.joined else f"folding {again} partitions again" if again else ""
        samples = [*self._own(alerts_yaml_sha256), *self._stage.numbers(), *self._measure_lag(now, standings)]
        samples += hanging_numbers(self._name, hanging)
        self._channel.send(msgspec.json.encode(Status(now, self._committed_at, why, samples)))

    def _own(self, alerts_yaml_sha256: str) -> list[Sample]:
        return [
            sample("streamdrift_config_info", 1, self._name, alerts_yaml_sha256),
            sample("streamdrift_stage_transactions_total", self._transactions, self._name),
            sample("streamdrift_stage_memory_bytes", resident_bytes(), self._name),
        ]

    def _measure_lag(self, now: float, standings: Mapping[TopicPartition, PartitionStanding]) -> list[Sample]:
        """The ends are asked of the broker, so not each time."""
        if now - self._looked_at >= LAG_S:
            self._looked_at = now
            lags = {tp: max(0, self._bus.end(tp) - standing.position) for tp, standing in standings.items()}
            self._lags = list(lag_numbers(self._name, lags))
        return self._lags


decode_status = msgspec.json.Decoder(Status).decode
"""A stage's report, read by its supervisor."""
