"""All routes of a server, behind its gate: `application`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from diskdict.server.events import Events
from diskdict.server.exercise import Exercise
from diskdict.server.gate import Gate
from diskdict.server.letters import Letters
from diskdict.server.many import ManyKeys
from diskdict.server.metrics import Metrics
from diskdict.server.one import OneKey
from diskdict.server.openapi import document
from diskdict.server.problems import HANDLERS, handle, response_of
from diskdict.server.queues import Queues
from diskdict.server.served import ServedDict
from diskdict.server.service import Service
from diskdict.server.settings import Settings
from diskdict.server.shared import SharedQueues
from diskdict.server.whole import Whole

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE_HEADERS: Final = {
    "cache-control": "no-cache",
    "content-security-policy": _POLICY,
    "referrer-policy": "no-referrer",
}
_TYPES: Final = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


class Application(Starlette):
    """The routes over a store. ``events`` are its streams and ``queues`` its queues; both have to be ended.

    The queues are opened and closed by the application.
    """

    def __init__(self, served: ServedDict, settings: Settings) -> None:
        self.service = Service(served, settings)
        self.events = Events(self.service)
        self.queues = SharedQueues(self.service)
        metrics = Metrics(self.service, self.queues.counts)
        parts = (
            OneKey(self.service),
            ManyKeys(self.service),
            Whole(self.service, _version()),
            self.events,
            Exercise(self.service),
            Queues(self.service, self.queues),
            Letters(self.queues),
            metrics,
        )
        routes = [route for part in parts for route in part.routes()]
        super().__init__(
            routes=[*routes, *_PAGE],
            middleware=[Middleware(metrics.counting), *_cors(settings), Middleware(Gate, settings)],
            exception_handlers={**HANDLERS, 405: _not_allowed, Exception: handle},
            lifespan=_lifespan,
        )
        self.router.redirect_slashes = False


async def _not_allowed(request: Request, _error: Exception) -> Response:
    """Answer to a method that a place does not have, with those of all its routes."""
    routes = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
    allowed = {method for route in routes for method in route.methods}
    return response_of(HTTPException(405, headers={"Allow": ", ".join(sorted(allowed))}))


def _version() -> str:
    try:
        return version("diskdict-store")
    except PackageNotFoundError:
        # A checkout on the path that was not installed.
        return "unknown"


@asynccontextmanager
async def _lifespan(app: Application) -> AsyncIterator[None]:
    app.events.open()
    app.queues.open()
    # The first question about all keys reads the whole folder; so it is asked before anybody waits for it.
    await app.service.changing(app.service.served.sizes)
    try:
        yield
    finally:
        app.events.close()
        await app.queues.close()
        app.service.close()


def _cors(settings: Settings) -> list[Middleware]:
    if not settings.origins:
        return []
    exposed = ["ETag", "X-Created-At", "X-Updated-At", "X-Order", "X-Expires-At", "X-TTL", "X-Key"]
    exposed += ["X-Metadata", "X-Metadata-Length"]
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=settings.origins,
            allow_methods=["GET", "PUT", "POST", "PATCH", "DELETE"],
            allow_headers=["*"],
            expose_headers=exposed,
        )
    ]


# ---- the page, and the description of all routes


@cache
def _files() -> Mapping[str, bytes]:
    """Return what may be asked for: names from elsewhere never become paths."""
    folder = files("diskdict.server") / "page"
    return {each.name: each.read_bytes() for each in folder.iterdir() if each.name.rpartition(".")[2] in _TYPES}


async def _page(request: Request) -> Response:
    name = request.path_params.get("name", "index.html")
    content = _files().get(name)
    if content is None:
        raise HTTPException(404)
    kind = _TYPES[name.rpartition(".")[2]]
    return Response(content, headers=_PAGE_HEADERS, media_type=kind)


@cache
def _description() -> bytes:
    return json.dumps(document(_version())).encode()


async def _openapi(_request: Request) -> Response:
    return Response(_description(), media_type="application/json")


_PAGE: Final = [
    Route("/", _page, methods=["GET"]),
    Route("/page/{name}", _page, methods=["GET"]),
    Route("/openapi.json", _openapi, methods=["GET"]),
]


def application(served: ServedDict, settings: Settings | None = None) -> Application:
    """Return the ASGI application that serves a store. It is opened and closed by who asks for it."""
    return Application(served, settings or Settings())
