"""A silence mutes its alerts alone, and ends when it says, without traffic, too."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from tests.commands import silence
from tests.stories.story import Plot, Row, Story, View, seconds_of

CONFIG = """
version: 1
models:
  silenced:
    task: regression
    streams: {features: {topic: TOPIC}}
    columns: {numerical: [x, y]}
    reference: {first: 20}
    window: {time: 2s, every: 2s}
    lateness: 0s
    pane: 1s
    interval: 1s
    idle_timeout: 2s
groups:
  - name: silenced
    model: silenced
    rules:
      - {alert: High, expr: mean > 5, min_events: 1}
      - {alert: Quiet, expr: seconds_since_last_event > 3}
"""
LASTS_S = 6


def rows(first: int, last: int) -> Iterator[Row]:
    """Ten rows a second, of seconds `first` to `last`."""
    for number in range(first * 10, last * 10):
        yield Row(number / 10, {"x": 10.0 + number % 7, "y": 20.0 + number % 5})


def high(view: View, column: str) -> list[dict[str, Any]]:
    """The messages of a column's alert."""
    return view.alerts(alertname="High", column=column)


def changes(view: View, column: str) -> list[tuple[str, list[str]]]:
    """Status and silences of these messages."""
    return [(m["data"]["status"], m["data"].get("silencedBy", [])) for m in high(view, column)]


def ended_at(view: View, column: str) -> float:
    """The time of the newest of them."""
    return seconds_of(high(view, column)[-1]["time"])


def plot(view: View) -> Plot:
    """Both columns are too high from the first window on; x is silenced while rows come, and y while none do."""
    view.send(rows(0, 30))
    yield
    view.wait_until(lambda: bool(high(view, "x") and high(view, "y")), "both alerts fire")
    sent = view.hand_in(silence(LASTS_S * 1000, "alertname=High", "column=x"))
    yield
    first = view.taken(sent)
    view.send(rows(30, 60))
    view.wait_until(lambda: len(high(view, "x")) == 3, "the first silence is over")
    assert changes(view, "x") == [("firing", []), ("updated", [first.id]), ("updated", [])]
    assert ended_at(view, "x") == math.ceil(first.clock + LASTS_S)
    view.wait_until(lambda: bool(view.alerts(alertname="Quiet")), "all is quiet")
    second = view.ask(silence(LASTS_S * 1000, "alertname=High", "column=y"))
    yield
    view.wait_until(lambda: len(high(view, "y")) == 3, "the second silence is over")
    assert changes(view, "y") == [("firing", []), ("updated", [second.id]), ("updated", [])]
    assert ended_at(view, "y") == math.ceil(second.clock + LASTS_S)
    assert len(high(view, "x")) == 3


STORY = Story("silenced", CONFIG, plot)
