"""Changes that nobody sees yet: `Staged` is a store as it will be after them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import BinaryIO, NamedTuple

from diskdict.checksums import crc32
from diskdict.store import ABSENT, NEVER, OnlyIf, Record, Stat, Store


class State(NamedTuple):
    """What a `Staged` has gathered up to a moment."""

    staged: dict[str, Record | None]
    amended: set[str]
    placed: dict[str, None]
    expected: dict[str, OnlyIf]
    growth: int


class Staged(Store):
    """A store as it will be after changes that nobody else sees yet.

    Parameters
    ----------
    base: Store
        The store that is changed by `finish`, and by nothing before. Its mutation lock is held all the time.
    """

    def __init__(self, base: Store) -> None:
        self._base = base
        self.clock = base.clock
        self.readonly = base.readonly
        self._staged: dict[str, Record | None] = {}
        self._amended: set[str] = set()  # keys that keep the payload they have in the store below
        self._placed: dict[str, None] = {}  # keys that come after all others, in their order
        self._expected: dict[str, OnlyIf] = {}
        self._read: dict[str, OnlyIf] = {}  # of a shared store: what somebody was told
        self._growth = 0
        self._size_changes = 0

    @property
    def changed(self) -> list[str]:
        """The keys that were changed."""
        return list(self._staged)

    def state(self) -> State:
        """Return what `restore` needs to come back to now."""
        return State(
            self._staged.copy(), self._amended.copy(), self._placed.copy(), self._expected.copy(), self._growth
        )

    def restore(self, state: State) -> None:
        """Forget what was staged since."""
        self._staged, self._amended, self._placed, self._expected, self._growth = state
        self._size_changes += 1

    def expect(self, key: str, version: OnlyIf) -> None:
        """Have `finish` fail unless the record has this version before all changes, or with ABSENT is not there."""
        self._expected[key] = version

    def finish(self) -> None:
        """Make all changes in the store below.

        Raises ConflictError, and changes nothing, where `expect` was wrong, or others have changed what was read here.
        """
        self._base.commit_if(self._read | self._expected, self._staged, amended=self._amended)

    def get(self, key: str) -> Record | None:
        if key not in self._staged:
            found = self._base.get(key)
            self._note(key, found)
            return found
        return self._staged_record(key)

    def _staged_record(self, key: str) -> Record | None:
        record = self._staged.get(key)
        return record if record is not None and record.expires > self.clock() else None

    def get_many(self, keys: Iterable[str]) -> dict[str, Record]:
        asked = list(keys)
        below = [key for key in asked if key not in self._staged]
        found = self._base.get_many(below)
        for key in below:
            self._note(key, found.get(key))
        return {key: record for key in asked if (record := found.get(key) or self._staged_record(key)) is not None}

    def _note(self, key: str, found: Record | Stat | None) -> None:
        if self._base.shared and key not in self._staged:
            self._read.setdefault(key, ABSENT if found is None else found.version)

    def stat(self, key: str) -> Stat | None:
        stat = self._stat(key)
        self._note(key, stat)
        return stat

    def _stat(self, key: str) -> Stat | None:
        if key not in self._staged:
            return self._base.stat(key)
        record = self.get(key)
        return None if record is None else Stat(len(record.payload), crc32(record.payload), *record[1:])

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
        old = self._stat(key) if only_if is None else self.stat(key)
        if only_if is not None and only_if != (ABSENT if old is None else old.version):
            return None
        growth = len(payload) - (0 if old is None else old.size)
        self.check_growth(growth)
        self._growth += growth
        now = self.clock()
        version = order = self._base.number()
        if old is not None:
            order, created, spelling = old.order, old.created, old.spelling
        else:
            self._place_last(key)
        born = now if created is None else created
        self._staged[key] = Record(payload, order, born, now, expires, version, meta or None, spelling)
        self._amended.discard(key)
        return version

    def _place_last(self, key: str) -> None:
        self._placed.pop(key, None)
        self._placed[key] = None
        self._size_changes += 1

    def amend(
        self, key: str, *, expires: float | None = None, meta: str | None = None, only_if: int | None = None
    ) -> int | None:
        record = self.get(key)
        if record is None or (only_if is not None and record.version != only_if):
            return None
        if expires is not None:
            record = record._replace(expires=expires)
        if meta is not None:
            record = record._replace(meta=meta or None)
        record = record._replace(version=self._base.number())
        if key not in self._staged:
            self._amended.add(key)
        self._staged[key] = record
        return record.version

    def delete(self, key: str, *, only_if: int | None = None) -> bool:
        old = self.stat(key)
        if old is None or (only_if is not None and only_if != old.version):
            return False
        self._growth -= old.size
        self._size_changes += 1
        self._placed.pop(key, None)
        self._amended.discard(key)
        self._staged[key] = None
        return True

    def rename(self, source: str, target: str, *, spelling: str | None = None) -> bool | None:
        record = self.get(source)
        if record is None or self.contains(target):
            return None if record is None else False
        self.delete(source)
        self.put(
            target,
            record.payload,
            expires=record.expires,
            meta=record.meta,
            spelling=spelling,
            created=record.created,
        )
        return True

    def scan(self, prefix: str = "", *, reverse: bool = False) -> Iterator[str]:
        kept = [key for key in self._base.scan(prefix) if key not in self._placed]
        keys = kept + [key for key in self._placed if key.startswith(prefix)]
        return self._walk(reversed(keys) if reverse else iter(keys), self.clock(), self._size_changes)

    def _walk(self, keys: Iterator[str], now: float, changes: int) -> Iterator[str]:
        for key in keys:
            self._check_unchanged(changes)
            record = self._staged.get(key)
            if key not in self._staged or (record is not None and record.expires > now):
                yield key
        self._check_unchanged(changes)

    def _check_unchanged(self, changes: int) -> None:
        if changes != self._size_changes:
            raise RuntimeError("dictionary changed size during iteration")

    def contains(self, key: str) -> bool:
        if key in self._staged:
            return self.get(key) is not None
        return self.stat(key) is not None if self._base.shared else self._base.contains(key)

    def count(self) -> int:
        return self._base.count() + sum(self.contains(key) - self._base.contains(key) for key in self._staged)

    def spelling(self, key: str) -> str:
        if key not in self._staged:
            return self._base.spelling(key)
        record = self._staged[key]
        return key if record is None or record.spelling is None else record.spelling

    def open(self, key: str) -> BinaryIO | None:
        return self._base.open(key) if key not in self._staged else super().open(key)

    def reject(self, key: str, payload: bytes, detail: str) -> None:
        self._base.reject(key, payload, detail)

    def exclusive(self) -> AbstractContextManager[object]:
        return self._base.exclusive()

    def sweep(self, limit: int | None = None) -> int:
        """Remove expired records of the store below: to remove what is absent anyway is no change."""
        return self._base.sweep(limit)

    def number(self) -> int:
        return self._base.number()

    def check_growth(self, growth: int) -> None:
        self._base.check_growth(self._growth + growth)

    def commit(self, changes: Mapping[str, Record | None], *, amended: Collection[str] = ()) -> None:
        self._staged.update(changes)
        self._amended.update(amended)

    def close(self) -> None:
        raise RuntimeError("a transaction is under way; leave its block before you close the store")
