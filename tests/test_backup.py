"""`backup` copies a store that is in use, as it was at one moment."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest
from folders import tree, use_sidecars

from diskdict import DiskDict

Dict = DiskDict[Any, Any]


@pytest.mark.parametrize("home", ["attributes", "sidecars"])
def test_copy_is_a_store_of_its_own(folder: Path, tmp_path: Path, home: str, clock, monkeypatch) -> None:
    """Values, order, expiry, metadata, times, spellings and long keys are there, and what comes after is not."""
    if home == "sidecars":
        use_sidecars(monkeypatch)
    with DiskDict(folder, clock=clock) as d:
        d["b"] = 1
        d.set("a", b"\x00raw", ttl=50, metadata={"of": "a"})
        d["long " * 60] = d[True] = d["A/b"] = [1]
        count = d.backup(tmp_path / "copy")
        at = d.info("a")
        d["later"] = 1
        del d["b"]
        assert count >= 5

    with DiskDict(tmp_path / "copy", clock=clock) as copy:
        assert list(copy.items()) == [("b", 1), ("a", b"\x00raw"), ("long " * 60, [1]), (True, [1]), ("A/b", [1])]
        assert type(list(copy)[3]) is bool
        assert copy.info("a") == at
        assert copy.verify().ok
        copy["new"] = 1
        assert copy.info("new").version > at.version
        assert list(copy)[-1] == "new"


def test_copy_is_of_one_moment(folder: Path, tmp_path: Path) -> None:
    """Whatever other threads do meanwhile, a transaction is in it whole or not at all."""
    with DiskDict(folder) as d:
        d.update(dict.fromkeys("abcdefgh", 100))
        done = threading.Event()

        def move() -> None:
            turn = 0
            while not done.is_set():
                turn += 1
                with d.transaction():
                    d.increment("abcdefgh"[turn % 8], -1)
                    d.increment("abcdefgh"[turn * 3 % 8 - 1], 1)

        mover = threading.Thread(target=move)
        mover.start()
        try:
            for number in range(10):
                d.backup(tmp_path / str(number))
        finally:
            done.set()
            mover.join()

    for number in range(10):
        with DiskDict(tmp_path / str(number)) as copy:
            assert sum(copy.values()) == 800


def test_copy_goes_to_an_empty_folder(folder: Path, tmp_path: Path) -> None:
    """Where something is, or within the store itself, nothing is copied."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    with DiskDict(folder) as d:
        d["a"] = 1
        with pytest.raises(FileExistsError):
            d.backup(tmp_path / "full")
        with pytest.raises(FileExistsError):
            d.backup(tmp_path / "full" / "file")
        before = tree(folder)
        with pytest.raises(ValueError, match="outside"):
            d.backup(folder / "copy")
        assert tree(folder) == before
        (tmp_path / "empty").mkdir()
        d.backup(tmp_path / "empty")

    assert (tmp_path / "full" / "file").read_text() == "mine"
    with DiskDict(tmp_path / "empty") as copy:
        assert copy == {"a": 1}


def test_copy_that_fails_is_no_store(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It can be made again in the same place."""
    with DiskDict(folder) as d:
        d.update(dict.fromkeys(range(20), 1))
        with monkeypatch.context() as patch:
            patch.setattr(os, "utime", lambda *_, **__: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                d.backup(tmp_path / "copy")
        with pytest.raises(FileNotFoundError):
            DiskDict(tmp_path / "copy", create=False)

        d.backup(tmp_path / "copy")
    with DiskDict(tmp_path / "copy") as copy:
        assert len(copy) == 20


def test_backup_in_a_transaction(folder: Path, tmp_path: Path) -> None:
    """A copy of what is half done is refused."""
    with DiskDict(folder) as d, d.transaction():
        d["a"] = 1
        with pytest.raises(RuntimeError, match="transaction"):
            d.backup(tmp_path / "copy")
