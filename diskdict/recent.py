"""What was read lately, by key, without what was changed since: `Recent`."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from diskdict.store import Record, Stat

Found = Record | Stat | None
"""What a store said of a key: all of it, all but its payload, or that it is not there."""


class CacheStats(NamedTuple):
    """What a cache has done so far.

    ``hits`` and ``misses`` are keys that were asked for, ``size`` is how many it has now, ``evictions`` how many had to
    make room, ``invalidations`` how many were dropped because somebody changed them. ``active`` says whether it keeps
    anything at present.
    """

    hits: int = 0
    misses: int = 0
    size: int = 0
    evictions: int = 0
    invalidations: int = 0
    active: bool = False


class Kept(NamedTuple):
    """What was found, until when it may be told, and at what time of the store it was found."""

    found: Found
    until: float
    since: float


class Lease:
    """The right to have kept what is read now, unless the key is changed before."""

    __slots__ = ("until",)

    def __init__(self, until: float) -> None:
        self.until = until


class Recent:
    """What was found of the keys that were asked for last.

    Parameters
    ----------
    size: int
        How many keys; the one that was not asked for the longest time goes first.
    ttl: float
        Seconds from asking the store for which an answer is told again.
    clock: callable
        Seconds, from any beginning, that never go back.

    Notes
    -----
    Who reads takes a lease before the store is asked and hands it in with the answer. Who changes keys holds `changing`
    meanwhile: nothing is kept of them then, and the leases from before are void. So what is kept is never older than a
    change that has ended, and all keys of one change are forgotten together.
    """

    def __init__(self, size: int, ttl: float, clock: Callable[[], float]) -> None:
        self._size = size
        self._ttl = ttl
        self._clock = clock
        self.renew()
        self._hits = self._misses = self._evictions = self._invalidations = 0

    def renew(self) -> None:
        """Begin anew, and inactive: in a forked child the lock may be held by a thread that is not there."""
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._leases: dict[str, Lease] = {}
        self._changing: dict[str, int] = {}
        self._active = False

    def find(self, keys: Collection[str], *, whole: bool) -> list[Kept] | None:
        """Return what is kept of each key, if it is of all of them; `whole` asks for payloads, too."""
        with self._lock:
            found = []
            now = 0.0 if self._ttl == math.inf else self._clock()
            for key in keys:
                kept = self._kept.get(key)
                if kept is None or kept.until <= now or (whole and type(kept.found) is Stat):
                    return None
                found.append(kept)
            for key in keys:
                self._kept.move_to_end(key)
            self._hits += len(keys)
            return found

    def take_back(self, keys: Collection[str]) -> None:
        """Count as if nothing had been found of keys."""
        with self._lock:
            self._hits -= len(keys)

    def lease(self, keys: Collection[str]) -> Lease:
        """Return the lease of keys that are now asked for."""
        with self._lock:
            lease = Lease(math.inf if self._ttl == math.inf else self._clock() + self._ttl)
            self._misses += len(keys)
            for key in keys:
                # What others see must not be older than what is read here.
                self._kept.pop(key, None)
                if self._active and key not in self._changing:
                    self._leases[key] = lease
            return lease

    def keep(self, lease: Lease, keys: Iterable[str], found: Mapping[str, Found], since: float) -> None:
        """Give a lease back; keep what was found of keys that it still is good for."""
        with self._lock:
            for key in keys:
                if self._leases.get(key) is not lease:
                    continue
                del self._leases[key]
                if key in found:
                    self._kept[key] = Kept(found[key], lease.until, since)
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)
                self._evictions += 1

    @contextmanager
    def changing(self, keys: Collection[str]) -> Iterator[None]:
        """Keep nothing of these keys as long as the block lasts, and nothing that was read before."""
        with self._lock:
            self._forget(keys)
            for key in keys:
                self._changing[key] = self._changing.get(key, 0) + 1
        try:
            yield
        finally:
            with self._lock:
                for key in keys:
                    left = self._changing.get(key, 0) - 1
                    if left > 0:
                        self._changing[key] = left
                    else:
                        self._changing.pop(key, None)

    def forget(self, keys: Iterable[str]) -> None:
        """Forget keys that somebody has changed."""
        with self._lock:
            self._forget(keys)

    def _forget(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._leases.pop(key, None)
            if self._kept.pop(key, None) is not None:
                self._invalidations += 1

    def reset(self, *, active: bool) -> None:
        """Forget everything; keep what is read from now on, or nothing."""
        with self._lock:
            self._invalidations += len(self._kept)
            self._kept.clear()
            self._leases.clear()
            self._active = active

    def stats(self) -> CacheStats:
        """Return the counters."""
        with self._lock:
            return CacheStats(
                self._hits, self._misses, len(self._kept), self._evictions, self._invalidations, self._active
            )
