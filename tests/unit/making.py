"""Small logs made by hand for the tests of the core: rows, batches, contracts and grids of tiny streams."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from monitor.contract import ColumnSpec, ModelContract, StreamContract, TopicContract, lane_contract
from monitor.events import Batch, RecordBatch, Rejected, Rows, StreamName, TopicPartition
from monitor.ledger.entries import Activation, Decision, new_decision
from monitor.panes.grid import Grid, encode_grid, make_grid
from monitor.panes.open_pane import OpenPane
from monitor.panes.pane import Pane
from monitor.panes.rows import empty
from monitor.profile.grids import Grids

TOPIC = "ml.features"
PREDICTIONS = "ml.predictions"
TP = TopicPartition(TOPIC, 0)
NONE = np.zeros(0, dtype=np.int64)
COLUMNS = (ColumnSpec("x", "x", "numerical"), ColumnSpec("y", "y", "numerical"), ColumnSpec("c", "c", "categorical"))
FEATURES = StreamContract("features", TOPIC, "event_time", COLUMNS)
BAD_STATES = (1, 2, 3, 4, 5, 6)


def contract(
    model: str = "m", raw_rows: int = 20, pane_ms: int = 10, points: int = 8, lateness_ms: int = 25
) -> ModelContract:
    """A model with one stream of two numeric columns and a categorical one."""
    return ModelContract(model, pane_ms, lateness_ms, 1000, 100, raw_rows, points, (FEATURES,))


def two_streams(raw_rows: int = 60, pane_ms: int = 2000) -> ModelContract:
    """A model with a stream of predictions too, of the same columns."""
    predictions = StreamContract("predictions", PREDICTIONS, "event_time", COLUMNS)
    return ModelContract("m", pane_ms, 2000, 1000, 10**6, raw_rows, 8, (FEATURES, predictions))


def value_of(offset: int) -> tuple[float, float, str]:
    """The cells of a row, by its offset alone; every other ten thousand offsets have drifted."""
    return (
        (offset * 37 % 101) / 7.0 + 9.0 * (offset // 10_000 % 2),
        float(offset % 3),
        "abcdefgh"[offset * 5 % 8] + "z" * (offset % 11 // 10),
    )


def rows(
    offsets: Sequence[int], times: Sequence[int], model: str = "m", stream: StreamName = "features", lane: str = ""
) -> Rows:
    """Rows of the stream above at those offsets; about one cell in nine is not valid."""
    cells = [value_of(offset) for offset in offsets]
    numeric = np.array([cell[:2] for cell in cells], dtype=np.float64).reshape(len(cells), 2)
    states = np.array(
        [[o % 9 == 0 and BAD_STATES[o % 6], o % 10 == 3 and BAD_STATES[o % 5]] for o in offsets], dtype=np.uint8
    ).reshape(len(cells), 2)
    bad = np.array([[2 if o % 7 == 2 else 0] for o in offsets], dtype=np.uint8).reshape(len(cells), 1)
    return Rows(
        model=model,
        stream=stream,
        contract=lane,
        part=np.zeros(len(offsets), dtype=np.int32),
        offset=np.array(offsets, dtype=np.int64),
        time=np.array(times, dtype=np.int64),
        numeric=np.where(states == 0, numeric, np.nan),
        numeric_states=states,
        categorical=(["" if state else cell[2] for cell, state in zip(cells, bad[:, 0], strict=True)],),
        categorical_states=bad,
    )


Entry = tuple[int, str, int]
"""(offset, what, time): a row of the model `what`, or "dead", "tombstone", "filtered"."""


def batch(
    entries: Sequence[Entry], tp: TopicPartition = TP, stamps: Sequence[int] | None = None, *, under: TopicContract
) -> Batch:
    """What decoding these records (at least one) under a contract would give."""
    offsets = [offset for offset, _, _ in entries]
    stream: StreamName = "predictions" if tp.topic == PREDICTIONS else "features"
    models = sorted({what for _, what, _ in entries} - {"dead", "tombstone", "filtered"})
    lanes = {model.model: lane_of(model, stream) for model in under.models}
    parts = []
    for model in models:
        mine = [(offset, time) for offset, what, time in entries if what == model]
        parts.append(rows([o for o, _ in mine], [t for _, t in mine], model, stream, lanes[model]))

    def of(kind: str) -> np.ndarray:
        return np.array([offset for offset, what, _ in entries if what == kind], dtype=np.int64)

    return Batch(
        *tp,
        offsets[0],
        offsets[-1],
        tuple(parts),
        tuple(Rejected(*tp, int(o), 0, "not_json", None, b"!", 1, "") for o in of("dead")),
        of("tombstone"),
        of("filtered"),
        np.array(offsets if stamps is not None else [], dtype=np.int64),
        np.array(stamps if stamps is not None else [], dtype=np.int64),
    )


def records(entries: Sequence[Entry], tp: TopicPartition = TP) -> RecordBatch:
    """The records that these entries stand for."""
    n = len(entries)
    return RecordBatch(
        *tp, [o for o, _, _ in entries], [0] * n, [None] * n, [b"%d" % o for o, _, _ in entries], [()] * n
    )


def grid(model: str = "m", sample: Iterable[int] = range(60)) -> Grid:
    """A grid of the stream above; "z" categories are unknown to it."""
    offsets = [o for o in sample if o % 11 != 10]
    return make_grid(rows(offsets, offsets, model), FEATURES)


def pane(
    index: int, offsets: Sequence[int], tp: TopicPartition = TP, late: int = 0, pane_ms: int = 10, lane: str = ""
) -> Pane:
    """A sealed pane of model "m" on the grid above, with these rows (and late ones, with the offsets before)."""
    opened = OpenPane(empty("m", FEATURES, lane), tp, index, pane_ms, 8)
    if late:
        opened.add_late(np.arange(offsets[0] - late, offsets[0], dtype=np.int64) if offsets else np.arange(late))
    if offsets:
        opened.add(rows(offsets, [index * pane_ms + i * pane_ms // len(offsets) for i in range(len(offsets))]), None)
    return opened.seal(GRID)


GRID = grid()


def lane_of(contract: ModelContract, stream: StreamName = "features") -> str:
    """What names the lane of one stream."""
    return next(lane_contract(contract, one) for one in contract.streams if one.stream == stream)


def grid_decision(grid: Grid, lane: str) -> Decision:
    """That a lane has this grid."""
    return new_decision(grid.model, "grid", encode_grid(grid).decode(), grid.stream, lane=lane)


def grids_of(*pairs: tuple[str, Grid]) -> Grids:
    """The grids of lanes."""
    return Grids(Activation(grid_decision(grid, lane), None) for lane, grid in pairs)
