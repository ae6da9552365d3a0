"""Columns of alerts.yaml: names, fields, paths, and what values mean."""

from __future__ import annotations

import pytest

from monitor.config.loading import load
from monitor.contract import ColumnSpec
from monitor.errors import ConfigurationError

FILE = """\
version: 1
models:
  m:
    task: regression
    streams: {features: {topic: f}, predictions: {topic: p}}
    columns:
      prediction: y
      COLUMNS
"""


def columns_of(text: str) -> tuple[ColumnSpec, ...]:
    """The features of the model with these columns."""
    return load(FILE.replace("COLUMNS", text), "f").models[0].contract.streams[0].columns


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("numerical: [x]", ColumnSpec("x", "x", "numerical")),
        ("numerical: [{column: x}]", ColumnSpec("x", "x", "numerical")),
        ('numerical: ["area (m²)"]', ColumnSpec("area (m²)", "area (m²)", "numerical")),
        ("numerical: [größe]", ColumnSpec("größe", "größe", "numerical")),
        ("numerical: ['a.b']", ColumnSpec("a.b", "a.b", "numerical")),
        ("numerical: {column: x}", ColumnSpec("x", "x", "numerical")),
        ('text: [{name: area, field: "area (m²)"}]', ColumnSpec("area", "area (m²)", "text")),
        ("arrays: [{name: v, field: v.w}]", ColumnSpec("v", "v.w", "array")),
        ("categorical: [{name: c, field: [address, city]}]", ColumnSpec("c", ("address", "city"), "categorical")),
        ("categorical: [{field: [address, city]}]", ColumnSpec("address.city", ("address", "city"), "categorical")),
        ("categorical: [{field: [k]}]", ColumnSpec("k", "k", "categorical")),
        ("categorical: [{column: k, as: number}]", ColumnSpec("k", "k", "categorical", as_number=True)),
        ("categorical: {column: k, as: number}", ColumnSpec("k", "k", "categorical", as_number=True)),
        ("binary: {column: garden, true: yes}", ColumnSpec("garden", "garden", "binary", "1")),
        ("binary: [{column: garden, true: true}]", ColumnSpec("garden", "garden", "binary", "1")),
        ("binary: [{column: garden, true: No}]", ColumnSpec("garden", "garden", "binary", "0")),
        ("binary: [{column: garden, true: Ja}]", ColumnSpec("garden", "garden", "binary", "ja")),
        ("binary: [{column: garden, true: 2}]", ColumnSpec("garden", "garden", "binary", "2")),
        ("binary: [{column: garden, true: 2.0}]", ColumnSpec("garden", "garden", "binary", "2")),
        ("binary: [{name: g, field: h, true: M}]", ColumnSpec("g", "h", "binary", "m")),
    ],
)
def test_a_column_is_a_name_or_a_mapping(text: str, expected: ColumnSpec) -> None:
    """Each form gives the contract that it says."""
    assert columns_of(text) == (expected,)


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("numerical: [007]", "8:19: should be text: write it in quotes, '007'"),
        ("numerical: [1e3]", "8:19: should be text: write it in quotes, '1e3'"),
        ("numerical: [True]", "8:19: should be text: write it in quotes, 'True'"),
        ("numerical: [{column: 2.50}]", "8:28: should be text: write it in quotes, '2.50'"),
        ("numerical: [{field: [a, 007], name: x}]", "8:31: should be text: write it in quotes, '007'"),
        ("numerical: ['']", "8:19: '' is not a column here: 1 to 128 characters, no control characters among them"),
        ('numerical: ["a\\nb"]', "8:19: 'a\\nb' is not a column here"),
        (f"numerical: [{'a' * 129}]", "8:19: "),
        ("numerical: [{colum: x}]", "8:20: unknown key 'colum'; did you mean 'column'?"),
        ("numerical: [{column: x, true: 1}]", "8:31: unknown key 'true'"),
        ("binary: [{column: x, as: number}]", "8:28: unknown key 'as'"),
        ("categorical: [{column: x, as: numbr}]", "8:37: 'numbr' is not one of 'number'; did you mean 'number'?"),
        ("categorical: [{column: x, field: y}]", "8:21: a column has `column`, its name and field in one, or else"),
        ("categorical: [{name: x}]", "8:21: a column has `column`, its name and field in one, or else"),
        ("categorical: [{name: x, field: []}]", "8:38: "),
        ("binary: [{column: x, true: [1]}]", "8:34: should be the value that counts as 1"),
        ("binary: [{column: x, true: ' '}]", "8:34: should not be empty"),
        ("numerical: [x, {name: x, field: y}]", "8:22: 'x' is the name of two columns"),
    ],
)
def test_a_column_that_can_not_be_is_refused_at_its_place(text: str, places: str) -> None:
    """With what would do."""
    with pytest.raises(ConfigurationError) as refused:
        columns_of(text)
    found = str(refused.value).replace(repr("a\nb"), "'a\\nb'")
    assert found.startswith(f"f:{places}"), found


def test_the_version_in_quotes_is_said_to_be_a_number() -> None:
    """The remedy is the number."""
    with pytest.raises(ConfigurationError, match="f:1:10: 'version' is the number 1, without quotes"):
        load(FILE.replace("version: 1", 'version: "1"').replace("COLUMNS", "numerical: [x]"), "f")


def test_roles_of_predictions_may_be_paths() -> None:
    """And the time, too; but none may be what every event has."""
    text = FILE.replace("prediction: y", "prediction: {field: [out, y]}\n      timestamp: {field: [meta, ts]}")
    features, predictions = load(text.replace("COLUMNS", "numerical: [x]"), "f").models[0].contract.streams
    assert (features.time_field, predictions.columns[0].field) == (("meta", "ts"), ("out", "y"))
    for field in ("[model, y]", "[meta, ts]", "event_id"):
        with pytest.raises(ConfigurationError, match="is taken"):
            load(text.replace("[out, y]", field).replace("COLUMNS", "numerical: [x]"), "f")
    with pytest.raises(ConfigurationError, match="'features' has its own meaning"):
        load(text.replace("[meta, ts]", "[features, ts]").replace("COLUMNS", "numerical: [x]"), "f")
