"""Nulls in one column: the alert on its data inhibits the one on its drift, and no other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.stories.story import Plot, Row, Story, View

CONFIG = """
version: 1
models:
  inhibited:
    task: regression
    streams: {features: {topic: TOPIC}}
    columns: {numerical: [x, y]}
    reference: {first: 100}
    window: {time: 4s, every: 4s}
    lateness: 0s
    pane: 1s
    interval: 1s
    idle_timeout: 2s
groups:
  - name: inhibited
    model: inhibited
    rules:
      - {alert: Nulls, expr: missing_rate > 0.3, min_events: 10, labels: {cause: upstream}}
      - {alert: Shifted, expr: psi > 0.5, min_events: 10}
inhibit_rules:
  - {source_matchers: ['alertname="Nulls"'], target_matchers: ['alertname="Shifted"'], equal: [column]}
"""


def rows(first: int, last: int, nulls: bool = False, shift: float = 0.0) -> Iterator[Row]:
    """Ten rows a second, of seconds `first` to `last`. `nulls`: the larger half of x is null; `shift`: of y."""
    for number in range(first * 10, last * 10):
        x = number * 7919 % 1000 / 100
        yield Row(number / 10, {"x": None if nulls and x >= 5 else x, "y": number * 104_729 % 1000 / 100 + shift})


def shifted(view: View, column: str) -> list[dict[str, Any]]:
    """The messages of the alert on a column's drift."""
    return view.alerts(alertname="Shifted", column=column)


def muted(view: View, column: str) -> list[tuple[str, bool]]:
    """Status of these messages, and whether something inhibits them."""
    return [(m["data"]["status"], bool(m["data"].get("inhibitedBy"))) for m in shifted(view, column)]


def plot(view: View) -> Plot:
    """x loses values and so drifts; y drifts by itself; then x has its values again."""
    view.send(rows(0, 30))
    view.send(rows(30, 50, nulls=True))
    yield
    view.wait_until(lambda: bool(shifted(view, "x")), "the drift of x is found")
    view.send(rows(50, 70, nulls=True, shift=8.0))
    yield
    view.wait_until(lambda: bool(shifted(view, "y")), "the drift of y is found")
    (nulls,) = view.alerts(alertname="Nulls")
    assert nulls["data"]["labels"]["column"] == "x"
    assert muted(view, "x")[-1] == ("firing", True)
    assert shifted(view, "x")[-1]["data"]["inhibitedBy"] == [nulls["data"]["fingerprint"]]
    assert muted(view, "y") == [("firing", False)]
    view.send(rows(70, 90, shift=8.0))
    yield
    view.wait_until(lambda: len(view.alerts(alertname="Nulls")) == 2, "x has its values again")
    view.settle()
    assert [status for status, _ in muted(view, "x")][-1] == "resolved"
    assert muted(view, "y") == [("firing", False)]


STORY = Story("inhibited", CONFIG, plot)
