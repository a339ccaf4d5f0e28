"""Many keys as one, and transactions: `Together`."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, islice
from typing import Final, Generic, NamedTuple, Self, cast

from diskdict.expiring import Expiring
from diskdict.face import K, Pairs, V, pairs
from diskdict.info import pack, unpack
from diskdict.keys import find
from diskdict.store import ABSENT, NEVER, NOT_SET, Store, Ttl
from diskdict.transactions import Transactions
from diskdict.values import ask

_CHUNK: Final = 1_000


class Entry(NamedTuple, Generic[K, V]):
    """A key with all that belongs to it, to be carried to another dict.

    Times are seconds since the epoch. Without ``expires_at`` it does not expire, without ``created_at`` it is created
    when it is stored there.
    """

    key: K
    value: V
    expires_at: float | None = None
    created_at: float | None = None
    metadata: Mapping[str, object] = {}


class Together(Expiring[K, V]):
    """A dict over a store, as far as it changes several keys as one."""

    _store: Transactions

    @abstractmethod
    def _bind(self, store: Store) -> None:
        """Read and write by way of `store`."""

    @contextmanager
    def transaction(self) -> Iterator[Self]:
        """Make all that this thread changes in the block as one: afterwards all of it is there, or none.

        Nothing is changed when the block raises. What this thread does with the dict inside is part of it, and it reads
        what it has changed; an inner transaction is part of the outer one. Other threads read what was there before up
        to the end, and all of it after; their changes wait. A process that is killed leaves all or nothing.

        A commit is done when the block has ended. Should the disk refuse the files then, the journal keeps what was
        committed, readers get it from memory, and each change, `flush` and `close` try again.
        """
        inner = self._store.staged is not None
        changed: list[str] = []
        try:
            with self._store.together() as staged:
                self._bind(self._store)
                try:
                    yield self
                finally:
                    changed = staged.changed
                    if not inner:
                        self._bind(self._store.base)
        except BaseException:
            for text in changed:
                self._values.forget(text)
            raise

    def expect(self, key: K, *, version: int | None) -> None:
        """Have the transaction fail with a ConflictError, at its end, unless `key` had this version when it began.

        The version is that of `info`; None means that the key was missing. RuntimeError outside of a transaction.
        """
        staged = self._store.staged
        if staged is None:
            raise RuntimeError("expect is for the inside of a transaction: with d.transaction(): …")
        text, _ = self._values.key(key)
        staged.expect(text, ABSENT if version is None else version)

    def get_many(self, keys: Iterable[K]) -> dict[K, V]:
        """Return the keys that are there with their values, in the order of asking: all as they were at one moment."""
        asked = {text: key for key in keys if (text := find(key)) is not None}
        for text in asked:
            self._values.settle(text)
        records = ask(self._store.get_many, list(asked))
        found = ((asked[text], self._values.decoded(text, records[text])) for text in asked if text in records)
        return {key: value for key, value in found if value is not NOT_SET}

    def set_many(self, items: Pairs[K, V], *, ttl: Ttl = None) -> None:
        """Store each pair of a mapping or an iterable of pairs: all of them, or none where one is refused."""
        values = self._values
        encoded: dict[str, bytes] = {}
        spellings: dict[str, str] = {}
        for key, value in pairs(items):
            text, spelled = values.key(key)
            if spelled is not None and text not in encoded:
                spellings[text] = spelled
            encoded[text] = values.encoded(value)
        expires = values.expires(ttl)
        self._store.put_many(encoded, expires=expires, spellings=spellings)
        for text in encoded:
            values.forget(text)

    def entries(self) -> Iterator[Entry[K, V]]:
        """Yield each key with its value, expiry, creation and metadata, in order: what `restore` takes."""
        for key in self:
            text = self._settled(key)
            record = ask(self._store.get, text)
            value = NOT_SET if record is None else self._values.decoded(text, record)
            if record is not None and value is not NOT_SET:
                expires = None if record.expires == NEVER else record.expires
                yield Entry(key, value, expires, record.created, unpack(record.meta))

    def restore(self, entries: Iterable[Entry[K, V]]) -> None:
        """Store keys as `entries` has them, in that order: all of them, or none where one is refused.

        A key that is there gets value, expiry and metadata, and keeps its place and its time of creation.
        ``default_ttl`` is not applied. A refusal names its key in a note. ValueError for a time that is none.
        """
        values = self._values
        changed = []
        with self._store.together() as staged:
            for entry in entries:
                try:
                    text, spelled = values.key(entry.key)
                    staged.put(
                        text,
                        values.encoded(entry.value),
                        expires=NEVER if entry.expires_at is None else _time(entry.expires_at),
                        meta=pack(entry.metadata),
                        spelling=spelled,
                        created=None if entry.created_at is None else _time(entry.created_at),
                    )
                except ValueError as error:
                    error.add_note(f"key {entry.key!r}")
                    raise
                changed.append(text)
        for text in changed:
            values.forget(text)

    def delete_many(self, keys: Iterable[K]) -> dict[K, bool]:
        """Remove all the keys as one; say for each whether it was there."""
        asked = {key: find(key) for key in keys}
        removed = self._store.delete_many([text for text in asked.values() if text is not None])
        for text in removed:
            self._values.forget(text)
        return {key: text is not None and removed[text] for key, text in asked.items()}

    def update(self, other: Pairs[K, V] = (), /, **kwargs: V) -> None:
        """Set each pair of a mapping or of an iterable of pairs, then each keyword: a thousand of them as one."""
        rest = chain(pairs(other), cast(Iterable[tuple[K, V]], kwargs.items()))
        more = True
        while more:
            chunk: list[tuple[K, V]] = []
            try:
                chunk.extend(islice(rest, _CHUNK))
            finally:
                # What comes before a pair that is none is stored, as by dict.
                self._set_some(chunk)
            more = len(chunk) == _CHUNK

    def _set_some(self, chunk: list[tuple[K, V]]) -> None:
        if self._values.held is None and len(chunk) > 1:
            self.set_many(chunk)
        elif chunk:
            with self.transaction():
                for key, value in chunk:
                    self[key] = value


def _time(given: float) -> float:
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 <= given < math.inf:
        raise ValueError(f"a time is seconds since the epoch, not {given!r}")
    try:
        return float(given)
    except OverflowError:
        raise ValueError("a time of more seconds than a float can hold") from None
