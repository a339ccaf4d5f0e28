"""What every route of a server works with: `Service`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, ParamSpec, TypeVar

from starlette.requests import Request

from diskdict.server.served import SMALL, ServedDict
from diskdict.server.settings import Settings
from diskdict.server.wire import BYTES, JSON, body_of, is_bytes, media_type, object_of, unsupported

P = ParamSpec("P")
T = TypeVar("T")

_READERS: Final = 4
_WRITERS: Final = 16
"""Threads that may wait for one sync of the disk."""


class Service:
    """A store that is served, and the threads that do what may take long.

    Changes have threads of their own: while one has the store for itself, as verifying has, the others wait, and what
    is read does not. Queues have theirs.
    """

    def __init__(self, served: ServedDict, settings: Settings) -> None:
        self.served = served
        self.settings = settings
        self._readers = ThreadPoolExecutor(_READERS, "reading")
        self._writers = ThreadPoolExecutor(_WRITERS, "changing")
        self._queues = ThreadPoolExecutor(_WRITERS, "queueing")

    async def reading(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function that reads, in a thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, partial(function, *args, **kwargs))

    async def changing(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function that holds the lock of the store, in a thread. Once begun it is done, whoever goes away."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._writers, partial(function, *args, **kwargs))

    async def queueing(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function that has to do with queues, in a thread. Once begun it is done, whoever goes away."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._queues, partial(function, *args, **kwargs))

    async def soon(self, text: str, weight: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function that changes one key: at once where that is small, and the store is free and need not sync.

        `weight` is how many bytes it writes, about.
        """
        served = self.served
        if weight <= SMALL and served.durability == "process" and served.is_small(text):
            with served.exclusive_now() as free:
                if free:
                    return function(*args, **kwargs)
        return await self.changing(function, *args, **kwargs)

    async def body(self, request: Request) -> bytes:
        """Return the body of a request, within what the settings allow."""
        limit = self.settings.max_body
        if not is_bytes(request):
            limit = min(limit, self.settings.max_json)
        return await body_of(request, limit, self.settings.patience)

    async def json_body(self, request: Request) -> bytes:
        """Return a body that has to be JSON."""
        if media_type(request) != JSON:
            raise unsupported(BYTES, JSON)
        return await self.body(request)

    async def fields(self, request: Request, known: Collection[str], needed: Collection[str] = ()) -> dict[str, object]:
        """Return the fields of a body that has to be a JSON object."""
        return object_of(await self.json_body(request), known, needed)

    async def fields_if_any(self, request: Request, known: Collection[str]) -> dict[str, object]:
        """Return the fields of a body that is missing or a JSON object."""
        body = await self.body(request)
        if body and media_type(request) != JSON:
            raise unsupported(BYTES, JSON)
        return object_of(body, known) if body else {}

    def close(self) -> None:
        """Wait for what is under way, and end the threads."""
        self._readers.shutdown()
        self._writers.shutdown()
        self._queues.shutdown()
