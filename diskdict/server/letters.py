"""The routes of what a queue gives no longer: ``/v1/queues/{name}/dead``."""

from __future__ import annotations

import base64
from collections.abc import Callable
from itertools import islice
from queue import Full
from typing import Final, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from diskdict.errors import InvalidValueError, KeyNotFoundError
from diskdict.queues.dead import DeadLetter
from diskdict.server.answers import answer, plain
from diskdict.server.catalogue import Queue
from diskdict.server.numbers import FARTHEST, number_in
from diskdict.server.problems import RequestError, bad_request
from diskdict.server.queues import full, named, queue_of
from diskdict.server.shared import SharedQueue, SharedQueues
from diskdict.server.wire import parameters

_MOST: Final = 10_000

T = TypeVar("T")
Told = dict[str, object]


class Letters:
    """The routes."""

    def __init__(self, shared: SharedQueues) -> None:
        self._shared = shared

    def routes(self) -> list[Route]:
        """Return them."""
        all_of_them = "/v1/queues/{name}/dead"
        return [
            Route(all_of_them, self.some, methods=["GET"]),
            Route(all_of_them, self.clear, methods=["DELETE"]),
            Route("/v1/queues/{name}/requeue", self.requeue_all, methods=["POST"]),
            Route(all_of_them + "/{id}", self.one, methods=["GET"]),
            Route(all_of_them + "/{id}", self.remove, methods=["DELETE"]),
            Route(all_of_them + "/{id}/requeue", self.requeue, methods=["POST"]),
        ]

    async def some(self, request: Request) -> Response:
        """Answer with a page of them."""
        shared = named(self._shared, request)
        query = parameters(request, ("limit", "from"))
        limit, first = number_in(query, "limit", 100, _MOST), number_in(query, "from", 0, FARTHEST)

        def page(queue: Queue) -> list[Told]:
            letters = queue.dead_letters
            numbers = sorted(number for number in letters if number >= first)
            # Others remove some meanwhile: a page is full as long as there is more.
            there = (letter for letter in map(letters.get, numbers) if letter is not None)
            return list(map(_about, islice(there, limit)))

        none: list[Told] = []
        return answer({"dead": await shared.run(page, none, at_once=False)})

    async def one(self, request: Request) -> Response:
        """Answer with one, its payload and, where that can be read, its value."""
        shared, number = self._letter(request)
        return answer(await _found(shared, number, lambda queue: _whole(queue.dead_letters[number])))

    async def remove(self, request: Request) -> Response:
        """Remove one."""
        shared, number = self._letter(request)
        await _found(shared, number, lambda queue: queue.dead_letters.__delitem__(number))
        return Response(None, 204)

    async def requeue(self, request: Request) -> Response:
        """Put one anew."""
        shared, number = self._letter(request)
        try:
            new = await _found(shared, number, lambda queue: queue.dead_letters.requeue(number))
        except Full:
            raise full(shared) from None
        except (ValueError, TypeError) as error:  # it cannot be read, or not be compared with what is there
            raise RequestError(409, InvalidValueError.__name__, str(error)) from None
        return answer({"id": new})

    async def requeue_all(self, request: Request) -> Response:
        """Put all anew."""
        shared = queue_of(self._shared, request)
        try:
            number = await shared.run(lambda queue: queue.dead_letters.requeue_all(), 0, at_once=False)
        except Full:
            raise full(shared) from None
        return answer({"requeued": number})

    async def clear(self, request: Request) -> Response:
        """Remove all."""
        shared = queue_of(self._shared, request)
        return answer({"removed": await shared.run(lambda queue: queue.dead_letters.clear(), 0, at_once=False)})

    def _letter(self, request: Request) -> tuple[SharedQueue, int]:
        given = request.path_params["id"]
        if not (given.isascii() and given.isdigit() and len(given) < 20):
            raise bad_request("the id of a dead letter is a number")
        return queue_of(self._shared, request), int(given)


async def _found(shared: SharedQueue, number: int, function: Callable[[Queue], T]) -> T:
    """Return what a function of the queue gives, for which there has to be that dead letter."""
    try:
        found = await shared.run(lambda queue: (function(queue),), None, at_once=False)
    except KeyError:
        found = None
    if found is None:
        detail = f"the queue {shared.name!r} has no dead letter {number}"
        raise RequestError(404, KeyNotFoundError.__name__, detail)
    return found[0]


def _about(letter: DeadLetter[object]) -> Told:
    return {
        "id": letter.id,
        "reason": letter.reason,
        "deliveries": letter.deliveries,
        "put_time": letter.put_time,
        "died": letter.died,
        "damaged": letter.damaged,
        "size": len(letter.payload),
    }


def _whole(letter: DeadLetter[object]) -> Told:
    told = _about(letter) | {"payload": base64.b64encode(letter.payload).decode()}
    try:
        return told | {"value": plain(letter.value())}
    except ValueError:
        return told
