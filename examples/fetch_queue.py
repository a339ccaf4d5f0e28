"""Web pages that are fetched by a worker; it is killed in the middle, and the next one goes on where it was.

The queue is in a folder. A page is in flight while it is fetched, and gone when that is acknowledged: what
the worker had in its hands when it was killed comes back. The pages are served here, so that no network is needed.
"""

from __future__ import annotations

import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError
from urllib.request import urlopen

from diskdict import Delivery, DiskDict, DurableQueue

PAGES = 8
asked_for_the_fifth, killed = threading.Event(), threading.Event()


def jobs(folder: str) -> DurableQueue[str, Delivery[str]]:
    """Open the queue: a page that is not acknowledged within a minute is given again, but not more than three times."""
    return DurableQueue(f"{folder}/queue", visibility=60, max_deliveries=3)


def work(folder: str) -> None:
    """Fetch until nothing is left."""
    with jobs(folder) as todo, DiskDict[str, str](f"{folder}/pages") as pages:
        while True:
            try:
                with todo.processing(block=False) as delivery:
                    with urlopen(delivery.value) as response:
                        # Storing a page twice changes nothing, so that it may happen twice.
                        pages[delivery.value] = response.read().decode()
                    print(f"  fetched {delivery.value}{', given again' * (delivery.deliveries > 1)}", flush=True)
            except HTTPError as error:
                print(f"  {error.code} for {error.url}", flush=True)
                error.close()
            except queue.Empty:
                return


class Site(BaseHTTPRequestHandler):
    """Some pages; the fifth one takes until the worker that asks for it is dead."""

    def do_GET(self) -> None:
        number = int(self.path.rpartition("/")[2])
        if number == 5 and not killed.is_set():
            asked_for_the_fifth.set()
            killed.wait()
        with suppress(ConnectionError):  # the one who asked may be dead
            self.send_response(200 if number <= PAGES else 404)
            self.end_headers()
            self.wfile.write(f"This is page {number}.".encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def site() -> Iterator[str]:
    """Serve the pages as long as the block lasts, and give the URL they begin with."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/page"
        finally:
            server.shutdown()
            thread.join()


def main(folder: str) -> None:
    with site() as url:
        with jobs(folder) as todo:
            todo.put_many(f"{url}/{number}" for number in range(1, PAGES + 1))
            todo.put(f"{url}/404")

        print("a worker begins", flush=True)
        with subprocess.Popen([sys.executable, __file__, folder]) as worker:
            asked_for_the_fifth.wait(30)
            worker.kill()
        killed.set()
        print("it was killed while it waited for page 5; another one begins", flush=True)
        subprocess.run([sys.executable, __file__, folder], check=True)

    with jobs(folder) as todo, DiskDict[str, str](f"{folder}/pages") as pages:
        print(f"pages: {len(pages)}, left to do: {todo.qsize()}")
        for letter in todo.dead_letters.values():
            print(f"given up: {letter.value()} after {letter.deliveries} times, {letter.reason}")
        assert len(pages) == PAGES
        assert todo.counts() == (0, 0, 0, 1)


if __name__ == "__main__":
    if sys.argv[1:]:
        work(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(temporary)
