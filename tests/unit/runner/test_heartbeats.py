"""Law 6: what an idle partition's heartbeat is, by the other partitions of its models and by a clock."""

from __future__ import annotations

from monitor.events import TopicPartition
from monitor.runner.heartbeats import Pulse, heartbeat, is_worth_it

A, B, C = (TopicPartition("t", p) for p in range(3))
IDLE_S = 10.0


def pulse(natural: int | None, moved_at: float, *models: str) -> Pulse:
    return Pulse(frozenset(models or ("m",)), IDLE_S, 1000, moved_at, natural, natural)


def test_the_lowest_of_the_others_that_move() -> None:
    """So an empty partition never holds back the others, nor runs ahead of them."""
    pulses = {A: pulse(None, 0.0), B: pulse(70_000, 99.0), C: pulse(50_000, 95.0)}
    assert heartbeat(A, pulses, 100.0) == 50_000


def test_one_that_stands_still_too_does_not_count_while_another_moves() -> None:
    """The wall time is not asked as long as somebody tells event time."""
    pulses = {A: pulse(10_000, 0.0), B: pulse(20_000, 0.0), C: pulse(50_000, 95.0)}
    assert heartbeat(A, pulses, 100.0) == 50_000


def test_when_none_moves_its_own_and_the_wall_time_since() -> None:
    """Silence of all: time goes on by the clock."""
    pulses = {A: pulse(10_000, 40.0), B: pulse(20_000, 0.0)}
    assert heartbeat(A, pulses, 100.0) == 10_000 + 60_000


def test_one_that_never_had_a_record_takes_the_lowest_of_theirs() -> None:
    """Plus the wall time since theirs moved."""
    pulses = {A: pulse(None, 0.0), B: pulse(20_000, 30.0), C: pulse(100_000, 10.0)}
    assert heartbeat(A, pulses, 100.0) == 20_000 + 70_000


def test_partitions_of_other_models_tell_nothing() -> None:
    """Nor does a group in which nobody has had a record."""
    pulses = {A: pulse(None, 0.0, "m"), B: pulse(20_000, 99.0, "w"), C: pulse(None, 0.0, "m")}
    assert heartbeat(A, pulses, 100.0) is None
    shared = {A: pulse(None, 0.0, "m", "w"), B: pulse(20_000, 99.0, "w")}
    assert heartbeat(A, shared, 100.0) == 20_000


def test_a_heartbeat_counts_for_a_partition_that_moves_again() -> None:
    """Its watermark is what the ledger holds of it, however old the rows are that came since."""
    pulses = {A: pulse(None, 0.0), B: pulse(20_000, 99.0)}
    pulses[B].watermark = 30_000
    assert heartbeat(A, pulses, 100.0) == 30_000


def test_one_that_is_held_back_counts_as_moving() -> None:
    """It stands still since it is not read: the wall clock has nothing to say."""
    pulses = {A: pulse(10_000, 0.0), B: pulse(50_000, 0.0)}
    pulses[B].held = True
    assert heartbeat(A, pulses, 100.0) == 50_000


def test_idle_is_a_watermark_that_records_have_not_moved() -> None:
    """Late or rejected rows do not wake a partition, nor does a heartbeat."""
    one, other = pulse(None, 0.0), pulse(None, 0.0)
    one.see(5000, 5000, 50.0)
    one.see(5000, 9000, 58.0)
    other.see(None, 9000, 59.0)
    assert [p.idle(59.9) for p in (one, other)] == [False, True]
    assert one.idle(60.0)


def test_a_heartbeat_is_written_only_when_it_ends_a_pane() -> None:
    """Otherwise a quiet night would fill the ledger."""
    assert is_worth_it(2000, None, 1000)
    assert is_worth_it(2000, 1999, 1000)
    assert not is_worth_it(2999, 2000, 1000)
    assert not is_worth_it(1000, 2000, 1000)
