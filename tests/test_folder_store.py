"""`FolderStore` keeps the contract of all stores wherever attributes live, and what a folder promises beyond it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar
from zlib import crc32

import pytest
from folders import (
    attributes_of,
    beside,
    kill,
    names_in_shard,
    shard_of,
    strip,
    tree,
    use_full_inodes,
    use_package,
    use_sidecars,
    use_sidecars_sometimes,
    value_at,
    watched,
)
from store_contract import MakeStore, StoreContract, in_threads

from diskdict import attributes
from diskdict.backends import open_store
from diskdict.backends.file import FolderStore
from diskdict.errors import CorruptValueError, FormatError, LimitError, ReadOnlyError
from diskdict.limits import Limits
from diskdict.quarantine import set_aside
from diskdict.store import NEVER

Open = Callable[..., FolderStore]
Home = Callable[[pytest.MonkeyPatch], None]


def kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave everything as it is."""


HOMES = pytest.mark.parametrize(
    "home",
    [kernel, use_package, use_sidecars, use_full_inodes, use_sidecars_sometimes],
    ids=lambda home: home.__name__,
)


THREADED = pytest.mark.parametrize(
    "home", [kernel, use_sidecars, use_sidecars_sometimes], ids=lambda home: home.__name__
)


@pytest.fixture
def home() -> Home:
    """Where attributes live; tests that run everywhere are marked with HOMES."""
    return kernel


@pytest.fixture
def opened(folder: Path, clock, home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens the folder on the test's clock, and closes what was opened."""
    home(monkeypatch)
    made: list[FolderStore] = []

    def open_it(**options: Any) -> FolderStore:
        made.append(FolderStore(str(folder), **{"clock": clock} | options))
        return made[-1]

    yield open_it
    for store in made:
        store.close()


@pytest.fixture
def unclean(opened: Open) -> Callable[[Callable[[FolderStore], object]], None]:
    """Does some work with the folder and leaves it like a process that is killed before it can close."""

    def leave(work: Callable[[FolderStore], object]) -> None:
        store = opened()
        work(store)
        kill(store)

    return leave


# ---- the contract, wherever attributes live


class InFolders(StoreContract):
    """The contract over folders that are made side by side."""

    options: ClassVar[dict[str, Any]] = {}

    @pytest.fixture
    def base(self, tmp_path: Path) -> Path:
        return tmp_path

    @pytest.fixture
    def make_store(self, base: Path) -> Iterator[MakeStore]:
        made: list[FolderStore] = []

        def make(clock: Any, **options: Any) -> FolderStore:
            made.append(FolderStore(str(base / f"store{len(made)}"), clock=clock, **self.options, **options))
            return made[-1]

        yield make
        for store in made:
            store.close()


class TestKernelAttributes(InFolders):
    """Attributes by the kernel's calls."""


class TestPackageAttributes(InFolders):
    """Attributes by the package `xattr`."""

    @pytest.fixture(autouse=True)
    def _home(self, monkeypatch: pytest.MonkeyPatch) -> None:
        use_package(monkeypatch)


class TestSidecars(InFolders):
    """A filesystem that refuses all attributes."""

    @pytest.fixture(autouse=True)
    def _home(self, monkeypatch: pytest.MonkeyPatch) -> None:
        use_sidecars(monkeypatch)


class TestSidecarsForSomeFiles(InFolders):
    """Files whose attributes fit each second time only."""

    @pytest.fixture(autouse=True)
    def _home(self, monkeypatch: pytest.MonkeyPatch) -> None:
        use_sidecars_sometimes(monkeypatch)


class TestFullDurability(InFolders):
    """Each change on disk before it counts, the files after that."""

    options: ClassVar = {"durability": "full", "interval": 0.002}


class TestIntervalDurability(InFolders):
    """Files that follow by a thread that is always at it."""

    options: ClassVar = {"durability": "interval", "interval": 0.002}


class TestIntervalDurabilityWithoutTheThread(InFolders):
    """Files that wait for the end, or for a change that finds no room in the buffer."""

    options: ClassVar = {"durability": "interval", "interval": 3_600, "buffer_bytes": 2_000}


class TestIntervalDurabilityBySidecars(TestSidecars):
    """Files that follow, with attributes beside them."""

    options: ClassVar = {"durability": "interval", "interval": 0.002}


class TestSidecarsOnRamfs(InFolders):
    """A real filesystem without attributes, mounted for these tests where this user may do that."""

    @pytest.fixture
    def base(self, without_attributes: Path) -> Path:
        return without_attributes


# ---- where attributes live


def test_attributes_leave_no_files_beside_the_value(opened: Open, folder: Path) -> None:
    """A value is one file, with its attributes on it."""
    opened().put("k", b"1", expires=2e9, meta='{"a":1}', spelling="=T")

    assert [path.name for path in (folder / "data").rglob("*") if path.is_file()] == ["k"]
    assert set(attributes_of(value_at(folder, "k"))) == {"user.diskdict", "user.diskdict.meta", "user.diskdict.key"}


def test_both_ways_of_calling_read_each_other(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel's calls wrote the package's read, and the other way round."""
    with contextlib.closing(opened()) as store:
        store.put("kernel", b"1", expires=2e9, meta="{}")
        ours = store.get("kernel")
    use_package(monkeypatch)
    with contextlib.closing(opened()) as store:
        assert store.get("kernel") == ours
        store.put("package", b"1", expires=2e9, meta="{}")
        theirs = store.get("package")
    monkeypatch.undo()

    assert opened().get("package") == theirs


@pytest.mark.parametrize("size", [5_000, 70_000])
def test_metadata_too_large_for_attributes_goes_beside(opened: Open, folder: Path, clock, size: int) -> None:
    """One file with much metadata has a sidecar, its neighbours have none, and all of them are read alike."""
    meta = '{"a":"' + "x" * size + '"}'
    store = opened()
    store.put("large", b"1", meta=meta, expires=clock.now + 5)
    store.put("small", b"2", meta="{}", expires=clock.now + 5)
    before = store.get("large"), store.get("small"), list(store.scan())
    store.close()

    store = opened()
    assert (store.get("large"), store.get("small"), list(store.scan())) == before
    assert before[0] is not None
    assert before[0].meta == meta
    # Some filesystems keep attributes of 64 KiB, none more.
    assert [path.name for path in (folder / "data").rglob(".*")] in ([".large.attr"], [] if size < 65_536 else None)
    clock.tick(5)
    assert (store.read("large"), store.read("small")) == (None, None)


def test_sidecar_goes_when_attributes_fit_again(opened: Open, folder: Path) -> None:
    """Less metadata brings a record back into its file."""
    store = opened()
    store.put("k", b"1", meta='{"a":"' + "x" * 70_000 + '"}')
    beside_once = [path.name for path in (folder / "data").rglob(".*")]
    store.amend("k", meta='{"a":1}')

    record = store.get("k")
    assert record is not None
    assert (record.payload, record.meta) == (b"1", '{"a":1}')
    assert beside_once == [".k.attr"]
    assert not list((folder / "data").rglob(".*"))


def test_attributes_go_beside_when_amended_metadata_does_not_fit(opened: Open, folder: Path, clock) -> None:
    """More metadata takes all attributes to a sidecar, expiry and creation included."""
    meta = '{"a":"' + "x" * 70_000 + '"}'
    store = opened()
    store.put("k", b"1", meta="{}", expires=clock.now + 5, created=1000.5)
    store.amend("k", meta=meta)

    record = store.get("k")
    assert record is not None
    assert (record.meta, record.expires, record.created) == (meta, clock.now + 5, 1000.5)
    assert beside(value_at(folder, "k"), "attr").exists()


@HOMES
def test_large_metadata_is_removed_with_its_record(opened: Open, folder: Path, home: Home) -> None:
    """Neither deleting nor renaming leaves a file behind."""
    store = opened()
    store.put("a" * 300, b"1", meta='{"a":"' + "x" * 70_000 + '"}')
    store.put("b", b"1", meta='{"a":"' + "x" * 70_000 + '"}')
    store.rename("b", "c" * 300)
    store.rename("c" * 300, "d")
    store.delete("a" * 300)
    store.delete("d")

    assert not [path for path in (folder / "data").rglob("*") if path.is_file()]


def test_sidecar_is_ignored_where_the_file_has_attributes(opened: Open, folder: Path) -> None:
    """Of two places the file itself counts: a sidecar from a copy of long ago changes nothing."""
    with pytest.MonkeyPatch.context() as refusing:
        use_sidecars(refusing)
        with contextlib.closing(opened()) as store:
            store.put("k", b"1", meta='{"old":1}')
    old = beside(value_at(folder, "k"), "attr").read_bytes()
    with contextlib.closing(opened()) as store:
        store.put("k", b"1", meta='{"new":1}')
    beside(value_at(folder, "k"), "attr").write_bytes(old)

    record = opened().get("k")
    assert record is not None
    assert record.meta == '{"new":1}'


def test_records_move_into_attributes_when_written_anew(opened: Open, folder: Path, clock) -> None:
    """A folder that comes from a filesystem without attributes is read as it is; what is changed leaves its sidecar."""
    with pytest.MonkeyPatch.context() as refusing:
        use_sidecars(refusing)
        with contextlib.closing(opened()) as store:
            for key in "abc":
                store.put(key, b"1", expires=clock.now + 50, meta="{}")
            before = [store.get(key) for key in "abc"]
    store = opened()
    after = [store.get(key) for key in "abc"]
    store.put("a", b"2", expires=clock.now + 50)
    store.amend("b", meta='{"b":1}')

    assert after == before
    assert list(store.scan()) == ["a", "b", "c"]
    assert [path.name for path in (folder / "data").rglob(".*")] == [".c.attr"]
    clock.tick(50)
    assert store.count() == 0


def test_folder_copied_without_attributes(opened: Open, folder: Path, tmp_path: Path, clock) -> None:
    """Values survive programs that copy content only: they are there, in the order of their times of change."""
    with contextlib.closing(opened()) as store:
        for number, key in enumerate(["c", "a", "b"]):
            store.put(key, key.encode(), expires=clock.now + 5)
            os.utime(value_at(folder, key), (1_000 + number, 1_000 + number))
    shutil.copytree(folder, tmp_path / "copy", copy_function=shutil.copyfile)
    for path in (tmp_path / "copy" / "data").rglob("?"):
        os.utime(path, (original := value_at(folder, path.name).stat().st_mtime, original))

    with contextlib.closing(FolderStore(str(tmp_path / "copy"))) as store:
        assert [(key, store.read(key)) for key in store.scan()] == [("c", b"c"), ("a", b"a"), ("b", b"b")]
        record = store.get("a")
        assert record is not None
        assert record.expires == NEVER


# ---- the index


def lists(seen: list[tuple[str, object]]) -> int:
    return sum(event == "os.scandir" for event, _ in seen)


def files_opened(seen: list[tuple[str, object]]) -> set[str]:
    return {path for event, path in seen if event == "open" and isinstance(path, str)}


def settle_clock() -> None:
    """Wait until the kernel's clock has ticked: a shard that has just changed is not trusted to a snapshot."""
    time.sleep(0.02)


@pytest.fixture
def indexed(opened: Open) -> dict[str, bytes]:
    """Fill the folder with forty keys and leave a snapshot of its index there; return what was stored."""
    content = {f"key{number}": b"%d" % number for number in range(40)}
    with contextlib.closing(opened()) as store:
        for key, payload in content.items():
            store.put(key, payload)
        store.count()
        settle_clock()
    return content


def test_single_keys_need_no_index(opened: Open, indexed: dict[str, bytes]) -> None:
    """Opening, reading, writing, deleting and closing look at the files concerned and at nothing else."""
    with watched() as seen, contextlib.closing(opened()) as store:
        assert store.read("key7") == b"7"
        assert store.get("key7") is not None
        assert store.contains("key8")
        assert store.read("missing") is None
        store.put("key7", b"new")
        store.put("new", b"1")
        store.amend("new", meta="{}")
        store.delete("key8")

    assert lists(seen) == 0
    assert "index" not in files_opened(seen)
    assert not [path for path in files_opened(seen) if path.endswith("key9")]


def test_snapshot_spares_the_scan(opened: Open, indexed: dict[str, bytes]) -> None:
    """When no shard has changed since, the keys come from one file."""
    with watched() as seen:
        keys = list(opened().scan())

    assert keys == list(indexed)
    assert lists(seen) == 1
    assert not [path for path in files_opened(seen) if "/key" in path]


def test_loaded_index_answers_without_the_disk(opened: Open, indexed: dict[str, bytes]) -> None:
    """Once the keys are known, asking for them costs no system call."""
    store = opened()
    store.count()
    with watched() as seen:
        answers = store.count(), store.contains("key3"), store.contains("missing"), store.read("missing")
        keys = list(store.scan())

    assert answers == (40, True, False, None)
    assert keys == list(indexed)
    assert seen == []


def test_partly_stale_snapshot(opened: Open, indexed: dict[str, bytes], folder: Path) -> None:
    """Only shards that have changed are looked at again; files that came and went are seen."""
    value_at(folder, "key3").unlink()
    value_at(folder, "by-hand").parent.mkdir(exist_ok=True)
    value_at(folder, "by-hand").write_bytes(b"hand")
    changed = {shard_of("key3"), shard_of("by-hand")}
    with watched() as seen:
        store = opened()
        keys = list(store.scan())

    assert keys == [key for key in indexed if key != "key3"] + ["by-hand"]
    assert {path.split("/")[0] for path in files_opened(seen) if "/key" in path or "/by-" in path} <= changed
    assert store.read("by-hand") == b"hand"
    assert store.count() == 40


def test_snapshot_with_a_shard_gone(opened: Open, indexed: dict[str, bytes], folder: Path) -> None:
    """A shard that was removed takes its keys along."""
    gone = shard_of("key3")
    shutil.rmtree(folder / "data" / gone)

    assert list(opened().scan()) == [key for key in indexed if shard_of(key) != gone]


def test_snapshot_is_not_trusted_about_the_last_moment(opened: Open, folder: Path) -> None:
    """A shard that changed within a tick of the snapshot, of 10 ms, may have changed after it."""
    with contextlib.closing(opened()) as store:
        store.put("a", b"1")
        store.count()
    taken = json.loads((folder / "index").read_bytes().split(b"\n")[1])["taken"]
    changed = value_at(folder, "a").parent.stat().st_ctime_ns
    with watched() as seen:
        assert opened().count() == 1

    assert lists(seen) == (1 if changed < taken - 10_000_000 else 2)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: None,
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: content[:-20],
        lambda content: content.replace(b"key3", b"kez3"),
        lambda content: content + b"x",
        lambda content: b"\xff" * 100,
    ],
    ids=["absent", "empty", "half", "cut", "changed", "longer", "garbage"],
)
def test_damaged_snapshot_is_no_snapshot(
    opened: Open, indexed: dict[str, bytes], folder: Path, damage: Callable[[bytes], bytes | None]
) -> None:
    """The index file is a cache: whatever happens to it, the keys are those of the files, in their order."""
    content = damage((folder / "index").read_bytes())
    (folder / "index").unlink()
    if content is not None:
        (folder / "index").write_bytes(content)
    store = opened()

    assert {key: store.read(key) for key in store.scan()} == indexed
    assert list(store.scan()) == list(indexed)


def test_snapshot_of_another_store(opened: Open, indexed: dict[str, bytes], folder: Path, tmp_path: Path) -> None:
    """A snapshot speaks of the folders it was taken from, and of no others."""
    with contextlib.closing(FolderStore(str(tmp_path / "other"))) as other:
        other.put("key3", b"theirs")
        other.put("theirs", b"1")
        other.count()
    shutil.copyfile(tmp_path / "other" / "index", folder / "index")

    assert list(opened().scan()) == list(indexed)


@HOMES
def test_snapshot_from_before_an_unclean_end(opened: Open, indexed: dict[str, bytes], unclean, home: Home) -> None:
    """What a killed process changed is seen, though it left the old snapshot."""

    def change(store: FolderStore) -> None:
        store.put("new", b"1")
        store.put("key1", b"longer than before")
        store.amend("key2", expires=store.clock() + 5)
        store.delete("key3")
        store.rename("key4", "moved")

    unclean(change)
    store = opened()

    assert list(store.scan()) == [key for key in indexed if key not in ("key3", "key4")] + ["new", "moved"]
    assert store.read("key1") == b"longer than before"
    store.clock.tick(5)
    assert "key2" not in list(store.scan())


@HOMES
@pytest.mark.parametrize("snapshot", [True, False])
def test_expiry_and_spelling_survive_in_the_index(
    opened: Open, folder: Path, clock, snapshot: bool, home: Home
) -> None:
    """Whether from the snapshot or from the files: expired keys are not counted, spellings are as given."""
    with contextlib.closing(opened()) as store:
        store.put("=i1", b"1", spelling="=T", expires=clock.now + 5)
        store.put("k" * 300, b"1", expires=clock.now + 10)
        store.put("\ud800/é", b"1")
        store.count()
        settle_clock()
    if not snapshot:
        (folder / "index").unlink()
    store = opened()
    first = list(store.scan()), store.spelling("=i1")
    clock.tick(5)
    second = list(store.scan())
    clock.tick(5)

    assert first == (["=i1", "k" * 300, "\ud800/é"], "=T")
    assert second == ["k" * 300, "\ud800/é"]
    assert (store.count(), store.sweep()) == (1, 2)


def test_expiry_given_during_a_scan_does_not_end_it(opened: Open, clock) -> None:
    """Keys that expire under way, and are swept by the next change, are not keys that were removed."""
    store = opened()
    for key in "abcdef":
        store.put(key, b"1")
    seen = []
    for key in store.scan():
        store.put(key, b"2", expires=clock.now)
        seen.append(key)

    assert seen == list("abcdef")
    assert store.count() == 0


@pytest.mark.parametrize("change", [lambda store: store.put("new", b"1"), lambda store: store.delete("c")])
def test_key_that_comes_or_goes_ends_a_scan_also_after_expiry(
    opened: Open, clock, change: Callable[[FolderStore], object]
) -> None:
    """That some keys have expired meanwhile does not hide that others were added or removed."""
    store = opened()
    for key in "abcdef":
        store.put(key, b"1")
    keys = store.scan()
    next(keys)
    store.put("a", b"2", expires=clock.now)
    store.put("b", b"2")
    change(store)

    with pytest.raises(RuntimeError, match="changed size"):
        next(keys)


@pytest.mark.parametrize("prefix", ["", "k"])
def test_scan_with_expiries_begins_when_it_is_asked_for(opened: Open, clock, prefix: str) -> None:
    """A change before the first step is a change."""
    store = opened()
    store.put("k1", b"1", expires=clock.now + 5)
    keys = store.scan(prefix)
    store.put("k2", b"1")

    with pytest.raises(RuntimeError, match="changed size"):
        next(keys)


def test_scan_with_expiries_that_ends_beside_a_change(opened: Open, clock) -> None:
    """There is no last step at which a change goes unseen."""
    store = opened()
    store.put("k1", b"1", expires=clock.now + 5)
    keys = store.scan()
    next(keys)
    store.delete("k1")

    with pytest.raises(RuntimeError, match="changed size"):
        next(keys)


@HOMES
def test_spelling_is_known_without_the_index(opened: Open, home: Home) -> None:
    """A single key is asked from its file."""
    with contextlib.closing(opened()) as store:
        store.put("=i1", b"1", spelling="=T")
        store.put("=i2", b"1")
    store = opened()
    with watched() as seen:
        spellings = [store.spelling(key) for key in ("=i1", "=i2", "=i3")]

    assert spellings == ["=T", "=i2", "=i3"]
    assert lists(seen) == 0


# ---- order and numbers


@HOMES
@pytest.mark.parametrize("snapshot", [True, False])
def test_order_across_reopening(opened: Open, folder: Path, snapshot: bool, home: Home) -> None:
    """Overwriting keeps the place, deleting and inserting again goes last, in this process and in the next."""
    with contextlib.closing(opened()) as store:
        for key in "dacb":
            store.put(key, b"1")
        store.put("d", b"over")
        store.delete("a")
        store.put("a", b"again")
        store.rename("c", "e")
        here = list(store.scan())
    if not snapshot:
        (folder / "index").unlink()
    with contextlib.closing(opened()) as store:
        store.put("d", b"over again")
        store.put("f", b"1")

    assert here == ["d", "b", "a", "e"]
    with contextlib.closing(opened()) as store:
        assert list(store.scan()) == ["d", "b", "a", "e", "f"]
        assert list(store.scan(reverse=True)) == ["f", "e", "a", "b", "d"]


def lost(path: Path) -> None:
    path.unlink()


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def garbled(path: Path) -> None:
    path.write_bytes(b"\x00\xff{" * 300)


def halved(path: Path) -> None:
    os.truncate(path, 100)


@HOMES
@pytest.mark.parametrize("lose", [None, lost, emptied, garbled, halved])
def test_numbers_are_never_given_twice(
    opened: Open, unclean, folder: Path, home: Home, lose: Callable[[Path], None] | None
) -> None:
    """After an unclean end, and after the page that counts was lost, new numbers are above all that are in use."""
    unclean(lambda store: [store.put(f"k{number}", b"1") for number in range(5)] and store.amend("k0", meta="{}"))
    if lose is not None:
        lose(folder / "lock")
    store = opened()
    used = [record.version for key in store.scan() if (record := store.get(key)) is not None]

    version = store.put("new", b"1")
    record = store.get("new")
    assert record is not None
    assert version is not None
    assert len(used) == 5
    assert min(version, record.order) > max(used)
    assert list(store.scan())[-1] == "new"


def test_numbers_go_on_after_a_million(opened: Open) -> None:
    """When all that were reserved are used up, more are reserved before the next is given."""
    store = opened()
    store.put("a", b"1")
    for _ in range(1 << 20):
        store.ledger.next()
    last = store.put("b", b"1")
    kill(store)
    version = opened().put("c", b"1")

    assert last is not None
    assert version is not None
    assert version > last > 1 << 20


def test_numbers_go_on_after_a_clean_end(opened: Open) -> None:
    """The highest number counts even when its record is gone."""
    with contextlib.closing(opened()) as store:
        store.put("a", b"1")
        last = store.put("b", b"1")
        store.delete("b")
    version = opened().put("c", b"1")

    assert last is not None
    assert version is not None
    assert version > last


@HOMES
@pytest.mark.parametrize("lose", [lost, emptied, garbled])
def test_lost_lock_page_forgets_no_expiry(opened: Open, folder: Path, clock, home: Home, lose: Any) -> None:
    """That files may expire or have sidecars is assumed when nothing is known."""
    with contextlib.closing(opened()) as store:
        store.put("k", b"1", expires=clock.now + 5, meta="{}")
        before = store.get("k")
    lose(folder / "lock")
    store = opened()
    after = store.get("k")
    clock.tick(5)

    assert after == before
    assert (store.read("k"), store.count()) == (None, 0)


def test_lock_page_is_whole_again_after_it_was_lost(opened: Open, folder: Path) -> None:
    """The next clean end leaves a page that the next process understands."""
    opened().close()
    garbled(folder / "lock")
    with contextlib.closing(opened()) as store:
        first = store.put("k", b"1")
    with contextlib.closing(opened()) as store:
        second = store.put("k", b"1")

    assert first is not None
    assert second is not None
    assert second > first


@HOMES
def test_stripped_files_come_last(opened: Open, folder: Path, home: Home) -> None:
    """Files without attributes follow all others, by their time of change and then by name; they never expire."""
    with contextlib.closing(opened()) as store:
        for key in ("late", "b", "a", "early", "whole", "ancient"):
            store.put(key, key.encode(), expires=2e9)
    for key, seconds in {"late": 900, "b": 500, "a": 500, "early": 100, "ancient": -100}.items():
        path = value_at(folder, key)
        strip(path)
        beside(path, "attr").unlink(missing_ok=True)
        os.utime(path, (seconds, seconds))
    (folder / "index").unlink(missing_ok=True)
    store = opened()

    assert list(store.scan()) == ["whole", "ancient", "early", "a", "b", "late"]
    record = store.get("early")
    assert record is not None
    assert (record.payload, record.expires, record.created, record.version) == (b"early", NEVER, 100, 0)


@HOMES
def test_stripped_file_gets_attributes_when_changed(opened: Open, folder: Path, home: Home, clock) -> None:
    """Expiry and metadata can be given to a file without attributes, and it can be written, renamed and removed."""
    with contextlib.closing(opened()) as store:
        for key in "abcd":
            store.put(key, key.encode())
    for key in "abcd":
        strip(value_at(folder, key))
        beside(value_at(folder, key), "attr").unlink(missing_ok=True)
    store = opened()
    store.amend("a", expires=clock.now + 5)
    store.put("b", b"new", only_if=0)
    store.rename("c", "e")
    store.delete("d", only_if=0)
    records = {key: store.get(key) for key in store.scan()}

    assert {key: record.payload for key, record in records.items() if record} == {"a": b"a", "b": b"new", "e": b"c"}
    assert all(record is not None and record.version > 0 for record in records.values())
    clock.tick(5)
    assert sorted(store.scan()) == ["b", "e"]


# ---- the shape of the folder


@pytest.mark.parametrize("shards", [1, 16, 4096])
def test_other_numbers_of_shards(opened: Open, folder: Path, shards: int) -> None:
    """The number is fixed when the folder is made, and decides where values lie."""
    keys = [f"key{number}" for number in range(30)]
    with contextlib.closing(opened(shards=shards)) as store:
        for key in keys:
            store.put(key, key.encode())
    store = opened()

    assert list(store.scan()) == keys
    assert [store.read(key) for key in keys] == [key.encode() for key in keys]
    assert all(value_at(folder, key, shards).read_bytes() == key.encode() for key in keys)


@pytest.mark.parametrize("shards", [0, 3, -2, 131_072, 2.0, True, "16"])
def test_shards_refused(folder: Path, shards: Any) -> None:
    """Only powers of two are numbers of shards, and nothing is made for others."""
    with pytest.raises(ValueError, match="power of two"):
        FolderStore(str(folder), shards=shards)

    assert not folder.exists()


def test_permission_bits(opened: Open, folder: Path) -> None:
    """A store is private: nobody else may list it or read from it."""
    before = os.umask(0o022)
    try:
        with contextlib.closing(opened()) as store:
            store.put("k", b"1", meta='{"a":"' + "x" * 70_000 + '"}')
            store.put("k" * 300, b"1")
            store.count()
            set_aside(store.folder, "data/" + str(value_at(folder, "k").relative_to(folder / "data")))
    finally:
        os.umask(before)

    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_dir()} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()} == {0o600}


@pytest.mark.parametrize("umask", [0o077, 0o000])
@pytest.mark.parametrize(("perm", "folders"), [(0o640, 0o750), (0o664, 0o775), (0o600, 0o700)])
def test_permission_bits_asked_for(opened: Open, folder: Path, perm: int, folders: int, umask: int) -> None:
    """``perm`` is what files get, whatever the umask; folders can be searched where files can be read. It is kept."""
    before = os.umask(umask)
    try:
        with contextlib.closing(opened(perm=perm)) as store:
            store.put("k", b"1")
        with contextlib.closing(opened()) as store:
            store.put("k" * 300, b"1")
            store.put("other", b"1")
            store.count()
    finally:
        os.umask(before)

    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()} == {perm}
    assert {path.stat().st_mode & 0o777 for path in [folder, *folder.rglob("*")] if path.is_dir()} == {folders}


@pytest.mark.parametrize("perm", [0o1600, 0o400, 0o066, -1, "600", 384.0, True])
def test_permission_bits_refused(folder: Path, perm: Any) -> None:
    """Bits that would keep the owner out, or are none, make no store."""
    with pytest.raises(ValueError, match="perm"):
        FolderStore(str(folder), perm=perm)

    assert not folder.exists()


@pytest.mark.parametrize(
    "options",
    [
        {"durability": "always"},
        {"on_corrupt": "ignore"},
        {"timeout": -1},
        {"timeout": True},
        {"timeout": "1"},
        {"timeout": float("nan")},
        {"cache_bytes": -1},
    ],
    ids=str,
)
def test_options_refused(folder: Path, options: dict[str, Any]) -> None:
    """A bad option is a ValueError with its name, before anything is made."""
    with pytest.raises(ValueError, match=next(iter(options))):
        FolderStore(str(folder), **options)

    assert not folder.exists()


def test_open_store_opens_folders(folder: Path, clock) -> None:
    """A path and a ``file:`` URL name the same folder."""
    with contextlib.closing(open_store(str(folder), clock=clock)) as store:
        store.put("k", b"1")
    with contextlib.closing(open_store(folder.as_uri())) as store:
        found = store.read("k")

    assert found == b"1"
    with pytest.raises(ValueError, match="example"):
        open_store("file://example.org/tmp/x")


# ---- the cache


@HOMES
def test_cache_gives_what_the_disk_has(opened: Open, clock, home: Home) -> None:
    """With a cache every read is that of the last change, and expiry counts."""
    store = opened(cache_bytes=1000)
    store.put("k", b"1", expires=clock.now + 5)
    seen = [store.read("k"), store.read("k")]
    store.put("k", b"2", expires=clock.now + 10)
    seen.append(store.read("k"))
    store.amend("k", expires=clock.now + 3)
    seen.append(store.read("k"))
    clock.tick(3)
    seen.append(store.read("k"))
    clock.tick(-1)
    seen.append(store.read("k"))
    store.rename("k", "l")
    seen += [store.read("k"), store.read("l")]
    store.delete("l")
    seen.append(store.read("l"))

    assert seen == [b"1", b"1", b"2", b"2", None, b"2", None, b"2", None]


def test_cache_spares_the_disk(opened: Open) -> None:
    """What is read again is not read from the disk again, until the cache has no room for it."""
    store = opened(cache_bytes=100)
    store.put("a", b"x" * 60)
    store.put("b", b"x" * 60)
    store.put("large", b"x" * 200)
    for key in ("a", "b", "large"):
        store.read(key)
    with watched() as seen:
        kept = store.read("b")
    with watched() as others:
        gone = store.read("a"), store.read("large")

    assert (kept, seen) == (b"x" * 60, [])
    assert gone == (b"x" * 60, b"x" * 200)
    assert len(others) == 2


def test_cache_keeps_what_is_read_again(opened: Open) -> None:
    """Where there is no room for all, what was read once goes before what was read twice."""
    store = opened(cache_bytes=130)
    for key in "abc":
        store.put(key, b"x" * 60)
    for key in "abac":
        store.read(key)
    with watched() as seen:
        store.read("a")
        store.read("c")
    with watched() as others:
        store.read("b")

    assert not seen
    assert others


@THREADED
def test_cache_is_never_behind_a_writer(opened: Open, home: Home) -> None:
    """Once a put has returned no thread reads anything older, however threads and cache are interleaved."""
    store = opened(cache_bytes=500)
    keys = ["a", "b"]
    written = dict.fromkeys(keys, 0)
    for key in keys:
        store.put(key, b"0")
    done = threading.Event()

    def work(number: int) -> list[str]:
        late = []
        if number < len(keys):
            try:
                for turn in range(1, 60):
                    store.put(keys[number], b"%d" % turn)
                    written[keys[number]] = turn
            finally:
                if number == 0:
                    done.set()
            return late
        while not done.is_set():
            for key in keys:
                before = written[key]
                payload = store.read(key)
                if payload is None or int(payload) < before:
                    late.append(f"{key}: {payload!r} after {before}")
        return late

    assert in_threads(work, 4) == [[]] * 4


# ---- readers beside a writer


def payload_of(number: int) -> bytes:
    return b"%d:" % number + bytes([65 + number % 26]) * (number * 37 % 5000)


@THREADED
@pytest.mark.parametrize("cache_bytes", [0, 20_000])
def test_readers_see_whole_values_with_their_own_expiry(opened: Open, clock, home: Home, cache_bytes: int) -> None:
    """Beside a writer, readers without a lock meet no torn value and no value with the expiry of another."""
    store = opened(cache_bytes=cache_bytes)
    start = clock.now + 1000
    store.put("k", payload_of(0), expires=start)
    done = threading.Event()

    def work(number: int) -> list[str]:
        if number == 0:
            try:
                for turn in range(1, 100):
                    store.put("k", payload_of(turn), expires=start + turn)
            finally:
                done.set()
            return []
        wrong = []
        while not done.is_set():
            record, stat = store.get("k"), store.stat("k")
            if record is None or record.payload != payload_of(int(record.expires - start)):
                wrong.append(f"get: {record and (record.payload[:10], len(record.payload), record.expires - start)}")
            if stat is None or stat.size != len(payload_of(int(stat.expires - start))):
                wrong.append(f"stat: {stat and (stat.size, stat.expires - start)}")
            if not store.contains("k") or (store.read("k") or b"").partition(b":")[0].isdigit() is False:
                wrong.append("missing for a moment")
        return wrong

    assert in_threads(work, 3) == [[]] * 3


@THREADED
def test_readers_beside_deleting_and_amending(opened: Open, clock, home: Home) -> None:
    """A reader finds a record as it was at some moment, or none."""
    store = opened()
    start = clock.now + 1000
    done = threading.Event()

    def work(number: int) -> list[str]:
        if number == 0:
            try:
                for turn in range(60):
                    store.put("k", payload_of(turn), expires=start + turn)
                    store.amend("k", meta=f'{{"n":{turn}}}')
                    store.delete("k")
            finally:
                done.set()
            return []
        wrong = []
        while not done.is_set():
            record = store.get("k")
            if record is not None and record.payload != payload_of(int(record.expires - start)):
                wrong.append(f"{record.payload[:10]!r} with {record.expires - start}")
        return wrong

    assert in_threads(work, 3) == [[]] * 3


# ---- damage


@pytest.fixture
def torn(unclean, folder: Path) -> Path:
    """Have a process killed that has written three keys; then take the second half of one of the values."""
    unclean(lambda store: [store.put(key, b"0123456789", expires=2e9) for key in ("a", "torn", "z")])
    path = value_at(folder, "torn")
    os.truncate(path, 5)
    return path


@HOMES
def test_damaged_value_is_reported(opened: Open, torn: Path, home: Home) -> None:
    """After an unclean end a value that is not what was written is an error with key and file; others are read."""
    store = opened()
    for use in (store.read, store.get, store.open):
        with pytest.raises(CorruptValueError) as caught:
            use("torn")
        assert (caught.value.key, caught.value.path) == ("torn", str(torn))
        assert "10" in caught.value.detail
        assert "5" in caught.value.detail

    assert [store.read(key) for key in "az"] == [b"0123456789"] * 2
    assert store.count() == 3
    store.put("torn", b"new")
    assert store.read("torn") == b"new"


@HOMES
def test_damage_of_the_same_length_is_reported(opened: Open, torn: Path, home: Home) -> None:
    """The checksum finds what the length does not."""
    torn.write_bytes(b"0123456780")
    store = opened()

    with pytest.raises(CorruptValueError, match="not those that were written"):
        store.read("torn")


@HOMES
def test_damaged_value_may_be_missing(opened: Open, torn: Path, home: Home) -> None:
    """With ``on_corrupt="miss"`` it is absent for readers, stays where it is, and can be written over."""
    store = opened(on_corrupt="miss")
    found = store.read("torn"), store.get("torn"), store.open("torn")

    assert found == (None, None, None)
    assert torn.read_bytes() == b"01234"
    store.put("torn", b"new")
    assert store.read("torn") == b"new"


@HOMES
def test_damaged_value_may_be_set_aside(opened: Open, torn: Path, folder: Path, home: Home) -> None:
    """With ``on_corrupt="quarantine"`` the first reader moves it aside, with nothing left in its place."""
    store = opened(on_corrupt="quarantine")
    store.count()

    assert store.read("torn") is None
    assert [path.read_bytes() for path in (folder / "quarantine").iterdir() if "attr" not in path.name] == [b"01234"]
    assert not torn.exists()
    assert not store.contains("torn")
    assert list(store.scan()) == ["a", "z"]


def test_quarantine_keeps_all_that_it_was_given(unclean, opened: Open, folder: Path) -> None:
    """A second damaged value of the same key lies beside the first."""
    for content in (b"first", b"second"):
        unclean(lambda store: store.put("k", b"0123456789"))
        value_at(folder, "k").write_bytes(content)
        with contextlib.closing(opened(on_corrupt="quarantine")) as store:
            assert store.read("k") is None

    assert sorted(path.read_bytes() for path in (folder / "quarantine").iterdir()) == [b"first", b"second"]


def test_readonly_cannot_set_aside(opened: Open, torn: Path) -> None:
    """A handle that only reads reports what it would have moved."""
    store = opened(readonly=True, on_corrupt="quarantine")

    with pytest.raises(CorruptValueError):
        store.read("torn")
    with pytest.raises(ReadOnlyError):
        store.quarantine("a", b"1")
    assert torn.exists()


@pytest.mark.parametrize("cache_bytes", [0, 100])
def test_empty_file_is_damage_always(opened: Open, folder: Path, cache_bytes: int) -> None:
    """No value is empty on disk, so an empty file is reported after a clean end too."""
    with contextlib.closing(opened()) as store:
        store.put("k", b"1")
    os.truncate(value_at(folder, "k"), 0)
    store = opened(cache_bytes=cache_bytes)

    with pytest.raises(CorruptValueError, match="empty"):
        store.read("k")
    with pytest.raises(CorruptValueError, match="empty"):
        store.get("k")


@HOMES
def test_value_changed_by_hand_counts_after_a_clean_end(opened: Open, folder: Path, home: Home, clock) -> None:
    """It is the key's new value, with the place and the expiry of the old; size and checksum are its own."""
    with contextlib.closing(opened()) as store:
        store.put("k", b"old", expires=clock.now + 5)
        store.put("l", b"1")
    value_at(folder, "k").write_bytes(b"by hand")
    store = opened()
    record, stat = store.get("k"), store.stat("k")

    assert record is not None
    assert stat is not None
    assert (record.payload, record.expires) == (b"by hand", clock.now + 5)
    assert (stat.size, stat.checksum, stat.expires) == (7, crc32(b"by hand"), clock.now + 5)
    assert list(store.scan()) == ["k", "l"]
    clock.tick(5)
    assert store.read("k") is None


def test_temporaries_are_swept_after_an_unclean_end(unclean, opened: Open, folder: Path) -> None:
    """What a killed process was writing is removed at the next opening; values stay."""
    unclean(lambda store: store.put("k", b"1"))
    shard = value_at(folder, "k").parent
    (shard / ".new").write_bytes(b"half a va")
    (shard / ".new-attr").write_bytes(b"{")
    opened()

    assert sorted(os.listdir(shard)) == ["k"]


@pytest.mark.parametrize("kind", ["file", "link", "fifo"])
def test_temporary_in_the_way_is_replaced(opened: Open, folder: Path, tmp_path: Path, kind: str) -> None:
    """A temporary that somebody left is no obstacle, and is not written through."""
    with contextlib.closing(opened()) as store:
        store.put("k", b"1")
    (tmp_path / "outside").write_bytes(b"theirs")
    temporary = value_at(folder, "k").with_name(".new")
    {
        "file": lambda: temporary.write_bytes(b"x"),
        "link": lambda: temporary.symlink_to(tmp_path / "outside"),
        "fifo": lambda: os.mkfifo(temporary),
    }[kind]()
    store = opened()
    store.put("k", b"2")

    assert store.read("k") == b"2"
    assert (tmp_path / "outside").read_bytes() == b"theirs"
    assert not os.path.lexists(temporary)


def test_unknown_files_in_a_shard_are_no_keys(opened: Open, folder: Path) -> None:
    """Names that no key has, and names of keys that belong elsewhere, are left out and left alone."""
    with contextlib.closing(opened()) as store:
        store.put("k", b"1")
    shard = value_at(folder, "k").parent
    other = next(name for name in names_in_shard("00", count=2) if shard.name != "00")
    for name in ("README", "k~", ".hidden", "%%" + "0" * 64, other, "%zz"):
        (shard / name).write_bytes(b"x")
    (shard / "folder").mkdir()
    store = opened()

    assert list(store.scan()) == ["k"]
    assert store.read(other) is None
    store.put("l", b"1")
    assert (shard / "README").read_bytes() == b"x"


# ---- links and other things in the place of files


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder beside the store that it must neither read nor write, holding a secret under the name of a value."""
    path = tmp_path / "outside"
    path.mkdir()
    (path / "secret").write_bytes(b"secret")
    return path


@pytest.mark.parametrize("dangling", [False, True])
def test_link_in_the_place_of_a_shard(opened: Open, folder: Path, outside: Path, dangling: bool) -> None:
    """Nothing is read or written through it; keys of other shards go on working."""
    opened().close()
    name = shard_of("secret")
    (folder / "data" / name).symlink_to(outside / "nowhere" if dangling else outside)
    before = tree(outside)
    store = opened()
    for use in (
        lambda: store.read("secret"),
        lambda: store.get("secret"),
        lambda: store.contains("secret"),
        lambda: store.put("secret", b"written"),
        lambda: store.delete("secret"),
        lambda: store.amend("secret", meta="{}"),
    ):
        with pytest.raises(NotADirectoryError, match="links are not followed"):
            use()
    store.put("k", b"1")

    assert store.read("k") == b"1"
    assert tree(outside) == before


def test_link_in_the_place_of_a_value(opened: Open, folder: Path, outside: Path) -> None:
    """The file that it points to is neither read nor changed, and deleting removes the link."""
    with contextlib.closing(opened()) as store:
        store.put("k", b"1")
    path = value_at(folder, "k")
    path.unlink()
    path.symlink_to(outside / "secret")
    before = tree(outside)
    store = opened()
    for use in (store.read, store.get, store.stat, store.contains):
        with pytest.raises(OSError, match="symbolic links"):
            use("k")

    with contextlib.suppress(OSError):
        store.put("k", b"written")
    with contextlib.suppress(OSError):
        store.amend("k", expires=1.0)
    assert tree(outside) == before
    with contextlib.suppress(OSError):
        store.delete("k")
    assert tree(outside) == before
    assert not path.is_symlink()


def test_link_in_the_place_of_a_sidecar(opened: Open, folder: Path, outside: Path, monkeypatch) -> None:
    """Attributes are not taken from elsewhere, nor written there."""
    use_sidecars(monkeypatch)
    with contextlib.closing(opened()) as store:
        store.put("k", b"1")
    path = beside(value_at(folder, "k"), "attr")
    shutil.move(path, outside / "attr")
    path.symlink_to(outside / "attr")
    before = tree(outside)
    store = opened()
    with contextlib.suppress(OSError):
        store.stat("k")
    with contextlib.suppress(OSError):
        store.put("k", b"2", meta="{}")

    assert tree(outside) == before


@pytest.mark.parametrize("name", ["data", "lock", "diskdict.json"])
def test_link_in_the_place_of_a_part_of_the_store(opened: Open, folder: Path, outside: Path, name: str) -> None:
    """Such a folder is not opened, and what the link points to stays as it is."""
    with contextlib.closing(opened()) as store:
        store.put("k", b"1")
    shutil.move(folder / name, outside / name)
    (folder / name).symlink_to(outside / name)
    before = tree(outside)

    with pytest.raises(OSError, match=r"symbolic links|Not a directory"):
        opened()
    assert tree(outside) == before


@pytest.mark.parametrize("name", ["index", "index.new"])
def test_link_in_the_place_of_the_index(opened: Open, folder: Path, outside: Path, name: str) -> None:
    """It is not followed, and a new index takes its place."""
    with contextlib.closing(opened()) as store:
        store.put("k", b"1")
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(outside / "secret")
    with contextlib.closing(opened()) as store:
        store.put("l", b"1")
        keys = list(store.scan())

    assert keys == ["k", "l"]
    assert (outside / "secret").read_bytes() == b"secret"
    assert not (folder / "index").is_symlink()


def test_link_in_the_place_of_the_quarantine(opened: Open, torn: Path, folder: Path, outside: Path) -> None:
    """Damage is not moved out of the store."""
    (folder / "quarantine").symlink_to(outside)
    store = opened(on_corrupt="quarantine")

    with pytest.raises(NotADirectoryError):
        store.read("torn")
    assert sorted(os.listdir(outside)) == ["secret"]
    assert torn.exists()


def test_fifo_in_the_place_of_a_value(opened: Open, folder: Path) -> None:
    """Reading it neither hangs nor gives a value; writing replaces it."""
    with contextlib.closing(opened()) as store:
        store.put("k", b"1")
    path = value_at(folder, "k")
    path.unlink()
    os.mkfifo(path)
    store = opened()
    for use in (store.read, store.get):
        with pytest.raises(CorruptValueError):
            use("k")
    store.put("k", b"2")

    assert store.read("k") == b"2"
    assert path.is_file()


def test_fifo_beside_a_value(opened: Open, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fifo in the place of a sidecar or of the index hangs nobody."""
    use_sidecars(monkeypatch)
    with contextlib.closing(opened()) as store:
        store.put("k", b"1")
    path = beside(value_at(folder, "k"), "attr")
    path.unlink()
    os.mkfifo(path)
    (folder / "index").unlink(missing_ok=True)
    os.mkfifo(folder / "index")
    store = opened()

    assert store.read("k") == b"1"
    assert list(store.scan()) == ["k"]


def test_folder_in_the_place_of_a_value(opened: Open, folder: Path) -> None:
    """It is an error for its key, stays what it is, and concerns no other key."""
    with contextlib.closing(opened()) as store:
        store.put("k", b"1")
        store.put("l", b"1")
    path = value_at(folder, "k")
    path.unlink()
    path.mkdir()
    (path / "theirs").write_bytes(b"x")
    store = opened()
    for use in (store.read, store.get, lambda key: store.put(key, b"2"), store.delete):
        with pytest.raises(OSError, match="directory"):
            use("k")

    assert list(store.scan()) == ["l"]
    assert (path / "theirs").read_bytes() == b"x"
    assert not os.path.lexists(path.with_name(".new"))


def test_strange_things_do_not_stop_the_count(opened: Open, folder: Path, outside: Path) -> None:
    """With the lock page lost and links, fifos and folders among the values, the next number is found all the same."""
    with contextlib.closing(opened()) as store:
        store.put("k", b"1")
        last = store.put("l", b"1")
    shard = value_at(folder, "k").parent
    (shard / "link").symlink_to(outside / "secret")
    (shard / "folder").mkdir()
    os.mkfifo(shard / "fifo")
    lost(folder / "lock")
    version = opened().put("new", b"1")

    assert last is not None
    assert version is not None
    assert version > last


# ---- limits


def test_refused_for_its_size_leaves_no_trace(opened: Open, folder: Path) -> None:
    """After a LimitError the folder is as it was, to the byte."""
    store = opened(limits=Limits(total_bytes=100))
    store.put("a", b"x" * 60)
    before = tree(folder)
    for key, size in (("b", 41), ("a", 101), ("k" * 300, 50)):
        with pytest.raises(LimitError) as caught:
            store.put(key, b"x" * size, expires=2e9)
        assert (caught.value.limit, caught.value.allowed) == ("total_bytes", 100)
        assert caught.value.met == (101 if size != 50 else 110)

    assert tree(folder) == before


@HOMES
def test_limit_counts_what_other_processes_left(opened: Open, folder: Path, home: Home) -> None:
    """The sum is that of the files, also of those that were changed by hand, and the limit is kept in the folder."""
    with contextlib.closing(opened(limits=Limits(total_bytes=100))) as store:
        store.put("a", b"x" * 40)
        store.put("b", b"x" * 40)
    value_at(folder, "a").unlink()
    value_at(folder, "c").parent.mkdir(exist_ok=True)
    value_at(folder, "c").write_bytes(b"x" * 50)
    store = opened()

    with pytest.raises(LimitError) as caught:
        store.put("d", b"x" * 11)
    assert caught.value.met == 101
    store.put("d", b"x" * 10)


def test_expired_are_removed_before_a_refusal(opened: Open, folder: Path, clock) -> None:
    """All that has expired goes first, also when it is not enough; what lives stays."""
    store = opened(limits=Limits(total_bytes=100))
    store.put("lives", b"x" * 60)
    store.put("dies", b"x" * 40, expires=clock.now + 5)
    clock.tick(5)
    with pytest.raises(LimitError) as caught:
        store.put("new", b"x" * 41)

    assert caught.value.met == 101
    assert not value_at(folder, "dies").exists()
    store.put("new", b"x" * 40)
    assert list(store.scan()) == ["lives", "new"]


# ---- opening


def test_folder_of_somebody_else_is_left_alone(folder: Path) -> None:
    """A folder with other things in it is refused and stays as it is."""
    folder.mkdir()
    (folder / "thesis.txt").write_bytes(b"x")
    before = tree(folder)

    with pytest.raises(FormatError, match=r"thesis\.txt"):
        FolderStore(str(folder))
    assert tree(folder) == before


@pytest.mark.parametrize("readonly", [True, False])
def test_missing_folder_is_not_made(folder: Path, readonly: bool) -> None:
    """Reading, or ``create=False``, makes nothing."""
    with pytest.raises(FileNotFoundError):
        FolderStore(str(folder), readonly=readonly, create=readonly)

    assert not folder.exists()


def test_readonly_changes_nothing(opened: Open, folder: Path) -> None:
    """Reading, scanning and closing leave the folder as it was, and changes are refused by name."""
    with contextlib.closing(opened()) as store:
        store.put("k", b"1", expires=2e9)
    (folder / "index").unlink(missing_ok=True)
    before = tree(folder)
    store = opened(readonly=True)
    seen = store.read("k"), store.count(), list(store.scan())
    for use in (
        lambda: store.put("k", b"2"),
        lambda: store.delete("k"),
        lambda: store.amend("k", expires=1.0),
        lambda: store.rename("k", "l"),
        store.sweep,
    ):
        with pytest.raises(ReadOnlyError, match="readonly=True"):
            use()
    store.close()

    assert seen == (b"1", 1, ["k"])
    assert tree(folder) == before


def test_readonly_without_a_lock_file(opened: Open, folder: Path, clock) -> None:
    """A copy on read-only media may lack it: it is read all the same, and every value is checked."""
    with contextlib.closing(opened()) as store:
        store.put("k", b"12345", expires=clock.now + 5)
        store.put("torn", b"12345")
    (folder / "lock").unlink()
    os.truncate(value_at(folder, "torn"), 2)
    store = opened(readonly=True)

    assert store.read("k") == b"12345"
    with pytest.raises(CorruptValueError):
        store.read("torn")
    assert not (folder / "lock").exists()
    clock.tick(5)
    assert store.read("k") is None


@pytest.mark.parametrize("call", ["get", "set", "remove"])
def test_failing_disk_is_not_taken_for_one_without_attributes(
    opened: Open, folder: Path, monkeypatch: pytest.MonkeyPatch, call: str, clock
) -> None:
    """An input error of the attribute calls is raised as what it is; the value stays, and no sidecar appears."""

    def fail(*_: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    store = opened()
    store.put("k", b"1", expires=clock.now + 5, meta="{}")
    monkeypatch.setattr(attributes, "calls", attributes.calls._replace(**{call: fail}))
    uses: dict[str, list[Callable[[], object]]] = {
        "get": [lambda: store.read("k"), lambda: store.get("k"), lambda: store.stat("k")],
        "set": [lambda: store.put("k", b"2"), lambda: store.amend("k", expires=clock.now + 9)],
        "remove": [lambda: store.amend("k", meta="")],
    }
    for use in uses[call]:
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            use()
    monkeypatch.undo()

    assert store.read("k") == b"1"
    assert not list((folder / "data").rglob(".*"))


def test_folder_may_be_renamed_while_open(opened: Open, folder: Path, tmp_path: Path) -> None:
    """A store is its folder, not the folder's name."""
    store = opened()
    store.put("k", b"1")
    folder.rename(tmp_path / "elsewhere")
    folder.mkdir()
    store.put("l", b"2")
    store.count()
    store.close()

    assert list(folder.iterdir()) == []
    with contextlib.closing(FolderStore(str(tmp_path / "elsewhere"))) as moved:
        assert [moved.read(key) for key in moved.scan()] == [b"1", b"2"]
