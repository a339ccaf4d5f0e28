"""Tasks that wait in line: `Line`, and the `Lines` before a queue."""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import Generic, Self, TypeVar

from diskdict.errors import ClosedError
from diskdict.queues.durable import DurableQueue

V = TypeVar("V")
G = TypeVar("G")


class Line:
    """Futures of those who wait, in the order in which they came, each for so much of something.

    Notes
    -----
    No more are woken than there is something for; what those who are woken have not taken yet is theirs. The futures
    are of one loop, and its thread alone may use this.
    """

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[None], int] = {}
        self._coming = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, future: asyncio.Future[None], need: int) -> None:
        """Have `future` wait, at the end."""
        self._waiting[future] = need

    def remove(self, future: asyncio.Future[None], need: int) -> None:
        """Have it wait no longer, whether it was woken or has given up."""
        if self._waiting.pop(future, None) is None:
            self._coming -= need

    def wake(self, there: float) -> None:
        """Wake those who come first among so much; who needs more than is left waits on."""
        left = there - self._coming
        woken = []
        for future, need in self._waiting.items():
            if left < min(1, need):
                break
            if need <= left and not future.done():
                woken.append(future)
                left -= need
        for future in woken:
            self._coming += self._waiting.pop(future)
            future.set_result(None)


class Lines(Generic[V, G]):
    """Who waits for an item, for room, or for the end of what is unfinished.

    Parameters
    ----------
    queue: DurableQueue
        What they wait for. It is to call `changed` when it may be there.

    Notes
    -----
    One loop at a time has tasks that wait. No thread is taken by them; what comes with time is waited for by a timer.
    """

    def __init__(self, queue: DurableQueue[V, G]) -> None:
        self._queue = queue
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._begin()

    def _begin(self) -> None:
        self.getters, self.putters, self.joiners = Line(), Line(), Line()

    def __bool__(self) -> bool:
        return bool(self.getters or self.putters or self.joiners)

    async def wait_to_get(self) -> None:
        """Return when there may be an item."""
        await self._wait(self._bound().getters, 1)

    async def wait_to_put(self, count: int) -> None:
        """Return when there may be room for so many."""
        await self._wait(self._bound().putters, count)

    async def wait_for_end(self) -> None:
        """Return when nothing may be unfinished."""
        await self._wait(self._bound().joiners, 0)

    def _bound(self) -> Self:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            if self and self._loop is not None and self._loop.is_running():
                raise RuntimeError(f"tasks of another event loop are waiting for {self._queue!r}")
            self._loop, self._timer = loop, None
            self._begin()
        return self

    async def _wait(self, line: Line, need: int) -> None:
        future = asyncio.get_running_loop().create_future()
        line.add(future, need)
        try:
            # What came before it was in line is told to nobody else.
            self._wake()
            await future
        except BaseException:
            line.remove(future, need)
            # Another may have what this one was woken for.
            self._wake()
            raise
        line.remove(future, need)

    def changed(self) -> None:
        """Wake whom it concerns, in the thread of their loop; to be called in any, without the lock of the queue."""
        loop = self._loop
        if loop is None or not self:
            return
        if loop is asyncio._get_running_loop():
            self._wake()
        else:
            with contextlib.suppress(RuntimeError):  # it was closed
                loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        over = math.inf if self._queue.is_shutdown else 0
        try:
            # This gives back, or gives up, what it is time for.
            ready = self._queue.qsize()
            if self.getters:
                self.getters.wake(over or ready)
            if self.putters:
                counts = self._queue.counts()
                self.putters.wake(over or self._queue.maxsize - counts.ready - counts.delayed)
            if self.joiners and not self._queue.unfinished_tasks:
                self.joiners.wake(0)
            due = self._queue.next_due() if self.getters or self.joiners else None
        except (ClosedError, OSError):
            # They find out themselves.
            for line in (self.getters, self.putters, self.joiners):
                line.wake(math.inf)
            return
        if due is not None and self._loop is not None:
            self._timer = self._loop.call_later(due, self._wake)
