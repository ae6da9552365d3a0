"""The text of a proposed alerts.yaml: commented, so that whoever reads it learns what may be changed."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from monitor.codec.columns import class_of
from monitor.codec.durations import duration_text
from monitor.contract import OUTCOMES
from monitor.inference.column_values import Values
from monitor.inference.plan import Plan
from monitor.inference.roles import Decision, Role
from monitor.inference.sample import Sample

_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_WORDS: Final = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
_WIDTH: Final = 110
_STREAMS: Final[Mapping[str, tuple[Role, ...]]] = {
    "features": ("numerical", "binary", "categorical", "arrays"),
    "predictions": ("prediction", "probability"),
}
"""The roles of each stream's columns."""
_KEPT_MS: Final = 300_000
_KEPT_PANES: Final = 30
"""Three blocks of `drift`, if a pane holds one row."""
_COHORTS: Final = 2000
"""Most steps of a window of performance that labels may be pending in."""
_ALERTS: Final = {"features": "FeatureDrift", "predictions": "PredictionDrift"}
_RATES: Final = {"MissingValues": "missing_rate", "InvalidValues": "invalid_rate"}
_NEW_CATEGORIES: Final = {"NewCategories": "new_category_rate"}


def text_of(sample: Sample, decisions: Sequence[Decision], plan: Plan, model: str, topic: str | None) -> str:
    """Write the file. `topic`: that the rows come from; None: topics are named after the model."""
    return "\n".join(_lines(sample, decisions, plan, model, topic)) + "\n"


def _lines(sample: Sample, decisions: Sequence[Decision], plan: Plan, model: str, topic: str | None) -> Iterator[str]:
    by_role: dict[str, list[str]] = {}
    for decision in decisions:
        by_role.setdefault(decision.role, []).append(decision.name)
    streams = [stream for stream, roles in _STREAMS.items() if any(role in by_role for role in roles)]
    has_labels = may_have_labels(sample, by_role, plan, topic)
    yield f"# Proposed by `streamdrift init` from {_comment(sample.name)} ({plan.why})."
    yield "# docs/alerts-yaml.md explains every key; `streamdrift check` says what is wrong after a change."
    yield "version: 1"
    yield "models:"
    yield f"  {model}:"
    yield f"    task: {plan.task}"
    yield f"    streams: # what the service reads{'; a file feeds all of them' if topic is None else ''}"
    for stream in streams:
        yield f"      {stream}: {{topic: {quoted(topic or f'{model}.{stream}')}}}"
    if has_labels:
        pending = min(1_000_000, _COHORTS * plan.every)
        topic_of_labels = quoted(f"{model}.labels")
        yield f"      labels: {{topic: {topic_of_labels}, pending: {pending}}} # most predictions that wait for labels"
    yield "    columns:"
    if "timestamp" in by_role:
        yield from _timestamp(sample, by_role["timestamp"][0])
    else:
        yield f"      # {without_times(sample, topic)}"
    yield from _columns(decisions, by_role, has_labels=has_labels)
    yield from _settings(plan)
    if has_labels:
        yield from _performance(sample, by_role, plan)
    yield "groups:"
    yield "  - name: drift"
    yield f"    models: [{model}]"
    yield "    rules:"
    yield "      # one alert a stream that has left its reference; while it fires, those under it are listed in it"
    yield f"      - {{alert: Drift, expr: drift > 1, keep_firing_for: {duration_text(_kept_ms(plan))}}}"
    yield "      # reference_mean and reference_std: what windows of this size have, and vary by, without any change;"
    yield "      # what is added is the change that people act on"
    for stream in streams:
        expr = f'psi{{stream="{stream}"}} > {_above(plan.change)}'
        yield f"      - {{alert: {_ALERTS[stream]}, expr: '{expr}', min_events: {plan.window}, under: Drift}}"
    for alert, metric in (_RATES | (_NEW_CATEGORIES if "categorical" in by_role else {})).items():
        yield f"      - {{alert: {alert}, expr: {metric} > {_above(0.05)}, min_events: {plan.window}}}"
    if has_labels:
        worse = "mae > 1.2 * reference_mean" if plan.task == "regression" else "accuracy < reference_mean - 0.05"
        yield "      # of predictions whose labels have come: the whole interval of the value is worse"
        yield f"      - {{alert: PerformanceDrop, expr: {worse}, confidence: 0.95}}"


def _kept_ms(plan: Plan) -> int:
    """How long the alert of a change is kept when its value comes back, which it does near the limit."""
    return max(_KEPT_MS, _KEPT_PANES * (plan.pane_ms or 0))


def _above(change: float) -> str:
    """A threshold that chance does not pass, with the least change that is to be found."""
    return f"reference_mean + {change:g} + 5 * reference_std"


def without_times(sample: Sample, topic: str | None) -> str:
    """Say what follows from rows that have no column of times."""
    if sample.is_events or topic is not None:
        return "no event has a time that can be read: all of them would be dead letters, missing_time"
    return "no column of times: `replay` and `produce file` need --start, and rows are --step apart"


def _timestamp(sample: Sample, name: str) -> Iterator[str]:
    form = Values(sample.columns[name], sample.decimal).time_form.format
    if form:
        yield f"      timestamp: {{field: {quoted(name)}, format: {json.dumps(form)}}} # UTC unless timezone: says else"
    elif name != "event_time":
        yield f"      timestamp: {quoted(name)}"


def may_have_labels(sample: Sample, by_role: Mapping[str, Sequence[str]], plan: Plan, topic: str | None) -> bool:
    """Return true if the rows have labels that a replay of them reads: in tables, beside a prediction, with an id."""
    needed = "prediction" in by_role or (plan.task == "classification_binary" and "probability" in by_role)
    features = {name for role in _STREAMS["features"] for name in by_role.get(role, ())}
    is_free = features.isdisjoint(OUTCOMES)  # else two columns would have one name
    return topic is None and not sample.is_events and needed and is_free and {"label", "id"} <= by_role.keys()


def _performance(sample: Sample, by_role: Mapping[str, Sequence[str]], plan: Plan) -> Iterator[str]:
    """How predictions are compared with their labels. Of two classes by other names the rarer one counts as 1."""
    positive = ""
    classes = Counter(str(cell) for cell in sample.columns[by_role["label"][0]] if cell is not None)
    if plan.task == "classification_binary" and not {class_of(name) for name in classes} <= {"0", "1"}:
        positive = f", positive: {json.dumps(min(classes, key=lambda name: (classes[name], name)), ensure_ascii=False)}"
    yield f"    performance: {{window: {{events: {plan.window}, every: {plan.every}}}{positive}}} # of predictions"


def _columns(decisions: Sequence[Decision], by_role: Mapping[str, Sequence[str]], *, has_labels: bool) -> Iterator[str]:
    """The columns by role, and below them what is left out and why."""
    if has_labels:
        yield f"      id: {quoted(by_role['id'][0])} # by which labels meet predictions"
        yield f"      label: {quoted(by_role['label'][0])}"
    for role in _STREAMS["predictions"]:
        if role in by_role:
            yield f"      {role}: {quoted(by_role[role][0])}"
    for role in _STREAMS["features"]:
        if role in by_role:
            yield from _wrapped(f"      {role}: ", [quoted(name) for name in by_role[role]])
    for decision in decisions:
        if decision.role == "label" and not has_labels:
            yield f"      # {_comment(decision.name)} is the label; labels need an id, see docs/alerts-yaml.md#labels"
        elif decision.role == "id" and not has_labels:
            yield f"      # left out: {_comment(decision.name)}: id-like, {_comment(decision.why)}"
        elif decision.role == "left out":
            yield f"      # left out: {_comment(decision.name)}: {_comment(decision.why)}"


def _settings(plan: Plan) -> Iterator[str]:
    yield f"    reference: {{first: {plan.reference}}} # what is normal: that many rows, {{first: 14d}}, {{path: FILE}}"
    yield f"    window: {{events: {plan.window}, every: {plan.every}}} # what is compared with it"
    if plan.pane_ms is not None and plan.lateness_ms is not None:
        pane = duration_text(plan.pane_ms)
        yield f"    pane: {pane} # time is cut into panes; shorter ones than rows come only cost time"
        yield f"    interval: {pane} # between two judgements"
        yield f"    lateness: {duration_text(plan.lateness_ms)} # how much later than others a row may come"
    if plan.no_data_ms is not None:
        yield f"    no_data: {duration_text(plan.no_data_ms)} # longest silence: three times the longest gap"


def _wrapped(key: str, names: Sequence[str]) -> Iterator[str]:
    """A flow list, over several lines if it is long."""
    line = key + "["
    for i, name in enumerate(names):
        part = name + ("]" if i == len(names) - 1 else ", ")
        if len(line) + len(part) > _WIDTH and line.strip():
            yield line.rstrip()
            line = " " * (len(key) + 1)
        line += part
    yield line


def quoted(name: str) -> str:
    """A name as YAML, quoted unless it is a plain word.

    >>> quoted("age"), quoted("area (m²)"), quoted("yes")
    ('age', '"area (m²)"', '"yes"')
    """
    if _PLAIN.fullmatch(name) and name.lower() not in _WORDS:
        return name
    return json.dumps(name, ensure_ascii=False)


def _comment(text: str) -> str:
    """Text within a comment: one line, without control characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:100]


def model_name(source: str) -> str:
    """A model's name after a file or topic: letters, digits, . _ and -.

    >>> model_name("Übersicht 2026.csv"), model_name("ml.features")
    ('bersicht-2026', 'ml.features')
    """
    stem = re.sub(r"\.(csv|tsv|txt|parquet|pq|feather|arrow|orc|jsonl?|ndjson|gz|zst|bz2)\b", "", source)
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")
    return plain[:100] or "model"
