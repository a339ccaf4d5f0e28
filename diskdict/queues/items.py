"""An item of a queue and its bytes in a file: `encode`, `decode`, and `walk` for what may be damaged.

::

    + 0000000000.000000 000 1f0c3a77 1763737000.123456 0000000025 0000
    {"url":"https://…"}

State, when it can be had, deliveries, checksum, time of ``put``, lengths of payload and key; then the key and the
payload. The checksum covers all that follows it and begins with the file's salt and the item's id, so that no payload
can be taken for an item. What stands before it is written over in place.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple
from zlib import crc32

HEAD: Final = 67
"""Bytes of an item before its key."""
WAITING: Final = b"+"
REMOVED: Final = b"-"
UNFINISHED: Final = b"?"
"""The state of the first of several items, until all of them are written."""
MAX_LENGTH: Final = 9_999_999_999
"""Bytes that can be written down as a length."""
MAX_KEY: Final = 1_000
"""Characters of a key."""
MAX_TIME: Final = 9_999_999_999.0
"""The last second that can be written down, in the year 2286."""
MOST_DELIVERIES: Final = 999
"""Where counting them ends."""

_REST: Final = 32  # where begins what the checksum covers
_FIELDS: Final = struct.Struct("24x 8s 19x 10s x 4s x")  # checksum, lengths of payload and key
_HEAD: Final = re.compile(rb"([+?-]) (\d{10}\.\d{6}) (\d{3}) [0-9a-f]{8} \d{10}\.\d{6} (\d{10}) (\d{4})\n")
_NEVER_GIVEN: Final = b" 0000000000.000000 000 "
_NO_KEY: Final = b" 0000\n"
_SETTLED: Final = (WAITING, REMOVED)
_SOMETHING: Final = re.compile(rb"[^\0]")


class Entry(NamedTuple):
    """An item that `walk` has found, and has not read yet."""

    at: int
    end: int
    waiting: bool
    due: float
    deliveries: int
    key: str


class Damage(NamedTuple):
    """Bytes from `at` to `end` that were items."""

    at: int
    end: int


def encode(
    payload: bytes, number: int, salt: int, put_time: float, due: float = 0.0, key: bytes = b"", state: bytes = WAITING
) -> bytes:
    """Return the bytes of the item with the id `number`."""
    rest = b" %017.6f %010d %04d\n%b%b\n" % (put_time, len(payload), len(key), key, payload)
    check = crc32(rest, (salt ^ number) & 0xFFFFFFFF)
    if due or state != WAITING:
        return b"%b %017.6f 000 %08x%b" % (state, due, check, rest)
    return b"+ 0000000000.000000 000 %08x%b" % (check, rest)


def encode_state(due: float, deliveries: int) -> bytes:
    """Return what is written over an item's state, `STATE_AT` its first byte."""
    return b"%017.6f %03d" % (due, min(deliveries, MOST_DELIVERIES))


STATE_AT: Final = 2


def decode(content: bytes, at: int, number: int, salt: int) -> bytes | None:
    """Return the payload of the item with the id `number` that begins at `at`, None where it is not there, whole."""
    try:
        check, length, key = _FIELDS.unpack_from(content, at)
        start = at + HEAD + int(key)
        end = start + int(length)
        whole = int(check, 16) == crc32(content[at + _REST : end + 1], (salt ^ number) & 0xFFFFFFFF)
    except (struct.error, ValueError):
        return None
    return content[start:end] if whole else None


def size(content: bytes, at: int) -> int:
    """Return the bytes of the item whose head begins at `at`, 0 where there is no head."""
    found = _HEAD.match(content, at)
    return 0 if found is None else HEAD + int(found[4]) + int(found[5]) + 1


def put_time(content: bytes, at: int) -> float:
    """Return the time of the ``put`` of the item that begins at `at` and is whole."""
    return float(content[at + _REST + 1 : at + _REST + 18])


def walk(content: bytes, first: int, salt: int, *, last: bool) -> Iterator[Entry | Damage]:
    """Yield what a file holds, in order. In the `last` one of a queue its end may never have been finished.

    Heads are taken at their word as long as each is followed by the next.
    """
    at, used = 0, len(content.rstrip(b"\0"))
    before: Entry | None = None
    while True:
        entry = _plain(content, at)
        if entry is None and (found := _HEAD.match(content, at)) is not None:
            entry = _entry(content, found)
        if entry is not None:
            if before is not None:
                yield before
            before, at = entry, entry.end
            continue
        something = _SOMETHING.search(content, at)
        if something is not None and something.start() > at:
            at = something.start()
            continue
        if before is not None and before.waiting and decode(content, before.at, first + before.at, salt) is None:
            at = before.at
        elif before is not None:
            yield before
        before = None
        if at >= used or (last and content[at : at + 1] == UNFINISHED):
            return
        end = end_of_damage(content, at, first, salt)
        if last and end == used and content[used - 1 : used] != b"\n":
            return
        yield Damage(at, end)
        at = end


def _plain(content: bytes, at: int) -> Entry | None:
    # Most heads are of items that were never given: three looks tell, in half of the time.
    state = content[at : at + 1]
    if content[at + 1 : at + 24] != _NEVER_GIVEN or content[at + 61 : at + HEAD] != _NO_KEY or state not in _SETTLED:
        return None
    try:
        end = at + HEAD + int(content[at + 51 : at + 61]) + 1
    except ValueError:
        return None
    return Entry(at, end, state == WAITING, 0.0, 0, "") if at + HEAD < end <= len(content) else None


def _entry(content: bytes, found: re.Match[bytes]) -> Entry | None:
    state, due, deliveries, length, key_length = found.group(1, 2, 3, 4, 5)
    at, key_end = found.start(), found.end() + int(key_length)
    end = key_end + int(length) + 1
    if end > len(content) or state == UNFINISHED:
        return None
    key = content[found.end() : key_end].decode(errors="replace")
    return Entry(at, end, state == WAITING, float(due), int(deliveries), key)


def end_of_damage(content: bytes, at: int, first: int, salt: int) -> int:
    """Return where what is damaged at `at` ends: where the next whole item begins, or the last byte is."""
    for found in _HEAD.finditer(content, at + 1):
        if decode(content, found.start(), first + found.start(), salt) is not None:
            return found.start()
    return len(content.rstrip(b"\0"))
