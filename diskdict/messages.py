"""What travels between a client and the server: keys in addresses, records in headers and in JSON documents. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final, cast
from urllib.parse import quote, unquote

import ujson

from diskdict import tags
from diskdict.codecs import ESCAPE, JSON, OPENS_JSON, RAW
from diskdict.errors import InvalidKeyError
from diskdict.info import pack, unpack
from diskdict.keys import decode, encode
from diskdict.store import ABSENT, NEVER, OnlyIf, Record, Stat

KEYS: Final = "/v1/keys"
BATCH: Final = "/v1/batch"
QUEUES: Final = "/v1/queues"
JSON_TYPE: Final = "application/json"
BYTES_TYPE: Final = "application/octet-stream"
PROBLEM_TYPE: Final = "application/problem+json"

LONGEST: Final = 4_000
"""Characters of metadata that go in a header; more go in a batch."""
MOST: Final = 60_000
"""Characters that a key may have in a URL."""
OPERATIONS: Final = 10_000
"""Operations that a batch may have."""

NAME: Final = "1 to 100 letters, digits, '-', '_' and '.', not beginning with '.'"
"""What the name of a copy and of a queue is."""
is_name: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}").fullmatch
LONGEST_WAIT: Final = 60
"""Seconds that a request to a queue may wait."""
MOST_AT_ONCE: Final = 1_000
"""Deliveries that a request to a queue may ask for."""
LONGEST_DELAY: Final = 1_000_000_000
"""Seconds of a delay and of a visibility."""

Document = Mapping[str, object]
"""A JSON object as it was parsed, with the tags of values as they stand."""


class Listed(str):
    """The text of a key as a listing gave it, with its spelling there."""

    __slots__ = ("spelling",)
    spelling: str


def path_of(key: str) -> str:
    """Return the path and query that name a key, given by its text or by its spelling."""
    segment = quoted(key)
    if len(segment) > MOST:
        raise InvalidKeyError(f"a key of {len(segment):,} characters in a URL; {MOST:,} is what servers take")
    # Nothing and dots would be taken for steps of the path.
    return f"{KEYS}/?key={segment}" if key in ("", ".", "..") else f"{KEYS}/{segment}"


def queue_path(name: str, *rest: object) -> str:
    """Return the path of a queue, or of something that belongs to it."""
    if not isinstance(name, str) or not is_name(name):
        raise ValueError(f"a name of a queue is {NAME}, not {name!r}")
    return "/".join([QUEUES, name, *map(str, rest)])


def quoted(text: str) -> str:
    """Return a text as it stands in a URL."""
    return quote(text, safe="", errors="surrogatepass")


def path_to(key: str, action: str) -> str:
    """Return the path and query of something that is asked of a key or done to it."""
    path, mark, query = path_of(key).partition("?")
    return f"{path}/{action}{mark}{query}"


def listed(spelled: str) -> str:
    """Return the canonical text of a key from what a listing has."""
    if spelled[:1] != "=":
        return spelled
    text = Listed(encode(decode(spelled)))
    text.spelling = spelled
    return text


class Form:
    """How the payloads of a codec travel: as JSON where they are JSON, as bytes otherwise.

    Parameters
    ----------
    codec: str
        The name of the codec. With ``"json"`` and ``"raw"`` the server's other clients see the same values; what
        another codec makes is bytes to them.
    """

    def __init__(self, codec: str) -> None:
        self._json = codec == JSON.name
        self._escapes = {JSON.name: JSON.dumps, RAW.name: RAW.dumps}.get(codec)

    def body(self, payload: bytes) -> tuple[str, bytes]:
        """Return the type and the body that carry a payload."""
        if self._json and payload[0] in OPENS_JSON:
            return JSON_TYPE, payload
        return BYTES_TYPE, payload[1:] if self._escapes is not None and payload[:1] == ESCAPE else payload

    def payload(self, headers: Mapping[str, str], body: bytes) -> bytes:
        """Return the payload in the answer to a GET of a key. ValueError where it is of a type that no value has."""
        return self._carried(headers["Content-Type"].partition(";")[0], body)

    def _carried(self, kind: str, body: bytes) -> bytes:
        if kind == JSON_TYPE and self._json:
            return body
        if kind not in (JSON_TYPE, BYTES_TYPE):
            raise ValueError(f"a value of type {kind!r}")
        return body if self._escapes is None else self._escapes(body)

    def text(self, payload: bytes) -> str:
        """Return the JSON of a payload within a document."""
        kind, body = self.body(payload)
        return body.decode() if kind == JSON_TYPE else json.dumps(tags.tag(body))

    def payload_of(self, value: object) -> bytes:
        """Return the payload of what stands for a value in a document that was parsed."""
        if isinstance(value, dict) and value.keys() == {"$bytes"}:
            return self._carried(BYTES_TYPE, cast(bytes, tags.untag(value)))
        text = ujson.dumps(value, ensure_ascii=False, escape_forward_slashes=False)
        return self._carried(JSON_TYPE, text.encode())

    def record(self, key: str, headers: Mapping[str, str], body: bytes) -> Record:
        """Return the record in the answer to a GET of a key."""
        meta = headers.get("X-Metadata")
        return Record(
            payload=self.payload(headers, body),
            order=int(headers["X-Order"]),
            created=float(headers["X-Created-At"]),
            updated=float(headers["X-Updated-At"]),
            expires=float(headers.get("X-Expires-At", NEVER)),
            version=version_of(headers),
            meta=None if meta is None else _meta(ujson.loads(meta)),
            spelling=_spelling(key, unquote(headers.get("X-Key", ""), errors="surrogatepass")),
        )

    def found(self, key: str, result: Document) -> Record:
        """Return the record in the result of a batch's ``get``."""
        return Record(self.payload_of(result["value"]), *_attributes(key, result))

    def setting(self, given: str, payload: bytes, beside: Mapping[str, str]) -> str:
        """Return the JSON of a batch's ``set``; `beside` are `fields`."""
        return operation("set", given, value=self.text(payload), **beside)

    def operations(self, changes: Mapping[str, Record | None], amended: Collection[str], fresh: int) -> list[str]:
        """Return the operations of a commit. Records whose order is `fresh` or above are new ones."""
        found = [operation("delete", key) for key, record in changes.items() if record is None]
        kept = [(key, record) for key, record in changes.items() if record is not None]
        for key, record in sorted(kept, key=lambda pair: pair[1].order):
            if key in amended:
                found.append(operation("amend", key, **amendment(record.expires, record.meta or "")))
                continue
            if record.order >= fresh:
                # What was removed and is set again goes last, and has nothing of what it was.
                found.append(operation("delete", key))
            # When things were made that are made in this commit the server knows best.
            created = None if record.created == record.updated else record.created
            beside = fields(record.expires, record.meta, created)
            found.append(self.setting(record.spelling or key, record.payload, beside))
        return found


def stat_of(key: str, info: Document) -> Stat:
    """Return what a key's ``info`` says."""
    checksum = int(cast(str, info["checksum"]).removeprefix("crc32:"), 16)
    return Stat(cast(int, info["size"]), checksum, *_attributes(key, info))


def _attributes(key: str, fields: Document) -> tuple[int, float, float, float, int, str | None, str | None]:
    expires = fields["expires_at"]
    return (
        cast(int, fields["order"]),
        float(cast(float, fields["created_at"])),
        float(cast(float, fields["updated_at"])),
        NEVER if expires is None else float(cast(float, expires)),
        cast(int, fields["version"]),
        _meta(fields["metadata"]),
        _spelling(key, cast(str, fields["key"])),
    )


def _meta(metadata: object) -> str | None:
    return pack({name: tags.untag(value) for name, value in cast(Document, metadata).items()}) or None


def _spelling(key: str, given: str) -> str | None:
    return given if given and given != key else None


def told(meta: str | None) -> str:
    """Return metadata as JSON in ASCII, each value with the tags it needs."""
    return json.dumps({name: tags.tag(value) for name, value in unpack(meta).items()})


def number(fields: Document, name: str) -> int:
    """Return a member that is a whole number; ValueError, TypeError or KeyError where it is none."""
    found = fields[name]
    if type(found) is not int:
        raise TypeError(f"{name} is {type(found).__name__}")
    return found


def version_of(headers: Mapping[str, str]) -> int:
    """Return the version in an ETag, also in one that a proxy has weakened."""
    return int(headers["ETag"].removeprefix("W/").strip('"'))


def conditions(only_if: OnlyIf) -> dict[str, str]:
    """Return the headers of a condition."""
    if only_if is None:
        return {}
    return {"If-None-Match": "*"} if only_if is ABSENT else {"If-Match": f'"{only_if}"'}


def terms(expires: float, meta: str | None, created: float | None) -> dict[str, str]:
    """Return the headers of a PUT that say what is kept beside the value."""
    headers = {"X-TTL": "never"} if expires == NEVER else {"X-Expires-At": repr(expires)}
    if meta:
        headers["X-Metadata"] = told(meta)
    if created is not None:
        headers["X-Created-At"] = repr(created)
    return headers


def fields(expires: float, meta: str | None, created: float | None) -> dict[str, str]:
    """Return the same as fields of a batch's ``set``, each as JSON."""
    return {
        **({"ttl": '"never"'} if expires == NEVER else {"expires_at": repr(expires)}),
        **({"metadata": told(meta)} if meta else {}),
        **({} if created is None else {"created_at": repr(created)}),
    }


def amendment(expires: float | None, meta: str | None) -> dict[str, str]:
    """Return the fields of a PATCH, each as JSON."""
    return {
        **({} if expires is None else {"expires_at": "null" if expires == NEVER else repr(expires)}),
        **({} if meta is None else {"metadata": told(meta)}),
    }


def portions(keys: Iterable[str]) -> Iterator[Sequence[str]]:
    """Return keys in portions that a batch takes, each once."""
    rest = iter(dict.fromkeys(keys))
    while some := list(islice(rest, OPERATIONS)):
        yield some


def operation(op: str, key: str, **more: str) -> str:
    """Return the JSON of an operation of a batch; the fields in `more` are JSON already."""
    return document({"op": json.dumps(op), "key": json.dumps(key), **more})


def document(members: Mapping[str, str]) -> str:
    """Return the JSON of an object whose members are JSON already."""
    return "{" + ",".join(f"{json.dumps(name)}:{text}" for name, text in members.items()) + "}"


def body(members: Mapping[str, str]) -> tuple[str, bytes]:
    """Return type and bytes of a request that has such an object."""
    return JSON_TYPE, document(members).encode()


def batch(operations: Sequence[str], expected: Mapping[str, OnlyIf]) -> tuple[str, bytes]:
    """Return type and bytes of a batch; keys that are expected with None may have any version."""
    wanted = {key: "null" if version is ABSENT else str(version) for key, version in expected.items() if version}
    return body({"operations": f"[{','.join(operations)}]", "expect": document(wanted)})
