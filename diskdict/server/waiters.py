"""Requests that wait for a queue without a thread: `Waiters`."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_SOONEST: Final = 0.001
"""Seconds: clocks do not agree on the moment at which a time has come."""


class Waiters(Generic[T]):
    """Who waits for the same thing, each served in turn. All of it happens in the loop.

    Parameters
    ----------
    vain: type of exception
        What an attempt raises for which the time has not come.
    undo: callable
        Takes back what an attempt gave for somebody who has gone meanwhile.
    due: callable
        Gives the seconds after which to try again though nobody calls `wake`, None where that is not needed.
    """

    def __init__(
        self,
        vain: type[Exception],
        undo: Callable[[T], Awaitable[object]],
        due: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._vain = vain
        self._undo = undo
        self._due = due
        self._waiting: OrderedDict[asyncio.Future[T], Callable[[], Awaitable[T]]] = OrderedDict()
        self._turn: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._again = False
        self._ended = False

    def __len__(self) -> int:
        return len(self._waiting)

    async def wait(self, attempt: Callable[[], Awaitable[T]], seconds: float, gone: asyncio.Future[None]) -> T:
        """Return what an attempt gives; try again for so many seconds, as long as somebody is there to hear of it."""
        if not seconds or not self._waiting:
            try:
                return await attempt()
            except self._vain:
                if not seconds or self._ended:
                    raise
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting[future] = attempt
        self.wake()
        try:
            await asyncio.wait((future, gone), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            if future.done() and future.exception() is None:
                await self._undo(future.result())
            raise
        finally:
            self._waiting.pop(future, None)
            future.cancel()
        if future.cancelled():
            raise self._vain
        return future.result()

    def wake(self) -> None:
        """Try again: things may have changed."""
        self._again = True
        if self._turn is None and self._waiting:
            self._turn = asyncio.ensure_future(self._serve())

    def end(self) -> None:
        """Have nobody wait any longer."""
        self._ended = True
        self._set_timer(None)
        for future in self._waiting:
            if not future.done():
                future.set_exception(self._vain())

    async def _serve(self) -> None:
        try:
            while self._waiting:
                self._again = False
                future, attempt = next(iter(self._waiting.items()))
                try:
                    await self._serve_one(future, attempt)
                except self._vain:
                    if not self._again:
                        self._set_timer(None if self._ended else self._due())
                        return
        finally:
            self._turn = None

    async def _serve_one(self, future: asyncio.Future[T], attempt: Callable[[], Awaitable[T]]) -> None:
        if not future.done():
            try:
                given = await attempt()
            except self._vain:
                raise
            except Exception as error:  # noqa: BLE001  # it is told to who has asked
                if not future.done():
                    future.set_exception(error)
            else:
                if future.done():
                    await self._undo(given)
                else:
                    future.set_result(given)
        self._waiting.pop(future, None)

    def _set_timer(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if seconds is not None:
            self._timer = asyncio.get_running_loop().call_later(max(seconds, _SOONEST), self.wake)
