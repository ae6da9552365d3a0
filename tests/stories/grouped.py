"""One shift in thirty columns is one incident, the largest three first; a problem on the next day is another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from monitor.ledger.commands import Acknowledge
from tests.stories.story import Plot, Row, Story, View, seconds_of

NUMBER = 30
COLUMNS = [f"c{k:02}" for k in range(NUMBER)]
LARGEST = ["c17", "c04", "c23"]
"""The columns that shift most, the first one by most."""
CONFIG = f"""
version: 1
models:
  grouped:
    task: regression
    streams: {{features: {{topic: TOPIC}}}}
    columns: {{numerical: [late, {", ".join(COLUMNS)}]}}
    reference: {{first: 20}}
    window: {{time: 2s, every: 2s}}
    lateness: 0s
    pane: 1s
    interval: 1s
    idle_timeout: 2s
    no_data: off
    incidents: {{group_wait: 3s, group_interval: 10s}}
groups:
  - name: grouped
    model: grouped
    rules:
      - {{alert: High, expr: mean > 20, min_events: 1}}
      - {{alert: Nulls, expr: missing_rate > 0.5, min_events: 1, labels: {{severity: critical, cause: upstream}}}}
"""
DAY_S = 86_400


def shift_of(column: str) -> float:
    """How far a column shifts, from 21 on."""
    rank = LARGEST.index(column) if column in LARGEST else 3 + COLUMNS.index(column)
    return 21.0 + 5 * (NUMBER + 3 - rank)


def rows(first: int, last: int, shifted: bool, broken: bool = False) -> Iterator[Row]:
    """Ten rows a second, of seconds `first` to `last`. `broken`: without a value in the last column."""
    for number in range(first * 10, last * 10):
        level = {column: shift_of(column) * shifted + number % 7 for column in COLUMNS}
        yield Row(number / 10, {**level, "late": None if broken else number % 5})


def incidents(view: View) -> list[dict[str, Any]]:
    """The messages of the model's incidents by now, in order."""
    return [m for m in view.messages("incidents") if m["data"]["model"] == "grouped"]


def statuses(view: View) -> list[str]:
    """What they say."""
    return [m["data"]["status"] for m in incidents(view)]


def named(view: View, alert: str) -> set[str]:
    """The incidents that the messages of an alert name."""
    return {m["data"].get("incident", "") for m in view.alerts(alertname=alert)}


def plot(view: View) -> Plot:
    """All shift at second 10, and stay so; on the next day the last column loses its values, until both end."""
    view.send(rows(0, 30, shifted=False))
    view.send(rows(30, 60, shifted=True))
    yield
    view.wait_until(lambda: statuses(view) == ["opened"], "the incident is opened")
    first = incidents(view)[0]["data"]
    assert named(view, "High") == {first["incident"]}
    assert (first["columns_count"], first["columns"][:3]) == (NUMBER, LARGEST)
    assert first["title"].endswith(f" in {NUMBER} columns: {', '.join(LARGEST)} and {NUMBER - 3} more")
    assert 29 <= seconds_of(first["since"]) <= 33
    view.ask(Acknowledge(first["incident"], "looking"))
    yield
    view.send(rows(60, 70, shifted=True))
    view.wait_until(lambda: statuses(view) == ["opened", "updated"], "the acknowledgement is there")
    assert incidents(view)[-1]["data"]["acknowledged"]["comment"] == "looking"
    view.send(rows(DAY_S, DAY_S + 20, shifted=True, broken=True))
    yield
    view.wait_until(lambda: len(statuses(view)) == 3, "the second problem is there")
    second = incidents(view)[-1]["data"]
    assert second["status"] == "opened"
    assert named(view, "Nulls") == {second["incident"]} != {first["incident"]}
    assert (second["columns"], second["severity"], second["cause"]) == (["late"], "critical", "upstream")
    view.send(rows(DAY_S + 20, DAY_S + 40, shifted=False))
    yield
    view.wait_until(lambda: statuses(view)[3:] == ["closed", "closed"], "both have ended")
    assert named(view, "High") == {first["incident"]}


STORY = Story("grouped", CONFIG, plot)
