"""Filesystems for a test alone, where this user may mount them."""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SHUTDOWN = 0x8004587D
_WITHOUT_ITS_LOG = 2
_FORGET_BUFFERS = 0x1261
_AT_ONCE = 2


class CannotMountError(Exception):
    """This user may not, or the system has no such filesystem; says why."""


@contextmanager
def mounted(point: Path, *arguments: str | Path) -> Iterator[Path]:
    """Mount at `point`, which is made, as ``mount ARGUMENTS point`` does, and unmount at the end."""
    point.mkdir(exist_ok=True)
    run("mount", *arguments, point)
    try:
        yield point
    finally:
        try:
            run("umount", point)
        except CannotMountError:  # a test that has failed may have left something open
            run("umount", "--lazy", point)
            raise


def formatted(path: Path, size: int, *make: str) -> Path:
    """Make an image of `size` bytes at `path` by the command `make`."""
    with path.open("wb") as file:
        file.truncate(size)
    run(*make, path)
    return path


@contextmanager
def image(path: Path, size: int, *options: str) -> Iterator[Path]:
    """Make an ext4 image of `size` bytes at `path` and mount it beside that; the mounted folder is given."""
    formatted(path, size, "mkfs.ext4", "-q", "-F", *options)
    with mounted(path.with_name(f"{path.name}-mounted"), "-o", "loop", path) as point:
        yield point


class Disk:
    """A filesystem whose power can be cut, ext4 or xfs."""

    def __init__(self, path: Path, size: int, kind: str = "ext4") -> None:
        self._path = path
        self.kind = kind
        self.point = path.with_name(f"{path.name}-mounted")
        formatted(path, size, f"mkfs.{kind}", "-q", "-F" if kind == "ext4" else "-f")
        self.point.mkdir()
        self.mount()

    def mount(self) -> None:
        """Mount it, which brings it to the state that its own journal tells."""
        run("mount", "-o", "loop", self._path, self.point)

    def cut_power(self) -> None:
        """Stop it at once: what was in memory alone is lost, and all calls fail from now on."""
        import fcntl  # Windows has none, and all tests load this module

        fd = os.open(self.point, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, _SHUTDOWN, struct.pack("I", _WITHOUT_ITS_LOG))
        except OSError as error:
            raise CannotMountError(f"the filesystem cannot be stopped: {error}") from error
        finally:
            os.close(fd)

    def unmount(self) -> None:
        """Unmount it; nobody has files open there."""
        run("umount", self.point)


def run(*command: str | Path) -> str:
    """Run a program and return what it says; CannotMountError says why it could not."""
    try:
        return subprocess.run([*command], capture_output=True, text=True, check=True).stdout
    except FileNotFoundError as error:
        raise CannotMountError(f"there is no {command[0]}") from error
    except subprocess.CalledProcessError as error:
        raise CannotMountError(error.stderr.strip()) from error


@contextmanager
def attached(device: Path, point: Path, kind: str, options: str = "") -> Iterator[None]:
    """Mount a device as `attach` does, and unmount it at the end."""
    attach(device, point, kind, options)
    try:
        yield
    finally:
        detach(point)


def attach(device: Path, point: Path, kind: str, options: str = "") -> None:
    """Mount a device, without the program that takes most of the time where it is done thousands of times."""
    import fcntl

    fd = os.open(device, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, _FORGET_BUFFERS)
    finally:
        os.close(fd)
    if _system().mount(bytes(device), bytes(point), kind.encode(), 0, options.encode()):
        raise CannotMountError(f"{kind}: {os.strerror(ctypes.get_errno())}")


def detach(point: Path) -> None:
    """Unmount what is there, even if a test that failed has left files open."""
    if _system().umount2(bytes(point), 0) and _system().umount2(bytes(point), _AT_ONCE):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(point))


def _system() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
