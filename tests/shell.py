"""The command as it is met at a shell: a process of its own, and what it said."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

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


def start(*arguments: str | Path, store: Path, **pipes: int) -> subprocess.Popen[bytes]:
    """Start the command."""
    return subprocess.Popen([*COMMAND, *arguments], env=environment(store), **pipes)
