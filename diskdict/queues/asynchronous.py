"""``asyncio.Queue`` on disk: `AsyncDurableQueue`."""

from __future__ import annotations

import contextlib
import os
import queue
import time
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from pathlib import Path
from types import GenericAlias
from typing import TYPE_CHECKING, Generic, Literal, Self, TypeVar, cast

from diskdict.backends.file import Durability
from diskdict.codecs import Codec
from diskdict.errors import ClosedError
from diskdict.mutex import LockLike
from diskdict.opening import check_choice
from diskdict.queues.batches import ORDERS, Batched, Batches
from diskdict.queues.blocking import ShutDown
from diskdict.queues.given import Counts, Delivery
from diskdict.queues.letters import DeadLetters
from diskdict.queues.lines import Lines
from diskdict.queues.locks import SemaphoreLike
from diskdict.queues.tasks import QueueShutDown, errors_of_asyncio, in_thread
from diskdict.store import Clock, Seconds

R = TypeVar("R")
V = TypeVar("V")
if TYPE_CHECKING:
    import typing_extensions

    G = typing_extensions.TypeVar("G", default=V)
else:
    G = TypeVar("G")


class AsyncDurableQueue(Generic[V, G]):
    """An ``asyncio.Queue`` in a folder, the same as that of `DurableQueue`.

    ``AsyncDurableQueue[Job]`` in annotations; with `visibility` ``AsyncDurableQueue[Job, Delivery[Job]]``.

    Parameters
    ----------
    order: "fifo", "lifo" or "priority"
        What `get` gives: what was put first, or last, or is the smallest.
    path, maxsize, codec, durability, interval, visibility, max_deliveries, lock, semaphore, create, timeout, perm:
        As in `DurableQueue`.
    clock: callable
        The time in seconds since the epoch.

    Raises
    ------
    StoreLockedError, LockUnsupportedError, FormatError, FileNotFoundError, NotADirectoryError
        As `DiskDict` does.

    Notes
    -----
    It is made without a loop, and may be used by one after the other; while tasks of one wait, another is a
    RuntimeError. Waiting takes no thread. A task that is cancelled while it waits for an item or for room has taken
    or put nothing.

    With durability ``"full"`` a thread changes the queue for the coroutines and waits for the disk, with one sync for
    all that ask meanwhile. What it has begun is finished: a cancellation that comes then strikes when the task waits
    for the next time, so that what a `get` has taken is in its hands. `put_nowait` and `get_nowait` wait for the disk
    themselves. Otherwise what changes is written by the loop's own thread, in some microseconds.

    Examples
    --------
    >>> import asyncio, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> async def main():
    ...     async with AsyncDurableQueue(folder) as q:
    ...         await q.put("job")
    ...     async with AsyncDurableQueue(folder, visibility=60) as q:
    ...         async with q.processing() as delivery:
    ...             return delivery.value
    >>> asyncio.run(main())
    'job'
    """

    if not TYPE_CHECKING:
        # ``AsyncDurableQueue[Job]`` is to work where it is run, too.
        __class_getitem__ = classmethod(GenericAlias)

    def __init__(
        self,
        path: str | os.PathLike[str],
        maxsize: int = 0,
        *,
        order: Literal["fifo", "lifo", "priority"] = "fifo",
        codec: str | Codec = "json",
        durability: Durability = "process",
        interval: float = 1.0,
        visibility: Seconds | None = None,
        max_deliveries: int | None = None,
        lock: LockLike | None = None,
        semaphore: SemaphoreLike | None = None,
        create: bool = True,
        timeout: float = 0,
        perm: int | None = None,
        clock: Clock = time.time,
    ) -> None:
        check_choice("order", order, tuple(ORDERS))
        kind = cast(type[Batched[V, G]], ORDERS[order])
        self._queue = kind(
            path,
            maxsize,
            codec=codec,
            durability=durability,
            interval=interval,
            visibility=visibility,
            max_deliveries=max_deliveries,
            lock=lock,
            semaphore=semaphore,
            create=create,
            timeout=timeout,
            perm=perm,
            clock=clock,
        )
        self._threaded = durability == "full"
        self._syncs = durability != "process"
        self._delivers = visibility is not None
        self._batches = self._queue.batches = Batches(self._synced)
        self._lines = Lines(self._queue)
        self._queue.notify(self._lines.changed)

    def _synced(self) -> None:
        # Closing has synced everything.
        with contextlib.suppress(ClosedError):
            self._queue.flush()

    async def put(self, item: V, *, delay: Seconds = 0, dedupe_key: str | None = None) -> None:
        """Put `item`, waiting for room. `delay`, `dedupe_key` and what is raised are as in `DurableQueue.put`."""
        await self._put(partial(self._queue.put, item, False, delay=delay, dedupe_key=dedupe_key), 1)

    async def put_many(self, items: Iterable[V], *, delay: Seconds = 0) -> None:
        """Put items as one change, all or none, when there is room for all. ValueError for more than ``maxsize``."""
        each = list(items)
        await self._put(partial(self._queue.put_many, each, False, delay=delay), len(each), threaded=self._syncs)

    async def _put(self, call: Callable[[], None], count: int, *, threaded: bool = False) -> None:
        while True:
            try:
                return await self._do(call, threaded=threaded)
            except queue.Full:
                await self._lines.wait_to_put(count)

    def put_nowait(self, item: V, *, delay: Seconds = 0, dedupe_key: str | None = None) -> None:
        """Put without waiting for room; ``asyncio.QueueFull`` if there is none."""
        with errors_of_asyncio():
            self._queue.put(item, False, delay=delay, dedupe_key=dedupe_key)

    async def get(self) -> G:
        """Take the next item, waiting for it; with ``visibility`` a `Delivery`."""
        return await self._get(partial(self._queue.get, False))

    async def get_many(self, count: int) -> list[G]:
        """Take up to `count` items, waiting for the first."""
        return await self._get(partial(self._queue.get_many, count, False))

    async def _get(self, call: Callable[[], R]) -> R:
        while True:
            try:
                return await self._do(call, lasting=not self._delivers)
            except queue.Empty:
                await self._lines.wait_to_get()

    def get_nowait(self) -> G:
        """Take without waiting for an item; ``asyncio.QueueEmpty`` if there is none."""
        with errors_of_asyncio():
            return self._queue.get(False)

    async def ack(self, delivery: Delivery[V]) -> bool:
        """Remove an item that was given, as `DurableQueue.ack`."""
        return await self._do(partial(self._queue.ack, delivery))

    async def nack(self, delivery: Delivery[V], *, delay: Seconds = 0) -> bool:
        """Give an item back, as `DurableQueue.nack`."""
        return await self._do(partial(self._queue.nack, delivery, delay=delay))

    async def extend(self, delivery: Delivery[V], visibility: Seconds | None = None) -> bool:
        """Keep an item from others for longer, as `DurableQueue.extend`."""
        return await self._do(partial(self._queue.extend, delivery, visibility), lasting=False)

    @contextlib.asynccontextmanager
    async def processing(self) -> AsyncIterator[Delivery[V]]:
        """Get an item, acknowledge it at the end of the block, give it back where that raises or is cancelled.

        Where its visibility passes in the block and somebody else gets it, neither happens, and nothing is raised.
        """
        if not self._delivers:
            raise ValueError("processing() takes a queue with visibility=; without it what was got is gone")
        delivery = cast(Delivery[V], await self.get())
        try:
            yield delivery
        except BaseException:
            await self._do(partial(self._queue.nack, delivery), surely=True)
            raise
        await self._do(partial(self._queue.ack, delivery), surely=True)

    async def peek(self) -> V:
        """Return the value of the next item and leave it; ``asyncio.QueueEmpty`` if there is none."""
        with errors_of_asyncio():
            return await self._do(self._queue.peek, lasting=False)

    async def __aiter__(self) -> AsyncIterator[V]:
        """Yield the values that can be had now, in their order, and leave them; what is taken meanwhile is left out."""
        for value in self._queue:
            yield value

    async def clear(self) -> int:
        """Remove all items, waiting, delayed and in flight, but no dead letters; return how many."""
        return await self._do(self._queue.clear)

    async def counts(self) -> Counts:
        """Return how many items there are, by what becomes of them."""
        return await self._do(self._queue.counts, lasting=False)

    async def flush(self) -> None:
        """Have on disk, when it returns, what was changed. DurabilityError where the disk does not take it."""
        await in_thread(self._batches, self._queue.flush, finish=False, surely=True)

    async def join(self) -> None:
        """Wait until all that was put is done."""
        while self._queue.unfinished_tasks:
            await self._lines.wait_for_end()
            self._queue.counts()  # where it was closed

    def task_done(self) -> None:
        """Say that an item that was got is done. ValueError if that is said too often."""
        self._queue.task_done()
        self._lines.changed()

    def shutdown(self, immediate: bool = False) -> None:  # as the standard library has it
        """Have `put` raise `QueueShutDown`, and `get`, too, when nothing is left; with `immediate` at once.

        As in Python 3.13. What `immediate` takes from the users of this handle stays in the folder.
        """
        self._queue.shutdown(immediate)

    def qsize(self) -> int:
        """Return how many items can be had."""
        return self._queue.qsize()

    def empty(self) -> bool:
        """Return whether no item can be had."""
        return self._queue.empty()

    def full(self) -> bool:
        """Return whether there is no room."""
        return self._queue.full()

    @property
    def maxsize(self) -> int:
        """Items that may wait, 0 for any number."""
        return self._queue.maxsize

    @property
    def path(self) -> Path:
        """The folder."""
        return self._queue.path

    @property
    def dead_letters(self) -> DeadLetters[V]:
        """What was given up, by id. Its methods are no coroutines, and wait for the disk themselves."""
        return self._queue.dead_letters

    async def close(self) -> None:
        """Give the folder back; everything is kept. Who waits gets a ClosedError."""
        await in_thread(self._batches, self._queue.close, finish=False, surely=True)

    async def destroy(self) -> None:
        """Close, and remove the queue from the disk. What somebody else has put into the folder stays."""
        await in_thread(self._batches, self._queue.destroy, finish=False, surely=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return repr(self._queue).replace(type(self._queue).__name__, type(self).__name__, 1)

    async def _do(
        self, call: Callable[[], R], *, lasting: bool = True, threaded: bool = False, surely: bool = False
    ) -> R:
        """Make a call that changes the queue; what is `lasting` is on disk then, where that is promised."""
        try:
            if not (threaded or self._threaded):
                return call()
            return await in_thread(self._batches, call, finish=lasting and self._threaded, surely=surely)
        except ShutDown:
            raise QueueShutDown from None
