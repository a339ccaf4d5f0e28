"""What redis-py raises, as the errors of this package and of Python that it means. It is imported here alone."""

from __future__ import annotations

import errno
from typing import Final

from diskdict.errors import DurabilityError, FormatError

try:
    import redis as redis
    from redis import exceptions
    from redis.backoff import NoBackoff as NoBackoff
    from redis.crc import key_slot as key_slot
    from redis.retry import Retry as Retry
except ImportError as error:
    raise ImportError("a store in Redis needs redis-py: pip install diskdict-store[redis]") from error

VENDOR: Final = (
    exceptions.RedisError,
    exceptions.RedisClusterException,
    exceptions.ChildDeadlockedError,
    exceptions.IncorrectPolicyType,
)
NOT_DONE: Final = (
    exceptions.AskError,
    exceptions.BusyLoadingError,
    exceptions.ClusterDownError,
    exceptions.MasterDownError,
    exceptions.ReadOnlyError,
    exceptions.TryAgainError,
)
"""Answers of a server of a cluster to which another one, or the same a little later, may give a better."""

_DENIED: Final = (
    exceptions.AuthenticationError,
    exceptions.AuthenticationWrongNumberOfArgsError,
    exceptions.AuthorizationError,
    exceptions.ExternalAuthProviderError,
    exceptions.NoPermissionError,
)
_NOT_DURABLE: Final = ("MISCONF", "NOREPLICAS")


def translated(error: Exception, server: str, *, unknown: bool = False) -> Exception:
    """Return what to raise in place of an error of redis-py: it names the server, and the error is its cause.

    `unknown` says that a change was sent, and may have been made.
    """
    found = _translated(error, server, " (whether the change was made is not known)" * unknown)
    found.__cause__ = error
    return found


def _translated(error: Exception, server: str, unknown: str) -> Exception:
    what = (str(error) or type(error).__name__) + unknown
    if isinstance(error, _DENIED):
        return PermissionError(errno.EACCES, what, server)
    if isinstance(error, exceptions.TimeoutError):
        return TimeoutError(errno.ETIMEDOUT, f"no answer in time{unknown}", server)
    if isinstance(error, exceptions.BusyLoadingError):
        return ConnectionError(errno.EAGAIN, f"it is starting: {what}", server)
    if isinstance(error, exceptions.ConnectionError):
        return _unreachable(error, what, server)
    if isinstance(error, exceptions.MovedError):
        return ConnectionError(
            errno.EHOSTUNREACH, f"this is one of a cluster; redis+cluster: finds all: {what}", server
        )
    if isinstance(error, NOT_DONE) and not isinstance(error, exceptions.ReadOnlyError):
        return ConnectionError(errno.EHOSTUNREACH, f"the cluster is not up: {what}", server)
    return _refused(error, what, server)


def _unreachable(error: BaseException, what: str, server: str) -> OSError:
    if what.startswith("No connection available"):
        return TimeoutError(errno.ETIMEDOUT, "no connection was free in time; connections= allows more", server)
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConnectionRefusedError):
            return ConnectionRefusedError(errno.ECONNREFUSED, "nobody listens there", server)
        cause = cause.__cause__ or cause.__context__
    return ConnectionError(errno.ECONNRESET, what, server)


def _refused(error: Exception, what: str, server: str) -> Exception:
    if isinstance(error, exceptions.OutOfMemoryError) or what.startswith("OOM"):
        return OSError(errno.ENOSPC, f"its memory is full: {what}", server)
    if isinstance(error, exceptions.ReadOnlyError):
        return OSError(errno.EROFS, f"it is a replica: {what}", server)
    if what.startswith(_NOT_DURABLE):
        return DurabilityError(errno.EIO, what, server)
    if "WRONGTYPE" in what:
        return FormatError(f"{server}: keys with this prefix are none of diskdict's: {what}")
    return OSError(errno.EPROTO, what, server)
