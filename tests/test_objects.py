"""`ObjectStore` keeps the contract of all stores, the dict over it that of all mappings, in memory and on a server."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from threading import Event
from typing import Any

import obstore
import pytest
from ceph_server import PASSWORD, USER, ceph_server, make_bucket, require_ceph
from clocks import Clock
from crew import Crew
from kvstore_contract import KVStoreContract, MakeKV
from mapping_contract import Dict, MakeDict, MappingContract
from moto_server import Bucket, s3_server
from obstore.store import MemoryStore
from store_contract import MakeStore, StoreContract
from tallies import Announce

from diskdict import KVStore, open_dict
from diskdict.backends import open_store
from diskdict.backends.objects.address import client_of, parsed
from diskdict.backends.objects.apart import LARGE
from diskdict.backends.objects.store import ObjectStore
from diskdict.core import StoreDict
from diskdict.store import Store

_prefixes = count()


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    with s3_server() as endpoint, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "someone")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        yield Bucket(endpoint, "bucket")


@pytest.fixture
def keep() -> Iterator[Callable[[Any], Any]]:
    """Close at the end what was given."""
    kept: list[Any] = []
    yield lambda one: kept.append(one) or one
    for one in kept:
        one.close()


class TestObjectStore(StoreContract):
    """The contract on a server, which is a slow one: what threads do to it is left for the class below."""

    @pytest.fixture
    def make_store(self, bucket: Bucket, keep: Callable[[Store], Store]) -> MakeStore:
        return lambda clock, **options: keep(
            open_store(bucket.url(f"store{next(_prefixes)}"), codec="raw", clock=clock, **options)
        )

    test_threads_count_by_version = None
    test_threads_mixing_everything = None


@pytest.mark.torture
class TestObjectStoreOfThreads(TestObjectStore):
    """What was left."""

    test_threads_count_by_version = StoreContract.test_threads_count_by_version
    test_threads_mixing_everything = StoreContract.test_threads_mixing_everything


class TestObjectStoreInMemory(StoreContract):
    """The contract over a client of the caller's."""

    upload_size = LARGE + 1

    @pytest.fixture
    def make_store(self, keep: Callable[[Store], Store]) -> MakeStore:
        return lambda clock, **options: keep(ObjectStore(MemoryStore(), clock=clock, **options))


class _DictContract(MappingContract):
    @pytest.fixture
    def made(self) -> Callable[..., Store]:
        raise NotImplementedError

    @pytest.fixture
    def make_dict(self, made: Callable[..., Store], clock: Clock) -> Iterator[MakeDict]:
        dicts: list[Dict] = []

        def make(*, lock: Any = None, limits: Any = None, **options: Any) -> Dict:
            dicts.append(StoreDict(made(clock=clock, lock=lock, limits=limits), limits=limits, **options))
            return dicts[-1]

        yield make
        for d in dicts:
            d._values.forget_all()
            d.close()


class TestObjectDictInMemory(_DictContract):
    """The contract over a client of the caller's."""

    @pytest.fixture
    def made(self) -> Callable[..., Store]:
        return lambda **options: ObjectStore(MemoryStore(), **options)


@pytest.mark.torture
class TestObjectDict(_DictContract):
    """The contract on a server."""

    @pytest.fixture
    def made(self, bucket: Bucket) -> Callable[..., Store]:
        return lambda **options: open_store(bucket.url(f"dict{next(_prefixes)}"), **options)


@pytest.mark.torture
class TestObjectKVStore(KVStoreContract):
    """The contract on a server."""

    @pytest.fixture
    def make_kv(self, bucket: Bucket, clock: Clock) -> MakeKV:
        url = bucket.url(f"kv{next(_prefixes)}")
        return lambda **options: KVStore.from_url(url, clock=clock, **options)


def test_large_values_go_in_parts(bucket: Bucket, keep: Callable[[Store], Store]) -> None:
    """Each part is a request of its own, and what refers to all of them comes last."""
    url = bucket.url("large")
    store, client = keep(open_store(url)), client_of(parsed(url))
    value = bytes(range(256)) * (20 << 12)
    version = store.put("k", value)
    listed = [found["e_tag"].strip('"') for page in obstore.list(client, "large/large") for found in page]

    assert [tag.rpartition("-")[2] for tag in listed] == ["4"]
    assert keep(open_store(url)).read("k") == value
    assert store.put("k", b"1", only_if=version) is not None
    assert list(obstore.list(client, "large/large")) == []


# ---- processes


@pytest.fixture(scope="module")
def crew(bucket: Bucket) -> Iterator[Crew]:
    with Crew("objects_clienting", "diskdict.backends.objects") as crew:
        yield crew


@pytest.mark.parametrize(("clients", "each"), [(4, 15), pytest.param(16, 40, marks=pytest.mark.torture)])
def test_no_increment_is_lost(bucket: Bucket, crew: Crew, clients: int, each: int) -> None:
    """Processes count to the exact sum."""
    url = bucket.url(f"count{next(_prefixes)}")
    with ExitStack() as stack:
        actors = [stack.enter_context(crew.actor()) for _ in range(clients)]
        for actor in actors:
            actor.start("objects_clienting.count_up(url, each)", url=url, each=each)
        for actor in actors:
            actor.hear()

    with open_dict(url) as d:
        assert d["n"] == clients * each


@pytest.mark.parametrize("kills", [2, pytest.param(60, marks=pytest.mark.torture)])
def test_nothing_is_lost_by_who_is_killed(bucket: Bucket, crew: Crew, kills: int) -> None:
    """Whoever dies in the middle of moving between accounts, their sum stays, and the others go on."""
    url, accounts = bucket.url(f"move{next(_prefixes)}"), "abcdefgh"
    with open_dict(url) as d, ExitStack() as stack:
        d.update(dict.fromkeys(accounts, 100))
        steady = stack.enter_context(crew.actor())
        steady.start("objects_clienting.move(url, accounts, say, 1)", url=url, accounts=accounts)
        for start in range(kills):
            with crew.actor() as actor:
                actor.start(
                    "objects_clienting.move(url, accounts, say, start)", url=url, accounts=accounts, start=start
                )
                actor.hear()
                Event().wait(random.Random(start).random() / 20)
                actor.kill()
        for _ in range(3):
            assert steady.hear() == "moved"
        steady.kill()

        assert sum(d.get_many(accounts).values()) == 800
        for account in accounts:
            d.increment(account)
        assert sum(d.values()) == 808


# ---- Ceph


@pytest.fixture(scope="module")
def ceph(tmp_path_factory: pytest.TempPathFactory, announce: Announce) -> Iterator[str]:
    """Gives the beginning of the URLs of stores, and their end."""
    require_ceph(announce)
    with ceph_server(tmp_path_factory.mktemp("ceph")) as endpoint:
        make_bucket(endpoint, "bucket")
        yield endpoint


@pytest.fixture
def as_user_of_ceph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", USER)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", PASSWORD)


def in_ceph(endpoint: str) -> str:
    return f"s3://bucket/test{next(_prefixes)}?endpoint={endpoint}&region=default"


@pytest.mark.torture
@pytest.mark.usefixtures("as_user_of_ceph")
class TestObjectStoreInCeph(StoreContract):
    """The contract on a server that wants ETags without quotes."""

    @pytest.fixture
    def make_store(self, ceph: str, keep: Callable[[Store], Store]) -> MakeStore:
        return lambda clock, **options: keep(open_store(in_ceph(ceph), codec="raw", clock=clock, **options))


@pytest.mark.torture
@pytest.mark.usefixtures("as_user_of_ceph")
class TestObjectDictInCeph(_DictContract):
    """The contract on a server that wants ETags without quotes."""

    @pytest.fixture
    def made(self, ceph: str) -> Callable[..., Store]:
        return lambda **options: open_store(in_ceph(ceph), **options)
