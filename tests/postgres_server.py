"""PostgreSQL servers for tests: each in a folder of its own, on a port of its own, and gone at the end."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from glob import glob
from pathlib import Path

import pytest

USER = "diskdict"
PASSWORD = "it's a secret"

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "log_min_messages": "fatal",
    "lc_messages": "C",
}


class NoServerError(Exception):
    """There is no PostgreSQL here; says what was looked for."""


def _programs() -> Path:
    """Return the folder of the programs: Debian does not put the server's on the PATH."""
    folders = sorted(glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[4]), reverse=True)
    for folder in (*folders, *os.environ.get("PATH", "").split(os.pathsep)):
        if (Path(folder) / "initdb").exists() and (Path(folder) / "postgres").exists():
            return Path(folder).resolve()
    raise NoServerError("no initdb and postgres in /usr/lib/postgresql or on the PATH")


def _other_user() -> dict[str, int]:
    """Return who is to run the server: it refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid}
    raise NoServerError("root may not run it, and there is no user postgres or nobody")


class PostgresServer:
    """A server with one empty database.

    Its files lie in a folder of the system's temporary ones, because the user that runs it may enter few others.
    """

    def __init__(self) -> None:
        self._programs = _programs()
        self._other = _other_user()
        self.folder = Path(tempfile.mkdtemp(prefix="diskdict-postgres"))
        self._process: subprocess.Popen[bytes] | None = None
        if self._other:
            os.chown(self.folder, self._other["user"], self._other["group"])
        password = self.folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        self._run(
            *("initdb", "--pgdata", self.folder / "data", "--username", USER, "--pwfile", password),
            *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync"),
        )
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]

    def _run(self, program: str, *arguments: str | Path) -> None:
        done = subprocess.run(
            [self._programs / program, *arguments], capture_output=True, cwd="/", check=False, **self._other
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def url(self, **query: object) -> str:
        """Return the URL of the database."""
        asked = "&".join(f"{name}={value}" for name, value in query.items())
        password = PASSWORD.replace(" ", "%20")
        return f"postgresql://{USER}:{password}@127.0.0.1:{self.port}/postgres" + (asked and f"?{asked}")

    def start(self, **settings: str) -> None:
        """Start it, and wait until it can be asked."""
        wanted = _SETTINGS | {"port": str(self.port), "unix_socket_directories": str(self.folder)} | settings
        given = [argument for name, setting in wanted.items() for argument in ("-c", f"{name}={setting}")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self.folder / "data", *given],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                # Its processes are to end with it, and with nobody else.
                start_new_session=True,
                **self._other,
            )
        self._await()

    def _await(self) -> None:
        asking = [self._programs / "pg_isready", "--quiet", "--host", "127.0.0.1", "--port", str(self.port)]
        patience = time.monotonic() + 60
        while subprocess.run(asking, check=False).returncode:
            ended = self._process is None or self._process.poll() is not None
            assert not ended, (self.folder / "log").read_text()
            assert time.monotonic() < patience, "the server takes too long to start"
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it as an administrator does: who is connected is told so."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Kill it, and all processes of it, at once."""
        assert self._process is not None
        # Each has a group of its own, and none may outlive the first.
        for child in self._children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        self._end(signal.SIGKILL)

    def _children(self) -> list[int]:
        assert self._process is not None
        listed = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self._process.pid)], capture_output=True, check=False
        )
        return [int(pid) for pid in listed.stdout.split()]

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Have it do nothing as long as the block lasts, without a word to those who are connected."""
        assert self._process is not None
        everybody = [self._process.pid, *self._children()]
        for pid in everybody:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in everybody:
                os.kill(pid, signal.SIGCONT)

    def restart(self) -> None:
        """Stop it and start it again."""
        self.stop()
        self.start()

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(60)
            self._process = None

    def remove(self) -> None:
        """End it and remove all that it had."""
        self._end(signal.SIGINT)
        shutil.rmtree(self.folder)


@contextmanager
def postgres_server(**settings: str) -> Iterator[PostgresServer]:
    """Give a server as long as the block lasts. Raises NoServerError where there is none on this machine."""
    server = PostgresServer()
    try:
        server.start(**settings)
        yield server
    finally:
        server.remove()


def server_or_skip(announce: Callable[[str], None], **settings: str) -> Iterator[PostgresServer]:
    """Give a server to a fixture, or say in the summary that there is none and leave out what needs it."""
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(postgres_server(**settings))
        except NoServerError as why:
            announce(f"a store in PostgreSQL: {why}; make tools installs it.")
            pytest.skip("no PostgreSQL here")
        yield server
