"""What obstore raises, as the errors of Python that it means."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

try:
    from obstore import exceptions
except ImportError as error:
    raise ImportError("a store of objects needs obstore: pip install diskdict-store[objects]") from error

LOST: Final = (exceptions.AlreadyExistsError, exceptions.PreconditionError)
"""A condition did not hold."""

_NO_BUCKET: Final = ("NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist")
_STATUS: Final = re.compile(r"status code: (\d+)")
_NUMBERS: Final = {401: errno.EACCES, 403: errno.EACCES, 408: errno.ETIMEDOUT, 501: errno.EOPNOTSUPP}


def no_bucket(error: Exception) -> bool:
    """Say whether it is the bucket that is missing, not an object in it."""
    return any(words in str(error) for words in _NO_BUCKET)


@contextmanager
def translating(server: str) -> Iterator[None]:
    """Raise what obstore raises in the block as our own; errors of conditions and missing objects pass."""
    try:
        yield
    except LOST:
        raise
    except FileNotFoundError as error:
        if no_bucket(error):
            raise _missing(server) from error
        raise
    except (exceptions.BaseError, NotImplementedError, ValueError) as error:
        raise translated(error, server) from error


def translated(error: Exception, server: str) -> Exception:
    """Return what to raise in place of an error of obstore."""
    what = summary(error)
    if isinstance(error, (exceptions.InvalidPathError, exceptions.UnknownConfigurationKeyError, ValueError)):
        return ValueError(f"{server}: {what}")
    if isinstance(error, (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError)):
        return PermissionError(errno.EACCES, what, server)
    if isinstance(error, (exceptions.NotSupportedError, NotImplementedError)):
        return OSError(errno.EOPNOTSUPP, what, server)
    if no_bucket(error):
        return _missing(server)
    return _generic(what, str(error), server)


def summary(error: Exception) -> str:
    """Return what an error says, without what is for who debugs obstore."""
    return " ".join(str(error).partition("\n\nDebug source:")[0].split())


def _missing(server: str) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, "there is no such bucket or container", server)


def _generic(what: str, debug: str, server: str) -> OSError:
    if "169.254." in what or "redential" in what:
        return PermissionError(
            errno.EACCES, f"no credentials were found, in the environment or elsewhere: {what}", server
        )
    status = _STATUS.search(what)
    if status is not None:
        return OSError(_NUMBERS.get(int(status[1]), errno.EIO), what, server)
    if "kind: Timeout" in debug or "TimedOut" in debug:
        return TimeoutError(errno.ETIMEDOUT, f"no answer in time: {what}", server)
    if "ConnectionRefused" in debug:
        return ConnectionRefusedError(errno.ECONNREFUSED, f"nobody listens there: {what}", server)
    return ConnectionError(errno.ECONNRESET, what, server)
