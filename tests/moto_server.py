"""A server of S3 for tests, moto's, in a process of its own on a free port."""

from __future__ import annotations

import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from redis_server import free_port, wait_until

_SERVE: Final = """
import sys, threading
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, run_simple

app = DomainDispatcherApplication(create_backend_app)
turn = threading.Lock()

def serve(environ, start):
    with turn:  # or what is between asking for a condition and doing the change would be others'
        return list(app(environ, start))

class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept
    disable_nagle_algorithm = True

    def log(self, *args):
        pass

run_simple("127.0.0.1", int(sys.argv[1]), serve, threaded=True, request_handler=Quiet)
"""


class Bucket:
    """A bucket of a server."""

    def __init__(self, endpoint: str, name: str) -> None:
        self.endpoint = endpoint
        self.name = name
        urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{name}", method="PUT")).close()

    def url(self, prefix: str = "", **parameters: object) -> str:
        """Return the URL of a store in it."""
        given = "".join(f"&{name}={value}" for name, value in parameters.items())
        return f"s3://{self.name}/{prefix}?endpoint={self.endpoint}&region=us-east-1{given}"


@contextmanager
def s3_server() -> Iterator[str]:
    """Give the URL of a server."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", _SERVE, str(port)], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _listens(process, port))
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    assert process.poll() is None
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False
