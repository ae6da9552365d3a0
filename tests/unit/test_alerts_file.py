"""alerts.yaml and its lock on the disk: written as a whole, read together, and handed to the stages."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.alerts_file import Accepted, Followed, load_config, load_unlocked_config, lock_path, read_lock, write_lock
from monitor.channel import Channel
from monitor.config import Config
from monitor.config.lock import FORMAT, Lock, LockedModel
from monitor.errors import ConfigurationError
from monitor.sources.references import references_of_file
from monitor.telemetry import get_log
from tests.locks import lock_of

LOCK = Lock(format=FORMAT, models={"m": LockedModel(rules="sha256:" + "0" * 32, lanes={})})


def test_a_lock_is_read_as_it_was_written(tmp_path: Path) -> None:
    """In the place of an older one, and with no other file beside it."""
    path = tmp_path / "alerts.lock.yaml"
    path.write_text("an older one")
    write_lock(path, LOCK)
    assert read_lock(path) == LOCK
    assert list(tmp_path.iterdir()) == [path]


def test_what_can_not_be_written_or_read_is_refused_by_name(tmp_path: Path) -> None:
    """A folder that is not there, and a file that is no text."""
    with pytest.raises(ConfigurationError, match="No such file"):
        write_lock(tmp_path / "nowhere" / "alerts.lock.yaml", LOCK)
    (tmp_path / "bytes").write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="not UTF-8 at byte 0"):
        read_lock(tmp_path / "bytes")


FILE = """\
version: 1
models:
  m:
    task: regression
    streams: {features: {topic: f}}
    columns: {numerical: [x]}
    reference: {path: "%s"}
    budget: {false_alarms: 1, per: day}
groups:
  - {name: g, model: m, rules: [{alert: Drift, expr: drift > 1}]}
"""


@pytest.fixture
def alerts(tmp_path: Path) -> Path:
    """An alerts.yaml with a budget, beside a lock of the reference that its file gives."""
    rows = tmp_path / "rows.csv"
    rows.write_text("x\n" + "\n".join(str(i * i % 97) for i in range(200)))
    path = tmp_path / "alerts.yaml"
    path.write_text(FILE % rows)
    lock(path, (5.0, 4.0, 4.5))
    return path


def lock(path: Path, limits: tuple[float, float, float]) -> None:
    model = load_unlocked_config(path).models[0]
    ((_, reference),) = references_of_file(Path(str(model.rules.reference.path)), model.contract)
    text = lock_of(path.read_text(), limits=limits, references={"features": reference.digest}).text
    lock_path(path).write_text(text)


def limits_of(config: Config) -> tuple[float, float, float] | None:
    return config.models[0].rules.solved["features"].limits


def test_a_lock_is_read_again_with_its_alerts_yaml(alerts: Path) -> None:
    """Another one is taken, and one that is wrong changes nothing."""
    accepted = Accepted(alerts)
    assert limits_of(accepted.config) == (5.0, 4.0, 4.5)
    lock(alerts, (6.0, 5.0, 5.5))
    accepted.reload()
    assert limits_of(accepted.config) == (6.0, 5.0, 5.5)
    lock_path(alerts).write_text("format: [")
    with pytest.raises(ConfigurationError, match=r"alerts\.lock\.yaml:1:\d+: not YAML"):
        accepted.reload()
    lock_path(alerts).unlink()
    with pytest.raises(ConfigurationError, match=r"a budget needs alerts\.lock\.yaml"):
        accepted.reload()
    assert limits_of(accepted.config) == (6.0, 5.0, 5.5)


def test_a_stage_runs_on_the_lock_that_its_supervisor_has_taken(alerts: Path) -> None:
    """Whatever stands on the disk by then."""
    accepted = Accepted(alerts)
    one, other = Channel.pair()
    one.send(accepted.message)
    lock_path(alerts).unlink()
    assert Followed(Channel(other), alerts, get_log("test")).config == accepted.config
    one.close()


def test_a_lock_of_another_reference_file_is_refused_before_the_first_record(alerts: Path) -> None:
    """At its digest; a file that can't be read is the business of those who need it."""
    rows = alerts.with_name("rows.csv")
    rows.write_text("x\n" + "\n".join(str(i * i % 89) for i in range(200)))
    with pytest.raises(ConfigurationError, match=r"alerts\.lock\.yaml:8:20: this was another reference of 'features'"):
        load_config(alerts)
    rows.unlink()
    assert limits_of(load_config(alerts)) == (5.0, 4.0, 4.5)
