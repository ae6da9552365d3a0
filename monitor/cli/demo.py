"""`streamdrift demo`: producers and the real service on one SQLite file; alerts are read back from their topic."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

import msgspec
import typer
from rich.console import Console

import monitor
from monitor.alerts_file import Accepted
from monitor.bus.port import Bus
from monitor.bus.reading import read_whole, whole_values
from monitor.cli.details import labels_text
from monitor.cli.produce import FRAUD_TOPICS, LABEL_TOPIC, PARTITIONS, create_inputs, send_all
from monitor.cli.run import stage_command
from monitor.cli.shell import open_settings_bus
from monitor.cli.tail import pretty
from monitor.codec.chunks import Assembler
from monitor.errors import ConfigurationError
from monitor.events import Outgoing, TopicPartition
from monitor.ledger import position_records as positions
from monitor.runner.positions import Positions
from monitor.service import STAGES, ledger_topics, prepare
from monitor.settings import Settings, load_settings
from monitor.supervisor import Supervisor
from monitor.telemetry import configure_logging, get_log
from producers.labels import Labels
from producers.schedule import Drift
from producers.synthetic import fraud_transactions
from producers.traffic import Traffic

EVENTS = 20_000
DRIFT_AT = 12_000
CONCEPT_AT = 10_000
LABELS = Labels(30_000, topic=LABEL_TOPIC, partitions=PARTITIONS)
RATE = 20.0
START_MS = 1_790_000_000_000
TOPICS = (*FRAUD_TOPICS, LABEL_TOPIC)
DRIFTS = (
    Drift("concept", "label", timed=False, start=CONCEPT_AT, size=1.0),
    Drift("step", "amount_usd", timed=False, start=DRIFT_AT, size=1.5),
    Drift("missingness", "account_age_days", timed=False, start=DRIFT_AT + 3000, size=0.2),
)
SHOWN = ("alerts", "incidents")
"""Topics whose messages are shown as they come."""
_CONSOLE = Console(highlight=False)


def demo(once: bool, drift: bool, seed: int) -> None:
    """Write the traffic, run the service, show alerts as they arrive."""
    with tempfile.TemporaryDirectory(prefix="streamdrift-demo-") as folder:
        settings = load_settings(
            bus=f"sqlite:///{folder}/demo.db", config=shipped_config(), instance="demo", log_level="warning"
        )
        os.environ["STREAMDRIFT_LOG_LEVEL"] = settings.log_level  # for the stages' processes
        os.environ.pop("STREAMDRIFT_PREFIX", None)
        configure_logging(settings.log_level, settings.log_format)
        bus = open_settings_bus(settings)
        create_inputs(bus, TOPICS, PARTITIONS)
        accepted = Accepted(settings.config)
        prepare(bus, accepted.config, settings)
        timing = Traffic(None, seed, START_MS, RATE, partitions=PARTITIONS)
        traffic = fraud_transactions(timing, DRIFTS if drift else (), LABELS, FRAUD_TOPICS)
        drifts = f", another kind of fraud from number {CONCEPT_AT:,} on, and other features from {DRIFT_AT:,} on"
        _print(f"traffic of {EVENTS:,} transactions with labels" + (drifts if drift else ""))
        send_all(bus, chain.from_iterable(islice(traffic, EVENTS)))
        _print(f"service on {bus.name}: profile and evaluate, each in a process of its own")
        show = _Show(bus, settings, None if once else traffic)
        log = get_log("service")
        supervisor = Supervisor(STAGES, lambda name: stage_command(name, settings), accepted, log, reloads=False)
        code = supervisor.run(lambda: show.turn() and once)
        show.summary()
        bus.close()
        if code:
            raise typer.Exit(code)


def shipped_config() -> Path:
    """Return the shipped alerts.yaml: inside an installed package, or at the top of a checkout."""
    package = Path(monitor.__file__).parent
    for path in (package / "alerts.yaml", package.parent / "alerts.yaml"):
        if path.exists():
            return path
    raise ConfigurationError("the shipped alerts.yaml is not there")


def _print(text: str) -> None:
    _CONSOLE.print(f"[dim]streamdrift demo:[/] {text}", soft_wrap=True)


class _Show:
    """Reads alerts and incidents back, and knows when all traffic has been judged. `traffic`: goes on live."""

    def __init__(self, bus: Bus, settings: Settings, traffic: Iterator[list[Outgoing]] | None) -> None:
        self._bus = bus
        self._topics = ledger_topics(settings)
        self._profile = Positions(bus, self._topics, f"{settings.prefix}profile")
        self._evaluate = Positions(bus, self._topics, f"{settings.prefix}evaluate")
        partitions = range(self._topics.partitions)
        self._shown = [(topic, TopicPartition(self._topics.name(topic), p)) for topic in SHOWN for p in partitions]
        self._read_to = {tp: 0 for _, tp in self._shown}
        self._assembler = Assembler()
        self._traffic = traffic
        self._began = time.monotonic()
        self._sent_at = self._began
        self._took: float | None = None
        """Until everything was judged, s."""
        self._firing = 0
        self._judged: dict[str, str] | None = None
        """The window of performance that an alert was first judged on."""
        self._ledger_ends: dict[TopicPartition, int] | None = None

    def turn(self) -> bool:
        """Show what is new; return true if all traffic has been judged and all alerts shown."""
        judged = self._check_judged()
        if judged and self._took is None:
            self._took = time.monotonic() - self._began
        for topic, tp in self._shown:
            for batch in read_whole(self._bus, tp, self._read_to[tp]):
                self._read_to[tp] = batch.offsets[-1] + 1
                for _record, value in whole_values(self._assembler, batch):
                    data = msgspec.json.decode(value)["data"]
                    self._firing += data.get("status") == "firing"
                    if self._judged is None and data.get("evidence", {}).get("labels"):
                        self._judged = data["evidence"]["window"]
                    pretty(topic, value)
        self._go_on()
        return judged

    def _course(self) -> Iterator[str]:
        """How the window of performance that fired has filled up, as its observations say."""
        window = self._judged
        if window is None:
            return
        yield f"predictions from {window['from']} to {window['to']}, as their labels came:"
        tps = [TopicPartition(self._topics.name("observations"), p) for p in range(self._topics.partitions)]
        values = (
            value for tp in tps for batch in read_whole(self._bus, tp) for _, value in whole_values(Assembler(), batch)
        )
        for data in (msgspec.json.decode(value)["data"] for value in values):
            own = data.get("window", {})
            if "labels" in data and (own.get("from"), own.get("to")) == (window["from"], window["to"]):
                accuracy = data["totals"].get("accuracy")
                shown = "" if accuracy is None else f", accuracy {100 * accuracy:.1f} %"
                yield f"  {labels_text(data['labels'])}{shown}"

    def _go_on(self) -> None:
        """Write live traffic at the pace of its event time."""
        due = int((time.monotonic() - self._sent_at) * RATE)
        if self._traffic is not None and due:
            self._sent_at += due / RATE
            send_all(self._bus, chain.from_iterable(islice(self._traffic, due)))

    def _check_judged(self) -> bool:
        """Return true if all traffic has been folded into the ledger, and the ledger of that moment into alerts."""
        if self._ledger_ends is None:
            inputs = [TopicPartition(topic, p) for topic in TOPICS for p in range(PARTITIONS)]
            if any(self._profiled(tp) < self._bus.end(tp) for tp in inputs):
                return False
            ledger = [TopicPartition(self._topics.name("ledger"), p) for p in range(self._topics.partitions)]
            self._ledger_ends = {tp: self._bus.end(tp) for tp in ledger}
        return all(self._evaluated(tp) >= end for tp, end in self._ledger_ends.items())

    def _profiled(self, tp: TopicPartition) -> int:
        value = self._profile.of(tp, None)
        return -1 if value is None else positions.decode_profile(value).position

    def _evaluated(self, tp: TopicPartition) -> int:
        value = self._evaluate.of(tp, None)
        return 0 if value is None else positions.decode_evaluate(value).position

    def summary(self) -> None:
        """Show how a window of performance filled up, and the last line."""
        for line in self._course():
            _print(line)
        is_done = self._took is not None
        within = f"everything was judged within {self._took:.1f} s" if is_done else "not everything was judged"
        _print(f"{self._firing} alerts fired; {within}" if self._firing else f"no alert; {within}")
