"""Notices: what profile or the shell reports becomes one message, once for each set of labels.

A notice of a model is published behind the pane that it names, when every partition has sealed that pane: so of several
partitions that report the same, the one with the earliest pane is published (ties by topic and partition), however the
ledger was polled. A notice has no life: it is neither firing nor resolved, because nobody can know when what it says
ceases to be true.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from urllib.parse import quote

from monitor.codec.canonical import time_text
from monitor.codec.cloud_events import CloudEvent
from monitor.evaluate.alerts import Place
from monitor.evaluate.lifecycle import fingerprint
from monitor.evaluate.messages import Message
from monitor.evaluate.state import NoticesState
from monitor.ledger.entries import Notice
from monitor.panes.grid import Grid
from monitor.panes.heavy import COUNTERS
from monitor.panes.pane import Pane

SEVERITY = "warning"
PASSING = ("CommandRefused",)
"""Notices without end, one a command: of these the newest are known. A record of `commands` is read again only as long
as fewer lie behind what is certain (`runner/commands.py`)."""
MOST_PASSING = 1000


class Notices:
    """The notices of one model: published ones by fingerprint, and those that wait for their pane."""

    def __init__(self) -> None:
        self.published: set[str] = set()
        self.held: dict[str, Notice] = {}
        self._passing: dict[str, None] = {}

    def hold(self, notice: Notice) -> None:
        """Take a notice, unless its like was published."""
        name = fingerprint(labels_of(notice))
        known = self.held.get(name)
        is_published = name in self.published or name in self._passing
        if not is_published and (known is None or _order(notice) < _order(known)):
            self.held[name] = notice

    def take_due(self, end: int) -> list[Notice]:
        """Take out the notices to publish once the panes up to `end` (ms) are folded, in order."""
        due = sorted((notice for notice in self.held.values() if notice.at <= end), key=_order)
        for notice in due:
            name = fingerprint(labels_of(notice))
            del self.held[name]
            if notice.name in PASSING:
                self._passing[name] = None
            else:
                self.published.add(name)
        for name in list(self._passing)[:-MOST_PASSING]:
            del self._passing[name]
        return due

    def state(self) -> NoticesState:
        held = tuple(self.held[name] for name in sorted(self.held))
        return NoticesState(tuple(sorted(self.published)), held, tuple(self._passing))

    def restore(self, state: NoticesState) -> None:
        """Go on from there."""
        self.published = set(state.published)
        self._passing = dict.fromkeys(state.passing)
        self.held = {fingerprint(labels_of(notice)): notice for notice in state.held}

    @property
    def times(self) -> Collection[int]:
        """Pane ends, ms, of what waits."""
        return [notice.at for notice in self.held.values()]


def limited(pane: Pane, grid: Grid, end: int) -> Iterator[Notice]:
    """What a partial pane that ends at `end` (ms) has left out: new categories beyond the counters of a column."""
    others = [part.stop - 1 for part in grid.layout.bins[len(grid.numeric) :]]
    for category, other, counted in zip(grid.categorical, others, pane.unknown, strict=True):
        if sum(counted.values()) < pane.counts[other]:  # every counter was taken, and one was given away
            text = (
                f"{pane.model}: {category.name} has more new categories in one pane than the {COUNTERS} that are "
                "counted by name; the others count as new without a name"
            )
            labels = (("bound", "categories"), ("column", category.name), ("stream", pane.stream))
            yield Notice(pane.model, "CardinalityLimited", end, *pane.tp, labels, text)


def dictionary_limited(pane: Pane, grid: Grid, end: int) -> Iterator[Notice]:
    """What the grid of a pane that ends at `end` (ms) has left out: values beyond the dictionary of a column."""
    for category in grid.categorical:
        if category.distinct > len(category.values):
            text = (
                f"{pane.model}: the reference's sample has {category.distinct} values of {category.name}, and the grid "
                f"knows the {len(category.values)} most frequent; the others count as new categories"
            )
            labels = (("bound", "dictionary"), ("column", category.name), ("stream", pane.stream))
            yield Notice(pane.model, "CardinalityLimited", end, *pane.tp, labels, text)


def _order(notice: Notice) -> tuple[int, str, int, str, tuple[tuple[str, str], ...]]:
    return notice.at, notice.topic, notice.partition, notice.text, labels_of(notice)


def labels_of(notice: Notice) -> tuple[tuple[str, str], ...]:
    """The labels of a notice, sorted."""
    model = [("model", notice.model)] if notice.model else []
    return tuple(sorted([("alertname", notice.name), ("severity", SEVERITY), *model, *notice.labels]))


def notice_message(notice: Notice, place: Place) -> Message:
    """The message of a notice. Its key names its labels, as an alert's fingerprint does."""
    labels, at = labels_of(notice), time_text(notice.at)
    name = fingerprint(labels)
    value = CloudEvent(
        type="streamdrift.notice.v1",
        source=place.source,
        id=f"{name}/{at}",
        at=notice.at,
        subject=_subject(notice),
        key=name,
        data={
            "labels": dict(labels),
            "text": notice.text,
            "time": at,
            "place": {"topic": notice.topic, "partition": notice.partition},
            "generatorURL": f"{place.links_url}/{_page(notice)}?at={at}",
            "version": place.version,
        },
    ).encode()
    return Message("alerts", notice.at, notice.model, name, value, repr((labels, notice.text)).encode())


def _subject(notice: Notice) -> str:
    if not notice.model:
        return f"{notice.topic}/{notice.partition}"
    labels = dict(notice.labels)
    return f"{notice.model}/{labels.get('column') or labels.get('stream') or notice.topic}"


def _page(notice: Notice) -> str:
    return f"models/{quote(notice.model, safe='')}" if notice.model else f"topics/{quote(notice.topic, safe='')}"
