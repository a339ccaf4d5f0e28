"""What stands around the items of a queue: its options, its locks, the disk, opening and closing: `Frame`."""

from __future__ import annotations

import atexit
import contextlib
import os
import queue
import threading
import time
import warnings
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Final, Generic, Self, TypeVar

from diskdict.backends.file import Durability
from diskdict.codecs import Codec, resolve
from diskdict.disk import absolute
from diskdict.errors import ClosedError
from diskdict.lock import abandon_after_fork
from diskdict.mutex import LockLike
from diskdict.opening import Way, check_choice, check_number, check_perm
from diskdict.queues.dead import Graveyard
from diskdict.queues.engine import Engine
from diskdict.queues.folder import Content, QueueFolder
from diskdict.queues.given import checked_terms
from diskdict.queues.locks import Semaphore, SemaphoreLike, queue_lock, queue_semaphore
from diskdict.queues.orders import Oldest, Order
from diskdict.repeating import Repeater, checked_interval
from diskdict.store import Clock, Seconds

if TYPE_CHECKING:
    from pathlib import Path

V = TypeVar("V")

_LONG_WAIT: Final = 86_400.0
_live: Final[weakref.WeakSet[Frame[object]]] = weakref.WeakSet()


class Frame(queue.Queue[V], Generic[V]):
    """A ``queue.Queue`` over the items of a folder, but for putting and getting. The parameters are those of its heirs.

    Notes
    -----
    Everything is done with ``mutex`` held, but for waiting for the disk.
    """

    _closed = True
    _forked = False
    _order_of: ClassVar[type[Order]] = Oldest

    def __init__(
        self,
        path: str | os.PathLike[str],
        maxsize: int = 0,
        *,
        codec: str | Codec = "json",
        durability: Durability = "process",
        interval: float = 1.0,
        visibility: Seconds | None = None,
        max_deliveries: int | None = None,
        lock: LockLike | None = None,
        semaphore: SemaphoreLike | None = None,
        create: bool = True,
        timeout: float = 0,
        perm: int | None = None,
        clock: Clock = time.time,
    ) -> None:
        if type(maxsize) is not int:
            raise TypeError(f"maxsize is an int, not {maxsize!r}")
        check_choice("durability", durability, ("process", "interval", "full"))
        check_number("timeout", timeout)
        check_perm(perm)
        interval = checked_interval("interval", interval)
        self._terms = checked_terms(visibility, max_deliveries)
        resolved = resolve(codec)
        super().__init__(maxsize)
        self._use(queue_lock(lock))
        self._semaphore: Semaphore | None = queue_semaphore(semaphore)
        self._counted = 0
        self._path = absolute(path)
        self._clock = clock
        self._dumps = resolved.dumps
        self._listeners: tuple[Callable[[], object], ...] = ()
        self._getting = self._putting = self._putting_many = 0
        self.is_shutdown = self._ready = False
        self._waits, lasting = durability == "full", durability != "process"
        way = Way(readonly=False, create=create, timeout=timeout, sleep=time.sleep)
        self._folder = QueueFolder(self._path, resolved.name, way, perm=perm, lasting=lasting, exclusive=self.mutex)
        self._graveyard = Graveyard(self._folder.folder, lasting=lasting, clock=clock)
        self._fill(resolved)
        self._folder.refused = weakref.WeakMethod(self._change_no_more)
        self._closed = False
        abandon_after_fork(self)
        _live.add(self)  # type: ignore[arg-type]
        self._syncer = Repeater(self.flush, interval, "syncing") if durability == "interval" else None

    def _fill(self, codec: Codec) -> None:
        try:
            self._engine: Engine[V] = Engine(
                self._folder, codec, self._order_of, self._terms, clock=self._clock, graveyard=self._graveyard
            )
            self.unfinished_tasks = len(self._engine.waiting)
            self._engine.given_up = 0
            self._balance()
        except BaseException:
            self._graveyard.close()
            self._folder.close(None)
            raise

    def _use(self, mutex: threading.Lock) -> None:
        self.mutex = mutex
        self.not_empty = threading.Condition(mutex)
        self.not_full = threading.Condition(mutex)
        self.all_tasks_done = threading.Condition(mutex)

    @property
    def path(self) -> Path:
        """The folder."""
        import pathlib  # takes longer to load than a queue to open, and only this needs it

        return pathlib.Path(self._path)

    def _prepare(self) -> None:
        """Have what is needed before a change; raise where nothing can be changed any longer."""
        self._check()
        self._folder.begin()
        self._ready = True

    def _change_no_more(self) -> None:
        self._ready = False

    def _check(self) -> None:
        if self._forked:
            raise ClosedError(f"{self._path} was opened before a fork; the child has to open it itself")
        if self._closed:
            raise ClosedError(f"the queue {self._path} is closed; open it again")

    def _settle(self) -> None:
        waiting = self._engine.waiting
        if waiting.is_timed and waiting.is_due(self._clock()):
            if not self._ready:
                self._prepare()
            self._engine.settle()
            self._came(len(self._engine.order))

    def _settled(self) -> None:
        """Bring what others look at in line with what has become of the items."""
        if self._engine.given_up:
            self._count_done(self._engine.given_up)
            self._engine.given_up = 0
            self.not_full.notify_all()
        if self._semaphore is not None:
            self._balance()

    def _balance(self) -> None:
        if self._semaphore is None:
            return
        ready = len(self._engine.order)
        while self._counted < ready:
            self._semaphore.release()
            self._counted += 1
        while self._counted > ready:
            self._semaphore.acquire(False)
            self._counted -= 1

    def _count_done(self, count: int) -> None:
        self.unfinished_tasks = max(0, self.unfinished_tasks - count)
        if not self.unfinished_tasks:
            self.all_tasks_done.notify_all()

    def _took(self, count: int) -> None:
        """Do what is due after items were taken."""
        if self._putting_many:
            self.not_full.notify_all()
        elif self._putting:
            self.not_full.notify(count)
        if self._getting:
            # There may be more; and what is in flight now may come back before any of them looks again.
            self.not_empty.notify()
        if self._semaphore is not None or self._engine.given_up:
            self._settled()

    def _came(self, count: int) -> None:
        """Do what is due after items have come, or come back."""
        if self._getting:
            self.not_empty.notify(count)
        if self._semaphore is not None or self._engine.given_up:
            self._settled()

    def _after(self, change: int) -> None:
        """Do what is due after a change, when the mutex is free again."""
        if self._waits:
            self._folder.sync(change)
        self._tell()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()

    def flush(self) -> None:
        """Have on disk, when it returns, what was changed. DurabilityError where the disk does not take it."""
        with self.mutex:
            self._check()
            change = self._folder.changes
        self._folder.sync(change)

    def notify(self, listener: Callable[[], object]) -> None:
        """Have `listener` called whenever an item may have come or gone, by whichever thread does that.

        It is called without the lock of the queue, and is to be quick. The passing of time is not told: see `next_due`.
        """
        with self.mutex:
            self._listeners = (*self._listeners, listener)

    def silence(self, listener: Callable[[], object]) -> None:
        """End what `notify` has begun."""
        with self.mutex:
            self._listeners = tuple(each for each in self._listeners if each != listener)

    def next_due(self) -> float | None:
        """Return the seconds until an item can be had that is delayed or in flight, None where there is none."""
        with self.mutex:
            self._check()
            return self._next_due()

    def _next_due(self) -> float | None:
        time = self._engine.waiting.next_time
        return None if time is None else min(_LONG_WAIT, max(0.0, time - self._clock()))

    def close(self) -> None:
        """Give the folder back; everything is kept. Who waits gets a ClosedError."""
        with self.mutex:
            if self._closed and self._folder.closed:
                return
            self._end()
        with contextlib.ExitStack() as stack:
            for listener in self._listeners:
                stack.callback(listener)
            if self._syncer is not None:
                stack.callback(self._syncer.stop)
            # Interrupted while it is gathered, what is there is looked for again at the next opening.
            content: Content | None = None
            stack.callback(lambda: self._folder.close(content))
            stack.callback(self._graveyard.close)
            content = self._engine.content()

    def destroy(self) -> None:
        """Close, and remove the queue from the disk. What somebody else has put into the folder stays."""
        with self.mutex:
            self._check()
            self._end()
        self._graveyard.destroy()
        self._folder.destroy()
        self.close()

    def _end(self) -> None:
        self._closed = True
        self._ready = False
        for condition in (self.not_empty, self.not_full, self.all_tasks_done):
            condition.notify_all()

    def _init(self, maxsize: int) -> None:
        """Make no container of items: they are in the files."""

    def abandon(self) -> None:
        """Close the copy of this handle in a forked child: unlock nothing, write nothing."""
        if not self._closed:
            self._closed = self._forked = True
            self._ready = False
            self._use(threading.Lock())
            if self._syncer is not None:
                self._syncer.stop(wait=False)
            self._folder.abandon()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{'closed ' if self._closed else ''}{type(self).__name__} {self._path!r}>"

    def __del__(self) -> None:
        if not self._closed:
            # Nobody else has this queue, and the lock may be one that is shared with another and held just now.
            self._use(threading.Lock())
            self.close()
            warnings.warn(f"{self._path} was not closed", ResourceWarning, source=self, stacklevel=1)


@atexit.register
def _close_all() -> None:
    with contextlib.ExitStack() as stack:
        for each in list(_live):
            stack.callback(each.close)
