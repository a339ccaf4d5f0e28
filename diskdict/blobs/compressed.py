"""Values that take less space: `Compressed`."""

from __future__ import annotations

import contextlib
import gzip
import zlib
from collections.abc import Callable
from typing import BinaryIO, Final, Literal, Protocol, cast

from diskdict.blobs.face import Blobs
from diskdict.blobs.sealed import Reader, Region, Sealed, buffered, length_of
from diskdict.blobs.streams import Draft
from diskdict.blobs.wrappers import Wrapper
from diskdict.errors import ConflictError, CorruptValueError
from diskdict.store import Stat

try:
    from zstandard import ZstdCompressor, ZstdDecompressor, ZstdError
except ImportError:
    ZstdError = zlib.error  # type: ignore[assignment, misc]
    _HAS_ZSTD = False
else:
    _HAS_ZSTD = True

Method = Literal["gzip", "zstd"]
_MARKS: Final = {"gzip": b"\1", "zstd": b"\2"}
_LENGTH: Final = 8
_WINDOW: Final = 8 << 20  # bytes in memory at most to expand zstd, four times what is ever asked for here
_GZIP: Final = 31  # a window of 32 KiB, with the head and the checksum of gzip


class _Compressor(Protocol):
    def compress(self, data: bytes | bytearray | memoryview, /) -> bytes: ...
    def flush(self) -> bytes: ...


class Compressed(Sealed):
    """A store whose values are compressed, each as it says itself.

    Parameters
    ----------
    store: Blobs
    method: "zstd" or "gzip", optional
        How values are written: by zstd where the extra ``zstd`` is installed, else by gzip. What was written by either
        is read.

    Notes
    -----
    A value is one byte for the method, a file of gzip or zstd, and the length of it all in 8 bytes. Reading backwards
    begins anew. CorruptValueError for what is no such value.
    """

    def __init__(self, store: Blobs, method: Method | None = None) -> None:
        super().__init__(store)
        self._method: Method = method or ("zstd" if _HAS_ZSTD else "gzip")
        if self._method not in _MARKS:
            raise ValueError(f"method is one of {', '.join(_MARKS)}, not {method!r}")
        _needs_zstd(self._method)

    def unsealed(self, key: str, content: BinaryIO) -> BinaryIO:
        mark, length, size = _read_ends(content)
        if mark not in _MARKS.values():
            raise CorruptValueError(key, "", "it was not compressed here")
        if mark == _MARKS["zstd"]:
            _needs_zstd("zstd")

        def begin() -> BinaryIO:
            region = buffered(Region(content, 1, size - _LENGTH, closes=False))
            if mark == _MARKS["gzip"]:
                return cast(BinaryIO, gzip.GzipFile(fileobj=region, mode="rb"))
            expanding = ZstdDecompressor(max_window_size=_WINDOW).stream_reader(region, closefd=False)
            return cast(BinaryIO, expanding)

        return buffered(_Expanding(content, key, begin, length))

    def sealing(self, key: str, draft: Draft) -> Draft:  # noqa: ARG002
        draft.write(_MARKS[self._method])
        if self._method == "gzip":
            return _CompressedDraft(draft, zlib.compressobj(wbits=_GZIP))
        return _CompressedDraft(draft, cast(_Compressor, ZstdCompressor(write_checksum=True).compressobj()))

    def stat(self, key: str) -> Stat | None:
        while (found := Wrapper.stat(self, key)) is not None and (content := Wrapper.reading(self, key)) is not None:
            # Others may replace it, and then it is as long as it is then.
            with contextlib.suppress(ConflictError), content:
                return found._replace(size=_read_ends(content)[1])
        return None

    def size_of(self, stat: Stat) -> int:
        return stat.size


def _needs_zstd(method: str) -> None:
    if method == "zstd" and not _HAS_ZSTD:
        raise ImportError("zstd needs the extra: pip install 'diskdict-store[zstd]'")


def _read_ends(content: BinaryIO) -> tuple[bytes, int, int]:
    """Return the method's mark, the length of the value, and that of all there is."""
    size = length_of(content)
    mark = content.read(1) if size > _LENGTH else b""
    content.seek(max(0, size - _LENGTH))
    return mark, int.from_bytes(content.read(_LENGTH)), size


class _CompressedDraft(Draft):
    def __init__(self, draft: Draft, compressor: _Compressor) -> None:
        self._draft, self._compressor = draft, compressor
        self._length = 0

    def write(self, piece: bytes | bytearray | memoryview) -> None:
        self._length += len(piece)
        self._draft.write(self._compressor.compress(piece))

    def finish(self) -> None:
        self._draft.write(self._compressor.flush())
        self._draft.write(self._length.to_bytes(_LENGTH))
        self._draft.finish()

    def discard(self) -> None:
        self._draft.discard()


class _Expanding(Reader):
    """A value, expanded as it is read; `begin` gives a stream that expands it anew."""

    def __init__(self, content: BinaryIO, key: str, begin: Callable[[], BinaryIO], size: int) -> None:
        super().__init__(content, size)
        self._key, self._begin = key, begin
        self._expanded, self._done = begin(), 0

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        if self._at < self._done:
            self._expanded, self._done = self._begin(), 0
        with memoryview(buffer) as view:
            while self._done < self._at and self._next(min(len(view), self._at - self._done)):
                pass
            piece = self._next(len(view)) if self._done == self._at else b""
            view[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def _next(self, most: int) -> bytes:
        try:
            piece = self._expanded.read(most)
        except (gzip.BadGzipFile, EOFError, zlib.error, ZstdError) as error:
            raise CorruptValueError(self._key, "", f"it cannot be expanded: {error}") from None
        self._done += len(piece)
        if self._done > self._size or (not piece and self._done < min(self._size, self._at + most)):
            raise CorruptValueError(self._key, "", "it is not as long as it was")
        return piece
