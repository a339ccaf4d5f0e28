"""A service that speaks a little of S3 and has the faults that a test gives it: `Service`."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.utils import formatdate
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape


class Object(NamedTuple):
    """What is stored under a name."""

    body: bytes
    meta: dict[str, str]

    @property
    def tag(self) -> str:
        return md5(self.body).hexdigest()


class Service:
    """Objects in memory, and how the service treats them.

    ``ignores`` are conditions it does not look at. ``quoted`` says whether it understands an ETag in quotes. It refuses
    everything with the status ``refuses``, if that is given, and all changes after those that are ``left``. ``ages``
    are seconds since an object was made. An answer that is longer than ``most`` ends there.
    """

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self.ages: dict[str, float] = {}
        self.ignores: set[str] = set()
        self.quoted = True
        self.refuses: int | None = None
        self.left: int | None = None
        self.most: int | None = None
        self.silent = threading.Event()
        self.asked: list[str] = []
        self.turn = threading.Lock()
        self.ended = threading.Event()
        self.connections: set[socket.socket] = set()

    def url(self, port: int, prefix: str = "") -> str:
        return f"s3://bucket/{prefix}?endpoint=http://127.0.0.1:{port}&region=r&timeout=5"

    @contextmanager
    def served(self) -> Iterator[str]:
        """Give the URL of a store in it."""
        handler = type("Handler", (_Handler,), {"service": self})
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            server.daemon_threads = True
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            try:
                yield self.url(server.server_port)
            finally:
                self.ended.set()
                server.shutdown()
                thread.join()
                for connection in list(self.connections):
                    with suppress(OSError):
                        connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    service: Service
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.service.connections.add(self.connection)

    def finish(self) -> None:
        super().finish()
        self.service.connections.discard(self.connection)

    def log_message(self, *_: Any) -> None:
        pass

    def handle_expect_100(self) -> bool:
        return True

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_PUT = do_DELETE = do_GET  # noqa: N815  # their names are those of the library

    def _answer(self) -> None:
        service = self.service
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if service.silent.is_set():
            service.ended.wait()
            self.close_connection = True
            return
        parts = urlsplit(self.path)
        name = unquote(parts.path).removeprefix("/bucket").lstrip("/")
        with service.turn:
            service.asked.append(f"{self.command} {name}")
            status, headers, answer = self._done(name, parse_qs(parts.query), body)
        self.send_response(status)
        for header, text in headers.items():
            self.send_header(header, text)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer[: service.most])
            self.close_connection = service.most is not None and len(answer) > service.most

    def _done(self, name: str, query: dict[str, list[str]], body: bytes) -> tuple[int, dict[str, str], bytes]:
        service = self.service
        if service.refuses is not None:
            return service.refuses, {}, b"<Error><Code>Refused</Code></Error>"
        if "list-type" in query:
            return 200, {}, self._listing(query.get("prefix", [""])[0], query.get("start-after", [""])[0])
        found = service.objects.get(name)
        if self.command in ("GET", "HEAD"):
            return (404, {}, b"<Error><Code>NoSuchKey</Code></Error>") if found is None else self._shown(name, found)
        if service.left is not None:
            if service.left == 0:
                return 403, {}, b"<Error><Code>AccessDenied</Code></Error>"
            service.left -= 1
        if self.command == "DELETE":
            service.objects.pop(name, None)
            return 204, {}, b""
        if not self._holds(found):
            return 412, {}, b"<Error><Code>PreconditionFailed</Code></Error>"
        meta = {header: text for header, text in self.headers.items() if header.startswith("x-amz-meta-")}
        service.objects[name] = Object(body, meta)
        return 200, {"ETag": f'"{service.objects[name].tag}"'}, b""

    def _holds(self, found: Object | None) -> bool:
        given = {name: text for name in ("If-Match", "If-None-Match") if (text := self.headers.get(name))}
        for name, text in given.items():
            if name in self.service.ignores:
                continue
            if name == "If-None-Match":
                if found is not None:
                    return False
            elif found is None or text != (f'"{found.tag}"' if self.service.quoted else found.tag):
                return False
        return True

    def _shown(self, name: str, found: Object) -> tuple[int, dict[str, str], bytes]:
        modified = formatdate(time.time() - self.service.ages.get(name, 0), usegmt=True)
        headers = {"ETag": f'"{found.tag}"', "Last-Modified": modified, **found.meta}
        wanted = self.headers.get("Range")
        if wanted is None:
            return 200, headers, found.body
        first, last = (int(number) for number in wanted.removeprefix("bytes=").split("-"))
        part = found.body[first : last + 1]
        told = {"Content-Range": f"bytes {first}-{first + len(part) - 1}/{len(found.body)}"}
        return 206, headers | told, part

    def _made(self, name: str) -> str:
        made = time.time() - self.service.ages.get(name, 0)
        return datetime.fromtimestamp(made, UTC).isoformat(timespec="milliseconds")

    def _listing(self, prefix: str, after: str) -> bytes:
        found = sorted((name, one) for name, one in self.service.objects.items() if name.startswith(prefix))
        entries = "".join(
            f"<Contents><Key>{escape(name)}</Key><Size>{len(one.body)}</Size><ETag>&quot;{one.tag}&quot;</ETag>"
            f"<LastModified>{self._made(name)}</LastModified></Contents>"
            for name, one in found
            if name > after
        )
        return f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>".encode()
