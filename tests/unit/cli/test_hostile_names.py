"""Names of columns that are signs elsewhere: in alerts, pages, metrics and on the terminal they stay as they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet
import pytest

from monitor.cli.replay import Options, replay
from monitor.cli.tail import pretty, printable
from monitor.config.inputs import resolve_inputs
from monitor.config.loading import load
from monitor.web.metrics import _escaped
from tests.unit.cli.test_tables import numbers, times

NAMES = [
    *("area (m²)", "größe", "gro\u0308ße", "e\u0301", "\u00e9", "😀", "\u202eevil\u202c", "\u200fשלום", "\u2028"),
    *('a"b', "it's", "{{ labels.model }}", "{x}", "}}", "back\\slash", "\\", '\\"', "$HOME", "<b>", "a,b", "a|b", "#"),
    *("a.b", "a", ".", "..", "a/b?c#d%2F", "[red]x[/red]", "x\\[red]", "*", "x*", "?", "[a]", "missing(a)", "a=~b"),
    *(" lead", "trail ", " ", "-1", "null", "007", "1e3", "event_time", "model", "features", "x" * 128),
]
"""The time is among them: inside `features` its name is free, and in a table it is the same column."""
FREE = [name for name in NAMES if name not in ("event_time", "model", "features")]


def quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def config(names: list[str]) -> str:
    """A file in which each column has a rule and a detector of its own."""
    rules = [
        {
            "alert": f"R{k}",
            "expr": f"psi{{column={quoted(name)}}} > 0.25",
            "annotations": {"summary": "{{ labels.column }}: {{ events }}"},
        }
        for k, name in enumerate(names)
    ]
    detectors = {f"d{k}": {"class": "FHDDM", "input": f"missing({quoted(name)})"} for k, name in enumerate(names)} | {
        f"v{k}": {"class": "ADWIN", "input": quoted(name)} for k, name in enumerate(names)
    }
    file = {
        "version": 1,
        "defaults": {"window": {"events": 300, "every": 100}, "lateness": "10s", "no_data": "off"},
        "models": {
            "m": {
                "task": "regression",
                "streams": {"features": {"topic": "f"}},
                "columns": {"numerical": names},
                "reference": {"first": 500},
            }
        },
        "detectors": detectors,
        "groups": [{"name": "g", "model": "m", "rules": rules}],
    }
    return json.dumps(file, ensure_ascii=False)


def write_events(table: dict[str, list[Any]], path: Path) -> None:
    rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    lines = [json.dumps({"event_time": row.pop("event_time"), "features": row}, ensure_ascii=False) for row in rows]
    path.write_text("\n".join(lines), encoding="utf-8")


FORMS: dict[str, Callable[[dict[str, list[Any]], Path], Any]] = {
    "events": write_events,
    "parquet": lambda table, path: pa.parquet.write_table(pa.table(table), path),
    "feather": lambda table, path: pa.feather.write_feather(pa.table(table), str(path)),
    "orc": lambda table, path: pa.orc.write_table(pa.table(table), path),
    "csv": lambda table, path: pa.csv.write_csv(pa.table(table), path),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_name_comes_through_as_it_is(tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each rule selects its own column; what names it in messages, pages and on the terminal is the same name."""
    (tmp_path / "alerts.yaml").write_text(config(FREE), encoding="utf-8")
    drifted = numbers(50, 80)
    FORMS[form]({"event_time": times(), **dict.fromkeys(FREE, drifted)}, tmp_path / "t")
    replay(Options((str(tmp_path / "t"),), tmp_path / "alerts.yaml", alerts_out=tmp_path / "out"))
    shown = capsys.readouterr().out
    lines = (tmp_path / "out").read_bytes().splitlines()
    alerts = [json.loads(line)["data"] for line in lines]
    fired = {alert["labels"]["alertname"]: alert for alert in alerts}
    assert {name: alert["labels"]["column"] for name, alert in fired.items()} == {
        f"R{k}": name for k, name in enumerate(FREE)
    }
    assert len({alert["fingerprint"] for alert in fired.values()}) == len(FREE)
    for alert in fired.values():
        name, page = alert["labels"]["column"], urlsplit(alert["generatorURL"])
        assert alert["annotations"]["summary"].startswith(f"{name}: ")
        assert page.path.isascii()
        assert [unquote(part) for part in page.path.split("/")[-2:]] == (
            ["models", "m"] if name in (".", "..") else ["columns", name]
        )
        assert len(name) > 100 or printable(name).strip() in shown
    for line in lines:
        pretty("alerts", line)
    assert all(line.isprintable() for line in (shown + capsys.readouterr().out).split("\n"))


def test_every_name_is_an_input_in_quotes_or_written_out() -> None:
    """One of brackets, quotes and globs among them; and of what is composed alike each is itself."""
    (model,) = load(config(NAMES), "f").models
    for spec in model.rules.detectors:
        (found,) = resolve_inputs(spec, model.contract)
        assert found.column == NAMES[int(spec.name[1:])]
        if spec.name.startswith("v"):
            (found,) = resolve_inputs(spec.model_copy(update={"input": found.column}), model.contract)
            assert found.column == NAMES[int(spec.name[1:])]


@pytest.mark.parametrize("name", NAMES)
def test_a_label_of_a_metric_is_read_back(name: str) -> None:
    """By the rules of the exposition format, whose escapes are those of a quote, a backslash and a new line."""
    text = _escaped(name)
    assert "\n" not in text
    assert json.loads(f'"{text}"') == name


@pytest.mark.parametrize("name", ["", "a\n", "\x00", "\x1b[31m", "\x7f", "\x85", "x" * 129])
def test_control_characters_are_no_part_of_a_name(name: str) -> None:
    """They are refused by the check, with a place."""
    with pytest.raises(Exception, match="is not a column here"):
        load(
            json.dumps(
                json.loads(config(["x"]))
                | {
                    "models": {
                        "m": {
                            "task": "regression",
                            "streams": {"features": {"topic": "f"}},
                            "columns": {"numerical": [name, "x"]},
                        }
                    }
                }
            ),
            "f",
        )
