"""Servers for the tests of clients, in a process of their own: to start one for each test would take too long."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from clocks import Clock
from crew import Actor, Crew
from serving import served_here

from diskdict.server import ServedDict

_TIME = struct.Struct("d")


class SharedClock(Clock):
    """A clock in a file, for several processes."""

    def __init__(self, path: Path, now: float | None = None) -> None:
        self.path = path
        if now is not None:
            path.write_bytes(_TIME.pack(now))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)

    @property
    def now(self) -> float:
        time: float = _TIME.unpack(self._map)[0]
        return time

    @now.setter
    def now(self, time: float) -> None:
        self._map[:] = _TIME.pack(time)

    def close(self) -> None:
        self._map.close()


class Host:
    """Asks the process for stores that are empty."""

    def __init__(self, actor: Actor, folder: Path) -> None:
        self._actor = actor
        self._folder = folder
        self.clock = SharedClock(folder / "clock", Clock().now)
        actor.run("hosted = hosting.Hosted(folder)", folder=folder)

    def serve(self, **options: Any) -> str:
        """Return the URL of an empty store with these options of `DiskDict`, on the clock of this host."""
        return str(self._actor.ask("hosted.serve(options)", options=options))

    def clear(self) -> None:
        """Empty all stores, for others to have them; the time is what it was at first."""
        self._actor.run("hosted.clear()")
        self.clock.now = Clock().now


@contextmanager
def hosting(folder: Path) -> Iterator[Host]:
    """Give a host as long as the block lasts."""
    with Crew("hosting") as crew, crew.actor() as actor:
        host = Host(actor, folder)
        yield host
        host.clock.close()


class Hosted:
    """What that process has: stores by their options, each served for good."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._clock = SharedClock(folder / "clock")
        self._stack = ExitStack()
        self._free: dict[str, list[tuple[ServedDict, str]]] = {}
        self._used: list[tuple[str, tuple[ServedDict, str]]] = []

    def serve(self, options: dict[str, Any]) -> str:
        kind = repr(options)
        free = self._free.setdefault(kind, [])
        one = free.pop() if free else self._started(options)
        self._used.append((kind, one))
        return one[1]

    def _started(self, options: dict[str, Any]) -> tuple[ServedDict, str]:
        number = len(self._used) + sum(map(len, self._free.values()))
        store = ServedDict(self._folder / f"store{number}", clock=self._clock, **options)
        return store, self._stack.enter_context(served_here(store))

    def clear(self) -> None:
        for kind, (store, url) in self._used:
            store.clear()
            self._free[kind].append((store, url))
        self._used.clear()
