"""Messages of alerts, retraining requests and observations: golden bytes, and valid CloudEvents 1.0."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.config.expression import parse
from monitor.config.resolved import Rule, WindowSpec
from monitor.evaluate.alerts import AlertContext, Place, alert_message
from monitor.evaluate.lifecycle import AlertState, fingerprint
from monitor.evaluate.model_alerts import NAMED, Transition
from monitor.evaluate.named import NO_NAMES, Named, Names
from monitor.evaluate.observations import observation_key, observation_message
from monitor.evaluate.retraining import RetrainingRequest, retraining_message
from monitor.evaluate.rules import Threshold
from monitor.events import Change, Histogram, NamedColumn, Observation, OffsetRange, ReferenceInfo, Verdict
from tests.schemas import check_message

WINDOW = WindowSpec(events=5000, every=500, time_ms=None, every_ms=None)
T0 = 1795257000000  # 2026-11-21T10:30:00Z
MINUTE = 60_000
PLACE = Place("/streamdrift/prod/fraud", "http://streamdrift:8787", "0.1.0", "MkU3OEVBNTcwNTJENDM2Qk")
OBSERVATION = Observation(
    model="fraud-scorer",
    segment="",
    stream="features",
    window=WINDOW.name,
    start=T0 - 290_000,
    end=T0 + 10 * MINUTE,
    events=5000,
    offsets=(OffsetRange("ml.features", 0, 242340, 247340),),
    totals={"events": 5000, "late_rate": 0.0},
    columns={"amount_usd": {"psi": 0.31, "ks": 0.2}, "country": {"psi": 0.01}},
)
RULE = Rule(
    group="drift",
    alert="FeatureDrift",
    comparison=parse("psi > 0.25"),
    window=WINDOW,
    for_ms=10 * MINUTE,
    keep_firing_for_ms=0,
    min_events=2000,
    labels={"severity": "warning"},
    annotations={
        "summary": "{{ labels.model }}: psi of {{ labels.column }} is {{ value }} (limit {{ threshold }})",
        "runbook_url": "https://wiki.example/runbooks/drift",
    },
)


def a_verdict(
    column: str | None = "amount_usd", value: float = 0.31, window: Observation | None = OBSERVATION
) -> Verdict:
    place = ("stream", "features") if column is None else ("column", column)
    labels = [
        ("alertname", "FeatureDrift"),
        place,
        ("metric", "psi"),
        ("model", "fraud-scorer"),
        ("severity", "warning"),
    ]
    return Verdict(tuple(sorted(labels)), "features", column, value, ">", 0.25, "constant", None, value > 0.25, window)


def an_alert(verdict: Verdict, rule: Rule = RULE) -> AlertState:
    return AlertState(fingerprint(verdict.labels), rule, "firing", T0, OBSERVATION.start, T0 + 600_000, 1, verdict)


def histogram(verdict: Verdict) -> Histogram | None:
    return Histogram((0, 25, 50.5), (0.75, 0.25), (0.5, 0.5)) if verdict.column else None


def reference(verdict: Verdict) -> ReferenceInfo | None:
    return ReferenceInfo("sha256:5d1e", 120000, T0 - 600 * MINUTE, None) if verdict.column else None


CONTEXT = AlertContext(PLACE, "77aa", histogram, reference)
UNKNOWN = AlertContext(PLACE, "77aa", lambda verdict: None, lambda verdict: None)


def a_transition(status: Any, verdict: Verdict, rule: Rule = RULE) -> Transition:
    return Transition(T0 + 10 * MINUTE, status, an_alert(verdict, rule), ("tx_last_hour",), 1)


def assert_cloud_event(message: bytes) -> dict[str, Any]:
    """CloudEvents 1.0: the required attributes and the optional ones that are used, non-empty strings."""
    event: dict[str, Any] = json.loads(message)
    assert event["specversion"] == "1.0"
    assert all(isinstance(v, str) and v for k, v in event.items() if k != "data")
    assert {"id", "source", "type", "specversion"} <= set(event)
    assert all(k.isalnum() and k.islower() for k in event)
    assert event["time"].endswith("Z")
    return event


def test_a_firing_alert() -> None:
    """The message of the design, key by key."""
    message = alert_message(a_transition("firing", a_verdict()), CONTEXT)
    assert_cloud_event(message)
    assert message.decode() == (
        '{"specversion":"1.0","type":"streamdrift.alert.firing.v1","source":"/streamdrift/prod/fraud",'
        '"id":"d8d48fcb9dcf5f60/2026-11-21T10:40:00Z/firing/1","time":"2026-11-21T10:40:00Z",'
        '"subject":"fraud-scorer/amount_usd","datacontenttype":"application/json",'
        '"dataschema":"/schemas/alert-v1.json","partitionkey":"d8d48fcb9dcf5f60",'
        '"data":{"status":"firing",'
        '"labels":{"alertname":"FeatureDrift","column":"amount_usd","metric":"psi","model":"fraud-scorer",'
        '"severity":"warning"},'
        '"annotations":{"summary":"fraud-scorer: psi of amount_usd is 0.31 (limit 0.25)",'
        '"runbook_url":"https://wiki.example/runbooks/drift"},'
        '"startsAt":"2026-11-21T10:30:00Z","endsAt":null,'
        '"generatorURL":"http://streamdrift:8787/models/fraud-scorer/columns/amount_usd?at=2026-11-21T10:30:00Z",'
        '"fingerprint":"d8d48fcb9dcf5f60",'
        '"evidence":{"value":0.31,"op":">","threshold":0.25,"threshold_source":"constant",'
        '"pending_since":"2026-11-21T10:30:00Z",'
        f'"window":{{"name":"{WINDOW.name}","events":5000,"from":"2026-11-21T10:25:10Z","to":"2026-11-21T10:40:00Z",'
        '"offsets":[{"topic":"ml.features","partition":0,"start":242340,"end":247340}],"offsets_count":1},'
        '"reference":{"id":"sha256:5d1e","events":120000,"from":"2026-11-21T00:30:00Z","to":null},'
        '"histogram":{"edges":[0,25,50.5],"reference":[0.75,0.25],"current":[0.5,0.5],"beyond_rate":0.0},'
        '"also_drifting":["tx_last_hour"],"also_drifting_count":1},'
        '"config":{"rule":"drift/FeatureDrift","alerts_yaml_sha256":"77aa","version":"0.1.0"}}}'
    )


def test_a_resolved_alert_holds_when_it_ended() -> None:
    """Another id and type, `endsAt`, and the evidence that cleared it; the fingerprint stays."""
    firing = assert_cloud_event(alert_message(a_transition("firing", a_verdict()), CONTEXT))
    resolved = assert_cloud_event(alert_message(a_transition("resolved", a_verdict(value=0.2)), CONTEXT))
    assert resolved["type"] == "streamdrift.alert.resolved.v1"
    assert resolved["id"].split("/")[2:] == ["resolved", "1"]
    assert resolved["data"]["endsAt"] == "2026-11-21T10:40:00Z"
    assert resolved["data"]["evidence"]["value"] == 0.2
    assert resolved["data"]["fingerprint"] == firing["data"]["fingerprint"]


def test_an_update_names_all_and_what_is_new() -> None:
    """Another id and type, the same fingerprint; at most 20 names of each list, and how many there are."""
    names = tuple(f"FeatureShift/c{k:02}" for k in range(30))
    transition = a_transition("updated", a_verdict())
    alert = replace(transition.alert, named=Named(("b",), names, len(names), T0))
    update = assert_cloud_event(
        alert_message(replace(transition, alert=alert, added=Names(("b",), names[25:])), CONTEXT)
    )
    assert (update["type"], update["data"]["status"]) == ("streamdrift.alert.updated.v1", "updated")
    assert update["id"] == "d8d48fcb9dcf5f60/2026-11-21T10:40:00Z/updated/1"
    assert update["data"]["endsAt"] is None
    evidence = update["data"]["evidence"]
    assert (evidence["under"], evidence["under_count"]) == (list(names[:20]), 30)
    assert evidence["added"] == {
        "columns": ["b"],
        "columns_count": 1,
        "under": list(names[25:]),
        "under_count": 5,
    }


NAMED_COLUMN = NamedColumn("c" * 60, -123.456789, "vanished_category", 0.123456789, -0.0, None)


def test_the_columns_of_a_change_are_listed_with_what_shows_there() -> None:
    """Twenty names of 30 letters fit beside all else that such an alert has; numbers have six digits."""
    rule = RULE.model_copy(update={"annotations": {"summary": "{{ labels.model }}: {{ columns }}"}})
    columns = [NAMED_COLUMN._replace(column=f"{k:030}") for k in range(33)]
    columns[1] = NamedColumn("x", 5.0, "correlation", 0.25, 0.5, "y")
    change = Change(T0, T0 - MINUTE, T0 + MINUTE, None, None, None, "location")
    context = replace(UNKNOWN, columns=lambda _: columns, change=lambda _: change)
    transition = a_transition("firing", a_verdict(None, window=None), rule)
    names = tuple(column.column for column in columns)
    transition = replace(transition, alert=replace(transition.alert, named=Named(names)))
    message = alert_message(transition, context)
    check_message(message)
    data = json.loads(message)["data"]
    assert data["annotations"]["summary"] == f"fraud-scorer: {'0' * 30}, x, {2:030} and 30 more"
    assert data["evidence"]["change"]["kind"] == "location"
    assert data["evidence"]["columns_count"] == 33
    assert len(data["evidence"]["columns"]) == 20
    assert data["evidence"]["columns"][:2] == [
        {"column": "0" * 30, "kind": "vanished_category", "z": -123.457, "before": 0.123457, "after": 0.0},
        {"column": "x", "kind": "correlation", "z": 5.0, "before": 0.25, "after": 0.5, "with_column": "y"},
    ]


def test_an_alert_on_a_stream_has_no_column_things() -> None:
    """No window, reference or histogram is made up; subject and link name the stream."""
    rule = RULE.model_copy(update={"annotations": {}})
    event = assert_cloud_event(alert_message(a_transition("firing", a_verdict(None, window=None), rule), CONTEXT))
    evidence = event["data"]["evidence"]
    assert (evidence["window"], evidence["reference"], evidence["histogram"]) == (None, None, None)
    assert event["subject"] == "fraud-scorer/features"
    assert event["data"]["generatorURL"].startswith("http://streamdrift:8787/models/fraud-scorer/streams/features?at=")


def test_what_is_not_known_of_a_column_is_null() -> None:
    """Without a reference there is neither its id nor a histogram."""
    event = assert_cloud_event(alert_message(a_transition("firing", a_verdict()), UNKNOWN))
    assert (event["data"]["evidence"]["reference"], event["data"]["evidence"]["histogram"]) == (None, None)


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a\x1b[31mb", "a\ufffd[31mb"), ("a\x00b\x9b", "a\ufffdb\ufffd"), ("two\nlines\t'\"<>", "two\nlines\t'\"<>")],
)
def test_control_characters_of_annotations_are_replaced(text: str, shown: str) -> None:
    """Nothing in an annotation acts on a reader's terminal."""
    rule = RULE.model_copy(update={"annotations": {"summary": text}})
    event = assert_cloud_event(alert_message(a_transition("firing", a_verdict(), rule), CONTEXT))
    assert event["data"]["annotations"] == {"summary": shown}


def test_names_in_links_are_quoted() -> None:
    """A column's name can't leave its place in the link."""
    event = assert_cloud_event(alert_message(a_transition("firing", a_verdict("a/b?c d")), CONTEXT))
    assert "/columns/a%2Fb%3Fc%20d?at=" in event["data"]["generatorURL"]


@st.composite
def large(draw: st.DrawFn) -> tuple[Transition, AlertContext]:
    """Long and hostile texts wherever texts are, many partitions, many columns."""
    plain = st.text(max_size=4000).filter(lambda text: "{{" not in text and "}}" not in text)
    text = plain | st.sampled_from(["\x01" * 3000, "🦊" * 3000, '"\\' * 2000, "x" * 5000])
    number = draw(st.integers(0, 20))
    labels = {f"{'l' * 60}{i:04}": draw(text) for i in range(number)}
    annotations = {f"{'a' * 60}{i:04}": draw(text) for i in range(20 - number)}
    column, model = draw(text), draw(text)
    own = {"alertname": draw(text), "column": column, "metric": "psi", "model": model, "detector": draw(text)}
    window = replace(
        OBSERVATION,
        offsets=tuple(OffsetRange("t" * 249, p, 10**15, 10**15 + p) for p in range(draw(st.integers(0, 300)))),
    )
    verdict = replace(a_verdict(), labels=tuple(sorted({**labels, **own}.items())), column=column, window=window)
    edges = tuple(draw(text) for _ in range(11))
    context = AlertContext(
        PLACE,
        "7" * 64,
        lambda _: Histogram(edges, (0.123456,) * 10, (0.123456,) * 10),
        lambda _: reference(a_verdict()),
    )
    listed = [NAMED_COLUMN._replace(column=draw(text), with_column=draw(text)) for _ in range(draw(st.integers(0, 25)))]
    context = replace(context, columns=lambda _: listed)
    rule = RULE.model_copy(update={"annotations": annotations, "alert": draw(text), "group": draw(text)})
    names = tuple(draw(text) for _ in range(NAMED))
    alert = replace(an_alert(verdict, rule), named=Named(names, names * 9, 9))
    added = draw(st.sampled_from([NO_NAMES, Names(names, names * 5)]))
    return Transition(T0 + MINUTE, "updated" if any(added) else "firing", alert, names, 999, added), context


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(large())
def test_an_alert_has_at_most_4_kib(made: tuple[Transition, AlertContext]) -> None:
    """Whatever the labels, annotations, categories, columns and partitions; the fingerprint is of the labels uncut."""
    transition, context = made
    message = alert_message(transition, context)
    assert len(message) <= 4096
    assert assert_cloud_event(message)["data"]["fingerprint"] == fingerprint(transition.alert.verdict.labels)


def test_texts_are_cut_at_the_documented_lengths() -> None:
    """With an ellipsis; what fits is left alone."""
    labels = (*a_verdict().labels, ("team", "t" * 129), ("unit", "u" * 128))
    verdict = replace(a_verdict(), labels=tuple(sorted(labels)))
    rule = RULE.model_copy(update={"annotations": {"long": "a" * 513, "short": "a" * 512}})
    context = replace(CONTEXT, histogram=lambda _: Histogram(("c" * 65, "c" * 64), (1.0, 0.0), (1.0, 0.0)))
    event = assert_cloud_event(alert_message(a_transition("firing", verdict, rule), context))
    assert event["data"]["labels"]["team"] == "t" * 127 + "…"
    assert event["data"]["labels"]["unit"] == "u" * 128
    assert event["data"]["annotations"] == {"long": "a" * 511 + "…", "short": "a" * 512}
    assert event["data"]["evidence"]["histogram"]["edges"] == ["c" * 63 + "…", "c" * 64]


def test_a_retraining_request() -> None:
    """Reason, data as half-open offset ranges by topic, and that nobody needs to approve."""
    request = RetrainingRequest(
        T0 + 11 * MINUTE, "fraud-scorer", "fraud-refresh", (an_alert(a_verdict()),), T0 - 290_000, T0 + 11 * MINUTE
    )
    ranges = (
        OffsetRange("ml.predictions", 0, 5, 7),
        OffsetRange("ml.features", 1, 180011, 244871),
        OffsetRange("ml.features", 0, 182340, 247340),
    )
    asked: list[tuple[int, int]] = []

    def give(start: int, end: int) -> tuple[OffsetRange, ...]:
        asked.append((start, end))
        return ranges

    message = retraining_message(request, PLACE, give)
    assert_cloud_event(message)
    assert asked == [(T0 - 290_000, T0 + 11 * MINUTE)]
    assert message.decode() == (
        '{"specversion":"1.0","type":"streamdrift.retraining.requested.v1","source":"/streamdrift/prod/fraud",'
        '"id":"fraud-refresh/fraud-scorer/2026-11-21T10:41:00Z","time":"2026-11-21T10:41:00Z","subject":"fraud-scorer",'
        '"datacontenttype":"application/json","dataschema":"/schemas/retraining-v1.json",'
        '"partitionkey":"fraud-scorer",'
        '"data":{"request_id":"fraud-refresh/fraud-scorer/2026-11-21T10:41:00Z","trigger":"fraud-refresh",'
        '"state":"requested",'
        '"model":{"name":"fraud-scorer"},'
        '"reasons":[{"alertname":"FeatureDrift","fingerprint":"d8d48fcb9dcf5f60",'
        '"startsAt":"2026-11-21T10:30:00Z"}],"reasons_count":1,'
        '"training_window":{"from":"2026-11-21T10:25:10Z","to":"2026-11-21T10:41:00Z",'
        '"interval":"half-open [start,end)","cluster_id":"MkU3OEVBNTcwNTJENDM2Qk",'
        '"topics":[{"name":"ml.features","partitions":['
        '{"partition":0,"start":182340,"end":247340,"records":65000},'
        '{"partition":1,"start":180011,"end":244871,"records":64860}]},'
        '{"name":"ml.predictions","partitions":[{"partition":0,"start":5,"end":7,"records":2}]}]},'
        '"approval":{"required":false,"state":"not_required"}}}'
    )


def test_an_observation() -> None:
    """One message a window, with the scores as they are."""
    thresholds = [Threshold(RULE, "psi", 0.25, {}), Threshold(RULE, "ks", None, {"amount_usd": 0.125})]
    message = observation_message(OBSERVATION, PLACE, "sha256:5d1e", thresholds)
    assert_cloud_event(message)
    key = f"fraud-scorer//features/{WINDOW.name}"
    assert observation_key(OBSERVATION) == key
    assert message.decode() == (
        '{"specversion":"1.0","type":"streamdrift.observation.v1","source":"/streamdrift/prod/fraud",'
        f'"id":"{key}/2026-11-21T10:40:00Z","time":"2026-11-21T10:40:00Z","subject":"fraud-scorer/features",'
        '"datacontenttype":"application/json","dataschema":"/schemas/observation-v1.json",'
        f'"partitionkey":"{key}",'
        '"data":{"model":"fraud-scorer","segment":"","stream":"features",'
        f'"window":{{"name":"{WINDOW.name}","from":"2026-11-21T10:25:10Z","to":"2026-11-21T10:40:00Z","events":5000,'
        '"offsets":[{"topic":"ml.features","partition":0,"start":242340,"end":247340}]},'
        '"reference":"sha256:5d1e","thresholds":['
        '{"rule":"drift/FeatureDrift","labels":{"severity":"warning"},"metric":"psi","op":">","threshold":0.25},'
        '{"rule":"drift/FeatureDrift","labels":{"severity":"warning"},"metric":"ks","op":">",'
        '"by_column":{"amount_usd":0.125}}],'
        '"totals":{"events":5000,"late_rate":0.0},'
        '"columns":{"amount_usd":{"psi":0.31,"ks":0.2},"country":{"psi":0.01}}}}'
    )


def test_an_observation_of_performance_says_when_labels_brought_it_further() -> None:
    """The same window comes again, each time with an id of its own, and in the order of the pane ends."""
    window = replace(OBSERVATION, stream="performance", offsets=(), columns={})
    at = [OBSERVATION.end + MINUTE, OBSERVATION.end + 3 * MINUTE]
    messages = [json.loads(observation_message(window, PLACE, "", (), end)) for end in at]
    assert [message["time"] for message in messages] == ["2026-11-21T10:41:00Z", "2026-11-21T10:43:00Z"]
    key = f"fraud-scorer//performance/{WINDOW.name}/2026-11-21T10:40:00Z"
    assert [message["id"] for message in messages] == [f"{key}/{message['time']}" for message in messages]
