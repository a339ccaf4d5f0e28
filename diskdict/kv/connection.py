"""A store that is connected when it is first needed, and a dict over it that several share: `Connection`."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

from diskdict.backends import open_store, scheme_of
from diskdict.backends.file import FolderStore
from diskdict.caching import CachedStore, beneath, checked_size, checked_ttl
from diskdict.codecs import Codec, as_found, compressed, resolve
from diskdict.core import StoreDict
from diskdict.disk import absolute
from diskdict.errors import ClosedError
from diskdict.kv.access import Accesses
from diskdict.kv.addresses import JSON, Address
from diskdict.kv.clients import Brought
from diskdict.kv.names import StoreKey
from diskdict.opening import is_one_file, path_of_url
from diskdict.recent import CacheStats
from diskdict.repeating import Repeater
from diskdict.store import NEVER, Clock, Seconds, Store, Ttl, expiry

KIND: Final = "kv"

Connect = Callable[[Store | None], Store]
"""Makes the store, or returns the one that others in this process have open there, if that is what is asked for."""


class Caching(NamedTuple):
    """How many keys are remembered, and for how many seconds: None for no limit."""

    size: int
    ttl: Seconds | None


class _InUse(NamedTuple):
    """A store in files that this process has open, how many use it, and what it remembers."""

    store: Store
    users: int
    caching: Caching | None


_in_use: Final[dict[str, _InUse]] = {}
_turn: Final = threading.Lock()


class Connection:
    """The dict over a store, made when it is first asked for.

    Parameters
    ----------
    connect: callable
        Makes the store.
    path: str, optional
        The folder or the file that it is: all connections of this process to one use one store.
    codec, default_ttl:
        As in `StoreDict`.
    cleanup_interval: float, optional
        Seconds between two removals of what has expired.
    caching: Caching, optional
        What is remembered of what was read.
    accesses: Accesses, optional
        What is to write down that keys were read.

    Notes
    -----
    Threads may share it.
    """

    def __init__(
        self,
        connect: Connect,
        *,
        path: str | None,
        codec: str | Codec,
        default_ttl: Ttl,
        cleanup_interval: float | None,
        caching: Caching | None = None,
        accesses: Accesses | None = None,
    ) -> None:
        self._connect = connect
        self._caching = caching
        self.accesses = accesses
        self._path = None if path is None else os.path.realpath(path)
        self._codec = resolve(codec)
        self._default_ttl = default_ttl
        self._cleanup_interval = cleanup_interval
        self._lock = threading.Lock()
        self.closed = False
        self._store: Store | None = None
        self._over: StoreDict[StoreKey, object] | None = None
        self._cleaner: Repeater | None = None

    @property
    def codec(self) -> Codec:
        """The codec, with the compression that the store was found with."""
        return as_found(self._codec, self.store().codec)

    def expiry(self) -> float:
        """Return when something expires that is stored now with no time-to-live of its own."""
        return NEVER if self._default_ttl is None else expiry(None, self._default_ttl, self.store().clock())

    def over(self) -> StoreDict[StoreKey, object]:
        """Return the dict. ClosedError after `close`."""
        over = self._over
        # Not by its truth: a dict is asked for its length then.
        return self._open()[1] if over is None else over

    def store(self) -> Store:
        """Return the store below it."""
        return self._store or self._open()[0]

    def cache_stats(self) -> CacheStats:
        """Return what was remembered so far; nothing before the first operation, and without a cache."""
        return self._store.cache_stats() if isinstance(self._store, CachedStore) else CacheStats()

    def _connected(self) -> Store:
        if self._path is not None:
            return _shared(self._path, self._connect, self._caching)
        return _with_memory(self._connect(None), self._caching)

    def _open(self) -> tuple[Store, StoreDict[StoreKey, object]]:
        with self._lock:
            if self.closed:
                raise ClosedError("the store is closed; make it again")
            if self._store is None or self._over is None:
                store = self._connected()
                try:
                    over: StoreDict[StoreKey, object] = StoreDict(
                        store, codec=self._codec, default_ttl=self._default_ttl
                    )
                except BaseException:
                    self._give_back(store)
                    raise
                if self._cleanup_interval is not None:
                    self._cleaner = Repeater(over.cleanup_expired, self._cleanup_interval, "cleanup")
                self._store, self._over = store, over
            return self._store, self._over

    def close(self) -> None:
        """Give the store back. ClosedError is raised afterwards."""
        with self._lock:
            self.closed = True
            store, cleaner = self._store, self._cleaner
            self._store = self._over = self._cleaner = None
        if cleaner is not None:
            cleaner.stop()
        if store is not None:
            self._give_back(store)

    def _give_back(self, store: Store) -> None:
        if self._path is None:
            store.close()
        else:
            _returned(self._path)


def _with_memory(store: Store, caching: Caching | None) -> Store:
    return store if caching is None else CachedStore(store, size=caching.size, ttl=caching.ttl)


def _shared(path: str, connect: Connect, caching: Caching | None) -> Store:
    with _turn:
        known = _in_use.get(path)
        if known is None:
            store = _with_memory(connect(None), caching)
            _in_use[path] = _InUse(store, 1, caching)
            return store
        if known.caching != caching:
            raise ValueError(
                f"{path!r} is open in this process with another cache; all stores of a path share one: give each the"
                " same cache=, cache_ttl= and cache_size="
            )
        below = beneath(known.store)
        found = connect(below)
        store = known.store if found is below else _with_memory(found, caching)
        _in_use[path] = _InUse(store, known.users + 1, caching)
        return store


def _returned(path: str) -> None:
    # Closed before others have their turn: who comes next finds it open, or can open it.
    with _turn:
        known = _in_use.pop(path)
        if known.users > 1:
            _in_use[path] = known._replace(users=known.users - 1)
        else:
            known.store.close()


def caching_of(cache: str | None, ttl: Seconds | None, size: int) -> Caching | None:
    """Return what is to be remembered, None for nothing; ValueError for settings that are none."""
    checked = Caching(checked_size(size), None if ttl is None else checked_ttl(ttl))
    if cache not in (None, "memory"):
        raise ValueError(f"cache is None or 'memory', not {cache!r}")
    return None if cache is None else checked


def connection_to(
    place: Address | Brought,
    *,
    codec: str | Codec,
    default_ttl: Ttl,
    cleanup_interval: float | None,
    caching: Caching | None,
    accesses: Accesses | None,
    clock: Clock,
) -> Connection:
    """Return a connection to the store at an address, or of a client, that is made by the first use.

    ValueError for an address that nobody knows.
    """
    resolved = resolve(codec)
    path: str | None = None
    connect: Connect
    if isinstance(place, Brought):
        connect = partial(_brought, place, resolved.name, clock)
    elif scheme_of(place.url) != "file":
        connect = partial(_opened, place.url, resolved.name, clock)
    else:
        path = absolute(path_of_url(place.url))
        if place.format == JSON or (place.format is None and is_one_file(path)):
            connect = partial(_one_file, path, resolved.name, place.compression, clock)
        else:
            resolved = compressed(resolved, place.compression)
            connect = partial(_folder, path, resolved.name, clock)
    return Connection(
        connect,
        path=path,
        codec=resolved,
        default_ttl=default_ttl,
        cleanup_interval=cleanup_interval,
        caching=caching,
        accesses=accesses,
    )


def _brought(client: Brought, codec: str, clock: Clock, _known: Store | None) -> Store:
    return client.connect(codec, clock)


def _opened(url: str, codec: str, clock: Clock, _known: Store | None) -> Store:
    return open_store(url, codec=codec, clock=clock)


def _folder(path: str, codec: str, clock: Clock, known: Store | None) -> Store:
    return known if isinstance(known, FolderStore) else FolderStore(path, kind=KIND, codec=codec, clock=clock)


def _one_file(path: str, codec: str, compression: str | None, clock: Clock, known: Store | None) -> Store:
    from diskdict.backends.jsonfile.store import JsonFileStore

    if isinstance(known, JsonFileStore):
        known.agree(compression)
        return known
    return JsonFileStore(path, codec=codec, compression=compression, clock=clock)
