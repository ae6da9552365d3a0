"""Patterns of selectors are RE2's: matched against all of a label, in time linear in it, or refused with the reason."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.config import load
from monitor.config.expression import ExpressionError, parse
from monitor.config.pattern import PatternError, check_pattern, matches
from monitor.errors import ConfigurationError

HOSTILE = [
    "(a+)+b",
    "(a|aa)+$b",
    "(.*)*" * 60 + "b",
    "(a|a?)+b",
    "((a*)*)*b",
    "(x+x+)+y",
    "(a?){100}a{100}",
    "(.{0,20}){20}b",
]


@pytest.mark.parametrize("pattern", HOSTILE)
def test_patterns_that_others_take_years_for_are_matched(pattern: str) -> None:
    """Backtracking would not come back: 26 letters take it a minute, and these are a thousand."""
    assert not matches(pattern, "a" * 1000 + "c")
    assert matches(f"({pattern}|a+c)", "a" * 1000 + "c")


@pytest.mark.parametrize("pattern", ["(a+)+b", "(a|a)*b", "(a*)*b"])
def test_a_file_with_a_hostile_selector_is_checked_at_once(pattern: str) -> None:
    """The check matches it against every column; here none ends with b."""
    text = """\
version: 1
models: {m: {task: regression, streams: {features: {topic: f}}, columns: {numerical: [COLUMN]}}}
groups: [{name: g, model: m, rules: [{alert: A, expr: 'psi{column=~"PATTERN"} > 1'}]}]
"""
    with pytest.raises(ConfigurationError) as refused:
        load(text.replace("COLUMN", "a" * 100).replace("PATTERN", pattern), "f")
    (problem,) = refused.value.problems
    assert str(problem) == f"f:3:60: no column matches =~{pattern!r}"


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        (r"(a)\1", r"invalid escape sequence: \1"),
        (r"(?P<n>a)(?P=n)", "invalid"),
        ("(?=a)b", "invalid perl operator: (?="),
        ("(?!a)b", "invalid perl operator: (?!"),
        ("(?<=a)b", "invalid"),
        ("(?>a)b", "invalid perl operator: (?>"),
        ("a++", "bad repetition operator: ++"),
        ("[a", "missing ]: [a"),
        ("(a", "missing ): (a"),
        ("a{1001}", "invalid repetition size: {1001}"),
        (r"\pL{900}", "pattern too large"),
        ("\ud800", "half of a surrogate pair"),
    ],
)
def test_what_re2_does_not_know_is_refused_with_its_place(pattern: str, reason: str) -> None:
    """The place is that of the pattern in the expression; the reason is RE2's."""
    with pytest.raises(PatternError) as refused:
        check_pattern(pattern)
    assert str(refused.value).startswith(reason) or reason in str(refused.value)
    for op in ("=~", "!~"):
        with pytest.raises(ExpressionError) as of_expression:
            parse(f"psi{{column{op}'{pattern.replace(chr(92), chr(92) * 2)}'}} > 1")
        assert str(of_expression.value).startswith("not a regular expression of RE2: ")
        assert of_expression.value.position == len(f"psi{{column{op}")


@given(st.text(alphabet="abc.*+?|()[]", max_size=12), st.text(alphabet="abc", max_size=8))
def test_what_both_know_means_the_same_to_both(pattern: str, text: str) -> None:
    """Against Python's own, short enough for it: the whole text has to match."""
    try:
        check_pattern(pattern)
        own = re.compile(pattern)
    except (PatternError, re.error, FutureWarning):
        return
    assert matches(pattern, text) == (own.fullmatch(text) is not None)


@pytest.mark.parametrize("text", ["größe", "a\nb", "", "\ud800", "a\x00b", "日本"])
def test_any_text_can_be_matched(text: str) -> None:
    """Text beyond ASCII is text, and a line break is not the end."""
    assert matches("(?s).*", text)
    assert not matches("(?s).*x", text)
    assert matches("gr..e", "größe")
