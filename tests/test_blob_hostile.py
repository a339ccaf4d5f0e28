"""Blobs in a folder, fed with what changes, lies, hangs or is not there, by many at once and in processes that fork."""

from __future__ import annotations

import array
import io
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from clocks import Clock

from diskdict import BlobStore, KeyNotFoundError
from diskdict.blobs import Blobs, Compressed, Signed
from diskdict.blobs.encrypted import Encrypted

LARGE = os.urandom(700_001)
HUGE = 17 << 20
"""Bytes of a file whose checksum is taken by a thread beside."""
ROOT = Path(__file__).parent.parent


@pytest.fixture
def blobs(folder: Path, clock: Clock) -> Iterator[BlobStore]:
    with BlobStore(folder, keys="any", clock=clock) as blobs:
        yield blobs
        assert blobs._over.verify().ok
        assert not left(folder)


def left(folder: Path) -> list[str]:
    """Return what uploads have left."""
    return os.listdir(folder / "tmp") if (folder / "tmp").exists() else []


def path_of(blobs: Blobs, key: str) -> Path:
    """Return the file of a value."""
    return Path(blobs.url_for(key).removeprefix("file://"))


# ---- files that change while they are copied


CHANGES: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: os.truncate(path, 1_000),
    "emptied": lambda path: os.truncate(path, 0),
    "grown": lambda path: os.truncate(path, path.stat().st_size + 500_000),
    "replaced": lambda path: path.with_name("new").replace(path),
    "removed": lambda path: path.unlink(),
}


@pytest.mark.parametrize("size", [len(LARGE), HUGE])
@pytest.mark.parametrize("change", CHANGES)
def test_a_source_that_changes_at_the_first_byte(
    blobs: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, size: int
) -> None:
    """What comes of it is a whole value with its own checksum, of what was there at some time; nothing hangs."""
    source, copy = tmp_path / "source", os.copy_file_range
    source.write_bytes(LARGE.ljust(size, b"x"))
    source.with_name("new").write_bytes(b"another file")
    done = []

    def changed(*arguments: int) -> int:
        if not done:
            done.append(CHANGES[change](source))
        return copy(*arguments)

    monkeypatch.setattr(os, "copy_file_range", changed)
    blobs.put_file("a", source)

    expected = {"cut": LARGE[:1_000], "emptied": b"", "grown": LARGE.ljust(size, b"x") + bytes(500_000)}
    assert blobs.get("a") == expected.get(change, LARGE.ljust(size, b"x"))


def test_a_source_that_is_cut_and_grows_all_the_time(blobs: BlobStore, tmp_path: Path) -> None:
    """Each value is whole, whenever somebody else cuts the file that it is copied from."""
    source, done = tmp_path / "source", threading.Event()
    source.write_bytes(LARGE)

    def meddle() -> None:
        while not done.is_set():
            os.truncate(source, 300_000)
            os.truncate(source, 2_000_000)

    meddler = threading.Thread(target=meddle)
    meddler.start()
    try:
        for number in range(30):
            blobs.put_file("a", source)
            assert 300_000 <= len(blobs.get("a")) <= 2_000_000
            assert blobs._over.verify().ok, number
    finally:
        done.set()
        meddler.join()


# ---- sources and targets in the store's own folder


def test_files_of_the_store_itself(blobs: BlobStore, folder: Path, tmp_path: Path) -> None:
    """A value's own file is a source like others, and as a target it is a value that somebody has put there."""
    blobs.put("a", LARGE, ttl_secs=10)
    blobs.put_file("b", path_of(blobs, "a"))
    blobs.put_file("a", path_of(blobs, "a"))
    assert blobs.get("a") == blobs.get("b") == LARGE
    assert blobs.info("b").expires_at is None
    blobs.put_file("manifest", folder / "diskdict.json")
    assert blobs.get("manifest") == (folder / "diskdict.json").read_bytes()

    blobs.get_file("manifest", path_of(blobs, "b"))
    assert blobs.get("b") == blobs.get("manifest")
    blobs._over.repair()


# ---- things that are no files


def test_sources_that_cannot_be_read(blobs: BlobStore, tmp_path: Path) -> None:
    """They are errors of the system, and leave nothing."""
    blobs.put("a", b"old")
    loop, gone, here = tmp_path / "loop", tmp_path / "gone", socket.socket(socket.AF_UNIX)
    loop.symlink_to(loop)
    gone.symlink_to(tmp_path / "nowhere")
    with here:
        here.bind(str(tmp_path / "socket"))
        for name, error in {
            "loop": OSError,
            "gone": FileNotFoundError,
            "socket": OSError,
            "": IsADirectoryError,
            "a\0b": ValueError,
        }.items():
            for move in (False, True):
                with pytest.raises(error):
                    blobs.put_file("a", tmp_path / name, move=move)
    for no_path in (5, None, 1.5, object()):
        with pytest.raises(TypeError):
            blobs.put_file("a", no_path)  # type: ignore[arg-type]

    assert blobs.get("a") == b"old"
    assert loop.is_symlink()
    assert gone.is_symlink()


def test_a_pipe_is_moved_in(blobs: BlobStore, tmp_path: Path) -> None:
    """What comes out of it is stored, and its name goes."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(LARGE))
    writer.start()
    blobs.put_file("a", pipe, move=True)
    writer.join()

    assert blobs.get("a") == LARGE
    assert not pipe.exists()


def test_files_of_the_system(blobs: BlobStore) -> None:
    """They say that they are empty, or larger than they are, and come whole."""
    for path in ("/proc/self/status", "/proc/cpuinfo", "/sys/kernel/mm/transparent_hugepage/enabled", "/dev/null"):
        if Path(path).exists():
            blobs.put_file("a", path)
            assert len(blobs.get("a")) == len(Path(path).read_bytes())


def test_a_file_that_is_open_to_append(blobs: BlobStore, tmp_path: Path) -> None:
    """It is read from where it stands, and written to at its end."""
    source = tmp_path / "source"
    source.write_bytes(LARGE)
    with source.open("a+b") as file:
        blobs.put_file("end", file)
        file.seek(100)
        blobs.put_file("rest", file)
        blobs.get_file("rest", file)

    assert blobs.get("end") == b""
    assert blobs.get("rest") == LARGE[100:]
    assert source.read_bytes() == LARGE + LARGE[100:]


def test_files_that_are_not_open_to_read(blobs: BlobStore, tmp_path: Path) -> None:
    """A file that is open to write, or closed, is an error; a buffer that was read into counts as read."""
    source = tmp_path / "source"
    source.write_bytes(LARGE)
    for buffering in (0, -1):
        with source.open("r+b", buffering=buffering) as file:
            assert file.read(10) == LARGE[:10]
            blobs.put_file("rest", file)
            assert blobs.get("rest") == LARGE[10:]
        with pytest.raises(ValueError, match="closed"):
            blobs.put_file("a", file)
    for buffering in (0, -1):
        with (tmp_path / "new").open("wb", buffering=buffering) as file:
            file.write(LARGE)
            with pytest.raises(OSError, match=r"read|descriptor"):
                blobs.put_file("a", file)

    assert "a" not in blobs


# ---- streams that lie


class Stream(io.RawIOBase):
    """Gives these pieces, one a read."""

    def __init__(self, *pieces: object) -> None:
        self._pieces = list(pieces)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> object:  # type: ignore[override]
        return self._pieces.pop(0) if self._pieces else b""


def test_what_a_stream_may_give(blobs: BlobStore) -> None:
    """More than was asked for, and bytes of any kind, are stored; anything else is refused, and no part of it stays."""
    numbers = memoryview(array.array("i", range(100_000)))
    blobs.put_file("a", Stream(b"x" * 1_000_000, bytearray(b"y"), memoryview(b"zz"), numbers, numbers[::2]))
    expected = b"x" * 1_000_000 + b"yzz" + numbers.tobytes() + numbers[::2].tobytes()
    assert blobs.get("a") == expected
    assert blobs.size("a") == len(expected)
    for piece, error in (("text", TypeError), (5, TypeError), ([b"x"], TypeError), (None, BlockingIOError)):
        for first in (b"x", b"x" * 600_000):
            with pytest.raises(error):
                blobs.put_file("a", Stream(first, piece))

    assert blobs.get("a") == expected


class Refilling(io.RawIOBase):
    """Gives the same buffer each time, with something else in it."""

    def __init__(self, rounds: int) -> None:
        self._buffer, self._rounds = bytearray(), iter(range(rounds))

    def read(self, size: int = -1) -> bytearray:  # type: ignore[override]
        self._buffer.clear()
        for number in self._rounds:
            self._buffer += b"%d|" % number * 50_000
            break
        return self._buffer


def test_a_stream_that_uses_its_buffer_again(blobs: BlobStore) -> None:
    """Each piece is stored as it was when it was given."""
    blobs.put_file("a", Refilling(9))

    assert blobs.get("a") == b"".join(b"%d|" % number * 50_000 for number in range(9))


class Liar(io.BytesIO):
    """Has the descriptor of something else."""

    def __init__(self, content: bytes, fd: int) -> None:
        super().__init__(content)
        self._fd = fd

    def fileno(self) -> int:
        return self._fd


class Reversing(io.FileIO):
    """Gives other bytes than its file has."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(size)[::-1]


def test_a_stream_whose_descriptor_is_of_something_else(blobs: BlobStore, tmp_path: Path) -> None:
    """What it gives is stored, not what its descriptor does."""
    other = tmp_path / "other"
    other.write_bytes(b"the file of somebody else " * 100_000)
    with other.open("rb") as file:
        blobs.put_file("a", Liar(LARGE, file.fileno()))
    assert blobs.get("a") == LARGE
    with Reversing(other) as stream:
        blobs.put_file("a", stream)

    with Reversing(other) as stream:
        assert blobs.get("a") == b"".join(iter(lambda: stream.read(1 << 18), b""))


# ---- keys


@pytest.mark.parametrize("key", ["k" * 100_000, "\ud800" * 5_000, "ü/" * 20_000, "\0" * 300])
def test_huge_keys(blobs: BlobStore, key: str, tmp_path: Path) -> None:
    """A value under one comes and goes by every way."""
    (tmp_path / "source").write_bytes(LARGE)
    blobs.put_file(key, tmp_path / "source", move=True)
    blobs.copy(key, key + "c")
    with blobs.open(key + "w", "wb") as file:
        file.write(LARGE)
    blobs.move(key + "w", key)

    assert blobs.keys() == [key + "c", key]
    assert blobs.get(key) == blobs.get(key + "c") == LARGE


# ---- several at once


def test_two_uploads_to_one_key(blobs: BlobStore) -> None:
    """The one that is closed last counts, and neither has a byte of the other."""
    first, second = blobs.open("a", "wb"), blobs.open("a", "wb")
    for _ in range(30):
        first.write(b"1" * 50_000)
        second.write(b"2" * 50_000)
    second.close()
    assert blobs.get("a") == b"2" * 1_500_000
    first.close()

    assert blobs.get("a") == b"1" * 1_500_000


@pytest.mark.parametrize("durability", ["process", "interval", "full"])
def test_uploads_by_sixteen_threads(folder: Path, tmp_path: Path, durability: str) -> None:
    """Each thread finds what it has stored, whichever way it came, and nothing of what it has moved away is left."""
    wrong: list[object] = []

    def work(number: int) -> None:
        source, content = tmp_path / f"source{number}", bytes([number]) * (300_000 + number)
        try:
            for at in range(6):
                source.write_bytes(content)
                blobs.put_file(f"{number}-a", source, move=at % 2 == 1)
                with blobs.open(f"{number}-b", "wb") as file:
                    file.write(content)
                blobs.copy(f"{number}-a", "shared")
                blobs.move(f"{number}-b", f"{number}-c")
                found = [blobs.get(f"{number}-{each}") for each in "ac"]
                shared = blobs.get("shared")
                if found != [content] * 2 or shared != shared[:1] * (300_000 + shared[0]) or f"{number}-b" in blobs:
                    wrong.append((number, at, list(map(len, found))))
        except Exception as error:  # whatever it is
            wrong.append(error)

    with BlobStore(folder, durability=durability, timeout=5) as blobs:  # type: ignore[arg-type]
        threads = [threading.Thread(target=work, args=[number]) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
        assert blobs._over.verify().ok
        assert not left(folder)
    with BlobStore(folder) as blobs:
        assert len(blobs.keys()) == 33
        assert blobs._over.verify().ok


# ---- time


@pytest.mark.parametrize(
    "wrap", [lambda store: store, lambda store: Compressed(Encrypted(Signed(store, b"s" * 32), b"e" * 32))]
)
def test_a_time_to_live_that_passes_while_it_is_written(
    blobs: BlobStore, clock: Clock, wrap: Callable[[Blobs], Blobs]
) -> None:
    """It counts from the end; what was there before may expire meanwhile."""
    store = wrap(blobs)
    store.put("a", b"old", ttl_secs=5)
    for size in (10, 600_000):
        with store.open("a", "wb", 10) as file:
            file.write(bytes(size))
            clock.tick(60)
            assert "a" not in store
        assert store.get("a") == bytes(size)
        clock.tick(9)
        assert "a" in store
        clock.tick(1)
        with pytest.raises(KeyNotFoundError):
            store.get("a")


# ---- processes


FORKS = """
import os, sys
from diskdict import BlobStore

blobs = BlobStore(sys.argv[1], durability=sys.argv[2])
blobs.put("a", b"old")
file = blobs.open("a", "wb")
file.write(b"x" * 500_000)
child = os.fork()
if not child:
    try:
        file.write(b"from the child")
        file.close()
    except ValueError as error:
        print(type(error).__name__, flush=True)
    del file
    blobs.close()
    os._exit(0)
os.waitpid(child, 0)
assert blobs.get("a") == b"old"
file.write(b"y" * 500_000)
file.close()
assert blobs.get("a")[:500_000] == b"x" * 500_000, "the beginning"
print(len(blobs.get("a")), blobs._over.verify().ok)
blobs.close()
"""


@pytest.mark.parametrize("durability", ["process", "full"])
def test_fork_in_the_middle_of_an_upload(folder: Path, durability: str) -> None:
    """The child has a closed store and takes nothing away; the value is that of the parent."""
    arguments = [sys.executable, "-c", FORKS, str(folder), durability]
    said = subprocess.run(arguments, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()

    assert said == ["ClosedError", "1000000", "True"]
