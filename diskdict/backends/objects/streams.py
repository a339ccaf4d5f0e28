"""A payload that is read as it comes: `Payload`."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

from diskdict.backends.objects.refusals import translating

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class Payload(io.RawIOBase):
    """The first `size` bytes of an answer that comes in pieces; `server` is what errors call where it comes from."""

    def __init__(self, pieces: Iterator[bytes], size: int, server: str) -> None:
        self._pieces = pieces
        self._left = size
        self._server = server
        self._piece = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        while not self._piece and self._left:
            with translating(self._server):
                self._piece = memoryview(next(self._pieces, b""))[: self._left]
            if not self._piece:
                raise EOFError(f"{self._server}: the answer has ended too early")
        into = memoryview(buffer).cast("B")
        taken = min(len(into), len(self._piece))
        into[:taken] = self._piece[:taken]
        self._piece = self._piece[taken:]
        self._left -= taken
        return taken
