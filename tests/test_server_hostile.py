"""Requests that nobody should send: each has its answer by docs/http.rst, and nothing is changed by it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from attacks import (
    PATIENCE,
    Answer,
    answer,
    ask,
    closes,
    connected,
    everything,
    head,
    post,
    put,
    raw,
    resident,
    sent_until_closed,
    wait_until,
)
from serving import Running, served, served_here, started

from diskdict import DiskDict
from diskdict.server import ServedDict, Settings

MAX_BODY = 1 << 20
LARGE = 48 << 20
TOKEN = "correct-horse-battery-staple"
KEPT = {"a": 1, "bytes": b"0123456789", "text": "x", "object": {"b": [1, 2]}}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the store lies in, and its copies."""
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(scope="module")
def server(base: Path) -> Iterator[Running]:
    """A server that takes small bodies; its store must end as it began."""
    with DiskDict(base / "store") as d:
        d.update(KEPT)
    with started(base / "store", "--max-body", str(MAX_BODY), "--backups", base / "copies") as running:
        yield running
    assert running.process.returncode == 0
    with DiskDict(base / "store") as d:
        assert d.verify().ok
        assert d == KEPT
    assert {path.name for path in base.iterdir()} <= {"store", "copies"}


@pytest.fixture
def url(server: Running) -> Iterator[str]:
    """The server, which answers promptly after each test and holds what it held before."""
    before = _keys(server.url)
    yield server.url
    began = time.monotonic()
    assert ask(server.url, "GET", "/healthz").status == 200
    assert time.monotonic() - began < PATIENCE
    assert _keys(server.url) == before


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that waits for slow clients no longer than a part of a second."""
    with ServedDict(tmp_path_factory.mktemp("impatient") / "store") as d:
        with served_here(d, Settings(patience=0.3)) as url:
            yield url
        assert d == {}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that wants a token."""
    base = tmp_path_factory.mktemp("guarded")
    (base / "token").write_text(TOKEN + "\n")
    with served(base / "store", "--token-file", base / "token") as url:
        yield url
    with DiskDict(base / "store") as d:
        assert d == {}


def _keys(url: str) -> object:
    return json.loads(ask(url, "GET", "/v1/keys?limit=10000&count=true").body)


def assert_problem(found: Answer, *statuses: int) -> None:
    """Hold an answer against RFC 9457, or against the form of errors that the datastore has."""
    assert found.status in statuses, found
    if found.headers["content-type"] == "application/json":
        assert json.loads(found.body)["status"] == "error"
        return
    assert found.headers["content-type"] == "application/problem+json"
    document = json.loads(found.body)
    assert document["status"] == found.status
    assert document["type"] == f"urn:diskdict:error:{document['title']}"
    assert document["detail"]


# ---- what is no HTTP

CHUNKED = "Transfer-Encoding: chunked"
SMUGGLED = (
    b"PUT /v1/keys/smuggled HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n1"
)


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 6", CHUNKED],
        [CHUNKED, "Content-Length: 6"],
        ["Content-Length: 6", "Content-Length: 7"],
        ["Content-Length: 6, 7"],
        ["Content-Length: +6"],
        ["Content-Length: -6"],
        ["Content-Length: 0x6"],
        ["Content-Length: 6 6"],
        ["Content-Length: 6\u00a0"],
        ["Content-Length: 18446744073709551622"],
        ["Content-Length: six"],
        ["Content-Length:"],
        ["Content-Length : 6"],
        [" Content-Length: 6"],
        ["Content-Length: 6", "Transfer-Encoding: xchunked"],
        ["Content-Length: 6", "Transfer-Encoding: chunked, identity"],
        ["Content-Length: 6", "Transfer-Encoding:\x0bchunked"],
        ["Content-Length: 6", "Transfer-Encoding : chunked"],
        ["Content-Length: 6", "Transfer-Encoding:\r\n chunked"],
        ["Content-Length: 6", "Transfer-Encoding: chunked", "Transfer-Encoding: identity"],
        ["Transfer-Encoding: identity"],
        ["Transfer-Encoding: gzip, chunked"],
    ],
)
def test_smuggling(url: str, lines: list[str]) -> None:
    """A body whose length can be read in two ways ends the connection: what follows is never taken for a request."""
    first = head(url, "PUT", "/v1/keys/first", "Content-Type: application/json", *lines)
    said = everything(url, first + b"0\r\n\r\n" + b" " + SMUGGLED)

    assert said.count(b"HTTP/1.1 ") <= 1
    assert b"HTTP/1.1 2" not in said
    assert b"HTTP/1.1 5" not in said


@pytest.mark.parametrize(
    "body",
    [
        b"zz\r\n1\r\n0\r\n\r\n",
        b"-1\r\n1\r\n0\r\n\r\n",
        b"ffffffffffffffffff\r\n1\r\n0\r\n\r\n",
        b"1\r\n12\r\n0\r\n\r\n",
        b"2\r\n1\r\n0\r\n\r\n",
        b"1 1\r\n1\r\n0\r\n\r\n",
        b"0x1\r\n1\r\n0\r\n\r\n",
        b"\r\n1\r\n0\r\n\r\n",
        b"1;" + b"x" * 200_000 + b"\r\n1\r\n0\r\n\r\n",
    ],
    ids=lambda body: repr(body[:20]),
)
def test_bad_chunks(url: str, body: bytes) -> None:
    """A chunk that is not as long as it says, or says no length, writes nothing."""
    said = everything(url, head(url, "PUT", "/v1/keys/chunks", "Content-Type: application/json", CHUNKED) + body)

    assert b"HTTP/1.1 2" not in said
    assert b"HTTP/1.1 5" not in said


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\r\n\r\n\r\n",
        b"\x00" * 1000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /healthz\r\n\r\n",
        b"GET  /healthz HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1 \r\n\r\n",
        b"GET /healthz HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"GET /health\x00z HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /health\xffz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GE\x00T /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"G" * 100_000 + b" / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /v1/stats HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n",
        b"GET /v1/stats HTTP/1.1\r\nHost: localhost\r\n: no name\r\n\r\n",
        b"GET /v1/stats HTTP/1.1\r\nHost: localhost\r\nNa me: x\r\n\r\n",
        b"GET /v1/stats HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n",
        b"GET /v1/stats HTTP/1.1\r\nHost: localhost\r\nX: a\rb\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n",
        b"GET http://example.com/v1/stats HTTP/1.1\r\nHost: example.com\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /v1/keys/a HTTP/1.1\r\nHost: localhost\r\nExpect: 200-ok\r\nConnection: close\r\n\r\n",
    ],
    ids=lambda content: repr(content[:40]),
)
def test_no_http(url: str, request_bytes: bytes) -> None:
    """What is no request gets an error or a closed connection, and never a fault of the server."""
    said = everything(url, request_bytes)

    assert not said or said.startswith(b"HTTP/1.1 ")
    assert not said.startswith(b"HTTP/1.1 5")


@pytest.mark.parametrize("upgrade", ["websocket", "h2c", "TLS/1.0", "\xff"])
def test_upgrade_is_not_done(url: str, upgrade: str) -> None:
    """A request to speak something else is answered as a plain one, or refused."""
    lines = ["Connection: Upgrade, HTTP2-Settings", f"Upgrade: {upgrade}", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"]
    socket_lines = ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"]
    found = everything(url, head(url, "GET", "/healthz", *lines, *socket_lines, "Connection: close"))

    assert found.startswith((b"HTTP/1.1 200", b"HTTP/1.1 4"))


# ---- too much, too slow, too many


def test_endless_headers_are_cut(url: str, server: Running) -> None:
    """Headers without an end end the connection long before they fill the memory."""
    before = resident(server.process.pid)
    line = b"X-Header-Of-No-Use: " + b"x" * 4000 + b"\r\n"
    sent = sent_until_closed(url, head(url, "GET", "/healthz")[:-2], line, most=64 << 20)

    assert sent < 32 << 20
    assert resident(server.process.pid) - before < 16 << 20


def test_endless_header_is_cut(url: str, server: Running) -> None:
    """So does one header without an end."""
    before = resident(server.process.pid)
    sent = sent_until_closed(url, head(url, "GET", "/healthz")[:-2] + b"X: ", b"x" * 4096, most=64 << 20)

    assert sent < 32 << 20
    assert resident(server.process.pid) - before < 16 << 20


def test_endless_address_is_cut(url: str, server: Running) -> None:
    """And an address without an end."""
    before = resident(server.process.pid)
    sent = sent_until_closed(url, b"GET /v1/keys/", b"x" * 4096, most=64 << 20)

    assert sent < 32 << 20
    assert resident(server.process.pid) - before < 16 << 20


def test_endless_trailers_are_cut(url: str, server: Running) -> None:
    """And trailers after a chunked body."""
    before = resident(server.process.pid)
    start = head(url, "PUT", "/v1/keys/trailers", CHUNKED, "Content-Type: application/json") + b"1\r\n1\r\n0\r\n"
    sent = sent_until_closed(url, start, b"X: " + b"x" * 4000 + b"\r\n", most=64 << 20)

    assert sent < 32 << 20
    assert resident(server.process.pid) - before < 16 << 20


def test_endless_head_behind_an_endless_answer(url: str, server: Running) -> None:
    """So does a head that comes while the request before it is still being answered."""
    before = resident(server.process.pid)
    start = head(url, "GET", "/v1/events") + head(url, "GET", "/healthz")[:-2] + b"X: "
    sent = sent_until_closed(url, start, b"x" * 4096, most=64 << 20)

    assert sent < 32 << 20
    assert resident(server.process.pid) - before < 16 << 20


def test_body_in_the_smallest_chunks(url: str) -> None:
    """What stands beside the lengths of chunks may be much in all, as long as something comes with it."""
    body = b"[" + b"1," * 50_000 + b"1]"
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    made = raw(url, head(url, "PUT", "/v1/keys/chunks", "Content-Type: application/json", CHUNKED) + chunks)
    removed = ask(url, "DELETE", "/v1/keys/chunks")

    assert (made.status, removed.status) == (201, 204)


def test_many_headers(url: str) -> None:
    """Ten thousand small headers are taken or refused, not died of."""
    found = ask(url, "GET", "/v1/keys/a", *(f"X-{number}: x" for number in range(10_000)))

    assert found.status in (0, 200, 400, 431)


def test_slow_headers(impatient: str) -> None:
    """Who sends half a request and nothing more is dropped after the patience of the server."""
    with connected(impatient) as sock:
        sock.sendall(head(impatient, "GET", "/healthz")[:-2])
        began = time.monotonic()

        assert closes(sock)
        assert time.monotonic() - began < PATIENCE


def test_trickled_headers(impatient: str) -> None:
    """So is who sends them a byte at a time: sending something does not start the patience anew."""
    with connected(impatient) as sock:
        sock.sendall(head(impatient, "GET", "/healthz")[:-2] + b"X: ")

        wait_until(lambda: _refuses(sock))


def _refuses(sock: socket.socket) -> bool:
    """Send a byte more and tell whether the other side is gone."""
    try:
        sock.sendall(b"x")
        sock.settimeout(0.05)
        return sock.recv(1 << 16) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def test_slow_body(impatient: str) -> None:
    """A body that stops in the middle is a 408, and nothing is written."""
    with connected(impatient) as sock:
        sock.sendall(
            head(impatient, "PUT", "/v1/keys/slow", "Content-Type: application/json", "Content-Length: 100") + b"["
        )
        found = answer(sock)

    assert_problem(found, 408)


def test_trickled_body(impatient: str) -> None:
    """So is one that comes a byte at a time."""
    with connected(impatient) as sock:
        sock.sendall(
            head(impatient, "PUT", "/v1/keys/slow", "Content-Type: application/json", "Content-Length: 100000")
        )
        sock.sendall(b"[")

        wait_until(lambda: _answers(sock))


def _answers(sock: socket.socket) -> bool:
    with contextlib.suppress(ConnectionError):
        sock.sendall(b" ")
    sock.settimeout(0.05)
    try:
        said = sock.recv(1 << 16)
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    assert said == b"" or said.startswith(b"HTTP/1.1 408 ")
    return True


def test_idle_connections_stop_nobody(url: str) -> None:
    """Two hundred connections that say nothing, or half a request, are no reason to keep others waiting."""
    with contextlib.ExitStack() as stack:
        for number in range(200):
            sock = stack.enter_context(connected(url))
            if number % 2:
                sock.sendall(b"GET /v1/keys/a HTTP/1.1\r\nHost: loc")
        began = time.monotonic()
        found = ask(url, "GET", "/v1/keys/a")

    assert found.status == 200
    assert time.monotonic() - began < PATIENCE


def test_many_connections_at_once(url: str) -> None:
    """Two hundred requests at the same time are all answered."""
    with ThreadPoolExecutor(200) as pool:
        found = list(pool.map(lambda _: ask(url, "GET", "/v1/keys/a"), range(200)))

    assert {(each.status, each.body) for each in found} == {(200, b"1")}


def test_pipelined_requests(url: str) -> None:
    """Requests sent without waiting are answered one by one and in their order."""
    many = b"".join(head(url, "GET", f"/v1/keys/{key}") for key in ("a", "missing", "text") * 30)
    with connected(url) as sock:
        sock.sendall(many + head(url, "GET", "/healthz", "Connection: close"))
        said = b""
        while part := sock.recv(1 << 16):
            said += part

    assert [part[:3] for part in said.split(b"HTTP/1.1 ")[1:]] == [b"200", b"404", b"200"] * 30 + [b"200"]


# ---- bodies that are too large


@pytest.mark.parametrize("length", [MAX_BODY + 1, 10**12, 2**63 - 1])
@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("PUT", "/v1/keys/large"),
        ("POST", "/v1/keys/large"),
        ("PATCH", "/v1/keys/a"),
        ("POST", "/v1/keys/a/increment"),
        ("POST", "/v1/keys/a/rename"),
        ("POST", "/v1/batch"),
        ("POST", "/v1/backup"),
        ("POST", "/datastore/create"),
    ],
)
def test_large_body_is_refused_by_its_length(url: str, method: str, target: str, length: int) -> None:
    """A Content-Length beyond the limit is a 413 before a byte of the body was read."""
    found = raw(url, head(url, method, target, "Content-Type: application/json", f"Content-Length: {length}"))

    assert_problem(found, 413)


def test_large_chunked_body_is_refused(url: str, server: Running) -> None:
    """A body without a length is a 413 as soon as it is too long, and is not kept in memory."""
    before = resident(server.process.pid)
    first = head(url, "PUT", "/v1/keys/large", "Content-Type: application/octet-stream", CHUNKED)
    sent = sent_until_closed(url, first, b"10000\r\n" + bytes(65536) + b"\r\n", most=256 << 20)

    assert sent < 64 << 20
    assert resident(server.process.pid) - before < 32 << 20


def test_answer_to_a_large_chunked_body(url: str) -> None:
    """Who stops right at the limit hears why."""
    chunk = b"%x\r\n" % (MAX_BODY + 1) + bytes(MAX_BODY + 1) + b"\r\n"
    found = raw(url, head(url, "PUT", "/v1/keys/large", "Content-Type: application/octet-stream", CHUNKED) + chunk)

    assert_problem(found, 413)


def test_expect_continue(url: str) -> None:
    """Who asks before sending too much is refused at once, and who asks before sending little may send."""
    lines = ["Content-Type: application/octet-stream", "Expect: 100-continue"]
    refused = raw(url, head(url, "PUT", "/v1/keys/large", *lines, f"Content-Length: {MAX_BODY + 1}"))
    with connected(url) as sock:
        sock.sendall(head(url, "PUT", "/v1/keys/small", *lines, "Content-Length: 1"))
        assert sock.recv(1 << 16).startswith(b"HTTP/1.1 100 ")
        sock.sendall(b"x")
        taken = answer(sock)
    removed = ask(url, "DELETE", "/v1/keys/small")

    assert_problem(refused, 413)
    assert (taken.status, removed.status) == (201, 204)


# ---- keys


@pytest.mark.parametrize(
    "key", ["%", "%4", "%G0", "%-1", "a%", "%%30", "%u0041", "%ff", "%c3%28", "%c0%ae", "%f5%80%80%80", "%e2%82", "%80"]
)
@pytest.mark.parametrize("form", ["/v1/keys/{}", "/v1/keys/{}/info", "/v1/keys/?key={}", "/datastore/read?key={}"])
def test_bad_percent_encoding(url: str, form: str, key: str) -> None:
    """A key that is not UTF-8 in percent-encoding is a 400."""
    found = ask(url, "GET", form.format(key))

    assert found.status == 400
    assert "detail" in json.loads(found.body) or json.loads(found.body)["status"] == "error"


@pytest.mark.parametrize(
    "key", ["=", "=x", "=i", "=i01", "=i1.0", "=iZ", "=fnan", "=f", "=(", "=((", "=s1", "=T1", "=()x"]
)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_bad_key_texts(url: str, method: str, key: str) -> None:
    """A text that begins with = and is that of no key is a 400."""
    found = ask(url, method, f"/v1/keys/{key}", "Content-Type: application/json", body=b"1" if method == "PUT" else b"")

    assert_problem(found, 400)
    assert json.loads(found.body)["title"] == "InvalidKeyError"


@pytest.mark.parametrize(
    "target",
    [
        "/v1/keys/%00",
        "/v1/keys/..%2f..%2fetc%2fpasswd",
        "/v1/keys/%2e%2e%2f%2e%2e%2fdiskdict.json",
        "/v1/keys/%2e%2e",
        "/v1/keys/%2e",
        "/v1/keys/..",
        "/v1/keys/.",
        "/v1/keys/../keys/missing",
        "/v1/keys/%2Fetc%2Fpasswd",
        "/v1/keys/..%5c..%5cetc",
        "/v1/keys/~root",
        "/v1/keys/CON",
        "/v1/keys/diskdict.json",
        "/v1/keys/%0d%0aX-Injected:%201",
        "/v1/keys/%ed%a0%80",
        "/v1/keys/%F0%9F%98%80",
        "/v1/keys/%252e%252e",
        "/v1/keys/a%00",
        "/v1/keys/a;b=c",
        "/v1/keys/?key=..",
        "/v1/keys/?key=%00",
        "/v1/keys/?key=",
        "/v1/keys//",
        "/v1//keys/a",
        "//v1/keys/a",
        "/v1/keys/a/b/c",
        "/v1/../v1/keys/a",
        "/v2/keys/a",
        "/../../../etc/passwd",
        "/static/../../../../etc/passwd",
        "/..%2f..%2f..%2fetc%2fpasswd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/page.css%00.html",
    ],
)
def test_strange_places(url: str, target: str) -> None:
    """Whatever its text, a key that is not there and a place that is not there are a 404 (or a 400), not a file."""
    found = ask(url, "GET", target)

    assert_problem(found, 400, 404)
    assert "x-injected" not in found.headers
    assert b"root:" not in found.body


@pytest.mark.parametrize("form", ["/v1/keys/{}", "/v1/keys/?key={}", "/v1/keys?prefix={}", "/v1/keys?match={}"])
def test_long_keys(url: str, form: str) -> None:
    """A key of 100 KB is looked for or refused."""
    assert ask(url, "GET", form.format("k" * 100_000)).status in (0, 200, 400, 404, 414, 431)


@pytest.mark.parametrize(
    "key", ["%00", "..%2f..%2fescaped", "%2Fetc%2Fescaped", "con", "a%0ab", "%ED%A0%80", "x" * 5000, ".new"]
)
def test_strange_keys_stay_in_the_folder(url: str, key: str) -> None:
    """A key of any text is written, read and removed as any other."""
    made = put(url, f"/v1/keys/{key}", body=b'{"n":1}')
    read = ask(url, "GET", f"/v1/keys/{key}")
    removed = ask(url, "DELETE", f"/v1/keys/{key}")

    assert (made.status, read.status, removed.status) == (201, 200, 204)
    assert json.loads(read.body) == {"n": 1}


@pytest.mark.parametrize("key", ["", ".", ".."])
def test_keys_that_no_path_carries(url: str, key: str) -> None:
    """Empty, . and .. go by the query, with all that can be done with a key."""
    target = f"/v1/keys/?key={key}"
    statuses = [
        put(url, target).status,
        ask(url, "GET", target).status,
        ask(url, "HEAD", target).status,
        ask(url, "PATCH", target, "Content-Type: application/json", body=b'{"ttl":60}').status,
        ask(url, "GET", f"/v1/keys//info?key={key}").status,
        post(url, f"/v1/keys//increment?key={key}", b"").status,
        post(url, f"/v1/keys//rename?key={key}", b'{"to":"there"}').status,
        ask(url, "DELETE", "/v1/keys/there").status,
    ]

    assert statuses == [201, 200, 200, 204, 200, 200, 204, 204]


@pytest.mark.parametrize(
    "name", ["x" * 300 + ".js", "x" * 60_000 + ".js", ".html", "..%2findex.html", "a\\..\\b.js", "%00.js"]
)
def test_strange_files(url: str, name: str) -> None:
    """Of the page's files those that are there are given, and no name is tried on the disk."""
    assert ask(url, "GET", f"/page/{name}").status in (400, 404, 431)


def test_long_metadata(url: str) -> None:
    """Metadata too long for a header of an answer is told by info alone: the value can still be read."""
    made = put(url, "/v1/keys/long")
    body = json.dumps({"metadata": {"text": "x" * 100_000}}).encode()
    changed = ask(url, "PATCH", "/v1/keys/long", "Content-Type: application/json", body=body)
    read = ask(url, "GET", "/v1/keys/long")
    info = ask(url, "GET", "/v1/keys/long/info")
    removed = ask(url, "DELETE", "/v1/keys/long")

    assert (made.status, changed.status, read.status, removed.status) == (201, 204, 200, 204)
    assert "x-metadata" not in read.headers
    assert json.loads(info.body)["metadata"] == {"text": "x" * 100_000}


@pytest.mark.parametrize("opening", ["[", '{"a":', '{"$tuple":['])
def test_deepest_value(url: str, opening: str) -> None:
    """A value is refused for its depth, or can be read in every way there is."""
    closing = "".join({"[": "]", "{": "}"}[each] for each in reversed(opening) if each in "[{")
    for depth in range(50, 1200, 25):
        value = (opening * depth + "1" + closing * depth).encode()
        made = put(url, "/v1/keys/deep", body=value)
        if made.status == 400:
            break
        told = post(url, "/v1/batch", b'{"operations":[{"op":"get","key":"deep"}]}')
        batch = post(url, "/v1/batch", b'{"operations":[{"op":"set","key":"deep","value":' + value + b"}]}")
        shown = [
            ask(url, "GET", target) for target in ("/v1/keys/deep", "/v1/keys/deep/info", "/datastore/read?key=deep")
        ]
        assert told.status == 200
        assert batch.status in (200, 400)
        assert all(found.status < 500 for found in shown)
        assert json.loads(shown[0].body) == json.loads(value)
    removed = ask(url, "DELETE", "/v1/keys/deep")

    assert made.status == 400
    assert removed.status == 204


def test_deepest_metadata(url: str) -> None:
    """So is metadata."""
    made = put(url, "/v1/keys/deep")
    for depth in range(50, 1200, 25):
        body = b'{"merge_metadata":{"x":' + b"[" * depth + b"]" * depth + b"}}"
        changed = ask(url, "PATCH", "/v1/keys/deep", "Content-Type: application/json", body=body)
        shown = [ask(url, "GET", target).status for target in ("/v1/keys/deep", "/v1/keys/deep/info")]
        assert changed.status in (204, 400)
        assert shown == [200, 200]
    removed = ask(url, "DELETE", "/v1/keys/deep")

    assert (made.status, removed.status) == (201, 204)


# ---- JSON

TEN_MILLION = b"1" * 10**6
BAD_JSON = [
    b"",
    b" ",
    b"[" * 100_000,
    b"[" * 100_000 + b"]" * 100_000,
    b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    b'{"$tuple":[' * 50_000 + b"]}" * 50_000,
    b"NaN",
    b"[Infinity]",
    b'{"a":-Infinity}',
    b"1e400",
    b"[-1e400]",
    b"1" * 10**6,
    b"[-" + b"9" * 5000 + b"]",
    b'{"$tuple":1}',
    b'{"$tuple":{}}',
    b'{"$set":[1,1]}',
    b'{"$set":[[1]]}',
    b'{"$set":[{}]}',
    b'{"$dict":[[[],1]]}',
    b'{"$dict":[[1]]}',
    b'{"$dict":[1]}',
    b'{"$bytes":"*"}',
    b'{"$bytes":1}',
    b'{"$float":"x"}',
    b'{"$float":1}',
    b'{"$float":[]}',
    b'{"$int":"zz"}',
    b'{"$int":1}',
    b'{"$str":"\\\\N{BULLET}"}',
    b'{"$str":"\\\\x"}',
    b'{"$date":"2024-02-30"}',
    b'{"$date":0}',
    b'{"$time":"25:00"}',
    b'{"$datetime":["2024-01-01T00:00:00",7]}',
    b'{"$datetime":["2024-01-01T00:00:00",0,1,2]}',
    b'{"$datetime":[]}',
    b'{"$timedelta":[1,2]}',
    b'{"$timedelta":[1e99,0,0]}',
    b'{"$timedelta":[' + b"9" * 400 + b",0,0]}",
    b'{"$decimal":"one"}',
    b'{"$decimal":1}',
    b'{"$uuid":"0"}',
    b'{"$uuid":[]}',
    b"\xff",
    b'"\xed\xa0\x80"',
    b"\xef\xbb\xbf1",
    b"\xff\xfe1\x00",
    b"\x00",
    b"1 2",
    b"{",
    b"{1:2}",
    b"{'a':1}",
    b'{"a":1,}',
    b"[1,]",
    b"tru",
    b"01",
    b"0x1",
    b'"\n"',
    b'"\\x41"',
    b'"\\u12"',
    b"// comment\n1",
]


@pytest.mark.parametrize("body", BAD_JSON, ids=lambda body: f"{body[:30]!r}-{len(body)}")
def test_bad_json(url: str, body: bytes) -> None:
    """What is not JSON, says something that JSON cannot, or has a tag that nothing was written as, is a 400."""
    assert_problem(
        put(url, "/v1/keys/bad", f"Content-Length: {len(body)}", body=b"")
        if not body
        else put(url, "/v1/keys/bad", body=body),
        400,
    )


@pytest.mark.parametrize(
    "body", [body for body in BAD_JSON if body.strip()], ids=lambda body: f"{body[:30]!r}-{len(body)}"
)
def test_bad_json_in_a_batch(url: str, body: bytes) -> None:
    """So it is in a batch, of which nothing is done."""
    content = b'{"operations":[{"op":"set","key":"b","value":1},{"op":"set","key":"c","value":' + body + b"}]}"

    assert_problem(post(url, "/v1/batch", content[:MAX_BODY]), 400)


@pytest.mark.parametrize("name", ["metadata", "merge_metadata"])
@pytest.mark.parametrize("value", [b"1", b"[]", b'"x"', b'{"a":NaN}', b'{"a":{"$set":[[]]}}'])
def test_bad_metadata(url: str, name: str, value: bytes) -> None:
    """Metadata is a JSON object, in a body and in the header."""
    patched = ask(
        url, "PATCH", "/v1/keys/a", "Content-Type: application/json", body=b'{"%s":%s}' % (name.encode(), value)
    )
    written = put(url, "/v1/keys/bad", b"X-Metadata: " + value)

    assert_problem(patched, 400)
    assert_problem(written, 400)


@pytest.mark.parametrize("header", [b"\xff", b"{", b"", b'{"a":"\xc3\xa9"', b'{"a":1} x', b"{}, {}"])
def test_bad_metadata_headers(url: str, header: bytes) -> None:
    """So is what is not even JSON."""
    assert_problem(put(url, "/v1/keys/bad", b"X-Metadata: " + header), 400)


@pytest.mark.parametrize(
    "media",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "",
        "*/*",
        "\xff",
    ],
)
@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("PUT", "/v1/keys/b"),
        ("POST", "/v1/keys/b"),
        ("PATCH", "/v1/keys/a"),
        ("POST", "/v1/batch"),
        ("POST", "/datastore/create"),
    ],
)
def test_other_media_types(url: str, method: str, target: str, media: str) -> None:
    """A body of another type is a 415: so a form on another site can send nothing that is taken."""
    assert_problem(ask(url, method, target, f"Content-Type: {media}", body=b'{"operations":[]}'), 415)


@pytest.mark.parametrize(
    "target", ["/v1/keys/a/increment", "/v1/keys/a/rename", "/v1/backup", "/v1/cleanup", "/v1/verify"]
)
def test_a_form_does_nothing(url: str, target: str) -> None:
    """So it is where a body may be missing."""
    found = ask(url, "POST", target, "Content-Type: text/plain", "Origin: http://evil.example", body=b'{"to":"x"}')

    assert_problem(found, 403, 415)


# ---- who asks


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:80",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "localhost:",
        "localhost@evil.example",
        "",
        " ",
        "localhost, evil.example",
        "[::1",
        "[::1]x",
        "local host",
        "\xff",
    ],
)
def test_bad_hosts(url: str, host: str) -> None:
    """A name that is not the server's is refused: a page whose name was pointed here reads nothing (DNS rebinding)."""
    found = ask(url, "GET", "/v1/keys/a", f"Host: {host}", host=False)

    assert found.status in (400, 421)


@pytest.mark.parametrize(
    "host", ["localhost", "LocalHost:1", "127.0.0.1", "127.0.0.1:8080", "[::1]", "[::1]:80", "192.0.2.7"]
)
def test_good_hosts(url: str, host: str) -> None:
    """An address and localhost are taken: no other site can have them."""
    assert ask(url, "GET", "/v1/keys/a", f"Host: {host}", host=False).status == 200


def test_missing_and_double_host(url: str) -> None:
    """Each request names one host."""
    missing = ask(url, "GET", "/v1/keys/a", host=False)
    double = ask(url, "GET", "/v1/keys/a", "Host: evil.example")

    assert missing.status in (400, 421)
    assert double.status in (400, 421)


ORIGINS = [
    "http://evil.example",
    "https://evil.example:443",
    "null",
    "http://localhost.evil.example",
    "http://[",
    "http://[x]",
    "http://a]",
    "http://[::1",
    "file://",
    "",
    "x",
    "\xff",
]
CHANGES = [
    ("PUT", "/v1/keys/a", b"2"),
    ("POST", "/v1/keys/b", b"2"),
    ("DELETE", "/v1/keys/a", b""),
    ("PATCH", "/v1/keys/a", b'{"ttl":0}'),
    ("POST", "/v1/keys/a/increment", b""),
    ("POST", "/v1/keys/a/rename", b'{"to":"b"}'),
    ("POST", "/v1/batch", b'{"operations":[{"op":"delete","key":"a"}]}'),
    ("POST", "/v1/backup", b'{"name":"x"}'),
    ("POST", "/v1/cleanup", b""),
    ("POST", "/v1/verify", b""),
    ("POST", "/datastore/create", b'{"key":"b","value":{}}'),
    ("DELETE", "/datastore/delete?key=a", b""),
]


@pytest.mark.parametrize(("method", "target", "body"), CHANGES)
def test_other_sites_change_nothing(url: str, method: str, target: str, body: bytes) -> None:
    """What changes something and comes from the page of another site is a 403, whatever it says it is."""
    for origin in ORIGINS:
        assert_problem(ask(url, method, target, "Content-Type: application/json", f"Origin: {origin}", body=body), 403)


@pytest.mark.parametrize("origin", ORIGINS)
def test_other_sites_may_not_read(url: str, origin: str) -> None:
    """No page of another site is allowed to see an answer, nor told that it may ask."""
    asked = ask(url, "OPTIONS", "/v1/keys/a", f"Origin: {origin}", "Access-Control-Request-Method: PUT")
    read = ask(url, "GET", "/v1/keys/a", f"Origin: {origin}")

    assert "access-control-allow-origin" not in asked.headers | read.headers
    assert asked.status < 500


def test_own_page_may_change(url: str) -> None:
    """The server's own page is no other site."""
    made = put(url, "/v1/keys/own", f"Origin: {url.rstrip('/')}")
    removed = ask(url, "DELETE", "/v1/keys/own", f"Origin: {url.rstrip('/')}")

    assert (made.status, removed.status) == (201, 204)


WITHOUT_TOKEN = [
    [],
    ["Authorization:"],
    ["Authorization: Bearer"],
    ["Authorization: Bearer "],
    [f"Authorization: {TOKEN}"],
    [f"Authorization: Basic {TOKEN}"],
    [f"Authorization: Bearer {TOKEN[:-1]}"],
    [f"Authorization: Bearer {TOKEN[1:]}"],
    [f"Authorization: Bearer {TOKEN}x"],
    [f"Authorization: Bearer {TOKEN.upper()}"],
    ["Authorization: Bearer \xff\xfe"],
    ["Authorization: Bearer \xd1\x82"],
    [f"Authorization: Bearer {'x' * 10_000}"],
    [f"X-Authorization: Bearer {TOKEN}"],
    [f"Cookie: token={TOKEN}"],
    ["Authorization: Bearer wrong", f"Authorization: Bearer {TOKEN}"],
]


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/v1/keys/a"),
        ("HEAD", "/v1/keys/a"),
        ("GET", "/v1/keys"),
        ("GET", "/v1/events"),
        ("GET", "/metrics"),
        ("GET", "/v1/stats"),
        ("GET", "/nowhere"),
        ("GET", f"/v1/keys/a?token={'x'}"),
        ("GET", "//healthz"),
        ("GET", "/healthz/"),
        ("GET", "/healthz/../v1/keys/a"),
        ("GET", "/openapi.json/../v1/keys/a"),
        *((method, target) for method, target, _body in CHANGES),
    ],
)
def test_without_the_token(guarded: str, method: str, target: str) -> None:
    """Without the very token everything is a 401, whether or not it is there."""
    body = b"1" if method in ("PUT", "POST", "PATCH") else b""
    for lines in WITHOUT_TOKEN:
        found = ask(guarded, method, target, "Content-Type: application/json", *lines, body=body)
        assert found.status == 401
        assert found.headers["www-authenticate"].startswith("Bearer")


def test_with_the_token(guarded: str) -> None:
    """With it, and where none is needed, there is an answer; the scheme's case does not count."""
    asked = [ask(guarded, "GET", "/v1/stats", f"Authorization: {scheme} {TOKEN}") for scheme in ("Bearer", "bearer")]
    public = [ask(guarded, "GET", target) for target in ("/", "/healthz", "/openapi.json")]

    assert {found.status for found in asked + public} == {200}


# ---- parameters and headers

BAD_TTLS = [
    "nan",
    "inf",
    "-inf",
    "1e400",
    "-1",
    "-0.1",
    "",
    "never ",
    "Never",
    "true",
    "null",
    "0x10",
    "1_0",
    "1,5",
    "+",
    "%D9%A1",
    "1%00",
]


@pytest.mark.parametrize("ttl", BAD_TTLS)
def test_bad_ttl(url: str, ttl: str) -> None:
    """A time-to-live is a number of seconds or never."""
    assert_problem(put(url, f"/v1/keys/bad?ttl={ttl.replace(' ', '%20').replace('+', '%2B')}"), 400)


@pytest.mark.parametrize("name", ["X-TTL", "X-Expires-At", "X-Created-At"])
@pytest.mark.parametrize(
    "time",
    ["nan", "inf", "-inf", "1e400", "-1", "", "Never", "true", "1_0", "yesterday", "2024-01-01", "1 2", "\xd9\xa1"],
)
def test_bad_times_in_headers(url: str, name: str, time: str) -> None:
    """So are times in headers."""
    assert_problem(put(url, "/v1/keys/bad", f"{name}: {time}"), 400)


@pytest.mark.parametrize("field", ["ttl", "expires_at"])
@pytest.mark.parametrize(
    "time",
    [
        "NaN",
        "1e400",
        "-1",
        '""',
        '"1"',
        '"Never"',
        "true",
        "[]",
        "{}",
        '{"$float":"nan"}',
        '{"$int":"0x1"}',
        "1" * 5000,
    ],
)
def test_bad_times_in_bodies(url: str, field: str, time: str) -> None:
    """And in bodies."""
    patched = ask(url, "PATCH", "/v1/keys/a", "Content-Type: application/json", body=f'{{"{field}":{time}}}'.encode())
    operation = f'{{"op":"set","key":"b","value":1,"{field}":{time}}}'
    batch = post(url, "/v1/batch", f'{{"operations":[{operation}]}}'.encode())

    assert_problem(patched, 400)
    assert_problem(batch, 400)


def test_two_times(url: str) -> None:
    """One end, said once."""
    assert_problem(put(url, "/v1/keys/bad?ttl=1", "X-TTL: 1"), 400)
    assert_problem(put(url, "/v1/keys/bad?ttl=1", "X-Expires-At: 1"), 400)
    assert_problem(put(url, "/v1/keys/bad?ttl=1&ttl=2"), 400)


@pytest.mark.parametrize(
    "query",
    [
        "ttl",
        "TTL=1",
        "tll=1",
        "keep=1",
        "keep=yes",
        "keep=",
        "keep=TRUE",
        "=",
        "&x",
        "key=b",
        "%ff=1",
        "ttl=1;keep=true",
    ],
)
def test_unknown_parameters(url: str, query: str) -> None:
    """A parameter that is misspelt is an error, not a value without a time-to-live."""
    assert_problem(put(url, f"/v1/keys/bad?{query}"), 400)


@pytest.mark.parametrize(
    "tag", ["1", '"1', '1"', '"1" "2"', "W/1", 'w/"1"', '"a"b"', '*, "1"x', "\xff", '"' + "a" * 5000]
)
def test_bad_conditions(url: str, tag: str) -> None:
    """A condition that is none is a 400: nothing is written because of a missing quote."""
    assert_problem(put(url, "/v1/keys/a", f"If-Match: {tag}", body=b"2"), 400)
    assert_problem(ask(url, "DELETE", "/v1/keys/a", f"If-Match: {tag}"), 400)
    assert_problem(put(url, "/v1/keys/a", f"If-None-Match: {tag}", body=b"2"), 400)


@pytest.mark.parametrize(
    "tag",
    ['"7777777"', '""', '"x"', 'W/"1"', '"7777777", "2222222"', "", ", ,", '"18446744073709551616"', '"-1"', '"\xe9"'],
)
def test_failed_conditions(url: str, tag: str) -> None:
    """One that does not hold is a 412."""
    assert put(url, "/v1/keys/a", f"If-Match: {tag}", body=b"2").status in (400, 412)
    assert ask(url, "DELETE", "/v1/keys/a", f"If-Match: {tag}").status in (400, 412)


def test_weak_tag_is_no_match(url: str) -> None:
    """A weak tag of the very version writes nothing (RFC 9110)."""
    tag = ask(url, "GET", "/v1/keys/a").headers["etag"]

    assert_problem(put(url, "/v1/keys/a", f"If-Match: W/{tag}", body=b"2"), 412)


@pytest.mark.parametrize(
    ("given", "status", "body"),
    [
        ("bytes=0-3", 206, b"0123"),
        ("bytes=8-", 206, b"89"),
        ("bytes=-3", 206, b"789"),
        ("bytes=5-9999999999999999999", 206, b"56789"),
        ("bytes=-9999999999999999999", 206, b"0123456789"),
        ("bytes=10-", 416, None),
        ("bytes=10-20", 416, None),
        ("bytes=9999999999999999999-", 416, None),
        ("bytes=99999999999999999999999-", None, None),
        ("bytes=-0", 416, None),
        ("bytes=3-1", None, None),
        ("bytes=", None, None),
        ("bytes=-", None, None),
        ("bytes=--1", None, None),
        ("bytes=a-b", None, None),
        ("bytes=0x1-2", None, None),
        ("bytes=1_0-", None, None),
        ("bytes=\xb2-", None, None),
        ("bytes", None, None),
        ("items=0-1", 200, b"0123456789"),
        ("bytes=0-0,2-3", None, None),
        ("bytes=" + ",".join(["0-"] * 2000), None, None),
    ],
)
def test_ranges(url: str, given: str, status: int | None, body: bytes | None) -> None:
    """One range is answered with it or a 416; what is no range, and several, get the whole or a refusal (RFC 9110)."""
    found = ask(url, "GET", "/v1/keys/bytes", f"Range: {given}")

    assert found.status in ((200, 400, 416) if status is None else (status,))
    if found.status == 200:
        assert found.body == b"0123456789"
    if body is not None:
        assert found.body == body
    if found.status == 416:
        assert found.headers["content-range"] == "bytes */10"


BAD_LISTINGS = [
    "limit=-1",
    "limit=10001",
    "limit=1000000000",
    "limit=1e2",
    "limit=1.0",
    "limit=",
    "limit=x",
    "limit=%D9%A1",
    "limit=1_0",
    "offset=-1",
    "offset=x",
    "offset=1.5",
    "reverse=1",
    "reverse=maybe",
    "count=yes",
    "cursor=x",
    "cursor=%00",
    "cursor=e30",
    "cursor=e30=",
    "cursor=bnVsbA",
    "cursor=W10",
    "cursor=%ff",
    "cursor=WzEsMl0",
    "cursor=Wy0xLCAiYSJd",
    "cursor=WzFlOTk5LCAiYSJd",
    "cursor=W251bGwsIG51bGxd",
    "limit=1&limit=2",
    "prefix=%ff",
    "match=%ff",
    "page=2",
]


@pytest.mark.parametrize("query", [*BAD_LISTINGS, "limit=" + "9" * 5000, "cursor=" + "A" * 5000])
def test_bad_listings(url: str, query: str) -> None:
    """A listing with a parameter that is none is a 400, also a cursor that no listing gave."""
    assert_problem(ask(url, "GET", f"/v1/keys?{query}"), 400)


def test_cursor_of_another_listing(url: str) -> None:
    """A cursor with other parameters than it was given for is a 400 or continues; it is no way to crash."""
    cursor = json.loads(ask(url, "GET", "/v1/keys?limit=1").body)["cursor"]
    statuses = {
        ask(url, "GET", f"/v1/keys?cursor={cursor}{more}").status
        for more in ("&reverse=true", "&prefix=zzz", "&match=z*", "&limit=0", "x", "%00")
    }

    assert statuses <= {200, 400}


def test_offset_of_any_size(url: str) -> None:
    """An offset beyond the end is an empty page."""
    for offset in (10**6, 2**31, 2**63, 2**64, 10**30):
        found = ask(url, "GET", f"/v1/keys?offset={offset}")
        assert found.status in (200, 400)
        assert found.status == 400 or json.loads(found.body)["keys"] == []


@pytest.mark.parametrize(
    "glob", ["*a" * 1000, "[" * 1000, "[]", "[!", "[z-a]", "*" * 50_000, "?" * 50_000, "[a-" * 1000, "\\"]
)
def test_globs(url: str, glob: str) -> None:
    """No pattern takes long: not one that an expression would try in all ways."""
    key = "a" * 3000
    put(url, f"/v1/keys/{key}")
    try:
        began = time.monotonic()
        found = ask(url, "GET", "/v1/keys?match=" + glob.replace("\\", "%5C").replace("[", "%5B"))
        took = time.monotonic() - began
    finally:
        ask(url, "DELETE", f"/v1/keys/{key}")

    assert found.status in (0, 200, 400, 414, 431)
    assert took < PATIENCE


BAD_BATCHES = rb"""
1
[]
null
{}
{"operations":1}
{"operations":{}}
{"operations":[1]}
{"operations":[null]}
{"operations":[[]]}
{"operations":[{}]}
{"operations":[{"op":"get"}]}
{"operations":[{"key":"a"}]}
{"operations":[{"op":"drop","key":"a"}]}
{"operations":[{"op":1,"key":"a"}]}
{"operations":[{"op":["get"],"key":"a"}]}
{"operations":[{"op":{"$tuple":[]},"key":"a"}]}
{"operations":[{"op":"get","key":1}]}
{"operations":[{"op":"get","key":null}]}
{"operations":[{"op":"get","key":["a"]}]}
{"operations":[{"op":"get","key":"=x"}]}
{"operations":[{"op":"get","key":{"$tuple":["a"]}}]}
{"operations":[{"op":"set","key":"b"}]}
{"operations":[{"op":"get","key":"a","value":1}]}
{"operations":[{"op":"delete","key":"a","ttl":1}]}
{"operations":[{"op":"set","key":"b","value":1,"tll":1}]}
{"operations":[{"op":"set","key":"b","value":1,"metadata":1}]}
{"operations":[{"op":"set","key":"b","value":1,"created_at":"x"}]}
{"operations":[],"expect":1}
{"operations":[],"expect":[]}
{"operations":[],"expect":{"a":"1"}}
{"operations":[],"expect":{"a":true}}
{"operations":[],"expect":{"a":1.5}}
{"operations":[],"expect":{"a":[]}}
{"operations":[],"expect":{"=x":1}}
{"operations":[],"more":1}
""".strip().split(b"\n")
TOO_MANY = b'{"operations":[' + b",".join([b'{"op":"get","key":"a"}'] * 10_001) + b"]}"


@pytest.mark.parametrize("body", [*BAD_BATCHES, TOO_MANY], ids=lambda body: repr(body[:80]))
def test_bad_batches(url: str, body: bytes) -> None:
    """A batch with anything wrong in it is a 400, and nothing of it is done."""
    if body.startswith(b'{"operations":[{'):
        body = body.replace(b"[{", b'[{"op":"set","key":"before","value":1},{', 1)

    assert_problem(post(url, "/v1/batch", body), 400)


def test_batch_is_all_or_nothing(url: str) -> None:
    """What fails late undoes what was done before it."""
    first = b'{"operations":[{"op":"set","key":"a","value":2},{"op":"delete","key":"text"},'
    exists = post(url, "/v1/batch", first + b'{"op":"create","key":"bytes","value":1}]}')
    expected = post(url, "/v1/batch", first + b'{"op":"get","key":"a"}],"expect":{"bytes":1}}')
    absent = post(url, "/v1/batch", first + b'{"op":"get","key":"a"}],"expect":{"bytes":null}}')

    assert exists.status == 409
    assert (expected.status, absent.status) == (412, 412)
    assert ask(url, "GET", "/v1/keys/a").body == b"1"


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../x",
        "/etc/x",
        "a/b",
        "a\\b",
        "x" * 1000,
        "a\0b",
        "\n",
        "~",
        "-x",
        "\ud800",
        "CON",
        " ",
        "é" * 200,
    ],
)
def test_bad_backup_names(url: str, base: Path, name: str) -> None:
    """A copy goes into the folder of copies and nowhere else; a name that is a path is a 400."""
    found = post(url, "/v1/backup", json.dumps({"name": name}).encode())
    copies = base / "copies"
    made = sorted(copies.iterdir()) if copies.exists() else []
    for copy in made:
        _remove(copy)
    if copies.exists():
        copies.rmdir()

    assert found.status in (201, 400)
    assert (found.status == 201) == bool(made)
    assert found.status == 400 or name in ("~", "-x", "CON", "é" * 200)


def _remove(folder: Path) -> None:
    for path, folders, files in os.walk(folder, topdown=False):
        for each in files:
            Path(path, each).unlink()
        for each in folders:
            Path(path, each).rmdir()
    folder.rmdir()


@pytest.mark.parametrize(
    "body", [b"1", b"[]", b"null", b'{"name":1}', b'{"name":null}', b'{"name":["a"]}', b'{"path":"/x"}', b"{"]
)
def test_bad_backup_bodies(url: str, body: bytes) -> None:
    """A body that names no copy is a 400."""
    assert_problem(post(url, "/v1/backup", body), 400)


@pytest.mark.parametrize(
    "body",
    [
        b"1",
        b"[]",
        b'{"by":"1"}',
        b'{"by":null}',
        b'{"by":true}',
        b'{"by":[]}',
        b'{"by":NaN}',
        b'{"by":1,"x":1}',
        b'{"by":{"$float":"inf"}}',
        b'{"by":{"$decimal":"1"}}',
    ],
)
def test_bad_increments(url: str, body: bytes) -> None:
    """One adds numbers."""
    assert_problem(post(url, "/v1/keys/a/increment", body), 400)


@pytest.mark.parametrize("key", ["text", "bytes", "object"])
def test_increment_of_no_number(url: str, key: str) -> None:
    """One adds to numbers."""
    assert_problem(post(url, f"/v1/keys/{key}/increment", b'{"by":1}'), 409)


@pytest.mark.parametrize(
    "body", [b"", b"1", b"{}", b'{"to":1}', b'{"to":null}', b'{"to":"=x"}', b'{"to":["b"]}', b'{"to":"b","x":1}']
)
def test_bad_renames(url: str, body: bytes) -> None:
    """A key is renamed to a key."""
    assert_problem(post(url, "/v1/keys/a/rename", body), 400, 415)


@pytest.mark.parametrize(
    ("target", "methods"),
    [
        ("/v1/keys", "POST PUT DELETE PATCH"),
        ("/v1/batch", "GET PUT DELETE"),
        ("/v1/stats", "POST PUT DELETE"),
        ("/v1/verify", "GET DELETE"),
        ("/v1/backup", "GET DELETE"),
        ("/v1/events", "POST"),
        ("/healthz", "POST DELETE"),
        ("/metrics", "POST"),
        ("/", "POST DELETE"),
        ("/openapi.json", "PUT"),
        ("/v1/keys/a/info", "PUT DELETE POST"),
        ("/v1/keys/a/increment", "GET PUT DELETE"),
        ("/v1/keys/a", "TRACE FOO get COPY"),
        ("/datastore/read", "POST DELETE"),
        ("/datastore/create", "GET DELETE"),
    ],
)
def test_wrong_methods(url: str, target: str, methods: str) -> None:
    """A method that a place does not have is a 405 that names those it has; a method that is none may be a 400."""
    for method in methods.split():
        found = ask(url, method, target)
        if method in ("FOO", "get") and found.status == 400:
            continue
        assert_problem(found, 405)
        assert found.headers["allow"]


@pytest.mark.parametrize(
    ("method", "target", "body", "statuses"),
    [
        ("POST", "/datastore/create", b'{"key":"a","value":{}}', (409,)),
        ("POST", "/datastore/create", b'{"key":"b","value":1}', (400,)),
        ("POST", "/datastore/create", b'{"key":"b","value":{"a":NaN}}', (400,)),
        ("POST", "/datastore/create", b'{"key":1,"value":{}}', (400,)),
        ("POST", "/datastore/create", b'{"key":"b"}', (400,)),
        ("POST", "/datastore/create", b'{"key":"b","value":{},"ttl":-1}', (400,)),
        ("POST", "/datastore/create", b'{"key":"b","value":{},"ttl":"x"}', (400,)),
        ("POST", "/datastore/create", b"{", (400,)),
        ("POST", "/datastore/create", b"[" * 100_000, (400,)),
        ("POST", "/datastore/create", b"[]", (400,)),
        ("GET", "/datastore/read", b"", (400,)),
        ("GET", "/datastore/read?key=missing", b"", (404,)),
        ("GET", "/datastore/read?key=%3Di1", b"", (404,)),
        ("GET", "/datastore/read?key=a&key=b", b"", (400,)),
        ("DELETE", "/datastore/delete?key=missing", b"", (404,)),
        ("DELETE", "/datastore/delete", b"", (400,)),
    ],
)
def test_datastore_errors(url: str, method: str, target: str, body: bytes, statuses: tuple[int, ...]) -> None:
    """The datastore says what is wrong in its own form."""
    found = ask(url, method, target, "Content-Type: application/json", body=body)

    assert found.status in statuses
    assert json.loads(found.body)["status"] == "error"
    assert json.loads(found.body)["message"]


@pytest.mark.parametrize("event_id", ["x", "-1", "1e3", "", "9" * 5000, "1.5", "\xff", "1 "])
def test_bad_event_ids(url: str, event_id: str) -> None:
    """An id that no event had is a 400 or a reset."""
    with connected(url) as sock:
        sock.sendall(head(url, "GET", "/v1/events", f"Last-Event-ID: {event_id}"))
        sock.settimeout(0.5)
        said = b""
        with contextlib.suppress(TimeoutError):
            while part := sock.recv(1 << 16):
                said += part

    assert said.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 400 "))
