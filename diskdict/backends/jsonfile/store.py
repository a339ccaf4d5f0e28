"""The store that is one JSON file: `JsonFileStore`."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from diskdict.backends.jsonfile.document import Document, assembled, entry, read
from diskdict.backends.jsonfile.place import FilePlace, Found
from diskdict.backends.memory import MemoryStore
from diskdict.compression import compression_in, compression_of, fits
from diskdict.errors import ClosedError, FormatError
from diskdict.limits import Limits
from diskdict.lock import abandon_after_fork
from diskdict.mutex import LockLike, mutation_lock
from diskdict.opening import check_number, path_of_url
from diskdict.staging import Staged
from diskdict.store import NEVER, Clock, OnlyIf, Record

Lines = dict[str, tuple[Record, str]]
"""The lines of the file, each with the record that it is of."""

_ENDINGS: Final = {".gz": "gzip", ".zst": "zstd"}


class JsonFileStore(MemoryStore):
    """Records as the lines of one JSON file, which people read and edit.

    Parameters
    ----------
    path: str
        The file; made, with its folder, where there is none. A link to it is followed.
    codec: str
        How values are written; a file of another one is a FormatError.
    compression: str, optional
        ``"gzip"`` or ``"zstd"``, of the file as a whole. Without it a file is as it was found, and a new one as its
        name ends: ``.gz``, ``.zst``.
    timeout: float
        Seconds to wait for whoever has the file.
    clock, lock, limits:
        As in `diskdict.backends.memory.MemoryStore`.

    Raises
    ------
    StoreLockedError
        Another process, or another handle of this one, has the file.
    FormatError
        It was cut, is something else, was made with another codec or compression, or by a later version. It is left as
        it is.

    Notes
    -----
    All records are in memory; reading takes no lock and no look at the disk. Each change writes the file anew, one made
    of several keys once, to another name, waits until it is on disk, and renames it: killed at any moment, and after a
    power cut, the file is the old one or the new one. A change that the disk did not take has not been made. After a
    fork the child's copy is closed. Edit the file only while it is closed: a change that finds it changed by somebody
    else is a ConflictError.
    """

    codec: str

    def __init__(
        self,
        path: str,
        *,
        codec: str = "json",
        compression: str | None = None,
        timeout: float = 0.0,
        clock: Clock = time.time,
        lock: LockLike | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._closed = True
        super().__init__(clock=clock, lock=lock, limits=limits)
        check_number("timeout", timeout)
        self._closed = True
        self._forked = False
        self._lines: Lines = {}  # of what was written since
        by_name = _by_name(path)
        if compression is not None:
            compression_of(compression)
            if by_name not in (None, compression):
                raise ValueError(f"{path} ends as what is compressed by {by_name!r}, not by {compression!r}")
        self.codec = codec
        self._file = FilePlace(path)
        try:
            self._open(compression, by_name, timeout)
        except BaseException:
            self._file.release()
            raise
        self._closed = False
        abandon_after_fork(self)

    def _open(self, compression: str | None, by_name: str | None, timeout: float) -> None:
        # What is somebody else's is not to get a lockfile beside it.
        seen = self._file.load()
        document = None if seen is None else self._understood(seen)
        self._file.lock(timeout)
        found = self._file.load()
        if found is None:
            self.compression = compression or by_name
            self._save(self._lines)
            return
        if document is None or found != seen:
            document = self._understood(found)
        self.compression = compression_in(found.content)
        self.agree(compression)
        self.codec, self._counter = document.codec, document.last
        for key, record in document.records.items():
            self._keep(key, record)

    def _understood(self, found: Found) -> Document:
        content, path = found.content, self._file.path
        name = compression_in(content)
        try:
            text = content if name is None else compression_of(name).expand(content)
        except ValueError as error:
            raise FormatError(f"{path} is damaged: {error}") from error
        document = read(text, path, found.changed)
        if not fits(document.codec, self.codec):
            raise FormatError(f"{path} was made with codec {document.codec!r}, not {self.codec!r}, and keeps it")
        return document

    def agree(self, compression: str | None) -> None:
        """Raise FormatError where the file is compressed otherwise than somebody asks."""
        if compression not in (None, self.compression):
            raise FormatError(
                f"{self._file.path} was made with compression {self.compression!r}, not {compression!r}, and keeps it"
            )

    # ---- changes: staged, written, and only then in memory

    @contextmanager
    def _staged(self) -> Iterator[Staged]:
        with self._lock:
            self._check_open()
            staged = Staged(self)
            yield staged
            staged.finish()

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
        with self._staged() as staged:
            return staged.put(
                key, payload, expires=expires, meta=meta, spelling=spelling, created=created, only_if=only_if
            )

    def amend(
        self, key: str, *, expires: float | None = None, meta: str | None = None, only_if: int | None = None
    ) -> int | None:
        with self._staged() as staged:
            return staged.amend(key, expires=expires, meta=meta, only_if=only_if)

    def delete(self, key: str, *, only_if: int | None = None) -> bool:
        with self._staged() as staged:
            return staged.delete(key, only_if=only_if)

    def rename(self, source: str, target: str, *, spelling: str | None = None) -> bool | None:
        with self._staged() as staged:
            return staged.rename(source, target, spelling=spelling)

    def put_many(
        self, payloads: Mapping[str, bytes], *, expires: float = NEVER, spellings: Mapping[str, str] | None = None
    ) -> None:
        with self._staged() as staged:
            staged.put_many(payloads, expires=expires, spellings=spellings)

    def delete_many(self, keys: Iterable[str]) -> dict[str, bool]:
        with self._staged() as staged:
            return staged.delete_many(keys)

    def commit(self, changes: Mapping[str, Record | None], *, amended: Collection[str] = ()) -> None:
        with self._lock:
            self._check_open()
            self._sweep(self.clock(), 2)
            lines = self._lines_of(self._after(changes))
            self._file.replaced = False
            try:
                self._save(lines)
            finally:
                if self._file.replaced:
                    self._lines = lines
                    super().commit(changes, amended=amended)

    def _after(self, changes: Mapping[str, Record | None]) -> dict[str, Record]:
        records = self._records.copy()
        for key, record in changes.items():
            if record is None or (key in records and records[key].order != record.order):
                records.pop(key, None)
            if record is not None:
                records[key] = record
        return records

    def _lines_of(self, records: Mapping[str, Record]) -> Lines:
        return {key: self._line_of(key, record) for key, record in records.items()}

    def _line_of(self, key: str, record: Record) -> tuple[Record, str]:
        # To make lines of them all would take most of the time, and few have changed.
        known = self._lines.get(key)
        return known if known is not None and known[0] is record else (record, entry(key, record))

    def sweep(self, limit: int | None = None) -> int:
        with self._lock:
            swept = super().sweep(limit)
            if swept:
                self._save(self._lines_of(self._records))
            return swept

    def _save(self, lines: Lines) -> None:
        content = assembled(self.codec, self._counter, (line for _, line in lines.values()))
        self._file.save(content if self.compression is None else compression_of(self.compression).compress(content))

    # ---- the end

    def close(self) -> None:
        with self._lock:
            if not self._closed:
                super().close()
                self._file.release()

    def abandon(self) -> None:
        """Close the copy of this handle in a forked child: unlock nothing, write nothing."""
        if not self._closed:
            self._closed = self._forked = True
            self._lock = mutation_lock(None)
            self._file.abandon()

    def _ended(self) -> ClosedError:
        if self._forked:
            return ClosedError(f"{self._file.path} was opened before a fork; the child has to open it itself")
        return ClosedError(f"{self._file.path} is closed; open it again")

    def __del__(self) -> None:
        if self._closed:
            return
        # Nobody else has this store, and the lock may be one that is shared with another and held just now.
        self._lock = mutation_lock(None)
        self.close()
        warnings.warn(f"{self._file.path} was not closed", ResourceWarning, source=self, stacklevel=1)


def _by_name(path: str) -> str | None:
    return next((name for ending, name in _ENDINGS.items() if path.endswith(ending)), None)


def open_url(url: str, *, codec: str, clock: Clock, lock: LockLike | None, limits: Limits | None) -> JsonFileStore:
    """Return the store of ``file:settings.json``."""
    path = os.path.expanduser(path_of_url(url))
    return JsonFileStore(path, codec=codec, clock=clock, lock=lock, limits=limits)
