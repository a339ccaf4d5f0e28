"""Clients beside clients of one Redis: no change is lost, and what goes wrong on the way is told as what it is."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from crew import Crew
from redis import exceptions
from redis_server import Server, acknowledged, free_port, require_redis

from diskdict import (
    ClosedError,
    ConflictError,
    CorruptValueError,
    DurabilityError,
    FormatError,
    KVStore,
    LimitError,
    Limits,
    open_dict,
)
from diskdict.backends.redis.address import Address, parsed
from diskdict.backends.redis.refusals import translated
from diskdict.backends.redis.store import RedisStore
from diskdict.core import StoreDict

Dict = StoreDict[Any, Any]
Connect = Callable[..., Dict]


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory, announce: Any) -> Iterator[Server]:
    require_redis(announce)
    with Server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def server(process: Server) -> Iterator[Server]:
    """A server without keys."""
    yield process
    process.ask("FLUSHALL")


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Makes dicts that are closed in the end."""
    with ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(open_dict(*args, **options))


@pytest.fixture
def d(server: Server, connect: Connect) -> Dict:
    return connect(server.url)


@pytest.fixture
def other(server: Server, connect: Connect) -> Dict:
    """Another client of the same store."""
    return connect(server.url)


# ---- several clients


def test_what_one_stores_the_other_has(d: Dict, other: Dict) -> None:
    """Keys and values of all kinds, their types, spelling and order."""
    values = {"a/b": (1, {2}), True: b"[1]", (1, "x"): None, "=x": b"", "é\n\0?": 2.5, b"\xff": b"\x1b{", "": [10**30]}
    d.update(values)
    d["é\n\0?"] = 2.5

    assert other == values
    assert [repr(key) for key in other] == [repr(key) for key in values]
    assert other.get_many(list(values)) == values


def test_long_iterations(d: Dict, other: Dict) -> None:
    """By pages, in both directions, typed keys among them, and beside another client that adds one."""
    keys = [number if number % 3 else f"k{number}" for number in range(2_500)]
    d.update(dict.fromkeys(keys, 0))
    iteration = iter(d)
    first = next(iteration)
    other["new"] = 1

    assert [first, *iteration] == [*keys, "new"]
    assert list(reversed(d)) == ["new", *keys[::-1]]


def test_prefixes_are_stores_of_their_own(server: Server, connect: Connect) -> None:
    """The same key under two prefixes is two keys, also where one prefix begins with the other."""
    stores = [connect(f"{server.url}/0?prefix={prefix}") for prefix in ("a:", "a:k:", "", "é")]
    for number, d in enumerate(stores):
        d["key"] = number
    stores[0].clear()

    assert [d.get("key") for d in stores] == [None, 1, 2, 3]
    assert [len(d) for d in stores] == [0, 1, 1, 1]


def test_transaction_over_what_another_client_changed(d: Dict, other: Dict) -> None:
    """What was read in a transaction, and is another by its end, makes it a conflict, and nothing of it is there."""
    d.update(a=1, n=0)
    with pytest.raises(ConflictError), d.transaction():
        d["n"] = d["a"]
        other["a"] = 2
    with pytest.raises(ConflictError), d.transaction():
        d["n"] = d.get("missing")
        other["missing"] = 1

    assert d == {"a": 2, "n": 0, "missing": 1}


def test_transaction_of_many_changes(d: Dict, other: Dict) -> None:
    """Thousands of changes of all kinds are one."""
    d.update({f"k{number}": number for number in range(3_000)})
    with d.transaction():
        for number in range(1_000):
            del d[f"k{number}"]
            d[f"new{number}"] = number
            d.expire(f"k{number + 1_000}", 100)
        d["k0"] = "again"
        assert len(other) == 3_000

    assert (len(other), list(other)[-1], other["k0"]) == (3_001, "k0", "again")
    assert 0 < other.ttl("k1500") <= 100


def test_records_expire_by_themselves(d: Dict, server: Server) -> None:
    """The server removes a record when its time has come, and not before."""
    d.set("k", 1, ttl=1000)
    d["stays"] = 1
    left = [server.ask("PTTL", f"diskdict:k:{key}") for key in ("k", "stays")]
    d.persist("k")

    assert 990_000 < left[0] <= 1_000_000
    assert left[1] == -1
    assert server.ask("PTTL", "diskdict:k:k") == -1


def test_time_is_the_servers(d: Dict, server: Server) -> None:
    """A time-to-live is counted from what the server says."""
    d.set("k", 1, ttl=60)
    now = server.ask("TIME")

    expires = d.expires_at("k")
    assert expires is not None
    assert abs(expires - 60 - float(now[0]) - float(now[1]) / 1e6) < 5


def test_very_long_times(d: Dict) -> None:
    """A time that Redis cannot count is kept all the same."""
    d.set("k", 1, ttl=1e300)

    assert d["k"] == 1
    assert d.ttl("k") > 1e299


def test_script_that_the_server_forgot(d: Dict, server: Server) -> None:
    """It is sent again."""
    d["k"] = 1
    server.ask("SCRIPT", "FLUSH")
    d.update(k=2, l=3)

    assert d == {"k": 2, "l": 3}


@pytest.mark.parametrize("rounds", [25, pytest.param(625, marks=pytest.mark.torture)])
def test_processes_count_together(d: Dict, server: Server, rounds: int) -> None:
    """Sixteen processes that count at once lose nothing of it."""
    with Crew("redis_child") as crew, ExitStack() as stack:
        actors = [stack.enter_context(crew.actor()) for _ in range(16)]
        for actor in actors:
            actor.start("redis_child.count(url, rounds)", url=server.url, rounds=rounds)
        for actor in actors:
            actor.hear()

    assert d["n"] == 16 * rounds


def test_handle_in_a_forked_process(d: Dict, server: Server) -> None:
    """The child has connections of its own, so that what both ask at once is not mixed up, and nobody's locks."""
    with Crew("redis_child") as crew, crew.actor() as actor:
        ended = actor.ask("redis_child.count_on_both_sides_of_a_fork(url, 50)", url=server.url)

    assert ended == 0
    assert d["n"] == 101


# ---- servers that end, and begin again


@pytest.mark.parametrize("end", [Server.kill, Server.stop])
def test_server_that_ends_in_mid_load(tmp_path: Path, announce: Any, end: Callable[[Server], None]) -> None:
    """What was acknowledged is there when it comes again, and a handle goes on with it."""
    require_redis(announce)
    with Server(tmp_path, appendonly="yes", appendfsync="always") as server, ExitStack() as stack:
        store = stack.enter_context(closing(RedisStore(server.url, codec="raw")))
        store.put("before", b"1")
        crew = stack.enter_context(Crew("redis_child"))
        actors = [stack.enter_context(crew.actor()) for _ in range(4)]
        for number, actor in enumerate(actors):
            actor.start("redis_child.write(url, number, say)", url=server.url, number=number)
        kept = acknowledged(actors, 100)
        end(server)
        for actor in actors:
            os.kill(actor.pid, signal.SIGSTOP)
        with pytest.raises(ConnectionError):
            store.put("k", b"1")
        server.start()
        for actor in actors:
            os.kill(actor.pid, signal.SIGCONT)
        kept |= acknowledged(actors, 200)
        for actor in actors:
            actor.kill()
            kept |= {key: turn for key, turn in actor.last_words() if key is not None}

        records = store.get_many(kept)
        assert {key: int(record.payload) for key, record in records.items()} == kept
        assert store.read("before") == b"1"


def test_nobody_listens(connect: Connect) -> None:
    """The error names host and port."""
    port = free_port()
    d = connect(f"redis://127.0.0.1:{port}")
    for use in (lambda: d["k"], lambda: d.update(k=1), lambda: len(d)):
        with pytest.raises(ConnectionRefusedError, match=f"127.0.0.1:{port}"):
            use()


def test_name_that_is_none(connect: Connect) -> None:
    """A host that nobody knows is no stack of the library's."""
    with pytest.raises(ConnectionError, match=r"no-such-host\.invalid:6379"):
        connect("redis://no-such-host.invalid")["k"]


def test_server_that_does_not_answer(tmp_path: Path, connect: Connect, announce: Any) -> None:
    """It is given up in time; a change may have been made then, and is not made twice."""
    require_redis(announce)
    with Server(tmp_path) as server:
        d, patient = connect(f"{server.url}?timeout=0.2"), connect(server.url)
        d["n"] = patient["l"] = 0
        with server.stopped():
            for use in (lambda: d["n"], lambda: d.set("n", 1)):
                with pytest.raises(TimeoutError, match=f"{server.port}"):
                    use()
            cut: list[BaseException] = []
            thread = threading.Thread(target=lambda: cut.append(raised_by(lambda: patient.set("l", 1))))
            thread.start()
            server.wait_for_bytes()
            server.kill()
            thread.join()

    assert isinstance(cut[0], ConnectionError)
    assert "not known" in str(cut[0])


def raised_by(use: Callable[[], object]) -> BaseException:
    """Return what is raised."""
    with pytest.raises(Exception) as caught:  # noqa: PT011  # looked at by who asks
        use()
    return caught.value


def test_all_connections_in_use(server: Server, connect: Connect) -> None:
    """Who waits too long for one is told which setting it is."""
    store = RedisStore(f"{server.url}?connections=1&timeout=0.2", codec="raw")
    taken = store._links._pool((("127.0.0.1"), server.port)).get_connection()
    with pytest.raises(TimeoutError, match="connections="):
        store.read("k")
    taken.disconnect()
    store.close()


# ---- what a server refuses


def test_password(tmp_path: Path, connect: Connect, announce: Any) -> None:
    """Without the right one it is a PermissionError that names the server and no password."""
    require_redis(announce)
    with Server(tmp_path, requirepass="secret/ä") as server:
        connect(f"redis://:secret%2F%C3%A4@127.0.0.1:{server.port}")["k"] = 1
        connect(f"redis://default:secret%2F%C3%A4@127.0.0.1:{server.port}")["k"] = 1
        for credentials in ("", ":wrong@", "nobody:secret@"):
            with pytest.raises(PermissionError, match=f"{server.port}") as caught:
                connect(f"redis://{credentials}127.0.0.1:{server.port}")["k"]
            assert "secret" not in str(caught.value)
            assert "wrong@" not in str(caught.value)


def test_tls(tmp_path: Path, connect: Connect, announce: Any) -> None:
    """rediss: trusts the authority that ca= names, and no other."""
    require_redis(announce)
    key, certificate = tmp_path / "key.pem", tmp_path / "ca.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    files = {"tls_cert_file": certificate, "tls_key_file": key, "tls_ca_cert_file": certificate}
    port = free_port()
    with Server(tmp_path / "server", tls_port=port, tls_auth_clients="no", **files):
        connect(f"rediss://127.0.0.1:{port}?ca={certificate}")["k"] = 1
        with pytest.raises(ConnectionError, match="certificate"):
            connect(f"rediss://127.0.0.1:{port}")["k"]


def test_memory_is_full(tmp_path: Path, connect: Connect, announce: Any) -> None:
    """What does not fit is refused as on a full disk, and leaves what was there."""
    require_redis(announce)
    with Server(tmp_path, maxmemory="8mb", maxmemory_policy="noeviction") as server:
        d = connect(server.url)
        d["k"] = "small"
        with pytest.raises(OSError, match="memory") as caught:
            for number in range(100):
                d[f"big{number}"] = "x" * 1_000_000

        assert caught.value.errno == errno.ENOSPC
        assert d["k"] == "small"
        assert len(d) == len(list(d)) == number + 1


def test_replica_refuses_changes(server: Server, tmp_path: Path, connect: Connect, d: Dict) -> None:
    """It is read, and changes are told to go elsewhere; with wait= it has what was acknowledged."""
    with Server(tmp_path, replicaof=f"127.0.0.1 {server.port}") as replica:
        replica.wait_for("master_link_status:up")
        durable = connect(f"{server.url}?wait=1&timeout=10")
        for number in range(20):
            durable["k"] = number
            assert connect(replica.url)["k"] == number
        with pytest.raises(OSError, match="replica") as caught:
            connect(replica.url)["k"] = 2
        assert caught.value.errno == errno.EROFS


def test_fewer_replicas_than_asked(server: Server, connect: Connect) -> None:
    """A change that no replica has is not acknowledged, though it was made."""
    d = connect(f"{server.url}?wait=1&timeout=2")
    for change in (lambda: d.set("k", 1), lambda: d.rename("k", "l")):
        with pytest.raises(DurabilityError, match="0 replicas"):
            change()

    assert d["l"] == 1


def test_server_that_cannot_write(tmp_path: Path, connect: Connect, announce: Any) -> None:
    """A server that fails to save refuses changes: that is told as what it is."""
    require_redis(announce)
    with Server(tmp_path / "server", save="3600 1") as server:
        d = connect(server.url)
        d["k"] = 1
        shutil.rmtree(tmp_path / "server")
        server.ask("BGSAVE")
        server.wait_for("rdb_last_bgsave_status:err", "persistence")
        with pytest.raises(DurabilityError, match="MISCONF"):
            d["k"] = 2

        assert d["k"] == 1


def test_keys_of_others(d: Dict, server: Server) -> None:
    """What somebody else has under these names is refused, not overwritten."""
    server.ask("RPUSH", "diskdict:k:list", "x")
    for use in (lambda: d["list"], lambda: d.set("list", 1), lambda: d.info("list")):
        with pytest.raises(FormatError, match="none of diskdict"):
            use()


def test_another_codec(d: Dict, server: Server, connect: Connect) -> None:
    """Values are read by the codec that wrote them."""
    raw = connect(server.url, codec="raw")
    assert raw.get("k") is None
    d["k"] = b"123"

    with pytest.raises(FormatError, match="'json', not 'raw'"):
        raw["k"] = b"4"
    with pytest.raises(FormatError, match="'json', not 'raw'"):
        connect(server.url, codec="raw")["k"]


@pytest.mark.parametrize(
    "damage", [("SETRANGE", 60, b"!"), ("SETRANGE", 0, b"\2"), ("SET", b"short"), ("APPEND", b"!")]
)
def test_damage_is_told(d: Dict, server: Server, damage: tuple[Any, ...]) -> None:
    """What is not as it was written is never handed out, and can be replaced and removed."""
    command, *rest = damage
    for repair in (lambda: d.set(("k", 1), "new"), lambda: d.delete(("k", 1))):
        d["k", 1] = "some value that is long enough"
        server.ask(command, "diskdict:k:=(k,=i1,)", *rest)
        for use in (lambda: d["k", 1], lambda: d.get_many([("k", 1)])):
            with pytest.raises(CorruptValueError) as caught:
                use()
            assert caught.value.key == ("k", 1)
        repair()
        assert d.get(("k", 1)) in ("new", None)
        d.clear()
        assert (len(d), list(d)) == (0, [])


def test_closed(d: Dict) -> None:
    """A closed store does nothing more."""
    d["k"] = 1
    d.close()
    for use in (lambda: d["k"], lambda: d.set("k", 1), lambda: len(d), lambda: list(d), lambda: d.get_many(["k"])):
        with pytest.raises(ClosedError):
            use()


# ---- URLs


def test_url() -> None:
    """All of it is read."""
    address = parsed("rediss+cluster://me:p%40ss@a:1,[::1]:2,c/?prefix=app:&wait=2&timeout=1.5&connections=7&ca=/x")

    nodes = (("a", 1), ("::1", 2), ("c", 6379))
    assert address == Address(nodes, True, True, "me", "p@ss", 0, "app:", 2, 1.5, 7, "/x")
    assert str(address) == "rediss+cluster://a:1,[::1]:2,c:6379"
    assert parsed("redis://h/3") == Address((("h", 6379),), database=3)


@pytest.mark.parametrize(
    "bad",
    [
        "redis:",
        "redis://",
        "redis://h:port",
        "redis://h:99999",
        "redis://a,b",
        "redis://h/x",
        "redis+cluster://h/1",
        "redis://h?color=red",
        "redis://h?wait=-1",
        "redis://h?wait=x",
        "redis://h?timeout=0",
        "redis://h?timeout=nan",
        "redis://h?connections=0",
        "redis://h?ca=/x",
        "redis://h#x",
    ],
)
def test_bad_url(bad: str) -> None:
    """It is refused at once, with a reason, and without its password."""
    with pytest.raises(ValueError, match="is no URL of a store in Redis") as caught:
        open_dict(bad.replace("://", "://:secret@"))

    assert "secret" not in str(caught.value)


def test_limits(server: Server) -> None:
    """A transaction is within total_bytes, too."""
    store = RedisStore(server.url, limits=Limits(total_bytes=10))
    store.put("a", b"12345")
    with pytest.raises(ValueError, match="total_bytes"):
        store.put_many({"b": b"12345", "c": b"1"})
    with pytest.raises(ValueError, match="total_bytes"):
        store.check_growth(6)
    store.check_growth(5)

    assert list(store.scan()) == ["a"]
    store.close()


def test_too_large_for_one_value(server: Server) -> None:
    """A value that the server takes in no string is refused before it is sent."""
    with closing(RedisStore(server.url)) as store:
        store.put("k", b"old")
        with pytest.raises(LimitError, match="Redis"):
            store.put("k", bytes(512 << 20))

        assert store.read("k") == b"old"


# ---- redis-py

KINDS = [kind for kind in vars(exceptions).values() if isinstance(kind, type) and issubclass(kind, Exception)]


@pytest.mark.parametrize("kind", sorted(KINDS, key=str), ids=lambda kind: kind.__name__)
def test_errors_of_redis(kind: type[Exception]) -> None:
    """Each exception there is becomes one of Python or of diskdict, with the server and what it came from."""
    error = kind("1 h:1" if issubclass(kind, exceptions.AskError) else "failed")
    found = translated(error, "redis://host:1")

    assert isinstance(found, OSError | FormatError)
    assert "redis://host:1" in str(found)
    assert found.__cause__ is error
    assert isinstance(found, TimeoutError) == isinstance(error, exceptions.TimeoutError)


def test_without_redis() -> None:
    """The extra is named."""
    code = "import sys; sys.modules['redis'] = None; import diskdict; diskdict.open_store('redis://h')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "pip install diskdict-store[redis]" in done.stderr


def test_tasks_that_wait_share_round_trips(server: Server) -> None:
    """Sets of many tasks are one script, gets one command; who asks for what is damaged hears of it alone."""

    def calls() -> dict[str, int]:
        return {name[8:]: told["calls"] for name, told in server.client().info("commandstats").items()}

    async def main() -> None:
        async with KVStore.from_url(server.url) as store:
            await store.get("k0")
            server.ask("CONFIG", "RESETSTAT")
            await asyncio.gather(*(store.set(f"k{number}", number) for number in range(64)))
            await asyncio.gather(*(store.get(f"k{number}") for number in range(64)))
            assert calls()["evalsha"] + calls().get("eval", 0) <= 2  # the first time the script is sent
            assert calls()["mget"] == 1
            assert "get" not in calls()

            server.ask("SET", "diskdict:k:k3", "damaged")
            found = await asyncio.gather(*(store.get(f"k{number}") for number in range(5)), return_exceptions=True)
            assert isinstance(found.pop(3), CorruptValueError)
            assert found == [0, 1, 2, 4]

    asyncio.run(main())


def test_each_task_hears_of_a_lost_server(tmp_path: Path) -> None:
    """Nobody waits for an answer that does not come."""

    async def main() -> None:
        with Server(tmp_path / "redis") as lost:
            store = KVStore.from_url(lost.url)
            await store.set("k", 1)
        calls = [store.get("k"), store.get("k"), store.set("k", 2), store.set("k", 3)]
        found = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(each) for each in found] == [ConnectionRefusedError] * 4
        await store.close()

    asyncio.run(main())
