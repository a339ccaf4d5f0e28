"""Processes that do as a test tells them: a `Crew` hands out `Actor` processes, forked from one server that is warm.

A Python that starts and imports takes 100 ms, a fork of one that has done so 2 ms: so hundreds of processes can be
started, and killed, within a test. The server is a process of its own, because a test's own process must not be forked:
it has threads, and what pytest holds open.

Run as a program, this module is the server.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from importlib.util import find_spec
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self


class Actor:
    """A process to give Python to run. What an expression gives, and what it raises, comes back."""

    def __init__(self, address: str) -> None:
        self._pipe = Client(address, "AF_UNIX")
        self.pid: int = self._pipe.recv()

    def start(self, code: str, /, **names: object) -> None:
        """Begin to run statements; `names` are variables for them, and ``say`` sends something for `hear`."""
        self._pipe.send(("exec", code, names))

    def hear(self) -> Any:
        """Wait for what it says next, or for its end: its result, or what it raises. EOFError when it has died."""
        try:
            result, error, text = self._pipe.recv()
        except OSError as failure:  # a message that was cut off
            raise EOFError from failure
        if error is not None:
            error.add_note(text)
            raise error
        return result

    def run(self, code: str, /, **names: object) -> None:
        """Run statements."""
        self.start(code, **names)
        self.hear()

    def ask(self, expression: str, /, **names: object) -> Any:
        """Return what an expression is."""
        self._pipe.send(("eval", expression, names))
        return self.hear()

    def kill(self) -> None:
        """Kill it at once, and wait until the system has taken back all that it had."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.gone()

    def gone(self) -> None:
        """Wait for its end."""
        with contextlib.suppress(ProcessLookupError):
            while True:  # it is no child of this process: there is nothing else to wait by
                os.kill(self.pid, 0)
                time.sleep(0.0002)

    def last_words(self) -> list[Any]:
        """Return all that a dead process had said and nobody heard yet."""
        words = []
        with contextlib.suppress(EOFError):
            while True:
                words.append(self.hear())
        return words

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self.kill()


class Crew:
    """A server of processes.

    `modules` are loaded by it once, in their order, before the first is started; of ``module:function`` the function is
    called before the next is loaded. `environment` is added to that of this process.
    """

    def __init__(self, *modules: str, environment: Mapping[str, str] = MappingProxyType({})) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="crew")
        self._address = f"{self._folder.name}/s"
        package = find_spec("diskdict")
        assert package is not None
        paths = [*filter(None, sys.path), str(Path(str(package.origin)).parents[1])]
        self._server = subprocess.Popen(
            [sys.executable, __file__, self._address, *modules],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)} | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._server.stdout is not None
        if not self._server.stdout.readline():
            raise RuntimeError("the server of processes did not start")

    def actor(self) -> Actor:
        """Return a fresh process."""
        return Actor(self._address)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.kill()
        self._server.communicate()
        self._folder.cleanup()


def main(address: str, *modules: str) -> None:
    """Fork a process for each connection."""
    for module in modules:
        name, _, function = module.partition(":")
        loaded = __import__(name)
        if function:
            getattr(loaded, function)()
    # Nobody waits for them: the system is to forget them at once.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with Listener(address, "AF_UNIX", backlog=64) as listener:
        print("ready", flush=True)
        while True:
            pipe = listener.accept()
            if not os.fork():
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                listener._listener._socket.close()  # type: ignore[attr-defined]
                act(pipe)
            pipe.close()


def act(pipe: Connection) -> None:
    """Do what is asked until the asker is gone."""
    code = 1
    try:
        pipe.send(os.getpid())
        names: dict[str, Any] = {name: sys.modules[name] for name in (each.partition(":")[0] for each in sys.argv[2:])}
        names["say"] = lambda word: pipe.send((word, None, ""))
        while True:
            kind, text, given = pipe.recv()
            names.update(given)
            try:
                pipe.send((eval(text, names) if kind == "eval" else exec(text, names), None, ""))
            except Exception as error:
                pipe.send((None, error, traceback.format_exc()))
    except EOFError:
        code = 0
    finally:
        os._exit(code)


if __name__ == "__main__":
    main(*sys.argv[1:])
