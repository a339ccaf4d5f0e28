"""Values of a folder as streams: read from their files, written beside them and put in place: `FolderStreaming`."""

from __future__ import annotations

import itertools
import os
import stat
from typing import BinaryIO, Final

from diskdict import attributes as xattrs
from diskdict.applying import STAGED, apply, is_made
from diskdict.attributes import STRIPPED, Attributes, describe, is_stripped, is_whole
from diskdict.checksums import crc32
from diskdict.copying import copy_rest
from diskdict.files import READ_WRITE_NEW, write_all
from diskdict.journal import Change, Move, Place, Remove
from diskdict.layout import DATA, TMP
from diskdict.store import ABSENT, NEVER, OnlyIf
from diskdict.upkeep import FolderUpkeep
from diskdict.uploads import Located, Source, Upload, Uploading

_PIECE: Final = 1 << 18
_numbers: Final = itertools.count()


class FolderUpload(Upload):
    """A file beside the values, that becomes one of them. `FolderStreaming.upload` begins it."""

    def __init__(self, store: FolderStreaming) -> None:
        self._store = store
        # No name that a commit gives.
        self.file = f"upload-{next(_numbers)}"
        self.length = self.checksum = 0
        self.needed = False
        """Whether the journal has it, so that it must stay whatever happens here."""
        self._fd = store.files.data.create(STAGED + self.file, READ_WRITE_NEW)
        self._mode_before: int | None = None

    def write(self, piece: bytes | memoryview) -> None:
        write_all(self._fd, piece)
        self.length += len(piece)
        self.checksum = crc32(piece, self.checksum)

    def take(self, source: BinaryIO) -> None:
        try:
            out_of, at = source.fileno(), source.tell()
        except OSError:
            super().take(source)
            return
        begin = self.length
        copy_rest(out_of, self._fd, at)
        self._sum_up(begin)

    def adopt(self, path: str) -> bool:
        data = self._store.files.data
        if data.fd is None or self.length:
            return False
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return False
        status = os.fstat(fd)
        # Another name of it would be a way to change the value.
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1 or not self._link(path, status):
            os.close(fd)
            return False
        os.close(self._fd)
        self._fd, self._mode_before = fd, stat.S_IMODE(status.st_mode)
        os.fchmod(fd, data.mode)
        self._sum_up(0)
        return True

    def _link(self, path: str, status: os.stat_result) -> bool:
        data = self._store.files.data
        linked = f"{self.file}-adopted"
        try:
            os.link(path, STAGED + linked, dst_dir_fd=data.fd, follow_symlinks=False)
        except OSError:
            return False
        if not os.path.samestat(data.stat(STAGED + linked), status):
            # Somebody has put another file there just now.
            data.discard(STAGED + linked)
            return False
        data.discard(STAGED + self.file)
        self.file = linked
        return True

    def _sum_up(self, begin: int) -> None:
        # From the copy, whatever becomes of the original meanwhile.
        at, checksum = begin, self.checksum if begin else 0
        os.lseek(self._fd, begin, os.SEEK_SET)
        with memoryview(bytearray(_PIECE)) as view:
            while some := os.readv(self._fd, [view]):
                checksum = crc32(view[:some], checksum)
                at += some
        self.length, self.checksum = at, checksum

    def finish(
        self,
        key: str,
        *,
        expires: float = NEVER,
        meta: str | None = None,
        only_if: OnlyIf = None,
        instead_of: Source | None = None,
    ) -> int | None:
        try:
            return self._store.place(self, key, expires, meta, only_if, instead_of)
        finally:
            self.discard()

    def describe(self, attributes: Attributes) -> bool:
        """Give the file its attributes; return whether they go beside it."""
        return self._store.files.describe(self._fd, attributes)

    def discard(self) -> None:
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        try:
            if not self.needed and self._store.files.data.discard(STAGED + self.file) and self._mode_before is not None:
                # The caller's file is to be as it was.
                xattrs.strip(fd)
                xattrs.discard_meta(fd)
                os.fchmod(fd, self._mode_before)
        finally:
            os.close(fd)


class FolderStreaming(FolderUpkeep, Uploading, Located):
    """A folder store as far as values are streams that nobody has in memory as a whole, and move over others."""

    def open(self, key: str) -> BinaryIO | None:
        if key in self._pending:
            return super().open(key)
        if not self.contains(key):
            return None
        try:
            stream = os.fdopen(self.files.data.open(self.files.path(key)), "rb")
        except FileNotFoundError:
            return None
        except OSError:
            self.check_open()
            raise
        if not self.suspect or is_whole(stream.fileno()):
            return stream
        # Damage is told of, or what has come in its place is given.
        stream.close()
        return super().open(key)

    def location(self, key: str) -> str:
        import pathlib  # takes a while to load, and only those who ask for a URL need it

        self.finish()
        return pathlib.Path(self.folder.path, DATA, self.files.path(key)).as_uri()

    def upload(self) -> FolderUpload:
        with self._lock:
            # From here on the page says that something may have been left.
            self._prepare()
            self.folder.mkdir(TMP)
            self.folder.admit(TMP)
            return FolderUpload(self)

    def place(
        self,
        upload: FolderUpload,
        key: str,
        expires: float,
        meta: str | None,
        only_if: OnlyIf,
        instead_of: Source | None,
    ) -> int | None:
        """Make an upload the value of a key, as `Upload.finish` says."""
        with self._lock:
            self.check_writable()
            now = self.clock()
            source = None if instead_of is None else self._live(instead_of.key)
            if instead_of is not None and (source is None or source.version != instead_of.version):
                return None
            old = self._find(key)
            live = old if old is not None and old.expires > now else None
            if only_if is not None and only_if != (ABSENT if live is None else live.version):
                return None
            if self.limits.total_bytes is not None:
                self._make_room(key, upload.length)
            if expires != NEVER:
                self._expect_expiry()
            version = self.ledger.next()
            order, created = version, now if source is None else source.created
            if source is None and live is not None and live.order < STRIPPED:
                order, created = live.order, live.created
            new = Attributes(order, created, expires, version, upload.length, upload.checksum, meta or None, None)
            beside = upload.describe(new)
            if self._behind or instead_of is not None:
                self._commit_upload(upload, Place(key, upload.file, new, beside), instead_of)
            else:
                self._mark(key)
                self.files.install(key, STAGED + upload.file, new, old, beside=beside)
                self._index.put(key, order, new.length, created, expires, None)
                self._unmark(key)
            return version

    def _commit_upload(self, upload: FolderUpload, placed: Place, instead_of: Source | None) -> None:
        group: tuple[Change, ...] = (placed,)
        if instead_of is not None:
            group += (Remove(instead_of.key, self.ledger.next()),)
        for change in group:
            self._mark(change.key)
        self._ready = False
        before = self.journal.position
        upload.needed = True
        try:
            self._journalize(group)
        except BaseException:
            self.journal.take_back(before)
            upload.needed = False
            raise
        # From here on it is done, for all who read.
        self._group = group
        try:
            apply(self.files, group)
            self._end()
        except OSError:
            # What the disk does not take now is tried again later; the journal holds it.
            for change in group:
                if not is_made(self.files, change):
                    self._foresee(change, self._pending)

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
