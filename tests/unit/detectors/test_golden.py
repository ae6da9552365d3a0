"""Another release of River is known by its answers: class by class, and whatever it does."""

from __future__ import annotations

import msgspec
import pytest
from river import __version__

from monitor.detectors import PLUGINS, golden
from monitor.detectors.state import BlindState, FreshState
from monitor.errors import FormatError
from tests.another_river import DIFFERENT, RENAMED, SAME, another_river


@pytest.mark.parametrize("name", PLUGINS)
def test_the_golden_answers_are_those_of_the_golden_release(name: str) -> None:
    """By River's defaults and by other parameters; each finds something, behind the middle too."""
    assert __version__ == golden.RELEASE
    assert len(golden.GOLDEN[name]) == 2
    for trial in golden.GOLDEN[name]:
        assert golden.tried(name, trial.params) == trial
        assert trial.found[-1] >= golden.MIDDLE


def test_every_class_is_tried_and_no_golden_state_is_empty() -> None:
    """A state of a detector that has just started afresh would say nothing of the class."""
    assert golden.GOLDEN.keys() == PLUGINS.keys()
    empty = {golden._digest(msgspec.msgpack.encode(state)) for state in (FreshState(), BlindState())}
    digests = [digest for trials in golden.GOLDEN.values() for trial in trials for digest in (trial.middle, trial.end)]
    assert len(set(digests)) == len(digests) == 32
    assert not empty & set(digests)


def test_the_running_river_is_the_golden_one() -> None:
    """Nothing is tried: it would give the golden answers."""
    assert {golden.release_of(name) for name in PLUGINS} == {golden.RELEASE}


@pytest.mark.parametrize("release", ["0.25.0", "0.27.0", "1.0.0"])
def test_another_release_that_answers_alike_goes_under_the_golden_name(release: str) -> None:
    """Its states mean the same, written by either and read by either."""
    with another_river(release, SAME):
        assert {golden.release_of(name) for name in PLUGINS} == {golden.RELEASE}


def test_a_class_that_answers_otherwise_goes_under_its_own_release() -> None:
    """That class alone."""
    with another_river("0.27.0", DIFFERENT):
        found = {name: golden.release_of(name) for name in PLUGINS}
    assert found == dict.fromkeys(PLUGINS, golden.RELEASE) | {"HDDMA": "0.27.0"}


def test_a_class_whose_state_cannot_be_taken_goes_under_no_name() -> None:
    """It has its answers, and yet nothing can be kept of it."""
    with another_river("0.27.0", RENAMED):
        found = {name: golden.release_of(name) for name in PLUGINS}
    assert found == dict.fromkeys(PLUGINS, golden.RELEASE) | {"HDDMW": ""}


def test_what_is_no_class_is_refused() -> None:
    """A snapshot may hold any name."""
    with pytest.raises(FormatError, match="'Dummy'"):
        golden.release_of("Dummy")
