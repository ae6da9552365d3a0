"""The life cycle of alerts, as a table: inactive, pending, hidden, firing, resolved.

    state     answer    when                            next      says
    inactive  violated  nothing is waited for           hidden
    inactive  violated  otherwise                       pending
    inactive  clear                                     inactive
    pending   violated  what is waited for has come     hidden
    pending   violated  otherwise                       pending
    pending   clear                                     inactive
    hidden    violated                                  hidden
    hidden    clear     `keep_firing_for` has passed    inactive
                        since it was last violated
    hidden    clear     otherwise                       hidden
    hidden    alone     its newest verdict is violated  firing    firing
    hidden    alone     otherwise                       hidden
    firing    violated                                  firing
    firing    clear     `keep_firing_for` has passed    inactive  resolved
                        since it was last violated
    firing    clear     otherwise                       firing
    firing    alone     names are new and due           firing    updated
    firing    alone     otherwise                       firing
    inactive  accepted                                  inactive
    pending   accepted                                  inactive
    hidden    accepted                                  inactive
    firing    accepted                                  inactive  resolved
    any       unknown                                   same

An alert fires if it is hidden or firing; hidden means that no message says so yet. It is alone unless its rule is
`under` another alert of the model and one of that name fires on its stream. It answers that in each judgement behind
its verdict: so one that begins to fire alone is published at once, one that is not is listed in the alert above it, and
is published when that one has ended, or never. What was published is resolved whatever is above it by then.

Accepted is the answer of people: what came is normal, and the reference is now made of that. It is that of alerts which
compare a stream with its reference; messages name it as the reason.

Silences and inhibition (`silences.py`, `inhibition.py`) change no state: an alert that is muted is published like any
other, and names what mutes it; where that changes while it is `firing`, it is `updated` at once.

Waited for is `for`, event time since the first violated judgement; or `for_windows`, as many windows in a row that were
violated, each counted once, however often it is judged.

While an alert fires, a verdict counts as violated until its value is on the safe side of the recovery threshold, if its
rule has one.

Unknown is the absence of a verdict: a window that has not moved, or holds too few events, neither raises nor clears.
Resolved is not a state to stay in: it is published once, and the alert is inactive. Times are those of judgements (pane
ends, ms UTC), so an alert is a function of the log alone. `for` counts from the first violated judgement; an alert's
`startsAt` is that judgement, and `endsAt` the one that resolved it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from monitor.codec.canonical import canonical_json
from monitor.config.resolved import Rule
from monitor.evaluate.named import NOTHING, Named
from monitor.events import Verdict

State = Literal["inactive", "pending", "hidden", "firing"]
Answer = Literal["violated", "clear", "alone", "accepted"]
Status = Literal["firing", "updated", "resolved"]
Reason = Literal["accepted"]
"""Why an alert is resolved, unless its verdict or another alerts.yaml has ended it."""
Wait = Literal["for", "keep_firing_for", "violated", "news"]
FOREVER = 1 << 62
"""A time that never comes, ms UTC."""
FIRES: tuple[State, ...] = ("hidden", "firing")
"""The states in which an alert fires."""


class Row(NamedTuple):
    """One row of the table: if what `wait` names has not come, the state is `until` and silent."""

    next: State
    says: Status | None = None
    wait: Wait | None = None
    until: State = "inactive"

    def choose(self, has_come: bool) -> tuple[State, Status | None]:
        """The state behind this row, and what it says. `has_come`: what `wait` names, if it names anything."""
        return (self.next, self.says) if has_come else (self.until, None)


TABLE: Mapping[tuple[State, Answer], Row] = {
    ("inactive", "violated"): Row("hidden", None, "for", "pending"),
    ("inactive", "clear"): Row("inactive"),
    ("pending", "violated"): Row("hidden", None, "for", "pending"),
    ("pending", "clear"): Row("inactive"),
    ("hidden", "violated"): Row("hidden"),
    ("hidden", "clear"): Row("inactive", None, "keep_firing_for", "hidden"),
    ("hidden", "alone"): Row("firing", "firing", "violated", "hidden"),
    ("firing", "violated"): Row("firing"),
    ("firing", "clear"): Row("inactive", "resolved", "keep_firing_for", "firing"),
    ("firing", "alone"): Row("firing", "updated", "news", "firing"),
    ("inactive", "accepted"): Row("inactive"),
    ("pending", "accepted"): Row("inactive"),
    ("hidden", "accepted"): Row("inactive"),
    ("firing", "accepted"): Row("inactive", "resolved"),
}


@dataclass(frozen=True, slots=True)
class AlertState:
    """One alert that is pending, fires, or has fired before.

    `pending_since`: first violated judgement of the present stretch. `data_since`: start of the window judged there or,
    once it fires, where its change began (None if neither is known). `last_violated`: newest violated judgement.
    `episode`: how often it has fired. `verdict`: the newest. `named`: what its messages name beside it. `silenced_by`:
    ids of the silences that its newest message names. `inhibited_by`: fingerprints, sorted, of the alerts that inhibit
    it. `mutings`: how often both have changed while it fired. `struck`: columns, sorted, that its messages leave out
    because they are inhibited. `windows`: how many in a row were violated until it fired.
    """

    fingerprint: str
    rule: Rule
    state: State
    pending_since: int
    data_since: int | None
    last_violated: int
    episode: int
    verdict: Verdict
    named: Named = NOTHING
    silenced_by: tuple[str, ...] = ()
    inhibited_by: tuple[str, ...] = ()
    mutings: int = 0
    struck: tuple[str, ...] = ()
    windows: int = 1

    @property
    def is_muted(self) -> bool:
        """Return true if nobody is to be disturbed by it: it is silenced, or inhibited."""
        return bool(self.silenced_by or self.inhibited_by)

    @property
    def fires(self) -> bool:
        """Return true if it fires, whether or not a message says so."""
        return self.state in FIRES

    @property
    def name(self) -> str:
        """What an alert above it calls it: its alert, and its column if it has one."""
        return f"{self.rule.alert}/{self.verdict.column}" if self.verdict.column is not None else self.rule.alert


def advance(before: AlertState | None, at: int, rule: Rule, verdict: Verdict) -> tuple[AlertState, Status | None]:
    """The answer of a verdict, which may be the first: the state behind it, and what to publish."""
    alert = before
    if alert is not None and alert.fires and _is_beyond_recovery(rule, verdict):
        verdict = replace(verdict, violated=True)
    if alert is None or (alert.state == "inactive" and verdict.violated):
        since = verdict.window.start if verdict.window is not None else None
        episode = alert.episode if alert is not None else 0
        alert = AlertState(fingerprint(verdict.labels), rule, "inactive", at, since, at, episode, verdict)
    last_violated = at if verdict.violated else alert.last_violated
    windows = alert.windows + (verdict.violated and alert.state == "pending" and _is_another_window(alert, verdict))
    passed = {
        None: True,
        "for": at - alert.pending_since >= rule.for_ms and windows >= rule.for_windows,
        "keep_firing_for": at - last_violated >= rule.keep_firing_for_ms,
    }
    row = TABLE[alert.state, "violated" if verdict.violated else "clear"]
    state, says = row.choose(passed[row.wait])
    episode = alert.episode + (state in FIRES and not alert.fires)
    after = replace(alert, rule=rule, state=state, last_violated=last_violated, episode=episode, verdict=verdict)
    return replace(after, windows=windows), says


def _is_beyond_recovery(rule: Rule, verdict: Verdict) -> bool:
    threshold = verdict.recovery_threshold
    return threshold is not None and rule.comparison.holds(verdict.value, threshold)


def _is_another_window(alert: AlertState, verdict: Verdict) -> bool:
    """Return true if a verdict is on a later window than the alert's newest one, or on none."""
    newest = alert.verdict.window
    return verdict.window is None or newest is None or verdict.window.end > newest.end


def stand_alone(alert: AlertState, has_news: bool) -> tuple[AlertState, Status | None]:
    """The answer that an alert which fires is alone. `has_news`: names are new and due."""
    row = TABLE[alert.state, "alone"]
    state, says = row.choose(has_news if row.wait == "news" else alert.verdict.violated)
    return (alert if state == alert.state else replace(alert, state=state)), says


def accept(alert: AlertState) -> tuple[AlertState, Status | None]:
    """The answer that what came is normal."""
    row = TABLE[alert.state, "accepted"]
    return replace(alert, state=row.next), row.says


def fingerprint(labels: tuple[tuple[str, str], ...]) -> str:
    """What names an alert: 16 hex digits of a digest of its sorted labels."""
    return hashlib.sha256(canonical_json(dict(sorted(labels)))).hexdigest()[:16]
