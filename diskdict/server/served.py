"""The dict that a server has open: `ServedDict`, with what HTTP asks for beyond the operations of a dict."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO, ClassVar, Final, NamedTuple, cast

from diskdict import keys
from diskdict.backends.file import Durability, FolderStore
from diskdict.changes import total
from diskdict.disk import DiskDict
from diskdict.errors import ConflictError, KeyExistsError, KeyNotFoundError
from diskdict.manifest import Manifest
from diskdict.server.paging import Page, Place, place_after
from diskdict.server.watched import WatchedStore
from diskdict.staging import Staged
from diskdict.store import ABSENT, OnlyIf, Record, Stat
from diskdict.values import ask

SMALL: Final = 64 << 10
"""Bytes up to which a value is read and written at once: the disk does that sooner than a thread begins with it."""

Holds = Callable[[int | None], bool]
"""Tells whether a request may go on, by the version that is there, None where nothing is."""


@dataclass(frozen=True)
class Write:
    """A value to be stored. ``expires`` is a time, ``meta`` a text as stores keep it; None leaves it to ``keep``."""

    value: object
    expires: float | None = None
    meta: str | None = None
    created: float | None = None
    keep: bool = False


class Written(NamedTuple):
    """The version of what was written, and whether the key was new."""

    version: int
    new: bool


class ServedDict(DiskDict[object, object]):
    """A `DiskDict` that speaks of records and versions, and tells of its changes.

    Its methods take the texts of keys, and may be called by many threads.
    """

    _folder_type: ClassVar[type[FolderStore]] = WatchedStore

    def _open_folder(self, codec: str) -> FolderStore:
        folder = self._watched = cast(WatchedStore, super()._open_folder(codec))
        self.changes = folder.watch()
        return folder

    def is_small(self, text: str) -> bool:
        """Return whether the payload of a key is small, or not there."""
        return self._watched.size(text) <= SMALL

    def exclusive_now(self) -> AbstractContextManager[bool]:
        """Hold the lock of the store, if nobody else does; say whether."""
        return self._watched.exclusive_now()

    @property
    def durability(self) -> Durability:
        """When a change that returns is on disk; as given to the dict."""
        return self._options["durability"]

    @property
    def manifest(self) -> Manifest:
        """What the folder says about itself."""
        return self._folder.manifest

    def sizes(self) -> tuple[int, int]:
        """Return the number of keys that have not expired, and the bytes of all values."""
        with self._folder.exclusive():
            return self._folder.count(), self._folder.index().payload_bytes

    def now(self) -> float:
        """Return the time by the clock of the store."""
        return self._folder.clock()

    def expires(self, ttl: float) -> float:
        """Return when something expires that lives so many seconds from now."""
        return self._values.expires(ttl)

    def default_expiry(self) -> float:
        """Return when something expires of which nothing is said."""
        return self._values.expires(None)

    # ---- reading

    def stat_of(self, text: str) -> Stat:
        """Return a record without its payload. KeyNotFoundError where there is none."""
        found = self._folder.stat(text)
        if found is None:
            raise KeyNotFoundError(keys.decode(text))
        return found

    def record_of(self, text: str) -> Record:
        """Return a record, whose payload is sound. KeyNotFoundError where there is none."""
        found = self.unproved_record_of(text)
        self.prove(text, found)
        return found

    def unproved_record_of(self, text: str) -> Record:
        """Return a record. KeyNotFoundError where there is none."""
        found = ask(self._folder.get, text)
        if found is None:
            raise KeyNotFoundError(keys.decode(text))
        return found

    def prove(self, text: str, record: Record) -> None:
        """Raise CorruptValueError where the payload of a record is no value."""
        try:
            self._loads(record.payload)
        except ValueError as error:
            self._values.reject(text, record.payload, error)

    def stream_of(self, text: str) -> tuple[BinaryIO, Stat]:
        """Return a stream over a payload and the record it is of. KeyNotFoundError where there is none."""
        while True:
            stat = self.stat_of(text)
            stream = ask(self._folder.open, text)
            if stream is None:
                continue
            try:
                if self.stat_of(text).version == stat.version:
                    return stream, stat
            except BaseException:
                stream.close()
                raise
            stream.close()

    def some(
        self,
        prefix: str,
        fits: Callable[[str], object] | None,
        *,
        limit: int,
        reverse: bool = False,
        after: Place | None = None,
        offset: int = 0,
        count: bool = False,
    ) -> Page:
        """Return `limit` keys that begin with `prefix` and fit, after a place, or without the first `offset`."""
        store = self._folder
        with store.exclusive():
            texts = list(store.scan(prefix, reverse=reverse))
            index = store.index()
            start = 0 if after is None else place_after(texts, after, index, reverse=reverse)
        total = None
        if count:
            total = len(texts) if fits is None else sum(1 for text in texts if fits(text))
        chosen: Iterable[str] = texts[start:] if fits is None else filter(fits, texts[start:])
        # One more tells whether this is the last page.
        found = [index.get(text) for text in islice(chosen, offset, offset + limit + 1)]
        entries = [entry for entry in found[:limit] if entry is not None]
        more = len(found) > limit and entries
        return Page(entries, (entries[-1].order, entries[-1].key) if more else None, total)

    # ---- changing

    def write(self, text: str, write: Write, holds: Holds | None = None) -> Written:
        """Store a value. ConflictError where `holds` says no to the version that is there."""
        key = keys.decode(text)
        text, spelling = self._values.key(key)
        payload = self._values.encoded(write.value)
        store = self._folder
        while True:
            only_if: OnlyIf = None
            expires, meta = write.expires, write.meta
            new = not store.contains(text)
            if holds is not None or write.keep:
                stat = store.stat(text)
                only_if = ABSENT if stat is None else stat.version
                _demand(holds, stat, key)
                if write.keep and stat is not None:
                    expires = stat.expires if expires is None else expires
                    meta = stat.meta if meta is None else meta
            expires = self.default_expiry() if expires is None else expires
            version = store.put(
                text,
                payload,
                expires=expires,
                meta=meta,
                spelling=spelling,
                created=write.created,
                only_if=only_if,
            )
            if version is not None:
                return Written(version, new)

    def add(self, text: str, write: Write) -> Written:
        """Store a value. KeyExistsError where the key has one."""
        try:
            return self.write(text, write, lambda version: version is None)
        except ConflictError:
            raise KeyExistsError(keys.decode(text)) from None

    def remove(self, text: str, holds: Holds | None = None) -> None:
        """Remove a key. KeyNotFoundError where it is missing, ConflictError as in `write`."""
        while True:
            stat = None if holds is None else self.stat_of(text)
            if stat is not None:
                _demand(holds, stat, keys.decode(text))
            if self._folder.delete(text, only_if=None if stat is None else stat.version):
                return
            if stat is None:
                raise KeyNotFoundError(keys.decode(text))

    def amend(
        self, text: str, expires: float | None, meta: Callable[[str | None], str | None], holds: Holds | None
    ) -> int:
        """Change expiry and metadata; return the new version. Errors as in `remove`."""
        store = self._folder
        with store.exclusive():
            stat = self.stat_of(text)
            _demand(holds, stat, keys.decode(text))
            version = store.amend(text, expires=expires, meta=meta(stat.meta))
        if version is None:
            raise KeyNotFoundError(keys.decode(text))
        return version

    def add_to(self, text: str, delta: float) -> tuple[object, int]:
        """Add to a number, a missing one counting from 0; return the sum and its version. TypeError for no number."""
        key = keys.decode(text)
        text, spelling = self._values.key(key)
        while True:
            current = self._values.current(text)
            value = total(current.value, delta)
            payload = self._values.encoded(value)
            version = self._folder.put(
                text, payload, expires=current.expires, meta=current.meta, spelling=spelling, only_if=current.version
            )
            if version is not None:
                return value, version

    def move(self, text: str, to: str) -> int:
        """Give a value another key; return its version. KeyNotFoundError, and KeyExistsError where that has a value."""
        source, target = keys.decode(text), keys.decode(to)
        with self._folder.exclusive():
            try:
                self.rename(source, target)
            except KeyExistsError:
                raise
            except KeyError:
                raise KeyNotFoundError(source) from None
            return self.stat_of(keys.encode(target)).version

    # ---- several keys

    def together(self) -> AbstractContextManager[Staged]:
        """Give a store in which changes are made as one at the end of the block."""
        return self._store.together()

    def placed(self, text: str) -> tuple[str, str | None]:
        """Return the canonical text of a key to write, and its spelling. LimitError, InvalidKeyError."""
        return self._values.key(keys.decode(text))

    def encoded(self, value: object) -> bytes:
        """Return the payload of a value. InvalidValueError, LimitError."""
        return self._values.encoded(value)

    def decoded(self, text: str, record: Record) -> object:
        """Return the value of a record. CorruptValueError where it is damaged."""
        return self._values.decoded(text, record)


class ServedObjects(ServedDict):
    """The dict in the folder of a `DataStore`, served."""

    _kind: ClassVar[str] = "datastore"


class ServedBlobs(ServedDict):
    """The folder of a `BlobStore`, served: a dict of bytes."""

    _kind: ClassVar[str] = "blobs"


def _demand(holds: Holds | None, stat: Stat | None, key: object) -> None:
    if holds is not None and not holds(None if stat is None else stat.version):
        raise ConflictError(f"{key!r} is not at the version that was asked for; read it again and repeat")
