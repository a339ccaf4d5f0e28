"""The journal: changes that belong together, in one file, each group whole or not there.

::

    a line of JSON with format, epoch and a checksum of that, padded to a sector
    a group: checksum, length, sequence, synced | its changes        … padded to eight bytes
    a group: …

The checksum begins with the epoch, so that what an earlier epoch has left behind is never taken for a group. ``synced``
is the last group that was known to be on disk when this one was written: a group that is missing before one that knows
it on disk was damaged; without that it was only never finished.
"""

from __future__ import annotations

import struct
import sys
from array import array
from typing import Final, NamedTuple

import ujson

from diskdict import attributes as xattrs
from diskdict import keys
from diskdict.attributes import Attributes, attributes_of
from diskdict.checksums import crc32
from diskdict.errors import FormatError
from diskdict.store import Record

FORMAT: Final = 1
SECTOR: Final = 512
"""Bytes of the head, before the first group."""
_ALIGNED: Final = 8
_GROUP: Final = struct.Struct("<IIQQ")  # checksum, length, sequence, synced
NO_GROUP: Final = bytes(_GROUP.size)
"""What in place of a group says that none is there."""
_CHANGE: Final = struct.Struct("<BIIII")  # kind, and the lengths of key, metadata, spelling, and what comes last
_VERSION: Final = struct.Struct("<Q")
_UPDATED: Final = struct.Struct("<d")
_ONE_PUT: Final = struct.Struct("<IQQ BIIII BBQddQQI d")  # a group without its checksum, a change, attributes, updated
_ONE_PUT_BODY: Final = _ONE_PUT.size - _GROUP.size + 4
_PADDING: Final = [bytes(count) for count in range(_ALIGNED)]
_PLACE: Final = 1
_PLACE_BESIDE: Final = 2
_AMEND: Final = 3
_REMOVE: Final = 4
_PUT: Final = 5
_MOVE: Final = 6
_WIDTHS: Final = {_REMOVE: _VERSION.size, _PUT: xattrs.SIZE + _UPDATED.size}  # of what comes before the key
_PATIENCE: Final = 16  # times that a journal is read over before what looks like groups everywhere is damage


class Place(NamedTuple):
    """The value that was staged as `file` is to be that of `key`; `beside` if its attributes are not on it."""

    key: str
    file: str
    attributes: Attributes
    beside: bool


class Put(NamedTuple):
    """The record of `key` is to be this one."""

    key: str
    record: Record


class Amend(NamedTuple):
    """The record of `key` is to have these attributes, and keeps its payload."""

    key: str
    attributes: Attributes


class Remove(NamedTuple):
    """The record of `key` is to go, unless it is of a version above `version`."""

    key: str
    version: int


class Move(NamedTuple):
    """The record of `key` is to be that of `target`, where none is, with these attributes."""

    key: str
    target: str
    attributes: Attributes


Change = Put | Place | Amend | Remove | Move


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
    head = {"format": FORMAT, "epoch": epoch, "check": seed_of(epoch)}
    return ujson.dumps(head).encode().ljust(SECTOR - 1) + b"\n"


def decode_head(content: bytes) -> int | None:
    """Return the epoch, or None for anything that `encode_head` did not write. FormatError for another format."""
    try:
        document = ujson.loads(content[:SECTOR])
        found, epoch = document["format"], document["epoch"]
    except (ValueError, TypeError, KeyError):
        return None
    if type(found) is int and found > FORMAT:
        raise FormatError(f"the journal has format {found}; this version reads format {FORMAT}")
    if found != FORMAT or type(epoch) is not int or not 0 <= epoch < 1 << 63:
        return None
    # With another epoch all groups would look like those of an earlier one. The first journals had no such field.
    return epoch if document.get("check", seed_of(epoch)) == seed_of(epoch) else None


def encode_group(group: Group, epoch: int) -> bytes:
    """Return the bytes of a group."""
    body = b"".join(map(_encode_change, group.changes))
    rest = _GROUP.pack(0, len(body), group.sequence, group.synced)[4:] + body
    whole = crc32(rest, seed_of(epoch)).to_bytes(4, "little") + rest
    return whole + bytes(-len(whole) % _ALIGNED)


def seed_of(epoch: int) -> int:
    """Return what the checksums of an epoch begin with."""
    return crc32(epoch.to_bytes(8, "little"))


def encode_put(key: str, record: Record, sequence: int, synced: int, seed: int) -> bytes:
    """Return what `encode_group` returns for a group of one record, in a third of the time."""
    payload, order, created, updated, expires, version, meta, spelling = record
    name, size, flags = key.encode("utf-8", "surrogatepass"), len(payload), 0
    first = second = b""
    if meta or spelling:
        first, second, flags = _encode_text(meta or ""), _encode_text(spelling or ""), xattrs.flags(meta, spelling)
    lengths = len(name), len(first), len(second), size
    length = _ONE_PUT_BODY + sum(lengths)
    attributes = order, created, expires, version, size, crc32(payload)
    head = _ONE_PUT.pack(length, sequence, synced, _PUT, *lengths, xattrs.FORMAT, flags, *attributes, updated)
    rest = b"".join((head, name, first, second, payload))
    return crc32(rest, seed).to_bytes(4, "little") + rest + _PADDING[-(len(rest) + 4) % _ALIGNED]


def _encode_change(change: Change) -> bytes:
    key = _encode_text(change.key)
    if isinstance(change, Put):
        attributes, last = attributes_of(change.record), change.record.payload
        fixed = xattrs.pack(attributes) + _UPDATED.pack(change.record.updated)
        return _encode_parts(_PUT, fixed, key, attributes, last)
    if isinstance(change, Remove):
        return _CHANGE.pack(_REMOVE, len(key), 0, 0, 0) + _VERSION.pack(change.version) + key
    kind, last = _AMEND, b""
    if isinstance(change, Place):
        kind, last = _PLACE_BESIDE if change.beside else _PLACE, _encode_text(change.file)
    elif isinstance(change, Move):
        kind, last = _MOVE, _encode_text(change.target)
    return _encode_parts(kind, xattrs.pack(change.attributes), key, change.attributes, last)


def _encode_parts(kind: int, fixed: bytes, key: bytes, attributes: Attributes, last: bytes) -> bytes:
    meta, spelling = _encode_text(attributes.meta or ""), _encode_text(attributes.spelling or "")
    head = _CHANGE.pack(kind, len(key), len(meta), len(spelling), len(last))
    return b"".join((head, fixed, key, meta, spelling, last))


def _encode_text(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def decode_group(content: bytes, at: int, epoch: int) -> tuple[Group, int] | None:
    """Return the group that begins at `at` and where it ends, or None for anything that is none of this epoch."""
    if at + _GROUP.size > len(content):
        return None
    checksum, length, sequence, synced = _GROUP.unpack_from(content, at)
    end = at + _GROUP.size + length
    if not length or end > len(content) or crc32(memoryview(content)[at + 4 : end], seed_of(epoch)) != checksum:
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
        width = _WIDTHS.get(kind, xattrs.SIZE)
        at += _CHANGE.size
        changes.append(_decode_change(kind, *_cut(body, at, width, *lengths)))
        at += width + sum(lengths)
    return tuple(changes)


def _decode_change(kind: int, fixed: bytes, key: bytes, meta: bytes, spelling: bytes, last: bytes) -> Change:
    name = _decode_key(key)
    if kind == _REMOVE:
        return Remove(name, *_VERSION.unpack(fixed))
    attributes = _decode_attributes(fixed[: xattrs.SIZE], meta, spelling)
    if kind == _PUT:
        return Put(name, _record(last, attributes, *_UPDATED.unpack(fixed[xattrs.SIZE :])))
    if kind == _AMEND:
        return Amend(name, attributes)
    if kind in (_PLACE, _PLACE_BESIDE):
        return Place(name, _decode_file(last), attributes, kind == _PLACE_BESIDE)
    if kind == _MOVE:
        return Move(name, _decode_key(last), attributes)
    raise ValueError(f"a change of kind {kind}")


def _record(payload: bytes, attributes: Attributes, updated: float) -> Record:
    if updated != updated or not attributes.fit(payload):
        raise ValueError("a record that nobody wrote")
    order, created, expires, version, _, _, meta, spelling = attributes
    return Record(payload, order, created, updated, expires, version, meta, spelling)


def _cut(body: bytes, at: int, *lengths: int) -> list[bytes]:
    parts = []
    for length in lengths:
        part = body[at : at + length]
        if len(part) < length:
            raise ValueError("a change that is cut off")
        parts.append(part)
        at += length
    return parts


def _decode_key(text: bytes) -> str:
    key = _decode_text(text)
    if key[:1] == "=" and keys.encode(keys.decode(key)) != key:
        raise ValueError("the text of no key")
    return key


def _decode_file(name: bytes) -> str:
    # Whatever else stands there, it is no way out of the folder.
    if not name.isdigit():
        raise ValueError("no name of a staged file")
    return name.decode()


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
        return Reading(0, (), 0, "its first line is damaged" if content.strip(b"\0") else "")
    groups: list[Group] = []
    at = SECTOR
    while (found := decode_group(content, at, epoch)) is not None and found[0].sequence == len(groups) + 1:
        groups.append(found[0])
        at = found[1]
    damage = "a group in it is damaged, and those behind it were not made" if _lost(content, at, epoch, groups) else ""
    return Reading(epoch, tuple(groups), at, damage)


def _lost(content: bytes, at: int, epoch: int, groups: list[Group]) -> bool:
    """Return whether a group behind the last whole one says that there was one in between, on disk."""
    at += -at % _ALIGNED
    rest = content[at:].rstrip(b"\0")
    words = array("Q", rest + bytes(-len(rest) % _ALIGNED))
    if sys.byteorder == "big":
        words.byteswap()
    most, patience = len(content) // _GROUP.size, _PATIENCE * len(content)
    for number, (head, sequence, synced) in enumerate(zip(words, words[1:], words[2:], strict=False)):
        # First what costs little: there may be megabytes of an earlier epoch, or of what looks like groups.
        if len(groups) < synced < sequence <= most:
            if patience < 0 or decode_group(content, at + number * _ALIGNED, epoch) is not None:
                return True
            patience -= min(head >> 32, len(content))
    return False
