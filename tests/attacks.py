"""HTTP by hand: requests that no client would send, over a socket."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

PATIENCE = 10.0
"""Seconds after which an answer that has not come will never come."""


class Answer(NamedTuple):
    """What came back: 0 as the status where the connection was closed without an answer."""

    status: int
    headers: dict[str, str]
    body: bytes


@contextlib.contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    """A connection to the server."""
    there = urlsplit(url)
    with socket.create_connection((there.hostname, there.port), timeout=PATIENCE) as sock:
        yield sock


def head(url: str, method: str | bytes, target: str | bytes, *lines: str | bytes, host: bool = True) -> bytes:
    """Return a request up to its body."""
    first = b" ".join((_bytes(method), _bytes(target), b"HTTP/1.1"))
    hosts = [f"Host: {urlsplit(url).netloc}"] if host else []
    return b"\r\n".join([first, *map(_bytes, [*hosts, *lines]), b"", b""])


def ask(
    url: str, method: str, target: str | bytes, *lines: str | bytes, body: bytes = b"", host: bool = True
) -> Answer:
    """Send a request as it is written, and return the answer to it."""
    length = [f"Content-Length: {len(body)}"] if body else []
    content = head(url, method, target, *lines, *length, "Connection: close", host=host) + body
    return raw(url, content, method=method)


def put(url: str, target: str | bytes, *lines: str | bytes, body: bytes = b"1") -> Answer:
    """Send a PUT of JSON."""
    return ask(url, "PUT", target, "Content-Type: application/json", *lines, body=body)


def post(url: str, target: str, body: bytes, *lines: str) -> Answer:
    """Send a POST of JSON."""
    return ask(url, "POST", target, "Content-Type: application/json", *lines, body=body)


def raw(url: str, content: bytes, method: str = "GET") -> Answer:
    """Send bytes and return the first answer to them."""
    with connected(url) as sock:
        with contextlib.suppress(ConnectionError):  # an answer may come before all is sent
            sock.sendall(content)
        return answer(sock, method)


def answer(sock: socket.socket, method: str = "GET") -> Answer:
    """Read one answer."""
    response = HTTPResponse(sock, method=method)
    try:
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, response.read())
    except (HTTPException, ConnectionError):
        return Answer(0, {}, b"")
    finally:
        response.close()


def everything(url: str, content: bytes) -> bytes:
    """Send bytes, and return all that comes back until the server closes the connection, or waits for more."""
    with connected(url) as sock:
        parts = []
        with contextlib.suppress(ConnectionError, TimeoutError):
            sock.sendall(content)
            sock.settimeout(0.5)
            while part := sock.recv(1 << 16):
                parts.append(part)
        return b"".join(parts)


def sent_until_closed(url: str, first: bytes, part: bytes, most: int) -> int:
    """Send the same part again and again; return how many bytes went until the server had enough, or `most`."""
    with connected(url) as sock:
        sock.sendall(first)
        sent = len(first)
        with contextlib.suppress(ConnectionError):
            while sent < most:
                sock.sendall(part)
                sent += len(part)
        return sent


def closes(sock: socket.socket) -> bool:
    """Tell whether the server closes a connection, with an answer or without."""
    with contextlib.suppress(ConnectionError):
        while sock.recv(1 << 16):
            pass
    return True


def wait_until(holds: Callable[[], object]) -> None:
    """Wait for a condition; an AssertionError where it does not come."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.01)


def resident(pid: int) -> int:
    """Return the bytes of memory that a process has, 0 where the system does not tell."""
    status = Path(f"/proc/{pid}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmRSS:")), 0)


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")
