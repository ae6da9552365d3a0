"""Messages of alerts: CloudEvents 1.0 in structured JSON, `data` with Alertmanager's keys first.

The bytes depend on the log, the rules and the place alone: `time` is the end of the pane that decided, never a
clock's, and `id` names fingerprint, pane end, status and episode, so a consumer that keeps ids sees each message once;
that of an update by which something else mutes it also says how often that has changed, by either clock.
What is not true of an alert is null: `endsAt` while it fires, the window of a rule on silence, the histogram and the
reference if there is none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote

from monitor.codec.canonical import time_text
from monitor.codec.cloud_events import CloudEvent, JsonObject, MessageType
from monitor.config.template import render
from monitor.evaluate.lifecycle import AlertState, Status
from monitor.evaluate.model_alerts import NAMED, Transition
from monitor.evaluate.named import Names, not_struck
from monitor.events import Change, Histogram, NamedColumn, Observation, OffsetRange, ReferenceInfo, Verdict
from monitor.stats.exact import significant

_TYPES: Mapping[Status, MessageType] = {
    "firing": "streamdrift.alert.firing.v1",
    "updated": "streamdrift.alert.updated.v1",
    "resolved": "streamdrift.alert.resolved.v1",
}


@dataclass(frozen=True, slots=True)
class Place:
    """What depends on where Streamdrift runs and not on the log; a replay takes it from the captured header.

    `source`: CloudEvents source, a path. `links_url`: start of links to the dashboard, without a slash at its end.
    """

    source: str
    links_url: str
    version: str
    cluster_id: str


@dataclass(frozen=True, slots=True)
class AlertContext:
    """What a message says beside the alert. The callables give what is shown of the verdict's column, where known.

    `unverified`: why the alert can't be trusted.
    """

    place: Place
    alerts_yaml_sha256: str
    histogram: Callable[[Verdict], Histogram | None]
    reference: Callable[[Verdict], ReferenceInfo | None]
    change: Callable[[Verdict], Change | None] = lambda _: None
    columns: Callable[[Verdict], Sequence[NamedColumn]] = lambda _: ()
    unverified: Callable[[AlertState], str | None] = lambda _: None


_PAGE = 512
"""Most characters of a link behind its base."""
MOST_BYTES = 4096
"""Most bytes of a message, whatever the labels, the annotations, the columns and the partitions."""


class Lengths(NamedTuple):
    """Most characters of texts in a message, an ellipsis included, and most ranges of offsets and names of a list.

    `name`: of a column, a category and the like.
    """

    label: int = 128
    annotation: int = 512
    name: int = 64
    offsets: int = 16
    names: int = NAMED

    def halved(self) -> Lengths:
        """What is tried next, if a message is still too large."""
        return Lengths(*(length // 2 for length in self))


def alert_message(transition: Transition, context: AlertContext) -> bytes:
    """The message of one transition, as the topic carries it. All lengths are halved until it fits."""
    lengths = Lengths()
    while len(value := _message(transition, context, lengths)) > MOST_BYTES and any(lengths):
        lengths = lengths.halved()
    return value


def _message(transition: Transition, context: AlertContext, lengths: Lengths) -> bytes:
    alert = transition.alert
    return CloudEvent(
        type=_TYPES[transition.status],
        source=context.place.source,
        id=_id(transition),
        at=transition.at,
        subject=_subject(alert.verdict, lengths),
        key=alert.fingerprint,
        data=_data(transition, context, lengths),
    ).encode()


def _id(transition: Transition) -> str:
    alert = transition.alert
    muting = f"/{alert.mutings}" if transition.muting else ""
    return f"{alert.fingerprint}/{time_text(transition.at)}/{transition.status}/{alert.episode}{muting}"


def cut(text: str, most: int) -> str:
    """The text, or its beginning and an ellipsis, in at most that many characters (but one)."""
    return text if len(text) <= most else text[: max(0, most - 1)] + "…"


def _data(transition: Transition, context: AlertContext, lengths: Lengths) -> JsonObject:
    alert, verdict, rule = transition.alert, transition.alert.verdict, transition.alert.rule
    since = time_text(alert.pending_since)
    return {
        "status": transition.status,
        **({} if transition.reason is None else {"reason": transition.reason}),
        "labels": {name: cut(value, lengths.label) for name, value in verdict.labels},
        "annotations": {name: cut(value, lengths.annotation) for name, value in _annotations(alert, context).items()},
        "startsAt": since,
        "endsAt": time_text(transition.at) if transition.status == "resolved" else None,
        "generatorURL": _page(verdict, context.place) + f"?at={since}",
        "fingerprint": alert.fingerprint,
        **_muters("silencedBy", alert.silenced_by, lengths),
        **_muters("inhibitedBy", alert.inhibited_by, lengths),
        **({"incident": transition.incident} if transition.incident else {}),
        "evidence": {
            "value": verdict.value,
            "op": verdict.op,
            "threshold": verdict.threshold,
            "threshold_source": cut(verdict.threshold_source, lengths.label),
            **_recovery(verdict),
            "pending_since": since,
            "window": _window(verdict.window, lengths),
            **({} if verdict.window is None else labelled_value(verdict.window)),
            **_change(context.change(verdict)),
            **_columns(_left(alert, context), lengths),
            **_names(alert.struck, "struck", lengths),
            "reference": reference_value(context.reference(verdict)),
            "histogram": _histogram(context.histogram(verdict), lengths),
            "also_drifting": [cut(name, lengths.name) for name in transition.also_drifting],
            "also_drifting_count": transition.also_drifting_count,
            **_names(alert.named.under, "under", lengths),
            **_unverified(context.unverified(alert), lengths),
            **_added(transition.added, lengths),
        },
        "config": {
            "rule": cut(f"{rule.group}/{rule.alert}", lengths.label),
            "alerts_yaml_sha256": context.alerts_yaml_sha256,
            "version": context.place.version,
        },
    }


def _subject(verdict: Verdict, lengths: Lengths) -> str:
    model, name = dict(verdict.labels)["model"], verdict.column or verdict.stream
    return f"{cut(model, lengths.label)}/{cut(name, lengths.name)}"


def _page(verdict: Verdict, place: Place) -> str:
    """The page of the column or the stream; of the model if that one's name would be cut, and so on."""
    kind, name = ("streams", verdict.stream) if verdict.column is None else ("columns", verdict.column)
    page = ""
    for part in ("models", dict(verdict.labels)["model"]), (kind, name):
        longer = f"{page}/{part[0]}/{quote(part[1], safe='')}"
        if len(longer) > _PAGE or part[1] in (".", ".."):  # these two would lead upwards
            break
        page = longer
    return place.links_url + page


def _annotations(alert: AlertState, context: AlertContext) -> dict[str, str]:
    verdict = alert.verdict
    known = [name for name in alert.named.columns if name not in alert.struck]
    columns = [column.column for column in _left(alert, context)] or known or alert.named.under
    values = {
        "labels": dict(verdict.labels),
        "value": verdict.value,
        "threshold": verdict.threshold,
        "reference": verdict.reference_mean,
        "events": None if verdict.window is None else verdict.window.events,
        "columns": shortened(columns) or None,
    }
    return {name: _printable(render(text, values)) for name, text in alert.rule.annotations.items()}


def _left(alert: AlertState, context: AlertContext) -> Sequence[NamedColumn]:
    """The columns in which an alert sees its change, but for those that are struck."""
    return not_struck(context.columns(alert.verdict), alert.struck)


_SHOWN = 3
"""Columns that an annotation names."""


def shortened(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are.

    >>> shortened(["a", "b"]), shortened(["d", "c", "b", "a", "e"])
    ('a, b', 'd, c, b and 2 more')
    """
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _printable(text: str) -> str:
    """Control characters but newline and tab would act on a reader's terminal or chat: replaced."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "\ufffd", text)


def _window(window: Observation | None, lengths: Lengths) -> JsonObject | None:
    if window is None:
        return None
    return {
        "name": window.window,
        "events": window.events,
        "from": time_text(window.start),
        "to": time_text(window.end),
        "offsets": offsets_value(window.offsets[: lengths.offsets]),
        "offsets_count": len(window.offsets),
    }


def labelled_value(window: Observation) -> JsonObject:
    """What messages say, as `labels`, of how complete those of a window of performance are; of others nothing."""
    labelled = window.labelled
    if labelled is None:
        return {}
    return {
        "labels": {
            "maturity": labelled.standing,
            "predictions": labelled.predictions,
            "labels": labelled.labels,
            "coverage": labelled.coverage,
            "intervals": {name: list(bounds) for name, bounds in sorted(labelled.intervals.items())},
        }
    }


def _columns(columns: Sequence[NamedColumn], lengths: Lengths) -> JsonObject:
    if not columns:
        return {}
    shown = [_column(column, lengths) for column in columns[: lengths.names]]
    return {"columns": shown, "columns_count": len(columns)}


def _column(column: NamedColumn, lengths: Lengths) -> JsonObject:
    """One column. Numbers have six significant digits, so that twenty columns have room."""
    numbers = {"z": column.z, "before": column.before, "after": column.after}
    other = {} if column.with_column is None else {"with_column": cut(column.with_column, lengths.name)}
    return {
        "column": cut(column.column, lengths.name),
        "kind": column.kind,
        **{name: float(f"{number:.6g}") + 0.0 for name, number in numbers.items()},
        **other,
    }


def _names(names: Sequence[str], key: str, lengths: Lengths) -> JsonObject:
    """The first of some names, and how many there are; nothing if there are none."""
    if not names:
        return {}
    return {key: [cut(name, lengths.name) for name in names[: lengths.names]], f"{key}_count": len(names)}


def _muters(key: str, ids: Sequence[str], lengths: Lengths) -> JsonObject:
    """What mutes an alert; nothing if nothing does."""
    return {key: list(ids[: max(1, lengths.names)])} if ids else {}


def _added(added: Names, lengths: Lengths) -> JsonObject:
    """What an update names that no message has named before."""
    found = {**_names(added.columns, "columns", lengths), **_names(added.under, "under", lengths)}
    return {"added": found} if found else {}


def _recovery(verdict: Verdict) -> JsonObject:
    return {} if verdict.recovery_threshold is None else {"recovery_threshold": verdict.recovery_threshold}


def _unverified(why: str | None, lengths: Lengths) -> JsonObject:
    return {} if why is None else {"unverified": cut(why, lengths.annotation)}


def _change(change: Change | None) -> JsonObject:
    if change is None:
        return {}
    return {
        "change": {
            "at": time_text(change.at),
            "from": time_text(change.start),
            "to": time_text(change.end),
            "before": change.before,
            "after": change.after,
            "width": change.width,
            "kind": change.kind,
        }
    }


def offsets_value(offsets: Sequence[OffsetRange]) -> list[JsonObject]:
    """Ranges as messages write them."""
    return [range_._asdict() for range_ in offsets]


def reference_value(info: ReferenceInfo | None) -> JsonObject | None:
    """What messages say of a reference."""
    if info is None:
        return None
    return {
        "id": info.id,
        "events": info.events,
        "from": None if info.start is None else time_text(info.start),
        "to": None if info.end is None else time_text(info.end),
    }


def _histogram(histogram: Histogram | None, lengths: Lengths) -> JsonObject | None:
    if histogram is None:
        return None
    return {
        "edges": [_edge(edge, lengths) for edge in histogram.edges],
        "reference": [significant(share) for share in histogram.reference],
        "current": [significant(share) for share in histogram.current],
        "beyond_rate": histogram.beyond_rate,
    }


def _edge(edge: float | str, lengths: Lengths) -> float | str:
    if isinstance(edge, str):
        return cut(edge, lengths.name)
    return significant(edge) if isinstance(edge, float) else edge
