"""Files by key in a bucket: nobody has them in memory, on their way in or out."""

from __future__ import annotations

import io
import random
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import obstore
import pytest
from clocks import Clock
from crew import Crew
from moto_server import Bucket, s3_server
from obstore.store import LocalStore, MemoryStore
from s3_standin import Object, Service

from diskdict import FOREVER, BlobStore, ConflictError, LimitError, Limits
from diskdict.backends.objects import ObjectStore
from diskdict.backends.objects.address import client_of, parsed
from diskdict.backends.objects.lines import last_line
from diskdict.blobs import Blobs, Compressed, Signed
from diskdict.store import ABSENT, Store
from diskdict.uploads import Source

LARGE = random.Random(3).randbytes((20 << 20) + 7)
ROOT = Path(__file__).parent.parent
_places = count()

Keep = Callable[[Any], Any]


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    with s3_server() as endpoint, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "someone")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        yield Bucket(endpoint, "bucket")


@pytest.fixture
def keep() -> Iterator[Keep]:
    """Close at the end what was given."""
    kept: list[Any] = []
    yield lambda one: kept.append(one) or one
    for one in kept:
        one.close()


class Handles:
    """Handles of one bucket that is in memory, and what is in it."""

    def __init__(self, keep: Keep) -> None:
        self.client = MemoryStore()
        self._keep = keep
        self.clock = Clock(1000.0)

    def store(self, **options: Any) -> ObjectStore:
        return self._keep(ObjectStore(self.client, codec="bytes", clock=self.clock, **options))  # type: ignore[no-any-return]

    def blobs(self, **options: Any) -> BlobStore:
        return self._keep(BlobStore(self.store(**options), clock=self.clock))  # type: ignore[no-any-return]

    def payloads(self) -> list[str]:
        return [found["path"] for page in obstore.list(self.client, "large") for found in page]

    def line(self, key: str) -> bytes:
        return last_line(obstore.get(self.client, f"data/{key}").bytes().to_bytes())


@pytest.fixture
def handles(keep: Keep) -> Handles:
    return Handles(keep)


class Dropping(io.RawIOBase):
    """A source that gives some of a value and then fails."""

    def __init__(self, left: int) -> None:
        self.left = left

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if self.left <= 0:
            raise OSError("the source has failed")
        self.left -= size
        return bytes(size)


# ---- in


def test_goes_in_parts(bucket: Bucket, keep: Keep) -> None:
    """What is written piece by piece is sent so, and is there when all of it is."""
    url = bucket.url("parts")
    blobs, client = keep(BlobStore(url)), client_of(parsed(url))
    with blobs.open("a", "wb") as file:
        for at in range(0, len(LARGE), 1 << 20):
            file.write(LARGE[at : at + (1 << 20)])
        assert "a" not in blobs
        assert "<Key>parts/large/" in uploads(bucket)
    [payload] = [found for page in obstore.list(client, "parts/large") for found in page]

    assert str(payload["e_tag"]).strip('"').endswith("-3")
    assert blobs.get("a") == LARGE
    assert "<Key>parts" not in uploads(bucket)


def uploads(bucket: Bucket) -> str:
    with urllib.request.urlopen(f"{bucket.endpoint}/{bucket.name}?uploads") as answer:
        return str(answer.read(), "utf-8")


def test_a_source_that_fails_leaves_nothing(bucket: Bucket, keep: Keep) -> None:
    """Neither an object, nor an upload that was not finished, and the old value."""
    url = bucket.url("failing")
    blobs, client = keep(BlobStore(url)), client_of(parsed(url))
    blobs.put("a", b"old")
    before = [found["path"] for page in obstore.list(client, "failing") for found in page]
    with pytest.raises(OSError, match="the source has failed"):
        blobs.put_file("a", Dropping(20 << 20))
    with pytest.raises(ZeroDivisionError), blobs.open("a", "wb") as file:
        file.write(LARGE)
        raise ZeroDivisionError
    forgotten = blobs.open("b", "wb")
    forgotten.write(LARGE)
    del forgotten

    assert blobs.get("a") == b"old"
    assert [found["path"] for page in obstore.list(client, "failing") for found in page] == before
    assert "<Key>failing" not in uploads(bucket)


def test_limits_hold_for_uploads(handles: Handles) -> None:
    """All values together; what is too much leaves nothing, and the old value."""
    blobs = handles.blobs(limits=Limits(total_bytes=30 << 20))
    blobs.put_file("a", io.BytesIO(LARGE))
    with pytest.raises(LimitError, match="total_bytes"):
        blobs.put_file("b", io.BytesIO(LARGE))
    blobs.put_file("a", io.BytesIO(LARGE[:-1]))

    assert blobs.keys() == ["a"]
    assert blobs.get("a") == LARGE[:-1]
    assert len(handles.payloads()) == 1


def test_somebody_else_puts_meanwhile(handles: Handles) -> None:
    """Who ends last has the key, whoever has begun first; nothing of the other is left."""
    one, other = handles.blobs(), handles.blobs()
    one.put("first", b"")
    with one.open("a", "wb") as file:
        file.write(LARGE)
        other.put("a", b"other")
        other.put("b", b"")
        between = other.info("a")
    assert other.get("a") == LARGE
    assert other.keys() == ["first", "a", "b"]
    assert other.info("a").created_at == between.created_at

    with one.open("a", "wb") as file:
        file.write(LARGE)
        with other.open("a", "wb") as faster:
            faster.write(LARGE[1:])
    assert other.get("a") == one.get("a") == LARGE
    assert len([name for name in handles.payloads() if obstore.head(handles.client, name)["size"]]) == 1


def test_time_to_live_and_metadata_of_uploads(handles: Handles) -> None:
    """They are those of any other value; and to change them neither copies the value nor disturbs who reads it."""
    blobs, store = handles.blobs(), handles.store()
    blobs.put_file("a", io.BytesIO(LARGE), ttl_secs=60, metadata={"by": "ada"})
    before = handles.payloads()
    with handles.blobs().open("a") as file:
        start = file.read(10)
        assert store.amend("a", meta='{"by":"bob"}') is not None
        assert blobs.prolong("a", FOREVER)
        file.seek(15 << 20)
        assert start + file.read(10) == LARGE[:10] + LARGE[15 << 20 :][:10]

    assert handles.payloads() == before
    handles.clock.now += 61
    assert blobs.get("a") == LARGE
    assert blobs.info("a").metadata == {"by": "bob"}
    store.sweep()
    blobs.delete("a")
    assert handles.payloads() == []


@pytest.mark.parametrize("size", [100, len(LARGE)])
def test_uploads_on_a_condition(handles: Handles, size: int) -> None:
    """One whose condition does not hold in the end leaves nothing; a new one was made when it is told."""
    store, content = handles.store(), LARGE[:size]

    def uploaded(only_if: Any, created: float | None = None) -> int | None:
        coming = store.upload()
        coming.write(content)
        version = coming.finish("a", only_if=only_if, created=created)
        coming.discard()
        return version

    first = uploaded(ABSENT, created=5.0)
    assert first is not None
    assert uploaded(ABSENT) is None
    second = uploaded(first, created=6.0)
    assert second is not None
    assert uploaded(first) is None

    assert store.stat("a").version == second
    assert store.stat("a").created == 5.0
    assert store.read("a") == content
    assert len(handles.payloads()) == 1


def test_what_an_older_diskdict_can_read(handles: Handles) -> None:
    """A value that was put whole is as it was; of one whose payload has a name of its own it is told that it cannot."""
    blobs = handles.blobs()
    blobs.put("whole", b"1")
    blobs.put_file("parts", io.BytesIO(LARGE))

    assert b'{"diskdict":1,' in handles.line("whole")
    assert b'{"diskdict":2,' in handles.line("parts")


@pytest.mark.parametrize("kind", ["json", "bytes"])
def test_stores_of_both_kinds_take_uploads(handles: Handles, keep: Keep, kind: str) -> None:
    """Where small values lie with their keys an upload that stays small does, too."""
    store: Store = keep(ObjectStore(MemoryStore(), codec=kind))
    blobs = BlobStore(store)
    for content in (b"", LARGE[: 1 << 20], LARGE[: 8 << 20], LARGE[: (8 << 20) + 1], LARGE):
        blobs.put_file("a", io.BytesIO(content))
        assert blobs.get("a") == content
        assert blobs.copy("a", "b") == "b"
        assert blobs.move("b", "c") == "c"
        assert blobs.get("c") == content


def test_service_without_conditions_takes_uploads(keep: Keep, tmp_path: Path) -> None:
    """A folder of obstore has none: what is put is there, and moving, which could lose a change, leaves nothing."""
    blobs = BlobStore(keep(ObjectStore(LocalStore(tmp_path), codec="bytes")))
    for content in (LARGE, LARGE[1:]):
        blobs.put_file("a", io.BytesIO(content))
        assert blobs.get("a") == content
    with pytest.raises(OSError, match="ignores the conditions"):
        blobs.move("a", "b")

    assert blobs.keys() == ["a"]
    assert len(list((tmp_path / "large").iterdir())) == 1


# ---- copies


def test_the_service_copies(bucket: Bucket, keep: Keep) -> None:
    """A large value that is copied or moved is not sent: a copy of the service's has an ETag of no parts."""
    url = bucket.url("copies")
    blobs, client = keep(BlobStore(url)), client_of(parsed(url))
    blobs.put_file("a", io.BytesIO(LARGE), ttl_secs=60, metadata={"by": "ada"})
    blobs.copy("a", "b")
    created = blobs.info("b").created_at
    blobs.move("b", "c")
    tags = [str(found["e_tag"]) for page in obstore.list(client, "copies/large") for found in page]

    assert sorted("-" in tag for tag in tags) == [False, True]
    assert blobs.keys() == ["a", "c"]
    assert blobs.get("c") == LARGE
    assert blobs.info("c").metadata == {"by": "ada"}
    assert blobs.info("c").expires_at == blobs.info("a").expires_at
    assert blobs.info("c").created_at == created


def test_what_the_service_cannot_copy_goes_through_here(handles: Handles, keep: Keep) -> None:
    """Another store's value, a part of one, or one that is removed by others just then."""
    one, other = handles.blobs(), handles.blobs()
    one.put_file("a", io.BytesIO(LARGE))
    elsewhere = keep(BlobStore(ObjectStore(MemoryStore(), codec="bytes")))
    with one.open("a") as file:
        elsewhere.put_file("a", file)
    with one.open("a") as file:
        file.seek(1 << 20)
        one.put_file("rest", file)
    with one.open("a") as file:
        other.delete("a")
        one.put_file("late", file)

    assert elsewhere.get("a") == one.get("late") == LARGE
    assert one.get("rest") == LARGE[1 << 20 :]


def test_moving_what_others_change(handles: Handles) -> None:
    """It is moved as it is then, or not at all."""
    one, other = handles.blobs(), handles.blobs()
    other.put_file("a", io.BytesIO(LARGE))
    one.known("a")
    other.put("a", b"small")
    assert one.move("a", "b") == "b"
    assert other.get("b") == b"small"
    upload = handles.store().upload()
    upload.write(LARGE)
    before = other.known("b")
    other.put("b", b"changed")

    assert upload.finish("c", instead_of=Source("b", before.version)) is None
    assert (one.keys(), other.get("b")) == (["b"], b"changed")
    assert len(handles.payloads()) == 1


# ---- out


def test_a_stream_is_one_answer_until_it_seeks(keep: Keep, served: tuple[Service, str]) -> None:
    """What is read in order is asked for once, and once more from where a seek has led."""
    service, url = served
    blobs, content = keep(BlobStore(url)), LARGE[: 3 << 20]
    blobs.put("a", content)
    service.asked.clear()
    with blobs.open("a") as file:
        pieces = [file.read(1_000) for _ in range(2_500)]
        assert file.tell() == 2_500_000
        assert [line.split()[0] for line in service.asked] == ["HEAD", "GET"]
        pieces.append(file.read())
        assert b"".join(pieces) == content
        assert len(service.asked) == 2
        file.seek(100)
        assert file.read(10) == content[100:110]
        assert file.seek(-5, io.SEEK_CUR) == 105
        assert file.read() == content[105:]
        assert file.seek(0, io.SEEK_END) == len(content)
        assert file.read() == b""

    assert len(service.asked) == 3


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Service, str]]:
    """A service that speaks a little of S3, and a URL in it."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    service = Service()
    with service.served() as url:
        yield service, url


def test_an_answer_that_breaks_off(keep: Keep, served: tuple[Service, str]) -> None:
    """It is asked for again from there: a value that is read slowly is read all the same."""
    service, url = served
    blobs, content = keep(BlobStore(url)), LARGE[: 3 << 20]
    blobs.put("a", content)
    service.most = 1_300_000
    with blobs.open("a") as file:
        assert file.read() == content


def test_removed_by_others_while_it_is_read(handles: Handles) -> None:
    """What has been asked for comes; what would be another value's never does, and the error says what to do."""
    one, other = handles.blobs(), handles.blobs()
    one.put_file("a", io.BytesIO(LARGE))
    with one.open("a") as begun, one.open("a") as seeking:
        start = begun.read(10)
        other.put("a", LARGE[::-1])
        assert start + begun.read() == LARGE
        seeking.seek(10 << 20)
        with pytest.raises(ConflictError, match="'a' was replaced or removed while it was read; open it again"):
            seeking.read(10)
        assert one.get("a") == LARGE[::-1]


@pytest.mark.parametrize("wrap", [lambda bare: bare, Compressed, lambda bare: Signed(bare, bytes(32))])
def test_readers_beside_writers_elsewhere(handles: Handles, tmp_path: Path, wrap: Callable[[Blobs], Blobs]) -> None:
    """Who reads all of a value has the old one or the new one, however often others replace it meanwhile."""
    one, other = wrap(handles.blobs()), wrap(handles.blobs())
    values = [LARGE[at : (2 << 20) + at] for at in range(4)]
    other.put("a", values[0])
    done = threading.Event()

    def write() -> None:
        for turn in range(60):
            other.put("a", values[turn % 4])
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while not done.is_set():
            assert one.get("a") in values
            one.get_file("a", tmp_path / "a")
            assert (tmp_path / "a").read_bytes() in values
            one.copy("a", "b")
            assert one.get("b") in values
    finally:
        writer.join()


def test_removed_here_while_it_is_read(handles: Handles) -> None:
    """Who reads through this handle keeps what he has opened, and then it goes."""
    blobs = handles.blobs()
    blobs.put_file("a", io.BytesIO(LARGE))
    with blobs.open("a") as file, blobs.open("a") as second:
        file.read(10)
        blobs.put("a", b"new")
        blobs.delete("a")
        file.seek(10 << 20)
        assert file.read(10) == LARGE[10 << 20 :][:10]
        file.close()
        second.seek(0)
        assert second.read() == LARGE
        assert len(handles.payloads()) == 1

    assert handles.payloads() == []


# ---- memory

GROWTH = """
import os, sys
from diskdict.blobs import BlobStore

url, folder, size = sys.argv[1], sys.argv[2], int(sys.argv[3])


def peak():
    # Of the process itself: getrusage begins with what its parent had.
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


with open(folder + "/source", "wb") as file:
    file.truncate(size)
with BlobStore(url) as blobs:
    blobs.put("warm", bytes(300_000))
    blobs.get("warm")
    before = peak()
    blobs.put_file("a", folder + "/source")
    with blobs.open("b", "wb") as file:
        for _ in range(size >> 20):
            file.write(bytes(1 << 20))
    blobs.copy("a", "c")
    blobs.move("c", "d")
    blobs.get_file("d", folder + "/target")
    with blobs.open("b") as file:
        file.seek(-10, os.SEEK_END)
        assert file.read() == bytes(10)
    assert os.path.getsize(folder + "/target") == blobs.size("a") == blobs.size("b") == size
    print(peak() - before, flush=True)
"""


def test_memory_does_not_grow_with_values(bucket: Bucket, tmp_path: Path) -> None:
    """A file of 64 MiB goes in, is copied, moved and read in less than 32 MiB: a few parts of 8."""
    arguments = [sys.executable, "-c", GROWTH, bucket.url("memory"), str(tmp_path), str(64 << 20)]
    done = subprocess.run(arguments, cwd=ROOT, check=True, capture_output=True, text=True)

    assert int(done.stdout) < 32 << 10


# ---- ends


@pytest.fixture(scope="module")
def crew(bucket: Bucket) -> Iterator[Crew]:
    with Crew("diskdict.blobs", "diskdict.backends.objects") as crew:
        yield crew


KILLED = """
from diskdict.blobs import BlobStore
blobs = BlobStore(url)
with blobs.open("a", "wb") as file:
    for _ in range(1 << 20):
        file.write(bytes(1 << 20))
        say("written")
"""


def test_a_kill_in_the_middle_of_an_upload(bucket: Bucket, crew: Crew) -> None:
    """The old value is there, and what others put then."""
    url = bucket.url(f"killed{next(_places)}")
    with BlobStore(url) as blobs, crew.actor() as actor:
        blobs.put("a", b"old")
        actor.start(KILLED, url=url)
        for _ in range(30):
            actor.hear()
        actor.kill()

        assert blobs.get("a") == b"old"
        assert blobs.put_file("a", io.BytesIO(LARGE)) == "a"
        assert blobs.get("a") == LARGE


def test_what_was_left_is_swept(keep: Keep, served: tuple[Service, str]) -> None:
    """Only what nothing refers to, and nobody is about to refer to after a day."""
    service, url = served
    blobs = keep(BlobStore(url))
    blobs.put("a", b"1")
    blobs.store.amend("a", meta='{"by":"ada"}')
    used = [name for name in service.objects if name.startswith("large/")]
    service.objects["large/old"] = service.objects["large/new"] = Object(b"left", {})
    service.ages = dict.fromkeys((*used, "large/old"), 2 * 86_400)
    blobs.store.sweep()

    assert [name for name in service.objects if name.startswith("large/")] == [*used, "large/new"]
    assert blobs.get("a") == b"1"
