"""alerts.yaml as a whole: defaults, contracts, rules, and no text that breaks the loader."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.config import Config, ModelRules, load
from monitor.config.resolved import WindowSpec
from monitor.contract import ColumnSpec, StreamContract, lane_contract
from monitor.errors import ConfigurationError, Problem

SHIPPED = Path(__file__).parents[3] / "alerts.yaml"
SMALLEST = """\
version: 1
models:
  b: {task: regression, streams: {predictions: {topic: p}}, columns: {prediction: y}}
  a:
    task: classification_binary
    streams: {features: {topic: f}, predictions: {topic: p}}
    columns:
      prediction: y
      probability: score
      numerical: [x]
      binary: [flag]
      categorical: [c]
      text: [bio]
      arrays: [vec]
    lateness: 2m
    reference: {topic: f, from: "2026-10-01T00:00:00Z", to: 2026-10-08T00:00:00Z}
detectors:
  everything: {class: ADWIN, params: {delta: 0.01}, input: "*"}
  gaps: {class: FHDDM, input: missing(x), model: a}
groups:
  - name: g
    models: [a]
    rules:
      - {alert: Drift, expr: psi > 0.25, window: {time: 90m, every: 30m}, for: 1m, keep_firing_for: 2m}
      - {alert: Shift, expr: ks > 0.1, min_events: 7, labels: {severity: info}, annotations: {summary: hello}}
retraining:
  - {trigger: t, models: [a], when: {any: [Drift]}, cooldown: 1h, training_window: {max: 7d}}
"""


def loaded_or_refused(text: str) -> Config | tuple[Problem, ...]:
    try:
        return load(text, "f")
    except ConfigurationError as refused:
        return refused.problems


def test_the_shipped_file_is_right() -> None:
    """alerts.yaml at the top of the repository has no problem, and watches the model of the synthetic traffic."""
    config = load(SHIPPED.read_text(), "alerts.yaml")
    assert [model.contract.model for model in config.models] == ["fraud-scorer"]
    assert {rule.alert for rule in config.models[0].rules.rules} >= {"FeatureDrift", "FeatureShift", "ChangeDetected"}


def test_contracts_name_streams_and_columns() -> None:
    """Columns stand in the order of their names; predictions have names of their own."""
    a, b = load(SMALLEST, "f").models
    assert (a.contract.model, b.contract.model) == ("a", "b")
    assert a.contract.streams == (
        StreamContract(
            "features",
            "f",
            "event_time",
            (
                ColumnSpec("bio", "bio", "text"),
                ColumnSpec("c", "c", "categorical"),
                ColumnSpec("flag", "flag", "binary"),
                ColumnSpec("vec", "vec", "array"),
                ColumnSpec("x", "x", "numerical"),
            ),
        ),
        StreamContract(
            "predictions",
            "p",
            "event_time",
            (ColumnSpec("prediction", "y", "categorical"), ColumnSpec("probability", "score", "numerical")),
        ),
    )
    assert b.contract.streams[0].columns == (ColumnSpec("prediction", "y", "numerical"),)


def test_defaults_are_filled_in() -> None:
    """What alerts.yaml does not say is safe and quiet."""
    model = load(SMALLEST, "f").models[1]
    contract = model.contract
    assert (contract.pane_ms, contract.lateness_ms, contract.idle_timeout_ms) == (10_000, 120_000, 30_000)
    assert (contract.max_clock_skew_ms, contract.raw_rows, contract.trace_points) == (60_000, 5000, 2048)
    assert (model.start, model.rules.interval_ms) == ("earliest", 10_000)
    assert model.rules.window == WindowSpec(events=5000, every=500)
    assert model.rules.reference.first == 5000


def test_a_reference_may_be_of_event_time() -> None:
    """Then its bins are made from `grid_rows` rows, and lanes are others than with another time."""
    lanes = set()
    for span in ("first: 14d", "first: 7d", "trailing: 7d"):
        text = SMALLEST.replace("{task: regression,", f"{{task: regression, reference: {{{span}}}, grid_rows: 60,")
        model = load(text, "f").models[1]
        assert model.rules.reference.first is None
        spec = model.rules.reference
        assert (model.contract.raw_rows, model.contract.reference_ms) == (60, spec.first_ms or spec.trailing_ms)
        lanes.add(lane_contract(model.contract, model.contract.streams[0]))
    assert len(lanes) == 3


@pytest.mark.parametrize(("pane", "interval_ms"), [("2s", 10_000), ("4s", 12_000), ("10s", 10_000), ("15s", 15_000)])
def test_the_default_interval_is_made_of_whole_panes(pane: str, interval_ms: int) -> None:
    """It is 10s, or the next multiple of a pane that does not divide it."""
    assert load(f"defaults: {{pane: {pane}}}\n{SMALLEST}", "f").models[1].rules.interval_ms == interval_ms


def test_the_order_of_columns_means_nothing() -> None:
    """Within a role and between roles: the contract of either file has the same digest."""
    text = SMALLEST.replace("numerical: [x]", "numerical: [x, a, m]")
    turned = text.replace("numerical: [x, a, m]", "numerical: [m, x, a]").replace("      binary: [flag]\n", "")
    turned = turned.replace("      arrays: [vec]\n", "      arrays: [vec]\n      binary: [flag]\n")
    assert load(turned, "f").models[0].contract == load(text, "f").models[0].contract
    assert load(turned, "f").models[0].rules == load(text, "f").models[0].rules


def test_a_model_overrides_the_defaults() -> None:
    """Model before defaults before ours."""
    text = SMALLEST.replace("models:", "defaults: {pane: 5s, start: latest, lateness: 2m}\nmodels:", 1)
    text = text.replace("    lateness: 2m", "    lateness: 2m\n    pane: 15s\n    start: 2026-10-01T00:00:00Z")
    a, b = load(text, "f").models
    assert (a.contract.pane_ms, a.start) == (15_000, 1_790_812_800_000)
    assert (b.contract.pane_ms, b.start) == (5_000, "latest")


def test_a_season_is_its_length_and_no_part_of_a_contract() -> None:
    """Without one it is 0; naming one makes no lane start again."""
    before = load(SMALLEST, "f").models[1]
    assert before.rules.season_ms == 0
    for season, days in (("day", 1), ("week", 7)):
        after = load(SMALLEST.replace("task: regression,", f"task: regression, season: {season},"), "f").models[1]
        assert (after.rules.season_ms, after.contract) == (days * 86_400_000, before.contract)


def test_the_grid_is_made_from_the_first_events_of_the_reference() -> None:
    """`first: n` says how many rows travel raw."""
    text = SMALLEST.replace("columns: {prediction: y}}", "columns: {prediction: y}, reference: {first: 700}}")
    assert load(text, "f").models[1].contract.raw_rows == 700


def test_rules_carry_all_that_evaluate_needs() -> None:
    """Durations in ms, windows resolved, `min_events` said or ours."""
    rules = load(SMALLEST, "f").models[0].rules
    drift, shift, *built_in = rules.rules
    assert {rule.group for rule in built_in} == {"streamdrift"}
    assert drift.window.name == "time=1h30m,every=30m"
    assert (drift.group, drift.for_ms, drift.keep_firing_for_ms, drift.min_events) == ("g", 60_000, 120_000, 100)
    assert shift.window.name == "events=5000,every=500"
    assert (shift.min_events, shift.labels, shift.annotations) == (7, {"severity": "info"}, {"summary": "hello"})
    assert (rules.retraining[0].any, rules.retraining[0].cooldown_ms) == (("Drift",), 3_600_000)
    assert rules.retraining[0].max_ms == 604_800_000
    assert (rules.reference.topic, rules.reference.from_ms) == ("f", 1_790_812_800_000)


def test_a_detector_applies_to_the_models_that_have_its_input() -> None:
    """`model` limits it to one."""
    a, b = load(SMALLEST, "f").models
    assert [spec.name for spec in a.rules.detectors] == ["everything", "gaps"]
    assert [spec.name for spec in b.rules.detectors] == ["everything"]


def test_rules_go_through_json_unchanged() -> None:
    """They are written to the ledger and read back, detectors by River's names."""
    for model in load(SMALLEST, "f").models:
        text = model.rules.model_dump_json()
        assert ModelRules.model_validate_json(text) == model.rules
        assert '"class_"' not in text


def test_the_order_of_what_has_names_is_not_the_file_s() -> None:
    """Models, detectors and labels of two files that differ in order alone resolve alike."""
    swapped = SMALLEST.replace("labels: {severity: info}", "labels: {z: a, b: c}")
    other = SMALLEST.replace("labels: {severity: info}", "labels: {b: c, z: a}")
    first, second = load(swapped, "f").models[0].rules, load(other, "f").models[0].rules
    assert first.rules[1].model_dump_json() == second.rules[1].model_dump_json()


LABELLED = """\
version: 1
models:
  m:
    task: classification_binary
    streams: {predictions: {topic: p}, labels: {topic: l, max_delay: 14d, sample: 1/8, no_data: 2d}}
    columns: {id: key, prediction: y, probability: score, label: truth}
    performance:
      window: {time: 1d, every: 1h}
      positive: fraud
      baseline: {accuracy: 0.97, recall: 0.8}
      costs: {fraud: {legit: 5}, legit: {fraud: 1}}
detectors: {d: {class: DDM, input: error}}
groups:
  - name: g
    models: [m]
    rules:
      - {alert: A, expr: accuracy < baseline - 0.02, min_labels: 500, confidence: 0.95, window: {time: 7d, every: 1d}}
      - {alert: B, expr: cost_per_1000 > 2 * reference_mean, maturity: provisional}
"""
TEXTS = {"shipped": SHIPPED.read_text(), "smallest": SMALLEST, "labelled": LABELLED}


@settings(max_examples=300)
@given(
    st.data(),
    st.sampled_from(sorted(TEXTS)),
    st.lists(
        st.sampled_from(
            ["", " ", "\n", ":", "-", "[", "]", "{", "}", '"', "'", "&a ", "*a", "!x ", "null", "0", "\x00"]
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_any_mutated_text_is_a_configuration_or_is_refused(data: st.DataObject, which: str, pieces: list[str]) -> None:
    """Nothing but ConfigurationError comes out of the loader, and its problems have places in the file."""
    text = TEXTS[which]
    for piece in pieces:
        start = data.draw(st.integers(0, len(text)))
        text = text[:start] + piece + text[start + data.draw(st.integers(0, 12)) :]
    loaded = loaded_or_refused(text)
    if isinstance(loaded, Config):
        return
    lines = text.count("\n") + 2
    assert loaded
    assert all(1 <= problem.line <= lines and problem.column >= 1 for problem in loaded)
    assert list(loaded) == sorted(loaded)


@given(st.text(max_size=200))
def test_any_text_is_a_configuration_or_is_refused(text: str) -> None:
    """Bytes that were never meant to be YAML, too."""
    assert loaded_or_refused(text)
