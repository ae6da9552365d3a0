"""The law of numbers: logarithm and sum by fixed operations in a fixed order, the same bits everywhere."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.stats.exact import log, significant, significant_all, total, total_of_rows

positive = st.floats(min_value=0.0, exclude_min=True, allow_infinity=False, allow_subnormal=True)


@given(st.lists(st.one_of(positive, st.floats(0.5, 2.0)), min_size=1, max_size=50))
def test_log_is_within_two_ulp_of_the_libms(values: list[float]) -> None:
    """Over all magnitudes, subnormals included, and close to 1 where cancellation threatens."""
    for value, ours in zip(values, log(np.array(values)).tolist(), strict=True):
        assert abs(ours - math.log(value)) <= 2 * math.ulp(math.log(value))


def test_log_is_within_two_ulp_next_to_one_and_to_the_ends_of_a_binade() -> None:
    """Where the reduction changes: around sqrt(1/2), 1 and sqrt(2)."""
    steps = np.arange(-2000, 2001) * 2.0**-52
    for middle in (math.sqrt(0.5), 1.0, math.sqrt(2.0)):
        values = np.asarray(middle + steps, dtype=np.float64)
        for value, ours in zip(values.tolist(), log(values).tolist(), strict=True):
            assert abs(ours - math.log(value)) <= 2 * math.ulp(math.log(value))


def test_log_is_nan_where_there_is_none() -> None:
    """Zero, negative numbers, NaN and infinity have none, and no warning is given."""
    assert np.isnan(log(np.array([0.0, -0.0, -1.0, np.nan, np.inf, -np.inf]))).all()


def test_log_of_one_is_exactly_zero() -> None:
    """So divergences of equal shares are 0 and not almost 0."""
    assert log(np.ones(3)).tolist() == [0.0, 0.0, 0.0]


@given(st.lists(st.lists(st.floats(-1e9, 1e9), min_size=40, max_size=40), min_size=1, max_size=4))
def test_total_adds_in_index_order(rows: list[list[float]]) -> None:
    """Bit for bit the sum of a plain loop, whatever stands beside the row."""
    slow = []
    for row in rows:
        running = row[0]
        for value in row[1:]:
            running += value
        slow.append(running)
    assert total(np.array(rows)).tolist() == slow


@pytest.mark.parametrize("shape", [(1, 1), (300, 1), (300, 2), (300, 40), (2, 300)])
def test_total_of_rows_is_that_of_each_column(shape: tuple[int, int]) -> None:
    """In either layout."""
    values = np.random.default_rng(3).normal(size=shape)
    for laid_out in (values, np.asfortranarray(values)):
        assert total_of_rows(laid_out).tolist() == [float(total(column)) for column in values.T]


def test_total_does_not_depend_on_the_layout_in_memory() -> None:
    """A transposed array gives the same bits as a contiguous one."""
    values = np.random.default_rng(3).random((300, 7)) * 1e6
    assert total(values.T).tolist() == total(np.ascontiguousarray(values.T)).tolist()


@pytest.mark.parametrize(
    ("value", "rounded"),
    [
        (0.1 + 0.2, 0.3),
        (1 / 3, 0.333333333333),
        (123456789012.5, 123456789012.0),
        (1234567890123456.0, 1234567890120000.0),
        (1e-300 / 3, 3.33333333333e-301),
        (float("inf"), float("inf")),
    ],
)
def test_significant_keeps_twelve_digits(value: float, rounded: float) -> None:
    """Twelve significant digits whatever the magnitude, on both sides of zero."""
    assert significant(value) == rounded
    assert significant(-value) == -rounded


def test_significant_has_one_zero_and_keeps_nan() -> None:
    """-0.0 would be another text in JSON."""
    assert math.copysign(1.0, significant(-0.0)) == 1.0
    assert math.isnan(significant(float("nan")))


@given(st.lists(st.floats(), max_size=30))
def test_significant_all_is_significant_of_each(values: list[float]) -> None:
    """The two agree, text for text."""
    assert list(map(repr, significant_all(np.array(values, dtype=np.float64)))) == [
        repr(significant(value)) for value in values
    ]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_significant_is_idempotent(value: float) -> None:
    """What is rounded once stays."""
    assert significant(significant(value)) == significant(value)


PROGRAM = """
import hashlib
import numpy as np
from monitor.stats.chi2 import chi2, cramers_v
from monitor.stats.distance import ks, wasserstein
from monitor.stats.divergence import hellinger, js_distance, psi
from monitor.stats.exact import log
from monitor.stats.moments import moments
from monitor.stats.quantiles import quantiles

rng = np.random.default_rng(17)
r, c = (rng.integers(0, 1000, (50, 256)) for _ in range(2))
ends = np.cumsum(rng.integers(1, 9, 257)) / 7.0
one, two = np.ones(50), np.full(50, 2.0)
parts = [psi(r, c), js_distance(r, c), hellinger(r, c), chi2(r, c)[0], cramers_v(r, c), ks(r, c)]
parts += [wasserstein(r, c, ends[:-1], two), quantiles(c, ends[:-1], ends[1:], 0.95), log(rng.random(9999))]
parts += moments(c.sum(axis=1), c[:, 0], c[:, 1] ** 2 + 10**9, one / 3.0, two / 7.0)
print(hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest())
"""


def test_statistics_have_the_same_bits_without_vector_instructions() -> None:
    """numpy told to use no optional instruction set gives the same bytes of every statistic, before any rounding."""
    features = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    disabled = {"NPY_DISABLE_CPU_FEATURES": " ".join(features)}
    plain, bare = (
        subprocess.run(
            [sys.executable, "-c", PROGRAM], env=os.environ | env, check=True, capture_output=True, text=True
        ).stdout
        for env in ({}, disabled)
    )
    assert plain == bare
    assert len(plain) == 65
