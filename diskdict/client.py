"""The dict of a server that runs elsewhere, and its queues: `Client`."""

from __future__ import annotations

from collections.abc import Callable
from ssl import SSLContext
from typing import Any, Literal, TypedDict, cast

from diskdict.backends.http import TIMEOUT, HTTPStore
from diskdict.codecs import Codec, resolve
from diskdict.core import StoreDict
from diskdict.errors import ClosedError
from diskdict.face import K, V
from diskdict.mutex import LockLike
from diskdict.remote import RemoteQueue
from diskdict.store import Clock, Seconds, Ttl, seconds

Kind = Literal["fifo", "lifo", "priority"]


class _Options(TypedDict):
    token: str | None
    timeout: float
    socket: str | None
    context: SSLContext | None
    codec: str | Codec
    default_ttl: Ttl
    writeback: bool
    cleanup_interval: float | None
    lock: LockLike | None
    clock: Clock | None


_OPTION_NAMES = frozenset(_Options.__annotations__)


class Client(StoreDict[K, V]):
    """The dict that ``diskdict serve`` has open, from another process or machine.

    Parameters
    ----------
    url: str
        Where the server is: ``"http://127.0.0.1:8765"``.
    token: str, optional
        What the server asks for.
    timeout: float
        Seconds to wait for a connection, and for each piece of an answer.
    socket: str, optional
        The path of a Unix socket to use in place of the host and port in `url`.
    context: ssl.SSLContext, optional
        What https trusts; the usual authorities, if not given.
    codec: str or Codec
        ``"json"`` or ``"raw"``, as the store that is served; or another, whose bytes the server keeps as bytes.
    default_ttl: int, float or timedelta, optional
        Seconds that a key lives when nothing else is said. The server's own default is not for clients that are dicts.
    writeback, cleanup_interval:
        As in `diskdict.core.StoreDict`.
    lock: optional
        A lock or a factory of locks, held around every change in place of an RLock.
    clock: callable, optional
        The time of the server in seconds since the epoch; as far as its answers tell, if not given.

    Raises
    ------
    ImportError
        httpx is not there: ``pip install diskdict-store[client]``.
    ConnectionError, TimeoutError, PermissionError
        By any use: the server cannot be reached, or is none of diskdict; does not answer in time; wants another token.
        A change that was under way then may have been made: it is not asked for again.

    Notes
    -----
    Nothing is asked before the first use. Each operation is atomic for its key, whoever else is at it: `increment`,
    `append`, `edit`, `compare_and_swap`, `set_metadata` write only over the version that they have read. Threads share
    a client. A transaction keeps out the other threads of this client, not other clients: where these change what it
    has read, it ends with a ConflictError and changes nothing; repeat it then. ``len`` and iteration are not held that
    way. `get_or_set` calls its factory once in this client; the first client to store its result wins.

    `get_many`, `set_many` and `delete_many` are as of one moment up to 10,000 keys, and several requests beyond; a
    transaction that changes more is a ValueError. Limits are those of the server. After a fork the child has
    connections of its own. A pickled client is one of the same server, token included.

    Examples
    --------
    >>> from diskdict.client import Client
    >>> d = Client("http://127.0.0.1:8765")
    >>> d.close()
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        timeout: float = TIMEOUT,
        socket: str | None = None,
        context: SSLContext | None = None,
        codec: str | Codec = "json",
        default_ttl: Ttl = None,
        writeback: bool = False,
        cleanup_interval: float | None = None,
        lock: LockLike | None = None,
        clock: Clock | None = None,
    ) -> None:
        # All that was given, for a pickle; so it stands first.
        self._options = cast(_Options, {name: value for name, value in locals().items() if name in _OPTION_NAMES})
        self._url = url
        resolved = resolve(codec)
        self._codec = resolved
        store = HTTPStore(
            url,
            token=token,
            codec=resolved.name,
            timeout=timeout,
            socket=socket,
            context=context,
            clock=clock,
            lock=lock,
        )
        self._asking = store.asking
        try:
            super().__init__(
                store,
                codec=resolved,
                default_ttl=default_ttl,
                writeback=writeback,
                cleanup_interval=cleanup_interval,
            )
        except BaseException:
            store.close()
            raise

    # Changes that write over what they have read keep the other threads of this client from coming in between: over a
    # network they would, most of the time.

    def setdefault(self, key: K, default: V | None = None, /) -> V:
        with self._store.exclusive():
            return super().setdefault(key, default)

    def compare_and_swap(self, key: K, old: V, new: V) -> bool:
        with self._store.exclusive():
            return super().compare_and_swap(key, old, new)

    def _change(self, key: K, change: Callable[[object], object]) -> V:
        with self._store.exclusive():
            return super()._change(key, change)

    def flush(self) -> None:
        if self._values.held is not None:
            with self._store.exclusive():
                super().flush()

    def queue(
        self,
        name: str,
        *,
        kind: Kind | None = None,
        maxsize: int | None = None,
        visibility: Seconds | None = None,
        max_deliveries: int | None = None,
    ) -> RemoteQueue[Any]:
        """Return a queue of the server, for any number of processes.

        Parameters
        ----------
        name: str
            1 to 100 letters, digits, ``-``, ``_`` and ``.``, not beginning with a dot.
        kind: str, optional
            ``"fifo"`` (the default of a server), ``"lifo"`` or ``"priority"``.
        maxsize, visibility, max_deliveries: optional
            As in `DurableQueue`; the server's defaults, if not given. With one of these, or `kind`, the queue is made
            now, where it is not there; otherwise by the first ``put``.

        Raises
        ------
        FormatError
            The queue was made with something else.

        Notes
        -----
        It uses the connections and the codec of this client, and ends with it. Values of a codec other than ``"json"``
        are bytes to the server, and in that order those of a priority queue.
        """
        given = {
            "kind": kind,
            "maxsize": maxsize,
            "visibility": None if visibility is None else seconds(visibility),
            "max_deliveries": max_deliveries,
        }
        making = {field: value for field, value in given.items() if value is not None}
        return RemoteQueue(self._asking, name, self._codec, making)

    def __repr__(self) -> str:
        try:
            return super().__repr__()
        except ClosedError:
            return f"<closed {type(self).__name__} {self._url!r}>"
        except OSError:
            return f"<{type(self).__name__} {self._url!r}, out of reach>"

    def __reduce__(self) -> tuple[Callable[..., object], tuple[type, str, _Options]]:
        return _unpickled, (type(self), self._url, self._options)


def _unpickled(kind: type[Client[object, object]], url: str, options: _Options) -> Client[object, object]:
    return kind(url, **options)
