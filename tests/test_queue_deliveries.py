"""At least once: what is given out until it is acknowledged, given back, or dead."""

from __future__ import annotations

import contextlib
import queue
import shutil
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from clocks import Clock
from queue_contract import PATIENCE, Background, Open, Queue, QueueFixtures

from diskdict import DurableLifoQueue, DurablePriorityQueue, DurableQueue


def values(deliveries: list[Any]) -> list[Any]:
    return [each.value for each in deliveries]


class DeliveryContract(QueueFixtures):
    """What holds with visibility, whatever the order."""

    @pytest.fixture
    def q(self, opened: Open) -> Queue:
        return opened(visibility=10)

    def test_delivery(self, q: Queue, clock: Clock) -> None:
        """A value, the id of its item, how often it was given, and when it was put."""
        q.put("a")
        put_at = clock.now
        clock.tick(3)

        delivery = q.get()
        assert (delivery.value, delivery.deliveries) == ("a", 1)
        assert type(delivery.id) is int
        assert delivery.put_time == pytest.approx(put_at, abs=1e-5)

    def test_ids_are_given_once(self, opened: Open) -> None:
        """No two items of a queue have the same, be there a close, a clear or a requeue between them."""
        seen: list[int] = []
        for turn in range(4):
            q = opened(visibility=10, max_deliveries=1)
            for value in range(3):
                q.put((value, turn))
            q.put_many([(3, turn), (4, turn)])
            got = q.get_many(4)
            seen += [each.id for each in got]
            for each in got[:2]:
                q.ack(each)
            q.nack(got[2])
            seen += [q.dead_letters.requeue(dead) for dead in [*q.dead_letters]]
            if turn % 2:
                q.clear()
            else:
                seen += [each.id for each in q.get_many(1)]
                q.clear()

        assert len(set(seen)) >= 4 * 5

    def test_ack_removes(self, q: Queue, opened: Open) -> None:
        """For good, and once."""
        q.put(1)
        delivery = q.get()
        assert (q.counts(), q.unfinished_tasks) == ((0, 0, 1, 0), 1)

        assert q.ack(delivery) is True
        assert q.ack(delivery) is False
        assert (q.counts(), q.unfinished_tasks) == ((0, 0, 0, 0), 0)
        assert opened(visibility=10).counts() == (0, 0, 0, 0)

    def test_ack_counts_as_done(self, q: Queue, background: Background) -> None:
        """Who waits in join goes on when the last is acknowledged."""
        q.put(1)
        delivery = q.get()
        waiting = background.waiting(q.join)
        q.ack(delivery)

        waiting.result(PATIENCE)

    def test_in_flight_is_not_given(self, q: Queue, clock: Clock) -> None:
        """Nobody else gets it, sees it or counts it as there until its visibility has passed."""
        q.put_many([1, 2])
        [first, second] = values([q.get(), q.get()])
        assert [first, second] == self.ordered([1, 2])
        with pytest.raises(queue.Empty):
            q.get_nowait()
        with pytest.raises(queue.Empty):
            q.peek()
        assert ([*q], q.qsize(), q.empty()) == ([], 0, True)
        clock.tick(9.9)
        assert q.qsize() == 0
        clock.tick(0.2)

        assert [*q] == self.ordered([1, 2])
        assert [(each.value, each.deliveries) for each in q.get_many(2)] == [(first, 2), (second, 2)]

    def test_in_flight_takes_no_room(self, opened: Open, clock: Clock) -> None:
        """maxsize goes by what waits; what comes back comes back beside it."""
        q = opened(1, visibility=10)
        q.put(1)
        delivery = q.get()
        assert not q.full()
        q.put_nowait(2)
        q.nack(delivery)

        assert q.qsize() == 2
        assert q.full()
        with pytest.raises(queue.Full):
            q.put_nowait(3)

    def test_nack_gives_back(self, q: Queue) -> None:
        """At once, to its place, counted."""
        q.put_many([2, 3, 1])
        order = self.ordered([2, 3, 1])
        first = q.get()
        q.get()
        assert q.nack(first) is True

        again = q.get()
        assert (again.value, again.id, again.deliveries) == (order[0], first.id, 2)
        assert values(q.get_many(5)) == [order[2]]

    def test_nack_with_delay(self, q: Queue, opened: Open, clock: Clock) -> None:
        """It can be had when that has passed, though the queue was opened anew meanwhile."""
        q.put_many([2, 1])
        order = self.ordered([2, 1])
        q.nack(q.get(), delay=20)
        q.nack(q.get(), delay=timedelta(seconds=30))
        assert q.counts() == (0, 2, 0, 0)
        q = opened(visibility=10)
        assert q.counts() == (0, 2, 0, 0)
        clock.tick(21)
        assert [*q] == order[:1]
        clock.tick(10)

        assert [*q] == order

    @pytest.mark.parametrize("delay", [-1, float("nan"), float("inf"), "1", True], ids=repr)
    def test_nack_with_a_senseless_delay(self, q: Queue, delay: Any) -> None:
        """It is named, and the item stays in flight."""
        q.put(1)
        delivery = q.get()
        with pytest.raises((TypeError, ValueError), match=r"delay|seconds"):
            q.nack(delivery, delay=delay)

        assert q.counts() == (0, 0, 1, 0)

    def test_nack_wakes(self, q: Queue, background: Background) -> None:
        """Who waits in get gets what is given back."""
        q.put("a")
        delivery = q.get()
        waiting = background.waiting(q.get, timeout=PATIENCE)
        q.nack(delivery)

        assert waiting.result(PATIENCE).deliveries == 2

    def test_passed_visibility_wakes(self, opened: Open, background: Background) -> None:
        """Who waits in get gets what was not acknowledged in time, though nobody does anything."""
        q = opened(visibility=0.1, clock=time.time)
        q.put("a")
        q.get()
        waiting = background(q.get, timeout=PATIENCE)

        assert waiting.result(PATIENCE).deliveries == 2

    def test_extend(self, q: Queue, clock: Clock) -> None:
        """Its visibility begins anew, as long as it was or as long as is said."""
        q.put(1)
        delivery = q.get()
        clock.tick(9)
        assert q.extend(delivery) is True
        clock.tick(9)
        assert q.extend(delivery, 100) is True
        clock.tick(99)
        assert q.counts() == (0, 0, 1, 0)
        clock.tick(2)

        assert q.counts() == (1, 0, 0, 0)

    def test_extend_to_less(self, q: Queue, clock: Clock) -> None:
        """A shorter one counts, too."""
        q.put(1)
        q.extend(q.get(), 2)
        clock.tick(3)

        assert q.qsize() == 1

    @pytest.mark.parametrize("visibility", [-1, float("nan"), float("inf"), "1", True], ids=repr)
    def test_extend_to_nonsense(self, q: Queue, clock: Clock, visibility: Any) -> None:
        """It is named, and nothing changes."""
        q.put(1)
        delivery = q.get()
        with pytest.raises((TypeError, ValueError), match=r"visibility|seconds"):
            q.extend(delivery, visibility)
        clock.tick(11)

        assert q.qsize() == 1

    def test_late_holder(self, q: Queue, clock: Clock) -> None:
        """Until somebody else has got it, a late delivery is as good as one in time."""
        for late in (lambda held: q.ack(held), lambda held: q.nack(held), lambda held: q.extend(held)):
            q.put(1)
            held = q.get()
            clock.tick(11)
            assert q.qsize() == 1
            assert late(held) is True
            q.clear()

    def test_late_ack_removes(self, q: Queue, clock: Clock) -> None:
        """It is not given again."""
        q.put(1)
        held = q.get()
        clock.tick(11)
        assert q.qsize() == 1
        assert q.ack(held)

        assert (q.counts(), q.unfinished_tasks) == ((0, 0, 0, 0), 0)

    def test_extended_after_it_has_passed(self, q: Queue, clock: Clock) -> None:
        """It is in flight again."""
        q.put(1)
        held = q.get()
        clock.tick(11)
        assert q.qsize() == 1
        assert q.extend(held)
        assert q.counts() == (0, 0, 1, 0)
        clock.tick(11)

        assert q.counts() == (1, 0, 0, 0)

    def test_former_holder(self, q: Queue, clock: Clock) -> None:
        """When somebody else has got it, the former holder's word does not count."""
        q.put(1)
        former = q.get()
        clock.tick(11)
        holder = q.get()
        assert [q.ack(former), q.nack(former), q.extend(former)] == [False] * 3
        assert q.counts() == (0, 0, 1, 0)

        assert q.ack(holder)
        assert [q.nack(former), q.nack(holder), q.extend(holder)] == [False] * 3

    def test_reopening_gives_back(self, q: Queue, opened: Open) -> None:
        """What was in flight is there at once, at its place, and it is known how often it was given."""
        q.put_many([2, 3, 1])
        order = self.ordered([2, 3, 1])
        q.get_many(2)
        q = opened(visibility=10)

        assert (q.counts(), q.unfinished_tasks) == ((3, 0, 0, 0), 3)
        assert values(got := q.get_many(5)) == order
        assert [each.deliveries for each in got] == [2, 2, 1]

    def test_killed_process_gives_back(self, q: Queue, folder: Path, clock: Clock) -> None:
        """So is what a process had that was killed."""
        q.put_many([2, 3, 1])
        q.ack(q.get())
        q.get()
        copy = shutil.copytree(folder, folder.with_name("copy"))  # as the kernel has it when the process is no more

        with self.queue_class(copy, visibility=10, clock=clock) as other:
            got = other.get_many(5)
            assert [(each.value, each.deliveries) for each in got] == [
                (self.ordered([2, 3, 1])[1], 2),
                (self.ordered([2, 3, 1])[2], 1),
            ]

    def test_opened_without_visibility(self, q: Queue, opened: Open) -> None:
        """What was in flight can be had; there are bare values and nothing to acknowledge."""
        q.put_many([1, 2])
        delivery = q.get()
        q = opened()

        for call in (lambda: q.ack(delivery), lambda: q.nack(delivery), lambda: q.extend(delivery), q.processing):
            with pytest.raises(ValueError, match="visibility"):
                entered = call()
                entered.__enter__()
        assert q.get_many(5) == self.ordered([1, 2])

    def test_get_many(self, q: Queue, clock: Clock) -> None:
        """A list of deliveries, each with its own fate."""
        q.put_many([2, 3, 1])
        first, second, third = q.get_many(3)
        q.ack(second)
        q.nack(first)

        assert q.counts() == (1, 0, 1, 0)
        clock.tick(11)
        assert [*q] == values([first, third])

    def test_peek_and_iteration_give_values(self, q: Queue) -> None:
        """And do not count as deliveries."""
        q.put(1)

        assert (q.peek(), [*q]) == (1, [1])
        assert q.get().deliveries == 1

    def test_processing(self, q: Queue) -> None:
        """Acknowledged at the end of the block."""
        q.put("a")
        with q.processing() as delivery:
            assert (delivery.value, q.counts().in_flight) == ("a", 1)

        assert q.counts() == (0, 0, 0, 0)
        with pytest.raises(queue.Empty), q.processing(block=False):
            pass
        with pytest.raises(queue.Empty), q.processing(timeout=0.01):
            pass

    @pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, GeneratorExit])
    def test_processing_that_fails(self, q: Queue, error: type[BaseException]) -> None:
        """The item is given back at once, and the error comes through."""
        q.put("a")
        with pytest.raises(error), q.processing():
            raise error

        assert q.get().deliveries == 2

    def test_processing_that_takes_too_long(self, q: Queue, clock: Clock) -> None:
        """What somebody else has got meanwhile is theirs."""
        q.put("a")
        with q.processing():
            clock.tick(11)
            other = q.get()

        assert q.ack(other)

    def test_shutdown(self, q: Queue) -> None:
        """What is in flight can still be acknowledged and given back, and had then."""
        q.put_many([1, 2])
        first, second = q.get_many(2)
        q.shutdown()
        assert q.ack(first)
        assert q.nack(second)

        assert q.ack(q.get())
        q.join()

    def test_shutdown_at_once(self, q: Queue, opened: Open) -> None:
        """What is in flight can still be acknowledged; nothing can be had; all else is kept."""
        q.put_many([1, 2, 3])
        first, second = q.get_many(2)
        q.shutdown(immediate=True)
        assert q.ack(first)
        assert q.nack(second)
        assert q.qsize() == 0

        assert sorted(values(opened(visibility=10).get_many(5))) == sorted([second.value, self.ordered([1, 2, 3])[2]])

    def test_clear_takes_what_is_in_flight(self, q: Queue, opened: Open) -> None:
        """Its holder is told, it is not given again, and nobody waits for it."""
        q.put_many([1, 2])
        delivery = q.get()
        assert q.clear() == 2

        assert [q.ack(delivery), q.nack(delivery), q.extend(delivery)] == [False] * 3
        q.join()
        assert opened(visibility=10).counts() == (0, 0, 0, 0)

    def test_dedupe_key_of_what_is_in_flight(self, q: Queue, clock: Clock) -> None:
        """It counts until the item is acknowledged, given back or not."""
        q.put("a", dedupe_key="k")
        delivery = q.get()
        q.put("b", dedupe_key="k")
        q.nack(delivery)
        q.put("c", dedupe_key="k")
        assert [*q] == ["a"]
        q.ack(q.get())
        q.put("d", dedupe_key="k")

        assert [*q] == ["d"]

    def test_semaphore(self, opened: Open, clock: Clock) -> None:
        """What is given back can be had again, and is counted again."""
        import threading

        semaphore = threading.Semaphore(0)
        q = opened(visibility=10, semaphore=semaphore)
        q.put_many([1, 2, 3])
        first, *_ = q.get_many(2)
        assert semaphore._value == 1
        q.nack(first)
        assert semaphore._value == 2
        clock.tick(11)
        q.qsize()

        assert semaphore._value == 3

    # ---- dead letters

    def test_no_limit_by_default(self, q: Queue) -> None:
        """Given as often as it is given back."""
        q.put(1)
        for count in range(1, 30):
            delivery = q.get()
            assert delivery.deliveries == count
            q.nack(delivery)

    @pytest.mark.parametrize("how", ["nack", "passed", "reopened", "raised"])
    def test_dead_after_max_deliveries(self, opened: Open, clock: Clock, how: str) -> None:
        """Given back for the last time, in whatever way, it is a dead letter, counts as done, and frees its key."""
        options = {"visibility": 10, "max_deliveries": 2}
        q = opened(**options)
        q.put(["poison"], dedupe_key="k")
        put_at = clock.now
        for _ in range(2):
            clock.tick(5)
            if how == "raised":
                with pytest.raises(ZeroDivisionError), q.processing():
                    raise ZeroDivisionError
                continue
            delivery = q.get(False)
            if how == "nack":
                assert q.nack(delivery, delay=0)
            elif how == "passed":
                clock.tick(11)
                q.counts()
            else:
                q = opened(**options)

        assert (q.counts(), q.unfinished_tasks) == ((0, 0, 0, 1), 0)
        q.join()
        [letter] = q.dead_letters.values()
        assert (letter.value(), letter.deliveries) == (["poison"], 2)
        assert letter.put_time == pytest.approx(put_at, abs=1e-5)
        assert letter.died == pytest.approx(clock.now, abs=1e-5)
        assert letter.payload == b'["poison"]'
        assert "2" in letter.reason
        q.put("next", dedupe_key="k")
        assert q.qsize() == 1

    def test_acknowledged_at_the_last_delivery(self, opened: Open) -> None:
        """It is done, not dead."""
        q = opened(visibility=10, max_deliveries=1)
        q.put(1)
        assert q.ack(q.get())

        assert opened(visibility=10, max_deliveries=1).counts() == (0, 0, 0, 0)

    def test_fewer_deliveries_than_there_were(self, opened: Open) -> None:
        """A limit that is set later counts what was before, when the item is given back again."""
        q = opened(visibility=10)
        q.put(1)
        for _ in range(3):
            q.nack(q.get())
        q = opened(visibility=10, max_deliveries=2)
        with contextlib.suppress(queue.Empty):
            q.nack(q.get(block=False))

        assert q.counts() == (0, 0, 0, 1)

    def bury(self, q: Queue, *letters: Any) -> list[int]:
        """Have items die, one after the other; return their ids."""
        ids = []
        for value in letters:
            q.put(value)
            delivery = q.get()
            ids.append(delivery.id)
            assert q.nack(delivery)
        return ids

    @pytest.fixture
    def mortal(self, opened: Open) -> Queue:
        return opened(visibility=10, max_deliveries=1)

    def test_dead_letters_are_a_mapping(self, mortal: Queue) -> None:
        """From id to letter: in, len, iteration, items, get, KeyError."""
        ids = self.bury(mortal, "a", "b")
        letters = mortal.dead_letters

        assert ([*letters], len(letters), bool(letters)) == (ids, 2, True)
        assert ids[0] in letters
        assert 123_456_789 not in letters
        assert "x" not in letters
        assert [letters[number].value() for number in ids] == ["a", "b"]
        assert [each.id for each in letters.values()] == ids
        assert [number for number, _ in letters.items()] == ids
        assert letters.get(123_456_789) is None
        with pytest.raises(KeyError):
            letters[123_456_789]

    def test_dead_letters_stay(self, mortal: Queue, opened: Open) -> None:
        """Across opening, clear, and without visibility."""
        [dead] = self.bury(mortal, "a")
        before = mortal.dead_letters[dead]
        mortal.put("b")
        mortal.clear()
        q = opened()

        assert q.counts() == (0, 0, 0, 1)
        assert tuple(q.dead_letters[dead])[1:] == tuple(before)[1:]
        assert q.dead_letters[dead].value() == "a"

    def test_requeue(self, mortal: Queue, opened: Open) -> None:
        """Put anew, behind what is there, with no deliveries, by a new id, and no letter any longer."""
        [dead] = self.bury(mortal, 2)
        mortal.put_many([2, 1])
        new = mortal.dead_letters.requeue(dead)

        assert new != dead
        assert (mortal.counts(), mortal.unfinished_tasks) == ((3, 0, 0, 0), 3)
        q = opened(visibility=10, max_deliveries=1)
        got = q.get_many(5)
        assert values(got) == self.ordered([2, 1, 2])
        assert [each.deliveries for each in got] == [1, 1, 1]
        assert new in [each.id for each in got]
        assert len(q.dead_letters) == 0

    def test_requeue_wakes(self, mortal: Queue, background: Background) -> None:
        """Who waits in get gets it."""
        [dead] = self.bury(mortal, "a")
        waiting = background.waiting(mortal.get, timeout=PATIENCE)
        mortal.dead_letters.requeue(dead)

        assert waiting.result(PATIENCE).value == "a"

    def test_requeue_all(self, mortal: Queue) -> None:
        """All of them; how many is told."""
        self.bury(mortal, 1, 3, 2)

        assert mortal.dead_letters.requeue_all() == 3
        assert mortal.dead_letters.requeue_all() == 0
        assert values(mortal.get_many(5)) == self.ordered([1, 3, 2])

    def test_requeue_of_none(self, mortal: Queue) -> None:
        """KeyError."""
        with pytest.raises(KeyError):
            mortal.dead_letters.requeue(5)

    def test_removing_letters(self, mortal: Queue, opened: Open) -> None:
        """One by del, all by clear; the queue is as it was."""
        first, *_ = self.bury(mortal, "a", "b", "c")
        mortal.put("d")
        del mortal.dead_letters[first]
        with pytest.raises(KeyError):
            del mortal.dead_letters[first]
        assert mortal.counts() == (1, 0, 0, 2)
        assert mortal.dead_letters.clear() == 2
        assert mortal.dead_letters.clear() == 0

        assert opened().counts() == (1, 0, 0, 0)

    def test_dies_again(self, mortal: Queue) -> None:
        """A letter that was put anew may die anew."""
        [dead] = self.bury(mortal, "a")
        mortal.dead_letters.requeue(dead)
        delivery = mortal.get()
        mortal.nack(delivery)

        assert [*mortal.dead_letters] == [delivery.id]

    def test_large_letters(self, mortal: Queue, opened: Open) -> None:
        """A letter may be as long as an item."""
        [dead] = self.bury(mortal, "x" * 2_000_000)
        q = opened(visibility=10)
        q.dead_letters.requeue(dead)

        assert q.get().value == "x" * 2_000_000


class TestDeliveries(DeliveryContract):
    """First in, first out."""


class TestLifoDeliveries(DeliveryContract):
    """Last in, first out."""

    queue_class = DurableLifoQueue
    reference = queue.LifoQueue


class TestPriorityDeliveries(DeliveryContract):
    """The smallest first."""

    queue_class = DurablePriorityQueue
    reference = queue.PriorityQueue


def test_visibility_as_a_timedelta_or_number(folder: Path, clock: Clock) -> None:
    """Seconds, whole or not."""
    for visibility in (10, 10.0):
        with DurableQueue(folder, visibility=visibility, clock=clock) as q:
            q.put(1)
            q.get()
            clock.tick(10.5)
            assert q.qsize() == 1
            q.clear()


def test_a_clock_that_goes_back(folder: Path, clock: Clock) -> None:
    """Nothing is lost or given twice; what was to come comes when the clock is there again."""
    with DurableQueue(folder, visibility=10, clock=clock) as q:
        q.put_many([1, 2])
        q.put(3, delay=5)
        held = q.get()
        clock.tick(-1_000)
        assert [*q] == [2]
        assert q.ack(held)
        assert q.ack(q.get())
        clock.tick(1_006)
        assert q.get().value == 3
