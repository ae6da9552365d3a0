"""Whether the engine says of a log what the slow oracle says: every window, counter, outcome and alert."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import sqrt
from statistics import NormalDist
from typing import Any

import msgspec

from monitor.codec.times import parse_time
from monitor.evaluate.messages import Message
from monitor.evaluate.performance import Performance
from monitor.panes.grid import Grid
from tests.labels.logs import LabelLog, Outcome
from tests.labels.oracle import Expected, Seen, Transition, expected

NEAR = 1e-9
"""Units are 2**-32, and numbers have 12 digits."""
AREA = ("roc_auc", "roc_auc_error")
OF_ERRORS = ("mae", "rmse", "bias")


def differences(
    log: LabelLog, messages: Sequence[Message], performance: Performance, outcomes: Sequence[Outcome]
) -> list[str]:
    """What the engine says otherwise, at most a few things of each kind."""
    spread = spread_of(performance._pairs._grid)
    found = expected(log, spread)
    decoded = [(message.topic, msgspec.json.decode(message.value)) for message in messages]
    seen = [event["data"] for topic, event in decoded if topic == "observations" if "window" in event["data"]]
    alerts = [event for topic, event in decoded if topic == "alerts"]
    return [
        *_observations([data for data in seen if data["stream"] == "performance"], found, spread),
        *_counters(performance.counters, found.counters),
        *_transitions([e for e in alerts if e["subject"] == "m/performance"], found.transitions),
        *_outcomes(outcomes, found.outcomes, spread),
        *_budget([e["data"] for e in alerts if e["type"] == "streamdrift.notice.v1"], found.budget),
    ]


def spread_of(grid: Grid | None) -> float:
    """That of the predictions; 1 where none was needed."""
    of = [] if grid is None else [bins.spread for bins in grid.numeric if bins.name == "prediction"]
    return of[0] if of else 1.0


def is_near(ours: float, theirs: float, unit: float = 1.0) -> bool:
    return abs(ours - theirs) <= NEAR * max(unit, abs(theirs))


# ---------------------------------------------------------------------- windows


def _observations(found: Sequence[Mapping[str, Any]], wanted: Expected, spread: float) -> list[str]:
    ours = defaultdict(list)
    for data in found:
        ours[data["window"]["name"], parse_time(data["window"]["to"])].append(data)
    wrong = []
    for key in sorted({*ours, *wanted.observations}):
        theirs = wanted.observations.get(key, [])
        if len(ours[key]) != len(theirs):
            said = [(data["labels"]["labels"], data["labels"]["maturity"]) for data in ours[key]]
            wrong.append(f"{key}: {said}, not {[(seen.window.labels, seen.window.standing) for seen in theirs]}")
            continue
        wrong += [text for data, seen in zip(ours[key], theirs, strict=True) for text in _window(data, seen, spread)]
    return wrong[:5]


def _window(data: Mapping[str, Any], seen: Seen, spread: float) -> list[str]:
    """How an observation differs."""
    window, labels = seen.window, data["labels"]
    said = (parse_time(data["window"]["from"]), labels["predictions"], labels["labels"], labels["maturity"])
    if said != (window.start, window.predictions, window.labels, window.standing):
        return [f"{seen.name}: {said}, not {window}"]
    if not is_near(labels["coverage"], window.labels / window.predictions):
        return [f"{seen.name} {window.end}: a coverage of {labels['coverage']}"]
    wrong = _series(data["totals"], seen, spread)
    for name, bounds in seen.intervals.items():
        unit = _unit_of_area(data["totals"], seen) if name == "roc_auc" else spread if name in OF_ERRORS else 1.0
        ours = labels["intervals"].get(name, (float("nan"),) * 2)
        if not all(is_near(*pair, unit) for pair in zip(ours, bounds, strict=True)):
            wrong.append(f"{seen.name} {window.end}: {name} in {ours}, not in {bounds}")
    extra = labels["intervals"].keys() - seen.intervals.keys()
    return [*wrong, *(f"{seen.name} {window.end}: an interval of {name}" for name in extra)]


def _unit_of_area(totals: Mapping[str, float], seen: Seen) -> float:
    """How far an end of the interval of the area may be from that of raw scores, over NEAR.

    Bins move the placement of a row by at most half the share of the other side in its bin. So the area moves by at
    most `error`; the deviation of placements by at most the root of their mean square, and that is at most error / 2.
    """
    error = totals["roc_auc_error"]
    of_sides = sum(error / 2 / (n - 1) for n in seen.sides)
    return 1.0 + (error + NormalDist().inv_cdf(0.975) * sqrt(of_sides)) / NEAR


def _series(totals: Mapping[str, float], seen: Seen, spread: float) -> list[str]:
    wrong = []
    if totals.keys() - {"roc_auc_error"} != seen.series.keys():
        wrong.append(f"{seen.name} {seen.window.end}: {sorted(totals)}, not {sorted(seen.series)}")
    wrong += [
        f"{seen.name} {seen.window.end}: {name} {totals[name]}, not {seen.series[name]}"
        for name in sorted(totals.keys() & seen.series.keys() - {*AREA})
        if not is_near(totals[name], seen.series[name], spread if name in OF_ERRORS else 1.0)
    ]
    if {"roc_auc"} <= totals.keys() & seen.series.keys():
        gap = abs(totals["roc_auc"] - seen.series["roc_auc"])
        if gap > totals["roc_auc_error"] + NEAR:
            wrong.append(f"{seen.name} {seen.window.end}: roc_auc is {gap} from {seen.series['roc_auc']}")
    return wrong


def _counters(ours: Mapping[str, int], theirs: Mapping[str, int]) -> list[str]:
    names = sorted(ours.keys() | theirs.keys())
    return [f"{name}: {ours.get(name)}, not {theirs.get(name)}" for name in names if ours.get(name) != theirs.get(name)]


def _budget(notices: Sequence[Mapping[str, Any]], wanted: tuple[int, int] | None) -> list[str]:
    """How what is reported of the budget differs: once, when it is first too small, with the sample that would do."""
    own = [data for data in notices if data["labels"].get("bound") == "pending"]
    ours = [(parse_time(data["time"]), int(data["text"].split("sample: 1/")[1].split("}")[0])) for data in own]
    return [] if ours == ([] if wanted is None else [wanted]) else [f"budget: {ours}, not {wanted}"]


# ---------------------------------------------------------------------- alerts


def _transitions(ours: Sequence[Mapping[str, Any]], theirs: Sequence[Transition]) -> list[str]:
    said = sorted(map(_said, ours))
    wanted = sorted(map(_wanted, theirs))
    if [one[:-2] for one in said] != [one[:-2] for one in wanted]:
        only = [one for one in said if one[:-2] not in [other[:-2] for other in wanted]]
        lacking = [one for one in wanted if one[:-2] not in [other[:-2] for other in said]]
        return [f"alerts {only[:3]}, and not {lacking[:3]}"]
    return [
        f"{one}, not {other}"
        for one, other in zip(said, wanted, strict=True)
        if not all(is_near(*pair) for pair in zip(one[-2:], other[-2:], strict=True))
    ][:5]


def _said(event: Mapping[str, Any]) -> tuple[Any, ...]:
    """When, what, the window, its labels, value and threshold."""
    data, evidence = event["data"], event["data"]["evidence"]
    labels, window = data["labels"], evidence["window"]
    of = evidence["labels"]
    times = (parse_time(window["from"]), parse_time(window["to"]))
    numbers = (evidence["value"], evidence["threshold"])
    name = (labels["alertname"], labels.get("average", ""))
    return (parse_time(event["time"]), *name, data["status"], *times, of["labels"], of["maturity"], *numbers)


def _wanted(one: Transition) -> tuple[Any, ...]:
    alert, average = one.labels
    window = (one.window.start, one.window.end, one.window.labels, one.window.standing)
    return (one.at, alert, average or "", one.status, *window, one.value, one.threshold)


# ---------------------------------------------------------------------- outcomes


def _outcomes(ours: Sequence[Outcome], theirs: Sequence[Outcome], spread: float) -> list[str]:
    if len(ours) != len(theirs):
        return [f"{len(ours)} outcomes, not {len(theirs)}"]
    return [
        f"outcome {number}: {name} {one.get(name)}, not {other.get(name)}"
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True))
        for name in one
        if not is_near(one[name], other[name], spread if name == "loss" else 1.0)
    ][:5]
