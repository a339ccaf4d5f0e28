"""A store in Redis, one server or a cluster: `RedisStore`."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from heapq import merge
from itertools import count, groupby
from typing import Final, cast

from diskdict.backends.redis import records
from diskdict.backends.redis.address import Address, parsed
from diskdict.backends.redis.calls import Request
from diskdict.backends.redis.links import PoolOf
from diskdict.backends.redis.records import Change, encoded
from diskdict.backends.redis.slots import Slots, portions
from diskdict.criteria import Criteria, traces
from diskdict.errors import ConflictError
from diskdict.limits import Limits
from diskdict.listening import Listener
from diskdict.lock import abandon_after_fork
from diskdict.messages import Listed
from diskdict.mutex import LockLike, mutation_lock
from diskdict.store import NEVER, Clock, OnlyIf, Record, Stat, Store

_FRESH: Final = 1 << 61
"""Orders from here are of records that are committed as new ones."""
_PAGE, _LONG_PAGE, _SEARCHED = 100, 1_000, 10_000


class RedisStore(Store):
    """Records in Redis, which others may change at the same time.

    Parameters
    ----------
    address: Address or str
        Where they are; `diskdict.backends.redis.address.parsed` says what a URL may hold.
    codec: str
        The name of the codec, which all who use this prefix must share.
    clock: callable, optional
        The time of the server in seconds since the epoch; as it tells, if not given.
    lock: lock or factory of locks
        Held around every mutation; an RLock by default.
    limits: Limits
        Of these, ``total_bytes`` is watched here, as far as all who write have the same.
    pool_of: callable, optional
        Gives the connections to a server, which stay open at the end; by default they are made, and closed.

    Raises
    ------
    ConnectionError, TimeoutError, PermissionError
        By any use: where the server cannot be reached, does not answer in time, wants another password. A change that
        was under way may have been made then.
    DurabilityError
        By changes: fewer replicas than `Address.wait` have it in time, though it was made; or the server cannot write.

    Notes
    -----
    `exclusive` keeps out the other threads of this handle, not other clients: what they change is met by versions. A
    commit, and `put_many`, `delete_many` and `get_many` of up to 10,000 keys, are one round trip and one moment.
    Records expire by themselves, by the server's clock and to the millisecond; where that clock goes back they stay
    away. What a change survives is for the server to say (``appendfsync``). It must not evict keys. An iteration goes
    by pages, each as it is by then: it meets each key that is there all the time, and a RuntimeError ends it when this
    handle changes the number of keys.

    A cluster has the whole store in one slot where the prefix has a hash tag (``prefix={app}:``), and then all of this
    holds. Otherwise keys are spread over 64 slots, those that have the same ``{tag}`` in them on one: changes of
    several keys at once are for such keys alone (ValueError), and batches are one moment for each slot.
    """

    shared = True

    def __init__(
        self,
        address: Address | str,
        *,
        codec: str = "json",
        clock: Clock | None = None,
        lock: LockLike | None = None,
        limits: Limits | None = None,
        pool_of: PoolOf | None = None,
    ) -> None:
        self._slots = Slots(parsed(address) if isinstance(address, str) else address, codec, limits, pool_of)
        self._links = self._slots.links
        self.clock = self._links.now if clock is None else clock
        self._own_lock = lock is None
        self._lock = mutation_lock(lock)
        self._numbers = count(_FRESH)
        self._changes = 0
        abandon_after_fork(self)

    def abandon(self) -> None:
        """Leave to the parent of a forked child what is the parent's: its connections, and who has its lock."""
        self._slots.renew()
        if self._own_lock:
            self._lock = mutation_lock(None)
        abandon_after_fork(self)

    # ---- one key

    def get(self, key: str) -> Record | None:
        stored = self._slots.one(key, "GET")
        return None if stored is None else records.record_of(key, cast(bytes, stored))

    def read(self, key: str) -> bytes | None:
        stored = self._slots.one(key, "GET")
        return None if stored is None else records.payload_of(key, cast(bytes, stored))

    def stat(self, key: str) -> Stat | None:
        found = self._slots.stat(key)
        return None if found is None else records.stat_of(key, *cast(tuple[bytes, int], found))

    def contains(self, key: str) -> bool:
        return self._slots.one(key, "EXISTS") == 1

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
        change = records.put(key, payload, expires=expires, meta=meta, spelling=spelling, created=created)
        done = self._one(change, only_if)
        return done and done[0]

    def amend(
        self, key: str, *, expires: float | None = None, meta: str | None = None, only_if: int | None = None
    ) -> int | None:
        done = self._one(records.amend(key, expires, meta), only_if)
        return done and (done[0] or None)

    def delete(self, key: str, *, only_if: int | None = None) -> bool:
        done = self._one(records.delete(key), only_if)
        return done is not None and done[1] == 1

    def rename(self, source: str, target: str, *, spelling: str | None = None) -> bool | None:
        self._slots.check_together([source, target])
        [(_, told)] = self._write([records.rename(source, target, spelling)])
        return None if told < 0 else told == 1

    def _one(self, change: Change, only_if: OnlyIf) -> tuple[int, int] | None:
        try:
            [done] = self._write([change], {} if only_if is None else {change.key: only_if})
        except ConflictError:
            return None
        return done

    # ---- many keys

    def scan(self, prefix: str = "", *, reverse: bool = False) -> Iterator[str]:
        self._links.check_open()
        return self._walk([prefix, ""], reverse, self._changes)

    def scan_like(self, pieces: Sequence[str]) -> Iterator[str]:
        self._links.check_open()
        return self._walk(pieces, False, self._changes)

    def scan_meta(self, prefix: str, criteria: Criteria) -> Iterator[tuple[str, str]]:
        with self._lock:
            texts = list(self.scan(prefix))
        return self._slots.metas(texts, traces(criteria))

    def _walk(self, pieces: Sequence[str], reverse: bool, changes: int) -> Iterator[str]:
        self._check_unchanged(changes)
        slots, begin, shape = self._slots, "+inf" if reverse else "-inf", list(map(encoded, pieces))
        # Few at first: who looks for the first or the last key needs no more.
        many = _SEARCHED if any(shape) else _PAGE
        first = slots.each(slots.parts, "page", int(reverse), begin, many, "", *shape)
        further = _SEARCHED if any(shape) else _LONG_PAGE
        parts = [
            slots.texts(part, cast(list[bytes], page), shape, further, reverse=reverse)
            for part, page in enumerate(first)
        ]
        for _, text in parts[0] if len(parts) == 1 else merge(*parts, reverse=reverse):
            self._check_unchanged(changes)
            yield text
        self._check_unchanged(changes)

    def _check_unchanged(self, changes: int) -> None:
        self._links.check_open()
        if changes != self._changes:
            raise RuntimeError("dictionary changed size during iteration")

    def count(self) -> int:
        return sum(cast(list[int], self._slots.each(self._slots.parts, "count")))

    def get_many(self, keys: Iterable[str]) -> dict[str, Record]:
        slots, asked = self._slots, list(keys)
        slots.meet()
        portioned = slots.portions(asked)
        placed = ([slots.place(key) for key in some] for _, some in portioned)
        requests = [Request(places[0], ("MGET", *places)) for places in placed]
        found: dict[str, Record] = {}
        for (_, some), answer in zip(portioned, self._links.ask_all(requests, reading=True), strict=True):
            pairs = zip(some, cast(list[bytes | None], answer), strict=True)
            found.update((key, records.record_of(key, stored)) for key, stored in pairs if stored is not None)
        return {key: found[key] for key in asked if key in found}

    def put_many(
        self, payloads: Mapping[str, bytes], *, expires: float = NEVER, spellings: Mapping[str, str] | None = None
    ) -> None:
        spelled = spellings or {}
        with self._lock:
            for some in portions(payloads):
                self._write(
                    [records.put(key, payloads[key], expires=expires, spelling=spelled.get(key)) for key in some]
                )

    def delete_many(self, keys: Iterable[str]) -> dict[str, bool]:
        removed: dict[str, bool] = {}
        with self._lock:
            for some in portions(dict.fromkeys(keys)):
                done = self._write([records.delete(key) for key in some])
                removed.update((key, told == 1) for key, (_, told) in zip(some, done, strict=True))
        return removed

    def sweep(self, limit: int | None = None) -> int:
        swept = 0
        with self._lock:
            for part in self._slots.parts:
                while (more := _LONG_PAGE if limit is None else min(limit - swept, _LONG_PAGE)) > 0:
                    [done] = cast(list[int], self._slots.each([part], "sweep", more, reading=False))
                    swept += done
                    if done < more:
                        break
        return swept

    # ---- several changes

    def exclusive(self) -> AbstractContextManager[object]:
        self._links.check_open()
        return self._lock

    def number(self) -> int:
        return next(self._numbers)

    def groups(self, keys: Iterable[str]) -> Iterator[Sequence[str]]:
        return (list(some) for _, some in groupby(keys, self._slots.part))

    def commit(self, changes: Mapping[str, Record | None], *, amended: Collection[str] = ()) -> None:
        self.commit_if({}, changes, amended=amended)

    def commit_if(
        self, expected: Mapping[str, OnlyIf], changes: Mapping[str, Record | None], *, amended: Collection[str] = ()
    ) -> None:
        self._slots.check_together([*expected, *changes])
        if changes or expected:
            self._write(list(records.operations(changes, amended, _FRESH)), expected)

    def check_growth(self, growth: int) -> None:
        if self._slots.allowed is not None:
            self._write([], growth=growth)

    def _write(
        self, changes: Sequence[Change], expected: Mapping[str, OnlyIf] | None = None, growth: int = 0
    ) -> list[tuple[int, int]]:
        with self._lock:
            done = self._slots.write(changes, expected, growth)
            self._changes += any(told == 1 for _, told in done)
            return done

    def tell(self, listener: Listener) -> bool:
        """Tell of all changes that the server tells of; a cluster does not."""
        return self._slots.tell(listener)

    def close(self) -> None:
        self._slots.close()


def open_url(url: str, *, codec: str, clock: Clock, lock: LockLike | None, limits: Limits | None) -> RedisStore:
    """Return the store at ``redis://host:port/database?prefix=app:``, or in a cluster."""
    return RedisStore(url, codec=codec, clock=None if clock is time.time else clock, lock=lock, limits=limits)
