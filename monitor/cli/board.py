"""What a service has published of its models, for people to look at: streams, lag, columns by drift, and what fires."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from monitor.bus.port import Bus
from monitor.bus.reading import read_newest, read_whole, records_of, whole_values
from monitor.codec.chunks import Assembler
from monitor.contract import ModelContract
from monitor.evaluate.decisions import RulesContent
from monitor.evaluate.lane_messages import progress_of
from monitor.events import Record, RecordBatch, TopicPartition
from monitor.ledger import position_records as positions
from monitor.ledger.ledger_topics import LedgerTopics
from monitor.runner.activations import Activations
from monitor.runner.positions import Positions

NEWEST = 500
"""Offsets of each partition of `observations` that are read at first: what a stream published before is left out."""
SHOWN = ("psi", "js_distance", "ks", "missing_rate", "new_category_rate")
"""Metrics of a column that are shown."""
_OBSERVATION, _LANE = "streamdrift.observation.v1", "streamdrift.lane.v1"
_INCIDENT = "streamdrift.incident."
"""The beginning of the types of messages of incidents."""
Data = dict[str, Any]


class StreamRow(msgspec.Struct, frozen=True):
    """One stream of a model. `state`: of its lane, None if nothing was published of it lately.

    `lag`: records of its topic that are not folded yet. `per_second`: events of the newest window; `to`: its end.
    """

    model: str
    stream: str
    topic: str
    state: str | None
    lag: int
    per_second: float | None
    to: str | None


class ColumnRow(msgspec.Struct, frozen=True):
    """One column in the newest window of its stream. `alerts`: how many on it fire."""

    model: str
    stream: str
    column: str
    events: int
    to: str
    scores: dict[str, float]
    alerts: int


class Snapshot(msgspec.Struct, frozen=True):
    """All of it at one time. `undecided`: entries of the ledger that evaluate has not folded yet.

    Alerts are the messages of those that fire, newest first.
    """

    streams: list[StreamRow]
    columns: list[ColumnRow]
    alerts: list[Data]
    undecided: int


class Board:
    """Follows the topics of a service; each look reads what has come meanwhile."""

    def __init__(self, bus: Bus, topics: LedgerTopics) -> None:
        self._bus = bus
        self._topics = topics
        self._activations = Activations(bus, topics)
        self._profile = Positions(bus, topics, f"{topics.prefix}profile")
        self._evaluate = Positions(bus, topics, f"{topics.prefix}evaluate")
        self._read_to: dict[TopicPartition, int] = {}
        self._assembler = Assembler()
        self._observations: dict[tuple[str, str], Data] = {}
        self._lanes: dict[tuple[str, str], Data] = {}
        self._firing: dict[tuple[int, bytes | None], Data] = {}

    def look(self) -> Snapshot:
        """Read what has come, and return all there is to see."""
        self._activations.read()
        self._profile.follow()
        self._evaluate.follow()
        for batch in self._new("observations", NEWEST):
            for _, value in whole_values(self._assembler, batch):
                self._take(msgspec.json.decode(value))
        for batch in self._new("firing", None):
            for record in records_of(batch):
                self._fires(record)
        alerts = sorted(self._firing.values(), key=lambda message: message["id"])
        alerts.sort(key=lambda message: message["time"], reverse=True)
        return Snapshot(list(self._streams()), self._columns(alerts), alerts, self._undecided())

    def _new(self, topic: str, most: int | None) -> Iterator[RecordBatch]:
        """Batches that have come since the last look; at first the newest `most` offsets, or all."""
        for tp in self._partitions(self._topics.name(topic)):
            at = self._read_to.get(tp)
            if at is None and most is not None:
                batches: Iterable[RecordBatch] = read_newest(self._bus, tp, most)
            else:
                batches = read_whole(self._bus, tp, at, to=self._bus.last_stable(tp))
            self._read_to.setdefault(tp, self._bus.beginning(tp))
            for batch in batches:
                self._read_to[tp] = batch.offsets[-1] + 1
                yield batch

    def _partitions(self, topic: str) -> list[TopicPartition]:
        return [TopicPartition(topic, p) for p in range(self._bus.partitions(topic) or 0)]

    def _take(self, message: Data) -> None:
        data = message["data"]
        key = data["model"], data["stream"]
        if message["type"] == _LANE:
            self._lanes[key] = data
        elif message["type"] == _OBSERVATION:
            known = self._observations.get(key)
            if known is None or _age(data) >= _age(known):
                self._observations[key] = data

    def _fires(self, record: Record) -> None:
        key = record.partition, record.key
        if record.value is None:
            self._firing.pop(key, None)
        elif not (message := msgspec.json.decode(record.value))["type"].startswith(_INCIDENT):
            self._firing[key] = message

    # ------------------------------------------------------------------ what there is to see

    def _contracts(self) -> list[ModelContract]:
        """Contracts of the models that are watched now, by name."""
        newest: dict[str, ModelContract] = {}
        for activation in self._activations.all:
            decision = activation.decision
            if decision.kind == "rules":
                newest[decision.model] = msgspec.json.decode(decision.content, type=RulesContent).contract
            elif decision.kind == "gone":
                newest.pop(decision.model, None)
        return [newest[model] for model in sorted(newest)]

    def _streams(self) -> Iterator[StreamRow]:
        for contract in self._contracts():
            for stream in contract.streams:
                key = contract.model, stream.stream
                seen, lane = self._observations.get(key), self._lanes.get(key)
                state = "judged" if seen is not None else None
                if lane is not None and (seen is None or lane["state"] != "judged"):
                    state = lane["state"]
                    if state == "waiting":
                        state = progress_of(lane)
                totals = {} if seen is None else seen["totals"]
                window_end = None if seen is None else seen["window"]["to"]
                rate = totals.get("events_per_second")
                yield StreamRow(*key, stream.topic, state, self._lag(stream.topic), rate, window_end)

    def _lag(self, topic: str) -> int:
        """Records of an input that no commit of profile has passed."""
        lag = 0
        for tp in self._partitions(topic):
            value = self._profile.newest(tp)
            at = self._bus.beginning(tp) if value is None else positions.decode_profile(value).position
            lag += max(0, self._bus.end(tp) - at)
        return lag

    def _undecided(self) -> int:
        """Entries of the ledger that no commit of evaluate has passed."""
        number = 0
        for tp in self._partitions(self._topics.name("ledger")):
            value = self._evaluate.newest(tp)
            at = self._bus.beginning(tp) if value is None else positions.decode_evaluate(value).position
            number += max(0, self._bus.end(tp) - at)
        return number

    def _columns(self, alerts: list[Data]) -> list[ColumnRow]:
        """Columns of all models, the most drifting first."""
        firing: dict[tuple[str, str], int] = {}
        for message in alerts:
            labels = message["data"]["labels"]
            key = labels.get("model", ""), labels.get("column", "")
            firing[key] = firing.get(key, 0) + 1
        models = {contract.model for contract in self._contracts()}
        rows = [
            ColumnRow(
                model,
                stream,
                column,
                data["window"]["events"],
                data["window"]["to"],
                {metric: scores[metric] for metric in SHOWN if metric in scores},
                firing.get((model, column), 0),
            )
            for (model, stream), data in sorted(self._observations.items())
            for column, scores in data["columns"].items()
            if model in models
        ]
        return by_drift(rows)


def by_drift(rows: list[ColumnRow]) -> list[ColumnRow]:
    """Sort columns by the first metric of `SHOWN`, the largest first; those that are alike there by the next."""
    return sorted(rows, key=lambda row: [-row.scores.get(metric, -1.0) for metric in SHOWN])


def _age(observation: Data) -> tuple[str, int]:
    """What comes later is newer; of windows that end together the larger one says more."""
    return observation["window"]["to"], observation["window"]["events"]
