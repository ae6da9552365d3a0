"""Commands: what people ask for, as values; what makes one refusable whatever the model; and how they are signed.

Each stands in the topic `commands`, one record each. The owner of the model's ledger partition checks it and copies it
into the ledger, in its transaction (`runner/command_desk.py`). There it is a decision: it counts from the first pane
that is not folded when it is read, a model obeys it once (`evaluate/known_commands.py`), and the activation that is
written back is its echo, by which a replay applies it at the same pane.

    command       asks for                               answered by
    rebuild       a model that stands still, folded      runner/stopped_models.py
                  again from the ledger's start
    silence       a silence of some alerts of a model    evaluate/silences.py
                  for a while
    expire        the end of a silence                   evaluate/silences.py
    acknowledge   somebody's name on an open incident    evaluate/incidents.py
    accept        what came in a stretch of event time   runner/accepted.py
                  as the reference of a stream

What names a command is a digest of all that it says, its author, time and nonce included. With a key its record has a
signature over all of that, so over the cluster and the prefix that it is for.
"""

from __future__ import annotations

import hmac
from typing import Final, Literal

import msgspec

from monitor.config.comparison import Selector
from monitor.config.pattern import PatternError, check_pattern
from monitor.errors import FormatError
from monitor.ledger.entries import CommandKind, Decision, new_decision

MOST_BYTES = 32 << 10
"""Most bytes of a command; a larger record is none."""
MOST_TEXT = 512
"""Most characters of a comment, a name, or a part of a matcher."""
MOST_MATCHERS = 20
MOST_COLUMNS = 500
LONGEST_MS = 366 * 86_400_000
"""The longest silence, ms."""
LARGEST_MS = 1 << 52
"""Times are smaller than that, ms UTC."""
ID_DIGITS = 16
SIGNATURE: Final = "sd-signature"
"""The header that holds the signature of a command."""


class Matcher(msgspec.Struct, frozen=True):
    """One condition on a label of an alert; an absent label has the value "". Patterns match the whole value."""

    label: str
    op: Literal["=", "!=", "=~", "!~"]
    value: str

    @property
    def selector(self) -> Selector:
        """The same as rules have it."""
        return Selector(self.label, self.op, self.value)

    def __str__(self) -> str:
        return f'{self.label}{self.op}"{self.value}"'


class Rebuild(msgspec.Struct, frozen=True, tag="rebuild"):
    """Fold the model, which stands still, again from the ledger's start."""


class Silence(msgspec.Struct, frozen=True, tag="silence", omit_defaults=True):
    """Silence the alerts of the model whose labels all matchers accept, `stream` among them.

    `lasts_ms`: from where it counts; or `end`, and `start` if it is to begin later: event time, ms.
    """

    matchers: tuple[Matcher, ...]
    comment: str
    lasts_ms: int | None = None
    start: int | None = None
    end: int | None = None


class Expire(msgspec.Struct, frozen=True, tag="expire"):
    """End the silence of that id now."""

    silence: str


class Acknowledge(msgspec.Struct, frozen=True, tag="acknowledge", omit_defaults=True):
    """Let everybody know that the author has taken on the open incident of that id; it mutes nothing."""

    incident: str
    comment: str = ""


class Accept(msgspec.Struct, frozen=True, tag="accept", omit_defaults=True):
    """Take what came in a stretch of event time, [start, end) in ms, as the reference of a stream.

    `stream`: empty if the model has one alone that it can be. `columns`: those that are to be as they came then, while
    the others stay as they are; all if empty.
    """

    comment: str
    start: int
    end: int
    stream: Literal["features", "predictions", ""] = ""
    columns: tuple[str, ...] = ()


Request = Rebuild | Silence | Expire | Acknowledge | Accept


class Command(msgspec.Struct, frozen=True):
    """What somebody wants done. `time`: ms UTC of the author's clock. `nonce`: else two alike would be one.

    `cluster`, `prefix`: of the service that it is for.
    """

    model: str
    request: Request
    author: str
    time: int
    nonce: str
    cluster: str
    prefix: str

    @property
    def kind(self) -> CommandKind:
        """The kind of the decision that it becomes."""
        return _KINDS[type(self.request)]

    @property
    def decision(self) -> Decision:
        """The decision that it becomes: the same one if it is read again."""
        return new_decision(self.model, self.kind, msgspec.json.encode(self).decode())

    @property
    def id(self) -> str:
        """What names it, and the silence that it makes."""
        return id_of(self.decision.digest)


_KINDS: Final[dict[type[Request], CommandKind]] = {
    Rebuild: "rebuild",
    Silence: "silence",
    Expire: "expire",
    Acknowledge: "acknowledge",
    Accept: "accept",
}


def id_of(digest: str) -> str:
    """The id of the command that a decision of this digest was."""
    return digest.removeprefix("sha256:")[:ID_DIGITS]


def command_of(decision: Decision) -> Command:
    """The command that a decision was; raises FormatError if it was none."""
    try:
        return msgspec.json.decode(decision.content, type=Command)
    except msgspec.DecodeError as error:
        raise FormatError(f"the {decision.kind} {decision.digest} is no command: {error}") from error


def signature(key: str, value: bytes) -> bytes:
    """The signature of a command's bytes: HMAC with SHA-256, in hex."""
    return hmac.new(key.encode(), value, "sha256").hexdigest().encode()


def is_signature(found: bytes | None, key: str, value: bytes) -> bool:
    """Return true if what stands in the header is the signature; compared in constant time."""
    return found is not None and hmac.compare_digest(found, signature(key, value))


def fault_of(command: Command) -> str:
    """What is wrong with a command by itself, whatever the model; empty if nothing is."""
    return _fault_of_texts(command) or _fault_of_request(command.request)


def _fault_of_request(request: Request) -> str:
    match request:
        case Silence():
            return _fault_of_comment(request.comment) or _fault_of_silence(request)
        case Accept():
            return _fault_of_comment(request.comment) or _fault_of_stretch(request)
        case Acknowledge() if len(request.comment) > MOST_TEXT:
            return f"its comment is longer than {MOST_TEXT} characters"
    return ""


def _fault_of_texts(command: Command) -> str:
    texts = {"model": command.model, "author": command.author, "nonce": command.nonce}
    for name, text in texts.items():
        if not text.strip() or len(text) > MOST_TEXT:
            return f"its {name} is empty or longer than {MOST_TEXT} characters"
    return "" if 0 <= command.time < LARGEST_MS else "its time is none"


def _fault_of_comment(comment: str) -> str:
    is_fine = comment.strip() and len(comment) <= MOST_TEXT
    return "" if is_fine else f"its comment is empty or longer than {MOST_TEXT} characters"


def _fault_of_stretch(accept: Accept) -> str:
    if any(not 0 <= at < LARGEST_MS for at in (accept.start, accept.end)):
        return "its times are none"
    if len(accept.columns) > MOST_COLUMNS or any(len(name) > MOST_TEXT for name in accept.columns):
        return f"it has more than {MOST_COLUMNS} columns, or one of more than {MOST_TEXT} characters"
    return "it ends before it begins" if accept.start >= accept.end else ""


def _fault_of_silence(silence: Silence) -> str:
    return _fault_of_times(silence) or _fault_of_matchers(silence.matchers)


def _fault_of_times(silence: Silence) -> str:
    if (silence.lasts_ms is None) == (silence.end is None):
        return "it says neither how long it lasts nor when it ends, or both"
    if silence.lasts_ms is not None and not 0 < silence.lasts_ms <= LONGEST_MS:
        return f"it lasts longer than {LONGEST_MS // 86_400_000} days, or not at all"
    times = [at for at in (silence.start, silence.end) if at is not None]
    if any(not 0 <= at < LARGEST_MS for at in times):
        return "its times are none"
    if silence.start is not None and silence.end is not None and silence.start >= silence.end:
        return "it ends before it begins"
    return ""


def _fault_of_matchers(matchers: tuple[Matcher, ...]) -> str:
    if len(matchers) > MOST_MATCHERS:
        return f"it has more than {MOST_MATCHERS} matchers"
    for matcher in matchers:
        if not matcher.label or len(matcher.label) > MOST_TEXT or len(matcher.value) > MOST_TEXT:
            return f"a matcher has no label, or is longer than {MOST_TEXT} characters"
        if matcher.op in ("=~", "!~"):
            try:
                check_pattern(matcher.value)
            except PatternError as error:
                return f"the pattern of {matcher} is not one: {error}"
    return ""
