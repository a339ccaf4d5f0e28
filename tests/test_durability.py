"""What is promised of files, readers and threads when the journal comes first: durability "interval" and "full"."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import deeds
import pytest
from crash_child import descriptors
from deeds import HOMES, At, Records, alive, exactly, foreseen, perform, plan, seen_in
from folders import kill, use_sidecars, value_at
from interrupts import Interrupted
from mounts import CannotMountError, mounted

from diskdict import DiskDict, DurabilityError, LimitError, Limits, journalfile, ledger
from diskdict import files as raw_files

Dict = DiskDict[Any, Any]
Open = Callable[..., Dict]
HOUR = 3_600

both = pytest.mark.parametrize("durability", ["interval", "full"])


@pytest.fixture
def opened(folder: Path, clock: Any) -> Iterator[Open]:
    """Opens the folder, by default such that no file is written before it is asked for; closes what was opened."""
    made: list[Dict] = []

    def open_it(**options: Any) -> Dict:
        made.append(DiskDict(folder, **{"clock": clock, "interval": HOUR} | options))
        return made[-1]

    yield open_it
    for d in made:
        d.close()


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.002)


# ---- files that follow


@both
def test_readers_see_at_once_what_no_file_has(opened: Open, folder: Path, durability: str) -> None:
    """A value is there for every way of reading before it has a file, and in its file after flush."""
    d = opened(durability=durability)
    d.set("k", {"a": 1}, ttl=5, metadata={"by": "me"})

    assert not list((folder / "data").glob("*/k"))
    assert (d["k"], "k" in d, len(d), list(d), d.ttl("k")) == ({"a": 1}, True, 1, ["k"], 5)
    assert d.info("k").metadata == {"by": "me"}
    d.flush()
    assert json.loads(value_at(folder, "k").read_bytes()) == {"a": 1}
    assert d.ttl("k") == 5


@both
def test_close_leaves_plain_files(opened: Open, folder: Path, durability: str) -> None:
    """After close every value is a file, and no journal is left."""
    with opened(durability=durability) as d:
        d.update({str(number): number for number in range(50)})
        del d["7"]

    assert not (folder / "journal").exists()
    assert len([path for path in (folder / "data").glob("*/*") if path.is_file()]) == 49
    assert opened() == {str(number): number for number in range(50) if number != 7}


@both
def test_path_for_brings_the_file_up_to_date(opened: Open, durability: str) -> None:
    """Whoever asks for the file finds in it what was last assigned."""
    d = opened(durability=durability)
    d["k"] = 1
    d["k"] = 2

    assert d.path_for("k").read_bytes() == b"2"


@both
def test_files_follow_by_themselves(opened: Open, folder: Path, durability: str) -> None:
    """Within about the interval files are as the dict is, removed ones gone, and the journal is empty again."""
    d = opened(durability=durability, interval=0.01)
    d.update({"a": 1, "b": 2})
    until(lambda: (folder / "data").exists() and {p.name for p in (folder / "data").glob("*/*")} == {"a", "b"})
    del d["a"]
    until(lambda: {path.name for path in (folder / "data").glob("*/*")} == {"b"})

    until(lambda: not d._folder.journal.holds_groups)
    assert d == {"b": 2}


@both
def test_killed_process_loses_nothing(opened: Open, durability: str) -> None:
    """What no file has is brought into files by the next who opens the folder, and shown to who only reads."""
    d = opened(durability=durability)
    d.update({"a": 1, "b": 2})
    del d["a"]
    d.set("c", 3, ttl=9)
    d.rename("b", "d")
    kill(d)

    with opened(readonly=True) as seen:
        assert list(seen.items()) == [("c", 3), ("d", 2)]
    with opened() as next_one:
        assert list(next_one.items()) == [("c", 3), ("d", 2)]
        assert next_one.ttl("c") == 9
        assert next_one.verify().ok


@both
def test_large_values_go_past_the_journal(opened: Open, folder: Path, durability: str) -> None:
    """A value of megabytes is not written twice, in order with the others, alone and in a transaction."""
    large = os.urandom(3 << 20)
    d = opened(durability=durability, codec="raw")
    d["small"] = b"before"
    d["large"] = large
    with d.transaction():
        d["large too"] = large
        d["small"] = b"after"
    d.expire("large", 50)
    d.rename("large", "renamed")

    assert (folder / "journal").stat().st_size < 5 << 20
    kill(d)
    with opened(codec="raw") as other:
        assert other == {"small": b"after", "large too": large, "renamed": large}
        assert other.ttl("renamed") == 50


def test_buffer_is_bounded(opened: Open, folder: Path) -> None:
    """What waits for its file stays about within buffer_bytes, however fast changes come."""
    d = opened(durability="interval", buffer_bytes=100_000, codec="raw")
    for number in range(300):
        d[str(number)] = bytes(10_000)

    written = [path for path in (folder / "data").glob("*/*") if path.is_file()]
    assert len(written) > 250


@pytest.mark.parametrize("rows", [2, pytest.param(20, marks=pytest.mark.torture)])
@pytest.mark.parametrize("home", ["attributes", "sidecars"])
@both
def test_files_follow_beside_changes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, home: str, durability: str, rows: int
) -> None:
    """While the thread and a full buffer have files written at all times, rows of changes give what a dict gives."""
    if home == "sidecars":
        use_sidecars(monkeypatch)
    for seed in range(rows):
        now = At()
        there: Records = {}
        options = {"durability": durability, "interval": 0.003, "buffer_bytes": 100_000}
        with deeds.opened(folder / str(seed), now, **options) as d:
            for deed in itertools.islice(plan(seed, 0, HOMES[home]), 200):
                now.now = deed.now
                perform(d, deed)
                there = foreseen(there, deed)
                assert exactly(seen_in(d)) == exactly(alive(there, deed.now)), (seed, deed)


def test_removal_is_not_taken_for_an_older_one(opened: Open, folder: Path) -> None:
    """A key that was removed, put, written because the buffer is full, and removed again stays removed."""
    d = opened(durability="interval", buffer_bytes=1_000_000, codec="raw")
    d["k"] = b"first"
    d.flush()
    del d["k"]
    d.update({str(number): b"much to do" for number in range(400)})
    [follower] = in_threads(d._folder.follow)
    until(d._folder._moving.locked)
    with d._folder.exclusive():
        d["k"] = b"second"
        d["large"] = bytes(1_000_000)
        d["next"] = b"finds the buffer full"
        del d["k"]
    follower.join()

    assert "k" not in d
    d.flush()
    assert not list((folder / "data").glob("*/k"))


@both
def test_full_disk(tmp_path: Path, announce: Callable[[str], None], durability: str) -> None:
    """A put that finds no room changes nothing; all that was put can be read, and removed, which makes room again."""
    try:
        with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=12m", "tmpfs") as small:
            with DiskDict[Any, Any](small / "store", codec="raw") as d:
                d.update((f"old{number}", bytes(20_000)) for number in range(460))
            with DiskDict[Any, Any](small / "store", codec="raw", durability=durability, interval=HOUR) as d:
                put = 0
                with pytest.raises(OSError, match="No space left"):
                    while True:
                        d[f"new{put}"] = bytes(20_000)
                        put += 1
                assert put > 10
                assert len(d) == 460 + put
                assert d[f"new{put - 1}"] == bytes(20_000)
                with pytest.raises(OSError, match="No space left"):
                    d.flush()
                assert all(d.delete_many(f"old{number}" for number in range(460)).values())
                assert len(d) == put
                d.flush()
                d["more"] = bytes(20_000)
            with DiskDict[Any, Any](small / "store", codec="raw") as d:
                assert len(d) == put + 1
                assert d.verify().ok
    except CannotMountError as error:
        announce(f"a full disk with the journal first ({error}).")
        pytest.skip("cannot mount a small filesystem")


@pytest.mark.parametrize("name", ["interval", "buffer_bytes"])
@pytest.mark.parametrize("value", [-1, float("nan"), "1", None])
def test_bad_numbers_are_refused(opened: Open, folder: Path, name: str, value: Any) -> None:
    """They are named, and no folder is made."""
    with pytest.raises((TypeError, ValueError), match=name):
        opened(**{name: value})
    assert not folder.exists()


# ---- full: one sync for all who wait


class SlowSync:
    """A sync that takes as long as a test wants, and may fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        self.begun = threading.Event()
        self.go = threading.Event()
        self.error: OSError | None = None
        monkeypatch.setattr(journalfile, "sync", self)

    def __call__(self, fd: int) -> None:
        self.calls += 1
        self.begun.set()
        assert self.go.wait(20)
        if self.error is not None:
            raise self.error
        raw_files.sync(fd)


def in_threads(*actions: Callable[[], object]) -> list[threading.Thread]:
    threads = [threading.Thread(target=action) for action in actions]
    for thread in threads:
        thread.start()
    return threads


def test_nobody_sees_what_is_not_on_disk(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """With "full" readers are given the old value until the new one is on disk; it counts for none of their ways."""
    d = opened(durability="full")
    d["k"] = "old"
    sync = SlowSync(monkeypatch)
    writers = in_threads(lambda: d.__setitem__("k", "new"), lambda: d.__setitem__("more", 1))
    assert sync.begun.wait(20)

    assert (d["k"], len(d), "more" in d, d.get_many(["k", "more"])) == ("old", 1, False, {"k": "old"})
    sync.go.set()
    for writer in writers:
        writer.join()
    assert (d["k"], d["more"]) == ("new", 1)


def test_one_sync_for_all_who_wait(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes that come while the disk is busy are made durable together."""
    d = opened(durability="full")
    d["warm"] = 0
    sync = SlowSync(monkeypatch)
    first = in_threads(lambda: d.__setitem__("first", 1))
    assert sync.begun.wait(20)
    rest = in_threads(*(lambda number=number: d.__setitem__(str(number), number) for number in range(20)))
    until(lambda: len(d._folder._unsynced) == 21)
    sync.go.set()
    for thread in first + rest:
        thread.join()

    assert sync.calls == 2
    assert len(d) == 22


def test_change_of_the_same_key_waits(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads that count one key up lose no count, though neither is on disk when the other begins."""
    d = opened(durability="full")
    d["n"] = 0
    sync = SlowSync(monkeypatch)
    threads = in_threads(*(lambda: d.increment("n") for _ in range(5)))
    assert sync.begun.wait(20)
    sync.go.set()
    for thread in threads:
        thread.join()

    assert d["n"] == 5


@pytest.mark.parametrize("change", ["transaction", "clear", "popitem"])
def test_exclusive_changes_wait_for_what_is_under_way(
    opened: Open, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """Who has the dict for itself finds what others were about to have on disk."""
    d = opened(durability="full")
    d["first"] = 1
    sync = SlowSync(monkeypatch)
    writers = in_threads(lambda: d.__setitem__("second", 2))
    assert sync.begun.wait(20)
    seen: list[object] = []

    def transaction() -> None:
        with d.transaction():
            seen.append(d.get("second"))

    actions = {"transaction": transaction, "clear": d.clear, "popitem": lambda: seen.append(d.popitem())}
    others = in_threads(actions[change])
    time.sleep(0.05)
    sync.go.set()
    for thread in writers + others:
        thread.join()

    expected = {"transaction": [2], "clear": [], "popitem": [("second", 2)]}
    assert seen == expected[change]
    assert len(d) == {"transaction": 2, "clear": 0, "popitem": 1}[change]


def test_failed_sync_is_never_acknowledged(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """All who waited for it are told, what they wrote is nowhere, reading goes on, and no change is taken any more."""
    d = opened(durability="full")
    d["k"] = "old"
    sync = SlowSync(monkeypatch)
    sync.error = OSError(5, "broken")
    failures: list[BaseException] = []

    def write(key: str) -> None:
        try:
            d[key] = "new"
        except DurabilityError as error:
            failures.append(error)

    threads = in_threads(*(lambda key=key: write(key) for key in ("k", "a", "b")))
    assert sync.begun.wait(20)
    sync.go.set()
    for thread in threads:
        thread.join()

    assert len(failures) == 3
    assert dict(d) == {"k": "old"}
    monkeypatch.undo()
    with pytest.raises(DurabilityError):
        d["k"] = "again"
    with pytest.raises(DurabilityError):
        d.close()
    with opened() as other:
        assert other == {"k": "old"}


def test_failed_sync_of_the_thread_stops_changes(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """With "interval" nobody waits for the sync that fails; the next change is refused, reading goes on."""
    d = opened(durability="interval", interval=0.01)
    sync = SlowSync(monkeypatch)
    sync.error = OSError(5, "broken")
    sync.go.set()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        d["k"] = 1
        until(lambda: told)

    assert "writing behind failed: DurabilityError" in str(told[0].message)
    with pytest.raises(DurabilityError):
        d["other"] = 1
    assert d["k"] == 1
    monkeypatch.undo()
    with pytest.raises(DurabilityError):
        d.close()


@pytest.mark.parametrize("durability", ["process", "interval", "full"])
@pytest.mark.parametrize("before", [{}, {"k": "old"}], ids=["first change", "first expiry"])
def test_failed_sync_of_what_is_announced(
    opened: Open, monkeypatch: pytest.MonkeyPatch, durability: str, before: dict[str, str]
) -> None:
    """A change is refused, and all after it, where the disk fails to note what comes: nobody asks it again."""
    d = opened(durability=durability)
    d.update(before)
    d.flush()

    def broken(_: int) -> None:
        raise OSError(5, "broken")

    monkeypatch.setattr(ledger, "sync", broken)
    with pytest.raises(DurabilityError):
        d.set("k", "new", ttl=60)

    monkeypatch.undo()
    with pytest.raises(DurabilityError):
        d["k"] = "again"
    assert dict(d) == before
    d.close()
    with opened() as other:
        assert other == before


def test_reading_goes_on_after_a_sweep_that_is_not_durable(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a failed change has removed by the way does not reach the disk: that is for the next change to hear."""
    d = opened(durability="full")
    d["k"] = "old"
    d.set("dead", 1, ttl=0)
    sync = SlowSync(monkeypatch)
    sync.error = OSError(5, "broken")
    sync.go.set()
    real, left = os.pwrite, [1]

    def fails_later(fd: int, content: bytes, offset: int) -> int:
        if not left:
            raise OSError(30, "read-only")
        left.pop()
        return real(fd, content, offset)

    monkeypatch.setattr(os, "pwrite", fails_later)
    with pytest.raises(OSError, match="read-only"):
        d["new"] = 1

    assert list(d) == ["k"]
    assert dict(d) == {"k": "old"}
    with pytest.raises(DurabilityError):
        d["other"] = 1
    monkeypatch.undo()
    with pytest.raises(DurabilityError):
        d.close()
    with opened() as other:
        assert other == {"k": "old"}


@pytest.mark.parametrize(
    ("durability", "step"),
    [("interval", 3), ("full", 5), *(pytest.param(one, 1, marks=pytest.mark.torture) for one in ("interval", "full"))],
)
def test_interrupted_beginning_of_the_journal(tmp_path: Path, durability: str, step: int) -> None:
    """Wherever Ctrl-C comes while the journal is begun, first or anew, what is told of later is there after a kill."""
    before = descriptors()
    for at in itertools.count(1, step):
        folder = tmp_path / str(at)
        interruption = Interrupted(at)
        d: Dict = DiskDict(folder, durability=durability, interval=HOUR, shards=2)
        with contextlib.suppress(KeyboardInterrupt), interruption.armed():
            d["k"] = 1
            d.flush()
        d["after"] = 2
        d._folder.abandon()
        for fd in descriptors() - before:  # it came between opening a file and having it
            os.close(fd)
        with DiskDict(folder, durability=durability) as found:
            assert found["after"] == 2, interruption.where
        if not interruption.where:
            break
    assert at > 100


@both
def test_limit_holds_for_what_is_under_way(opened: Open, durability: str) -> None:
    """Eight threads together put no more than total_bytes."""
    d = opened(durability=durability, limits=Limits(total_bytes=1_000), codec="raw")
    refused: list[str] = []

    def fill(name: str) -> None:
        for number in range(10):
            try:
                d[f"{name}{number}"] = bytes(100)
            except LimitError:
                refused.append(name)

    for thread in in_threads(*(lambda name=name: fill(name) for name in "abcdefgh")):
        thread.join()

    assert len(d) == 10
    assert len(refused) == 70


@both
def test_threads_lose_nothing(opened: Open, durability: str) -> None:
    """Eight threads that put, count and delete beside the one that writes files leave what each did last."""
    d = opened(durability=durability, interval=0.001, buffer_bytes=20_000)

    def work(name: str) -> None:
        for number in range(60):
            d[f"{name}{number}"] = number
            d.increment("n")
            if number % 3 == 0:
                del d[f"{name}{number}"]

    for thread in in_threads(*(lambda name=name: work(name) for name in "abcdefgh")):
        thread.join()

    expected = {f"{name}{number}": number for name in "abcdefgh" for number in range(60) if number % 3}
    assert dict(d) == expected | {"n": 480}
    d.flush()
    assert d.verify().ok
    kill(d)
    with opened() as other:
        assert dict(other) == expected | {"n": 480}
