"""The routes of queues and what is in them: ``/v1/queues``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from queue import Empty, Full
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from diskdict import jsontext
from diskdict.errors import DiskDictError, FormatError, InvalidValueError, KeyNotFoundError
from diskdict.messages import LONGEST_DELAY, LONGEST_WAIT, MOST_AT_ONCE, NAME, is_name
from diskdict.queues.given import Delivery
from diskdict.queues.items import MOST_DELIVERIES
from diskdict.server.answers import answer, disconnected
from diskdict.server.catalogue import KINDS, Queue
from diskdict.server.handing import Handing
from diskdict.server.numbers import FARTHEST, seconds_in, whole_in
from diskdict.server.problems import RequestError, bad_request
from diskdict.server.served import SMALL
from diskdict.server.service import Service
from diskdict.server.shared import SharedQueue, SharedQueues
from diskdict.server.wire import JSON, decoded, object_of, parameters, untagged

_MADE_WITH: Final = ("kind", "maxsize", "visibility", "max_deliveries")
_PUT: Final = ("value", "values", "delay", "dedupe_key", "wait")
_RECEIPT: Final = ("id", "deliveries")


class Queues:
    """The routes."""

    def __init__(self, service: Service, shared: SharedQueues) -> None:
        self._service = service
        self._shared = shared

    def routes(self) -> list[Route]:
        """Return them, the most wanted first."""
        one = "/v1/queues/{name}"
        return [
            Route(f"{one}/get", self.get, methods=["POST"]),
            Route(f"{one}/put", self.put, methods=["POST"]),
            Route(f"{one}/ack", self.ack, methods=["POST"]),
            Route(f"{one}/nack", self.nack, methods=["POST"]),
            Route(f"{one}/extend", self.extend, methods=["POST"]),
            Route(f"{one}/peek", self.peek, methods=["GET"]),
            Route(f"{one}/clear", self.clear, methods=["POST"]),
            Route(one, self.about, methods=["GET"]),
            Route(one, self.make, methods=["PUT"]),
            Route(one, self.remove, methods=["DELETE"]),
            Route("/v1/queues", self.names, methods=["GET"]),
        ]

    # ---- queues

    async def names(self, request: Request) -> Response:
        """Answer with the names of all queues."""
        parameters(request)
        return answer({"queues": await self._shared.names()})

    async def about(self, request: Request) -> Response:
        """Answer with what a queue was made with, how much is in it, and how many requests wait for more."""
        shared = queue_of(self._shared, request)
        making = await shared.making()
        counts = await shared.run(lambda queue: queue.counts(), None)
        if making is None or counts is None:
            raise _missing(shared)
        about = {**making._asdict(), **counts._asdict(), "waiting": len(shared.getters)}
        return answer({"name": shared.name, **about})

    async def make(self, request: Request) -> Response:
        """Make a queue."""
        shared = queue_of(self._shared, request)
        given = _making(await self._service.fields(request, _MADE_WITH))
        if await shared.make(given):
            return Response(None, 201)
        making = await shared.making()
        kept = given if making is None else {name: making._asdict()[name] for name in given}
        if kept != given:
            detail = f"the queue {shared.name!r} was made with {kept}, not with {given}"
            raise RequestError(409, FormatError.__name__, detail)
        return Response(None, 204)

    async def remove(self, request: Request) -> Response:
        """Remove a queue with all that is in it."""
        shared = queue_of(self._shared, request)
        if not await shared.remove():
            raise _missing(shared)
        return Response(None, 204)

    # ---- items

    async def put(self, request: Request) -> Response:
        """Put one item or several."""
        shared = queue_of(self._shared, request)
        body = await self._service.json_body(request)
        fields = object_of(body, _PUT)
        put, wait = _putting(fields), _wait(fields)
        at_once = len(body) <= SMALL

        async def attempt() -> None:
            try:
                await shared.put(put, at_once=at_once)
            except (DiskDictError, Full):
                raise
            except TypeError as error:  # it cannot be compared with what is there
                raise InvalidValueError(str(error)) from None
            except ValueError as error:
                raise bad_request(str(error)) from None

        gone = asyncio.ensure_future(disconnected(request.receive))
        try:
            await shared.putters.wait(attempt, wait, gone)
        except Full:
            raise full(shared) from None
        finally:
            gone.cancel()
        return Response(None, 204)

    async def get(self, request: Request) -> Response:
        """Answer with what can be had, as soon as there is something."""
        shared = queue_of(self._shared, request)
        fields = await self._service.fields_if_any(request, ("count", "wait"))
        count = whole_in(fields, "count", 1, MOST_AT_ONCE, default=1)
        return Handing(shared, count, _wait(fields))

    async def ack(self, request: Request) -> Response:
        """Remove what was delivered."""
        shared, _, delivery = await self._receipt(request)
        return await self._told(shared, lambda queue: queue.ack(delivery))

    async def nack(self, request: Request) -> Response:
        """Give back what was delivered."""
        shared, fields, delivery = await self._receipt(request, "delay")
        delay = seconds_in(fields, "delay", LONGEST_DELAY, default=0.0)
        return await self._told(shared, lambda queue: queue.nack(delivery, delay=delay))

    async def extend(self, request: Request) -> Response:
        """Begin the visibility of what was delivered anew."""
        shared, fields, delivery = await self._receipt(request, "visibility")
        given = fields.get("visibility")
        visibility = None if given is None else _visibility(fields)
        return await self._told(shared, lambda queue: queue.extend(delivery, visibility))

    async def _receipt(
        self, request: Request, *more: str
    ) -> tuple[SharedQueue, Mapping[str, object], Delivery[object]]:
        shared = queue_of(self._shared, request)
        fields = await self._service.fields(request, (*_RECEIPT, *more), _RECEIPT)
        number, deliveries = whole_in(fields, "id", 0, FARTHEST), whole_in(fields, "deliveries", 1, FARTHEST)
        return shared, fields, Delivery(None, number, deliveries, 0.0)

    async def _told(self, shared: SharedQueue, function: Callable[[Queue], bool]) -> Response:
        return answer({"done": await shared.run(function, False)})

    async def peek(self, request: Request) -> Response:
        """Answer with what would be given."""
        shared = queue_of(self._shared, request)
        try:
            text = await shared.run(lambda queue: jsontext.written(queue.peek()), None)
        except Empty:
            text = None
        found = '{"found": false}' if text is None else f'{{"found": true, "value": {text}}}'
        return Response(found, media_type=JSON)

    async def clear(self, request: Request) -> Response:
        """Remove every item."""
        shared = queue_of(self._shared, request)
        return answer({"removed": await shared.run(lambda queue: queue.clear(), 0, at_once=False)})


def queue_of(shared: SharedQueues, request: Request) -> SharedQueue:
    """Return the queue that a request without parameters names, whether or not it is there."""
    parameters(request)
    return named(shared, request)


def named(shared: SharedQueues, request: Request) -> SharedQueue:
    """Return the queue that a request names, whether or not it is there."""
    name = decoded(request.path_params["name"])
    if not is_name(name):
        raise bad_request(f"a name of a queue is {NAME}")
    return shared[name]


def full(shared: SharedQueue) -> RequestError:
    """Return what to raise where there is no room."""
    return RequestError(409, "Full", f"the queue {shared.name!r} is full")


def _missing(shared: SharedQueue) -> RequestError:
    return RequestError(404, KeyNotFoundError.__name__, f"there is no queue {shared.name!r}; the first put makes it")


def _putting(fields: Mapping[str, object]) -> Callable[[Queue], None]:
    """Return what puts the items of a request."""
    if ("value" in fields) == ("values" in fields):
        raise bad_request("one item is value, several are values, and one of the two is needed")
    delay = seconds_in(fields, "delay", LONGEST_DELAY, default=0.0)
    key = fields.get("dedupe_key")
    if key is not None and not isinstance(key, str):
        raise bad_request("dedupe_key is a text")
    if "value" in fields:
        value = untagged(fields["value"])
        return lambda queue: queue.put(value, block=False, delay=delay, dedupe_key=key)
    values = untagged(fields["values"])
    if not isinstance(values, list) or key is not None:
        raise bad_request("values is a list, and has no dedupe_key")
    return lambda queue: queue.put_many(values, block=False, delay=delay)


def _making(fields: Mapping[str, object]) -> dict[str, object]:
    """Return what a queue is to be made with, as far as it is said."""
    given: dict[str, object] = {}
    if "kind" in fields:
        if fields["kind"] not in tuple(KINDS):
            raise bad_request(f"kind is one of {', '.join(KINDS)}")
        given["kind"] = fields["kind"]
    if "maxsize" in fields:
        given["maxsize"] = whole_in(fields, "maxsize", 0, FARTHEST)
    if "visibility" in fields:
        given["visibility"] = _visibility(fields)
    if "max_deliveries" in fields:
        none = fields["max_deliveries"] is None
        given["max_deliveries"] = None if none else whole_in(fields, "max_deliveries", 1, MOST_DELIVERIES)
    return given


def _visibility(fields: Mapping[str, object]) -> float:
    found = seconds_in(fields, "visibility", LONGEST_DELAY)
    if not found:
        raise bad_request("visibility is a number of seconds above 0")
    return found


def _wait(fields: Mapping[str, object]) -> float:
    return seconds_in(fields, "wait", LONGEST_WAIT, default=0.0)
