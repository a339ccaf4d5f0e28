"""What wrappers share that change content: `Sealed`, and the streams they read by: `Reader` and `Region`."""

from __future__ import annotations

import abc
import contextlib
import errno
import io
import os
from typing import BinaryIO, cast

from diskdict.blobs.layers import Terms
from diskdict.blobs.streams import Draft
from diskdict.blobs.wrappers import Wrapper
from diskdict.errors import ConflictError
from diskdict.store import Stat


class Sealed(Wrapper):
    """A wrapper whose values are other bytes in the wrapped store, made for their key: who moves one makes it anew."""

    @abc.abstractmethod
    def unsealed(self, key: str, content: BinaryIO) -> BinaryIO:
        """Return a stream over the value of what the wrapped store has. It closes `content` when it is closed."""

    @abc.abstractmethod
    def sealing(self, key: str, draft: Draft) -> Draft:
        """Return a draft that writes to one of the wrapped store."""

    @abc.abstractmethod
    def size_of(self, stat: Stat) -> int:
        """Return the size of a value by what the wrapped store knows of it."""

    def reading(self, key: str) -> BinaryIO | None:
        while (content := super().reading(key)) is not None:
            try:
                return self.unsealed(key, content)
            except ConflictError:
                # Others have replaced it, and it is read as it is now.
                content.close()
            except BaseException:
                content.close()
                raise
        return None

    def writing(self, key: str, terms: Terms) -> Draft:
        return self.sealing(key, super().writing(key, terms))

    def stat(self, key: str) -> Stat | None:
        found = super().stat(key)
        return None if found is None else found._replace(size=self.size_of(found))

    def moving(self, source: str, target: str) -> bool:
        while (found := self.whole(source)) is not None:
            stat, content = found
            with (
                contextlib.suppress(ConflictError),
                content,
                self.writing(target, Terms(like=stat, instead_of=source)) as draft,
            ):
                draft.take(content)
                draft.finish()
                return True
        return False


class Reader(io.RawIOBase):
    """A value of `size` bytes as a stream over `content`, which it closes; `readinto` goes on from where it stands."""

    def __init__(self, content: BinaryIO, size: int) -> None:
        self._content, self._size = content, size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = sought(offset, whence, self._at, self._size)
        return self._at

    def close(self) -> None:
        self._content.close()
        super().close()


class Region(io.RawIOBase):
    """The bytes of a stream from `begin` to `end`, as a stream that closes it unless `closes` is false."""

    def __init__(self, stream: BinaryIO, begin: int, end: int, *, closes: bool = True) -> None:
        self._stream, self._begin, self._end, self._closes = stream, begin, end, closes
        stream.seek(begin)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        at = sought(offset, whence, self.tell(), self._end - self._begin)
        return self._stream.seek(self._begin + at) - self._begin

    def tell(self) -> int:
        return self._stream.tell() - self._begin

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        with memoryview(buffer) as view:
            piece = self._stream.read(max(0, min(len(view), self._end - self._stream.tell())))
            view[: len(piece)] = piece
            return len(piece)

    def close(self) -> None:
        if self._closes:
            self._stream.close()
        super().close()


def sought(offset: int, whence: int, at: int, end: int) -> int:
    """Return where `seek` is to go in a stream that stands at `at` and ends at `end`; OSError as a file has it."""
    found = {io.SEEK_SET: 0, io.SEEK_CUR: at, io.SEEK_END: end}.get(whence, -1) + offset
    if found < 0 or whence > io.SEEK_END:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    return found


def buffered(raw: io.RawIOBase) -> BinaryIO:
    """Return a stream with a buffer over a raw one."""
    return cast(BinaryIO, io.BufferedReader(raw, 1 << 16))


def length_of(stream: BinaryIO) -> int:
    """Return the length of a stream, and leave it at its beginning."""
    length = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    return length
