"""Calls that a thread of their own makes, in order, with one sync of the disk for several: `Batches`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, Generic, NamedTuple, TypeVar

from diskdict.queues.durable import DurableLifoQueue, DurablePriorityQueue, DurableQueue

R = TypeVar("R")
V = TypeVar("V")
G = TypeVar("G")


class _Call(NamedTuple, Generic[R]):
    future: Future[R]
    call: Callable[[], R]
    finish: bool


class _Done(NamedTuple, Generic[R]):
    future: Future[R]
    result: R


class Batches:
    """Makes calls one after the other, in a thread that is there while there are any.

    Parameters
    ----------
    finish: callable
        Called after those that were waiting together were made, before they are told their results. Where it raises,
        all of them get that.

    Notes
    -----
    Threads may share it. ``thread`` is the identity of the thread, 0 while there is none.
    """

    def __init__(self, finish: Callable[[], None]) -> None:
        self._finish = finish
        self._lock = threading.Lock()
        self._waiting: list[_Call[object]] = []
        self._running = False
        self.thread = 0

    def submit(self, call: Callable[[], R], *, finish: bool) -> Future[R]:
        """Have `call` made; what it returns or raises is in the future, with `finish` not before that was called."""
        future: Future[R] = Future()
        with self._lock:
            if not self._running:
                # First: where there is no thread to be had, that is raised, and nothing is to be made later.
                threading.Thread(target=self._run, name="diskdict queue").start()
                self._running = True
            self._waiting.append(_Call(future, call, finish))  # type: ignore[arg-type]
        return future

    def _run(self) -> None:
        self.thread = threading.get_ident()
        while calls := self._taken():
            done = [made for call in calls if (made := _make(call)) is not None]
            if done:
                self._tell(done)

    def _taken(self) -> list[_Call[object]]:
        with self._lock:
            calls, self._waiting = self._waiting, []
            if not calls:
                self.thread = 0
                self._running = False
            return calls

    def _tell(self, done: list[_Done[object]]) -> None:
        try:
            self._finish()
        except Exception as error:  # noqa: BLE001  # it is theirs
            for each in done:
                each.future.set_exception(error)
        else:
            for each in done:
                each.future.set_result(each.result)


def _make(call: _Call[R]) -> _Done[R] | None:
    """Make a call, and return what is to be told later, if anything is."""
    if not call.future.set_running_or_notify_cancel():
        return None
    try:
        result = call.call()
    except Exception as error:  # noqa: BLE001  # it is the caller's
        call.future.set_exception(error)
        return None
    if call.finish:
        return _Done(call.future, result)
    call.future.set_result(result)
    return None


class Batched(DurableQueue[V, G]):
    """A queue that leaves it to its `Batches` to sync what is changed in their thread."""

    batches: Batches

    def _after(self, change: int) -> None:
        if threading.get_ident() != self.batches.thread:
            super()._after(change)
            return
        self._tell()


class _Lifo(Batched[V, G], DurableLifoQueue[V, G]):
    pass


class _Smallest(Batched[V, G], DurablePriorityQueue[V, G]):
    pass


ORDERS: Final = {"fifo": Batched, "lifo": _Lifo, "priority": _Smallest}
"""Such queues, by what they give next."""
