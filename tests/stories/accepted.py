"""What is accepted as normal resolves its alert, and never fires again; a further shift does."""

from __future__ import annotations

from collections.abc import Iterator

from tests.commands import accept
from tests.stories.story import START_MS, Plot, Row, Story, View

CONFIG = """
version: 1
models:
  accepted:
    task: regression
    streams: {features: {topic: TOPIC}}
    columns: {numerical: [x]}
    reference: {first: 100}
    window: {time: 4s, every: 4s}
    lateness: 0s
    pane: 1s
    interval: 1s
    idle_timeout: 2s
groups:
  - name: accepted
    model: accepted
    rules:
      - {alert: Moved, expr: ks > 0.5, min_events: 20}
      - {alert: Drift, expr: drift > 1}
      - {alert: Full, expr: events > 1, min_events: 1}
"""
RESOLVED = ("resolved", "accepted")


def rows(first: int, last: int, shift: float = 0.0) -> Iterator[Row]:
    """Ten rows a second, of seconds `first` to `last`."""
    for number in range(first * 10, last * 10):
        yield Row(number / 10, {"x": number * 7919 % 1000 / 250 + shift})


def changes(view: View, alert: str) -> list[tuple[str, str | None]]:
    """Status and reason of the messages of an alert."""
    return [(m["data"]["status"], m["data"].get("reason")) for m in view.alerts(alertname=alert)]


def plot(view: View) -> Plot:
    """The data move, somebody accepts that, and later they move once more."""
    view.send(rows(0, 20))
    view.send(rows(20, 40, shift=2.0))
    view.wait_until(lambda: bool(changes(view, "Moved") and changes(view, "Drift")), "the shift is found")
    sent = view.hand_in(accept(START_MS + 22_000, START_MS + 38_000))
    yield
    view.taken(sent)
    view.send(rows(40, 60, shift=2.0))
    view.wait_until(lambda: RESOLVED in changes(view, "Moved"), "what was accepted is normal")
    yield
    view.send(rows(60, 90, shift=2.0))
    view.settle()
    for alert in ("Moved", "Drift"):
        assert changes(view, alert) == [("firing", None), RESOLVED]
    assert changes(view, "Full") == [("firing", None)]
    view.send(rows(90, 110, shift=6.0))
    yield
    view.wait_until(lambda: len(changes(view, "Moved")) == len(changes(view, "Drift")) == 3, "a further shift is found")
    assert changes(view, "Moved")[2] == changes(view, "Drift")[2] == ("firing", None)


STORY = Story("accepted", CONFIG, plot)
