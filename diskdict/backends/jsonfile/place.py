"""Where the one file of a store is, and its lock: `FilePlace`. The file is replaced whole, or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from diskdict.errors import ConflictError, FormatError
from diskdict.files import Folder, sync, write_all
from diskdict.lock import LockFile, own_page

Identity = tuple[int, int, int] | None
"""What tells whether a file is the one that was left here: None where there was none."""

_MODE: Final = 0o600


class Found(NamedTuple):
    """The content of a file, and when it was changed."""

    content: bytes
    changed: float


class FilePlace:
    """A file in its folder, and the two that are beside it: its lock, and what it will be next.

    Parameters
    ----------
    path: str
        The file. A link to it is followed, and its folder is made where there is none.
    """

    def __init__(self, path: str) -> None:
        self.path = os.path.realpath(path)
        parent, self._name = os.path.split(self.path)
        os.makedirs(parent, 0o700, exist_ok=True)
        self._temporary = f".{self._name}.new"
        self._folder = Folder(parent, mode=_MODE)
        self._lock: LockFile | None = None
        self._own: tuple[Identity, ...] = ()
        self.replaced = False

    def load(self) -> Found | None:
        """Return what is there. FormatError for what is no file."""
        status = self._status()
        self._own = (_identity(status),)
        if status is None:
            return None
        if not stat.S_ISREG(status.st_mode):
            raise FormatError(f"{self.path} is no regular file, and a store of one file was asked for")
        return Found(self._folder.read(self._name), status.st_mtime)

    def _status(self) -> os.stat_result | None:
        with contextlib.suppress(FileNotFoundError):
            return self._folder.stat(self._name)
        return None

    def lock(self, timeout: float, sleep: Callable[[float], None] = time.sleep) -> None:
        """Take the lock, and remove what a process that was killed has left. StoreLockedError as `LockFile` says."""
        name = f".{self._name}.lock"
        self._lock = LockFile(self._folder, shared=False, timeout=timeout, sleep=sleep, name=name, path=self.path)
        self._lock.write(own_page())
        self._folder.discard(self._temporary)

    def save(self, content: bytes) -> None:
        """Have that content in the file, with the permissions it has, and on disk before it is in place.

        Whatever is raised, ``replaced`` says whether it is in place. ConflictError where somebody else has changed the
        file since this loaded or saved it.
        """
        self.replaced = False
        before, made = self._unchanged(), None
        try:
            fd = self._folder.create(self._temporary)
            try:
                write_all(fd, content)
                sync(fd)
                made = os.fstat(fd)
            finally:
                os.close(fd)
            # Whichever it is when this ends, be it interrupted.
            self._own = before, _identity(made)
            self._folder.replace(self._temporary, self._name)
            self.replaced = True
        except BaseException:
            self._folder.discard(self._temporary)
            # Interrupted, or by a filesystem of the network, it may have been done all the same.
            self.replaced = made is not None and self._is_in_place(made)
            raise

    def _unchanged(self) -> Identity:
        status = self._status()
        found = _identity(status)
        if found not in self._own:
            raise ConflictError(f"{self.path} was changed by somebody else while it was open; open it again")
        if status is not None:
            self._folder.mode, self._folder.exact = stat.S_IMODE(status.st_mode) & 0o777, True
        return found

    def _is_in_place(self, made: os.stat_result) -> bool:
        with contextlib.suppress(OSError):
            return os.path.samestat(made, self._folder.stat(self._name))
        return False

    def release(self) -> None:
        """Give the lock back."""
        if self._lock is not None:
            self._lock.release()
        self._folder.close()

    def abandon(self) -> None:
        """Close without unlocking, in a forked child."""
        if self._lock is not None:
            self._lock.abandon()
        self._folder.close()


def _identity(status: os.stat_result | None) -> Identity:
    return None if status is None else (status.st_ino, status.st_size, status.st_mtime_ns)
