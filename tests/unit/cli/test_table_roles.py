"""Roles that say what values mean, and names that are none elsewhere, through `replay` of a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.test_tables import config_of, numbers, run, times, words, write_csv


@pytest.mark.parametrize(
    ("columns", "before", "after", "fired"),
    [
        ("{binary: {column: k, true: ja}}", ["ja", "nein", "Nein"], ["JA", "ja", "nein"], {("Drift", "k")}),
        ("{binary: {column: k, true: 2}}", [1, 1, 2], [2.0, 2, 1], {("Drift", "k")}),
        ("{categorical: [{column: k, as: number}]}", ["1.0", "2"], ["01", "2.0"], set()),
        ('{categorical: [{name: k, field: "k"}]}', ["a", "b", "b"], ["a", "a", "b"], {("Drift", "k")}),
    ],
)
def test_a_role_says_what_values_mean(
    tmp_path: Path, columns: str, before: list[Any], after: list[Any], fired: set[tuple[str, str]]
) -> None:
    """Shares that turn round are drift; another way to write a number is none."""
    table = write_csv(tmp_path / "t", {"event_time": times(), "k": words(before, after)})
    assert run(table, config_of(tmp_path, columns))[0] == fired


def test_a_time_zone_is_named_and_nothing_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Times in a format, of a column with a space in its name."""
    local = [f"01.03.2026 00:{i // 60:02}:{i % 60:02}" for i in range(1200)]
    when = '{field: "event time", format: "%d.%m.%Y %H:%M:%S", timezone: Europe/Berlin}'
    table = write_csv(tmp_path / "t", {"event time": local, "x": numbers(50, 80)})
    fired, outcome = run(table, config_of(tmp_path, f"{{timestamp: {when}, numerical: [x]}}"))
    assert (fired, outcome.dead_letters) == ({("Drift", "x")}, 0)
    assert "taken as" not in capsys.readouterr().err
