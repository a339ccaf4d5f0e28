"""Requests to Redis and what comes back: `Call`, to one server, and `Work`, to all that are asked. See `redislinks`."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from hashlib import sha1
from importlib.resources import files
from typing import Final, NamedTuple, cast

from diskdict.backends.redis.address import Address, named
from diskdict.backends.redis.records import Argument
from diskdict.backends.redis.refusals import NOT_DONE, VENDOR, NoBackoff, Retry, redis, translated
from diskdict.errors import DurabilityError

_SCRIPT: Final = files("diskdict.backends.redis").joinpath("records.lua").read_bytes()
_DIGEST: Final = sha1(_SCRIPT, usedforsecurity=False).hexdigest()

Node = tuple[str, int]
Pool = redis.ConnectionPool
Reply = object
Command = Sequence[Argument]


class Request(NamedTuple):
    """What is asked about the slot of `key`: a command, or what the script is given, if it has keys."""

    key: bytes
    arguments: Command
    keys: Sequence[bytes] = ()


def command(request: Request, *, known: bool = True) -> Command:
    """Return what is sent for a request: the script by its digest, if it is known to the server."""
    _, arguments, keys = request
    if not keys:
        return arguments
    head = ("EVALSHA", _DIGEST) if known else ("EVAL", _SCRIPT)
    return (*head, len(keys), *keys, *arguments)


class Call:
    """Requests on their way to one server. ``error`` is what went wrong, ``sent`` whether anything was sent before."""

    def __init__(self, node: Node, pool: Pool, numbers: list[int], elsewhere: bool) -> None:
        self.server = f"redis://{named(*node)}"
        self.elsewhere = elsewhere
        self.numbers = numbers
        self.answers: list[Reply] = []
        self.error: Exception | None = None
        self.sent = False
        self._pool = pool
        self._connection: redis.Connection | None = None

    def send(self, commands: Sequence[Command]) -> None:
        """Take a connection and send all commands at once."""
        try:
            self._connection = self._pool.get_connection()
            packed = self._connection.pack_commands(commands)
            self.sent = True
            self._connection.send_packed_command(packed)
        except VENDOR as error:
            self.error = error

    def receive(self, count: int) -> None:
        """Wait for so many answers; those that are errors are among them."""
        if self.error is None and self._connection is not None:
            try:
                self.answers = [_answer(self._connection) for _ in range(count)]
            except VENDOR as error:
                self.error = error

    def end(self, count: int) -> None:
        """Give the connection back; it is of no more use unless there were so many answers."""
        connection, self._connection = self._connection, None
        if connection is not None:
            if len(self.answers) != count:
                connection.disconnect()
            self._pool.release(connection)


def _answer(connection: redis.Connection) -> Reply:
    try:
        # Bytes, whatever the connections of a client that was given make of them.
        return cast(Reply, connection.read_response(disable_decoding=True))
    except redis.exceptions.ResponseError as error:
        return error


class Work:
    """Requests until all are answered: ``left`` are those that are not, by their number."""

    def __init__(self, requests: Sequence[Request], reading: bool) -> None:
        self.requests = requests
        self.reading = reading
        self.replies: list[Reply] = [None] * len(requests)
        self.left = dict.fromkeys(range(len(requests)))
        self.elsewhere: dict[int, Node] = {}
        self._unknown: set[int] = set()

    def command(self, number: int) -> Command:
        """Return the command of a request: with the whole script, where the server does not know it."""
        return command(self.requests[number], known=number not in self._unknown)

    def take(self, calls: Sequence[Call], wait: int) -> Exception | None:
        """Take the answers of a try, and return why some are left. Raise what another try would not mend."""
        trouble: Exception | None = None
        fatal: Exception | None = None
        self.elsewhere = {}
        for call in calls:
            if call.error is None:
                again, found = self._answered(call, wait)
            else:
                undone = self.reading or not call.sent or isinstance(call.error, NOT_DONE)
                found = translated(call.error, call.server, unknown=not undone)
                again = undone and isinstance(found, (ConnectionError, TimeoutError))
            if again:
                trouble = found
            else:
                fatal = fatal or found
        if fatal is not None:
            raise fatal
        return trouble

    def _answered(self, call: Call, wait: int) -> tuple[bool, Exception | None]:
        """Take the answers of a server; return whether what is left is worth another try, and why it is left."""
        again, trouble = True, None
        changed = False
        answers = call.answers[1::2] if call.elsewhere else call.answers
        for number, answer in zip(call.numbers, answers, strict=False):
            if isinstance(answer, redis.exceptions.NoScriptError):
                self._unknown.add(number)
            elif isinstance(answer, Exception):
                if type(answer) is redis.exceptions.AskError:
                    self.elsewhere[number] = (answer.host, answer.port)
                trouble = translated(answer, call.server)
                again = again and isinstance(answer, NOT_DONE)
            else:
                self.replies[number] = answer
                del self.left[number]
                changed = changed or not isinstance(answer, list) or answer[0] == b"ok"
        lost = _not_replicated(call, wait) if changed and wait and not self.reading else None
        return (again, trouble) if lost is None else (False, lost)


def _not_replicated(call: Call, wait: int) -> Exception | None:
    replicas = call.answers[-1]
    if isinstance(replicas, Exception):
        return translated(replicas, call.server)
    if cast(int, replicas) >= wait:
        return None
    what = f"made, but {replicas} replicas have it in time and wait= asks for {wait}: it may be lost"
    return DurabilityError(errno.EIO, what, call.server)


def pool_of(address: Address, node: Node) -> Pool:
    """Return the connections to a server."""
    host, port = node
    trusted = {"ssl_ca_certs": address.ca} if address.ca else {}
    return redis.BlockingConnectionPool(
        max_connections=address.connections,
        timeout=address.timeout,
        connection_class=redis.SSLConnection if address.tls else redis.Connection,
        host=host,
        port=port,
        db=address.database,
        username=address.username,
        password=address.password,
        socket_timeout=address.timeout,
        socket_connect_timeout=address.timeout,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        **trusted,
    )
