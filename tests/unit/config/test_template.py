"""Templates of annotations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.config.template import TemplateError, parse, render

VALUES = {
    "labels": {"model": "fraud-scorer", "column": "amount_usd"},
    "value": 0.314159265359,
    "threshold": 0.25,
    "reference": None,
    "events": 5000,
    "columns": "a, b, c and 4 more",
}


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("nothing to fill in", "nothing to fill in"),
        ("{{ labels.model }}: {{value}} of {{labels.column}}", "fraud-scorer: 0.3142 of amount_usd"),
        ("{{ value | percent }} (limit {{ threshold|percent }})", "31.42 % (limit 25 %)"),
        ("{{ events }} events, reference {{ reference | percent }}", "5000 events, reference unknown"),
        ("{{ labels.detector }}", "unknown"),
        ("drift in {{ columns }}", "drift in a, b, c and 4 more"),
        ("{ value } costs 5 %", "{ value } costs 5 %"),
    ],
)
def test_placeholders_are_filled_in(text: str, rendered: str) -> None:
    """Numbers are short, percentages say so, and what is not there is unknown."""
    assert render(text, VALUES) == rendered


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (1.0, "1"),
        (12345.678, "12346"),
        (1e20, "1e+20"),
        (-2.5, "-2.5"),
        (1.23456e-7, "1.235e-07"),
    ],
)
def test_numbers_are_short(value: float, shown: str) -> None:
    """Four significant digits; whole and large numbers whole."""
    assert render("{{ value }}", {**VALUES, "value": value}) == shown


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("{{ valeu }}", 3, "did you mean 'value'"),
        ("a {{ label.model }}", 5, "did you mean 'labels.model'"),
        ("{{ labels }}", 3, "unknown name"),
        ("{{ value | precent }}", 11, "there is 'percent'"),
        ("{{ labels.model | percent }}", 3, "is text"),
        ("{{ value + 1 }}", 2, "one name"),
        ("{{ }}", 2, "one name"),
        ("open {{ value", 5, "partner"),
        ("closed }}", 7, "partner"),
    ],
)
def test_unknown_names_are_refused(text: str, position: int, message: str) -> None:
    """Refused where they stand, before an alert is ever raised."""
    with pytest.raises(TemplateError) as refused:
        parse(text)
    assert message in str(refused.value)
    assert refused.value.position == position


@given(st.text(alphabet="{}|. valuepercntbsm\n", max_size=40))
def test_any_text_renders_or_is_refused(text: str) -> None:
    """What `parse` accepts can be rendered."""
    position = 0
    try:
        parse(text)
        render(text, VALUES)
    except TemplateError as refused:
        position = refused.position
    assert 0 <= position <= len(text)
