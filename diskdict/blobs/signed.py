"""Values that nobody can change or exchange unnoticed who has not the key: `Signed`."""

from __future__ import annotations

import hmac
import io
from typing import BinaryIO, Final, Literal

from diskdict.blobs.face import Blobs
from diskdict.blobs.sealed import Region, Sealed, buffered, length_of
from diskdict.blobs.streams import PIECE, Draft, staying
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
        Hand out what is read before all of it is verified: reading to the end then raises, where it is not right. Who
        seeks has all of it verified first. By default a value is read twice, and nothing is handed out before it is
        verified.

    Notes
    -----
    VerificationError for a value that was changed, cut off, written with another secret or under another key of the
    store. That a value is gone, or is an older one that was signed under its key, cannot be told. Metadata and expiry
    are not signed. What comes neither from a file nor from memory is kept in a temporary file, so that what was
    verified is what is handed out.
    """

    def __init__(self, store: Blobs, key: bytes, *, digest: Hash = "sha256", early: bool = False) -> None:
        super().__init__(store)
        if not isinstance(key, bytes) or len(key) < 16:
            raise ValueError("the secret is at least 16 bytes")
        if digest not in _SIZES:
            raise ValueError(f"digest is one of {', '.join(_SIZES)}, not {digest!r}")
        self._secret, self._hash, self._early = key, digest, early

    def unsealed(self, key: str, content: BinaryIO) -> BinaryIO:
        # What was verified, and not what is there by then, is to be handed out.
        content = staying(content)
        end = length_of(content) - _SIZES[self._hash]
        if end < 0:
            raise _wrong(key)
        stream = _Verifying(content, key, self._mac(key), end)
        if not self._early:
            stream.verify()
        return buffered(stream)

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


class _Verifying(Region):
    """A value that is verified while it is read from its beginning, or before anything else is read."""

    def __init__(self, content: BinaryIO, key: str, mac: hmac.HMAC, end: int) -> None:
        super().__init__(content, 0, end)
        self._key, self._mac = key, mac
        self._verified = False

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        number = super().readinto(buffer)
        if not self._verified:
            with memoryview(buffer) as view:
                self._mac.update(view[:number])
            if not number:
                self._compare()
        return number

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.verify()
        return super().seek(offset, whence)

    def verify(self) -> None:
        """Read what was not read yet, and raise VerificationError where the whole is not what was signed."""
        if self._verified:
            return
        at, piece = self.tell(), bytearray(PIECE)
        while self.readinto(piece):
            pass
        super().seek(at)

    def _compare(self) -> None:
        if self.tell() != self._end or not hmac.compare_digest(self._mac.digest(), self._stream.read()):
            raise _wrong(self._key)
        self._stream.seek(self._end)
        self._verified = True


def _wrong(key: str) -> VerificationError:
    return VerificationError(f"the signature of {key!r} does not fit its content and its key")
