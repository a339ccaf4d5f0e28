"""The only raw file calls: a `Folder` held open by descriptor, and reading, writing and syncing of descriptors.

Everything is reached relative to the folder's descriptor, so that the folder may be renamed while it is open and a
link that is planted in its place is never followed. Where the system has no such calls (Windows), paths are joined.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
import sys
import time
from collections.abc import Iterator

if sys.platform == "darwin":
    import fcntl

CHUNK = 65_536
"""One read of this size takes most values whole and costs no more than a small one."""

_SECTOR = 512

_RELATIVE = os.open in os.supports_dir_fd
_AT_OFFSETS = hasattr(os, "pwrite")
_COMMON = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
# A fifo in place of a value must not hang its reader.
READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _COMMON
WRITE_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _COMMON
READ_WRITE_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | _COMMON
READ_WRITE = os.O_RDWR | _COMMON
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_REPLACE_TRIES = range(1, 51) if sys.platform == "win32" else range(1, 2)


class Folder:
    """A folder by descriptor; all paths are relative to it and written with ``/``.

    Parameters
    ----------
    path: str
        The folder, which exists.
    mode: int
        Permission bits of the files made in it; folders get the search bit where files get the read bit.
    exact: bool
        Set the bits whatever the umask says.

    Notes
    -----
    No link is followed in the last part of a path; a link in its middle is kept out by `admit`.
    """

    __slots__ = ("exact", "fd", "mode", "path", "prefix")

    def __init__(self, path: str, *, mode: int = 0o600, exact: bool = False, parent: Folder | None = None) -> None:
        self.path: str = path if parent is None else f"{parent.path}/{path}"
        self.mode = mode
        self.exact = exact
        self.fd: int | None = None
        self.prefix = "" if _RELATIVE else self.path + "/"
        if not _RELATIVE:
            return
        if parent is None:
            self.fd = os.open(path, _FOLDER)
        else:
            self.fd = os.open(path, _FOLDER | os.O_NOFOLLOW, dir_fd=parent.fd)

    def close(self) -> None:
        """Close the descriptor. Every use of the folder afterwards fails with EBADF."""
        fd, self.fd = self.fd, -1
        self.prefix = "" if _RELATIVE else "\0closed"
        if fd is not None and fd >= 0:
            os.close(fd)

    def open(self, path: str, flags: int = READ) -> int:
        """Open a file and return its descriptor."""
        return os.open(self.prefix + path, flags, self.mode, dir_fd=self.fd)

    def create(self, path: str, flags: int = WRITE_NEW) -> int:
        """Make a new file for writing; one that a killed process left there is removed first."""
        try:
            fd = os.open(self.prefix + path, flags, self.mode, dir_fd=self.fd)
        except FileExistsError:
            self.unlink(path)
            fd = os.open(self.prefix + path, flags, self.mode, dir_fd=self.fd)
        if self.exact:
            os.fchmod(fd, self.mode)
        return fd

    def read(self, path: str) -> bytes:
        """Return a file's content."""
        fd = os.open(self.prefix + path, READ, dir_fd=self.fd)
        try:
            return read_all(fd)
        finally:
            os.close(fd)

    def write(self, path: str, content: bytes, temporary: str, *, durable: bool = False) -> None:
        """Put `content` at `path` whole or not at all, by way of `temporary` in the same folder."""
        fd = self.create(temporary)
        try:
            try:
                write_all(fd, content)
                if durable:
                    sync(fd)
            finally:
                os.close(fd)
            self.replace(temporary, path)
        except BaseException:
            self.discard(temporary)
            raise

    def replace(self, source: str, target: str) -> None:
        """Rename within the folder; a file at `target` is replaced in one step."""
        prefix = self.prefix
        for attempt in _REPLACE_TRIES:
            try:
                os.replace(prefix + source, prefix + target, src_dir_fd=self.fd, dst_dir_fd=self.fd)
                return
            except PermissionError:
                # Windows refuses while a reader has the target open.
                if attempt == _REPLACE_TRIES[-1]:
                    raise
                time.sleep(0.002 * attempt)

    def unlink(self, path: str) -> None:
        """Remove a file."""
        os.unlink(self.prefix + path, dir_fd=self.fd)

    def discard(self, path: str) -> bool:
        """Remove a file if it is there; return whether it was. Errors while cleaning up are not worth a second one."""
        try:
            self.unlink(path)
        except OSError:
            return False
        return True

    def mkdir(self, path: str) -> None:
        """Make a folder unless it is there."""
        mode = self.mode | (self.mode & 0o444) >> 2
        with contextlib.suppress(FileExistsError):
            os.mkdir(self.prefix + path, mode, dir_fd=self.fd)
            if self.exact:
                os.chmod(self.prefix + path, mode, dir_fd=self.fd)

    def stat(self, path: str = ".") -> os.stat_result:
        """Return what the system knows of a file, of a link itself."""
        return os.stat(self.prefix + path, dir_fd=self.fd, follow_symlinks=False)

    def has(self, path: str) -> bool:
        """Return whether anything is at `path`."""
        with contextlib.suppress(FileNotFoundError):
            return bool(self.stat(path))
        return False

    def touch(self, path: str) -> None:
        """Set the times of a file or folder to now."""
        os.utime(self.prefix + path, dir_fd=self.fd)

    def remove_tree(self, path: str) -> None:
        """Remove a folder with all that is in it, if it is there."""
        import shutil  # loads what compresses files, and only what removes a whole store needs it

        if self.is_folder(path):
            shutil.rmtree(self.prefix + path, dir_fd=self.fd)

    def is_folder(self, path: str) -> bool:
        """Return whether a real folder is at `path`, no link to one."""
        with contextlib.suppress(FileNotFoundError):
            return stat.S_ISDIR(self.stat(path).st_mode)
        return False

    def admit(self, path: str) -> bool:
        """Return whether a real folder is at `path`; anything else there than a folder is a NotADirectoryError."""
        try:
            mode = self.stat(path).st_mode
        except FileNotFoundError:
            return False
        if not stat.S_ISDIR(mode):
            raise NotADirectoryError(errno.ENOTDIR, "not a folder, and links are not followed", f"{self.path}/{path}")
        return True

    def list(self, path: str = ".") -> Iterator[tuple[str, bool]]:
        """Yield (name, is a regular file) of everything in a folder; a folder that is not there is empty."""
        try:
            fd = os.open(path, _FOLDER | os.O_NOFOLLOW, dir_fd=self.fd) if _RELATIVE else None
        except FileNotFoundError:
            return
        try:
            with os.scandir(self.prefix + path if fd is None else fd) as entries:
                for entry in entries:
                    yield entry.name, entry.is_file(follow_symlinks=False)
        finally:
            if fd is not None:
                os.close(fd)

    def sync(self) -> None:
        """Make the names in the folder durable."""
        if self.fd is not None:
            sync(self.fd)


def read_all(fd: int) -> bytes:
    """Return what a descriptor of a file gives from where it stands to its end."""
    content = os.read(fd, CHUNK)
    # A read that ends within a sector ended with the file. At the border of a sector it may have ended with an error of
    # the disk, which is told to those who ask again.
    if len(content) % _SECTOR:
        return content
    if len(content) == CHUNK:
        return _read_large(fd)
    while more := os.read(fd, CHUNK):
        content += more
    return content


def _read_large(fd: int) -> bytes:
    size = os.fstat(fd).st_size
    os.lseek(fd, 0, os.SEEK_SET)
    try:
        content = os.read(fd, size)
    except MemoryError:
        raise OSError(errno.EFBIG, f"too large to be read into memory: {size:,} bytes") from None
    if len(content) == size:
        return content
    pieces = [content]
    while more := os.read(fd, CHUNK):
        pieces.append(more)
    return b"".join(pieces)


def write_all(fd: int, content: bytes | memoryview) -> None:
    """Write all of `content`; the system may take a part of it and say why not more only when asked again."""
    written = os.write(fd, content)
    while written < len(content):
        written += os.write(fd, memoryview(content)[written:])


def write_at(fd: int, content: bytes, offset: int) -> None:
    """Write all of `content` in place, from `offset` of the file."""
    if not _AT_OFFSETS:
        os.lseek(fd, offset, os.SEEK_SET)
        write_all(fd, content)
        return
    written = os.pwrite(fd, content, offset)
    while written < len(content):
        written += os.pwrite(fd, memoryview(content)[written:], offset + written)


def read_at(fd: int, size: int, offset: int) -> bytes:
    """Return `size` bytes of a file from `offset`, or what is there up to its end."""
    if not _AT_OFFSETS:
        os.lseek(fd, offset, os.SEEK_SET)
        return os.read(fd, size)
    content = os.pread(fd, size, offset)
    while len(content) < size and (more := os.pread(fd, size - len(content), offset + len(content))):
        content += more
    return content


def set_time(fd: int, seconds: float) -> None:
    """Set the time of change of a file."""
    if os.utime in os.supports_fd:
        os.utime(fd, (seconds, seconds))


def reserve(fd: int, offset: int, length: int) -> None:
    """Have space for a part of a file, where the system has a call for that; what is new in it reads as zeros."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, offset, length)


def sync(fd: int) -> None:
    """Make a descriptor's content durable, through the drive's own cache where that is a call of its own (macOS)."""
    if sys.platform == "darwin":
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
    else:
        os.fsync(fd)


def sync_data(fd: int) -> None:
    """Make a descriptor's content durable as `sync` does, but for its times where the system can leave them out."""
    if sys.platform != "darwin" and hasattr(os, "fdatasync"):
        os.fdatasync(fd)
    else:
        sync(fd)


def sync_filesystem(fd: int | None) -> None:
    """Make all that was written to the filesystem of `fd` durable, by the one call for it where the system has it."""
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None) if sys.platform == "linux" else None
    if syncfs is None:
        if hasattr(os, "sync"):
            os.sync()
    elif syncfs(fd):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
