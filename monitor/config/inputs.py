"""Inputs of detectors: from `COLUMN`, `missing(COLUMN)` or `class(LABEL)` to the series of a model.

A detector of ranks reads the rank of any series, and anything that is 0 or 1. A detector of 0 and 1 reads the value
of a binary column, `missing(...)` and `class(...)`. A glob stands for those columns that the detector can read. In
quotes a name is literal, and so is one that is written out: `area (m²)` is the column of this name, if there is one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import translate
from functools import lru_cache
from typing import Literal, NamedTuple

from monitor.codec.columns import class_of
from monitor.config.measurable import ADD_LABELS, ADD_TOLERANCE
from monitor.config.metrics import DRIFT
from monitor.config.resolved import DetectorSpec, ModelRules
from monitor.config.suggest import did_you_mean
from monitor.contract import OUTCOMES, ColumnSpec, ModelContract, StreamContract, outcomes_of
from monitor.events import StreamName

Form = Literal["value", "missing", "class"]
_QUOTED = r"""\s*(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')\s*"""
_FUNCTION = re.compile(rf"\s*(?P<form>[A-Za-z_]+)\s*\((?P<argument>{_QUOTED}|[^()]*)\)\s*")
_IS_QUOTED = re.compile(_QUOTED).fullmatch


class ResolvedInput(NamedTuple):
    """One series in one form. `label`: the class of the form `class`, else None."""

    stream: StreamName
    column: str
    form: Form
    label: str | None


class InputRefused(ValueError):
    """The model has no such input for this detector."""


class SeriesOf(NamedTuple):
    """One series of a model: its stream, its name and the column that it comes from."""

    stream: StreamName
    name: str
    column: ColumnSpec

    @property
    def numeric(self) -> bool:
        """True if its values are numbers."""
        return self.column.kind != "categorical"


@lru_cache(maxsize=16)  # asked for by each detector and each check, of one model after the other
def series_of(contract: ModelContract) -> tuple[SeriesOf, ...]:
    """Return all series of a model, in the order of its contract; those of outcomes come last."""
    return tuple(
        SeriesOf(stream.stream, name, column)
        for stream in lanes_of(contract)
        for column in stream.columns
        for name in _names(stream, column)
    )


def lanes_of(contract: ModelContract) -> tuple[StreamContract, ...]:
    """Return the streams of a model whose rows are judged."""
    outcomes = outcomes_of(contract)
    of_topics = (stream for stream in contract.streams if stream.has_lane)
    return (*of_topics, *([] if outcomes is None else [outcomes]))


def asks_for_drift(rules: ModelRules, stream: StreamName) -> bool:
    """Return true if a rule is about `drift` of a stream."""
    comparisons = (rule.comparison for rule in rules.rules)
    return any(one.metric == DRIFT and one.matches({"stream": stream}) for one in comparisons)


def resolve_inputs(spec: DetectorSpec, contract: ModelContract) -> tuple[ResolvedInput, ...]:
    """Return the series that a detector watches, in the order of the contract; raises InputRefused without any."""
    names = [series.name for series in series_of(contract)]
    form, argument = _parsed(spec.input, names)
    written = _unquoted(argument)
    if form == "class":
        return (_class(written, contract),)
    is_literal = argument in names or written != argument
    matches = re.compile(re.escape(written) + r"\Z" if is_literal else translate(argument)).match
    matching = [series for series in series_of(contract) if matches(series.name)]
    readable = [s for s in matching if form == "missing" or spec.detector.reads == "rank" or s.column.kind == "binary"]
    if not matching and written in OUTCOMES:
        raise InputRefused(_no_outcome(written, contract))
    if not matching:
        raise InputRefused(f"no column of {contract.model} is {written!r}{did_you_mean(written, names)}")
    if not readable:
        raise InputRefused(_not_binary(spec, matching[0]))
    return tuple(ResolvedInput(series.stream, series.name, form, None) for series in readable)


def _names(stream: StreamContract, column: ColumnSpec) -> tuple[str, ...]:
    """Return the names of the series of one column, by the rule of the contract."""
    alone = StreamContract(stream.stream, stream.topic, stream.time_field, (column,))
    return alone.numeric_series + alone.categorical_series


def _parsed(text: str, names: Sequence[str]) -> tuple[Form, str]:
    if text in names:
        return "value", text
    match = _FUNCTION.fullmatch(text)
    if match is None:
        return "value", text.strip()
    argument = match["argument"].strip()
    if not argument:
        raise InputRefused(f"{match['form']}() needs a name in its brackets")
    if match["form"] == "missing":
        return "missing", argument
    if match["form"] == "class":
        return "class", argument
    raise InputRefused(
        f"unknown input {match['form']!r}{did_you_mean(match['form'], ('missing', 'class'))}; "
        "there are COLUMN, missing(COLUMN) and class(LABEL)"
    )


def _unquoted(text: str) -> str:
    """The name within quotes, in which a backslash stands before a quote and before a backslash."""
    return re.sub(r"\\([\"'\\])", r"\1", text.strip()[1:-1]) if _IS_QUOTED(text) else text


def _class(label: str, contract: ModelContract) -> ResolvedInput:
    for series in series_of(contract):
        if series.stream == "predictions" and series.name == "prediction" and not series.numeric:
            return ResolvedInput(series.stream, series.name, "class", class_of(label))
    raise InputRefused(f"class(...) needs predicted classes, and {contract.model} has no such `prediction` column")


def _no_outcome(name: str, contract: ModelContract) -> str:
    if outcomes_of(contract) is None:
        return f"the input {name!r} {ADD_LABELS}"
    return f"the input {name!r} {ADD_TOLERANCE}"


def _written(name: str) -> str:
    """A name as it may stand within brackets."""
    if re.fullmatch(r"[\w.-]+", name):
        return name
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}"'


def _not_binary(spec: DetectorSpec, series: SeriesOf) -> str:
    return (
        f"{spec.detector.class_} reads 0 or 1; {series.name!r} is a {series.column.kind} column: "
        f"use missing({_written(series.name)}), a binary column or class(...)"
    )
