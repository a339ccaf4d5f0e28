"""Who keeps files by key: plain calls as the floor, BlobStore, and other stores from PyPI in a folder."""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Sequence

from contenders import Contender
from rows import BLOB_FLOOR

from diskdict import BlobStore

Copy = tuple[str, str]
"""A key and the path of a file."""


class Files(Contender):
    """A store of files below ``files`` in its folder. It copies them to ``out`` there."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self.place, self.out = os.path.join(folder, "files"), os.path.join(folder, "out")
        os.makedirs(self.out)

    def put_file(self, copies: Sequence[Copy]) -> None:
        store = self.store
        for key, path in copies:
            store.put_file(key, path)

    def get_file(self, keys: Sequence[str]) -> None:
        store, out = self.store, self.out
        for key in keys:
            store.get_file(key, f"{out}/{key}")

    def read(self, keys: Sequence[str]) -> object:
        store = self.store
        for key in keys:
            with store.open(key) as file:
                content = file.read()
        return content


class PlainFiles(Files):
    """`shutil.copyfile` and `open`, with nothing else kept or promised."""

    name = BLOB_FLOOR

    def open(self) -> None:
        os.makedirs(self.place, exist_ok=True)

    def close(self) -> None:
        """There is nothing to close."""

    def put_file(self, copies: Sequence[Copy]) -> None:
        for key, path in copies:
            shutil.copyfile(path, f"{self.place}/{key}")

    def get_file(self, keys: Sequence[str]) -> None:
        for key in keys:
            shutil.copyfile(f"{self.place}/{key}", f"{self.out}/{key}")

    def read(self, keys: Sequence[str]) -> object:
        for key in keys:
            with open(f"{self.place}/{key}", "rb") as file:
                content = file.read()
        return content


class Ours(Files):
    name = "BlobStore"

    def open(self) -> None:
        self.store = BlobStore(self.place)


class MinimalKV(Files):
    """Given an open file it copies; a path it would move."""

    name = "minimalkv"
    package = "minimalkv.fs"

    def open(self) -> None:
        self.store = self.module.FilesystemStore(self.place)

    def put_file(self, copies: Sequence[Copy]) -> None:
        store = self.store
        for key, path in copies:
            with open(path, "rb") as file:
                store.put_file(key, file)


class Fsspec(PlainFiles):
    """A local filesystem of fsspec, below one folder."""

    name = "fsspec"
    package = "fsspec.implementations.dirfs"

    def open(self) -> None:
        super().open()
        local = importlib.import_module("fsspec.implementations.local").LocalFileSystem()
        self.store = self.module.DirFileSystem(self.place, local)

    def put_file(self, copies: Sequence[Copy]) -> None:
        store = self.store
        for key, path in copies:
            store.put_file(path, key)

    get_file, read = Files.get_file, Files.read


class FsspecWhole(Fsspec):
    """The same by `put` and `get`, which take folders and patterns, too."""

    name = "fsspec put, get"

    def put_file(self, copies: Sequence[Copy]) -> None:
        store = self.store
        for key, path in copies:
            store.put(path, key)

    def get_file(self, keys: Sequence[str]) -> None:
        store, out = self.store, self.out
        for key in keys:
            store.get(key, f"{out}/{key}")


KINDS: Sequence[type[Files]] = (PlainFiles, Ours, MinimalKV, Fsspec, FsspecWhole)
PEERS: Sequence[str] = tuple(kind.name for kind in KINDS[2:])
