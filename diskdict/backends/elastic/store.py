"""A store that is an index of Elasticsearch: `ElasticStore`."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from itertools import count
from typing import Final

from diskdict.backends.elastic import documents
from diskdict.backends.elastic.address import Address, parsed
from diskdict.backends.elastic.decisions import Decide, amending, committing, deleting, live, moving, putting
from diskdict.backends.elastic.documents import BEGINNING, Change, as_found
from diskdict.backends.elastic.index import Index, Query
from diskdict.criteria import Criteria
from diskdict.errors import ConflictError, LimitError
from diskdict.escapes import escaped, unescaped
from diskdict.limits import Limits, checked
from diskdict.lock import abandon_after_fork
from diskdict.messages import Listed
from diskdict.mutex import LockLike, mutation_lock
from diskdict.store import ABSENT, NEVER, Clock, OnlyIf, Record, Stat, Store

_FRESH: Final = 1 << 61
"""Orders from here are of records that are committed as new ones."""


class ElasticStore(Store):
    """Records as documents of an index of Elasticsearch, which others may change at the same time.

    Parameters
    ----------
    address: Address or str
        Where they are; `diskdict.backends.elastic.address.parsed` says what a URL may hold.
    codec: str
        The name of the codec, which all who use this index must share.
    clock: callable
        The time now in seconds since the epoch.
    lock: lock or factory of locks
        Held around every mutation; an RLock by default.
    limits: Limits
        Of these, ``total_bytes`` is watched here, as far as all who write have the same: before each growth the server
        is asked for the sum.

    Raises
    ------
    ConnectionError, TimeoutError, PermissionError
        By any use: where the server cannot be reached, does not answer in time, wants another account. A change that
        was under way may have been made then.
    FormatError
        By the first use: the index is none of a store, or of one with another codec, or this is no Elasticsearch.
    LimitError
        By a commit of more than one key.

    Notes
    -----
    Each key is changed by itself: what is there is read, and replaced under the condition that it still is the same
    (``if_seq_no``, ``if_primary_term``; ``create`` for what is not there), again until that holds. So each operation is
    atomic for its key, between all clients. More than one key the server cannot change as one: a commit of several is
    refused, `put_many` and `delete_many` may end halfway where the server does, and a rename that is killed between its
    two changes leaves both keys. `exclusive` keeps out the other threads of this handle, not other clients.

    One key, and several that are named, are read as they are at this moment. What is searched is told of changes by a
    refresh: `scan`, `scan_meta`, `count` and `sweep`, and writes where there is ``total_bytes``, ask for one before
    they begin, so they know all that was acknowledged to anybody; other writes ask for none. An iteration goes by
    pages, each as it is by then; a RuntimeError ends it when this handle changes the number of keys. New keys are
    placed by the clocks of those who make them, and expire by the clocks of those who ask; what has expired stays there
    until a `sweep`. What was acknowledged is in the translog of all copies in sync, by default on their disks.
    """

    shared = True

    def __init__(
        self,
        address: Address | str,
        *,
        codec: str = "json",
        clock: Clock = time.time,
        lock: LockLike | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._index = Index(parsed(address) if isinstance(address, str) else address, codec)
        self.clock = clock
        self._limits = checked(limits)
        self._own_lock = lock is None
        self._lock = mutation_lock(lock)
        self._numbers = count(_FRESH)
        self._placed = 0
        self._changes = 0
        abandon_after_fork(self)

    def abandon(self) -> None:
        """Leave to the parent of a forked child what is the parent's: its connections, and who has its lock."""
        self._index.renew()
        if self._own_lock:
            self._lock = mutation_lock(None)
        abandon_after_fork(self)

    # ---- one key

    def get(self, key: str) -> Record | None:
        return self.get_many([key]).get(key)

    def stat(self, key: str) -> Stat | None:
        found = live(self._index.look([key], payloads=False).get(key), self.clock())
        return None if found is None else found.stat

    def contains(self, key: str) -> bool:
        return self.stat(key) is not None

    def spelling(self, key: str) -> str:
        if isinstance(key, Listed):
            return key.spelling
        stat = self.stat(key)
        return key if stat is None or stat.spelling is None else stat.spelling

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
        put = putting(
            key,
            payload,
            self._next_place,
            expires=expires,
            meta=meta,
            spelling=spelling,
            created=created,
            only_if=only_if,
        )
        return self._change({key: put})[key]

    def _next_place(self) -> int:
        self._placed = max(self._placed + 1, time.time_ns() // 1_000)
        return self._placed

    def amend(
        self, key: str, *, expires: float | None = None, meta: str | None = None, only_if: int | None = None
    ) -> int | None:
        return self._change({key: amending(expires, meta, only_if)})[key]

    def delete(self, key: str, *, only_if: int | None = None) -> bool:
        return self._change({key: deleting(only_if)})[key] is not None

    def _change(self, decisions: Mapping[str, Decide], *, grows: bool = True) -> dict[str, int | None]:
        """Change documents, each by itself and until nobody was faster; return their versions, None for no change."""
        done: dict[str, int | None] = dict.fromkeys(decisions)
        left = list(decisions)
        with self._lock:
            while left:
                found, now = self._index.look(left, payloads=False), self.clock()
                decided = ((key, decisions[key](found.get(key), now)) for key in left)
                changes = {key: change for key, change in decided if change is not None}
                if grows:
                    self.check_growth(sum(change.growth for change in changes.values()))
                versions = self._index.change(changes)
                done.update(versions)
                self._changes += any(changes[key].resizes for key, version in versions.items() if version is not None)
                left = [key for key, version in versions.items() if version is None]
        return done

    def rename(self, source: str, target: str, *, spelling: str | None = None) -> bool | None:
        with self._lock:
            while (record := self.get(source)) is not None:
                moved = moving(record, target, self._next_place, spelling)
                made = self._change({target: moved}, grows=False)[target]
                if made is None:
                    return False
                if self.delete(source, only_if=record.version):
                    return True
                # Others were faster: what was moved is not what is there.
                self.delete(target, only_if=made)
            return None

    # ---- many keys

    def scan(self, prefix: str = "", *, reverse: bool = False) -> Iterator[str]:
        self._index.check_open()
        return self._walk(prefix, reverse, self._changes)

    def _walk(self, prefix: str, reverse: bool, changes: int) -> Iterator[str]:
        self._check_unchanged(changes)
        for source in self._sources(self._alive(prefix), ["key", "spelling"], reverse=reverse):
            self._check_unchanged(changes)
            key = documents.listed(source)
            if key.startswith(prefix):
                yield key
        self._check_unchanged(changes)

    def _check_unchanged(self, changes: int) -> None:
        self._index.check_open()
        if changes != self._changes:
            raise RuntimeError("dictionary changed size during iteration")

    def _alive(self, prefix: str = "", *more: Query) -> Query:
        begins: list[Query] = [{"prefix": {"begins": {"value": escaped(prefix)[:BEGINNING]}}}] if prefix else []
        return {"bool": {"filter": [*begins, *more], "must_not": [self._expired()]}}

    def _expired(self) -> Query:
        return {"range": {"expires": {"lte": self.clock()}}}

    def _sources(self, query: Query, fields: list[str], *, reverse: bool = False) -> Iterator[documents.Document]:
        self._index.refresh()
        way = "desc" if reverse else "asc"
        for page in self._index.pages(query, [{"order": way}, {"name": way}], fields):
            yield from (hit["_source"] for hit in page)

    def scan_meta(self, prefix: str, criteria: Criteria) -> Iterator[tuple[str, str]]:  # noqa: ARG002
        query = self._alive(prefix, {"term": {"described": True}})
        for source in self._sources(query, ["key", "meta"]):
            key = unescaped(source["key"])
            if key.startswith(prefix):
                yield key, unescaped(source["meta"])

    def count(self) -> int:
        self._index.refresh()
        return self._index.count(self._alive())

    def get_many(self, keys: Iterable[str]) -> dict[str, Record]:
        found, now = self._index.look(keys), self.clock()
        return {key: documents.record_of(key, known) for key, known in found.items() if live(known, now) is not None}

    def put_many(
        self, payloads: Mapping[str, bytes], *, expires: float = NEVER, spellings: Mapping[str, str] | None = None
    ) -> None:
        spelled, place = spellings or {}, self._next_place
        self._change(
            {
                key: putting(key, payload, place, expires=expires, spelling=spelled.get(key))
                for key, payload in payloads.items()
            }
        )

    def delete_many(self, keys: Iterable[str]) -> dict[str, bool]:
        done = self._change({key: deleting() for key in keys})
        return {key: version is not None for key, version in done.items()}

    def sweep(self, limit: int | None = None) -> int:
        swept = 0
        with self._lock:
            self._index.refresh()
            for page in self._index.pages(self._expired(), [{"expires": "asc"}, {"name": "asc"}], ["key"]):
                some = page[: None if limit is None else limit - swept]
                gone = {unescaped(hit["_source"]["key"]): Change("delete", as_found(hit)) for hit in some}
                swept += sum(version is not None for version in self._index.change(gone).values())
                if limit is not None and swept >= limit:
                    break
        return swept

    # ---- several changes

    def exclusive(self) -> AbstractContextManager[object]:
        self._index.check_open()
        return self._lock

    def number(self) -> int:
        return next(self._numbers)

    def groups(self, keys: Iterable[str]) -> Iterator[list[str]]:
        return ([key] for key in keys)

    def commit(self, changes: Mapping[str, Record | None], *, amended: Collection[str] = ()) -> None:
        self.commit_if({}, changes, amended=amended)

    def commit_if(
        self, expected: Mapping[str, OnlyIf], changes: Mapping[str, Record | None], *, amended: Collection[str] = ()
    ) -> None:
        keys = {*expected, *changes}
        if len(keys) > 1:
            raise LimitError("a commit in Elasticsearch", 1, len(keys), "key")
        for key in keys:
            record, only_if = changes.get(key), expected.get(key)
            if key not in changes or (record is None and only_if is ABSENT):
                super().commit_if(expected, {})
                continue
            fresh = record is not None and record.order >= _FRESH
            commit = committing(key, record, self._next_place, only_if, amended=key in amended, fresh=fresh)
            if self._change({key: commit})[key] is None and (only_if is not None or key in amended):
                raise ConflictError(f"{key!r} was changed or removed by others; read it again and repeat")

    def check_growth(self, growth: int) -> None:
        if growth > 0 and self._limits.total_bytes is not None:
            self._index.refresh()
            self._limits.check_total(self._index.total(self._alive()) + growth)

    def close(self) -> None:
        self._index.close()


def open_url(url: str, *, codec: str, clock: Clock, lock: LockLike | None, limits: Limits | None) -> ElasticStore:
    """Return the store at ``elasticsearch://user:password@host:port/index``."""
    return ElasticStore(url, codec=codec, clock=clock, lock=lock, limits=limits)
