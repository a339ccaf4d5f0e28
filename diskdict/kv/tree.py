"""Hierarchical keys over a store, synchronous: `SyncKVStore`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Self, TypeVar, cast

from diskdict.changes import joined
from diskdict.core import StoreDict
from diskdict.errors import KeyExistsError
from diskdict.face import Pairs
from diskdict.hierarchy import Pattern
from diskdict.kv.connection import Connection
from diskdict.kv.metadata import described, given
from diskdict.kv.names import NAMESPACED, Namespace, StoreKey, namespaces
from diskdict.kv.searching import fitting, matching
from diskdict.recent import CacheStats
from diskdict.store import NOT_SET, Store, Ttl

T = TypeVar("T")
N = TypeVar("N", int, float)
Tail = TypeVar("Tail", str, bytes, list[object])


class SyncKVStore:
    """Values under keys of several segments, in a namespace of a store. Use `KVStore`, and its ``sync``.

    Parameters
    ----------
    connection: Connection
        The store, connected by the first operation.
    namespace: str, optional
        Whose keys these are.
    separator: str
        What stands between the segments of a key.

    Notes
    -----
    Threads may share it. Each operation on one key is atomic, also between processes and machines where the store is
    shared by them; of several keys each is, unless the method says more.
    """

    def __init__(self, connection: Connection, namespace: str | None = None, separator: str = ".") -> None:
        Pattern("", separator)
        self._connection = connection
        self._names = Namespace(namespace)
        self._key = self.stored = self._names.key
        self.separator = separator

    @property
    def _dict(self) -> StoreDict[StoreKey, object]:
        return self._connection.over()

    @property
    def store(self) -> Store:
        """The records, of all namespaces."""
        return self._connection.store()

    @property
    def codec(self) -> str:
        """The name of what writes values."""
        return self._connection.codec.name

    # ---- one key

    def set(self, key: str, value: object, metadata: Mapping[str, object] | None = None, ttl: Ttl = None) -> bool:
        """Store a value; return True.

        `ttl` is seconds, or FOREVER; without it ``metadata["ttl"]`` counts, which is not kept, and then
        ``default_ttl``. Metadata are fields of str and values that JSON has. InvalidValueError for a field that the
        system writes.
        """
        kept, ttl = given(metadata, ttl)
        self._dict.set(self._key(key), value, ttl=ttl, metadata=kept)
        return True

    def get(self, key: str, default: object = None) -> object:
        """Return a value, or `default`."""
        accesses = self._connection.accesses
        if accesses is None:
            return self._dict.get(self._key(key), default)
        found = self._dict.get(self._key(key), NOT_SET)
        if found is NOT_SET:
            return default
        accesses.note(self.store, [self._key(key)])
        return found

    def delete(self, key: str) -> bool:
        """Remove a key; return whether it was there."""
        return self._dict.delete(self._key(key))

    def exists(self, key: str) -> bool:
        """Return whether a key is there."""
        return self._key(key) in self._dict

    def touch(self, key: str, ttl: Ttl = None) -> bool:
        """Start the time-to-live of a key again, at `ttl` or ``default_ttl``; return whether it was there."""
        return self._dict.touch(self._key(key), ttl)

    def ttl(self, key: str) -> float | None:
        """Return the seconds that are left to a key, None if it does not expire, or is not there."""
        try:
            return self._dict.ttl(self._key(key))
        except KeyError:
            return None

    def set_if_absent(self, key: str, value: object, ttl: Ttl = None) -> bool:
        """Store a value where there is none; return whether it was stored."""
        try:
            self._dict.create(self._key(key), value, ttl=ttl)
        except KeyExistsError:
            return False
        return True

    def get_or_set(self, key: str, factory: Callable[[], T], ttl: Ttl = None) -> T:
        """Return a value; where there is none, store and return what `factory` gives."""
        return cast(T, self._dict.get_or_set(self._key(key), factory, ttl=ttl))

    def compare_and_swap(self, key: str, old_value: object, new_value: object) -> bool:
        """Replace a value that equals `old_value`; return whether it did. Time-to-live and metadata stay."""
        return self._dict.compare_and_swap(self._key(key), old_value, new_value)

    def increment(self, key: str, delta: N = 1) -> N:
        """Add to a number and return the sum; a missing key counts from 0. Time-to-live and metadata stay."""
        return self._dict.increment(self._key(key), delta)

    def append(self, key: str, tail: Tail) -> Tail:
        """Join `tail` to the end of a str, bytes or list and return the whole. Time-to-live and metadata stay."""
        return self._dict.append(self._key(key), tail)

    def prepend(self, key: str, head: Tail) -> Tail:
        """Join `head` to the beginning of a str, bytes or list and return the whole, as `append` does."""
        while True:
            found = self._dict.get(self._key(key), NOT_SET)
            if found is NOT_SET:
                if self.set_if_absent(key, head):
                    return head
                continue
            whole = cast(Tail, joined(head, cast(Tail, found)))
            if self._dict.compare_and_swap(self._key(key), found, whole):
                return whole

    # ---- several keys

    def get_many(self, keys: Iterable[str]) -> dict[str, object]:
        """Return the keys that are there with their values, as they were at one moment where the store can."""
        asked = {self._key(key): key for key in keys}
        found = self._dict.get_many(asked)
        if self._connection.accesses is not None:
            self._connection.accesses.note(self.store, found)
        return {asked[key]: value for key, value in found.items()}

    def set_many(self, items: Pairs[str, object], ttl: Ttl = None) -> dict[str, bool]:
        """Store all pairs, or none where one is refused; return each key with True."""
        wanted = dict(items)
        self._dict.set_many({self._key(key): value for key, value in wanted.items()}, ttl=ttl)
        return dict.fromkeys(wanted, True)

    def delete_many(self, keys: Iterable[str]) -> dict[str, bool]:
        """Remove all the keys as one; return for each whether it was there."""
        asked = {self._key(key): key for key in keys}
        return {asked[key]: there for key, there in self._dict.delete_many(asked).items()}

    # ---- patterns

    def keys(self, pattern: str = "**") -> list[str]:
        """Return the keys that `pattern` matches, in the order of insertion; see `diskdict.hierarchy`.

        Where the pattern begins with braces: those of one choice after those of another.
        """
        return matching(self.store, self._names, Pattern(pattern, self.separator))

    def get_pattern(self, pattern: str) -> dict[str, object]:
        """Return the keys that `pattern` matches with their values."""
        return self.get_many(self.keys(pattern))

    def delete_pattern(self, pattern: str) -> int:
        """Remove the keys that `pattern` matches; return how many."""
        return sum(self.delete_many(self.keys(pattern)).values())

    def count_pattern(self, pattern: str = "**") -> int:
        """Return how many keys `pattern` matches."""
        return len(self.keys(pattern))

    def children(self, prefix: str = "") -> list[str]:
        """Return the segments that come next below `prefix`, sorted: of ``a.b`` and ``a.c.d`` below ``a``, b and c."""
        return sorted({rest.split(self.separator, 1)[0] for rest in self._below(prefix)})

    def walk(self, prefix: str = "") -> Iterator[tuple[str, list[str], list[str]]]:
        """Yield, from `prefix` down, a prefix, the segments that have keys below them, those that are keys.

        As `os.walk` does: who removes segments from the first list is spared what is below them.
        """
        groups: set[str] = set()
        leaves: set[str] = set()
        for rest in self._below(prefix):
            head, separator, _ = rest.partition(self.separator)
            (groups if separator else leaves).add(head)
        branches = sorted(groups)
        yield prefix, branches, sorted(leaves)
        for branch in branches:
            yield from self.walk(f"{prefix}{self.separator}{branch}" if prefix else branch)

    def _below(self, prefix: str) -> list[str]:
        begin = prefix + self.separator if prefix else ""
        store = self.store
        with store.exclusive():
            texts = list(store.scan(self._names.texts(begin)))
        return [key[len(begin) :] for key in self._names.among(texts)]

    # ---- metadata

    def get_metadata(self, key: str) -> dict[str, object] | None:
        """Return what is known of a key, None where it is not there.

        Its own fields, ``content_type`` as given or else guessed, and those of the system: ``created_at``,
        ``updated_at`` and ``expires_at`` in seconds since the epoch, ``size`` in bytes, ``version``, ``checksum``; and
        ``accessed_at`` where that is written down (``track_access=``), None if it was not read since it was set.
        """
        try:
            info = self._dict.info(self._key(key))
        except KeyError:
            return None
        tracked = self._connection.accesses is not None
        return described(key, self._dict.get(self._key(key)), info, tracked=tracked)

    def set_metadata(self, key: str, metadata: Mapping[str, object], *, replace: bool = False) -> bool:
        """Merge fields into the metadata of a key, or `replace` all; return whether it was there. ``ttl`` counts."""
        kept, ttl = given(metadata, None)
        try:
            self._dict.set_metadata(self._key(key), kept or {}, replace=replace)
        except KeyError:
            return False
        return ttl is None or self._dict.expire(self._key(key), ttl)

    def update_metadata(self, key: str, **fields: object) -> bool:
        """Do what `set_metadata` does with the fields."""
        return self.set_metadata(key, fields)

    def find(self, **criteria: object) -> list[str]:
        """Return the keys whose metadata has each of these fields, with that value or with a list that has it."""
        return fitting(self.store, self._names, criteria) if criteria else self.keys()

    # ---- namespaces, and the end

    def namespace(self, name: str) -> SyncKVStore:
        """Return the same store in a namespace; below one that has a name, its name and this, with a separator.

        It is closed when this is.
        """
        whole = name if self._names.name is None else f"{self._names.name}{self.separator}{name}"
        return SyncKVStore(self._connection, whole, self.separator)

    def namespaces(self) -> list[str]:
        """Return the namespaces that have keys, sorted."""
        store = self.store
        with store.exclusive():
            return namespaces(list(store.scan(NAMESPACED)))

    def clear(self) -> int:
        """Remove all keys of this namespace; return how many."""
        return self.delete_pattern("**")

    def cleanup_expired(self) -> int:
        """Remove what has expired in all namespaces; return how many keys that were."""
        return self._dict.cleanup_expired()

    def cache_stats(self) -> CacheStats:
        """Return what the cache of this store and its namespaces has done so far: nothing, where there is none."""
        return self._connection.cache_stats()

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._connection.closed

    def close(self) -> None:
        """Release the store, for all namespaces of it. Closing twice does nothing."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
