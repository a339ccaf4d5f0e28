"""A store in Elasticsearch beside others, and what goes wrong there, with a stand-in for the server."""

from __future__ import annotations

import errno
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from clocks import Clock
from elastic_stand_in import PASSWORD, USER, RefusedError, StandIn, stand_in
from elastic_transport import ApiError as VendorApiError
from elastic_transport import ApiResponseMeta, HttpHeaders, NodeConfig
from elasticsearch import exceptions
from store_contract import in_threads

from diskdict import (
    ClosedError,
    ConflictError,
    CorruptValueError,
    FormatError,
    InvalidValueError,
    KVStore,
    LimitError,
    migrate_store_sync,
    open_dict,
)
from diskdict.backends.elastic.address import Address, parsed
from diskdict.backends.elastic.documents import id_of
from diskdict.backends.elastic.refusals import vendor_errors
from diskdict.backends.elastic.store import ElasticStore
from diskdict.core import StoreDict
from diskdict.store import ABSENT


@pytest.fixture(scope="module")
def servers() -> Iterator[StandIn]:
    with stand_in() as server:
        yield server


@pytest.fixture
def server(servers: StandIn) -> Iterator[StandIn]:
    yield servers
    servers.indices.clear()
    servers.asked.clear()
    servers.refusal = None


@pytest.fixture
def connect(server: StandIn) -> Iterator[Any]:
    """Makes stores of one index that are closed in the end."""
    with ExitStack() as stack:

        def make(**options: Any) -> ElasticStore:
            store = ElasticStore(server.url("apart"), **options)
            stack.callback(store.close)
            return store

        yield make


# ---- clients beside clients


def test_no_increment_is_lost(server: StandIn) -> None:
    """Clients on connections of their own count to the exact sum."""

    def count(_: int) -> None:
        with open_dict(server.url("counts")) as d:
            for _ in range(10):
                d.increment("n")

    in_threads(count, 6)

    with open_dict(server.url("counts")) as d:
        assert d["n"] == 60


def test_what_was_acknowledged_is_searched_by_all(server: StandIn, connect: Any) -> None:
    """Who searches asks for a refresh, and who writes for none."""
    here, there = connect(), connect()
    here.put("a", b"1", meta='{"a":1}')
    here.put_many({"b": b"2", "c": b"3"})
    here.delete("b")
    written = list(server.asked)

    assert list(there.scan()) == ["a", "c"]
    assert there.count() == 2
    assert list(there.scan_meta("", {"a": 1})) == [("a", '{"a":1}')]
    assert not [line for line in written if "_refresh" in line]


def test_batches_are_two_requests(server: StandIn, connect: Any) -> None:
    """One looks, one changes, however many keys there are; a thousand fit."""
    store = connect()
    store.count()
    server.asked.clear()
    store.put_many({f"k{number}": b"x" for number in range(900)})
    store.delete_many([f"k{number}" for number in range(450)])
    found = store.get_many([f"k{number}" for number in range(900)])

    assert len(found) == 450
    assert [line.rpartition("/")[2] for line in server.asked] == ["_mget", "_bulk", "_mget", "_bulk", "_mget"]


def test_pages(connect: Any) -> None:
    """More keys than a page has are met once each, in order, in both directions; so by metadata."""
    store = connect()
    keys = [f"k{number}" for number in range(2_500)]
    store.put_many(dict.fromkeys(keys, b"x"))

    assert list(store.scan()) == keys
    assert list(store.scan(reverse=True)) == keys[::-1]


def test_keys_of_one_place_are_told_apart(connect: Any) -> None:
    """Clients may give the same number to two keys, at the border of two pages."""
    for half in range(2):
        client = connect()
        client._placed = 1 << 60
        client.put_many({f"{number}/{half}": b"x" for number in range(600)})

    assert sorted(client.scan()) == sorted(f"{number}/{half}" for number in range(600) for half in range(2))


def test_long_keys_have_ids(server: StandIn, connect: Any) -> None:
    """An id has 512 bytes; what is longer has a digest for one, and is found by its beginning."""
    store = connect()
    keys = ["é" * 255, "é" * 256, "é" * 700 + "a", "é" * 700 + "b", ":", "", "#"]
    store.put_many({key: key.encode() for key in keys})

    assert {key: record.payload for key, record in store.get_many(keys).items()} == {key: key.encode() for key in keys}
    assert list(store.scan("é" * 700)) == keys[2:4]
    assert all(len(ident.encode()) <= 512 for ident in server.indices["apart"].documents)


def test_version_of_another_primary(server: StandIn, connect: Any) -> None:
    """Numbers go on under another primary, and a version of the former one is none of its own."""
    store = connect()
    before = store.put("k", b"1")
    server.fail_over()
    after = store.put("k", b"2", only_if=before)

    assert after > before
    assert store.put("k", b"3", only_if=before) is None
    assert store.get("k").version == after


# ---- several keys as one


def test_several_keys_are_not_changed_as_one(connect: Any) -> None:
    """A transaction of two is refused and makes nothing; one key is a transaction."""
    with StoreDict(connect()) as d:
        d["a"] = 1
        with (
            pytest.raises(LimitError, match="Elasticsearch allows 1 key, this would be 2"),
            d.transaction(),
        ):
            d["a"] = 2
            d["b"] = 2
        with d.transaction():
            d["c"] = d.get("c", 0) + 1

        assert dict(d) == {"a": 1, "c": 1}


def test_transaction_of_one_key_has_its_conditions(connect: Any) -> None:
    """What others do meanwhile is a conflict; what is made and removed again is nothing."""
    here, there = StoreDict(connect()), StoreDict(connect())
    here["a"] = 1
    with pytest.raises(ConflictError), here.transaction():
        here["a"] += 1
        there["a"] = 7
    with pytest.raises(ConflictError), here.transaction():
        here.pop("b", None)
        there["b"] = 1
    with here.transaction():
        here["c"] = 1
        del here["c"]
    with here.transaction():
        here.set_metadata("a", {"x": 1})
    with here.transaction():
        del here["b"]

    assert dict(there) == {"a": 7}
    assert there.info("a").metadata == {"x": 1}


def test_migration_goes_key_by_key(server: StandIn, clock: Clock) -> None:
    """Each is whole, and it goes on where it ended."""
    with (
        KVStore("memory", clock=clock).sync as source,
        KVStore.from_url(server.url("moved"), clock=clock).sync as target,
    ):
        for number in range(5):
            source.set(f"k{number}", number, {"n": number}, ttl=100)
        target.set("k2", 2, {"n": 2}, ttl=100)

        assert migrate_store_sync(source, target) == (4, 1, 0)
        target.set("k3", 0)
        assert migrate_store_sync(source, target, on_conflict="overwrite") == (1, 4, 0)
        assert target.get_pattern("**") == source.get_pattern("**")
        assert target.get_metadata("k3")["n"] == 3


@pytest.mark.parametrize(
    ("kind", "use", "left"),
    [
        ("delete", lambda store: store.rename("a", "b") is True, {"b": b"new"}),
        ("index", lambda store: store.put("a", b"mine") is not None, {"a": b"mine"}),
        ("update", lambda store: store.amend("a", meta="{}") is not None, {"a": b"new"}),
    ],
)
def test_others_are_faster(server: StandIn, connect: Any, kind: str, use: Any, left: dict[str, bytes]) -> None:
    """A change finds what is there then, and loses nothing of it."""
    here, there = connect(), connect()
    here.put("a", b"old")
    there.count()
    with server.before(kind, lambda: there.put("a", b"new")):
        assert use(here)

    assert {key: here.read(key) for key in here.scan()} == left


def test_others_have_removed_it(server: StandIn, connect: Any) -> None:
    """What is gone is not changed, and is not there again."""
    here, there = connect(), connect()
    for kind, use in (("update", lambda: here.amend("a", meta="{}")), ("delete", lambda: here.delete("a") or None)):
        there.put("a", b"1")
        with server.before(kind, lambda: there.delete("a")):
            assert use() is None

    assert list(here.scan()) == []


# ---- what goes wrong


def test_another_password(server: StandIn) -> None:
    """Is told as what it is, and not shown."""
    store = ElasticStore(server.url("apart", password="wrong"))
    with pytest.raises(PermissionError, match="unable to authenticate") as caught:
        store.get("k")
    store.close()

    assert "wrong" not in str(caught.value)


def test_nobody_there() -> None:
    """The error names the server."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    store = ElasticStore(f"elasticsearch://127.0.0.1:{port}")
    with pytest.raises(ConnectionRefusedError, match=f"127.0.0.1:{port}/diskdict"):
        store.get("k")
    store.close()


def test_no_answer_in_time() -> None:
    """It is waited for as long as the timeout says."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = ElasticStore(f"elasticsearch://127.0.0.1:{silent.getsockname()[1]}?timeout=0.05")
        with pytest.raises(TimeoutError, match="no answer in time"):
            store.get("k")
        store.close()


def test_another_product() -> None:
    """OpenSearch, which does not say that it is Elasticsearch, is refused."""
    with stand_in(product=None) as server:
        store = ElasticStore(server.url("other"))
        with pytest.raises(FormatError, match="OpenSearch"):
            store.put("k", b"1")
        store.close()


def test_another_index_or_codec(server: StandIn, connect: Any) -> None:
    """An index of others, and a store of another codec, are refused by name and left alone."""
    connect().put("k", b"1")
    with pytest.raises(FormatError, match="by codec 'json', not 'raw'"):
        connect(codec="raw").get("k")
    server.indices["apart"].mappings = {"properties": {}}
    with pytest.raises(FormatError, match="an index of others"):
        connect().put("k", b"2")

    assert len(server.indices["apart"].documents) == 1


def test_an_index_that_was_removed(server: StandIn, connect: Any) -> None:
    """That is told by reads and changes, and none is made in its place."""
    store = connect()
    store.put("k", b"1")
    server.indices.clear()
    for use in (lambda: store.get("k"), lambda: store.put("k", b"1"), lambda: list(store.scan())):
        with pytest.raises(FormatError, match="the index is gone"):
            use()

    assert server.indices == {}


@pytest.mark.parametrize(
    ("status", "kind", "reason", "error", "number"),
    [
        (403, "security_exception", "action is unauthorized", PermissionError, errno.EACCES),
        (429, "cluster_block_exception", "disk usage exceeded flood-stage watermark", OSError, errno.ENOSPC),
        (429, "es_rejected_execution_exception", "rejected execution", ConnectionError, errno.EAGAIN),
        (503, "no_shard_available_action_exception", "no shard available", ConnectionError, errno.EAGAIN),
        (413, "", "", OSError, errno.EMSGSIZE),
        (406, "media_type_header_exception", "Accept version must be 8", FormatError, None),
        (400, "illegal_argument_exception", "no", InvalidValueError, None),
        (500, "exception", "no", OSError, errno.EPROTO),
    ],
)
def test_refusals(
    server: StandIn, connect: Any, status: int, kind: str, reason: str, error: type[Exception], number: int | None
) -> None:
    """What the server says is an error of this package or of Python, and names the index."""
    store = connect()
    store.put("k", b"1")
    server.refusal = RefusedError(status, kind, reason)
    with pytest.raises(error, match="apart") as caught:
        store.put("k", b"2")

    assert getattr(caught.value, "errno", None) == number
    server.refusal = None
    assert store.read("k") == b"1"


@pytest.mark.parametrize("damage", [{"payload": "AAAA"}, {"payload": "?"}, {"payload": None}, {"checksum": 1}])
def test_damage(server: StandIn, connect: Any, damage: dict[str, object]) -> None:
    """A payload that is not what was written is never handed out."""
    store = connect()
    store.put("k", b"value")
    server.indices["apart"].documents[id_of("k")]["_source"].update(damage)

    with pytest.raises(CorruptValueError) as caught:
        store.read("k")
    assert caught.value.key == "k"


def test_use_after_close(connect: Any) -> None:
    """A store that was never used is closed, too."""
    store = connect()
    store.close()

    with pytest.raises(ClosedError):
        store.put("k", b"1", only_if=ABSENT)


KINDS = {kind for kind in vars(exceptions).values() if isinstance(kind, type) and issubclass(kind, Exception)}
ERRORS = [kind for kind in KINDS if not issubclass(kind, Warning)]


@pytest.mark.parametrize("kind", sorted(ERRORS, key=str), ids=lambda kind: kind.__name__)
def test_errors_of_the_client(kind: type[Exception]) -> None:
    """Each exception there is becomes one of Python or of diskdict, with the server and what it came from."""
    where = "elasticsearch://host"
    meta = ApiResponseMeta(500, "1.1", HttpHeaders(), 0.0, NodeConfig("http", "host", 1))
    error = kind("failed", meta, None) if issubclass(kind, VendorApiError) else kind("failed")
    with pytest.raises((OSError, FormatError), match=where) as caught, vendor_errors(where):
        raise error

    assert caught.value.__cause__ is error


# ---- where it is


def test_address() -> None:
    """All that a URL may say."""
    assert parsed("elasticsearch://host") == Address("host")
    assert parsed("elasticsearch+https://me:a%20b@[::1]:92/my-index?timeout=5&ca=/ca.pem") == Address(
        "::1", 92, "my-index", True, "me", "a b", 5.0, None, "/ca.pem"
    )
    assert str(parsed("elasticsearch+https://me:pw@host/x?timeout=1")) == "elasticsearch+https://host:9200/x"
    assert "secret" not in repr(parsed("elasticsearch://host?api_key=secret"))


@pytest.mark.parametrize(
    "url",
    [
        "elasticsearch://",
        "elasticsearch://host/Upper",
        "elasticsearch://host/_x",
        "elasticsearch://host/a/b",
        "elasticsearch://host/x#y",
        "elasticsearch://host:x",
        "elasticsearch://host?unknown=1",
        "elasticsearch://host?timeout=never",
        "elasticsearch://host?ca=/ca.pem",
        "elasticsearch://me:secret@host?api_key=secret",
    ],
)
def test_no_address(url: str) -> None:
    """It is refused before anything is asked, and without the password."""
    with pytest.raises(ValueError, match="is no URL of a store in Elasticsearch") as caught:
        parsed(url)
    assert "secret" not in str(caught.value)


def test_settings_of_a_kvstore(server: StandIn) -> None:
    """Host, port, user, password and index."""
    place = {"host": "127.0.0.1", "port": server.server_address[1], "index": "settings", "timeout": 5}
    with KVStore("elasticsearch", {**place, "user": USER, "password": PASSWORD}).sync as kv:
        kv.set("k", 1)

    assert list(server.indices) == ["settings"]


def test_without_the_client() -> None:
    """The error names what to install."""
    code = "import sys; sys.modules['elastic_transport'] = None; from diskdict import open_dict; open_dict(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", code, "elasticsearch://host"], capture_output=True, text=True, check=False
    )

    assert "pip install diskdict-store[elasticsearch]" in done.stderr
