"""The journal: changes that belong together, in one file, each group whole or not there.

::

    a line of JSON with format and epoch, padded to a sector
    a group: checksum, length, sequence, synced | its changes        … padded to eight bytes
    a group: …

The checksum begins with the epoch, so that what an earlier epoch has left behind is never taken for a group. ``synced``
is the last group that was known to be on disk when this one was written: a group that is missing before one that knows
it on disk was damaged; without that it was only never finished.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterable
from typing import Final, NamedTuple
from zlib import crc32

import ujson

from diskdict import attributes as xattrs
from diskdict.attributes import Attributes
from diskdict.errors import FormatError
from diskdict.files import READ_WRITE, Folder, sync, write_at
from diskdict.layout import JOURNAL

FORMAT: Final = 1
_SECTOR: Final = 512
_ALIGNED: Final = 8
_KEPT: Final = 4 << 20  # bytes that the file may stay long for the next groups
_GROUP: Final = struct.Struct("<IIQQ")  # checksum, length, sequence, synced
_CHANGE: Final = struct.Struct("<BIIII")  # kind, and the lengths of key, metadata, spelling, file
_VERSION: Final = struct.Struct("<Q")
_PLACE: Final = 1
_PLACE_BESIDE: Final = 2
_AMEND: Final = 3
_REMOVE: Final = 4
_SOMETHING: Final = re.compile(rb"[^\0]")


class Place(NamedTuple):
    """The value that was staged as `file` is to be that of `key`; `beside` if its attributes are not on it."""

    key: str
    file: str
    attributes: Attributes
    beside: bool


class Amend(NamedTuple):
    """The record of `key` is to have these attributes, and keeps its payload."""

    key: str
    attributes: Attributes


class Remove(NamedTuple):
    """The record of `key` is to go, unless it is of a version above `version`."""

    key: str
    version: int


Change = Place | Amend | Remove


class Group(NamedTuple):
    """Changes that are made as one."""

    sequence: int
    synced: int
    changes: tuple[Change, ...]


class Reading(NamedTuple):
    """What a journal holds: its groups, where they end, and what is wrong with it or an empty text."""

    epoch: int
    groups: tuple[Group, ...]
    end: int
    damage: str


def encode_head(epoch: int) -> bytes:
    """Return the first sector of a journal."""
    return ujson.dumps({"format": FORMAT, "epoch": epoch}).encode().ljust(_SECTOR - 1) + b"\n"


def decode_head(content: bytes) -> int | None:
    """Return the epoch, or None for anything that `encode_head` did not write. FormatError for another format."""
    try:
        document = ujson.loads(content[:_SECTOR])
        found, epoch = document["format"], document["epoch"]
    except (ValueError, TypeError, KeyError):
        return None
    if type(found) is int and found > FORMAT:
        raise FormatError(f"the journal has format {found}; this version reads format {FORMAT}")
    return epoch if found == FORMAT and type(epoch) is int and 0 <= epoch < 1 << 63 else None


def encode_group(group: Group, epoch: int) -> bytes:
    """Return the bytes of a group."""
    body = b"".join(map(_encode_change, group.changes))
    rest = _GROUP.pack(0, len(body), group.sequence, group.synced)[4:] + body
    whole = crc32(rest, _seed(epoch)).to_bytes(4, "little") + rest
    return whole + bytes(-len(whole) % _ALIGNED)


def _seed(epoch: int) -> int:
    return crc32(epoch.to_bytes(8, "little"))


def _encode_change(change: Change) -> bytes:
    key = _encode_text(change.key)
    if isinstance(change, Remove):
        return _CHANGE.pack(_REMOVE, len(key), 0, 0, 0) + _VERSION.pack(change.version) + key
    kind, file = _AMEND, b""
    if isinstance(change, Place):
        kind, file = _PLACE_BESIDE if change.beside else _PLACE, _encode_text(change.file)
    meta, spelling = _encode_text(change.attributes.meta or ""), _encode_text(change.attributes.spelling or "")
    head = _CHANGE.pack(kind, len(key), len(meta), len(spelling), len(file))
    return b"".join((head, xattrs.pack(change.attributes), key, meta, spelling, file))


def _encode_text(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def decode_group(content: bytes, at: int, epoch: int) -> tuple[Group, int] | None:
    """Return the group that begins at `at` and where it ends, or None for anything that is none of this epoch."""
    if at + _GROUP.size > len(content):
        return None
    checksum, length, sequence, synced = _GROUP.unpack_from(content, at)
    end = at + _GROUP.size + length
    if not length or end > len(content) or crc32(memoryview(content)[at + 4 : end], _seed(epoch)) != checksum:
        return None
    try:
        changes = _decode_changes(content[at + _GROUP.size : end])
    except (ValueError, struct.error):
        return None
    return Group(sequence, synced, changes), end + -(end - at) % _ALIGNED


def _decode_changes(body: bytes) -> tuple[Change, ...]:
    changes: list[Change] = []
    at = 0
    while at < len(body):
        kind, *lengths = _CHANGE.unpack_from(body, at)
        width = _VERSION.size if kind == _REMOVE else xattrs.SIZE
        at += _CHANGE.size
        changes.append(_decode_change(kind, *_cut(body, at, width, *lengths)))
        at += width + sum(lengths)
    return tuple(changes)


def _decode_change(kind: int, fixed: bytes, key: bytes, meta: bytes, spelling: bytes, file: bytes) -> Change:
    if kind == _REMOVE:
        return Remove(_decode_text(key), *_VERSION.unpack(fixed))
    attributes = _decode_attributes(fixed, meta, spelling)
    if kind == _AMEND:
        return Amend(_decode_text(key), attributes)
    if kind in (_PLACE, _PLACE_BESIDE):
        return Place(_decode_text(key), _decode_text(file), attributes, kind == _PLACE_BESIDE)
    raise ValueError(f"a change of kind {kind}")


def _cut(body: bytes, at: int, *lengths: int) -> list[bytes]:
    parts = []
    for length in lengths:
        part = body[at : at + length]
        if len(part) < length:
            raise ValueError("a change that is cut off")
        parts.append(part)
        at += length
    return parts


def _decode_text(text: bytes) -> str:
    return text.decode("utf-8", "surrogatepass")


def _decode_attributes(fixed: bytes, meta: bytes, spelling: bytes) -> Attributes:
    known = xattrs.unpack(fixed)
    if known is None:
        raise ValueError("attributes that nobody wrote")
    return known[0]._replace(meta=_decode_text(meta) or None, spelling=_decode_text(spelling) or None)


def decode(content: bytes) -> Reading:
    """Return what the content of a journal tells, damaged as it may be. Raises FormatError for another format."""
    epoch = decode_head(content)
    if epoch is None:
        return Reading(0, (), 0, "its first line is damaged" if _SOMETHING.search(content) else "")
    groups: list[Group] = []
    at = _SECTOR
    while (found := decode_group(content, at, epoch)) is not None and found[0].sequence == len(groups) + 1:
        groups.append(found[0])
        at = found[1]
    damage = "a group in it is damaged, and those behind it were not made" if _lost(content, at, epoch, groups) else ""
    return Reading(epoch, tuple(groups), at, damage)


def _lost(content: bytes, at: int, epoch: int, groups: list[Group]) -> bool:
    """Return whether a group behind the last whole one says that there was one in between, on disk."""
    while (something := _SOMETHING.search(content, at)) is not None:
        at = something.start() - something.start() % _ALIGNED
        found = decode_group(content, at, epoch)
        if found is not None and found[0].synced > len(groups):
            return True
        at += _ALIGNED
    return False


class Journal:
    """The journal of a store that is open.

    Parameters
    ----------
    folder: Folder
        The store's folder.

    Notes
    -----
    The caller holds the mutation lock. The file is made when the first group is appended and removed by `remove`.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._fd: int | None = None
        self._epoch = 0
        self._sequence = 0
        self._end = _SECTOR
        self._named = False  # on disk

    @property
    def holds_groups(self) -> bool:
        """Whether anything was appended, be it in part, since `restart`."""
        return self._end > _SECTOR

    def append(self, changes: Iterable[Change]) -> None:
        """Write the changes as one group."""
        if self._fd is None:
            self._fd = self._folder.open(JOURNAL, READ_WRITE | os.O_CREAT)
            self.restart()
        group = encode_group(Group(self._sequence + 1, 0, tuple(changes)), self._epoch)
        at, self._end = self._end, self._end + len(group)
        write_at(self._fd, group, at)
        self._sequence += 1

    def restart(self) -> None:
        """Forget all groups: what they say was done."""
        if self._fd is not None:
            self._epoch = int.from_bytes(os.urandom(7))
            write_at(self._fd, encode_head(self._epoch), 0)
            if self._end > _KEPT:
                os.ftruncate(self._fd, _SECTOR)
            self._sequence, self._end = 0, _SECTOR

    def sync(self) -> None:
        """Have on disk what was appended."""
        if self._fd is not None:
            sync(self._fd)
            if not self._named:
                self._folder.sync()
                self._named = True

    def remove(self) -> None:
        """Remove the file, of which nothing is needed any longer."""
        if self._fd is not None:
            self.close()
            self._folder.discard(JOURNAL)

    def close(self) -> None:
        """Close the file and leave it as it is."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


def load(folder: Folder) -> Reading | None:
    """Return what the journal of a store holds, None where there is no journal."""
    try:
        return decode(folder.read(JOURNAL))
    except FileNotFoundError:
        return None
