"""A store that is connected when it is first needed, and a dict over it that several share: `Connection`."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

from diskdict.backends import open_store, scheme_of
from diskdict.backends.file import FolderStore
from diskdict.codecs import Codec, as_found, compressed, resolve
from diskdict.core import StoreDict
from diskdict.disk import absolute
from diskdict.errors import ClosedError
from diskdict.kv.addresses import JSON, Address
from diskdict.kv.names import StoreKey
from diskdict.opening import is_one_file, path_of_url
from diskdict.repeating import Repeater
from diskdict.store import NEVER, Clock, Store, Ttl, expiry

KIND: Final = "kv"

Connect = Callable[[Store | None], Store]
"""Makes the store, or returns the one that others in this process have open there, if that is what is asked for."""


class _InUse(NamedTuple):
    """A store in files that this process has open, and how many use it."""

    store: Store
    users: int


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

    def _open(self) -> tuple[Store, StoreDict[StoreKey, object]]:
        with self._lock:
            if self.closed:
                raise ClosedError("the store is closed; make it again")
            if self._store is None or self._over is None:
                store = self._connect(None) if self._path is None else _shared(self._path, self._connect)
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


def _shared(path: str, connect: Connect) -> Store:
    with _turn:
        known = _in_use.get(path)
        store = connect(None if known is None else known.store)
        _in_use[path] = _InUse(store, 1 if known is None else known.users + 1)
        return store


def _returned(path: str) -> None:
    # Closed before others have their turn: who comes next finds it open, or can open it.
    with _turn:
        store, users = _in_use.pop(path)
        if users > 1:
            _in_use[path] = _InUse(store, users - 1)
        else:
            store.close()


def connection_to(
    address: Address, *, codec: str | Codec, default_ttl: Ttl, cleanup_interval: float | None, clock: Clock
) -> Connection:
    """Return a connection to the store at an address, not connected yet; ValueError for one that nobody knows."""
    url, form, compression = address
    resolved = resolve(codec)
    path = absolute(path_of_url(url)) if scheme_of(url) == "file" else None
    if path is None:
        connect = partial(_opened, url, resolved.name, clock)
    elif form == JSON or (form is None and is_one_file(path)):
        connect = partial(_one_file, path, resolved.name, compression, clock)
    else:
        resolved = compressed(resolved, compression)
        connect = partial(_folder, path, resolved.name, clock)
    return Connection(connect, path=path, codec=resolved, default_ttl=default_ttl, cleanup_interval=cleanup_interval)


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
