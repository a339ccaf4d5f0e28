"""Whatever filesystem a store lies on, it does the same."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import test_disk_dict
import test_folder_store
from crash_child import DURABILITIES
from crew import Crew
from deeds import HOMES, LONG, At, Records, exactly, foreseen, opened, perform, plan, seen_in
from filesystems import FILESYSTEMS, filesystem
from folders import beside
from mounts import CannotMountError, mounted
from tallies import tally
from witness import witness

from diskdict import DiskDict, ReadOnlyError, StoreLockedError


@pytest.fixture(scope="module", params=FILESYSTEMS)
def kind(request: pytest.FixtureRequest) -> str:
    """The filesystem: all of them, one after the other."""
    return str(request.param)


@pytest.fixture(scope="module")
def point(kind: str, tmp_path_factory: pytest.TempPathFactory, announce: Callable[[str], None]) -> Iterator[Path]:
    """Where it is mounted."""
    try:
        with filesystem(kind, tmp_path_factory.mktemp("filesystem")) as point:
            tally["filesystems mounted"] += 1
            yield point
    except CannotMountError as error:
        announce(f"stores on {kind}: this user cannot make and mount one ({error}).")
        pytest.skip(f"cannot mount {kind}")


@pytest.fixture
def folder(point: Path, tmp_path: Path) -> Iterator[Path]:
    """A path there where nothing is yet, and nothing is left of it."""
    yield point / tmp_path.name / "store"
    shutil.rmtree(point / tmp_path.name, ignore_errors=True)


process_at_least = pytest.mark.parametrize(
    "durability",
    [pytest.param(durability, marks=[pytest.mark.torture] * (durability != "process")) for durability in DURABILITIES],
)

ALIKE = [
    *("readme", "README", "ReadMe"),
    *("é", "e\u0301", "É", "E\u0301"),
    *("ss", "SS", "ß", "ẞ", "ſs"),
    *("k", "K", "\u212a", "i", "I", "ı", "İ"),
    *("a", "a.", "a ", " a", "a\n", "a\0", "a/", "a\\", "a:", "a*", "a\ud800"),
    *("", ".", "..", "-", "~", "con", "CON", "con.txt", "new", "new.attr"),
    *("x" * 200, "x" * 201, "X" * 100, "X" * 101, "é" * 33, "é" * 34, LONG, LONG.upper()),
]
"""Keys that one filesystem or another takes for one, for none or for something else."""


def in_one_shard(folder: Path) -> DiskDict[Any, Any]:
    """Open a store with all its files in one folder."""
    return DiskDict(folder, codec="raw", shards=1)


def test_keys_that_look_alike(folder: Path) -> None:
    """Keys that differ in case alone, in how an accent is written or in what no name may have are keys of their own."""
    values = {key: repr(key).encode() for key in ALIKE}
    with in_one_shard(folder) as d:
        for key, value in values.items():
            d.set(key, value, metadata={"key": repr(key), "pad": "m" * 66_000 if len(key) < 3 else ""})
        assert {key: d[key] for key in ALIKE} == values
    with in_one_shard(folder) as d:
        assert {key: d[key] for key in ALIKE} == values
        assert list(d.items()) == list(values.items())
        assert {d.info(key).metadata["key"] for key in d} == {repr(key) for key in ALIKE}
        for key in ALIKE[::2]:
            del d[key]
        assert list(d) == ALIKE[1::2]
        for old, new in zip(ALIKE[1::2], ALIKE[::2], strict=False):
            d.rename(old, new)
        assert [*d.values()][: len(ALIKE) // 2] == [values[key] for key in ALIKE[1::2]]
        assert d.verify().ok


def test_metadata_about_as_large_as_an_attribute(folder: Path, kind: str) -> None:
    """What does not fit into an attribute goes to a sidecar, and comes back the same from either."""
    room = FILESYSTEMS[kind].room
    lengths = range(max(0, room - 150), room + 50, 10)
    homes = []
    for length in lengths:
        metadata = {"pad": "m" * length}
        with opened(folder, At()) as d:
            d.set("a", b"first", ttl=50, metadata=metadata)
            homes.append(beside(d.path_for("a"), "attr").exists())
        with opened(folder, At()) as d:
            info = d.info("a")
            assert (d["a"], d.ttl("a"), info.metadata) == (b"first", 50, metadata)
            assert d.verify().ok

    assert homes == sorted(homes)
    assert homes[-1]
    assert homes[0] == (room == 0)


@process_at_least
def test_deeds(folder: Path, durability: str) -> None:
    """It tells the same as a plain dict after any row of changes, and the next who opens it too."""
    clock = At()
    records: Records = {}
    row = plan(len(durability), 0, HOMES["both"])
    for _ in range(4):
        with opened(folder, clock, **DURABILITIES[durability]) as d:
            assert exactly(seen_in(d)) == exactly(records)
            for deed in itertools.islice(row, 20):
                clock.now = deed.now
                perform(d, deed)
                records = foreseen(records, deed)
            assert exactly(seen_in(d)) == exactly(records)
            assert d.verify().ok


@process_at_least
def test_killed(crew: Crew, folder: Path, durability: str) -> None:
    """What was acknowledged is there after a kill, what was being done is old or new."""
    witness(crew, folder, "both", durability, stores=1, rounds=3 if durability == "process" else 50)


def test_one_writer(folder: Path) -> None:
    """A second one is refused, readers share it with each other alone."""
    with opened(folder, At()), pytest.raises(StoreLockedError):
        opened(folder, At())
    with opened(folder, At(), readonly=True), opened(folder, At(), readonly=True), pytest.raises(StoreLockedError):
        opened(folder, At())


@pytest.mark.parametrize("clean", [True, False])
def test_mounted_to_read_only(folder: Path, tmp_path: Path, clean: bool) -> None:
    """What was left there is read; who wants to write is told why not, and finds it as it was when he may again."""
    d = opened(folder, At())
    d.set("a", b"first", ttl=50, metadata={"pad": "m" * 66_000})
    d["b"] = b"second"
    if clean:
        d.close()
    else:
        d._folder.abandon()
    with mounted(tmp_path / "readonly", "-o", "bind,ro", folder.parent) as point:
        with opened(point / "store", At(), readonly=True) as d:
            assert dict(d) == {"a": b"first", "b": b"second"}
            assert d.info("a").metadata == {"pad": "m" * 66_000}
            assert d.verify().ok
            with pytest.raises(ReadOnlyError):
                d["b"] = b"newer"
            with pytest.raises(ReadOnlyError):
                del d["a"]
        for path in (point / "store", point / "new"):
            with pytest.raises(OSError, match="Read-only file system"):
                opened(path, At())
    with opened(folder, At()) as d:
        d["b"] = b"newer"
        assert dict(d) == {"a": b"first", "b": b"newer"}
        assert d.verify().ok


class Everywhere:
    """A contract on each of them, with each durability."""

    @pytest.fixture(autouse=True, params=DURABILITIES)
    def durability(self, request: pytest.FixtureRequest) -> None:
        self.options = DURABILITIES[request.param]

    @pytest.fixture
    def base(self, folder: Path) -> Path:
        tally["tests of the contracts on other filesystems"] += 1
        return folder


@pytest.mark.torture
class TestMappings(Everywhere, test_disk_dict.InFolders):
    """All that a dict does."""


@pytest.mark.torture
class TestStores(Everywhere, test_folder_store.InFolders):
    """All that a store does."""
