"""Compression of bytes by name: ``"gzip"``, and ``"zstd"`` with the extra of that name.

What is made can be read by ``zcat`` and ``zstdcat``. What is read is trusted in nothing: it has to be whole, to be all
there is, and to stay below a bound.
"""

from __future__ import annotations

import zlib
from importlib import import_module
from typing import Final, Protocol

from diskdict.errors import InvalidValueError

MOST: Final = 1 << 30
"""Bytes that are compressed as one, and that come of what was. A few kilobytes may stand for any number of them."""
NAMES: Final = ("gzip", "zstd")

_GZIP_BEGINS: Final = b"\x1f\x8b"
_ZSTD_BEGINS: Final = b"\x28\xb5\x2f\xfd"
_WITH_HEADER: Final = 31  # a window of 32 KiB, and the header and checksum of a gzip file around it


class Compression(Protocol):
    """A way to make bytes fewer."""

    @property
    def name(self) -> str:
        """What it is called."""

    def compress(self, content: bytes) -> bytes:
        """Return `content` compressed. InvalidValueError where it is too long."""

    def expand(self, content: bytes) -> bytes:
        """Return what was compressed. ValueError where that is damaged, or too long."""


class Gzip:
    """The files of ``gzip``. The same bytes are always compressed to the same.

    Parameters
    ----------
    most: int
        Bytes that one may have before it is compressed.
    """

    name: Final = "gzip"

    def __init__(self, most: int = MOST) -> None:
        self._most = most

    def compress(self, content: bytes) -> bytes:
        """Return `content` compressed."""
        check_length(content, self._most)
        deflating = zlib.compressobj(wbits=_WITH_HEADER)
        return deflating.compress(content) + deflating.flush()

    def expand(self, content: bytes) -> bytes:
        """Return what was compressed."""
        inflating = zlib.decompressobj(_WITH_HEADER)
        try:
            expanded = inflating.decompress(content, self._most + 1)
        except zlib.error as error:
            raise ValueError(f"not gzip, or damaged: {error}") from error
        check_end(len(expanded), self._most, ended=inflating.eof, behind=inflating.unused_data)
        return expanded


def check_length(content: bytes, most: int) -> None:
    """Raise InvalidValueError where that is too much to be read again."""
    if len(content) > most:
        raise InvalidValueError(f"{most:,} bytes can be compressed as one, this is {len(content):,}")


def check_end(length: int, most: int, *, ended: bool, behind: bytes) -> None:
    """Raise ValueError where what was expanded is too long, cut off, or followed by something."""
    if length > most:
        raise ValueError(f"compressed are more than {most:,} bytes, which are not read")
    if not ended:
        raise ValueError("compressed, and its end is missing")
    if behind:
        raise ValueError("compressed, and something follows its end")


GZIP: Final = Gzip()


def compression_of(name: str) -> Compression:
    """Return the compression of a name. ValueError for another one, ImportError where its extra is missing."""
    if name not in NAMES:
        raise ValueError(f"compression is one of {', '.join(map(repr, NAMES))}, not {name!r}")
    if name == GZIP.name:
        return GZIP
    found: Compression = import_module("diskdict.zstd").ZSTD
    return found


def compression_in(content: bytes) -> str | None:
    """Return the name of the compression that bytes begin like, None where they do like none."""
    if content.startswith(_GZIP_BEGINS):
        return "gzip"
    return "zstd" if content.startswith(_ZSTD_BEGINS) else None


def split(codec: str) -> tuple[str, str | None]:
    """Return the name of a codec without its compression, and that: of ``"json+gzip"``, ``"json"`` and ``"gzip"``."""
    base, plus, last = codec.rpartition("+")
    return (base, last) if plus and last in NAMES else (codec, None)


def compression_behind(codec: str) -> Compression | None:
    """Return the compression that the name of a codec says."""
    name = split(codec)[1]
    return None if name is None else compression_of(name)


def fits(found: str, wanted: str) -> bool:
    """Return whether the codec `wanted` reads what `found` has written, once it knows of the compression."""
    return wanted in (found, split(found)[0])
