"""Changes that are in the journal first and in the files later: `FolderBehind`."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from itertools import islice
from typing import Final, Literal, NamedTuple

from diskdict.committing import FolderCommitter, put
from diskdict.journal import Change, Put, Remove
from diskdict.journalfile import Position
from diskdict.repeating import Repeater
from diskdict.store import NEVER, NOT_SET, Mark, Record, Records

_INLINE: Final = 1 << 20  # bytes of a payload that still goes into the journal
_GROUP: Final = 64 << 20  # bytes of a group that does
_BATCH: Final = 500  # records that go to the files in one go
_LONG: Final = 32 << 20  # bytes of a journal that is to be begun anew even when there is always something to do
_WEIGHT: Final = 450  # bytes that a record takes in memory beside its payload and its key


class _Unsynced(NamedTuple):
    """Changes that do not count yet, and where the journal ended before them."""

    before: Position
    changes: Records


class FolderBehind(FolderCommitter):
    """A folder store as far as its files follow the journal.

    Notes
    -----
    With durability "interval" and "full" a change is one group of the journal. With "interval" it counts at once, with
    "full" when it is on disk: until then it is among `_unsynced`, readers see nothing of it, and who changes one of its
    keys waits for it. What counts is in `_pending`, for all who read, until it is in the files: the thread of
    `_follower` brings it there, and who changes something while too much is pending, and `finish`.

    The files never have what the journal does not have on disk. Who brings something to the files holds `_moving`, and
    takes it, when it takes both, after the mutation lock.
    """

    _behind: bool = False
    _waits: bool = False
    _interval: float = 1.0
    _buffer_bytes: int = 0
    _buffered: int = 0
    _rounds: int = 0
    _unsynced: dict[int, _Unsynced]
    _follower: Repeater | None = None

    def exclusive(self) -> AbstractContextManager[object]:
        return self._alone() if self._waits else self._lock

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        with self._lock:
            # What others have under way counts before what is done here.
            self._complete()
            yield

    def _prepare(self, *keys: str) -> None:
        if not self._behind:
            super()._prepare(*keys)
            return
        self._begin()
        if not keys or any(key in each.changes for each in self._unsynced.values() for key in keys):
            self._complete()
        if self._follower is None:
            self._follower = Repeater(self.follow, self._interval, "writing behind")
        if self._buffered > self._buffer_bytes:
            with self._moving:
                self._drain()
        self.settle()
        self._ready = not self._unsynced and self._buffered <= self._buffer_bytes

    def commit(self, changes: Mapping[str, Record | None], *, amended: Collection[str] = ()) -> None:
        sizes = [len(record.payload) for record in changes.values() if record is not None]
        if not self._behind or max(sizes, default=0) > _INLINE or sum(sizes) > _GROUP:
            super().commit(changes, amended=amended)
            return
        with self._lock:
            self._prepare(*changes)
            sequence = self._log(self._kept(changes))
        self._reach_disk(sequence)

    def _amend_behind(self, key: str, expires: float | None, meta: str | None) -> int | None:
        with self._lock:
            self._prepare(key)
            record = self.get(key)
            if record is None:
                return None
            version = self.ledger.next()
            record = record._replace(version=version)
            if expires is not None:
                record = record._replace(expires=expires)
            if meta is not None:
                record = record._replace(meta=meta or None)
            self.commit({key: record}, amended=[key])
            return version

    def _rename_behind(self, source: str, target: str, spelling: str | None) -> bool | None:
        record = self.get(source)
        if record is None:
            return None
        version = self.ledger.next()
        self.commit({source: None, target: record._replace(order=version, version=version, spelling=spelling)})
        return True

    def check_growth(self, growth: int) -> None:
        if self.limits.total_bytes is None:
            return
        with self._lock:
            self._complete()
            if self.index().payload_bytes + growth > self.limits.total_bytes:
                self.sweep()
            self.limits.check_total(self.index().payload_bytes + growth)

    def _make_room(self, key: str, size: int) -> None:
        self._complete()
        index = self.index()
        if index.payload_bytes - index.size(key) + size > (self.limits.total_bytes or 0):
            self.sweep()
        self.limits.check_total(index.payload_bytes - index.size(key) + size)

    def _log_record(self, key: str, record: Record) -> int:
        """Put a record into the journal, or commit it if it is large; return what `_reach_disk` takes."""
        if len(record.payload) > _INLINE:
            self.commit({key: record})
            return 0
        if self._waits:
            return self._log({key: record})
        self._log_put(key, record)
        return 0

    def _log_put(self, key: str, record: Record) -> None:
        # `_log` and `_publish` for one record that counts at once: the way that most changes go.
        journal = self.journal
        before = journal.position
        self._mark(key)
        try:
            journal.keep(journal.write_put(key, record))
            pending = self._pending
            if key in pending:
                self._buffered -= _weight(key, pending[key])
            self._buffered += _WEIGHT + len(key) + len(record.payload)
            pending[key] = record
        except BaseException:
            if journal.position is before:
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
            self._unsynced[written.sequence] = _Unsynced(before, changes)
            journal.keep(written)
            if self._waits:
                self._ready = False
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
        except BaseException:
            # Interrupted, it is not known whether it is on disk: it had better count.
            with self._lock:
                self._complete()
            raise
        # Who is first lets all of them be seen.
        if sequence in self._unsynced:
            with self._lock:
                self._publish(self.journal.synced)

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
        for sequence in [sequence for sequence in self._unsynced if sequence <= through]:
            changes = self._unsynced[sequence].changes
            for key, record in changes.items():
                self._mark(key)
                self._buffered += _weight(key, record) - _weight(key, self._pending.get(key, NOT_SET))
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

    def follow(self) -> None:
        """Have the files follow the journal, and begin the journal anew when all is done or it has become long."""
        with self._lock:
            if self._can_follow():
                self._complete()
        while self._follow_some() and self.journal.position.end < _LONG:
            pass
        with contextlib.ExitStack() as moving:
            with self._lock:
                if not self._can_follow() or not self.journal.holds_groups:
                    return
                moving.enter_context(self._moving)
            # Most of what `finish` has to wait for, without holding up anybody.
            self.files.sync_all()
        with self._lock:
            idle = not self._pending and not self._unsynced
            if self._can_follow() and (idle or self.journal.position.end >= _LONG):
                self.finish()

    def _can_follow(self) -> bool:
        return not self._closed and self.files.failure is None

    def _follow_some(self) -> bool:
        with contextlib.ExitStack() as moving:
            with self._lock:
                if not self._can_follow() or not self._pending:
                    return False
                rounds = self._rounds
                batch = self._batch()
                moving.enter_context(self._moving)
            self._place(batch)
        with self._lock:
            if rounds == self._rounds:
                self._drop(batch)
        return True

    def _drain(self) -> None:
        """Bring some of what is pending to the files. The caller holds the mutation lock and `_moving`."""
        batch = self._batch()
        self._place(batch)
        self._drop(batch)
        # What the thread has placed before may not be what is there now: it is not to drop it.
        self._rounds += 1

    def _batch(self) -> Records:
        return dict(islice(self._pending.items(), _BATCH))

    def _place(self, batch: Records) -> None:
        self._sync_journal(self.journal.position.sequence)
        for key, record in batch.items():
            if record is not None:
                put(self.files, key, record)
            else:
                with contextlib.suppress(FileNotFoundError):
                    self.files.remove(self.files.path(key))

    def _drop(self, batch: Records) -> None:
        for key, record in batch.items():
            if self._pending.get(key, NOT_SET) is record:
                # Who has read the old file meanwhile must not keep it.
                self._mark(key)
                del self._pending[key]
                self._buffered -= _weight(key, record)
                self._unmark(key)

    def finish(self) -> None:
        if not self._behind:
            super().finish()
            return
        with self._lock:
            if self.readonly or self._closed or not self.journal.holds_groups:
                return
            if self.files.failure is not None:
                raise self.files.failure
            self._complete()
            with self._moving:
                self._finish_group()
                while self._pending:
                    self._drain()
            self._end()
            self._buffered = 0


def _order(change: tuple[str, Record | None]) -> int:
    return 0 if change[1] is None else change[1].order


def _weight(key: str, record: Record | Literal[Mark.NOT_SET] | None) -> int:
    if record is NOT_SET:
        return 0
    return _WEIGHT + len(key) + (0 if record is None else len(record.payload))
