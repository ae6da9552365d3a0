"""Models with labels: contracts, what follows from them, and every refusal of their keys, one by one."""

from __future__ import annotations

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.config import Config, load
from monitor.config.built_in import GROUP
from monitor.config.inputs import resolve_inputs, series_of
from monitor.config.resolved import ModelConfig, PerformanceSpec, WindowSpec
from monitor.contract import (
    OUTCOMES,
    ColumnSpec,
    Keys,
    StreamContract,
    contract_of_topic,
    lane_contract,
    outcomes_of,
)
from monitor.errors import ConfigurationError
from tests.unit.config.test_loading import SMALLEST

FILE = """\
version: 1
models:
  m:
    task: classification_binary
    streams: {features: {topic: f}, predictions: {topic: p}, labels: {topic: l}}
    columns: {id: key, prediction: y, probability: score, label: truth, numerical: [x]}
    performance: {}
groups: []
"""
REGRESSION = FILE.replace("classification_binary", "regression").replace(" probability: score,", "")
DAY, HOUR = 86_400_000, 3_600_000


def model_of(text: str) -> ModelConfig:
    return load(text, "f").models[0]


def changed(*pairs: str, text: str = FILE) -> str:
    """The file with each of the old texts replaced by the new one behind it."""
    for old, new in zip(pairs[::2], pairs[1::2], strict=True):
        assert old in text, old
        text = text.replace(old, new)
    return text


def problems_of(text: str) -> list[str]:
    try:
        load(text, "f")
    except ConfigurationError as refused:
        return [str(problem) for problem in refused.problems]
    return []


# ---------------------------------------------------------------------- contracts


def test_contracts_of_models_without_labels_are_what_they_were() -> None:
    """To the byte, because lanes, positions and decisions are named by their digests."""
    digests = [
        [hashlib.sha256(msgspec.json.encode(model.contract)).hexdigest()[:16]]
        + [lane_contract(model.contract, stream) for stream in model.contract.streams]
        for model in load(SMALLEST, "f").models
    ]
    assert digests == [
        ["38f7ea77dd59de52", "dec27666ea724ecb", "65dcf65b5eb6f738"],
        ["b8a6b3d6e0847512", "dde583da54893406"],
    ]


def test_the_contract_of_a_model_with_labels() -> None:
    """Predictions and labels have keys; a label is a class like the prediction, or a number."""
    contract = model_of(changed("topic: l}", "topic: l, sample: 1/8}", "id: key", "id: {field: [meta, key]}")).contract
    error = "prediction, or else probability >= 0.5, is not label, each 1 or 0"
    assert [stream.keys for stream in contract.streams[:2]] == [None, Keys(("meta", "key"), 3)]
    assert contract.streams[2] == StreamContract(
        "labels",
        "l",
        "event_time",
        (ColumnSpec("label", "truth", "categorical"),),
        keys=Keys(("meta", "key"), 3, error),
    )
    assert model_of(REGRESSION).contract.streams[2].columns == (ColumnSpec("label", "truth", "numerical"),)


def test_labels_may_be_added_to_a_model_that_runs() -> None:
    """The lanes of its features and predictions are what they were; of features nothing changes at all."""
    without = changed(", labels: {topic: l}", "", "id: key, ", "", "label: truth, ", "", "    performance: {}\n", "")
    before, after = model_of(without).contract, model_of(FILE).contract
    for old, new in zip(before.streams, after.streams, strict=False):
        assert lane_contract(before, old) == lane_contract(after, new)
    assert contract_of_topic("f", [before]).digest == contract_of_topic("f", [after]).digest


@pytest.mark.parametrize("bits", range(11))
def test_samples_are_powers_of_one_half(bits: int) -> None:
    """As a fraction and as a decimal."""
    for text in (f"1/{2**bits}", repr(0.5**bits)):
        predictions, labels = model_of(changed("topic: l}", f"topic: l, sample: {text}}}")).contract.streams[1:]
        assert predictions.keys is not None
        assert labels.keys is not None
        assert predictions.keys.sample_bits == labels.keys.sample_bits == bits


# ---------------------------------------------------------------------- outcomes


def outcomes(text: str) -> StreamContract:
    found = outcomes_of(model_of(text).contract)
    assert found is not None
    return found


def lane(text: str) -> str:
    return lane_contract(model_of(text).contract, outcomes(text))


def test_outcomes_are_a_stream_of_their_own() -> None:
    """Classes are right or wrong; a number is so by a tolerance alone."""
    kinds = [(column.name, column.kind) for column in outcomes(FILE).columns]
    assert kinds == [
        ("error", "binary"),
        ("loss", "numerical"),
        ("label", "categorical"),
        ("label_delay_seconds", "numerical"),
    ]
    assert [column.name for column in outcomes(REGRESSION).columns] == list(OUTCOMES[1:])
    tolerant = changed("performance: {}", "performance: {tolerance: 2.5}", text=REGRESSION)
    assert next((one.name, one.kind) for one in outcomes(tolerant).columns) == ("error", "binary")
    assert [one.kind for one in outcomes(tolerant).columns][2] == "numerical"
    without = [model.contract for model in load(SMALLEST, "f").models]
    assert [outcomes_of(contract) for contract in without] == [None, None]


@pytest.mark.parametrize(
    ("pairs", "text"),
    [
        (("prediction: y", "prediction: yy"), FILE),
        (("topic: p", "topic: pp"), FILE),
        (("label: truth", "label: truths"), FILE),
        (("performance: {}", "performance: {positive: fraud}"), FILE),
        (("performance: {}", "performance: {threshold: 0.7}"), FILE.replace("prediction: y, ", "")),
        (("performance: {}", "performance: {tolerance: 5}"), REGRESSION),
    ],
)
def test_outcomes_begin_again_with_another_meaning(pairs: tuple[str, str], text: str) -> None:
    """Their lane has another name with another lane of predictions, another label or another error."""
    assert lane(changed(*pairs, text=text)) != lane(text)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("topic: l}", "topic: ll, max_delay: 30d, sample: 1/2}"),
        ("id: key", "id: keys"),
        ("performance: {}", "performance: {window: {time: 7d}, mature: 0.5, costs: {1: {0: 3}}}"),
        ("numerical: [x]", "numerical: [x, z]"),
    ],
)
def test_outcomes_go_on_with_all_else(old: str, new: str) -> None:
    """How many there are and how they are judged is not what they mean."""
    assert lane(changed(old, new)) == lane(FILE)


def test_outcomes_are_the_same_in_every_life_of_their_model() -> None:
    """As any lane, they are named by what they stand on, and then by the life."""
    contract = model_of(FILE).contract
    again = msgspec.structs.replace(contract, life=2)
    assert outcomes_of(again) == outcomes_of(contract)
    assert lane_contract(again, outcomes(FILE)) == lane_contract(contract, outcomes(FILE)) + ".2"


def test_series_are_of_what_is_judged() -> None:
    """Labels themselves are not; outcomes come last."""
    found = [(series.stream, series.name) for series in series_of(model_of(FILE).contract)]
    assert found == [
        ("features", "x"),
        ("predictions", "prediction"),
        ("predictions", "probability"),
        *(("outcomes", name) for name in OUTCOMES),
    ]


def test_detectors_read_outcomes() -> None:
    """`error` is 0 or 1, so every class reads it; a glob takes what there is."""
    detectors = (
        "detectors: {a: {class: DDM, input: error}, b: {class: ADWIN, input: loss}, c: {class: KSWIN, input: '*'}}"
    )
    model = model_of(changed("groups: []", detectors))
    inputs = {spec.name: resolve_inputs(spec, model.contract) for spec in model.rules.detectors}
    assert [(one.stream, one.column) for name in "ab" for one in inputs[name]] == [
        ("outcomes", "error"),
        ("outcomes", "loss"),
    ]
    assert len(inputs["c"]) == 7


# ---------------------------------------------------------------------- what evaluate is given


def test_the_defaults_of_labels() -> None:
    """A model with labels has a performance, whether the file says it or not."""
    for text in (FILE, changed("    performance: {}\n", "")):
        assert model_of(text).rules.performance == PerformanceSpec(
            window=WindowSpec(time_ms=DAY, every_ms=HOUR),
            step_ms=HOUR,
            max_delay_ms=7 * DAY,
            max_early_ms=HOUR,
            pending=1_000_000,
            mature=0.9,
            positive=None,
            threshold=0.5,
            tolerance=None,
            baseline={},
            costs={},
            no_data_ms=None,
        )
    assert [model.rules.performance for model in load(SMALLEST, "f").models] == [None, None]


def test_performance_goes_through_json_unchanged() -> None:
    """Classes are named as those of predictions are, and the order of the file means nothing."""
    costs = "costs: {FRAUD: {1.0: 5, true: 1}}"
    assert "class '1'" in problems_of(changed("performance: {}", f"performance: {{{costs}}}"))[0]
    one = "{positive: true, baseline: {f1: 1, accuracy: 0.9}, costs: {1: {0: 5}, 0: {1: 2, 0: 0}}, mature: 1}"
    other = (
        "{costs: {0.0: {False: 0, 'true': 2}, '1': {0: 5.0}}, baseline: {accuracy: 0.9, f1: 1}, mature: 1, positive: 1}"
    )
    rules = [model_of(changed("performance: {}", f"performance: {text}")).rules for text in (one, other)]
    assert rules[0] == rules[1]
    assert rules[0].model_dump_json() == rules[1].model_dump_json()
    assert type(rules[0]).model_validate_json(rules[0].model_dump_json()) == rules[0]
    assert rules[0].performance is not None
    assert rules[0].performance.costs == {"0": {"0": 0.0, "1": 2.0}, "1": {"0": 5.0}}


@pytest.mark.parametrize(
    ("window", "step_ms", "step"),
    [
        ("{time: 1d, every: 2h}", 2 * HOUR, 2 * HOUR),
        ("{time: 6h}", 6 * HOUR, 6 * HOUR),
        ("{events: 5000, every: 500}", None, 500),
        ("{events: 5000}", None, 5000),
    ],
)
def test_the_step_of_the_window_is_a_cohort(window: str, step_ms: int | None, step: int) -> None:
    """Without `every` the window is one cohort."""
    performance = model_of(changed("performance: {}", f"performance: {{window: {window}}}")).rules.performance
    assert performance is not None
    assert (performance.step_ms, performance.step) == (step_ms, step)


def built_in(config: Config) -> list[tuple[str, str, list[str]]]:
    streams = ("features", "predictions", "labels", "outcomes")
    return [
        (rule.alert, rule.comparison.metric, [s for s in streams if rule.comparison.matches({"stream": s})])
        for rule in config.models[0].rules.rules
        if rule.group == GROUP
    ]


def test_no_data_is_of_labels_only_if_they_have_a_limit() -> None:
    """Of outcomes, which come as late as they do, never; `no_data: off` is of the others."""
    of_rows = ["features", "predictions"]
    blind = ("DetectorBlind", "detector_blind", [*of_rows, "labels", "outcomes"])
    silent, vanished = (("NoData", metric, of_rows) for metric in ("seconds_since_last_event", "vanished"))
    of_labels = ("NoData", "seconds_since_last_event", ["labels"])
    limited = changed("topic: l}", "topic: l, no_data: 2d}")
    assert built_in(load(FILE, "f")) == [blind, silent, vanished]
    assert built_in(load(limited, "f")) == [blind, silent, vanished, of_labels]
    assert built_in(load(changed("    task", "    no_data: off\n    task", text=limited), "f")) == [blind, of_labels]
    (rule,) = [
        r for r in model_of(limited).rules.rules if r.comparison.matches({"stream": "labels"}) and r.group == GROUP
    ][1:]
    assert rule.comparison.threshold(None, None) == 172_800


def test_the_parts_of_the_design_s_example_that_are_about_performance_are_right() -> None:
    """Word for word; the other parts of it are not built yet."""
    text = """\
version: 1
models:
  fraud-scorer:
    task: classification_binary
    streams:
      features:    {topic: ml.features}
      predictions: {topic: ml.predictions}
      labels:      {topic: ml.labels, max_delay: 7d}   # any keys, any number of partitions
    columns:
      timestamp: event_time
      id: prediction_id                  # joins predictions and labels
      prediction: y_pred
      probability: y_pred_proba
      label: y_true
      numerical:   [amount_usd, account_age_days, tx_last_hour]
      categorical: [merchant_type, country]
    performance: {window: {time: 1d, every: 1h}}        # by the time of the prediction, not of the label
detectors:
  error_adwin:  {class: ADWIN, params: {delta: 0.002}, input: error}
groups:
  - name: performance
    model: fraud-scorer
    rules:
      - alert: ConceptDrift
        expr: change{detector="error_adwin"} > 0
        labels: {severity: critical}
      - alert: PerformanceDrop
        expr: roc_auc < reference_mean - 0.03
        min_labels: 1000                 # delayed labels: no verdict before this many are joined
        confidence: 0.95                 # the whole interval is beyond the threshold
        for: 30m
        labels: {severity: critical}
      - alert: LabelsLate
        expr: quantile{column="label_delay_seconds", quantile="0.5"} > 21600
        labels: {severity: warning, cause: pipeline}
"""
    rules = model_of(text).rules.rules
    assert [rule.alert for rule in rules if rule.group != GROUP] == ["ConceptDrift", "PerformanceDrop", "LabelsLate"]
    assert rules[1].window.name == "time=1d,every=1h"
    assert (rules[1].min_labels, rules[1].confidence, rules[1].maturity, rules[1].min_events) == (
        1000,
        0.95,
        "mature",
        0,
    )


# ---------------------------------------------------------------------- refusals


MULTICLASS = FILE.replace("binary", "multiclass")
PERFORMANCE = "performance: {}"
Refusal = tuple[str, tuple[str, ...], str, *tuple[str, ...]]
"""A file, changes of it with a mark at the place of the fault, and the problems there."""
REFUSALS: list[Refusal] = [
    # what labels need
    (
        FILE,
        ("predictions: {topic: p}, labels", "»labels", "prediction: y, probability: score, ", ""),
        "labels need a stream of predictions: add streams.predictions",
        "labels need a column `prediction` or `probability` to compare them with: add it under `columns`",
    ),
    (
        FILE,
        (
            "features: {topic: f}, predictions: {topic: p}, labels",
            "»labels",
            "prediction: y, probability: score, ",
            "",
            ", numerical: [x]",
            "",
        ),
        "labels need a stream of predictions: add streams.predictions",
        "labels need a column `prediction` or `probability` to compare them with: add it under `columns`",
    ),
    (FILE, (" labels", " »labels", "id: key, ", ""), "labels need a column `id`, the field by which they meet their"),
    (
        FILE,
        (" labels", " »labels", "label: truth, ", ""),
        "labels need a column `label`, the field that holds them: add",
    ),
    (
        MULTICLASS,
        (" labels", " »labels", "prediction: y, ", ""),
        "labels need a column `prediction` to compare them with",
    ),
    (
        REGRESSION,
        (" labels", " »labels", "prediction: y, ", ""),
        "labels need a column `prediction` to compare them with",
    ),
    # what needs labels
    (
        FILE,
        (", labels: {topic: l}", "", "id: key, ", "", "label: truth, ", "", "performance", "»performance"),
        "`performance` needs labels: add streams.labels, and the columns id and label",
    ),
    (
        FILE,
        (", labels: {topic: l}", "", "id: key, ", "»id: key, ", "label: truth, ", "", "    performance: {}\n", ""),
        "'id' belongs to the stream 'labels', which is not there",
    ),
    # columns
    (FILE, ("id: key", "id: »model"), "'model' is taken: it is another field of every event"),
    (FILE, ("id: key", "id: »y"), "'y' is taken: it is another field of every event"),
    (FILE, ("label: truth", "label: »y"), "'y' is taken: it is another field of every event"),
    (FILE, ("label: truth", "label: »event_time"), "'event_time' is taken: it is another field of every event"),
    (FILE, ("label: truth", "label: »key"), "'key' is taken: it is another field of every event"),
    (
        FILE,
        ("numerical: [x]", "numerical: [x, »label]"),
        "'label' is the name of two columns, because a model with labels has one: write {name: OTHER, field: label}",
    ),
    (FILE, ("numerical: [x]", "binary: [»error]"), "'error' is the name of two columns, because a model with labels"),
    # streams
    (FILE, ("topic: l", "topic: »f"), "topic 'f' is the features of 'm': a topic carries one kind of stream"),
    (
        FILE,
        ("topic: l", "topic: l, sample: »1/3"),
        "should be 1 or a power of one half: 1/2, 1/4 and so on down to 1/1024",
    ),
    (FILE, ("topic: l", "topic: l, sample: »0"), "should be 1 or a power of one half"),
    (FILE, ("topic: l", "topic: l, sample: »true"), "should be 1 or a power of one half"),
    (FILE, ("topic: l", "topic: l, max_delay: »0s"), "must be longer than 0s"),
    (FILE, ("topic: l", "topic: l, pending: »0"), "should be greater than or equal to 1"),
    (FILE, ("topic: l", "topic: l, no_data: »off"), "'off' is not a duration"),
    (
        FILE,
        (PERFORMANCE, "reference: {topic: »l}"),
        "a reference is of features or predictions, and this topic is that of the labels",
    ),
    # windows and cohorts
    (
        FILE,
        (PERFORMANCE, "performance: {window: {time: »95s}}"),
        "`time` of a window has to be a multiple of the pane, 10s",
    ),
    (
        FILE,
        (PERFORMANCE, "performance: {window: {time: »5h, every: 2h}}"),
        "`time` of a window of performance has to be a multiple of its step, 2h; found 5h, the next is 6h",
    ),
    (
        FILE,
        (PERFORMANCE, "performance: {window: {events: »500, every: 200}}"),
        "`events` of a window of performance has to be a multiple of its step, 200; found 500, the next is 600",
    ),
    (
        FILE,
        ("    task", "    pane: »7s\n    task"),
        "the window of performance, 1d every 1h, is not made of whole panes of 7s: write `performance: {window: ...}`",
    ),
    (
        FILE,
        ("topic: l", "topic: l, max_delay: 14d", PERFORMANCE, "performance: {window: {time: 1d, every: »10m}}"),
        "a max_delay of 14d is 2016 cohorts of 10m, and at most 2000 are kept: a step of 10m40s would do",
    ),
    (
        FILE,
        (PERFORMANCE, "performance: {window: {events: 4000, every: »400}}"),
        "pending: 1000000 is 2500 cohorts of 400 predictions, and at most 2000 are kept: a step of 500",
    ),
    (
        FILE,
        (
            "models:",
            "limits: {window_slices: 23}\nmodels:",
            PERFORMANCE,
            "performance: {window: »{time: 1d, every: 1h}}",
        ),
        "a window of 24 cohorts, and `limits.window_slices` is 23; raise it",
    ),
    (
        FILE,
        ("topic: l", "topic: l, max_delay: »100d", PERFORMANCE, "performance: {mature: 0.8}"),
        "a max_delay of 100d is 2400 cohorts of 1h, and at most 2000 are kept: a step of 1h12m would do",
    ),
    (
        FILE,
        (PERFORMANCE, "performance: {window: »{time: 2m}}"),
        "a max_delay of 7d is 5040 cohorts of 2m, and at most 2000 are kept: a longer window with a step of 5m10s",
    ),
    # keys of a task
    (
        REGRESSION,
        (PERFORMANCE, "performance: {»positive: 1}"),
        "'positive' is for classification_binary, not for regress",
    ),
    (
        MULTICLASS,
        (PERFORMANCE, "performance: {»threshold: 0.4}"),
        "'threshold' is for classification_binary, not for class",
    ),
    (
        FILE,
        (PERFORMANCE, "performance: {»tolerance: 1}"),
        "'tolerance' is for regression, not for classification_binary",
    ),
    (
        REGRESSION,
        (PERFORMANCE, "performance: {»costs: {a: {b: 1}}}"),
        "'costs' is for classification_binary and classific",
    ),
    (FILE, (PERFORMANCE, "performance: {»threshold: 0.4}"), "'threshold' makes predictions of probabilities, and this"),
    (FILE, (PERFORMANCE, "performance: {positive: »[a]}"), "should be a class: a text, a whole number or a boolean"),
    (FILE, (PERFORMANCE, "performance: {positive: »1.5}"), "should be a class: a text, a whole number or a boolean"),
    (FILE, (PERFORMANCE, "performance: {positive: »''}"), "should be a class: a text, a whole number or a boolean"),
    (FILE, (PERFORMANCE, "performance: {mature: »1.1}"), "should be less than or equal to 1"),
    (FILE, (PERFORMANCE, "performance: {mature: ».nan}"), "should be a finite number"),
    (REGRESSION, (PERFORMANCE, "performance: {tolerance: ».inf}"), "should be a finite number"),
    # baseline and costs
    (FILE, (PERFORMANCE, "performance: {baseline: {»psi: 1}}"), "unknown metric of performance 'psi'"),
    (FILE, (PERFORMANCE, "performance: {baseline: {recall: »95}}"), "'recall' is never above 1"),
    (
        FILE,
        (PERFORMANCE, "performance: {baseline: {»mae: 5}}"),
        "'mae' is for regression, not for classification_binary",
    ),
    (
        FILE,
        (PERFORMANCE, "performance: {baseline: {»cost_per_1000: 5}}"),
        "'cost_per_1000' needs `performance: {costs: ",
    ),
    (
        MULTICLASS,
        (PERFORMANCE, "performance: {baseline: {»brier: 0.1}}"),
        "'brier' is not there for classification_multi",
    ),
    (
        FILE,
        (PERFORMANCE, "performance: {costs: »{1: {0: 1, 2: 3}}}"),
        "costs are of the classes 0 and 1, not of '2'; name",
    ),
    (
        FILE,
        (PERFORMANCE, "performance: {positive: fraud, costs: »{fraud: {legit: 1, unknown: 3}}}"),
        "costs are of two classes, 'fraud' and one other; found legit, unknown",
    ),
    (FILE, (PERFORMANCE, "performance: {costs: {1: {0: »-1}}}"), "should be greater than or equal to 0"),
    (FILE, (PERFORMANCE, "performance: {costs: {1: »{}}}"), "should have at least 1 item"),
    # detectors
    (
        FILE.replace(", labels: {topic: l}", "").replace("id: key, ", "").replace("label: truth, ", ""),
        ("    performance: {}\ngroups: []", "detectors: {a: {class: DDM, input: »error}}"),
        "the input 'error' needs labels: add streams.labels, and the columns id and label",
    ),
    (
        REGRESSION,
        ("groups: []", "detectors: {a: {class: DDM, input: »error}}"),
        "the input 'error' of a regression needs `performance: {tolerance: NUMBER}`, the largest error of a right",
    ),
    (
        FILE,
        ("groups: []", "detectors: {a: {class: DDM, input: »loss}}"),
        "DDM reads 0 or 1; 'loss' is a numerical column",
    ),
    (
        FILE,
        ("groups: []", "detectors: {a: {class: DDM, input: »eror}}"),
        "no column of m is 'eror'; did you mean 'error'?",
    ),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=[row[2][:40] for row in REFUSALS])
def test_one_fault_is_refused_at_its_place(refusal: Refusal) -> None:
    """One problem for one fault: nothing that follows from it is reported."""
    text, pairs, *messages = refusal
    before, after = changed(*pairs, text=text).split("»")
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    found = problems_of(before + after)
    assert len(found) == len(messages)
    for problem, message in zip(found, sorted(messages), strict=True):
        assert problem.startswith(f"f:{line}:{column}: {message}")


@given(
    st.sampled_from([10, 30, 60, 420, 3600]),
    st.integers(1, 3000),
    st.none() | st.integers(1, 3000),
    st.integers(1, 40_000_000),
)
def test_windows_are_made_of_whole_cohorts_and_few_of_these(
    pane: int, panes: int, every: int | None, delay: int
) -> None:
    """They are accepted if the step cuts the window, and at most 2,000 steps are in the delay; the remedy is one."""
    step = every or panes
    window = f"time: {panes * pane}s" + ("" if every is None else f", every: {every * pane}s")
    text = changed(
        "    task",
        f"    pane: {pane}s\n    interval: {pane}s\n    task",
        "topic: l",
        f"topic: l, max_delay: {delay}s",
        PERFORMANCE,
        f"performance: {{window: {{{window}}}}}",
    )
    found = problems_of(text)
    fits = step <= panes and panes % step == 0
    assert (found == []) == (fits and -(-delay // (step * pane)) <= 2000)
    if fits and found and "a longer window" not in found[0]:
        remedy = found[0].rpartition("a step of ")[2].partition(" ")[0]
        assert problems_of(text.replace(window, f"time: {panes * pane}s, every: {remedy}")) == []


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        (FILE, ("id: key, ", "")),
        (FILE, ("topic: l}", "topic: l, max_delay: soon}")),
        (REGRESSION, (PERFORMANCE, "performance: {tolerance: much}")),
        (REGRESSION, (PERFORMANCE, "performance: 5")),
    ],
)
def test_what_was_left_out_of_labels_is_not_missed_elsewhere(text: str, pairs: tuple[str, str]) -> None:
    """Detectors and rules on outcomes and performance are not blamed for a fault above them."""
    users = """\
detectors: {d: {class: DDM, input: error}}
groups:
  - name: g
    model: m
    rules:
      - {alert: A, expr: 'mean{column="error"} > 0.1'}
      - {alert: B, expr: error_rate > 0.1}
      - {alert: C, expr: 'events{stream="outcomes"} > 9000'}
"""
    assert len(problems_of(changed(*pairs, "groups: []\n", users, text=text))) == 1


def test_a_feature_may_have_the_name_of_an_outcome_without_labels() -> None:
    """And with labels, the field may, under another name."""
    renamed = changed("numerical: [x]", "numerical: [{name: was_error, field: error}]")
    assert model_of(renamed).contract.streams[0].columns == (ColumnSpec("was_error", "error", "numerical"),)
    without = changed(", labels: {topic: l}", "", "id: key, ", "", "label: truth, ", "", "    performance: {}\n", "")
    assert model_of(without.replace("[x]", "[label, error]")).contract.streams[0].numeric_series == ("error", "label")


def test_the_id_may_be_that_of_the_event() -> None:
    """`prediction_id` and `event_id` stand in every event."""
    for field in ("prediction_id", "event_id"):
        keys = model_of(changed("id: key", f"id: {field}")).contract.streams[1].keys
        assert keys is not None
        assert keys.id_field == field


def test_models_that_share_a_topic_of_labels_need_not_agree_in_lateness() -> None:
    """Labels are never late."""
    second = FILE.replace("models:\n  m:", "  n:").replace("version: 1\n", "").replace("groups: []\n", "")
    second = second.replace("topic: f", "topic: f2").replace("topic: p", "topic: p2")
    both = changed("groups: []\n", second.replace("    task", "    lateness: 7m\n    task"))
    assert [model.contract.lateness_ms for model in load(both, "f").models] == [120_000, 420_000]
    assert "have to agree in lateness" in problems_of(both.replace("f2", "f"))[0]
