"""`RedisStore` in a cluster of three primaries and three replicas: the contract, as far as several slots keep it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import redis
from clocks import Clock
from crew import Crew
from hosting import SharedClock
from mapping_contract import Dict, MakeDict, MappingContract
from redis.crc import key_slot
from redis_server import Cluster, Server, acknowledged, free_port, require_redis, wait_until
from store_contract import MakeStore, StoreContract

from diskdict import KVStore
from diskdict.backends.memory import MemoryStore
from diskdict.backends.redis.store import RedisStore
from diskdict.caching import CachedStore
from diskdict.core import StoreDict
from diskdict.errors import ConflictError, KeyExistsError
from diskdict.limits import Limits
from diskdict.migrate import migrate
from diskdict.store import Store


@pytest.fixture(scope="module")
def wall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedClock]:
    """The clock of the servers."""
    clock = SharedClock(tmp_path_factory.mktemp("wall") / "clock", Clock().now - 1000)
    yield clock
    clock.close()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, wall: SharedClock, announce: Any) -> Iterator[Cluster]:
    """A cluster by whose clock all expires."""
    require_redis(announce)
    with Cluster(tmp_path_factory.mktemp("cluster"), clock=wall, cluster_node_timeout=10_000_000) as cluster:
        yield cluster


@pytest.fixture
def clock(cluster: Cluster, wall: SharedClock) -> SharedClock:
    wall.now = Clock().now
    return wall


@pytest.fixture
def stores(cluster: Cluster, clock: SharedClock) -> Iterator[MakeStore]:
    """Makes a store whose prefix is the one given and a number."""
    numbers = count()
    made: list[RedisStore] = []

    def make(prefix: str, **options: Any) -> RedisStore:
        url = f"{cluster.url}/?prefix={prefix}{next(numbers)}:&wait=1"
        made.append(RedisStore(url, clock=clock, **options))
        return made[-1]

    yield make
    for store in made:
        store.close()
    cluster.clear()


class TestOneSlot(StoreContract):
    """The contract over a store whose prefix has a hash tag."""

    @pytest.fixture
    def make_store(self, stores: MakeStore) -> MakeStore:
        return lambda clock, **options: stores("{app}", codec="raw", **options)

    test_reads_remove_nothing = None  # the server removes what has expired when it is asked for it


@pytest.mark.torture
class TestDictInOneSlot(MappingContract):
    """The contract of mappings over such a store."""

    @pytest.fixture
    def make_dict(self, stores: MakeStore) -> Iterator[MakeDict]:
        made: list[Dict] = []

        def make(*, lock: Any = None, limits: Any = None, **options: Any) -> Dict:
            made.append(StoreDict(stores("{app}", lock=lock, limits=limits), limits=limits, **options))
            return made[-1]

        yield make
        for d in made:
            d._values.forget_all()
            d.close()

    test_clock_that_goes_back = None  # the server removes what has expired when it is asked for it


class TestManySlots(StoreContract):
    """The contract over a store that is spread over the servers, as far as it is about one key at a time."""

    @pytest.fixture
    def make_store(self, stores: MakeStore) -> MakeStore:
        return lambda clock, **options: stores("app", codec="raw", **options)

    test_reads_remove_nothing = None  # the server removes what has expired when it is asked for it
    # several keys as one
    test_versions_increase_strictly = None
    test_expired_is_absent_everywhere = None
    test_rename_moves = None
    test_rename_of_a_missing_key = None
    test_rename_onto_a_live_key = None
    test_rename_onto_an_expired_key = None
    test_threads_rename_once = None
    test_lock_is_held_around_mutations = None
    test_closed_store_refuses = None
    # all values together
    test_total_bytes = None
    test_total_bytes_counts_what_is_there = None
    test_expired_make_room = None


# ---- several slots


@pytest.fixture
def store(stores: MakeStore) -> Store:
    """A store that is spread over the servers."""
    return stores("app")


def test_versions_of_many_keys(store: Store) -> None:
    """Each change has a number that was never used, in the order of the changes, whichever server makes it."""
    versions = [store.put(f"k{number % 50}", b"1") for number in range(200)]
    versions += [store.amend(f"k{number}", meta="{}") for number in range(50)]

    assert None not in versions
    assert versions == sorted(set(versions))


def test_order_of_many_keys(store: Store) -> None:
    """One by one or by many at once: keys come in the order in which they were put, by pages of several servers."""
    first = [f"one/{number}" for number in range(300)]
    many = [f"many/{number}" for number in range(3_000)]
    for key in first:
        store.put(key, b"1")
    store.put_many(dict.fromkeys(many, b"2"))
    store.put("last", b"3")

    assert list(store.scan()) == [*first, *many, "last"]
    assert list(store.scan(reverse=True)) == ["last", *many[::-1], *first[::-1]]
    assert list(store.scan("many/")) == many
    assert store.count() == 3_301
    assert list(store.get_many(many)) == many
    assert set(store.delete_many(many).values()) == {True}
    assert store.count() == 301


def test_migration(store: Store) -> None:
    """Keys of many slots come over and go back in their order, though no commit may change them all."""
    first, last = MemoryStore(), MemoryStore()
    for number in range(300):
        first.put(f"k{number}", b"1", meta="{}", created=float(number))
    store.put("k7", b"2")

    with pytest.raises(KeyExistsError):
        migrate(first, store)
    assert migrate(first, store, on_conflict="overwrite") == (300, 0, 0)
    assert migrate(store, last) == (300, 0, 0)
    assert list(last.scan()) == ["k7", *(key for key in first.scan() if key != "k7")]
    assert [last.get(key).created for key in last.scan()][1:4] == [0.0, 1.0, 2.0]


def test_searching_many_slots(store: Store) -> None:
    """What is looked through on each server comes back in the order of insertion, and without what does not fit."""
    for number in range(60):
        store.put(f"k{number}", b"x", meta='{"tags":"finance"}' if number % 3 == 0 else '{"tags":"other"}')

    assert list(store.scan_meta("k", {"tags": "finance"})) == [
        (f"k{number}", '{"tags":"finance"}') for number in range(0, 60, 3)
    ]
    assert list(store.scan_like(["k", "5"])) == [f"k{number}" for number in range(5, 60, 10)]


def test_keys_lie_on_all_servers(store: Store, cluster: Cluster) -> None:
    """No server has all of a store."""
    store.put_many({f"k{number}": b"1" for number in range(300)})

    sizes = [server.ask("DBSIZE") for server in cluster.servers[:3]]
    assert min(sizes) > 60


def test_expired_of_many_slots(store: Store, clock: SharedClock) -> None:
    """Absent at once, and swept up to the limit."""
    store.put_many({f"k{number}": b"1" for number in range(100)}, expires=clock.now + 5)
    clock.tick(5)
    counted, found = store.count(), store.get_many(["k1", "k2"])

    assert (counted, found) == (0, {})
    assert store.sweep(30) == 30
    assert store.sweep() == 70


def test_several_keys_as_one_need_a_tag(store: Store) -> None:
    """Without one it is refused before anything is done, with one it is as everywhere."""
    d: Dict = StoreDict(store)
    d.update({"a": 1, "b": 2, "{user 1}/a": 1, "{user 1}/b": 2})
    with pytest.raises(ValueError, match="have the same"), d.transaction():
        d["a"], d["b"] = d["b"], d["a"]
    with pytest.raises(ValueError, match="have the same"):
        d.rename("a", "c")
    with d.transaction():
        d["{user 1}/a"], d["{user 1}/b"] = d["{user 1}/b"], d["{user 1}/a"]
    d.rename("{user 1}/a", "{user 1}/c")

    assert d == {"a": 1, "b": 2, "{user 1}/b": 1, "{user 1}/c": 2}


def test_conflict_between_tagged_keys(store: Store) -> None:
    """What another client has changed is met there as well."""
    d: Dict = StoreDict(store)
    d["{t}a"] = 1
    with pytest.raises(ConflictError), d.transaction():
        d["{t}b"] = d["{t}a"]
        store.put("{t}a", b"2")

    assert d == {"{t}a": 2}


@pytest.mark.parametrize("prefix", ["a{b", "a}b", "{}"])
def test_half_a_tag(prefix: str) -> None:
    """A prefix that a server would read in another way is refused."""
    with pytest.raises(ValueError, match="hash tag"):
        RedisStore(f"redis+cluster://127.0.0.1:1/?prefix={prefix}")


def test_limit_of_all_slots() -> None:
    """Nobody knows what all slots hold together."""
    with pytest.raises(ValueError, match="total_bytes"):
        RedisStore("redis+cluster://127.0.0.1:1/", limits=Limits(total_bytes=10))


# ---- a primary that ends


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    with Crew("redis_child") as crew:
        yield crew


def test_primary_that_is_killed_in_mid_load(tmp_path: Path, announce: Any, crew: Crew) -> None:
    """Another takes its place and has all that was acknowledged with wait=1; what was not is told as what it is."""
    require_redis(announce)
    options = {"cluster_node_timeout": 3_000, "cluster_replica_validity_factor": 0}
    with Cluster(tmp_path, **options) as cluster, ExitStack() as stack:
        actors = [stack.enter_context(crew.actor()) for _ in range(4)]
        for number, actor in enumerate(actors):
            url = f"{cluster.url}?wait=1&timeout=2"
            actor.start("redis_child.write(url, number, say)", url=url, number=number)
        kept = acknowledged(actors, 50)
        cluster.servers[0].kill()
        cluster.servers[3].wait_for("role:master")
        kept |= acknowledged(actors, 20)
        said = []
        for actor in actors:
            actor.kill()
            said += actor.last_words()
        kept |= {key: turn for key, turn in said if key is not None}

        # The one that took its place has no replica by now.
        store = stack.enter_context(closing(RedisStore(f"{cluster.url}?timeout=60", codec="raw")))
        records = store.get_many(kept)
        assert {key: int(record.payload) for key, record in records.items()} == kept
        assert len(kept) > 4 * 70 - 1
        store.put_many({f"after/{number}": b"1" for number in range(200)})
        assert len(list(store.scan("after/"))) == 200


def test_cluster_that_is_down(tmp_path: Path, announce: Any) -> None:
    """Nobody there, and nobody for a slot: both are a ConnectionError in time."""
    require_redis(announce)
    store = RedisStore(f"redis+cluster://127.0.0.1:{free_port()}?timeout=0.3")
    with closing(store), pytest.raises(ConnectionRefusedError, match=r"127\.0\.0\.1"):
        store.read("k")
    with Server(tmp_path, cluster_enabled="yes", cluster_port=free_port()) as server:
        store = RedisStore(f"redis+cluster://127.0.0.1:{server.port}?timeout=0.3")
        with closing(store), pytest.raises(ConnectionError, match="slot"):
            store.read("k")


def test_server_that_is_no_cluster(tmp_path: Path, announce: Any) -> None:
    """It is told so."""
    require_redis(announce)
    with Server(tmp_path) as server:
        store = RedisStore(f"redis+cluster://127.0.0.1:{server.port}")
        with closing(store), pytest.raises(OSError, match="cluster support disabled"):
            store.read("k")


def test_one_server_of_a_cluster(cluster: Cluster) -> None:
    """Who takes it for the whole is told what it is."""
    store = RedisStore(cluster.servers[0].url)
    with closing(store), pytest.raises(ConnectionError, match=r"redis\+cluster:"):
        store.put("k", b"1")


def test_slots_that_move(cluster: Cluster, store: Store, clock: SharedClock) -> None:
    """While a slot goes to another server its keys are read, and changes wait until it is there."""
    keys = [f"k{number}" for number in range(200)]
    store.put_many(dict.fromkeys(keys, b"1"), expires=clock.now + 1000)
    [source, target] = cluster.servers[:2]
    names = [server.ask("CLUSTER", "MYID") for server in (source, target)]
    slots = sorted({key_slot(name) for name in source.ask("KEYS", "*")})[:3]
    here = [name.partition(b"k:")[2].decode() for slot in slots for name in _names(source, slot) if b"k:" in name]
    for slot in slots:
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", names[0])
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", names[1])
        for name in [name for name in _names(source, slot) if b"k:" in name][::2]:
            source.ask("MIGRATE", "127.0.0.1", target.port, name, 0, 10_000)
    read = [store.read(key) for key in keys]
    changing = threading.Thread(target=store.put_many, args=(dict.fromkeys(keys, b"2"),))
    changing.start()
    wait_until(lambda: b"errorstat_TRYAGAIN" in source.ask("INFO", "errorstats") or not changing.is_alive())
    waited = changing.is_alive()
    for slot in slots:
        for name in _names(source, slot):
            source.ask("MIGRATE", "127.0.0.1", target.port, name, 0, 10_000)
        for server in (target, source, cluster.servers[2]):
            server.ask("CLUSTER", "SETSLOT", slot, "NODE", names[1])
    changing.join()

    assert read == [b"1"] * 200
    assert here
    assert waited
    assert {store.read(key) for key in keys} == {b"2"}
    assert list(store.scan()) == keys
    assert target.ask("CLUSTER", "COUNTKEYSINSLOT", slots[0]) > 0


def _names(server: Server, slot: int) -> list[bytes]:
    found: list[bytes] = server.ask("CLUSTER", "GETKEYSINSLOT", slot, 100_000)
    return found


def test_cluster_does_not_tell_of_changes(stores: MakeStore) -> None:
    """With a memory before it the time says when others are seen, however it is spread."""
    for prefix in ("app", "{app}"):
        now = [0.0]
        base = stores(prefix, codec="raw")
        store = CachedStore(base, ttl=5, ticks=lambda now=now: now[0])
        assert store.read("k") is None
        with closing(RedisStore(base._links.address, codec="raw")) as other:
            other.put("k", b"1")

        assert store.read("k") is None
        now[0] = 5.0
        assert store.read("k") == b"1"


def test_client_of_a_cluster(cluster: Cluster, clock: SharedClock) -> None:
    """Its own connections are used, whatever it decodes, and it goes on afterwards."""
    host, port = "127.0.0.1", cluster.servers[4].port
    with redis.RedisCluster(host=host, port=port, decode_responses=True) as client:
        with KVStore("redis", {"prefix": "given:"}, client=client, clock=clock).sync as kv:
            kv.set_many({f"k{number}": number for number in range(100)})
            assert kv.increment("k7") == 8
            assert kv.keys("k1?") == [f"k1{number}" for number in range(10)]
            assert len(kv.get_pattern("*")) == kv.clear() == 100

        client.set("mine", "é")
        assert client.get("mine") == "é"
    cluster.clear()
