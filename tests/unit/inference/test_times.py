"""Times as tables have them: in which format init finds them, and that replay reads the file that it proposes."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from monitor.cli.main import app
from monitor.inference.column_values import Values
from monitor.inference.roles import roles_of
from monitor.inference.sample import Sample

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
HOURS = [BEGIN + timedelta(hours=7 * n) for n in range(700)]
DAYS = [BEGIN + timedelta(days=n) for n in range(12)]  # the first twelve of March: day and month may be one another


@pytest.mark.parametrize(
    "form",
    ["%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%m/%d/%Y %I:%M %p", "%Y/%m/%d %H:%M", "%d %b %Y %H:%M",
     "%b %d, %Y", "%d.%m.%Y, %H:%M:%S", "%d-%m-%Y", "%d.%m.%y", "%m/%d/%y", "%Y%m%d"],
)  # fmt: skip
def test_the_format_of_times_is_found_and_read(form: str, tmp_path: Path) -> None:
    """Under a name that is none of times, but for bare digits; a replay takes every row."""
    rng = random.Random(form)
    name = "day" if form == "%Y%m%d" else "when"
    table, out = tmp_path / "t.csv", tmp_path / "alerts.yaml"
    lines = [f'"{at.strftime(form)}",{rng.random():.3f}' for at in HOURS]
    table.write_text("\n".join([f"{name},x", *lines]))
    made = CliRunner().invoke(app, ["init", str(table), "--out", str(out), "--yes"])
    assert f'timestamp: {{field: {name}, format: "{form}"}}' in out.read_text(), made.output
    replayed = CliRunner().invoke(app, ["replay", str(table), "--config", str(out)])
    assert f"{len(HOURS)} records: {len(HOURS)} pane" in replayed.output


@pytest.mark.parametrize("form", ["%d/%m/%Y", "%m/%d/%Y"])
def test_of_day_and_month_the_order_of_the_rows_decides(form: str) -> None:
    """If no number is above twelve."""
    assert Values([at.strftime(form) for at in DAYS], ".").time_form.format == form


@pytest.mark.parametrize("texts", [["12.5.7", "8.1.2"], ["B-2026-03", "B-2026-04"], ["030-1234567"], ["10:15", "9:20"]])
def test_what_is_no_time_has_no_format(texts: list[str]) -> None:
    """Versions, codes, telephone numbers, times without a day."""
    values = Values(texts * 20, ".")
    assert (values.time_form.format, values.are_times) == ("", False)


def test_numbers_of_eight_digits_are_dates_only_by_name() -> None:
    """Whole numbers may be amounts."""
    digits = [int(at.strftime("%Y%m%d")) for at in HOURS]
    random.Random(1).shuffle(digits)
    found = {d.name: d.role for d in roles_of(Sample("t", {"day": digits, "amount": list(digits)}, len(digits)))}
    assert found == {"day": "timestamp", "amount": "numerical"}
