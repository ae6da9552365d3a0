"""The ban on pickles that holds during the whole suite (tests/conftest.py) does stop them."""

from __future__ import annotations

import _pickle
import io
import pickle
from fractions import Fraction
from multiprocessing.reduction import ForkingPickler
from typing import Any

import pytest

DATA = pickle.dumps({"plain": 1})
OBJECT = pickle.dumps(Fraction(1, 2))


@pytest.mark.parametrize("module", [pickle, _pickle])
def test_no_way_of_the_standard_library_loads_a_pickle(module: Any) -> None:
    """Of plain data neither."""
    for load in (
        lambda: module.loads(DATA),
        lambda: module.load(io.BytesIO(DATA)),
        lambda: module.Unpickler(io.BytesIO(DATA)).load(),
    ):
        with pytest.raises(AssertionError, match="a pickle was loaded"):
            load()  # type: ignore[no-untyped-call] # typeshed knows no signature


def test_who_has_taken_the_function_before_is_stopped_too() -> None:
    """As multiprocessing has: a pickle that names a class runs nothing."""
    with pytest.raises(AssertionError, match="a pickle was loaded"):
        ForkingPickler.loads(OBJECT)
