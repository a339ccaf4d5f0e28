"""Values that nobody can read or change who has not the key: `Encrypted`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import BinaryIO, Final

from diskdict.blobs.face import Blobs
from diskdict.blobs.sealed import Reader, Sealed, buffered, length_of
from diskdict.blobs.streams import Draft
from diskdict.errors import VerificationError
from diskdict.store import Stat

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF
except ImportError as exc:
    raise ImportError("encryption needs the extra: pip install 'diskdict-store[encryption]'") from exc

_MAGIC: Final = b"dde1"
_ID: Final = 32
_SALT: Final = 16
_HEAD: Final = len(_MAGIC) + _ID + _SALT
_CHUNK: Final = 1 << 16
_TAG: Final = 16
_SEALED: Final = _CHUNK + _TAG
_PURPOSE: Final = b"diskdict encrypted 1"


class Encrypted(Sealed):
    """A store whose values are encrypted by AES-256-GCM, in pieces, each for its place in the value of its key.

    Parameters
    ----------
    store: Blobs
    key: bytes, or mapping of str to bytes
        32 secret bytes, ``secrets.token_bytes(32)``; or several by name, of which the last one writes, and each reads
        what it has written: so a new one is added at the end and an old one is kept as long as it is needed.

    Notes
    -----
    VerificationError for a value that was changed, cut off, written with another secret or under another key of the
    store, before any of what is not right is handed out; also where the secret's name is unknown. That a value is gone,
    or is an older one of its key, cannot be told. Keys, sizes, times and metadata are not secret.

    The format: ``dde1``, the secret's name in 32 bytes, 16 bytes of chance; then pieces of 64 KiB, each followed by its
    tag. Secret and chance give the value's own key (HKDF, RFC 5869); the nonce of a piece is its number and whether it
    is the last (STREAM, Hoang et al. 2015); key and head are authenticated with each.

    Examples
    --------
    >>> import secrets
    >>> from diskdict import BlobStore
    >>> store, old, new = BlobStore("memory:"), secrets.token_bytes(32), secrets.token_bytes(32)
    >>> Encrypted(store, {"2024": old}).put("letter", b"Dear Charles")
    'letter'
    >>> Encrypted(store, {"2024": old, "2025": new}).get("letter")
    b'Dear Charles'
    """

    def __init__(self, store: Blobs, key: bytes | Mapping[str, bytes]) -> None:
        super().__init__(store)
        self._secrets = {"": key} if isinstance(key, bytes) else dict(key)
        if not self._secrets:
            raise ValueError("at least one secret is needed")
        for name, secret in self._secrets.items():
            if not isinstance(secret, bytes) or len(secret) != 32:
                raise ValueError(f"a secret is 32 bytes; the one named {name!r} is not")
            if not name.isascii() or len(name) > _ID or "\0" in name:
                raise ValueError(f"the name of a secret is at most {_ID} characters of ASCII, not {name!r}")

    def unsealed(self, key: str, content: BinaryIO) -> BinaryIO:
        size = length_of(content)
        head = content.read(_HEAD)
        named = head[len(_MAGIC) : -_SALT].rstrip(b"\0").decode("ascii", "replace")
        if not head.startswith(_MAGIC) or named not in self._secrets or size < _HEAD + _TAG:
            raise VerificationError(f"{key!r} was not encrypted with a secret that is known here")
        return buffered(_Decrypting(content, key, self._piece(key, head, named), size - _HEAD))

    def sealing(self, key: str, draft: Draft) -> Draft:
        name = next(reversed(self._secrets))
        head = _MAGIC + name.encode().ljust(_ID, b"\0") + os.urandom(_SALT)
        draft.write(head)
        return _EncryptedDraft(draft, self._piece(key, head, name))

    def size_of(self, stat: Stat) -> int:
        body = max(0, stat.size - _HEAD)
        return max(0, body - _TAG * max(1, -(-body // _SEALED)))

    def _piece(self, key: str, head: bytes, name: str) -> _Pieces:
        derived = HKDF(SHA256(), 32, head[-_SALT:], _PURPOSE).derive(self._secrets[name])
        return _Pieces(AESGCM(derived), head + key.encode("utf-8", "surrogatepass"))


class _Pieces:
    """Encrypts and decrypts the pieces of a value."""

    def __init__(self, cipher: AESGCM, bound: bytes) -> None:
        self._cipher, self._bound = cipher, bound

    def encrypt(self, number: int, piece: bytes, *, last: bool) -> bytes:
        return self._cipher.encrypt(_nonce(number, last), piece, self._bound)

    def decrypt(self, number: int, piece: bytes, *, last: bool) -> bytes:
        return self._cipher.decrypt(_nonce(number, last), piece, self._bound)


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11) + (b"\1" if last else b"\0")


class _EncryptedDraft(Draft):
    def __init__(self, draft: Draft, pieces: _Pieces) -> None:
        self._draft, self._pieces = draft, pieces
        self._waiting = bytearray()
        self._number = 0

    def write(self, piece: bytes | bytearray | memoryview) -> None:
        self._waiting += piece
        # One stays, since only the end tells which is the last.
        while len(self._waiting) > _CHUNK:
            self._seal(bytes(self._waiting[:_CHUNK]), last=False)
            del self._waiting[:_CHUNK]

    def _seal(self, piece: bytes, *, last: bool) -> None:
        self._draft.write(self._pieces.encrypt(self._number, piece, last=last))
        self._number += 1

    def finish(self) -> None:
        self._seal(bytes(self._waiting), last=True)
        self._draft.finish()

    def discard(self) -> None:
        self._draft.discard()


class _Decrypting(Reader):
    """A value, decrypted and verified piece by piece; the last piece first, so that none is missing."""

    def __init__(self, content: BinaryIO, key: str, pieces: _Pieces, body: int) -> None:
        super().__init__(content, 0)
        self._key, self._pieces, self._body = key, pieces, body
        self._last = -(-body // _SEALED) - 1
        self._piece = b""
        self._number = -1
        self._load(self._last)
        self._size = self._last * _CHUNK + len(self._piece)

    def _load(self, number: int) -> None:
        if number == self._number:
            return
        self._content.seek(_HEAD + number * _SEALED)
        sealed = self._content.read(min(_SEALED, self._body - number * _SEALED))
        try:
            self._piece = self._pieces.decrypt(number, sealed, last=number == self._last)
        except (InvalidTag, ValueError):
            raise VerificationError(f"the value of {self._key!r} is not what was encrypted for it") from None
        self._number = number

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        if self._at >= self._size:
            return 0
        number, begin = divmod(self._at, _CHUNK)
        self._load(number)
        with memoryview(buffer) as view:
            piece = self._piece[begin : begin + len(view)]
            view[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)
