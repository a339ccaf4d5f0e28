"""A server to ask: as a process of its own, or in a thread of this one, with the test's clock."""

from __future__ import annotations

import re
import signal
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from shell import start

from diskdict.server import ServedDict, Server, Settings, application, listen

_SAID = re.compile(r"serving .* on (http://\S+|the socket .+)$")


class Running(NamedTuple):
    """A process that serves at a URL."""

    url: str
    process: subprocess.Popen[bytes]


def client(url: str, timeout: float = 30) -> httpx.Client:
    """Return a client of a server; without the certificates for others, which take half a second to load."""
    return httpx.Client(base_url=url, timeout=timeout, verify=False)


def ask(method: str, url: str, path: str, **options: Any) -> httpx.Response:
    """Return the answer to one request."""
    with client(url) as http:
        return http.request(method, path, **options)


@contextmanager
def started(store: Path, *arguments: str | Path, port: int = 0) -> Iterator[Running]:
    """Run ``diskdict serve`` as long as the block lasts; it may have ended by then. A traceback fails the test."""
    process = start("serve", "--port", str(port), *arguments, store=store, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said: list[str] = []
    try:
        for line in process.stderr:
            said.append(line.decode())
            if found := _SAID.match(said[-1].strip()):
                yield Running(found[1], process)
                break
        else:
            raise AssertionError(f"it does not serve: {said}")
    finally:
        if process.poll() is None:
            process.terminate()
        _, rest = process.communicate(timeout=100)
    said.append(rest.decode())
    assert "Traceback" not in "".join(said), said


@contextmanager
def served(store: Path, *arguments: str | Path) -> Iterator[str]:
    """Run ``diskdict serve`` as long as the block lasts, and give its URL; it has to end well."""
    with started(store, *arguments) as running:
        yield running.url
    assert running.process.returncode == 0


@contextmanager
def served_here(store: ServedDict, settings: Settings | None = None) -> Iterator[str]:
    """Serve a dict that is open in this process, by a thread, and give the URL."""
    with listen("127.0.0.1", 0) as sock:
        server = Server(application(store, settings))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, name="server")
        thread.start()
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        try:
            # It listens before it has started, and by then the store may be busy.
            urllib.request.urlopen(f"{url}/healthz", timeout=60).close()
            yield url
        finally:
            server.handle_exit(signal.SIGTERM, None)
            thread.join()
