"""A folder store that tells of its changes: `WatchedStore`, and `Changes`, where they are told."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, NamedTuple

from diskdict.backends.file import FolderStore
from diskdict.mutex import Lock
from diskdict.store import NEVER, OnlyIf, Record

KEPT: Final = 10_000
"""Changes that are remembered for who comes back."""


class Change(NamedTuple):
    """A key that was written, with the version it has got, or removed (None)."""

    number: int
    key: str
    version: int | None


class Changes:
    """The last changes of a store, numbered from 1.

    Threads may tell and ask at the same time. ``told`` is called after each change, by the thread that made it; it has
    to be quick.
    """

    def __init__(self) -> None:
        self.last = 0
        self.told: Callable[[], object] = _nobody
        self._kept: deque[Change] = deque(maxlen=KEPT)
        self._lock = threading.Lock()

    def tell(self, key: str, version: int | None) -> None:
        """Note a change. Those of one key may come in another order than they were made; what counts is to ask anew."""
        with self._lock:
            self.last += 1
            self._kept.append(Change(self.last, key, version))
        self.told()

    def since(self, number: int) -> list[Change] | None:
        """Return the changes after that of this number, None where some of them are forgotten, or it is yet to come."""
        with self._lock:
            missed = self.last - number
            if not 0 <= missed <= len(self._kept):
                return None
            return [self._kept[place] for place in range(len(self._kept) - missed, len(self._kept))]


def _nobody() -> None:
    pass


class WatchedStore(FolderStore):
    """A folder store that tells `changes` of each change after it is made. What expires is not told."""

    changes: Changes
    _lock_now: Lock | None

    def watch(self) -> Changes:
        """Tell of changes from now on; return where."""
        self.changes = Changes()
        # One that was given as an option cannot be asked whether it is free.
        self._lock_now = self._lock if isinstance(self._lock, Lock) else None
        return self.changes

    def size(self, key: str) -> int:
        """Return how many bytes a payload is about to be: of one that is being changed, as many as before."""
        index = self._index
        if index.loaded:
            return index.size(key)
        found = self.stat(key)
        return 0 if found is None else found.size

    @contextmanager
    def exclusive_now(self) -> Iterator[bool]:
        """Hold the mutation lock, if nobody else does; say whether."""
        lock = self._lock_now
        if lock is None or not lock.acquire(False):
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

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
        version = super().put(
            key, payload, expires=expires, meta=meta, spelling=spelling, created=created, only_if=only_if
        )
        if version is not None:
            self.changes.tell(key, version)
        return version

    def amend(
        self, key: str, *, expires: float | None = None, meta: str | None = None, only_if: int | None = None
    ) -> int | None:
        version = super().amend(key, expires=expires, meta=meta, only_if=only_if)
        if version is not None:
            self.changes.tell(key, version)
        return version

    def delete(self, key: str, *, only_if: int | None = None) -> bool:
        removed = super().delete(key, only_if=only_if)
        if removed:
            self.changes.tell(key, None)
        return removed

    def rename(self, source: str, target: str, *, spelling: str | None = None) -> bool | None:
        renamed = super().rename(source, target, spelling=spelling)
        if renamed:
            self.changes.tell(source, None)
            found = self.stat(target)
            self.changes.tell(target, None if found is None else found.version)
        return renamed

    def commit(self, changes: Mapping[str, Record | None], *, amended: Collection[str] = ()) -> None:
        super().commit(changes, amended=amended)
        for key, record in changes.items():
            self.changes.tell(key, None if record is None else record.version)
