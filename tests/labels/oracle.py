"""What the engine has to say of a log's labels, computed slowly and independently from the log's bytes.

Row by row, in plain Python: lateness by the partition's own watermark, panes, the order of traces, and the join by
dictionaries (that of `tests/oracles/test_join.py`). Every window is counted again at every judgement, its metrics are
those of its raw pairs (`metrics.py`), and each rule is a comparison. Only the spread of the predictions is taken from
the engine's grid, because errors are clipped and drawn by it.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import sqrt
from typing import Any, NamedTuple

import numpy as np

from monitor.codec.times import parse_time
from monitor.config.resolved import Rule, WindowSpec
from monitor.evaluate.join_values import JoinSpec
from monitor.events import TopicPartition
from monitor.stats.draws import seed_of, words
from tests.labels import metrics
from tests.labels.logs import LABELS, PREDICTIONS, LabelLog, Outcome
from tests.labels.metrics import Pair, Series
from tests.oracles.test_join import Label, Oracle, Value

OTHER = 100
NO_NUMBER = float("nan")
Standings = ("provisional", "mature", "final")
_BINARY = {"0": 0, "1": 1, "true": 1, "false": 0, "0.0": 0, "1.0": 1}


class Row(NamedTuple):
    """One record that is in time, or a label, which always is. `place`: its time and offset."""

    pane: int
    place: tuple[int, int]
    event: Mapping[str, Any]


class Window(NamedTuple):
    """What is known of a window at a judgement. `key`: all that says whether it has moved."""

    start: int
    end: int
    predictions: int
    labels: int
    changes: int
    standing: str
    cohorts: tuple[int, ...]

    @property
    def key(self) -> tuple[int, int, int, str]:
        return self.end, self.changes, self.predictions, self.standing


@dataclass(frozen=True)
class Seen:
    """An observation: a window, and its numbers; none of pairs if some of these are lost.

    `sides`: its pairs with a probability, by true class, of a model with two.
    """

    name: str
    window: Window
    series: Series
    intervals: Mapping[str, tuple[float, float]]
    sides: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Transition:
    """An alert that fires or is resolved. `labels`: its name and its average."""

    at: int
    status: str
    labels: tuple[str, str | None]
    value: float
    threshold: float
    window: Window


@dataclass(frozen=True)
class Expected:
    """All that the engine has to say. `observations`: by name and end of a window, in order."""

    observations: Mapping[tuple[str, int], Sequence[Seen]]
    transitions: Sequence[Transition]
    counters: Mapping[str, int]
    outcomes: Sequence[Outcome]
    """What detectors may read, in order: by column."""
    budget: tuple[int, int] | None
    """When it is first reported that more predictions wait than may, and one of how many ids would be few enough."""


@dataclass
class Reference:
    """Slices of pairs; `labels`: in all; `last`: number of the last cohort that is in it."""

    slices: list[list[Pair]]
    labels: int
    last: int
    deviations: dict[tuple[str, int], float] = field(default_factory=dict)

    @property
    def pairs(self) -> list[Pair]:
        return [pair for one in self.slices for pair in one]


def expected(log: LabelLog, spread: float) -> Expected:
    """Fold a log. `spread`: of the predictions' grid."""
    return _Fold(log, spread).run()


# ---------------------------------------------------------------------- rows


class _Rows:
    """Rows of all partitions by their pane, and where the model's panes begin and end."""

    def __init__(self, log: LabelLog) -> None:
        contract = log.config.models[0].contract
        self.pane_ms, self._lateness = contract.pane_ms, contract.lateness_ms
        self._end = 0
        firsts = []
        self.by_partition: dict[TopicPartition, dict[int, list[Row]]] = {}
        for tp in sorted(log.records):
            beats = sorted((h.offset, h.reached) for h in log.heartbeats if (h.topic, h.partition) == tp)
            rows, first = self._read(tp, log.records[tp], beats)
            self.by_partition[tp] = rows
            if first is not None and tp.topic != LABELS:
                firsts.append(first)
        self.first = min(firsts, default=0) // self.pane_ms * self.pane_ms
        self.end = self._end // self.pane_ms * self.pane_ms

    def _read(
        self, tp: TopicPartition, values: Sequence[bytes], beats: Sequence[tuple[int, int]]
    ) -> tuple[dict[int, list[Row]], int | None]:
        """The rows of a partition by pane, and its first watermark."""
        watermark: int | None = None
        first: int | None = None
        panes: dict[int, list[Row]] = defaultdict(list)
        lateness = 0 if tp.topic == LABELS else self._lateness
        for offset, value in enumerate(values):
            for beat in [beat for at, beat in beats if at == offset]:
                watermark = beat if watermark is None else max(watermark, beat)
                first = watermark if first is None else first
            event = json.loads(value)
            if tp.topic == LABELS and (event.get("id") is None or event.get("y") is None):
                continue  # a dead letter, which moves nothing
            time = parse_time(event["event_time"])
            pane = time // self.pane_ms
            is_late = watermark is not None and (pane + 1) * self.pane_ms <= watermark
            pane = pane if watermark is None or not is_late else watermark // self.pane_ms
            if not is_late or tp.topic == LABELS:
                panes[pane].append(Row(pane, (time, offset), event))
            self._end = max(self._end, (pane + 1) * self.pane_ms)
            watermark = time - lateness if watermark is None else max(watermark, time - lateness)
            first = watermark if first is None else first
        self._end = max(self._end, watermark or 0)
        return panes, first

    def of(self, topic: str, pane: int) -> list[list[Row]]:
        """The rows of a pane by partition, in canonical order."""
        tps = [tp for tp in sorted(self.by_partition) if tp.topic == topic]
        return [sorted(self.by_partition[tp].get(pane, []), key=lambda row: row.place) for tp in tps]

    def all_of(self, topic: str) -> list[Row]:
        panes = [pane for tp, of in self.by_partition.items() if tp.topic == topic for pane in of.values()]
        return [row for pane in panes for row in pane]


# ---------------------------------------------------------------------- the fold


class _Fold:
    def __init__(self, log: LabelLog, spread: float) -> None:
        model = log.config.models[0]
        self._rules = model.rules
        assert model.rules.performance is not None
        self._spec = model.rules.performance
        self._contract = model.contract
        self._spread = spread
        labels = next(stream for stream in model.contract.streams if stream.stream == "labels")
        assert labels.keys is not None
        self._mask = (1 << labels.keys.sample_bits) - 1
        self._rows = _Rows(log)
        self._task = model.rules.task
        self._numbers: dict[str, int] = {}
        self._unusable = Counter[str]()
        spec = self._spec
        events = None if spec.step_ms is not None else spec.step
        self._join = Oracle(
            JoinSpec(
                *(self._rows.pane_ms, spec.step_ms, events, spec.max_delay_ms, spec.max_early_ms, spec.pending),
                is_regression=self._task == "regression",
            )
        )
        self._grid_at = self._grid_from()
        self._has_grid = False
        self._pairs: dict[int, Counter[Pair]] = defaultdict(Counter)
        self._changes = Counter[int]()
        self._lost: set[int] = set()
        self._reference: Reference | None = None
        self._has_begun = False
        self._levels: dict[tuple[str, int], tuple[int, bool, bool]] = {}
        self._judged: dict[tuple[str, int, str], tuple[int, int, int, str]] = {}
        self._firing: set[tuple[str, str | None]] = set()
        self._seen: dict[tuple[str, int], list[Seen]] = defaultdict(list)
        self._transitions: list[Transition] = []
        self._outcomes: list[Outcome] = []
        self._budget: tuple[int, int] | None = None
        own = [rule for rule in model.rules.rules if _is_on_performance(rule)]
        self._own = own
        self._windows = {w.name: w for w in (spec.window, *(rule.window for rule in own))}

    def _grid_from(self) -> int | None:
        """Where the grid counts from: behind the pane of the n-th prediction."""
        rows = sorted(row.place[0] for row in self._rows.all_of(PREDICTIONS))
        wanted = self._contract.raw_rows
        pane_ms = self._rows.pane_ms
        return None if len(rows) < wanted else (rows[wanted - 1] // pane_ms + 1) * pane_ms

    def run(self) -> Expected:
        for pane in range(self._rows.first // self._rows.pane_ms, self._rows.end // self._rows.pane_ms):
            self._fold(pane)
            end = (pane + 1) * self._rows.pane_ms
            if end % self._rules.interval_ms == 0:
                self._judge(end)
        counters = {
            **self._join.counters,
            "unusable_predictions": self._unusable["predictions"],
            "unusable_labels": self._unusable["labels"],
            "pending": sum(cohort.predictions for cohort in self._join.cohorts if not cohort.closed),
            "waiting": len(self._join.waiting),
        }
        counters["unmatched"] += self._before()
        return Expected(self._seen, self._transitions, counters, self._outcomes, self._budget)

    def _before(self) -> int:
        """How many labels came before the model's first pane."""
        first = self._rows.first // self._rows.pane_ms
        before = [row for row in self._rows.all_of(LABELS) if row.pane < first]
        return sum(self._digest(row) & self._mask == 0 for row in before)

    # ------------------------------------------------------------------ one pane

    def _fold(self, pane: int) -> None:
        now = pane * self._rows.pane_ms
        if self._grid_at is not None and now >= self._grid_at and not self._has_grid:
            self._has_grid = True
            closed = [number for number, cohort in enumerate(self._join.cohorts) if cohort.closed]
            self._lost = {number for number in closed if self._changes[number]}
        predictions = [p for rows in self._rows.of(PREDICTIONS, pane) for row in rows if (p := self._prediction(row))]
        change = self._join.fold(now, predictions, self._labels(pane))
        for *_, needed in change.closed:
            if needed is not None and self._budget is None:
                kept = next(1 << k for k in range(64) if needed <= self._spec.pending << k)
                self._budget = now + self._rows.pane_ms, kept
        for pair in change.removed:
            self._pairs[pair[0]][pair[1:]] -= 1
            self._changes[pair[0]] += 1
        for pair, *_ in change.added:
            self._pairs[pair[0]][pair[1:]] += 1
            self._changes[pair[0]] += 1
        if self._has_begun and self._has_grid:
            self._outcomes += [
                self._outcome(pair[1:], max(label_time - time, 0) / 1000)
                for pair, time, label_time, is_first in change.added
                if is_first
            ]
        complete = self._complete(now + self._rows.pane_ms)
        self._has_begun = self._has_begun or bool(complete)
        self._find_reference(complete)

    def _digest(self, row: Row) -> int:
        """That of a row's id; 0 if it has none."""
        id_ = row.event.get("id")
        if id_ is None:
            return 0
        return int.from_bytes(hashlib.blake2b(str(id_).encode(), digest_size=8).digest(), "little")

    def _prediction(self, row: Row) -> tuple[int, Value, float] | None:
        id_ = self._digest(row)
        if not id_:
            self._unusable["predictions"] += 1
        if not id_ or id_ & self._mask:
            return None
        spec, has_class = self._spec, "prediction" in self._columns
        raw = row.event.get("p") if has_class else None
        q = row.event.get("q") if "probability" in self._columns else None
        probability = float(np.float32(q)) if q is not None and 0 <= q <= 1 else NO_NUMBER
        value: Value | None
        if self._task == "regression":
            value = None if raw is None else float(raw)
        else:
            value = None if raw is None else self._class(raw)
            if value is None and self._task == "classification_binary" and probability == probability:
                value = int(probability >= spec.threshold)
        if value is None:
            self._unusable["predictions"] += 1
            return None
        return id_, value, probability

    @property
    def _columns(self) -> frozenset[str]:
        stream = next(stream for stream in self._contract.streams if stream.stream == "predictions")
        return frozenset(column.name for column in stream.columns)

    def _class(self, raw: object) -> int | None:
        """The number of a class; of a binary model None if it is neither."""
        text = str(raw).lower() if isinstance(raw, bool) else str(raw)
        if self._task == "classification_binary":
            if self._spec.positive is not None:
                return int(text == self._spec.positive)
            return _BINARY.get(text)
        if text not in self._numbers and len(self._numbers) < OTHER:
            self._numbers[text] = len(self._numbers)
        return self._numbers.get(text, OTHER)

    def _labels(self, pane: int) -> list[Label]:
        """The labels of a pane, in the order of traces."""
        placed = []
        for partition, rows in enumerate(self._rows.of(LABELS, pane)):
            own = [row for row in rows if self._digest(row) & self._mask == 0]
            placed += [(Fraction(2 * i + 1, 2 * len(own)), partition, i, row) for i, row in enumerate(own)]
        found = []
        for *_, row in sorted(placed, key=lambda item: item[:3]):
            raw = row.event["y"]
            value = float(raw) if self._task == "regression" else self._class(raw)
            if value is None:
                self._unusable["labels"] += 1
            else:
                found.append(Label(self._digest(row), value, row.place[0]))
        return found

    def _outcome(self, pair: Pair, delay: float) -> Outcome:
        """What is said of a prediction whose label has come."""
        error, loss = metrics.outcome(self._task, pair, self._spec.tolerance)
        found = {"loss": loss, "label": float(pair[0]), "label_delay_seconds": delay}
        return found if error is None else {**found, "error": error}

    # ------------------------------------------------------------------ the reference

    def _complete(self, now: int) -> list[int]:
        """The first cohorts, as far as each is mature or final; those that have labels."""
        found = []
        for number, cohort in enumerate(self._join.cohorts):
            has_ended = cohort.end is not None and cohort.end <= now
            if not cohort.closed and not (has_ended and cohort.labelled >= self._spec.mature * cohort.predictions):
                break
            if cohort.labelled:
                found.append(number)
        return found

    def _find_reference(self, complete: Sequence[int]) -> None:
        if self._reference is not None or not self._has_grid:
            return
        chosen, labels = list[int](), 0
        for number in complete:
            if labels < self._contract.raw_rows and number not in self._lost:
                chosen.append(number)
                labels += self._join.cohorts[number].labelled
        if labels < self._contract.raw_rows:
            return
        slices, held = list[list[Pair]](), list[Pair]()
        for number in chosen:
            held += self._pairs[number].elements()
            if len(held) >= 200:
                slices.append(held)
                held = []
        if held and slices:
            slices[-1] = slices[-1] + held
        elif held:
            slices = [held]
        self._reference = Reference(slices, labels, chosen[-1])
        self._judged.clear()

    def _spread_of(self, metric: str, labels: int) -> tuple[float, float] | None:
        """reference_mean, and reference_std in windows of that many labels."""
        reference = self._reference
        if reference is None or metric not in (found := self._series(reference.pairs)):
            return None
        slices = max(1, round(labels * len(reference.slices) / reference.labels))
        return found[metric], self._deviation(reference, metric, slices)

    def _deviation(self, reference: Reference, metric: str, slices: int) -> float:
        """Of a metric over 400 draws of as many slices, or of the nearest size that is drawn."""
        if len(reference.slices) < 8:
            return NO_NUMBER
        sizes = sorted([2**k for k in range(13)] + [3 * 2**k for k in range(11)])
        drawn = min(sizes, key=lambda size: abs(size - slices))
        if (metric, drawn) not in reference.deviations:
            n = len(reference.slices)
            which = words(seed_of(f"performance/{n}/{drawn}"), 0, 400 * drawn) % np.uint64(n)
            values = [
                self._series([pair for k in which[i * drawn : (i + 1) * drawn] for pair in reference.slices[int(k)]])
                for i in range(400)
            ]
            reference.deviations[metric, drawn] = float(np.std([one[metric] for one in values], ddof=1))
        return reference.deviations[metric, drawn] * sqrt(drawn / slices)

    # ------------------------------------------------------------------ judgements

    def _judge(self, at: int) -> None:
        tables = {name: self._table(spec, at) for name, spec in self._windows.items()}
        for name, table in tables.items():
            for window in table:
                level = (window.labels * 10 // window.predictions, *self._reached(window))
                if any(level) and self._levels.get((name, window.end)) != level:
                    self._levels[name, window.end] = level
                    self._seen[name, window.end].append(self._observed(name, window))
        moved = {}
        for rule in self._own:
            least = "final" if rule.comparison.metric == "label_coverage" else rule.maturity
            key = rule.window.name, rule.min_labels, least
            if key not in moved:
                moved[key] = self._moved(key, tables[rule.window.name])
            if (newest := moved[key]) is not None:
                self._apply(rule, newest, at)

    def _reached(self, window: Window) -> tuple[bool, bool]:
        """Whether it is mature or final, and whether it is final."""
        return window.standing != "provisional", window.standing == "final"

    def _table(self, spec: WindowSpec, at: int) -> list[Window]:
        """All windows that have ended by then and hold predictions, in order."""
        cohorts = self._join.cohorts
        if spec.time_ms is None:
            step, size = spec.every or spec.events or 1, spec.events or 1
            ended = sum(cohort.end is not None and cohort.end <= at for cohort in cohorts)
            places = [range(last - size // step, last) for last in range(size // step, ended + 1)]
            bounds = [(cohorts[of[0]].start, cohorts[of[-1]].end or 0, of) for of in places]
            return [self._window(*one) for one in bounds]
        length, step = spec.time_ms, spec.every_ms or spec.time_ms
        first = min((cohort.start for cohort in cohorts), default=at)
        found = []
        for end in range(first // step * step, at + 1, step):
            of = [n for n, cohort in enumerate(cohorts) if end - length <= cohort.start < end]
            if of:
                found.append(self._window(end - length, end, of))
        return found

    def _window(self, start: int, end: int, numbers: Sequence[int]) -> Window:
        cohorts = [self._join.cohorts[number] for number in numbers]
        predictions, labels = sum(c.predictions for c in cohorts), sum(c.labelled for c in cohorts)
        is_final = all(cohort.closed for cohort in cohorts)
        standing = "final" if is_final else "mature" if labels >= self._spec.mature * predictions else "provisional"
        changes = sum(self._changes[number] for number in numbers)
        return Window(start, end, predictions, labels, changes, standing, tuple(numbers))

    def _moved(self, key: tuple[str, int, str], table: Sequence[Window]) -> Window | None:
        """The newest window that is complete enough, if it has moved."""
        _, min_labels, least = key
        fits = [w for w in table if w.labels >= min_labels and Standings.index(w.standing) >= Standings.index(least)]
        if not fits or self._judged.get(key) == fits[-1].key:
            return None
        self._judged[key] = fits[-1].key
        return fits[-1]

    def _observed(self, name: str, window: Window) -> Seen:
        pairs = self._pairs_of(window)
        if pairs is None:
            return Seen(name, window, {"label_coverage": window.labels / window.predictions}, {})
        coverage = {"label_coverage": window.labels / window.predictions}
        sides = metrics.sides(pairs) if self._task == "classification_binary" else (0, 0)
        return Seen(name, window, {**coverage, **self._series(pairs)}, self._intervals(pairs, 0.95), sides)

    def _pairs_of(self, window: Window) -> list[Pair] | None:
        """Those of a window; None before there is a grid, if some are lost, and if there are none."""
        if not self._has_grid or not self._lost.isdisjoint(window.cohorts) or not window.labels:
            return None
        return [pair for number in window.cohorts for pair in self._pairs[number].elements()]

    def _series(self, pairs: Sequence[Pair]) -> Series:
        return metrics.series(self._task, pairs, self._spread, self._spec.tolerance, self._costs())

    def _intervals(self, pairs: Sequence[Pair], confidence: float) -> Mapping[str, tuple[float, float]]:
        return metrics.intervals(self._task, pairs, self._spread, self._spec.tolerance, confidence)

    def _costs(self) -> Mapping[tuple[int, int], float] | None:
        """Costs by truth and predicted class, if there are any; the one name beside that of class 1 is class 0."""
        found: dict[tuple[int, int], float] = {}
        for truth, of in self._spec.costs.items():
            for predicted, cost in of.items():
                classes = [self._numbers.get(name) for name in (truth, predicted)]
                if self._task == "classification_binary":
                    classes = [int(name == (self._spec.positive or "1")) for name in (truth, predicted)]
                if classes[0] is not None and classes[1] is not None:
                    found[classes[0], classes[1]] = cost
        return found if self._spec.costs else None

    # ------------------------------------------------------------------ rules

    def _apply(self, rule: Rule, window: Window, at: int) -> None:
        metric = rule.comparison.metric
        seen = self._observed("", window)
        names: list[tuple[str, str | None]] = [(metric, None)]
        if metric not in seen.series:
            wanted = ("macro", "weighted") if rule.comparison.selectors else ("macro",)
            names = [(f"{metric}_{average}", average) for average in wanted]
        for name, average in names:
            if name not in seen.series:
                continue
            if rule.comparison.needs_reference_spread and self._is_of_reference(window):
                continue
            threshold = self._threshold(rule, name, window.labels)
            if threshold is None or threshold != threshold:
                continue
            value, threshold = _rounded(seen.series[name]), _rounded(threshold)
            violated = _holds(rule.comparison.op, value, threshold)
            if rule.confidence is not None:
                bounds = self._intervals(self._pairs_of(window) or [], rule.confidence).get(name)
                if bounds is None:
                    continue
                violated = all(_holds(rule.comparison.op, _rounded(bound), threshold) for bound in bounds)
            labels = rule.alert, average
            if violated != (labels in self._firing):
                self._firing ^= {labels}
                status = "firing" if violated else "resolved"
                self._transitions.append(Transition(at, status, labels, value, threshold, window))

    def _is_of_reference(self, window: Window) -> bool:
        """Whether cohorts of a window are in the reference, or older."""
        return self._reference is not None and min(window.cohorts) <= self._reference.last

    def _threshold(self, rule: Rule, name: str, labels: int) -> float | None:
        """The threshold of a rule; None if there is nothing to compare with."""
        comparison = rule.comparison
        baseline = self._spec.baseline.get(comparison.metric)
        if not comparison.needs_reference_spread:
            return comparison.threshold(None, None, None, baseline)
        spread = self._spread_of(name, labels)
        return None if spread is None else comparison.threshold(*spread, None, baseline)


def _is_on_performance(rule: Rule) -> bool:
    return rule.min_labels > 0 or rule.comparison.metric == "label_coverage"


def _holds(op: str, value: float, threshold: float) -> bool:
    return value < threshold if op == "<" else value > threshold


def _rounded(value: float) -> float:
    """To 12 digits, as all is that is compared."""
    return float(f"{value:.12g}")
