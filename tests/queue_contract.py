"""What every durable queue does: `QueueContract`, to be run over each class.

A test class says which class and which of the library's it stands for; `ordered` gives the order in which it gives.
"""

from __future__ import annotations

import multiprocessing
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from clocks import Clock
from store_contract import CountingLock

import diskdict
from diskdict import DurableQueue
from diskdict.errors import ClosedError, InvalidValueError

Queue = DurableQueue[Any, Any]
Open = Callable[..., Queue]
ShutDown: type[Exception] = queue.ShutDown if hasattr(queue, "ShutDown") else diskdict.ShutDown
PATIENCE = 20
"""Seconds after which something that should have happened never will."""


class Background:
    """Runs calls in threads that are ended with it."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(8)

    def __call__(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> Future[Any]:
        """Begin a call."""
        return self._pool.submit(call, *arguments, **options)

    def waiting(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> Future[Any]:
        """Begin a call that has to wait for something."""
        future = self(call, *arguments, **options)
        with pytest.raises(TimeoutError):
            future.result(timeout=0.03)
        return future

    def close(self) -> None:
        """Wait for all of them."""
        self._pool.shutdown()


class QueueFixtures:
    """How the queues of a test are made."""

    queue_class: ClassVar[type[DurableQueue[Any, Any]]] = DurableQueue
    reference: ClassVar[type[queue.Queue[Any]]] = queue.Queue

    @pytest.fixture
    def opened(self, folder: Path, clock: Clock, background: Background) -> Iterator[Open]:
        """Open the folder on the test's clock, after closing what was opened before.

        Closed before the threads in the background are waited for: whoever waits in a queue goes on then.
        """
        made: list[Queue] = []

        def open_it(*arguments: Any, **options: Any) -> Queue:
            for each in made:
                each.close()
            made.append(self.queue_class(folder, *arguments, **{"clock": clock} | options))
            return made[-1]

        yield open_it
        for each in made:
            each.close()

    @pytest.fixture
    def q(self, opened: Open) -> Queue:
        return opened()

    @pytest.fixture
    def background(self) -> Iterator[Background]:
        background = Background()
        yield background
        background.close()

    def ordered(self, values: list[Any]) -> list[Any]:
        """Return the order in which they are given when they were put in this one."""
        q = self.reference()
        for value in values:
            q.put(value)
        return [q.get() for _ in values]


def drained(q: Queue) -> list[Any]:
    """Take all that can be had."""
    return q.get_many(1_000_000, block=False) if q.qsize() else []


class QueueContract(QueueFixtures):
    """Everything that queue.Queue has, and what these have beyond it."""

    # ---- as queue.Queue

    def test_is_one(self, q: Queue) -> None:
        """Code that asks gets the right answer; the attributes of the library's are there."""
        assert isinstance(q, queue.Queue)
        assert (q.maxsize, q.unfinished_tasks, q.is_shutdown) == (0, 0, False)
        with q.mutex:
            pass

    def test_gives_in_order(self, q: Queue) -> None:
        """What was put comes as the library's queue gives it."""
        for value in (2, 3, 1):
            q.put(value)

        assert [q.get(), q.get(), q.get()] == self.ordered([2, 3, 1])

    def test_order_across_opening(self, opened: Open) -> None:
        """Old and new items form one row."""
        q = opened()
        q.put_many([5, 2])
        q = opened()
        q.put_many([4, 1])
        q = opened()

        assert drained(q) == self.ordered([5, 2, 4, 1])

    @pytest.mark.parametrize(
        "value",
        [
            None,
            "",
            "text",
            b"",
            b"\x00\n\xff",
            "\n+ 0\n",
            1.5,
            True,
            (1, ("a", b"b")),
            {"a": [1, None]},
            [{}],
            {1, 2},
            datetime(2026, 1, 2, tzinfo=UTC),
        ],
        ids=repr,
    )
    def test_values_come_back_as_they_were(self, opened: Open, value: Any) -> None:
        """Equal and of the same type, now and by another handle."""
        opened().put(value)

        assert opened().peek() == value
        got = opened().get()
        assert (type(got), got) == (type(value), value)

    def test_gives_another_object(self, q: Queue) -> None:
        """What is done later to what was put is not done to what is in the queue."""
        value = [1]
        q.put(value)
        value.append(2)

        assert q.peek() == [1]
        assert q.get() == [1]

    def test_large_values(self, opened: Open) -> None:
        """One that is longer than a file of items comes back among short ones."""
        values = ["a", "b" * 3_000_000, "c"]
        opened().put_many(values)

        assert drained(opened()) == self.ordered(values)

    def test_many_items(self, opened: Open) -> None:
        """Through several files, and reopened in the middle."""
        values = [f"{number:05} " + "x" * 400 for number in range(6_000)]
        q = opened()
        for value in values[:3_000]:
            q.put(value)
        q.put_many(values[3_000:])
        order = self.ordered(values)

        assert [q.get() for _ in range(3_500)] == order[:3_500]
        q = opened()
        assert [*q] == order[3_500:]
        assert drained(q) == order[3_500:]

    def test_nowait(self, opened: Open) -> None:
        """Nobody waits: Full and Empty at once, in each way to say so."""
        q = opened(2)
        q.put_nowait(1)
        q.put(2, False)
        for put in (lambda: q.put_nowait(3), lambda: q.put(3, block=False), lambda: q.put(3, timeout=0)):
            with pytest.raises(queue.Full):
                put()
        assert sorted([q.get_nowait(), q.get(False)]) == [1, 2]

        for get in (q.get_nowait, lambda: q.get(block=False), lambda: q.get(timeout=0)):
            with pytest.raises(queue.Empty):
                get()

    def test_timeouts(self, opened: Open) -> None:
        """Full and Empty when the seconds are over."""
        q = opened(1)
        with pytest.raises(queue.Empty):
            q.get(timeout=0.01)
        q.put(1)

        with pytest.raises(queue.Full):
            q.put(2, timeout=0.01)
        with pytest.raises(queue.Full):
            q.put_many([2], timeout=0.01)
        assert drained(q) == [1]

    def test_negative_timeouts(self, opened: Open) -> None:
        """ValueError, as in the library, and nothing is done."""
        q = opened(5)
        q.put(1)
        for call in (
            lambda: q.put(2, timeout=-1),
            lambda: q.get(timeout=-1),
            lambda: q.put_many([2], timeout=-1),
            lambda: q.get_many(1, timeout=-1),
        ):
            with pytest.raises(ValueError, match="timeout"):
                call()
        assert drained(q) == [1]

    def test_get_waits_for_put(self, q: Queue, background: Background) -> None:
        """Who waits gets what is put."""
        waiting = background.waiting(q.get)
        q.put("a")

        assert waiting.result(PATIENCE) == "a"
        waiting = background.waiting(q.get_many, 5, timeout=PATIENCE)
        q.put("b")
        assert waiting.result(PATIENCE) == ["b"]

    def test_put_waits_for_room(self, opened: Open, background: Background) -> None:
        """Who waits puts when something is taken."""
        q = opened(1)
        q.put("a")
        waiting = background.waiting(q.put, "b")
        assert q.get() == "a"

        waiting.result(PATIENCE)
        assert q.get() == "b"

    def test_put_many_waits_for_room_for_all(self, opened: Open, background: Background) -> None:
        """None of them is there before all fit."""
        q = opened(3)
        q.put_many([1, 2])
        waiting = background.waiting(q.put_many, [3, 4])
        assert q.qsize() == 2
        q.get()

        waiting.result(PATIENCE)
        assert q.qsize() == 3

    def test_sizes(self, opened: Open) -> None:
        """qsize, empty and full tell what is there."""
        q = opened(2)
        assert (q.qsize(), q.empty(), q.full()) == (0, True, False)
        q.put(1)
        assert (q.qsize(), q.empty(), q.full()) == (1, False, False)
        q.put(2)

        assert (q.qsize(), q.empty(), q.full()) == (2, False, True)

    @pytest.mark.parametrize("maxsize", [0, -1])
    def test_without_end(self, opened: Open, maxsize: int) -> None:
        """maxsize of 0 or less sets none."""
        q = opened(maxsize)
        q.put_many(range(100))

        assert not q.full()
        q.put_nowait(100)

    def test_maxsize_changes(self, opened: Open) -> None:
        """It may be set while the queue is used, and a full folder may be opened with a smaller one."""
        q = opened(3)
        q.put_many([1, 2, 3])
        q.maxsize = 4
        q.put_nowait(4)
        q = opened(2)
        assert q.full()
        with pytest.raises(queue.Full):
            q.put_nowait(5)

        assert sorted(drained(q)) == [1, 2, 3, 4]

    def test_join(self, q: Queue, background: Background) -> None:
        """It returns when everything that was put was said to be done."""
        q.join()
        q.put_many([1, 2])
        q.get_many(2)
        q.task_done()
        waiting = background.waiting(q.join)
        q.task_done()

        waiting.result(PATIENCE)

    def test_task_done_too_often(self, q: Queue) -> None:
        """ValueError, as in the library."""
        q.put(1)
        q.task_done()
        with pytest.raises(ValueError, match="task_done"):
            q.task_done()

        assert q.get() == 1

    def test_unfinished_tasks_of_another_handle(self, opened: Open) -> None:
        """A handle begins with the items that are there, whatever others have done."""
        q = opened()
        q.put_many([1, 2, 3])
        q.put(4, delay=5)
        q.get()
        q = opened()
        assert q.unfinished_tasks == 3
        for _ in range(3):
            q.task_done()

        q.join()

    # ---- shutdown

    def test_shutdown(self, opened: Open) -> None:
        """Nothing is put any longer; what is there can be had, then there is no more."""
        q = opened(1)
        q.put(1)
        q.shutdown()

        assert q.is_shutdown
        for put in (lambda: q.put(2), lambda: q.put_nowait(2), lambda: q.put_many([2])):
            with pytest.raises(ShutDown):
                put()
        assert q.get() == 1
        q.task_done()
        q.join()
        for get in (q.get, q.get_nowait, lambda: q.get(timeout=1), lambda: q.get_many(2)):
            with pytest.raises(ShutDown):
                get()

    def test_shutdown_at_once(self, opened: Open) -> None:
        """Nobody gets anything any longer, nobody waits for it to be done, and everything is kept."""
        q = opened(2)
        q.put_many([1, 2])
        q.shutdown(immediate=True)

        assert (q.qsize(), q.empty(), q.unfinished_tasks) == (0, True, 0)
        for call in (q.get, q.get_nowait, lambda: q.get_many(2), lambda: q.put(3)):
            with pytest.raises(ShutDown):
                call()
        with pytest.raises(ValueError, match="task_done"):
            q.task_done()
        q.join()
        assert drained(opened()) == self.ordered([1, 2])

    def test_shutdown_twice(self, opened: Open) -> None:
        """From alive by way of shut down to empty, and it stays so."""
        q = opened()
        q.put(1)
        q.shutdown()
        q.shutdown(immediate=True)
        q.shutdown()
        with pytest.raises(ShutDown):
            q.get()

        assert opened().get() == 1

    @pytest.mark.parametrize("immediate", [False, True])
    def test_shutdown_wakes_all(self, opened: Open, background: Background, immediate: bool) -> None:
        """Whoever waits in get or put is told."""
        q = opened(1)
        getting = [background.waiting(q.get), background.waiting(q.get_many, 2)]
        q.shutdown(immediate)
        for each in getting:
            with pytest.raises(ShutDown):
                each.result(PATIENCE)
        q = opened(1)
        q.put(1)
        putting = [background.waiting(q.put, 2), background.waiting(q.put_many, [3])]
        q.shutdown(immediate)
        for each in putting:
            with pytest.raises(ShutDown):
                each.result(PATIENCE)

        assert drained(opened()) == [1]

    def test_shutdown_at_once_ends_join(self, q: Queue, background: Background) -> None:
        """What nobody can get any more is not waited for; what somebody has got is."""
        q.put_many([1, 2, 3])
        q.get()
        waiting = background.waiting(q.join)
        q.shutdown(immediate=True)
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.03)
        q.task_done()

        waiting.result(PATIENCE)

    # ---- what cannot be written

    @pytest.mark.parametrize("value", [object(), float, [{1: object()}]], ids=["object", "type", "within"])
    def test_refused_values(self, opened: Open, value: Any) -> None:
        """What the codec cannot write raises, alone and among others, and nothing happens."""
        q = opened()
        q.put("a")
        for put in (lambda: q.put(value), lambda: q.put_many(["b", value, "c"])):
            with pytest.raises(InvalidValueError):
                put()

        assert (q.qsize(), q.unfinished_tasks) == (1, 1)
        assert drained(opened()) == ["a"]

    def test_failing_iterable(self, q: Queue) -> None:
        """What an iterable raises comes through, and nothing is put."""
        with pytest.raises(ZeroDivisionError):
            q.put_many(1 // number for number in (1, 0))

        assert q.qsize() == q.unfinished_tasks == 0

    # ---- beyond it

    def test_put_many(self, q: Queue) -> None:
        """All that an iterable gives, in its order."""
        q.put_many(iter([2, 3, 1]))
        q.put_many([])

        assert q.qsize() == q.unfinished_tasks == 3
        assert drained(q) == self.ordered([2, 3, 1])

    def test_put_more_than_there_can_be(self, opened: Open) -> None:
        """ValueError at once: there will never be room."""
        q = opened(2)
        with pytest.raises(ValueError, match="at most 2"):
            q.put_many([1, 2, 3])

        assert q.empty()

    def test_put_many_where_some_fit(self, opened: Open) -> None:
        """None is put."""
        q = opened(3)
        q.put_many([1, 2])
        with pytest.raises(queue.Full):
            q.put_many([3, 4], block=False)

        assert q.qsize() == 2

    def test_get_many(self, q: Queue) -> None:
        """As many as there are, at most so many."""
        q.put_many([2, 3, 1])
        order = self.ordered([2, 3, 1])

        assert q.get_many(2) == order[:2]
        assert q.get_many(9) == order[2:]
        with pytest.raises(queue.Empty):
            q.get_many(1, block=False)
        with pytest.raises(queue.Empty):
            q.get_many(1, timeout=0.01)

    @pytest.mark.parametrize("count", [0, -1, 1.5, "2"])
    def test_senseless_counts(self, q: Queue, count: Any) -> None:
        """They are refused, and nothing is taken."""
        q.put(1)
        with pytest.raises((TypeError, ValueError), match="count"):
            q.get_many(count)

        assert q.qsize() == 1

    def test_get_many_makes_room(self, opened: Open, background: Background) -> None:
        """All who wait for it are let in."""
        q = opened(2)
        q.put_many([1, 2])
        waiting = [background.waiting(q.put, value) for value in (3, 4)]
        q.get_many(2)
        for each in waiting:
            each.result(PATIENCE)

        assert sorted(drained(q)) == [3, 4]

    def test_peek(self, q: Queue) -> None:
        """The next one, which stays."""
        with pytest.raises(queue.Empty):
            q.peek()
        q.put_many([2, 3, 1])

        assert q.peek() == q.peek() == self.ordered([2, 3, 1])[0]
        assert q.qsize() == 3
        assert drained(q) == self.ordered([2, 3, 1])

    def test_iteration(self, q: Queue) -> None:
        """All in order, and they stay."""
        assert [*q] == []
        q.put_many([2, 3, 1])
        q.put(0, delay=5)

        assert [*q] == [*q] == self.ordered([2, 3, 1])
        assert q.qsize() == 3

    def test_iteration_while_items_are_taken(self, q: Queue) -> None:
        """What is taken meanwhile is left out, and nothing is given twice."""
        q.put_many(range(10))
        order = self.ordered([*range(10)])
        iteration = iter(q)
        assert next(iteration) == order[0]
        assert q.get_many(5) == order[:5]

        assert [*iteration] == order[5:]

    def test_delay(self, opened: Open, clock: Clock) -> None:
        """An item can be had when its time has come, at the place of its put."""
        q = opened()
        q.put(1, delay=5)
        q.put(2, delay=timedelta(seconds=20))
        q.put(3)
        assert (q.qsize(), [*q], q.counts()[:2]) == (1, [3], (1, 2))
        clock.tick(4.9)
        assert q.qsize() == 1
        clock.tick(0.2)
        assert [*q] == self.ordered([1, 3])
        clock.tick(100)

        assert drained(opened()) == self.ordered([1, 2, 3])

    def test_delay_of_many(self, opened: Open, clock: Clock) -> None:
        """They all come at the same time, and reopening changes nothing about it."""
        q = opened()
        q.put_many([1, 2], delay=5)
        with pytest.raises(queue.Empty):
            q.get_nowait()
        q = opened()
        with pytest.raises(queue.Empty):
            q.peek()
        clock.tick(6)

        assert drained(q) == self.ordered([1, 2])

    def test_get_waits_for_a_delayed_item(self, opened: Open, background: Background) -> None:
        """Who waits gets it when its time has come, though nobody puts anything."""
        q = opened(clock=time.time)
        q.put("a", delay=0.1)
        waiting = background.waiting(q.get, timeout=PATIENCE)

        assert waiting.result(PATIENCE) == "a"

    @pytest.mark.parametrize("delay", [-1, float("nan"), float("inf"), "1", True, None, timedelta(-1)], ids=repr)
    def test_senseless_delays(self, q: Queue, delay: Any) -> None:
        """They are named, and nothing is put."""
        for put in (lambda: q.put(1, delay=delay), lambda: q.put_many([1], delay=delay)):
            with pytest.raises((TypeError, ValueError), match=r"delay|seconds"):
                put()

        assert q.counts() == (0, 0, 0, 0)

    def test_delayed_items_take_room(self, opened: Open, clock: Clock) -> None:
        """maxsize goes by what can be had and what will be."""
        q = opened(2)
        q.put(1, delay=5)
        q.put(2)

        assert q.full()
        with pytest.raises(queue.Full):
            q.put_nowait(3)

    def test_dedupe_key(self, opened: Open, clock: Clock) -> None:
        """While an item with the key waits, delayed or not, another is not put; afterwards it is."""
        q = opened()
        q.put("a", dedupe_key="k")
        q.put("b", dedupe_key="k")
        q.put("c", dedupe_key="l", delay=5)
        q = opened()
        q.put("d", dedupe_key="l")
        assert (q.counts(), q.unfinished_tasks) == ((1, 1, 0, 0), 2)
        assert q.get() == "a"
        q.put("e", dedupe_key="k")
        clock.tick(6)

        assert sorted(drained(q)) == ["c", "e"]

    @pytest.mark.parametrize("key", [" ", "ü\n\x00 ", "k" * 1_000, "\U0001f600" * 1_000])
    def test_any_text_is_a_dedupe_key(self, opened: Open, key: str) -> None:
        """With line ends and the longest characters, up to 1,000."""
        q = opened()
        q.put("a", dedupe_key=key)
        q.put("b")
        q = opened()
        q.put("c", dedupe_key=key)

        assert sorted(drained(q)) == ["a", "b"]

    @pytest.mark.parametrize("key", [1, b"k", "", "\ud800", "k" * 1_001], ids=["int", "bytes", "", "half", "long"])
    def test_other_dedupe_keys_are_refused(self, q: Queue, key: Any) -> None:
        """And nothing is put."""
        with pytest.raises((TypeError, ValueError)):
            q.put("a", dedupe_key=key)

        assert q.counts() == (0, 0, 0, 0)

    def test_clear(self, opened: Open) -> None:
        """Everything goes, delayed items too; who waits for it to be done need not."""
        q = opened()
        q.put_many([1, 2, 3])
        q.put(4, delay=5, dedupe_key="k")
        q.get()
        q.task_done()

        assert q.clear() == 3
        assert q.clear() == 0
        assert (q.counts(), [*q]) == ((0, 0, 0, 0), [])
        q.join()
        q.put(5, dedupe_key="k")
        assert drained(opened()) == [5]

    def test_clear_makes_room(self, opened: Open, background: Background) -> None:
        """Who waits to put is let in."""
        q = opened(1)
        q.put(1)
        waiting = background.waiting(q.put, 2)
        q.clear()

        waiting.result(PATIENCE)

    def test_counts(self, q: Queue) -> None:
        """By name and in order."""
        q.put(1)
        q.put(2, delay=5)

        counts = q.counts()
        assert (counts.ready, counts.delayed, counts.in_flight, counts.dead) == counts == (1, 1, 0, 0)

    def test_flush(self, q: Queue) -> None:
        """It may be called at any time."""
        q.flush()
        q.put(1)
        q.flush()

        assert q.get() == 1

    def test_path(self, q: Queue, folder: Path) -> None:
        """The folder, as a path."""
        assert q.path == folder

    # ---- the end of a handle

    def test_with_block_closes(self, opened: Open) -> None:
        """And everything is kept."""
        with opened() as q:
            q.put(1)
        with pytest.raises(ClosedError):
            q.get()

        assert opened().get() == 1

    def test_closed_handle_refuses(self, opened: Open, folder: Path) -> None:
        """Every operation says that it is closed; to close again is nothing."""
        q = opened(visibility=5)
        q.put_many([1, 2])
        delivery = q.get()
        q.close()
        q.close()

        calls: dict[str, Callable[[], object]] = {
            "put": lambda: q.put(1),
            "put_nowait": lambda: q.put_nowait(1),
            "put_many": lambda: q.put_many([1]),
            "get": q.get,
            "get_nowait": q.get_nowait,
            "get_many": lambda: q.get_many(1),
            "peek": q.peek,
            "iter": lambda: [*q],
            "clear": q.clear,
            "counts": q.counts,
            "qsize": q.qsize,
            "empty": q.empty,
            "full": q.full,
            "flush": q.flush,
            "ack": lambda: q.ack(delivery),
            "nack": lambda: q.nack(delivery),
            "extend": lambda: q.extend(delivery),
            "join": q.join,
            "dead_letters": lambda: len(q.dead_letters),
        }
        for name, call in calls.items():
            with pytest.raises(ClosedError, match="closed"):
                print(f"{name} gave", call())
        assert q.path == folder

    def test_close_wakes_all(self, opened: Open, background: Background) -> None:
        """Whoever waits in get, put or join is told."""
        q = opened()
        waiting = [background.waiting(q.get), background.waiting(q.get_many, 2)]
        q.close()
        q = opened(1)
        q.put(1)
        waiting += [background.waiting(call) for call in (lambda: q.put(2), lambda: q.put_many([3]), q.join)]
        q.close()
        for each in waiting:
            with pytest.raises(ClosedError):
                each.result(PATIENCE)

        assert drained(opened()) == [1]

    def test_destroy(self, opened: Open, folder: Path) -> None:
        """Nothing is left on the disk, and the handle is closed."""
        q = opened()
        q.put(1)
        q.destroy()

        assert not folder.exists()
        with pytest.raises(ClosedError):
            q.get()
        assert opened().empty()

    # ---- locks and semaphores

    @pytest.mark.parametrize(
        "make",
        [threading.Lock, threading.RLock, multiprocessing.Lock, multiprocessing.RLock, CountingLock],
        ids=["Lock", "RLock", "Lock of processes", "RLock of processes", "own"],
    )
    @pytest.mark.parametrize("given", ["a lock", "a factory"])
    def test_locks(self, opened: Open, background: Background, make: Callable[[], Any], given: str) -> None:
        """A lock of any kind, or a factory of one, takes the place of the mutex; waiting and waking go by it."""
        q = opened(1, lock=make if given == "a factory" else make())
        q.put("a")
        waiting = background.waiting(q.put, "b")
        assert q.get() == "a"
        waiting.result(PATIENCE)
        assert q.get() == "b"
        q.task_done()
        waiting = background.waiting(q.get, timeout=PATIENCE)
        q.put("c")
        assert waiting.result(PATIENCE) == "c"
        q.put_many(["d"])
        assert ([*q], q.counts()) == (["d"], (1, 0, 0, 0))

        with q.mutex:
            busy = background.waiting(q.qsize)
        assert busy.result(PATIENCE) == 1

    def test_given_lock_is_used(self, opened: Open) -> None:
        """The very lock: who holds it keeps others out, and it is free when nobody is in the queue."""
        lock = CountingLock()
        q = opened(lock=lock)
        q.put(1)
        q.get()

        assert lock.taken >= 2
        assert not lock.locked()

    @pytest.mark.parametrize("lock", [1, "lock", object()], ids=["int", "str", "object"])
    def test_other_locks_are_refused(self, opened: Open, folder: Path, lock: Any) -> None:
        """TypeError by name, and no folder is made."""
        with pytest.raises(TypeError, match="lock"):
            opened(lock=lock)

        assert not folder.exists()

    @pytest.mark.parametrize("given", ["a semaphore", "a factory"])
    def test_semaphore_counts_what_can_be_had(self, opened: Open, given: str) -> None:
        """Released when an item can be had, acquired when one is taken; a handle begins with what is there."""
        opened().put_many([1, 2])
        semaphore = threading.Semaphore(0)
        q = opened(semaphore=semaphore if given == "a semaphore" else lambda: semaphore)
        assert semaphore._value == 2
        q.put(3)
        q.put_many([4, 5])
        assert semaphore._value == 5
        q.get()
        q.get_many(2)
        assert semaphore._value == 2
        q.peek()
        q.clear()

        assert semaphore._value == 0

    def test_semaphore_and_delays(self, opened: Open, clock: Clock) -> None:
        """A delayed item counts when its time has come and somebody looks."""
        semaphore = threading.Semaphore(0)
        q = opened(semaphore=semaphore)
        q.put(1, delay=5)
        assert semaphore._value == 0
        clock.tick(6)
        q.qsize()

        assert semaphore._value == 1

    @pytest.mark.parametrize("semaphore", [1, "semaphore", object()], ids=["int", "str", "object"])
    def test_other_semaphores_are_refused(self, opened: Open, folder: Path, semaphore: Any) -> None:
        """TypeError by name, and no folder is made."""
        with pytest.raises(TypeError, match="semaphore"):
            opened(semaphore=semaphore)

        assert not folder.exists()
