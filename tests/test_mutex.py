"""Locks of stores: many threads that change things, and one that wants to be alone."""

from __future__ import annotations

import threading

from store_contract import CountingLock, in_threads

from diskdict.mutex import Crowd, mutation_locks


def test_crowd_lets_many_in_together() -> None:
    """All are inside at the same time."""
    crowd = Crowd()
    inside = threading.Barrier(8, timeout=10)

    def enter(_: int) -> None:
        with crowd.together():
            inside.wait()

    in_threads(enter, 8)
    assert not inside.broken


def test_crowd_keeps_all_out_for_one() -> None:
    """What one does alone nobody is beside."""
    crowd = Crowd()
    value = [0]
    seen = []

    def work(number: int) -> None:
        for _ in range(50):
            if number % 4 == 0:
                with crowd.alone(), crowd.alone(), crowd.together():
                    value[0] += 1
                    value[0] += 1
            else:
                with crowd.together():
                    seen.append(value[0])

    in_threads(work)
    assert value == [200]
    assert not [number for number in seen if number % 2]


def test_who_waits_to_be_alone_comes_before_later_ones() -> None:
    """A crowd that never ends does not keep one out for ever."""
    crowd = Crowd()
    order: list[str] = []
    waits = threading.Event()

    def alone() -> None:
        waits.set()
        with crowd.alone():
            order.append("alone")

    def later() -> None:
        with crowd.together():
            order.append("later")

    one, other = threading.Thread(target=alone), threading.Thread(target=later)
    with crowd.together():
        one.start()
        waits.wait()
        while not crowd._waiting:
            pass
        other.start()
        assert not order
    one.join()
    other.join()

    assert order == ["alone", "later"]


def test_lock_that_was_given_is_held_either_way() -> None:
    """For one change as for several."""
    lock = CountingLock()
    changing, alone = mutation_locks(lock)
    with alone(), changing():
        assert lock.locked()
    with changing():
        assert lock.locked()

    assert (lock.taken, lock.locked()) == (2, False)
