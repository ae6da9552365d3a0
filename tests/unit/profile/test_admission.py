"""Law 7: no row from the future closes windows, and the answer depends on the log alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.events import Int64s
from monitor.profile.admission import JURY, Admission, Flush, admit, by_stamp

SKEW = 100


def admit_plain(time: Int64s, reach: int | None, skew: int, flush: Flush | None = None) -> Admission:
    """Rows of which the broker has stamped none."""
    return admit(time, np.zeros(len(time), dtype=np.bool_), reach, skew, flush)


def all_at_once(times: list[int]) -> list[bool]:
    accepted: list[bool] = admit_plain(np.array(times, dtype=np.int64), None, SKEW, Flush(None)).accepted.tolist()
    return accepted


@given(st.lists(st.integers(0, 3000) | st.integers(10**6, 10**6 + 3000), min_size=1, max_size=200), st.data())
def test_any_cut_of_the_log_gives_the_same_answer(times: list[int], data: st.DataObject) -> None:
    """Rows fed in pieces, with those that wait put before the next piece, are decided as if fed at once."""
    decided: list[bool] = []
    waiting: list[int] = []
    reach = None
    at = 0
    while at < len(times):
        size = data.draw(st.integers(1, 50))
        waiting += times[at : at + size]
        at += size
        admission = admit_plain(np.array(waiting, dtype=np.int64), reach, SKEW)
        decided += admission.accepted.tolist()
        waiting = waiting[len(admission.accepted) :]
        reach = admission.reach
    decided += admit_plain(np.array(waiting, dtype=np.int64), reach, SKEW, Flush(None)).accepted.tolist()
    assert decided == all_at_once(times)


def test_one_row_a_year_ahead_is_rejected_even_as_the_very_first() -> None:
    """The median of the first 32 rows is where the partition starts."""
    rows = [i * 10 for i in range(100)]
    year = 365 * 86_400_000
    for place in (0, 1, 31, 50):
        times = [*rows[:place], year, *rows[place:]]
        answer = all_at_once(times)
        assert answer.count(False) == 1
        assert not answer[place]


def test_a_jump_that_goes_on_is_accepted() -> None:
    """Where most of the next 32 rows are as far ahead, time has really moved."""
    times = list(range(64)) + [10_000 + i for i in range(64)]
    assert all(all_at_once(times))


def test_a_row_ahead_waits_for_its_jury() -> None:
    """Nothing is decided on a row ahead, nor on those behind it, before 32 more have come."""
    times = [*range(40), 10_000, *range(40, 40 + JURY - 1)]
    assert len(admit_plain(np.array(times), None, SKEW).accepted) == 40
    assert len(admit_plain(np.array([*times, 99]), None, SKEW).accepted) == len(times) + 1


def test_a_heartbeat_vouches_for_a_row_that_is_no_later_than_itself() -> None:
    """A sparse stream's next row is accepted when the wall clock makes it plausible, and waits on otherwise."""
    row = np.array([10_000], dtype=np.int64)
    assert admit_plain(row, 0, SKEW, Flush(10_000)).accepted.tolist() == [True]
    assert admit_plain(row, 0, SKEW, Flush(9_999)).accepted.tolist() == []
    assert admit_plain(row, 0, SKEW).accepted.tolist() == []


@pytest.mark.parametrize("reach", [0, None])
def test_few_rows_from_the_future_are_no_jury_for_each_other(reach: int | None) -> None:
    """They wait while only a heartbeat asks, also as the very first; what most of the rows behind contradict is out."""
    ahead = np.array([10_000_000] * 3, dtype=np.int64)
    assert admit_plain(ahead, reach, SKEW, Flush(100)).accepted.tolist() == []
    more = np.concatenate([ahead, np.arange(4, dtype=np.int64)])
    assert admit_plain(more, reach, SKEW, Flush(100)).accepted.tolist() == [False] * 3 + [True] * 4
    assert admit_plain(np.repeat(ahead, JURY), reach, SKEW, Flush(100)).accepted.tolist()[0]


@given(
    st.lists(st.tuples(st.integers(0, 3000) | st.integers(10**6, 10**6 + 3000), st.booleans()), min_size=1), st.data()
)
def test_any_cut_of_a_log_of_both_kinds_gives_the_same_answer(log: list[tuple[int, bool]], data: st.DataObject) -> None:
    """Rows that a stamp vouches for stand among the others; all of the former are accepted."""
    times, kinds = np.array([t for t, _ in log], dtype=np.int64), np.array([v for _, v in log])
    whole = admit(times, kinds, None, SKEW, Flush(None))
    assert whole.accepted[kinds].all()
    decided: list[bool] = []
    reach, at = None, 0
    while at < len(log):
        at = min(len(log), at + data.draw(st.integers(1, 50)))
        waiting = slice(len(decided), at)
        admission = admit(times[waiting], kinds[waiting], reach, SKEW, Flush(None) if at == len(log) else None)
        decided += admission.accepted.tolist()
        reach = admission.reach
    assert (decided, reach) == (whole.accepted.tolist(), whole.reach)


def test_a_row_that_is_vouched_for_starts_the_partition_and_never_waits() -> None:
    """Nothing before it waits; an unstamped row behind it is measured by it."""
    times, kinds = np.array([5000, 5050, 90_000, 5060]), np.array([True, False, True, True])
    assert admit(times, kinds, None, SKEW).accepted.tolist() == [True] * 4
    assert admit(times, ~kinds, 0, SKEW).accepted.tolist() == []


def test_under_log_append_time_the_stamp_decides_at_once() -> None:
    """A row may run ahead of the broker's stamp by the skew, not by more."""
    assert by_stamp(np.array([100, 200, 201]), np.array([100, 100, 100]), SKEW).tolist() == [True, True, False]


def row_by_row(times: list[int]) -> list[bool]:
    """The rule of the module's docstring, one row after the other, over a log that ends with its last row."""
    reach = sorted(times[:JURY])[(min(len(times), JURY) - 1) // 2]
    accepted = []
    for i, time in enumerate(times):
        jury = times[i + 1 : i + 1 + JURY]
        agree = sum(other >= time - SKEW for other in jury)
        accepted.append(time <= reach + SKEW or not jury or 2 * agree > len(jury))
        reach = max(reach, time) if accepted[-1] else reach
    return accepted


@given(st.lists(st.integers(0, 300) | st.integers(10**4, 10**4 + 300) | st.integers(10**6, 10**9), min_size=1))
def test_rows_ahead_are_decided_by_the_rule(times: list[int]) -> None:
    """However many rows of a batch are ahead, each is decided by its own jury."""
    assert all_at_once(times) == row_by_row(times)


def test_every_other_row_of_a_large_batch_may_be_ahead() -> None:
    """Admission is linear: with a look at all that follows for each row ahead this would take hours."""
    times = np.arange(400_000, dtype=np.int64)
    times[::2] += 10**9 + 1000 * times[::2]
    assert int(admit_plain(times, 0, SKEW, Flush(None)).accepted.sum()) == 200_000
