"""Rows of changes of a store, and what each does to its folder, call by call: `Recording`."""

from __future__ import annotations

import contextlib
import itertools
import shutil
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import faults
import uploading
from deeds import LONG, At, Records, opened, seen_in
from recording import Event, Recorder, Step, Sync

from diskdict import DiskDict
from diskdict.backends.memory import MemoryStore
from diskdict.core import StoreDict

HOUR = 3_600
DURABILITIES: dict[str, dict[str, Any]] = {
    "process": {},
    "interval": {"durability": "interval", "interval": HOUR},
    "interval, no buffer": {"durability": "interval", "interval": HOUR, "buffer_bytes": 0},
    "full": {"durability": "full", "interval": HOUR},
}
"""How the store is opened: such that its thread does nothing by itself."""

Act = Callable[[StoreDict[Any, Any], int], object]


def _transact(d: StoreDict[Any, Any], number: int) -> None:
    with d.transaction():
        d.delete("a")
        d["b"] = b"%d transaction" % number


def _rename(d: StoreDict[Any, Any], number: int) -> None:
    with contextlib.suppress(KeyError):
        d.rename("a", "b")


def _expire(d: StoreDict[Any, Any], number: int) -> None:
    with contextlib.suppress(KeyError):
        d.expire("a", 100 + number)


def _follow(d: StoreDict[Any, Any], number: int) -> None:
    if isinstance(d, DiskDict):
        d._folder.follow()


ALPHABET: dict[str, Act] = {
    "put": lambda d, number: d.set("a", b"%d put" % number),
    "put longer": lambda d, number: d.set("a", b"%d longer " % number * 120),
    "put long key": lambda d, number: d.set(LONG, b"%d long key" % number),
    "delete": lambda d, number: d.delete("a"),
    "set many": lambda d, number: d.set_many({"a": b"%d many a" % number, "b": b"%d many b" % number}),
    "transaction": _transact,
    "rename": _rename,
    "expire": _expire,
    "clear": lambda d, number: d.clear(),
    "flush": lambda d, number: d.flush(),
    "follow": _follow,
}
"""The changes; "follow" is what the store's thread does when the interval is over."""


def _stored(how: Callable[[DiskDict[Any, Any], str, bytes], object], key: str) -> Act:
    """Return what has a value come as a stream, where the store has streams."""

    def act(d: StoreDict[Any, Any], number: int) -> None:
        value = b"%d as a stream " % number * 50
        if isinstance(d, DiskDict):
            how(d, key, value)
        else:
            d[key] = value

    return act


def _copy(d: StoreDict[Any, Any], number: int) -> None:
    if isinstance(d, DiskDict):
        with contextlib.suppress(KeyError):
            uploading.copy(d, "a", LONG)
    elif "a" in d:
        d.set(LONG, d["a"], ttl=d.ttl("a"))


def _move(d: StoreDict[Any, Any], number: int) -> None:
    if isinstance(d, DiskDict):
        with contextlib.suppress(KeyError):
            uploading.move(d, "a", "b")
    elif "a" in d:
        d.delete("b")
        d.rename("a", "b")


STREAMS: dict[str, Act] = {
    "put file": _stored(uploading.put_file, "a"),
    "move in": _stored(uploading.move_in, "a"),
    "move in long key": _stored(uploading.move_in, LONG),
    "write": _stored(uploading.write, "b"),
    "copy": _copy,
    "move": _move,
}
"""The changes by streams."""
CHANGES = ALPHABET | STREAMS
LASTING = ("flush", "follow", "put file", "move in", "move in long key", "write")
"""What leaves all on disk with a journal: files are not written before what was done until then."""
MOVED_IN = {"move in": "a", "move in long key": LONG}
"""Those that leave a file of the caller's, or a value under this key."""

Row = tuple[str, ...]
ENDS = ("close", "kill")
"""How the process leaves the store that is opened again then, and put into."""


def rows(length: int) -> Iterator[Row]:
    """Yield all rows of that many changes."""
    return itertools.product(ALPHABET, repeat=length)


def rows_of_streams(length: int) -> Iterator[Row]:
    """Yield rows of that many changes, of which the last but one, or the only one, is by streams."""
    before, after = max(0, length - 2), min(1, length - 1)
    return itertools.product(*[CHANGES] * before, STREAMS, *[CHANGES] * after)


def rows_begun_anew() -> Iterator[Row]:
    """Yield rows in which the journal is begun anew, so that there is something of before behind its new groups."""
    for first, second in rows(2):
        yield first, second, "flush", first


class Case(NamedTuple):
    """A row of changes of a store that is ``new``, or has two keys and is on disk, and what is done to it after."""

    row: Row
    end: str
    new: bool
    durability: str
    home: str


class Recording:
    """What a case does, call by call, and what a dict must tell after each step.

    ``told[n]`` is what is there after `n` steps, ``lasts[n]`` whether all of it is on disk then with any
    durability. What comes before the call number ``first`` is looked at in shorter rows.
    """

    def __init__(self, case: Case, folder: Path, overlooked: Collection[str | None]) -> None:
        self._options = DURABILITIES[case.durability]
        self._store = folder / "store"
        self._twin: StoreDict[Any, Any] = StoreDict(MemoryStore(clock=At()), codec="raw")
        self.told: list[Records] = [{}]
        self.lasts: list[bool] = [True]
        self.first = 0
        self._recorder = Recorder(str(folder), overlooked)
        with faults.armed(self._recorder):
            self._record(case)
        shutil.rmtree(folder)

    @property
    def events(self) -> list[Event]:
        return self._recorder.events

    def _record(self, case: Case) -> None:
        if not case.new:
            with opened(self._store, At()) as d:
                for each in (d, self._twin):
                    each["kept"] = b"kept"
                    each["a"] = b"first"
            self.told = [seen_in(self._twin)]
            self.events.append(Sync(None))
        self.first = len(self.events)
        d = self._open()
        for number, name in enumerate(case.row):
            if number and number == len(case.row) - 1:
                self.first = len(self.events)
            lasts = case.durability != "process" and name in LASTING
            self._step(d, CHANGES[name], lasts=lasts)
        if case.end == "close":
            self._step(d, lambda d, _: d.close() if isinstance(d, DiskDict) else None, lasts=True)
        else:
            d._folder.abandon()
        d = self._open()
        self._step(d, lambda d, number: d.set("b", b"%d last" % number))
        d._folder.abandon()

    def _open(self) -> DiskDict[Any, Any]:
        return opened(self._store, At(), **self._options)

    def _step(self, d: DiskDict[Any, Any], act: Act, *, lasts: bool = False) -> None:
        number = len(self.told)
        self.events.append(Step(number, done=False))
        act(d, number)
        self.events.append(Step(number, done=True))
        act(self._twin, number)
        self.told.append(seen_in(self._twin))
        self.lasts.append(lasts)
