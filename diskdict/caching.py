"""A store before which lies a memory of what was read lately: `CachedStore`."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import BinaryIO, Final, cast

from diskdict.checksums import crc32
from diskdict.criteria import Criteria
from diskdict.listening import Telling
from diskdict.lock import abandon_after_fork
from diskdict.recent import CacheStats, Found, Kept, Recent
from diskdict.repeating import checked_interval
from diskdict.store import NEVER, Clock, OnlyIf, Record, Seconds, Stat, Store

SIZE: Final = 1_000


class CachedStore(Store):
    """A store of which what was read lately is told again without asking it.

    Parameters
    ----------
    base: Store
        The store. `close` closes it.
    size: int
        How many keys are remembered, missing ones too; the one that was not asked for the longest time goes first.
    ttl: int, float or timedelta, optional
        Seconds after which the store is asked again; None for no limit.
    ticks: callable
        Seconds, from any beginning, that never go back.

    Notes
    -----
    `read`, `stat`, `contains` and `get_many` may be answered from memory. `get` never is, and nothing is for the thread
    that holds `exclusive`: what is decided, is decided by what the store says. `get_many` is answered from memory where
    it has all of the keys, else the store is asked for all: so they are as of one moment.

    A change by way of this object is seen by whoever reads after it began. A change by others is seen after `ttl`
    seconds, or as soon as the store tells of it, if it does: then nothing is remembered as long as it cannot. Expiry is
    that of the record, by the clock of the store.
    """

    def __init__(
        self,
        base: Store,
        *,
        size: int = SIZE,
        ttl: Seconds | None = None,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self.base = base
        self.clock: Clock = base.clock
        self.readonly = base.readonly
        self.codec = base.codec
        self.shared = base.shared
        self._recent = Recent(checked_size(size), checked_ttl(ttl), ticks)
        self._starting = threading.Lock()
        self._started = False
        self._closed = False
        self._owner = 0
        self._depth = 0
        abandon_after_fork(self)

    def abandon(self) -> None:
        """Know nothing in a forked child of what the parent was told."""
        self._recent.renew()
        self._starting, self._started = threading.Lock(), False
        self._owner = self._depth = 0
        abandon_after_fork(self)

    def cache_stats(self) -> CacheStats:
        """Return what the memory has done so far."""
        return self._recent.stats()

    # ---- what the store tells

    def changed(self, keys: Collection[str]) -> None:
        """Forget keys that were changed by somebody."""
        self._recent.forget(keys)

    def reset(self, *, told: bool) -> None:
        """Forget everything. Nothing is remembered until the store tells of changes again."""
        with self._starting:
            self._recent.reset(active=told and not self._closed)

    def _start(self) -> None:
        with self._starting:
            begins, self._started = not self._started and not self._closed, True
        if begins and not (isinstance(self.base, Telling) and self.base.tell(self)):
            self.reset(told=True)

    # ---- what may be answered from memory

    def _recall(self, keys: Collection[str], *, whole: bool) -> list[Kept] | None:
        if self._owner and self._owner == threading.get_ident():
            return None
        found = self._recent.find(keys, whole=whole)
        if found is None or all(map(self._is_so, found)):
            return found
        self._recent.take_back(keys)
        return None

    def _is_so(self, kept: Kept) -> bool:
        if kept.found is None:
            # Before that time it might have been there, and have expired.
            return kept.since <= self.clock()
        return kept.found.expires == NEVER or kept.found.expires > self.clock()

    def _asked(self, keys: Collection[str], ask: Callable[[], Mapping[str, Found]]) -> Mapping[str, Found]:
        """Return what the store says of keys, and remember it."""
        if not self._started:
            self._start()
        lease = self._recent.lease(keys)
        found: Mapping[str, Found] = {}
        since = math.inf
        try:
            found = ask()
            if None in found.values():
                since = self.clock()
        finally:
            self._recent.keep(lease, keys, found, since)
        return found

    def get(self, key: str) -> Record | None:
        return cast("Record | None", self._asked((key,), lambda: {key: self.base.get(key)})[key])

    def read(self, key: str) -> bytes | None:
        kept = self._recall((key,), whole=True)
        record = self.get(key) if kept is None else cast("Record | None", kept[0].found)
        return None if record is None else record.payload

    def stat(self, key: str) -> Stat | None:
        kept = self._recall((key,), whole=False)
        if kept is None:
            return cast("Stat | None", self._asked((key,), lambda: {key: self.base.stat(key)})[key])
        found = kept[0].found
        return Stat(len(found.payload), crc32(found.payload), *found[1:]) if isinstance(found, Record) else found

    def contains(self, key: str) -> bool:
        kept = self._recall((key,), whole=False)
        return self.stat(key) is not None if kept is None else kept[0].found is not None

    def get_many(self, keys: Iterable[str]) -> dict[str, Record]:
        asked = list(dict.fromkeys(keys))
        kept = self._recall(asked, whole=True)
        if kept is not None:
            found: Mapping[str, Found] = dict(zip(asked, (each.found for each in kept), strict=True))
        else:
            found = self._asked(asked, lambda: dict.fromkeys(asked) | self.base.get_many(asked))
        return {key: record for key in asked if isinstance(record := found[key], Record)}

    # ---- what changes

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
        with self._recent.changing((key,)):
            return self.base.put(
                key, payload, expires=expires, meta=meta, spelling=spelling, created=created, only_if=only_if
            )

    def amend(
        self, key: str, *, expires: float | None = None, meta: str | None = None, only_if: int | None = None
    ) -> int | None:
        with self._recent.changing((key,)):
            return self.base.amend(key, expires=expires, meta=meta, only_if=only_if)

    def delete(self, key: str, *, only_if: int | None = None) -> bool:
        with self._recent.changing((key,)):
            return self.base.delete(key, only_if=only_if)

    def rename(self, source: str, target: str, *, spelling: str | None = None) -> bool | None:
        with self._recent.changing((source, target)):
            return self.base.rename(source, target, spelling=spelling)

    def put_many(
        self, payloads: Mapping[str, bytes], *, expires: float = NEVER, spellings: Mapping[str, str] | None = None
    ) -> None:
        with self._recent.changing(payloads):
            self.base.put_many(payloads, expires=expires, spellings=spellings)

    def delete_many(self, keys: Iterable[str]) -> dict[str, bool]:
        asked = list(keys)
        with self._recent.changing(asked):
            return self.base.delete_many(asked)

    def commit(self, changes: Mapping[str, Record | None], *, amended: Collection[str] = ()) -> None:
        with self._recent.changing(changes):
            self.base.commit(changes, amended=amended)

    def commit_if(
        self, expected: Mapping[str, OnlyIf], changes: Mapping[str, Record | None], *, amended: Collection[str] = ()
    ) -> None:
        # What was expected may have been read here, and be wrong.
        with self._recent.changing({**expected, **changes}):
            self.base.commit_if(expected, changes, amended=amended)

    def reject(self, key: str, payload: bytes, detail: str) -> None:
        with self._recent.changing((key,)):
            self.base.reject(key, payload, detail)

    def sweep(self, limit: int | None = None) -> int:
        # What has expired is not told anyway.
        return self.base.sweep(limit)

    @contextmanager
    def _alone(self, held: AbstractContextManager[object]) -> Iterator[None]:
        with held:
            self._owner = threading.get_ident()
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if not self._depth:
                    self._owner = 0

    def exclusive(self) -> AbstractContextManager[object]:
        return self._alone(self.base.exclusive())

    # ---- what the store alone knows

    def open(self, key: str) -> BinaryIO | None:
        return self.base.open(key)

    def scan(self, prefix: str = "", *, reverse: bool = False) -> Iterator[str]:
        return self.base.scan(prefix, reverse=reverse)

    def scan_like(self, pieces: Sequence[str]) -> Iterator[str]:
        return self.base.scan_like(pieces)

    def scan_meta(self, prefix: str, criteria: Criteria) -> Iterator[tuple[str, str]] | None:
        return self.base.scan_meta(prefix, criteria)

    def scan_keys(self) -> Iterator[str] | None:
        return self.base.scan_keys()

    def count(self) -> int:
        return self.base.count()

    def spelling(self, key: str) -> str:
        return self.base.spelling(key)

    def number(self) -> int:
        return self.base.number()

    def groups(self, keys: Iterable[str]) -> Iterable[Collection[str]]:
        return self.base.groups(keys)

    def check_growth(self, growth: int) -> None:
        self.base.check_growth(growth)

    def close(self) -> None:
        with self._starting:
            self._closed = True
            self._recent.reset(active=False)
        self.base.close()


def beneath(store: Store) -> Store:
    """Return the store itself, where this is one with a memory before it."""
    return store.base if isinstance(store, CachedStore) else store


def checked_size(size: int) -> int:
    """Return how many keys are to be remembered; ValueError for what is no number from 1."""
    if type(size) is not int or size < 1:
        raise ValueError(f"cache_size is a number of keys from 1, not {size!r}")
    return size


def checked_ttl(ttl: Seconds | None) -> float:
    """Return for how many seconds something is remembered; ValueError for what is no number above 0, or None."""
    return math.inf if ttl is None else checked_interval("cache_ttl", ttl)
