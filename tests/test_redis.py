"""`RedisStore` keeps the contract of all stores, the dict over it that of all mappings, over a server of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from clocks import Clock
from hosting import SharedClock
from kvstore_contract import KVStoreContract, MakeKV
from mapping_contract import Dict, MakeDict, MappingContract
from redis_server import Server, require_redis
from store_contract import MakeStore, StoreContract

from diskdict import KVStore
from diskdict.backends.redis.store import RedisStore
from diskdict.core import StoreDict

Place = Callable[[], str]


@pytest.fixture(scope="module")
def wall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedClock]:
    """The clock of the servers."""
    clock = SharedClock(tmp_path_factory.mktemp("wall") / "clock", Clock().now)
    yield clock
    clock.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, wall: SharedClock, announce: Any) -> Iterator[Server]:
    """A server by whose clock all expires."""
    require_redis(announce)
    with Server(tmp_path_factory.mktemp("redis"), clock=wall.path) as server:
        yield server


@pytest.fixture
def clock(server: Server, wall: SharedClock) -> SharedClock:
    wall.now = Clock().now
    return wall


@pytest.fixture
def place(server: Server) -> Iterator[Place]:
    """Gives the URL of an empty store."""
    numbers = count()
    yield lambda: f"{server.url}/0?prefix=test{next(numbers)}:"
    with server.client() as client:
        client.flushall()


class TestRedisStore(StoreContract):
    """The contract over a server."""

    @pytest.fixture
    def make_store(self, place: Place) -> Iterator[MakeStore]:
        made: list[RedisStore] = []

        def make(clock: Any, **options: Any) -> RedisStore:
            made.append(RedisStore(place(), codec="raw", clock=clock, **options))
            return made[-1]

        yield make
        for store in made:
            store.close()

    test_reads_remove_nothing = None  # the server removes what has expired when it is asked for it


@pytest.fixture
def make_dict(place: Place, clock: SharedClock) -> Iterator[MakeDict]:
    made: list[Dict] = []

    def make(*, lock: Any = None, limits: Any = None, **options: Any) -> Dict:
        made.append(StoreDict(RedisStore(place(), clock=clock, lock=lock, limits=limits), limits=limits, **options))
        return made[-1]

    yield make
    for d in made:
        d._values.forget_all()
        d.close()


class TestRedisDict(MappingContract):
    """The contract of mappings over a server."""

    @pytest.fixture
    def make_dict(self, make_dict: MakeDict) -> MakeDict:
        return make_dict

    test_clock_that_goes_back = None  # the server removes what has expired when it is asked for it


class TestRedisKVStore(KVStoreContract):
    """The contract over a server."""

    @pytest.fixture
    def make_kv(self, place: Place, clock: SharedClock) -> MakeKV:
        url = place()
        return lambda **options: KVStore.from_url(url, clock=clock, **options)
