"""`streamdrift run` and signals: SIGTERM commits and leaves, SIGHUP takes another alerts.yaml or keeps the old one."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from monitor.bus.address import open_bus
from tests.broker import Broker
from tests.processes.conftest import service_on
from tests.processes.running import LATENESS_MS, PANE_MS, PARTITIONS, PATIENCE_S, START, STEP_MS, Running

pytestmark = pytest.mark.slow


def test_sigterm_commits_what_is_folded_and_leaves(running: Running) -> None:
    """Exit code 0; the commit of the end holds what no commit before did; a restart folds the open panes again only."""
    stop = threading.Event()
    flow = threading.Thread(target=_traffic, args=(running.bus.name, running.topic, running.sent, stop))
    flow.start()
    try:
        running.service.pause(3)
        before = running.positions()
        assert running.service.stop() == 0, running.service.tail()
    finally:
        stop.set()
        flow.join()
    assert running.positions() > before
    assert len(running.published("stage_stopped")) == 2

    running.service.start()
    running.wait_for("partition_restored", PARTITIONS)
    running.service.wait_until(running.reached.has_read_all, "the rest was read", PATIENCE_S)
    for line in running.published("partition_restored"):
        watermark = START + STEP_MS * (line["to"] - 1) - LATENESS_MS
        assert START + STEP_MS * line["low"] >= watermark // PANE_MS * PANE_MS


@pytest.mark.kafka
def test_a_broker_that_does_not_answer_holds_nobody(own_broker: Broker, tmp_path: Path) -> None:
    """Its last commit is cut short, and the next start goes on from the one before."""
    with service_on(f"kafka://{own_broker.address}", tmp_path) as running:
        own_broker.send(signal.SIGSTOP)
        try:
            assert running.service.stop() == 0, running.service.tail()
        finally:
            own_broker.send(signal.SIGCONT)
        running.service.start()
        running.send(100)
        running.service.wait_until(running.reached.has_read_all, "the rest was read", PATIENCE_S)
        assert running.service.stop() == 0, running.service.tail()


def _traffic(url: str, topic: str, first: int, stop: threading.Event) -> None:
    """A bus belongs to one thread."""
    bus = open_bus(url)
    source = Running(bus, topic, None, None, Path(), "", first)  # type: ignore[arg-type] # it only sends
    while not stop.wait(0.05):
        source.send(20)
    bus.close()


def test_sighup_takes_another_file_and_a_bad_one_keeps_the_old(running: Running, tmp_path: Path) -> None:
    """The reason is logged with its place; a stage that starts meanwhile runs on the old text, too.

    The text goes from process to process: no copy of it lies where others could put a link in its place.
    """
    running.wait_for("decision_announced", 2)  # the model's first set and rules
    running.write(60)
    running.service.signal(signal.SIGHUP)
    running.wait_for("config_taken", 2)
    running.wait_for("decision_announced", 3)

    running.config.write_text(running.config.read_text().replace("mean > 60", "meen > 70"))
    running.service.signal(signal.SIGHUP)
    running.wait_for("config_reload_failed", 1)
    (failed,) = running.published("config_reload_failed")
    assert failed["problems"] == [
        f"{running.config}:13:34: unknown metric 'meen'; did you mean 'mean'?",
    ]
    for pid in running.service.children():
        os.kill(pid, signal.SIGKILL)
    running.wait_for("stage_started", 4)
    running.send(100)
    running.service.wait_until(running.reached.has_read_all, "all was read", PATIENCE_S)

    running.write(70)
    running.service.signal(signal.SIGHUP)
    running.wait_for("config_taken", 4)
    left = [file for file in (tmp_path / "temporary").rglob("*") if file.is_file()]
    assert {file.suffix for file in left} <= {".lock", ".witness"}
    assert running.service.stop() == 0, running.service.tail()
