"""Create, read and delete JSON objects by key, with limits: `DataStore`."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar, Final, Self

from diskdict.backends.file import BUFFER_BYTES, Durability
from diskdict.disk import DiskDict, absolute
from diskdict.errors import InvalidKeyError, KeyNotFoundError
from diskdict.files import Folder
from diskdict.limits import Limits
from diskdict.manifest import load
from diskdict.mutex import LockLike
from diskdict.reading import OnCorrupt
from diskdict.store import Clock, Ttl

if TYPE_CHECKING:
    from pathlib import Path

JsonObject = dict[str, object]

LIMITS: Final = Limits(
    key_chars=32, value_bytes=16 << 10, total_bytes=1 << 30, json_object_only=True, str_keys_only=True
)
"""What a new store refuses, where nothing else is said."""


class _Objects(DiskDict[str, JsonObject]):
    """The dict in the folder of a `DataStore`."""

    _kind: ClassVar[str] = "datastore"


class DataStore:
    """A store of JSON objects with a time-to-live each, that never grows beyond its limits.

    Parameters
    ----------
    path: str or os.PathLike, optional
        The folder; ``~`` is expanded. Without one a fresh folder is made in the user's data folder; see `path`.
    key_chars: int, optional
        Characters that a key may have: 32 for a new store.
    value_bytes: int, optional
        Bytes that a value may have as JSON: 16 KiB for a new store.
    total_bytes: int, optional
        Bytes that all values may have together, what has expired and is not removed yet among them: 1 GiB for a new
        store.
    default_ttl, durability, interval, buffer_bytes, readonly, create, timeout, lock, shards, cache_bytes, \
cleanup_interval, on_corrupt, perm, clock:
        As in `DiskDict`.

    Raises
    ------
    What `DiskDict` raises; FormatError, where the folder is a store that was not made by this class.

    Notes
    -----
    The limits are kept in the folder: who opens it again gets those, but for the ones that are given, and who opens it
    as a `DiskDict` is held to them, too. A call that is refused changes nothing. Threads may share a store; one process
    at a time may write. What a killed process or a power cut leaves is what it is for `DiskDict`.

    Examples
    --------
    >>> import tempfile
    >>> with DataStore(tempfile.mkdtemp()) as store:
    ...     store.create("anna", {"age": 34}, ttl=3600)
    ...     store.get("anna")
    {'age': 34}
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        key_chars: int | None = None,
        value_bytes: int | None = None,
        total_bytes: int | None = None,
        default_ttl: Ttl = None,
        durability: Durability = "process",
        interval: float = 1.0,
        buffer_bytes: int = BUFFER_BYTES,
        readonly: bool = False,
        create: bool = True,
        timeout: float = 0,
        lock: LockLike | None = None,
        shards: int | None = None,
        cache_bytes: int = 0,
        cleanup_interval: float | None = None,
        on_corrupt: OnCorrupt = "raise",
        perm: int | None = None,
        clock: Clock = time.time,
    ) -> None:
        given = {"key_chars": key_chars, "value_bytes": value_bytes, "total_bytes": total_bytes}
        there = LIMITS if path is None else _limits_of(absolute(path))
        limits = Limits(**there._asdict() | {name: limit for name, limit in given.items() if limit is not None})
        self._objects = _Objects(
            path,
            limits=limits,
            default_ttl=default_ttl,
            durability=durability,
            interval=interval,
            buffer_bytes=buffer_bytes,
            readonly=readonly,
            create=create,
            timeout=timeout,
            lock=lock,
            shards=shards,
            cache_bytes=cache_bytes,
            cleanup_interval=cleanup_interval,
            on_corrupt=on_corrupt,
            perm=perm,
            clock=clock,
        )

    @property
    def path(self) -> Path:
        """The folder of the store."""
        return self._objects.path

    def create(self, key: str, value: JsonObject, ttl: Ttl = None) -> None:
        """Store a value under a new key, for `ttl` seconds (None: ``default_ttl``, FOREVER: without an end).

        Raises KeyExistsError where the key has a value that has not expired, LimitError where a limit would be passed,
        InvalidKeyError for a key that is no str, InvalidValueError for a value that is no JSON object.
        """
        self._objects.create(key, value, ttl=ttl)

    def create_many(self, values: Mapping[str, JsonObject], ttl: Ttl = None) -> None:
        """Store several values under new keys: all of them, or none where `create` would raise for one."""
        with self._objects.transaction():
            for key, value in values.items():
                self.create(key, value, ttl)

    def get(self, key: str) -> JsonObject:
        """Return a copy of the value of `key`. Raises KeyNotFoundError where it has none, or one that has expired."""
        _check(key)
        try:
            return self._objects[key]
        except KeyError:
            raise KeyNotFoundError(key) from None

    read = __getitem__ = get

    def delete(self, key: str) -> None:
        """Remove `key`. Raises KeyNotFoundError where it has no value, or one that has expired."""
        _check(key)
        if not self._objects.delete(key):
            raise KeyNotFoundError(key)

    def delete_all(self) -> int:
        """Remove every key as one change; return how many had not expired."""
        removed = self._objects.delete_many(list(self._objects))
        self._objects.cleanup_expired()
        return sum(removed.values())

    def __contains__(self, key: object) -> bool:
        return key in self._objects

    def __len__(self) -> int:
        return len(self._objects)

    def __iter__(self) -> Iterator[str]:
        return iter(self._objects)

    def flush(self) -> None:
        """Have every value on disk in its file, with durability ``"interval"`` and ``"full"``."""
        self._objects.flush()

    def close(self) -> None:
        """Close the folder for others to open. Closing twice does nothing."""
        _instances.discard(self)
        self._objects.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"


_instances: set[DataStore] = set()


def get_instance(file_path: str | os.PathLike[str] | None = None) -> DataStore:
    """Return the store in a folder, made where there is none; without a path, a fresh one in the user's data folder.

    It stays open until it is closed or the program ends, bound to a name or not: a second call for the same folder is
    a StoreLockedError.
    """
    store = DataStore(file_path)
    _instances.add(store)
    return store


def _check(key: object) -> None:
    if not isinstance(key, str):
        raise InvalidKeyError(f"this store has keys of type str only, not {type(key).__qualname__}")


def _limits_of(path: str) -> Limits:
    try:
        with contextlib.closing(Folder(path)) as folder:
            found = load(folder)
    except (FileNotFoundError, NotADirectoryError):
        # What is the matter, if anything is, is told when it is opened.
        return LIMITS
    return LIMITS if found is None else found.limits
