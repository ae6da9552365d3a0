"""alerts.lock.yaml: its text and back, what is refused in it, and the digest of the rules that it was solved for."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.config import ModelRules, load, load_unlocked
from monitor.config.lock import (
    FORMAT,
    Achieved,
    Limits,
    Lock,
    LockedDrift,
    LockedLane,
    LockedModel,
    LockedThreshold,
    LockText,
    lock_text,
    rules_digest,
    sheet_of_lock,
)
from monitor.errors import ConfigurationError

TEXT = """\
# Written by `streamdrift calibrate`, and read with alerts.yaml: run it again instead of editing this.
format: streamdrift.lock/1
models:
  m:
    rules: sha256:0123456789abcdef0123456789abcdef
    lanes:
      features:
        reference: sha256:00000000000000000000000000000000
        rows: 5000
        rows_per_second: 1.02
        pieces: 120
        drift:
          limits: {family: 5.1, column: 4.4, correlation: 4.8}
          achieved: {false_alarms: 3, rows: 400000, per_budget: 0.9, interval: [0.2, 2.1]}
          smallest_shift:
            amount_usd: 0.21
            "two words": 1
          extrapolated: true
        thresholds:
          Far:
            z: 4.2
            achieved: {false_alarms: 0, rows: 10, per_budget: 0, interval: [0, 3.7]}
            extrapolated: false
"""


def lock_of(text: str) -> Lock:
    return sheet_of_lock(text, "alerts.lock.yaml").lock


def test_a_lock_is_written_as_it_is_read() -> None:
    """Names in order, whatever the order that they came in; the comment names the command."""
    lock = lock_of(TEXT)
    lane = lock.models["m"].lanes["features"]
    assert lane.drift is not None
    assert lane.drift.limits == Limits(family=5.1, column=4.4, correlation=4.8)
    assert lane.thresholds["Far"].z == 4.2
    assert lock_of(lock_text(lock)) == lock
    assert lock_text(lock_of(lock_text(lock))) == lock_text(lock)
    assert lock_text(lock).replace(".0", "") == TEXT.replace(".0", "")


numbers = st.floats(min_value=0.001, max_value=1e300)
names = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,20}\Z")
columns = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20)
achieved = st.builds(
    Achieved,
    false_alarms=st.integers(0, 100),
    rows=st.integers(0, 10**9),
    per_budget=numbers,
    interval=st.lists(numbers, min_size=2, max_size=2),
)
lanes = st.builds(
    LockedLane,
    reference=st.just("sha256:" + "0" * 32),
    rows=st.integers(0, 10**6),
    rows_per_second=numbers,
    pieces=st.integers(0, 1000),
    drift=st.none()
    | st.builds(
        LockedDrift,
        limits=st.builds(Limits, family=numbers, column=numbers, correlation=numbers),
        achieved=achieved,
        smallest_shift=st.dictionaries(columns, numbers, max_size=3),
        extrapolated=st.booleans(),
    ),
    thresholds=st.dictionaries(
        names, st.builds(LockedThreshold, z=numbers, achieved=achieved, extrapolated=st.booleans()), max_size=2
    ),
)
models = st.builds(
    LockedModel,
    rules=st.just("sha256:" + "f" * 32),
    lanes=st.dictionaries(st.sampled_from(["features", "predictions", "outcomes"]), lanes, max_size=2),
)


@settings(max_examples=60, deadline=None)
@given(st.builds(Lock, format=st.just(FORMAT), models=st.dictionaries(names, models, max_size=2)))
def test_any_lock_is_read_as_it_was_written(lock: Lock) -> None:
    """Whatever names models, rules and columns have, and to the last bit of numbers."""
    assert lock_of(lock_text(lock)) == lock


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("pieces: 120", "»peices: 120", "unknown key 'peices'; did you mean 'pieces'?"),
        ("family: 5.1", "family: »-5", "should be greater than 0"),
        ("family: 5.1", "family: ».inf", "should be a finite number"),
        ("z: 4.2", "z: »four", "should be a valid number"),
        ("rows: 5000", "rows: »5000.5", "should be a valid integer"),
        ("reference: sha256:00000000000000000000000000000000", "reference: »sha256:0", "has to match"),
        ("      features:", "      »featurs:", "did you mean 'features'?"),
        ("streamdrift.lock/1", "»streamdrift.lock/2", "is not one of 'streamdrift.lock/1'"),
        ("interval: [0.2, 2.1]", "interval: »[0.2]", "at least 2 items"),
        ("        rows: 5000\n", "", "the key 'rows' is missing"),
        ("    lanes:", "    lanes: »{", "not YAML"),
    ],
)
def test_a_fault_is_refused_with_its_place(old: str, new: str, message: str) -> None:
    """As one of alerts.yaml is, with a suggestion; » marks the place."""
    spoilt = TEXT.replace(old, new, 1)
    before, mark, _ = spoilt.partition("»")
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    with pytest.raises(ConfigurationError) as refused:
        lock_of(spoilt.replace("»", "", 1))
    assert message in str(refused.value)
    if mark and message != "not YAML":
        assert f"alerts.lock.yaml:{line}:{column}: " in str(refused.value)


FILE = """\
version: 1
models:
  m:
    task: regression
    streams: {features: {topic: f}}
    columns: {numerical: [x, y]}
    budget: {false_alarms: 1, per: 30d}
groups:
  - name: g
    model: m
    rules:
      - {alert: Drift, expr: drift > 1}
      - {alert: Far, expr: 'wasserstein > calibrated("1 per week")', labels: {severity: info}}
      - {alert: Other, expr: psi > 0.25}
"""


def digest(text: str) -> str:
    return rules_digest(load_unlocked(text, "f").models[0])


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("psi > 0.25", "psi > 0.5", True),
        ("severity: info", "severity: warning", True),
        ("1 per week", "1 per 7d", True),
        ("per: 30d", "per: month", True),
        ("1 per week", "1 per day", False),
        ("per: 30d", "per: 31d", False),
        ("wasserstein >", "ks >", False),
        ("wasserstein >", 'wasserstein{column="x"} >', False),
        ("drift > 1}", "drift > 1, for: 1m}", False),
        ("numerical: [x, y]", "numerical: [x, y, z]", False),
        ("numerical: [x, y]}", "numerical: [x, y]}\n    pane: 20s", False),
        ("numerical: [x, y]}", "numerical: [x, y]}\n    season: day", False),
        ("numerical: [x, y]}", "numerical: [x, y]}\n    reference: {first: 700}", False),
        ("numerical: [x, y]}", "numerical: [x, y]}\n    importance: {x: 1}", True),
        ("numerical: [x, y]}", "numerical: [x, y]}\n    window: {events: 700}", False),
    ],
)
def test_the_digest_is_of_what_thresholds_depend_on(old: str, new: str, *, same: bool) -> None:
    """Rules without a budget, labels and other words for a period are not among it."""
    assert (digest(FILE) == digest(FILE.replace(old, new, 1))) is same


def test_without_a_lock_budgets_and_calibrated_thresholds_are_refused() -> None:
    """Each at its place, with the command that mends it."""
    with pytest.raises(ConfigurationError) as refused:
        load(FILE, "f")
    assert str(refused.value).splitlines() == [
        "f:7:5: a budget needs alerts.lock.yaml beside this file: run `streamdrift calibrate`",
        "f:13:43: calibrated(...) needs alerts.lock.yaml beside this file: run `streamdrift calibrate`",
    ]


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("drift > %s", "'drift' is over its limit already: give the model a budget, and write drift > 1"),
        ("change > %s", "'change' is of a detector"),
        ("events > %s", "'events' is of a whole stream: write a number"),
        ("rmse > %s", "'rmse' is of labels: write a number, and give the rule a confidence such as 0.95"),
        ("vanished > %s", "'vanished' is 0 or 1: write vanished > 0"),
        ("psi == %s", "'psi' equals a calibrated threshold by chance only: write > or <"),
    ],
)
def test_a_rate_is_for_statistics_of_windows(expression: str, message: str) -> None:
    """What else it is asked of is refused with what to use instead."""
    text = FILE.replace("psi > 0.25", "'" + expression % 'calibrated("1 per week")' + "'")
    with pytest.raises(ConfigurationError) as refused:
        load_unlocked(text, "f")
    assert message in str(refused.value)


# ---------------------------------------------------------------------- a lock beside its alerts.yaml


def locked(text: str = FILE) -> str:
    """The lock that calibration would write for a file: z of Far 4.2 on features."""
    lane = lock_of(TEXT).models["m"].lanes["features"]
    rules = rules_digest(load_unlocked(text, "f").models[0])
    return lock_text(Lock(format=FORMAT, models={"m": LockedModel(rules=rules, lanes={"features": lane})}))


def refusals(text: str, lock: str) -> list[str]:
    try:
        load(text, "alerts.yaml", LockText(lock, "alerts.lock.yaml"))
    except ConfigurationError as refused:
        return str(refused).splitlines()
    return []


def test_a_lock_makes_numbers_of_what_it_was_solved_for() -> None:
    """Thresholds in deviations, limits by lane, and the digest of both files; other rules stay as they are."""
    text = locked()
    config = load(FILE, "alerts.yaml", LockText(text, "alerts.lock.yaml"))
    rules = config.models[0].rules
    drift, far, other = rules.rules[:3]
    assert (drift.comparison.threshold(None, None), other.comparison.threshold(None, None)) == (1.0, 0.25)
    assert far.comparison.threshold(0.5, 0.1) == 0.5 + 4.2 * 0.1
    assert far.comparison.threshold_source == 'calibrated("1 per week")'
    assert rules.solved["features"].limits == (5.1, 4.4, 4.8)
    assert config.alerts_yaml_sha256 == hashlib.sha256((FILE + text).encode()).hexdigest()
    assert ModelRules.model_validate_json(rules.model_dump_json(by_alias=True)) == rules


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        ("  m:\n", "  mm:\n", "4:3", "there is no model 'mm'; did you mean 'm'?"),
        ("    lanes:\n      features:", "    lanes:\n      predictions:", "6:5", "the lane 'features' is missing"),
        ("          Far:", "          Farr:", "20:11", "there is no rule 'Farr'; did you mean 'Far'?"),
        ("          Far:", "          Nearer:", "7:7", "the threshold of 'Far' is missing"),
    ],
)
def test_a_lock_without_what_is_asked_for_is_refused(old: str, new: str, place: str, message: str) -> None:
    """At the key that should have it, with a suggestion."""
    text = locked()
    assert old in text
    (found,) = refusals(FILE, text.replace(old, new, 1))
    assert found.startswith(f"alerts.lock.yaml:{place}: {message}"), found


def test_a_lock_without_limits_or_without_the_model_is_refused() -> None:
    """At the lane, and at the budget that asks for it."""
    lane = lock_of(TEXT).models["m"].lanes["features"].model_copy(update={"drift": None})
    model = LockedModel(rules=digest(FILE), lanes={"features": lane})
    (found,) = refusals(FILE, lock_text(Lock(format=FORMAT, models={"m": model})))
    limits = "the limits of 'drift' are missing, and the model has a budget"
    assert found == f"alerts.lock.yaml:7:7: {limits}: run `streamdrift calibrate`"
    needed = "needs the model 'm' in alerts.lock.yaml: run `streamdrift calibrate`"
    assert refusals(FILE, lock_text(Lock(format=FORMAT, models={"other": model}))) == [
        f"alerts.yaml:7:5: a budget {needed}",
        f"alerts.yaml:13:43: calibrated(...) {needed}",
    ]


def test_a_lock_of_other_rules_is_refused() -> None:
    """At its digest, and nothing else of it is looked at."""
    changed = FILE.replace("1 per week", "1 per day")
    other = "other rules of 'm', or another `reference`, than alerts.yaml has now"
    message = f"this was solved for {other}: run `streamdrift calibrate`"
    assert refusals(changed, locked()) == [f"alerts.lock.yaml:5:12: {message}"]


def test_models_that_ask_for_nothing_need_nothing() -> None:
    """Of a lock for models that are gone or have no budget any more nothing is taken."""
    plain = FILE.replace("    budget: {false_alarms: 1, per: 30d}\n", "").replace(
        'wasserstein > calibrated("1 per week")', "ks > 0.2"
    )
    config = load(plain, "alerts.yaml", LockText(locked(), "alerts.lock.yaml"))
    assert config.models[0].rules == load(plain, "alerts.yaml").models[0].rules


def test_of_several_lanes_the_threshold_that_fires_most_seldom_counts() -> None:
    """The largest z of a rule that fires above it, and the smallest of one that fires below."""
    text = FILE.replace("features: {topic: f}", "features: {topic: f}, predictions: {topic: p}").replace(
        "numerical: [x, y]", "numerical: [x, y], prediction: z"
    )
    lane = lock_of(TEXT).models["m"].lanes["features"]
    for sign, expected in ((">", 4.2), ("<", 3.0)):
        one = text.replace("wasserstein >", f"wasserstein {sign}")
        other = lane.model_copy(update={"thresholds": {"Far": lane.thresholds["Far"].model_copy(update={"z": 3.0})}})
        model = LockedModel(rules=digest(one), lanes={"features": lane, "predictions": other})
        lock = LockText(lock_text(Lock(format=FORMAT, models={"m": model})), "alerts.lock.yaml")
        far = load(one, "alerts.yaml", lock).models[0].rules.rules[1]
        assert far.comparison.threshold(0.0, 1.0) == expected


def test_a_budget_without_a_rule_and_two_thresholds_of_one_name_are_refused() -> None:
    """Nothing could be solved for the one, and the lock could not tell the others apart."""
    with pytest.raises(ConfigurationError, match="f:7:5: a budget is for rules on 'drift', and 'm' has none"):
        load_unlocked(FILE.replace("drift > 1", "psi > 0.5"), "f")
    twice = FILE.replace("{alert: Other, expr: psi > 0.25}", "{alert: Far, expr: 'ks > calibrated(\"1 per day\")'}")
    with pytest.raises(ConfigurationError, match="a second calibrated rule 'Far'"):
        load_unlocked(twice, "f")
