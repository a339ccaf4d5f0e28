"""A memory before a store in Redis: what others change is forgotten as soon as the server tells."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from crew import Crew
from redis_server import Server, require_redis, wait_until
from tallies import Announce

from diskdict.backends.redis.store import RedisStore
from diskdict.caching import CachedStore


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory, announce: Announce) -> Iterator[Server]:
    require_redis(announce)
    with Server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def server(process: Server) -> Iterator[Server]:
    """A server without keys."""
    yield process
    process.ask("FLUSHALL")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def cached(server: Server, stack: ExitStack, query: str = "") -> CachedStore:
    """Return a store that remembers, once it is told of changes."""
    store = stack.enter_context(closing(CachedStore(RedisStore(f"{server.url}/0?{query}", codec="raw"))))
    store.read("first")
    wait_until(lambda: store.cache_stats().active)
    return store


def plain(server: Server, stack: ExitStack, query: str = "") -> RedisStore:
    return stack.enter_context(closing(RedisStore(f"{server.url}/0?{query}", codec="raw")))


def remembers(store: CachedStore, key: str) -> bool:
    """Tell whether a key is told without asking."""
    hits = store.cache_stats().hits
    store.read(key)
    return store.cache_stats().hits > hits


@pytest.mark.parametrize("query", ["", "prefix=", "prefix=é:"])
def test_what_others_change_is_seen(server: Server, stack: ExitStack, query: str) -> None:
    """A key that is written, made, removed, given a time or another name; and no other key is forgotten for it."""
    store, other = cached(server, stack, query), plain(server, stack, query)
    other.put_many(dict.fromkeys(["k\0é", "gone", "timed", "old", "stays"], b"1"))
    keys = ["k\0é", "gone", "timed", "old", "new", "made", "stays"]
    for key in keys:
        wait_until(lambda key=key: remembers(store, key))  # type: ignore[misc]

    other.put("k\0é", b"2")
    other.put("made", b"2")
    other.delete("gone")
    other.amend("timed", expires=other.clock() + 100)
    other.rename("old", "new")

    wait_until(lambda: store.read("new") == b"1")
    assert [store.read(key) for key in keys] == [b"2", None, b"1", None, b"1", b"2", b"1"]
    stat = store.stat("timed")
    assert stat is not None
    assert stat.expires < 1e12
    assert remembers(store, "stays")


def test_server_is_emptied(server: Server, stack: ExitStack) -> None:
    """All is forgotten, and what is read afterwards is remembered."""
    store, other = cached(server, stack), plain(server, stack)
    other.put("k", b"1")
    wait_until(lambda: remembers(store, "k"))

    server.ask("FLUSHALL")

    wait_until(lambda: store.read("k") is None)
    wait_until(lambda: remembers(store, "k"))


def test_key_of_somebody_else(server: Server, stack: ExitStack) -> None:
    """A name below the prefix that is no text does no harm."""
    store, other = cached(server, stack), plain(server, stack)
    store.read("k")
    server.ask("SET", b"diskdict:k:\xff", "x")
    other.put("k", b"1")

    wait_until(lambda: store.read("k") == b"1")


def tracker(server: Server) -> int:
    """Return the number of the connection that is told of changes."""
    lines = server.ask("CLIENT", "LIST").decode().splitlines()
    [found] = [line for line in lines if "flags=tB" in line or "flags=Bt" in line or "flags=t" in line]
    return int(found.split()[0].removeprefix("id="))


def test_connection_that_is_lost(server: Server, stack: ExitStack) -> None:
    """Nothing is remembered until there is another, and what was changed meanwhile is seen."""
    store, other = cached(server, stack), plain(server, stack)
    other.put("k", b"1")
    wait_until(lambda: remembers(store, "k"))
    number = tracker(server)

    server.ask("CLIENT", "KILL", "ID", number)
    other.put("k", b"2")

    wait_until(lambda: store.read("k") == b"2")
    wait_until(lambda: store.cache_stats().active)
    assert tracker(server) != number
    other.put("k", b"3")
    wait_until(lambda: store.read("k") == b"3")


def test_server_that_ends(tmp_path: Path, stack: ExitStack, announce: Announce) -> None:
    """What was remembered is not told without it, and it is heard again when it is back."""
    require_redis(announce)
    server = stack.enter_context(Server(tmp_path))
    store = cached(server, stack)
    store.put("k", b"1")
    wait_until(lambda: remembers(store, "k"))

    server.kill()
    wait_until(lambda: not store.cache_stats().active)
    with pytest.raises(ConnectionError):
        store.read("k")
    server.start()

    assert store.read("k") is None
    wait_until(lambda: store.cache_stats().active)
    wait_until(lambda: remembers(store, "k"))


def test_server_that_says_nothing(tmp_path: Path, stack: ExitStack, announce: Announce) -> None:
    """It is asked, and not trusted for long: after a few seconds nothing of it is remembered."""
    require_redis(announce)
    server = stack.enter_context(Server(tmp_path))
    store = cached(server, stack)
    with server.stopped():
        wait_until(lambda: not store.cache_stats().active)

    wait_until(lambda: store.cache_stats().active)


def test_server_that_refuses_to_tell(tmp_path: Path, stack: ExitStack, announce: Announce) -> None:
    """Nothing is remembered, which is said once."""
    require_redis(announce)
    server = stack.enter_context(Server(tmp_path))
    server.ask("ACL", "SETUSER", "default", "-client|tracking")

    def use() -> CachedStore:
        with closing(CachedStore(RedisStore(server.url, codec="raw"))) as store:
            store.put("k", b"1")
            assert store.read("k") == b"1"
            wait_until(lambda: "client|tracking" in str(server.ask("ACL", "LOG")))
            return store

    with pytest.warns(RuntimeWarning, match=rf"nothing is cached.*{server.port}"):
        store = use()
    assert not store.cache_stats().active


def test_store_that_nobody_has_any_more(server: Server, stack: ExitStack) -> None:
    """Its thread ends by itself."""
    store = CachedStore(RedisStore(server.url, codec="raw"))
    store.read("k")
    [thread] = [thread for thread in threading.enumerate() if thread.name == "diskdict-tracking"]
    del store

    plain(server, stack).put("k", b"1")
    thread.join(10)
    assert not thread.is_alive()


def test_forked_process(server: Server) -> None:
    """Parent and child are told, each by a connection of its own, of what the other changes."""
    with Crew("redis_child") as crew, crew.actor() as actor:
        assert actor.ask("redis_child.cache_on_both_sides_of_a_fork(url)", url=server.url) == 0
