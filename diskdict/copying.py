"""Copying from file to file."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from _thread import start_new_thread
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from diskdict.checksums import crc32
from diskdict.files import write_all

if TYPE_CHECKING:
    from queue import SimpleQueue

BY_SYSTEM: Final = hasattr(os, "copy_file_range")
"""Whether the system copies from file to file by itself."""

_AT_ONCE: Final = 1 << 30
_PIECE: Final = 1 << 18
_WARM: Final = 1 << 17
"""Bytes that are still in the processor's cache when their checksum is taken after they were copied."""
_LARGE: Final = 1 << 24
_LARGE_STEP: Final = 1 << 22


def copy_rest(source: int, target: int, at: int) -> None:
    """Copy what a file has from `at` on to where another stands: by the system where it can, which may share blocks."""
    for _ in _steps(source, target, at, _AT_ONCE):
        pass


def _steps(source: int, target: int, at: int, step: int) -> Iterator[int]:
    """Copy as `copy_rest` does, and tell after some bytes how far the other file reaches."""
    to = os.lseek(target, 0, os.SEEK_CUR)
    if BY_SYSTEM:
        # What it does not do for these two, or says is nothing for files of the system, is copied below.
        with contextlib.suppress(OSError):
            while some := os.copy_file_range(source, target, step, at, to):
                at, to = at + some, to + some
                yield to
    os.lseek(target, to, os.SEEK_SET)
    while piece := os.pread(source, _PIECE, at):
        write_all(target, piece)
        at, to = at + len(piece), to + len(piece)
        yield to


class Summed:
    """The CRC-32 of a file, up to where it was read so far.

    Parameters
    ----------
    fd: int
        The file, which is read by offsets.
    """

    def __init__(self, fd: int, length: int = 0, checksum: int = 0) -> None:
        self._fd = fd
        self.length, self.checksum = length, checksum
        self._piece = memoryview(bytearray(_WARM))

    def reach(self, end: int) -> None:
        """Read on up to an offset, or to the end of the file if that comes first."""
        while self.length < end:
            some = os.preadv(self._fd, [self._piece[: end - self.length]], self.length)
            if not some:
                return
            self.checksum = crc32(self._piece[:some], self.checksum)
            self.length += some


def copy_summed(source: int, target: int, at: int, summed: Summed) -> None:
    """Copy as `copy_rest` does, and have `summed` follow to the end: for a large file in a thread of its own."""
    if os.fstat(source).st_size - at < _LARGE:
        for end in _steps(source, target, at, _WARM):
            summed.reach(end)
        return
    from queue import SimpleQueue  # loads what only large files need

    ends: SimpleQueue[int] = SimpleQueue()
    over, follows = threading.Lock(), False
    over.acquire()
    try:
        # The system may have no more threads, or the interpreter be about to end.
        with contextlib.suppress(RuntimeError):
            # `Thread.start` that is interrupted leaves a thread that hangs.
            start_new_thread(_follow, (summed, ends, over))
            follows = True
        for end in _steps(source, target, at, _LARGE_STEP):
            ends.put(end)
    finally:
        ends.put(0)
        if follows:
            over.acquire()
    # Where it could not follow, this tells why or does it.
    summed.reach(sys.maxsize)


def _follow(summed: Summed, ends: SimpleQueue[int], over: threading.Lock) -> None:
    try:
        with contextlib.suppress(Exception):
            while end := ends.get():
                summed.reach(end)
    finally:
        over.release()
