"""`KVStore` of clients that somebody else has made, and goes on to use: of redis-py, of psycopg_pool."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import psycopg_pool
import pytest
import redis
import redis.asyncio
from clocks import Clock
from hosting import SharedClock
from kvstore_contract import KVStoreContract, MakeKV
from obstore.store import MemoryStore, S3Store
from postgres_server import PostgresServer
from psycopg.rows import dict_row
from redis.backoff import NoBackoff
from redis.cache import CacheConfig
from redis.retry import Retry
from redis_server import Server, free_port, require_redis, wait_until
from store_contract import in_threads
from tallies import Announce

from diskdict import ClosedError, KVStore, SyncKVStore

Pool = psycopg_pool.ConnectionPool[Any]
MakePool = Callable[..., Pool]

_numbers = count()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def all_kinds_of_use(kv: SyncKVStore) -> None:
    """Ask for all that a store can, once."""
    kv.set("a.é", {"text": "é\0"}, {"owner": "me"}, ttl=1_000)
    kv.set_many({"a.b": b"\xff\x00", "n": 1})
    assert kv.get_many(["a.é", "a.b", "none"]) == {"a.é": {"text": "é\0"}, "a.b": b"\xff\x00"}
    assert kv.increment("n", 2) == 3
    assert kv.compare_and_swap("n", 3, [1])
    assert kv.append("n", [2]) == [1, 2]
    assert kv.keys("a.*") == ["a.é", "a.b"]
    assert kv.find(owner="me") == ["a.é"]
    assert 0 < (kv.ttl("a.é") or 0) <= 1_000
    assert kv.namespace("x").set_if_absent("n", 1)
    assert kv.namespaces() == ["x"]
    assert kv.delete_many(["a.b", "none"]) == {"a.b": True, "none": False}
    assert kv.clear() == 2
    assert kv.namespace("x").clear() == 1


# ---- Redis


@pytest.fixture(scope="module")
def wall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedClock]:
    """The clock of the server."""
    clock = SharedClock(tmp_path_factory.mktemp("wall") / "clock", Clock().now)
    yield clock
    clock.close()


@pytest.fixture(scope="module")
def socket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("socket") / "s"


@pytest.fixture(scope="module")
def process(
    tmp_path_factory: pytest.TempPathFactory, wall: SharedClock, socket: Path, announce: Announce
) -> Iterator[Server]:
    require_redis(announce)
    with Server(tmp_path_factory.mktemp("redis"), clock=wall.path, unixsocket=socket) as server:
        yield server


@pytest.fixture
def server(process: Server) -> Iterator[Server]:
    """A server without keys."""
    yield process
    process.ask("FLUSHALL")


@pytest.fixture
def redis_clock(wall: SharedClock) -> SharedClock:
    wall.now = Clock().now
    return wall


@pytest.mark.torture
class TestOverRedisClient(KVStoreContract):
    """The contract over a client whose settings are as far from ours as they can be."""

    @pytest.fixture
    def clock(self, redis_clock: SharedClock) -> SharedClock:
        return redis_clock

    @pytest.fixture
    def make_kv(self, server: Server, clock: SharedClock, stack: ExitStack) -> MakeKV:
        client = stack.enter_context(redis.Redis(port=server.port, decode_responses=True, protocol=3))
        config = {"prefix": f"test{next(_numbers)}:"}
        return lambda **options: KVStore(config=config, client=client, clock=clock, **options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"decode_responses": True, "encoding": "latin-1"},
        {"protocol": 3, "decode_responses": True},
        {"single_connection_client": True},
        {"db": 3, "health_check_interval": 1},
        {"max_connections": 1},
        {"socket_timeout": 30, "retry": None},
    ],
    ids=str,
)
def test_settings_of_a_redis_client(server: Server, redis_clock: SharedClock, options: dict[str, Any]) -> None:
    """None of them matters; it is the client's database that is used, and the client goes on as before."""
    with redis.Redis(port=server.port, **options) as client:
        client.set("mine", "x")
        with KVStore("redis", client=client).sync as kv:
            all_kinds_of_use(kv)
            kv.set("k", "é")
            assert len(list(client.scan_iter("*k:k"))) == 1

        assert client.get("mine") == ("x" if options.get("decode_responses") else b"x")


def test_redis_client_of_a_unix_socket(server: Server, socket: Path) -> None:
    """And one made of a URL, or of a pool."""
    pool = redis.BlockingConnectionPool(port=server.port, max_connections=2)
    made = [
        redis.Redis(unix_socket_path=str(socket)),
        redis.Redis.from_url(f"unix://{socket}?decode_responses=true"),
        redis.Redis(connection_pool=pool),
    ]
    for client in made:
        with closing(pool), client, KVStore(client=client).sync as kv:
            all_kinds_of_use(kv)


def test_redis_client_is_used_by_threads(server: Server) -> None:
    """Its own connections, as many as it allows."""
    pool = redis.BlockingConnectionPool(port=server.port, max_connections=2, timeout=30)
    with closing(pool), redis.Redis(connection_pool=pool) as client, KVStore(client=client).sync as kv:
        in_threads(lambda _: [kv.increment("n") for _ in range(20)])

        assert kv.get("n") == 160
        assert len(server.ask("CLIENT", "LIST", "TYPE", "normal").splitlines()) <= 3
        kv.clear()


@pytest.mark.parametrize("protocol", [2, 3])
def test_redis_client_and_a_cache(server: Server, protocol: int) -> None:
    """Others are heard by a connection that is made as the client's are."""
    with (
        redis.Redis(port=server.port, decode_responses=True, protocol=protocol) as client,
        KVStore(client=client, cache="memory").sync as kv,
        KVStore.from_url(server.url).sync as other,
    ):
        kv.get("k")
        wait_until(lambda: kv.cache_stats().active)
        other.set("k", 1)
        wait_until(lambda: kv.get("k") == 1)
        other.set("k", 2)
        wait_until(lambda: kv.get("k") == 2)
        other.clear()


def test_redis_client_that_cannot_reach_its_server() -> None:
    """The error is ours, and names where it leads."""
    port = free_port()
    client = redis.Redis(port=port, retry=Retry(NoBackoff(), 0))
    with client, KVStore(client=client).sync as kv, pytest.raises(ConnectionRefusedError, match=f"{port}"):
        kv.get("k")


def test_redis_clients_that_cannot_be_used(server: Server) -> None:
    """They are told from the others by the first use at the latest."""
    cached = redis.Redis(port=server.port, protocol=3, cache_config=CacheConfig())
    wide = redis.Redis(port=server.port, encoding="utf-16")
    pipeline = redis.Redis(port=server.port).pipeline()
    for client, error, said in (
        (cached, ValueError, "cache"),
        (wide, ValueError, "utf-16"),
        (pipeline, TypeError, "Pipeline"),
        (pipeline.connection_pool, TypeError, "ConnectionPool"),
    ):
        with KVStore(client=client).sync as kv, pytest.raises(error, match=said):
            kv.get("k")
        client.close()


# ---- PostgreSQL


@pytest.fixture
def make_pool(postgres: PostgresServer, stack: ExitStack) -> MakePool:
    def make(*, configure: Any = None, size: int = 1, **kwargs: Any) -> Pool:
        pool: Pool = psycopg_pool.ConnectionPool(
            postgres.url(), kwargs=kwargs, min_size=size, configure=configure, open=False, timeout=20
        )
        stack.enter_context(pool).wait()
        return pool

    return make


@pytest.fixture(scope="module")
def strange(postgres: PostgresServer) -> Iterator[Pool]:
    """A pool whose connections are as far from ours as they can be."""
    kwargs = {"row_factory": dict_row, "cursor_factory": psycopg.ClientCursor, "prepare_threshold": None}
    with psycopg_pool.ConnectionPool(postgres.url(), kwargs=kwargs, min_size=1, max_size=1, open=False) as pool:
        pool.wait()
        yield pool


@pytest.mark.torture
class TestOverPool(KVStoreContract):
    """The contract over a pool with settings of its own."""

    @pytest.fixture
    def make_kv(self, strange: Pool, clock: Clock) -> MakeKV:
        config = {"table": f"given{next(_numbers)}"}
        return lambda **options: KVStore(config=config, client=strange, clock=clock, **options)


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"autocommit": True},
        {"row_factory": dict_row},
        {"cursor_factory": psycopg.RawCursor},
        {"prepare_threshold": None},
        {"prepare_threshold": 0, "options": "-c statement_timeout=20000"},
    ],
    ids=["default", "autocommit", "dict rows", "raw cursors", "nothing prepared", "all prepared"],
)
def test_settings_of_a_pool(make_pool: MakePool, kwargs: dict[str, Any]) -> None:
    """None of them matters, and who uses its connections afterwards finds them as before."""
    pool = make_pool(**kwargs)
    with pool.connection() as connection:
        before = connection.autocommit, connection.row_factory, connection.prepare_threshold
    with KVStore("postgres", {"table": f"given{next(_numbers)}"}, client=pool).sync as kv:
        all_kinds_of_use(kv)

    with pool.connection() as connection:
        assert (connection.autocommit, connection.row_factory, connection.prepare_threshold) == before
        [one] = connection.execute(b"SELECT 1 AS one").fetchall()
        assert one in ((1,), {"one": 1})
        assert connection.info.transaction_status == (
            psycopg.pq.TransactionStatus.IDLE if connection.autocommit else psycopg.pq.TransactionStatus.INTRANS
        )


def test_what_a_pool_makes_of_its_connections(make_pool: MakePool) -> None:
    """Its ``configure`` is heeded: the table is where the search path says; types that it adapts are read as ours."""

    def configure(connection: psycopg.Connection[Any]) -> None:
        connection.execute("CREATE SCHEMA IF NOT EXISTS elsewhere")
        connection.execute("SET search_path TO elsewhere")
        connection.commit()
        connection.adapters.register_loader("bytea", psycopg.types.string.TextLoader)
        connection.adapters.register_dumper(str, psycopg.types.string.StrDumperUnknown)

    pool = make_pool(configure=configure)
    with KVStore(config={"table": "found"}, client=pool).sync as kv:
        all_kinds_of_use(kv)
    with pool.connection() as connection:
        assert connection.execute("SELECT to_regclass('elsewhere.found') IS NULL").fetchone() == (False,)


def test_pool_is_used_by_threads_and_others(make_pool: MakePool) -> None:
    """Its own connections, as many as it has, beside those who use it for something else."""
    pool = make_pool(size=2)
    with KVStore(config={"table": f"given{next(_numbers)}"}, client=pool).sync as kv:

        def work(number: int) -> None:
            for _ in range(10):
                if number % 2:
                    kv.increment("n")
                else:
                    with pool.connection() as connection:
                        connection.execute("SELECT 1")

        in_threads(work)
        assert kv.get("n") == 40
        assert pool.get_stats()["pool_size"] <= 2


def test_pool_whose_connections_have_ended(make_pool: MakePool, postgres: PostgresServer) -> None:
    """Others are taken in their place."""
    pool = make_pool(size=2)
    with KVStore(config={"table": f"given{next(_numbers)}"}, client=pool).sync as kv:
        kv.set("k", 1)
        postgres.restart()

        assert kv.get("k") == 1
        assert kv.increment("k") == 2


def test_connection_that_is_busy(make_pool: MakePool) -> None:
    """Who waits too long is told that it is the pool that has none."""
    pool = make_pool()
    pool.timeout = 0.2
    with KVStore(config={"table": f"given{next(_numbers)}"}, client=pool).sync as kv:
        kv.set("k", 1)
        with pool.connection(), pytest.raises(TimeoutError, match="pool"):
            kv.get("k")
        assert kv.get("k") == 1


def test_pool_in_a_forked_process(make_pool: MakePool) -> None:
    """Its connections are the parent's: the child is told to make one of its own."""
    pool = make_pool()
    with KVStore(config={"table": f"given{next(_numbers)}"}, client=pool).sync as kv:
        kv.set("k", 1)
        kv.store.abandon()  # type: ignore[attr-defined]  # what a fork calls

        with pytest.raises(ClosedError, match="child"):
            kv.get("k")


def test_pools_that_cannot_be_used(make_pool: MakePool, postgres: PostgresServer) -> None:
    """They are refused by the first use, by what is the matter with them."""
    closed: Pool = psycopg_pool.ConnectionPool(postgres.url(), open=False)
    strict = make_pool(options="-c default_transaction_isolation=serializable")
    latin = make_pool(client_encoding="latin1")
    for pool, error, said in (
        (closed, ClosedError, "not open"),
        (strict, ValueError, "serializable"),
        (latin, ValueError, "LATIN1"),
    ):
        with KVStore(client=pool).sync as kv, pytest.raises(error, match=said):
            kv.get("k")


# ---- object stores


def test_store_of_obstore() -> None:
    """Here one without a network."""
    with KVStore(client=MemoryStore(), cache="memory").sync as kv:
        all_kinds_of_use(kv)


def test_which_object_store_it_is() -> None:
    """A backend of another name contradicts it."""
    with pytest.raises(ValueError, match=r"'gcs'.*'s3'"):
        KVStore("gcs", client=S3Store("bucket", region="nowhere"))


# ---- which client is for what


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (redis.asyncio.Redis, "synchronous.*Redis"),
        (lambda: psycopg_pool.AsyncConnectionPool(open=False), "synchronous.*AsyncConnectionPool"),
        (lambda: psycopg.Connection.__new__(psycopg.Connection), "ConnectionPool"),
        (object, "redis.Redis.*ConnectionPool.*obstore"),
        (threading.Lock, "not lock"),
    ],
    ids=["redis.asyncio", "AsyncConnectionPool", "Connection", "object", "lock"],
)
def test_what_is_no_client(make: Callable[[], object], said: str) -> None:
    """It is refused where it is given, and what would be one is named."""
    with pytest.raises(TypeError, match=said):
        KVStore(client=make())


@pytest.mark.parametrize(
    ("backend", "config", "said"),
    [
        ("postgres", None, "'postgres'.*'redis'"),
        ("memory", None, "'memory'.*'redis'"),
        ("redis", {"host": "elsewhere"}, "host.*prefix"),
        ("file", {"table": "t"}, "table"),
    ],
)
def test_what_contradicts_a_client(backend: str, config: dict[str, object] | None, said: str) -> None:
    """A backend of another kind, or an address beside it, is an error where it is given."""
    with redis.Redis() as client, pytest.raises(ValueError, match=said):
        KVStore(backend, config, client=client)


def test_client_by_place(server: Server) -> None:
    """It is the eleventh argument, and its coroutines work as the others do."""
    with redis.Redis(port=server.port) as client:

        async def main() -> object:
            async with KVStore("file", None, None, False, 60, None, None, 1000, ".", None, client) as store:
                await store.set("k", 1)
                return await store.get("k"), await store.clear()

        assert asyncio.run(main()) == (1, 1)
