"""A reference file with labels, as people see it: what commands print of it, and what a replay takes from a log."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from monitor.cli import reference as command
from monitor.cli.check import check
from monitor.cli.replay import Options, replay
from monitor.cli.replay_log import configured
from monitor.codec.canonical import time_text
from monitor.config import load
from monitor.doctor.references import references_found
from monitor.ledger.entries import Activation
from monitor.sources.recordings import Recording, topics_of_bus
from tests.unit.runner.fleet import PLACE, TOPICS
from tests.unit.runner.test_labelled_reference import BINARY, INPUTS, TEXT, Service, write_reference

START = 1_790_000_000_000
WITHOUT = "so performance and outcomes are compared with the first predictions whose labels are nearly all there"


@pytest.fixture
def folder(tmp_path: Path) -> SimpleNamespace:
    """A folder with alerts.yaml and the reference table that it names."""
    table, config = tmp_path / "r.csv", tmp_path / "alerts.yaml"
    write_reference(table, BINARY)
    config.write_text(TEXT % (BINARY, table))
    return SimpleNamespace(table=table, config=config, out=tmp_path / "r.json", path=tmp_path)


def test_a_reference_is_built_and_shown_with_its_metrics(folder: Any, capsys: pytest.CaptureFixture[str]) -> None:
    command.build(folder.table, folder.out, folder.config, None, None, None)
    assert capsys.readouterr().out.splitlines()[-1] == f"{folder.out}: m/performance, 1800 rows, 9 slices"
    command.show(folder.out)
    shown = capsys.readouterr().out
    assert "m / performance: 1800 rows with prediction and label, 2026-09-21T" in shown
    values = {line.split()[0]: line.split()[1:] for line in shown.splitlines() if len(line.split()) == 4}
    value, low, high = map(float, values["accuracy"])
    assert low < value < high
    assert value == pytest.approx(0.9, abs=0.03)
    assert {"roc_auc", "log_loss", "brier", "f1"} <= values.keys()


def test_a_reference_with_few_labels_says_so_everywhere(folder: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """`build`, `show` of what that has written, `check` and `doctor`."""
    write_reference(folder.table, BINARY, rows=150)
    why = "135 of its rows have prediction and label, fewer than 200"
    command.build(folder.table, folder.out, folder.config, None, None, None)
    assert f"m/performance has no reference: {why}; {WITHOUT}" in capsys.readouterr().out
    command.show(folder.out)
    assert f"m / performance: no reference, because {why}" in capsys.readouterr().out
    for path in (folder.table, folder.out):
        folder.config.write_text(TEXT % (BINARY, path))
        assert check(folder.config, None) == 0
        assert f"hint: the reference of m has none of performance: {why}; {WITHOUT}" in capsys.readouterr().err
        found = list(references_found(None, load(folder.config.read_text(), "alerts.yaml")))
        assert [one.found for one in found if one.status == "warning"] == [f"m: performance has no reference: {why}"]


def test_a_reference_with_labels_needs_no_hint(folder: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(folder.config, None) == 0
    assert "has none of performance" not in capsys.readouterr().err
    found = list(references_found(None, load(folder.config.read_text(), "alerts.yaml")))
    assert found[-1].found == "m: performance of 1800 rows with prediction and label"


def test_a_table_is_compared_from_its_first_window_on(folder: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """As a user tries it: a table with labels beside predictions, of which half are wrong."""
    rng, log = random.Random(3), folder.path / "log.csv"
    rows = (f"{time_text(START + 100 * k)},{rng.randint(0, 1)},0.5,{rng.randint(0, 1)}" for k in range(600))
    log.write_text("\n".join(["event_time,y,p,truth", *rows, ""]))
    replay(Options((str(log),), folder.config))
    printed = capsys.readouterr()
    assert "prediction_id" not in printed.err
    assert {line.split()[2] for line in printed.out.splitlines() if " firing " in line} >= {"Mean", "Std"}


def outcomes_of(recording: Recording, text: str) -> list[Activation]:
    """References of outcomes that a replay of a log with that alerts.yaml is given."""
    _, activations = configured(recording, load(text, "alerts.yaml"), None)
    return [one for one in activations if one.decision.stream == "outcomes"]


def test_a_replay_takes_the_recorded_reference_and_makes_one_that_means_something_else(folder: Any) -> None:
    """The file is not needed for what was recorded; another `positive` is another reference of the same file."""
    text = TEXT % (BINARY, folder.table)
    with capture_logs():
        service = Service(text, 10_000)
        service.send(BINARY, range(10), 0.1)
    recording = topics_of_bus(service.fleet.bus, tuple(INPUTS), TOPICS, PLACE)
    other = text.replace("performance: {", "performance: {positive: '0', ")
    (again,) = outcomes_of(recording, other)
    hidden = folder.table.rename(folder.path / "gone.csv")
    (recorded,) = outcomes_of(recording, text)
    assert recorded.decision.content in {one.decision.content for one in recording.control.activations}
    assert again.decision.content != recorded.decision.content
    hidden.rename(folder.table)
