"""Nothing is left of what a store needs."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from crew import Crew
from deeds import At, opened
from mounts import CannotMountError, image, mounted
from stage import both_homes, each_durability
from tallies import tally


def test_values_larger_than_files_may_be(plain: Crew, folder: Path) -> None:
    """A value that does not fit raises and leaves nothing; one that fits goes on working."""
    with plain.actor() as actor:
        wrong = actor.ask("crash_child.fill(folder, 65_536)", folder=folder)

    assert not wrong


@pytest.fixture(scope="module")
def scarce() -> Iterator[Crew]:
    """Processes that are short of something."""
    with Crew("scarce") as crew:
        yield crew


def judge_descriptors(crew: Crew, folder: Path, home: str, durability: str, deeds: int) -> None:
    with crew.actor() as actor:
        names = {"folder": folder, "home": home, "durability": durability, "deeds": deeds}
        times, wrong = actor.ask("scarce.work_without_descriptors(folder, home, durability, deeds)", **names)
    assert not wrong
    assert times
    tally["operations without a descriptor"] += times


@each_durability
@both_homes
def test_no_descriptor_is_left(scarce: Crew, folder: Path, home: str, durability: str) -> None:
    """What needs one says so and changes nothing, the rest is done; with descriptors it goes on."""
    judge_descriptors(scarce, folder, home, durability, 60)


@pytest.mark.torture
@each_durability
@both_homes
def test_no_descriptor_is_left_for_long(scarce: Crew, folder: Path, home: str, durability: str) -> None:
    """The same for 3,000 changes each."""
    judge_descriptors(scarce, folder, home, durability, 3_000)


@each_durability
def test_no_memory_is_left(scarce: Crew, folder: Path, durability: str) -> None:
    """A value that is larger than what is left is a MemoryError, whether read or written, and the store goes on."""
    with scarce.actor() as actor:
        assert not actor.ask("scarce.work_without_memory(folder, durability)", folder=folder, durability=durability)


@pytest.fixture
def small(tmp_path: Path, announce: Callable[[str], None]) -> Iterator[Path]:
    """A filesystem with room for few files."""
    with ExitStack() as stack:
        try:
            point = stack.enter_context(image(tmp_path / "image", 4 << 20, "-N", "64", "-I", "256"))
        except CannotMountError as error:
            announce(f"writing to a filesystem that is full: this user cannot mount an image ({error}).")
            pytest.skip("cannot mount an image")
        yield point


def test_no_inode_is_left(small: Path) -> None:
    """Even an overwrite needs a new file: it raises and keeps the old value. Deleting makes room again."""
    with opened(small / "store", At()) as d:
        with pytest.raises(OSError, match="No space left"):
            d.update((f"key {number}", b"first") for number in range(1_000))
        assert not d
        with pytest.raises(OSError, match="No space left"):
            for number in range(1_000):
                d[f"key {number}"] = b"first"
        there = dict(d)
        first, second, *_ = there

        for key in (first, "one more", "long " * 60):
            with pytest.raises(OSError, match="No space left"):
                d[key] = b"second"
        assert dict(d) == there
        assert d.verify().ok
        del d[first]
        d[second] = b"second"
        assert dict(d) == {key: value for key, value in (there | {second: b"second"}).items() if key != first}
    with opened(small / "store", At()) as d:
        assert d[second] == b"second"
        assert d.verify().ok


def test_no_block_is_left(small: Path) -> None:
    """A value that finds no room raises and keeps the old one; nothing is left of it."""
    with opened(small / "store", At()) as d:
        d["a"] = b"first"
        d["large"] = b"x" * 100_000
        with (small / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space left"):
            filler.writelines(itertools.repeat(b"x" * 4_096))

        for key in ("a", "large", "one more"):
            with pytest.raises(OSError, match="No space left"):
                d[key] = b"y" * 200_000
        assert dict(d) == {"a": b"first", "large": b"x" * 100_000}
        assert d.verify().ok
        del d["large"]
        d["a"] = b"second"
        assert dict(d) == {"a": b"second"}


def fill(folder: Path) -> None:
    """Leave no block on a filesystem."""
    with (folder / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space left"):
        filler.writelines(itertools.repeat(b"x" * 4_096))


@pytest.mark.parametrize("durability", ["interval", "full"])
def test_no_block_is_left_for_what_is_written_behind(small: Path, durability: str) -> None:
    """What was taken and finds no room stays readable, flush says so; deleting makes room on the full disk."""
    with opened(small / "store", At(), durability=durability, interval=3_600) as d:
        d["a"] = b"first"
        d["large"] = b"x" * 100_000
        d.flush()
        fill(small)
        there = dict(d)
        told = set()
        for number in range(100):
            try:
                d[f"key {number}"] = b"y" * 3_000
                there[f"key {number}"] = b"y" * 3_000
            except OSError as error:
                told.add(error.errno)
        assert told <= {errno.ENOSPC}
        assert dict(d) == there
        with pytest.raises(OSError, match="No space left"):
            d.flush()
        assert dict(d) == there

        for key in [key for key in there if key != "a"]:
            del d[key]
        d.flush()
        d["a"] = b"second"
        assert dict(d) == {"a": b"second"}
    with opened(small / "store", At()) as d:
        assert dict(d) == {"a": b"second"}
        assert d.verify().ok


@pytest.mark.parametrize("durability", ["interval", "full"])
def test_no_inode_is_left_for_what_is_written_behind(small: Path, durability: str) -> None:
    """More keys than there can be files stay in the journal until enough of them are deleted."""
    with opened(small / "store", At(), durability=durability, interval=3_600) as d:
        there = {f"key {number}": b"first" for number in range(200)}
        for key, value in there.items():
            d[key] = value
        with pytest.raises(OSError, match="No space left"):
            d.flush()
        assert dict(d) == there

        assert all(d.delete_many([key for key in there if key not in ("key 0", "key 199")]).values())
        d["key 0"] = b"second"
        d.flush()
    with opened(small / "store", At()) as d:
        assert dict(d) == {"key 0": b"second", "key 199": b"first"}
        assert d.verify().ok


def meet_an_error(point: Path) -> None:
    """Have an ext4 filesystem find an error in itself, whereupon it allows reading alone."""
    device = os.stat(point).st_dev
    name = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve().name
    Path(f"/sys/fs/ext4/{name}/trigger_fs_error").write_text("1")


@each_durability
def test_filesystem_turns_read_only(tmp_path: Path, announce: Callable[[str], None], durability: str) -> None:
    """Below an open store: reads go on, changes say why not and change nothing; mounted again it goes on."""
    disk = tmp_path / "disk"
    with ExitStack() as stack:
        try:
            point = stack.enter_context(image(disk, 16 << 20, "-e", "remount-ro"))
        except CannotMountError as error:
            announce(f"a filesystem that turns read-only: this user cannot mount an image ({error}).")
            pytest.skip("cannot mount an image")
        there = {"a": b"first", "b": b"second"}
        with opened(point / "store", At()) as d:
            d.update(there)
        d = opened(point / "store", At(), durability=durability)
        assert len(d) == 2
        try:
            meet_an_error(point)
        except OSError as error:
            d.close()
            announce(f"a filesystem that turns read-only: it cannot be told to ({error}).")
            pytest.skip("no errors on purpose")

        for change in (
            lambda: d.set("c", b"third"),
            lambda: d.delete("b"),
            lambda: d.expire("a", 5),
            lambda: d.set_metadata("a", {"of": "first"}),
            lambda: d.rename("a", "c"),
            lambda: d.set_many({"a": b"newer", "c": b"third"}),
            lambda: d.clear(),
        ):
            with pytest.raises(OSError, match="Read-only file system"):
                change()
            assert dict(d) == there
        assert d.get("c") is None
        assert d.verify().ok
        d.close()
        with opened(point / "store", At(), readonly=True) as d:
            assert dict(d) == there
    with mounted(tmp_path / "again", "-o", "loop", disk) as point, opened(point / "store", At()) as d:
        assert dict(d) == there
        d["a"] = b"newer"
        assert d["a"] == b"newer"
        assert d.verify().ok
