"""Changes that are made as one: `Transactions` lets one thread at a time stage what it does."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import BinaryIO

from diskdict.staging import Staged
from diskdict.store import NEVER, OnlyIf, Record, Stat, Store


class Transactions(Store):
    """A store that lets one thread at a time stage its changes, while all others see what was committed.

    Parameters
    ----------
    base: Store
        The store. `close` closes it.

    Notes
    -----
    Within `together` the mutation lock is held: whoever else wants to change something waits.
    """

    def __init__(self, base: Store) -> None:
        self.base = base
        self.clock = base.clock
        self.readonly = base.readonly
        self.codec = base.codec
        self.shared = base.shared
        self._staged: Staged | None = None
        self._owner = 0

    @property
    def staged(self) -> Staged | None:
        """What this thread is staging, None outside of a transaction of its own."""
        staged = self._staged
        return staged if staged is not None and self._owner == threading.get_ident() else None

    @contextmanager
    def together(self) -> Iterator[Staged]:
        """Make all that this thread changes in the block as one, or nothing where it raises. Inner blocks join in."""
        with self.base.exclusive():
            staged = self.staged
            if staged is not None:
                before = staged.state()
                try:
                    yield staged
                except BaseException:
                    staged.restore(before)
                    raise
                return
            self._owner = threading.get_ident()
            staged = self._staged = Staged(self.base)
            try:
                yield staged
                staged.finish()
            finally:
                self._staged = None

    def put_many(
        self, payloads: Mapping[str, bytes], *, expires: float = NEVER, spellings: Mapping[str, str] | None = None
    ) -> None:
        with self._as_one() as store:
            store.put_many(payloads, expires=expires, spellings=spellings)

    def delete_many(self, keys: Iterable[str]) -> dict[str, bool]:
        with self._as_one() as store:
            return store.delete_many(keys)

    def _as_one(self) -> AbstractContextManager[Store]:
        return nullcontext(self.base) if self.base.shared and self.staged is None else self.together()

    def get_many(self, keys: Iterable[str]) -> dict[str, Record]:
        return self._here().get_many(keys)

    def _here(self) -> Store:
        return self.staged or self.base

    def get(self, key: str) -> Record | None:
        return self._here().get(key)

    def read(self, key: str) -> bytes | None:
        return self._here().read(key)

    def stat(self, key: str) -> Stat | None:
        return self._here().stat(key)

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
        return self._here().put(
            key, payload, expires=expires, meta=meta, spelling=spelling, created=created, only_if=only_if
        )

    def amend(
        self, key: str, *, expires: float | None = None, meta: str | None = None, only_if: int | None = None
    ) -> int | None:
        return self._here().amend(key, expires=expires, meta=meta, only_if=only_if)

    def delete(self, key: str, *, only_if: int | None = None) -> bool:
        return self._here().delete(key, only_if=only_if)

    def rename(self, source: str, target: str, *, spelling: str | None = None) -> bool | None:
        return self._here().rename(source, target, spelling=spelling)

    def scan(self, prefix: str = "", *, reverse: bool = False) -> Iterator[str]:
        return self._here().scan(prefix, reverse=reverse)

    def scan_keys(self) -> Iterator[str] | None:
        return self._here().scan_keys()

    def contains(self, key: str) -> bool:
        return self._here().contains(key)

    def count(self) -> int:
        return self._here().count()

    def spelling(self, key: str) -> str:
        return self._here().spelling(key)

    def open(self, key: str) -> BinaryIO | None:
        return self._here().open(key)

    def reject(self, key: str, payload: bytes, detail: str) -> None:
        self._here().reject(key, payload, detail)

    def exclusive(self) -> AbstractContextManager[object]:
        return self.base.exclusive()

    def sweep(self, limit: int | None = None) -> int:
        return self._here().sweep(limit)

    def number(self) -> int:
        return self.base.number()

    def check_growth(self, growth: int) -> None:
        self.base.check_growth(growth)

    def commit(self, changes: Mapping[str, Record | None], *, amended: Collection[str] = ()) -> None:
        self.base.commit(changes, amended=amended)

    def close(self) -> None:
        self._here().close()
