"""``diskdict migrate``: what is carried, between folders and servers, and what a stop on the way leaves."""

from __future__ import annotations

import faulthandler
import json
import math
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from clocks import Clock
from moto_server import Bucket, s3_server
from postgres_server import PostgresServer
from redis_server import Server, require_redis
from serving import served
from shell import Said, run_here, start

from diskdict import BlobStore, DiskDict, Entry, KVStore, open_store
from diskdict.migrate import Migrated, migrate

Dict = DiskDict[object, object]
Place = Callable[[], str]
"""Gives the URL of an empty store on a server."""

_numbers = count()


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory, announce: Any) -> Iterator[Server]:
    require_redis(announce)
    with Server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=["postgres", "redis"])
def place(request: pytest.FixtureRequest) -> Place:
    """Stores of each kind of server."""
    server = request.getfixturevalue(request.param)
    if isinstance(server, PostgresServer):
        return lambda: server.url(table=f"migrated{next(_numbers)}")
    return lambda: f"{server.url}/0?prefix=migrated{next(_numbers)}:"


@pytest.fixture
def filled(folder: Path) -> Path:
    """A folder with keys and values of all types."""
    with Dict(folder) as d:
        d.restore([Entry("old", {"n": 1}, created_at=1000.5)])
        d[True, b"\xff"], d["=x"], d["raw"], d["\ud800"] = (1, {2}), math.inf, b"\x00", {"$tuple": "\ud800"}
        d.set("short", "naïve\n", ttl=1000, metadata={"m": (1,)})
    return folder


def many(folder: Path, number: int) -> None:
    """Fill a folder with keys of which some expire, some have metadata, and none is where it sorts to."""
    with Dict(folder) as d:
        d.restore(
            Entry(
                f"k{each * 7919 % number}",
                {"n": each},
                expires_at=4e9 + each if each % 3 == 0 else None,
                created_at=1e9 + each,
                metadata={"tag": each} if each % 2 else {},
            )
            for each in range(number)
        )


def entries(folder: Path) -> list[Entry[object, object]]:
    with Dict(folder, readonly=True) as d:
        return list(d.entries())


def migrated(source: Path | str, target: Path | str, *options: str) -> Said:
    return run_here("migrate", source, target, *options, store=Path("unused"))


def counts(source: Path | str, target: Path | str, *options: str) -> tuple[int, int, int]:
    said = migrated(source, target, *options, "--json")
    assert (said.code, said.err) == (0, "")
    found = json.loads(said.out)
    assert list(found) == ["copied", "there", "skipped"]
    return tuple(found.values())


# ---- between folders


def test_migrate_carries_all(filled: Path, tmp_path: Path) -> None:
    """To a path or a URL; again, nothing is copied."""
    assert counts(filled, tmp_path / "a") == (6, 0, 0)
    assert counts(filled, f"file://{tmp_path}/b") == (6, 0, 0)
    assert counts(filled, tmp_path / "a") == (0, 6, 0)
    assert migrated(filled, tmp_path / "a").out == b"copied   0\nthere    6\nskipped  0\n"
    assert repr(entries(tmp_path / "a")) == repr(entries(tmp_path / "b")) == repr(entries(filled))


@pytest.mark.parametrize(
    ("mode", "code", "value", "done"), [("error", 1, "other", None), ("skip", 0, "other", 1), ("overwrite", 0, 1, 2)]
)
def test_on_conflict(mode: str, code: int, value: object, done: int | None, folder: Path, tmp_path: Path) -> None:
    """A key that has another value there ends it, is left, or is overwritten."""
    for path, values in ((folder, {"a": 1, "b": 2}), (tmp_path / "target", {"a": "other"})):
        with Dict(path) as d:
            d.update(values)

    said = migrated(folder, tmp_path / "target", "--on-conflict", mode, "--json")

    assert said.code == code
    assert done is None or json.loads(said.out)["copied"] == done
    assert (said.err == "diskdict: key 'a' exists already\n") == bool(code)
    assert [entry.value for entry in entries(tmp_path / "target")] == [value, 2][: 1 if code else 2]


def test_migrate_refuses(filled: Path, tmp_path: Path) -> None:
    """No source, a target that is no store, a URL that nobody knows, what does not last, a store into itself."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("mine")

    for code, source, target in (
        (2, tmp_path / "none", tmp_path / "new"),
        (2, filled, tmp_path / "mine"),
        (2, filled, tmp_path / "mine" / "file"),
        (2, filled, "nonsense://there"),
        (2, filled, "memory:"),
        (2, "memory:", filled),
        (3, filled, filled),
    ):
        said = migrated(source, target)
        assert (said.code, said.out, said.err.count("\n")) == (code, b"", 1)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("codec", ["raw", "pickle"])
def test_codec_is_that_of_the_source(codec: str, folder: Path, tmp_path: Path, place: Place) -> None:
    """Without being told; payloads are copied as they are, and no other codec is taken."""
    with Dict(folder, codec=codec) as d:
        d["k"] = b"value"
    with Dict(tmp_path / "json"):
        pass
    url = place()

    assert counts(folder, tmp_path / "copy") == (1, 0, 0)
    assert counts(folder, url) == (1, 0, 0)
    assert counts(url, tmp_path / "back", "--codec", codec) == (1, 0, 0)
    for path in (tmp_path / "copy", tmp_path / "back"):
        with Dict(path, codec=codec) as d:
            assert d["k"] == b"value"
    for source, target, *options in ((folder, tmp_path / "json"), (folder, tmp_path / "new", "--codec", "json")):
        said = migrated(source, target, *options)
        assert (said.code, codec in said.err, "json" in said.err) == (2, True, True)
    said = migrated(url, tmp_path / "new")
    assert (said.code, "--codec" in said.err) == (2, True)


def test_kinds(tmp_path: Path, place: Place) -> None:
    """A new folder is what the source was; where a server has lost that, it is said again; a queue is not copied."""
    with KVStore("file", {"path": tmp_path / "kv"}, namespace="n").sync as store:
        store.set("a.b", 1)
    (tmp_path / "queue").mkdir()
    (tmp_path / "queue" / "diskdict.json").write_text(
        (tmp_path / "kv" / "diskdict.json").read_text().replace('"kv"', '"queue"')
    )
    url = place()

    counts(tmp_path / "kv", tmp_path / "copy")
    counts(tmp_path / "kv", url)
    counts(url, tmp_path / "back", "--kind", "kv")

    kinds = [json.loads((tmp_path / name / "diskdict.json").read_text())["kind"] for name in ("copy", "back")]
    assert kinds == ["kv", "kv"]
    with KVStore("file", {"path": tmp_path / "back"}, namespace="n").sync as store:
        assert store.get("a.b") == 1
    assert "'queue'" in migrated(tmp_path / "queue", tmp_path / "new").err


# ---- by way of servers


def test_there_and_back(filled: Path, tmp_path: Path, place: Place) -> None:
    """Keys, values, order, expiry, creation and metadata are those of before, in the folder that comes back."""
    url = place()

    assert counts(filled, url, "--batch-size", "2") == (6, 0, 0)
    assert counts(url, tmp_path / "back", "--batch-size", "2") == (6, 0, 0)
    assert counts(url, url) == (0, 6, 0)
    assert repr(entries(tmp_path / "back")) == repr(entries(filled))


def test_by_way_of_a_server_of_folders(filled: Path, tmp_path: Path) -> None:
    """``diskdict serve`` gives and takes the same; what is more than a request of it may hold goes in several."""
    with Dict(filled) as d:
        d.update({name: name * size for name, size in {"a": 7 << 20, "b": 3 << 20, "c": 3 << 20}.items()})

    with served(tmp_path / "served") as url:
        assert counts(filled, url) == (9, 0, 0)
        assert counts(url, tmp_path / "back") == (9, 0, 0)
    assert entries(tmp_path / "back") == entries(filled)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hush%20hush@127.0.0.1:1/nowhere",
        "postgresql://me:hush%zz@127.0.0.1:1/nowhere",
        "postgresql://me:hush hush@127.0.0.1:x/nowhere",
        "postgresql://127.0.0.1:1/nowhere?user=me&password=hush&nonsense=1",
        "redis://:hush@127.0.0.1:1/0",
        "redis://:hush@127.0.0.1:x/0",
        "http://me:hush@127.0.0.1:1",
        "mysql://me:hush@127.0.0.1/nowhere",
        "file://me:hush@host/path",
    ],
)
def test_passwords_are_not_printed(filled: Path, url: str) -> None:
    """Nor when the server is not there, or the URL is wrong."""
    for said in (
        migrated(filled, f"{url}&timeout=1" if "?" in url else f"{url}?timeout=1"),
        migrated(filled, url.replace("?nonsense", "")) if "http" in url else migrated(url, filled),
    ):
        assert (said.code, said.out, said.err.count("\n")) == (2, b"", 1)
        assert "hush" not in said.err


def test_commands_on_a_server(filled: Path, tmp_path: Path, place: Place) -> None:
    """All that is about keys takes a URL in place of a folder; what is about files says that it does not."""
    url = place()
    counts(filled, url)

    def said(*arguments: str) -> bytes:
        found = run_here(*arguments, store=url)
        assert (found.code, found.err) == (0, ""), arguments
        return found.out

    assert (said("get", "old"), said("ttl", "old")) == (b'{"n":1}\n', b"never\n")
    assert said("keys").splitlines()[-2:] == [b"\\ud800", b"short"]
    assert said("ls", "--json").count(b"\n") == 6
    assert said("stats") == b"keys  6\n"
    assert {"metadata", "expires_at"} <= json.loads(said("info", "short", "--json")).keys()
    said("export", str(tmp_path / "lines"))
    said("set", "new", "1")
    said("expire", "new", "never")
    assert json.loads(said("import", str(tmp_path / "lines"), "--on-conflict", "skip", "--json"))["skipped"] == 6
    said("del", "new", "old")
    assert said("stats") == b"keys  5\n"
    for command in ("verify", "repair"):
        found = run_here(command, store=url)
        assert (found.code, "folder" in found.err) == (2, True)


# ---- killed


def kept(folder: Path) -> int:
    """Return how many values a folder has that another process fills."""
    return sum(len(list(shard.glob("[!.]*"))) for shard in (folder / "data").glob("*"))


def kill_at(enough: int, source: Path | str, target: Path | str, size: Callable[[], int]) -> bool:
    """Kill a migration when `enough` keys have come over; return whether it was still under way."""
    with start("migrate", source, target, "--batch-size", "20", store=None) as child:
        while child.poll() is None and size() < enough:
            time.sleep(0.005)
        child.kill()
    return child.returncode != 0


def there_and_back_killed(folder: Path, tmp_path: Path, url: str, keys: int, kills: int) -> None:
    """Kill migrations at random moments, each begun anew, and compare what has come back in the end."""
    many(folder, keys)
    moments = random.Random(keys)
    back = tmp_path / "back"
    with closing(open_store(url)) as store:
        for source, target, size in ((folder, url, store.count), (url, back, lambda: kept(back))):
            killed = [
                kill_at(enough, source, target, size)
                for enough in sorted(moments.randrange(keys) for _ in range(kills))
            ]
            copied, there, skipped = counts(source, target)
            assert (copied + there, skipped) == (keys, 0)
            assert any(killed)
            assert there
    assert entries(back) == entries(folder)
    assert (back / "diskdict.json").read_bytes() == (folder / "diskdict.json").read_bytes()


def test_migrations_that_are_killed(folder: Path, tmp_path: Path, place: Place) -> None:
    """Run again, they complete: the folder that comes back is the one that went."""
    there_and_back_killed(folder, tmp_path, place(), keys=800, kills=2)


@pytest.mark.torture
def test_migrations_that_are_killed_often(folder: Path, tmp_path: Path, place: Place) -> None:
    """The same with more keys and many kills."""
    faulthandler.cancel_dump_traceback_later()  # it would end the run after two minutes
    there_and_back_killed(folder, tmp_path, place(), keys=5_000, kills=40)


# ---- files by key

LARGE = 5 << 20
"""Bytes that go as a stream."""


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    with s3_server() as endpoint, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "someone")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        yield Bucket(endpoint, "bucket")


@pytest.fixture(params=["folder", "postgres", "redis", "bucket"])
def blob_place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place for files by key that is empty."""
    if request.param == "folder":
        return str(tmp_path / "there")
    server = request.getfixturevalue(request.param)
    if isinstance(server, Bucket):
        return server.url(f"migrated{next(_numbers)}")
    if isinstance(server, PostgresServer):
        return server.url(table=f"migrated{next(_numbers)}")
    return f"{server.url}/0?prefix=migrated{next(_numbers)}:"


def blobs_in(folder: Path, number: int) -> Path:
    """Fill a folder with files, each seventh a large one, some of which expire or have metadata."""
    content = random.Random(number).randbytes(LARGE)
    with BlobStore(folder, keys="extended") as blobs:
        for each in range(number):
            key, size = f"a file/{each * 7919 % number}", LARGE if each % 7 == 3 else each
            blobs.put(
                key, content[-size or LARGE :], 1e6 if each % 3 else None, metadata={"n": each} if each % 2 else None
            )
        blobs.put("empty", b"", metadata={"none": True})
        blobs.store.put("created", b"long ago", created=1_000.5)
    return folder


def rows(place: Path | str) -> list[tuple[object, ...]]:
    """Return all that is known of files by key, and what they hold."""
    with BlobStore(place, keys="extended") as blobs:
        return [
            (key, blobs.get(key), found.created_at, found.expires_at and round(found.expires_at), found.metadata)
            for key in blobs
            for found in [blobs.info(key)]
        ]


def test_files_by_key_there_and_back(folder: Path, tmp_path: Path, blob_place: str) -> None:
    """All of each comes over and back in order, large ones too; again, nothing is copied."""
    before = rows(blobs_in(folder, 8))

    assert counts(folder, blob_place) == (10, 0, 0)
    assert rows(blob_place) == before
    assert counts(folder, blob_place) == (0, 10, 0)
    assert counts(blob_place, tmp_path / "back", "--codec", "bytes") == (10, 0, 0)
    assert rows(tmp_path / "back") == before
    assert counts(blob_place, tmp_path / "back") == (0, 10, 0)
    assert (tmp_path / "back" / "diskdict.json").read_bytes() == (folder / "diskdict.json").read_bytes()
    assert run_here("verify", store=tmp_path / "back").code == 0


@pytest.mark.parametrize("size", [10, LARGE])
@pytest.mark.parametrize("mode", ["error", "skip", "overwrite"])
def test_on_conflict_of_files_by_key(mode: str, size: int, folder: Path, tmp_path: Path) -> None:
    """A file of the same length with other content ends it, is left, or is overwritten where it is."""
    for path, contents in ((folder, {"a": b"1", "b": b"2"}), (tmp_path / "target", {"b": b"3", "a": b"1"})):
        with BlobStore(path) as blobs:
            for key, content in contents.items():
                blobs.put(key, content * size)

    said = migrated(folder, tmp_path / "target", "--on-conflict", mode, "--json")

    assert said.code == (mode == "error")
    assert (said.err == "diskdict: key 'b' exists already\n") == (mode == "error")
    if mode != "error":
        assert json.loads(said.out) == {"copied": mode == "overwrite", "there": 1, "skipped": mode == "skip"}
    with BlobStore(tmp_path / "target") as blobs:
        assert [(key, blobs.get(key)[-1:]) for key in blobs] == [
            ("b", b"2" if mode == "overwrite" else b"3"),
            ("a", b"1"),
        ]


def test_other_terms_of_a_large_file_are_another_value(folder: Path, tmp_path: Path) -> None:
    """The same content with other metadata, or for another time, is not taken to be there."""
    for path, metadata, ttl in ((folder, {"n": 1}, None), (tmp_path / "m", {}, None), (tmp_path / "t", {"n": 1}, 60)):
        with BlobStore(path) as blobs:
            blobs.put("a", bytes(LARGE), ttl, metadata=metadata)

    for path in (tmp_path / "m", tmp_path / "t"):
        assert migrated(folder, path).code == 1
        assert counts(folder, path, "--on-conflict", "overwrite") == (1, 0, 0)
        with BlobStore(path) as blobs:
            assert (blobs.info("a").metadata, blobs.info("a").expires_at) == ({"n": 1}, None)


def test_large_files_have_what_time_is_left(folder: Path, tmp_path: Path) -> None:
    """Whatever the clocks say, as for other keys; what has expired is not there to be copied."""
    here, there = Clock(), Clock()
    there.now += 1_000
    with BlobStore(folder, clock=here) as one, BlobStore(tmp_path / "target", clock=there) as other:
        one.put("a", bytes(LARGE), 60)
        one.put("b", bytes(LARGE), 1)
        here.tick(1)

        assert migrate(one.store, other.store, streams=True) == Migrated(1, 0, 0)
        assert other.info("a").expires_at == there.now + 59


def test_files_by_key_stay_what_they_are(folder: Path, tmp_path: Path, place: Place) -> None:
    """No other kind of folder, no file, and no server that is taken for another, gets or gives them."""
    blobs_in(folder, 3)
    with Dict(tmp_path / "dict") as d:
        d["a"] = 1
    url = place()
    counts(folder, url)

    for source, target, told in (
        (folder, tmp_path / "dict", "different codecs"),
        (tmp_path / "dict", folder, "different codecs"),
        (folder, tmp_path / "one.json", "one file"),
        (url, tmp_path / "back", "--codec"),
    ):
        said = migrated(source, target)
        assert (said.code, said.out, told in said.err) == (2, b"", True), said
    assert not (tmp_path / "one.json").exists()


def test_commands_on_files_by_key_of_a_server(folder: Path, tmp_path: Path, place: Place) -> None:
    """With --codec bytes what reads and removes them works, and what would put them there is refused."""
    counts(blobs_in(folder, 4), url := place())

    def said(*arguments: str, code: int = 0) -> Said:
        found = run_here(*arguments, "--codec", "bytes", store=url)
        assert found.code == code, found
        return found

    assert said("get", "created").out == b"long ago"
    assert said("get", "empty").out == b""
    assert said("keys").out.splitlines()[-2:] == [b"empty", b"created"]
    assert json.loads(said("info", "empty", "--json").out)["metadata"] == {"none": True}
    said("del", "empty")
    said("expire", "created", "100")
    assert said("stats").out == b"keys  5\n"
    assert "BlobStore" in said("set", "new", "--raw", code=2).err
    assert "files by key" in run_here("keys", "--codec", "bytes", store=tmp_path / "none").err


def kill_when(reached: Callable[[], bool], source: Path | str, target: Path | str) -> bool:
    """Kill a migration of files by key at this moment; return whether it was still under way."""
    with start("migrate", source, target, "--codec", "bytes", "--batch-size", "2", store=None) as child:
        while child.poll() is None and not reached():
            time.sleep(0.001)
        child.kill()
    return child.returncode != 0


def completed(source: Path | str, target: Path | str, number: int) -> None:
    """Run a migration that was killed again, and see that it has all keys and had some."""
    copied, there, skipped = counts(source, target, "--codec", "bytes")
    assert (copied + there, skipped) == (number, 0)
    assert there


def files_there_and_back_killed(folder: Path, tmp_path: Path, url: str, number: int) -> None:
    """Kill migrations of files by key, also in the middle of a large one, and compare what comes back in the end."""
    before = rows(blobs_in(folder, number))
    back = tmp_path / "back"
    with closing(open_store(url, codec="bytes")) as store:
        for source, target, reached in (
            (folder, url, lambda: store.count() >= number // 2),
            (url, back, lambda: kept(back) >= number // 2),
            (url, back, lambda: any(back.glob("tmp/*"))),
        ):
            assert kill_when(reached, source, target)
            if target == url:
                completed(folder, url, number + 2)
    completed(url, back, number + 2)
    assert rows(back) == before
    assert run_here("verify", store=back).code == 0


def test_files_by_key_that_are_killed_on_their_way(folder: Path, tmp_path: Path, redis: Server) -> None:
    """Run again, they complete: nothing of a large one is there before all of it is."""
    files_there_and_back_killed(folder, tmp_path, f"{redis.url}/0?prefix=migrated{next(_numbers)}:", 22)


@pytest.mark.torture
def test_files_by_key_that_are_killed_often(folder: Path, tmp_path: Path, place: Place) -> None:
    """The same with more of them, on each kind of server."""
    files_there_and_back_killed(folder, tmp_path, place(), 60)


GROWTH = """
import resource, sys
from diskdict.cli import main

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

assert main(["migrate", sys.argv[1], sys.argv[2]]) == 0
before = peak()
assert main(["migrate", sys.argv[3], sys.argv[4]]) == 0
assert main(["migrate", sys.argv[3], sys.argv[4]]) == 0
print(peak() - before)
"""


def test_memory_does_not_grow_with_what_is_migrated(tmp_path: Path) -> None:
    """A file of 48 MiB, and many that are as large together, go over and are compared in less than 16 MiB."""
    with BlobStore(tmp_path / "small") as blobs:
        blobs.put("a", bytes(6 << 20))
    with BlobStore(tmp_path / "large") as blobs, open(tmp_path / "file", "wb") as file:
        file.truncate(48 << 20)
        blobs.put_file("a", tmp_path / "file")
        for number in range(24):
            blobs.put(str(number), bytes(2 << 20))

    arguments = [tmp_path / name for name in ("small", "small.copy", "large", "large.copy")]
    done = subprocess.run([sys.executable, "-c", GROWTH, *arguments], capture_output=True, text=True, check=True)

    assert int(done.stdout.splitlines()[-1]) < 16 << 10
