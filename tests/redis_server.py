"""Redis servers for tests, started on free ports in temporary folders and stopped after."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self, cast

import pytest
import redis
from crew import Actor
from hosting import SharedClock

PATIENCE: Final = 120.0
EMPTY: Final = '""'

_SHIM: Final = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile double *now;

__attribute__((constructor)) static void begin(void) {
    int file = open(getenv("CLOCK_FILE"), O_RDONLY);
    now = mmap(0, sizeof *now, PROT_READ, MAP_SHARED, file, 0);
    close(file);
}
int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    double at = now ? *now : 0;
    time->tv_sec = at;
    time->tv_usec = (at - time->tv_sec) * 1e6 + 0.5;
    return 0;
}
time_t time(time_t *time) {
    double at = now ? *now : 0;
    if (time) *time = at;
    return at;
}
int clock_gettime(clockid_t clock, struct timespec *time) {
    struct timeval at;
    if (clock != CLOCK_REALTIME) return syscall(SYS_clock_gettime, clock, time);
    gettimeofday(&at, 0);
    time->tv_sec = at.tv_sec;
    time->tv_nsec = at.tv_usec * 1000;
    return 0;
}
"""
"""The wall clock of a server as a file of eight bytes has it; what measures durations goes on."""


class Server:
    """A server that can be killed, and started again on its port and its folder.

    Parameters
    ----------
    folder: Path
        Where it lives.
    clock: Path, optional
        The file that says what time it is, as `hosting.SharedClock` writes it.
    options: str
        What stands in its configuration.
    """

    def __init__(self, folder: Path, *, clock: Path | None = None, **options: object) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.port = free_port()
        self.options = options
        self._environment = {} if clock is None else {"LD_PRELOAD": str(_shim(folder)), "CLOCK_FILE": str(clock)}
        given = {"port": self.port, "dir": folder, "bind": "127.0.0.1", "save": "", "appendonly": "no", **options}
        if clock is not None:
            # It waits until a time of the wall clock: with one that stands still that has passed, and the thread spins.
            given["jemalloc_bg_thread"] = "no"
        lines = [f"{name.replace('_', '-')} {EMPTY if value == '' else value}\n" for name, value in given.items()]
        (folder / "redis.conf").write_text("".join(lines))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def client(self) -> redis.Redis:
        """Return the bare client of the library, for `with`."""
        password = cast(str | None, self.options.get("requirepass"))
        return redis.Redis(port=self.port, password=password, socket_timeout=PATIENCE, single_connection_client=True)

    def ask(self, *command: object) -> Any:
        """Return what it answers to a command."""
        with self.client() as client:
            # Those that the library knows come back in other forms than they are.
            client.response_callbacks.clear()
            return client.execute_command(*command)

    def start(self) -> Self:
        """Start it, and wait until it has loaded what it had."""
        with (self.folder / "log").open("ab") as log:
            command = ["redis-server", str(self.folder / "redis.conf")]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=self._environment)
        wait_until(self._answers)
        return self

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text()
        with suppress(redis.ConnectionError, redis.TimeoutError), self.client() as client:
            return bool(client.ping())
        return False

    def wait_for(self, line: str, section: str = "replication") -> None:
        """Wait until it says something of itself."""
        wait_until(lambda: line.encode() in self.ask("INFO", section))

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Have it do nothing as long as the block lasts."""
        assert self._process is not None
        process = self._process
        process.send_signal(signal.SIGSTOP)
        yield
        process.send_signal(signal.SIGCONT)

    def wait_for_bytes(self) -> None:
        """Wait until it was sent something that it has not read yet."""
        mark = f":{self.port:04X} "

        def waiting() -> bool:
            lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
            return any(line[1].endswith(mark.strip()) and line[4].split(":")[1] != "00000000" for line in lines)

        wait_until(waiting)

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Have it end by itself."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait()
        self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()


def require_redis(announce: Callable[[str], None]) -> None:
    """Leave out what needs a server where none is installed."""
    missing = [tool for tool in ("redis-server", "cc") if shutil.which(tool) is None]
    if missing:
        announce(f"stores in Redis: no {' and no '.join(missing)} here; make tools installs them.")
        pytest.skip("no Redis")


def acknowledged(actors: list[Actor], enough: int) -> dict[str, int]:
    """Hear of so many acknowledged keys from each."""
    found: dict[str, int] = {}
    for actor in actors:
        heard = 0
        while heard < enough:
            key, turn = actor.hear()
            if key is not None:
                found[key] = turn
                heard += 1
    return found


def free_port() -> int:
    """Return a port that nobody listens on just now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def wait_until(there: Callable[[], bool]) -> None:
    """Wait for something that takes another process a moment."""
    patience = time.monotonic() + PATIENCE
    while not there():
        assert time.monotonic() < patience
        time.sleep(0.02)


def _shim(folder: Path) -> Path:
    made = folder / "clock.so"
    if not made.exists():
        command = ["cc", "-O1", "-shared", "-fPIC", "-x", "c", "-", "-o", str(made)]
        subprocess.run(command, input=_SHIM, text=True, check=True)
    return made


class Cluster:
    """Three primaries with a replica each.

    Parameters
    ----------
    folder: Path
        Where they live.
    clock: SharedClock, optional
        What time it is for all of them.
    options: str
        What stands in the configuration of each.
    """

    def __init__(self, folder: Path, *, clock: SharedClock | None = None, **options: object) -> None:
        self._clock = clock
        given = {"cluster_enabled": "yes", "repl_diskless_sync_delay": 0, "repl_timeout": 100_000, **options}
        path = None if clock is None else clock.path
        self.servers = [
            Server(folder / f"node{number}", clock=path, cluster_port=free_port(), **given) for number in range(6)
        ]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in self.servers)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for server in self.servers:
                stack.enter_context(server)
            self._join()
            stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        for server in self.servers:
            server.kill()

    def _join(self) -> None:
        first = self.servers[0]
        for server in self.servers[1:]:
            first.ask("CLUSTER", "MEET", "127.0.0.1", server.port, server.options["cluster_port"])
        names = [server.ask("CLUSTER", "MYID").decode() for server in self.servers]
        self._wait(lambda: all(server.ask("CLUSTER", "INFO").find(b"nodes:6") > 0 for server in self.servers))
        for number, (begin, end) in enumerate(((0, 5461), (5462, 10922), (10923, 16383))):
            self.servers[number].ask("CLUSTER", "ADDSLOTSRANGE", begin, end)
        for number in range(3):
            self._wait(lambda number=number: self._replicates(number, names[number]))
        self._wait(lambda: all(self._is_up(server) for server in self.servers))

    def _replicates(self, number: int, name: str) -> bool:
        try:
            self.servers[number + 3].ask("CLUSTER", "REPLICATE", name)
        except redis.ResponseError:  # it has not heard of that one yet
            return False
        return True

    def _is_up(self, server: Server) -> bool:
        replication = server.ask("INFO", "replication")
        linked = b"master_link_status:up" in replication or b"connected_slaves:1" in replication
        return linked and b"cluster_state:ok" in server.ask("CLUSTER", "INFO")

    def _wait(self, there: Callable[[], bool]) -> None:
        def asked() -> bool:
            # A cluster waits for its clock to go on before it is up.
            if self._clock is not None:
                self._clock.tick(0.2)
            return there()

        wait_until(asked)

    def clear(self) -> None:
        """Remove everything."""
        for server in self.servers[:3]:
            server.ask("FLUSHALL")
