"""Opening the store that a command is about."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import cast

from diskdict import DiskDict, FormatError, manifest, open_store
from diskdict.backends import BACKENDS, scheme_of
from diskdict.cli.failures import UsageError
from diskdict.cli.parsing import BYTES, Options, store_of
from diskdict.core import StoreDict
from diskdict.disk import absolute
from diskdict.files import Folder as OpenFolder
from diskdict.manifest import Manifest
from diskdict.opening import is_one_file, path_of_url
from diskdict.store import Store

Dict = StoreDict[object, object]
Folder = DiskDict[object, object]


@contextmanager
def to_read(options: Options) -> Iterator[Dict]:
    """Open a store, beside other readers of the folder. UsageError where there is none."""
    path = folder_of(store_of(options))
    with codec_hint(), _dict(options) if path is None else _folder(options, path, readonly=True) as d:
        yield d


@contextmanager
def to_change(options: Options) -> Iterator[Dict]:
    """Open a store, the folder for this process alone. UsageError where there is none."""
    path = folder_of(store_of(options))
    with codec_hint(), _dict(options) if path is None else _folder(options, path) as d:
        yield d


@contextmanager
def to_fill(options: Options) -> Iterator[Dict]:
    """Open a store, the folder for this process alone and made where there is none."""
    path = folder_of(store_of(options))
    with codec_hint(), _dict(options, create=True) if path is None else _folder(options, path, create=True) as d:
        yield d


@contextmanager
def to_keep(options: Options) -> Iterator[Folder]:
    """Open a folder for this process alone. UsageError where there is none, and for a store that is no folder."""
    path = folder_of(store_of(options))
    if path is None:
        raise UsageError("this command is for the folder of a store, not for a file or a URL")
    with codec_hint(), _folder(options, path) as d:
        yield d


def folder_of(place: str) -> str | None:
    """Return the path of the folder that a path or a URL names, None for a server and for a file.

    UsageError where nothing would last.
    """
    path = _path_of(place)
    return None if path is None or is_one_file(path) else path


def file_of(place: str, *, create: bool) -> str | None:
    """Return the path of the store in one file that a path or a URL names, None where it names another.

    UsageError where there is no file, and none is to be made.
    """
    path = _path_of(place)
    if path is None or not is_one_file(path):
        return None
    if not (create or os.path.exists(path)):
        raise UsageError(f"{path}: no store is here")
    return path


def _path_of(place: str) -> str | None:
    scheme, colon, _ = place.partition(":")
    if not colon or not (scheme in BACKENDS or "://" in place):
        return os.path.expanduser(place)
    scheme = scheme_of(place)
    if scheme == "memory":
        raise UsageError("memory: is empty, and gone when the command ends; name a folder, a file or a server")
    return os.path.expanduser(path_of_url(place)) if scheme == "file" else None


def manifest_of(path: str) -> Manifest | None:
    """Return what a folder says of itself, None where no store is."""
    try:
        with closing(OpenFolder(absolute(path))) as folder:
            return manifest.load(folder)
    except (FileNotFoundError, NotADirectoryError):
        return None


def store_at(options: Options, place: str, codec: str, *, create: bool) -> Store:
    """Open a store that is no folder."""
    path = file_of(place, create=create)
    if path is None:
        return open_store(place, codec=codec)
    if codec == BYTES:
        raise UsageError(f"{place}: files by key are in a folder or on a server, and this is one file")
    from diskdict.backends.jsonfile.store import JsonFileStore

    return JsonFileStore(path, codec=codec, timeout=options.timeout)


def _dict(options: Options, *, create: bool = False) -> Dict:
    place = store_of(options)
    if options.codec != BYTES:
        return StoreDict(store_at(options, place, options.codec, create=create), codec=options.codec)
    if create:
        raise _not_put_here(place)
    from diskdict.blobs.store import Exact

    return StoreDict(store_at(options, place, BYTES, create=False), codec=Exact())


def _folder(options: Options, path: str, *, readonly: bool = False, create: bool = False) -> Folder:
    found = manifest_of(path)
    if found is not None and found.kind == "blobs":
        if create:
            raise _not_put_here(path)
        return _blobs(options, path, readonly=readonly)
    if options.codec == BYTES:
        raise UsageError(f"{path}: no store of files by key is here")
    try:
        return DiskDict(path, codec=options.codec, readonly=readonly, create=create, timeout=options.timeout)
    except FileNotFoundError:
        raise UsageError(f"{path}: no store is here") from None


def _not_put_here(place: str) -> UsageError:
    return UsageError(f"{place} has files by key (kind 'blobs'), which BlobStore puts there and this command does not")


def _blobs(options: Options, path: str, *, readonly: bool) -> Folder:
    from diskdict.blobs.store import BlobDict, Exact

    return cast(Folder, BlobDict(path, codec=Exact(), readonly=readonly, create=False, timeout=options.timeout))


@contextmanager
def codec_hint() -> Iterator[None]:
    """Have the error of a store with another codec say what to do."""
    try:
        yield
    except FormatError as error:
        if "codec" in str(error):
            error.add_note("say so with --codec")
        raise
