"""Who may ask what: `Gate`, in front of all routes."""

from __future__ import annotations

import hmac
import ipaddress
import re
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from diskdict.server.problems import RequestError, response_of
from diskdict.server.settings import Settings

HEADERS: Final = "diskdict.headers"
"""Where in the scope the headers are by name: a request asks for half a dozen."""
OPEN: Final = frozenset({"/", "/healthz", "/openapi.json"})
"""What is answered without the token, and all below ``/page/``: there are no data in it."""
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?", re.ASCII)
_ADDED: Final = [
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


class Gate:
    """Lets through what comes by a name of this server, with the token, and not from a page of somebody else.

    It also hands on paths as they were sent, percent-encoded, so that a key is one segment whatever is in it, and the
    headers by their names.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._names = frozenset({"localhost", *(name.lower() for name in settings.hosts)})
        self._origins = frozenset(settings.origins)
        self._token = None if settings.token is None else settings.token.encode()
        self._known: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["path"] = scope["raw_path"].decode("latin-1")

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_ADDED]
            await send(message)

        try:
            self._check(scope)
        except RequestError as error:
            await response_of(error)(scope, receive, sent)
            return
        await self._app(scope, receive, sent)

    def _check(self, scope: Scope) -> None:
        headers = _by_name(scope["headers"])
        scope[HEADERS] = headers
        host = headers.get(b"host", b"").decode("latin-1")
        if host not in self._known:
            self._check_host(host)
        origin = headers.get(b"origin")
        if origin is not None and scope["method"] not in _SAFE and not self._is_own(origin.decode("latin-1"), host):
            raise RequestError(403, "Forbidden", "a page of another origin may not change anything here")
        path = scope["path"]
        if self._token is not None and path not in OPEN and not path.startswith("/page/"):
            scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
            if scheme.lower() != b"bearer" or not hmac.compare_digest(given.strip(), self._token):
                wanted = {"WWW-Authenticate": 'Bearer realm="diskdict"'}
                raise RequestError(401, "Unauthorized", "Authorization: Bearer TOKEN is wanted here", wanted)

    def _check_host(self, host: str) -> None:
        found = _HOST.fullmatch(host)
        name = found[1].lower().rstrip(".") if found else ""
        if name not in self._names and not _is_address(name):
            raise RequestError(421, "HostNotAllowed", f"{host[:100]!r} is no name of this server; see --allow-host")
        if len(self._known) < 100:
            self._known.add(host)

    def _is_own(self, origin: str, host: str) -> bool:
        return origin in self._origins or origin.partition("://")[2].lower() == host.lower()


def _by_name(pairs: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return headers by their names; one that is there twice is joined, so that no other line of it goes unseen."""
    headers = dict(pairs)
    if len(headers) == len(pairs):
        return headers
    lines: dict[bytes, list[bytes]] = {}
    for name, value in pairs:
        lines.setdefault(name, []).append(value)
    return {name: b", ".join(values) for name, values in lines.items()}


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
