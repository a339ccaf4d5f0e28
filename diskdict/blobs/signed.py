"""Values that nobody can change or exchange unnoticed who has not the key: `Signed`."""

from __future__ import annotations

import hmac
import io
from typing import BinaryIO, Final, Literal

from diskdict.blobs.face import Blobs
from diskdict.blobs.sealed import Region, Sealed, buffered, length_of
from diskdict.blobs.streams import PIECE, Draft
from diskdict.errors import VerificationError
from diskdict.store import Stat

_PURPOSE: Final = b"diskdict signed 1"
Hash = Literal["sha256", "sha512", "blake2b"]
_SIZES: Final = {"sha256": 32, "sha512": 64, "blake2b": 64}


class Signed(Sealed):
    """A store whose values end with an HMAC (RFC 2104) over their key and content.

    Parameters
    ----------
    store: Blobs
    key: bytes
        The secret, at least 16 bytes: ``secrets.token_bytes(32)``.
    digest: "sha256", "sha512" or "blake2b"
    early: bool
        Hand out what is read before all of it is verified: reading to the end then raises, where it is not right, and
        so does seeking. By default a value is read twice, and nothing is handed out before it is verified.

    Notes
    -----
    VerificationError for a value that was changed, cut off, written with another secret or under another key of the
    store. That a value is gone, or is an older one that was signed under its key, cannot be told. Metadata and expiry
    are not signed.
    """

    def __init__(self, store: Blobs, key: bytes, *, digest: Hash = "sha256", early: bool = False) -> None:
        super().__init__(store)
        if not isinstance(key, bytes) or len(key) < 16:
            raise ValueError("the secret is at least 16 bytes")
        if digest not in _SIZES:
            raise ValueError(f"digest is one of {', '.join(_SIZES)}, not {digest!r}")
        self._secret, self._hash, self._early = key, digest, early

    def unsealed(self, key: str, content: BinaryIO) -> BinaryIO:
        end = length_of(content) - _SIZES[self._hash]
        if end < 0:
            raise _wrong(key)
        if self._early:
            return buffered(_Early(content, key, self._mac(key), end))
        mac, left = self._mac(key), end
        while left and (piece := content.read(min(left, PIECE))):
            mac.update(piece)
            left -= len(piece)
        if left or not hmac.compare_digest(mac.digest(), content.read()):
            raise _wrong(key)
        return buffered(Region(content, 0, end))

    def sealing(self, key: str, draft: Draft) -> Draft:
        return _SignedDraft(draft, self._mac(key))

    def size_of(self, stat: Stat) -> int:
        return max(0, stat.size - _SIZES[self._hash])

    def _mac(self, key: str) -> hmac.HMAC:
        name = key.encode("utf-8", "surrogatepass")
        return hmac.new(self._secret, _PURPOSE + len(name).to_bytes(8) + name, self._hash)


class _SignedDraft(Draft):
    def __init__(self, draft: Draft, mac: hmac.HMAC) -> None:
        self._draft, self._mac = draft, mac

    def write(self, piece: bytes | bytearray | memoryview) -> None:
        self._mac.update(piece)
        self._draft.write(piece)

    def finish(self) -> None:
        self._draft.write(self._mac.digest())
        self._draft.finish()

    def discard(self) -> None:
        self._draft.discard()


class _Early(io.RawIOBase):
    """A value that is handed out while it is being verified; who seeks in it waits until all of it is."""

    def __init__(self, content: BinaryIO, key: str, mac: hmac.HMAC, end: int) -> None:
        self._content, self._key, self._mac, self._end = content, key, mac, end
        self._at = 0
        self._verified = False

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._end}[whence]
        while not self._verified:
            self._next(PIECE)
        self._at = self._content.seek(max(0, base + offset))
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        with memoryview(buffer) as view:
            piece = self._next(len(view))
            view[: len(piece)] = piece
            return len(piece)

    def _next(self, most: int) -> bytes:
        piece = self._content.read(max(0, min(most, self._end - self._at)))
        self._at += len(piece)
        if not self._verified:
            self._mac.update(piece)
            if not piece and most:
                self._verify()
        return piece

    def _verify(self) -> None:
        if self._at < self._end or not hmac.compare_digest(self._mac.digest(), self._content.read()):
            raise _wrong(self._key)
        self._verified = True

    def close(self) -> None:
        self._content.close()
        super().close()


def _wrong(key: str) -> VerificationError:
    return VerificationError(f"the signature of {key!r} does not fit its content and its key")
