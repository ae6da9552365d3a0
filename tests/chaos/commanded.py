"""The commands of a chaos run, written now and then among the events: silences, their ends, stretches to be accepted.

A command is a function of the seed and its number, so that a run which is gone on with writes the same ones. Some come
twice, and some can't be taken: a rebuild of a model that does not stand still, an acknowledgement of no incident, the
end of a silence that is over, a stretch that is not judged yet, and what is for another service.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from monitor.events import Outgoing
from monitor.ledger.commands import (
    ID_DIGITS,
    Accept,
    Acknowledge,
    Command,
    Expire,
    Matcher,
    Rebuild,
    Request,
    Silence,
    id_of,
)
from monitor.ledger.entries import COMMANDS, Activation
from monitor.ledger.entry_codec import encode_entry
from monitor.ledger.ledger_topics import LedgerTopics

COUNT = 60
"""Commands of a run, however many events it has; a few more of a run whose events are no multiple of it."""
SILENCED = ((), ("Psi",), ("Ks", "KsSoon"), ("Gaps",))
"""Alerts that a silence is for; all if none is named."""
SHORTEST_MS, LONGEST_MS = 2000, 30_000
BEHIND_MS, STRETCH_MS = 12_000, 8000
"""How far behind the events a stretch ends that is to be accepted, and how long it is."""


@dataclass(frozen=True)
class Commanded:
    """Those of a run of `events` events by one seed, for these models. `topics`: of the service, on `cluster`.

    `start_ms`, `rate`: time of the first event, ms UTC, and events a second.
    """

    events: int
    seed: int
    models: Sequence[str]
    topics: LedgerTopics
    cluster: str
    start_ms: int
    rate: float

    def beside(self, number: int) -> list[Outgoing]:
        """The records that are written with the event of that number."""
        if number % self._every:
            return []
        index = number // self._every
        record = self._record(self.command(index))
        match index % 6:
            case 1:
                return [record, record]
            case 4:
                return [record, self._record(self.command(index, prefix="another."))]
        return [record]

    @property
    def _every(self) -> int:
        return max(1, self.events // COUNT)

    def command(self, index: int, prefix: str | None = None) -> Command:
        """The command of that number."""
        rng = random.Random(f"{self.seed}/{index}")
        model = self.models[(index // 3 + index // 12) % len(self.models)]
        request = self._request(index, rng)
        time = 1 + index  # what was forgotten is told from what is new by this time
        return Command(
            model, request, "chaos", time, f"{self.seed}/{index}", self.cluster, prefix or self.topics.prefix
        )

    def _request(self, index: int, rng: random.Random) -> Request:
        match index % 6:
            case 2 | 5:
                return Expire(self.command(index - rng.choice((1, 2))).id)
            case 3 if index % 4 == 3:
                return rng.choice((Rebuild(), Acknowledge("0" * ID_DIGITS)))
            case 3:
                end = self.start_ms + int(index * self._every / self.rate * 1000) - BEHIND_MS
                return Accept("chaos", end - STRETCH_MS, end)
        names = rng.choice(SILENCED)
        matchers = (Matcher("alertname", "=~", "|".join(names)),) if names else ()
        return Silence(matchers, "chaos", rng.randrange(SHORTEST_MS, LONGEST_MS))

    def _record(self, command: Command) -> Outgoing:
        return encode_entry(command, self.topics.name("commands"), self.topics.partition_of(command.model))

    def up_to(self, events: int) -> Iterator[Command]:
        """All commands that were written for this service with the first events."""
        return map(self.command, range(-(-events // self._every)))


def lacks_of_commands(
    sent: Iterable[Command], activations: Iterable[Activation], alerts: Iterable[Mapping[str, Any]]
) -> list[str]:
    """Commands that were not answered once, by an activation or a refusal; and what a run has to have had of them.

    A stretch that was taken may be refused behind that.
    """
    taken = Counter(id_of(one.decision.digest) for one in activations if one.decision.kind in COMMANDS)
    data = [alert["data"] for alert in alerts]
    refused = Counter(name for one in data if (name := one.get("labels", {}).get("command")))
    wanted = {command.id: command for command in sent}
    lacking = [
        f"{command.kind} {name}, the command {command.nonce}, is taken {taken[name]} and refused {refused[name]} times"
        for name, command in wanted.items()
        if (taken[name], refused[name]) not in ((1, 0), (0, 1), *([(1, 1)] if command.kind == "accept" else []))
    ]
    answered = taken.keys() | refused.keys()
    lacking += [f"an answer to a command {name} that nobody sent" for name in islice(answered - wanted.keys(), 3)]
    found = {
        "command was taken": taken.total(),
        "command was refused": refused.total(),
        "alert was silenced": sum(bool(one.get("silencedBy")) for one in data),
    }
    return lacking + [f"no {what}" for what, times in found.items() if not times]
