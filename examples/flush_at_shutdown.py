"""A program that is told to stop puts away what waits, and the next run goes on with it.

The first run is asked to end by SIGTERM, as a service manager does it; Ctrl-C does the same. The handler only takes a
note: what it interrupts may be the queue itself. The job in hand is finished, the rest is flushed.
"""

import queue
import signal
import subprocess
import sys
import tempfile
import time

from diskdict import FlushQueue


class Jobs(queue.Queue[str], FlushQueue):
    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path


class Worker:
    def __init__(self, path: str) -> None:
        self.jobs = Jobs(path)
        self.stopping = False
        signal.signal(signal.SIGTERM, self.stop)
        signal.signal(signal.SIGINT, self.stop)

    def stop(self, *_: object) -> None:
        self.stopping = True

    def run(self) -> None:
        if not self.jobs.ingest():
            for number in range(1, 7):
                self.jobs.put(f"job {number}")
        while not self.stopping and not self.jobs.empty():
            self.work(self.jobs.get())
        if flushed := self.jobs.flush():
            print(f"  told to stop: {flushed} jobs put away", flush=True)

    def work(self, job: str) -> None:
        print(f"  {job}", flush=True)
        while job == "job 2" and not self.stopping:  # a long one
            time.sleep(0.01)


def main(path: str) -> None:
    print("first run", flush=True)
    with subprocess.Popen([sys.executable, __file__, path], stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        for line in first.stdout:
            print(line, end="", flush=True)
            if "job 2" in line:
                first.terminate()
    print("second run", flush=True)
    Worker(path).run()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        Worker(sys.argv[1]).run()
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(f"{temporary}/jobs")
