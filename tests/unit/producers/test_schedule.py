"""A drift schedule: all that is wrong is told at once, by line."""

from __future__ import annotations

import pytest

from monitor.errors import ConfigurationError
from producers.schedule import Drift, load_schedule
from producers.synthetic import FRAUD_TRAFFIC


def test_yaml_and_json_mean_the_same() -> None:
    """Places are numbers of events, or durations of event time."""
    yaml = "- {at: 1h30m, column: amount_usd, kind: ramp, size: 2, over: 90s}\n"
    json = '[{"at": "1h30m", "column": "amount_usd", "kind": "ramp", "size": 2.0, "over": "90s"}]'
    expected = (Drift("ramp", "amount_usd", True, 5_400_000, 2.0, None, 90_000),)
    assert load_schedule(yaml, "d.yaml", FRAUD_TRAFFIC) == load_schedule(json, "d.json", FRAUD_TRAFFIC) == expected


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{at: 1, column: amount_us, kind: step, size: 1}", "did you mean 'amount_usd'"),
        ("{at: 1, column: zzz, kind: step, size: 1}", "there are amount_usd,"),
        ("{at: 1, column: country, kind: step, size: 1}", "step is not for a categorical column"),
        ("{at: 1, column: amount_usd, kind: jump, size: 1}", "Invalid enum value 'jump'"),
        ("{at: 1, column: amount_usd, kind: step}", "missing required field `size`"),
        ("{at: 1, column: amount_usd, kind: step, size: 1, ovr: 3}", "unknown field `ovr`"),
        ("{at: soon, column: amount_usd, kind: step, size: 1}", "neither a number of events nor a duration"),
        ("{at: -1, column: amount_usd, kind: step, size: 1}", "at -1 is negative"),
        ("{at: 1, column: amount_usd, kind: ramp, size: 1}", "`over` is missing"),
        ("{at: 1, column: amount_usd, kind: ramp, size: 1, over: 1h}", "use one of them"),
        ("{at: 1, column: amount_usd, kind: recurring, size: 1, period: 1}", "too small"),
        ("{at: 5, until: 5, column: amount_usd, kind: step, size: 1}", "until 5 is too small"),
        ("{at: 1, column: amount_usd, kind: step, size: 1, period: 9}", "period belongs to recurring"),
        ("{at: 1, column: amount_usd, kind: step, size: 1, over: 9}", "over belongs to ramp and concept"),
        ("{at: 1, column: amount_usd, kind: concept, size: 1}", "concept is not for a numerical column"),
        ("{at: 1, column: label, kind: step, size: 1}", "step is not for a label column"),
        ("{at: 1, column: label, kind: concept, size: 2}", "a share of the rows"),
        ("{at: 1, column: country, kind: missingness, size: 20}", "a share of the rows"),
        ("{at: 1, column: amount_usd, kind: variance, size: -1}", "a factor of the spread"),
        ("5", "Expected `object`"),
    ],
)
def test_a_flawed_entry_is_named_with_its_line(entry: str, message: str) -> None:
    """Line and column of the entry, what was found, what would do."""
    text = f"# schedule\n- {{at: 1, column: amount_usd, kind: step, size: 1}}\n- {entry}\n"
    with pytest.raises(ConfigurationError) as raised:
        load_schedule(text, "d.yaml", FRAUD_TRAFFIC)
    (problem,) = raised.value.problems
    assert (problem.file, problem.line, problem.column) == ("d.yaml", 3, 3)
    assert message in problem.message


def test_all_problems_are_reported_at_once() -> None:
    """A schedule is corrected in one go."""
    text = "- {at: 1, column: a, kind: step, size: 1}\n- {at: 1, column: b, kind: step, size: 1}\n"
    with pytest.raises(ConfigurationError) as raised:
        load_schedule(text, "d.yaml", FRAUD_TRAFFIC)
    assert [problem.line for problem in raised.value.problems] == [1, 2]


@pytest.mark.parametrize(
    "text", ["a: 1", "", "- {at: 1", "- &a [*a]", "[" * 1_000, "- !!python/name:os {}", "x" * 2_000_000]
)
def test_what_is_no_list_of_drifts_is_refused(text: str) -> None:
    """No crash, no guess."""
    with pytest.raises(ConfigurationError):
        load_schedule(text, "d.yaml", FRAUD_TRAFFIC)
