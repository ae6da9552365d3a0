"""Ours: a case through both folds of the service, with the rules of the shipped alerts.yaml that its columns can have.

Rows come as arrays and not as JSON. The first rows of a case are its reference, by `reference: {first: n}`, or by
time if its settings say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from ruamel.yaml import YAML

from benchmarks.quality.cases import Alarm, Case, Columns
from monitor.codec.durations import parse_duration
from monitor.codec.times import parse_time
from monitor.config import load
from monitor.config.resolved import ModelConfig
from monitor.contract import lane_contract
from monitor.evaluate.alerts import Place
from monitor.events import CellState, RecordBatch, Rows, TopicPartition
from monitor.ledger.entries import Activation, PartitionSet, new_decision
from monitor.replay import Replay, ReplayLog
from monitor.runner.announce import rules_decision
from monitor.sources.table_values import Block, TableValues

START = 2_960 * 7 * 86_400_000 + 4 * 86_400_000
"""A Monday, 00:00 UTC, ms."""
MODEL = "quality"
BATCH = 2_000
ELSEWHERE = ("prediction", "probability", "label", "accuracy", "error_adwin", "gaps_fhddm")
"""Words of shipped rules that need more than columns of features."""


def alarms_of(case: Case, leave_out: tuple[str, ...] = ()) -> list[Alarm]:
    """The messages of alerts about a case, at shipped defaults. `leave_out`: rules that are not there."""
    model = load(config_of(case, leave_out), "alerts.yaml").models[0]
    tp = TopicPartition(MODEL, 0)
    partitions = new_decision(MODEL, "set", msgspec.json.encode(PartitionSet({"features": (MODEL, 1)})).decode())
    activations = [Activation(partitions, None), Activation(rules_decision(model), None)]
    place = Place("/benchmark", "http://localhost", "0", "")
    engine = Replay(ReplayLog([model.contract], [tp], [], activations, place, ends=True, ledger_partitions=1))
    messages = [message for part in engine.fold([batches(case, model)]) for message in part] + engine.finish({})
    buckets = engine.buckets()[tp]
    if buckets["pane"] != len(case.columns):
        raise RuntimeError(f"of {len(case.columns)} rows {buckets} are where they belong")
    alerts = (msgspec.json.decode(message.value) for message in messages if message.topic == "alerts")
    return read_alarms(alerts, case)


def config_of(case: Case, leave_out: tuple[str, ...] = ()) -> str:
    """The shipped alerts.yaml, for the columns of a case."""
    config = shipped()
    columns = {"numerical": list(case.columns.numeric), "categorical": list(case.columns.categorical)}
    config["models"] = {
        MODEL: {
            "task": "classification_binary",
            "streams": {"features": {"topic": MODEL}},
            "columns": {kind: names for kind, names in columns.items() if names},
            "reference": {"first": case.reference},
            **case.settings,
        }
    }
    config["detectors"] = {name: spec for name, spec in config["detectors"].items() if spec["input"] == "*"}
    for group in config["groups"]:
        group["models"] = [MODEL]
        group["rules"] = [rule for rule in group["rules"] if rule["alert"] not in leave_out and _is_for(rule, case)]
        for rule in group["rules"]:
            _adapt(rule, case, leave_out)
    config["groups"] = [group for group in config["groups"] if group["rules"]]
    for key in ("inhibit_rules", "retraining"):  # neither changes which alerts fire
        config.pop(key, None)
    text = StringIO()
    YAML().dump(config, text)
    return text.getvalue()


def _is_for(rule: Mapping[str, str], case: Case) -> bool:
    """Return true if the columns of a case can have the rule. Silence is for streams of at least a row a second."""
    words = list(ELSEWHERE)
    words += [] if case.columns.categorical else ["new_category_rate"]
    words += [] if case.columns.numeric else ["ks{", "ks "]
    words += [] if case.step_ms <= 1_000 else ["seconds_since_last_event"]
    return not any(word in rule["expr"] for word in words)


def _adapt(rule: dict[str, str], case: Case, leave_out: tuple[str, ...]) -> None:
    """Durations are at least a pane, as `check` asks for; and what is under a rule that is left out is alone."""
    pane = str(case.settings.get("pane", ""))
    for key in ("for", "keep_firing_for"):
        if pane and key in rule and parse_duration(rule[key]) < parse_duration(pane):
            rule[key] = pane
    if rule.get("under") in leave_out:
        rule.pop("under")


def shipped() -> Any:
    """The shipped alerts.yaml, as it can be changed."""
    return YAML().load(_shipped_text())


@lru_cache
def _shipped_text() -> str:
    return (Path(__file__).parents[2] / "alerts.yaml").read_text()


def batches(case: Case, model: ModelConfig) -> Iterator[RecordBatch]:
    """The rows of a case, decoded already."""
    rows = rows_of(case.columns, model, case.step_ms)
    values = TableValues(Block(rows, {}, lambda row: b"{}"))
    for first in range(0, len(rows), BATCH):
        part = values[first : first + BATCH]
        offsets = range(first, first + len(part))
        n = len(part)
        yield RecordBatch(MODEL, 0, offsets, [0] * n, [None] * n, part, [()] * n)


def rows_of(columns: Columns, model: ModelConfig, step_ms: int) -> Rows:
    """Columns as rows of a model; NaN is a missing cell, and so is an empty category."""
    stream = model.contract.streams[0]
    n = len(columns)
    of_numbers = [columns.numeric[name] for name in stream.numeric_series]
    numeric = np.stack(of_numbers, axis=1) if of_numbers else np.zeros((n, 0))
    states = np.where(np.isnan(numeric), CellState.NULL, CellState.VALID).astype(np.uint8)
    texts = tuple(columns.categorical[name] for name in stream.categorical_series)
    gaps = [[CellState.VALID if text else CellState.NULL for text in values] for values in texts]
    text_states = np.array(gaps, dtype=np.uint8).reshape(len(texts), n).T.copy()
    offset, part = np.arange(n), np.zeros(n, dtype=np.int32)
    lane, time = lane_contract(model.contract, stream), START + offset * step_ms
    return Rows(MODEL, "features", lane, offset, part, time, numeric, states, texts, text_states)


def read_alarms(alerts: Iterable[Mapping[str, Any]], case: Case) -> list[Alarm]:
    """Messages as alarms. One that is resolved says so to the alarm with which it began to fire."""
    found, open_at = list[Alarm](), dict[str, int]()
    for alert in alerts:
        data, row = alert["data"], row_of(alert["time"], case)
        fingerprint, status = data.get("fingerprint", ""), data.get("status")
        if status == "resolved" and fingerprint in open_at:
            index = open_at.pop(fingerprint)
            found[index] = replace(found[index], until=row)
        elif status == "firing" or alert["type"].endswith(".updated.v1"):
            is_new = not alert["type"].endswith(".updated.v1")
            if is_new:
                open_at[fingerprint] = len(found)
            evidence = data.get("evidence") or {}
            columns = evidence.get("columns")
            names = None if columns is None else tuple(str(one["column"]) for one in columns)
            change = evidence.get("change") or {}
            at = row_of(change["at"], case) if change.get("at") else None
            found.append(
                Alarm(row, data["labels"]["alertname"], names, at, is_new, is_unverified="unverified" in evidence)
            )
    return sorted(found, key=lambda alarm: alarm.row)


def row_of(time: str, case: Case) -> int:
    """How many rows of a case had come by a time."""
    return (parse_time(time) - START) // case.step_ms - case.reference
