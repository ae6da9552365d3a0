"""The examples in docstrings run."""

from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["codec.durations", "codec.times", "config.pattern", "config.suggest"])
def test_examples_run(name: str) -> None:
    """What a docstring shows is what happens."""
    results = doctest.testmod(importlib.import_module(f"monitor.{name}"))
    assert results.attempted > 0
    assert results.failed == 0
