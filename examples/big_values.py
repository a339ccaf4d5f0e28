"""Bytes are stored as they are: a PNG stays a PNG that an image viewer opens, and `path_for` says where it lies."""

import struct
import tempfile
import zlib
from pathlib import Path

from diskdict import DiskDict


def png(width: int, height: int) -> bytes:
    """Return a picture whose colour runs from black to red."""
    rows = b"".join(b"\0" + b"".join(bytes((x * 255 // width, 0, 0)) for x in range(width)) for _ in range(height))
    header = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def main(folder: str) -> None:
    picture = png(320, 200)
    with DiskDict[str, bytes](folder) as album:
        album.set("red.png", picture, metadata={"type": "image/png", "title": "From black to red"})
        album["noise"] = bytes(range(256)) * 40_960

        path = Path(album.path_for("red.png"))
        print("the file is the picture:", path.read_bytes() == picture, path.read_bytes()[:8])
        print("beside it lies:         ", dict(album.info("red.png").metadata))
        print("ten mebibytes come back:", len(album["noise"]), "bytes")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(f"{temporary}/album")
