"""Calls of tasks that wait at the same time, made together: `Gathered`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from typing import Generic, TypeVar

from diskdict.kv.several import Raised

A = TypeVar("A")
R = TypeVar("R")


class _Batch(Generic[A, R]):
    """Calls from one loop, and who waits for what comes of them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.sent = False
        self.arguments: list[A] = []
        self._waiting: list[asyncio.Future[R]] = []

    def add(self, argument: A) -> asyncio.Future[R]:
        waiting: asyncio.Future[R] = self.loop.create_future()
        self.arguments.append(argument)
        self._waiting.append(waiting)
        return waiting

    def tell(self, came: Sequence[R | Raised]) -> None:
        for waiting, each in zip(self._waiting, came, strict=True):
            # Who was cancelled does not wait any more.
            if waiting.done():
                continue
            if isinstance(each, Raised):
                waiting.set_exception(each.error)
            else:
                waiting.set_result(each)


class Gathered(Generic[A, R]):
    """Makes calls that come in one turn of an event loop together, in one thread, in the order in which they came.

    Parameters
    ----------
    make: callable
        Given the arguments of all, returns what comes of each: a result, or `Raised`.
    threads: callable
        Gives what runs it, or None to have it run at once.

    Notes
    -----
    Loops of several threads may share it. Nothing waits for calls that are under way. A task that is cancelled takes
    nothing from the others; its call may be made all the same.
    """

    def __init__(
        self, make: Callable[[Sequence[A]], Sequence[R | Raised]], threads: Callable[[], Executor | None]
    ) -> None:
        self._make = make
        self._threads = threads
        self._open: _Batch[A, R] | None = None

    async def call(self, argument: A) -> R:
        """Return, or raise, what comes of a call."""
        loop = asyncio.get_running_loop()
        batch = self._open
        # That of another loop is left to it, and what is in it is sent by it.
        if batch is None or batch.sent or batch.loop is not loop:
            batch = self._open = _Batch(loop)
            loop.call_soon(self._send, batch)
        return await batch.add(argument)

    def _send(self, batch: _Batch[A, R]) -> None:
        batch.sent = True
        try:
            threads = self._threads()
            if threads is not None:
                threads.submit(self._run, batch)
                return
        except RuntimeError as error:  # no thread can be had
            batch.tell([Raised(error)] * len(batch.arguments))
            return
        batch.tell(self._made(batch.arguments))

    def _run(self, batch: _Batch[A, R]) -> None:
        came = self._made(batch.arguments)
        # A loop that is closed has nobody who waits.
        with suppress(RuntimeError):
            batch.loop.call_soon_threadsafe(batch.tell, came)

    def _made(self, arguments: Sequence[A]) -> Sequence[R | Raised]:
        try:
            return self._make(arguments)
        except Exception as error:  # noqa: BLE001  # handed to who has asked
            return [Raised(error)] * len(arguments)
