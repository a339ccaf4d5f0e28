"""Clients beside clients: nobody's change is lost, and what goes wrong on the way is told as what it is."""

from __future__ import annotations

import errno
import json
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvloop
from clienting import TURNS
from crew import Crew
from hosting import Host, hosting
from scripted import Scripted, said, scripted
from serving import served_here, started
from store_contract import in_threads

from diskdict import (
    ClosedError,
    ConflictError,
    CorruptValueError,
    DurabilityError,
    InvalidKeyError,
    InvalidValueError,
    LimitError,
    Limits,
    ReadOnlyError,
    open_dict,
)
from diskdict.asking import vendor_errors
from diskdict.client import Client
from diskdict.core import StoreDict
from diskdict.server import ServedDict, Settings

Dict = Client[Any, Any]
Connect = Callable[..., Dict]

PROBLEM = "Content-Type: application/problem+json"


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with hosting(tmp_path_factory.mktemp("host")) as host:
        yield host


@pytest.fixture(autouse=True, scope="module")
def loop_was_run() -> None:
    """libuv opens a pipe for signals once, and keeps it open for good: not a leak of the test that is first."""
    uvloop.new_event_loop().close()


@pytest.fixture
def url(process: Host) -> Iterator[str]:
    """The URL of an empty store."""
    yield process.serve()
    process.clear()


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Makes clients that are closed in the end."""
    with ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(Client(*args, **options))


@pytest.fixture
def d(url: str, connect: Connect) -> Dict:
    return connect(url)


@pytest.fixture
def other(url: str, connect: Connect) -> Dict:
    """Another client of the same store."""
    return connect(url)


# ---- two clients


def test_what_one_stores_the_other_has(d: Dict, other: Dict) -> None:
    """Keys and values of all kinds, their types, spelling and order."""
    values = {"a/b": (1, {2}), True: b"[1]", (1, "x"): None, "=x": b"", "é\n?": 2.5, b"\xff": b"\x1b{", "": [10**30]}
    d.update(values)
    d["é\n?"] = 2.5

    assert other == values
    assert [repr(key) for key in other] == [repr(key) for key in values]
    assert other.get_many(list(values)) == values
    assert [other[key] for key in values] == list(values.values())


def test_values_are_those_of_any_client(d: Dict, url: str) -> None:
    """JSON travels as JSON and bytes as bytes, so that other programs have the same values."""
    d.update({"json": {"a": [1]}, "bytes": b"123"})
    d["plain"] = b"[1"
    httpx.put(f"{url}/v1/keys/theirs", json=[1, {"$tuple": [2]}])
    httpx.put(f"{url}/v1/keys/raw", content=b"true", headers={"Content-Type": "application/octet-stream"})

    answers = [httpx.get(f"{url}/v1/keys/{key}") for key in ("json", "bytes", "plain")]
    assert answers[0].json() == {"a": [1]}
    assert [(answer.content, answer.headers["content-type"]) for answer in answers[1:]] == [
        (b"123", "application/octet-stream"),
        (b"[1", "application/octet-stream"),
    ]
    assert (d["theirs"], d["raw"]) == ([1, (2,)], b"true")


@pytest.mark.parametrize(
    "read",
    [
        lambda d: d["a"],
        lambda d: d.get("missing"),
        lambda d: "a" in d,
        lambda d: "missing" in d,
        lambda d: d.info("a"),
        lambda d: d.ttl("a"),
        lambda d: d.get_many(["a", "missing"]),
        lambda d: d.increment("a"),
        lambda d: d.pop("a"),
        lambda d: d.delete("missing"),
        lambda d: d.setdefault("missing", 1),
        lambda d: d.create("missing", 1),
        lambda d: d.expire("a", 5),
        lambda d: d.set_metadata("a", {"x": 1}),
        lambda d: d.rename("a", "b"),
        lambda d: d.rename("n", "missing"),
    ],
)
def test_transaction_over_what_another_client_changed(d: Dict, other: Dict, read: Callable[[Dict], object]) -> None:
    """What was read in a transaction, and is another by its end, makes it a conflict, and nothing of it is there."""
    d.update(a=1, n=0)
    with pytest.raises(ConflictError), d.transaction():
        read(d)
        d["n"] = 1
        other.update(a=2, missing=2)

    assert d == {"a": 2, "n": 0, "missing": 2}
    with d.transaction():
        d["n"] = d["a"] + 1
    assert other["n"] == 3


def test_transaction_that_only_reads(d: Dict, other: Dict) -> None:
    """Either all it has read was there at one moment, or it is a conflict."""
    d.update(a=1, b=-1)
    with d.transaction():
        assert d["a"] + d["b"] == 0
    with pytest.raises(ConflictError), d.transaction():
        before = d["a"]
        other.update(a=2, b=-2)
        assert before + d["b"] != 0


def test_transaction_that_reads_twice(d: Dict, other: Dict) -> None:
    """What was read first counts."""
    d["a"] = 1
    with pytest.raises(ConflictError), d.transaction():
        first = d["a"]
        other["a"] = 2
        assert (first, d["a"]) == (1, 2)
        d["b"] = first

    assert d == {"a": 2}


def test_transaction_keeps_what_a_failed_part_has_read(d: Dict, other: Dict) -> None:
    """What an inner transaction read before it failed may have decided what came after."""
    d["a"] = 1
    with pytest.raises(ConflictError), d.transaction():
        with pytest.raises(ZeroDivisionError), d.transaction():
            d["c"] = d["a"] / 0
        other["a"] = 2
        d["b"] = 1

    assert d == {"a": 2}


def test_assignments_are_no_conflict(d: Dict, other: Dict) -> None:
    """Who writes without having read writes last, inside of a transaction and by many at once."""
    d.update(a=1, b=1)
    with d.transaction():
        d["a"] = 2
        d.set_many({"b": 2, "c": 2})
        other.update(a=5, b=5, c=5)

    assert other == {"a": 2, "b": 2, "c": 2}


def test_edit_beside_another_client(d: Dict, other: Dict) -> None:
    """What was stored meanwhile stays."""
    d["k"] = [1]
    with pytest.raises(ConflictError), d.edit("k") as value:
        value.append(2)
        other.append("k", [3])

    assert d["k"] == [1, 3]


def test_metadata_of_two_clients(d: Dict, other: Dict) -> None:
    """Each merges what it has to say, and nothing is lost."""
    d["k"] = 1

    def work(number: int) -> None:
        for turn in range(20):
            (d, other)[number % 2].set_metadata("k", {f"{number}/{turn}": turn})

    in_threads(work, 4)
    assert len(d.info("k").metadata) == 80


def test_iteration_goes_by_pages(d: Dict, other: Dict) -> None:
    """However many keys there are, each that stays is met once and in its order, whatever another client does."""
    d.update((number, None) for number in range(2_500))
    keys, back = iter(d), reversed(d)
    first = [next(keys), next(back)]
    other.update({"new": 1})
    other.delete_many([5, 1_400])

    seen, turned = [first[0], *keys], [first[1], *back]
    expected = [number for number in range(2_500) if number != 1_400]
    assert [key for key in seen if key != "new"] == expected
    assert turned == [number for number in range(2_499, -1, -1) if number not in (5, 1_400)]
    assert len(d) == 2_499


def test_iteration_bears_new_values_of_many_keys(d: Dict) -> None:
    """What is stored again adds no key, whichever way it travels; one that is new does."""
    d.update(a=1, b=2, c=3)
    seen = []
    for key in d:
        d.update(a=4, b=5)
        d.set(key, 6, metadata={"x": "x" * 10_000})
        seen.append(key)

    assert seen == ["a", "b", "c"]
    keys = iter(d)
    next(keys)
    d.update(a=1, d=4)
    with pytest.raises(RuntimeError, match="changed size"):
        next(keys)


def test_more_keys_than_a_request_takes(d: Dict, other: Dict) -> None:
    """Many keys are several requests; a commit is never more than one, and is refused whole."""
    many = {number: number for number in range(10_500)}
    d.set_many(many)

    assert other.get_many(list(many)) == many
    with pytest.raises(ValueError, match="10,000"):
        d._store.commit({f"=i{number}": None for number in many})
    assert len(other) == 10_500
    assert sum(d.delete_many(list(many)).values()) == 10_500


def test_long_metadata_and_long_keys(d: Dict, other: Dict) -> None:
    """Metadata may be longer than a header, and a key as long as a URL; one beyond that is refused."""
    metadata = {"é": "é" * 40_000}
    d.set("k", 1, metadata=metadata)
    d["k" * 50_000] = 2

    assert other.info("k").metadata == metadata
    assert other.increment("k") == 2
    assert other.info("k").metadata == metadata
    assert other["k" * 50_000] == 2
    with pytest.raises(InvalidKeyError, match="60,000"):
        d["é" * 50_000] = 3
    assert len(d) == 2


def test_default_ttl_is_the_clients(process: Host, connect: Connect) -> None:
    """A dict that was told no time-to-live stores for ever, whatever the server does for others."""
    url = process.serve(default_ttl=5)
    d, own = connect(url), connect(url, default_ttl=50, clock=process.clock)
    d["a"] = own["b"] = 1
    d.update(c=1)

    assert (own.ttl("a"), own.ttl("b"), own.ttl("c")) == (None, 50, None)


# ---- processes


def test_processes_lose_no_update(d: Dict, url: str) -> None:
    """Four processes that change the same keys in every way change them as often as they say."""
    d.update(count=0, list=[], swapped=0, edited=[], source=100, target=0)
    with Crew("clienting") as crew, ExitStack() as stack:
        actors = [stack.enter_context(crew.actor()) for _ in range(4)]
        for number, actor in enumerate(actors):
            actor.start("clienting.work(url, number)", url=url, number=number)
        for actor in actors:
            actor.hear()

    everything = [(number, turn) for number in range(4) for turn in range(TURNS)]
    assert (d["count"], d["swapped"], d["source"], d["target"]) == (4 * TURNS, 4 * TURNS, 100 - 4 * TURNS, 4 * TURNS)
    assert sorted(d["list"]) == sorted(d["edited"]) == everything
    assert len(d.info("count").metadata) == len(everything)


def test_client_in_a_forked_process(d: Dict, url: str) -> None:
    """The child has connections of its own, so that what both ask at once is not mixed up, and nobody's locks."""
    with Crew("clienting") as crew, crew.actor() as actor:
        ended = actor.ask("clienting.count_on_both_sides_of_a_fork(url, 50)", url=url)

    assert ended == 0
    assert d["n"] == 101


def test_pickled_client(url: str, connect: Connect) -> None:
    """It comes back as a client of the same server, with the options that were given."""
    d = connect(url, codec="raw", default_ttl=100, token="secret-token")
    d["k"] = b"[1]"
    with pickle.loads(pickle.dumps(d)) as again:
        again["l"] = b"x"

        assert again["k"] == b"[1]"
        assert 99 < again.ttl("l") <= 101


# ---- servers that end, and begin again


def test_server_that_is_killed_and_comes_again(folder: Path, connect: Connect) -> None:
    """Meanwhile each use says that nobody is there; afterwards the same client goes on."""
    with started(folder) as running:
        d = connect(running.url)
        d["a"] = 1
        running.process.kill()
        running.process.wait()
        for use in (lambda: d["a"], lambda: d.set("a", 2), lambda: d.increment("a")):
            with pytest.raises(ConnectionError) as caught:
                use()
            assert caught.value.filename == running.url
        with pytest.raises(ConnectionRefusedError):
            len(d)
        assert repr(d) == f"<Client {running.url!r}, out of reach>"
    with started(folder, port=int(running.url.rpartition(":")[2])) as again:
        assert again.url == running.url
        assert d["a"] == 1
        assert d.increment("a") == 2


def test_unix_socket(folder: Path, tmp_path: Path, connect: Connect) -> None:
    """A path in place of host and port."""
    with started(folder, "--unix-socket", tmp_path / "s"):
        d = connect("http://localhost", socket=str(tmp_path / "s"))
        d["a"] = 1

        assert d == {"a": 1}


def test_token(folder: Path, connect: Connect) -> None:
    """Another token, or none, is no permission; no token is ever shown."""
    with ServedDict(folder) as store, served_here(store, Settings(token="the-right-token")) as url:
        right, wrong, none = connect(url, token="the-right-token"), connect(url, token="the-wrong-token"), connect(url)
        right["a"] = 1
        for d in (wrong, none):
            for use in USES.values():
                with pytest.raises(PermissionError) as caught:
                    use(d)
                assert caught.value.filename == url
                assert "token" in str(caught.value)
                assert "the-wrong" not in str(caught.value)
        assert right == {"a": 1}
        for d in (right, wrong):
            assert "the-" not in repr(d)
            d.close()
            assert repr(d) == f"<closed Client {url!r}>"


def test_damage_is_told(folder: Path, connect: Connect) -> None:
    """A value that is damaged on the server's disk is damaged here, and its key is that of a dict."""
    with ServedDict(folder) as store, served_here(store) as url:
        store["k"] = store["a", 1] = "value"
        d = connect(url)
        for key in ("k", ("a", 1)):
            store.path_for(key).write_bytes(b"{torn")
            for use in (d.get, d.pop, d.__getitem__, d.increment):
                with pytest.raises(CorruptValueError) as caught:
                    use(key)
                assert caught.value.key == key
        d["k"] = "new"
        assert d["k"] == "new"


# ---- what is no server of diskdict

USES: dict[str, Callable[[Dict], object]] = {
    "get": lambda d: d.get("a"),
    "in": lambda d: "a" in d,
    "set": lambda d: d.set("a", 1),
    "create": lambda d: d.create("a", 1),
    "increment": lambda d: d.increment("a"),
    "del": lambda d: d.__delitem__("a"),
    "expire": lambda d: d.expire("a", 1),
    "rename": lambda d: d.rename("a", "b"),
    "len": len,
    "list": list,
    "info": lambda d: d.info("a"),
    "get_many": lambda d: d.get_many(["a"]),
    "update": lambda d: d.update(a=1, b=2),
    "delete_many": lambda d: d.delete_many(["a"]),
    "cleanup": lambda d: d.cleanup_expired(),
}


@pytest.mark.parametrize(
    "rubbish",
    [
        said("200 OK", "Content-Type: text/html", body=b"<h1>It works!</h1>"),
        said("200 OK", "Content-Type: application/json", body=b"[]"),
        said("200 OK", "Content-Type: application/json", body=b'{"keys": 5, "results": {}, "removed": "x"}'),
        said("404 Not Found", "Content-Type: text/html", body=b"no such page"),
        said("404 Not Found", PROBLEM, body=b'{"title": "NotFound"}'),
        said("404 Not Found", PROBLEM, body=b"{"),
        said("500 Internal Server Error"),
        said("302 Found", "Location: http://127.0.0.1:1/"),
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 100\r\n\r\ncut off",
        None,
    ],
    ids=["page", "list", "types", "no page", "no route", "torn", "failure", "elsewhere", "ssh", "cut off", "hung up"],
)
def test_server_of_something_else(rubbish: bytes | None, connect: Connect) -> None:
    """It is never taken for an empty dict: each use fails and names the URL."""
    for name, use in USES.items():
        with scripted(rubbish) as server:
            d = connect(server.url)
            with pytest.raises(ConnectionError) as caught:
                use(d)
            assert caught.value.filename == server.url, name
            d.close()


@pytest.mark.parametrize(
    ("status", "problem", "kind", "expected"),
    [
        (400, {"title": "BadRequest", "detail": "what"}, ValueError, {}),
        (400, {"title": "InvalidKeyError", "detail": "what"}, InvalidKeyError, {}),
        (400, {"title": "InvalidValueError", "detail": "what"}, InvalidValueError, {}),
        (401, {"title": "Unauthorized", "detail": "what"}, PermissionError, {"errno": errno.EACCES}),
        (403, {"title": "Forbidden", "detail": "what"}, PermissionError, {"errno": errno.EACCES}),
        (403, {"title": "ReadOnlyError", "detail": "what"}, ReadOnlyError, {}),
        (408, {"title": "Timeout", "detail": "what"}, TimeoutError, {"errno": errno.ETIMEDOUT}),
        (412, {"title": "ConflictError", "detail": "what"}, ConflictError, {}),
        (413, {"title": "BodyTooLarge", "detail": "what"}, OSError, {"errno": errno.EMSGSIZE}),
        (421, {"title": "HostNotAllowed", "detail": "what"}, PermissionError, {"errno": errno.EACCES}),
        (500, {"title": "CorruptValueError", "detail": "what", "key": "a"}, CorruptValueError, {"key": "a"}),
        (500, {"title": "InternalError", "detail": "what"}, OSError, {"errno": errno.EIO}),
        (503, {"title": "DurabilityError", "detail": "what"}, DurabilityError, {"errno": errno.EIO}),
        (503, {"title": "ClosedError", "detail": "what"}, OSError, {"errno": errno.EIO}),
        (507, {"title": "OSError", "detail": "what"}, OSError, {"errno": errno.ENOSPC}),
        (
            507,
            {"title": "LimitError", "limit": "total_bytes", "allowed": 5, "met": 6, "unit": "what"},
            LimitError,
            {"limit": "total_bytes", "allowed": 5, "met": 6},
        ),
        (413, {"title": "LimitError"}, ConnectionError, {"errno": errno.EPROTO}),
    ],
    ids=lambda part: part["title"] if isinstance(part, dict) and "title" in part else "",
)
def test_problems_are_errors_again(
    status: int, problem: dict[str, object], kind: type[Exception], expected: dict[str, object], connect: Connect
) -> None:
    """What the server refuses, by one request or by a batch, is the error that it was, and says what it said."""
    for use in (lambda d: d.copy_key("a", "b"), lambda d: d.update(a=1, b=2)):
        with scripted(said(f"{status} Refused", PROBLEM, body=json.dumps(problem).encode())) as server:
            d = connect(server.url)
            with pytest.raises(kind, match=r"what|allow") as caught:
                use(d)
            d.close()

        assert type(caught.value) is kind
        assert {name: getattr(caught.value, name) for name in expected} == expected


def test_wrong_path(url: str, connect: Connect) -> None:
    """A server of diskdict that is asked below another path has no such routes, and not just no such keys."""
    d = connect(f"{url}/elsewhere")
    for use in USES.values():
        with pytest.raises(ConnectionError) as caught:
            use(d)
        assert caught.value.filename == f"{url}/elsewhere"


@pytest.mark.parametrize(
    "bad",
    ["127.0.0.1:8765", "ftp://host", "http://", "http://host:port", "http://host?x=1", "http://u:secret@host"],
)
def test_bad_url(bad: str) -> None:
    """What is no URL of a server is refused before it is used, and a password is not repeated."""
    with pytest.raises(ValueError, match="URL") as caught:
        Client(bad)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("token", ["", "two words", "new\nline", "é"])
def test_bad_token(token: str) -> None:
    """A token that no header can carry is refused."""
    with pytest.raises(ValueError, match="token"):
        Client("http://127.0.0.1", token=token)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), "1", None])
def test_bad_timeout(timeout: Any) -> None:
    """To wait for ever, or not at all, is no way to ask."""
    with pytest.raises(ValueError, match="timeout"):
        Client("http://127.0.0.1", timeout=timeout)


def test_nobody_listens(connect: Connect) -> None:
    """That is what is said, with the URL."""
    with Scripted(None) as gone:
        pass
    with pytest.raises(ConnectionRefusedError, match="nobody listens") as caught:
        connect(gone.url)["a"]
    assert caught.value.filename == gone.url


def test_server_that_does_not_answer(connect: Connect) -> None:
    """After `timeout` seconds it is a TimeoutError."""
    with Scripted(None) as silent:
        d = connect(silent.url, timeout=0.05)
        with pytest.raises(TimeoutError) as caught:
            d["a"] = 1
        assert caught.value.filename == silent.url


# ---- requests that are asked for again

_ALIVE = said(
    "200 OK",
    "Content-Type: application/json",
    'ETag: "7"',
    "X-Order: 1",
    "X-Created-At: 1.0",
    "X-Updated-At: 1.0",
    body=b"1",
)


def test_reading_is_repeated_once(connect: Connect) -> None:
    """A connection that has ended while it lay idle is no reason to fail; one that ends each time is."""
    with scripted(_ALIVE, None, _ALIVE, None, None) as server:
        d = connect(server.url)
        assert [d["a"], d["a"]] == [1, 1]
        with pytest.raises(ConnectionError):
            d["a"]
        d.close()

    assert server.lines == ["GET /v1/keys/a"] * 5


@pytest.mark.parametrize(
    "change",
    [lambda d: d.set("a", 1), lambda d: d.delete("a"), lambda d: d.expire("a", 1), lambda d: d.update(a=1, b=2)],
)
def test_changes_are_not_repeated(change: Callable[[Dict], object], connect: Connect) -> None:
    """Whether it was made is not known, and to make it twice may undo what came between."""
    with scripted(_ALIVE, None) as server:
        d = connect(server.url, clock=time.time)
        d["a"]
        with pytest.raises(ConnectionError):
            change(d)
        d.close()

    assert len(server.lines) == 2


def test_changes_of_a_version_are_repeated(connect: Connect) -> None:
    """They cannot be made twice."""
    with scripted(_ALIVE, None, said("204 No Content", 'ETag: "8"')) as server:
        d = connect(server.url)
        assert d.increment("a") == 2
        d.close()

    assert server.lines == ["GET /v1/keys/a", "PUT /v1/keys/a", "PUT /v1/keys/a"]
    assert all('If-Match: "7"' in head for head in server.heads[1:])


def test_repeated_change_that_is_refused(connect: Connect) -> None:
    """It may have been made at first: that is told, and not counted twice."""
    refused = said("412 Precondition Failed", PROBLEM, body=b'{"title": "ConflictError"}')
    with scripted(_ALIVE, None, refused) as server:
        d = connect(server.url)
        with pytest.raises(ConnectionError, match="not known"):
            d.increment("a")
        d.close()

    assert len(server.lines) == 3


# ---- the time


def test_time_is_the_servers(connect: Connect) -> None:
    """Where its clock is another, times of expiry are by that."""
    stored = said("201 Created", 'ETag: "8"', "Date: Fri, 02 Jan 2076 03:04:05 GMT")
    with scripted(stored) as server:
        d = connect(server.url)
        d["a"] = 1
        d.set("b", 1, ttl=60)
        d.close()

    [expires] = [line for line in server.heads[1].splitlines() if line.startswith("X-Expires-At")]
    assert abs(float(expires.partition(":")[2]) - datetime(2076, 1, 2, 3, 5, 5, tzinfo=UTC).timestamp()) < 3


def test_time_where_clocks_agree(d: Dict) -> None:
    """It is that of this machine, to the fraction of a second."""
    before = time.time()
    d.set("a", 1, ttl=60)
    after = time.time()

    expires = d.expires_at("a")
    assert expires is not None
    assert before <= expires - 60 <= after


# ---- httpx

_WORDLESS = (httpx.StreamConsumed, httpx.StreamClosed, httpx.ResponseNotRead, httpx.RequestNotRead)


@pytest.mark.parametrize(
    "kind",
    sorted((kind for kind in vars(httpx).values() if isinstance(kind, type) and issubclass(kind, Exception)), key=str),
    ids=lambda kind: kind.__name__,
)
def test_errors_of_httpx(kind: type[Exception]) -> None:
    """Each exception there is becomes one of Python, with the URL and what it came from."""
    request = httpx.Request("GET", "http://host")
    if issubclass(kind, httpx.HTTPStatusError):
        error: Exception = kind("failed", request=request, response=httpx.Response(500))
    else:
        error = kind() if issubclass(kind, _WORDLESS) else kind("failed")
    with pytest.raises((OSError, ValueError), match="http://host") as caught, vendor_errors("http://host"):
        raise error

    assert caught.value.__cause__ is error
    assert isinstance(caught.value, TimeoutError) == isinstance(error, httpx.TimeoutException)


def test_without_httpx() -> None:
    """The extra is named."""
    code = "import sys; sys.modules['httpx'] = None; import diskdict.client"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "pip install diskdict-store[client]" in done.stderr


# ---- open_dict


def test_open_dict(url: str, d: Dict) -> None:
    """A URL of http is enough for one."""
    with open_dict(url, limits=Limits(value_bytes=10)) as opened:
        opened["a"] = 1
        with pytest.raises(ValueError, match="value_bytes"):
            opened["a"] = "x" * 20

        assert isinstance(opened, StoreDict)
    assert d == {"a": 1}
    with pytest.raises(ClosedError):
        opened["a"]
    with pytest.raises(ValueError, match="total_bytes"):
        open_dict(url, limits=Limits(total_bytes=10))
