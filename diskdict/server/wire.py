"""Requests as the store understands them: keys, values, times and conditions. What is wrong in them is a 400."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable, Collection, Mapping
from typing import Final
from urllib.parse import parse_qsl, unquote_to_bytes

from starlette.requests import Request

from diskdict import jsontext, keys
from diskdict.errors import InvalidKeyError
from diskdict.info import pack, unpack
from diskdict.server.gate import HEADERS
from diskdict.server.problems import RequestError, bad_request
from diskdict.server.served import ServedDict
from diskdict.store import NEVER, seconds

BYTES: Final = "application/octet-stream"
JSON: Final = "application/json"
SLOWEST: Final = 16 << 10
"""Bytes a second below which a body comes too slowly, once the client's time is over."""

_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_ASKING: Final = frozenset({b"if-match", b"if-none-match", b"range"})
_NO_ESCAPE: Final = re.compile("%(?![0-9A-Fa-f]{2})")

Parameters = Mapping[str, str]
Amend = Callable[[str | None], str | None]
"""Makes new metadata of old; None leaves it."""
AMENDED: Final = ("ttl", "expires_at", "metadata", "merge_metadata")


def decoded(text: str) -> str:
    """Return a text without its percent-encoding."""
    if "%" not in text and text.isascii():
        return text
    if _NO_ESCAPE.search(text):
        raise bad_request(f"a percent sign that is followed by no two hexadecimal digits: {text[:100]}")
    try:
        return unquote_to_bytes(text.encode("latin-1")).decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise bad_request(f"not UTF-8: {text[:100]}") from None


def header(request: Request, name: bytes) -> str | None:
    """Return a header by its name in lower case."""
    headers: dict[bytes, bytes] = request.scope[HEADERS]
    found = headers.get(name)
    return None if found is None else found.decode("latin-1")


def is_plain(request: Request) -> bool:
    """Return whether a reader asks for the value as it is, with no condition and no range."""
    headers: dict[bytes, bytes] = request.scope[HEADERS]
    return headers.keys().isdisjoint(_ASKING)


def parameters(request: Request, allowed: Collection[str] = ()) -> Parameters:
    """Return the query, in which nothing but what is allowed may be, and each once."""
    query = request.scope["query_string"].decode("latin-1")
    if not query:
        return {}
    if _NO_ESCAPE.search(query):
        raise bad_request("a percent sign in the query that is followed by no two hexadecimal digits")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="surrogatepass", max_num_fields=100)
    except ValueError:
        raise bad_request("a query of at most 100 parameters in UTF-8 is wanted") from None
    found = dict(pairs)
    if len(found) < len(pairs):
        raise bad_request("a parameter is there twice")
    unknown = [name for name in found if name not in allowed]
    if unknown:
        raise bad_request(f"unknown parameter {unknown[0][:100]!r}; there are: {', '.join(allowed) or 'none'}")
    return found


def key_of(request: Request, query: Parameters) -> str:
    """Return the text of the key of a request: of its path, or of its query where that says ``key``."""
    segment = request.path_params.get("key")
    if not segment:
        text = query.get("key", "")
    elif "key" in query:
        raise bad_request("one key in the path and one in the query")
    else:
        text = decoded(segment)
    return checked_key(text)


def checked_key(text: object) -> str:
    """Return the text of a key, or raise InvalidKeyError where it is none."""
    if not isinstance(text, str):
        raise InvalidKeyError(f"a key is a text here, not {type(text).__name__}")
    if text[:1] == "=":
        try:
            keys.decode(text)
        except ValueError as error:
            raise InvalidKeyError(f"{error}; a str that begins with = is written {keys.encode(text)[:100]!r}") from None
    return text


def canonical(text: str) -> str:
    """Return the text under which a key lies."""
    return text if text[:1] != "=" else keys.encode(keys.decode(text))


# ---- bodies


async def body_of(request: Request, limit: int, patience: float) -> bytes:
    """Return the body. RequestError where it is too large, or comes too slowly."""
    length = header(request, b"content-length") or ""
    if length.isascii() and length.isdigit() and int(length[:20]) > limit:
        raise _too_large(limit)
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(patience) as timer:
            end = timer.when() or 0.0
            while True:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise bad_request("the body has no end")
                body = message.get("body", b"")
                size += len(body)
                if size > limit:
                    raise _too_large(limit)
                parts.append(body)
                if not message.get("more_body", False):
                    return body if len(parts) == 1 else b"".join(parts)
                timer.reschedule(end + size / SLOWEST)
    except TimeoutError:
        raise RequestError(408, "Timeout", "the body came too slowly", {"Connection": "close"}) from None


def _too_large(limit: int) -> RequestError:
    return RequestError(
        413, "BodyTooLarge", f"a body of at most {limit:,} bytes is taken here", {"Connection": "close"}
    )


def _media_type(request: Request) -> str:
    return (header(request, b"content-type") or "").partition(";")[0].strip().lower()


def is_bytes(request: Request) -> bool:
    """Return whether the body is bytes as they are."""
    return _media_type(request) == BYTES


def media_type(request: Request) -> str:
    """Return the type of the body, JSON or BYTES. 415 for any other."""
    given = _media_type(request)
    if given in (JSON, BYTES):
        return given
    raise unsupported(given, JSON, BYTES)


def unsupported(given: str, *wanted: str) -> RequestError:
    """Return what to raise for a body of another type."""
    said = given[:100] or "none"
    return RequestError(415, "UnsupportedMediaType", f"Content-Type is {' or '.join(wanted)} here, not {said}")


def value_of(body: bytes, media: str) -> object:
    """Return the value of a body."""
    if media == BYTES:
        return body
    try:
        return jsontext.read(jsontext.decoded(body))
    except jsontext.TextError as error:
        raise bad_request(str(error)) from None


def untagged(value: object) -> object:
    """Return the value that a part of a JSON document stands for."""
    try:
        return jsontext.untagged(value)
    except jsontext.TextError as error:
        raise bad_request(str(error)) from None


def object_of(body: bytes, known: Collection[str], needed: Collection[str] = ()) -> dict[str, object]:
    """Return the fields of a body that is a JSON object."""
    try:
        value = jsontext.parse(jsontext.decoded(body))
    except jsontext.TextError as error:
        raise bad_request(str(error)) from None
    return fields_of(value, known, needed)


def metadata_of(request: Request) -> str | None:
    """Return the text of the metadata in the headers, None where there is none."""
    given = header(request, b"x-metadata")
    if given is None:
        return None
    try:
        return meta_of(jsontext.parse(jsontext.decoded(given.encode("latin-1"))))
    except jsontext.TextError as error:
        raise bad_request(f"X-Metadata: {error}") from None


def fields_of(value: object, known: Collection[str], needed: Collection[str] = ()) -> dict[str, object]:
    """Return a JSON object that has fields which are known, and those which are needed."""
    if not isinstance(value, dict):
        raise bad_request(f"a JSON object with {', '.join(known)} is wanted")
    for name in value:
        if name not in known:
            raise bad_request(f"unknown field {str(name)[:100]!r}; there are: {', '.join(known)}")
    for name in needed:
        if name not in value:
            raise bad_request(f"the field {name!r} is missing")
    return value


# ---- times and metadata


def expiry_of(served: ServedDict, ttl: object, expires_at: object = None) -> float | None:
    """Return when a value expires, by a time-to-live or a time; None where neither is said."""
    if ttl is not None and expires_at is not None:
        raise bad_request("a time-to-live and a time of expiry exclude each other")
    if expires_at is not None:
        return NEVER if expires_at == "never" else moment(expires_at)
    if ttl is None:
        return None
    if ttl == "never":
        return NEVER
    try:
        return served.expires(seconds(_number(ttl)))
    except ValueError:
        raise bad_request(f"a time-to-live is seconds from 0, or never, not {str(ttl)[:100]!r}") from None


def end_of(served: ServedDict, fields: Mapping[str, object]) -> float | None:
    """Return when a value expires by the fields ``ttl`` and ``expires_at``, whose null is never; None without them."""
    if "ttl" in fields and "expires_at" in fields:
        raise bad_request("ttl and expires_at exclude each other")
    if "expires_at" in fields and fields["expires_at"] is None:
        return NEVER
    return expiry_of(served, fields.get("ttl"), fields.get("expires_at"))


def moment(given: object) -> float:
    """Return a time in seconds since the epoch."""
    try:
        number = _number(given)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise bad_request(f"a time is seconds since the epoch, not {str(given)[:100]!r}")
    return number


def said(text: str | None) -> object:
    """Return the number that a parameter or a header says, or its text where it says none."""
    return text if text is None or not _NUMBER.fullmatch(text) else float(text)


def _number(given: object) -> float:
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        raise ValueError
    try:
        return float(given)
    except OverflowError:
        raise ValueError from None


def meta_of(metadata: object) -> str | None:
    """Return the text of metadata as a JSON document has it, None where none is given."""
    if metadata is None:
        return None
    if not isinstance(metadata, dict):
        raise bad_request("metadata is a JSON object")
    return pack({name: untagged(value) for name, value in metadata.items()})


def amendment_of(served: ServedDict, fields: Mapping[str, object]) -> tuple[float | None, Amend]:
    """Return the new expiry and what makes the new metadata of the old, by the fields `AMENDED`."""
    if "metadata" in fields and "merge_metadata" in fields:
        raise bad_request("metadata and merge_metadata exclude each other")
    expires = end_of(served, fields)
    given, merged = meta_of(fields.get("metadata")), meta_of(fields.get("merge_metadata"))
    if merged is None:
        return expires, lambda _: given
    return expires, lambda old: pack({**unpack(old), **unpack(merged)})
