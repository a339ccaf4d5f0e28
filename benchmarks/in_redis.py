"""A store in Redis beside the bare client of its library, in turns on one server: microseconds per call, medians."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from statistics import median
from typing import Final

import redis

from diskdict.backends.redis.store import RedisStore

TURNS: Final = 9
VALUE: Final = b"x" * 100
KEYS: Final = [f"key{number}" for number in range(1_000)]
PAIRS: Final = dict.fromkeys(KEYS, VALUE)

Work = Callable[[int], object]


@contextmanager
def serving() -> Iterator[int]:
    """Run a server as long as the block lasts, and give its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        command = ["redis-server", "--port", str(port), "--save", "", "--dir", folder]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
            try:
                yield port
            finally:
                server.terminate()


def connected(port: int) -> redis.Redis:
    """Return the bare client, when the server is there."""
    bare = redis.Redis(port=port)
    while True:
        with suppress(redis.ConnectionError):
            bare.ping()
            return bare
        time.sleep(0.05)


def pipelined(bare: redis.Redis, keys: list[str], *, reading: bool) -> object:
    """Ask for, or set, each key in one round trip."""
    pipeline = bare.pipeline(transaction=False)
    for key in keys:
        if reading:
            pipeline.get(key)
        else:
            pipeline.set(key, VALUE)
    return pipeline.execute()


def measured(work: Work, times: int) -> float:
    """Return the microseconds of one call."""
    begun = time.perf_counter()
    for number in range(times):
        work(number)
    return (time.perf_counter() - begun) / times * 1e6


def main() -> None:
    with serving() as port, connected(port) as bare, closing(RedisStore(f"redis://127.0.0.1:{port}")) as store:
        cases: dict[str, tuple[Work, Work, int]] = {
            "put": (lambda n: bare.set(KEYS[n], VALUE), lambda n: store.put(KEYS[n], VALUE), 1_000),
            "get": (lambda n: bare.get(KEYS[n]), lambda n: store.read(KEYS[n]), 1_000),
        }
        for many, times in ((100, 50), (1_000, 10)):
            some, pairs = KEYS[:many], dict(list(PAIRS.items())[:many])
            cases[f"put_many of {many:,}"] = (
                lambda _, some=some: pipelined(bare, some, reading=False),  # type: ignore[misc]
                lambda _, pairs=pairs: store.put_many(pairs),  # type: ignore[misc]
                times,
            )
            cases[f"get_many of {many:,}"] = (
                lambda _, some=some: pipelined(bare, some, reading=True),  # type: ignore[misc]
                lambda _, some=some: store.get_many(some),  # type: ignore[misc]
                times,
            )
        for name, (plain, ours, times) in cases.items():
            figures = [(measured(plain, times), measured(ours, times)) for _ in range(TURNS)]
            least, most = (median(column) for column in zip(*figures, strict=True))
            print(f"{name:<20}{least:>12,.0f} bare {most:>12,.0f} store {most / least:>8.2f}")


if __name__ == "__main__":
    main()
