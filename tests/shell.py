"""The command as it is met at a shell, and what it said: as a process of its own, or sooner within this one."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from diskdict.cli import main

ROOT = Path(__file__).parent.parent
COMMAND = [sys.executable, "-W", "error", "-m", "diskdict"]


class Said(NamedTuple):
    """Exit code, stdout and stderr."""

    code: int
    out: bytes
    err: str


def environment(store: Path | None = None, **more: str) -> dict[str, str]:
    """Return the variables of a process that runs the command."""
    kept = {name: value for name, value in os.environ.items() if name not in ("DISKDICT_STORE", "NO_COLOR")}
    named = {} if store is None else {"DISKDICT_STORE": str(store)}
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"} | named | more


def run(*arguments: str | bytes | Path, store: Path | None = None, stdin: bytes = b"", cwd: Path | None = None) -> Said:
    """Run the command to its end; a traceback fails the test."""
    command = [*COMMAND, *arguments]
    done = subprocess.run(
        command, env=environment(store), input=stdin, capture_output=True, timeout=100, cwd=cwd, check=False
    )
    err = done.stderr.decode()
    assert "Traceback" not in err, err
    return Said(done.returncode, done.stdout, err)


def run_here(*arguments: str | Path, store: Path | str, stdin: bytes = b"") -> Said:
    """Run the command to its end in this process."""
    into, out, err = (io.TextIOWrapper(io.BytesIO(content), "utf-8") for content in (stdin, b"", b""))
    with mock.patch("sys.stdin", into), redirect_stdout(out), redirect_stderr(err):
        code = main(["--store", *map(str, (store, *arguments))])
    out.flush()
    err.flush()
    return Said(code, out.buffer.getvalue(), err.buffer.getvalue().decode())


def start(
    *arguments: str | Path, store: Path | None, more: Mapping[str, str] = {}, **pipes: int
) -> subprocess.Popen[bytes]:
    """Start the command, such that it hears Ctrl-C: what is started in the background of a script does not."""
    command = [*COMMAND, *arguments]
    return subprocess.Popen(command, env=environment(store, **more), preexec_fn=_hear_ctrl_c, **pipes)


def _hear_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def session_of(title: str, document: str = "README.rst") -> list[tuple[str, str]]:
    """Return the commands of a section of the README, or of another document, each with what it answers."""
    section = (ROOT / document).read_text(encoding="utf-8").partition(f"{title}\n")[2]
    block = re.search(r"code-block:: console\n\n((?:    .*\n|\n)+)", section)
    assert block is not None
    found = re.findall(r"^    \$ (.+)\n((?:    (?!\$ ).*\n)*)", block[1], re.MULTILINE)
    return [(command, "".join(f"{line[4:]}\n" for line in expected.splitlines())) for command, expected in found]


def follow(command: str, expected: str, cwd: Path, **variables: str) -> None:
    """Run a command as a reader would; where `expected` has ``...`` there may be anything."""
    diskdict = f'diskdict() {{ {" ".join(COMMAND)} "$@"; }}; '
    done = subprocess.run(
        ["bash", "-c", diskdict + command],
        env=environment(**variables),
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        check=False,
    )
    pattern = re.escape(expected).replace(r"\.\.\.", ".*")
    assert re.fullmatch(pattern, done.stdout), f"$ {command}\n{done.stdout}"
