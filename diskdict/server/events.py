"""Changes as server-sent events: ``/v1/events``."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from diskdict.patterns import matcher
from diskdict.server.service import Service
from diskdict.server.watched import Change
from diskdict.server.wire import header, parameters

BEAT: Final = 15.0
"""Seconds after which something is said, for those who would hang up otherwise."""
_UNKNOWN: Final = -1


class Events:
    """The route, and who listens there."""

    def __init__(self, service: Service) -> None:
        self._changes = service.served.changes
        self._boot = secrets.token_hex(4)
        self._waiting: set[asyncio.Event] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._due = False
        self._closed = False

    def routes(self) -> list[Route]:
        """Return them."""
        return [Route("/v1/events", self.events, methods=["GET"])]

    def open(self) -> None:
        """Hear of changes from now on; called in the loop."""
        self._loop = asyncio.get_running_loop()
        self._changes.told = self._told

    def close(self) -> None:
        """End all streams; called in the loop."""
        self._closed = True
        self._wake()

    def _told(self) -> None:
        # By the thread of the change. One call is enough for all changes until it is carried out.
        if self._waiting and not self._due and self._loop is not None:
            self._due = True
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._due = False
        for waiting in self._waiting:
            waiting.set()

    async def events(self, request: Request) -> Response:
        """Answer with the changes from now on, or from where a listener was."""
        query = parameters(request, ("match", "prefix"))
        glob, prefix = query.get("match"), query.get("prefix", "")
        like = None if glob is None else matcher(glob)

        def fits(text: str) -> bool:
            return text.startswith(prefix) and (like is None or like(text) is not None)

        stream = self._stream(fits, self._seen(header(request, b"last-event-id") or ""))
        return StreamingResponse(stream, headers={"cache-control": "no-store"}, media_type="text/event-stream")

    def _seen(self, given: str) -> int:
        boot, _, number = given.partition("-")
        if not given:
            return self._changes.last
        known = boot == self._boot and number.isascii() and number.isdigit() and len(number) < 20
        return int(number) if known else _UNKNOWN

    async def _stream(self, fits: Callable[[str], bool], seen: int) -> AsyncIterator[str]:
        waiting = asyncio.Event()
        self._waiting.add(waiting)
        try:
            yield "retry: 1000\n\n"
            while True:
                waiting.clear()
                last = self._closed
                news = self._changes.since(seen)
                if news is None:
                    seen = self._changes.last
                    yield self._event("reset", seen, {})
                elif news:
                    seen = news[-1].number
                    yield "".join(self._line(change) for change in news if fits(change.key))
                if last:
                    return
                try:
                    async with asyncio.timeout(BEAT):
                        await waiting.wait()
                except TimeoutError:
                    yield ":\n\n"
        finally:
            self._waiting.discard(waiting)

    def _line(self, change: Change) -> str:
        if change.version is None:
            return self._event("delete", change.number, {"key": change.key})
        return self._event("set", change.number, {"key": change.key, "version": change.version})

    def _event(self, kind: str, number: int, data: Mapping[str, object]) -> str:
        return f"event: {kind}\nid: {self._boot}-{number}\ndata: {json.dumps(data)}\n\n"
