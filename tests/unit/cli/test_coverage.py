"""What replay says of its rules: judged how often, or never and why; each reason, and none if all is well."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from monitor.cli.check import check
from monitor.cli.coverage import coverage_lines
from monitor.cli.replay import Options, Outcome, replay
from monitor.errors import ConfigurationError
from monitor.evaluate.coverage import RuleCoverage
from monitor.events import StreamName
from tests.unit.evaluate.test_rules import a_rule

CONFIG = """
version: 1
defaults: {{window: {window}, lateness: 10s, no_data: {no_data}}}
models:
  m:
    task: regression
    streams: {{features: {{topic: f}}}}
    columns: {{timestamp: ts, numerical: [{numerical}], categorical: [k]}}
    reference: {{{reference}}}
groups:
  - name: g
    model: m
    rules:
{rules}
"""
RULES = ("{alert: Drift, expr: psi > 5}", "{alert: Few, expr: events_per_second < 0.01}")


def table(path: Path, rows: int, x: str = "x", value: str | None = None) -> Path:
    """A row a second."""
    rng = random.Random(3)
    lines = [f"ts,{x},k"]
    for i in range(rows):
        number = value if value is not None else f"{rng.gauss(50, 5):.3f}"
        lines.append(f"2026-03-01T{i // 3600:02d}:{i // 60 % 60:02d}:{i % 60:02d}Z,{number},{rng.choice('abc')}")
    path.write_text("\n".join(lines) + "\n")
    return path


def replayed(tmp_path: Path, source: Path, rules: tuple[str, ...] = RULES, **given: object) -> Outcome:
    values: dict[str, object] = {
        "window": "{events: 300, every: 100}",
        "numerical": "x",
        "reference": "first: 500",
        "no_data": "off",
        "rules": "\n".join(f"      - {rule}" for rule in rules),
    }
    config = tmp_path / "alerts.yaml"
    config.write_text(CONFIG.format(**(values | given)))
    return replay(Options((str(source),), config=config))


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().out.splitlines() if "judged" in line]


def test_one_line_a_rule_if_all_is_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Windows of 300 by 100 behind 500 rows of 1,200 close five times, with two columns."""
    outcome = replayed(tmp_path, table(tmp_path / "t.csv", 1200))
    assert lines(capsys) == [
        "Drift (psi > 5): judged 5 times on 2 columns",
        "Few (events_per_second < 0.01): judged 5 times on features",
    ]
    assert outcome.not_judged == 0


@pytest.mark.parametrize(
    ("rows", "given", "why"),
    [
        (400, {}, "no reference: 400 of 500 rows"),
        (500, {}, "no rows behind the reference"),
        (700, {}, "no window (events=300,every=100) has closed"),
        (1200, {"window": "{time: 60s}"}, "no window with min_events=100 (the largest has 60)"),
    ],
)
def test_a_stream_that_is_never_judged_gives_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: int, given: dict[str, object], why: str
) -> None:
    """Every rule, and every column in one line; all of them count as not judged."""
    outcome = replayed(tmp_path, table(tmp_path / "t.csv", rows), RULES[:1], **given)
    found = [line for line in lines(capsys) if not line.startswith("not judged: ")]
    assert found == [f"Drift (psi > 5): never judged on k, x: {why}"]
    assert outcome.not_judged == 2 + (rows == 400)


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [("X", None, "all are missing"), ("x", "", "all are missing"), ("x", "n/k", "all are invalid")],
)
def test_a_column_without_a_usable_value_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], column: str, value: str | None, why: str
) -> None:
    """Misspelt, empty or of another kind; the other column is judged, and NoData fires for this one."""
    source = table(tmp_path / "t.csv", 1200, column, value)
    outcome = replayed(tmp_path, source, RULES[:1], no_data="1h")
    out, err = capsys.readouterr()
    assert [line for line in out.splitlines() if "judged" in line] == [
        "Drift (psi > 5): judged 5 times on 1 column",
        f"Drift (psi > 5): never judged on x: no usable value in the reference: {why}",
    ]
    assert (outcome.not_judged, outcome.firing) == (1, 1)
    assert "NoData" in out
    assert ("did you mean 'X'?" in err) == (column == "X")


COMPARING = ("psi > 5", "ks > 0.9", "wasserstein > 50", "mean > reference_mean + 90 * reference_std")
ALONE = ("mean > 1000", "invalid_rate > 0.5", 'quantile{quantile="0.95"} > 1000', "std > 1000")


def of(exprs: tuple[str, ...], more: str = "") -> tuple[str, ...]:
    """A rule for each, on the column of numbers."""
    named = [expr.replace("{", '{column="x",') if "{" in expr else expr for expr in exprs]
    chosen = [expr if "{" in expr else expr.replace(" ", '{column="x"} ', 1) for expr in named]
    return tuple(f"{{alert: A{i}, expr: '{expr}'{more}}}" for i, expr in enumerate(chosen))


@pytest.mark.parametrize("rows", [1, 12, 99])
def test_a_file_of_fewer_rows_than_min_events_is_compared_with_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: int
) -> None:
    """Said once a rule; what a window is by itself is judged as ever."""
    reference = table(tmp_path / "r.csv", rows)
    outcome = replayed(tmp_path, table(tmp_path / "t.csv", 700), of(COMPARING + ALONE), reference=f"path: {reference}")
    found = [line.partition(": ")[2] for line in lines(capsys)]
    why = f"the reference has {rows} row{'' if rows == 1 else 's'}, fewer than min_events=100"
    assert found == [f"never judged on x: {why}"] * len(COMPARING) + ["judged 5 times on 1 column"] * len(ALONE)
    assert (outcome.firing, outcome.not_judged) == (0, len(COMPARING))


@pytest.mark.parametrize(
    ("rows", "least", "is_judged"), [(100, 100, True), (100, 101, False), (99, 1, False), (300, 300, True)]
)
def test_a_comparison_needs_min_events_rows_and_a_hundred_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: int, least: int, is_judged: bool
) -> None:
    """A smaller `min_events` does not help, because a column of fewer than 100 values has no distribution."""
    reference = table(tmp_path / "r.csv", rows)
    rules = of(COMPARING, f", min_events: {least}")
    outcome = replayed(tmp_path, table(tmp_path / "t.csv", 700), rules, reference=f"path: {reference}")
    found = [line.partition(": ")[2] for line in lines(capsys)]
    few = f"the reference has {rows} rows, fewer than min_events={least}"
    why = few if rows < least else "fewer than 100 valid values in the reference"
    assert found == ["judged 5 times on 1 column" if is_judged else f"never judged on x: {why}"] * len(COMPARING)
    assert outcome.not_judged == (0 if is_judged else len(COMPARING))


@pytest.mark.parametrize(
    ("reference", "rows", "told"),
    [
        ("path: {folder}/r.csv", 12, "Drift, Rare"),
        ("path: {folder}/r.csv", 250, "Rare"),
        ("path: {folder}/r.csv", 300, ""),
        ("path: {folder}/none.csv", 12, ""),
        ("first: 99", 99, "Drift, Rare"),
        ("first: 100", 100, "Rare"),
        ("topic: f, from: 2026-03-01T00:00:00Z, to: 2026-03-02T00:00:00Z", 12, ""),
    ],
)
def test_check_hints_at_a_reference_of_fewer_rows_than_min_events(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], reference: str, rows: int, told: str
) -> None:
    """As far as it can be known without the bus; rules that compare with nothing are not named."""
    table(tmp_path / "r.csv", rows)
    rules = ("Drift, expr: psi > 5", "Rare, expr: ks > 1 / 2, min_events: 300", "Low, expr: mean < 3, min_events: 300")
    listed = "\n".join(f"      - {{alert: {rule}}}" for rule in rules)
    given = {"window": "{events: 300, every: 100}", "numerical": "x", "no_data": "off", "rules": listed}
    config = tmp_path / "alerts.yaml"
    config.write_text(CONFIG.format(reference=reference.format(folder=tmp_path), **given))
    assert check(config, None) == 0
    hint = f"{config}: hint: the reference of m/features has {rows} rows, fewer than min_events of {told}: never judged"
    assert capsys.readouterr().err.splitlines() == ([hint] if told else [])


def test_a_threshold_that_the_grid_cannot_reach_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Beside how often the rule has judged: it looks healthy, and is not counted as never judged."""
    rules = of(("mean > 1e12", "mean > 1e6", 'quantile{quantile="0.05"} < -1e12', "wasserstein > 2e6"))
    outcome = replayed(tmp_path, table(tmp_path / "t.csv", 1200), rules)
    out = [line.partition(": ")[2] for line in capsys.readouterr().out.splitlines() if ": " in line]
    assert [line for line in out if line.startswith("judged")] == ["judged 5 times on 1 column"] * 4
    never = [line for line in out if line.startswith("never fires")]
    assert [line.partition(" than ")[0].rpartition(" ")[0] for line in never] == [
        "never fires on x: on the grid of its reference mean is never above",
        "never fires on x: on the grid of its reference quantile is never below",
        "never fires on x: on the grid of its reference wasserstein is never above",
    ]
    assert outcome.not_judged == 0


def test_rules_are_asked_for_what_they_select_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Columns of other kinds, and those that a selector leaves out, are not missed; detectors by what they read."""
    rules = (
        "{alert: Mean, expr: mean > 1000}",
        "{alert: New, expr: new_category_rate > 0.9}",
        """{alert: One, expr: 'psi{column="k"} > 5'}""",
    )
    outcome = replayed(tmp_path, table(tmp_path / "t.csv", 1200), rules)
    assert [line.partition(": ")[2] for line in lines(capsys)] == ["judged 5 times on 1 column"] * 3
    assert outcome.not_judged == 0
    file = tmp_path / "alerts.yaml"
    detectors = "detectors: {all: {class: ADWIN, input: '*'}, gaps: {class: FHDDM, input: missing(x)}}"
    gaps = """{alert: Gaps, expr: 'change{detector="gaps"} > 0'}"""
    file.write_text(f"{detectors}\n{file.read_text().replace(rules[0], gaps)}")
    assert replay(Options((str(tmp_path / "t.csv"),), config=file)).not_judged == 0
    assert lines(capsys)[0] == "Gaps (change > 0): judged 70 times on 1 column"


def test_scores_are_all_observations_in_the_bytes_of_the_topic(tmp_path: Path) -> None:
    """Each window of each stream, with the scores of its columns, beside the changes of the lane."""
    replayed(tmp_path, table(tmp_path / "t.csv", 1200))
    config, out = tmp_path / "alerts.yaml", tmp_path / "scores.jsonl"
    replay(Options((str(tmp_path / "t.csv"),), config=config, scores=out))
    events = [json.loads(line) for line in out.read_bytes().splitlines()]
    windows = [event["data"] for event in events if event["type"] == "streamdrift.observation.v1"]
    assert [window["window"]["events"] for window in windows] == [300] * len(windows)
    assert len(windows) >= 5
    assert all({"x", "k"} == window["columns"].keys() for window in windows)
    assert [event["time"] for event in events] == sorted(event["time"] for event in events)
    with pytest.raises(ConfigurationError, match="can't be written"):
        replay(Options((str(tmp_path / "t.csv"),), config=config, scores=tmp_path / "no" / "scores"))


def test_many_columns_are_shortened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Five names, and how many more."""
    names = ", ".join(["x", *(f"y{i}" for i in range(9))])
    replayed(tmp_path, table(tmp_path / "t.csv", 1200), ("{alert: Mean, expr: mean > 1000}",), numerical=names)
    assert lines(capsys)[1].startswith("Mean (mean > 1000): never judged on y0, y1, y2, y3, y4 and 4 more: no usable")


@pytest.mark.parametrize(
    ("streams", "text"),
    [
        (("features",), "features"),
        (("features", "predictions"), "features and predictions"),
        (("features", "predictions", "outcomes"), "features, predictions and outcomes"),
    ],
)
def test_streams_that_were_judged_are_listed(streams: tuple[StreamName, ...], text: str) -> None:
    """As a sentence lists them, however many there are."""
    rule = a_rule("drift > 1")
    (line,) = coverage_lines([RuleCoverage("m", rule, {(stream, None): 2 for stream in streams}, (), ())])
    assert line.endswith(f"judged 2 times on {text}")
