"""Bad records among good commands: each is counted once, and what they leave behind is a notice at most.

Among good events come good commands (silences, their ends, rebuilds, some of them twice), and beside each a bad one by
a recipe. Some of the bad ones are commands after all, and may be taken. With a tombstone in the place of each that was
not taken the alerts are the same, and so are they in a replay.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle

import msgspec

from monitor.errors import FormatError
from monitor.events import Headers, Outgoing, TopicPartition
from monitor.ledger.commands import MOST_BYTES, MOST_TEXT, Command, Request, id_of
from monitor.ledger.entry_codec import decode_command
from tests.commands import command, copies, expire, record_of, silence
from tests.fuzz import mutants
from tests.fuzz.mutants import Event
from tests.fuzz.service import ALONE as CONFIG
from tests.fuzz.service import FEATURES, PARTITIONS, PLACE, START, STEP_MS, TOPICS, Line, Outcome, good, serve
from tests.replaying import replayed

SILENCED = ((), ("alertname=Psi",), ("alertname=Missing", "column=a"), ("stream=features",))
TWICE, ENDS, OF_NOBODY = 9, 4, 11
"""One good command in so many comes twice, ends a silence, or is for a model that there is not."""
EVENTS = 3
"""Good events beside each good command."""
Recipe = Callable[[Outgoing, random.Random], Outgoing]


# ------------------------------------------------------------------ what is wrong with them


def _edited(record: Outgoing, edit: Callable[[Event], object]) -> Outgoing:
    content = json.loads(record.value or b"")
    edit(content)
    return replace(record, value=json.dumps(content).encode())


def other_type(record: Outgoing, rng: random.Random) -> Outgoing:
    odd: list[object] = [None, True, 5, -1.5, 1e300, "", "x", [], {}, [{}], 1 << 70, "\ud800", "\u202em"]
    return _edited(record, lambda content: content.update({rng.choice(sorted(content)): rng.choice(odd)}))


def other_request(record: Outgoing, rng: random.Random) -> Outgoing:
    wrong = [
        {"type": "sudo"},
        {"type": "silence"},
        {"type": "expire", "silence": rng.choice(["", "nothing", "f" * 5000, 7])},
        {"type": "silence", "matchers": [], "comment": "", "lasts_ms": 1},
        {"type": "silence", "matchers": [], "comment": "x" * (MOST_TEXT + 1), "lasts_ms": 1},
        {"type": "silence", "matchers": [], "comment": "x", "lasts_ms": rng.choice([0, -1, 1 << 62, 1.5, "4h"])},
        {"type": "silence", "matchers": [], "comment": "x", "start": 9, "end": rng.choice([8, -1, 1 << 60, None])},
        {"type": "silence", "matchers": [], "comment": "x", "lasts_ms": 1000, "end": 1000},
    ]
    return _edited(record, lambda content: content.update(request=rng.choice(wrong)))


def other_matchers(record: Outgoing, rng: random.Random) -> Outgoing:
    patterns = ["(", "(a+)+$", "(?=x)", "\\1", "[", "x{1,100000}", "(" * 400, "\x00", "a" * (MOST_TEXT + 1), ".*" * 200]
    one = {"label": rng.choice(["alertname", "", "x" * 600]), "op": rng.choice(["=~", "!~", "==", ""]), "value": "x"}
    matchers = [one | {"value": rng.choice(patterns)}] * rng.choice([1, 21, 300])
    request = {"type": "silence", "matchers": matchers, "comment": "x", "lasts_ms": 1000}
    return _edited(record, lambda content: content.update(request=request))


def other_place(record: Outgoing, rng: random.Random) -> Outgoing:
    place = {rng.choice(["cluster", "prefix"]): rng.choice(["", "another", "sd", "sd..", "x" * 5000])}
    return _edited(record, lambda content: content.update(place))


def other_headers(record: Outgoing, rng: random.Random) -> Outgoing:
    kinds: list[Headers] = [(), record.headers[:1], (("sd-kind", b"pane"),), (("sd-kind", b"command"),), (("", b""),)]
    kinds.append((*record.headers, *record.headers))
    return replace(record, headers=rng.choice(kinds))


def too_large(record: Outgoing, rng: random.Random) -> Outgoing:
    return _edited(record, lambda content: content.update(nonce="x" * (MOST_BYTES + rng.randrange(100_000))))


def no_value(record: Outgoing, rng: random.Random) -> Outgoing:
    return replace(record, value=rng.choice([None, b""]))


def changed_bytes(record: Outgoing, rng: random.Random) -> Outgoing:
    value = bytearray(record.value or b"")
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(value) or 1)
        value[at : at + rng.choice([0, 1, 30])] = rng.choice([b"", b'"', b"9" * 30, b"null", b"{", b"[" * 2000])
    return replace(record, value=bytes(value))


def _by_mutant(name: str) -> Recipe:
    def recipe(record: Outgoing, rng: random.Random) -> Outgoing:
        event = {**json.loads(record.value or b""), "at": 0}
        return replace(record, value=mutants.mutate(event, name, rng))

    return recipe


_OWN = (other_type, other_request, other_matchers, other_place, other_headers, too_large, no_value, changed_bytes)
_MUTANTS = ("no_object", "no_json", "truncated", "flipped", "spliced", "no_utf8", "controls", "noise")
RECIPES: dict[str, Recipe] = {
    **{recipe.__name__: recipe for recipe in _OWN},
    **{name: _by_mutant(name) for name in _MUTANTS},
}


# ------------------------------------------------------------------ the log and its run


def a_log(records: int, seed: int) -> list[Line]:
    """So many good commands and as many bad ones, among events of which `a` drifts in the second half."""
    rng, recipes = random.Random(seed), cycle(RECIPES)
    lines: list[Line] = []
    asked: list[Command] = []
    for number in range(records):
        for i in range(number * EVENTS, (number + 1) * EVENTS):
            at = i // PARTITIONS * STEP_MS
            event = good(FEATURES, i, at, rng, 0.0 if number < records / 2 else 2.0)
            value = mutants.plain({name: cell for name, cell in event.items() if name != "at"})
            lines.append(Line(FEATURES, i % PARTITIONS, value, None))
        asked.append(_good(number, rng, asked))
        record, name = record_of(asked[-1], TOPICS), next(recipes)
        bad = RECIPES[name](record_of(_good(records + number, rng, asked), TOPICS), rng)
        pair = [_line(record, None)] * (1 + (number % TWICE == 0)) + [_line(bad, name)]
        rng.shuffle(pair)
        lines += pair
    return lines


def _good(number: int, rng: random.Random, asked: Sequence[Command]) -> Command:
    request: Request = silence(rng.randrange(200, 4000), *rng.choice(SILENCED))
    if asked and number % ENDS == 0:
        request = expire(rng.choice(asked[-20:]).id)
    model = "someone" if number % OF_NOBODY == 0 else rng.choice(["m", "m", "nobody"])
    return command(model, request, str(number), TOPICS.prefix, START + number)


def _line(record: Outgoing, recipe: str | None) -> Line:
    return Line(record.topic, record.partition or 0, record.value, recipe, record.headers)


def without(lines: Sequence[Line], taken: set[str]) -> list[Line]:
    """The same log with a tombstone in the place of each record of `commands` that was not taken."""
    return [line if not _is_command(line) or _id(line) in taken else replace(line, value=None) for line in lines]


def _is_command(line: Line) -> bool:
    return line.topic == TOPICS.name("commands")


def _id(line: Line) -> str | None:
    """The id of a command; None if the record is none."""
    try:
        return decode_command(line.headers, line.value or b"").id
    except FormatError:
        return None


@dataclass(frozen=True)
class Result:
    """A run and its twin. `taken`: the ids of the commands in the ledger of the first."""

    lines: Sequence[Line]
    first: Outcome
    second: Outcome
    taken: Counter[str]

    @property
    def fates(self) -> Counter[tuple[str, str]]:
        """How many records of each recipe became what: taken, not taken, or no command at all."""
        found: Counter[tuple[str, str]] = Counter()
        for line in filter(_is_command, self.lines):
            name = _id(line)
            fate = "no command" if name is None else "taken" if name in self.taken else "not taken"
            found[line.recipe or "good", fate] += 1
        return found

    def broken(self) -> list[str]:
        """The promises that this run breaks."""
        number = sum(map(_is_command, self.lines))
        alerts = [_plain(value) for value in self.first.alerts]
        silenced = sum(b'"silencedBy":["' in value for value in self.first.alerts)
        inputs = [TopicPartition(FEATURES, p) for p in range(PARTITIONS)]
        replay = [m.value for m in replayed(self.first.bus, TOPICS, inputs, PLACE) if m.topic == "alerts"]
        found = {
            f"{number} records were counted as {dict(self.first.commands)}": self.first.commands.total() != number,
            f"copied twice: {[name for name, times in self.taken.items() if times > 1]}": self.taken.total()
            != len(self.taken),
            f"an outcome is missing: {dict(self.first.commands)}": len(+self.first.commands) < 4,
            "no good command was taken, or none refused": not all(
                self.fates["good", fate] for fate in ("taken", "not taken")
            ),
            "no alert was silenced": not silenced,
            "the twin's alerts are others": _without_refusals(alerts)
            != _without_refusals(_plain(value) for value in self.second.alerts),
            "a replay's alerts are others": sorted(replay) != self.first.alerts,
        }
        return [promise for promise, is_broken in found.items() if is_broken]


def _plain(value: bytes) -> Event:
    event: Event = msgspec.json.decode(value)
    return event


def _without_refusals(events: Sequence[Event] | Iterator[Event]) -> list[Event]:
    return [event for event in events if event["data"]["labels"]["alertname"] != "CommandRefused"]


def run(records: int, seed: int) -> Result:
    """Both runs of one seed."""
    lines = a_log(records, seed)
    first = serve(lines, config=CONFIG)
    taken = Counter(id_of(decision.digest) for decision in copies(first.bus, TOPICS))
    return Result(lines, first, serve(without(lines, set(taken)), config=CONFIG), taken)
