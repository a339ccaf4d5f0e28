"""Connections and servers that end in the middle of something: what was there before stays, what was told is kept."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from attacks import PATIENCE, Answer, answer, ask, connected, head, post, put, resident, wait_until
from serving import Running, started

from diskdict import DiskDict

LARGE = 48 << 20
BYTES = "Content-Type: application/octet-stream"
JSON = "Content-Type: application/json"


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server for several tests."""
    with _server(tmp_path_factory.mktemp("lasting") / "store") as running:
        yield running
    assert running.process.returncode == 0


@pytest.fixture
def ending(folder: Path) -> Iterator[Running]:
    """A server for a test that ends it."""
    with _server(folder) as running:
        yield running


@contextlib.contextmanager
def _server(folder: Path) -> Iterator[Running]:
    """Serve a store with a small value and a large one."""
    with DiskDict(folder) as d:
        d.update(first=1, large=b"\xff" * LARGE)
    with started(folder) as running:
        yield running
    with DiskDict(folder) as d:
        assert d.verify().ok


def assert_open(url: str) -> None:
    """The server answers, and at once."""
    began = time.monotonic()
    assert ask(url, "GET", "/healthz").status == 200
    assert ask(url, "GET", "/v1/keys/first").status == 200
    assert time.monotonic() - began < PATIENCE


@pytest.mark.parametrize("framing", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize(("method", "key"), [("PUT", "first"), ("PUT", "new"), ("POST", "new")])
def test_dropped_upload(lasting: Running, method: str, key: str, framing: str) -> None:
    """An upload that breaks off leaves the old value, or none."""
    for ending in ("closed", "reset"):
        with connected(lasting.url) as sock:
            sock.sendall(head(lasting.url, method, f"/v1/keys/{key}", BYTES, framing))
            sock.sendall(b"64\r\n" + b"x" * 100 + b"\r\n")
            if ending == "reset":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    assert_open(lasting.url)

    assert ask(lasting.url, "GET", "/v1/keys/first").body == b"1"
    assert ask(lasting.url, "GET", "/v1/keys/new").status == 404


def test_many_dropped_uploads(lasting: Running) -> None:
    """Two hundred of them leave no memory, no descriptor and no file behind."""
    folder = Path(f"/proc/{lasting.process.pid}/fd")
    assert_open(lasting.url)
    before = len(os.listdir(folder)) if folder.exists() else 0
    for _ in range(200):
        with connected(lasting.url) as sock:
            sock.sendall(head(lasting.url, "PUT", "/v1/keys/first", BYTES, "Content-Length: 5000000") + b"x" * 100_000)
    assert_open(lasting.url)

    if before:
        wait_until(lambda: len(os.listdir(folder)) <= before + 5)
    assert ask(lasting.url, "GET", "/v1/keys/first").body == b"1"


def test_dropped_downloads(lasting: Running) -> None:
    """Who leaves in the middle of a large value leaves no descriptor open."""
    folder = Path(f"/proc/{lasting.process.pid}/fd")
    assert_open(lasting.url)
    before = len(os.listdir(folder)) if folder.exists() else 0
    for _ in range(30):
        with connected(lasting.url) as sock:
            sock.sendall(head(lasting.url, "GET", "/v1/keys/large"))
            sock.recv(10_000)
    assert_open(lasting.url)

    if before:
        wait_until(lambda: len(os.listdir(folder)) <= before + 5)


def test_slow_readers_stop_nobody(lasting: Running) -> None:
    """Those who take a large value and read none of it cost no thread and little memory: others are answered."""
    before = resident(lasting.process.pid)
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(connected(lasting.url)) for _ in range(30)]
        for sock in slow:
            sock.sendall(head(lasting.url, "GET", "/v1/keys/large"))
        for sock in slow:
            assert sock.recv(100).startswith(b"HTTP/1.1 200 ")
        assert_open(lasting.url)
        with ThreadPoolExecutor(8) as pool:
            written = list(pool.map(lambda number: put(lasting.url, f"/v1/keys/k{number}").status, range(100)))
        whole = ask(lasting.url, "GET", "/v1/keys/large")
        grown = resident(lasting.process.pid) - before

    assert written == [201] * 100
    assert whole.body == b"\xff" * LARGE
    assert grown < 200 << 20


def test_value_that_changes_while_it_is_read(lasting: Running) -> None:
    """A download is of one version, to its end, whatever is written or deleted meanwhile."""
    assert ask(lasting.url, "PUT", "/v1/keys/changing", BYTES, body=b"\xff" * LARGE).status == 201
    with connected(lasting.url) as sock:
        sock.sendall(head(lasting.url, "GET", "/v1/keys/changing", "Connection: close"))
        first = sock.recv(1000)
        assert ask(lasting.url, "PUT", "/v1/keys/changing", BYTES, body=b"\xfe" * 100_000).status == 204
        assert ask(lasting.url, "DELETE", "/v1/keys/changing").status == 204
        rest = bytearray()
        while part := sock.recv(1 << 20):
            rest += part

    body = (first + rest).partition(b"\r\n\r\n")[2]
    assert len(body) == LARGE
    assert body.strip(b"\xff") == b""


def test_file_that_is_cut_while_it_is_sent(lasting: Running, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A file that someone cuts ends the answer before its end, and the server goes on."""
    assert ask(lasting.url, "PUT", "/v1/keys/cut", BYTES, body=b"\xff" * LARGE).status == 201
    [file] = tmp_path_factory.getbasetemp().glob("lasting*[0-9]/store/data/*/cut")
    with connected(lasting.url) as sock:
        sock.sendall(head(lasting.url, "GET", "/v1/keys/cut", "Connection: close"))
        got = len(sock.recv(1000))
        os.truncate(file, 1000)
        while part := sock.recv(1 << 20):
            got += len(part)
    assert ask(lasting.url, "DELETE", "/v1/keys/cut").status == 204

    assert_open(lasting.url)
    assert got < LARGE


def test_many_slow_uploads_stop_nobody(lasting: Running) -> None:
    """Uploads that have begun and wait keep nobody else from writing, also of the same key."""
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            sock = stack.enter_context(connected(lasting.url))
            sock.sendall(head(lasting.url, "PUT", "/v1/keys/first", BYTES, "Content-Length: 1000") + b"x" * 500)
        statuses = {put(lasting.url, "/v1/keys/first", body=b"1").status for _ in range(20)}
        assert_open(lasting.url)

    assert statuses == {204}
    assert ask(lasting.url, "GET", "/v1/keys/first").body == b"1"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_upload_at_the_end(ending: Running, folder: Path, number: signal.Signals) -> None:
    """What is being uploaded when the server is told to end is written, and then the store is closed clean."""
    with connected(ending.url) as sock:
        sock.sendall(head(ending.url, "PUT", "/v1/keys/new", JSON, "Content-Length: 10") + b"[1,2")
        assert_open(ending.url)
        ending.process.send_signal(number)
        wait_until(lambda: _refuses_new(ending.url))
        sock.sendall(b",3,4 ]")
        found = answer(sock)
    code = ending.process.wait(60)

    assert found.status == 201
    assert code == 0
    assert _is_clean(folder)
    with DiskDict(folder) as d:
        assert d["new"] == [1, 2, 3, 4]


def test_download_at_the_end(ending: Running, folder: Path) -> None:
    """What is being downloaded then comes whole."""
    with connected(ending.url) as sock:
        sock.sendall(head(ending.url, "GET", "/v1/keys/large", "Connection: close"))
        first = sock.recv(1000)
        ending.process.send_signal(signal.SIGTERM)
        wait_until(lambda: _refuses_new(ending.url))
        rest = bytearray()
        while part := sock.recv(1 << 20):
            rest += part
    code = ending.process.wait(60)

    assert len((first + rest).partition(b"\r\n\r\n")[2]) == LARGE
    assert code == 0
    assert _is_clean(folder)


def test_idle_connections_at_the_end(ending: Running) -> None:
    """Connections that say nothing, and those that wait for events, do not keep the server from ending."""
    with connected(ending.url) as idle, connected(ending.url) as half, connected(ending.url) as events:
        half.sendall(b"GET /healthz HTTP/1.1\r\nHost: ")
        idle.sendall(head(ending.url, "GET", "/v1/keys/first"))
        assert answer(idle).status == 200
        events.sendall(head(ending.url, "GET", "/v1/events"))
        assert events.recv(100).startswith(b"HTTP/1.1 200 ")
        began = time.monotonic()
        ending.process.send_signal(signal.SIGTERM)

        assert ending.process.wait(60) == 0
        assert time.monotonic() - began < 15


def _refuses_new(url: str) -> bool:
    try:
        return ask(url, "GET", "/healthz").status in (0, 503)
    except ConnectionError:
        return True


def _is_clean(folder: Path) -> bool:
    return bool(json.loads((folder / "lock").read_bytes().rstrip(b"\0 \n"))["clean"])


def test_kill_and_restart(folder: Path) -> None:
    """After a kill in the middle of writing, the server starts again with all that it told of."""
    told: dict[str, int] = {}
    for round_ in range(2):
        with started(folder) as server:
            assert _numbers(server.url, told) == told
            writers = [threading.Thread(target=_write, args=(server.url, told, f"{round_}-{name}")) for name in "abcd"]
            for writer in writers:
                writer.start()
            before = len(told)
            wait_until(lambda before=before: len(told) > before + 200)
            server.process.send_signal(signal.SIGKILL)
            for writer in writers:
                writer.join()
            server.process.wait(60)
    with DiskDict(folder) as d:
        assert told.items() <= dict(d).items()
        assert len(d) <= len(told) + 2 * 4
        assert d.verify().ok


def _write(url: str, told: dict[str, int], name: str) -> None:
    """Write keys until the server is gone, and note which it told of."""
    with contextlib.suppress(ConnectionError):
        for number in range(100_000):
            key = f"{name}-{number}"
            if put(url, f"/v1/keys/{key}", body=b"%d" % number).status != 201:
                return
            told[key] = number


def _numbers(url: str, keys: dict[str, int]) -> dict[str, int]:
    """Return the values of keys, by one batch."""
    names = list(keys)
    operations = [{"op": "get", "key": key} for key in names]
    found: Answer = post(url, "/v1/batch", json.dumps({"operations": operations}).encode())
    results = json.loads(found.body)["results"]
    return {key: result["value"] for key, result in zip(names, results, strict=True)}


def test_second_server_is_refused(ending: Running, folder: Path) -> None:
    """A second server of the same folder says who has it, and ends; the first does not notice."""
    with pytest.raises(AssertionError, match="in use by"), started(folder):
        pass

    assert_open(ending.url)
