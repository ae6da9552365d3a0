"""Expressions of rules: `metric{label="value"} > threshold`, and nothing else.

comparison = metric [ "{" selector { "," selector } "}" ] op ( sum | "calibrated" "(" string ")" )
selector   = label ("=" | "!=" | "=~" | "!~") string          regular expressions are RE2's and match the whole value
op         = ">" | ">=" | "<" | "<=" | "==" | "!="
sum        = product { ("+" | "-") product }
product    = unary { ("*" | "/") unary }
unary      = "-" unary | number | "reference_mean" | "reference_std" | "baseline" | "(" sum ")"
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from math import isfinite
from typing import NamedTuple, NoReturn, get_args

from monitor.config.comparison import (
    COMPARE,
    BaselineName,
    Binary,
    Calibrated,
    Comparison,
    ReferenceName,
    Selector,
    Term,
)
from monitor.config.metrics import METRICS
from monitor.config.pattern import PatternError, check_pattern
from monitor.config.rates import EXAMPLES, Rate, parse_rate
from monitor.config.suggest import did_you_mean
from monitor.contract import OUTCOMES

_LONGEST = 500  # characters; bounds the recursion of the parser and of `threshold`, too
_DEEPEST = 32
_TOKEN = re.compile(
    r"""[ \t\r\n]*(?:
    (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
  | (?P<sign>=~|!~|>=|<=|==|!=|[-+*/(){},<>=])
  | (?P<end>\Z)
  )""",
    re.VERBOSE,
)
CALIBRATED = "calibrated"
_SELECT = ("=", "!=", "=~", "!~")
_NAMES: dict[str, ReferenceName | BaselineName] = {
    name: name for kind in (ReferenceName, BaselineName) for name in get_args(kind)
}


__all__ = ["Comparison", "ExpressionError", "Selector", "parse", "parse_threshold"]


class ExpressionError(ValueError):
    """The expression is refused. `position`: place of the fault in the text, from 0."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


@lru_cache(maxsize=4096)
def parse(text: str, recovery: float | str | None = None) -> Comparison:
    """Return the comparison that `text` stands for, with its recovery threshold; raises ExpressionError."""
    comparison = _Parser(text).comparison()
    return comparison if recovery is None else replace(comparison, recovery=parse_threshold(recovery))


def parse_threshold(written: float | str) -> Term:
    """Return a threshold that stands alone; raises ExpressionError."""
    return _Parser(written).threshold() if isinstance(written, str) else written


class _Token(NamedTuple):
    kind: str
    text: str
    position: int


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while not tokens or tokens[-1].kind != "end":
        match = _TOKEN.match(text, at)
        if match is None:
            place = at + len(text[at:]) - len(text[at:].lstrip(" \t\r\n"))
            hint = "; write 0.05 for 5 %" if text[place] == "%" else ""
            raise ExpressionError(f"unexpected {text[place]!r}{hint}", place)
        kind = str(match.lastgroup)
        tokens.append(_Token(kind, match[kind], match.start(kind)))
        at = match.end()
    return tokens


class _Parser:
    """Recursive descent over the tokens of one expression."""

    def __init__(self, text: str) -> None:
        if len(text) > _LONGEST:
            raise ExpressionError(f"an expression has at most {_LONGEST} characters", 0)
        self._text = text
        self._tokens = _tokens(text)
        self._next = 0
        self._depth = 0

    def comparison(self) -> Comparison:
        metric = self._metric()
        selectors = self._selectors() if self._take("{") else ()
        op = self._expect(tuple(COMPARE), "a comparison such as '>'")
        start = self._peek().position
        right = Calibrated(self._rate()) if self._peek().text == CALIBRATED else self._sum()
        if self._peek().kind != "end":
            self._refuse("a rule is one comparison")
        return Comparison(metric, selectors, op.text, right, self._text[start:].strip())

    def threshold(self) -> Term:
        if self._peek().text == CALIBRATED:
            self._refuse(f"{CALIBRATED}(...) is for the threshold itself; write a number, or one of reference_mean")
        term = self._sum()
        if self._peek().kind != "end":
            self._refuse("a threshold is made of numbers, reference_mean, reference_std and baseline")
        return term

    def _metric(self) -> str:
        token = self._peek()
        if token.kind != "name":
            self._refuse("an expression begins with a metric, such as psi > 0.25")
        if token.text in OUTCOMES:
            instead = f'name it in braces, psi{{column="{token.text}"}}'
            raise ExpressionError(f"{token.text!r} is a column, not a metric: {instead}", token.position)
        if token.text not in METRICS:
            raise ExpressionError(f"unknown metric {token.text!r}{did_you_mean(token.text, METRICS)}", token.position)
        return self._advance().text

    def _selectors(self) -> tuple[Selector, ...]:
        selectors: list[Selector] = []
        while not self._take("}"):
            if selectors:
                self._expect((",",), "',' or '}'")
                if self._take("}"):  # a comma may end the list, as in Prometheus
                    break
            selectors.append(self._selector())
        return tuple(selectors)

    def _selector(self) -> Selector:
        label = self._peek()
        if label.kind != "name":
            self._refuse('a selector is label="value"')
        self._advance()
        op = self._expect(_SELECT, "'=', '!=', '=~' or '!~'")
        token = self._peek()
        if token.kind != "string":
            self._refuse('the value of a selector stands in quotes: column="amount"')
        self._advance()
        value = re.sub(r"\\([\"'\\])", r"\1", token.text[1:-1])
        if op.text in ("=~", "!~"):
            try:
                check_pattern(value)
            except PatternError as error:
                raise ExpressionError(f"not a regular expression of RE2: {error}", token.position) from None
        return Selector(label.text, op.text, value, label.position)

    def _rate(self) -> Rate:
        self._advance()
        self._expect(("(",), "'('")
        token = self._peek()
        if token.kind != "string":
            self._refuse(f"the rate of false alarms stands in quotes, {EXAMPLES}")
        try:
            rate = parse_rate(self._advance().text[1:-1])
        except ValueError as error:
            raise ExpressionError(str(error), token.position) from None
        self._expect((")",), "')'")
        if self._peek().kind != "end":
            self._refuse(f"{CALIBRATED}(...) is the whole threshold")
        return rate

    def _sum(self) -> Term:
        term = self._product()
        while self._peek().text in ("+", "-"):
            term = Binary(self._advance().text, term, self._product())
        return term

    def _product(self) -> Term:
        term = self._unary()
        while self._peek().text in ("*", "/"):
            term = Binary(self._advance().text, term, self._unary())
        return term

    def _unary(self) -> Term:
        self._depth += 1
        if self._depth > _DEEPEST:
            self._refuse(f"more than {_DEEPEST} levels")
        if self._take("-"):
            term: Term = Binary("*", -1.0, self._unary())
        elif self._take("("):
            term = self._sum()
            self._expect((")",), "')'")
        else:
            term = self._atom()
        self._depth -= 1
        return term

    def _atom(self) -> Term:
        token = self._peek()
        if token.kind == "number" and isfinite(float(token.text)):
            self._advance()
            return float(token.text)
        if token.kind != "name":
            self._refuse("expected a number, reference_mean, reference_std or baseline")
        if token.text in _NAMES:
            self._advance()
            return _NAMES[token.text]
        if token.text == CALIBRATED:
            raise ExpressionError(f"{CALIBRATED}(...) is the whole threshold: nothing is added to it", token.position)
        if token.text in METRICS:
            raise ExpressionError("a metric to the right of the comparison is not supported yet", token.position)
        hint = did_you_mean(token.text, (*_NAMES, CALIBRATED))
        raise ExpressionError(f"unknown name {token.text!r}{hint}", token.position)

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _advance(self) -> _Token:
        self._next += 1
        return self._tokens[self._next - 1]

    def _take(self, sign: str) -> bool:
        if self._peek().kind != "sign" or self._peek().text != sign:
            return False
        self._advance()
        return True

    def _expect(self, signs: tuple[str, ...], what: str) -> _Token:
        if self._peek().kind != "sign" or self._peek().text not in signs:
            self._refuse(f"expected {what}")
        return self._advance()

    def _refuse(self, what: str) -> NoReturn:
        token = self._peek()
        found = "the end" if token.kind == "end" else repr(token.text)
        raise ExpressionError(f"{what}; found {found}", token.position)
