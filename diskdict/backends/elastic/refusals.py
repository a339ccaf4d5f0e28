"""What the client of Elasticsearch raises, as errors of this package and of Python. It is imported here alone."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from diskdict.errors import FormatError, InvalidValueError

try:
    from elastic_transport import ApiError, ConnectionTimeout, TransportError
    from elastic_transport import ConnectionError as VendorConnectionError
    from elastic_transport.client_utils import DEFAULT as DEFAULT
    from elasticsearch import Elasticsearch as Elasticsearch
    from elasticsearch import UnsupportedProductError
except ImportError as error:
    raise ImportError("a store in Elasticsearch needs its client: pip install diskdict-store[elasticsearch]") from error

_UNKNOWN: Final = "whether a change was made is not known"
_NO_INDEX: Final = "index_not_found_exception"
_GONE: Final = "document_missing_exception"
EXISTS: Final = "resource_already_exists_exception"
"""Why an index is not made that is there."""


@contextmanager
def vendor_errors(where: str) -> Iterator[None]:
    """Turn what the client raises into errors that name the server and the index."""
    try:
        yield
    except (ApiError, TransportError) as error:
        raise translated(error, where) from error


def translated(error: ApiError | TransportError, where: str) -> Exception:
    """Return the error of this package or of Python that means what one of the client's does."""
    if isinstance(error, UnsupportedProductError):
        return FormatError(f"{where}: the server is not Elasticsearch, or says so of itself; OpenSearch is another")
    if isinstance(error, ApiError):
        return refused(error.meta.status, error.body, where)
    if isinstance(error, ConnectionTimeout):
        return TimeoutError(errno.ETIMEDOUT, f"no answer in time; {_UNKNOWN}", where)
    if isinstance(error, VendorConnectionError):
        return _unreachable(error, where)
    return OSError(errno.EPROTO, f"{error}; {_UNKNOWN}", where)


def _unreachable(error: VendorConnectionError, where: str) -> OSError:
    cause: BaseException = error
    while cause.__cause__ or cause.__context__:
        cause = cause.__cause__ or cause.__context__ or cause
    if isinstance(cause, ConnectionRefusedError):
        return ConnectionRefusedError(errno.ECONNREFUSED, "nobody listens there", where)
    return ConnectionError(errno.ECONNRESET, f"{cause}; {_UNKNOWN}", where)


def refused(status: int, body: object, where: str) -> Exception:
    """Return what an answer with an error means, or a part of an answer."""
    kind, why = reason(body)
    said = f"{status} {why or kind}".strip()
    if "disk usage exceeded" in why:
        return OSError(errno.ENOSPC, said, where)
    if status in (401, 403):
        return PermissionError(errno.EACCES, said, where)
    if kind == _NO_INDEX:
        return FormatError(f"{where}: the index is gone; {said}")
    if status == 413:
        return OSError(errno.EMSGSIZE, f"{said}: http.max_content_length of the server is what it takes at once", where)
    if status in (406, 415) or "media_type_header" in kind:
        return FormatError(f"{where}: the server is of another version than the client, or no Elasticsearch: {said}")
    if status == 400:
        return InvalidValueError(f"{where}: {said}")
    if status in (429, 502, 503, 504):
        return ConnectionError(errno.EAGAIN, f"{said}; {_UNKNOWN}", where)
    return OSError(errno.EPROTO, said, where)


def is_conflict(outcome: Mapping[str, object]) -> bool:
    """Return whether a change was not made because its document is another by now, or gone."""
    return outcome["status"] == 409 or reason(outcome)[0] == _GONE or outcome.get("result") == "not_found"


def reason(body: object) -> tuple[str, str]:
    """Return the type of an error and what it says, as an answer has it."""
    error = body.get("error", body) if isinstance(body, Mapping) else body
    if not isinstance(error, Mapping):
        return "", str(error or "")
    return str(error.get("type", "")), str(error.get("reason", ""))
