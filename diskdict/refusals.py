"""What a server refuses, as the errors of Python that it was."""

from __future__ import annotations

import errno
import queue
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, cast

import ujson

from diskdict.errors import (
    ConflictError,
    CorruptValueError,
    DurabilityError,
    FormatError,
    InvalidKeyError,
    InvalidValueError,
    KeyExistsError,
    LimitError,
    ReadOnlyError,
)
from diskdict.keys import decode

Problem = Mapping[str, object]
"""A problem document (RFC 9457), empty where there was none."""

_SIMPLE: Final[Mapping[str, type[Exception]]] = {
    kind.__name__: kind
    for kind in (InvalidKeyError, InvalidValueError, ConflictError, FormatError, ReadOnlyError, queue.Full)
} | {"NotANumber": TypeError}
_NUMBERS: Final = {
    401: errno.EACCES,
    403: errno.EACCES,
    408: errno.ETIMEDOUT,
    413: errno.EMSGSIZE,
    421: errno.EACCES,
    503: errno.EIO,
    507: errno.ENOSPC,
}


def problem_of(content: bytes) -> Problem:
    """Return the problem document in the body of an answer."""
    try:
        found = ujson.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def refusal(status: int, problem: Problem, url: str, key: str | None) -> Exception:
    """Return what to raise for an answer of the server at `url`; `key` is the text of the key that it is about."""
    title, detail = str(problem.get("title")), str(problem.get("detail", f"it answers with {status}"))
    about = key if key is not None else problem.get("key")
    if title == "LimitError":
        with understanding(url):
            allowed, met = cast(int, problem["allowed"]), cast(int, problem["met"])
            return LimitError(str(problem["limit"]), allowed, met, str(problem["unit"]))
    if title == "KeyExistsError" and isinstance(about, str):
        return KeyExistsError(decode(about))
    if title == "CorruptValueError":
        return CorruptValueError(about, "", detail)
    if title in _SIMPLE:
        return _SIMPLE[title](detail)
    if title == "DurabilityError":
        return DurabilityError(errno.EIO, detail, url)
    if status in (400, 415) and problem:
        return ValueError(f"{url}: {detail}")
    if status == 401:
        detail += "; another token= is needed"
    if status in _NUMBERS or (status >= 500 and problem):
        return OSError(_NUMBERS.get(status, errno.EIO), detail, url)
    return _foreign(url, detail)


@contextmanager
def understanding(url: str) -> Iterator[None]:
    """Take what cannot be read in an answer for that of another server."""
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError) as error:
        raise _foreign(url, f"{type(error).__name__}: {error}") from error


def _foreign(url: str, what: str) -> ConnectionError:
    return ConnectionError(errno.EPROTO, f"this does not answer as a server of diskdict: {what}", url)
