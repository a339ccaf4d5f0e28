"""Values that are written beside those of a folder, to be put in place later: `FolderUpload`."""

from __future__ import annotations

import abc
import contextlib
import itertools
import os
import stat
import sys
from typing import BinaryIO, Final

from diskdict import attributes as xattrs
from diskdict.applying import STAGED
from diskdict.attributes import Attributes
from diskdict.checksums import crc32
from diskdict.copying import BY_SYSTEM, Summed, copy_summed
from diskdict.files import READ_WRITE_NEW, write_all
from diskdict.layout import DIGEST, TMP
from diskdict.store import NEVER, OnlyIf
from diskdict.upkeep import FolderUpkeep
from diskdict.uploads import Source, Upload, Uploading

_numbers: Final = itertools.count(1 << 32)
"""No changes of one commit come so far, and the journal takes nothing but numbers for names of files."""


class FolderUpload(Upload):
    """A file beside the values, that becomes one of them. `FolderTaking.upload` begins it."""

    def __init__(self, store: FolderTaking) -> None:
        self._store, self._data = store, store.files.data
        self.file = str(next(_numbers))
        self.length = self.checksum = 0
        self.needed = False
        """Whether the journal has it, so that it must stay whatever happens here."""
        self._adopted: os.stat_result | None = None
        self._path = ""
        self._finished = self._goes_by_name = False
        self._fd = -1
        store.under_way.add(self.file)
        try:
            self._fd = self._data.create(STAGED + self.file, READ_WRITE_NEW)
        except BaseException:
            store.under_way.discard(self.file)
            raise

    def write(self, piece: bytes | memoryview) -> None:
        if self._store.forked:
            # The file is that of the parent, who goes on.
            self._store.check_open()
        write_all(self._fd, piece)
        self.length += len(piece)
        self.checksum = crc32(piece, self.checksum)

    def take(self, source: BinaryIO) -> None:
        try:
            out_of, at = source.fileno(), source.tell()
        except OSError:
            out_of = -1
        if out_of < 0 or not BY_SYSTEM:
            super().take(source)
            return
        # The checksum is of the copy, whatever becomes of the original meanwhile.
        begin, summed = self.length, Summed(self._fd, self.length, self.checksum)
        copy_summed(out_of, self._fd, at, summed)
        self.length, self.checksum = summed.length, summed.checksum
        source.seek(at + self.length - begin)

    def adopt(self, path: str, status: os.stat_result) -> bool:
        if _is_below(path, self._store.folder.path):
            raise ValueError(f"{path} is a file of the store itself, whose values are moved by their keys")
        if self._data.fd is None or self.length or not _can_be_taken(path, status):
            return False
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return False
        taken = False
        try:
            # What has attributes of a value may be one, here or elsewhere.
            same = os.path.samestat(os.fstat(fd), status)
            taken = same and xattrs.fetch(fd) is None and self._link(path, status)
        finally:
            if not taken:
                os.close(fd)
        if not taken:
            return False
        own, self._fd, self._adopted = self._fd, fd, status
        os.close(own)
        summed = Summed(fd)
        summed.reach(sys.maxsize)
        self.length, self.checksum = summed.length, summed.checksum
        return True

    def _link(self, path: str, status: os.stat_result) -> bool:
        linked = f"{STAGED}{self.file}-adopted"
        try:
            try:
                os.link(path, linked, dst_dir_fd=self._data.fd, follow_symlinks=False)
            except OSError:
                return False
            # Somebody may have put another file there just now.
            same = os.path.samestat(self._data.stat(linked), status)
            if same:
                self._data.replace(linked, STAGED + self.file)
            return same
        finally:
            self._data.discard(linked)

    def finish(
        self,
        key: str,
        *,
        expires: float = NEVER,
        meta: str | None = None,
        created: float | None = None,
        only_if: OnlyIf = None,
        instead_of: Source | None = None,
    ) -> int | None:
        try:
            version = self._store.place(self, key, expires, meta, created, only_if, instead_of)
            self._finished = version is not None
            if self._finished and self.lasting and not self._goes_by_name:
                self._store.have_on_disk()
            return version
        finally:
            self.discard()

    def describe(self, attributes: Attributes, path: str) -> bool:
        """Give the file its attributes before it goes to `path`; return whether they go beside it."""
        self._path = path
        if self._adopted is not None:
            os.fchmod(self._fd, self._data.mode)
            os.utime(self._fd)
        beside = self._store.files.describe(self._fd, attributes)
        # Names come and go in their order, but with nothing else that was written.
        self._goes_by_name = self._adopted is not None and not beside and DIGEST not in path
        return beside

    def discard(self) -> None:
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        try:
            if self.needed or self._store.forked:
                return
            if not self._finished:
                self._data.discard(STAGED + self.file)
                if self._adopted is not None and not self._is_placed(fd):
                    _give_back(fd, self._adopted)
            self._store.under_way.discard(self.file)
        finally:
            os.close(fd)

    def _is_placed(self, fd: int) -> bool:
        # An interruption may have come right after that.
        try:
            return bool(self._path) and os.path.samestat(self._data.stat(self._path), os.fstat(fd))
        except OSError:
            return False


def _is_below(path: str, folder: str) -> bool:
    return os.path.realpath(path).startswith(os.path.join(os.path.realpath(folder), ""))


def _can_be_taken(path: str, status: os.stat_result) -> bool:
    """Whether a file may become a value: it is a plain one of this user's, whose one name can be removed.

    Another name would be a way to change the value.
    """
    folder = os.path.dirname(path) or "."
    own = stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and status.st_uid == os.geteuid()
    return own and os.access(folder, os.W_OK | os.X_OK, effective_ids=True)


def _give_back(fd: int, status: os.stat_result) -> None:
    """Have a file of the caller's as it was, as far as the disk lets it."""
    with contextlib.suppress(OSError):
        xattrs.clear(fd)
        os.fchmod(fd, stat.S_IMODE(status.st_mode))
        os.utime(fd, ns=(status.st_atime_ns, status.st_mtime_ns))


class FolderTaking(FolderUpkeep, Uploading):
    """A folder store as far as it takes uploads."""

    under_way: set[str]
    """Names of the files of uploads that were neither finished nor discarded."""

    @property
    def forked(self) -> bool:
        """Whether this is the copy of a handle in a forked child."""
        return self._forked

    def leave_uploads(self) -> None:
        """Remove what is there of uploads that are under way: nobody can finish them after closing."""
        if self.under_way and self.folder.is_folder(TMP):
            for name in tuple(self.under_way):
                self.files.data.discard(STAGED + name)

    def upload(self) -> FolderUpload:
        with self._lock:
            # From here on the page says that something may have been left.
            self._get_ready()
            if not self.folder.admit(TMP):
                self.folder.mkdir(TMP)
                self.folder.admit(TMP)
            return FolderUpload(self)

    def have_on_disk(self) -> None:
        """Have on disk what was finished, where it is not yet."""
        if not self._behind:
            self.files.sync_all()

    @abc.abstractmethod
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
        """Make an upload the value of a key, as `Upload.finish` says."""
