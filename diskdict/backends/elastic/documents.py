"""Records as documents of Elasticsearch, and what is said to change one. Pure.

A document has the ``key`` as `diskdict.escapes` has it and the ``payload`` as base64. Its id is the key behind a ``:``,
or where that is longer than the 512 bytes an id may have, a digest behind a ``#``. To be searched are ``begins``, the
first 600 characters of the key, ``order`` with ``name`` (the id) for keys that have the same, ``expires``, ``size``,
and ``described``, whether there is metadata; all else is kept as it is.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final, NamedTuple, cast

from diskdict.checksums import crc32
from diskdict.errors import CorruptValueError
from diskdict.escapes import escaped, unescaped
from diskdict.messages import Listed
from diskdict.store import NEVER, Record, Stat

Document = dict[str, Any]
"""What the client makes JSON of, or has made of JSON."""

FORMAT: Final = 1
BEGINNING: Final = 600
"""Characters of a key by which it is found."""
_LONGEST_ID: Final = 512
_TERM_AT: Final = 42

MAPPING: Final[Document] = {
    "dynamic": False,
    "properties": {
        "begins": {"type": "keyword"},
        "name": {"type": "keyword"},
        "order": {"type": "long"},
        "expires": {"type": "double"},
        "size": {"type": "long"},
        "described": {"type": "boolean"},
    },
}


class Found(NamedTuple):
    """A document as it is now: what it says of its record, and by what a change tells that it still is so."""

    stat: Stat
    seq_no: int
    term: int
    source: Document


class Change(NamedTuple):
    """A change of a document: an operation of ``_bulk``, its condition, and what it takes.

    ``growth`` is by how many bytes payloads become longer, ``resizes`` whether a key comes or goes.
    """

    kind: str
    condition: Document
    body: Document | None = None
    growth: int = 0
    resizes: bool = False

    def operations(self, key: str) -> list[Document]:
        """Return the lines of ``_bulk``."""
        head: Document = {self.kind: {"_id": id_of(key), **self.condition}}
        return [head] if self.body is None else [head, self.body]


def id_of(key: str) -> str:
    """Return the id of a key's document."""
    name = ":" + escaped(key)
    return name if len(name.encode()) <= _LONGEST_ID else "#" + sha256(name.encode()).hexdigest()


def version_of(term: int, seq_no: int) -> int:
    """Return the version that a change has got: its number in the index, and under which primary."""
    return (term << _TERM_AT) + seq_no + 1


def document(
    key: str,
    payload: bytes,
    *,
    order: int,
    created: float,
    updated: float,
    expires: float,
    meta: str | None,
    spelling: str | None,
) -> Document:
    """Return the document of a record."""
    text = escaped(key)
    return {
        "key": text,
        "begins": text[:BEGINNING],
        "name": id_of(key),
        "order": order,
        "created": created,
        "updated": updated,
        "size": len(payload),
        "checksum": crc32(payload),
        "payload": b64encode(payload).decode(),
        **when(expires),
        **described(meta),
        **({} if spelling is None else {"spelling": escaped(spelling)}),
    }


def when(expires: float) -> Document:
    """Return what a document says of expiry."""
    return {"expires": None if expires == NEVER else expires}


def described(meta: str | None) -> Document:
    """Return what a document says of metadata."""
    return {"meta": escaped(meta) if meta else None, "described": bool(meta)}


def found_of(said: Mapping[str, Any]) -> Found:
    """Return what an answer says of a document, its payload or not."""
    source = cast(Document, said["_source"])
    seq_no, term = said["_seq_no"], said["_primary_term"]
    expires, meta, spelling = source.get("expires"), source.get("meta"), source.get("spelling")
    stat = Stat(
        size=source["size"],
        checksum=source["checksum"],
        order=source["order"],
        created=float(source["created"]),
        updated=float(source["updated"]),
        expires=NEVER if expires is None else float(expires),
        version=version_of(term, seq_no),
        meta=None if meta is None else unescaped(meta),
        spelling=None if spelling is None else unescaped(spelling),
    )
    return Found(stat, seq_no, term, source)


def record_of(key: str, found: Found) -> Record:
    """Return the record of a document; CorruptValueError where its payload is damaged."""
    try:
        payload = b64decode(found.source["payload"], validate=True)
    except (binascii.Error, KeyError, TypeError, ValueError) as error:
        raise CorruptValueError(key, "", f"the payload is no base64 ({error})") from error
    if crc32(payload) != found.stat.checksum or len(payload) != found.stat.size:
        raise CorruptValueError(key, "", "the checksum does not fit")
    return Record(payload, *found.stat[2:])


def listed(source: Document) -> str:
    """Return the text of a key, with its spelling where it may have one of its own."""
    text = unescaped(source["key"])
    if text[:1] != "=":
        return text
    key = Listed(text)
    spelling = source.get("spelling")
    key.spelling = text if spelling is None else unescaped(spelling)
    return key


def unless_changed(found: Found) -> Document:
    """Return the condition that a document is as it was looked at."""
    return {"if_seq_no": found.seq_no, "if_primary_term": found.term}


def as_found(hit: Document) -> Document:
    """Return the condition that a document is as a search has found it."""
    return {"if_seq_no": hit["_seq_no"], "if_primary_term": hit["_primary_term"]}
