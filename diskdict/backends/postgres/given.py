"""A store in PostgreSQL by a pool that somebody else has made: `over_client`."""

from __future__ import annotations

import errno
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, cast

import psycopg
import psycopg_pool
from psycopg.adapt import AdaptersMap
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from psycopg.pq.abc import PGconn
from psycopg.rows import tuple_row

from diskdict.backends.postgres.pooling import (
    ADAPTERS,
    OF_MANY,
    Connection,
    Connections,
    Parameters,
    Pool,
    Prepare,
    Row,
    Step,
    has_ended,
    rows_of,
)
from diskdict.backends.postgres.sqlstates import translated, vendor_errors
from diskdict.backends.postgres.store import TABLE, PostgresStore
from diskdict.errors import ClosedError
from diskdict.store import Clock

Given = psycopg_pool.ConnectionPool[Any]

_SETTINGS: Final = b"""
SELECT current_setting('default_transaction_isolation'), current_setting('default_transaction_read_only'),
    current_setting('client_encoding')
"""
_WANTED: Final = ("read committed", "off", "UTF8")


def over_client(client: object, *, codec: str, clock: Clock, table: str = TABLE) -> PostgresStore:
    """Return the store in a table of the database of a ``psycopg_pool.ConnectionPool``.

    It uses the connections of the pool, with its limits, its time-outs and all that its ``configure`` has made of them,
    and leaves the pool open. Row factories, adapters and ``autocommit`` of the connections do not matter and stay as
    they are. Raises TypeError for anything else; and, by the first use, ValueError where the connections are not of
    UTF-8, or their transactions not by default ``read committed`` and for writing.
    """
    if not isinstance(client, psycopg_pool.ConnectionPool):
        raise TypeError(f"client= takes a psycopg_pool.ConnectionPool, not {type(client).__name__}")
    return _PooledStore(client, table, codec, None if clock is time.time else clock)


class _PooledStore(PostgresStore):
    """A store whose connections are those of a pool."""

    def __init__(self, pool: Given, table: str, codec: str, clock: Clock | None) -> None:
        super().__init__("", table=table, codec=codec, clock=clock)
        self._table.connect_by(lambda prepare: Borrowed(pool, prepare))


class _Cursor(psycopg.Cursor[Row]):
    """A cursor of this package's own on a connection of somebody else's."""

    @property
    def adapters(self) -> AdaptersMap:
        return ADAPTERS


class _Lent:
    """A connection for as long as it is lent: all of `Connection` that is used."""

    def __init__(self, whole: psycopg.Connection[Any]) -> None:
        self.whole = whole
        self.pgconn: PGconn = whole.pgconn
        self._autocommit = whole.autocommit
        # Nothing is sent for that.
        whole.autocommit = True

    @property
    def closed(self) -> bool:
        return self.whole.closed

    @property
    def info(self) -> psycopg.ConnectionInfo:
        return self.whole.info

    def execute(self, query: bytes, parameters: Parameters | None = None, *, prepare: bool = False) -> _Cursor:
        cursor = _Cursor(self.whole, row_factory=tuple_row)
        return cursor.execute(query, parameters, prepare=prepare, binary=True)

    def ask(self, query: bytes, parameters: Parameters) -> list[Row]:
        return rows_of(self._asked(query, parameters))

    def ask_all(self, steps: Sequence[Step]) -> list[list[Row]]:
        with self.whole.pipeline():
            cursors = [self._asked(query, parameters) for query, parameters in steps]
        return [rows_of(cursor) for cursor in cursors]

    def _asked(self, query: bytes, parameters: Parameters) -> _Cursor:
        return self.execute(query, parameters, prepare=OF_MANY.isdisjoint(parameters))

    def transaction(self) -> AbstractContextManager[object]:
        return self.whole.transaction()

    def close(self) -> None:
        self.whole.close()

    def restore(self) -> None:
        """Have it be as it was lent."""
        if not self.whole.closed:
            self.whole.autocommit = self._autocommit


class Borrowed(Connections):
    """The connections of a pool that is somebody else's.

    Parameters
    ----------
    pool: ConnectionPool
        Stays open in the end.
    prepare: callable
        As in `Connections`.
    """

    def __init__(self, pool: Given, prepare: Prepare[None]) -> None:
        super().__init__(_settings(pool), timeout=pool.timeout, size=pool.max_size, prepare=prepare)
        self._given = pool
        self._of_parent = False

    def renew(self) -> None:
        """Do without connections in a forked child: they are the parent's, and so is the pool."""
        super().renew()
        self._of_parent = True

    def check_open(self) -> None:
        super().check_open()
        if self._of_parent:
            raise ClosedError(f"the pool given for {self.where} is of the parent process; make one in the child")

    def _opened(self) -> Pool:
        with self._opening:
            self.check_open()
            if self._pool is None:
                pool = cast(Pool, self._given)
                connection = self._lent(pool)
                try:
                    with vendor_errors(self.where):
                        self._check(connection.ask(_SETTINGS, {}))
                        self._prepare(connection)
                finally:
                    self._give_back(pool, connection)
                self._pool = pool
            return self._pool

    def _check(self, found: list[Row]) -> None:
        if tuple(found[0]) != _WANTED:
            raise ValueError(
                f"the connections of the pool given for {self.where} are {', '.join(map(str, found[0]))}"
                f" (isolation, read only, encoding); a store needs {', '.join(_WANTED)}"
            )

    def _take(self) -> tuple[Pool, Connection]:
        while True:
            pool = self._pool or self._opened()
            self.check_open()
            connection = self._lent(pool)
            if not has_ended(connection):
                return pool, connection
            self._give_back(pool, connection, whole=False)

    def _lent(self, pool: Pool) -> Connection:
        try:
            whole = self._given.getconn()
        except psycopg_pool.PoolTimeout as error:
            what = f"the pool that was given had no connection within {pool.timeout} seconds"
            raise TimeoutError(errno.ETIMEDOUT, what, self.where) from error
        except psycopg_pool.PoolClosed as error:
            raise ClosedError(f"the pool that was given for {self.where} is not open") from error
        try:
            return cast(Connection, _Lent(whole))
        except psycopg.Error as error:
            self._given.putconn(whole)
            raise translated(error, self.where) from error

    def _give_back(self, pool: Pool, connection: Connection, *, whole: bool = True) -> None:  # noqa: ARG002  # the one
        lent = cast(_Lent, connection)
        if not whole or lent.pgconn.transaction_status != TransactionStatus.IDLE:
            lent.close()
        lent.restore()
        self._given.putconn(lent.whole)

    def close(self) -> None:
        """Leave the pool as it is."""
        self._closed = True


def _settings(pool: Given) -> dict[str, str]:
    """Return where the pool leads to, as far as it says that."""
    conninfo, options = pool.conninfo, pool.kwargs
    found = conninfo_to_dict(conninfo) if isinstance(conninfo, str) else {}
    told = found | (options if isinstance(options, dict) else {})
    return {name: str(told[name]) for name in ("host", "port", "dbname", "user") if told.get(name) is not None}
