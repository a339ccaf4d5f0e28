"""What psycopg raises, in words of this package and of Python: `translated`, `unreachable`, `vendor_errors`."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
import psycopg_pool
from psycopg import errors

from diskdict.errors import ConflictError, DiskDictError, FormatError, InvalidValueError, ReadOnlyError

_UNKNOWN: Final = "whether a change was made is not known"


class LostError(ConnectionResetError):
    """The connection ended before the answer had come."""


_REFUSED_ENTRY: Final = re.compile(r"password|authentication|pg_hba\.conf|role \"|permission denied")
_NOBODY: Final = re.compile(r"refused|No such file")
_SILENT: Final = re.compile(r"timeout|timed out")
_BY_STATE: Final[dict[str, tuple[type[OSError], int]]] = {
    "08": (LostError, errno.ECONNRESET),
    "28": (PermissionError, errno.EACCES),
    "25P03": (TimeoutError, errno.ETIMEDOUT),
    "25P04": (TimeoutError, errno.ETIMEDOUT),
    "42501": (PermissionError, errno.EACCES),
    "53": (OSError, errno.EAGAIN),
    "53100": (OSError, errno.ENOSPC),
    "53200": (OSError, errno.ENOMEM),
    "53300": (ConnectionError, errno.EAGAIN),
    "55P03": (TimeoutError, errno.ETIMEDOUT),
    "57": (LostError, errno.ECONNRESET),
    "57014": (TimeoutError, errno.ETIMEDOUT),
}
"""What the standard library calls the errors of an SQLSTATE, or of a class of these."""
_OURS: Final[dict[str, type[DiskDictError]]] = {
    "22": InvalidValueError,
    "54": InvalidValueError,
    "40": ConflictError,
    "23": ConflictError,
    "25006": ReadOnlyError,
    "42": FormatError,
}


class SilentError(psycopg.OperationalError):
    """No answer came in time."""


def translated(error: psycopg.Error, where: str) -> Exception:
    """Return the error of this package or of Python that means what one of psycopg's does, and names the server."""
    state = error.sqlstate or ""
    said = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, SilentError | errors.CancellationTimeout):
        return TimeoutError(errno.ETIMEDOUT, f"no answer in time; {_UNKNOWN}", where)
    if isinstance(error, errors.ConnectionTimeout | psycopg_pool.PoolTimeout | psycopg_pool.TooManyRequests):
        return TimeoutError(errno.ETIMEDOUT, "no connection in time", where)
    for code in (state, state[:2]):
        if code in _BY_STATE:
            kind, number = _BY_STATE[code]
            return kind(number, f"{said}; {_UNKNOWN}" if kind is LostError else said, where)
        if code in _OURS:
            return _OURS[code](f"{where}: {said}")
    if state or not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return OSError(errno.EIO, said, where)
    return LostError(errno.ECONNRESET, f"the connection was cut ({said}); {_UNKNOWN}", where)


def unreachable(error: psycopg.OperationalError, where: str) -> Exception:
    """Return what means that no connection could be made. The words are all that libpq tells about that."""
    said = " ".join(str(error).split())
    if error.sqlstate or isinstance(error, errors.ConnectionTimeout):
        return translated(error, where)
    if _REFUSED_ENTRY.search(said):
        return PermissionError(errno.EACCES, said, where)
    if _NOBODY.search(said):
        return ConnectionRefusedError(errno.ECONNREFUSED, f"nobody listens there ({said})", where)
    if _SILENT.search(said):
        return TimeoutError(errno.ETIMEDOUT, f"no connection in time ({said})", where)
    return ConnectionError(errno.EHOSTUNREACH, said, where)


@contextmanager
def vendor_errors(where: str) -> Iterator[None]:
    """Turn what psycopg raises into errors of this package and of Python, which name host, port and database."""
    try:
        yield
    except psycopg.Error as error:
        raise translated(error, where) from error
