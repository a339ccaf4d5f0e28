"""The routes of one key: ``/v1/keys/{key}``."""

from __future__ import annotations

import contextlib
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from diskdict.compression import compression_behind, split
from diskdict.errors import ConflictError, InvalidValueError
from diskdict.info import describe
from diskdict.server.answers import Opened, Streamed, answer, headers_of, is_json, opened, plain, told, whole
from diskdict.server.conditions import conditions_of
from diskdict.server.problems import RequestError, bad_request
from diskdict.server.served import SMALL, Write
from diskdict.server.service import Service
from diskdict.server.wire import (
    AMENDED,
    amendment_of,
    canonical,
    checked_key,
    expiry_of,
    header,
    is_plain,
    key_of,
    media_type,
    metadata_of,
    moment,
    parameters,
    said,
    value_of,
)
from diskdict.store import NEVER, Record

_READY_BYTES: Final = 4 << 10
_MOST_READY: Final = 10_000


class OneKey:
    """The routes."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._served = service.served
        codec = service.served.manifest.codec
        self._codec, self._compression = split(codec)[0], compression_behind(codec)
        self._ready: dict[str, tuple[Record, Response]] = {}

    def routes(self) -> list[Route]:
        """Return them, the most wanted first."""
        found = []
        for path in ("/v1/keys/{key}", "/v1/keys/"):
            found += [
                Route(path, self.get, methods=["GET"]),
                Route(path, self.put, methods=["PUT"]),
                Route(path, self.delete, methods=["DELETE"]),
                Route(path, self.create, methods=["POST"]),
                Route(path, self.patch, methods=["PATCH"]),
            ]
        for path in ("/v1/keys/{key}/", "/v1/keys//"):
            found += [
                Route(path + "info", self.info, methods=["GET"]),
                Route(path + "increment", self.increment, methods=["POST"]),
                Route(path + "rename", self.rename, methods=["POST"]),
            ]
        return found

    def _key(self, request: Request) -> str:
        return canonical(key_of(request, parameters(request, ("key",))))

    # ---- reading

    async def get(self, request: Request) -> Response:
        """Answer with the value."""
        text = self._key(request)
        if self._compression is None and self._served.is_small(text):
            return self._small(request, text)
        value = await self._service.reading(self._opened, text)
        if value is None:
            return self._whole(request, text, await self._service.reading(self._record, text))
        with contextlib.ExitStack() as stack:
            stack.enter_context(value.stream)
            headers = headers_of(text, value.stat, self._served.now())
            unchanged = _unchanged(request, value.stat.version, headers)
            if unchanged is not None:
                return unchanged
            response = Streamed(self._service, value, headers, request)
            stack.pop_all()
            return response

    def _small(self, request: Request, text: str) -> Response:
        """Return the response made before for this record, where the request asks for nothing of its own."""
        if not is_plain(request):
            return self._whole(request, text, self._served.record_of(text))
        record = self._served.unproved_record_of(text)
        known, response = self._ready.get(text, (None, None))
        if response is None or known is not record:
            self._served.prove(text, record)
            response = self._whole(request, text, record)
            if record.expires == NEVER and len(record.payload) <= _READY_BYTES:
                if len(self._ready) >= _MOST_READY:
                    self._ready.clear()
                self._ready[text] = record, response
        return response

    def _whole(self, request: Request, text: str, record: Record) -> Response:
        headers = headers_of(text, record, self._served.now())
        return _unchanged(request, record.version, headers) or whole(record, self._codec, headers, request)

    def _record(self, text: str) -> Record:
        record = self._served.record_of(text)
        return (
            record if self._compression is None else record._replace(payload=self._compression.expand(record.payload))
        )

    def _opened(self, text: str) -> Opened | None:
        """Return a large value to be streamed; None for JSON, which is read as a whole to see that it is sound.

        So is what is compressed.
        """
        if self._compression is not None:
            return None
        stream, stat = self._served.stream_of(text)
        first = stream.read(1)[0]
        if not is_json(first, self._codec):
            return opened(stream, stat, first, self._codec)
        stream.close()
        return None

    async def info(self, request: Request) -> Response:
        """Answer with what is known besides the value."""
        text = self._key(request)
        stat = self._served.stat_of(text)
        info, now = describe(stat), self._served.now()
        left = None if info.expires_at is None else max(0.0, info.expires_at - now)
        fields = info._asdict() | {"key": stat.spelling or text, "ttl": left, "order": stat.order}
        return answer(fields | {"metadata": told(info.metadata)}, headers={"etag": f'"{info.version}"'})

    # ---- changing

    async def put(self, request: Request) -> Response:
        """Store the value."""
        text, body, write = await self._write(request)
        holds = conditions_of(request).holds
        version, new = await self._service.soon(text, len(body), self._served.write, text, write, holds)
        return _done(version, 201 if new else 204)

    async def create(self, request: Request) -> Response:
        """Store the value of a key that is not there."""
        text, body, write = await self._write(request)
        version, _ = await self._service.soon(text, len(body), self._served.add, text, write)
        return _done(version, 201)

    async def _write(self, request: Request) -> tuple[str, bytes, Write]:
        query = parameters(request, ("key", "ttl", "keep"))
        text = key_of(request, query)
        keep = query.get("keep", "false")
        if keep not in ("true", "false"):
            raise bad_request("keep is true or false")
        media = media_type(request)
        created = said(header(request, b"x-created-at"))
        by_query, by_header = query.get("ttl"), header(request, b"x-ttl")
        if by_query is not None and by_header is not None:
            raise bad_request("one time-to-live in the query and one in a header")
        ttl = by_header if by_query is None else by_query
        expires = expiry_of(self._served, said(ttl), said(header(request, b"x-expires-at")))
        meta = metadata_of(request)
        body = await self._service.body(request)
        value = await self._service.reading(value_of, body, media) if len(body) > SMALL else value_of(body, media)
        born = None if created is None else moment(created)
        return text, body, Write(value, expires, meta, born, keep == "true")

    async def delete(self, request: Request) -> Response:
        """Remove the key."""
        text = self._key(request)
        await self._service.soon(text, 0, self._served.remove, text, conditions_of(request).holds)
        return Response(None, 204)

    async def patch(self, request: Request) -> Response:
        """Change expiry and metadata."""
        text, fields = self._key(request), await self._service.fields(request, AMENDED)
        expires, meta = amendment_of(self._served, fields)
        version = await self._service.changing(self._served.amend, text, expires, meta, conditions_of(request).holds)
        return _done(version, 204)

    async def increment(self, request: Request) -> Response:
        """Add to a number."""
        text = key_of(request, parameters(request, ("key",)))
        delta = (await self._service.fields_if_any(request, ("by",))).get("by", 1)
        if isinstance(delta, bool) or not isinstance(delta, (int, float)):
            raise bad_request("by is a number")
        try:
            value, version = await self._service.soon(text, 0, self._served.add_to, text, delta)
        except InvalidValueError:
            raise
        except (TypeError, OverflowError) as error:
            raise RequestError(409, "NotANumber", str(error)) from None
        return answer({"value": plain(value)}, headers={"etag": f'"{version}"'})

    async def rename(self, request: Request) -> Response:
        """Give the value another key."""
        text, fields = self._key(request), await self._service.fields(request, ("to",), ("to",))
        to = checked_key(fields["to"])
        return _done(await self._service.changing(self._served.move, text, to), 204)


def _unchanged(request: Request, version: int, headers: dict[str, str]) -> Response | None:
    """Return 304 where the reader has this version; ConflictError where another one was asked for."""
    refused = conditions_of(request).refusal(version)
    if refused == 412:
        raise ConflictError(f"the version is {version}, not one of those that were asked for")
    return None if refused is None else Response(None, refused, headers)


def _done(version: int, status: int) -> Response:
    return Response(None, status, {"etag": f'"{version}"'})
