"""What tasks do otherwise than threads: other errors, and waiting for a thread without leaving it: `finished`."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from typing import TypeVar

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


async def finished(future: Future[R]) -> R:
    """Return what a thread makes of it. What has begun is waited for, even by a task that is cancelled meanwhile."""
    loop = asyncio.get_running_loop()
    cancelled: asyncio.CancelledError | None = None
    told = asyncio.wrap_future(future, loop=loop)
    while not told.done():
        try:
            await asyncio.wait([told])
        except asyncio.CancelledError as error:
            if future.cancel():
                raise
            cancelled = error
    task = asyncio.current_task()
    if cancelled is not None and task is not None:
        loop.call_soon(_cancel_again, task, cancelled)
    return told.result()


def _cancel_again(task: asyncio.Task[object], cancelled: asyncio.CancelledError) -> None:
    # Not where whoever cancelled it has taken that back, as the end of asyncio.timeout does.
    if not task.done() and task.cancelling():
        task.uncancel()
        task.cancel(*cancelled.args)
