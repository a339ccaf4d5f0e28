"""Streams in and out of blob stores: `Draft`, the value that is being written, and copying from file to file."""

from __future__ import annotations

import abc
import contextlib
import errno
import io
import os
import stat
import tempfile
from collections.abc import Iterator
from typing import BinaryIO, Final, Protocol, Self, cast

from diskdict.copying import BY_SYSTEM, copy_rest
from diskdict.files import WRITE_NEW, write_all

PIECE: Final = 1 << 18
"""Bytes that are copied at a time where Python has to."""
_IN_MEMORY: Final = 1 << 20


class Sink(Protocol):
    """What takes bytes."""

    def write(self, piece: bytes | memoryview, /) -> object: ...


class Draft(abc.ABC):
    """A value that is being written. Nobody sees anything of it before `finish`; left without that, nothing is left."""

    @abc.abstractmethod
    def write(self, piece: bytes | bytearray | memoryview) -> None:
        """Add to the end."""

    def take(self, source: BinaryIO) -> None:
        """Add all that a stream gives from where it stands."""
        copy_stream(source, self)

    def adopt(self, path: str, status: os.stat_result) -> bool:  # noqa: ARG002  # for those that change nothing
        """Have the file at a path be the value, as `diskdict.uploads.Upload.adopt` does; False where it cannot."""
        return False

    @abc.abstractmethod
    def finish(self) -> None:
        """Have it be the value."""

    @abc.abstractmethod
    def discard(self) -> None:
        """Leave nothing of it, unless it was finished."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()


class DraftFile(io.RawIOBase):
    """A draft as a file that is open to write: closing it finishes, an exception or forgetting it does not."""

    def __init__(self, draft: Draft) -> None:
        self._draft: Draft | None = draft
        self._written = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._written

    def write(self, piece: bytes | bytearray | memoryview) -> int:  # type: ignore[override]
        if self._draft is None:
            raise ValueError("write to closed file")
        with memoryview(piece) as view, view.cast("B") as octets:
            try:
                self._draft.write(octets)
            except BaseException:
                # A part of it may have been written, and closing is not to make that a value.
                self.discard()
                raise
            self._written += len(octets)
            return len(octets)

    def close(self) -> None:
        draft, self._draft = self._draft, None
        try:
            if draft is not None:
                with draft:
                    draft.finish()
        finally:
            super().close()

    def discard(self) -> None:
        """Close it and leave nothing of it."""
        draft, self._draft = self._draft, None
        if draft is not None:
            draft.discard()
        super().close()

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def __del__(self) -> None:
        self.discard()


class Kept(io.RawIOBase):
    """A stream that can seek, over one that is read but once: what has come is kept, beyond a mebibyte on disk."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._pieces = tempfile.SpooledTemporaryFile(_IN_MEMORY)
        self._came = self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END:
            self._await(None)
        self._at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._came}[whence])
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        self._await(self._at + 1)
        self._pieces.seek(self._at)
        with memoryview(buffer) as view:
            piece = self._pieces.read(len(view))
            view[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def _await(self, end: int | None) -> None:
        while (end is None or self._came < end) and (piece := self._stream.read(PIECE)):
            self._pieces.seek(self._came)
            self._pieces.write(piece)
            self._came += len(piece)

    def close(self) -> None:
        self._stream.close()
        self._pieces.close()
        super().close()


def staying(stream: BinaryIO) -> BinaryIO:
    """Return a stream whose bytes are the same when they are read again, over any that can seek.

    Over a network it is for others what they are.
    """
    raw = stream.raw if isinstance(stream, io.BufferedReader) else stream
    if isinstance(raw, (io.FileIO, io.BytesIO)):
        return stream
    return cast(BinaryIO, io.BufferedReader(Kept(stream), PIECE))


def pieces_of(source: BinaryIO) -> Iterator[bytes | memoryview]:
    """Yield what a stream gives from where it stands.

    TypeError where it gives anything but bytes, BlockingIOError where it has nothing to give yet.
    """
    while True:
        piece: object = source.read(PIECE)
        if piece is None:
            raise BlockingIOError(errno.EAGAIN, "the stream has no more bytes yet; one is needed that waits for them")
        if not isinstance(piece, (bytes, bytearray, memoryview)):
            raise TypeError(f"a stream of bytes is needed, and this one gives {type(piece).__qualname__}")
        if not piece:
            return
        # A stream may go on using a buffer of its own.
        yield bytes(piece) if isinstance(piece, bytearray) else octets(piece)


def octets(data: bytes | bytearray | memoryview) -> bytes | memoryview:
    """Return the bytes of memory of any shape as what has their number as its length."""
    if isinstance(data, bytes):
        return data
    view = memoryview(data)
    return view if view.format == "B" and view.ndim == 1 and view.contiguous else view.tobytes()


def copy_stream(source: BinaryIO, target: Sink) -> None:
    """Copy what a stream gives from where it stands; errors are those of `pieces_of`."""
    for piece in pieces_of(source):
        target.write(piece)


def write_file(path: str, content: BinaryIO) -> None:
    """Have what a stream gives from where it stands be the file at `path`, which is replaced in one step.

    What is no regular file, a pipe or a terminal, is written to as it is.
    """
    there = _there(path)
    if there is not None and stat.S_ISLNK(there.st_mode):
        # The file that it leads to is replaced.
        path = os.path.realpath(path)
        there = _there(path)
    if there is not None and not stat.S_ISREG(there.st_mode):
        with open(path, "wb") as file:
            copy_stream(content, file)
        return
    temporary = os.path.join(os.path.dirname(path), f".{os.urandom(8).hex()}.part")
    try:
        fd = os.open(temporary, WRITE_NEW, 0o666)
        try:
            _fill(fd, content)
        finally:
            os.close(fd)
        if there is not None:
            os.chmod(temporary, stat.S_IMODE(there.st_mode))
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _there(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def _fill(fd: int, content: BinaryIO) -> None:
    """Write what a stream gives to a file: a large one by the system, which may share the blocks."""
    try:
        source = content.fileno()
        large = os.fstat(source).st_size > PIECE
    except (OSError, AttributeError):
        large = False
    if large and BY_SYSTEM:
        copy_rest(source, fd, content.tell())
        return
    for piece in pieces_of(content):
        write_all(fd, piece)
