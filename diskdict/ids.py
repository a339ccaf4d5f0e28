"""Keys that are made for values: by chance and time, or of the content.

Each function takes a binary stream of the content, which those that need none leave alone, and returns a str of
hexadecimal digits (and hyphens). A function of yours can stand in their place.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
import uuid
from collections.abc import Callable
from typing import BinaryIO, Final

MakeId = Callable[[BinaryIO], str]
"""What makes a key for a content. The stream stands at its beginning and may be read to its end."""

_PIECE: Final = 1 << 18
_turn: Final = threading.Lock()
_last = 0


def uuid4(content: BinaryIO) -> str:  # noqa: ARG001
    """Return a random UUID (RFC 9562, version 4)."""
    return str(uuid.uuid4())


def uuid7(content: BinaryIO) -> str:  # noqa: ARG001
    """Return a UUID that sorts by time (RFC 9562, version 7): each of a process is above those it made before.

    The 12 bits behind the milliseconds count fractions of one (method 3 of section 6.2), the rest is random.
    """
    global _last
    with _turn:
        ticks = time.time_ns() * 4096 // 1_000_000
        _last = ticks = max(ticks, _last + 1)
    milliseconds, fraction = divmod(ticks, 4096)
    chance = int.from_bytes(os.urandom(8)) & (1 << 62) - 1
    return str(uuid.UUID(int=milliseconds << 80 | 7 << 76 | fraction << 64 | 2 << 62 | chance))


def sha256(content: BinaryIO) -> str:
    """Return the SHA-256 of the content: the same content has the same key."""
    return _digest(content, hashlib.sha256())


def blake2b(content: BinaryIO) -> str:
    """Return the BLAKE2b of the content in 32 bytes: as safe as SHA-256, and faster where the processor has no SHA."""
    return _digest(content, hashlib.blake2b(digest_size=32))


def _digest(content: BinaryIO, digest: hashlib._Hash | hashlib.blake2b) -> str:
    while piece := content.read(_PIECE):
        digest.update(piece)
    return digest.hexdigest()


BY_NAME: Final[dict[str, MakeId]] = {"uuid4": uuid4, "uuid7": uuid7, "sha256": sha256, "blake2b": blake2b}
"""The functions by their names."""
