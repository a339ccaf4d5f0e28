"""A queue that the clients of a server share: `SharedQueue`, and all of them, `SharedQueues`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from queue import Empty, Full
from typing import TypeVar
from weakref import WeakValueDictionary

from diskdict import jsontext
from diskdict.errors import ClosedError, DiskDictError
from diskdict.queues.given import Counts, Delivery
from diskdict.server.catalogue import Catalogue, Making, Queue
from diskdict.server.service import Service
from diskdict.server.waiters import Waiters

T = TypeVar("T")

Deliveries = Sequence[Delivery[str]]
"""With the JSON of their values."""


class SharedQueue:
    """A queue by its name, whether or not there is one yet. All methods are for the loop.

    ``getters`` and ``putters`` are those who wait for an item and for room.
    """

    def __init__(self, name: str, owner: SharedQueues) -> None:
        self.name = name
        self._owner = owner
        self._service = owner.service
        self._catalogue = owner.catalogue
        self._loop = asyncio.get_running_loop()
        self._opening = asyncio.Lock()
        self._queue: Queue | None = None
        self._told_already = False
        self.getters: Waiters[Deliveries] = Waiters(Empty, self.give_back, self._next_due)
        self.putters: Waiters[None] = Waiters(Full, _keep)

    async def make(self, given: Mapping[str, object]) -> bool:
        """Make the queue with what is given, and return whether it is new; one that is there stays as it is."""
        async with self._opening:
            self._owner.check_open()
            new = await self._service.queueing(self._catalogue.make, self.name, given)
        self.getters.wake()
        return new

    async def making(self) -> Making | None:
        """Return what the queue was made with, None where there is none."""
        return await self._service.queueing(self._catalogue.making, self.name)

    async def run(self, function: Callable[[Queue], T], missing: T, *, at_once: bool = True) -> T:
        """Return what a function of the queue gives, or `missing` where there is no queue.

        What is done `at_once`, unless it has to be synced, needs no thread: it has to be short.
        """
        queue = await self._opened()
        if queue is None:
            return missing
        try:
            if at_once and self._service.served.durability == "process":
                return function(queue)
            return await self._service.queueing(function, queue)
        except ClosedError:
            if queue is self._queue:
                raise
            return missing

    async def put(self, put: Callable[[Queue], object], *, at_once: bool) -> None:
        """Call a function that puts something into the queue, which is made where there is none."""

        def done(queue: Queue) -> bool:
            put(queue)
            return True

        while not await self.run(done, False, at_once=at_once):
            await self.make({})

    async def take(self, count: int) -> Deliveries:
        """Return 1 to `count` deliveries, fewer where they are as long as a request may be. queue.Empty for nothing."""
        nothing: Deliveries = []
        enough = self._service.settings.max_json
        taken = await self.run(lambda queue: _taken(queue, count, enough), nothing)
        if not taken:
            raise Empty
        return taken

    async def give_back(self, deliveries: Deliveries) -> None:
        """Give back what was taken for somebody who did not get it."""

        def back(queue: Queue) -> None:
            for each in deliveries:
                queue.nack(Delivery(None, *each[1:]))

        await self.run(back, None)

    async def remove(self) -> bool:
        """Remove the queue with all that is in it, and return whether it was there. Who waits goes on waiting."""
        queue = await self._opened()
        async with self._opening:
            if queue is None or queue is not self._queue:
                return False
            self._forget(queue)
            await self._service.queueing(self._catalogue.remove, self.name, queue)
        return True

    async def close(self) -> None:
        """Close the queue."""
        async with self._opening:
            queue = self._queue
            if queue is not None:
                self._forget(queue)
                await self._service.queueing(queue.close)

    def end(self) -> None:
        """Have nobody wait any longer."""
        self.getters.end()
        self.putters.end()

    async def _opened(self) -> Queue | None:
        if self._queue is None:
            async with self._opening:
                self._owner.check_open()
                if self._queue is None:
                    self._queue = await self._service.queueing(self._catalogue.open, self.name)
                    if self._queue is not None:
                        self._queue.notify(self._told)
                        self._owner.opened.add(self)
        return self._queue

    def _forget(self, queue: Queue) -> None:
        queue.silence(self._told)
        self._queue = None
        self._owner.opened.discard(self)

    def _told(self) -> None:
        # By any thread. One call is enough for all changes until it is carried out, and who comes to wait later looks
        # again by himself.
        if (len(self.getters) or len(self.putters)) and not self._told_already:
            self._told_already = True
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._told_already = False
        self.getters.wake()
        self.putters.wake()

    def _next_due(self) -> float | None:
        try:
            return None if self._queue is None else self._queue.next_due()
        except ClosedError:
            return None


def _taken(queue: Queue, count: int, enough: int) -> Deliveries:
    """Take an item, and more until there are `count`, or `enough` characters."""
    taken = [_texted(queue.get(block=False))]
    enough -= len(taken[0].value)
    # What goes wrong behind those that are taken is for who asks next.
    with contextlib.suppress(Exception):
        while len(taken) < count and enough > 0:
            taken.append(_texted(queue.get(block=False)))
            enough -= len(taken[-1].value)
    return taken


def _texted(delivery: Delivery[object]) -> Delivery[str]:
    return Delivery(jsontext.written(delivery.value), *delivery[1:])


async def _keep(_: None) -> None:
    """Leave what was put where it is, though nobody hears of it."""


class SharedQueues:
    """All queues of a server; ``opened`` are those that are open."""

    def __init__(self, service: Service) -> None:
        self.service = service
        served, settings = service.served, service.settings
        path = served.path
        folder = path.with_name(path.name + ".queues") if settings.queues is None else Path(settings.queues)
        making = Making("fifo", 0, settings.visibility, settings.max_deliveries)
        self.catalogue = Catalogue(folder, making, served.durability, served.now)
        self.opened: set[SharedQueue] = set()
        self._known: WeakValueDictionary[str, SharedQueue] = WeakValueDictionary()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = False
        self._closed = False

    def __getitem__(self, name: str) -> SharedQueue:
        found = self._known.get(name)
        if found is None:
            found = self._known[name] = SharedQueue(name, self)
            if self._ended:
                found.end()
        return found

    async def names(self) -> list[str]:
        """Return the names of all queues."""
        return await self.service.queueing(self.catalogue.names)

    async def counts(self) -> dict[str, Counts]:
        """Return how much is in each queue; one that cannot be opened is left out."""
        found = {}
        for name in await self.names():
            with contextlib.suppress(DiskDictError, OSError):
                counts = await self[name].run(lambda queue: queue.counts(), None)
                if counts is not None:
                    found[name] = counts
        return found

    def check_open(self) -> None:
        """Raise ClosedError after `end`."""
        if self._closed:
            raise ClosedError("the server is ending")

    def open(self) -> None:
        """Begin; called in the loop."""
        self._loop = asyncio.get_running_loop()

    def end(self) -> None:
        """Answer all who wait; nothing is waited for after that. Called from anywhere."""
        if self._loop is not None and not self._ended:
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        self._ended = True
        for shared in list(self._known.values()):
            shared.end()

    async def close(self) -> None:
        """Close all queues; everything in them is kept."""
        self._closed = True
        self._end()
        for shared in list(self.opened):
            await shared.close()
        await self.service.queueing(self.catalogue.close)
