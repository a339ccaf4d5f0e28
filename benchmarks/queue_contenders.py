"""Queues that are measured: ours, and others from PyPI that keep on disk what they hold, each doing the same work.

Operations are told apart by what they promise: `get` gives an item up for good, `hold` gives it and lets it come back
after a kill, `take` holds and acknowledges. A queue does what it can promise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from contenders import Contender
from rows import QUEUE_GET

from diskdict import DurableQueue

Durability = Literal["process", "full"]

HOUR = 3600


class Queued(Contender):
    """A queue. The work of a row are values, to be put or only to be counted."""

    def put(self, items: Sequence[Any]) -> None:
        put = self.store.put
        for value in items:
            put(value)

    def get(self, keys: Sequence[Any]) -> None:
        get = self.store.get
        for _ in keys:
            get()

    def hold(self, values: Sequence[Any]) -> None:
        self.get(values)

    def pair(self, values: Sequence[Any]) -> None:
        put, get = self.store.put, self.store.get
        for value in values:
            put(value)
            get()

    def put_many(self, values: Sequence[Any]) -> None:
        self.put(values)


class Ours(Queued):
    name = "DurableQueue"
    durability: Durability = "process"
    visibility: int | None = None

    def open(self) -> None:
        self.store = DurableQueue(self.folder, durability=self.durability, visibility=self.visibility)

    def put_many(self, values: Sequence[Any]) -> None:
        self.store.put_many(values)

    def get_many(self, values: Sequence[Any]) -> None:
        self.store.get_many(len(values))


class OursFull(Ours):
    durability = "full"


class OursHeld(Ours):
    """At least once."""

    visibility = HOUR

    def take(self, values: Sequence[Any]) -> None:
        get, ack = self.store.get, self.store.ack
        for _ in values:
            ack(get())

    def pair_taken(self, values: Sequence[Any]) -> None:
        put, get, ack = self.store.put, self.store.get, self.store.ack
        for value in values:
            put(value)
            ack(get())


class OursHeldFull(OursHeld):
    durability = "full"


class FileQueue(Queued):
    """What it has given comes back after a kill until ``task_done``, which acknowledges all that was given."""

    name = "persist-queue"
    package = "persistqueue"
    autosave = False

    def open(self) -> None:
        self.store = self.module.Queue(self.folder, tempdir=self.folder, autosave=self.autosave)

    def close(self) -> None:
        self.store = None  # it has no other way to be closed

    def get(self, keys: Sequence[Any]) -> None:
        self.take(keys)

    def hold(self, values: Sequence[Any]) -> None:
        super().get(values)

    def take(self, values: Sequence[Any]) -> None:
        get, task_done = self.store.get, self.store.task_done
        for _ in values:
            get()
            task_done()

    def pair(self, values: Sequence[Any]) -> None:
        self.pair_taken(values)

    def pair_taken(self, values: Sequence[Any]) -> None:
        put, get, task_done = self.store.put, self.store.get, self.store.task_done
        for value in values:
            put(value)
            get()
            task_done()


class FileQueueSaved(FileQueue):
    """What it has given is gone."""

    name = "persist-queue autosave"
    autosave = True

    def get(self, keys: Sequence[Any]) -> None:
        self.hold(keys)

    def pair(self, values: Sequence[Any]) -> None:
        Queued.pair(self, values)


class AckQueueFull(Queued):
    """As it comes, SQLite syncs each transaction."""

    name = "SQLiteAckQueue"
    package = "persistqueue"

    def open(self) -> None:
        self.store = self.module.SQLiteAckQueue(self.folder)

    def take(self, values: Sequence[Any]) -> None:
        get, ack = self.store.get, self.store.ack
        for _ in values:
            ack(get(raw=True))

    def pair_taken(self, values: Sequence[Any]) -> None:
        put, get, ack = self.store.put, self.store.get, self.store.ack
        for value in values:
            put(value)
            ack(get(raw=True))


class AckQueue(AckQueueFull):
    """It has no option for less: its connection is told by hand."""

    def open(self) -> None:
        super().open()
        self.store._putter.execute("PRAGMA synchronous=NORMAL")


class DiskDeque(Queued):
    name = "diskcache.Deque"
    package = "diskcache"
    synchronous = 1

    def open(self) -> None:
        cache = self.module.Cache(self.folder, eviction_policy="none", sqlite_synchronous=self.synchronous)
        self.store = self.module.Deque.fromcache(cache)

    def close(self) -> None:
        self.store.cache.close()

    def put(self, items: Sequence[Any]) -> None:
        append = self.store.append
        for value in items:
            append(value)

    def get(self, keys: Sequence[Any]) -> None:
        popleft = self.store.popleft
        for _ in keys:
            popleft()

    def pair(self, values: Sequence[Any]) -> None:
        append, popleft = self.store.append, self.store.popleft
        for value in values:
            append(value)
            popleft()

    def put_many(self, values: Sequence[Any]) -> None:
        with self.store.transact():
            self.put(values)

    def get_many(self, values: Sequence[Any]) -> None:
        with self.store.transact():
            self.get(values)


class DiskDequeFull(DiskDeque):
    synchronous = 2


class IoDictQueue(Queued):
    """Each ``get`` lists the whole folder."""

    name = "iodict"
    package = "iodict"
    slow = frozenset({QUEUE_GET.name})

    def open(self) -> None:
        self.store = self.module.DurableQueue(self.folder)

    def close(self) -> None:
        pass  # its own would remove what it holds


AT_MOST_ONCE = (Ours, FileQueueSaved, FileQueue, DiskDeque, IoDictQueue)
AT_LEAST_ONCE = (OursHeld, FileQueue, AckQueue)
PUT_BY = (Ours, FileQueueSaved, FileQueue, AckQueue, DiskDeque, IoDictQueue)
PEERS = tuple(kind.name for kind in PUT_BY[1:])
