"""Processes that count together: one serves the folder, the others are clients of it, and no count is lost."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

from diskdict import ConflictError
from diskdict.client import Client

WORKERS = 4
ROUNDS = 10


@contextmanager
def serving(folder: str) -> Iterator[str]:
    """Serve a folder as long as the block lasts, and give the URL."""
    command = [sys.executable, "-m", "diskdict", "serve", "--store", folder, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            yield server.stderr.readline().split()[-1]  # serving FOLDER on http://127.0.0.1:PORT
        finally:
            server.terminate()


def work(url: str, name: str) -> int:
    """Count, and move from one account to the other; return how often somebody else was faster."""
    conflicts = 0
    with Client[str, int](url) as d:
        for _ in range(ROUNDS):
            d.increment("visits")
            d.increment(f"visits by {name}")
            while True:
                try:
                    with d.transaction():
                        d["left"] -= 1
                        d["right"] += 1
                    break
                except ConflictError:
                    conflicts += 1
    return conflicts


def main(folder: str) -> None:
    with serving(folder) as url, Client[str, int](url) as d:
        d.update(visits=0, left=1000, right=0)
        with ProcessPoolExecutor(WORKERS) as pool:
            conflicts = sum(pool.map(work, [url] * WORKERS, "ABCD"))
        print("counted:", d.copy())
        print("transactions that were repeated:", conflicts)
        assert d["visits"] == d["right"] == WORKERS * ROUNDS


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(f"{temporary}/shared")
