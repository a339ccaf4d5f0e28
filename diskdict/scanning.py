"""Finding out what a folder holds, shard by shard."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from diskdict.attributes import STRIPPED, Attributes
from diskdict.companions import companion
from diskdict.index import Entry, Index
from diskdict.keys import decode, encode
from diskdict.layout import encode_name, is_digest, is_plain, long_key, unescape
from diskdict.records import RecordFiles

NO_FILE: Final = frozenset({errno.ENOENT, errno.ELOOP, errno.EISDIR})
"""What the system says of a file that is not there, or is a link or a folder."""

Progress = Callable[[int, int], object]
"""Called, again and again, with how many shards are done and how many there are."""

Stamp = tuple[int, int]
"""The inode number and the change time (ns) of a shard's folder: while they stay, so do the names in it."""


def stamp(files: RecordFiles, shard: str) -> Stamp | None:
    """Return what changes when names in a shard change, or None where there is no such folder."""
    if not files.data.admit(shard):
        return None
    status = files.data.stat(shard)
    return status.st_ino, status.st_ctime_ns


def scan(files: RecordFiles, shard: str) -> Iterator[Entry]:
    """Yield what a shard holds, in no order. Files that are not ours are left out."""
    for name, regular in list(files.data.list(shard)):
        key = key_of(files, shard, name) if regular else None
        found = None if key is None else files.find(f"{shard}/{name}")
        if key is not None and found is not None:
            yield Entry(key, found.order, found.length, found.created, found.expires, found.spelling)


def told(shards: Sequence[str], progress: Progress | None) -> Iterator[str]:
    """Yield the shards, and tell of those that are done."""
    for done, shard in enumerate(shards, 1):
        yield shard
        if progress is not None:
            progress(done, len(shards))


def key_of(files: RecordFiles, shard: str, name: str) -> str | None:
    """Return the key whose value has this name in this shard, or None if no key has."""
    try:
        key = name if is_plain(name) else _unusual(files, shard, name)
        genuine = key[:1] != "=" or encode(decode(key)) == key
    except ValueError:
        return None
    return key if genuine and files.shards.path(name) == f"{shard}/{name}" else None


def _unusual(files: RecordFiles, shard: str, name: str) -> str:
    key = _long_key(files, shard, name) if is_digest(name) else unescape(name)
    if encode_name(key) != name:
        raise ValueError(f"not the name of a key: {name!r}")
    return key


def _long_key(files: RecordFiles, shard: str, name: str) -> str:
    try:
        return files.data.read(companion(f"{shard}/{name}", long_key)).decode("utf-8", "surrogatepass")
    except OSError as error:
        if error.errno not in NO_FILE:
            raise
        raise ValueError("the text of a long key is lost") from error


def highest(files: RecordFiles) -> int:
    """Return the greatest order or version of any value."""
    names = ((shard, *entry) for shard in files.shards.names for entry in list(files.data.list(shard)))
    paths = (f"{shard}/{name}" for shard, name, regular in names if regular)
    known = (found for path in paths if (found := files.find(path)) is not None and found.order < STRIPPED)
    return max((max(found.order, found.version) for found in known), default=0)


def learn(index: Index, found: Mapping[str, Attributes | None]) -> None:
    """Have the index know what was found, new keys in their order."""
    for key, known in found.items():
        if known is None:
            index.remove(key)
    there = [(known.order, key, known) for key, known in found.items() if known is not None]
    for order, key, known in sorted(there):
        index.put(key, order, known.length, known.created, known.expires, known.spelling)
