"""Who is measured: raw file calls as the floor, DiskDict, and other stores from PyPI, each doing the same work.

A contender does a block of operations at a time, in a loop of its own, so that the loop of the clock costs nothing.
Other stores are imported by name when they are made: one that is not installed is reported and the rest goes on.
"""

from __future__ import annotations

import abc
import importlib
import os
import sqlite3
import threading
import zlib
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import ujson

from diskdict import DiskDict

Item = tuple[str, object]
TTL = 3600
THREADS, FEW_THREADS = 8, 4


class Contender(abc.ABC):
    """A store that behaves as a mapping, unless a method says otherwise.

    Parameters
    ----------
    folder: str
        An empty folder of its own; opened and closed any number of times.
    """

    name: str
    package: ClassVar[str | None] = None
    without: ClassVar[frozenset[str]] = frozenset()
    """Rows that this store has no operation for."""
    slow: ClassVar[frozenset[str]] = frozenset()
    """Rows of which one operation walks the whole store: a block of them is one."""

    store: Any

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.module: Any = importlib.import_module(self.package) if self.package else None

    @abc.abstractmethod
    def open(self) -> None: ...

    def close(self) -> None:
        self.store.close()

    def items(self, items: Sequence[Item]) -> Sequence[Any]:
        """Return what `put` takes; not measured."""
        return items

    def names(self, keys: Sequence[str]) -> Sequence[Any]:
        """Return what `get` and the like take; not measured."""
        return keys

    def put(self, items: Sequence[Any]) -> None:
        store = self.store
        for key, value in items:
            store[key] = value

    def put_ttl(self, items: Sequence[Any]) -> None:
        raise NotImplementedError

    def get(self, keys: Sequence[Any]) -> object:
        store = self.store
        for key in keys:
            value = store[key]
        return value

    def put_and_get_by_threads(self, items: Sequence[Any]) -> None:
        def work(mine: Sequence[Any]) -> None:
            for number, item in enumerate(mine):
                if number % 5:
                    self.get([item[0]])
                else:
                    self.put([item])

        in_threads(work, [items[number::FEW_THREADS] for number in range(FEW_THREADS)])

    def put_bytes(self, items: Sequence[Any]) -> None:
        self.put(items)

    def get_bytes(self, keys: Sequence[Any]) -> object:
        return self.get(keys)

    def delete(self, keys: Sequence[Any]) -> None:
        store = self.store
        for key in keys:
            del store[key]

    def contains(self, keys: Sequence[Any]) -> bool:
        store = self.store
        for key in keys:
            found = key in store
        return found

    def miss(self, keys: Sequence[Any]) -> object:
        store = self.store
        for key in keys:
            value = store.get(key)
        return value

    def count(self, times: Sequence[Any]) -> int:
        store = self.store
        for _ in times:
            found = len(store)
        return found

    def walk(self, keys: Sequence[Any]) -> int:
        found = 0
        for _ in self.store:
            found += 1
        return found


class RawFiles(Contender):
    """The floor: the system calls that a file per key cannot do without, on names and payloads made beforehand."""

    name = "raw files"
    without = frozenset({"in", "miss", "len", "iterate"})
    attribute = bytes(46)

    def open(self) -> None:
        self.root = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        for number in range(256):
            if not os.path.exists(f"{self.folder}/{number:02x}"):
                os.mkdir(f"{self.folder}/{number:02x}", 0o700)

    def close(self) -> None:
        os.close(self.root)

    def items(self, items: Sequence[Item]) -> Sequence[Any]:
        return [(f"{shard(key)}/.new", f"{shard(key)}/{key}", payload(value)) for key, value in items]

    def names(self, keys: Sequence[str]) -> Sequence[Any]:
        return [f"{shard(key)}/{key}" for key in keys]

    def put(self, items: Sequence[Any]) -> None:
        root, attribute, flags = self.root, self.attribute, os.O_WRONLY | os.O_CREAT | os.O_EXCL
        for temporary, target, data in items:
            fd = os.open(temporary, flags, 0o600, dir_fd=root)
            os.write(fd, data)
            os.setxattr(fd, "user.diskdict", attribute)
            os.close(fd)
            os.rename(temporary, target, src_dir_fd=root, dst_dir_fd=root)

    put_ttl = put

    def get(self, keys: Sequence[Any]) -> object:
        root, flags = self.root, os.O_RDONLY
        for path in keys:
            fd = os.open(path, flags, dir_fd=root)
            data = os.read(fd, 65_536)
            os.close(fd)
            value = ujson.loads(data)
        return value

    def get_bytes(self, keys: Sequence[Any]) -> object:
        root, flags = self.root, os.O_RDONLY
        for path in keys:
            fd = os.open(path, flags, dir_fd=root)
            data = os.read(fd, 1 << 21)
            os.close(fd)
        return data

    def delete(self, keys: Sequence[Any]) -> None:
        root = self.root
        for path in keys:
            os.unlink(path, dir_fd=root)


class Ours(Contender):
    name = "DiskDict"

    def open(self) -> None:
        self.store = DiskDict(self.folder)

    def put_ttl(self, items: Sequence[Any]) -> None:
        store = self.store
        for key, value in items:
            store.set(key, value, ttl=TTL)

    def put_many(self, items: Sequence[Any]) -> None:
        self.store.set_many(items)


class OursInterval(Ours):
    """DiskDict with the journal first. What is measured are the calls; the files follow when the store is closed."""

    def open(self) -> None:
        self.store = DiskDict(self.folder, durability="interval", interval=3_600, buffer_bytes=1 << 30)


class OursCached(Ours):
    """DiskDict with all that it reads kept in memory."""

    def open(self) -> None:
        self.store = DiskDict(self.folder, cache_bytes=1 << 30)


class OursFull(Ours):
    """DiskDict with each change on disk."""

    def open(self) -> None:
        self.store = DiskDict(self.folder, durability="full")

    def put_by_threads(self, items: Sequence[Any]) -> None:
        in_threads(self.put, [items[number::THREADS] for number in range(THREADS)])


class OneThread(OursFull):
    """What several threads are compared with."""

    name = "one thread"

    def put_by_threads(self, items: Sequence[Any]) -> None:
        self.put(items)


class InProcess(Ours):
    """What changes of many keys are compared with."""

    name = "process"


class DiskCache(Contender):
    name = package = "diskcache"

    def open(self) -> None:
        self.store = self.module.Cache(self.folder, size_limit=1 << 40, cull_limit=0)

    def put_ttl(self, items: Sequence[Any]) -> None:
        store = self.store
        for key, value in items:
            store.set(key, value, expire=TTL)


class SqliteDict(Contender):
    name = package = "sqlitedict"
    slow = frozenset({"len"})

    def open(self) -> None:
        self.store = self.module.SqliteDict(f"{self.folder}/file.sqlite", autocommit=True)


class ZictFile(Contender):
    name = "zict.File"
    package = "zict"

    def open(self) -> None:
        self.store = self.module.File(f"{self.folder}/files")

    def close(self) -> None:
        pass

    def put(self, items: Sequence[Any]) -> None:
        store = self.store
        for key, value in items:
            store[key] = ujson.dumps(value).encode()

    def get(self, keys: Sequence[Any]) -> object:
        store = self.store
        for key in keys:
            value = ujson.loads(store[key])
        return value

    def put_bytes(self, items: Sequence[Any]) -> None:
        super().put(items)

    def get_bytes(self, keys: Sequence[Any]) -> object:
        return super().get(keys)


class IoDict(Contender):
    name = package = "iodict"
    slow = frozenset({"in", "len"})

    def open(self) -> None:
        self.store = self.module.IODict(f"{self.folder}/files")

    def close(self) -> None:
        pass

    def contains(self, keys: Sequence[Any]) -> bool:
        # It has no look-up for `in`, and its iterator cannot be left before the end.
        for key in keys:
            found = key in list(self.store)
        return found


class CacheLib(Contender):
    name = "cachelib"
    package = "cachelib.file"
    without = frozenset({"len", "iterate"})

    def open(self) -> None:
        self.store = self.module.FileSystemCache(f"{self.folder}/files", threshold=0, default_timeout=0)

    def close(self) -> None:
        pass

    def put(self, items: Sequence[Any]) -> None:
        store = self.store
        for key, value in items:
            store.set(key, value)

    def put_ttl(self, items: Sequence[Any]) -> None:
        store = self.store
        for key, value in items:
            store.set(key, value, timeout=TTL)

    def get(self, keys: Sequence[Any]) -> object:
        store = self.store
        for key in keys:
            value: object = store.get(key)
        return value

    def delete(self, keys: Sequence[Any]) -> None:
        store = self.store
        for key in keys:
            store.delete(key)

    def contains(self, keys: Sequence[Any]) -> bool:
        store = self.store
        for key in keys:
            found: bool = store.has(key)
        return found


class Lmdb(Contender):
    """LMDB, a transaction for each operation; nothing is synced, which is what writing plain files does too."""

    name = package = "lmdb"

    synced: ClassVar[bool] = False

    def open(self) -> None:
        self.store = self.module.open(self.folder, map_size=2 << 30, sync=self.synced)

    def names(self, keys: Sequence[str]) -> Sequence[Any]:
        return [key.encode() for key in keys]

    def items(self, items: Sequence[Item]) -> Sequence[Any]:
        return [(key.encode(), value) for key, value in items]

    def put(self, items: Sequence[Any]) -> None:
        self.put_bytes((key, ujson.dumps(value).encode()) for key, value in items)

    def get(self, keys: Sequence[Any]) -> object:
        begin = self.store.begin
        for key in keys:
            with begin() as transaction:
                value = ujson.loads(transaction.get(key))
        return value

    def put_bytes(self, items: Any) -> None:
        begin = self.store.begin
        for key, value in items:
            with begin(write=True) as transaction:
                transaction.put(key, value)

    def get_bytes(self, keys: Sequence[Any]) -> object:
        begin = self.store.begin
        for key in keys:
            with begin() as transaction:
                value: object = transaction.get(key)
        return value

    def delete(self, keys: Sequence[Any]) -> None:
        begin = self.store.begin
        for key in keys:
            with begin(write=True) as transaction:
                transaction.delete(key)

    def contains(self, keys: Sequence[Any]) -> bool:
        return self.get_bytes(keys) is not None

    def miss(self, keys: Sequence[Any]) -> object:
        return self.get_bytes(keys)

    def count(self, times: Sequence[Any]) -> int:
        for _ in times:
            found: int = self.store.stat()["entries"]
        return found

    def walk(self, keys: Sequence[Any]) -> int:
        with self.store.begin() as transaction:
            return sum(1 for _ in transaction.cursor().iternext(values=False))


class LmdbSynced(Lmdb):
    """LMDB with each transaction on disk."""

    synced = True


class RocksDict(Contender):
    name = package = "rocksdict"
    without = frozenset({"len"})

    def open(self) -> None:
        self.store = self.module.Rdict(f"{self.folder}/rocks")

    def walk(self, keys: Sequence[Any]) -> int:
        every = self.store.keys()
        return sum(1 for _ in every)


class SqliteWal(Contender):
    """A table of keys and values by hand: write-ahead log, synchronous=NORMAL, a transaction for each operation."""

    name = "sqlite3 WAL"
    synchronous: ClassVar[str] = "NORMAL"

    def open(self) -> None:
        self.store = sqlite3.connect(f"{self.folder}/file.sqlite", isolation_level=None)
        self.store.execute("PRAGMA journal_mode=WAL")
        self.store.execute(f"PRAGMA synchronous={self.synchronous}")
        self.store.execute("CREATE TABLE IF NOT EXISTS kv (key TEXT PRIMARY KEY, value)")

    def put(self, items: Sequence[Any]) -> None:
        self.put_bytes((key, ujson.dumps(value)) for key, value in items)

    def get(self, keys: Sequence[Any]) -> object:
        execute = self.store.execute
        for key in keys:
            value = ujson.loads(execute("SELECT value FROM kv WHERE key = ?", (key,)).fetchone()[0])
        return value

    def put_bytes(self, items: Any) -> None:
        execute = self.store.execute
        for item in items:
            execute("INSERT INTO kv VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", item)

    def get_bytes(self, keys: Sequence[Any]) -> object:
        execute = self.store.execute
        for key in keys:
            value: object = execute("SELECT value FROM kv WHERE key = ?", (key,)).fetchone()[0]
        return value

    def delete(self, keys: Sequence[Any]) -> None:
        execute = self.store.execute
        for key in keys:
            execute("DELETE FROM kv WHERE key = ?", (key,))

    def contains(self, keys: Sequence[Any]) -> bool:
        return self.miss(keys) is not None

    def miss(self, keys: Sequence[Any]) -> object:
        execute = self.store.execute
        for key in keys:
            value: object = execute("SELECT 1 FROM kv WHERE key = ?", (key,)).fetchone()
        return value

    def count(self, times: Sequence[Any]) -> int:
        execute = self.store.execute
        for _ in times:
            found: int = execute("SELECT count(*) FROM kv").fetchone()[0]
        return found

    def walk(self, keys: Sequence[Any]) -> int:
        return sum(1 for _ in self.store.execute("SELECT key FROM kv"))


class SqliteFull(SqliteWal):
    """The same with each transaction on disk."""

    synchronous = "FULL"


def small_items(count: int) -> list[Item]:
    return [(f"customer.{number:06d}", small_value(number)) for number in range(count)]


def small_value(number: int) -> dict[str, object]:
    """Return an object of 100 bytes as JSON."""
    value = {"id": number, "name": "", "active": number % 2 == 0, "balance": number / 4, "tags": ["a", "b"]}
    value["name"] = "x" * (100 - len(ujson.dumps(value)))
    return value


PEERS: tuple[type[Contender], ...] = (
    DiskCache,
    SqliteDict,
    ZictFile,
    IoDict,
    CacheLib,
    Lmdb,
    RocksDict,
    SqliteWal,
)
TO_BEAT = (DiskCache.name, SqliteDict.name, CacheLib.name)
"""Peers that DiskDict has to be ahead of in every row: these two, and who writes a file per key atomically."""
FOR_THREADS: tuple[type[Contender], ...] = (Ours, DiskCache, ZictFile, Lmdb)
KNOW_TTL: tuple[type[Contender], ...] = (RawFiles, Ours, DiskCache, CacheLib)


def in_threads(work: Callable[[Sequence[Any]], None], parts: Sequence[Sequence[Any]]) -> None:
    """Do each part in a thread of its own."""
    threads = [threading.Thread(target=work, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def shard(key: str) -> str:
    return f"{zlib.crc32(key.encode()) & 255:02x}"


def payload(value: object) -> bytes:
    return value if isinstance(value, bytes) else ujson.dumps(value).encode()
