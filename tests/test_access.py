"""`KVStore` with ``track_access=True`` writes down when keys were read, and disturbs nobody by that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from clocks import Clock
from hosting import SharedClock
from redis_server import Server, require_redis
from store_contract import in_threads
from tallies import Announce

from diskdict import DiskDict, InvalidValueError, KVStore, SyncKVStore, migrate_store_sync
from diskdict.errors import ReadOnlyError

_numbers = count()
Make = Callable[..., SyncKVStore]


@pytest.fixture(scope="module")
def wall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedClock]:
    """A clock that the server of Redis goes by, too."""
    clock = SharedClock(tmp_path_factory.mktemp("wall") / "clock", Clock().now)
    yield clock
    clock.close()


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory, wall: SharedClock, announce: Announce) -> Iterator[Server]:
    require_redis(announce)
    with Server(tmp_path_factory.mktemp("redis"), clock=wall.path) as server:
        yield server


@pytest.fixture
def clock(wall: SharedClock) -> SharedClock:
    wall.now = Clock().now
    return wall


@pytest.fixture(params=["folder", "redis", "postgres"])
def make(request: pytest.FixtureRequest, tmp_path: Path, clock: SharedClock) -> Iterator[Make]:
    """Makes stores over the same keys, by default one that tracks."""
    number = next(_numbers)
    url = str(tmp_path / "kv")
    if request.param == "redis":
        url = f"{request.getfixturevalue('redis').url}/0?prefix=access{number}:"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres").url(table=f"access{number}")
    made: list[SyncKVStore] = []

    def store(**options: Any) -> KVStore:
        return KVStore.from_url(url, clock=clock, **{"track_access": True, **options})

    def make(**options: Any) -> SyncKVStore:
        made.append(store(**options).sync)
        return made[-1]

    make.store = store  # type: ignore[attr-defined]
    yield make
    for kv in made:
        kv.close()


def known(kv: SyncKVStore, key: str = "k") -> dict[str, Any]:
    found = kv.get_metadata(key)
    assert found is not None
    return found


def test_reads_are_written_down(make: Make, clock: SharedClock) -> None:
    """Each way of reading a value, not of asking for anything else; seen by others, and not by those who do not ask."""
    kv, plain = make(access_resolution=0), make(track_access=False)
    kv.set_many({"k": 1, "other": 2})
    kv.namespace("n").set("k", 3)
    for ask in (kv.exists, kv.ttl, kv.get_metadata, plain.get):
        ask("k")
    assert known(kv)["accessed_at"] is None
    assert "accessed_at" not in known(plain)

    for read in (lambda: kv.get("k"), lambda: kv.get_many(["k", "missing"]), lambda: kv.get_pattern("k")):
        clock.tick(1)
        read()
        assert known(kv)["accessed_at"] == clock.now
    assert known(plain)["accessed_at"] == clock.now
    assert known(kv, "other")["accessed_at"] is None
    assert known(kv.namespace("n"))["accessed_at"] is None
    kv.namespace("n").get("k")
    assert known(kv.namespace("n"))["accessed_at"] == clock.now
    assert kv.get("missing", 7) == 7
    assert kv.get_metadata("missing") is None


def test_once_in_a_while(make: Make, clock: SharedClock) -> None:
    """By default a minute, whoever else reads the key."""
    kv, other = make(), make()
    kv.set("k", 1)
    kv.get("k")
    first, version = clock.now, known(kv)["version"]

    clock.tick(59.9)
    for each in (kv, other):
        each.get("k")
        each.get_many(["k"])
    assert (known(kv)["accessed_at"], known(kv)["version"]) == (first, version)
    clock.tick(0.2)
    other.get("k")
    kv.get("k")
    assert known(kv)["accessed_at"] == clock.now


def test_a_read_is_no_update(make: Make, clock: SharedClock) -> None:
    """Nothing else that is known of the key changes, but its version; nor is it in the way of who changes the value."""
    kv, other = make(access_resolution=0), make(track_access=False)
    kv.set("k", 1, {"owner": "me"}, ttl=1_000)
    kv.set("later", 1)
    before = known(other)
    clock.tick(5)
    kv.get("k")

    after = known(other)
    assert after.pop("accessed_at") == clock.now
    assert after.pop("version") > before.pop("version")
    assert after == before
    assert kv.keys() == ["k", "later"]
    assert kv.find(owner="me") == ["k"]
    assert other.compare_and_swap("k", 1, 2)
    assert other.increment("k") == 3
    assert known(kv)["accessed_at"] == clock.now
    kv.update_metadata("k", owner="you")
    assert (known(kv)["owner"], known(kv)["accessed_at"]) == ("you", clock.now)
    kv.set("k", 1)
    assert known(kv)["accessed_at"] is None


def test_readers_beside_writers(make: Make) -> None:
    """No increment is lost, and no metadata."""
    kv = make(access_resolution=0)
    kv.set("n", 0, {"owner": "me"})

    def work(number: int) -> None:
        for _ in range(10):
            if number % 2:
                kv.increment("n")
            else:
                assert kv.get("n") is not None

    in_threads(work)
    assert kv.get("n") == 40
    assert known(kv, "n")["owner"] == "me"


def test_cached_reads(make: Make, clock: SharedClock) -> None:
    """They are written down as well, and the cache is of use in between."""
    kv = make(cache="memory")
    kv.set("k", 1)
    for _ in range(10):
        kv.get("k")
    assert known(kv)["accessed_at"] == clock.now
    clock.tick(61)
    kv.get("k")
    assert known(make(track_access=False, cache="memory"))["accessed_at"] == clock.now


def test_nobody_can_write_it(tmp_path: Path) -> None:
    """It is the system's."""
    with KVStore("file", {"path": tmp_path / "kv"}).sync as kv:
        kv.set("k", 1)
        for write in (lambda: kv.set("k", 1, {"accessed_at": 1}), lambda: kv.update_metadata("k", accessed_at=1)):
            with pytest.raises(InvalidValueError, match="accessed_at"):
                write()


@pytest.mark.parametrize("error", [OSError("full"), ReadOnlyError("no"), ConnectionError("gone")])
def test_read_does_not_fail_by_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """What cannot be written down is not, and the value is read all the same."""
    with KVStore("file", {"path": tmp_path / "kv"}, track_access=True, access_resolution=0).sync as kv:
        kv.set_many({"a": 1, "b": 2})

        def fail(*args: Any, **options: Any) -> None:
            raise error

        monkeypatch.setattr(kv.store, "amend", fail)
        assert kv.get("a") == 1
        assert kv.get_many("ab") == {"a": 1, "b": 2}
        assert known(kv, "a")["accessed_at"] is None


def test_metadata_that_are_not_ours_stay(tmp_path: Path) -> None:
    """Where they cannot be understood nothing is added to them."""
    with KVStore("file", {"path": tmp_path / "kv"}, track_access=True).sync as kv:
        kv.set("k", 1)
        kv.store.amend("k", meta="{strange")
        kv.get("k")

        stat = kv.store.stat("k")
        assert stat is not None
        assert stat.meta == "{strange"


def test_it_is_carried_along(tmp_path: Path, clock: SharedClock) -> None:
    """By a migration, and to who opens the folder as a dict."""
    config = {"path": tmp_path / "kv"}
    with KVStore("file", config, track_access=True, clock=clock).sync as kv, KVStore("memory", clock=clock).sync as to:
        kv.set("k", 1)
        kv.get("k")
        migrate_store_sync(kv, to)
        assert known(to)["accessed_at"] == clock.now
    with DiskDict(tmp_path / "kv") as d:
        assert dict(d.info("k").metadata) == {"accessed_at": clock.now}


def test_clock_that_goes_back(make: Make, clock: SharedClock) -> None:
    """What was read in a time that is still to come is written down anew."""
    kv = make()
    kv.set("k", 1)
    clock.tick(1_000)
    kv.get("k")
    clock.tick(-500)
    kv.get("k")

    assert known(kv)["accessed_at"] == clock.now


def test_tasks_at_the_same_time(make: Make, clock: SharedClock) -> None:
    """What they read together is written down for each key."""
    kv = make(access_resolution=0)
    kv.set_many(dict.fromkeys("abc", 1))
    kv.close()

    async def main(store: KVStore) -> list[object]:
        async with store:
            return await asyncio.gather(*map(store.get, "abxa"))

    assert asyncio.run(main(make.store(access_resolution=0))) == [1, 1, None, 1]  # type: ignore[attr-defined]
    again = make()
    assert [known(again, key)["accessed_at"] for key in "abc"] == [clock.now, clock.now, None]


def test_coroutines_do_the_same(tmp_path: Path) -> None:
    """And a time may be a timedelta."""

    async def main() -> object:
        config = {"path": tmp_path / "kv"}
        async with KVStore("file", config, track_access=True, access_resolution=timedelta(hours=1)) as store:
            await store.set("k", 1)
            await store.get("k")
            return await store.get_metadata("k")

    found = asyncio.run(main())
    assert isinstance(found, dict)
    assert found["accessed_at"] >= found["created_at"] - 1


@pytest.mark.parametrize("resolution", [-1, "60", float("nan"), True])
def test_resolution_that_is_none(resolution: Any) -> None:
    """It is a number of seconds."""
    with pytest.raises(ValueError, match="access_resolution"):
        KVStore("memory", access_resolution=resolution)
