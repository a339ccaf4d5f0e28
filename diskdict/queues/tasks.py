"""What tasks do otherwise than threads: other errors, and waiting for a thread: `in_thread`."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sys
from collections.abc import Callable, Iterator
from typing import Final, TypeVar
from weakref import WeakKeyDictionary

from diskdict.queues.batches import Batches
from diskdict.queues.blocking import ShutDown

R = TypeVar("R")

if sys.version_info >= (3, 13):
    from asyncio import QueueShutDown
else:

    class QueueShutDown(Exception):  # noqa: N818  # as Python 3.13 has named it
        """The queue was shut down."""


@contextlib.contextmanager
def errors_of_asyncio() -> Iterator[None]:
    """Have what a queue raises be what asyncio's raises."""
    try:
        yield
    except ShutDown:
        raise QueueShutDown from None
    except queue.Empty:
        raise asyncio.QueueEmpty from None
    except queue.Full:
        raise asyncio.QueueFull from None


_spared: Final[WeakKeyDictionary[asyncio.Task[object], asyncio.CancelledError]] = WeakKeyDictionary()
"""Tasks that were cancelled while they could not be, until that strikes."""


async def in_thread(batches: Batches, call: Callable[[], R], *, finish: bool, surely: bool = False) -> R:
    """Have a thread make a call. What has begun is waited for, even by a task that is cancelled meanwhile.

    The cancellation strikes when the task waits for the next time. What has not begun does not begin then, unless
    `surely`.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    if task is not None and not surely and (spared := _spared.pop(task, None)) is not None and task.cancelling():
        raise spared
    future = batches.submit(call, finish=finish)
    told = asyncio.wrap_future(future, loop=loop)
    while not told.done():
        try:
            await asyncio.wait([told])
        except asyncio.CancelledError as error:
            if not surely and future.cancel():
                raise
            if task is not None:
                _spared[task] = error
    if task is not None and task in _spared:
        loop.call_soon(_strike, task)
    return told.result()


def _strike(task: asyncio.Task[object]) -> None:
    cancelled = _spared.pop(task, None)
    # Not where whoever cancelled it has taken that back, as the end of asyncio.timeout does.
    if cancelled is not None and not task.done() and task.cancelling():
        task.uncancel()
        task.cancel(*cancelled.args)
