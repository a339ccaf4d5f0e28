"""Hierarchical keys over any store, asynchronous: `KVStore`."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Self, TypeVar, cast

from diskdict.face import Pairs
from diskdict.kv.opened import Opened
from diskdict.kv.tree import N, Tail
from diskdict.recent import CacheStats
from diskdict.store import NOT_SET, Ttl

T = TypeVar("T")


class KVStore(Opened):
    """Values under keys of several segments, asynchronous, on any backend; ``sync`` has the same for everyone else.

    Parameters
    ----------
    backend: str
        ``"file"``, ``"memory"``, ``"redis"``, ``"postgres"``, ``"s3"``, ``"gcs"``, ``"azure"``, ``"elasticsearch"``, or
        ``"url"``: see `from_url`.
    config: mapping, optional
        Where it is: ``path`` of a folder, or of one JSON file, which ends in ``.json`` or ``.json.gz`` or is there;
        ``format`` says which, too, ``"folder"`` or ``"json"``, and ``compression`` is that of values, or of the file,
        ``"gzip"`` or ``"zstd"``. ``host``, ``port``, ``user``, ``password`` of a server, and ``db`` and ``prefix`` with
        Redis, ``database`` and ``table`` with PostgreSQL, ``index`` with Elasticsearch. ``bucket``, ``prefix``,
        ``endpoint``, and ``region`` with S3, ``account`` with Azure. ``url``.
    namespace: str, optional
        Whose keys these are; the same key in two namespaces is two keys.
    auto_cleanup: bool
        Remove what has expired every `cleanup_interval` seconds, from the first operation to `close`.
    cache: str, optional
        ``"memory"``: remember what was read lately, keys that are missing too.
    cache_ttl: int, float or timedelta, optional
        Seconds after which the backend is asked again, and what others have changed is seen at the latest; no limit by
        default. Redis tells of changes at once, a cluster does not.
    cache_size: int
        How many keys are remembered.
    separator: str
        What stands between the segments of a key.
    default_ttl: int, float or timedelta, optional
        Seconds that a key lives when nothing else is said.
    client: optional
        In place of an address: a ``redis.Redis`` or ``redis.cluster.RedisCluster``, a ``psycopg_pool.ConnectionPool``
        or a store of obstore; yours to close. `config` may have ``prefix`` with Redis and ``table`` with PostgreSQL.
    codec: str or Codec, optional
        How values become bytes, ``"json"``; or override `serialize` and `deserialize`.
    clock: callable
        The time in seconds since the epoch, for stores in this process.
    track_access: bool
        Write down when keys are read by ``get``, ``get_many`` and ``get_pattern``: ``get_metadata`` has it as
        ``accessed_at``.
    access_resolution: int, float or timedelta
        Seconds within which that is not done again for a key, 60; 0: each time.

    Notes
    -----
    Nothing is connected before the first operation, and no event loop is needed to make one; it survives its loop.
    Operations run in at most 16 threads; ``get``, and ``set`` without metadata and ttl, of tasks that wait at the same
    time go together, to a server in one round trip. One that is cancelled may be done all the same. What holds for
    threads, processes and crashes is what the backend says.

    A cache answers ``get``, ``exists``, ``ttl``, ``get_metadata``, ``get_many`` and ``get_pattern``. What is changed by
    way of this store, its namespaces and ``sync`` is seen at once; what anybody else changes after `cache_ttl` seconds
    at the latest, in Redis as soon as the server tells (without a connection for that, nothing is remembered). Changes
    that depend on what is there, ``increment`` and ``compare_and_swap`` among them, ask the backend. A folder or file
    that is opened several times in a process has one cache: ValueError where the settings of the second differ.

    That a key was read is written among its metadata, if nobody changes it meanwhile; a read never fails for that, nor
    does it count as an update. But the version of the key is another then, once in `access_resolution` seconds, and a
    transaction elsewhere that has read the key meets a ConflictError. It costs a round trip or two for each key that is
    written. A value that is set anew, and metadata that are replaced, begin without.
    """

    # Each does what the method of that name of `SyncKVStore` does.

    async def set(self, key: str, value: object, metadata: Mapping[str, object] | None = None, ttl: Ttl = None) -> bool:
        """Store a value; return True. See `SyncKVStore.set`."""
        if metadata is not None or ttl is not None:
            return await self.run(self._sync.set, key, value, metadata, ttl)
        return await self._calls.set(self._sync.stored(key), value)

    async def get(self, key: str, default: object = None) -> object:
        """Return a value, or `default`."""
        value = await self._calls.get(self._sync.stored(key))
        return default if value is NOT_SET else value

    async def delete(self, key: str) -> bool:
        """Remove a key; return whether it was there."""
        return await self.run(self._sync.delete, key)

    async def exists(self, key: str) -> bool:
        """Return whether a key is there."""
        return await self.run(self._sync.exists, key)

    async def touch(self, key: str, ttl: Ttl = None) -> bool:
        """Start the time-to-live of a key again, at `ttl` or ``default_ttl``; return whether it was there."""
        return await self.run(self._sync.touch, key, ttl)

    async def ttl(self, key: str) -> float | None:
        """Return the seconds that are left to a key, None if it does not expire, or is not there."""
        return await self.run(self._sync.ttl, key)

    async def set_if_absent(self, key: str, value: object, ttl: Ttl = None) -> bool:
        """Store a value where there is none; return whether it was stored."""
        return await self.run(self._sync.set_if_absent, key, value, ttl)

    async def get_or_set(self, key: str, factory: Callable[[], T | Awaitable[T]], ttl: Ttl = None) -> T:
        """Return a value; where there is none, store and return what `factory`, a function or a coroutine one, gives.

        A plain function runs once, however many ask; of coroutines several may run, and the first to end counts.
        """
        if not inspect.iscoroutinefunction(factory):
            return await self.run(self._sync.get_or_set, key, cast(Callable[[], T], factory), ttl)
        found = await self.run(self._sync.get, key, NOT_SET)
        if found is not NOT_SET:
            return cast(T, found)
        made = await factory()
        return await self.run(self._sync.get_or_set, key, lambda: made, ttl)

    async def compare_and_swap(self, key: str, old_value: object, new_value: object) -> bool:
        """Replace a value that equals `old_value`; return whether it did. Time-to-live and metadata stay."""
        return await self.run(self._sync.compare_and_swap, key, old_value, new_value)

    async def increment(self, key: str, delta: N = 1) -> N:
        """Add to a number and return the sum; a missing key counts from 0. Time-to-live and metadata stay."""
        return await self.run(self._sync.increment, key, delta)

    async def append(self, key: str, tail: Tail) -> Tail:
        """Join `tail` to the end of a str, bytes or list and return the whole. Time-to-live and metadata stay."""
        return await self.run(self._sync.append, key, tail)

    async def prepend(self, key: str, head: Tail) -> Tail:
        """Join `head` to the beginning of a str, bytes or list and return the whole, as `append` does."""
        return await self.run(self._sync.prepend, key, head)

    async def get_many(self, keys: Iterable[str]) -> dict[str, object]:
        """Return the keys that are there with their values, as they were at one moment where the store can."""
        return await self.run(self._sync.get_many, keys)

    async def set_many(self, items: Pairs[str, object], ttl: Ttl = None) -> dict[str, bool]:
        """Store all pairs, or none where one is refused; return each key with True."""
        return await self.run(self._sync.set_many, items, ttl)

    async def delete_many(self, keys: Iterable[str]) -> dict[str, bool]:
        """Remove all the keys as one; return for each whether it was there."""
        return await self.run(self._sync.delete_many, keys)

    async def keys(self, pattern: str = "**") -> list[str]:
        """Return the keys that `pattern` matches, in the order of insertion; see `diskdict.hierarchy`."""
        return await self.run(self._sync.keys, pattern)

    async def iter_keys(self, pattern: str = "**") -> AsyncIterator[str]:
        """Yield the keys that `pattern` matched when the first was asked for."""
        for key in await self.keys(pattern):
            yield key

    async def get_pattern(self, pattern: str) -> dict[str, object]:
        """Return the keys that `pattern` matches with their values."""
        return await self.run(self._sync.get_pattern, pattern)

    async def delete_pattern(self, pattern: str) -> int:
        """Remove the keys that `pattern` matches; return how many."""
        return await self.run(self._sync.delete_pattern, pattern)

    async def count_pattern(self, pattern: str = "**") -> int:
        """Return how many keys `pattern` matches."""
        return await self.run(self._sync.count_pattern, pattern)

    async def children(self, prefix: str = "") -> list[str]:
        """Return the segments that come next below `prefix`, sorted."""
        return await self.run(self._sync.children, prefix)

    async def walk(self, prefix: str = "") -> AsyncIterator[tuple[str, list[str], list[str]]]:
        """Yield a prefix, the segments that have keys below them, those that are keys; and so on below."""
        steps = self._sync.walk(prefix)
        while (step := await self.run(next, steps, None)) is not None:
            yield step

    async def get_metadata(self, key: str) -> dict[str, object] | None:
        """Return what is known of a key, None where it is not there. See `SyncKVStore.get_metadata`."""
        return await self.run(self._sync.get_metadata, key)

    async def set_metadata(self, key: str, metadata: Mapping[str, object], *, replace: bool = False) -> bool:
        """Merge fields into the metadata of a key, or `replace` all; return whether it was there. ``ttl`` counts."""
        return await self.run(self._sync.set_metadata, key, metadata, replace=replace)

    async def update_metadata(self, key: str, **fields: object) -> bool:
        """Do what `set_metadata` does with the fields."""
        return await self.run(self._sync.set_metadata, key, fields)

    async def find(self, **criteria: object) -> list[str]:
        """Return the keys whose metadata has each of these fields, with that value or with a list that has it."""
        return await self.run(self._sync.find, **criteria)

    def namespace(self, name: str) -> KVStore:
        """Return the same store in a namespace; below one that has a name, its name and this, with a separator.

        It is closed when this is.
        """
        made = KVStore.__new__(type(self))
        made._over(self._sync.namespace(name), self._calls)
        return made

    async def namespaces(self) -> list[str]:
        """Return the namespaces that have keys, sorted."""
        return await self.run(self._sync.namespaces)

    async def clear(self) -> int:
        """Remove all keys of this namespace; return how many."""
        return await self.run(self._sync.clear)

    async def cleanup_expired(self) -> int:
        """Remove what has expired in all namespaces; return how many keys that were."""
        return await self.run(self._sync.cleanup_expired)

    async def cache_stats(self) -> CacheStats:
        """Return what the cache of this store and its namespaces has done so far."""
        return self._sync.cache_stats()

    async def close(self) -> None:
        """Release the store, for all namespaces of it. Closing twice does nothing."""
        await self.run(self._sync.close)
        self._calls.end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
