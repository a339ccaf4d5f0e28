"""Hearing from Redis which keys are changed: `Tracking`."""

from __future__ import annotations

import socket
import threading
import warnings
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, cast

from diskdict.backends.redis.calls import Pool
from diskdict.backends.redis.refusals import VENDOR, NoBackoff, Retry, redis, translated
from diskdict.listening import Listener

_BEAT: Final = 2.0
"""Seconds without a word after which the server is asked for one, and again until it is given up."""
_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 2.0
_VENDORS_OWN: Final = ("maint_", "oss_cluster_")

KeyOf = Callable[[bytes], str]


class _Line:
    """A connection of its own, on which a server tells of the keys that begin with `prefix`."""

    def __init__(self, pool: Pool, server: str, prefix: bytes) -> None:
        self.server = server
        self._pool = pool
        self._prefix = prefix
        self._turn = threading.Lock()
        self._cut = False
        self._waiting = False
        self._connection: redis.Connection | None = None

    def open(self) -> None:
        """Connect, and ask to be told from now on."""
        kept = {
            name: value for name, value in self._pool.connection_kwargs.items() if not name.startswith(_VENDORS_OWN)
        }
        wanted: dict[str, object] = {
            "protocol": 3,
            "decode_responses": False,
            "health_check_interval": 0,
            "retry": Retry(NoBackoff(), 0),
        }
        wanted["socket_timeout"] = 2 * _BEAT
        connection = self._pool.connection_class(**kept | wanted)
        with self._turn:
            self._connection, self._waiting = connection, False
        connection.connect()
        # What is handed to the parser is what it gives to who reads.
        connection._parser.set_invalidation_push_handler(lambda said: said)
        connection.send_command("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", self._prefix)
        connection.read_response()
        if self._cut:
            raise redis.ConnectionError("it was ended meanwhile")

    def heard(self) -> Sequence[bytes] | None:
        """Return the names that were changed, None for all of them, within a beat."""
        connection = cast(redis.Connection, self._connection)
        if not connection.can_read(timeout=_BEAT):
            if self._waiting:
                raise redis.TimeoutError("it says nothing any more")
            self._waiting = True
            connection.send_command("PING")
            return ()
        said = connection.read_response(disable_decoding=True, push_request=True)
        self._waiting = False
        return cast("Sequence[bytes] | None", said[1]) if isinstance(said, list) else ()

    def close(self) -> None:
        """Let the connection go."""
        with self._turn:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()

    def cut(self) -> None:
        """Have who waits for a word give up."""
        with self._turn:
            self._cut = True
            wire = cast("socket.socket | None", getattr(self._connection, "_sock", None))
            if wire is not None:
                with suppress(OSError):
                    wire.shutdown(socket.SHUT_RDWR)


class Tracking:
    """A thread that tells a listener what a server tells of changes, by whomever, until `stop`.

    Parameters
    ----------
    pool: Pool
        How connections to the server are made.
    server: str
        What it is called in a warning.
    prefix: bytes
        What the names begin with.
    key_of: callable
        Whose record has a name.
    listener: Listener
        Who is told. The thread ends by itself when nobody else has it any more.

    Notes
    -----
    A connection that is lost is made again for as long as it takes; one that says nothing is given up within four
    seconds. A server that refuses to tell is warned of once.
    """

    def __init__(self, pool: Pool, server: str, prefix: bytes, key_of: KeyOf, listener: Listener) -> None:
        self._line = _Line(pool, server, prefix)
        self._stopped = threading.Event()
        self._thread = threading.Thread(
            target=_follow,
            args=(self._line, key_of, weakref.ref(listener), self._stopped),
            name="diskdict-tracking",
            daemon=True,
        )
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and wait for its end."""
        self._stopped.set()
        self._line.cut()
        self._thread.join()


def _follow(line: _Line, key_of: KeyOf, reference: weakref.ReferenceType[Listener], stopped: threading.Event) -> None:
    pause, warned = 0.0, False
    while reference() is not None and not stopped.wait(pause):
        try:
            line.open()
            pause = 0.0
            _tell(reference, lambda listener: listener.reset(told=True))
            while not stopped.is_set() and _tell_heard(line.heard(), key_of, reference):
                pass
        except VENDOR as error:
            pause = min(max(2 * pause, _PAUSE), _LONGEST_PAUSE)
            if isinstance(error, redis.ResponseError) and not warned:
                warned = True
                what = translated(error, line.server)
                warnings.warn(f"changes by others are not told, so nothing is cached: {what}", RuntimeWarning, 1)
        finally:
            line.close()
            _tell(reference, lambda listener: listener.reset(told=False))


def _tell_heard(names: Sequence[bytes] | None, key_of: KeyOf, reference: weakref.ReferenceType[Listener]) -> bool:
    if names is None:
        return _tell(reference, lambda listener: listener.reset(told=True))
    keys = []
    for name in names:
        with suppress(UnicodeDecodeError):  # somebody else's, who uses the same prefix
            keys.append(key_of(name))
    return _tell(reference, lambda listener: listener.changed(keys))


def _tell(reference: weakref.ReferenceType[Listener], say: Callable[[Listener], None]) -> bool:
    """Say something to a listener; return whether there still is one."""
    listener = reference()
    if listener is not None:
        say(listener)
    return listener is not None
