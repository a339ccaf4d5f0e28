"""Several processes do the jobs of one queue; one of them is killed, and another does its job.

The server has the queue, the workers ask it for jobs. A job is gone when it is acknowledged: what a killed worker had
comes back after the visibility of the queue, here a second.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from diskdict.client import Client

WORKERS = 3
JOBS = [f"page {number}" for number in range(1, 13)]
BAIT = "page 5"


@contextmanager
def server(folder: str) -> Iterator[str]:
    """Run ``diskdict serve`` as long as the block lasts, and give its URL."""
    command = [sys.executable, "-m", "diskdict", "serve", "--store", f"{folder}/store", "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        yield process.stderr.readline().split()[-1]
    finally:
        process.terminate()
        process.communicate()


@contextmanager
def worker(url: str, name: str) -> Iterator[subprocess.Popen[str]]:
    """Run this program as a worker; at the end of the block it has ended by itself, or was killed."""
    command = [sys.executable, __file__, url, name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process


def work(url: str, name: str) -> None:
    """Do jobs until one says that this is all."""
    with Client[str, object](url) as client:
        pages, done = client.queue("pages"), client.queue("done")
        while True:
            with pages.processing() as job:
                if job.value is None:
                    return
                if job.value == BAIT and job.deliveries == 1:
                    print("stuck", flush=True)
                    sys.stdin.readline()  # something that takes for ever
                # With a key it is there once, should this worker be killed before the end of the block.
                done.put((job.value, name, job.deliveries), dedupe_key=job.value)


def main() -> None:
    """Put jobs, kill a worker, and look at who has done what."""
    with tempfile.TemporaryDirectory() as folder, server(folder) as url, ExitStack() as stack:
        client = stack.enter_context(Client[str, object](url))
        pages, done = client.queue("pages", visibility=1), client.queue("done")
        unlucky = stack.enter_context(worker(url, "worker 1"))
        pages.put(BAIT)
        assert unlucky.stdout is not None
        unlucky.stdout.readline()
        print(f"killing worker 1, which has {BAIT!r}; in flight:", pages.counts().in_flight)
        unlucky.kill()

        workers = [stack.enter_context(worker(url, f"worker {number}")) for number in range(2, WORKERS + 2)]
        pages.put_many([page for page in JOBS if page != BAIT])
        results = [done.get() for _ in JOBS]
        pages.put_many([None] * WORKERS)
        for each in workers:
            each.wait()

        page, name, deliveries = next(result.value for result in results if result.value[0] == BAIT)
        print(f"{page!r} was given {deliveries} times, and not lost:", name != "worker 1")
        print("all is done:", sorted(result.value[0] for result in results) == sorted(JOBS))
        print("left:", pages.counts())


if __name__ == "__main__":
    if sys.argv[1:]:
        work(*sys.argv[1:])
    else:
        main()
