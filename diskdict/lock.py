"""Which process may change a folder: `LockFile`.

The lockfile is taken once, at open, and held to the end: what a mutation sees under the thread lock nobody changes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
import weakref
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, NamedTuple, Protocol

import ujson

from diskdict.errors import FormatError, LockUnsupportedError, StoreLockedError
from diskdict.files import READ, READ_WRITE, Folder
from diskdict.layout import LOCK

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_BUSY: Final = frozenset({errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK})
_UNSUPPORTED: Final = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP})


class Page(NamedTuple):
    """The content of the lockfile: who has the folder, how it was left, and what its files may hold.

    ``clean`` is False from the first mutation of a handle until it is closed; ``suspect`` stays True after an unclean
    end until `verify` has passed. No number up to ``ceiling`` will be given again as an order or a version.
    ``expiring`` and ``sidecars`` say whether any file ever had an expiry or a sidecar.
    """

    pid: int
    host: str
    since: str
    clean: bool = True
    suspect: bool = False
    ceiling: int = 0
    expiring: bool = False
    sidecars: bool = False

    def holder(self) -> str:
        """Say who it is."""
        if self.pid == os.getpid() and self.host == _host():
            return f"this process (pid {self.pid}), since {self.since}"
        return f"process {self.pid} on {self.host}, since {self.since}"


UNKNOWN: Final = -1
"""The ceiling of a page that was lost: it has to be found among the files."""

_SIZE: Final = 512  # a sector: it is written whole or not at all


def encode_page(page: Page) -> bytes:
    """Return the page as one line of JSON, padded to a sector."""
    # Escapes would make six characters of one.
    page = page._replace(host=page.host.encode("ascii", "replace").decode()[:64])
    return ujson.dumps(page._asdict()).encode().ljust(_SIZE - 1) + b"\n"


def decode_page(content: bytes) -> Page | None:
    """Return the page, or None for anything that `encode_page` did not write."""
    try:
        fields = ujson.loads(content)
        page = Page(**fields)
    except (ValueError, TypeError):
        return None
    expected = (int, str, str, bool, bool, int, bool, bool)
    if not all(type(field) is kind for field, kind in zip(page, expected, strict=True)):
        return None
    return page if UNKNOWN <= page.ceiling < 1 << 62 else None


def _host() -> str:
    return os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")


def own_page() -> Page:
    """Return a page that names this process, of a store that was left clean and is empty."""
    return Page(os.getpid(), _host(), datetime.now(UTC).isoformat(timespec="seconds"))


class LockFile:
    """The lockfile of a store, locked by `flock` from its making to `release`.

    Parameters
    ----------
    folder: Folder
        The store's folder, or that which the store lies in.
    shared: bool
        Lock to read, beside others who read.
    timeout: float
        Seconds to wait for whoever has the folder.
    sleep: callable
        Waits for a number of seconds.
    name, path: str
        The file, and what errors call the store; of a store that is its folder they need not be given.

    Raises
    ------
    StoreLockedError
        Somebody else has the store.
    LockUnsupportedError
        The filesystem knows no locks.
    FormatError
        It is a second name of something else.

    Notes
    -----
    The lock belongs to the open file, so a second handle of the same process is refused like another process, and the
    system frees it when the process dies. The file is never truncated or removed: a lock on a name that somebody else
    may take away protects nothing.
    """

    fd = -1

    def __init__(
        self,
        folder: Folder,
        *,
        shared: bool,
        timeout: float,
        sleep: Callable[[float], None],
        name: str = LOCK,
        path: str | None = None,
    ) -> None:
        self._folder = folder
        self._name = name
        self._path = folder.path if path is None else path
        self.shared = shared
        deadline = time.monotonic() + timeout
        self.fd = self._open()
        try:
            while not self._try(deadline):
                sleep(min(0.01, max(0.0, deadline - time.monotonic())))
            self.page: Page | None = decode_page(self._read())
            if self.page is None and os.fstat(self.fd).st_nlink > 1:
                raise FormatError(f"{folder.path}/{name} is a second name of a file that is no lockfile; remove it")
        except BaseException:
            self.abandon()
            raise

    def _open(self) -> int:
        if self.shared:
            return self._folder.open(self._name, READ)
        fd = self._folder.open(self._name, READ_WRITE | os.O_CREAT)
        if self._folder.exact and not os.fstat(fd).st_size:
            os.fchmod(fd, self._folder.mode)
        return fd

    def _try(self, deadline: float) -> bool:
        try:
            _flock(self.fd, shared=self.shared)
        except OSError as error:
            if error.errno in _UNSUPPORTED:
                raise LockUnsupportedError(error.errno, "the filesystem has no locks", self._path) from error
            if error.errno not in _BUSY:
                raise
            if time.monotonic() >= deadline:
                raise StoreLockedError(self._path, self._holder()) from None
            return False
        if self._is_in_place():
            return True
        # The file was replaced between opening and locking: what is locked is not what others will lock.
        mistaken, self.fd = self.fd, self._open()
        os.close(mistaken)
        return False

    def _is_in_place(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self.fd), self._folder.stat(self._name))
        except FileNotFoundError:
            return False

    def _read(self) -> bytes:
        os.lseek(self.fd, 0, os.SEEK_SET)
        return os.read(self.fd, _SIZE)

    def _holder(self) -> str:
        if not self.shared and self._is_read():
            return "readers, opened with readonly=True"
        page = decode_page(self._read())
        return page.holder() if page is not None else "another process"

    def _is_read(self) -> bool:
        # Readers write nothing, so that the page names whoever wrote last.
        try:
            _flock(self.fd, shared=True)
        except OSError:
            return False
        _unlock(self.fd)
        return True

    def write(self, page: Page) -> None:
        """Write the page; on disk it is when ``fd`` is synced."""
        os.lseek(self.fd, 0, os.SEEK_SET)
        os.write(self.fd, encode_page(page))
        self.page = page

    def release(self) -> None:
        """Unlock and close. Unlocking by name also frees a copy of the descriptor in a process forked meanwhile."""
        if self.fd >= 0:
            with contextlib.suppress(OSError):
                _unlock(self.fd)
            self.abandon()

    def abandon(self) -> None:
        """Close without unlocking: the lock is the parent's."""
        fd, self.fd = self.fd, -1
        os.close(fd)

    def __del__(self) -> None:
        # Interrupted while it was on its way to who asked for it, nobody else can.
        if self.fd >= 0:
            self.abandon()


if sys.platform == "win32":

    def _flock(fd: int, *, shared: bool) -> None:
        # A byte behind the page, so that others can read who has the folder.
        os.lseek(fd, _SIZE, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_NBRLCK if shared else msvcrt.LK_NBLCK, 1)

    def _unlock(fd: int) -> None:
        os.lseek(fd, _SIZE, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:

    def _flock(fd: int, *, shared: bool) -> None:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)

    def _unlock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_UN)


class Forkable(Protocol):
    """A handle that must not go on in a forked child."""

    def abandon(self) -> None:
        """Close every descriptor, unlock nothing, write nothing."""


_handles: weakref.WeakSet[Forkable] = weakref.WeakSet()


def abandon_after_fork(handle: Forkable) -> None:
    """Have `handle` abandoned in every child that this process forks from now on."""
    _handles.add(handle)


def _abandon_all() -> None:
    handles = list(_handles)
    _handles.clear()
    for handle in handles:
        handle.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_all)
