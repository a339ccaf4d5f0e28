"""The queues of the standard library as something to move items out of and into: `Threads` and `Processes`.

Both are used once. `items` gives what waits, in the order in which putting it makes the same queue again; `settle` is
told which of it, counted from 0, has been moved elsewhere, and has the rest wait as it did. `arrange` says what to put
where not all may fit, and `put` puts it.
"""

from __future__ import annotations

import contextlib
import copy
import heapq
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from itertools import islice, repeat, starmap
from operator import itemgetter
from typing import Final, Protocol, cast

from diskdict.mutex import Lock
from diskdict.queues.blocking import ShutDown

Found = tuple[str, object]
"""The name of an item elsewhere, and the item."""
Read = Callable[[Iterable[str]], Iterator[Found]]

_BARE: Final = (queue.Queue._get, queue.LifoQueue._get, queue.PriorityQueue._get)
"""Those who get from ``queue`` itself, where the items are as they were put."""
_TICK: Final = 0.01


class Threads:
    """A `queue.Queue`, or what derives from it; its mutex has to be `held`.

    Items are taken out of a container of its own by ``_get``, and put into it by ``_put`` in the same order, or in the
    opposite one where it is a `queue.LifoQueue`.
    """

    def __init__(self, waiting: queue.Queue[object]) -> None:
        self._queue = waiting
        self._bare = type(waiting)._get in _BARE
        self._out: list[object] = []
        self.moved = 0
        self.complaints: list[Exception] = []

    def held(self) -> AbstractContextManager[object]:
        """Keep all others out of the queue."""
        return self._queue.mutex

    def empty(self) -> bool:
        """Return whether nothing waits."""
        return not self._queue._qsize()

    @property
    def given(self) -> int:
        """How many `items` has given, and may yet give without taking them out."""
        return len(self._out)

    def items(self) -> Iterator[object]:
        """Return an iterator over what waits."""
        if self._bare:
            self._out.extend(self._queue.queue)
        else:
            self._drain()
        return iter(self._out)

    def _drain(self) -> None:
        # Without a step between getting and keeping: an interruption leaves nothing in nobody's hands.
        self._out.extend(starmap(self._queue._get, repeat((), self._queue._qsize())))
        if isinstance(self._queue, queue.LifoQueue):
            self._out.reverse()

    def settle(self, moved: Collection[int]) -> None:
        """Have all wait that was not moved; what was counts as done."""
        self.moved = len(moved)
        waiting, kept = self._queue, [item for number, item in enumerate(self._out) if number not in moved]
        if not self._bare:
            for item in kept:
                waiting._put(item)
        elif moved:
            # Replaced in one step: an interruption leaves all or the rest.
            container = copy.copy(waiting.queue)
            container.clear()
            container.extend(kept)
            if isinstance(waiting, queue.PriorityQueue):
                heapq.heapify(container)
            waiting.queue = container
        waiting.unfinished_tasks = max(0, waiting.unfinished_tasks - len(moved))
        if not waiting.unfinished_tasks:
            waiting.all_tasks_done.notify_all()
        waiting.not_full.notify(len(moved))

    def arrange(self, read: Read, names: list[str]) -> Iterable[Found]:
        """Return those that there is room for, in the order to put them in; what is to be got first goes first."""
        waiting = self._queue
        room = max(0, waiting.maxsize - waiting._qsize()) if waiting.maxsize > 0 else len(names)
        if room < len(names) and isinstance(waiting, queue.LifoQueue):
            return reversed(list(islice(read(reversed(names)), room)))
        if room < len(names) and isinstance(waiting, queue.PriorityQueue):
            return heapq.nsmallest(room, read(names), key=itemgetter(1))
        return read(names)

    def put(self, item: object) -> None:
        """Put an item, or raise `queue.Full` or `ShutDown`; whatever is raised, it is not in the queue."""
        waiting, size = self._queue, self._queue._qsize()
        if getattr(waiting, "is_shutdown", False):  # from Python 3.13
            raise ShutDown
        if 0 < waiting.maxsize <= size:
            raise queue.Full
        try:
            waiting._put(item)
        except Exception as error:
            # A heap compares an item that it has already.
            if waiting._qsize() == size:
                raise
            self.complaints.append(error)
        waiting.unfinished_tasks += 1
        waiting.not_empty.notify()


class _Reader(Protocol):
    def recv(self) -> object: ...

    def poll(self, timeout: float = ..., /) -> bool: ...


class _ProcessQueue(Protocol):
    """What `multiprocessing.queues.Queue` is made of."""

    _closed: bool
    _maxsize: int
    _buffer: deque[object]
    _notempty: threading.Condition
    _thread: threading.Thread | None
    _reader: _Reader
    _rlock: _TimedLock
    _sem: Lock

    def _start_thread(self) -> None: ...

    def put(self, obj: object, block: bool = ...) -> None: ...

    def qsize(self) -> int: ...


class _TimedLock(Protocol):
    def acquire(self, block: bool, timeout: float, /) -> bool: ...

    def release(self) -> None: ...


class Processes:
    """A `multiprocessing.queues.Queue`, or what derives from it.

    What this process has put is waited for until its feeder has written it, what is in the pipe is taken from there. An
    item that was taken keeps its place among ``maxsize`` until it is moved, so that it can always go back. Raises
    TimeoutError where nothing moves for `patience` seconds, as after the kill of a process that was just reading.
    """

    def __init__(self, waiting: _ProcessQueue, patience: float) -> None:
        if waiting._closed:
            raise ValueError(f"{waiting!r} is closed")
        self._queue = waiting
        self._patience = patience
        self._out: list[object] = []
        self.moved = 0
        self._source: Iterator[object] = iter(())
        self.complaints: list[Exception] = []

    def held(self) -> AbstractContextManager[object]:
        """Others can go on with the queue."""
        return contextlib.nullcontext()

    def empty(self) -> bool:
        """Return whether nothing waits."""
        return self._is_fed() and not self._queue._reader.poll()

    @property
    def given(self) -> int:
        """How many `items` has given."""
        return len(self._out)

    def items(self) -> Iterator[object]:
        """Take what waits, one by one."""
        self._source = islice(self._received(), self._waiting())
        return self._source

    def _waiting(self) -> int | None:
        # Who puts meanwhile must not keep it going for ever.
        try:
            return self._queue.qsize()
        except NotImplementedError:  # macOS
            return None

    def _received(self) -> Iterator[object]:
        reader, lock = self._queue._reader, self._queue._rlock
        deadline = time.monotonic() + self._patience
        while True:
            fed = self._is_fed()  # before the look into the pipe
            if lock.acquire(True, _TICK):
                try:
                    there = reader.poll(0 if fed else _TICK)
                    if there:
                        self._out.append(reader.recv())
                finally:
                    lock.release()
            else:
                there = False
            if there:
                yield self._out[-1]
                deadline = time.monotonic() + self._patience
            elif fed and not reader.poll():
                return
            elif time.monotonic() > deadline:
                raise TimeoutError("the queue's pipe cannot be read or written; a process was killed while it was")

    def _is_fed(self) -> bool:
        waiting = self._queue
        with waiting._notempty:
            if waiting._thread is None or not waiting._thread.is_alive():
                return True
            # It waits there when it has written all that it took from the buffer.
            return not waiting._buffer and bool(waiting._notempty._waiters)  # type: ignore[attr-defined]

    def settle(self, moved: Collection[int]) -> None:
        """Have all wait that was not moved, before what was not taken; what was moved counts as done."""
        self.moved = len(moved)
        waiting = self._queue
        if len(moved) < len(self._out):
            for _ in self._source:
                pass
            self._put_back([item for number, item in enumerate(self._out) if number not in moved])
        done = getattr(waiting, "task_done", None)
        for _ in moved:
            waiting._sem.release()
            if done is not None:
                done()

    def _put_back(self, items: list[object]) -> None:
        waiting = self._queue
        with waiting._notempty:
            if waiting._thread is None:
                waiting._start_thread()
            waiting._buffer.extend(items)
            waiting._notempty.notify()

    def arrange(self, read: Read, names: list[str]) -> Iterable[Found]:
        """Return them in the order to put them in."""
        return read(names)

    def put(self, item: object) -> None:
        """Put an item, or raise `queue.Full`; whatever else is raised, it is not in the queue."""
        self._queue.put(item, False)


def memory_of(waiting: object, patience: float) -> Threads | Processes:
    """Return the way to move the items of a queue. TypeError for what is none of these."""
    if isinstance(waiting, queue.Queue):
        return Threads(waiting)
    # Who derives from it has loaded it.
    processes = sys.modules.get("multiprocessing.queues")
    if processes is not None and isinstance(waiting, processes.Queue):
        return Processes(cast(_ProcessQueue, waiting), patience)
    raise TypeError(
        f"FlushQueue goes with queue.Queue or multiprocessing.queues.Queue as another base, not with {type(waiting)!r}"
    )
