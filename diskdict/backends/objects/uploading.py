"""A payload that goes into a bucket piece by piece: `ObjectUpload`."""

from __future__ import annotations

import errno
import io
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, Final

from diskdict.backends.objects.apart import LARGE, Apart, new_place
from diskdict.backends.objects.bucket import PART
from diskdict.backends.objects.puts import Content, Put
from diskdict.backends.objects.refusals import translating
from diskdict.backends.objects.streams import Payload
from diskdict.checksums import crc32
from diskdict.errors import ClosedError, LimitError
from diskdict.store import NEVER, OnlyIf
from diskdict.uploads import Source, Upload

if TYPE_CHECKING:
    from obstore import WritableFile

Place = Callable[[str, Put, OnlyIf, Source | None], int | None]
"""Makes a payload that of a key, as `Upload.finish` says."""

_PIECE: Final = 1 << 20
_MOST_PARTS: Final = 10_000


class ObjectUpload(Upload):
    """A payload on its way into a bucket: the first part in memory, one with more as an object of its own.

    Parameters
    ----------
    apart: Apart
        Where that object is.
    place: callable
        Makes it the payload of a key.
    """

    def __init__(self, apart: Apart, place: Place) -> None:
        self._apart, self._place = apart, place
        self._checksum = 0
        self._pieces: list[bytes] = []
        self._name: str | None = None
        self._writer: WritableFile | None = None

    def write(self, piece: bytes | memoryview) -> None:
        self._check_room(len(piece))
        if self._writer is None and self.length + len(piece) > LARGE:
            self._begin()
        if self._writer is None:
            self._pieces.append(bytes(piece))
        else:
            self._send(self._writer, piece)
        self.length += len(piece)
        self._checksum = crc32(piece, self._checksum)

    def _check_room(self, more: int) -> None:
        if self.length + more > PART * _MOST_PARTS:
            raise LimitError(self._apart.bucket.server, PART * _MOST_PARTS, self.length + more, "bytes")

    def _begin(self) -> None:
        if self._name is not None:
            raise ValueError("nothing is added to a payload that the service has copied")
        self._name = new_place()
        self._writer = self._apart.bucket.writer(self._name)
        pieces, self._pieces = self._pieces, []
        for one in pieces:
            self._send(self._writer, one)

    def _send(self, writer: WritableFile, piece: bytes | memoryview) -> None:
        with memoryview(piece) as view, translating(self._apart.bucket.server):
            # obstore takes a copy of all that it is given.
            for at in range(0, len(view), _PIECE):
                writer.write(view[at : at + _PIECE])

    def take(self, source: BinaryIO) -> None:
        stored = source.raw if isinstance(source, io.BufferedReader) else source
        if not (isinstance(stored, Payload) and self._copy(stored, source.tell())):
            super().take(source)

    def _copy(self, stored: Payload, begin: int) -> bool:
        """Have the service copy all of another payload, if it does."""
        is_all = self.length == begin == 0 and stored.size > LARGE
        if not is_all or stored.bucket is not self._apart.bucket:
            return False
        name = new_place()
        if not stored.bucket.copy(stored.name, name):
            return False
        self._name, self.length, self._checksum = name, stored.size, stored.checksum
        return True

    def finish(
        self,
        key: str,
        *,
        expires: float = NEVER,
        meta: str | None = None,
        created: float | None = None,
        only_if: OnlyIf = None,
        instead_of: Source | None = None,
    ) -> int | None:
        self._complete()
        # From here on it may be the payload of the key; if it is not, it is removed when the store is swept.
        name, self._name = self._name, None
        content = Content(self.length, self._checksum, b"".join(self._pieces) if name is None else None, name)
        try:
            version = self._place(key, Put(content, expires, meta, created=created), only_if, instead_of)
        except (LimitError, OSError) as error:
            if isinstance(error, LimitError) or error.errno == errno.EOPNOTSUPP:
                self._name = name
            raise
        if version is None:
            self._name = name
        self.discard()
        return version

    def _complete(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            with translating(self._apart.bucket.server):
                writer.close()

    def discard(self) -> None:
        name, self._name = self._name, None
        self._pieces = []
        if name is not None:
            # An upload cannot be broken off, only be completed and removed.
            with suppress(OSError, ClosedError):
                self._complete()
            with suppress(OSError, ClosedError):
                self._apart.remove(name)
