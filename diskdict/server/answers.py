"""Records as responses: headers, whole bodies, ranges of them, streams."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import BinaryIO, Final, NamedTuple
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from diskdict import jsontext
from diskdict.blobs.store import Exact
from diskdict.info import unpack
from diskdict.server.problems import RequestError
from diskdict.server.service import Service
from diskdict.server.wire import BYTES, JSON, header
from diskdict.store import NEVER, Record, Stat

_LONGEST: Final = 8 << 10
"""Characters of metadata up to which they are told in a header: clients refuse heads that are too long."""
_CHUNK: Final = 256 << 10
_ESCAPE: Final = 0x1B
_JSON_FIRST: Final = frozenset(b'{["-0123456789tfn \t\n\r')
_RANGE: Final = re.compile(r"bytes=(\d{0,20})-(\d{0,20})\s*$", re.ASCII | re.IGNORECASE)


class Opened(NamedTuple):
    """A large value of bytes that is open: the bytes begin at ``start`` and are so many."""

    stream: BinaryIO
    stat: Stat
    start: int
    length: int


def is_json(first: int, codec: str) -> bool:
    """Return whether a payload with this first byte is JSON rather than bytes as they are."""
    return codec == "json" and first in _JSON_FIRST


def _is_escaped(first: int, codec: str) -> bool:
    """Return whether a payload that is no JSON has one byte before the value. Files by key are as they are."""
    return first == _ESCAPE and codec != Exact.name


def headers_of(text: str, found: Record | Stat, now: float) -> dict[str, str]:
    """Return what a response says of a record besides its value."""
    headers = {
        "etag": f'"{found.version}"',
        "x-created-at": repr(found.created),
        "x-updated-at": repr(found.updated),
        "x-order": str(found.order),
    }
    if found.expires != NEVER:
        headers["x-expires-at"] = repr(found.expires)
        headers["x-ttl"] = repr(max(0.0, found.expires - now))
    if found.meta:
        metadata = json.dumps(told(unpack(found.meta)))
        name = "x-metadata" if len(metadata) <= _LONGEST else "x-metadata-length"
        headers[name] = metadata if name == "x-metadata" else str(len(metadata))
    if found.spelling is not None and found.spelling != text:
        headers["x-key"] = quote(found.spelling.encode("utf-8", "surrogatepass"), safe="")
    return headers


def plain(value: object) -> object:
    """Return what stands for a value in a JSON document: tags for what JSON does not have."""
    return json.loads(jsontext.written(value))


def told(metadata: Mapping[str, object]) -> dict[str, object]:
    """Return what stands for metadata in a JSON document."""
    return {name: plain(value) for name, value in metadata.items()}


def answer(document: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return the response with a JSON document."""
    return Response(json.dumps(document), status, headers, JSON)


def whole(record: Record, codec: str, headers: dict[str, str], request: Request) -> Response:
    """Return the response with the value of a record, or with the range of its bytes that was asked for."""
    payload = record.payload
    if payload and is_json(payload[0], codec):
        return Response(payload, 200, headers, JSON)
    content = payload[1:] if payload and _is_escaped(payload[0], codec) else payload
    status, span = _span(request, headers, len(content))
    return Response(content[span.start : span.stop], status, headers, BYTES)


def opened(stream: BinaryIO, stat: Stat, first: int, codec: str) -> Opened:
    """Return a large value of bytes, by the first byte of its payload."""
    start = int(_is_escaped(first, codec))
    return Opened(stream, stat, start, stat.size - start)


class Streamed(Response):
    """A response that reads a value piece by piece while it is sent, or the range of it that was asked for."""

    def __init__(self, service: Service, value: Opened, headers: dict[str, str], request: Request) -> None:
        status, self._span = _span(request, headers, value.length)
        super().__init__(None, status, headers | {"content-length": str(len(self._span))}, BYTES)
        self._service = service
        self._value = value

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._value.stream as stream:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            left = 0 if scope["method"] == "HEAD" else len(self._span)
            gone = asyncio.ensure_future(disconnected(receive))
            try:
                await self._service.reading(stream.seek, self._value.start + self._span.start)
                while left and not gone.done():
                    chunk = await self._service.reading(stream.read, min(left, _CHUNK))
                    if not chunk:  # the file was cut: the connection ends before all that was announced
                        return
                    left -= len(chunk)
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            finally:
                gone.cancel()
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def disconnected(receive: Receive) -> None:
    """Wait until the client has gone, or has its answer."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _span(request: Request, headers: dict[str, str], length: int) -> tuple[int, range]:
    """Return the status and what is to be sent of so many bytes; say so in the headers."""
    headers["accept-ranges"] = "bytes"
    wanted, condition = header(request, b"range"), header(request, b"if-range")
    if wanted is None or (condition is not None and condition != headers["etag"]):
        return 200, range(length)
    found = _RANGE.match(wanted)
    # What is not understood, and several ranges, are answered with the whole, as RFC 9110 has it.
    if found is None or not (found[1] or found[2]) or (found[1] and found[2] and int(found[2]) < int(found[1])):
        return 200, range(length)
    if found[1]:
        start, stop = int(found[1]), min(length, int(found[2]) + 1 if found[2] else length)
    else:
        start, stop = max(0, length - int(found[2])), length
    if start >= stop:
        said = {"Content-Range": f"bytes */{length}"}
        raise RequestError(416, "RangeNotSatisfiable", f"there are {length:,} bytes", said)
    headers["content-range"] = f"bytes {start}-{stop - 1}/{length}"
    return 206, range(start, stop)
