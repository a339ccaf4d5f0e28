"""Values on their way into the store at the bottom: `StoreDraft`."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable
from typing import BinaryIO

from diskdict import keys as texts
from diskdict.blobs.layers import Terms, TtlSecs
from diskdict.blobs.streams import PIECE, Draft
from diskdict.errors import ConflictError, LimitError
from diskdict.limits import Limits
from diskdict.store import NEVER, Store
from diskdict.uploads import Source, Stored, Upload, upload_to

Expires = Callable[[TtlSecs], float]


class StoreDraft(Draft):
    """A value on its way into the store at the bottom: a small one in memory, a larger one as an upload.

    Parameters
    ----------
    store: Store
    text: str
        The text of the key.
    terms: Terms
        What it is stored with.
    limits: Limits
        What the store refuses.
    expires: callable
        Gives the time when something expires that is stored now.
    """

    def __init__(self, store: Store, text: str, terms: Terms, limits: Limits, expires: Expires) -> None:
        self._store, self._text, self._terms = store, text, terms
        self._limits, self._expires = limits, expires
        self._pieces: list[bytes] = []
        self._size = 0
        self._upload: Upload | None = None

    def write(self, piece: bytes | bytearray | memoryview) -> None:
        self._size += len(piece)
        if self._upload is None and self._size <= PIECE:
            self._pieces.append(bytes(piece))
        else:
            self._begun().write(memoryview(piece))
            self._check_size()

    def take(self, source: BinaryIO) -> None:
        size = _size_of(source)
        if size is None:
            super().take(source)
        elif size <= PIECE:
            # Whatever it says of its size, as files of the system do: at once what there is, and no more.
            self.write(source.read())
        else:
            upload = self._begun()
            before = upload.length
            upload.take(source)
            self._size += upload.length - before
            self._check_size()

    def adopt(self, path: str, status: os.stat_result) -> bool:
        if not self._begun().adopt(path, status):
            return False
        self._size = self._begun().length
        return True

    def _begun(self) -> Upload:
        if self._upload is None:
            self._upload = upload_to(self._store)
            for piece in self._pieces:
                self._upload.write(piece)
            self._pieces = []
        return self._upload

    def _check_size(self) -> None:
        allowed = self._limits.value_bytes
        if allowed is not None and self._size > allowed:
            raise LimitError("value_bytes", allowed, self._size, "bytes")

    def finish(self) -> None:
        self._check_size()
        ttl, meta, like, instead_of, moved = self._terms
        if moved:
            self._begun().lasting = True
        expires = self._expires(ttl) if like is None or ttl is not None else NEVER
        if like is not None:
            expires, meta = min(expires, like.expires), like.meta
        if instead_of is not None and like is not None:
            source = Source(texts.encode(instead_of), like.version)
            if self._begun().finish(self._text, expires=expires, meta=meta, instead_of=source) is None:
                raise ConflictError(f"{instead_of!r} was changed or removed meanwhile")
        elif self._upload is not None:
            self._upload.finish(self._text, expires=expires, meta=meta)
        else:
            self._store.put(self._text, b"".join(self._pieces), expires=expires, meta=meta)

    def discard(self) -> None:
        if self._upload is not None:
            self._upload.discard()
        self._pieces = []


def _size_of(stream: BinaryIO) -> int | None:
    """Return the size of what the system, or the store, may copy: a file or a payload; None for other streams."""
    # A kind of their own may give other bytes than the descriptor does.
    raw = stream.raw if type(stream) is io.BufferedReader else stream
    if isinstance(raw, Stored):
        return raw.size
    if type(raw) is not io.FileIO:
        return None
    status = os.fstat(raw.fileno())
    return status.st_size if stat.S_ISREG(status.st_mode) else None
