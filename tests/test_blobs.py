"""Blob stores in folders and in memory, and all their wrappers."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
from blob_contract import BlobContract
from clocks import Clock

from diskdict.blobs import (
    Blobs,
    BlobStore,
    Cached,
    Compressed,
    HashIds,
    Prefixed,
    Signed,
    UrlEncodedKeys,
    UuidIds,
)
from diskdict.blobs.encrypted import Encrypted

SECRET = bytes(range(32))


class TestFolder(BlobContract):
    """A folder."""

    @pytest.fixture
    def blobs(self, tmp_path: Path, clock: Clock) -> Iterator[Blobs]:
        with BlobStore(tmp_path / "blobs", clock=clock) as blobs:
            yield blobs
        with BlobStore(tmp_path / "blobs", clock=clock) as again:
            assert again._over.verify().ok


class TestDurableFolder(BlobContract):
    """A folder whose changes are on disk when they return."""

    @pytest.fixture
    def blobs(self, tmp_path: Path, clock: Clock) -> Iterator[Blobs]:
        with BlobStore(tmp_path / "blobs", clock=clock, durability="full") as blobs:
            yield blobs


class TestMemory(BlobContract):
    """No disk at all."""

    @pytest.fixture
    def blobs(self, clock: Clock) -> Iterator[Blobs]:
        with BlobStore("memory:", clock=clock) as blobs:
            yield blobs

    def test_can_be_pickled(self, blobs: Blobs) -> None:
        """What comes out of a pickle is another memory, with nothing in it."""
        blobs.put("a", b"1")

        with pickle.loads(pickle.dumps(blobs)) as again:
            assert again.keys() == []
        assert blobs.get("a") == b"1"


WRAPPERS = {
    "prefixed": lambda store: Prefixed(store, "some-"),
    "urlencoded": UrlEncodedKeys,
    "hashids": HashIds,
    "uuidids": lambda store: UuidIds(store, version=7),
    "signed": lambda store: Signed(store, SECRET),
    "encrypted": lambda store: Encrypted(store, SECRET),
    "gzip": lambda store: Compressed(store, "gzip"),
    "zstd": lambda store: Compressed(store, "zstd"),
    "cached": lambda store: Cached(BlobStore("memory:", keys="any", clock=store.store.clock), store),
    "all": lambda store: UrlEncodedKeys(Signed(Prefixed(Encrypted(Compressed(HashIds(store)), SECRET), "p-"), SECRET)),
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
class TestWrapped(BlobContract):
    """Each wrapper."""

    @pytest.fixture
    def blobs(self, tmp_path: Path, clock: Clock, wrap, request) -> Iterator[Blobs]:
        self.any_text = "urlencoded" in request.node.name or "all" in request.node.name
        with wrap(BlobStore(tmp_path / "blobs", clock=clock)) as blobs:
            yield blobs
