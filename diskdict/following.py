"""Files that follow the journal: `FolderFollowing`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Mapping
from itertools import islice
from typing import Final, NamedTuple

from diskdict.applying import put
from diskdict.behind import FolderBehind, weight
from diskdict.repeating import Repeater
from diskdict.store import NOT_SET, Record, Records

_INLINE: Final = 1 << 20  # bytes of a payload that still goes into the journal
_GROUP: Final = 64 << 20  # bytes of a group that does
_BATCH: Final = 500  # records that go to the files in one go
_LONG: Final = 32 << 20  # bytes of a journal that is to be begun anew even when there is always something to do


class _Logged(NamedTuple):
    """How far the journal went at a moment: its last group, and a version that no record in it exceeds."""

    sequence: int
    version: int


class FolderFollowing(FolderBehind):
    """A folder store as far as what counts is brought to its files, by a thread of its own or when asked.

    Notes
    -----
    The files never have what the journal does not have on disk. Who brings something to the files holds `_moving`, and
    takes it, when it takes both, after the mutation lock.
    """

    _interval: float = 1.0
    _rounds: int = 0
    _synced: _Logged = _Logged(0, 0)
    _synced_at: float = 0.0
    _follower: Repeater | None = None

    def _prepare(self, *keys: str) -> None:
        if not self._behind:
            super()._prepare(*keys)
            return
        self._begin()
        if not keys or any(key in each.changes for each in self._unsynced.values() for key in keys):
            self._complete()
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

    def _log_record(self, key: str, record: Record) -> int:
        """Put a record into the journal, or commit it if it is large; return what `_reach_disk` takes."""
        if len(record.payload) > _INLINE:
            self.commit({key: record})
            return 0
        if self._waits:
            return self._log({key: record})
        self._log_put(key, record)
        return 0

    def _amend_behind(self, key: str, expires: float | None, meta: str | None, only_if: int | None) -> int | None:
        with self._lock:
            self._prepare(key)
            record = self.get(key)
            if record is None or (only_if is not None and record.version != only_if):
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
        with self._lock:
            self._prepare(source, target)
            record = self.get(source)
            if record is None:
                return None
            if self._live(target) is not None:
                return False
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
                batch, logged = self._batch(), self._logged()
                moving.enter_context(self._moving)
            self._place(batch, logged)
        with self._lock:
            if rounds == self._rounds:
                self._drop(batch)
        return True

    def _drain(self, batch: Records | None = None) -> None:
        """Bring a part of what is pending to the files. The caller holds the mutation lock and `_moving`."""
        batch = self._batch() if batch is None else batch
        self._place(batch, self._logged())
        self._drop(batch)
        # What the thread has placed before may not be what is there now: it is not to drop it.
        self._rounds += 1

    def _batch(self) -> Records:
        return dict(islice(self._pending.items(), _BATCH))

    def _logged(self) -> _Logged:
        return _Logged(self.journal.position.sequence, self.ledger.last)

    def _place(self, batch: Records, logged: _Logged) -> None:
        # What waits for longest is on disk in the journal most of the time, and each sync has the disk write all that
        # has happened to the files, too.
        known = self._synced.version
        late = time.monotonic() - self._synced_at > self._interval / 2
        if late or any(record is None or record.version > known for record in batch.values()):
            self._synced_at = time.monotonic()
            self._sync_journal(logged.sequence)
            self._synced = logged
        # First what makes room.
        for key, record in sorted(batch.items(), key=lambda item: item[1] is not None):
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
                self._buffered -= weight(key, record)
                self._unmark(key)

    def finish(self) -> None:
        if not self._behind:
            super().finish()
            return
        with self._lock:
            if self.readonly or self._closed or not self.journal.holds_groups:
                return
            self._check_failure()
            self._complete()
            with self._moving:
                self._finish_group()
                # What was committed and found no room in the files is pending, and the index was not told of it yet.
                self.settle()
                try:
                    while self._pending:
                        self._drain()
                except OSError:
                    self._check_failure()
                    # There may be room when all removals were made.
                    self._drain({key: record for key, record in self._pending.items() if record is None})
                    while self._pending:
                        self._drain()
            self._end()
            self._buffered = 0
