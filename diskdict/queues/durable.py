"""``queue.Queue`` and its like on disk: `DurableQueue`, `DurableLifoQueue`, `DurablePriorityQueue`."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Iterable, Iterator
from types import GenericAlias
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar, cast

from diskdict.queues.acknowledging import Acknowledging, checked_delay
from diskdict.queues.given import Counts
from diskdict.queues.items import MAX_KEY
from diskdict.queues.letters import DeadLetters
from diskdict.queues.orders import Newest, Order, Smallest
from diskdict.store import Seconds

V = TypeVar("V")
if TYPE_CHECKING:
    import typing_extensions

    G = typing_extensions.TypeVar("G", default=V)
else:
    G = TypeVar("G")


class DurableQueue(Acknowledging[V], Generic[V, G]):
    """A ``queue.Queue`` in a folder: what was put is there after `close`, after a kill, in order.

    ``DurableQueue[Job]`` in annotations; with `visibility` ``DurableQueue[Job, Delivery[Job]]``.

    Parameters
    ----------
    path: str or os.PathLike
        The folder; ``~`` is expanded.
    maxsize: int
        Items that may wait, what is delayed among them, before ``put`` waits for room; 0 for any number.
    codec: str or Codec
        How values become bytes, as in `DiskDict`.
    durability: "process", "interval" or "full"
        When ``put``, ``get`` and ``ack`` return it is written, and lost by no kill; or it is on disk at most `interval`
        seconds later; or it is on disk.
    interval: float
        Seconds between two syncs with ``"interval"``.
    visibility: int, float or timedelta, optional
        Seconds for which an item that was got is kept from others. It is removed by `ack`, and given back if that does
        not come. Without it an item is gone when ``get`` returns.
    max_deliveries: int, optional
        How often an item may be given before it goes to `dead_letters`; for ever, if not said.
    lock: optional
        A lock or a factory of locks, to be ``mutex``.
    semaphore: optional
        A semaphore or a factory of them, to count the items that can be had.
    create: bool
        Make the folder where there is none.
    timeout: float
        Seconds to wait for another process that has the folder.
    perm: int, optional
        Permission bits of the files, 0o600.
    clock: callable
        The time in seconds since the epoch.

    Raises
    ------
    StoreLockedError, LockUnsupportedError, FormatError, FileNotFoundError, NotADirectoryError
        As `DiskDict` does.

    Notes
    -----
    Threads share one handle; one process at a time has the folder. After a fork the child's handle is closed. An item
    that waits takes eight bytes of memory, one that is delayed, in flight or has a `dedupe_key` some 300; a priority
    queue keeps all values. A ``put`` that is interrupted by Ctrl-C may count, from the next opening.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> with DurableQueue(folder) as q:
    ...     q.put({"url": "https://example.org/"})
    ...     q.put({"url": "https://example.com/"})
    >>> with DurableQueue(folder) as q:
    ...     q.qsize(), q.get()
    (2, {'url': 'https://example.org/'})
    """

    if not TYPE_CHECKING:
        # ``DurableQueue[Job]`` is to work where it is run, too.
        __class_getitem__ = classmethod(GenericAlias)

    def put(
        self,
        item: V,
        block: bool = True,  # as the standard library has it, here and below
        timeout: float | None = None,
        *,
        delay: Seconds = 0,
        dedupe_key: str | None = None,
    ) -> None:
        """Put `item`, waiting for room as `queue.Queue.put` does.

        It can be had after `delay` seconds. Nothing happens while an item with the same `dedupe_key` is there, which is
        a str of 1 to 1,000 characters. InvalidValueError where the codec cannot write it.
        """
        self._put_payload(self._dumps(item), block, timeout, checked_delay(delay), _checked_key(dedupe_key))

    def _put_payload(
        self, payload: bytes, block: bool, timeout: float | None, delay: float = 0.0, key: str = ""
    ) -> int:
        with self.mutex:
            if not self._ready:
                self._prepare()
            keys = self._engine.waiting.keys
            if self.is_shutdown or (self.maxsize > 0 and key not in keys):
                self._wait_for_room(1, block, timeout)
            if key in keys:
                number = keys[key]
            else:
                number = self._engine.put(payload, self._engine.due(delay) if delay else 0.0, key)
                self.unfinished_tasks += 1
                self._came(1)
            change = self._folder.changes
        self._after(change)
        return number

    def put_many(
        self, items: Iterable[V], block: bool = True, timeout: float | None = None, *, delay: Seconds = 0
    ) -> None:
        """Put items as one change, all or none, when there is room for all. ValueError for more than ``maxsize``."""
        payloads, seconds = [self._dumps(item) for item in items], checked_delay(delay)
        if len(payloads) > self.maxsize > 0:
            raise ValueError(f"{len(payloads)} items never fit in a queue of at most {self.maxsize}")
        with self.mutex:
            if not self._ready:
                self._prepare()
            self._wait_for_room(len(payloads), block, timeout)
            if not payloads:
                return
            self._engine.put_all(payloads, self._engine.due(seconds))
            self.unfinished_tasks += len(payloads)
            self._came(len(payloads))
            change = self._folder.changes
        self._after(change)

    def get(self, block: bool = True, timeout: float | None = None) -> G:  # type: ignore[override]
        """Take the next item, waiting for it as `queue.Queue.get` does; with ``visibility`` a `Delivery`.

        What is damaged, or cannot be decoded, goes to `dead_letters`, and the one behind it is given.
        """
        with self.mutex:
            taken = self._take(block, timeout)
            self._took(1)
            change = self._folder.changes
        if self._waits or self._listeners:
            self._given(change)
        return cast(G, taken)

    def get_many(self, count: int, block: bool = True, timeout: float | None = None) -> list[G]:
        """Take up to `count` items, waiting for the first as `get` does."""
        if type(count) is not int or count < 1:
            raise ValueError(f"count is an int from 1, not {count!r}")
        with self.mutex:
            taken = [self._take(block, timeout)]
            # Those that are taken are gone from the disk: an error behind them is for who asks next.
            with contextlib.suppress(Exception):
                while len(taken) < count and (more := self._engine.take()) is not None:
                    taken.append(more[0])
            self._took(len(taken))
            change = self._folder.changes
        self._given(change)
        return cast(list[G], taken)

    def _given(self, change: int) -> None:
        if self._terms.visibility is None:
            self._after(change)
        else:
            # A delivery is not synced: what a power cut forgets of it is that it was counted.
            self._tell()

    def put_nowait(self, item: V, *, delay: Seconds = 0, dedupe_key: str | None = None) -> None:
        """Put without waiting; ``queue.Full`` if there is no room."""
        self.put(item, block=False, delay=delay, dedupe_key=dedupe_key)

    def get_nowait(self) -> G:  # type: ignore[override]
        """Take without waiting; ``queue.Empty`` if there is nothing."""
        return self.get(block=False)

    def peek(self) -> V:
        """Return the value of the next item and leave it; ``queue.Empty`` if there is none."""
        with self.mutex:
            if not self._ready:
                self._prepare()
            self._settle()
            found = self._engine.peek()
            self._settled()
        if found is None:
            raise queue.Empty
        return found[0]

    def __iter__(self) -> Iterator[V]:
        """Yield the values that can be had now, in their order, and leave them; what is taken meanwhile is left out."""
        with self.mutex:
            self._check()
            self._settle()
            numbers = list(self._engine.order)
        for number in numbers:
            with self.mutex:
                self._check()
                found = self._engine.peek_at(number)
            if found is not None:
                yield found[0]

    def clear(self) -> int:
        """Remove all items, waiting, delayed and in flight, but no dead letters; return how many."""
        with self.mutex:
            if not self._ready:
                self._prepare()
            count = self._engine.clear()
            self._count_done(count)
            self.not_full.notify_all()
            self._balance()
            change = self._folder.changes
        self._after(change)
        return count

    def counts(self) -> Counts:
        """Return how many items there are, by what becomes of them."""
        with self.mutex:
            self._check()
            self._settle()
            return self._engine.counts()

    @property
    def dead_letters(self) -> DeadLetters[V]:
        """What was given up, by id."""
        self._check()
        return DeadLetters(self._graveyard, self._engine.loads, lambda payload: self._put_payload(payload, False, None))


class DurableLifoQueue(DurableQueue[V, G]):
    """A ``queue.LifoQueue`` in a folder; see `DurableQueue`."""

    _order_of: ClassVar[type[Order]] = Newest


class DurablePriorityQueue(DurableQueue[V, G]):
    """A ``queue.PriorityQueue`` in a folder: the smallest first, of equal ones that which was put first.

    See `DurableQueue`. What cannot be compared with what is there is refused by ``put``. All values are read when the
    first of them is needed.
    """

    _order_of: ClassVar[type[Order]] = Smallest


def _checked_key(key: str | None) -> str:
    if key is None:
        return ""
    if not isinstance(key, str):
        raise TypeError(f"a dedupe_key is a str, not {key!r}")
    if not 1 <= len(key) <= MAX_KEY:
        raise ValueError(f"a dedupe_key has 1 to {MAX_KEY:,} characters, not {len(key):,}")
    try:
        key.encode()
    except UnicodeEncodeError:
        raise ValueError(f"a dedupe_key is text that can be written as UTF-8, not {key!r}") from None
    return key
