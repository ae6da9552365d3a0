"""Live, ready and metrics: what they say of stages that turn, hang, restore, or are gone."""

from __future__ import annotations

import pytest

from monitor.runner.status import Status
from monitor.telemetry import METRICS, sample
from monitor.web.health import SILENT_S, StageView, not_live, not_ready
from monitor.web.metrics import exposition, stage_samples

NOW = 1000.0


def stage(
    turned: float | None = NOW, unready: str = "", pid: int | None = 7, started: float = NOW - 500
) -> list[StageView]:
    status = None if turned is None else Status(turned, NOW - 3, unready, [sample("streamdrift_info", 1, "1", "i")])
    return [StageView("profile", pid, 2, started, status)]


def test_a_stage_that_turns_is_live_and_ready() -> None:
    """No reason against either."""
    assert not_live(stage(), NOW) == not_ready(stage(), NOW) == []


def test_a_stage_that_hangs_is_neither() -> None:
    """A minute without a turn."""
    assert not_live(stage(NOW - SILENT_S + 1), NOW) == []
    assert not_live(stage(NOW - SILENT_S), NOW) == ["profile has not ended a turn for 60 s"]
    assert not_ready(stage(NOW - SILENT_S), NOW) == ["profile has not ended a turn for 60 s"]


def test_a_stage_that_starts_or_restores_is_live_and_not_ready() -> None:
    """A restart would only make it begin again."""
    assert not_live(stage(None, started=NOW - 5), NOW) == []
    assert not_ready(stage(None, started=NOW - 5), NOW) == ["profile: starting"]
    assert not_live(stage(None, started=NOW - SILENT_S), NOW) != []
    assert not_ready(stage(unready="folding 3 partitions again"), NOW) == ["profile: folding 3 partitions again"]


def test_a_stage_that_ended_is_the_supervisors_business() -> None:
    """It is started again: not ready, and no reason to end the supervisor."""
    assert not_live(stage(pid=None), NOW) == []
    assert not_ready(stage(pid=None), NOW) == ["profile: does not run"]


def test_samples_are_shown_by_metric_with_meaning_and_kind() -> None:
    """In the order of the list, whole numbers as such."""
    text = exposition([sample("streamdrift_stage_up", True, "b"), sample("streamdrift_config_reload_failed", 0.5)])
    assert text == (
        "# HELP streamdrift_config_reload_failed 1 when the newest SIGHUP found a file that was refused\n"
        "# TYPE streamdrift_config_reload_failed gauge\n"
        "streamdrift_config_reload_failed 0.5\n"
        "# HELP streamdrift_stage_up 1 while the stage's process runs\n"
        "# TYPE streamdrift_stage_up gauge\n"
        'streamdrift_stage_up{stage="b"} 1\n'
    )


def test_label_values_cannot_break_out() -> None:
    """Quotes, backslashes and line ends are escaped."""
    (line,) = [x for x in exposition([sample("streamdrift_stage_up", 1, 'a"\\\n}')]).splitlines() if x[0] != "#"]
    assert line == 'streamdrift_stage_up{stage="a\\"\\\\\\n}"} 1'


def test_a_sample_has_the_labels_of_its_metric() -> None:
    """A metric that is not on the list can't be told."""
    with pytest.raises(ValueError, match="has the labels"):
        sample("streamdrift_stage_up", 1)
    with pytest.raises(KeyError):
        sample("streamdrift_secret", 1)


def test_what_a_stage_reports_is_shown_with_what_the_supervisor_knows() -> None:
    """Ages are of now, whenever the stage wrote."""
    samples = {one.name: one.value for one in stage_samples(stage(NOW - 2), NOW)}
    assert samples["streamdrift_stage_turn_age_seconds"] == 2
    assert samples["streamdrift_stage_commit_age_seconds"] == 3
    assert samples["streamdrift_stage_starts_total"] == 2
    assert samples["streamdrift_info"] == 1


def test_names_follow_prometheus() -> None:
    """Counters end in _total, and nothing else does."""
    for metric in METRICS.values():
        assert metric.name.startswith("streamdrift_")
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
