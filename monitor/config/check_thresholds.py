"""Checks of thresholds: a rule that could never hold, or never not hold, is refused.

A threshold is taken as the range of values that it can have, given that reference_mean lies in the metric's own range
and reference_std is not negative; then both sides of the metric's range are tried.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from math import inf, isclose, isfinite, isnan, nan
from typing import NamedTuple, assert_never

from monitor.config.comparison import Binary, Calibrated, Comparison, Term
from monitor.config.metrics import DRIFT, Metric

_SAMPLES = ((0.37, 0.011, 0.62), (0.0123, 0.71, 0.059), (0.83, 0.29, 0.47))
"""Values of reference_mean, reference_std and baseline that have nothing in common."""

_EXTREMES = ((1e-6, 1e-7, 1e-6), (1e6, 1e3, 1e6))
"""Values of theirs that lie below and above nearly all numbers that a threshold may be."""
_NEVER_ENDS = "so the alert would never resolve"


class _Range(NamedTuple):
    low: float
    high: float


class Fewest(NamedTuple):
    """The fewest events that a rule sees in a window, and why."""

    events: int
    why: str


def faults(comparison: Comparison, metric: Metric, fewest: Fewest | None = None) -> Iterator[str]:
    """What is wrong with the threshold: at most one thing. `fewest`: of a rule on the number of events."""
    if comparison.rate is not None:
        yield from _of_rate(comparison, metric)
        return
    if fewest is not None and fewest.events:
        judged = metric._replace(values=metric.values._replace(least=float(fewest.events)))
        yield from (f"{fault}; {fewest.why}" for fault in faults(comparison, judged))
        return
    if (unknown := _unknown_name(comparison, metric)) is not None:
        yield unknown
        return
    values = [comparison.threshold(mean, std, baseline=baseline) for mean, std, baseline in _SAMPLES]
    depends = comparison.needs_reference_spread or comparison.needs_baseline
    name = "baseline" if comparison.needs_baseline else "reference"
    if not any(isfinite(value) for value in values):
        yield "the threshold is not a number: it divides by zero or is too large"
    elif depends and all(isclose(value, values[0], abs_tol=1e-15) for value in values):
        yield f"the threshold is {values[0]:g} whatever the {name}: write the number"
    elif depends and comparison.op in ("==", "!="):
        yield (
            f"{metric.name!r} equals this threshold by chance only; write a distance, such as {metric.name} > "
            + ("baseline + 0.02" if comparison.needs_baseline else "reference_mean + 3 * reference_std")
        )
    else:
        yield from _out_of_range(comparison.op, _range(comparison.right, metric), metric)


def faults_of_recovery(comparison: Comparison, recovery: Term, metric: Metric) -> Iterator[str]:
    """What is wrong with the recovery threshold of a rule whose threshold is right: at most one thing."""
    of_recovery = replace(comparison, right=recovery, source=str(recovery))
    if comparison.op in ("==", "!="):
        yield f"a value is on no side of {comparison.op}: compare with < or >, or leave `recovery_threshold` out"
    elif metric.values.whole and metric.values.most == 1:
        yield f"{metric.name!r} is 0 or 1, and nothing lies between: leave `recovery_threshold` out"
    elif _is_on_the_wrong_side(comparison, of_recovery):
        side = "below" if comparison.op in (">", ">=") else "above"
        yield f"a recovery threshold lies on the safe side, {side} the threshold {comparison.source}: write one there"
    else:
        yield from (fault.replace("so this always holds", _NEVER_ENDS) for fault in faults(of_recovery, metric))


def _is_on_the_wrong_side(comparison: Comparison, of_recovery: Comparison) -> bool:
    """Return true if a recovery threshold is no safer than the threshold, whatever the reference."""
    if comparison.rate is not None:  # its number is not known yet
        return False
    pairs = [
        (comparison.threshold(mean, std, baseline=base), of_recovery.threshold(mean, std, baseline=base))
        for mean, std, base in (*_SAMPLES, *_EXTREMES)
    ]
    is_above = comparison.op in (">", ">=")
    return all(second >= first if is_above else second <= first for first, second in pairs)


def _unknown_name(comparison: Comparison, metric: Metric) -> str | None:
    """Say that a threshold names what there is not for its metric; None if it does not."""
    if comparison.needs_baseline and metric.subject != "performance":
        return f"'baseline' is for metrics of performance, and {metric.name!r} is none: write the number"
    if not comparison.needs_reference_spread or metric.has_reference:
        return None
    if metric.subject == "performance":
        return f"{metric.name!r} has no reference_mean or reference_std: a reference has labels of all its predictions"
    what = "a whole stream" if metric.subject == "stream" else "a detector"
    return f"{metric.name!r} is of {what}: it has no reference_mean or reference_std"


def _of_rate(comparison: Comparison, metric: Metric) -> Iterator[str]:
    """Refuse a rate of false alarms for what has no spread that it could be solved in, with what to use instead."""
    what = f"calibrated(...) is for statistics of windows, and {metric.name!r} "
    if metric.name == DRIFT:
        yield f"{what}is over its limit already: give the model a budget, and write {DRIFT} > 1"
    elif metric.subject == "performance":
        yield f"{what}is of labels: write a number, and give the rule a confidence such as 0.95"
    elif metric.subject == "detector":
        yield f"{what}is of a detector, whose parameters say how often it errs: set them, or use {DRIFT} with a budget"
    elif metric.subject == "stream":
        yield f"{what}is of a whole stream: write a number"
    elif metric.values.whole:
        yield f"{what}is 0 or 1: write {metric.name} > 0"
    elif comparison.op in ("==", "!="):
        yield f"{metric.name!r} equals a calibrated threshold by chance only: write > or <"


def _out_of_range(op: str, threshold: _Range, metric: Metric) -> Iterator[str]:
    name, (least, most, is_whole) = metric.name, metric.values
    above, below = f"{name!r} is never above {most:g}", f"{name!r} is never below {least:g}"
    (low, high), never, always = threshold, "so this never fires", "so this always holds"
    hint = "; write 0.05 for 5 %" if name.endswith("_rate") and low > 1 else ""
    whole = is_whole and low == high and low != int(low)
    table = {
        ">": ((low >= most, above, never), (high < least, below, always)),
        ">=": ((low > most, above, never), (high <= least, below, always)),
        "<": ((high <= least, below, never), (low > most, above, always)),
        "<=": ((high < least, below, never), (low >= most, above, always)),
        "==": (
            (low > most, above, never),
            (high < least, below, never),
            (whole, f"{name!r} is a whole number", never),
        ),
        "!=": (
            (low > most, above, always),
            (high < least, below, always),
            (whole, f"{name!r} is a whole number", always),
        ),
    }
    for applies, reason, verdict in table[op]:
        if applies:
            yield f"{reason}, {verdict}{hint}"


# ---------------------------------------------------------------------- the range of a threshold


def _range(term: Term, metric: Metric) -> _Range:
    least, most, _ = metric.values
    match term:
        case Binary():
            return _applied(term.op, _range(term.left, metric), _range(term.right, metric))
        case "reference_mean" | "baseline":
            return _Range(least, most)
        case "reference_std":  # no deviation is larger than half of the range
            return _Range(0.0, (most - least) / 2)
        case Calibrated():
            return _Range(-inf, inf)
        case "usual_silence":
            return _Range(0.0, inf)
        case float():
            return _Range(term, term)
    assert_never(term)


def _applied(op: str, left: _Range, right: _Range) -> _Range:
    if op == "/" and right.low <= 0.0 <= right.high:
        return _Range(-inf, inf)
    ends = [_end(op, a, b) for a, b in product(left, right)]
    return _Range(-inf, inf) if any(isnan(end) for end in ends) else _Range(min(ends), max(ends))


def _end(op: str, a: float, b: float) -> float:
    if op == "*":
        return 0.0 if a == 0.0 or b == 0.0 else a * b
    if op == "/":
        return nan if abs(b) == inf and abs(a) == inf else a / b
    return a + b if op == "+" else a - b
