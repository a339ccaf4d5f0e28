"""Records as rows of a table of PostgreSQL, and as the parameters of what is said about it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from diskdict.backends.postgres.columns import indexed, searchable
from diskdict.checksums import crc32
from diskdict.errors import LimitError
from diskdict.escapes import escaped, unescaped
from diskdict.messages import Listed
from diskdict.store import Record, Stat

FRESH: Final = 1 << 61
"""Orders from here are of records that are committed as new ones."""
_LARGEST: Final = (1 << 30) - (1 << 20)
"""Bytes that PostgreSQL takes in one message, with what goes beside them."""

Row = tuple[Any, ...]
Parameters = dict[str, object]


def record_of(row: Row) -> Record:
    """Return the record that a row is."""
    record = Record._make(row)
    if record.meta is None and record.spelling is None:
        return record
    meta, spelling = _texts(row[6:])
    return record._replace(meta=meta, spelling=spelling)


def stat_of(row: Row) -> Stat:
    """Return what a row tells of a record without its payload."""
    size, checksum, order, created, updated, expires, version, *texts = row
    return Stat(size, checksum, order, created, updated, expires, version, *_texts(tuple(texts)))


def _texts(row: Row) -> tuple[str | None, str | None]:
    meta, spelling = row
    return meta and meta_of(meta), spelling and unescaped(spelling)


def meta_of(stored: bytes) -> str:
    """Return the text of metadata."""
    return stored.decode("utf-8", "surrogatepass")


def listed(stored: str, spelling: str | None) -> str:
    """Return the text of a key, with its spelling where it may have one of its own."""
    text = unescaped(stored)
    # A plain str is its own spelling, and has to be one: others subclass str for reasons of their own.
    if text[:1] != "=":
        return text
    key = Listed(text)
    key.spelling = text if spelling is None else unescaped(spelling)
    return key


def one(
    key: str, payload: bytes, *, expires: float, meta: str | None, spelling: str | None, created: float | None
) -> Parameters:
    """Return what is said to put a record."""
    _check_size(len(payload))
    text, whole = indexed(key)
    return {
        "key": text,
        "whole": whole,
        "payload": payload,
        "checksum": crc32(payload),
        "created": created,
        "expires": expires,
        "spelling": spelling and escaped(spelling),
    } | metadata(meta)


def metadata(meta: str | None) -> Parameters:
    """Return what is said to set metadata."""
    return {"meta": _bytes(meta), "metadata": searchable(meta or None)}


def several(payloads: Mapping[str, bytes], spellings: Mapping[str, str]) -> Parameters:
    """Return what is said to put payloads."""
    _check_size(sum(map(len, payloads.values())))
    texts = [indexed(key) for key in payloads]
    return {
        "keys": [text for text, _ in texts],
        "wholes": [whole for _, whole in texts],
        "payloads": list(payloads.values()),
        "checksums": [crc32(payload) for payload in payloads.values()],
        "spellings": [escaped(spellings[key]) if key in spellings else None for key in payloads],
    }


def version_of(only_if: int | None) -> int | None:
    """Return a version to look for as one that a column can have."""
    return only_if if only_if is None or 0 <= only_if < 1 << 63 else -1


def written(changes: Mapping[str, Record | None], amended: Collection[str]) -> Parameters:
    """Return what is said of the records that a commit writes, in the order that they are to have."""
    kept = [(key, record) for key, record in changes.items() if record is not None]
    kept.sort(key=lambda pair: pair[1].order)
    texts = [indexed(key) for key, _ in kept]
    payloads = [None if key in amended else record.payload for key, record in kept]
    records = [record for _, record in kept]
    _check_size(sum(len(payload) for payload in payloads if payload is not None))
    return {
        "keys": [text for text, _ in texts],
        "wholes": [whole for _, whole in texts],
        "payloads": payloads,
        "checksums": [None if payload is None else crc32(payload) for payload in payloads],
        "fresh": [record.order >= FRESH for record in records],
        # When things were made that are made in this commit the server knows best.
        "created": [None if record.created == record.updated else record.created for record in records],
        "expires": [record.expires for record in records],
        "metas": [_bytes(record.meta) for record in records],
        "metadata": [searchable(record.meta) for record in records],
        "spellings": [None if record.spelling is None else escaped(record.spelling) for record in records],
    }


def _bytes(meta: str | None) -> bytes | None:
    return meta.encode("utf-8", "surrogatepass") if meta else None


def _check_size(size: int) -> None:
    if size > _LARGEST:
        raise LimitError("PostgreSQL", _LARGEST, size, "bytes")
