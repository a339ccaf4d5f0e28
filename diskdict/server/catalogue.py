"""The queues in a folder and what they were made with: `Catalogue`."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import Empty
from typing import Final, NamedTuple

from diskdict.backends.file import Durability
from diskdict.disk import DiskDict
from diskdict.errors import KeyExistsError, LimitError
from diskdict.layout import escape
from diskdict.queues.durable import DurableLifoQueue, DurablePriorityQueue, DurableQueue
from diskdict.queues.given import Delivery

Queue = DurableQueue[object, Delivery[object]]
"""One that is served: values are whatever was put."""

KINDS: Final[dict[str, type[Queue]]] = {
    "fifo": DurableQueue,
    "lifo": DurableLifoQueue,
    "priority": DurablePriorityQueue,
}
MOST: Final = 1_000
"""Queues, each of which takes some descriptors of the process."""
_OWN: Final = ".settings"


class Making(NamedTuple):
    """What a queue is made with, and keeps."""

    kind: str
    maxsize: int
    visibility: float
    max_deliveries: int | None


class Catalogue:
    """The queues in a folder: each in a folder of its own, and in ``.settings`` a store with a `Making` for each.

    Parameters
    ----------
    folder: Path
        Where they are. It is made by the first queue.
    default: Making
        What queues are made with of which nothing is said.
    durability: str
        That of all queues. What they are made with is on disk at once.
    clock: callable
        Gives the time now in seconds since the epoch.

    Raises
    ------
    StoreLockedError
        By the first use: another process has the folder.

    Notes
    -----
    Threads may use it at the same time; `open` and `remove` of one name are for one thread at a time.
    """

    def __init__(self, folder: Path, default: Making, durability: Durability, clock: Callable[[], float]) -> None:
        self._folder = folder
        self._default = default
        self._durability = durability
        self._clock = clock
        self._lock = threading.Lock()
        self._made: DiskDict[str, dict[str, object]] | None = None

    def names(self) -> list[str]:
        """Return the names of all queues in the order in which they were made."""
        made = self._there()
        return [] if made is None else list(made)

    def making(self, name: str) -> Making | None:
        """Return what a queue was made with, None where there is none."""
        made = self._there()
        found = None if made is None else made.get(name)
        return None if found is None else Making(**found)  # type: ignore[arg-type]

    def make(self, name: str, given: Mapping[str, object]) -> bool:
        """Note a queue, with the default where nothing is given. Return whether it is new; one that is there stays.

        LimitError where there are `MOST` already.
        """
        made = self._opened()
        if name not in made and len(made) >= MOST:
            raise LimitError("queues", MOST, len(made) + 1, "queues")
        try:
            made.create(name, self._default._asdict() | dict(given))
        except KeyExistsError:
            return False
        return True

    def open(self, name: str) -> Queue | None:
        """Return a queue, to be closed by the caller, None where there is none."""
        making = self.making(name)
        if making is None:
            return None
        opened = KINDS[making.kind](
            self._folder / escape(name),
            making.maxsize,
            durability=self._durability,
            visibility=making.visibility,
            max_deliveries=making.max_deliveries,
            clock=self._clock,
        )
        # What is read by the first who asks is read now: later on all others would wait for it.
        with contextlib.suppress(Empty):
            opened.peek()
        return opened

    def remove(self, name: str, opened: Queue) -> None:
        """Remove a queue from the disk."""
        opened.destroy()
        made = self._there()
        if made is not None:
            made.delete(name)

    def close(self) -> None:
        """Give the folder back."""
        with self._lock:
            if self._made is not None:
                self._made.close()

    def _there(self) -> DiskDict[str, dict[str, object]] | None:
        return self._opened() if self._made is not None or (self._folder / _OWN).is_dir() else None

    def _opened(self) -> DiskDict[str, dict[str, object]]:
        with self._lock:
            if self._made is None:
                self._made = DiskDict(self._folder / _OWN, shards=1, durability="full")
            return self._made
