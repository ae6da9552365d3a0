"""CPU time of the core without a bus: decode, profile and evaluate, and beside them a bare typed msgspec decode."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from time import process_time
from unittest.mock import patch

import msgspec

from benchmarks.traffic import PARTITIONS, Traffic
from monitor.codec.decode import Decoder
from monitor.detectors import ADWIN
from monitor.detectors.protocol import Detector
from monitor.evaluate.alerts import Place
from monitor.evaluate.messages import Message
from monitor.evaluate.model import Output
from monitor.evaluate.task import EvaluateTask
from monitor.events import Float64s, Outgoing, RecordBatch, TopicPartition
from monitor.ledger.entries import Activation, PartitionSet, new_decision
from monitor.ledger.entry_codec import decode_entry, encode_entry, kind_of
from monitor.profile.grids import Grids
from monitor.profile.partition import PartitionFold
from monitor.runner.announce import rules_decision


class CoreRun:
    """One run of a traffic through the core. `seconds`: CPU time by stage. `counts`: what came out, by kind.

    Between profile and evaluate stand the ledger's bytes, written and read, as between two processes.
    """

    def __init__(self, traffic: Traffic) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.counts: Counter[str] = Counter()
        (model,) = traffic.config.models
        tps = [TopicPartition(traffic.topic, partition) for partition in range(PARTITIONS)]
        self._decoder = Decoder(traffic.topic, [model.contract])
        self._grids = Grids()
        self._folds = [PartitionFold(tp, [model.contract], self._grids) for tp in tps]
        partitions = msgspec.json.encode(PartitionSet({"features": (traffic.topic, PARTITIONS)})).decode()
        changes = [new_decision("bench", "set", partitions), rules_decision(model)]
        place = Place("/bench", "http://localhost:8787", "0", "bench")
        self._task = EvaluateTask(place, [Activation(change, None) for change in changes])
        for poll in traffic.polls():
            for batch in poll:
                self._feed(batch)
        for fold in self._folds:
            self._end(fold)
        self._check(traffic)

    def _feed(self, records: RecordBatch) -> None:
        with self._timed("decode"):
            batch = self._decoder.decode(records)
        fold = self._folds[records.partition]
        with self._timed("profile"):
            fold.feed(batch, records)
            entries = _ledger_records(fold)
        self._evaluate(entries)

    def _end(self, fold: PartitionFold) -> None:
        with self._timed("profile"):
            fold.end()
            entries = _ledger_records(fold)
        self._evaluate(entries)

    def _evaluate(self, entries: list[Outgoing]) -> None:
        with self._timed("evaluate"):
            for entry in entries:
                self._task.read(decode_entry(entry.headers, entry.value or b""))
            outputs = self._task.advance()
        with self._timed("profile"):
            self._use_grids(outputs)
        self.counts.update(kind_of(entry.headers) for entry in entries)
        self.counts.update(output.topic for output in outputs if isinstance(output, Message))

    def _use_grids(self, outputs: Iterable[Output]) -> None:
        for output in outputs:
            if isinstance(output, Activation) and output.decision.kind == "grid":
                self._grids.add(output)
                for fold in self._folds:
                    fold.use_grids()

    def _check(self, traffic: Traffic) -> None:
        """A benchmark that loses rows measures nothing."""
        folded = sum(fold.buckets["pane"] for fold in self._folds)
        if folded != traffic.events or not self.counts["observations"]:
            raise RuntimeError(f"{folded} of {traffic.events} events are in panes, {self.counts} came out")

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = process_time()
        yield
        self.seconds[stage] += process_time() - start


def _ledger_records(fold: PartitionFold) -> list[Outgoing]:
    drained = fold.drain()
    watermarks = [drained.watermark] if drained.watermark is not None else []
    return [encode_entry(entry, "ledger", 0) for entry in (*drained.panes, *watermarks)]


def bare_decode_seconds(traffic: Traffic) -> float:
    """CPU time of msgspec alone: every record to a typed object, which is thrown away."""
    names = traffic.config.models[0].contract.streams[0].numeric_series
    features = msgspec.defstruct("Features", [(name, float) for name in names], gc=False)
    envelope = [(name, str) for name in ("event_id", "model", "event_time")]
    decode = msgspec.json.Decoder(msgspec.defstruct("Event", [*envelope, ("features", features)], gc=False)).decode
    start = process_time()
    for values in traffic.values:
        for value in values:
            decode(value)
    return process_time() - start


def adwin_updates(traffic: Traffic) -> int:
    """How many values the ADWINs of a run are fed with, counted in a run that is not timed."""
    counted: Counter[str] = Counter()

    class Counting:
        """A detector that counts its values."""

        def __init__(self, detector: Detector) -> None:
            self._detector = detector

        def __getattr__(self, name: str) -> object:
            return getattr(self._detector, name)

        def update(self, values: Float64s) -> list[int]:
            counted["values"] += len(values)
            return self._detector.update(values)

    build = ADWIN.build
    with patch.object(ADWIN, "build", lambda plugin, seed: Counting(build(plugin, seed))):
        CoreRun(traffic)
    return counted["values"]
