"""A store without a disk: `MemoryStore`."""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right, insort
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from operator import itemgetter
from typing import Final

from diskdict.checksums import crc32
from diskdict.errors import ClosedError
from diskdict.limits import Limits, checked
from diskdict.mutex import LockLike, mutation_lock
from diskdict.store import ABSENT, NEVER, Clock, OnlyIf, Record, Stat, Store

_SWEPT_PER_WRITE: Final = 2
_when = itemgetter(0)


class MemoryStore(Store):
    """Records in a dict, gone when the process ends.

    Parameters
    ----------
    clock: callable
        Gives the time now in seconds since the epoch.
    lock: lock or factory of locks
        Held around every mutation; an RLock by default.
    limits: Limits
        Of these, ``total_bytes`` is watched here: expired records are removed before a LimitError is raised.

    Notes
    -----
    Reads take no lock. Each write removes at most two expired records; `sweep` removes all.
    """

    def __init__(
        self,
        *,
        clock: Clock = time.time,
        lock: LockLike | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.clock = clock
        self._lock = mutation_lock(lock)
        self._limits = checked(limits)
        self._records: dict[str, Record] = {}
        self._published: Mapping[str, Record | None] = {}  # a commit on its way into the records
        self._due: list[tuple[float, str]] = []
        self._bytes = 0
        self._counter = 0
        self._changes = 0
        self._closed = False

    def get(self, key: str) -> Record | None:
        if self._closed:
            raise self._ended()
        published = self._published
        record = published[key] if key in published else self._records.get(key)
        if record is None or (record.expires != NEVER and record.expires <= self.clock()):
            return None
        return record

    def get_many(self, keys: Iterable[str]) -> dict[str, Record]:
        with self._lock:
            return super().get_many(keys)

    def stat(self, key: str) -> Stat | None:
        record = self.get(key)
        if record is None:
            return None
        return Stat(len(record.payload), crc32(record.payload), *record[1:])

    def put(
        self,
        key: str,
        payload: bytes,
        *,
        expires: float = NEVER,
        meta: str | None = None,
        spelling: str | None = None,
        created: float | None = None,
        only_if: OnlyIf = None,
    ) -> int | None:
        with self._lock:
            old = self.get(key)
            if not _holds(only_if, old):
                return None
            now = self.clock()
            self._make_room(key, len(payload))
            order, version = self._place(key, old)
            if old is not None:
                created, spelling = old.created, old.spelling
            born = now if created is None else created
            self._keep(key, Record(payload, order, born, now, expires, version, meta or None, spelling))
            self._sweep(now, _SWEPT_PER_WRITE)
            return version

    def _place(self, key: str, old: Record | None) -> tuple[int, int]:
        self._counter += 1
        if old is not None:
            return old.order, self._counter
        # An expired record gives up its place: what is put now is a new key.
        self._drop(key)
        self._changes += 1
        return self._counter, self._counter

    def amend(
        self, key: str, *, expires: float | None = None, meta: str | None = None, only_if: int | None = None
    ) -> int | None:
        with self._lock:
            record = self.get(key)
            if record is None or not _holds(only_if, record):
                return None
            if expires is not None:
                record = record._replace(expires=expires)
            if meta is not None:
                record = record._replace(meta=meta or None)
            self._counter += 1
            self._keep(key, record._replace(version=self._counter))
            self._sweep(self.clock(), _SWEPT_PER_WRITE)
            return self._counter

    def delete(self, key: str, *, only_if: int | None = None) -> bool:
        with self._lock:
            record = self.get(key)
            removed = record is not None and _holds(only_if, record)
            if removed:
                self._drop(key)
                self._changes += 1
            self._sweep(self.clock(), _SWEPT_PER_WRITE)
            return removed

    def rename(self, source: str, target: str, *, spelling: str | None = None) -> bool | None:
        with self._lock:
            record = self.get(source)
            if record is None:
                return None
            if self.get(target) is not None:
                return False
            self._drop(source)
            self._drop(target)
            self._counter += 1
            self._changes += 1
            self._keep(target, record._replace(order=self._counter, version=self._counter, spelling=spelling))
            self._sweep(self.clock(), _SWEPT_PER_WRITE)
            return True

    def scan(self, prefix: str = "", *, reverse: bool = False) -> Iterator[str]:
        with self._lock:
            self._check_open()
            # Sweeping must not disturb a scan as it would disturb the iterator of a dict, hence the copy.
            keys = [key for key in self._records if key.startswith(prefix)] if prefix else list(self._records)
            return self._walk(reversed(keys) if reverse else iter(keys), self.clock(), self._changes)

    def _walk(self, keys: Iterator[str], now: float, changes: int) -> Iterator[str]:
        for key in keys:
            self._check_unchanged(changes)
            record = self._records.get(key)
            if record is not None and record.expires > now:
                yield key
        self._check_unchanged(changes)

    def _check_unchanged(self, changes: int) -> None:
        self._check_open()
        if self._changes != changes:
            raise RuntimeError("dictionary changed size during iteration")

    def contains(self, key: str) -> bool:
        return self.get(key) is not None

    def count(self) -> int:
        with self._lock:
            self._check_open()
            expired = bisect_right(self._due, self.clock(), key=_when) if self._due else 0
            return len(self._records) - expired

    def spelling(self, key: str) -> str:
        self._check_open()
        record = self._records.get(key)
        return key if record is None or record.spelling is None else record.spelling

    def exclusive(self) -> AbstractContextManager[object]:
        self._check_open()
        return self._lock

    def sweep(self, limit: int | None = None) -> int:
        with self._lock:
            self._check_open()
            return self._sweep(self.clock(), limit)

    def number(self) -> int:
        self._counter += 1
        return self._counter

    def commit(self, changes: Mapping[str, Record | None], *, amended: Collection[str] = ()) -> None:  # noqa: ARG002
        with self._lock:
            self._check_open()
            self._published = dict(changes)
            try:
                self._take_over_all(changes)
            finally:
                # Interrupted or not: all have seen it.
                self._take_over_all(changes)
                self._published = {}

    def _take_over_all(self, changes: Mapping[str, Record | None]) -> None:
        for key, record in changes.items():
            if self._records.get(key) is not record:
                self._take_over(key, record)

    def _take_over(self, key: str, record: Record | None) -> None:
        old = self._records.get(key)
        if old is None or record is None or old.order != record.order:
            self._drop(key)
            self._changes += 1
        if record is not None:
            self._keep(key, record)

    def check_growth(self, growth: int) -> None:
        allowed = self._limits.total_bytes
        if allowed is not None and self._bytes + growth > allowed:
            self._sweep(self.clock(), None)
            self._limits.check_total(self._bytes + growth)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._records.clear()
            self._due.clear()

    def _check_open(self) -> None:
        if self._closed:
            raise self._ended()

    def _ended(self) -> ClosedError:
        return ClosedError("the store is closed, and what was in memory is gone; open another")

    def _keep(self, key: str, record: Record) -> None:
        old = self._records.get(key)
        if old is not None:
            self._uncount(key, old)
        self._records[key] = record
        self._bytes += len(record.payload)
        if record.expires != NEVER:
            insort(self._due, (record.expires, key))

    def _drop(self, key: str) -> None:
        record = self._records.pop(key, None)
        if record is not None:
            self._uncount(key, record)

    def _uncount(self, key: str, record: Record) -> None:
        self._bytes -= len(record.payload)
        if record.expires != NEVER:
            del self._due[bisect_left(self._due, (record.expires, key))]

    def _sweep(self, now: float, limit: int | None) -> int:
        if not self._due or self._due[0][0] > now:
            return 0
        expired = bisect_right(self._due, now, key=_when)
        keys = [key for _, key in self._due[: expired if limit is None else min(limit, expired)]]
        for key in keys:
            self._drop(key)
        return len(keys)

    def _make_room(self, key: str, size: int) -> None:
        allowed = self._limits.total_bytes
        if allowed is not None and self._bytes_with(key, size) > allowed:
            self._sweep(self.clock(), None)
            self._limits.check_total(self._bytes_with(key, size))

    def _bytes_with(self, key: str, size: int) -> int:
        old = self._records.get(key)
        return self._bytes + size - (0 if old is None else len(old.payload))


def _holds(only_if: OnlyIf, record: Record | None) -> bool:
    if only_if is None:
        return True
    if record is None:
        return only_if is ABSENT
    return only_if == record.version


def open_url(
    url: str,
    *,
    codec: str,  # noqa: ARG001  # there is no folder to write its name into
    clock: Clock,
    lock: LockLike | None,
    limits: Limits | None,
) -> MemoryStore:
    """Return a fresh store for ``memory:``."""
    if url != "memory:":
        raise ValueError(f"memory: takes no path, not {url!r}; every such store is a fresh one")
    return MemoryStore(clock=clock, lock=lock, limits=limits)
