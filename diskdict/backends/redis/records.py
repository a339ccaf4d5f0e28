"""Records as Redis has them: what `diskdict/backends/redis/records.lua` is told and tells, a pure pair."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from struct import Struct
from typing import Final, NamedTuple, cast

from diskdict.checksums import crc32
from diskdict.errors import CorruptValueError, LimitError
from diskdict.store import ABSENT, NEVER, OnlyIf, Record, Stat

FORMAT: Final = 1

Argument = bytes | str | int

_HEAD: Final = Struct(">B5d4I")
_ENDS: Final = Struct(">3I")
_ENDS_AT: Final = _HEAD.size - _ENDS.size - 4
_TIME: Final = Struct(">d")
_NUMBERS: Final = Struct(">dB2H")
_GIVEN: Final = Struct(">3d4I")
_LARGEST: Final = (512 << 20) - (1 << 20)
"""Bytes of a record: what a server takes as one string unless it is told otherwise, and a margin."""
_LATEST: Final = 1 << 53
"""Milliseconds from which on Redis does not count exactly: it is not told of an expiry after them."""


class Change(NamedTuple):
    """A change of a key: its name in the script, what that takes, and a second key that is changed by it."""

    kind: str
    key: str
    arguments: Sequence[Argument]
    target: str | None = None


def encoded(text: str) -> bytes:
    """Return the bytes of a text, whatever it is made of."""
    return text.encode("utf-8", "surrogatepass")


def decoded(text: bytes) -> str:
    """Return the text of bytes from `encoded`."""
    return text.decode("utf-8", "surrogatepass")


def put(
    key: str,
    payload: bytes,
    *,
    expires: float = NEVER,
    meta: str | None = None,
    spelling: str | None = None,
    created: float | None = None,
    fresh: bool = False,
) -> Change:
    """Return the change that `Store.put` is; `fresh` puts a new record in the place of a live one."""
    return Change(
        "put",
        key,
        (encoded(key), int(fresh), _given(payload, expires, meta, spelling, created)),
    )


def _given(payload: bytes, expires: float, meta: str | None, spelling: str | None, created: float | None) -> bytes:
    """Return when a record was created, when it is due, and all of it from its expiry on."""
    spelled, described = encoded(spelling) if spelling else b"", encoded(meta) if meta else b""
    born, due = -math.inf if created is None else created, expires if expires == NEVER else _due(expires)
    if len(spelled) + len(described) + len(payload) > _LARGEST:
        raise LimitError("Redis", _LARGEST, len(spelled) + len(described) + len(payload), "bytes")
    head = _GIVEN.pack(born, due, expires, crc32(payload), len(spelled), len(described), len(payload))
    return b"".join((head, spelled, described, payload))


def amend(key: str, expires: float | None, meta: str | None) -> Change:
    """Return the change that `Store.amend` is."""
    time = b"" if expires is None else _TIME.pack(expires)
    due: Argument = "" if expires is None or _due(expires) == NEVER else int(_due(expires))
    return Change("amend", key, (encoded(key), time, due, int(meta is not None), encoded(meta or "")))


def delete(key: str) -> Change:
    """Return the change that `Store.delete` is."""
    return Change("delete", key, (encoded(key),))


def rename(source: str, target: str, spelling: str | None) -> Change:
    """Return the change that `Store.rename` is."""
    return Change("rename", source, (encoded(source), encoded(target), encoded(spelling or "")), target)


def operations(changes: Mapping[str, Record | None], amended: Collection[str], fresh: int) -> Iterator[Change]:
    """Yield the changes of a commit. Records whose order is `fresh` or above are new ones."""
    yield from (delete(key) for key, record in changes.items() if record is None)
    kept = [(key, record) for key, record in changes.items() if record is not None]
    for key, record in sorted(kept, key=lambda pair: pair[1].order):
        if key in amended:
            yield amend(key, record.expires, record.meta or "")
            continue
        # When things were made that are made in this commit the server knows best.
        created = None if record.created == record.updated else record.created
        yield put(
            key,
            record.payload,
            expires=record.expires,
            meta=record.meta,
            spelling=record.spelling,
            created=created,
            fresh=record.order >= fresh,
        )


def numbers(highest: float, share: int, shares: int, *, timed: bool) -> bytes:
    """Return how changes are numbered: at least so high, by the time, and congruent `share`."""
    return _NUMBERS.pack(highest, timed, share, shares)


def floored(floors: Sequence[float]) -> bytes:
    """Return what the numbers of puts must not be below."""
    return b"".join(map(_TIME.pack, floors))


def expectations(expected: Mapping[str, OnlyIf]) -> Iterator[Argument]:
    """Yield keys and the versions that they must have, none for absent ones."""
    for key, version in expected.items():
        yield encoded(key)
        yield "" if version is ABSENT or version is None else version


def _due(expires: float) -> float:
    due = expires * 1000
    return math.ceil(due) if due < _LATEST else NEVER


def payload_of(key: str, stored: bytes) -> bytes:
    """Return the payload of what is stored; CorruptValueError where it is no record, or damaged."""
    _check(key, stored)
    checksum, spelling, meta = _ENDS.unpack_from(stored, _ENDS_AT)
    payload = stored[_HEAD.size + spelling + meta :]
    if crc32(payload) != checksum:
        raise CorruptValueError(key, "", "the checksum does not fit")
    return payload


def record_of(key: str, stored: bytes) -> Record:
    """Return the record that is stored; CorruptValueError as in `payload_of`."""
    payload = payload_of(key, stored)
    return Record(payload, *_attributes(stored))


def stat_of(key: str, stored: bytes, size: int) -> Stat:
    """Return the record of whose payload nothing is here but its size."""
    _check(key, stored)
    checksum, _, _ = _ENDS.unpack_from(stored, _ENDS_AT)
    return Stat(size, checksum, *_attributes(stored))


def _check(key: str, stored: bytes) -> None:
    if len(stored) < _HEAD.size or stored[0] != FORMAT:
        raise CorruptValueError(key, "", "this is no record of diskdict, or one of a later format")


def _attributes(stored: bytes) -> tuple[int, float, float, float, int, str | None, str | None]:
    fields = cast(tuple[int, float, float, float, float, float, int, int, int, int], _HEAD.unpack_from(stored))
    _, order, version, updated, created, expires, _, spelling, meta, _ = fields
    begin, middle = _HEAD.size, _HEAD.size + spelling
    described = decoded(stored[middle : middle + meta]) or None
    return int(order), created, updated, expires, int(version), described, decoded(stored[begin:middle]) or None
