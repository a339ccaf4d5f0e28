"""The reading half of a folder store: what needs no change on disk, and what is done about damage."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import Final, Literal

from diskdict.attributes import Attributes, attributes_of, is_stripped, record_of, stripped
from diskdict.cache import PayloadCache
from diskdict.checksums import crc32
from diskdict.errors import ClosedError, CorruptValueError
from diskdict.files import Folder
from diskdict.index import Index
from diskdict.ledger import Ledger
from diskdict.manifest import Manifest
from diskdict.mutex import Exclusive
from diskdict.records import RecordFiles
from diskdict.scanning import learn
from diskdict.snapshots import load_index
from diskdict.store import NEVER, NOT_SET, Clock, Mark, Record, Records, Stat, Store

OnCorrupt = Literal["raise", "miss", "quarantine"]
_TRIES: Final = 2  # to read several keys between two changes, before changes have to wait


class FolderReader(Store):
    """A folder store as far as it is read. `diskdict.backends.file.FolderStore` opens, changes and closes it."""

    clock: Clock
    on_corrupt: OnCorrupt
    folder: Folder
    files: RecordFiles
    manifest: Manifest
    _lock: Exclusive
    ledger: Ledger
    _index: Index
    _cache: PayloadCache | None
    _careful: bool
    _pending: Records
    _moving: threading.Lock
    takes_empty: bool = False
    """Whether a value may be empty."""
    _changes: int = 0
    _ready: bool = False
    _closed = _released = True
    _forked: bool = False

    @property
    def suspect(self) -> bool:
        """Whether the store was left unclean and has not been verified since, so that every read is checked."""
        return self.ledger.page.suspect

    @property
    def is_open(self) -> bool:
        """Whether the handle can be used."""
        return not self._closed

    def check_open(self) -> None:
        """Raise ClosedError if the handle is closed."""
        if self._forked:
            raise ClosedError(f"{self.folder.path} was opened before a fork; the child has to open it itself")
        if self._closed:
            raise ClosedError(f"{self.folder.path} is closed; open it again")

    def read(self, key: str) -> bytes | None:
        cache = self._cache
        if cache is not None:
            kept = cache.kept.get(key)
            if kept is not None:
                kept.used = True
                return kept.payload if kept.expires == NEVER or kept.expires > self.clock() else None
        if self._pending:
            pending = self._waiting(key)
            if pending is not NOT_SET:
                record = self._alive(pending)
                return None if record is None else record.payload
        index = self._index
        if index.loaded and key not in index.rows and key not in index.uncertain:
            return None
        if cache is not None:
            return self._read_through(cache, key)
        try:
            path = self.files.path(key)
            if not self._careful:
                payload = self.files.data.read(path)
            elif self.ledger.page.suspect:
                found = self._load(key, path)
                return None if found is None else found[0]
            else:
                payload, expires = self.files.read(path)
                if expires <= self.clock():
                    return None
        except FileNotFoundError:
            return None
        except OSError:
            self.check_open()
            raise
        if not payload and not self.takes_empty:
            self._damaged(key, payload, "it is empty")
            return None
        return payload

    def _alive(self, record: Record | None) -> Record | None:
        return record if record is not None and record.expires > self.clock() else None

    def _waiting(self, key: str) -> Record | Literal[Mark.NOT_SET] | None:
        return self._pending.get(key, NOT_SET)

    def _read_through(self, cache: PayloadCache, key: str) -> bytes | None:
        ticket = cache.ticket
        found = self._fetch(key)
        if found is None:
            return None
        payload, known = found
        cache.put(key, payload, known.expires, ticket)
        return payload

    def _fetch(self, key: str) -> tuple[bytes, Attributes] | None:
        try:
            return self._load(key, self.files.path(key))
        except FileNotFoundError:
            return None
        except OSError:
            self.check_open()
            raise

    def _load(self, key: str, path: str) -> tuple[bytes, Attributes] | None:
        """Return a live value and its attributes, checked against each other after an unclean end."""
        payload, attributes = self.files.load(path)
        if attributes is None and self.ledger.page.suspect and self.files.companions.ruined(path):
            self._damaged(key, payload, "its sidecar is damaged")
            return None
        if attributes is None:
            attributes = stripped(self.files.data.stat(path))
        elif attributes.expires <= self.clock():
            return None
        elif self.ledger.page.suspect and not attributes.fit(payload):
            self._damaged(key, payload, attributes.misfit(payload))
            return None
        if not payload and (not self.takes_empty or (self.suspect and is_stripped(attributes))):
            self._damaged(key, payload, "it is empty")
            return None
        return payload, attributes

    def get(self, key: str) -> Record | None:
        cache = self._cache
        kept = None if cache is None else cache.kept.get(key)
        if kept is not None and kept.record is not None:
            kept.used = True
            return self._alive(kept.record)
        pending = self._waiting(key)
        if pending is not NOT_SET:
            return self._alive(pending)
        ticket = 1 if cache is None else cache.ticket
        found = self._fetch(key)
        if found is None:
            return None
        payload, known = found
        try:
            updated = self.files.data.stat(self.files.path(key)).st_mtime
        except FileNotFoundError:
            return None
        record = record_of(payload, known, updated)
        if cache is not None:
            cache.put(key, payload, known.expires, ticket, record)
        return record

    def stat(self, key: str) -> Stat | None:
        pending = self._waiting(key)
        if pending is not NOT_SET:
            record = self._alive(pending)
            return None if record is None else Stat(len(record.payload), crc32(record.payload), *record[1:])
        try:
            found = self.files.examine(self.files.path(key))
        except OSError:
            self.check_open()
            raise
        if found is None or found[0].expires <= self.clock():
            return None
        (order, created, expires, version, size, checksum, meta, spelling), updated = found
        return Stat(size, checksum, order, created, updated, expires, version, meta, spelling)

    def get_many(self, keys: Iterable[str]) -> dict[str, Record]:
        asked = list(keys)
        for _ in range(_TRIES):
            before = self._changes
            if not self._index.uncertain:
                found = super().get_many(asked)
                if self._changes == before:
                    return found
        with self._lock:
            return super().get_many(asked)

    def contains(self, key: str) -> bool:
        index = self._index
        if index.loaded and key not in index.uncertain:
            # The expiry first: a sweep takes the row away before it.
            expires = index.expires.get(key, NEVER) if index.expires else NEVER
            return key in index.rows and (expires == NEVER or expires > self.clock())
        found = self._find(key)
        return found is not None and found.expires > self.clock()

    def spelling(self, key: str) -> str:
        index = self._index
        if index.loaded and key not in index.uncertain:
            return index.spellings.get(key, key)
        found = self._find(key)
        return key if found is None or found.spelling is None else found.spelling

    def _find(self, key: str) -> Attributes | None:
        pending = self._waiting(key)
        if pending is not NOT_SET:
            return None if pending is None else attributes_of(pending)
        try:
            return self.files.find(self.files.path(key))
        except OSError:
            self.check_open()
            raise

    def _live(self, key: str) -> Attributes | None:
        found = self._find(key)
        return found if found is not None and found.expires > self.clock() else None

    def count(self) -> int:
        index = self._index
        if index.loaded and not index.uncertain and not index.expires:
            return len(index.rows)
        with self._lock:
            return self.index().count(self.clock())

    def scan_keys(self) -> Iterator[str] | None:
        with self._lock:
            index = self.index()
            return None if index.typed else index.scan(self.clock(), "", reverse=False)

    def scan(self, prefix: str = "", *, reverse: bool = False) -> Iterator[str]:
        with self._lock:
            return self.index().scan(self.clock(), prefix, reverse=reverse)

    def index(self) -> Index:
        """Return the index, loaded and certain. The caller holds the mutation lock."""
        self.check_open()
        if self._index.uncertain:
            self.settle()
        if not self._index.loaded:
            # While somebody renames files, a scan misses some.
            with self._moving:
                index = load_index(self.folder, self.files)
            if self._pending:
                learn(index, {key: self._find(key) for key in self._pending})
                index.sort()
            self._index = index
        return self._index

    def settle(self) -> None:
        """Ask the disk about the keys of interrupted changes. The caller holds the mutation lock."""
        if self._index.torn:
            self._index = Index()
            if self._cache is not None:
                self._cache.end()
        found = {key: self._find(key) for key in self._index.uncertain}
        learn(self._index, found)
        for key in found:
            self._unmark(key)

    def _unmark(self, key: str) -> None:
        self._index.uncertain.discard(key)
        if self._cache is not None:
            self._cache.end()

    def reject(self, key: str, payload: bytes, detail: str) -> None:
        self._damaged(key, payload, detail)

    def _damaged(self, key: str, payload: bytes, detail: str) -> None:
        """Do about a damaged value what `on_corrupt` says; returning means that it counts as missing."""
        path = self.files.path(key)
        if self.on_corrupt == "raise" or (self.on_corrupt == "quarantine" and self.readonly):
            raise CorruptValueError(key, f"{self.files.data.path}/{path}", detail)
        if self.on_corrupt == "quarantine":
            self.quarantine(key, payload)

    def quarantine(self, key: str, payload: bytes) -> None:
        """Set a value aside, if it still is this payload."""
        raise NotImplementedError
