"""Requests a second of ``diskdict serve``, beside those of a bare Starlette route that answers a constant.

Both servers run all the time, each a process with uvicorn, uvloop and httptools; the rounds take turns. Run it as
``python benchmarks/serving.py``, as root or with ``--dir folder``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple, cast

import uvloop
from scratch import scratch

CONNECTIONS: Final = 16
VALUE: Final = json.dumps({"text": "x" * 89}, separators=(",", ":")).encode()
KEYS: Final = 1_000

BARE: Final = f"""
import socket, sys, uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

async def constant(request):
    return Response({VALUE!r}, media_type="application/json")

sock = socket.create_server(("127.0.0.1", 0))
print("on http://127.0.0.1:%d" % sock.getsockname()[1], file=sys.stderr, flush=True)
app = Starlette(routes=[Route("/{{key}}", constant)])
config = uvicorn.Config(app, access_log=False, log_level="warning", loop="uvloop", http="httptools", ws="none")
uvicorn.Server(config).run(sockets=[sock])
"""


class Row(NamedTuple):
    """What is measured: its name, the port of the server, and what gives the bytes of a request by its number."""

    name: str
    port: int
    request: Callable[[int], bytes]


class _Connection(asyncio.Protocol):
    """Sends a request, waits for its answer, and so on; one of several that share a row of numbers."""

    def __init__(self, row: Row, numbers: Iterator[int], done: asyncio.Future[None]) -> None:
        self._row, self._numbers, self._done = row, numbers, done
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._ask()

    def _ask(self) -> None:
        number = next(self._numbers, None)
        if number is None:
            self._transport.close()
            self._done.set_result(None)
        else:
            self._transport.write(self._row.request(number))

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, end, body = self._got.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        if end and (length is None or len(body) >= int(length[1])):
            self._got = b""
            if head.startswith(b"HTTP/1.1 20"):
                self._ask()
            else:
                self._done.set_exception(RuntimeError(head.decode()))


async def rate(row: Row, requests: int) -> float:
    """Return requests a second."""
    loop = asyncio.get_running_loop()
    numbers = iter(range(requests))
    ends = [loop.create_future() for _ in range(CONNECTIONS)]
    begin = time.perf_counter()
    for end in ends:
        await loop.create_connection(partial(_Connection, row, numbers, end), "127.0.0.1", row.port)
    await asyncio.gather(*ends)
    return requests / (time.perf_counter() - begin)


def get(path: str) -> Callable[[int], bytes]:
    """Return what gives requests for one key after the other."""
    return lambda number: f"GET {path}{number % KEYS} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def put(path: str) -> Callable[[int], bytes]:
    """Return what gives requests that store one key after the other."""
    head = f"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(VALUE)}\r\n\r\n".encode() + VALUE
    return lambda number: f"PUT {path}{number % KEYS} HTTP/1.1\r\n".encode() + head


@contextmanager
def server(*command: str) -> Iterator[int]:
    """Run a server as long as the block lasts, and give its port."""
    process = subprocess.Popen([sys.executable, *command], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        said = process.stderr.readline()
        yield int(said.rpartition(":")[2])
    finally:
        process.terminate()
        process.wait()
        process.stderr.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, help="where the stores go, in place of a filesystem of their own")
    parser.add_argument("--requests", type=int, default=20_000, help="of a round")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    serve = ("-m", "diskdict", "serve", "--port", "0", "--store")
    with ExitStack() as stack:
        folder = stack.enter_context(scratch(options.dir))
        bare = stack.enter_context(server("-c", BARE))
        ours = stack.enter_context(server(*serve, str(folder / "process")))
        full = stack.enter_context(server(*serve, str(folder / "full"), "--durability", "full"))
        rows = [
            Row("bare Starlette route", bare, get("/")),
            Row("PUT", ours, put("/v1/keys/k")),
            Row("GET", ours, get("/v1/keys/k")),
            Row('PUT, durability "full"', full, put("/v1/keys/k")),
        ]
        rates = measured(rows, options.requests, options.rounds)
    floor = median(rates[rows[0].name])
    for name, found in rates.items():
        print(f"{name:25} {median(found):>8,.0f} a second {median(found) / floor:>6.0%}")


def measured(rows: list[Row], requests: int, rounds: int) -> dict[str, list[float]]:
    """Return the rates of each row, one a round."""
    rates: dict[str, list[float]] = {row.name: [] for row in rows}
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for row in rows:
            runner.run(rate(row, requests // 10))
        for _ in range(rounds):
            for row in rows:
                rates[row.name].append(runner.run(rate(row, requests)))
    return rates


if __name__ == "__main__":
    main()
