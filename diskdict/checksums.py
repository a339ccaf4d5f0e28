"""The CRC-32 of large contents: by the package isal where it is (the extra ``fast``), which is some times as fast."""

try:
    from isal.isal_zlib import crc32
except ImportError:
    from zlib import crc32

__all__ = ["crc32"]
