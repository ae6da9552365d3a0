"""The join of predictions with labels at its size: memory, what a pane costs, and how long a restore takes.

    python benchmarks/labels.py [--pending 1000000,10000000] [--rows 20000] [--burst 100000] [--json FILE]

All predictions come in panes of `--rows`, without a label, and pieces are written to a file as snapshots would. Then
one pane brings `--burst` labels of ids from all panes, and the next ones bring all others. Last, a join is taken up
from state and pieces. No broker is needed.
"""

from __future__ import annotations

import json as jsonlib
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import IO, Annotated

import msgspec
import numpy as np
import typer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a script's path lacks the checkout

from monitor.evaluate.join import Join
from monitor.evaluate.join_values import JoinSpec, Labels, Predictions
from monitor.evaluate.state import JoinState
from monitor.events import TopicPartition, UInt64s
from monitor.panes.keyed import PART_ROWS, KeyedRows, encode_keyed

PANE_MS = 10_000
_EMPTY = np.empty(0, np.uint64)


@dataclass(frozen=True, slots=True)
class Size:
    """What a number of pending predictions takes. CPU in seconds, or µs a row; memory beside what was there before."""

    pending: int
    resident_mb: float
    peak_mb: float
    add_us: float
    burst: int
    burst_s: float
    burst_cpu_s: float
    label_us: float
    pieces: int
    pieces_mb: float
    restore_s: float
    restore_cpu_s: float
    restored_peak_mb: float


class _Pieces:
    """A file of pieces, as the topic would hold them."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._places: dict[str, tuple[int, int]] = {}

    def write(self, join: Join) -> None:
        """Write those that are new."""
        for name, value in join.blocks().items():
            if value is not None:
                self._places[name] = self._file.tell(), len(value)
                self._file.write(value)
        join.forget_bytes(join.blocks())

    def read(self) -> Mapping[str, bytes]:
        """All of them."""
        found = {}
        for name, (start, length) in self._places.items():
            self._file.seek(start)
            found[name] = self._file.read(length)
        return found


def measure(pending: int, rows: int, burst: int) -> Size:
    """Fill a join, label all that is in it, and restore it."""
    panes, spec = -(-pending // rows), JoinSpec(PANE_MS, 360 * PANE_MS, None, 1 << 50, 0, pending, False)
    join, before = Join(spec), settled_mb()
    with tempfile.TemporaryFile() as file:
        pieces = _Pieces(file)
        began = process_time()
        for pane in range(panes):
            join.fold(pane * PANE_MS, _predictions(_ids(pane, rows)), _labels(_EMPTY))
            if pane % 50 == 49:  # a million keyed rows by default
                pieces.write(join)
        add_us = (process_time() - began) / (panes * rows) * 1e6
        resident, peak = memory_mb("VmRSS") - before, memory_mb("VmHWM") - before
        first, *others = _labels_of(panes, rows, burst)
        cpu, began = process_time(), perf_counter()
        joined = join.fold(panes * PANE_MS, _predictions(_EMPTY), _labels(first))
        burst_s, burst_cpu_s = perf_counter() - began, process_time() - cpu
        if len(joined.is_first) != len(first):
            raise SystemExit("labels were not joined")
        began = process_time()
        for number, ids in enumerate(others):
            join.fold((panes + 1 + number) * PANE_MS, _predictions(_EMPTY), _labels(ids))
            pieces.write(join)
        label_us = (process_time() - began) / max(sum(map(len, others)), 1) * 1e6
        pieces.write(join)
        state, counters = msgspec.msgpack.encode(join.state()), join.counters
        del join
        blocks = pieces.read()
    before = settled_mb()
    cpu, began = process_time(), perf_counter()
    join = Join(spec)
    join.restore(msgspec.msgpack.decode(state, type=JoinState), blocks)
    restore_s, restore_cpu_s = perf_counter() - began, process_time() - cpu
    if join.counters != counters or counters["joined"] != panes * rows:
        raise SystemExit(f"not all labels were joined: {counters}")
    return Size(
        pending=panes * rows,
        resident_mb=resident,
        peak_mb=peak,
        add_us=add_us,
        burst=len(first),
        burst_s=burst_s,
        burst_cpu_s=burst_cpu_s,
        label_us=label_us,
        pieces=len(blocks),
        pieces_mb=sum(map(len, blocks.values())) / 1e6,
        restore_s=restore_s,
        restore_cpu_s=restore_cpu_s,
        restored_peak_mb=memory_mb("VmHWM") - before,
    )


def keyed_bytes() -> tuple[float, float]:
    """Bytes a row of a prediction with class and probability, and of a label, in a full part of the ledger."""
    ids, probability = _ids(0, PART_ROWS), np.random.default_rng(1).random(PART_ROWS, dtype=np.float32)
    codes, none = (ids & np.uint64(1)).astype(np.uint16), np.empty(0, np.float64)
    of = ("c" * 32, TopicPartition("scores", 3), 179_000_000, PANE_MS, 0)
    predictions = KeyedRows(
        "model", "predictions", *of, ids, ("0", "1"), codes, none, probability, none.astype(np.int64)
    )
    times = np.arange(PART_ROWS, dtype=np.int64) * 7
    labels = KeyedRows("model", "labels", *of, ids, ("0", "1"), codes, none, probability[:0], times)
    return len(encode_keyed(predictions)) / PART_ROWS, len(encode_keyed(labels)) / PART_ROWS


def _labels_of(panes: int, rows: int, burst: int) -> Iterator[UInt64s]:
    """The ids of all predictions, in parts of `burst`, each with ids of all panes."""
    order = np.random.default_rng(2).permutation(panes * rows)
    ids = np.concatenate([_ids(pane, rows) for pane in range(panes)])
    for start in range(0, len(order), burst):
        yield ids[order[start : start + burst]]


def _ids(pane: int, rows: int) -> UInt64s:
    return np.random.default_rng([1, pane]).integers(1, 1 << 63, rows, dtype=np.uint64)


def _predictions(ids: UInt64s) -> Predictions:
    return Predictions(ids, (ids & np.uint64(1)).astype(np.uint8), np.full(len(ids), 0.5, np.float32))


def _labels(ids: UInt64s) -> Labels:
    return Labels(ids, np.ones(len(ids), np.uint8), np.zeros(len(ids), np.int64))


def settled_mb() -> float:
    """Resident memory now; the most so far begins again from there."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return memory_mb("VmRSS")


def memory_mb(which: str) -> float:
    """Resident memory of this process now (VmRSS), or at most so far (VmHWM)."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition(f"{which}:")[2].split()[0]) / 1024


def main(
    pending: Annotated[
        str, typer.Option(help="numbers of predictions that wait, separated by commas")
    ] = "1000000,10000000",
    rows: Annotated[int, typer.Option(help="predictions of a pane")] = 20_000,
    burst: Annotated[int, typer.Option(help="labels of a pane")] = 100_000,
    json: Annotated[Path | None, typer.Option(help="write the figures here, too")] = None,
) -> None:
    """Print a paragraph for each number of predictions, and the bytes of a keyed row."""
    found = [measure(int(n), rows, burst) for n in pending.split(",")]
    for size in found:
        print(f"{size.pending:,} pending: {size.resident_mb:.0f} MB, at most {size.peak_mb:.0f} MB")
        print(f"  CPU: {size.add_us:.2f} µs a prediction, {size.label_us:.2f} µs a label")
        print(f"  {size.burst:,} labels in one pane: {size.burst_s:.2f} s, {size.burst_cpu_s:.2f} s of CPU")
        print(
            f"  restored with all labels: {size.restore_s:.1f} s, {size.restore_cpu_s:.1f} s of CPU, at most "
            f"{size.restored_peak_mb:.0f} MB beside {size.pieces:,} pieces of {size.pieces_mb:.0f} MB together"
        )
    prediction, label = keyed_bytes()
    print(f"a keyed row of classes: {prediction:.1f} bytes a prediction, {label:.1f} a label")
    if json is not None:
        figures = {"sizes": [asdict(size) for size in found], "prediction_bytes": prediction, "label_bytes": label}
        json.write_text(jsonlib.dumps(figures, indent=2))


if __name__ == "__main__":
    typer.run(main)
