"""The routes of the store as a whole: ``/v1/stats``, ``/v1/verify``, ``/v1/backup``, ``/healthz``."""

from __future__ import annotations

import time
from pathlib import Path
from time import monotonic
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from diskdict import keys
from diskdict.disk import Stats
from diskdict.messages import NAME, is_name
from diskdict.server.answers import answer
from diskdict.server.problems import RequestError, bad_request
from diskdict.server.service import Service
from diskdict.server.wire import parameters

_REST: Final = 50


class Whole:
    """The routes."""

    def __init__(self, service: Service, version: str) -> None:
        self._service = service
        self._served = service.served
        self._version = version
        self._seen: Stats | None = None
        self._due = 0.0

    def routes(self) -> list[Route]:
        """Return them."""
        return [
            Route("/healthz", self.health, methods=["GET"]),
            Route("/v1/stats", self.stats, methods=["GET"]),
            Route("/v1/verify", self.verify, methods=["POST"]),
            Route("/v1/backup", self.backup, methods=["POST"]),
        ]

    async def health(self, _request: Request) -> Response:
        """Answer that the server answers."""
        return answer({"status": "ok"})

    async def stats(self, request: Request) -> Response:
        """Answer with numbers about the folder."""
        parameters(request)
        served = self._served
        found = await self._service.changing(self._stats)
        manifest = served.manifest
        about = {
            "name": served.path.name,
            "kind": manifest.kind,
            "codec": manifest.codec,
            "durability": served.durability,
            "limits": manifest.limits.as_json(),
            "time": served.now(),
            "version": self._version,
        }
        return answer(found._asdict() | about)

    def _stats(self) -> Stats:
        """Return numbers; what needs a look at every file may be old, so that it takes a fiftieth of the time."""
        begin = monotonic()
        if self._seen is None or begin >= self._due:
            self._seen = self._served.stats()
            self._due = monotonic() + _REST * (monotonic() - begin)
            return self._seen
        keys, payload_bytes = self._served.sizes()
        return self._seen._replace(keys=keys, payload_bytes=payload_bytes)

    async def verify(self, request: Request) -> Response:
        """Read every file and answer with what is wrong."""
        parameters(request)
        report = await self._service.changing(self._served.verify)
        problems = [
            each._asdict() | {"key": None if each.key is None else keys.spelled(each.key)} for each in report.problems
        ]
        return answer({"checked": report.checked, "ok": report.ok, "problems": problems})

    async def backup(self, request: Request) -> Response:
        """Copy the store."""
        parameters(request)
        fields = await self._service.fields_if_any(request, ("name",))
        name = fields.get("name", time.strftime("%Y%m%d-%H%M%S"))
        if not isinstance(name, str) or not is_name(name):
            raise bad_request(f"a name of a copy is {NAME}")
        target = self._backups() / name
        try:
            files = await self._service.changing(self._served.backup, target)
        except FileExistsError:
            raise RequestError(409, "FileExistsError", f"there is a copy {name!r} already") from None
        return answer({"path": str(target), "files": files}, 201)

    def _backups(self) -> Path:
        given = self._service.settings.backups
        path = self._served.path
        return path.with_name(path.name + ".backups") if given is None else Path(given)
