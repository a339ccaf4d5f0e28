"""Format 1, byte for byte: folders that were written once are read for ever, and damaged bytes raise nothing else."""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from folders import attributes_of, beside, tree, use_sidecars, value_at
from hypothesis import given, settings
from hypothesis import strategies as st

from diskdict import DiskDict, FormatError, Limits
from diskdict import attributes as attributes_module
from diskdict.attributes import Attributes, pack, unpack
from diskdict.backends.file import FolderStore
from diskdict.index import Entry, Index, Snapshot, decode_snapshot, encode_snapshot
from diskdict.layout import Shards
from diskdict.ledger import UNKNOWN
from diskdict.lock import Page, decode_page, encode_page
from diskdict.manifest import Manifest
from diskdict.manifest import decode as decode_manifest
from diskdict.manifest import encode as encode_manifest
from diskdict.sidecar import decode as decode_sidecar
from diskdict.sidecar import encode as encode_sidecar
from diskdict.store import NEVER

CREATED = 1_699_999_000.5
EXPIRES = 1_700_000_100.25

# ---- a folder that was written by hand

MANIFEST = (
    b'{\n  "format": 1,\n  "kind": "dict",\n  "codec": "json",\n  "shards": 256,\n  "names": "escape-1",\n'
    b'  "limits": {}\n}\n'
)

LOCK = (
    b'{"pid":4711,"host":"somewhere","since":"2023-11-14T22:13:20+00:00","clean":true,"suspect":false,'
    b'"ceiling":1048576,"expiring":true,"sidecars":true}'
)

DIGEST = "%%f8d3b312442b67706057ae8c8a0b2e1b0c2d8fae5a6ae1c54d42c4d8c8f1b3f7"
"""Of a key of 300 k; put right below, lest it be taken from the code under test."""

FIELDS = struct.Struct("<BBQddQQI")
"""Format, flags (1: metadata, 2: spelling), order, created, expires, version, length, CRC-32 of the value."""


def attribute(
    value: bytes, *, order: int, version: int, flags: int = 0, created: float = CREATED, expires: float = NEVER
) -> bytes:
    return FIELDS.pack(1, flags, order, created, expires, version, len(value), zlib.crc32(value))


def golden(folder: Path) -> None:
    """Write a folder of format 1 without the package: shards, names, attributes, a sidecar, a long key, a stray file."""
    files: dict[str, tuple[bytes, dict[str, bytes]]] = {
        "86/hello": (
            b'{"a":1}',
            {
                "user.diskdict": bytes.fromhex(
                    "01" "01" "0700000000000000" "000020563c55d941" "0000104a3d55d941"
                    "0900000000000000" "0700000000000000" "afac1b56"
                ),
                "user.diskdict.meta": b'{"m":1}',
            },
        ),
        "05/=i1": (b"[1,2]", {"user.diskdict": b"", "user.diskdict.key": b"=T"}),
        "d3/+b": (b"\x89PNG", {"user.diskdict": b""}),
        "35/%2egit": (b'{"$tuple":[1]}', {"user.diskdict": b""}),
        "51/side": (b'"beside"', {}),
        "7c/stray": (b"5", {}),
    }  # fmt: skip
    files["05/=i1"][1]["user.diskdict"] = attribute(b"[1,2]", order=3, version=3, flags=2)
    files["d3/+b"][1]["user.diskdict"] = attribute(b"\x89PNG", order=5, version=5)
    files["35/%2egit"][1]["user.diskdict"] = attribute(b'{"$tuple":[1]}', order=4, version=12)
    folder.mkdir()
    (folder / "diskdict.json").write_bytes(MANIFEST)
    (folder / "lock").write_bytes(LOCK.ljust(511) + b"\n")
    for path, (content, kept) in files.items():
        (folder / "data" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "data" / path).write_bytes(content)
        for name, blob in kept.items():
            attributes_module.PACKAGE.set(os.fspath(folder / "data" / path), name, blob)
    (folder / "data" / "51" / ".side.attr").write_bytes(
        b'{"format":1,"entries":['
        b'{"order":6,"created":1699999000.5,"expires":1700000100.25,"version":11,"length":99,"checksum":1},'
        b'{"order":6,"created":1699999000.5,"version":10,"length":8,"checksum":%d,"meta":"{\\"s\\":1}"}]}\n'
        % zlib.crc32(b'"beside"')
    )


@pytest.fixture
def by_hand(folder: Path, needs_attributes: None) -> Path:
    golden(folder)
    return folder
