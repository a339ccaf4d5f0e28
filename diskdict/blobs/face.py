"""The face of all blob stores: `Blobs`."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Iterator, Mapping
from typing import BinaryIO, Final, Self, cast

from diskdict.blobs.layers import Layer, Path, Terms, TtlSecs
from diskdict.blobs.streams import DraftFile, Sink, copy_stream, octets, write_file
from diskdict.errors import ConflictError, InvalidValueError, KeyNotFoundError
from diskdict.info import Info, describe, pack
from diskdict.store import Stat

_IN_MEMORY: Final = 1 << 20


class Blobs(Layer):
    """Values of bytes under keys of str, as streams that nobody needs to have in memory.

    Notes
    -----
    Threads may share one. Each change is atomic for its key: who reads has the old value whole or the new one, and goes
    on reading the one he has begun. What holds for processes and crashes is what the store at the bottom says.
    """

    ttl_support: Final = True
    """Values may have a time-to-live."""

    def put(
        self,
        key: str | None,
        data: bytes | bytearray | memoryview,
        ttl_secs: TtlSecs = None,
        *,
        metadata: Mapping[str, object] | None = None,
    ) -> str:
        """Store bytes under a key, or under one that is made where `key` is None; return the key.

        `ttl_secs` is seconds (int, float, timedelta), FOREVER, NOT_SET, or None for ``default_ttl_secs``. Anything but
        bytes, and a key that cannot be, is a TypeError or a ValueError, and nothing is written.
        """
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise InvalidValueError(f"a value is bytes, not {type(data).__qualname__}; encode text first")
        data = octets(data)
        if key is None:
            return self._put_made(io.BytesIO(data), ttl_secs, metadata)
        terms = Terms(ttl_secs, _packed(metadata))
        with self.writing(self.check(key), terms) as draft:
            draft.write(data)
            draft.finish()
        return key

    def put_file(
        self,
        key: str | None,
        source: Path | BinaryIO,
        ttl_secs: TtlSecs = None,
        *,
        move: bool = False,
        metadata: Mapping[str, object] | None = None,
    ) -> str:
        """Store what a file holds, or what a binary stream gives from where it stands; return the key.

        A file is copied and left as it is; with `move` it is renamed into a folder on the same filesystem, or removed
        when it was copied and is on disk there; of a link the file is copied and the link removed. A file of the store
        itself is a ValueError then. Without a key the content is read twice, or once and kept in a temporary file.
        """
        if key is not None:
            self.check(key)
        if hasattr(source, "read"):
            if move:
                raise ValueError("move=True moves a file by its path; this is a stream")
            return self._put_stream(key, cast(BinaryIO, source), ttl_secs, metadata)
        path = os.fsdecode(source)
        with open(path, "rb", buffering=0) as content:
            if not move:
                return self._put_stream(key, content, ttl_secs, metadata)
            status = os.fstat(content.fileno())
            if key is None:
                key = self._put_stream(None, content, ttl_secs, metadata, moved=True)
            else:
                with self.writing(key, Terms(ttl_secs, _packed(metadata), moved=True)) as draft:
                    if not draft.adopt(path, status):
                        draft.take(content)
                    draft.finish()
        with contextlib.suppress(FileNotFoundError):
            # What others have put there meanwhile was not stored.
            if os.path.samestat(os.stat(path), status):
                os.unlink(path)
        return key

    def _put_stream(
        self,
        key: str | None,
        content: BinaryIO,
        ttl: TtlSecs,
        metadata: Mapping[str, object] | None,
        *,
        moved: bool = False,
    ) -> str:
        if key is not None:
            with self.writing(key, Terms(ttl, _packed(metadata), moved=moved)) as draft:
                draft.take(content)
                draft.finish()
            return key
        if _can_be_read_twice(content):
            return self._put_made(content, ttl, metadata, moved=moved)
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as kept:
            copy_stream(content, cast(Sink, kept))
            kept.seek(0)
            return self._put_made(cast(BinaryIO, kept), ttl, metadata, moved=moved)

    def _put_made(
        self, content: BinaryIO, ttl: TtlSecs, metadata: Mapping[str, object] | None, *, moved: bool = False
    ) -> str:
        begin = content.tell()
        key = self.check(self.make_id(content))
        # The key says what the value is.
        if metadata is None and self.prolong(key, ttl):
            return key
        content.seek(begin)
        return self._put_stream(key, content, ttl, metadata, moved=moved)

    def get(self, key: str) -> bytes:
        """Return a value. KeyError where there is none."""
        while True:
            try:
                with self.opened(key) as content:
                    return content.read()
            except ConflictError:
                # Others have replaced it, and it is read as it is now.
                continue

    def get_file(self, key: str, target: Path | BinaryIO) -> str:
        """Write a value to a file, whole or not at all, or to a binary stream; return the key.

        KeyError where there is none, and then the target is not touched.
        """
        if hasattr(target, "write"):
            with self.opened(key) as content:
                copy_stream(content, cast(Sink, target))
            return key
        path = os.fsdecode(target)
        while True:
            try:
                with self.opened(key) as content:
                    write_file(path, content)
                return key
            except ConflictError:
                # What a pipe was given it has.
                if os.path.exists(path) and not os.path.isfile(path):
                    raise

    def open(self, key: str, mode: str = "rb", ttl_secs: TtlSecs = None) -> BinaryIO:
        """Open a value as a binary stream, to read with ``"rb"`` or to write with ``"wb"``.

        What is read is the value as it is now, whatever comes after. What is written is there, whole, once the stream
        is closed, and not at all when its ``with`` block ends by an exception, or it is never closed. KeyError where
        there is none to read, ValueError for another mode.
        """
        if mode == "rb":
            return self.opened(key)
        if mode == "wb":
            return cast(BinaryIO, DraftFile(self.writing(self.check(key), Terms(ttl_secs))))
        raise ValueError(f'a value is opened with "rb" or "wb", not {mode!r}')

    def delete(self, key: str) -> bool:
        """Remove a key; return whether it was there."""
        return self.remove(self.check(key))

    def __contains__(self, key: object) -> bool:
        return self.stat(self.check(key)) is not None

    def __iter__(self) -> Iterator[str]:
        return self.names("")

    def iter_keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that begin with `prefix`, in the order of insertion."""
        return self.names(prefix)

    def keys(self, prefix: str = "") -> list[str]:
        """Return the keys that begin with `prefix`, in the order of insertion."""
        return list(self.names(prefix))

    def iter_prefixes(self, delimiter: str, prefix: str = "") -> Iterator[str]:
        """Yield once each what the keys that begin with `prefix` have up to the next `delimiter`, or all of them."""
        if not delimiter:
            raise ValueError("a delimiter is not empty")
        told = set()
        for key in self.names(prefix):
            at = key.find(delimiter, len(prefix))
            found = key if at < 0 else key[: at + len(delimiter)]
            if found not in told:
                told.add(found)
                yield found

    def copy(self, source: str, target: str) -> str:
        """Copy a value to a key, whatever is there; return that. KeyError, if there is none.

        Time-to-live and metadata come with it. To its own key it is copied by doing nothing.
        """
        self.known(source)
        while self.check(target) != source:
            found = self.whole(source)
            if found is None:
                raise KeyNotFoundError(source)
            stat, content = found
            # Others may replace it, and then it is copied as it is then.
            with contextlib.suppress(ConflictError), content, self.writing(target, Terms(like=stat)) as draft:
                draft.take(content)
                draft.finish()
                break
        return target

    def move(self, source: str, target: str) -> str:
        """Give a value another key, whatever is there, in one step; return that. KeyError, if there is none.

        Time-to-live and metadata go with it. To its own key it goes by doing nothing.
        """
        self.known(source)
        if self.check(target) != source and not self.moving(source, target):
            raise KeyNotFoundError(source)
        return target

    def size(self, key: str) -> int:
        """Return the number of bytes of a value. KeyError where there is none."""
        return self.known(key).size

    def info(self, key: str) -> Info:
        """Return what is known of a value: times, size, metadata. KeyError where there is none."""
        return describe(self.known(key))

    def known(self, key: str) -> Stat:
        """Return what is known of a value. KeyError where there is none."""
        stat = self.stat(self.check(key))
        if stat is None:
            raise KeyNotFoundError(key)
        return stat

    def opened(self, key: str) -> BinaryIO:
        """Return a stream over a value. KeyError where there is none."""
        stream = self.reading(self.check(key))
        if stream is None:
            raise KeyNotFoundError(key)
        return stream

    def url_for(self, key: str) -> str:
        """Return a URL of a value: where its file is, or what the store was told of URLs; it need not be there.

        In a bucket it has to be there, and the URL is signed: anybody can read it for an hour, or until it is replaced.
        Behind a wrapper that changes values it is the URL of what that has stored.
        """
        return self.location(self.check(key))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _packed(metadata: Mapping[str, object] | None) -> str | None:
    return None if metadata is None else pack(metadata) or None


def _can_be_read_twice(stream: object) -> bool:
    return hasattr(stream, "seekable") and stream.seekable()
