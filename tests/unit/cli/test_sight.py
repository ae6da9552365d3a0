"""What commands print of `drift`: how often it was judged or why never, and how small a shift it sees."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from math import pi, sin
from pathlib import Path

import pytest

from monitor.cli.check import check
from monitor.cli.reference import build, show
from monitor.sources.reference_file import read_reference_file, write_reference_file
from tests.unit.cli.test_coverage import CONFIG, replayed, table

RULE = "{alert: Left, expr: drift > 1}"


def configured(folder: Path, reference: str, rule: str = RULE) -> Path:
    """A file of one model; it returns its path."""
    path = folder / "alerts.yaml"
    given = {"window": "{events: 300, every: 100}", "numerical": "x", "no_data": "off", "rules": f"      - {rule}"}
    path.write_text(CONFIG.format(**given, reference=reference))
    return path


def built(folder: Path, rows: int = 2000, *, is_old: bool = False) -> Path:
    """A reference of ours. `is_old`: as an older release made it."""
    out = folder / "r.ref"
    build(table(folder / "r.csv", rows), out, configured(folder, "first: 500"), "m", None, None)
    if is_old:
        pairs, _ = read_reference_file(out.read_bytes())
        out.write_bytes(write_reference_file([(grid, replace(reference, moments=None)) for grid, reference in pairs]))
    return out


def shifts_in(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"of ([0-9.]+) σ", text)]


def test_replay_says_how_often_it_was_judged_and_what_it_sees(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With each pane of ten rows behind the reference; more rows see smaller shifts."""
    outcome = replayed(tmp_path, table(tmp_path / "t.csv", 1200), (RULE,))
    out = capsys.readouterr().out
    assert "Left (drift > 1): judged 70 times on features" in out
    assert outcome.not_judged == outcome.firing == 0
    (line,) = (line for line in out.splitlines() if "σ" in line)
    assert line.startswith("m/features: drift sees a shift of ")
    few, many = shifts_in(line)
    assert 0 < many < few < 2


@pytest.mark.parametrize(
    ("rows", "is_old", "why"),
    [
        (0, False, "no rows behind the reference"),
        (5, False, "too few rows behind the reference"),
        (700, True, "the reference says nothing of its rows beside counts: an older release has made it"),
    ],
)
def test_what_is_never_judged_gives_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: int, is_old: bool, why: str
) -> None:
    """A stream that has no sight has no line of it."""
    reference = f"path: {built(tmp_path, is_old=True)}" if is_old else "first: 500"
    replayed(tmp_path, table(tmp_path / "t.csv", rows + 500 * (not is_old)), (RULE,), reference=reference)
    out = capsys.readouterr().out
    assert f"Left (drift > 1): never judged: features: {why}" in out
    assert ("σ" in out) == (rows == 5)


def test_check_says_it_of_references_in_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """If a rule asks for `drift`; a larger reference sees smaller shifts."""
    found = []
    for rows in (500, 5000):
        assert check(configured(tmp_path, f"path: {built(tmp_path, rows)}"), None) == 0
        found.append(shifts_in(capsys.readouterr().out))
    assert len(found[0]) == len(found[1]) == 2
    assert all(large < small for small, large in zip(*found, strict=True))
    for reference, rule in (("first: 500", RULE), (f"path: {tmp_path / 'r.ref'}", "{alert: A, expr: psi > 1}")):
        assert check(configured(tmp_path, reference, rule), None) == 0
        assert "σ" not in capsys.readouterr().out


def test_check_knows_of_a_season(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of rows that come back every day: who knows that sees a shift that is smaller."""
    rng, found = random.Random(1), []
    rows = (f"2026-03-{i // 96 + 1:02d}T{i // 4 % 24:02d}:{i % 4 * 15:02d}:00Z" for i in range(96 * 28))
    lines = [f"{at},{3 * sin(2 * pi * i / 96) + rng.gauss(0, 1):.3f},a" for i, at in enumerate(rows)]
    (tmp_path / "t.csv").write_text("\n".join(["ts,x,k", *lines]) + "\n")
    for season in ("", "\n    season: day"):
        path = configured(tmp_path, f"path: {tmp_path / 't.csv'}")
        path.write_text(path.read_text().replace("    task: regression", f"    task: regression{season}"))
        assert check(path, None) == 0
        found.append(shifts_in(capsys.readouterr().out))
    assert all(known < unknown for unknown, known in zip(*found, strict=True))


@pytest.mark.parametrize("is_old", [False, True])
def test_show_has_a_column_for_each_number_of_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], is_old: bool
) -> None:
    """Beside the numeric series; of a reference of an older release a line says why there is none."""
    out = built(tmp_path, is_old=is_old)
    capsys.readouterr()
    show(out)
    lines = capsys.readouterr().out.splitlines()
    head = next(line for line in lines if line.split()[:1] == ["series"])
    row = next(line for line in lines if line.split()[:2] == ["x", "numeric"])
    assert ("σ in 1,000" in head and "σ in 10,000" in head) is not is_old
    assert len(row.split()) == (10 if not is_old else 8)
    assert any("no `drift` with it" in line for line in lines) is is_old
