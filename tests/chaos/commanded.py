"""The commands of a chaos run: silences and their ends, written now and then among the events, some of them twice.

A command is a function of the seed and its number, so that a run which is gone on with writes the same ones. Some can't
be taken: a rebuild of a model that does not stand still, the end of a silence that is over, and what is for another
service.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from monitor.events import Outgoing
from monitor.ledger.commands import Command, Expire, Matcher, Rebuild, Request, Silence, id_of
from monitor.ledger.entries import COMMANDS, Activation
from monitor.ledger.entry_codec import encode_entry
from monitor.ledger.ledger_topics import LedgerTopics

COUNT = 60
"""Commands of a run, however many events it has; a few more of a run whose events are no multiple of it."""
SILENCED = ((), ("Psi",), ("Ks", "KsSoon"), ("Gaps",))
"""Alerts that a silence is for; all if none is named."""
SHORTEST_MS, LONGEST_MS = 2000, 30_000


@dataclass(frozen=True)
class Commanded:
    """Those of a run of `events` events by one seed, for these models. `topics`: of the service, on `cluster`."""

    events: int
    seed: int
    models: Sequence[str]
    topics: LedgerTopics
    cluster: str

    def beside(self, number: int) -> list[Outgoing]:
        """The records that are written with the event of that number."""
        every = max(1, self.events // COUNT)
        if number % every:
            return []
        index = number // every
        record = self._record(self.command(index))
        match index % 6:
            case 1:
                return [record, record]
            case 4:
                return [record, self._record(self.command(index, prefix="another."))]
        return [record]

    def command(self, index: int, prefix: str | None = None) -> Command:
        """The command of that number."""
        rng = random.Random(f"{self.seed}/{index}")
        model = self.models[index // 3 % len(self.models)]
        request = self._request(index, rng)
        time = 1 + index  # what was forgotten is told from what is new by this time
        return Command(
            model, request, "chaos", time, f"{self.seed}/{index}", self.cluster, prefix or self.topics.prefix
        )

    def _request(self, index: int, rng: random.Random) -> Request:
        match index % 6:
            case 2 | 5:
                return Expire(self.command(index - rng.choice((1, 2))).id)
            case 3 if rng.random() < 0.3:
                return Rebuild()
        names = rng.choice(SILENCED)
        matchers = (Matcher("alertname", "=~", "|".join(names)),) if names else ()
        return Silence(matchers, "chaos", rng.randrange(SHORTEST_MS, LONGEST_MS))

    def _record(self, command: Command) -> Outgoing:
        return encode_entry(command, self.topics.name("commands"), self.topics.partition_of(command.model))

    def up_to(self, events: int) -> Iterator[Command]:
        """All commands that were written for this service with the first events."""
        every = max(1, self.events // COUNT)
        return map(self.command, range(-(-events // every)))


def lacks_of_commands(
    sent: Iterable[Command], activations: Iterable[Activation], alerts: Iterable[Mapping[str, Any]]
) -> list[str]:
    """Commands that were not answered once, by an activation or a refusal; and what a run has to have had of them."""
    answers: Counter[str] = Counter()
    refused = silenced = 0
    answers.update(id_of(one.decision.digest) for one in activations if one.decision.kind in COMMANDS)
    taken = answers.total()
    for alert in alerts:
        data = alert["data"]
        silenced += bool(data.get("silencedBy"))
        if name := data.get("labels", {}).get("command"):
            refused += 1
            answers[name] += 1
    wanted = {command.id: command for command in sent}
    lacking = [
        f"{answers[name]} answers to the {command.kind} {name}, the command {command.nonce}"
        for name, command in wanted.items()
        if answers[name] != 1
    ]
    lacking += [f"an answer to a command {name} that nobody sent" for name in islice(answers.keys() - wanted.keys(), 3)]
    found = {"command was taken": taken, "command was refused": refused, "alert was silenced": silenced}
    return lacking + [f"no {what}" for what, times in found.items() if not times]
