"""Roles from other tools: NannyML's nann.yml and Evidently's column_mapping, and what of them is not taken over."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from monitor.cli.main import app
from monitor.errors import ConfigurationError
from monitor.inference.foreign import read_foreign
from monitor.inference.roles import Role, roles_of
from monitor.inference.sample import Sample
from tests.unit.inference.tables import TABLES

SAMPLE = Sample(
    "t",
    {
        "at": [f"2026-03-01T00:00:{n:02}Z" for n in range(50)],
        "amount": [n * 0.37 % 5 for n in range(50)],
        "price": [f"{n * 0.37 % 5:.2f}" for n in range(50)],
        "zip": [f"0{n % 7}067" for n in range(50)],
        "city": ["Lyon", "Oslo"] * 25,
        "flag": [True, False] * 25,
        "score": [n / 50 for n in range(50)],
        "tags": [["a"], ["b", "c"]] * 25,
        "inner": [{"a": 1}] * 50,
        "empty": [None] * 50,
        "a\nb": [1.5, 2.5] * 25,
        "y": [0, 1] * 25,
    },
    50,
)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (
            "input: {path: a}\nproblem_type: classification_binary\ncolumn_mapping:\n  features: [country]\n"
            "  timestamp: event_time\n  y_pred: is_new_card\n  y_true: nothing\n",
            ["input", "problem_type", "y_true: nothing (no such column)"],
        ),
        ('{"target": "y_true", "prediction": "is_new_card", "numerical_features": ["y_pred"], "task": "x"}', ["task"]),
    ],
)
def test_roles_of_other_tools_are_taken_over(text: str, left: list[str], tmp_path: Path) -> None:
    """NannyML's file and Evidently's mapping; what is not taken over is listed."""
    source, out, mapping = TABLES[0].file(tmp_path), tmp_path / "alerts.yaml", tmp_path / "mapping"
    mapping.write_text(text)
    made = CliRunner().invoke(app, ["init", str(source), "--out", str(out), "--yes", "--from", str(mapping)])
    assert made.exit_code == 0, made.output
    assert "prediction: is_new_card" in out.read_text()
    assert [line.partition("not taken over: ")[2] for line in made.output.splitlines() if "not taken" in line] == left


@pytest.mark.parametrize(
    ("key", "name", "role"),
    [
        ("numerical_features", "amount", "numerical"),
        ("numerical_features", "price", "numerical"),
        ("numerical_features", "zip", "numerical"),
        ("numerical_features", "city", "its values are no numbers"),
        ("numerical_features", "flag", "its values are no numbers"),
        ("numerical_features", "tags", "its values are lists"),
        ("numerical_features", "empty", "it has no values"),
        ("numerical_features", "a\nb", "its name can't be written"),
        ("categorical_features", "city", "categorical"),
        ("categorical_features", "flag", "categorical"),
        ("categorical_features", "y", "categorical"),
        ("categorical_features", "price", "categorical"),
        ("categorical_features", "amount", "its values are numbers that are not whole"),
        ("categorical_features", "inner", "its values are objects"),
        ("timestamp", "at", "timestamp"),
        ("datetime", "city", "its values are no times"),
        ("y_pred_proba", "score", "probability"),
        ("prediction_probas", "amount", "its values are not between 0 and 1"),
        ("y_pred_proba", "city", "its values are not between 0 and 1"),
        ("y_pred", "city", "prediction"),
        ("prediction", "inner", "its values are objects"),
        ("target", "inner", "label"),
        ("text_features", "tags", "left out"),
    ],
)
def test_a_role_is_taken_over_only_if_the_values_can_have_it(key: str, name: str, role: str, tmp_path: Path) -> None:
    """Else it is named with the reason, and the values decide."""
    mapping = tmp_path / "mapping.json"
    mapping.write_text(f'{{"id": "y", "{key}": ["{name.encode("unicode_escape").decode()}"]}}')
    if name == "y":
        mapping.write_text(f'{{"id": "city", "{key}": ["y"]}}')
    roles, left = read_foreign(mapping, SAMPLE)
    taken = {decision.name: decision for decision in roles_of(SAMPLE, roles)}[name]
    if left:
        assert left == [f"{key}: {name} ({role})"]
        assert taken.why != "as given"
    else:
        assert (taken.role, taken.why) == (role, "as given")


@pytest.mark.parametrize(
    ("text", "roles", "left"),
    [
        (
            "timestamp: at\nfeatures: [amount, kilos, 7, city]\n",
            {"at": "timestamp"},
            ["features: kilos (no such column)", "features: 7 (is no name)"],
        ),
        (
            "numerical_features: [score, y]\ntarget: y\n",
            {"score": "numerical", "y": "label"},
            ["numerical_features: y (is its label already)"],
        ),
        ("y_pred_proba: {a: score, b: amount}\n", {"score": "probability"}, None),
        ("column_mapping:\n  target: y\n  task:\n  id:\nstore: x\n", {"y": "label"}, ["store", "task"]),
    ],
)
def test_all_that_is_not_taken_over_is_listed(
    text: str, roles: dict[str, Role], left: list[str] | None, tmp_path: Path
) -> None:
    """Features that the data lack, second roles of a column, and keys that say something else."""
    mapping = tmp_path / "nann.yml"
    mapping.write_text(text)
    found, listed = read_foreign(mapping, SAMPLE)
    assert found == roles
    assert listed == (["y_pred_proba: amount (its values are not between 0 and 1)"] if left is None else left)


@pytest.mark.parametrize("text", ["- at\n", "column_mapping: at\n", "7\n", "", "numerical_features: [city]\n"])
def test_a_file_that_gives_no_role_is_refused(text: str, tmp_path: Path) -> None:
    """With its name."""
    mapping = tmp_path / "nann.yml"
    mapping.write_text(text)
    with pytest.raises(ConfigurationError) as refused:
        read_foreign(mapping, SAMPLE)
    assert "nann.yml" in str(refused.value)
