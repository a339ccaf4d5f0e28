"""The folder store: records as files, changed under one lock, counted and indexed."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import warnings
from collections.abc import Callable
from typing import Final, Literal

from diskdict import attributes as xattrs
from diskdict import journalfile
from diskdict.attributes import STRIPPED, Attributes, describe, is_stripped
from diskdict.cache import PayloadCache
from diskdict.checksums import crc32
from diskdict.files import sync_filesystem
from diskdict.index import Index
from diskdict.journalfile import Journal
from diskdict.layout import TEMPORARY, TEMPORARY_SIDECAR, TMP, Shards
from diskdict.ledger import Ledger
from diskdict.limits import Limits, checked
from diskdict.lock import abandon_after_fork
from diskdict.manifest import WITH_EMPTY, Manifest
from diskdict.mutex import LockLike, mutation_lock
from diskdict.opening import Opened, Way, check_choice, check_number, check_perm, open_folder, path_of_url
from diskdict.reading import OnCorrupt
from diskdict.records import RecordFiles
from diskdict.repeating import Repeater, checked_interval
from diskdict.snapshots import save_index
from diskdict.store import ABSENT, NEVER, Clock, OnlyIf, Record
from diskdict.streaming import FolderStreaming

Durability = Literal["process", "interval", "full"]
BUFFER_BYTES: Final = 64 << 20
"""What waits in memory for its files, where nothing else is said."""


class FolderStore(FolderStreaming):
    """Records as files of a folder.

    Parameters
    ----------
    path: str
        The folder. Made, with its parents, where there is none and `create` is true.
    kind, codec: str
        What the store is for and how its values are written; a folder of another one is a FormatError.
    shards: int, optional
        Folders that the files are spread over, a power of two up to 65,536; 256 for a new store.
    limits: Limits, optional
        What the store refuses, kept in the folder. ``total_bytes`` is watched here, the rest by who knows the values.
    durability: "process", "interval" or "full"
        When a change returns it is in its file, or in the journal, or in the journal on disk.
    interval: float
        Seconds after which the journal is on disk and the files follow, but with "process".
    buffer_bytes: int
        What may wait in memory for its files, about, before changes wait for it.
    readonly, create: bool
        Open beside other readers; make what is not there.
    timeout: float
        Seconds to wait for whoever has the folder.
    lock: optional
        A lock, or a factory of locks, to hold around every change in place of an RLock.
    on_corrupt: "raise", "miss" or "quarantine"
        What a damaged value is to who reads it: a CorruptValueError, absent, or set aside and absent.
    perm: int, optional
        Permission bits of the files, 0o600 by default; the store keeps them.
    cache_bytes: int
        Bytes of payloads to keep in memory.
    clock, sleep: callable
        The time in seconds since the epoch, and waiting for seconds.

    Notes
    -----
    Threads may share it: `get`, `read`, `stat` and `open` take no lock, everything else the mutation lock. One process
    may open a folder to write. After a fork the child's copy is closed. Killed at any moment it leaves each record old
    or new.
    """

    def __init__(
        self,
        path: str,
        *,
        kind: str = "dict",
        codec: str = "json",
        shards: int | None = None,
        limits: Limits | None = None,
        durability: Durability = "process",
        interval: float = 1.0,
        buffer_bytes: int = BUFFER_BYTES,
        readonly: bool = False,
        create: bool = True,
        timeout: float = 0.0,
        lock: LockLike | None = None,
        on_corrupt: OnCorrupt = "raise",
        perm: int | None = None,
        cache_bytes: int = 0,
        clock: Clock = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._closed = True
        check_choice("durability", durability, ("process", "interval", "full"))
        check_choice("on_corrupt", on_corrupt, ("raise", "miss", "quarantine"))
        for name, number in (("timeout", timeout), ("cache_bytes", cache_bytes), ("buffer_bytes", buffer_bytes)):
            check_number(name, number)
        check_perm(perm)
        self.clock = clock
        self.readonly = readonly
        self._behind = durability != "process" and not readonly
        self._waits = self._behind and durability == "full"
        self._interval, self._buffer_bytes = checked_interval("interval", interval), buffer_bytes
        self.on_corrupt = on_corrupt
        self._lock = mutation_lock(lock)
        self._cache = PayloadCache(cache_bytes) if cache_bytes else None
        wanted = Manifest(kind, codec, Shards(256 if shards is None else shards).count, checked(limits), perm)
        way = Way(readonly, create, timeout, sleep)
        opened = open_folder(path, wanted, way, shards_given=shards is not None, limits_given=limits is not None)
        try:
            self._adopt(opened)
        except BaseException:
            self._closed = self._released = True
            opened.release()
            raise

    def _adopt(self, opened: Opened) -> None:
        self.folder, self.manifest = opened.folder, opened.manifest
        self.limits = opened.manifest.limits
        self.takes_empty = opened.manifest.kind in WITH_EMPTY
        self.codec = opened.manifest.codec
        self.ledger = Ledger(opened.lockfile, opened.page)
        self._index = Index(loaded=opened.fresh)
        fd = None if opened.lockfile is None else opened.lockfile.fd
        self.files = RecordFiles(
            opened.data,
            Shards(opened.manifest.shards),
            in_attributes=fd is None or xattrs.supported(fd, writable=not self.readonly),
            sidecars=opened.page.sidecars,
            before_sidecar=self.ledger.expect_sidecars,
        )
        self.ledger.refusal = self.files.refusal
        self._careful = opened.page.suspect or opened.page.expiring
        self.journal = Journal(opened.folder, reserved=self._behind)
        self._pending, self._unsynced = {}, {}
        self.under_way = set()
        self._moving = threading.Lock()
        self._closed = self._released = False
        abandon_after_fork(self)
        left = None if opened.fresh else journalfile.load(opened.folder)
        if left is not None and self.readonly:
            self.show(left)
        elif left is not None:
            self.replay(left)
        if opened.page.suspect and not self.readonly:
            self._discard_temporaries()
        if self._behind:
            self._follower = Repeater(self.follow, self._interval, "writing behind")

    def _discard_temporaries(self) -> None:
        for name, _ in list(self.folder.list(TMP)):
            self.folder.discard(f"{TMP}/{name}")
        for shard in self.files.present():
            self.files.data.discard(f"{shard}/{TEMPORARY}")
            self.files.data.discard(f"{shard}/{TEMPORARY_SIDECAR}")

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
        with self._lock:
            if not self._ready or self._index.uncertain or self.files.failure:
                self._prepare(key)
            now, index = self.clock(), self._index
            if index.expires and index.has_dead(now):
                self._sweep_some()
            old = place = None
            if index.loaded and only_if is None and not self.files.companions.sidecars:
                place = index.place(key, now) if key in index.rows else None
            else:
                old = self._find(key)
                live = old if old is not None and old.expires > now else None
                if only_if is not None and only_if != (ABSENT if live is None else live.version):
                    self._complete_own()  # what was swept
                    return None
                if live is not None:
                    place = live.order, live.created, live.spelling
            if self.limits.total_bytes is not None:
                self._make_room(key, len(payload))
            if expires != NEVER:
                self._expect_expiry()
            order = version = self.ledger.next()
            if place is not None and place[0] < STRIPPED:
                order, created, spelling = place
            elif created is None:
                created = now
            if not self._behind:
                new = Attributes(order, created, expires, version, len(payload), crc32(payload), meta, spelling)
                self._write(key, payload, new, old)
                return version
            record = Record(payload, order, created, now, expires, version, meta or None, spelling)
            sequence = self._log_record(key, record)
        self._reach_disk(sequence)
        return version

    def _write(self, key: str, payload: bytes, new: Attributes, old: Attributes | None) -> None:
        self._mark(key)
        self.files.write(key, self.files.path(key), payload, new, old)
        self._index.put(key, new.order, new.length, new.created, new.expires, new.spelling)
        self._unmark(key)

    def amend(
        self, key: str, *, expires: float | None = None, meta: str | None = None, only_if: int | None = None
    ) -> int | None:
        if self._behind:
            return self._amend_behind(key, expires, meta, only_if)
        with self._lock:
            self._prepare(key)
            path = self.files.path(key)
            old = self._live(key)
            if old is None or (only_if is not None and old.version != only_if):
                return None
            version = self.ledger.next()
            new = old._replace(version=version)
            if is_stripped(old):
                new = describe(self.files.data.read(path), version, old.created)
            if expires is not None:
                new = new._replace(expires=expires)
                if expires != NEVER:
                    self._expect_expiry()
            if meta is not None:
                new = new._replace(meta=meta or None)
            self._mark(key)
            self.files.amend(path, old, new)
            self._index.put(key, new.order, new.length, new.created, new.expires, new.spelling)
            self._unmark(key)
            return version

    def delete(self, key: str, *, only_if: int | None = None) -> bool:
        with self._lock:
            if not self._ready or self._index.uncertain or self.files.failure:
                self._prepare(key)
            index = self._index
            if index.expires and index.has_dead(self.clock()):
                self._sweep_some()
            if index.loaded and key not in index.rows:
                self._complete_own()
                return False
            path = self.files.path(key)
            live = True
            if index.loaded and only_if is None:
                live = not index.expires or index.expires.get(key, NEVER) > self.clock()
            elif self._careful or only_if is not None:
                old = self._live(key)
                if only_if is not None and (old is None or old.version != only_if):
                    self._complete_own()
                    return False
                live = old is not None
            there = self._remove(key, path, expired=not live)
            sequence = self.journal.position.sequence
        self._reach_disk(sequence)
        return there and live

    def rename(self, source: str, target: str, *, spelling: str | None = None) -> bool | None:
        if self._behind:
            return self._rename_behind(source, target, spelling)
        with self._lock:
            # Nothing else may be in the journal, which is begun anew after this.
            self._prepare()
            old = self._live(source)
            if old is None:
                return None
            if self._live(target) is not None:
                return False
            # What has expired there must not be seen between the new attributes and the new value.
            self._remove(target, self.files.path(target), expired=True)
            self._move(source, old, target, spelling)
            return True

    def close(self) -> None:
        with self._lock:
            if self._released:
                return
            try:
                if not self._closed and not self.readonly:
                    self._leave()
            finally:
                self._closed = True
                self._ready = False
                self._index.rows.clear()
                self._index = Index()
                self._cache = None
                self._release()
                if self._follower is not None:
                    self._follower.stop(wait=False)
        if self._follower is not None:
            self._follower.stop()

    def _release(self) -> None:
        # Each step whatever becomes of those before, and again at the next call if interrupted: a lock that is not
        # given back is held for good.
        with contextlib.ExitStack() as stack:
            for step in (self.folder.close, self.ledger.release, self.files.data.close, self.journal.close):
                stack.callback(step)
        self._released = True

    def _leave(self) -> None:
        """Have everything on disk before the page says so, and keep the index for the next opening."""
        if self.files.failure is not None:
            return
        self.finish()
        if not self.ledger.page.clean:
            sync_filesystem(self.folder.fd)
        self.leave_uploads()
        if self._index.loaded and not self._index.uncertain and self._index.changed:
            with contextlib.suppress(OSError):
                save_index(self.folder, self.files, self._index)
        self.ledger.end()
        self.journal.remove()

    def abandon(self) -> None:
        """Close the copy of this handle in a forked child: unlock nothing, write nothing."""
        if self._closed:
            return
        self._closed = self._released = self._forked = True
        if self._follower is not None:
            self._follower.stop(wait=False)
        self._ready = False
        self._lock = mutation_lock(None)
        self._index = Index()
        self._cache = None
        self.journal.close()
        self.files.data.close()
        self.ledger.abandon()
        self.folder.close()

    def __del__(self) -> None:
        forgotten = not self._closed
        if not self._released:
            # Nobody else has this store, and the lock may be one that is shared with another and held just now.
            self._lock = mutation_lock(None)
            self.close()
        # Last: where warnings are errors it raises.
        if forgotten:
            warnings.warn(f"{self.folder.path} was not closed", ResourceWarning, source=self, stacklevel=1)


def open_url(url: str, *, codec: str, clock: Clock, lock: LockLike | None, limits: Limits | None) -> FolderStore:
    """Return the store of ``file:///some/folder``."""
    path = os.path.abspath(os.path.expanduser(path_of_url(url)))
    return FolderStore(path, codec=codec, clock=clock, lock=lock, limits=limits)
