"""The grammar of rules' expressions."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from monitor.config.expression import Comparison, ExpressionError, Selector, parse
from monitor.config.metrics import METRICS


def test_the_parts_of_a_comparison() -> None:
    """Metric, selectors, operator and threshold are told apart, and the threshold's source is kept."""
    comparison = parse('js_distance{column="prediction", stream=~"p.*"} >= reference_mean + 3 * reference_std')
    assert comparison.metric == "js_distance"
    assert comparison.selectors == (Selector("column", "=", "prediction"), Selector("stream", "=~", "p.*"))
    assert comparison.op == ">="
    assert comparison.threshold(0.1, 0.02) == 0.1 + 3 * 0.02
    assert comparison.needs_reference_spread
    assert comparison.threshold_source == "reference_mean + 3 * reference_std"


@pytest.mark.parametrize(
    ("source", "threshold"),
    [
        ("0.25", 0.25),
        (".5", 0.5),
        ("1e-3", 0.001),
        ("-1", -1.0),
        ("2 + 3 * 4", 14.0),
        ("(2 + 3) * 4", 20.0),
        ("8 / 4 / 2", 1.0),
        ("5 - 3 - 1", 1.0),
        ("- (1 + 1)", -2.0),
    ],
)
def test_thresholds_follow_the_rules_of_arithmetic(source: str, threshold: float) -> None:
    """Products before sums, left before right."""
    comparison = parse(f"psi > {source}")
    assert comparison.threshold(None, None) == threshold
    assert comparison.threshold_source == "constant"


def test_a_threshold_without_value_is_nan() -> None:
    """Dividing by zero, or a reference that has no spread, gives no verdict and no exception."""
    assert math.isnan(parse("psi > 1 / 0").threshold(None, None))
    assert math.isnan(parse("psi > 1 / reference_std").threshold(1.0, 0.0))
    assert math.isnan(parse("psi > reference_mean").threshold(None, None))


@pytest.mark.parametrize(
    ("op", "below", "equal", "above"),
    [
        (">", False, False, True),
        (">=", False, True, True),
        ("<", True, False, False),
        ("<=", True, True, False),
        ("==", False, True, False),
        ("!=", True, False, True),
    ],
)
def test_operators(op: str, below: bool, equal: bool, above: bool) -> None:
    """Each operator at, below and above the threshold."""
    comparison = parse(f"psi {op} 1")
    assert [comparison.holds(value, 1.0) for value in (0.5, 1.0, 1.5)] == [below, equal, above]


@pytest.mark.parametrize(
    ("selector", "chosen"),
    [
        ('column="amount"', ["amount"]),
        ('column!="amount"', ["age", "amount_usd"]),
        ('column=~"amount.*"', ["amount", "amount_usd"]),
        ('column=~"amo"', []),
        ('column!~"a.*t"', ["age", "amount_usd"]),
        (r'column=~"amount\_usd"', ["amount_usd"]),
        ("column='age'", ["age"]),
        ('column="age",', ["age"]),
        ("", ["age", "amount", "amount_usd"]),
    ],
)
def test_selectors(selector: str, chosen: list[str]) -> None:
    """Regular expressions match the whole value, as in Prometheus."""
    comparison = parse(f"psi{{{selector}}} > 1")
    assert [c for c in ("age", "amount", "amount_usd") if comparison.matches({"column": c})] == chosen


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("", 0, "begins with a metric"),
        ("0.25 < psi", 0, "begins with a metric"),
        ("psii > 1", 0, "did you mean 'psi'"),
        ("label < 0.9", 0, "'label' is a column, not a metric: name it in braces, psi{column=\"label\"}"),
        ("roc_acu < 0.9", 0, "did you mean 'roc_auc'"),
        ("roc_auc < base", 10, "did you mean 'baseline'"),
        ("psi > ", 6, "found the end"),
        ("psi = 1", 4, "expected a comparison"),
        ("psi > 5%", 7, "write 0.05 for 5 %"),
        ("psi > 1 and ks > 1", 8, "one comparison"),
        ('psi > calibrated("1 per wek")', 17, "'wek' is not a period; did you mean 'week'?"),
        ("psi > calibrated(1 per week)", 17, 'stands in quotes, "1 per week"'),
        ("psi > calibrated", 16, "expected '('; found the end"),
        ('psi > calibrated("1 per week"', 29, "expected ')'; found the end"),
        ('psi > calibrated("1 per week") * 2', 31, "calibrated(...) is the whole threshold; found '*'"),
        ('psi > 2 * calibrated("1 per week")', 10, "calibrated(...) is the whole threshold"),
        ('psi > calibratd("1 per week")', 6, "unknown name 'calibratd'; did you mean 'calibrated'?"),
        ("psi > ks", 6, "not supported yet"),
        ("psi > reference_meen", 6, "did you mean 'reference_mean'"),
        ("psi{column} > 1", 10, "expected '='"),
        ("psi{column=amount} > 1", 11, "in quotes"),
        ('psi{column=~"("} > 1', 12, "not a regular expression"),
        ('psi{column=~"(a)\\1"} > 1', 12, "not a regular expression of RE2: invalid escape sequence"),
        ("psi > (1", 8, "expected ')'"),
        ("psi > 1e999", 6, "expected a number"),
        ("psi > " + "(" * 40 + "1", 38, "levels"),
        ("psi > " + "-" * 490 + "1", 38, "levels"),
        ("psi > " + "1" * 500, 0, "characters"),
        ('psi{column="a} > 1', 11, "unexpected"),
    ],
)
def test_refusals_name_place_and_remedy(text: str, position: int, message: str) -> None:
    """Everything outside the grammar is refused where it begins."""
    with pytest.raises(ExpressionError) as refused:
        parse(text)
    assert message in str(refused.value)
    assert refused.value.position == position


@given(st.text(alphabet="psik{}column=\"'~!<>()+-*/.0123456789e \\reference_mean,", max_size=60))
def test_any_text_parses_or_is_refused(text: str) -> None:
    """No text breaks the parser, and every place of a refusal is in the text."""
    for candidate in (text, f"psi > {text}", f"psi{{{text}}} > 1"):
        position = 0
        try:
            comparison = parse(candidate)
            assert comparison.metric in METRICS
            comparison.threshold(0.5, 0.1)
            comparison.matches({"column": "a"})
        except ExpressionError as refused:
            position = refused.position
        assert 0 <= position <= len(candidate)


@pytest.mark.parametrize(
    "text",
    [
        "psi > 0.25",
        "  psi{ column = 'a',stream=~\"f.*\" } >= 2 * -(reference_mean - 3 * reference_std) / 1e-3",
        'quantile{quantile="0.5"} != 0',
    ],
)
def test_a_parsed_expression_goes_through_json_unchanged(text: str) -> None:
    """It travels in the ledger, without the places of its parts in the text."""
    adapter = TypeAdapter(Comparison)
    comparison = parse(text)
    written = adapter.dump_json(comparison)
    assert adapter.validate_json(written, strict=True) == comparison
    assert b"position" not in written
    assert written == adapter.dump_json(parse(text.replace("{ column", "{column").strip()))
