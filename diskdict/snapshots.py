"""The index kept on disk: its snapshot, and building the index from that where it is current, from files where not.

A snapshot is a line with a checksum, a line of JSON, three columns of eight bytes a key, and the names of the keys.
"""

from __future__ import annotations

import sys
import time
import zlib
from array import array
from math import isnan
from operator import attrgetter
from typing import Final, NamedTuple, TypeVar

import ujson

from diskdict.files import Folder
from diskdict.index import Entry, Index
from diskdict.layout import INDEX, encode_name, escape, unescape
from diskdict.records import RecordFiles
from diskdict.scanning import NO_FILE, Stamp, scan, stamp

_TEMPORARY: Final = INDEX + ".new"
_by_order = attrgetter("order", "key")
# A folder that changes twice within one tick of the kernel's clock shows one time for both.
_TICK_NS: Final = 10_000_000
_SECOND_NS: Final = 1_000_000_000


Number = TypeVar("Number", int, float)


class Snapshot(NamedTuple):
    """An index as it was kept on disk, with the ``stamps`` of the shards at the time ``taken`` (ns)."""

    taken: int
    stamps: dict[str, Stamp]
    content: Index


_MAGIC: Final = b"diskdict index 1 "
_COLUMN: Final = 8


def encode_snapshot(index: Index, stamps: dict[str, Stamp], taken: int) -> bytes:
    """Return the content of STORE/index."""
    document = {
        "taken": taken,
        "stamps": stamps,
        "keys": len(index.rows),
        "expires": {escape(key): when for key, when in index.expires.items()},
        "spellings": {escape(key): escape(text) for key, text in index.spellings.items()},
    }
    orders, sizes, created = index.columns()
    columns = _little_endian(orders).tobytes() + _little_endian(sizes).tobytes() + _little_endian(created).tobytes()
    names = "\n".join(map(escape, index.rows))
    body = b"%s\n%s%s" % (ujson.dumps(document).encode(), columns, names.encode())
    return b"%s%08x\n%s" % (_MAGIC, zlib.crc32(body), body)


def decode_snapshot(content: bytes) -> Snapshot | None:
    """Return the snapshot, or None for anything damaged: it is only a cache."""
    head, _, body = content.partition(b"\n")
    if head != b"%s%08x" % (_MAGIC, zlib.crc32(body)):
        return None
    line, _, rest = body.partition(b"\n")
    try:
        document = ujson.loads(line)
        index = _decode_columns(int(document["keys"]), rest)
        for name, when in document["expires"].items():
            index.set_expiry(unescape(name), float(when))
        index.spellings = {unescape(name): unescape(text) for name, text in document["spellings"].items()}
        if not index.rows.keys() >= index.expires.keys() | index.spellings.keys() or any(
            map(isnan, index.expires.values())
        ):
            return None
        stamps = {name: (int(inode), int(changed)) for name, (inode, changed) in document["stamps"].items()}
        return Snapshot(int(document["taken"]), stamps, index)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return None


def _decode_columns(count: int, rest: bytes) -> Index:
    width = count * _COLUMN
    orders, sizes, created = array("q"), array("q"), array("d")
    orders.frombytes(rest[:width])
    sizes.frombytes(rest[width : 2 * width])
    created.frombytes(rest[2 * width : 3 * width])
    names = rest[3 * width :].decode("ascii")
    keys = names.split("\n") if names else []
    if "%" in names or "+" in names:
        keys = [unescape(name) for name in keys]
    index = Index.of_columns(keys, _little_endian(orders), _little_endian(sizes), _little_endian(created))
    if {count} != {len(index.rows), len(keys), len(orders), len(sizes), len(created)}:
        raise ValueError("columns of several lengths")
    if isnan(sum(created)):
        raise ValueError("a time that is none")
    return index


def _little_endian(column: array[Number]) -> array[Number]:
    if sys.byteorder == "big":
        column.byteswap()
    return column


def load_index(folder: Folder, files: RecordFiles) -> Index:
    """Return the index of what is in the folder now. The caller holds the mutation lock."""
    stamps = _stamps(files)
    snapshot = _read_snapshot(folder)
    if snapshot is None:
        index = Index.of(sorted(_scanned(files, stamps), key=_by_order))
        index.changed = True
        return index
    stale = {name for name, now in stamps.items() if not _current(snapshot, name, now)}
    gone = snapshot.stamps.keys() - stamps.keys()
    if not stale and not gone:
        return snapshot.content
    names = files.shards.names
    kept = [
        entry
        for entry in snapshot.content.entries()
        if (shard := names[files.shards.number(encode_name(entry.key))]) not in stale and shard not in gone
    ]
    index = Index.of(sorted([*kept, *_scanned(files, stale)], key=_by_order))
    index.changed = True
    return index


def save_index(folder: Folder, files: RecordFiles, index: Index) -> None:
    """Keep the index in the folder for the next opening."""
    stamps = _stamps(files)
    folder.write(INDEX, encode_snapshot(index, stamps, time.time_ns()), _TEMPORARY)
    index.changed = False


def remembered(folder: Folder) -> Index | None:
    """Return the index as it was last kept, whatever has changed since, or None.

    Where it is there and the disk will not give it, that is an OSError: what only it knows would be lost for good.
    """
    try:
        snapshot = decode_snapshot(folder.read(INDEX))
    except OSError as error:
        if error.errno not in NO_FILE:
            raise
        return None
    return None if snapshot is None else snapshot.content


def _read_snapshot(folder: Folder) -> Snapshot | None:
    try:
        return decode_snapshot(folder.read(INDEX))
    except OSError:
        # A cache that cannot be read is a cache that is not there.
        return None


def _stamps(files: RecordFiles) -> dict[str, Stamp]:
    shards = set(files.shards.names)
    names = [name for name, _ in files.data.list() if name in shards]
    return {name: found for name in names if (found := stamp(files, name)) is not None}


def _current(snapshot: Snapshot, name: str, now: Stamp) -> bool:
    # Small inodes of ext have whole seconds, FAT has two: there a time that looks old may be of a change just made.
    tick = _TICK_NS if now[1] % _SECOND_NS else 2 * _SECOND_NS
    return snapshot.stamps.get(name) == now and now[1] < snapshot.taken - tick


def _scanned(files: RecordFiles, shards: dict[str, Stamp] | set[str]) -> list[Entry]:
    return [entry for shard in sorted(shards) for entry in scan(files, shard)]
