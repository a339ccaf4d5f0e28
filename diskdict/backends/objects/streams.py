"""A payload that is read as it comes, and from anywhere: `Payload`."""

from __future__ import annotations

import errno
import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from diskdict.backends.objects.bucket import Bucket
from diskdict.backends.objects.refusals import translating
from diskdict.errors import ConflictError
from diskdict.uploads import Stored

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_CHUNK: Final = 1 << 20


class Payload(Stored):
    """The bytes of an object that is never changed, by one answer as long as they are read in their order.

    Parameters
    ----------
    bucket: Bucket
        Where it is.
    name: str
        Of the object.
    key: str
        Whose payload it is.
    size, checksum: int
        Of the payload.
    left: callable
        Is called when this is closed.

    Notes
    -----
    Reading elsewhere asks anew, from there. So does an answer that ends too early, by a `timeout` that is over, if
    anything of it has come.

    Raises
    ------
    ConflictError
        By reading: somebody has removed the object meanwhile, with what referred to it.
    """

    def __init__(self, bucket: Bucket, name: str, key: str, size: int, checksum: int, left: Callable[[], None]) -> None:
        self.bucket = bucket
        self.name = name
        self.size = size
        self.checksum = checksum
        self._key = key
        self._left = left
        self._at = self._came_to = 0
        self._answer: Iterator[bytes] | None = None
        self._piece = memoryview(b"")

    def begin(self) -> bool:
        """Ask for it from where it is to be read; return whether it is there."""
        self._answer = self._asked()
        return self._answer is not None

    def _asked(self) -> Iterator[bytes] | None:
        found = self.bucket.result(self.name, part=(self._at, self.size))
        self._came_to, self._piece = self._at, memoryview(b"")
        return None if found is None else iter(found.stream(_CHUNK))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        to = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        if to < 0:
            raise OSError(errno.EINVAL, "there is nothing before the beginning")
        self._at = to
        return to

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        if self._at >= self.size:
            return 0
        if self._at != self._came_to:
            self._answer, self._piece = None, memoryview(b"")
        if not self._piece:
            self._piece = memoryview(self._come())
        into = memoryview(buffer).cast("B")
        taken = min(len(into), len(self._piece))
        into[:taken] = self._piece[:taken]
        self._piece = self._piece[taken:]
        self._at = self._came_to = self._at + taken
        return taken

    def _come(self) -> bytes:
        if self._answer is not None:
            try:
                return self._next(self._answer)
            except OSError:
                # The object is still the same: the rest can be had by another answer.
                self._answer = None
        answer = self._answer = self._asked()
        if answer is None:
            raise ConflictError(f"{self._key!r} was replaced or removed while it was read; open it again")
        return self._next(answer)

    def _next(self, answer: Iterator[bytes]) -> bytes:
        with translating(self.bucket.server):
            piece = next(answer, b"")
        if not piece:
            raise ConnectionError(errno.ECONNRESET, "the answer has ended too early", self.bucket.server)
        return piece

    def close(self) -> None:
        if not self.closed:
            self._answer = None
            super().close()
            self._left()
