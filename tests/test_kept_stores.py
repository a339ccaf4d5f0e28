"""Stores that were written by earlier versions open for ever. They lie in ``kept``, a JSON document each.

``python tests/test_kept_stores.py NAME`` writes those of a new format; one that is there is never written again.
"""

from __future__ import annotations

import base64
import datetime
import decimal
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from folders import use_sidecars

from diskdict import DiskDict

KEPT = Path(__file__).parent / "kept"
NOW = 1_700_000_000.0
LONG = "a key that is too long for the name of a file " * 8
VALUES: dict[Any, Any] = {
    "plain": {"text": "hello", "numbers": [1, 2.5, -3], "none": None, "yes": True},
    "Naïve/..": "escaped",
    LONG: ["long"],
    7: "an int",
    True: "replaced below",
    (1, "x", None): (1, 2, (3,)),
    b"\x00\xff": b"\x89PNG",
    -2.5: {1: "int keys", (2,): "tuple keys"},
    "moments": [
        datetime.datetime(2024, 2, 29, 12, 30, tzinfo=datetime.UTC),
        datetime.date(1, 1, 1),
        datetime.timedelta(seconds=-1),
    ],
    "exact": decimal.Decimal("0.10"),
    "sets": {"s": {1, 2}, "f": frozenset({"a"}), "inf": float("inf")},
    "bytes like JSON": b"[1]",
}
TTL = 5_000.0
METADATA = {"author": "somebody", "pages": 90}


def fill(d: DiskDict[Any, Any]) -> None:
    for key, value in VALUES.items():
        d[key] = value
    d.set("expires", "soon", ttl=TTL)
    d.set("described", "thing", metadata=METADATA)
    d["gone"] = 1
    del d["gone"]


def check(d: DiskDict[Any, Any]) -> None:
    assert list(d) == [*VALUES, "expires", "described"]
    assert {key: d[key] for key in VALUES} == VALUES
    assert [type(key) for key in d][:7] == [str, str, str, int, bool, tuple, bytes]
    assert d.ttl("expires") == TTL
    assert d.info("described").metadata == METADATA
    assert d.info("plain").created_at == NOW
    assert d.verify().ok


def documents() -> list[Path]:
    return sorted(KEPT.glob("*.json"))


def laid_out(document: Path, folder: Path) -> None:
    """Make the folder that a document tells of."""
    (folder / "data").mkdir(parents=True)
    for name, entry in json.loads(document.read_text())["files"].items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(entry["content"]))
        for attribute, value in entry["attributes"].items():
            os.setxattr(path, attribute, base64.b64decode(value))


@pytest.mark.parametrize("document", documents(), ids=lambda path: path.stem)
def test_kept_store_opens(
    document: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """To read only, to write, and again after that, with all its keys, values, times and metadata."""
    if "sidecars" in document.stem:
        use_sidecars(monkeypatch)
    else:
        request.getfixturevalue("needs_attributes")
    laid_out(document, folder)

    with DiskDict[Any, Any](folder, clock=lambda: NOW, readonly=True) as d:
        check(d)
    with DiskDict[Any, Any](folder, clock=lambda: NOW) as d:
        check(d)
        d["new"] = 1
    with DiskDict[Any, Any](folder, clock=lambda: NOW) as d:
        assert d.pop("new") == 1
        check(d)


def test_stores_are_kept() -> None:
    """Of each way of keeping attributes one that was closed and one with a journal."""
    kinds = {path.stem.partition("-")[2] for path in documents()}

    assert kinds == {"attributes-closed", "attributes-journal", "sidecars-closed", "sidecars-journal"}


def write(document: Path, *, sidecars: bool, closed: bool) -> None:
    folder = Path(tempfile.mkdtemp()) / "store"
    with pytest.MonkeyPatch.context() as patch:
        if sidecars:
            use_sidecars(patch)
        options: dict[str, Any] = {} if closed else {"durability": "interval", "interval": 3_600}
        d = DiskDict[Any, Any](folder, clock=lambda: NOW, **options)
        fill(d)
        if closed:
            d.close()
        else:
            d._folder.abandon()
    files = {}
    for path in sorted(folder.rglob("*")):
        # The index knows inode numbers, and of the journal the reserved space says nothing.
        if path.is_file() and path.name != "index":
            content = path.read_bytes()
            names = [] if sidecars else os.listxattr(path)
            files[str(path.relative_to(folder))] = {
                "content": base64.b64encode(content.rstrip(b"\0") if path.name == "journal" else content).decode(),
                "attributes": {name: base64.b64encode(os.getxattr(path, name)).decode() for name in names},
            }
    with document.open("x") as file:
        json.dump({"files": files}, file, indent=1)
    shutil.rmtree(folder.parent)


if __name__ == "__main__":
    for home in ("attributes", "sidecars"):
        for end in ("closed", "journal"):
            write(KEPT / f"{sys.argv[1]}-{home}-{end}.json", sidecars=home == "sidecars", closed=end == "closed")
