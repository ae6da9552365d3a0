"""Ledger partitions are restored one after the other, and none waits for one that brings nothing."""

from __future__ import annotations

from monitor.events import TopicPartition
from monitor.runner.restore_order import RestoreOrder

A, B, C = (TopicPartition("ledger", p) for p in range(3))


def test_one_is_restored_and_the_others_wait_until_it_is() -> None:
    order = RestoreOrder()
    assert order.waiting({A: 5, B: 5, C: 5}) == {B, C}
    assert order.waiting({A: 9, B: 5, C: 5}) == {B, C}
    assert order.waiting({B: 5, C: 5}) == {C}, "the first one is restored, so that the next one goes on"
    assert order.waiting({C: 5}) == frozenset()
    assert order.waiting({}) == frozenset()


def test_one_that_brings_nothing_gives_way_and_has_its_turn_again() -> None:
    order = RestoreOrder()
    assert order.waiting({A: 5, B: 5}) == {B}
    assert order.waiting({A: 5, B: 5}) == {A}, "a turn brought nothing of the first"
    assert order.waiting({A: 5, B: 5}) == {B}
    assert order.waiting({A: 6, B: 5}) == {B}


def test_one_alone_never_waits() -> None:
    order = RestoreOrder()
    for _ in range(3):
        assert order.waiting({B: 5}) == frozenset()


def test_partitions_that_come_in_the_middle_wait_and_all_are_restored_in_the_end() -> None:
    order = RestoreOrder()
    left, turns = {B: 3, C: 3}, 0
    while left:
        turns += 1
        if turns == 2:
            left[A] = 3
        waiting = order.waiting(left)
        left = {tp: steps if tp in waiting else steps - 1 for tp, steps in left.items()}
        left = {tp: steps for tp, steps in left.items() if steps}
    assert turns == 9, "each turn brings one of them on"
