"""The shipped alerts.yaml on streams of categories: it takes them, finds changes of theirs, and is quiet without."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.quality.cases import Alarm, Case, Columns, Name
from benchmarks.quality.engine import alarms_of
from benchmarks.quality.streams import case_of
from monitor.config import load
from monitor.detectors import ADWIN
from tests.unit.config.test_loading import SHIPPED

REFERENCE, BEFORE, BEHIND = 3000, 1000, 2000
NUMBERS = ("numerical:", "binary:", "probability:")


def of_categories(before: list[float], after: list[float], seed: int) -> Case:
    """A column whose shares change, beside one of 400 values that stays as it is."""
    rng = np.random.default_rng(seed)
    first, then = (rng.choice(len(p), n, p=p) for n, p in ((REFERENCE + BEFORE, before), (BEHIND, after)))
    texts = {
        "colour": [f"colour-{k}" for k in [*first, *then]],
        "shop": [f"shop-{k}" for k in rng.integers(0, 400, REFERENCE + BEFORE + BEHIND)],
    }
    return Case(Columns({}, texts), REFERENCE, change=BEFORE, changed=("colour",))


def alarms(case: Case) -> tuple[list[Alarm], list[Alarm]]:
    """Those before the change, and those behind it."""
    found, change = alarms_of(case), case.change or 0
    return [one for one in found if one.row <= change], [one for one in found if one.row > change]


def test_a_model_of_categories_alone_takes_the_shipped_rules() -> None:
    """Without numbers one rule selects nothing, which is a hint; all others stay."""
    lines = [line for line in SHIPPED.read_text().splitlines() if not line.lstrip().startswith(NUMBERS)]
    config = load("\n".join(lines).replace("missing(amount_usd)", "missing(country)"), "f")
    assert [hint.message for hint in config.hints] == [
        "'ks' is for numerical columns, and there are none: the rule selects nothing"
    ]


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_categories_without_drift_raise_no_alert(seed: int) -> None:
    """30 to 900 values, all alike, with the first 5,000 rows as the reference of the next 20,000.

    By no rule on windows or detectors; `Drift`, which takes one of these 100,000 rows for a change, is scored apart.
    """
    assert alarms_of(case_of(Name("uniform", seed), SHIPPED.parent), leave_out=("Drift",)) == []


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_category_that_vanishes_is_found(seed: int) -> None:
    """Of 20 % of the rows, by whatever rule, within 500 rows; nothing fires before."""
    early, found = alarms(of_categories([0.4, 0.4, 0.2], [0.5, 0.5, 0.0], seed))
    assert early == []
    assert found[0].row - BEFORE <= 500


@pytest.mark.parametrize(("stream", "without"), [("AR 0.5", 1), ("AR 0.9", 20), ("daily", 40)])
def test_rows_that_depend_on_each_other_are_no_change(
    stream: str, without: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ADWIN takes as changes if its delta stays as it is; of no column does the shipped rule tell one."""
    case = case_of(Name(stream, 1, 0.3), SHIPPED.parent)

    def changes() -> int:
        return sum(alarm.rule == "ChangeDetected" for alarm in alarms_of(case))

    assert changes() == 0
    monkeypatch.setattr(ADWIN, "for_dependent", lambda self, inflation: self)
    assert changes() >= without


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_shares_that_swap_some_rows_are_found(seed: int) -> None:
    """From .3, .3, .4 to .4, .2, .4, of which psi is 0.07: by `Drift`, within 1,000 rows."""
    early, found = alarms(of_categories([0.3, 0.3, 0.4], [0.4, 0.2, 0.4], seed))
    assert early == []
    assert found[0].rule == "Drift"
    assert found[0].row - BEFORE <= 1000
    assert found[0].columns == ("colour",)
