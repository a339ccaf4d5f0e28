"""Values of a folder as streams: read from their files, put in place, and moved: `FolderStreaming`."""

from __future__ import annotations

import io
import os
from typing import BinaryIO

from diskdict import attributes as xattrs
from diskdict.applying import STAGED, apply, is_made
from diskdict.attributes import STRIPPED, Attributes, describe, is_stripped
from diskdict.journal import Change, Move, Place, Remove
from diskdict.layout import DATA
from diskdict.store import ABSENT, NEVER, OnlyIf
from diskdict.taking import FolderTaking, FolderUpload
from diskdict.uploads import Located, Source


def _stream(fd: int) -> io.BufferedReader:
    try:
        # What `os.fdopen` does but for asking whether this is a terminal.
        raw = io.FileIO(fd, "rb")
    except Exception:  # interrupted, it may have the descriptor already, and close it
        os.close(fd)
        raise
    return io.BufferedReader(raw)


class FolderStreaming(FolderTaking, Located):
    """A folder store as far as values are streams that nobody has in memory as a whole, and move over others."""

    def open(self, key: str) -> BinaryIO | None:
        if key in self._pending:
            return super().open(key)
        index = self._index
        if index.loaded and key not in index.rows and key not in index.uncertain:
            return None
        try:
            stream = _stream(self.files.data.open(self.files.path(key)))
        except FileNotFoundError:
            return None
        except OSError:
            self.check_open()
            raise
        if not self._careful and self.takes_empty:
            return stream
        try:
            fd = stream.fileno()
            expires = xattrs.expiry(fd)
            live = self.contains(key) if expires is None else expires > self.clock()
            if live and self._is_fine(fd):
                return stream
        except BaseException:
            stream.close()
            raise
        stream.close()
        # Damage is told of, or what has come in its place is given.
        return super().open(key) if live else None

    def _is_fine(self, fd: int) -> bool:
        """Whether nobody has reason to doubt what an open file holds."""
        return xattrs.is_whole(fd) if self.suspect else self.takes_empty or bool(os.fstat(fd).st_size)

    def location(self, key: str) -> str:
        import pathlib  # takes a while to load, and only those who ask for a URL need it

        self.finish()
        return pathlib.Path(self.folder.path, DATA, self.files.path(key)).absolute().as_uri()

    def place(
        self,
        upload: FolderUpload,
        key: str,
        expires: float,
        meta: str | None,
        created: float | None,
        only_if: OnlyIf,
        instead_of: Source | None,
    ) -> int | None:
        with self._lock:
            self._get_ready()
            if self._behind:
                self.finish()
            now, index = self.clock(), self._index
            source = None if instead_of is None else self._live(instead_of.key)
            if instead_of is not None and (source is None or source.version != instead_of.version):
                return None
            # What is new needs no look at the disk.
            known = index.loaded and key not in index.rows and not self.files.companions.sidecars
            old = None if known else self._find(key)
            live = old if old is not None and old.expires > now else None
            if only_if is not None and only_if != (ABSENT if live is None else live.version):
                return None
            if self.limits.total_bytes is not None:
                self._make_room(key, upload.length)
            if expires != NEVER:
                self._expect_expiry()
            version = self.ledger.next()
            order, created = version, now if created is None else created
            if source is not None:
                created = source.created
            elif live is not None and live.order < STRIPPED:
                order, created = live.order, live.created
            spelling = None if live is None else live.spelling
            new = Attributes(order, created, expires, version, upload.length, upload.checksum, meta or None, spelling)
            beside = upload.describe(new, self.files.path(key))
            if self._behind or instead_of is not None:
                self._commit_upload(upload, Place(key, upload.file, new, beside), instead_of)
            else:
                self._mark(key)
                self.files.install(key, STAGED + upload.file, new, old, beside=beside)
                self._index.put(key, order, new.length, created, expires, spelling)
                self._unmark(key)
            return version

    def _commit_upload(self, upload: FolderUpload, placed: Place, instead_of: Source | None) -> None:
        group: tuple[Change, ...] = (placed,)
        if instead_of is not None:
            group += (Remove(instead_of.key, self.ledger.next()),)
        for change in group:
            self._mark(change.key)
        self._ready, counts = False, False
        before = self.journal.position
        upload.needed = True
        try:
            self._journalize(group)
            # From here on it is done, for all who read.
            counts, self._group = True, group
            apply(self.files, group)
            self._end()
        except BaseException as error:
            if not counts:
                # On disk the journal may have it still, and who reads it there has to find the file.
                upload.needed = self._behind and self.journal.position != before
                self.journal.take_back(before)
                raise
            # What the disk does not take now is tried again later; the journal holds it.
            for change in group:
                if not is_made(self.files, change):
                    self._foresee(change, self._pending)
            if not isinstance(error, OSError):
                raise

    def move_over(self, source: str, target: str) -> bool:
        with self._lock:
            self.check_writable()
            old = self._live(source)
            if old is None:
                return False
            if source != target:
                self._move(source, old, target, None)
            return True

    def _move(self, source: str, old: Attributes, target: str, spelling: str | None) -> None:
        """Rename a file by way of the journal, which has nothing else."""
        path, to = self.files.path(source), self.files.path(target)
        if is_stripped(old):
            old = describe(self.files.data.read(path), 0, old.created)
        version = self.ledger.next()
        new = old._replace(order=version, version=version, spelling=spelling)
        self._mark(source)
        self._mark(target)
        try:
            self._journalize((Move(source, target, new),))
            self.files.move(path, target, to, old, new, self._find(target))
        finally:
            if self._behind:
                self.files.sync_all()
            self.journal.restart(durable=self._behind)
        self._index.remove(source)
        self._index.put(target, version, new.length, new.created, new.expires, spelling)
        self._unmark(source)
        self._unmark(target)
