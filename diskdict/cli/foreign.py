"""Stores of others, to import from: an iodict folder, a shelve, a sqlitedict file, a diskcache folder.

Only files are read, none of those packages is needed. A pickle runs code when it is read; so none is, unless that was
asked for.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, cast

from diskdict import Entry
from diskdict.cli.failures import UsageError
from diskdict.cli.source import Carried, Item, Source
from diskdict.codecs import PICKLE
from diskdict.jsontext import TextError, read

if TYPE_CHECKING:
    from sqlite3 import Connection

LINES: Final = "lines"
_SQLITE: Final = b"SQLite format 3\0"
_RAW, _BINARY, _TEXT, _PICKLE = 1, 2, 3, 4  # how diskcache has kept a value


class Pickles:
    """Reads pickles where `allowed`, and counts those that it did not read as ``refused``."""

    def __init__(self, *, allowed: bool) -> None:
        self.allowed = allowed
        self.refused = 0

    def load(self, blob: bytes, key: object) -> object:
        """Return the value of a pickle. May run code. _Refused where that is not allowed; other errors name `key`."""
        if not self.allowed:
            self.refused += 1
            raise _Refused
        try:
            return PICKLE.loads(blob)
        except Exception as error:
            error.add_note(f"key {key!r}")
            raise


class _Refused(Exception):  # noqa: N818  # nobody outside meets it
    """A pickle, and they are not allowed."""


def kind_of(path: str) -> str:
    """Return which of `KINDS` is at `path`, or LINES. UsageError where that cannot be told."""
    if os.path.isdir(path):
        names = os.listdir(path)
        if "diskdict.json" in names:
            raise UsageError(f"{path} is a store of diskdict; diskdict migrate copies that")
        if "cache.db" in names:
            return "diskcache"
        if any(_attribute(os.path.join(path, name), "user.birthtime") for name in names):
            return "iodict"
        raise UsageError(f"{path}: what this folder is cannot be told; say so with --from")
    if os.path.isfile(path) and _content(path, len(_SQLITE)) == _SQLITE:
        with _database(path) as database:
            # From Python 3.13 on a shelve may lie in such a file, too.
            return "shelve" if _tables(database) == ["Dict"] else "sqlitedict"
    import dbm  # this and sqlite3 are for those who import such a file

    return "shelve" if dbm.whichdb(path) else LINES


@contextmanager
def opened(kind: str, path: str, pickles: Pickles) -> Iterator[Source]:
    """Give the entries of the store of this kind at `path`; those that would be unpickled against the rule are left."""
    if kind in _ALL_PICKLED and not pickles.allowed:
        raise UsageError(
            f"{path}: the values of {kind} are pickles, which run code when read; --allow-pickle does that"
        )
    with KINDS[kind](path, pickles) as source:
        yield source


@contextmanager
def _iodict(path: str, pickles: Pickles) -> Iterator[Source]:
    with os.scandir(path) as found:
        paths = [entry.path for entry in found if entry.is_file(follow_symlinks=False)]
    born = sorted((_born(each), each) for each in paths)

    def items() -> Iterator[Item]:
        for created, each in born:
            key = _attribute(each, "user.key")
            name = os.path.basename(each) if key is None else key.decode()
            blob = _content(each)
            yield Item(Entry(name, pickles.load(blob, name), created_at=created), len(blob))

    yield Source(len(born), items())


def _born(path: str) -> float:
    packed = _attribute(path, "user.birthtime")
    if packed is None or len(packed) != 8:
        return os.stat(path).st_mtime
    return cast(float, struct.unpack(">d", packed)[0])


def _attribute(path: str, name: str) -> bytes | None:
    get: Callable[[str, str], bytes] | None = getattr(os, "getxattr", None)
    with contextlib.suppress(OSError):
        return None if get is None else get(path, name)
    return None


@contextmanager
def _shelve(path: str, pickles: Pickles) -> Iterator[Source]:
    import dbm

    if not dbm.whichdb(path):
        raise UsageError(f"{path}: no shelve is here")
    with dbm.open(path, "r") as shelf:
        names = cast(list[bytes], list(shelf.keys()))

        def items() -> Iterator[Item]:
            for name in names:
                key, blob = name.decode(), shelf[name]
                yield Item(Entry(key, pickles.load(blob, key)), len(blob))

        yield Source(len(names), items())


@contextmanager
def _sqlitedict(path: str, pickles: Pickles) -> Iterator[Source]:
    with _database(path) as database:
        tables = _tables(database)
        table = "unnamed" if "unnamed" in tables else tables[0] if len(tables) == 1 else None
        if table is None:
            raise UsageError(f"{path}: no table 'unnamed', and not one alone, but {tables}")
        quoted = '"' + table.replace('"', '""') + '"'
        [total] = database.execute(f"SELECT count(*) FROM {quoted}").fetchone()  # noqa: S608  # quoted

        def items() -> Iterator[Item]:
            for key, stored in database.execute(f"SELECT key, value FROM {quoted} ORDER BY rowid"):  # noqa: S608
                with contextlib.suppress(_Refused):
                    value = _decoded(stored, key, pickles)
                    yield Item(Entry(key, value), _size(stored))

        yield Source(total, items())


def _decoded(stored: object, key: object, pickles: Pickles) -> object:
    """Return a value of a sqlitedict: its user chose how it was encoded, and a pickle, JSON and neither look unlike."""
    if isinstance(stored, bytes):
        return pickles.load(stored, key) if stored[:1] == b"\x80" and stored[-1:] == b"." else stored
    if isinstance(stored, str):
        with contextlib.suppress(TextError):
            return read(stored)
    return stored


@contextmanager
def _diskcache(path: str, pickles: Pickles) -> Iterator[Source]:
    with _database(os.path.join(path, "cache.db")) as database:
        [total] = database.execute("SELECT count(*) FROM Cache").fetchone()

        def items() -> Iterator[Item]:
            for row in database.execute(
                "SELECT key, raw, mode, filename, value, expire_time, store_time, tag FROM Cache ORDER BY rowid"
            ):
                with contextlib.suppress(_Refused):
                    entry = _cached(path, row, pickles)
                    yield Item(entry, _size(entry.value))

        yield Source(total, items())


def _cached(path: str, row: tuple[object, ...], pickles: Pickles) -> Carried:
    key, raw, mode, filename, value, expires, created, tag = row
    if isinstance(filename, str):
        value = _content(_inside(path, filename))
    if mode == _PICKLE:
        value = pickles.load(cast(bytes, value), key)
    elif mode == _TEXT:
        value = cast(bytes, value).decode()
    elif mode not in (_RAW, _BINARY):
        raise UsageError(f"{path}: a value of mode {mode!r}, which diskcache does not have")
    return Entry(
        key if raw else pickles.load(cast(bytes, key), key),
        value,
        expires_at=cast(float | None, expires),
        created_at=cast(float | None, created),
        metadata={} if tag is None else {"tag": tag},
    )


def _inside(folder: str, name: str) -> str:
    """Return the path of a file of a folder. UsageError where its name leads out of there."""
    path = os.path.join(folder, name)
    home = os.path.realpath(folder)
    if os.path.commonpath([os.path.realpath(path), home]) != home:
        raise UsageError(f"{folder}: it names a file outside of itself, {name!r}")
    return path


@contextmanager
def _database(path: str) -> Iterator[Connection]:
    import sqlite3
    from urllib.parse import quote

    if not os.path.isfile(path):
        raise UsageError(f"{path}: no such file")
    with contextlib.closing(sqlite3.connect(f"file:{quote(os.path.abspath(path))}?mode=ro", uri=True)) as database:
        yield database


def _tables(database: Connection) -> list[str]:
    return [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]


def _content(path: str, size: int = -1) -> bytes:
    with open(path, "rb") as file:
        return file.read(size)


def _size(value: object) -> int:
    return len(value) if isinstance(value, str | bytes) else 0


KINDS: Final = {"iodict": _iodict, "shelve": _shelve, "sqlitedict": _sqlitedict, "diskcache": _diskcache}
_ALL_PICKLED: Final = frozenset({"iodict", "shelve"})
