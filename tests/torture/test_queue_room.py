"""What queues take of a disk, and one that is full."""

from __future__ import annotations

import errno
import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from clocks import Clock
from mounts import CannotMountError, image, mounted
from queue_model import CLASSES

from diskdict import DurableQueue

MANY = 100_000
MILLION = 1_000_000


def used(folder: Path) -> tuple[int, int]:
    """Return how many files of items there are, and the bytes that they take."""
    sizes = [path.stat().st_blocks * 512 for path in (folder / "data").iterdir()]
    return len(sizes), sum(sizes)


def pass_by(q: Any, count: int, *, size: int = 100) -> None:
    """Put and get so many items, ten at a time in the queue."""
    ahead = 10
    q.put_many([{"number": number, "text": "x" * size} for number in range(ahead)])
    for number in range(ahead, count):
        q.put({"number": number, "text": "x" * size})
        got = q.get()
        if not isinstance(got, dict):
            assert q.ack(got)
    for _ in range(ahead):
        got = q.get()
        if not isinstance(got, dict):
            assert q.ack(got)


STUCK: dict[str, dict[str, Any]] = {
    "nothing": {},
    "one in flight": {"visibility": 1e6},
    "one delayed": {"visibility": 1e6},
}


def judge_space(folder: Path, stuck: str, count: int, size: int) -> None:
    with DurableQueue(folder, clock=Clock(), **STUCK[stuck]) as q:
        if stuck == "one in flight":
            q.put("stuck")
            q.get()
        elif stuck == "one delayed":
            q.put("stuck", delay=1e6)
        pass_by(q, count, size=size)
        files, taken = used(folder)
        assert files <= 4
        assert taken <= 5 << 20
    with DurableQueue(folder, clock=Clock(3e9)) as q:
        assert [*q] == (["stuck"] if stuck != "nothing" else [])
    assert used(folder)[0] <= 4


@pytest.mark.parametrize("stuck", STUCK)
def test_space_of_a_queue_that_is_used_for_long(quick: Path, stuck: str) -> None:
    """Few files, whatever has passed through: here 8 MB."""
    judge_space(quick / "queue", stuck, 4_000, 2_000)


@pytest.mark.torture
@pytest.mark.parametrize("stuck", STUCK)
def test_space_of_a_queue_that_is_used_for_very_long(folder: Path, stuck: str) -> None:
    """A million items."""
    judge_space(folder, stuck, MILLION, 100)


def judge_bottom(folder: Path, order: str, count: int, size: int) -> None:
    bottom = {"lifo": [0, "bottom"], "priority": [10**9, "bottom"]}[order]
    with CLASSES[order](folder) as q:
        q.put(bottom)
        for number in range(count):
            q.put([number, "x" * size])
            assert q.get()[0] == number
        files, taken = used(folder)
        assert files <= 4
        assert taken <= 5 << 20
    with CLASSES[order](folder) as q:
        assert [*q] == [bottom]


@pytest.mark.parametrize("order", ["lifo", "priority"])
def test_space_with_a_bottom_that_is_never_taken(quick: Path, order: str) -> None:
    """What lies below all others keeps no more than its file: here under 8 MB."""
    judge_bottom(quick / "queue", order, 4_000, 2_000)


@pytest.mark.torture
@pytest.mark.parametrize("order", ["lifo", "priority"])
def test_space_with_a_bottom_that_is_never_taken_for_long(folder: Path, order: str) -> None:
    """Under a million."""
    judge_bottom(folder, order, MILLION, 100)


def judge_stragglers(folder: Path, count: int, every: int, size: int) -> None:
    """Have one of so many items be stuck for good: each file has some of them."""
    stuck = 0
    with DurableQueue(folder, visibility=1e6, clock=Clock()) as q:
        for number in range(count):
            q.put([number, "x" * size])
            got = q.get()
            if number % every:
                q.ack(got)
            else:
                stuck += 1
        kept = stuck * (size + 100)
        assert used(folder)[1] < 20 * kept + (20 << 20)
    with DurableQueue(folder) as q:
        assert [number for number, _ in q] == [*range(0, count, every)]


def test_gaps_are_given_back(quick: Path) -> None:
    """Files in which few items are left do not take what they took: here 45 MB."""
    judge_stragglers(quick / "queue", 15_000, 300, 3_000)


@pytest.mark.torture
def test_gaps_are_given_back_for_long(folder: Path) -> None:
    """Of a million items each 3,000th stays."""
    judge_stragglers(folder, MILLION, 3_000, 100)


# ---- a full disk


@pytest.fixture(params=["tmpfs", "ext4"])
def small(request: pytest.FixtureRequest, tmp_path: Path, announce: Callable[[str], None]) -> Iterator[Path]:
    """A filesystem with little room."""
    with ExitStack() as stack:
        try:
            if request.param == "tmpfs":
                point = stack.enter_context(mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=6m", "tmpfs"))
            else:
                point = stack.enter_context(image(tmp_path / "image", 12 << 20))
        except CannotMountError as error:
            announce(f"a queue on a full disk: this user cannot mount a small filesystem ({error}).")
            pytest.skip("cannot mount a small filesystem")
        yield point


def put_until_full(q: Any, size: int, first: int = 0) -> list[Any]:
    """Put until there is no room; return what was put."""
    put = []
    with pytest.raises(OSError, match="No space left") as caught:
        for number in itertools.count(first):
            value = [number, "x" * size]
            q.put(value)
            put.append(value)
    assert caught.value.errno == errno.ENOSPC
    return put


@pytest.mark.parametrize("durability", ["process", "interval", "full"])
@pytest.mark.parametrize("order", CLASSES)
@pytest.mark.parametrize("visibility", [None, 1e6])
def test_full_disk(small: Path, order: str, visibility: float | None, durability: str) -> None:
    """A put is refused and changes nothing, alone and for many; get and ack go on, and make room again."""
    options: dict[str, Any] = {"visibility": visibility, "durability": durability, "interval": 3_600}
    with CLASSES[order](small / "queue", **options) as q:
        put = put_until_full(q, 20_000)
        assert len(put) > 100
        rest = put[::-1] if order == "lifo" else put
        assert [*q] == rest
        assert (q.qsize(), q.unfinished_tasks) == (len(put), len(put))
        with pytest.raises(OSError, match="No space left"):
            q.put_many([[10**6 + number, "x" * 20_000] for number in range(50)])
        assert [*q] == rest

        for expected in rest[:-3]:
            got = q.get(False)
            if visibility is not None:
                assert q.ack(got)
                got = got.value
            assert got == expected
        assert len(put_until_full(q, 20_000, first=10**7)) > 50
        assert [value for value in q if value in rest] == rest[-3:]
        left = [*q]
    with CLASSES[order](small / "queue") as q:
        assert [*q] == left


def test_disk_filled_by_others(small: Path) -> None:
    """Nothing is lost when others leave no room at all, whether open, closed or opened then."""
    with DurableQueue(small / "queue", visibility=1e6, max_deliveries=1) as q:
        q.put_many(range(100))
        with (small / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space left"):
            filler.writelines(itertools.repeat(b"x" * 4_096))
        with pytest.raises(OSError, match="No space left"):
            q.put_many(["x" * 20_000] * 100)
        assert q.ack(q.get())
        held = q.get()
        assert held.value == 1
    with DurableQueue(small / "queue", visibility=1e6) as q:
        assert [*q][-98:] == [*range(2, 100)]
        assert q.ack(q.get())
    (small / "filler").unlink()
    with DurableQueue(small / "queue") as q:
        q.put("more")
        assert [*q][-98:] == [*range(3, 100), "more"]
