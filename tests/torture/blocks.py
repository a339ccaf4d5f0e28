"""A disk that notes each write and each flush, and what it may hold if the power is cut at any of them.

The disk is a file, served through FUSE by a process of its own (a test that served it would wait for itself), with a
loop device over it. A flush of that device comes as an fsync of the file, behind the writes that it makes durable.
"""

from __future__ import annotations

import errno
import os
import random
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from mounts import CannotMountError, attach, attached, detach, run

SECTOR = 512
BLOCK = 4_096
_RESERVE = 0
_KEEP_SIZE = 1

MAKERS: dict[str, tuple[int, list[str]]] = {
    "ext4": (
        64 << 20,
        ["mkfs.ext4", "-q", "-F", "-b", "4096", "-N", "1024", "-J", "size=4", "-E", "lazy_itable_init=0,nodiscard"],
    ),
    "xfs": (320 << 20, ["mkfs.xfs", "-q", "-f", "-K"]),
    "btrfs": (128 << 20, ["mkfs.btrfs", "-q", "-f", "-K"]),
}
"""Bytes of an image of each filesystem, and how it is made."""
NEEDED = "root, /dev/fuse, mfusepy (pip) and on Debian libfuse2, e2fsprogs, xfsprogs, btrfs-progs"


class Entry(NamedTuple):
    """A write that came to the disk, or a flush, which has no content; and when."""

    time: float
    offset: int
    content: bytes | None


class Cut(NamedTuple):
    """A power cut before entry `at` of a log: what came before entry `durable` is on the disk, and `kept` besides."""

    at: int
    durable: int
    kept: list[Entry]
    how: str


def cuts(log: list[Entry], first: int, count: int, chance: random.Random, unit: int) -> Iterator[Cut]:
    """Yield cuts from entry `first` on, in their order; the disk writes `unit` bytes in one step."""
    for at in sorted(chance.randrange(first, len(log)) for _ in range(count)):
        durable = at
        while durable and log[durable - 1].content is not None:
            durable -= 1
        flying = log[durable:at]
        how = chance.choice(["all", "some", "torn"])
        if how == "some":
            share = chance.random()
            flying = [entry for entry in flying if chance.random() < share]
        elif how == "torn" and flying:
            number = chance.choice([len(flying) - 1, chance.randrange(len(flying))])
            later = [entry for entry in flying[number + 1 :] if chance.random() < 0.5]
            flying = [*flying[:number], *_torn(flying[number], chance, unit), *later]
        yield Cut(at, durable, flying, how)


def _torn(entry: Entry, chance: random.Random, unit: int) -> list[Entry]:
    """Return what of a write is on the disk: what comes before one of its blocks, and of that some sectors."""
    content = entry.content or b""
    begin = chance.randrange(0, len(content), BLOCK)
    parts = [Entry(entry.time, entry.offset, content[:begin])]
    for at in range(begin, min(begin + BLOCK, len(content)), unit):
        if chance.random() < 0.5:
            parts.append(Entry(entry.time, entry.offset + at, content[at : at + unit]))
    return parts


class _Served:
    """The one file of a filesystem in user space, as FUSE asks for it."""

    use_ns = True

    def __init__(self, path: str, pipe: Connection) -> None:
        self._fd = os.open(path, os.O_RDWR)
        self._pipe = pipe
        self._log: list[Entry] = []
        self._failing = ""

    def init(self, path: str) -> None:
        threading.Thread(target=self._obey, daemon=True).start()

    def _obey(self) -> None:
        self._pipe.send("ready")
        with suppress(EOFError):
            while True:
                order, what = self._pipe.recv()
                if order == "fail":
                    self._failing = what
                self._pipe.send(self._log if order == "log" else None)

    def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:
        if path == "/":
            return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2}
        return {"st_mode": stat.S_IFREG | 0o600, "st_nlink": 1, "st_size": os.fstat(self._fd).st_size}

    def open(self, path: str, flags: int) -> int:
        return 0

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return os.pread(self._fd, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        if self._failing == "write":
            raise OSError(errno.EIO, "a write fails")
        self._log.append(Entry(time.monotonic(), offset, data))
        return os.pwrite(self._fd, data, offset)

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        if self._failing:
            raise OSError(errno.EIO, "a flush fails")
        self._log.append(Entry(time.monotonic(), 0, None))
        return 0

    def fallocate(self, path: str, mode: int, offset: int, size: int, fh: int) -> int:
        if mode not in (_RESERVE, _KEEP_SIZE):  # what is discarded or set to zeros reads as zeros
            self.write(path, bytes(size), offset, fh)
        return 0


def serve(descriptor: int, path: str, point: str) -> None:
    """Serve the file at `path` as ``point/disk`` until it is unmounted."""
    from mfusepy import FUSE  # it loads libfuse, and all tests load this module

    FUSE(_Served(path, Connection(descriptor)), point, foreground=True, nothreads=True, direct_io=True, big_writes=True)


class LoggedDisk:
    """A filesystem on a disk that notes what comes to it; `before` is an image of how it was made.

    Made in `folder`, which had better be in memory.
    """

    def __init__(self, folder: Path, kind: str, *options: str) -> None:
        self.kind = kind
        self.before = folder / "before"
        self.point = folder / "point"
        self._stack = ExitStack()
        size, maker = MAKERS[kind]
        with self.before.open("wb") as file:
            file.truncate(size)
        run(*maker, self.before)
        run("fallocate", "--dig-holes", self.before)
        image, served = folder / "image", folder / "served"
        copy_sparsely(self.before, image)
        served.mkdir()
        self.point.mkdir()
        with ExitStack() as stack:
            self._pipe = _started(stack, image, served)
            self._loop = stack.enter_context(_looped(served / "disk"))
            stack.enter_context(attached(self._loop, self.point, kind, ",".join(options)))
            self._stack = stack.pop_all()

    def log(self) -> list[Entry]:
        """Return all that came so far."""
        return self._ask("log")

    def fail(self, what: str) -> None:
        """Have each write fail, and with it each flush, or with "flush" just these; with an empty text none."""
        self._ask("fail", what)

    def _ask(self, order: str, what: str = "") -> list[Entry]:
        self._pipe.send((order, what))
        answer: list[Entry] = self._pipe.recv()
        return answer

    def remount(self) -> None:
        """Unmount it and mount it again, as after a new start of the machine."""
        detach(self.point)
        attach(self._loop, self.point, self.kind)

    def close(self) -> None:
        """Unmount it; nobody has files open there."""
        self._stack.close()


def _started(stack: ExitStack, image: Path, served: Path) -> Connection:
    """Have a process serve the image, until the stack is closed."""
    here, there = Pipe()
    stack.callback(here.close)
    code = f"import blocks; blocks.serve({there.fileno()}, {str(image)!r}, {str(served)!r})"
    server = subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        pass_fds=[there.fileno()],
        stderr=subprocess.PIPE,
        text=True,
    )
    there.close()
    stack.callback(server.communicate)
    stack.callback(server.kill)
    try:
        here.recv()
    except EOFError:
        why = (server.communicate()[1].strip() or "nothing was said").splitlines()[-1]
        raise CannotMountError(why) from None
    stack.callback(detach, served)
    return here


class States:
    """The disk as it is after power cuts that follow one another, each mounted anew."""

    def __init__(self, disk: LoggedDisk, log: list[Entry]) -> None:
        folder = disk.before.parent
        self._log = log
        self._kind = disk.kind
        self._done = 0
        self._durable = folder / "durable"
        self._trial = folder / "trial"
        self._point = folder / "found"
        self._point.mkdir()
        copy_sparsely(disk.before, self._durable)
        copy_sparsely(disk.before, self._trial)
        self._stack = ExitStack()
        self._loop = self._stack.enter_context(_looped(self._trial))

    @contextmanager
    def mounted(self, cut: Cut) -> Iterator[Path]:
        """Mount what a cut has left; CannotMountError where the filesystem finds nothing that it can use."""
        _write(self._durable, self._log[self._done : cut.durable])
        self._done = cut.durable
        copy_sparsely(self._durable, self._trial)
        _write(self._trial, cut.kept)
        with attached(self._loop, self._point, self._kind, ""):
            yield self._point

    def close(self) -> None:
        """Give back the loop device."""
        self._stack.close()


def _write(path: Path, entries: Iterable[Entry]) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        for entry in entries:
            if entry.content is not None:
                os.pwrite(fd, entry.content, entry.offset)
    finally:
        os.close(fd)


def copy_sparsely(source: Path, target: Path) -> None:
    """Make `target`, which may be there, equal to `source`; what was never written takes no room."""
    with source.open("rb") as old, target.open("r+b" if target.exists() else "wb") as new:
        size = os.fstat(old.fileno()).st_size
        new.truncate(0)
        new.truncate(size)
        end = 0
        with suppress(OSError):  # no more data follows
            while True:
                begin = os.lseek(old.fileno(), end, os.SEEK_DATA)
                end = os.lseek(old.fileno(), begin, os.SEEK_HOLE)
                os.lseek(new.fileno(), begin, os.SEEK_SET)
                while begin < end:
                    begin += os.sendfile(new.fileno(), old.fileno(), begin, end - begin)


@contextmanager
def _looped(path: Path) -> Iterator[Path]:
    """Give a block device over a file."""
    device = Path(run("losetup", "--find", "--show", path).strip())
    try:
        yield device
    finally:
        run("losetup", "--detach", device)
