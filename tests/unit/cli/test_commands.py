"""The command line: quick help, exit codes, and a file bus from traffic to replay."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ALERTS = ROOT / "alerts.yaml"
ACCEPT = "accept --model m --from 2026-09-21T00:00:00Z --to 2026-09-21T01:00:00Z --comment c --columns"


def streamdrift(*arguments: str, timeout: float = 120, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, without settings of the outside."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("STREAMDRIFT_")}
    return subprocess.run(
        [sys.executable, "-m", "monitor.cli.main", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=ROOT,
        env={**clean, "COLUMNS": "200", **environment},
    )


@pytest.mark.parametrize("arguments", [[], ["replay"], ["reference"], ["produce", "synthetic"]])
def test_help_is_quick(arguments: list[str]) -> None:
    """Help imports neither river nor scipy nor kafka."""
    code = (
        "import sys\nfrom monitor.cli.main import main\n"
        f"sys.argv = ['streamdrift', *{arguments!r}, '--help']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "heavy = {'river', 'scipy', 'kafka', 'pyarrow', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


def test_a_good_configuration_is_reported_in_one_line() -> None:
    """`check` says what there is, the file's own rules apart from those of every model, and exits with 0."""
    done = streamdrift("check", "--config", str(ALERTS))
    assert done.returncode == 0
    own = ALERTS.read_text().count("alert:")
    assert f"alerts.yaml: ok, 1 model(s) (fraud-scorer), {own} rule(s) beside the built-in ones" in done.stdout


def test_a_bad_configuration_is_exit_code_2_with_every_place(tmp_path: Path) -> None:
    """All problems at once on stderr, each with file, line and column."""
    bad = tmp_path / "bad.yaml"
    bad.write_text(ALERTS.read_text().replace("psi{", "psy{").replace("interval: 10s", "interval: 7s"))
    done = streamdrift("check", "--config", str(bad))
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"{bad}:") for line in lines)
    assert "psi" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["check", "--config", "no.yaml"], 2, "no.yaml"),
        (["run", "--stages", "profile,web", "--bus", "sqlite:////tmp/x.db"], 2, "profile and evaluate"),
        (["tail", "alerts", "--bus", "kafka://127.0.0.1:1"], 3, "127.0.0.1:1"),
        (["tail", "alerts", "--bus", "amqp://x"], 2, "no bus address"),
        (["replay", "no.jsonl"], 2, "no.jsonl"),
        (["replay"], 2, "Missing argument"),
        (["produce", "synthetic", "--rate", "0", "--bus", "memory:"], 2, "--events"),
        ([*ACCEPT.split(), " ,"], 2, "name a column, or leave the flag out to accept all"),
    ],
)
def test_exit_codes(arguments: list[str], code: int, text: str) -> None:
    """2 for wrong usage or configuration, 3 where nobody answers; the message names the cause."""
    done = streamdrift(*arguments, STREAMDRIFT_KAFKA_PYTHON_OPTIONS="")
    assert done.returncode == code, done.stderr
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    """By name and with exit code 2, by each command that writes one."""
    out = tmp_path / "no folder" / "out.jsonl"
    table = tmp_path / "t.csv"
    table.write_text("event_time,amount_usd\n2026-03-01T00:00:00Z,1.5\n")
    bus = f"sqlite:///{tmp_path}/bus.db"
    assert streamdrift("produce", "synthetic", "--rate", "0", "--events", "10", "--bus", bus).returncode == 0
    for arguments in (
        ("replay", str(table), "--stream", "features", "--config", str(ALERTS), "--alerts-out", str(out)),
        ("reference", "build", str(table), "--config", str(ALERTS), "--out", str(out)),
        ("capture", "ml.features", "--bus", bus, "--out", str(out)),
    ):
        done = streamdrift(*arguments)
        assert done.returncode == 2, done.stderr
        assert done.stderr.splitlines()[-1] == f"streamdrift: {out}: can't be written: No such file or directory"
        assert "0 alert messages" not in done.stdout


def test_the_schema_is_what_the_shipped_file_names() -> None:
    """`schema` prints the file of alerts.yaml's modeline."""
    shipped = ROOT / "monitor" / "schema" / "alerts.schema.json"
    assert json.loads(streamdrift("schema").stdout) == json.loads(shipped.read_text())


TOPICS = ("ml.features", "ml.predictions", "ml.labels")
DRIFT = "- {at: 6500, until: 9500, column: amount_usd, kind: step, size: 2}\n"


@pytest.mark.slow
def test_from_traffic_to_alerts_to_a_replay_in_the_same_bytes(tmp_path: Path) -> None:
    """Produce, run, kill -9 in the middle, run again, tail, capture, and replay from the file alone."""
    bus, drift = f"sqlite:///{tmp_path}/bus.db", tmp_path / "drift.yaml"
    drift.write_text(DRIFT)
    produced = streamdrift(
        "produce", "synthetic", "--bus", bus, "--rate", "0", "--events", "12000", "--drift", str(drift)
    )
    assert produced.returncode == 0, produced.stderr
    command = [sys.executable, "-m", "monitor.cli.main", "run", "--bus", bus]
    first = subprocess.Popen(command, cwd=ROOT, start_new_session=True, stderr=subprocess.DEVNULL)
    published = _wait_for_alerts(bus, 1)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert published
    log, out = tmp_path / "log.jsonl", tmp_path / "alerts.jsonl"
    second = subprocess.Popen(command, cwd=ROOT, start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        _wait_for_alerts(bus, 3)
        captured = streamdrift("capture", *TOPICS, "--bus", bus, "--out", str(log))
        assert captured.returncode == 0, captured.stderr
        replayed = streamdrift("replay", str(log), "--alerts-out", str(out), "--fail-on", "firing")
        expected = out.read_text().splitlines()
        alerts = _wait_for_alerts(bus, len(expected))
    finally:
        second.terminate()
        assert second.wait(15) == 0
    assert replayed.returncode == 1, replayed.stderr
    records = re.search(r"; (\d+) records: \1 pane", replayed.stdout)
    assert records is not None
    assert int(records[1]) > 34_000  # about one label a prediction
    assert sorted(alerts) == sorted(expected)
    assert len({json.loads(line)["id"] for line in alerts}) == len(alerts)
    what_if = streamdrift("replay", str(log), "--config", str(ALERTS))
    assert "what-if" in what_if.stderr
    assert what_if.stdout == replayed.stdout
    _explain(bus, log, out)
    _replay_what_was_not_recorded_so(bus, log, tmp_path)


def _explain(bus: str, log: Path, alerts: Path) -> None:
    """The same of a service and of its replay, and the command that is printed prints the rows of the window."""
    messages = [json.loads(line) for line in alerts.read_text().splitlines()]
    found = [message["data"] for message in messages if message["subject"].endswith("/features")]
    fingerprint, window = next((data["fingerprint"], w) for data in found if (w := data["evidence"]["window"]))
    live = streamdrift("explain", fingerprint, "--bus", bus, "--json")
    again = streamdrift("explain", fingerprint[:6], "--alerts", str(alerts), "--json")
    assert live.returncode == again.returncode == 0, live.stderr + again.stderr
    of_live, of_replay = json.loads(live.stdout), json.loads(again.stdout)
    commands = of_live.pop("rows"), of_replay.pop("rows")
    assert of_live == of_replay
    assert commands[1] == f"{commands[0]} --in SOURCE"
    ranges = commands[0].split()[2:]
    for source in (("--bus", bus), ("--in", str(log))):
        printed = streamdrift("records", *ranges, *source)
        lines = [json.loads(line) for line in printed.stdout.splitlines()]
        assert len(lines) == sum(one["end"] - one["start"] for one in window["offsets"])
        assert {line["topic"] for line in lines} == {one["topic"] for one in window["offsets"]}
    text = streamdrift("explain", fingerprint, "--bus", bus).stdout
    assert re.search("columns +amount_usd  location", text)
    assert commands[0] in text.replace("\n", "")


def _replay_what_was_not_recorded_so(bus: str, log: Path, folder: Path) -> None:
    """Other columns, one topic of three, and a broken alerts.yaml that nobody asked for."""
    fewer, one, broken = folder / "fewer.yaml", folder / "one.jsonl", folder / "broken.yaml"
    fewer.write_text(ALERTS.read_text().replace("account_age_days, tx_last_hour", "tx_last_hour"))
    other_columns = streamdrift("replay", str(log), "--config", str(fewer))
    assert other_columns.returncode == 0, other_columns.stderr
    assert "FeatureDrift" in other_columns.stdout
    assert streamdrift("capture", "ml.features", "--bus", bus, "--out", str(one)).returncode == 0
    one_topic = streamdrift("replay", str(one))
    assert "left out: fraud-scorer/predictions" in one_topic.stderr
    assert "FeatureDrift" in one_topic.stdout
    broken.write_text("x: [")
    assert streamdrift("replay", str(log), STREAMDRIFT_CONFIG=str(broken)).returncode == 0


def _wait_for_alerts(bus: str, least: int) -> list[str]:
    """Lines of the alerts topic once there are so many; the topic may not be there yet."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        done = streamdrift("tail", "alerts", "--bus", bus, "--from-beginning", "--max", str(least), timeout=60)
        if done.returncode == 0:
            return done.stdout.splitlines()
        time.sleep(0.2)
    raise AssertionError(f"no {least} alerts within a minute")


@pytest.mark.slow
def test_the_demo_shows_an_alert_and_none_without_drift() -> None:
    """`demo --once` reads a firing alert back from the alerts topic; the same seed without drift shows none."""
    drifted = streamdrift("demo", "--once")
    assert drifted.returncode == 0, drifted.stderr
    for alert in ("Drift fraud-scorer/features", "ConceptDrift fraud-scorer/error", "PerformanceDrop"):
        assert f"firing   {alert}" in drifted.stdout
    calm = streamdrift("demo", "--once", "--no-drift")
    assert calm.returncode == 0, calm.stderr
    assert "firing" not in calm.stdout
    assert "no alert" in calm.stdout


def test_a_second_service_on_one_file_is_refused_by_name(tmp_path: Path) -> None:
    """The embedded bus lets one process of a stage in; the second names the holder and ends."""
    bus = f"sqlite:///{tmp_path}/bus.db"
    assert streamdrift("produce", "synthetic", "--bus", bus, "--rate", "0", "--events", "10").returncode == 0
    command = [sys.executable, "-m", "monitor.cli.main", "run", "--bus", bus, "--stages", "profile"]
    holder = subprocess.Popen(command, cwd=ROOT, start_new_session=True, stderr=subprocess.PIPE, text=True)
    try:
        assert holder.stderr is not None
        for line in holder.stderr:
            if "stage_started" in line:
                break
        second = streamdrift("run", "--bus", bus, "--stages", "profile", "--instance", "another", timeout=60)
    finally:
        holder.terminate()
        holder.communicate(timeout=15)
    assert second.returncode == 2
    assert "streamdrift.profile" in second.stderr
