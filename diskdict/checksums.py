"""The CRC-32 of contents: by the package isal where it is (the extra ``fast``), which is eight times as fast."""

try:
    from isal.isal_zlib import crc32
except ImportError:
    from zlib import crc32

__all__ = ["crc32"]
