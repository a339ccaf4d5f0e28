"""What is kept beside a value: order, expiry, version, checksum, metadata — in extended attributes of its file.

One attribute, ``user.diskdict``, is packed so small that it stays in the inode; metadata and an unusual spelling of the
key have attributes of their own. Where a file cannot carry them they go to a sidecar (`diskdict.sidecar`).
"""

from __future__ import annotations

import errno
import os
import struct
import sys
from collections.abc import Callable
from typing import Final, NamedTuple

from diskdict.checksums import crc32
from diskdict.files import CHUNK
from diskdict.store import NEVER, Record

if sys.platform != "win32":
    import xattr

ATTRIBUTE: Final = "user.diskdict"
META: Final = "user.diskdict.meta"
SPELLING: Final = "user.diskdict.key"

FORMAT: Final = 1
LIMIT: Final = 1 << 62
"""No order, version or length reaches this."""
_HAS_META: Final = 1
_HAS_SPELLING: Final = 2
# format, flags, order, created, expires, version, length, checksum
_LAYOUT: Final = struct.Struct("<BBQddQQI")
SIZE: Final = _LAYOUT.size
"""Bytes of the main attribute."""
_EXPIRY: Final = struct.Struct("<d")
_EXPIRY_AT: Final = struct.calcsize("<BBQd")

STRIPPED: Final = 1 << 62
"""Files that have lost their attributes have this and their time of change (ns) for an order: behind all others."""

_ABSENT: Final = frozenset({errno.ENODATA, getattr(errno, "ENOATTR", errno.ENODATA)})
_UNSUPPORTED: Final = frozenset({errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM, errno.ENOSYS})
_TOO_LARGE: Final = frozenset({errno.ENOSPC, errno.E2BIG, errno.ERANGE, errno.EDQUOT})


class Attributes(NamedTuple):
    """All that is known of a value beside its bytes. The fields are those of `diskdict.store.Record`."""

    order: int
    created: float
    expires: float
    version: int
    length: int
    checksum: int
    meta: str | None = None
    spelling: str | None = None

    def fit(self, payload: bytes) -> bool:
        """Return whether these attributes were written with `payload`."""
        return self.length == len(payload) and self.checksum == crc32(payload)

    def misfit(self, payload: bytes) -> str:
        """Say how `payload` is not what was written."""
        if self.length != len(payload):
            return f"{self.length:,} bytes were written, {len(payload):,} are there"
        return f"its {len(payload):,} bytes are not those that were written"


class Calls(NamedTuple):
    """The three calls on a descriptor, from the package or straight from the kernel."""

    get: Callable[[int, str], bytes]
    set: Callable[[int, str, bytes], None]
    remove: Callable[[int, str], None]


def _unsupported(*_: object) -> bytes:
    raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))


def _nothing(*_: object) -> None:
    _unsupported()


if sys.platform == "win32":
    PACKAGE = Calls(_unsupported, _nothing, _nothing)
else:
    PACKAGE = Calls(xattr.getxattr, xattr.setxattr, xattr.removexattr)

# The package takes five times as long for the call that every read of a store with expiry makes.
calls = Calls(os.getxattr, os.setxattr, os.removexattr) if sys.platform == "linux" else PACKAGE


def flags(meta: str | None, spelling: str | None) -> int:
    """Return the bits that say what is beside the main attribute."""
    return (_HAS_META if meta else 0) | (_HAS_SPELLING if spelling else 0)


def pack(attributes: Attributes) -> bytes:
    """Return the bytes of the main attribute."""
    order, created, expires, version, length, checksum, meta, spelling = attributes
    return _LAYOUT.pack(FORMAT, flags(meta, spelling), order, created, expires, version, length, checksum)


def unpack(blob: bytes) -> tuple[Attributes, int] | None:
    """Return attributes and flags, or None for anything that `pack` did not write."""
    if len(blob) != _LAYOUT.size or blob[0] != FORMAT:
        return None
    _, also, order, created, expires, version, length, checksum = _LAYOUT.unpack(blob)
    # Only NaN differs from itself: it compares false with everything, so that a key would neither expire nor live.
    if expires != expires or created != created or order >= LIMIT or version >= LIMIT or length >= LIMIT:
        return None
    return Attributes(order, created, expires, version, length, checksum), also


def expiry(fd: int) -> float | None:
    """Return when the value of an open file expires, or None where it has no attributes: `fetch` in half the time."""
    try:
        blob = calls.get(fd, ATTRIBUTE)
    except OSError:
        return None
    if len(blob) != _LAYOUT.size or blob[0] != FORMAT:
        return None
    expires: float = _EXPIRY.unpack_from(blob, _EXPIRY_AT)[0]
    return expires if expires == expires else None


def fetch(fd: int) -> Attributes | None:
    """Return the attributes of an open file, or None where it has none."""
    try:
        blob = calls.get(fd, ATTRIBUTE)
    except OSError as error:
        if error.errno in _ABSENT or error.errno in _UNSUPPORTED:
            return None
        raise
    known = unpack(blob)
    if known is None:
        return None
    attributes, also = known
    if not also:
        return attributes
    return attributes._replace(
        meta=_fetch_text(fd, META) if also & _HAS_META else None,
        spelling=_fetch_text(fd, SPELLING) if also & _HAS_SPELLING else None,
    )


def _fetch_text(fd: int, name: str) -> str | None:
    while True:
        try:
            return PACKAGE.get(fd, name).decode("utf-8", "surrogatepass") or None
        except UnicodeDecodeError:
            return None
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            # The package asks for the size first, and by then it had grown.
            if error.errno != errno.ERANGE:
                raise


def apply(fd: int, attributes: Attributes) -> bool:
    """Give an open file its attributes; return False, having set no main attribute, where they do not fit."""
    try:
        if attributes.meta:
            PACKAGE.set(fd, META, attributes.meta.encode("utf-8", "surrogatepass"))
        if attributes.spelling:
            PACKAGE.set(fd, SPELLING, attributes.spelling.encode("utf-8", "surrogatepass"))
        # Last: it alone says that the others are there.
        calls.set(fd, ATTRIBUTE, pack(attributes))
    except OSError as error:
        if error.errno in _TOO_LARGE or error.errno in _UNSUPPORTED:
            return False
        raise
    return True


def discard_meta(fd: int) -> None:
    """Take the metadata off an open file."""
    _remove(fd, META)


def strip(fd: int) -> None:
    """Take the main attribute off an open file, so that its sidecar counts."""
    _remove(fd, ATTRIBUTE)


def clear(fd: int) -> None:
    """Take all attributes off an open file."""
    for name in (ATTRIBUTE, META, SPELLING):
        _remove(fd, name)


def _remove(fd: int, name: str) -> None:
    try:
        calls.remove(fd, name)
    except OSError as error:
        if error.errno not in _ABSENT and error.errno not in _UNSUPPORTED:
            raise


def supported(fd: int, *, writable: bool) -> bool:
    """Return whether the filesystem of an open file keeps attributes, by asking it."""
    try:
        if writable:
            calls.set(fd, ATTRIBUTE, b"probe")
        else:
            calls.get(fd, ATTRIBUTE)
    except OSError as error:
        return error.errno in _ABSENT
    return True


def describe(payload: bytes, number: int, created: float) -> Attributes:
    """Return attributes for a value that has none: `number` is its order and its version."""
    return Attributes(number, created, NEVER, number, len(payload), crc32(payload))


def attributes_of(record: Record) -> Attributes:
    """Return what is kept beside the payload of a record."""
    payload, order, created, _, expires, version, meta, spelling = record
    return Attributes(order, created, expires, version, len(payload), crc32(payload), meta, spelling)


def record_of(payload: bytes, known: Attributes, updated: float) -> Record:
    """Return the record of a payload and what is kept beside it."""
    return Record(
        payload, known.order, known.created, updated, known.expires, known.version, known.meta, known.spelling
    )


def stripped(status: os.stat_result) -> Attributes:
    """Return attributes for a file that has none, from what the filesystem knows of it."""
    # The columns of the index hold numbers below 2**63.
    behind = STRIPPED + min(max(0, status.st_mtime_ns), STRIPPED - 1)
    return Attributes(behind, status.st_mtime, NEVER, 0, status.st_size, 0)


def is_whole(fd: int) -> bool:
    """Return whether an open file has attributes that fit what it holds. It is left at its beginning."""
    known = fetch(fd)
    return known is not None and holds(fd, known)


def holds(fd: int, known: Attributes) -> bool:
    """Return whether an open file is what these attributes were written with. It is left at its beginning."""
    if known.length != os.fstat(fd).st_size:
        return False
    found = 0
    while piece := os.read(fd, CHUNK):
        found = crc32(piece, found)
    os.lseek(fd, 0, os.SEEK_SET)
    return found == known.checksum


def is_stripped(attributes: Attributes) -> bool:
    """Return whether these are attributes made up for a file that has lost its own."""
    return attributes.order >= STRIPPED
