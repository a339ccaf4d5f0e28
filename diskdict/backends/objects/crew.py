"""Requests at the same time: `Crew`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Lock
from typing import Final, TypeVar

from diskdict.errors import ClosedError

A = TypeVar("A")
B = TypeVar("B")

_MOST: Final = 16


class Crew:
    """Threads that ask for many objects at a time, made when they are needed."""

    def __init__(self) -> None:
        self._turn = Lock()
        self._made: ThreadPoolExecutor | None = None
        self._closed = False

    def each(self, work: Callable[[A], B], items: Iterable[A]) -> list[B]:
        """Return what `work` gives for each, when all are done; the first of its exceptions is raised then.

        ClosedError after `close`.
        """
        given = list(items)
        if len(given) < 2:
            return [work(item) for item in given]
        with self._turn:
            if self._closed:
                raise ClosedError("the store is closed; open it again")
            threads = self._made = self._made or ThreadPoolExecutor(_MOST, thread_name_prefix="diskdict-objects")
        waiting = [threads.submit(work, item) for item in given]
        try:
            wait(waiting)
        except BaseException:
            for one in waiting:
                one.cancel()
            wait(waiting)
            raise
        return [one.result() for one in waiting]

    def close(self) -> None:
        """End the threads."""
        with self._turn:
            made, self._made, self._closed = self._made, None, True
        if made is not None:
            made.shutdown()
