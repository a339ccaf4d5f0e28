"""Servers to measure against, each in a folder and on a port of its own as long as a block lasts."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from glob import glob
from pathlib import Path
from typing import Any, Final

PATIENCE: Final = 60.0


class NoServerError(Exception):
    """Why a server cannot be started here."""


@contextmanager
def redis_server() -> Iterator[str]:
    """Run Redis as it comes, but without snapshots, and give its URL."""
    if shutil.which("redis-server") is None:
        raise NoServerError("no redis-server on the PATH; make tools installs it")
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="bench-redis-") as folder:
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        with _running(command, ["redis-cli", "-p", str(port), "ping"]):
            yield f"redis://127.0.0.1:{port}"


@contextmanager
def postgres_server() -> Iterator[str]:
    """Run PostgreSQL as it comes, and give the URL of an empty database."""
    programs = postgres_programs()
    other: dict[str, Any] = _other_user()
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="bench-postgres-") as folder:
        if other:
            os.chown(folder, other["user"], other["group"])
        data = f"{folder}/data"
        initdb = [f"{programs}/initdb", "--pgdata", data, "--username", "bench", "--auth", "trust", "--locale", "C"]
        subprocess.run([*initdb, "--encoding", "UTF8"], stdout=subprocess.DEVNULL, check=True, cwd="/", **other)
        settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": folder}
        given = [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")]
        ready = [f"{programs}/pg_isready", "--quiet", "--host", "127.0.0.1", "--port", str(port)]
        with _running([f"{programs}/postgres", "-D", data, *given], ready, **other):
            yield f"postgresql://bench@127.0.0.1:{port}/postgres"


@contextmanager
def _running(command: Sequence[str], ready: Sequence[str], **other: Any) -> Iterator[None]:
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd="/", start_new_session=True, **quiet, **other) as server:
        try:
            _await(server, lambda: subprocess.run(ready, check=False, **quiet).returncode == 0)
            yield
        finally:
            # PostgreSQL would wait for its clients after a SIGTERM.
            server.send_signal(signal.SIGINT)


def _await(server: subprocess.Popen[bytes], there: Callable[[], bool]) -> None:
    patience = time.monotonic() + PATIENCE
    while not there():
        if server.poll() is not None or time.monotonic() > patience:
            raise NoServerError(f"{server.args!r} does not answer")
        time.sleep(0.02)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def postgres_programs() -> str:
    """Return the folder of the server's programs."""
    # Debian does not put the server's on the PATH.
    for folder in (*sorted(glob("/usr/lib/postgresql/*/bin"), reverse=True), *os.get_exec_path()):
        if Path(folder, "initdb").exists() and Path(folder, "postgres").exists():
            return os.path.realpath(folder)
    raise NoServerError("no initdb and postgres in /usr/lib/postgresql or on the PATH; make tools installs them")


def _other_user() -> dict[str, int]:
    """Return who is to run PostgreSQL: it refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    try:
        entry = pwd.getpwnam("postgres")
    except KeyError:
        raise NoServerError("root may not run PostgreSQL, and there is no user postgres") from None
    return {"user": entry.pw_uid, "group": entry.pw_gid}
