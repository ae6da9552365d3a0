"""What Kafka clients log of their connections becomes one line when a broker goes, and one when it is back."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from monitor.outages import CONNECTIONS, Outages
from monitor.telemetry import configure_logging

MANAGER, CONNECTION = CONNECTIONS


@dataclass
class Future:
    """Whether a connection was ever open."""

    opened: bool

    def succeeded(self) -> bool:
        return self.opened


@dataclass
class Connection:
    """What the library's lines carry of a connection."""

    node_id: object
    init_future: Future


@dataclass
class Client:
    """Lines of the library, as kafka-python 3.0 writes them. `take`: where they go."""

    outages: Outages

    def line(self, name: str, message: str, *arguments: object, level: int = logging.ERROR) -> bool:
        record = logging.LogRecord(name, level, "", 0, message, arguments, None)
        return self.outages.take(record)

    def attempt(self, node: object, port: int, fails: bool) -> None:
        message = "Initializing connection for node_id %s at %s:%s (rack=%s)"
        assert self.line(MANAGER, message, node, "host", port, None, level=logging.INFO)
        if fails:
            why = OSError("refused")
            assert self.line(MANAGER, "Connection failed: %s", why)
            assert self.line(CONNECTION, "%s: Connection lost: %s", Connection(node, Future(False)), why)
        else:
            assert self.line(CONNECTION, "%s: Connected", Connection(node, Future(True)), level=logging.INFO)

    def breaks(self, node: object) -> None:
        assert self.line("kafka.net.transport", "%s: socket disconnected", "transport")
        lost = Connection(node, Future(True))
        assert self.line(CONNECTION, "%s: Connection lost: %s", lost, OSError("socket disconnected"))


@dataclass
class Told:
    """What was logged of outages, at a clock of its own."""

    now: float = 1000.0
    events: list[tuple[str, str]] = field(default_factory=list)
    after_s: list[object] = field(default_factory=list)

    def __call__(self, event: str, **keys: object) -> None:
        self.events.append((event, str(keys["broker"])))
        self.after_s += [keys["after_s"]] if "after_s" in keys else []

    def client(self) -> Client:
        return Client(Outages(lambda: self.now, self))


def test_an_outage_is_one_line_and_its_end_another() -> None:
    """However many attempts of however many clients fail meanwhile."""
    reported = Told()
    client = reported.client()
    client.attempt(1, 9092, fails=False)
    client.breaks(1)
    for _ in range(50):
        client.attempt(1, 9092, fails=True)
        reported.now += 0.5
    assert reported.events == [("broker_unreachable", "host:9092")]
    for _ in range(4):
        client.attempt(1, 9092, fails=False)
    assert reported.events == [("broker_unreachable", "host:9092"), ("broker_back", "host:9092")]
    assert reported.after_s == [25.0]
    client.attempt(1, 9092, fails=True)
    assert [event for event, _ in reported.events] == ["broker_unreachable", "broker_back", "broker_unreachable"]


def test_each_broker_has_its_own_outage() -> None:
    """Of three that are restarted one after the other each is named."""
    reported = Told()
    client = reported.client()
    for node in (1, 2, 3):
        client.attempt(node, 9090 + node, fails=True)
    client.attempt(2, 9092, fails=False)
    assert reported.events == [
        *(("broker_unreachable", f"host:909{n}") for n in (1, 2, 3)),
        ("broker_back", "host:9092"),
    ]


def test_the_address_to_begin_with_is_no_second_broker() -> None:
    """A client that begins anew during an outage tries the addresses of its settings."""
    reported = Told()
    client = reported.client()
    client.attempt(1, 9092, fails=True)
    client.attempt("bootstrap-0", 29092, fails=True)
    assert reported.events == [("broker_unreachable", "host:9092")]
    alone = Told()
    beginning = alone.client()
    beginning.attempt("bootstrap-0", 29092, fails=True)
    beginning.attempt("bootstrap-0", 29092, fails=False)
    assert alone.events == [("broker_unreachable", "host:29092"), ("broker_back", "host:29092")]


def test_a_connection_that_breaks_or_is_given_up_is_no_outage() -> None:
    """Brokers close idle ones; and a process that ends gives up the attempts that it is at."""
    reported = Told()
    client = reported.client()
    client.breaks(1)
    client.line(CONNECTION, "%s: Connection lost: %s", Connection(1, Future(False)), OSError())
    assert reported.events == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("kafka.net.selector", "Task <x> ran for 0.2s (>0.1s threshold). It is blocking the event loop"),
        ("kafka.coordinator", "Marking the coordinator dead (node 1) for group g: gone."),
        ("kafka.net.connection", "%s: Request timed out after 5 ms. Closing connection."),
        ("kafka.producer.sender", "Got error produce response"),
    ],
)
def test_other_talk_of_the_library_is_not_written(name: str, message: str) -> None:
    """What it means for the service the service logs itself."""
    reported = Told()
    assert reported.client().line(name, message, level=logging.WARNING)
    assert reported.events == []


def test_what_is_no_talk_of_the_library_is_left_alone() -> None:
    """Other libraries, and exceptions that this one did not expect."""
    client = Told().client()
    assert not client.line("asyncio", "socket.send() raised exception.")
    assert not client.line("kafkaesque", "no relation")
    crash = logging.LogRecord("kafka.net.selector", logging.ERROR, "", 0, "IO loop crashed", (), (None, None, None))
    assert not client.outages.take(crash)


def test_the_process_that_follows_knows_of_the_outage(tmp_path: Path) -> None:
    """A stage that ended because of it is silent about it, and reports its end; so does the one after that."""
    reported, file = Told(), tmp_path / "outages"
    for _ in range(3):
        client = reported.client()
        client.outages.keep_in(file)
        client.attempt("bootstrap-0", 9092, fails=True)
        reported.now += 10
    assert reported.events == [("broker_unreachable", "host:9092")]
    last = reported.client()
    last.outages.keep_in(file)
    last.attempt("bootstrap-0", 9092, fails=False)
    assert (reported.events[1:], reported.after_s) == ([("broker_back", "host:9092")], [30.0])
    assert json.loads(file.read_text()) == {}


@pytest.mark.parametrize("content", [b"", b"[]", b'{"a": "b"}', b"\xff", b"{"])
def test_a_file_that_cannot_be_read_is_no_outage(content: bytes, tmp_path: Path) -> None:
    """It is written again at the next one."""
    reported, file = Told(), tmp_path / "outages"
    file.write_bytes(content)
    client = reported.client()
    client.outages.keep_in(file)
    client.attempt(1, 9092, fails=True)
    assert reported.events == [("broker_unreachable", "host:9092")]
    assert json.loads(file.read_text()) == {"host:9092": 1000.0}


@pytest.mark.parametrize(("level", "more"), [("info", 0), ("debug", 2)])
def test_the_lines_are_written_where_logs_go(
    level: str, more: int, logging_as_it_was: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """As events of ours; who asks for debug gets the library's own warnings, too."""
    configure_logging(level, "json")
    failed = Connection(1, Future(False))
    logging.getLogger(MANAGER).info("Initializing connection for node_id %s at %s:%s (rack=%s)", 1, "host", 9092, None)
    for _ in range(2):
        logging.getLogger(CONNECTION).error("%s: Connection lost: %s", failed, OSError("refused"))
    logging.getLogger(CONNECTION).info("%s: Connected", Connection(1, Future(True)))
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    ours = [line for line in lines if "broker" in line]
    assert [(line["event"], line["level"], line["broker"]) for line in ours] == [
        ("broker_unreachable", "warning", "host:9092"),
        ("broker_back", "info", "host:9092"),
    ]
    assert ours[0]["why"] == "refused"
    assert len(lines) - len(ours) == more


def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    """Neither where it is written nor where it is kept: what the links lead to stays as it is."""
    victim, file = tmp_path / "victim", tmp_path / "outages"
    victim.write_text("precious")
    file.symlink_to(victim)
    file.with_suffix(".new").symlink_to(victim)
    client = Client(Outages(lambda: 100.0, lambda event, **keys: None))
    client.outages.keep_in(file)
    client.attempt(1, 9092, fails=True)
    assert victim.read_text() == "precious"
    assert json.loads(file.read_text()) == {"host:9092": 100.0}
    assert not file.is_symlink()
