"""The examples in the docstrings of statistics and detectors run, and give what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import monitor.detectors
import monitor.stats

MODULES = [
    f"{package.__name__}.{module.name}"
    for package in (monitor.stats, monitor.detectors)
    for module in pkgutil.iter_modules(package.__path__)
]
WITHOUT_EXAMPLES = {
    f"monitor.detectors.{name}" for name in ("state", "protocol", "plugin", "adapter", "golden", "late_import")
}


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_hold(name: str) -> None:
    """Every statistic and every detector has an example, and it runs."""
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0
    assert (result.attempted == 0) == (name in WITHOUT_EXAMPLES)
