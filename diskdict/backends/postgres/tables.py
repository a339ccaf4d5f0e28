"""The table of a store in PostgreSQL: made where there is none, asked, and changed as one: `Table`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Final, cast

from diskdict.backends.postgres.libpq import identifier, literal
from diskdict.backends.postgres.pooling import Connection, Connections, Prepare, Row, Step, Transaction
from diskdict.backends.postgres.rows import Parameters
from diskdict.backends.postgres.statements import (
    CLOCK,
    COLUMNS,
    FIND_TABLE,
    SEQUENCE,
    Statements,
    comment_on,
    creation,
    creation_lock,
    searchable_again,
    statements,
)
from diskdict.errors import ConflictError, FormatError
from diskdict.escapes import unescaped
from diskdict.limits import Limits
from diskdict.store import ABSENT, Clock, OnlyIf

NOTHING: Final[Mapping[str, object]] = MappingProxyType({})
_FORMAT: Final = "diskdict 2"
_FORMER: Final = "diskdict 1"
_OLDEST: Final = 130000
_LONGEST: Final = 63


def checked_table(name: str) -> str:
    """Return a name that a table can have; anything else is a ValueError."""
    if not isinstance(name, str) or not name or "\0" in name or len(name.encode("utf-8", "replace")) > _LONGEST:
        raise ValueError(f"a table has a name of 1 to {_LONGEST} bytes without NUL, not {name!r}")
    return name


def prepared(connection: Connection, name: str, codec: str, where: str) -> Statements:
    """Return the statements for a table, which is made where there is none.

    Raises FormatError where there is one that is no store, or a store of another codec, and for a database that is
    older than PostgreSQL 13 or has another encoding than UTF-8. A table of the format before is brought to this one.
    """
    _check_server(connection, where)
    quoted, comment = identifier(name), f"{_FORMAT} {codec}"
    if not connection.ask(FIND_TABLE, {"name": quoted}):
        # Of those who all find none, one makes it.
        with connection.transaction():
            connection.ask(creation_lock(quoted), {})
            if not connection.ask(FIND_TABLE, {"name": quoted}):
                _execute(connection, creation(quoted, literal(comment)))
    [(found, columns)] = connection.ask(FIND_TABLE, {"name": quoted})
    if columns != [f"{column} {kind}" for column, kind in COLUMNS.items()]:
        raise FormatError(f"the table {quoted} in {where} is not a store's; name another with ?table=")
    if found == f"{_FORMER} {codec}":
        with connection.transaction():
            _execute(connection, [searchable_again(quoted), comment_on(quoted, literal(comment))])
    elif found != comment and str(found).startswith((f"{_FORMAT} ", f"{_FORMER} ")):
        raise FormatError(f"{where}: the values in {quoted} are by codec {found.split()[2]!r}, not {codec!r}")
    elif found != comment:
        raise FormatError(
            f"the table {quoted} in {where} says {found!r} of itself, and {comment!r} is asked for;"
            f" a store that has lost its comment gets it back by {comment_on(quoted, literal(comment))}"
        )
    [(sequence,)] = connection.ask(SEQUENCE, {"name": quoted})
    return statements(quoted, literal(sequence))


def _execute(connection: Connection, statements: Iterable[str]) -> None:
    for statement in statements:
        connection.execute(statement.encode())


def _check_server(connection: Connection, where: str) -> None:
    encoding = connection.info.parameter_status("server_encoding")
    if connection.info.server_version < _OLDEST or encoding != "UTF8":
        version = connection.info.server_version // 10_000
        raise FormatError(f"{where} is PostgreSQL {version} in {encoding}; a store needs 13 or newer in UTF8")


class Table:
    """A table, whose statements are known once it was asked for them: `sql`.

    Parameters
    ----------
    settings: mapping
        As libpq names them: host, port, dbname, user, password and so on.
    name, codec: str
        Of the table, and of the values in it.
    timeout, connections:
        As in `diskdict.backends.postgres.pooling.Connections`.
    limits: Limits
        Of these ``total_bytes`` is held: what would grow beyond it is not made.
    clock: callable, optional
        The time to go by in place of the server's.

    Notes
    -----
    All rows that depend on each other are locked in the order of their keys, so nobody waits in a circle. A key without
    a row is locked too, by a row that nobody sees: of two who both rely on its absence only one can go on.
    """

    def __init__(
        self,
        settings: Mapping[str, str],
        name: str,
        codec: str,
        timeout: float,
        connections: int,
        limits: Limits,
        clock: Clock | None,
    ) -> None:
        self._name, self._codec = checked_table(name), codec
        self.connections = Connections(settings, timeout=timeout, size=connections, prepare=self._prepare)
        self._limits = limits
        self._clock = clock
        self._sql: Statements | None = None

    def connect_by(self, connections_of: Callable[[Prepare[None]], Connections]) -> None:
        """Have other connections than those by the settings; they are given what makes them ready."""
        self.connections = connections_of(self._prepare)

    def _prepare(self, connection: Connection) -> None:
        self._sql = prepared(connection, self._name, self._codec, self.connections.where)

    @property
    def sql(self) -> Statements:
        """The statements. The first use makes the table ready."""
        if self._sql is None:
            self.connections.ready()
        return cast(Statements, self._sql)

    def now(self) -> float | None:
        """Return the time that is said to the server, None for its own."""
        return None if self._clock is None else self._clock()

    def server_time(self) -> float:
        """Return the time of the server."""
        [(now,)] = self.connections.ask(CLOCK, {"now": None})
        return cast(float, now)

    def ask(self, statement: bytes, parameters: Mapping[str, object] = NOTHING) -> list[Row]:
        """Return the rows of a statement that changes nothing."""
        return self.connections.ask(statement, {"now": self.now(), **parameters})

    def change(self, statement: bytes, parameters: Mapping[str, object]) -> list[Row]:
        """Return what a statement gives that changes something and makes nothing larger."""
        return self.connections.change(statement, {**parameters, "now": self.now()})

    @property
    def _limited(self) -> bool:
        return self._limits.total_bytes is not None

    def put(self, statement: bytes, parameters: Mapping[str, object]) -> list[Row]:
        """Return what a statement gives that may make the store larger."""
        if not self._limited:
            return self.change(statement, parameters)
        with self.connections.transaction() as transaction:
            _, rows = transaction.run((self.sql.total_lock, {}), (statement, {**parameters, "now": self.now()}))
            self._check_total(transaction)
            transaction.commit()
            return rows

    def move(self, source: str, target: str, parameters: Mapping[str, object]) -> bool | None:
        """Give a row the key `target`; None where it is not there, False where that is."""
        with self.connections.transaction() as transaction:
            live, _ = self._locked(transaction, {source, target})
            if source not in live:
                return None
            if target in live:
                return False
            clear = self.sql.clear, {"keys": [target], "removed": [target]}
            transaction.commit(clear, (self.sql.move, {**parameters, "source": source, "target": target}))
            return True

    def commit(self, expected: Mapping[str, OnlyIf], changes: Parameters, removed: Collection[str]) -> None:
        """Write and remove rows where each key of `expected` has that version, or with ABSENT is not there.

        With None it has to be there. Raises ConflictError, and changes nothing, where one has not.
        """
        keys = {*expected, *removed, *cast(list[str], changes["keys"])}
        with self.connections.transaction() as transaction:
            live, now = self._locked(transaction, keys)
            for key, version in expected.items():
                found = live.get(key, ABSENT)
                if found is ABSENT if version is None else found != version:
                    raise ConflictError(
                        f"{unescaped(key)!r} was changed or removed by others; read it again and repeat"
                    )
            steps: list[Step] = [
                (self.sql.write, changes | {"now": now}),
                (self.sql.clear, {"keys": list(keys), "removed": list(removed)}),
            ]
            if self._limited:
                transaction.run(*steps)
                self._check_total(transaction)
                steps = []
            transaction.commit(*steps)

    def check_growth(self, growth: int) -> None:
        """Raise LimitError where the store may not become `growth` bytes larger, the expired left out."""
        if self._limited:
            with self.connections.transaction() as transaction:
                self._check_total(transaction, growth)
                transaction.commit()

    def _locked(self, transaction: Transaction, keys: Collection[str]) -> tuple[dict[str, int], float]:
        """Lock keys, be they there or not, to the end of a transaction; return the versions of the live, and when."""
        one_by_one: list[Step] = [(self.sql.total_lock, {})] if self._limited else []
        locked = {"keys": sorted(keys)}
        rows = transaction.run(*one_by_one, (self.sql.lock, locked), (self.sql.state, locked | {"now": self.now()}))[-1]
        return {key: version for key, version, is_live, _ in rows if is_live}, rows[0][3]

    def _check_total(self, transaction: Transaction, growth: int = 0) -> None:
        total: Step = (self.sql.total, {})
        [[(size,)]] = transaction.run(total)
        if size + growth > cast(int, self._limits.total_bytes):
            _, [(size,)] = transaction.run((self.sql.sweep, {"most": None, "now": self.now()}), total)
            self._limits.check_total(size + growth)
