"""Changes that count once they are in the journal: `FolderBehind`."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Final, Literal, NamedTuple

from diskdict.committing import FolderCommitter
from diskdict.errors import DurabilityError
from diskdict.index import Index
from diskdict.journal import Change, Put, Remove
from diskdict.journalfile import Position
from diskdict.store import NEVER, NOT_SET, Mark, Record, Records

_WEIGHT: Final = 450  # bytes that a record takes in memory beside its payload and its key


class _Unsynced(NamedTuple):
    """Changes that do not count yet, where the journal ended before them, and whose they are."""

    before: Position
    changes: Records
    thread: int


class FolderBehind(FolderCommitter):
    """A folder store as far as changes go to the journal first.

    Notes
    -----
    With durability "interval" and "full" a change is one group of the journal. With "interval" it counts at once, with
    "full" when it is on disk: until then it is among `_unsynced`, readers see nothing of it, and who changes one of its
    keys waits for it. What counts is in `_pending`, for all who read, until it is in the files.
    """

    _waits: bool = False
    _buffer_bytes: int = 0
    _buffered: int = 0
    _unsynced: dict[int, _Unsynced]

    def exclusive(self) -> AbstractContextManager[object]:
        return self._alone() if self._waits else self._lock

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        with self._lock:
            # What others have under way counts before what is done here. That the disk does not take it is told to who
            # changes something, not to who reads.
            with contextlib.suppress(DurabilityError):
                self._complete()
            yield

    def _log_put(self, key: str, record: Record) -> None:
        # `_log` and `_publish` for one record that counts at once: the way that most changes go.
        journal = self.journal
        before = journal.position
        self._mark(key)
        try:
            journal.keep(journal.write_put(key, record))
            pending = self._pending
            if key in pending:
                self._buffered -= weight(key, pending[key])
            self._buffered += _WEIGHT + len(key) + len(record.payload)
            pending[key] = record
        except BaseException:
            if journal.position == before:
                journal.take_back(before)
            else:
                self._pending[key] = record
            raise
        _, order, created, _, expires, _, _, spelling = record
        self._index.put(key, order, len(record.payload), created, expires, spelling)
        self._unmark(key)
        if self._buffered > self._buffer_bytes:
            self._ready = False

    def _log(self, changes: Records) -> int:
        """Make small changes as one group of the journal; return what `_reach_disk` takes, outside of the lock."""
        journal = self.journal
        before = journal.position
        try:
            written = self._written(changes)
            self._unsynced[written.sequence] = _Unsynced(before, changes, threading.get_ident())
            journal.keep(written)
            if self._waits:
                self._ready = False
                for key in changes:
                    self._mark(key)
            else:
                self._publish(written.sequence)
        except BaseException:
            if journal.position == before:
                self._unsynced.pop(before.sequence + 1, None)
                journal.take_back(before)
            else:
                self._complete()
            raise
        return written.sequence

    def _written(self, changes: Records) -> Position:
        if len(changes) == 1:
            [(key, record)] = changes.items()
            if record is not None:
                return self.journal.write_put(key, record)
        return self.journal.write(self._change(key, record) for key, record in changes.items())

    def _change(self, key: str, record: Record | None) -> Change:
        return Remove(key, self.ledger.next()) if record is None else Put(key, record)

    def _reach_disk(self, sequence: int) -> None:
        """With durability "full", return when a group is on disk and counts."""
        if not self._waits:
            return
        try:
            self._sync_journal(sequence)
            # Who is first lets all of them be seen.
            if sequence in self._unsynced:
                with self._lock:
                    self._publish(self.journal.synced)
        except BaseException:
            # Interrupted, it is not known whether it is on disk: it had better count.
            with self._lock:
                self._complete()
            raise

    def settle(self) -> None:
        # Interrupted before it could wait for the disk, this thread has left something on its way.
        with contextlib.suppress(DurabilityError):
            self._complete_own()
        super().settle()

    def _complete_own(self) -> None:
        """Have all count that this thread has on its way, if it has anything."""
        me = threading.get_ident()
        if any(each.thread == me for each in self._unsynced.values()):
            self._complete()

    def _sync_journal(self, sequence: int) -> None:
        if self.journal.synced < sequence:
            with self.files.refusal():
                self.journal.sync_through(sequence)

    def _complete(self) -> None:
        """Have all that was written to the journal count. The caller holds the mutation lock."""
        if not self._unsynced:
            return
        last = max(self._unsynced)
        if self._waits:
            try:
                self._sync_journal(last)
            except OSError:
                # Nobody was told that these count, and nobody is to find them there.
                self.journal.take_back(next(iter(self._unsynced.values())).before)
                self._unsynced.clear()
                raise
        self._publish(last)

    def _publish(self, through: int) -> None:
        """Have groups up to this one count. The caller holds the mutation lock."""
        if self._index.torn:
            self._index = Index()
        for sequence in [sequence for sequence in self._unsynced if sequence <= through]:
            changes = self._unsynced[sequence].changes
            for key, record in changes.items():
                self._mark(key)
                self._buffered += weight(key, record) - weight(key, self._pending.get(key, NOT_SET))
            if len(changes) == 1:
                self._pending.update(changes)
            else:
                # By one assignment, so that who reads two of the keys does not find one of them changed.
                self._pending = {**self._pending, **changes}
            for key, record in sorted(changes.items(), key=_order) if len(changes) > 1 else changes.items():
                self._count_in(key, record)
                self._unmark(key)
            del self._unsynced[sequence]
        if self._buffered > self._buffer_bytes:
            self._ready = False

    def _count_in(self, key: str, record: Record | None) -> None:
        index = self._index
        if record is not None:
            _, order, created, _, expires, _, _, spelling = record
            index.put(key, order, len(record.payload), created, expires, spelling)
        else:
            index.remove(key, expired=bool(index.expires) and index.expires.get(key, NEVER) <= self.clock())


def _order(change: tuple[str, Record | None]) -> int:
    return 0 if change[1] is None else change[1].order


def weight(key: str, record: Record | Literal[Mark.NOT_SET] | None) -> int:
    """Return how many bytes of memory a record counts for while it is pending, nothing where there is none."""
    if record is NOT_SET:
        return 0
    return _WEIGHT + len(key) + (0 if record is None else len(record.payload))
