"""Connections to a PostgreSQL server and what may come of them: `Connections`."""

from __future__ import annotations

import errno
import select
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any, Final, TypeVar

import psycopg
import psycopg_pool
from psycopg.abc import PQGen
from psycopg.adapt import AdaptersMap
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow
from psycopg.types.numeric import FloatBinaryDumper, Int8BinaryDumper
from psycopg.types.string import StrBinaryDumper

from diskdict.backends.postgres.sqlstates import LostError, SilentError, translated, unreachable, vendor_errors
from diskdict.errors import ClosedError
from diskdict.repeating import checked_interval

T = TypeVar("T")
Row = TupleRow
Parameters = Mapping[str, object]
Step = tuple[bytes, Parameters]
Prepare = Callable[["Connection"], T]

_GRACE: Final = 2.0
"""Seconds more than the server has for an answer until one that is silent is given up."""
_POLL: Final = 0.1
_IDLE: Final = 60.0
"""Seconds after which connections that a rush has needed are closed."""

_SETTINGS: Final = b"""
SELECT set_config('statement_timeout', %(timeout)s, false),
    set_config('idle_in_transaction_session_timeout', %(timeout)s, false),
    set_config('default_transaction_isolation', 'read committed', false),
    set_config('jit', 'off', false)
"""
_abandoned: Final[list[object]] = []
"""Pools whose threads are those of a parent process: nobody is to wait for them here."""

OF_MANY: Final = frozenset({"keys", "most"})
"""Parameters of statements that are planned each time anew."""
# One type for each kind of parameter, so that each statement is prepared once.
ADAPTERS: Final = AdaptersMap(psycopg.adapters)
ADAPTERS.register_dumper(int, Int8BinaryDumper)
ADAPTERS.register_dumper(float, FloatBinaryDumper)
ADAPTERS.register_dumper(str, StrBinaryDumper)


class Connection(psycopg.Connection[Row]):
    """A connection that does not wait for ever."""

    patience = 30.0

    def wait(self, gen: PQGen[T], interval: float = _POLL, timeout: float | None = None) -> T:
        try:
            return super().wait(gen, interval, self.patience if timeout is None else timeout)
        except psycopg.OperationalError as error:
            # A query that has failed, or whose connection has ended, is not active any more.
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.close()
                raise SilentError("no answer in time") from error
            raise

    def ask(self, query: bytes, parameters: Parameters) -> list[Row]:
        """Return the rows that a statement gives."""
        return rows_of(self._execute(query, parameters))

    def ask_all(self, steps: Sequence[Step]) -> list[list[Row]]:
        """Return the rows of several statements that are sent at once."""
        with self.pipeline():
            cursors = [self._execute(query, parameters) for query, parameters in steps]
        return [rows_of(cursor) for cursor in cursors]

    def _execute(self, query: bytes, parameters: Parameters) -> psycopg.Cursor[Row]:
        # A plan for many rows that was made when the table was small reads all of it when it has grown.
        return self.execute(query, parameters, binary=True, prepare=OF_MANY.isdisjoint(parameters))


Pool = psycopg_pool.ConnectionPool[Connection]


def rows_of(cursor: psycopg.Cursor[Row]) -> list[Row]:
    """Return the rows that a statement gave, none where it gives none."""
    # To ask for the description would make an object of each column.
    return cursor.fetchall() if cursor.pgresult is not None and cursor.pgresult.nfields else []


class Transaction:
    """Statements that are made as one. `commit` ends it; where that was not called, nothing was changed."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._begin: list[Step] = [(b"BEGIN", {})]

    def run(self, *steps: Step) -> list[list[Row]]:
        """Return the rows of each statement, all sent at once."""
        begin, self._begin = self._begin, []
        return self._connection.ask_all([*begin, *steps])[len(begin) :]

    def commit(self, *steps: Step) -> None:
        """Make all of it at once, with these as the last."""
        self.run(*steps, (b"COMMIT", {}))

    def roll_back(self) -> None:
        """Make nothing of it."""
        if self._connection.pgconn.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
            self._connection.execute(b"ROLLBACK")


class Connections:
    """The connections of one process to one database.

    Parameters
    ----------
    settings: mapping
        As libpq names them: host, port, dbname, user, password and so on.
    timeout: float
        Seconds to wait for a connection, and for each answer.
    size: int
        The most connections there are at a time.
    prepare: callable
        Given a connection, makes ready what all else relies on; called once, before the first use.

    Notes
    -----
    Threads share it. Nothing is connected before the first use. Where the server goes away later and comes back within
    `timeout`, who asks waits for it.
    """

    def __init__(self, settings: Mapping[str, str], *, timeout: float, size: int, prepare: Prepare[None]) -> None:
        self.where = _where(settings)
        self._timeout = checked_interval("timeout", timeout)
        if type(size) is not int or size < 1:
            raise ValueError(f"connections is a positive int, not {size!r}")
        self._size = size
        self._prepare = prepare
        # libpq counts whole seconds, and takes one for two.
        waits = {"connect_timeout": max(2, round(self._timeout)), "fallback_application_name": "diskdict"}
        self._options: dict[str, Any] = waits | dict(settings) | {"client_encoding": "utf8"}
        self._options |= {"autocommit": True, "prepare_threshold": 0, "context": _Adapting()}
        self._closed = False
        self._taken: set[Connection] = set()
        self._opening = threading.Lock()
        self._pool: Pool | None = None

    def renew(self) -> None:
        """Have connections of its own in a forked child: on those of the parent, what both send would be mixed."""
        _abandoned.append((self._pool, self._taken))
        self._opening, self._pool, self._taken = threading.Lock(), None, set()

    def check_open(self) -> None:
        """Raise ClosedError after `close`."""
        if self._closed:
            raise ClosedError(f"this store in {self.where} is closed; open another")

    def ready(self) -> None:
        """Make sure that `prepare` was called."""
        if self._pool is None:
            self._opened()

    def ask(self, query: bytes, parameters: Parameters) -> list[Row]:
        """Return the rows that a statement gives which changes nothing: it is asked again where a connection ends."""
        patience = time.monotonic() + self._timeout
        while True:
            try:
                return self.change(query, parameters)
            except LostError:
                self.check_open()
                if time.monotonic() > patience:
                    raise

    def change(self, query: bytes, parameters: Parameters) -> list[Row]:
        """Return the rows of a statement that changes something. LostError where that may have been done or not."""
        pool, connection = self._take()
        try:
            return connection.ask(query, parameters)
        except psycopg.Error as error:
            raise translated(error, self.where) from error
        finally:
            self._give_back(pool, connection)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Give a transaction as long as the block lasts."""
        pool, connection = self._take()
        try:
            with vendor_errors(self.where):
                transaction = Transaction(connection)
                try:
                    yield transaction
                finally:
                    transaction.roll_back()
        finally:
            self._give_back(pool, connection)

    def _take(self) -> tuple[Pool, Connection]:
        while True:
            pool = self._pool or self._opened()
            try:
                connection = pool.getconn(self._timeout)
            except psycopg_pool.PoolTimeout as error:
                self._connected().close()
                if len(self._taken) >= self._size:
                    raise TimeoutError(errno.ETIMEDOUT, f"all {self._size} connections are busy", self.where) from error
                # The server is there again, and the pool is about to notice.
                continue
            except psycopg_pool.PoolClosed:
                self.check_open()
                raise
            self._taken.add(connection)
            if not has_ended(connection):
                return pool, connection
            self._give_back(pool, connection, whole=False)

    def _give_back(self, pool: Pool, connection: Connection, *, whole: bool = True) -> None:
        # In the midst of something: what is known of it is not worth the round trips to find out.
        if not whole or connection.pgconn.transaction_status != TransactionStatus.IDLE:
            connection.close()
        self._taken.discard(connection)
        pool.putconn(connection)

    def _opened(self) -> Pool:
        with self._opening:
            self.check_open()
            if self._pool is None:
                with closing(self._connected()) as connection, vendor_errors(self.where):
                    self._set_up(connection)
                    self._prepare(connection)
                self._pool = psycopg_pool.ConnectionPool(
                    connection_class=Connection,
                    kwargs=self._options,
                    configure=self._set_up,
                    # None in advance: they are used in turn, and the more there are, the colder is each.
                    min_size=0,
                    max_size=self._size,
                    max_idle=_IDLE,
                    # Tried at longer and longer intervals, and from the beginning again after this.
                    reconnect_timeout=self._timeout,
                    open=True,
                )
            return self._pool

    def _connected(self) -> Connection:
        # The pool tries for as long as it is asked to, and does not tell why it could not.
        try:
            return Connection.connect(**self._options)
        except psycopg.OperationalError as error:
            raise unreachable(error, self.where) from error

    def _set_up(self, connection: Connection) -> None:
        connection.patience = self._timeout + _GRACE
        milliseconds = str(max(1, round(self._timeout * 1_000)))
        connection.execute(_SETTINGS, {"timeout": milliseconds}, prepare=False)

    def close(self) -> None:
        """Close the connections. Closing twice does nothing."""
        with self._opening:
            self._closed = True
            if self._pool is not None:
                self._pool.close()


class _Adapting:
    """Tells psycopg how parameters are sent."""

    adapters = ADAPTERS
    connection = None


def _where(settings: Mapping[str, str]) -> str:
    host = settings.get("host", "localhost")
    return f"{host}:{settings.get('port', '5432')}/{settings.get('dbname', settings.get('user', ''))}"


def has_ended(connection: Connection) -> bool:
    """Tell whether something came for a connection that nobody uses: it is the server that says farewell."""
    if connection.closed:
        return True
    socket = connection.pgconn.socket
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(socket, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([socket], [], [], 0)[0])
