"""Threads that wait for an item, or for room: `Blocking`."""

from __future__ import annotations

import queue
import sys
import threading
import time
from typing import TypeVar

from diskdict.queues.frame import Frame
from diskdict.queues.given import Delivery

V = TypeVar("V")

if sys.version_info >= (3, 13):
    from queue import ShutDown
else:

    class ShutDown(Exception):  # noqa: N818  # as Python 3.13 has named it
        """The queue was shut down."""


class Blocking(Frame[V]):
    """Waits as the methods of `queue.Queue` do; and for what comes back with time, and for room for several.

    Notes
    -----
    The caller holds ``mutex``, but for `shutdown` and what the standard library calls without it.
    """

    def _take(self, block: bool, timeout: float | None) -> V | Delivery[V]:
        """Take an item, waiting for it as `queue.Queue.get` does."""
        if not self._ready:
            self._prepare()
        if block and timeout is not None and timeout < 0:
            if self.is_shutdown and not self._engine.order:
                raise ShutDown
            raise ValueError("'timeout' must be a non-negative number")
        if self._engine.waiting.is_timed:
            self._settle()
        taken = self._engine.take()
        if taken is None:
            taken = self._wait_to_take(block, timeout)
        return taken[0]

    def _wait_to_take(self, block: bool, timeout: float | None) -> tuple[V | Delivery[V]]:
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            if self._engine.given_up:
                self._settled()
            if self.is_shutdown:
                raise ShutDown
            if not block:
                raise queue.Empty
            self._getting += 1
            try:
                self._wait(self.not_empty, end, queue.Empty, self._next_due())
            finally:
                self._getting -= 1
            self._settle()
            taken = self._engine.take()
            if taken is not None:
                return taken

    def _wait_for_room(self, count: int, block: bool, timeout: float | None) -> None:
        """Wait as `queue.Queue.put` does until there is room for so many items."""
        if self.is_shutdown:
            raise ShutDown
        if self.maxsize <= 0:
            return
        if block and timeout is not None and timeout < 0:
            raise ValueError("'timeout' must be a non-negative number")
        end = None if timeout is None else time.monotonic() + timeout
        while self._lacks_room(count):
            if not block:
                raise queue.Full
            self._putting += 1
            self._putting_many += count > 1
            try:
                self._wait(self.not_full, end, queue.Full, None)
            finally:
                self._putting -= 1
                self._putting_many -= count > 1
            if self.is_shutdown:
                raise ShutDown

    def _lacks_room(self, count: int) -> bool:
        return len(self._engine.order) + len(self._engine.waiting.delayed) + count > self.maxsize > 0

    def _wait(
        self,
        condition: threading.Condition,
        end: float | None,
        late: type[Exception],
        soon: float | None,
    ) -> None:
        remaining = None if end is None else end - time.monotonic()
        if remaining is not None and remaining <= 0:
            raise late
        condition.wait(soon if remaining is None else remaining if soon is None else min(soon, remaining))
        self._check()
        if not self._ready:
            self._prepare()

    def _qsize(self) -> int:
        self._check()
        self._settle()
        return len(self._engine.order)

    def full(self) -> bool:
        with self.mutex:
            self._check()
            return self.maxsize > 0 and self._lacks_room(1)

    def join(self) -> None:
        with self.all_tasks_done:
            self._check()
            self._settle()
            while self.unfinished_tasks:
                # What is given up when its time has passed is done.
                self.all_tasks_done.wait(self._next_due())
                self._check()
                self._settle()

    def shutdown(self, immediate: bool = False) -> None:  # as the standard library has it
        """Have ``put`` raise `ShutDown`, and ``get``, too, when nothing is left; with `immediate` at once.

        As in Python 3.13. What `immediate` takes from the users of this handle stays in the folder.
        """
        with self.mutex:
            self._check()
            self.is_shutdown = True
            if immediate:
                self._count_done(self._engine.end())
                self.all_tasks_done.notify_all()
                self._balance()
            self.not_empty.notify_all()
            self.not_full.notify_all()
        self._tell()
