"""Blob stores over servers keep the contract of all blob stores."""

from __future__ import annotations

import io
import pickle
import random
import urllib.request
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from blob_contract import BlobContract
from ceph_server import PASSWORD, USER, ceph_server, make_bucket, require_ceph
from clocks import Clock
from hosting import SharedClock
from moto_server import Bucket, s3_server
from obstore.store import MemoryStore
from postgres_server import PostgresServer
from redis_server import Server, require_redis
from serving import served_here
from tallies import Announce

from diskdict import BlobStore, KeyNotFoundError
from diskdict.backends.objects.store import ObjectStore
from diskdict.blobs import Blobs
from diskdict.blobs.store import Exact
from diskdict.server import ServedBlobs

_places = count()


@pytest.fixture(scope="module")
def wall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedClock]:
    """The clock of the server that has no other."""
    clock = SharedClock(tmp_path_factory.mktemp("wall") / "clock", Clock().now)
    yield clock
    clock.close()


@pytest.fixture(scope="module")
def redis(announce: Announce, wall: SharedClock, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    require_redis(announce)
    with Server(tmp_path_factory.mktemp("redis"), clock=wall.path) as server:
        yield server


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    with s3_server() as endpoint, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "someone")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        yield Bucket(endpoint, "bucket")


@pytest.fixture(scope="module")
def ceph(announce: Announce, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    require_ceph(announce)
    with ceph_server(tmp_path_factory.mktemp("ceph")) as endpoint:
        make_bucket(endpoint, "bucket")
        yield endpoint


class OverServer(BlobContract):
    """A pickle opens the store again, which others may have open meanwhile."""

    def test_can_be_pickled(self, blobs: Blobs) -> None:
        """A copy that went through a pickle is a store of the same values."""
        blobs.put("a", b"1")

        with pickle.loads(pickle.dumps(blobs)) as again:
            assert again.get("a") == b"1"


class TestPostgres(OverServer):
    """A table."""

    @pytest.fixture
    def blobs(self, postgres: PostgresServer, clock: Clock) -> Iterator[Blobs]:
        with BlobStore(postgres.url(table=f"blobs{next(_places)}"), clock=clock) as blobs:
            yield blobs


class TestRedis(OverServer):
    """A prefix in Redis."""

    @pytest.fixture
    def clock(self, redis: Server, wall: SharedClock) -> SharedClock:
        wall.now = Clock().now
        return wall

    @pytest.fixture
    def blobs(self, redis: Server, clock: SharedClock) -> Iterator[Blobs]:
        with BlobStore(f"{redis.url}?prefix=blobs{next(_places)}:", clock=clock) as blobs:
            yield blobs

    def test_can_be_pickled(self, redis: Server) -> None:  # type: ignore[override]
        """The clock of the test cannot, and is that of this server anyway."""
        with BlobStore(f"{redis.url}?prefix=pickled:") as blobs:
            super().test_can_be_pickled(blobs)


class TestServed(OverServer):
    """A folder that another process has, by way of ``diskdict serve``."""

    @pytest.fixture
    def blobs(self, tmp_path: Path, clock: Clock) -> Iterator[Blobs]:
        with (
            ServedBlobs(tmp_path / "blobs", codec=Exact(), clock=clock) as folder,
            served_here(folder) as url,
            BlobStore(url, clock=clock) as blobs,
        ):
            yield blobs


class TestBucketInMemory(BlobContract):
    """A bucket that is nowhere, over a client of the caller's."""

    @pytest.fixture
    def blobs(self, clock: Clock) -> Iterator[Blobs]:
        with BlobStore(ObjectStore(MemoryStore(), codec="bytes", clock=clock), clock=clock) as blobs:
            yield blobs

    def test_can_be_pickled(self, blobs: Blobs) -> None:
        """What was made over a store that was given says that it cannot."""
        with pytest.raises(TypeError, match="given"):
            pickle.dumps(blobs)


class InBucket(OverServer):
    """A prefix in a bucket of a server, which is a slow one."""

    @pytest.fixture
    def blobs(self, bucket: Bucket, clock: Clock) -> Iterator[Blobs]:
        with BlobStore(bucket.url(f"blobs{next(_places)}"), clock=clock) as blobs:
            yield blobs


@pytest.mark.torture
class TestBucket(InBucket):
    """All of the contract."""


class TestBucketInBrief(InBucket):
    """What a bucket does by itself."""

    test_gives_back_what_was_put = None
    test_refuses_keys = None
    test_refuses_what_is_no_bytes = None
    test_threads_see_no_torn_value = None


@pytest.mark.torture
class TestBucketInCeph(OverServer):
    """A prefix in a bucket of Ceph's."""

    @pytest.fixture
    def blobs(self, ceph: str, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Blobs]:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", USER)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", PASSWORD)
        url = f"s3://bucket/blobs{next(_places)}?endpoint={ceph}&region=default"
        with BlobStore(url, clock=clock) as blobs:
            yield blobs

    def test_very_large_values(self, blobs: Blobs) -> None:
        """They go in parts, are copied and moved by the service, and are read from anywhere."""
        content = random.Random(5).randbytes(20 << 20)
        blobs.put_file("a", io.BytesIO(content))
        blobs.copy("a", "b")
        blobs.move("b", "c")
        with blobs.open("c") as file:
            assert file.read(10) == content[:10]
            file.seek(-10, io.SEEK_END)
            assert file.read() == content[-10:]

        assert blobs.get("a") == blobs.get("c") == content


def test_url_of_a_value_in_a_bucket(bucket: Bucket) -> None:
    """It is signed, and gives anybody the value and nothing else, however small that is."""
    with BlobStore(bucket.url(f"blobs{next(_places)}")) as blobs:
        for content in (b"", b"small", bytes(100_000)):
            blobs.put("a", content, metadata={"by": "ada"})
            url = blobs.url_for("a")
            with urllib.request.urlopen(url, timeout=60) as answer:
                assert answer.read() == content
            assert "Signature" in url
            assert blobs.get("a") == content
        with pytest.raises(KeyNotFoundError):
            blobs.url_for("missing")


def test_a_bucket_in_memory_has_no_urls() -> None:
    """That is said, and what to give instead."""
    with BlobStore(ObjectStore(MemoryStore(), codec="bytes")) as blobs:
        blobs.put("a", b"1")
        with pytest.raises(ValueError, match="url="):
            blobs.url_for("a")
