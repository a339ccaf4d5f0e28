"""The routes of many keys: ``/v1/keys``, ``/v1/batch``, ``/v1/cleanup``."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from diskdict import keys
from diskdict.errors import KeyExistsError
from diskdict.info import unpack
from diskdict.patterns import matcher, prefix_of
from diskdict.server.answers import answer, plain, told
from diskdict.server.numbers import FARTHEST, number_in
from diskdict.server.paging import Page, Place
from diskdict.server.problems import bad_request
from diskdict.server.service import Service
from diskdict.server.wire import (
    AMENDED,
    Parameters,
    amendment_of,
    canonical,
    checked_key,
    end_of,
    fields_of,
    meta_of,
    moment,
    parameters,
    untagged,
)
from diskdict.staging import Staged
from diskdict.store import ABSENT, NEVER, OnlyIf, Record

MOST: Final = 10_000
"""Keys of a page and operations of a batch, at most."""
_LISTING: Final = ("match", "prefix", "limit", "cursor", "reverse", "offset", "count")
_WRITTEN: Final = ("op", "key", "value", "ttl", "expires_at", "created_at", "metadata")

Operation = Mapping[str, object]
Result = dict[str, object]


class ManyKeys:
    """The routes."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._served = service.served

    def routes(self) -> list[Route]:
        """Return them."""
        return [
            Route("/v1/keys", self.keys, methods=["GET"]),
            Route("/v1/batch", self.batch, methods=["POST"]),
            Route("/v1/cleanup", self.cleanup, methods=["POST"]),
        ]

    async def keys(self, request: Request) -> Response:
        """Answer with a page of keys."""
        query = parameters(request, _LISTING)
        glob, prefix, cursor = query.get("match"), query.get("prefix", ""), query.get("cursor")
        if glob is not None:
            known = prefix_of(glob)
            # What both ask for begins with the longer one.
            prefix = known if known.startswith(prefix) else prefix
        page = await self._service.changing(
            self._served.some,
            prefix,
            None if glob is None else matcher(glob),
            limit=number_in(query, "limit", 100, MOST),
            reverse=_switch(query, "reverse"),
            after=None if cursor is None else _place_of(cursor),
            offset=number_in(query, "offset", 0, FARTHEST),
            count=_switch(query, "count"),
        )
        return answer(_listed(page))

    async def cleanup(self, request: Request) -> Response:
        """Remove what has expired."""
        parameters(request)
        return answer({"removed": await self._service.changing(self._served.cleanup_expired)})

    async def batch(self, request: Request) -> Response:
        """Do several operations as one."""
        parameters(request)
        fields = await self._service.fields(request, ("operations", "expect"), ("operations",))
        operations, expected = fields["operations"], fields.get("expect", {})
        if not isinstance(operations, list) or len(operations) > MOST:
            raise bad_request(f"operations is a list of at most {MOST:,}")
        if not isinstance(expected, dict):
            raise bad_request("expect is an object of keys and versions")
        versions = {canonical(checked_key(key)): _version(version) for key, version in expected.items()}
        return answer({"results": await self._service.changing(self._run, operations, versions)})

    def _run(self, operations: Sequence[object], expected: Mapping[str, int | None]) -> list[Result]:
        steps = [self._step(number, operation) for number, operation in enumerate(operations)]
        with self._served.together() as staged:
            for text, version in expected.items():
                staged.expect(text, ABSENT if version is None else version)
            return [step(staged) for step in steps]

    def _step(self, number: int, operation: object) -> Callable[[Staged], Result]:
        """Return what does an operation; what is wrong in it is found before anything is done."""
        kind = operation.get("op") if isinstance(operation, dict) else None
        if kind in ("get", "delete"):
            text = canonical(checked_key(fields_of(operation, ("op", "key"), ("key",))["key"]))
            return self._getting(text) if kind == "get" else lambda staged: {"found": staged.delete(text)}
        if kind in ("set", "create"):
            return self._setting(fields_of(operation, _WRITTEN, ("key", "value")), new=kind == "create")
        if kind == "amend":
            return self._amending(fields_of(operation, ("op", "key", *AMENDED), ("key",)))
        raise bad_request(f"operation {number} is no object whose op is get, set, create, amend or delete")

    def _getting(self, text: str) -> Callable[[Staged], Result]:
        def get(staged: Staged) -> Result:
            record = staged.get(text)
            return {"found": False} if record is None else self._told(text, record)

        return get

    def _told(self, text: str, record: Record) -> Result:
        return {
            "found": True,
            "key": record.spelling or text,
            "value": plain(self._served.decoded(text, record)),
            "version": record.version,
            "order": record.order,
            "created_at": record.created,
            "updated_at": record.updated,
            "expires_at": _or_null(record.expires),
            "metadata": told(unpack(record.meta)),
        }

    def _setting(self, fields: Operation, *, new: bool) -> Callable[[Staged], Result]:
        key = checked_key(fields["key"])
        text, spelling = self._served.placed(key)
        payload = self._served.encoded(untagged(fields["value"]))
        expires = end_of(self._served, fields)
        if expires is None:
            expires = self._served.default_expiry()
        meta = meta_of(fields.get("metadata"))
        given = fields.get("created_at")
        created = None if given is None else moment(given)

        def set_(staged: Staged) -> Result:
            only_if: OnlyIf = ABSENT if new else None
            found = staged.contains(text)
            version = staged.put(
                text, payload, expires=expires, meta=meta, spelling=spelling, created=created, only_if=only_if
            )
            if version is None:
                raise KeyExistsError(keys.decode(text))
            return {"found": found, "version": version}

        return set_

    def _amending(self, fields: Operation) -> Callable[[Staged], Result]:
        text = canonical(checked_key(fields["key"]))
        expires, meta = amendment_of(self._served, fields)

        def amend(staged: Staged) -> Result:
            stat = staged.stat(text)
            if stat is None:
                return {"found": False}
            return {"found": True, "version": staged.amend(text, expires=expires, meta=meta(stat.meta))}

        return amend


def _listed(page: Page) -> Result:
    entries = [
        {
            "key": entry.spelling or entry.key,
            "size": entry.size,
            "created_at": entry.created,
            "expires_at": _or_null(entry.expires),
        }
        for entry in page.entries
    ]
    found: Result = {"keys": entries, "cursor": None if page.after is None else _cursor(page.after)}
    return found if page.total is None else found | {"total": page.total}


def _or_null(expires: float) -> float | None:
    return None if expires == NEVER else expires


def _cursor(after: Place) -> str:
    order, text = after
    return base64.urlsafe_b64encode(f"{order}:{text}".encode("utf-8", "surrogatepass")).decode()


def _place_of(cursor: str) -> Place:
    try:
        order, colon, text = (
            base64.b64decode(cursor.encode(), b"-_", validate=True).decode("utf-8", "surrogatepass").partition(":")
        )
        if not (colon and order.isascii() and order.isdigit() and len(order) < 20):
            raise ValueError
    except (ValueError, binascii.Error):
        raise bad_request("a cursor is one that came with the page before") from None
    return int(order), text


def _version(version: object) -> int | None:
    if version is None or (isinstance(version, int) and not isinstance(version, bool)):
        return version
    if isinstance(version, float) and version.is_integer():  # 1.0 is an integer in JSON
        return int(version)
    raise bad_request("the versions of expect are numbers, or null for a key that is missing")


def _switch(query: Parameters, name: str) -> bool:
    given = query.get(name, "false")
    if given not in ("true", "false"):
        raise bad_request(f"{name} is true or false")
    return given == "true"
