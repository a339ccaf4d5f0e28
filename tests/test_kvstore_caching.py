"""`KVStore` with ``cache="memory"`` keeps its contract, and sees what others change when it says it does."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from clocks import Clock
from kvstore_contract import KVStoreContract, MakeKV
from postgres_server import PostgresServer
from redis_server import Server, require_redis, wait_until
from store_contract import in_threads
from tallies import Announce

from diskdict import CacheStats, KVStore, SyncKVStore, migrate_store_sync

_tables = count()


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory, announce: Announce) -> Iterator[Server]:
    require_redis(announce)
    with Server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def table(postgres: PostgresServer) -> str:
    """The URL of a store in PostgreSQL."""
    return postgres.url(table=f"cached{next(_tables)}")


class TestOverFolder(KVStoreContract):
    """The contract in a folder with a cache."""

    @pytest.fixture
    def make_kv(self, tmp_path: Path, clock: Clock) -> MakeKV:
        return lambda **options: KVStore("file", {"path": tmp_path / "kv"}, clock=clock, cache="memory", **options)


@pytest.mark.torture
class TestOverPostgres(KVStoreContract):
    """The contract in a table with a cache."""

    @pytest.fixture
    def make_kv(self, table: str, clock: Clock) -> MakeKV:
        return lambda **options: KVStore.from_url(table, clock=clock, cache="memory", **options)


def asked(kv: SyncKVStore) -> CacheStats:
    """Read what is there and what is not, in several ways, and return what that did to the counters."""
    before = kv.cache_stats()
    for _ in range(2):
        kv.get("k")
        kv.get("missing")
        kv.get_many(["k", "missing"])
        kv.exists("k")
        kv.ttl("k")
        kv.get_metadata("k")
    return CacheStats(*(now - then for now, then in zip(kv.cache_stats(), before, strict=True)))


def test_what_was_read_is_read_from_memory(tmp_path: Path) -> None:
    """All questions are answered by it, those of both faces and of namespaces; it has the size that was asked for."""
    store = KVStore("file", {"path": tmp_path / "kv"}, cache="memory", cache_size=3)
    kv = store.sync
    assert kv.cache_stats() == CacheStats()
    kv.set("k", 1)
    asked(kv)
    stats = asked(kv)
    assert (stats.hits, stats.misses) == (16, 0)
    for number in range(5):
        kv.namespace("n").get(str(number))

    stats = asyncio.run(store.cache_stats())
    assert stats == kv.namespace("n").cache_stats()
    assert (stats.size, stats.active) == (3, True)
    assert stats.evictions > 0
    kv.close()
    assert kv.cache_stats() == CacheStats()


def test_without_a_cache_nothing_is_counted(tmp_path: Path) -> None:
    """The numbers are there all the same."""
    with KVStore("file", {"path": tmp_path / "kv"}).sync as kv:
        assert asked(kv) == CacheStats()


def test_own_writes_are_seen_through_every_view(table: str) -> None:
    """Of one store: by both faces, by namespaces, by patterns, one key or many."""
    store = KVStore.from_url(table, cache="memory")
    kv, view, same = store.sync, store.sync.namespace("n"), store.sync.namespace("n")
    changes: list[Callable[[], object]] = [
        lambda: view.set("k", 0),
        lambda: view.set_many({"k": 100}),
        lambda: view.increment("k"),
        lambda: view.compare_and_swap("k", 101, [0]),
        lambda: view.append("k", [9]),
        lambda: view.prepend("k", [8]),
        lambda: view.set_metadata("k", {"owner": "me"}),
        lambda: view.touch("k", 1_000),
        lambda: asyncio.run(store.namespace("n").set("k", "async")),
        lambda: view.delete_pattern("*"),
        lambda: view.set_if_absent("k", 0),
        lambda: view.delete("k"),
        lambda: view.get_or_set("k", lambda: 1),
    ]
    with KVStore.from_url(table, "n").sync as other:
        for change in changes:
            change()
            assert same.get("k", "none") == other.get("k", "none")
            assert same.get_many(["k"]) == other.get_many(["k"])
            assert same.get_metadata("k") == other.get_metadata("k")
    assert kv.get("k") is None
    asyncio.run(store.close())


def test_others_are_seen_after_the_ttl(table: str) -> None:
    """Without one they are not; what is decided is decided by what is there, and seen from then on."""
    with (
        KVStore.from_url(table).sync as other,
        KVStore.from_url(table, cache="memory").sync as kv,
        KVStore.from_url(table, cache="memory", cache_ttl=1e-9).sync as short,
    ):
        for each in (kv, short):
            assert each.get("n") is None
        other.set("n", 1)
        assert kv.get("n") is None
        assert short.get("n") == 1

        assert kv.set_if_absent("n", 5) is False
        assert kv.get("n") == 1
        other.set("n", 7)
        assert kv.compare_and_swap("n", 1, 2) is False
        other.set("n", 8)
        assert kv.increment("n") == 9
        other.set("text", "b")
        assert kv.get("text") == "b"
        other.set("text", "c")
        assert kv.prepend("text", "a") == "ac"
        assert kv.get("late") is None
        other.set("late", 1)
        assert kv.update_metadata("late", owner="me") is True


def test_redis_tells_of_others(redis: Server) -> None:
    """So that a value that is written elsewhere is seen without a time."""
    with KVStore.from_url(redis.url, cache="memory").sync as kv, KVStore.from_url(redis.url).sync as other:
        kv.get("k")
        wait_until(lambda: kv.cache_stats().active)
        for turn in range(5):
            other.set("k", turn)
            wait_until(lambda turn=turn: kv.get("k") == turn)  # type: ignore[misc]
            hits = kv.cache_stats().hits
            wait_until(lambda hits=hits: kv.get("k") is not None and kv.cache_stats().hits > hits)  # type: ignore[misc]


@pytest.mark.parametrize("cached", [1, 2])
def test_counters_beside_each_other(redis: Server, cached: int) -> None:
    """Whoever has a cache, no increment is lost."""
    stores = [KVStore.from_url(redis.url, "n", cache="memory" if number < cached else None) for number in range(2)]

    def work(number: int) -> None:
        kv = stores[number % 2].sync
        for _ in range(25):
            kv.increment(f"n{cached}")
            kv.get(f"n{cached}")

    in_threads(work)
    with stores[0].sync as kv, stores[1].sync:
        assert kv.increment(f"n{cached}", 0) == 200


def test_folder_that_is_open_twice_has_one_cache(tmp_path: Path) -> None:
    """So each sees what the other changes; other settings are refused."""
    config = {"path": tmp_path / "kv"}
    with KVStore("file", config, "a", cache="memory").sync as kv, KVStore("file", config, cache="memory").sync as other:
        assert kv.get("k") is None
        other.namespace("a").set("k", 1)
        assert kv.get("k") == 1
        for options in ({}, {"cache": "memory", "cache_ttl": 5}, {"cache": "memory", "cache_size": 5}):
            with KVStore("file", config, **options).sync as third, pytest.raises(ValueError, match="cache"):  # type: ignore[arg-type]
                third.get("k")


def test_migration_reads_what_is_there(table: str) -> None:
    """Not what was read of it some time ago."""
    with (
        KVStore.from_url(table, cache="memory").sync as source,
        KVStore.from_url(table).sync as other,
        KVStore("memory", cache="memory").sync as target,
    ):
        source.set("k", "old")
        source.get_many(["k"])
        assert target.get("k") is None
        other.set("k", "new")

        assert migrate_store_sync(source, target) == (1, 0, 0)
        assert target.get("k") == "new"


@pytest.mark.parametrize(
    "options", [{"cache": "redis"}, {"cache": True}, {"cache_ttl": 0}, {"cache_ttl": "1"}, {"cache_size": 0}]
)
def test_settings_that_are_none(options: dict[str, Any]) -> None:
    """They are named where they are given."""
    with pytest.raises(ValueError, match=next(iter(options))):
        KVStore("memory", **options)


def test_order_of_the_settings() -> None:
    """They can be given by place."""
    names = list(inspect.signature(KVStore).parameters)

    assert names[:11] == [
        *("backend", "config", "namespace", "auto_cleanup", "cleanup_interval", "cache", "cache_ttl", "cache_size"),
        *("separator", "default_ttl", "client"),
    ]
