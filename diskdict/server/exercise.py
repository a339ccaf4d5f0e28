"""Create, read and delete JSON objects in three plain routes: ``/datastore/…``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from diskdict import keys
from diskdict.errors import InvalidValueError, KeyExistsError
from diskdict.server.answers import answer, plain
from diskdict.server.problems import bad_request, problem_of
from diskdict.server.served import Write
from diskdict.server.service import Service
from diskdict.server.wire import expiry_of, parameters, untagged

Endpoint = Callable[[Request], Awaitable[Response]]


class Exercise:
    """The routes: what they answer has a status, ``"success"`` or ``"error"``, and a message."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._served = service.served

    def routes(self) -> list[Route]:
        """Return them."""
        return [
            Route("/datastore/create", _told(self.create), methods=["POST"]),
            Route("/datastore/read", _told(self.read), methods=["GET"]),
            Route("/datastore/delete", _told(self.delete), methods=["DELETE"]),
        ]

    async def create(self, request: Request) -> Response:
        """Store a value under a new key."""
        parameters(request)
        fields = await self._service.fields(request, ("key", "value", "ttl"), ("key", "value"))
        key, value = fields["key"], untagged(fields["value"])
        if not isinstance(key, str):
            raise bad_request("the key is a str")
        if not isinstance(value, dict):
            raise InvalidValueError("the value is a JSON object")
        expires = expiry_of(self._served, fields.get("ttl"))
        try:
            await self._service.changing(self._served.add, keys.encode(key), Write(value, expires=expires))
        except KeyExistsError:
            raise KeyExistsError(key) from None
        return answer({"status": "success", "message": f"created {key!r}"}, 201)

    async def read(self, request: Request) -> Response:
        """Return a value."""
        key, text = _key(request)
        record = await self._service.reading(self._served.record_of, text)
        value = plain(self._served.decoded(text, record))
        return answer({"status": "success", "message": f"read {key!r}", "value": value})

    async def delete(self, request: Request) -> Response:
        """Remove a key."""
        key, text = _key(request)
        await self._service.changing(self._served.remove, text)
        return answer({"status": "success", "message": f"deleted {key!r}"})


def _key(request: Request) -> tuple[str, str]:
    key = parameters(request, ("key",)).get("key")
    if key is None:
        raise bad_request("the parameter key is missing")
    return key, keys.encode(key)


def _told(endpoint: Endpoint) -> Endpoint:
    async def told(request: Request) -> Response:
        try:
            return await endpoint(request)
        except Exception as error:  # noqa: BLE001  # each has its status
            problem = problem_of(error)
            return answer({"status": "error", "message": problem.detail}, problem.status, problem.headers)

    return told
