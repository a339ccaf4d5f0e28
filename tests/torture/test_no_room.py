"""Nothing is left of what a store needs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from crew import Crew
from deeds import At, opened
from mounts import CannotMountError, image


def test_values_larger_than_files_may_be(plain: Crew, folder: Path) -> None:
    """A value that does not fit raises and leaves nothing; one that fits goes on working."""
    with plain.actor() as actor:
        wrong = actor.ask("crash_child.fill(folder, 65_536)", folder=folder)

    assert not wrong


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
