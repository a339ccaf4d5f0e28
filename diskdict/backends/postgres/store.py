"""A store that is a table of a PostgreSQL database: `PostgresStore`."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import count
from typing import Final, cast
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from diskdict.backends.postgres import rows
from diskdict.backends.postgres.columns import indexed
from diskdict.backends.postgres.rows import FRESH, Row
from diskdict.backends.postgres.servertime import ServerClock
from diskdict.criteria import Criteria
from diskdict.escapes import escaped, unescaped
from diskdict.limits import Limits, checked
from diskdict.lock import abandon_after_fork
from diskdict.messages import Listed
from diskdict.mutex import LockLike, mutation_locks
from diskdict.store import ABSENT, NEVER, Clock, OnlyIf, Record, Stat, Store

try:
    from diskdict.backends.postgres import listing
    from diskdict.backends.postgres.libpq import settings_of
    from diskdict.backends.postgres.tables import Table
except ImportError as error:
    raise ImportError("a store in PostgreSQL needs psycopg: pip install diskdict-store[postgres]") from error

TABLE: Final = "diskdict"
TIMEOUT: Final = 30.0
CONNECTIONS: Final = 10

_SWEEP_AFTER: Final = 50


class PostgresStore(Store):
    """Records in a table of PostgreSQL, which others may change at the same time.

    Parameters
    ----------
    url: str
        ``postgresql://user:password@host:port/database``, as libpq has it: what is left out comes from its environment
        variables, ``~/.pgpass`` and its defaults, and ``?sslmode=…`` and the like are understood.
    table: str
        The name of the table, found and made by the user's ``search_path``.
    codec: str
        The name of the codec of the values. The comment of the table keeps it, and another is refused.
    timeout: float
        Seconds to wait for a connection, and for each answer. A server that goes away and comes back is waited for.
    connections: int
        The most connections at a time.
    clock: callable, optional
        The time now in seconds since the epoch; the clock of the server, if not given.
    lock: lock or factory of locks
        Held around every mutation. By default threads change different things at a time, and `exclusive` is alone.
    limits: Limits
        Of these ``total_bytes`` is held, if all who write have it: they go one at a time and add up all sizes, and the
        expired go before a LimitError is raised.

    Raises
    ------
    ConnectionError, TimeoutError, PermissionError
        By any use: the server cannot be reached or is lost, does not answer in time, refuses user or password. A
        change that was under way may have been made then; what only reads is asked again.
    FormatError
        By the first use: the table is none of a store, or of one with another codec.

    Notes
    -----
    Nothing is asked before the first use. `exclusive` keeps out the other threads of this handle, not other clients:
    what they change is met by versions, and by locks of rows that all take in one order. Each operation, on many keys
    too, is one transaction, and once acknowledged as durable as the server's ``synchronous_commit`` says (by default:
    on its disk). It is one round trip, a rename or a commit two. An iteration goes by pages, each as it is by then;
    a RuntimeError ends it when this handle changes the number of keys. Expiry is by the clock of the server.

    The column ``metadata`` has the metadata as ``jsonb``, to be searched by its index; what comes back is the text
    beside it. A table of an earlier format is brought to this one when it is opened. A value, and a batch, is at most
    1 GiB. Each fiftieth record with an expiry removes up to a hundred that have expired.
    """

    shared = True

    def __init__(
        self,
        url: str,
        *,
        table: str = TABLE,
        codec: str = "json",
        timeout: float = TIMEOUT,
        connections: int = CONNECTIONS,
        clock: Clock | None = None,
        lock: LockLike | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._table = Table(settings_of(url), table, codec, timeout, connections, checked(limits), clock)
        self.clock = ServerClock(self._table.server_time) if clock is None else clock
        self._own_lock = lock is None
        self._changing, self._alone = mutation_locks(lock)
        self._numbers = count(FRESH)
        self._changes = 0
        self._expiring = 0
        abandon_after_fork(self)

    def abandon(self) -> None:
        """Leave to the parent of a forked child what is the parent's: its connections, and who has its lock."""
        self._table.connections.renew()
        if self._own_lock:
            self._changing, self._alone = mutation_locks(None)
        abandon_after_fork(self)

    # ---- one key

    def _one(self, statement: bytes, key: str) -> Row | None:
        found = self._table.ask(statement, {"key": indexed(key)[0]})
        return found[0] if found else None

    def get(self, key: str) -> Record | None:
        row = self._one(self._table.sql.get, key)
        return None if row is None else rows.record_of(row)

    def read(self, key: str) -> bytes | None:
        row = self._one(self._table.sql.read, key)
        return None if row is None else cast(bytes, row[0])

    def stat(self, key: str) -> Stat | None:
        row = self._one(self._table.sql.stat, key)
        return None if row is None else rows.stat_of(row)

    def contains(self, key: str) -> bool:
        return self._one(self._table.sql.contains, key) is not None

    def spelling(self, key: str) -> str:
        if isinstance(key, Listed):
            return key.spelling
        row = self._one(self._table.sql.spelling, key)
        return key if row is None or row[0] is None else unescaped(row[0])

    def put(
        self,
        key: str,
        payload: bytes,
        *,
        expires: float = NEVER,
        meta: str | None = None,
        spelling: str | None = None,
        created: float | None = None,
        only_if: OnlyIf = None,
    ) -> int | None:
        parameters = rows.one(key, payload, expires=expires, meta=meta, spelling=spelling, created=created)
        statement = self._table.sql.put
        if only_if is ABSENT:
            statement = self._table.sql.put_absent
        elif only_if is not None:
            statement = self._table.sql.put_version
            parameters["only_if"] = rows.version_of(only_if)
        self._sweep_some(expires)
        with self._changing():
            found = self._table.put(statement, parameters)
            self._changes += any(new for _, new in found)
            return cast(int, found[0][0]) if found else None

    def _sweep_some(self, expires: float) -> None:
        # Before the change: what fails afterwards would not tell that it was made.
        self._expiring += expires != NEVER
        if self._expiring >= _SWEEP_AFTER:
            self._expiring = 0
            self.sweep(2 * _SWEEP_AFTER)

    def amend(
        self, key: str, *, expires: float | None = None, meta: str | None = None, only_if: int | None = None
    ) -> int | None:
        parameters = {
            "key": indexed(key)[0],
            "expires": expires,
            "amends": meta is not None,
            "only_if": rows.version_of(only_if),
        } | rows.metadata(meta)
        with self._changing():
            found = self._table.change(self._table.sql.amend, parameters)
        return cast(int, found[0][0]) if found else None

    def delete(self, key: str, *, only_if: int | None = None) -> bool:
        parameters = {"key": indexed(key)[0], "only_if": rows.version_of(only_if)}
        with self._changing():
            done = bool(self._table.change(self._table.sql.delete, parameters))
            self._changes += done
            return done

    def rename(self, source: str, target: str, *, spelling: str | None = None) -> bool | None:
        (old, _), (new, whole) = indexed(source), indexed(target)
        parameters = {"whole": whole, "spelling": spelling and escaped(spelling)}
        with self._changing():
            done = self._table.move(old, new, parameters)
            self._changes += done is True
            return done

    # ---- many keys

    def scan(self, prefix: str = "", *, reverse: bool = False) -> Iterator[str]:
        self._table.connections.check_open()
        return self._walk(listing.keys(self._table, prefix, reverse), self._changes)

    def scan_like(self, pieces: Sequence[str]) -> Iterator[str]:
        self._table.connections.check_open()
        return self._walk(listing.alike(self._table, pieces), self._changes)

    def scan_meta(self, prefix: str, criteria: Criteria) -> Iterator[tuple[str, str]]:
        return listing.described(self._table, prefix, criteria)

    def _walk(self, found: Iterator[Row], changes: int) -> Iterator[str]:
        self._check_unchanged(changes)
        for text, spelling, *_ in found:
            self._check_unchanged(changes)
            yield rows.listed(text, spelling)
        self._check_unchanged(changes)

    def _check_unchanged(self, changes: int) -> None:
        self._table.connections.check_open()
        if changes != self._changes:
            raise RuntimeError("dictionary changed size during iteration")

    def count(self) -> int:
        [(number,)] = self._table.ask(self._table.sql.length)
        return cast(int, number)

    def get_many(self, keys: Iterable[str]) -> dict[str, Record]:
        asked = {indexed(key)[0]: key for key in keys}
        found = self._table.ask(self._table.sql.get_many, {"keys": list(asked)})
        return {asked[row[8]]: rows.record_of(row[:8]) for row in found}

    def put_many(
        self, payloads: Mapping[str, bytes], *, expires: float = NEVER, spellings: Mapping[str, str] | None = None
    ) -> None:
        parameters = rows.several(payloads, spellings or {}) | {"expires": expires}
        with self._changing():
            found = self._table.put(self._table.sql.put_many, parameters)
            self._changes += any(new for _, new in found)

    def delete_many(self, keys: Iterable[str]) -> dict[str, bool]:
        asked = {key: indexed(key)[0] for key in keys}
        with self._changing():
            parameters = {"keys": list(asked.values())}
            removed = {text for (text,) in self._table.change(self._table.sql.delete_many, parameters)}
            self._changes += bool(removed)
        return {key: text in removed for key, text in asked.items()}

    def sweep(self, limit: int | None = None) -> int:
        with self._changing():
            [(number,)] = self._table.change(self._table.sql.sweep, {"most": limit})
        return cast(int, number)

    # ---- several changes

    def exclusive(self) -> AbstractContextManager[object]:
        return self._alone()

    def number(self) -> int:
        return next(self._numbers)

    def check_growth(self, growth: int) -> None:
        self._table.check_growth(growth)

    def commit(self, changes: Mapping[str, Record | None], *, amended: Collection[str] = ()) -> None:
        self.commit_if({}, changes, amended=amended)

    def commit_if(
        self, expected: Mapping[str, OnlyIf], changes: Mapping[str, Record | None], *, amended: Collection[str] = ()
    ) -> None:
        wanted = {indexed(key)[0]: version for key, version in (dict.fromkeys(amended) | dict(expected)).items()}
        removed = [indexed(key)[0] for key, record in changes.items() if record is None]
        parameters = rows.written(changes, amended)
        with self._changing():
            if wanted or changes:
                self._table.commit(wanted, parameters, removed)
            self._changes += any(record is None or record.order >= FRESH for record in changes.values())

    def close(self) -> None:
        self._table.connections.close()


def open_url(url: str, *, codec: str, clock: Clock, lock: LockLike | None, limits: Limits | None) -> PostgresStore:
    """Return the store at ``postgresql://user:password@host:port/database?table=…&timeout=…&connections=…``."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    table, timeout = query.pop("table", TABLE), query.pop("timeout", str(TIMEOUT))
    connections = query.pop("connections", str(CONNECTIONS))
    return PostgresStore(
        parts._replace(query=urlencode(query, quote_via=quote)).geturl(),
        table=table,
        codec=codec,
        timeout=float(timeout),
        connections=int(connections),
        clock=None if clock is time.time else clock,
        lock=lock,
        limits=limits,
    )
