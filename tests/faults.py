"""The system's calls, counted, so that the N-th of them can fail, do half, or be the last thing a process does.

`install` has to be called before the package under test is imported: it puts a counting function in place of each call
that changes or reads files. Nothing of the package itself is replaced, and unless a plan is armed every call goes
straight to the system.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

READING = frozenset(["read", "pread", "stat", "fstat", "lseek", "scandir", "getxattr", "preadv"])
CHANGING = frozenset(
    [
        "write",
        "pwrite",
        "copy_file_range",
        "replace",
        "link",
        "unlink",
        "mkdir",
        "utime",
        "chmod",
        "fchmod",
        "setxattr",
        "removexattr",
    ]
)
"""What leaves something else on disk than was there; and opening, where that makes a file."""
SYNCING = frozenset(["fsync", "fdatasync"])
CALLS = READING | CHANGING | SYNCING | {"open", "close"}

Call = Callable[..., Any]


class Done(NamedTuple):
    """A call that was let through."""

    name: str
    arguments: tuple[Any, ...]


class Plan:
    """What happens at the call number `at`, counted from 1: nothing here.

    ``fired`` says what it happened to, ``done`` what was let through. Calls in ``overlooked`` are not counted.
    """

    overlooked: frozenset[str] = frozenset()

    def __init__(self, at: int = 0) -> None:
        self.at = at
        self.count = 0
        self.fired = ""
        self.done: list[Done] = []

    def counts(self, name: str, arguments: tuple[Any, ...]) -> bool:
        """Whether this call is one to number."""
        return name not in self.overlooked

    def __call__(self, name: str, real: Call, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        if self.counts(name, arguments):
            self.count += 1
            if self.count == self.at:
                self.fired = name
                return self.fire(name, real, arguments, options)
        return self.let(name, real, arguments, options)

    def let(self, name: str, real: Call, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Have the system do it."""
        result = real(*arguments, **options)
        self.done.append(Done(name, arguments))
        return result

    def fire(self, name: str, real: Call, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Let it happen."""
        return self.let(name, real, arguments, options)


class Kill(Plan):
    """The process ends before the call. Only those that change something count: the others make no difference."""

    def counts(self, name: str, arguments: tuple[Any, ...]) -> bool:
        return name in CHANGING or (name == "open" and bool(arguments[1] & os.O_CREAT))

    def fire(self, name: str, real: Call, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)


class Fail(Plan):
    """The call fails and has done nothing; only closing always closes."""

    def __init__(self, at: int, code: int = errno.EIO) -> None:
        super().__init__(at)
        self.code = code

    def fire(self, name: str, real: Call, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        if name == "close":
            self.let(name, real, arguments, options)
        raise OSError(self.code, os.strerror(self.code))


class FailToChange(Fail):
    """As `Fail`, but for calls that only read."""

    overlooked = READING


class FailToSync(Fail):
    """As `Fail`, but for nothing else than fsync and fdatasync."""

    overlooked = CALLS - SYNCING


class Refuse(Plan):
    """Every call of one name fails."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.overlooked = CALLS - {name}

    def counts(self, name: str, arguments: tuple[Any, ...]) -> bool:
        if super().counts(name, arguments):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return False


class DoAndFail(Fail):
    """The call does what it should and then says that it failed."""

    def fire(self, name: str, real: Call, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        # Whoever is not told of a descriptor cannot close it: the system gives none with an error.
        if name not in ("open", "scandir"):
            self.let(name, real, arguments, options)
        raise OSError(self.code, os.strerror(self.code))


class Half(Plan):
    """A write takes half of what it was given."""

    overlooked = CALLS - {"write", "pwrite"}

    def fire(self, name: str, real: Call, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        fd, content, *offset = arguments
        return self.let(name, real, (fd, bytes(content)[: (len(content) + 1) // 2], *offset), options)


_armed: list[Plan] = []


@contextmanager
def armed(plan: Plan) -> Iterator[Plan]:
    """Have `plan` see every call of this process."""
    _armed.append(plan)
    try:
        yield plan
    finally:
        _armed.clear()


@contextmanager
def resting() -> Iterator[None]:
    """Have nobody see what a test does itself."""
    plans = _armed[:]
    _armed.clear()
    try:
        yield
    finally:
        _armed.extend(plans)


def _counted(name: str, real: Call) -> Call:
    def call(*arguments: Any, **options: Any) -> Any:
        if not _armed:
            return real(*arguments, **options)
        return _armed[0](name, real, arguments, options)

    return call


def install() -> None:
    """Count the calls of this process from now on."""
    for name in CALLS:
        if hasattr(os, name):
            real = getattr(os, name)
            counted = _counted(name, real)
            setattr(os, name, counted)
            for known in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
                if real in known:
                    known.add(counted)
    try:
        import fcntl

        import xattr
    except ImportError:
        return
    fcntl.flock = _counted("flock", fcntl.flock)
    for name in ("getxattr", "setxattr", "removexattr"):
        setattr(xattr, name, _counted(name, getattr(xattr, name)))


def install_with_syncs() -> None:
    """Count the calls that `install` counts, and those too that reserve and cut off space and sync a filesystem."""
    install()
    for name in ("ftruncate", "posix_fallocate"):
        setattr(os, name, _counted(name, getattr(os, name)))
    load = ctypes.CDLL

    def loaded(*arguments: Any, **options: Any) -> ctypes.CDLL:
        library = load(*arguments, **options)
        library.syncfs = _counted("syncfs", library.syncfs)
        return library

    ctypes.CDLL = loaded  # type: ignore[assignment,misc]
