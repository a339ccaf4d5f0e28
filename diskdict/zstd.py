"""Zstandard, by the package `zstandard`: the extra ``[zstd]``. All of that package is in here."""

from __future__ import annotations

from typing import Final

from diskdict.compression import MOST, check_end, check_length

try:
    import zstandard
except ImportError as error:
    raise ImportError("the compression zstd needs zstandard: pip install diskdict-store[zstd]") from error

_LEVEL: Final = 3
_PIECE: Final = 1 << 10
"""Bytes that are expanded in one go: at worst to 43 MiB."""


class Zstd:
    """The files of ``zstd``, with a checksum. The parameter is that of `diskdict.compression.Gzip`."""

    name: Final = "zstd"

    def __init__(self, most: int = MOST) -> None:
        self._most = most

    def compress(self, content: bytes) -> bytes:
        """Return `content` compressed."""
        check_length(content, self._most)
        # One for all would not do for threads.
        return zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compress(content)

    def expand(self, content: bytes) -> bytes:
        """Return what was compressed."""
        expanding = zstandard.ZstdDecompressor().decompressobj()
        pieces: list[bytes] = []
        length = at = 0
        try:
            while at < len(content) and not expanding.eof and length <= self._most:
                pieces.append(expanding.decompress(content[at : at + _PIECE]))
                length += len(pieces[-1])
                at += _PIECE
        except zstandard.ZstdError as error:
            raise ValueError(f"not zstd, or damaged: {error}") from error
        check_end(length, self._most, ended=expanding.eof, behind=expanding.unused_data + content[at:])
        return b"".join(pieces)


ZSTD: Final = Zstd()
