"""``diskdict.json``: what kind of store a folder is. Renamed in last, it is the commit point of a store's creation."""

from __future__ import annotations

import contextlib
from typing import Final, NamedTuple

import ujson

from diskdict.compression import fits
from diskdict.errors import FormatError
from diskdict.files import Folder
from diskdict.layout import LOCK, MANIFEST, OWN_NAMES, Shards
from diskdict.limits import Limits

FORMAT: Final = 1
ALSO_OPEN: Final = {"dict": ("datastore", "kv"), "kv": ("dict", "datastore")}
"""Kinds of stores that open as another kind, too."""
WITH_EMPTY: Final = frozenset({"blobs"})
"""Kinds of stores whose values may be empty; in all others an empty file is damage."""
_COMPRESSED_AS_FOUND: Final = frozenset({"dict", "datastore", "kv"})
"""Kinds of stores whose openers ask how values are compressed there, unless they say it."""
_NAMES: Final = "escape-1"
_TEMPORARY: Final = MANIFEST + ".new"


class Manifest(NamedTuple):
    """The fixed properties of a store.

    ``kind`` is what made it (dict, datastore, queue, …), ``codec`` the name of the codec of its values, ``shards`` the
    number of folders its files are spread over, ``limits`` what it refuses, ``mode`` the permission bits asked for when
    it was made, or None.
    """

    kind: str
    codec: str
    shards: int = 256
    limits: Limits = Limits()
    mode: int | None = None


def encode(manifest: Manifest) -> bytes:
    """Return the content of ``diskdict.json``."""
    document: dict[str, object] = {
        "format": FORMAT,
        "kind": manifest.kind,
        "codec": manifest.codec,
        "shards": manifest.shards,
        "names": _NAMES,
        "limits": manifest.limits.as_json(),
    }
    if manifest.mode is not None:
        document["mode"] = f"{manifest.mode:04o}"
    return ujson.dumps(document, indent=2).encode() + b"\n"


def decode(content: bytes, path: str) -> Manifest:
    """Return the manifest in `content`; a FormatError says what is wrong with the one of the folder at `path`."""
    try:
        document = ujson.loads(content)
        found, names = document["format"], document["names"]
        if (found, names) != (FORMAT, _NAMES):
            raise FormatError(
                f"{path} has format {found!r} with names {names!r}; this version reads format {FORMAT} with {_NAMES!r}"
            )
        mode = document.get("mode")
        return Manifest(
            kind=str(document["kind"]),
            codec=str(document["codec"]),
            shards=Shards(document["shards"]).count,
            limits=Limits.from_json(document["limits"]),
            mode=None if mode is None else _mode(mode),
        )
    except FormatError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise FormatError(f"{path}/{MANIFEST} cannot be understood: {error}") from error


def _mode(text: str) -> int:
    mode = int(text, 8)
    if not 0 <= mode <= 0o777:
        raise ValueError(f"no permission bits: {text!r}")
    return mode


def load(folder: Folder) -> Manifest | None:
    """Return the manifest of a folder, or None where there is none and the folder counts as empty.

    A folder that holds anything but our own empty names is a FormatError: it is somebody else's.
    """
    try:
        return decode(folder.read(MANIFEST), folder.path)
    except FileNotFoundError:
        pass
    foreign = sorted(name for name, _ in folder.list() if name not in OWN_NAMES or _holds_something(folder, name))
    if foreign:
        # Between the two looks somebody else may have made the store.
        with contextlib.suppress(FileNotFoundError):
            return decode(folder.read(MANIFEST), folder.path)
        raise FormatError(
            f"{folder.path} is no store and not empty (it holds {foreign[0]!r}); give the path of a store or a new path"
        )
    return None


def _holds_something(folder: Folder, name: str) -> bool:
    if name in (LOCK, _TEMPORARY):
        return False
    try:
        return any(True for _ in folder.list(name))
    except NotADirectoryError:
        return folder.stat(name).st_size > 0


def save(folder: Folder, manifest: Manifest) -> None:
    """Write the manifest; it is there whole and durable, or not at all."""
    folder.write(MANIFEST, encode(manifest), _TEMPORARY, durable=True)
    folder.sync()


def agree(found: Manifest, wanted: Manifest, path: str, *, shards_given: bool) -> None:
    """Raise a FormatError that names both where a store is not what its opener expects."""
    kind = found.kind if found.kind in ALSO_OPEN.get(wanted.kind, ()) else wanted.kind
    fitting = wanted.kind in _COMPRESSED_AS_FOUND and fits(found.codec, wanted.codec)
    pairs = [("kind", found.kind, kind), ("codec", found.codec, found.codec if fitting else wanted.codec)]
    if shards_given:
        pairs.append(("shards", str(found.shards), str(wanted.shards)))
    for what, there, asked in pairs:
        if there != asked:
            raise FormatError(f"{path} was made with {what} {there!r}, not {asked!r}, and keeps it")
