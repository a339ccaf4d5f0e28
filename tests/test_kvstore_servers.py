"""`KVStore` over servers keeps its contract, and is changed by many at once."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest
from clocks import Clock
from hosting import Host, SharedClock, hosting
from kvstore_contract import KVStoreContract, MakeKV
from postgres_server import PASSWORD, USER, PostgresServer

from diskdict import KVStore, migrate_store_sync

_tables = count()


class TestOverPostgres(KVStoreContract):
    """The contract in a table."""

    @pytest.fixture
    def make_kv(self, postgres: PostgresServer, clock: Clock) -> MakeKV:
        table = f"kv{next(_tables)}"
        return lambda **options: KVStore("postgres", settings(postgres, table), clock=clock, **options)


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with hosting(tmp_path_factory.mktemp("host")) as host:
        yield host


@pytest.fixture
def host(process: Host) -> Iterator[Host]:
    yield process
    process.clear()


@pytest.mark.torture
class TestOverHTTP(KVStoreContract):
    """The contract over ``diskdict serve``."""

    @pytest.fixture
    def clock(self, host: Host) -> SharedClock:
        return host.clock

    @pytest.fixture
    def make_kv(self, host: Host, clock: SharedClock) -> MakeKV:
        url = host.serve()
        return lambda **options: KVStore.from_url(url, clock=clock, **options)


def test_searching_over_http(host: Host) -> None:
    """By patterns and by metadata, of more keys than are asked for at a time."""
    with KVStore.from_url(host.serve()).sync as kv:
        kv.set_many({f"app.{number}.size": number for number in range(2_100)})
        kv.set("app.x.name", 1, {"tags": ["finance"]})
        kv.set("other", 1, {"tags": "finance"})

        assert kv.keys("app.*.name") == ["app.x.name"]
        assert kv.find(tags="finance") == ["app.x.name", "other"]


def settings(server: PostgresServer, table: str) -> dict[str, object]:
    place = {"host": "127.0.0.1", "port": server.port, "database": "postgres", "table": table}
    return {**place, "user": USER, "password": PASSWORD}


def test_from_a_folder_to_postgres_and_back(postgres: PostgresServer, tmp_path, clock: Clock) -> None:
    """The same keys in the same order, with all that is known of them."""
    config = settings(postgres, "moved")
    with (
        KVStore("file", {"path": tmp_path / "a"}, clock=clock).sync as first,
        KVStore("postgres", config, clock=clock).sync as second,
        KVStore("file", {"path": tmp_path / "b"}, clock=clock).sync as third,
    ):
        for number in range(250):
            first.set(f"app.{number}", {"n": number}, {"tag": number}, ttl=1000 if number % 2 else None)
        first.namespace("space").set("app\x00", b"\x00")

        assert migrate_store_sync(first, second) == (251, 0, 0)
        assert migrate_store_sync(second, third) == (251, 0, 0)

        assert third.keys() == first.keys()
        assert third.get_pattern("**") == first.get_pattern("**")
        assert [third.get_metadata(key)["tag"] for key in third.keys("**")] == list(range(250))
        assert [third.ttl(key) for key in third.keys("**")] == [first.ttl(key) for key in first.keys("**")]
        assert third.namespace("space").get("app\x00") == b"\x00"
