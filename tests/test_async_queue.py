"""AsyncDurableQueue: asyncio.Queue on disk."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import random
import threading
import unittest
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from clocks import Clock
from hypothesis import given, settings
from hypothesis import strategies as st

from diskdict import (
    AsyncDurableQueue,
    ClosedError,
    Counts,
    Delivery,
    DurabilityError,
    DurableQueue,
    FormatError,
    InvalidValueError,
    QueueShutDown,
    StoreLockedError,
)

try:
    from test.test_asyncio import test_queues
except ImportError:
    test_queues = None  # type: ignore[assignment]

Face = dict[str, Callable[..., Any]]
Orders = {"Queue": "fifo", "LifoQueue": "lifo", "PriorityQueue": "priority"}

INTERNALS = {
    "test_repr",
    "test_str",
    "test_format",
    "test_generic_alias",
    "test_get_with_putters",
    "test_cancelled_getters_not_being_held_in_self_getters",
    "test_cancelled_puts_not_being_held_in_self_putters",
}
"""Tests of CPython that look into a queue."""
OTHERWISE = {"test_float_maxsize"}
"""What is decided otherwise here: ``maxsize`` is an int."""


def cases() -> Iterator[tuple[type[unittest.TestCase], str]]:
    """Find CPython's tests of what both have."""
    for kind in vars(test_queues).values() if test_queues else ():
        if isinstance(kind, type) and issubclass(kind, unittest.TestCase):
            for name in unittest.defaultTestLoader.getTestCaseNames(kind):
                if name not in INTERNALS | OTHERWISE:
                    yield kind, name


CASES = list(cases())


@pytest.fixture
def face(folder: Path) -> Iterator[Face]:
    """The classes of asyncio, made of ours, each queue in a folder of its own; all are closed at the end."""
    numbers, made = itertools.count(), []

    def making(order: Any) -> Callable[..., Any]:
        def make(maxsize: int = 0) -> Any:
            made.append(AsyncDurableQueue(folder / str(next(numbers)), maxsize, order=order))
            return made[-1]

        return make

    yield {name: making(order) for name, order in Orders.items()}
    for q in made:
        asyncio.run(q.close())


def test_cpython_has_tests(announce: Callable[[str], None]) -> None:
    """They are there, or it is said that they are not."""
    if test_queues is None:
        announce("this interpreter has no test.test_asyncio: CPython's tests of asyncio.Queue were NOT run")
        pytest.skip("no test.test_asyncio")
    assert len(CASES) >= 30


@pytest.mark.parametrize(("kind", "name"), CASES, ids=[f"{kind.__name__}-{name}" for kind, name in CASES])
def test_cpython_tests_pass(kind: Any, name: str, face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    """What CPython tests of asyncio.Queue holds here."""
    monkeypatch.setattr(test_queues, "asyncio", SimpleNamespace(**vars(asyncio) | face))
    case = kind(name)
    if hasattr(kind, "q_class"):
        case.q_class = face[kind.q_class.__name__]

    result = case.run()
    assert result is not None
    assert result.wasSuccessful(), result.failures + result.errors


@asynccontextmanager
async def opened(folder: Path, **options: Any) -> AsyncIterator[Any]:
    """Open a queue for a block."""
    async with AsyncDurableQueue[Any, Any](folder, **options) as q:
        yield q


each_durability = pytest.mark.parametrize("durability", ["process", "interval", "full"])


def run(main: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
    """Run a coroutine to its end, which is soon."""

    async def soon() -> Any:
        async with asyncio.timeout(60):
            return await main(*arguments)

    return asyncio.run(soon())


async def settled() -> None:
    """Let all tasks go as far as they can without a thread."""
    for _ in range(10):
        await asyncio.sleep(0)


STEPS = st.lists(
    st.one_of(
        st.sampled_from(["get", "put", "get_nowait", "put_nowait", "join", "task_done", "settle", "settle"]),
        st.tuples(st.just("cancel"), st.integers(0, 20)),
        st.tuples(st.just("shutdown"), st.booleans()),
    ),
    max_size=30,
)


async def outcome(q: Any, steps: list[Any], shutdown: type[BaseException]) -> list[Any]:
    """Take steps with a queue and tell what comes of each."""
    names: dict[type[BaseException], str] = {shutdown: "shut down"}
    tasks: list[asyncio.Task[Any]] = []
    told: list[Any] = []
    numbers = itertools.count()

    def tell(call: Callable[[], Any]) -> None:
        try:
            told.append(call())
        except Exception as error:
            told.append(names.get(type(error), type(error).__name__))

    for step in [*steps, "settle"]:
        match step:
            case "get" | "join":
                tasks.append(asyncio.create_task(getattr(q, step)()))
            case "put":
                tasks.append(asyncio.create_task(q.put(next(numbers))))
            case "put_nowait":
                tell(lambda: q.put_nowait(next(numbers)))
            case "get_nowait" | "task_done":
                tell(getattr(q, step))
            case "settle":
                await settled()
                told.append((q.qsize(), q.empty(), q.full(), [task.done() for task in tasks]))
            case ("cancel", number) if number < len(tasks):
                told.append(tasks[number].cancel())
            case ("shutdown", immediate):
                q.shutdown(immediate)
    for task in tasks:
        if not task.done():
            told.append("waits")
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        tell(lambda task=task: "cancelled" if task.cancelled() else task.result())  # type: ignore[misc]
    return told


class Model(asyncio.Queue[Any]):
    """asyncio.Queue with what Python 3.13 has added."""

    class ShutDownError(Exception):
        """As there."""

    is_shut_down = False

    def shutdown(self, immediate: bool = False) -> None:
        self.is_shut_down = True
        if immediate:
            while not self.empty():
                self._get()
                self._unfinished_tasks -= self._unfinished_tasks > 0  # type: ignore[attr-defined]
            if not self._unfinished_tasks:  # type: ignore[attr-defined]
                self._finished.set()  # type: ignore[attr-defined]
        for waiter in [*self._getters, *self._putters]:  # type: ignore[attr-defined]
            if not waiter.done():
                waiter.set_result(None)
        self._getters.clear()  # type: ignore[attr-defined]
        self._putters.clear()  # type: ignore[attr-defined]

    async def put(self, item: Any) -> None:
        while self.full() and not self.is_shut_down:
            waiter = asyncio.get_running_loop().create_future()
            self._putters.append(waiter)  # type: ignore[attr-defined]
            try:
                await waiter
            except BaseException:
                waiter.cancel()
                if waiter in self._putters:  # type: ignore[attr-defined]
                    self._putters.remove(waiter)  # type: ignore[attr-defined]
                if not self.full() and not waiter.cancelled():
                    self._wakeup_next(self._putters)  # type: ignore[attr-defined]
                raise
        self.put_nowait(item)

    def put_nowait(self, item: Any) -> None:
        if self.is_shut_down:
            raise self.ShutDownError
        super().put_nowait(item)

    async def get(self) -> Any:
        while self.empty() and not self.is_shut_down:
            waiter = asyncio.get_running_loop().create_future()
            self._getters.append(waiter)  # type: ignore[attr-defined]
            try:
                await waiter
            except BaseException:
                waiter.cancel()
                if waiter in self._getters:  # type: ignore[attr-defined]
                    self._getters.remove(waiter)  # type: ignore[attr-defined]
                if not self.empty() and not waiter.cancelled():
                    self._wakeup_next(self._getters)  # type: ignore[attr-defined]
                raise
        return self.get_nowait()

    def get_nowait(self) -> Any:
        if self.is_shut_down and self.empty():
            raise self.ShutDownError
        return super().get_nowait()


@given(steps=STEPS, maxsize=st.integers(0, 3))
@settings(max_examples=150, deadline=None)
def test_behaves_as_that_of_asyncio(tmp_path_factory: pytest.TempPathFactory, steps: list[Any], maxsize: int) -> None:
    """Whatever is done, with cancellations in between: the same comes of it, for the same tasks."""

    async def main() -> list[Any]:
        async with opened(tmp_path_factory.mktemp("q") / "q", maxsize=maxsize) as q:
            return await outcome(q, steps, QueueShutDown)

    assert run(main) == run(outcome, Model(maxsize), steps, Model.ShutDownError)


async def waiting(*calls: Awaitable[Any]) -> list[asyncio.Task[Any]]:
    """Return tasks that wait, which threads may have to find out for them."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    await settled()
    while any(thread.name == "diskdict queue" for thread in threading.enumerate()):
        await asyncio.sleep(0.001)
    await settled()
    assert not any(task.done() for task in tasks)
    return tasks  # type: ignore[return-value]


@each_durability
def test_is_there_after_close(folder: Path, durability: Any) -> None:
    """What was put by one loop is there for the next, and for the queue of threads."""
    q = AsyncDurableQueue[int](folder, durability=durability)
    assert q.path == folder
    assert q.maxsize == 0

    async def put() -> None:
        await q.put(1)
        await q.put_many([2, 3, 4])
        q.put_nowait(5)
        [getter, _] = await waiting(*(q.join() for _ in range(2)))
        getter.cancel()

    async def get() -> list[int]:
        async with q:
            return [await q.get(), *await q.get_many(2), q.get_nowait()]

    run(put)
    assert q.qsize() == 5
    assert run(get) == [1, 2, 3, 4]
    with DurableQueue[int](folder) as other:
        assert other.get() == 5


@pytest.mark.parametrize(("order", "expected"), [("fifo", [2, 1, 3]), ("lifo", [3, 1, 2]), ("priority", [1, 2, 3])])
def test_order(folder: Path, order: Any, expected: list[int]) -> None:
    """First in first out, last in first out, or the smallest first; iterating leaves them where they are."""

    async def main() -> None:
        async with opened(folder, order=order) as q:
            await q.put_many([2, 1, 3])
            assert [value async for value in q] == expected
            assert await q.peek() == expected[0]
            assert [await q.get() for _ in range(3)] == expected

    run(main)


def test_options_are_checked(folder: Path) -> None:
    """As those of DurableQueue."""
    with pytest.raises(ValueError, match="order is one of"):
        AsyncDurableQueue(folder, order="random")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="durability"):
        AsyncDurableQueue(folder, durability="none")  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        AsyncDurableQueue(folder, create=False)
    q = AsyncDurableQueue[int](folder)
    with pytest.raises(StoreLockedError):
        AsyncDurableQueue(folder)
    run(q.close)
    with pytest.raises(FormatError, match="codec"):
        AsyncDurableQueue(folder, codec="pickle")


@each_durability
def test_errors_are_those_of_asyncio(folder: Path, durability: Any) -> None:
    """QueueEmpty, QueueFull; what the codec refuses is refused, and nothing happens."""

    async def main() -> None:
        async with opened(folder, maxsize=1, durability=durability) as q:
            for call in (q.peek(), asyncio.to_thread(q.get_nowait)):
                with pytest.raises(asyncio.QueueEmpty):
                    await call
            with pytest.raises(InvalidValueError):
                await q.put(1j)
            q.put_nowait(1)
            with pytest.raises(asyncio.QueueFull):
                q.put_nowait(2)
            with pytest.raises(ValueError, match="never fit"):
                await q.put_many([1, 2])
            with pytest.raises(ValueError, match="visibility"):
                async with q.processing():
                    pass
            q.task_done()
            with pytest.raises(ValueError, match="too many"):
                q.task_done()
            assert [await q.get()] == [1]

    run(main)


@each_durability
def test_at_least_once(folder: Path, durability: Any) -> None:
    """ack removes, nack gives back, extend keeps, processing does each where it is due."""

    async def main() -> None:
        async with opened(folder, durability=durability, visibility=60) as q:
            await q.put("job")
            first = await q.get()
            assert isinstance(first, Delivery)
            assert await q.extend(first)
            assert await q.nack(first)
            with pytest.raises(KeyError):
                async with q.processing() as delivery:
                    assert (delivery.value, delivery.deliveries) == ("job", 2)
                    assert not await q.ack(first)
                    raise KeyError
            [task] = await waiting(process(q))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await q.counts() == Counts(1, 0, 0, 0)
            joined = asyncio.create_task(q.join())
            async with q.processing() as delivery:
                assert delivery.deliveries == 4
            await joined
            assert await q.counts() == Counts(0, 0, 0, 0)

    async def process(q: Any) -> None:
        async with q.processing():
            await asyncio.Event().wait()

    run(main)


def test_dead_letters(folder: Path) -> None:
    """What was given too often goes there, counts as done, and can be put again."""

    async def main() -> None:
        async with opened(folder, visibility=60, max_deliveries=1) as q:
            await q.put("job")
            [joined] = await waiting(q.join())
            await q.nack(await q.get())
            await joined
            [(number, letter)] = q.dead_letters.items()
            assert letter.value() == "job"
            [getter] = await waiting(q.get())
            q.dead_letters.requeue(number)
            assert (await getter).value == "job"

    run(main)


@each_durability
def test_item_that_dies_with_time_is_done(folder: Path, durability: Any) -> None:
    """Who joins is told when the last delivery was not acknowledged in its time, though nobody looks at the queue."""

    async def main() -> None:
        async with opened(folder, durability=durability, visibility=0.05, max_deliveries=1) as q:
            await q.put("job")
            await q.get()
            await q.join()
            assert await q.counts() == Counts(0, 0, 0, 1)

    run(main)


@each_durability
def test_what_comes_with_time_wakes_who_waits(folder: Path, durability: Any) -> None:
    """A delay that ends, a visibility that passes; each wakes one."""

    async def main() -> None:
        async with opened(folder, durability=durability, visibility=0.05) as q:
            await q.put("late", delay=0.05)
            tasks = await waiting(*(q.get() for _ in range(3)))
            done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            assert [task.result().value for task in done] == ["late"]
            again, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            assert [task.result().deliveries for task in again] == [2]
            for task in pending:
                task.cancel()

    run(main)


def test_time_is_the_clock_s(folder: Path, clock: Clock) -> None:
    """Of which a test can have its own."""

    async def main() -> None:
        async with opened(folder, clock=clock) as q:
            await q.put("late", delay=3600)
            assert q.empty()
            clock.tick(3600)
            assert await q.get() == "late"

    run(main)


def test_dedupe_key(folder: Path) -> None:
    """Nothing happens while such an item is there."""

    async def main() -> None:
        async with opened(folder) as q:
            for number in range(3):
                await q.put(number, dedupe_key="one")
            q.put_nowait(4, dedupe_key="one")
            assert await q.get_many(5) == [0]
            await q.put(5, dedupe_key="one")
            assert await q.clear() == 1

    run(main)


@each_durability
def test_put_many_waits_for_room_for_all(folder: Path, durability: Any) -> None:
    """Others who need less go before; nothing of it is put before the rest."""

    async def main() -> None:
        async with opened(folder, maxsize=3, durability=durability) as q:
            await q.put_many("abc")
            many, one = await waiting(q.put_many("def"), q.put("g"))
            assert await q.get() == "a"
            await one
            assert not many.done()
            assert await q.get_many(3) == ["b", "c", "g"]
            await many
            assert await q.get_many(3) == ["d", "e", "f"]

    run(main)


@each_durability
def test_close_wakes_all_who_wait(folder: Path, durability: Any) -> None:
    """They get a ClosedError, as everybody does from then on."""

    async def main() -> None:
        q = AsyncDurableQueue[str](folder, 1, durability=durability)
        getters = await waiting(q.get(), q.get_many(2))
        q.put_nowait("a")
        await getters[0]
        await q.put("b")
        await getters[1]
        q.put_nowait("c")
        tasks = await waiting(q.put("d"), q.join(), q.put_many("e"))
        await q.close()
        await q.close()
        for task in tasks:
            with pytest.raises(ClosedError):
                await task
        for call in (q.get(), q.put("f"), q.counts(), q.peek(), q.flush()):
            with pytest.raises(ClosedError):
                await call
        assert repr(q) == f"<closed AsyncDurableQueue {str(folder)!r}>"

    run(main)


@each_durability
def test_destroy_removes_it(folder: Path, durability: Any) -> None:
    """From the disk; who waits gets a ClosedError."""

    async def main() -> None:
        q = AsyncDurableQueue[str](folder, durability=durability)
        await q.put("a")
        await q.get()
        [getter] = await waiting(q.get())
        await q.destroy()
        with pytest.raises(ClosedError):
            await getter

    run(main)
    assert not folder.exists()


@each_durability
def test_shutdown(folder: Path, durability: Any) -> None:
    """As in Python 3.13: what is there can still be got; immediate empties it, but not the folder."""

    async def main() -> None:
        async with opened(folder, maxsize=1, durability=durability) as q:
            await q.put("a")
            [putter] = await waiting(q.put("b"))
            q.shutdown()
            with pytest.raises(QueueShutDown):
                await putter
            with pytest.raises(QueueShutDown):
                q.put_nowait("c")
            assert await q.get() == "a"
            with pytest.raises(QueueShutDown):
                await q.get()
            with pytest.raises(QueueShutDown):
                q.get_nowait()
        async with opened(folder, durability=durability) as q:
            await q.put("d")
            [joined] = await waiting(q.join())
            q.shutdown(immediate=True)
            with pytest.raises(QueueShutDown):
                await q.get()
            await joined
        async with opened(folder, durability=durability) as q:
            assert await q.get() == "d"

    run(main)


def test_waiting_takes_no_thread(folder: Path) -> None:
    """However many wait."""

    async def main() -> None:
        async with opened(folder, durability="full") as q:
            threads = set(threading.enumerate())
            getters = await waiting(*(q.get() for _ in range(100)))
            assert set(threading.enumerate()) == threads
            await q.put_many(range(100))
            assert sorted(await asyncio.gather(*getters)) == list(range(100))

    run(main)


def test_another_loop_while_tasks_wait(folder: Path) -> None:
    """Is refused; nobody would wake them."""

    async def main() -> None:
        async with opened(folder) as q:
            [getter] = await waiting(q.get())
            with pytest.raises(RuntimeError, match="another event loop"):
                await asyncio.to_thread(asyncio.run, q.get())
            await q.put("a")
            assert await getter == "a"

    run(main)


def test_other_threads_wake_who_waits(folder: Path) -> None:
    """What a thread puts without waiting wakes the tasks of the loop."""

    async def main() -> None:
        async with opened(folder) as q:
            [getter] = await waiting(q.get())
            await asyncio.to_thread(q.put_nowait, "a")
            assert await getter == "a"

    run(main)


@pytest.fixture
def syncing(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The threads that have waited for the disk."""
    threads: list[int] = []
    for name in ("fsync", "fdatasync"):
        real = getattr(os, name)

        def noted(fd: int, real: Callable[[int], None] = real) -> None:
            threads.append(threading.get_ident())
            real(fd)

        monkeypatch.setattr(os, name, noted)
    return threads


def test_loop_does_not_wait_for_the_disk(folder: Path, syncing: list[int]) -> None:
    """A thread does, once for many who ask together."""

    async def main() -> None:
        async with opened(folder, durability="full", maxsize=1_000) as q:
            syncing.clear()
            await asyncio.gather(*(q.put(number) for number in range(100)))
            assert 1 <= len(syncing) < 20
            assert await q.get_many(100) == list(range(100))
            await q.put_many(range(5))
            assert [await q.get() for _ in range(5)] == list(range(5))
            await q.clear()
            await q.flush()
        assert threading.get_ident() not in syncing

    run(main)


def test_what_has_returned_is_on_disk(folder: Path, syncing: list[int]) -> None:
    """With durability full each put and get is followed by a sync before it returns."""

    async def main() -> None:
        async with opened(folder, durability="full") as q:
            for call in (q.put(1), q.get(), q.put_many([2, 3]), q.get_many(2)):
                syncing.clear()
                await call
                assert syncing
            for call in (q.put_nowait, q.get_nowait):
                syncing.clear()
                call(*([1] if call == q.put_nowait else []))
                assert syncing

    run(main)


def test_no_thread_to_be_had(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What raises because no thread can be started is not put later, with what comes then."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        async with opened(folder, durability="full") as q:
            with monkeypatch.context() as patch:
                patch.setattr(threading.Thread, "start", refuse)
                with pytest.raises(RuntimeError, match="start"):
                    await q.put("refused")
            await q.put("put")
            assert await q.get_many(2) == ["put"]

    run(main)


def test_disk_that_does_not_sync(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All whose changes it was to have are told, and nothing is changed any longer."""

    def refuse(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    async def main() -> None:
        async with opened(folder, durability="full") as q:
            await q.put(0)
            with monkeypatch.context() as patch:
                patch.setattr(os, "fdatasync", refuse)
                patch.setattr(os, "fsync", refuse)
                told = await asyncio.gather(*(q.put(number) for number in range(10)), return_exceptions=True)
            assert {type(each) for each in told} == {DurabilityError}
            with pytest.raises(DurabilityError):
                await q.get()

    run(main)


class Crowd:
    """Producers and consumers of a queue, which are cancelled at random, and what they have done."""

    def __init__(self, q: Any, seed: int) -> None:
        self.q = q
        self.put: list[tuple[int, int]] = []
        self.got: list[tuple[int, int]] = []
        self.chance = random.Random(seed)

    async def produce(self, producer: int, count: int) -> None:
        for number in range(count):
            while True:
                try:
                    await self.q.put((producer, number))
                except asyncio.CancelledError:
                    continue
                break
            self.put.append((producer, number))

    async def consume(self) -> None:
        while True:
            item = await self.q.get()
            self.got.append(item)
            self.q.task_done()

    async def disturb(self, tasks: list[asyncio.Task[Any]], share: float) -> None:
        while True:
            for number, task in enumerate(tasks):
                if self.chance.random() < share:
                    task.cancel()
                    if task.get_coro().__name__ == "consume":  # type: ignore[union-attr]
                        tasks[number] = asyncio.create_task(self.consume())
            await asyncio.sleep(0)


@pytest.mark.no_cover
@pytest.mark.parametrize("share", [0, 0.1])
@pytest.mark.parametrize("maxsize", [0, 7])
@each_durability
def test_each_item_is_got_once(folder: Path, durability: Any, maxsize: int, share: float) -> None:
    """100 producers and 100 consumers, with a storm of cancellations or without: none is lost, none is doubled."""

    async def main() -> None:
        async with opened(folder, maxsize=maxsize, durability=durability) as q:
            crowd = Crowd(q, maxsize)
            producers = [asyncio.create_task(crowd.produce(number, 8)) for number in range(100)]
            consumers = [asyncio.create_task(crowd.consume()) for _ in range(100)]
            storm = [asyncio.create_task(crowd.disturb(tasks, share)) for tasks in (producers, consumers) if share]
            while not all(task.done() for task in producers):
                await asyncio.sleep(0.001)
            await q.join()
            for task in [*storm, *consumers]:
                task.cancel()
            await asyncio.gather(*producers)
            assert len(crowd.put) == 800
            assert sorted(crowd.got) == sorted(crowd.put)
            if not share:
                for producer in range(100):
                    numbers = [number for each, number in crowd.got if each == producer]
                    assert numbers == sorted(numbers)
            assert q.empty()

    run(main)


@each_durability
def test_timeouts_lose_nothing(folder: Path, durability: Any) -> None:
    """A get or put that a timeout ends has happened whole, and says so, or not at all."""

    async def main() -> None:
        async with opened(folder, maxsize=2, durability=durability) as q:
            put, got = [], []

            async def produce() -> None:
                for number in range(200):
                    while True:
                        try:
                            async with asyncio.timeout(chance.uniform(0, 0.002)):
                                await q.put(number)
                        except TimeoutError:
                            continue
                        break
                    put.append(number)

            async def consume() -> None:
                while len(got) < 200:
                    try:
                        async with asyncio.timeout(chance.uniform(0, 0.002)):
                            got.append(await q.get())
                    except TimeoutError:
                        await asyncio.sleep(0)

            chance = random.Random(1)
            await asyncio.gather(produce(), consume())
            assert put == got == list(range(200))

    run(main)


@pytest.mark.parametrize("patience", [None, 0.0005])
def test_cancelled_worker_ends(folder: Path, patience: float | None) -> None:
    """A cancellation that came while the disk was waited for strikes as soon as the task waits again."""

    async def work(q: Any, done: list[int]) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    done.append(await q.get())

    async def main() -> None:
        async with opened(folder, durability="full") as q:
            for number in range(40):
                done: list[int] = []
                await q.put(number)
                worker = asyncio.create_task(work(q, done))
                for _ in range(number % 20):
                    await asyncio.sleep(0.0001)
                worker.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await worker
                assert done or await q.get_many(2) == [number]

    run(main)


@each_durability
def test_cancelled_while_it_acknowledges(folder: Path, durability: Any) -> None:
    """What was processed is acknowledged all the same, and what was not is given back."""

    async def work(q: Any) -> None:
        async with q.processing() as delivery:
            done.append(delivery.value)

    async def main() -> None:
        async with opened(folder, durability=durability, visibility=3_600) as q:
            for number in range(40):
                await q.put(number)
                worker = asyncio.create_task(work(q))
                for _ in range(number % 20):
                    await asyncio.sleep(0.0001)
                worker.cancel()
                await asyncio.gather(worker, return_exceptions=True)
                assert (await q.counts()).in_flight == 0
                assert q.qsize() == number + 1 - len(done)

    done: list[int] = []
    run(main)
    assert len(done) == len(set(done))
