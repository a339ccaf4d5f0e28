"""What the processes of `tests/torture` do with a flushed queue. All of this runs in processes of its own."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.queues
import os
import queue
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import faults
from crash_child import descriptors, left_open
from deeds import use
from interrupts import Interrupted

from diskdict import Codec, FlushQueue


class Jobs(queue.Queue[Any], FlushQueue):
    """The queue that is flushed."""


class Left(NamedTuple):
    """What is left in memory when a call has failed: the items, what it raised and was ``where``, what is astray."""

    waiting: list[Any]
    error: str | None
    where: str
    astray: list[str]


def jobs(folder: Path, items: Iterable[Any] = (), codec: str | Codec = "json") -> Jobs:
    """Return a queue in which items wait."""
    q = Jobs()
    q.path, q.codec = folder, codec
    for item in items:
        q.put(item)
    return q


def flush(folder: Path, home: str, items: list[Any], fate: faults.Plan) -> Left:
    """Move items to the folder while `fate` sees the calls."""
    use(home)
    return _moved(jobs(folder, items), "flush", fate)


def ingest(folder: Path, home: str, fate: faults.Plan) -> Left:
    """Bring back what lies in the folder while `fate` sees the calls."""
    use(home)
    return _moved(jobs(folder), "ingest", fate)


def interrupt(folder: Path, way: str, items: list[Any], at: int) -> Left:
    """Flush or ingest with a Ctrl-C at the place number `at`."""
    q, interrupted = jobs(folder, items), Interrupted(at)
    with contextlib.suppress(KeyboardInterrupt), interrupted.armed():
        getattr(q, way)()
    astray = [] if q.mutex.acquire(timeout=1) else ["the mutex is held"]
    return Left(list(q.queue), None, interrupted.where, astray)


def _moved(q: Jobs, way: str, fate: faults.Plan) -> Left:
    before = descriptors()
    error = None
    try:
        with faults.armed(fate):
            getattr(q, way)()
    except OSError as failure:
        error = repr(failure)
    return Left(list(q.queue), error, fate.fired, left_open(before))


class Deadly:
    """A codec whose process is killed at an item."""

    name = "deadly"

    def __init__(self, last: object = None) -> None:
        self._last = last

    def dumps(self, value: object) -> bytes:
        if value == self._last:
            os.kill(os.getpid(), signal.SIGKILL)
        return str(value).encode()

    def loads(self, payload: bytes) -> object:
        return payload.decode()


class Piped(multiprocessing.queues.Queue, FlushQueue):  # type: ignore[type-arg]
    """A queue between processes."""

    def put_all(self, items: list[str]) -> None:
        """Put items."""
        for item in items:
            self.put(item)


def flush_a_pipe(folder: Path, items: list[str], last: str) -> tuple[int | None, list[str]]:
    """Have another process flush a queue that both have, killed at an item; return its end, and what is left."""
    processes = multiprocessing.get_context("fork")
    q = Piped(ctx=processes)
    q.path, q.codec = folder, Deadly(last)
    # At its end a process has everything in the pipe.
    for target, arguments in ((q.put_all, (items,)), (q.flush, ())):
        process = processes.Process(target=target, args=arguments)
        process.start()
        process.join()
    found = []
    while not q.empty():
        found.append(q.get())
    return process.exitcode, found
