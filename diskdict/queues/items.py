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
from collections.abc import Iterator
from typing import Final, NamedTuple
from zlib import crc32

HEAD: Final = 67
"""Bytes of an item before its key."""
WAITING: Final = b"+"
REMOVED: Final = b"-"
UNFINISHED: Final = b"?"
"""The state of the first of several items, until all of them are written."""
MAX_KEY: Final = 1_000
"""Characters of a key."""
MAX_TIME: Final = 9_999_999_999.0
"""The last second that can be written down, in the year 2286."""
MOST_DELIVERIES: Final = 999
"""Where counting them ends."""

_CHECK: Final = 24  # where the checksum lies
_REST: Final = 32  # where begins what it covers
_PUT_TIME: Final = slice(33, 50)
_LENGTH: Final = slice(51, 61)
_KEY_LENGTH: Final = slice(62, 66)
_HEAD: Final = re.compile(rb"([+?-]) (\d{10}\.\d{6}) (\d{3}) ([0-9a-f]{8}) \d{10}\.\d{6} (\d{10}) (\d{4})\n")
_SOMETHING: Final = re.compile(rb"[^\0]")


class Item(NamedTuple):
    """What is kept of an item: its payload, the time of its ``put`` and its ``dedupe_key`` or an empty text."""

    payload: bytes
    put_time: float
    key: str


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
    return b"%b %017.6f 000 %08x%b" % (state, due, crc32(rest, (salt ^ number) & 0xFFFFFFFF), rest)


def encode_state(due: float, deliveries: int) -> bytes:
    """Return what is written over an item's state, `STATE_AT` its first byte."""
    return b"%017.6f %03d" % (due, min(deliveries, MOST_DELIVERIES))


STATE_AT: Final = 2


def length(content: bytes, at: int) -> int:
    """Return the bytes of the item that begins at `at`, or raise ValueError."""
    head = content[at : at + HEAD]
    if len(head) < HEAD:
        raise ValueError("an item that is cut off")
    return HEAD + int(head[_LENGTH]) + int(head[_KEY_LENGTH]) + 1


def decode(content: bytes, at: int, number: int, salt: int) -> Item:
    """Return the item with the id `number` that begins at `at`, or raise ValueError."""
    end = at + length(content, at)
    if end > len(content) or end <= at:
        raise ValueError("an item that is cut off")
    rest = content[at + _REST : end]
    if int(content[at + _CHECK : at + _REST], 16) != crc32(rest, (salt ^ number) & 0xFFFFFFFF):
        raise ValueError("what lies in the file is not what was put")
    start = HEAD - _REST + int(content[at + 62 : at + 66])
    return Item(rest[start:-1], float(rest[1:18]), rest[HEAD - _REST : start].decode())


def is_whole(content: bytes, at: int, first: int, salt: int) -> bool:
    """Return whether an item lies at `at` and is what was written there."""
    try:
        decode(content, at, first + at, salt)
    except ValueError:
        return False
    return True


def walk(content: bytes, first: int, salt: int, *, last: bool) -> Iterator[Entry | Damage]:
    """Yield what a file holds, in order. In the `last` one of a queue its end may never have been finished.

    Heads are taken at their word as long as each is followed by the next.
    """
    at = 0
    used = len(content.rstrip(b"\0"))
    before: Entry | None = None
    while True:
        found = _HEAD.match(content, at)
        end = len(content) + 1 if found is None else found.end() + int(found[5]) + int(found[6]) + 1
        if found is not None and end <= len(content) and found[1] != UNFINISHED:
            if before is not None:
                yield before
            before = _entry(content, found, end)
            at = end
            continue
        something = _SOMETHING.search(content, at)
        if something is not None and something.start() > at and found is None:
            at = something.start()
            continue
        if before is not None and before.waiting and not is_whole(content, before.at, first, salt):
            at = before.at
        elif before is not None:
            yield before
        before = None
        if last and found is not None and found[1] == UNFINISHED and at == found.start():
            return
        if at >= used:
            return
        end = end_of_damage(content, at, first, salt)
        if last and end == used and content[used - 1 : used] != b"\n":
            return
        yield Damage(at, end)
        at = end


def _entry(content: bytes, found: re.Match[bytes], end: int) -> Entry:
    key = content[found.end() : found.end() + int(found[6])].decode(errors="replace") if found[6] != b"0000" else ""
    return Entry(found.start(), end, found[1] == WAITING, float(found[2]), int(found[3]), key)


def end_of_damage(content: bytes, at: int, first: int, salt: int) -> int:
    """Return where what is damaged at `at` ends: where the next whole item begins, or the last byte is."""
    for found in _HEAD.finditer(content, at + 1):
        if is_whole(content, found.start(), first, salt):
            return found.start()
    return len(content.rstrip(b"\0"))
