"""A server on its socket, from the start to the signal that ends it: `run`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from functools import lru_cache
from types import FrameType
from typing import Final, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from diskdict.server.application import Application

if sys.platform != "win32":
    import resource

_HEAD_BYTES: Final = 64 << 10
_TOO_LONG: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_GRACE: Final = 60
"""Seconds that requests which are under way may take after the signal."""
_BACKLOG: Final = 1_024
_DESCRIPTORS: Final = 16_384


@lru_cache(1)
def _dated(second: int) -> list[tuple[bytes, bytes]]:
    return [(b"date", formatdate(second, usegmt=True).encode())]


class _Protocol(HttpToolsProtocol):
    """HTTP with clients that may be slow on purpose: who sends no request, or takes no answer, is hung up on."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._patience = cast(Application, config.app).service.settings.patience
        self._timer: asyncio.TimerHandle | None = None
        # Bytes since the last that meant something: of a head, of trailers, of what stands beside a chunk's length.
        self._head = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self._hurry()

    def connection_lost(self, exc: Exception | None) -> None:
        self._relax()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        between = self.cycle is None or self.cycle.response_complete
        self._head += len(data)
        super().data_received(data)
        if between and self._timer is None and self._head and (self.cycle is None or self.cycle.response_complete):
            self._hurry()
        if self._head > _HEAD_BYTES and not self.transport.is_closing():
            if between:
                self.transport.write(_TOO_LONG)
            self.transport.close()

    def on_headers_complete(self) -> None:
        self._relax()
        self._head = 0
        # Clients set their clocks by it, and the timer by which uvicorn renews it may be late by seconds.
        self.server_state.default_headers = _dated(int(time.time()))
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._head = 0
        super().on_body(body)

    def pause_writing(self) -> None:
        self._hurry()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._relax()
        super().resume_writing()

    def _hurry(self) -> None:
        self._relax()
        self._timer = self.loop.call_later(self._patience, self.transport.abort)

    def _relax(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _nobody() -> None:
    pass


class Server(uvicorn.Server):
    """A server that ends streams of events and who waits for a queue, which would not end by themselves, when it is to.

    ``ready`` is called when it answers, and heeds signals.
    """

    def __init__(self, app: Application, ready: Callable[[], object] = _nobody) -> None:
        self._app = app
        self._ready = ready
        config = uvicorn.Config(
            app,
            http=_Protocol,
            ws="none",
            lifespan="on",
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=int(max(1, app.service.settings.patience)),
            timeout_graceful_shutdown=_GRACE,
        )
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer, and say so."""
        await super().startup(sockets)
        if self.started:
            self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End: no more requests, those under way are finished."""
        super().handle_exit(sig, frame)
        self._app.events.close()
        self._app.queues.end()


def _allow_descriptors() -> None:
    """Have as many files open as the system lets this process have, within reason: a queue takes some, a client one."""
    if sys.platform == "win32":
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address; OSError, where that is not to be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG)


@contextlib.contextmanager
def unix_socket(path: str) -> Iterator[socket.socket]:
    """Give a socket that listens at a path, for this user alone. What a killed server has left there is replaced."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with sock:
        if os.path.exists(path) and stat.S_ISSOCK(os.stat(path).st_mode):
            _remove_abandoned(path)
        before = os.umask(0o177)
        try:
            sock.bind(path)
        finally:
            os.umask(before)
        try:
            sock.listen(_BACKLOG)
            yield sock
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


def _remove_abandoned(path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)


def run(app: Application, sock: socket.socket, ready: Callable[[], object] = _nobody) -> None:
    """Serve until SIGTERM or Ctrl-C, and return when all that was under way is finished. `ready` is as in `Server`."""
    _allow_descriptors()
    # The server sends itself the signal again when it has ended; by then that has done its work.
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        Server(app, ready).run(sockets=[sock])
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)
