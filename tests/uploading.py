"""Values that come, go and move as streams, in the folder of any dict: what is done to it as to a `BlobStore`.

Files of the caller's lie beside the folder. What becomes of them is looked at each time: a source is never altered, one
that is moved in is there as long as it is not a value, and a target is the old file or the new one.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Any, NamedTuple

from faults import resting

from diskdict import BlobStore, DiskDict
from diskdict.info import pack
from diskdict.store import NEVER, Store
from diskdict.uploads import Source

LARGE = b"no small value: " * 20_000
"""More than is kept in memory."""


class Face(BlobStore):
    """A blob store over the folder of a dict: its values are never empty, and its keys were not looked at."""

    def __init__(self, d: DiskDict[Any, Any]) -> None:
        super().__init__(d._folder)

    def _opened(self) -> Store:
        assert isinstance(self._where, Store)
        return self._where

    def check(self, key: object) -> str:
        assert isinstance(key, str)
        return key


class AlteredError(AssertionError):
    """Something was done to a file of the caller's."""


def source_of(folder: Path | str) -> Path:
    """Return where the file lies that is put into a store."""
    return Path(f"{folder}-source")


def given_to(folder: Path | str) -> Path:
    """Return the file that says which source lay there whole, by its number, before it was to be moved in."""
    return Path(f"{folder}-given")


def write_anew(path: Path, content: bytes) -> None:
    """Have a file there whole or not at all, whenever this ends."""
    beside = Path(f"{path}.new")
    beside.write_bytes(content)
    beside.replace(path)


class _Looks(NamedTuple):
    """All that a caller may see of a file."""

    inode: int
    mode: int
    changed: int
    attributes: list[str]
    content: bytes


def _looks(path: Path) -> _Looks | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    attributes: list[str] = []
    with contextlib.suppress(OSError):  # not every filesystem has any
        attributes = os.listxattr(path)
    return _Looks(status.st_ino, stat.S_IMODE(status.st_mode), status.st_mtime_ns, attributes, path.read_bytes())


def put_file(
    d: DiskDict[Any, Any], key: str, value: bytes, ttl: float | None = None, metadata: dict[str, Any] | None = None
) -> None:
    """Put a file that stays as it is."""
    source = source_of(d.path)
    with resting():
        write_anew(source, value)
        before = _looks(source)
    try:
        Face(d).put_file(key, source, ttl, metadata=metadata)
    finally:
        with resting():
            if _looks(source) != before:
                raise AlteredError(f"{before!r:.200} has become {_looks(source)!r:.200}")


def move_in(
    d: DiskDict[Any, Any],
    key: str,
    value: bytes,
    ttl: float | None = None,
    metadata: dict[str, Any] | None = None,
    number: float = 0,
) -> None:
    """Put a file that becomes a value; as long as it is none, it is as it was."""
    source = source_of(d.path)
    with resting():
        write_anew(source, value)
        write_anew(given_to(d.path), b"%d" % number)
        before, version = _looks(source), _version(d, key)
    moved = False
    try:
        Face(d).put_file(key, source, ttl, move=True, metadata=metadata)
        moved = True
    finally:
        with resting():
            after, stored = _looks(source), moved or _version(d, key) != version
            if (after is not None and (moved or after.content != value)) or (after is None and not stored):
                raise AlteredError(f"{before!r:.200} has become {after!r:.200}, {moved=}, {stored=}")
            if not stored and not d._folder._behind and after != before:
                raise AlteredError(f"{before!r:.200} has become {after!r:.200}")


def _version(d: DiskDict[Any, Any], key: str) -> int | None:
    found = d._folder.stat(key)
    return None if found is None else found.version


def write(d: DiskDict[Any, Any], key: str, value: bytes, ttl: float | None = None) -> None:
    """Write a value through a stream, in three pieces."""
    third = len(value) // 3 + 1
    with Face(d).open(key, "wb", ttl) as file:
        for begin in range(0, len(value), third):
            file.write(value[begin : begin + third])


def copy(d: DiskDict[Any, Any], key: str, target: str) -> None:
    """Copy a value over whatever is there."""
    Face(d).copy(key, target)


def move(d: DiskDict[Any, Any], key: str, target: str) -> None:
    """Move a value over whatever is there."""
    Face(d).move(key, target)


def get_file(d: DiskDict[Any, Any], key: str) -> None:
    """Get a value as a file in place of another; it is one of both, and nothing lies beside it."""
    folder = Path(f"{d.path}-targets")
    target = folder / "target"
    with resting():
        folder.mkdir(exist_ok=True)
        target.write_bytes(b"old")
        value = d[key]
    try:
        Face(d).get_file(key, target)
    finally:
        if os.listdir(folder) != ["target"] or target.read_bytes() not in (b"old", value):
            raise AlteredError(f"{os.listdir(folder)} with {target.read_bytes()[:40]!r} in the place of a target")


def upload(
    d: DiskDict[Any, Any],
    key: str,
    *pieces: bytes,
    expires: float = NEVER,
    metadata: dict[str, Any] | None = None,
    instead_of: str | None = None,
) -> None:
    """Have a value come piece by piece, and another key go for it if one is said."""
    store = d._folder
    stat = None if instead_of is None else store.stat(instead_of)
    coming = store.upload()
    try:
        for piece in pieces:
            coming.write(piece)
        source = None if stat is None or instead_of is None else Source(instead_of, stat.version)
        coming.finish(key, expires=expires, meta=pack(metadata or {}), instead_of=source)
    finally:
        coming.discard()
