"""What went wrong as problem documents (RFC 9457), with the names of the Python errors."""

from __future__ import annotations

import errno
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from diskdict import keys
from diskdict.errors import (
    ClosedError,
    ConflictError,
    CorruptValueError,
    DiskDictError,
    DurabilityError,
    InvalidKeyError,
    InvalidValueError,
    KeyExistsError,
    KeyNotFoundError,
    LimitError,
    ReadOnlyError,
    StoreLockedError,
)

MEDIA_TYPE: Final = "application/problem+json"

_STATUSES: Final[tuple[tuple[type[Exception], int], ...]] = (
    (KeyNotFoundError, 404),
    (KeyExistsError, 409),
    (FileExistsError, 409),
    (ConflictError, 412),
    (InvalidKeyError, 400),
    (InvalidValueError, 400),
    (ReadOnlyError, 403),
    (CorruptValueError, 500),
    (DurabilityError, 503),
    (ClosedError, 503),
    (StoreLockedError, 503),
)
_LIMITS: Final = {"key_chars": 400, "value_bytes": 413, "total_bytes": 507, "queues": 507}
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_NAMES: Final = {404: "NotFound", 405: "MethodNotAllowed"}

_log = logging.getLogger("diskdict.server")

Handler = Callable[[Request, Exception], Awaitable[Response]]


class RequestError(Exception):
    """A request that is not as docs/http.rst has it: status, name and what to do about it."""

    def __init__(self, status: int, name: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.name = name
        self.headers = dict(headers or {})


def bad_request(detail: str) -> RequestError:
    """Return what to raise for parameters, headers and bodies that are not as they should be."""
    return RequestError(400, "BadRequest", detail)


class Problem(NamedTuple):
    """What an answer says of an error."""

    status: int
    name: str
    detail: str
    fields: Mapping[str, object] = {}
    headers: Mapping[str, str] = {}


def problem_of(error: Exception) -> Problem:
    """Return what to say of an error; one that nobody expects is logged and tells nothing of the inside."""
    if isinstance(error, RequestError):
        return Problem(error.status, error.name, str(error), headers=error.headers)
    if isinstance(error, HTTPException):
        name = _NAMES.get(error.status_code, "BadRequest")
        return Problem(error.status_code, name, str(error.detail), headers=error.headers or {})
    status, name = _status_of(error), type(error).__name__
    if status == 500:
        _log.error("%s", error, exc_info=error)
    if isinstance(error, LimitError):
        fields = {"limit": error.limit, "allowed": error.allowed, "met": error.met, "unit": error.unit}
        return Problem(status, name, str(error), fields)
    if isinstance(error, CorruptValueError):
        return Problem(status, name, error.detail, {"key": keys.spelled(error.key)})
    if isinstance(error, (KeyNotFoundError, KeyExistsError)):
        return Problem(status, name, str(error), {"key": keys.spelled(error.key)})
    if isinstance(error, OSError):
        # Without the path, which is nobody's business elsewhere.
        return Problem(status, name, error.strerror or name)
    if isinstance(error, DiskDictError):
        return Problem(status, name, str(error) or name)
    return Problem(status, "InternalError", "this should not have happened; the server's log says more")


def response_of(error: Exception) -> Response:
    """Return the problem document for an error."""
    status, name, detail, fields, headers = problem_of(error)
    document = {"type": f"urn:diskdict:error:{name}", "title": name, "status": status, "detail": detail}
    return Response(json.dumps(document | dict(fields)), status, headers, MEDIA_TYPE)


def _status_of(error: Exception) -> int:
    if isinstance(error, LimitError):
        return _LIMITS.get(error.limit, 400)
    if isinstance(error, OSError) and error.errno in _FULL:
        return 507
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


async def handle(_request: Request, error: Exception) -> Response:
    """Answer for an error; for the handlers of an application."""
    return response_of(error)


HANDLERS: Final[Mapping[type[Exception], Handler]] = dict.fromkeys(
    (RequestError, HTTPException, DiskDictError, OSError), handle
)
"""The errors that an application expects."""
