"""Law 6: what a partition that stands still is given, by the other partitions of its models and by a clock."""

from __future__ import annotations

import pytest

from monitor.events import TopicPartition
from monitor.runner.heartbeats import Given, Pulse, Reached, heartbeat, is_worth_it

A, B, C = (TopicPartition("t", p) for p in range(3))
IDLE_S, LATENESS, PANE, INTERVAL_S = 10.0, 2500, 1000, 3.0


def pulse(highest: int | None, moved_at: float, *models: str, idle_s: float | None = IDLE_S) -> Pulse:
    """A partition whose largest accepted time came at `moved_at`; nothing but that has moved its watermark."""
    made = Pulse(frozenset(models or ("m",)), idle_s, PANE, INTERVAL_S, moved_at)
    natural = None if highest is None else highest - LATENESS
    made.see(Reached(natural, natural, natural, highest), moved_at)
    return made


def run(tp: TopicPartition, pulses: dict[TopicPartition, Pulse], seconds: range) -> list[tuple[int, Given]]:
    """What a partition is given second by second, and takes."""
    given = []
    for second in seconds:
        found = heartbeat(tp, pulses, float(second))
        if found is not None:
            given.append((second, found))
            own = pulses[tp].reached
            pulses[tp].note_heartbeat(found, float(second))
            raised = own.watermark if found.watermark is None else found.watermark
            reported = own.silent_to if found.silent_to is None else found.silent_to
            pulses[tp].see(own._replace(watermark=raised, silent_to=reported), float(second))
    return given


def test_the_lowest_of_the_others_that_move() -> None:
    """So an empty partition never holds back the others, nor runs ahead of them."""
    pulses = {A: pulse(None, 0.0), B: pulse(70_000, 99.0), C: pulse(50_000, 95.0)}
    assert heartbeat(A, pulses, 100.0) == Given(50_000 - LATENESS)


def test_one_that_stands_still_too_does_not_count_while_another_moves() -> None:
    """The wall time is not asked as long as somebody tells event time."""
    pulses = {A: pulse(10_000, 0.0), B: pulse(20_000, 0.0), C: pulse(50_000, 95.0)}
    assert heartbeat(A, pulses, 100.0) == Given(50_000 - LATENESS)


def test_no_silence_is_reported_while_another_moves() -> None:
    """The watermark of the other says all; where that seals no pane there is nothing to say."""
    pulses = {A: pulse(50_100, 0.0), B: pulse(50_200, 95.0)}
    assert heartbeat(A, pulses, 100.0) is None


def test_in_a_stall_the_clock_goes_on_to_the_end_of_the_newest_pane_with_a_row() -> None:
    """At the pace of the wall time, and no further; behind that the silence is told, once an interval."""
    pulses = {A: pulse(10_700, 100.0)}
    given = run(A, pulses, range(100, 126))
    assert given == [
        (110, Given(watermark=11_000)),
        (111, Given(silent_to=21_700)),
        (114, Given(silent_to=24_700)),
        (117, Given(silent_to=27_700)),
        (120, Given(silent_to=30_700)),
        (123, Given(silent_to=33_700)),
    ]


def test_the_newest_row_of_any_partition_counts_as_long_as_lateness_lasts() -> None:
    """One that stopped long before goes on with its own watermark, to where the last of all stopped."""
    pulses = {A: pulse(10_000, 100.0), B: pulse(36_200, 100.0)}
    given = run(A, pulses, range(110, 140))
    assert given[0] == (110, Given(watermark=17_500))
    assert [g.watermark for _, g in given if g.watermark is not None][-1] == 37_000
    assert given[-1][1].silent_to == 10_000 + (given[-1][0] - 100) * 1000


def test_one_that_never_had_a_record_takes_the_lowest_of_theirs() -> None:
    """Plus the wall time since theirs rose; and of a silence the largest."""
    pulses = {A: pulse(None, 0.0), B: pulse(20_000, 88.0), C: pulse(29_500, 89.0)}
    assert heartbeat(A, pulses, 100.0) == Given(20_000 - LATENESS + 12_000)
    given = run(A, pulses, range(100, 110))
    assert given[1] == (101, Given(watermark=30_000))
    assert given[2] == (102, Given(silent_to=29_500 + 13_000))


def test_one_that_was_left_behind_does_not_go_back() -> None:
    """In a stall its watermark goes on from where a heartbeat has brought it."""
    pulses = {A: pulse(10_000, 0.0), B: pulse(50_000, 90.0)}
    pulses[A].see(pulses[A].reached._replace(watermark=47_000), 95.0)
    assert heartbeat(A, pulses, 101.0) == Given(watermark=51_000)


def test_partitions_of_other_models_do_not_count() -> None:
    """Nor does a group in which nobody has had a record."""
    pulses = {A: pulse(None, 0.0, "m"), B: pulse(20_000, 99.0, "w"), C: pulse(None, 0.0, "m")}
    assert heartbeat(A, pulses, 100.0) is None
    shared = {A: pulse(None, 0.0, "m", "w"), B: pulse(20_000, 99.0, "w")}
    assert heartbeat(A, shared, 100.0) == Given(20_000 - LATENESS)


def test_a_heartbeat_counts_for_a_partition_that_moves_again() -> None:
    """Its watermark is what the ledger holds of it, however old the rows are that came since."""
    pulses = {A: pulse(None, 0.0), B: pulse(20_000, 99.0)}
    pulses[B].reached = pulses[B].reached._replace(watermark=30_000)
    assert heartbeat(A, pulses, 100.0) == Given(30_000)


def test_one_that_is_held_back_counts_as_moving() -> None:
    """It stands still since it is not read: the wall clock has nothing to say."""
    pulses = {A: pulse(10_000, 0.0), B: pulse(50_000, 0.0)}
    pulses[B].held = True
    assert heartbeat(A, pulses, 100.0) == Given(50_000 - LATENESS)


def test_off_leaves_nobody_behind_and_reports_the_silence() -> None:
    """Whether others move or not, no watermark is given."""
    pulses = {A: pulse(10_000, 0.0, idle_s=None), B: pulse(50_000, 99.0, idle_s=None)}
    assert run(A, pulses, range(2, 10)) == [(t, Given(silent_to=10_000 + t * 1000)) for t in (2, 5, 8)]
    assert not pulses[A].is_still(2.9)
    assert pulses[A].is_still(3.0)


def test_a_process_that_takes_over_goes_on_where_the_silence_was() -> None:
    """What was said of it is never said smaller again, and a row ends it."""
    taken = Pulse(frozenset("m"), IDLE_S, PANE, INTERVAL_S, 500.0)
    taken.see(Reached(7500, 11_000, 7500, 10_000, 60_000), 500.0)
    assert heartbeat(A, {A: taken}, 510.0) == Given(silent_to=70_000)
    taken.see(Reached(57_500, 57_500, 7500, 60_000, None), 520.0)
    assert heartbeat(A, {A: taken}, 531.0) == Given(watermark=61_000)
    assert taken.silence_by(531.0) == 71_000


def test_idle_is_a_watermark_that_records_have_not_moved() -> None:
    """Late or rejected rows do not wake a partition, nor does a heartbeat."""
    one, other = pulse(None, 0.0), pulse(None, 0.0)
    one.see(Reached(5000, 5000), 50.0)
    one.see(Reached(5000, 9000), 58.0)
    other.see(Reached(None, 9000), 59.0)
    assert [p.is_idle(59.9) for p in (one, other)] == [False, True]
    assert one.is_idle(60.0)


def test_a_heartbeat_is_written_only_when_it_ends_a_pane() -> None:
    """Otherwise a quiet night would fill the ledger."""
    assert is_worth_it(2000, None, 1000)
    assert is_worth_it(2000, 1999, 1000)
    assert not is_worth_it(2999, 2000, 1000)
    assert not is_worth_it(1000, 2000, 1000)


# ---------------------------------------------------------------------- labels

L, K = TopicPartition("labels", 0), TopicPartition("labels", 1)
DAYS = 172_800_000
"""Two days, ms."""


def labels(highest: int | None, moved_at: float, watermark: int | None = None, idle_s: float | None = IDLE_S) -> Pulse:
    """A partition of labels, whose lateness is 0. `watermark`: that a heartbeat has brought it."""
    made = Pulse(frozenset("m"), idle_s, PANE, INTERVAL_S, moved_at, is_labels=True)
    made.see(Reached(highest, highest if watermark is None else watermark, highest, highest), moved_at)
    return made


def data(highest: int | None, moved_at: float, idle_s: float | None = IDLE_S) -> Pulse:
    made = pulse(highest, moved_at, idle_s=idle_s)
    made.lateness_ms = LATENESS
    return made


NOW = 10 * DAYS
FOLLOWED = Given(watermark=NOW - LATENESS)


@pytest.mark.parametrize(
    ("pulses", "given"),
    [
        pytest.param({L: labels(NOW - DAYS, 100.0), A: data(NOW, 100.0)}, FOLLOWED, id="they move, and lag"),
        pytest.param({L: labels(NOW - DAYS, 0.0), A: data(NOW, 100.0)}, FOLLOWED, id="they stand still"),
        pytest.param({L: labels(None, 99.9), A: data(NOW, 100.0)}, FOLLOWED, id="there are none, and never were"),
        pytest.param(
            {L: labels(NOW - DAYS, 100.0), K: labels(NOW - 2 * DAYS, 100.0), A: data(NOW, 100.0)},
            FOLLOWED,
            id="two that lag do not hold each other",
        ),
        pytest.param(
            {L: labels(NOW - DAYS, 100.0), A: data(NOW + 5000, 100.0), B: data(NOW, 95.0), C: data(5000, 0.0)},
            FOLLOWED,
            id="the lowest of those that move",
        ),
        pytest.param(
            {L: labels(NOW - DAYS, 100.0), A: data(NOW + 5000, 0.0), B: data(NOW, 0.0)},
            FOLLOWED,
            id="if all stand still, the lowest of all",
        ),
        pytest.param(
            {L: labels(NOW - DAYS, 100.0), A: data(NOW, 100.0), B: data(None, 0.0)},
            FOLLOWED,
            id="one without a record says nothing",
        ),
        pytest.param(
            {L: labels(NOW - DAYS, 0.0, idle_s=None), A: data(NOW, 0.0, None)}, FOLLOWED, id="idle_timeout: off"
        ),
        pytest.param({L: labels(NOW, 100.0), A: data(NOW, 100.0)}, None, id="they are ahead"),
        pytest.param({L: labels(NOW, 0.0), A: data(NOW, 0.0)}, None, id="they are ahead, and all stand still"),
        pytest.param(
            {L: labels(5, 100.0, (NOW - LATENESS) // PANE * PANE), A: data(NOW, 100.0)},
            None,
            id="less than a pane behind",
        ),
        pytest.param({L: labels(NOW, 0.0), A: data(None, 0.0)}, None, id="without data there is nothing to follow"),
        pytest.param({L: labels(None, 0.0)}, None, id="alone"),
        pytest.param(
            {L: labels(NOW - DAYS, 0.0, NOW), K: labels(NOW + DAYS, 100.0), A: data(NOW, 0.0)},
            None,
            id="other labels are nothing to follow",
        ),
        pytest.param(
            {L: labels(NOW, 0.0, idle_s=None), A: data(NOW - DAYS, 0.0, None)}, None, id="they report no silence"
        ),
    ],
)
def test_labels_follow(pulses: dict[TopicPartition, Pulse], given: Given | None) -> None:
    """At once, as soon as the lowest of the features and predictions that move is a pane ahead."""
    assert heartbeat(L, pulses, 101.0) == given


@pytest.mark.parametrize(
    ("pulses", "given"),
    [
        pytest.param(
            {A: data(NOW, 0.0), B: data(NOW + 9000, 100.0), L: labels(NOW + DAYS, 100.0)},
            Given(NOW + 9000 - LATENESS),
            id="while data moves, labels do not count",
        ),
        pytest.param(
            {A: data(NOW, 0.0), B: data(NOW, 0.0), L: labels(NOW + 90_000, 100.0)},
            Given(NOW + 90_000 - LATENESS),
            id="labels that are ahead, less the lateness",
        ),
        pytest.param(
            {A: data(NOW, 0.0), K: labels(NOW + 50_000, 100.0), L: labels(NOW + 90_000, 100.0)},
            Given(NOW + 50_000 - LATENESS),
            id="the lowest labels that are ahead",
        ),
        pytest.param(
            {A: data(NOW, 0.0), K: labels(NOW - DAYS, 100.0), L: labels(NOW + 90_000, 100.0)},
            Given(NOW + 90_000 - LATENESS),
            id="labels that lag hold back nobody",
        ),
        pytest.param({A: data(NOW, 95.0), L: labels(NOW + 90_000, 100.0)}, None, id="one that moves itself"),
        pytest.param(
            {A: data(None, 0.0), L: labels(NOW, 100.0)}, None, id="labels alone begin no model: older rows may come"
        ),
        pytest.param(
            {A: data(NOW, 0.0, None), L: labels(NOW + 90_000, 100.0)}, Given(silent_to=NOW + 101_000), id="off"
        ),
    ],
)
def test_labels_count_for_others_only_if_nothing_else_moves(
    pulses: dict[TopicPartition, Pulse], given: Given | None
) -> None:
    """So they neither hold back features and predictions, nor make rows late that come on their pace."""
    assert heartbeat(A, pulses, 101.0) == given


@pytest.mark.parametrize("moved_at", [0.0, 100.0])
@pytest.mark.parametrize("watermark", [None, NOW])
def test_a_stall_is_the_same_with_labels_that_lag(moved_at: float, watermark: int | None) -> None:
    """Whether they move or not: data goes on to its newest pane with a row, and reports its silence."""
    alone = {A: data(NOW, 0.0), B: data(NOW + 5000, 2.0)}
    beside = {A: data(NOW, 0.0), B: data(NOW + 5000, 2.0), L: labels(NOW - DAYS, moved_at, watermark)}
    assert run(A, alone, range(10, 40)) == run(A, beside, range(10, 40))


def test_a_stall_goes_on_to_the_newest_pane_with_a_label() -> None:
    """All that was seen is judged, at the pace of the lateness; labels follow to there, and no further."""
    pulses = {A: data(NOW, 100.0), L: labels(NOW + 4200, 100.0)}
    told = run(A, pulses, range(110, 120))
    assert [given.watermark for _, given in told if given.watermark is not None][-1] == NOW + 5000
    assert run(L, pulses, range(120, 160)) == [(120, Given(watermark=NOW + 5000))]
