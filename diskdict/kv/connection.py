"""A store that is connected when it is first needed, and a dict over it that several share: `Connection`."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Final, NamedTuple

from diskdict.backends import open_store, scheme_of
from diskdict.backends.file import FolderStore
from diskdict.codecs import Codec, as_found, compressed, resolve
from diskdict.core import StoreDict
from diskdict.disk import absolute
from diskdict.errors import ClosedError
from diskdict.kv.addresses import Address
from diskdict.kv.names import StoreKey
from diskdict.opening import path_of_url
from diskdict.repeating import Repeater
from diskdict.store import Clock, Store, Ttl

KIND: Final = "kv"

Connect = Callable[[], Store]
"""Makes the store."""


class _InUse(NamedTuple):
    """A store of a folder that this process has open, and how many use it."""

    store: Store
    users: int


_folders: Final[dict[str, _InUse]] = {}
_turn: Final = threading.Lock()


class Connection:
    """The dict over a store, made when it is first asked for.

    Parameters
    ----------
    connect: callable
        Makes the store.
    path: str, optional
        The folder that it lies in: all connections of this process to one folder use one store.
    codec, default_ttl:
        As in `StoreDict`.
    cleanup_interval: float, optional
        Seconds between two removals of what has expired.

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
    ) -> None:
        self._connect = connect
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
    def codec(self) -> str:
        """The name of the codec, with the compression that the store was found with."""
        return as_found(self._codec, self.store().codec).name

    def over(self) -> StoreDict[StoreKey, object]:
        """Return the dict. ClosedError after `close`."""
        return self._over or self._open()[1]

    def store(self) -> Store:
        """Return the store below it."""
        return self._store or self._open()[0]

    def _open(self) -> tuple[Store, StoreDict[StoreKey, object]]:
        with self._lock:
            if self.closed:
                raise ClosedError("the store is closed; make it again")
            if self._store is None or self._over is None:
                store = self._connect() if self._path is None else _shared(self._path, self._connect)
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
        if self._path is None or _is_last(self._path):
            store.close()


def _shared(path: str, connect: Connect) -> Store:
    with _turn:
        known = _folders.get(path)
        known = _InUse(connect(), 1) if known is None else known._replace(users=known.users + 1)
        _folders[path] = known
        return known.store


def _is_last(path: str) -> bool:
    with _turn:
        known = _folders[path]._replace(users=_folders[path].users - 1)
        if known.users:
            _folders[path] = known
        else:
            del _folders[path]
        return not known.users


def connection_to(
    address: Address, *, codec: str | Codec, default_ttl: Ttl, cleanup_interval: float | None, clock: Clock
) -> Connection:
    """Return a connection to the store at an address, not connected yet; ValueError for one that nobody knows."""
    url = address.url
    resolved = compressed(resolve(codec), address.compression)
    path = absolute(path_of_url(url)) if scheme_of(url) == "file" else None

    def connect() -> Store:
        if path is None:
            return open_store(url, codec=resolved.name, clock=clock)
        return FolderStore(path, kind=KIND, codec=resolved.name, clock=clock)

    return Connection(connect, path=path, codec=resolved, default_ttl=default_ttl, cleanup_interval=cleanup_interval)
