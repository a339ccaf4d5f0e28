"""Blobs in a folder: files of callers, streams that others change, uploads under way, and what is left of them."""

from __future__ import annotations

import array
import io
import os
import pickle
import shutil
import stat
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import pytest
from clocks import Clock
from mounts import CannotMountError, image
from tallies import Announce, tally

from diskdict import ClosedError, CorruptValueError, DiskDict, FormatError, KeyNotFoundError, LimitError, Limits, ids
from diskdict.backends.file import FolderStore
from diskdict.blobs import Blobs, BlobStore, Compressed, Signed
from diskdict.blobs.encrypted import Encrypted
from diskdict.blobs.layers import Terms

LARGE = os.urandom(700_001)
ROOT = Path(__file__).parent.parent


@pytest.fixture
def blobs(folder: Path, clock: Clock) -> Iterator[BlobStore]:
    with BlobStore(folder, clock=clock) as blobs:
        yield blobs
        assert blobs._over.verify().ok


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file of the caller's."""
    path = tmp_path / "source"
    path.write_bytes(LARGE)
    path.chmod(0o640)
    os.utime(path, (1_000_000_000, 1_000_000_000))
    return path


def looks(path: Path) -> tuple[bytes, int, int, list[str]]:
    """Return all that a caller may see of a file."""
    status = path.stat()
    return path.read_bytes(), stat.S_IMODE(status.st_mode), status.st_mtime_ns, os.listxattr(path)


def left(folder: Path) -> list[str]:
    """Return what uploads have left."""
    return os.listdir(folder / "tmp") if (folder / "tmp").exists() else []


# ---- files that are moved in


def test_a_moved_file_is_the_value(blobs: BlobStore, source: Path) -> None:
    """No byte is copied, and the value has the bits and the time of a value."""
    inode = source.stat().st_ino
    before = blobs.info(blobs.put("other", b"")).updated_at
    blobs.put_file("a", source, move=True)

    value = Path(blobs.url_for("a").removeprefix("file://"))
    assert (value.stat().st_ino, stat.S_IMODE(value.stat().st_mode), value.stat().st_nlink) == (inode, 0o600, 1)
    assert blobs.info("a").updated_at >= before
    assert not source.exists()


@pytest.mark.parametrize("name", ["lock", "diskdict.json", "value", "link"])
def test_files_of_the_store_are_not_moved_in(blobs: BlobStore, folder: Path, tmp_path: Path, name: str) -> None:
    """Not by any way that leads there: what a store consists of stays."""
    blobs.put("other", b"x")
    value = Path(blobs.url_for("other").removeprefix("file://"))
    path = tmp_path / "link" / "lock" if name == "link" else value if name == "value" else folder / name
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(ValueError, match="a file of the store itself"):
        blobs.put_file("a", path, move=True)

    assert path.exists()
    assert blobs.keys() == ["other"]


@pytest.mark.parametrize("fails", ["the limit", "the disk", "the store is closed"])
def test_a_file_that_could_not_be_moved_is_as_it_was(folder: Path, source: Path, fails: str) -> None:
    """Content, permission bits, times and attributes are those of before, and nothing else is left."""
    before = looks(source)
    with BlobStore(folder, limits=Limits(total_bytes=800_000)) as blobs:
        blobs.put("a", b"old")
        place = Path(blobs.url_for("b").removeprefix("file://"))
        if fails == "the disk":
            place.mkdir(parents=True)
        elif fails == "the limit":
            blobs.put("c", bytes(200_000))
        draft = blobs.writing("b", Terms())
        assert draft.adopt(str(source), source.stat())
        if fails == "the store is closed":
            blobs.close()
        with pytest.raises((LimitError, IsADirectoryError, ClosedError)), draft:
            draft.finish()

        assert looks(source) == before
        assert not left(folder)
    if fails == "the disk":
        place.rmdir()
    with BlobStore(folder) as blobs:
        assert blobs.get("a") == b"old"
        assert "b" not in blobs
        assert blobs._over.verify().ok


def test_what_cannot_be_moved_is_copied(blobs: BlobStore, source: Path, tmp_path: Path) -> None:
    """A file with another name, with attributes of a value, or behind a link is not touched by what is stored."""
    other = tmp_path / "other"
    os.link(source, other)
    blobs.put_file("a", source, move=True)
    other.write_bytes(b"changed")
    assert blobs.get("a") == LARGE
    link = tmp_path / "link"
    link.symlink_to(other)
    blobs.put_file("b", link, move=True)
    assert (os.path.lexists(link), other.read_bytes(), blobs.get("b")) == (False, b"changed", b"changed")
    with BlobStore(tmp_path / "elsewhere") as elsewhere:
        elsewhere.put("c", b"value", ttl_secs=60)
        blobs.put_file("d", elsewhere.url_for("c").removeprefix("file://"), move=True)
        assert "c" not in elsewhere

    assert blobs.get("d") == b"value"
    assert blobs.info("d").expires_at is None


def test_what_replaces_a_file_while_it_is_moved_is_not_removed(
    blobs: BlobStore, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what was stored goes."""

    def replaced(path: str, *arguments: object, **options: object) -> None:
        source.rename(source.with_name("first"))
        source.write_bytes(b"second")
        link(path, *arguments, **options)

    link = os.link
    monkeypatch.setattr(os, "link", replaced)
    blobs.put_file("a", source, move=True)

    assert blobs.get("a") == LARGE
    assert source.read_bytes() == b"second"
    assert source.with_name("first").read_bytes() == LARGE


def test_a_folder_that_keeps_its_files(blobs: BlobStore, source: Path) -> None:
    """A file that cannot be removed is an error, and what is stored shares nothing with it."""
    source.parent.chmod(0o500)
    try:
        if os.access(source.parent, os.W_OK):
            blobs.put_file("a", source, move=True)
            return
        with pytest.raises(PermissionError):
            blobs.put_file("a", source, move=True)
        source.write_bytes(b"changed")
    finally:
        source.parent.chmod(0o700)
    assert blobs.get("a") == LARGE


def test_from_another_filesystem(blobs: BlobStore, tmp_path: Path) -> None:
    """A file that cannot be renamed to the store is copied and removed."""
    shm = Path("/dev/shm") if not str(tmp_path).startswith("/dev/shm") else Path("/tmp")
    if shm.stat().st_dev == tmp_path.stat().st_dev:
        shm = tmp_path
    far = shm / f"diskdict-far-{os.getpid()}"
    far.write_bytes(LARGE)
    blobs.put_file("a", far, move=True)

    assert blobs.get("a") == LARGE
    assert not far.exists()


# ---- sources and targets


def test_sources_that_are_no_plain_files(blobs: BlobStore, tmp_path: Path) -> None:
    """Files of the system, which have no size, pipes, and streams that give less than was asked for, come whole."""
    blobs.put_file("proc", "/proc/self/mountinfo")
    assert blobs.get("proc") == Path("/proc/self/mountinfo").read_bytes()
    ours, theirs = os.pipe()
    writer = threading.Thread(
        target=lambda: (os.write(theirs, b"x" * 1_000), os.write(theirs, LARGE), os.close(theirs))
    )
    writer.start()
    with open(ours, "rb", buffering=0) as pipe:
        blobs.put_file("pipe", pipe)
    writer.join()
    with source_at(tmp_path / "file", LARGE) as file:
        file.seek(300_000)
        blobs.put_file("rest", file)
        assert file.read() == b""

    assert blobs.get("pipe") == b"x" * 1_000 + LARGE
    assert blobs.get("rest") == LARGE[300_000:]


def source_at(path: Path, content: bytes) -> BinaryIO:
    path.write_bytes(content)
    return path.open("rb")


def test_a_stream_with_nothing_to_give_yet(blobs: BlobStore) -> None:
    """It is an error, and not the end of the value."""
    ours, theirs = os.pipe()
    os.set_blocking(ours, False)
    os.write(theirs, b"half")
    with open(ours, "rb", buffering=0) as pipe, pytest.raises(BlockingIOError):
        blobs.put_file("a", pipe)
    os.close(theirs)

    assert "a" not in blobs


def test_a_source_that_changes_while_it_is_copied(blobs: BlobStore, source: Path) -> None:
    """Whatever was copied is a whole value, with its own checksum."""
    done = threading.Event()

    def scribble() -> None:
        with source.open("r+b", buffering=0) as file:
            while not done.is_set():
                os.pwrite(file.fileno(), os.urandom(100), 400_000)

    writer = threading.Thread(target=scribble)
    writer.start()
    for _ in range(20):
        blobs.put_file("a", source)
        assert blobs._over.verify().ok
    done.set()
    writer.join()


@pytest.mark.parametrize("size", [1 << 18, (1 << 18) + 1, 3 << 17, (1 << 24) - 1, (1 << 24) + 4_097])
def test_files_of_any_size(blobs: BlobStore, tmp_path: Path, size: int) -> None:
    """They are copied with the checksum of what they hold, from where a stream stands, and copied out again."""
    content = os.urandom(1 << 16) * (size // (1 << 16)) + os.urandom(size % (1 << 16))
    path = tmp_path / "large"
    path.write_bytes(b"before" + content)
    with path.open("rb") as stream:
        stream.seek(6)
        blobs.put_file("a", stream)
        assert stream.tell() == 6 + size
    blobs.get_file("a", path)

    assert path.read_bytes() == content
    assert blobs.info("a").checksum == f"crc32:{zlib.crc32(content):08x}"


def test_a_large_file_when_the_interpreter_ends(folder: Path, tmp_path: Path) -> None:
    """Where no thread can be started any more, it is copied all the same."""
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(20 << 20)
    code = (
        "import atexit, sys; from diskdict import BlobStore; blobs = BlobStore(sys.argv[1])\n"
        "atexit.register(lambda: print(blobs.size(blobs.put_file('a', sys.argv[2]))))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, folder, path], cwd=ROOT, check=True, capture_output=True, text=True
    )

    assert (said.stdout, said.stderr) == (f"{20 << 20}\n", "")
    with BlobStore(folder) as blobs:
        assert blobs._over.verify().ok


@pytest.mark.parametrize(
    "data", [memoryview(array.array("i", [1, 2, 3])), memoryview(b"abcdef")[::2], memoryview(b"").cast("B")]
)
def test_memory_of_any_shape(blobs: BlobStore, data: memoryview) -> None:
    """What is stored are its bytes."""
    assert blobs.get(blobs.put("a", data)) == data.tobytes()
    assert blobs.size("a") == data.nbytes


def test_targets(blobs: BlobStore, tmp_path: Path) -> None:
    """A link leads to the file that is replaced, a pipe is written to, a folder and a closed place are errors.

    A path may be bytes, as for `open`.
    """
    blobs.put("a", LARGE)
    real, link, pipe = tmp_path / ("n" * 255), tmp_path / "link", tmp_path / "pipe"
    real.write_bytes(b"old")
    real.chmod(0o604)
    link.symlink_to(real)
    blobs.get_file("a", link)
    assert link.is_symlink()
    assert (real.read_bytes(), stat.S_IMODE(real.stat().st_mode)) == (LARGE, 0o604)
    os.mkfifo(pipe)
    taken: list[bytes] = []
    reader = threading.Thread(target=lambda: taken.append(pipe.read_bytes()))
    reader.start()
    blobs.get_file("a", pipe)
    reader.join()
    assert taken == [LARGE]
    blobs.put_file("b", os.fsencode(real))  # type: ignore[arg-type]
    blobs.get_file("b", os.fsencode(real))  # type: ignore[arg-type]
    assert real.read_bytes() == LARGE
    with pytest.raises(IsADirectoryError):
        blobs.get_file("a", tmp_path)
    with pytest.raises(FileNotFoundError):
        blobs.get_file("a", tmp_path / "no" / "file")
    assert sorted(os.listdir(tmp_path)) == sorted(["store", "link", "n" * 255, "pipe"])


# ---- streams that are open to write


def test_a_write_that_failed_is_not_finished(folder: Path) -> None:
    """Who catches the error and closes has no half of a value there."""
    with BlobStore(folder, limits=Limits(value_bytes=800_000)) as blobs:
        blobs.put("a", b"old")
        file = blobs.open("a", "wb")
        file.write(LARGE)
        with pytest.raises(LimitError):
            file.write(LARGE)
        assert file.closed
        file.close()
        with pytest.raises(ValueError, match="closed"):
            file.write(b"more")

        assert blobs.get("a") == b"old"
        assert not left(folder)


def test_closing_and_forgetting(folder: Path, blobs: BlobStore) -> None:
    """A second close does nothing; what is forgotten, large or small, leaves nothing."""
    blobs.put("a", b"old")
    for size in (10, 600_000):
        forgotten = blobs.open("a", "wb")
        forgotten.write(bytes(size))
        del forgotten
    assert blobs.get("a") == b"old"
    file = blobs.open("a", "wb")
    file.write(b"new")
    file.close()
    blobs.put("a", b"newer")
    file.close()

    assert blobs.get("a") == b"newer"
    assert not left(folder)


def test_closing_the_store_first(folder: Path) -> None:
    """An upload that is under way then cannot be finished, says so, and leaves nothing in the folder."""
    with BlobStore(folder) as blobs:
        blobs.put("a", b"old")
        file = blobs.open("a", "wb")
        file.write(LARGE)
    assert not left(folder)
    file.write(LARGE)
    with pytest.raises(ClosedError):
        file.close()

    with BlobStore(folder) as blobs:
        assert blobs.get("a") == b"old"
        assert blobs._over.verify().ok


def test_verifying_beside_an_upload(blobs: BlobStore) -> None:
    """What somebody is writing just now is no damage, and repairing does not take it away."""
    with blobs.open("a", "wb") as file:
        file.write(LARGE)
        assert blobs._over.verify().ok
        assert not blobs._over.repair().problems

    assert blobs.get("a") == LARGE


def test_what_a_killed_upload_leaves(folder: Path) -> None:
    """The next who opens the folder removes it."""
    code = (
        "import os, sys; from diskdict.blobs import BlobStore\n"
        "blobs = BlobStore(sys.argv[1]); blobs.put('a', b'old')\n"
        "blobs.open('a', 'wb').write(bytes(500_000)); file = blobs.open('b', 'wb'); file.write(bytes(500_000))\n"
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, folder], cwd=ROOT, check=False)
    assert left(folder)

    with BlobStore(folder) as blobs:
        assert not left(folder)
        assert blobs.keys() == ["a"]
        assert blobs.get("a") == b"old"


def test_a_bad_ttl_is_told_at_once(blobs: BlobStore, folder: Path) -> None:
    """Nothing is written before it is found out."""
    for ttl in (-1, float("nan"), True, "soon"):
        with pytest.raises(ValueError, match="ttl"):
            blobs.open("a", "wb", ttl)  # type: ignore[arg-type]
    assert not left(folder)


# ---- reading


def test_what_expires_while_it_is_read(blobs: BlobStore, clock: Clock) -> None:
    """Who has opened a value reads on; who opens it now does not find it."""
    blobs.put("a", LARGE, ttl_secs=10)
    with blobs.open("a") as file:
        assert file.read(10) == LARGE[:10]
        clock.tick(10)
        with pytest.raises(KeyNotFoundError):
            blobs.open("a")
        blobs.put("b", b"")
        assert file.read() == LARGE[10:]


def test_empty_values_and_damage(folder: Path) -> None:
    """After an unclean end an empty value is a value, and one that was cut to nothing is damage; none is a leak."""
    with BlobStore(folder) as blobs:
        blobs.put("empty", b"")
        blobs.put("cut", b"content")
        blobs.put("torn", LARGE)
        paths = {key: blobs.url_for(key).removeprefix("file://") for key in ("cut", "torn")}
        blobs._over.folder.abandon()
        os.truncate(paths["cut"], 0)
        os.truncate(paths["torn"], 5)
    with BlobStore(folder) as blobs:
        assert blobs.get("empty") == b""
        for key in ("cut", "torn"):
            with pytest.raises(CorruptValueError):
                blobs.get(key)
            with pytest.raises(CorruptValueError):
                blobs.open(key)
        assert {problem.key for problem in blobs._over.verify().problems} == {"cut", "torn"}


def test_a_folder_in_place_of_a_value(blobs: BlobStore) -> None:
    """It is an error, and costs no descriptor."""
    blobs.put("a", b"x")
    place = Path(blobs.url_for("a").removeprefix("file://"))
    place.unlink()
    place.mkdir()
    with pytest.raises(IsADirectoryError):
        blobs.open("a")
    place.rmdir()
    blobs.delete("a")


def test_a_store_whose_values_are_never_empty(folder: Path) -> None:
    """The store of a dict is none for blobs, which would find damage in their own empty values."""
    DiskDict(folder).close()
    store = FolderStore(str(folder))
    try:
        with pytest.raises(FormatError):
            BlobStore(store)
    finally:
        store.close()


# ---- keys, ids, pickles


@pytest.mark.parametrize("key", ["=", "=s=x", "=i1", "\udc80", "\ud800\udc00", "\0", "../../x", "/", "a\n", "." * 300])
def test_keys_of_any_text(folder: Path, key: str) -> None:
    """Keys that look like texts of other keys, surrogates, and what means something to a filesystem are only text."""
    with BlobStore(folder, keys="any") as blobs:
        blobs.put(key, LARGE)
        blobs.put_file(key + key, io.BytesIO(LARGE))
        blobs.move(key, key + "m")
        assert blobs.keys() == [key + key, key + "m"]
        assert blobs.keys(key) == blobs.keys()
        assert blobs.get(key + "m") == LARGE
        assert blobs.url_for(key).startswith(folder.as_uri())
        assert blobs._over.verify().ok
    assert sorted(os.listdir(folder.parent)) == ["store"]


def test_the_same_content_twice(folder: Path, clock: Clock) -> None:
    """It is stored once, and lives as long as the longer of both times; each who puts it gets the same key."""
    with BlobStore(folder, ids=ids.sha256, clock=clock) as blobs:
        key = blobs.put(None, LARGE, ttl_secs=10)
        version = blobs.known(key).order
        assert blobs.put_file(None, io.BytesIO(LARGE), ttl_secs=100) == key
        assert blobs.info(key).expires_at == clock.now + 100
        assert blobs.put(None, LARGE, ttl_secs=1) == key
        assert blobs.info(key).expires_at == clock.now + 100
        blobs.put(None, LARGE)
        blobs.put(None, LARGE, ttl_secs=1)
        clock.tick(1_000)

        assert blobs.get(key) == LARGE
        assert blobs.known(key).order == version
        assert len(blobs.keys()) == 1


def test_keys_while_others_change_them(blobs: BlobStore) -> None:
    """Who goes through the keys has those that were there, whoever puts and deletes meanwhile."""
    for number in range(100):
        blobs.put(f"k{number}", b"")
    for key in blobs.iter_keys("k"):
        blobs.delete(key)
        blobs.put(f"n{key}", b"")

    assert blobs.keys() == [f"nk{number}" for number in range(100)]


def test_pickled_to_another_process(folder: Path) -> None:
    """There it is a store of the same folder."""
    with BlobStore(folder, keys="extended", default_ttl_secs=60) as blobs:
        blobs.put("a b", b"x")
        text = pickle.dumps(blobs).hex()
    code = (
        f"import pickle; blobs = pickle.loads(bytes.fromhex('{text}'))\n"
        "print(blobs.get('a b'), blobs.default_ttl_secs, blobs.put('c/d', b'y')); blobs.close()"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout

    assert said == "b'x' 60 c/d\n"


# ---- no room, no memory


@pytest.fixture
def small(tmp_path: Path, announce: Announce) -> Iterator[Path]:
    """A filesystem with room for little."""
    with ExitStack() as stack:
        try:
            point = stack.enter_context(image(tmp_path / "image", 4 << 20))
        except CannotMountError as error:
            announce(f"blobs on a filesystem that is full: this user cannot mount an image ({error}).")
            pytest.skip("cannot mount an image")
        yield point


@pytest.mark.parametrize("durability", ["process", "full"])
def test_a_full_disk_leaves_the_old_value(small: Path, durability: str) -> None:
    """Whichever way a value comes, it raises, the old one stays, and nothing takes up the room that is left."""
    large = bytes(8 << 20)
    (small.parent / "source").write_bytes(large)
    with BlobStore(small / "store", durability=durability) as blobs:  # type: ignore[arg-type]
        blobs.put("a", LARGE)
        ways: list[Callable[[], object]] = [
            lambda: blobs.put("a", large),
            lambda: blobs.put_file("a", small.parent / "source"),
            lambda: blobs.put_file("a", small.parent / "source", move=True),
            lambda: blobs.put_file("a", io.BytesIO(large)),
        ]
        for way in ways:
            with pytest.raises(OSError, match="No space"):
                way()
            assert not left(small / "store")
        with pytest.raises(OSError, match="No space"), blobs.open("a", "wb") as file:
            file.write(large)
        assert (small.parent / "source").stat().st_size == len(large)
        assert blobs.get("a") == LARGE
        assert blobs.keys() == ["a"]
        blobs.put("a", LARGE[:1_000])
        assert blobs._over.verify().ok


GROWTH = """
import os, resource, sys
from diskdict.blobs import BlobStore, Compressed, Signed
from diskdict.blobs.encrypted import Encrypted

folder, size, durability, wrap, *ends = sys.argv[1:]
size, secret = int(size), bytes(32)


def peak():
    try:
        # Of the process itself: getrusage begins with what its parent had.
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    except FileNotFoundError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def look(blobs, key):
    with blobs.open(key) as file:
        while file.read(1 << 20):
            pass


def exercise(blobs, source, size):
    blobs.put_file("a", source)
    with blobs.open("b", "wb") as file:
        for _ in range(size >> 20):
            file.write(bytes(1 << 20))
    blobs.copy("a", "c")
    blobs.move("c", "d")
    blobs.get_file("d", folder + ".target")
    look(blobs, "a")
    assert os.path.getsize(folder + ".target") == blobs.size("a") == blobs.size("b") == size
    blobs.put_file("d", source, move=True)


def source(size):
    with open(folder + ".source", "wb") as file:
        # What is compressed is not to become nothing.
        for _ in range(size >> 20 if wrap != "store" else 0):
            file.write(os.urandom(1 << 20))
        file.truncate(size)
    return folder + ".source"


with BlobStore(folder, durability=durability) as store:
    blobs = eval(wrap)
    blobs.put("warm", bytes(300_000))
    look(blobs, "warm")
    large = None if ends else source(size)
    before = peak()
    if ends:
        look(blobs, "a")
    else:
        exercise(blobs, large, size)
    print(peak() - before, flush=True)
    os._exit(0)
"""


def grown(folder: Path, size: int, durability: str, wrap: str = "store") -> int:
    """Return by how many KiB a process grows that stores a file of this size, or reads it after that one was killed."""
    arguments = [sys.executable, "-c", GROWTH, str(folder), str(size), durability, wrap]
    both = [
        subprocess.run(each, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        for each in (arguments, [*arguments, "again"])
    ]
    shutil.rmtree(folder)
    for path in folder.parent.glob("store.*"):
        path.unlink()
    largest = max(map(int, both))
    kind = f"KiB, the most that a process grew by with a value of {size >> 20} MiB: {wrap}"
    tally[kind] = max(tally[kind], largest)
    return largest


@pytest.mark.parametrize("durability", ["process", "full"])
def test_memory_does_not_grow_with_values(folder: Path, durability: str) -> None:
    """A file of 64 MiB goes in, out and elsewhere, and is read after an unclean end, in less than 16 MiB."""
    assert grown(folder, 64 << 20, durability) < 16 << 10


@pytest.mark.torture
@pytest.mark.parametrize("durability", ["process", "full"])
def test_memory_does_not_grow_with_large_values(folder: Path, durability: str) -> None:
    """The same with 2 GiB."""
    assert grown(folder, 2 << 30, durability) < 16 << 10


WRAPPED = [
    "Signed(store, secret)",
    "Signed(store, secret, early=True)",
    "Encrypted(store, secret)",
    'Compressed(store, "gzip")',
    'Compressed(store, "zstd")',
    "Compressed(Encrypted(Signed(store, secret), secret))",
]


@pytest.mark.torture
@pytest.mark.parametrize("wrap", WRAPPED)
def test_memory_does_not_grow_in_wrappers(folder: Path, wrap: str) -> None:
    """The same with 512 MiB in each wrapper."""
    assert grown(folder, 512 << 20, "process", wrap) < 16 << 10


# ---- readers beside writers


def written(number: int) -> bytes:
    """Return a value that tells whether it is whole: small ones, large ones, and what lies between."""
    return bytes([number % 251]) * (1 + number * 7919 % 600_000)


WRAPS: dict[str, Callable[[Blobs], Blobs]] = {
    "bare": lambda store: store,
    "signed": lambda store: Signed(store, bytes(32)),
    "encrypted": lambda store: Encrypted(store, bytes(32)),
    "compressed": Compressed,
    "all": lambda store: Compressed(Encrypted(Signed(store, bytes(32)), bytes(32))),
}


def hammer(folder: Path, seconds: float, durability: str = "process", wrap: str = "bare") -> tuple[int, int]:
    """Read one key in all ways while it is written in all ways; return how many values were read and written."""
    counts, wrong = [0, 0], []
    over = time.monotonic() + seconds
    begun = threading.Barrier(5)

    def check(content: bytes) -> None:
        counts[0] += 1
        if not content or content.count(content[0]) != len(content) or len(content) not in sizes[content[0]]:
            wrong.append(f"{content[:1]!r}, {len(content)} bytes")

    def seek(blobs: Blobs) -> bytes:
        with blobs.open("a") as file:
            end = file.read(1)
            file.seek(0)
            return file.read() if end else b""

    def take(blobs: Blobs) -> bytes:
        into = io.BytesIO()
        blobs.get_file("a", into)
        return into.getvalue()

    def read(way: Callable[[Blobs], bytes]) -> None:
        begun.wait()
        while time.monotonic() < over and not wrong:
            try:
                check(way(blobs))
            except Exception as error:  # whatever it is, nobody has done anything wrong
                wrong.append(repr(error))

    def write() -> None:
        begun.wait()
        source = folder.with_name("source")
        number = 1
        while time.monotonic() < over and not wrong:
            content = written(number)
            source.write_bytes(content)
            WAYS[number % len(WAYS)](blobs, source, content)
            number += 1
            counts[1] += 1

    sizes: dict[int, set[int]] = {}
    for number in range(100_000):
        sizes.setdefault(number % 251, set()).add(1 + number * 7919 % 600_000)
    with BlobStore(folder, durability=durability) as store:  # type: ignore[arg-type]
        blobs = WRAPS[wrap](store)
        blobs.put("a", written(0))
        ways = [lambda blobs: blobs.get("a"), seek, take, lambda blobs: blobs.get("a")]
        threads = [threading.Thread(target=read, args=[way]) for way in ways] + [threading.Thread(target=write)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert store._over.verify().ok
    assert not wrong
    tally["values read beside a writer"] += counts[0]
    return counts[0], counts[1]


def _write(blobs: Blobs, source: Path, content: bytes) -> None:
    with blobs.open("a", "wb") as file:
        file.write(content)


def _copy(blobs: Blobs, source: Path, content: bytes) -> None:
    blobs.put("b", content)
    blobs.copy("b", "a")


def _move(blobs: Blobs, source: Path, content: bytes) -> None:
    blobs.put("b", content)
    blobs.move("b", "a")


WAYS: list[Callable[[Blobs, Path, bytes], object]] = [
    lambda blobs, source, content: blobs.put("a", content),
    lambda blobs, source, content: blobs.put_file("a", source),
    lambda blobs, source, content: blobs.put_file("a", source, move=True),
    lambda blobs, source, content: blobs.put_file("a", io.BytesIO(content)),
    _write,
    _copy,
    _move,
]
"""How a value comes."""


def test_readers_beside_a_writer_see_no_torn_value(folder: Path) -> None:
    """Whichever way a value comes and goes, it is one of those that were written, whole."""
    assert min(hammer(folder, 1)) > 10


def test_readers_of_sealed_values_beside_a_writer(folder: Path) -> None:
    """What is signed, encrypted and compressed is so whole, too."""
    assert min(hammer(folder, 1, "full", "all")) > 2


@pytest.mark.torture
@pytest.mark.parametrize("durability", ["process", "interval", "full"])
@pytest.mark.parametrize("wrap", WRAPS)
def test_readers_beside_a_writer_for_long(folder: Path, wrap: str, durability: str) -> None:
    """The same for ten seconds each."""
    assert min(hammer(folder, 10, durability, wrap)) > 10
