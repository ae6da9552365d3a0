"""Differences between the rules that a service runs on and another alerts.yaml: what goes on, starts again or ends.

The rules of this file:

- A lane (a stream of a model) starts again if what its panes stand on has changed (its topic, columns, field of the
  event time, the model's pane), or the model's reference. Outcomes start again with their predictions, or if the field
  of the label or what makes an error has changed.
- `drift` of a lane starts again if the model's season or the lane's limits have changed, or its lane starts again.
- A detector starts again if its class, its parameters or its input have changed, or its lane starts again.
- An alert is named by its group, name, labels and metric: with another threshold, window, `for` or `under` it is kept:
  if it fires and nothing is above it any more, it is published then. What no rule selects any more is resolved.
- All that belongs to a model that goes ends, and its alerts are resolved; a model that comes back is new.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

from monitor.config.inputs import InputRefused, ResolvedInput, asks_for_drift, lanes_of, resolve_inputs, series_of
from monitor.config.metrics import METRICS, SILENCE
from monitor.config.resolved import Config, DetectorSpec, ModelRules, Rule
from monitor.contract import ModelContract, lane_contract
from monitor.events import StreamName

Fate = Literal["kept", "starts again", "new", "ends", "resolved"]
Kind = Literal["model", "lane", "drift", "detector", "alert"]


class Difference(NamedTuple):
    """What becomes of one thing. `why`: what has changed; empty if nothing has."""

    model: str
    kind: Kind
    name: str
    fate: Fate
    why: str = ""


class Running(NamedTuple):
    """A model as the service runs it."""

    rules: ModelRules
    contract: ModelContract


def differences(running: Iterable[Running], config: Config) -> list[Difference]:
    """Return what becomes of every model, lane, detector and alert, by model."""
    before = {model.contract.model: model for model in running}
    after = {model.contract.model: Running(model.rules, model.contract) for model in config.models}
    found: list[Difference] = []
    for name in sorted(before.keys() | after.keys()):
        if name not in before:
            found.append(Difference(name, "model", name, "new"))
        else:
            found += _of_a_model(before[name], after.get(name))
    return found


def _of_a_model(old: Running, new: Running | None) -> list[Difference]:
    name = old.contract.model
    lanes = _lanes(old, new)
    model = [Difference(name, "model", name, "ends", "it is not in the file")] if new is None else []
    fates = {lane.name: lane.fate for lane in lanes}
    return [*model, *lanes, *_drift(old, new, fates), *_detectors(old, new, fates), *_alerts(old, new)]


# ---------------------------------------------------------------------- lanes


def _lanes(old: Running, new: Running | None) -> list[Difference]:
    name = old.contract.model
    before = [lane.stream for lane in lanes_of(old.contract)]
    after = {lane.stream for lane in lanes_of(new.contract)} if new is not None else set()
    found = []
    for stream in before:
        if new is None or stream not in after:
            found.append(Difference(name, "lane", stream, "ends", "" if new is None else "the stream is gone"))
        else:
            why = ", ".join(_changes_of_a_lane(old, new, stream))
            found.append(Difference(name, "lane", stream, "starts again" if why else "kept", why))
    return [*found, *(Difference(name, "lane", stream, "new") for stream in sorted(after - set(before)))]


def _changes_of_a_lane(old: Running, new: Running, stream: str) -> list[str]:
    """Return what has changed under a lane, by the keys of alerts.yaml."""
    one, other = (next(s for s in lanes_of(side.contract) if s.stream == stream) for side in (old, new))
    if one.follows != other.follows:
        return ["its predictions start again"]
    pairs = {
        "pane": (old.contract.pane_ms, new.contract.pane_ms),
        "topic": (one.topic, other.topic),
        "timestamp": ((one.time_field, one.times), (other.time_field, other.times)),
        "columns": (one.columns, other.columns),
        "format": (one.format, other.format),
        "reference": (old.rules.reference, new.rules.reference),
    }
    changed = [what for what, (before, after) in pairs.items() if before != after]
    stands = (lane_contract(old.contract, one), lane_contract(new.contract, other))
    return changed or (["grid_rows"] if stands[0] != stands[1] else [])


def _drift(old: Running, new: Running | None, lanes: Mapping[str, Fate]) -> Iterator[Difference]:
    """Yield what becomes of `drift` of each lane that has a rule on it."""
    name = old.contract.model
    before, after = _drifting(old), [] if new is None else _drifting(new)
    for stream in before:
        if new is None or stream not in after:
            yield Difference(name, "drift", stream, "ends")
        elif lanes[stream] != "kept":
            yield Difference(name, "drift", stream, "starts again", "its lane starts again")
        elif old.rules.season_ms != new.rules.season_ms:
            yield Difference(name, "drift", stream, "starts again", "season")
        elif _limits(old, stream) != _limits(new, stream):
            yield Difference(name, "drift", stream, "starts again", "limits")
        else:
            yield Difference(name, "drift", stream, "kept")
    yield from (Difference(name, "drift", stream, "new") for stream in after if stream not in before)


def _limits(side: Running, stream: StreamName) -> tuple[float, float, float] | None:
    """Return the limits of a lane that a lock holds; None if they are those that are shipped."""
    solved = side.rules.solved.get(stream)
    return None if solved is None else solved.limits


def _drifting(side: Running) -> list[StreamName]:
    """Return the streams that have a rule on `drift`."""
    return [one.stream for one in lanes_of(side.contract) if asks_for_drift(side.rules, one.stream)]


# ---------------------------------------------------------------------- detectors


def _detectors(old: Running, new: Running | None, lanes: Mapping[str, Fate]) -> list[Difference]:
    name = old.contract.model
    before, after = _watched(old), {} if new is None else _watched(new)
    found = []
    for key, spec in before.items():
        stream = key[1]
        if key not in after:
            found.append(Difference(name, "detector", _spelled(key), "ends"))
        elif lanes[stream] != "kept":
            found.append(Difference(name, "detector", _spelled(key), "starts again", "its lane starts again"))
        elif spec != after[key]:
            found.append(Difference(name, "detector", _spelled(key), "starts again", "class, params or input"))
        else:
            found.append(Difference(name, "detector", _spelled(key), "kept"))
    return [*found, *(Difference(name, "detector", _spelled(key), "new") for key in after if key not in before)]


def _watched(side: Running) -> dict[tuple[str, str, str], tuple[DetectorSpec, ResolvedInput]]:
    """Return each detector and its input by name, stream and column, in this order."""
    found = {}
    for spec in side.rules.detectors:
        for one in _inputs(spec, side.contract):
            plain = spec.model_copy(update={"input": ""})  # a glob that is written in another way is the same input
            found[spec.name, str(one.stream), one.column] = (plain, one)
    return dict(sorted(found.items(), key=lambda item: item[0]))


def _inputs(spec: DetectorSpec, contract: ModelContract) -> tuple[ResolvedInput, ...]:
    try:
        return resolve_inputs(spec, contract)
    except InputRefused:
        return ()


def _spelled(key: tuple[str, str, str]) -> str:
    detector, stream, column = key
    return f"{detector} on {stream}/{column}"


# ---------------------------------------------------------------------- alerts

_LISTED = 5
_AlertKey = tuple[str, str, tuple[tuple[str, str], ...], str]


def _alerts(old: Running, new: Running | None) -> list[Difference]:
    name = old.contract.model
    before = _selected(old)
    after = {} if new is None else _selected(new)
    titles = _titles({**before, **after})
    found = []
    for key, selected in before.items():
        if key not in after:
            gone = "its model is gone" if new is None else "its rule is gone"
            found.append(Difference(name, "alert", titles[key], "resolved", gone))
            continue
        if lost := sorted(selected - after[key]):
            listed = ", ".join(lost[:_LISTED]) + (f" and {len(lost) - _LISTED} more" if len(lost) > _LISTED else "")
            found.append(Difference(name, "alert", titles[key], "resolved", f"no longer selected: {listed}"))
        if selected & after[key] or not selected:
            found.append(Difference(name, "alert", titles[key], "kept"))
    return [*found, *(Difference(name, "alert", titles[key], "new") for key in after if key not in before)]


def _selected(side: Running) -> dict[_AlertKey, frozenset[str]]:
    """Return the names of what each alert's rules select: columns, streams, or detectors with their columns."""
    found: dict[_AlertKey, frozenset[str]] = {}
    for rule in side.rules.rules:
        key = (rule.group, rule.alert, tuple(sorted(rule.labels.items())), rule.comparison.metric)
        found[key] = found.get(key, frozenset()) | _selection(rule, side)
    return found


def _selection(rule: Rule, side: Running) -> frozenset[str]:
    metric = METRICS[rule.comparison.metric]
    names: dict[str, dict[str, str]] = {}
    if metric.subject == "stream":
        streams = side.contract.streams if metric.name == SILENCE else lanes_of(side.contract)
        names = {s.stream: {"stream": s.stream} for s in streams}
    elif metric.subject == "performance":
        is_averaged = side.rules.task == "classification_multiclass"
        return frozenset((rule.comparison.averages if is_averaged else ()) or ["performance"])
    elif metric.subject == "detector":
        for detector, stream, column in _watched(side):
            labels = {"detector": detector, "stream": stream, "column": column}
            names[_spelled((detector, stream, column))] = labels
    else:
        for series in series_of(side.contract):
            if ("numeric" if series.numeric else "categorical") in metric.kinds:
                names[f"{series.stream}/{series.name}"] = {"stream": series.stream, "column": series.name}
    own = [s for s in rule.comparison.selectors if s.label in ("stream", "column", "detector")]
    return frozenset(name for name, labels in names.items() if all(s.matches(labels) for s in own))


def _titles(keys: Iterable[_AlertKey]) -> dict[_AlertKey, str]:
    """Return a title for each alert: its group, name and labels, and its metric if these name several."""
    plain = {key: _titled(key) for key in keys}
    several = {title for title, count in Counter(plain.values()).items() if count > 1}
    return {key: f"{title} on {key[3]}" if title in several else title for key, title in plain.items()}


def _titled(key: _AlertKey) -> str:
    group, alert, labels, _ = key
    listed = ",".join(f"{name}={value}" for name, value in labels)
    return f"{group}/{alert}" + (f"{{{listed}}}" if listed else "")
