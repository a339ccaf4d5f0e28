"""What a queue has given up: the `Graveyard`, a store of its own in the queue's folder, and a `DeadLetter`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Final, Generic, NamedTuple, TypeVar

import ujson

from diskdict.backends.file import FolderStore
from diskdict.errors import ClosedError, CorruptValueError
from diskdict.files import Folder
from diskdict.layout import MANIFEST
from diskdict.store import Clock, Record

FOLDER: Final = "dead"
_KIND: Final = "dead letters"
V = TypeVar("V")


class DeadLetter(NamedTuple, Generic[V]):
    """An item that was given up.

    ``payload`` is its bytes, or what lies in its place if it is ``damaged``; ``reason`` a sentence; ``deliveries`` how
    often it was given; ``put_time`` and ``died`` seconds since the epoch; `value` what it was.
    """

    id: int
    payload: bytes
    reason: str
    deliveries: int
    put_time: float
    died: float
    damaged: bool
    loads: Callable[[bytes], V]

    def __repr__(self) -> str:
        return f"<DeadLetter {self.id}: {self.reason}>"

    def value(self) -> V:
        """Return the value, or raise ValueError where the payload is damaged or cannot be decoded."""
        if self.damaged:
            raise ValueError(f"item {self.id} is {self.reason}")
        try:
            return self.loads(self.payload)
        except Exception as error:
            raise ValueError(f"item {self.id} cannot be decoded: {error}") from error


class Graveyard:
    """Keeps dead letters by id, one readable file each. Its folder is made for the first.

    Parameters
    ----------
    folder: Folder
        The folder of the queue.
    lasting: bool
        Have each on disk when `add` returns.
    clock: callable
        The time in seconds since the epoch.
    """

    def __init__(self, folder: Folder, *, lasting: bool, clock: Clock) -> None:
        self._parent = folder
        self._lasting = lasting
        self._clock = clock
        self._opening = threading.Lock()
        self._store: FolderStore | None = None
        self._closed = False

    def _opened(self, *, create: bool) -> FolderStore | None:
        with self._opening:
            if self._closed:
                raise ClosedError(f"the queue {self._parent.path} is closed; open it again")
            if self._store is None and (create or self._parent.has(f"{FOLDER}/{MANIFEST}")):
                self._store = FolderStore(
                    f"{self._parent.path}/{FOLDER}",
                    kind=_KIND,
                    codec="raw",
                    shards=1,
                    durability="full" if self._lasting else "process",
                    perm=self._parent.mode if self._parent.exact else None,
                    clock=self._clock,
                )
            return self._store

    def add(self, number: int, payload: bytes, reason: str, deliveries: int, put_time: float | None) -> None:
        """Keep an item; one without a `put_time` is damaged."""
        known = {"reason": reason, "deliveries": deliveries, "put_time": put_time, "died": self._clock()}
        meta = ujson.dumps(known)
        store = self._opened(create=True)
        if store is not None:
            store.put(str(number), payload, meta=meta)

    def get(self, number: int, loads: Callable[[bytes], V]) -> DeadLetter[V] | None:
        """Return a dead letter, None where there is none."""
        store = self._opened(create=False)
        if store is None:
            return None
        try:
            record = store.get(str(number))
        except CorruptValueError as error:
            reason = f"damaged: {error.detail}"
            return DeadLetter(number, b"", reason, 0, 0.0, 0.0, damaged=True, loads=loads)
        return None if record is None else _letter(number, record, loads)

    def delete(self, number: int) -> bool:
        """Remove one; return whether it was there."""
        store = self._opened(create=False)
        return store is not None and store.delete(str(number))

    def clear(self) -> int:
        """Remove all; return how many."""
        return sum(map(self.delete, list(self)))

    def __len__(self) -> int:
        store = self._opened(create=False)
        return 0 if store is None else store.count()

    def __iter__(self) -> Iterator[int]:
        store = self._opened(create=False)
        if store is None:
            return iter(())
        with store.exclusive():
            return iter([int(text) for text in store.scan()])

    def close(self) -> None:
        """Give the store back."""
        with self._opening:
            self._closed = True
            if self._store is not None:
                self._store.close()

    def destroy(self) -> None:
        """Remove it from the disk."""
        self.close()
        self._parent.remove_tree(FOLDER)


def _letter(number: int, record: Record, loads: Callable[[bytes], V]) -> DeadLetter[V]:
    known = ujson.loads(record.meta or "{}")
    put_time = known.get("put_time")
    return DeadLetter(
        number,
        record.payload,
        str(known.get("reason", "")),
        int(known.get("deliveries", 0)),
        float(put_time or 0.0),
        float(known.get("died", record.updated)),
        put_time is None,
        loads,
    )
