"""What stands beside the payload of an object, as one line of JSON: `packed` and `parsed`, a pure pair.

An object is a payload, a line feed, and this line. Where it fits, the line is in the object's metadata, too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final, NamedTuple, cast

from diskdict.checksums import crc32
from diskdict.errors import CorruptValueError
from diskdict.store import NEVER, Record, Stat

FORMAT: Final = 1
PLACED: Final = 2
"""The format of a line that tells where a payload is: who knows only the other would look, and sweep, amiss."""


class Held(NamedTuple):
    """A record as an object tells of it: all but its payload.

    ``place`` is the name of the object of the payload, if it has one, and another name than its version gives it.
    """

    stat: Stat
    place: str | None = None


class Given(NamedTuple):
    """A record that is to be written, with its payload; None where that has its object already."""

    held: Held
    payload: bytes | None


class Line(NamedTuple):
    """What an object says of itself.

    ``number`` is never the same for two states of a key, so that two states never have one ETag. An object is a
    record; or, while several keys are changed as one, the ``record`` before it and the one ``after`` it, and the name
    of that ``change``; or, while it is removed, a ``grave``: the seconds that this may take. ``key`` is there where the
    name does not tell it.
    """

    number: int
    key: str | None = None
    record: Held | None = None
    change: str | None = None
    after: Held | None = None
    grave: float | None = None


def stat_of(record: Record) -> Stat:
    """Return a record without its payload."""
    return Stat(len(record.payload), crc32(record.payload), *record[1:])


def given_of(record: Record) -> Given:
    """Return a record as it is to be written."""
    return Given(Held(stat_of(record)), record.payload)


def packed(line: Line) -> str:
    """Return the text of a line: ASCII, without a line feed."""
    placed = any(held is not None and held.place is not None for held in (line.record, line.after))
    said: dict[str, object] = {"diskdict": PLACED if placed else FORMAT, "number": line.number, "key": line.key}
    said |= {"record": _said(line.record), "change": line.change, "after": _said(line.after), "grave": line.grave}
    text = json.dumps({name: value for name, value in said.items() if value is not None}, separators=(",", ":"))
    # Two spaces in a header may be signed as one.
    return text.replace("  ", " \\u0020")


def _said(held: Held | None) -> dict[str, object] | None:
    if held is None:
        return None
    stat = held.stat
    said = stat._asdict() | {"expires": None if stat.expires == NEVER else stat.expires, "place": held.place}
    return {name: value for name, value in said.items() if value is not None}


def parsed(text: str | bytes, name: str) -> Line:
    """Return the line of a text; CorruptValueError, which tells the name of the object, where it is none."""
    try:
        said = json.loads(text)
        if said["diskdict"] not in (FORMAT, PLACED):
            raise ValueError(f"format {said['diskdict']!r}")
        record, after = (_held(said.get(part)) for part in ("record", "after"))
        return Line(int(said["number"]), said.get("key"), record, said.get("change"), after, said.get("grave"))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CorruptValueError(name, "", f"this is no object of diskdict, or of a later format: {error}") from error


def _held(said: object) -> Held | None:
    if said is None:
        return None
    one = cast(Mapping[str, object], said)
    expires = cast(float, one.get("expires", NEVER))
    size, checksum, order, version = (cast(int, one[name]) for name in ("size", "checksum", "order", "version"))
    created, updated = cast(float, one["created"]), cast(float, one["updated"])
    meta, spelling = cast(str | None, one.get("meta")), cast(str | None, one.get("spelling"))
    stat = Stat(size, checksum, order, created, updated, expires, version, meta, spelling)
    return Held(stat, cast(str | None, one.get("place")))


def joined(line: Line, *payloads: bytes) -> bytes:
    """Return the whole of an object."""
    return b"".join((*payloads, b"\n", packed(line).encode()))


def last_line(body: bytes) -> bytes:
    """Return the last line of an object."""
    return body[body.rfind(b"\n") + 1 :]


def record_of(key: str, stat: Stat, payload: bytes) -> Record:
    """Return a record; CorruptValueError where the payload is not what it was."""
    return Record(sound(key, stat, payload), *stat[2:])


def sound(key: str, stat: Stat, payload: bytes) -> bytes:
    """Return a payload; CorruptValueError where it is not what it was."""
    if len(payload) != stat.size or crc32(payload) != stat.checksum:
        raise CorruptValueError(key, "", "the checksum does not fit")
    return payload
