"""Mistakes that durable queues have made once."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from clocks import Clock
from queue_contract import PATIENCE, Background

from diskdict import ClosedError, DurabilityError, DurableLifoQueue, DurablePriorityQueue, DurableQueue, ShutDown


class Picky:
    """A codec of bytes that cannot read some of them."""

    name = "picky"

    def __init__(self, *bad: bytes) -> None:
        self.bad = bad
        self.raises: Exception = ValueError("bad")

    def dumps(self, value: object) -> bytes:
        assert isinstance(value, bytes)
        return value

    def loads(self, payload: bytes) -> object:
        if payload in self.bad:
            raise self.raises
        return payload


@pytest.fixture
def background() -> Iterator[Background]:
    background = Background()
    yield background
    background.close()


def killed(q: DurableQueue) -> None:
    """Leave the folder as a killed process does."""
    q.abandon()


def files(path: Path) -> list[Path]:
    return sorted((path / "data").iterdir())


def test_burying_makes_room(tmp_path: Path, background: Background) -> None:
    """A producer waits for the place of an item that cannot be read, a consumer for what the producer brings."""
    q: DurableQueue[bytes] = DurableQueue(tmp_path, 1, codec=Picky(b"bad"))
    q.put(b"bad")
    putting, getting = background.waiting(q.put, b"good"), background(q.get)

    assert getting.result(PATIENCE) == b"good"
    putting.result(PATIENCE)
    q.close()


def test_visibility_that_passes_wakes_who_waited_before_it_began(tmp_path: Path, background: Background) -> None:
    """Two wait, one gets the item and never acknowledges it: the other gets it then."""
    q = DurableQueue(tmp_path, visibility=0.2)
    waiting = [background.waiting(q.get), background.waiting(q.get)]

    q.put("x")

    assert sorted(each.result(PATIENCE).deliveries for each in waiting) == [1, 2]
    q.close()


def test_visibility_that_is_shortened_wakes_who_waits(tmp_path: Path, background: Background) -> None:
    """It is not slept through."""
    q = DurableQueue(tmp_path, visibility=3_600)
    q.put("x")
    delivery = q.get()
    waiting = background.waiting(q.get)

    q.extend(delivery, 0.05)

    assert waiting.result(PATIENCE).deliveries == 2
    q.close()


def test_join_ends_when_the_last_item_is_given_up(tmp_path: Path) -> None:
    """As its visibility passes, though nobody else looks; and after an immediate shutdown, whatever was delayed."""
    q = DurableQueue(tmp_path / "spent", visibility=0.05, max_deliveries=1)
    q.put("x")
    q.get()
    q.join()
    q.close()

    q = DurableQueue(tmp_path / "shut", visibility=60)
    q.put("now")
    q.put("later", delay=60)
    delivery = q.get()
    q.shutdown(immediate=True)
    q.nack(delivery)
    q.join()
    q.close()
    with DurableQueue(tmp_path / "shut") as q:
        assert q.counts()[:2] == (1, 1)


def test_item_that_is_delayed_and_spent_dies_once(tmp_path: Path, clock: Clock) -> None:
    """Opened with fewer deliveries than it has had, it is a dead letter, and nothing else; its neighbours stay."""
    with DurableQueue(tmp_path, visibility=10, clock=clock) as q:
        q.put("a")
        q.put("b")
        q.nack(q.get(), delay=100)

    with DurableQueue(tmp_path, visibility=10, max_deliveries=1, clock=clock) as q:
        assert q.counts() == (1, 0, 0, 1)
        clock.tick(200)
        assert [each.value for each in q.get_many(5)] == ["b"]
    with DurableQueue(tmp_path, clock=clock) as q:
        assert q.counts()[0] == 1


def test_without_a_limit_an_item_is_given_for_ever(tmp_path: Path) -> None:
    """More often than can be written down."""
    with DurableQueue(tmp_path, visibility=10) as q:
        q.put("x")
        for _ in range(1_005):
            q.nack(q.get())

        assert q.get().deliveries == 1_006


def test_index_fits_once_whatever_becomes_of_the_lockfile(tmp_path: Path) -> None:
    """Removed twice, it has the same numbers twice; what was taken does not come back."""
    with DurableQueue(tmp_path) as q:
        q.put_many([1, 2, 3, 4])
    (tmp_path / "lock").unlink()
    with DurableQueue(tmp_path) as q:
        assert q.get() == 1
    (tmp_path / "lock").unlink()
    q = DurableQueue(tmp_path)
    assert q.get_many(2) == [2, 3]
    killed(q)

    with DurableQueue(tmp_path) as q:
        assert list(q) == [4]


def test_file_that_is_longer_after_a_power_cut_ends_where_the_next_one_begins(tmp_path: Path) -> None:
    """Its zeros have the numbers of nobody's items."""
    q = DurableQueue(tmp_path)
    values = [[number, "x" * 400_000] for number in range(5)]
    for value in values:
        q.put(value)
    killed(q)
    os.truncate(files(tmp_path)[0], 1 << 20)

    with DurableQueue(tmp_path) as q:
        assert q.get_many(5) == values


@pytest.mark.parametrize("name", ["test.items", "0000000000000000.00000000.items"])
def test_what_is_no_file_is_left_alone(tmp_path: Path, name: str) -> None:
    """A folder with the name of a file of items, too."""
    DurableQueue(tmp_path).close()
    (tmp_path / "data" / name).mkdir()

    with DurableQueue(tmp_path) as q:
        assert q.empty()


@pytest.mark.parametrize("error", [MemoryError(), OSError(5, "no"), RecursionError()])
@pytest.mark.parametrize("kind", [DurableQueue, DurablePriorityQueue])
def test_what_is_of_the_moment_kills_no_item(tmp_path: Path, error: Exception, kind: type[DurableQueue[bytes]]) -> None:
    """Too little memory is told to who asks; the item is there for the next."""
    codec = Picky(b"x")
    codec.raises = error
    with kind(tmp_path, codec="raw") as q:
        q.put(b"x")
    (tmp_path / "diskdict.json").write_text((tmp_path / "diskdict.json").read_text().replace("raw", "picky"))

    with kind(tmp_path, codec=codec) as q:
        with pytest.raises(type(error)):
            q.get()
        codec.bad = ()
        assert q.get() == b"x"


def test_reason_does_not_hold_the_whole_value(tmp_path: Path) -> None:
    """Some errors have it in their text."""
    codec = Picky(b"x" * 100_000)
    codec.raises = ValueError(codec.bad[0])
    with DurableQueue(tmp_path, codec=codec) as q:
        q.put(b"x" * 100_000)
        with pytest.raises(queue.Empty):
            q.get_nowait()

        [letter] = q.dead_letters.values()
        assert len(letter.reason) < 1_000


def test_graveyard_that_is_somebody_elses_takes_no_item(tmp_path: Path) -> None:
    """What was taken before is given, the bad item is left out with a warning, and the queue opens again."""
    q: DurableQueue[bytes] = DurableQueue(tmp_path, codec=Picky(b"bad"))
    q.put_many([b"a", b"b", b"bad", b"c"])
    (tmp_path / "dead").mkdir()
    (tmp_path / "dead" / "diskdict.json").write_text("{}")

    with pytest.warns(RuntimeWarning, match="left out"):
        assert q.get_many(10) == [b"a", b"b", b"c"]
    q.close()


def test_requeueing_goes_on_behind_what_cannot_be_compared(tmp_path: Path) -> None:
    """And stops where there is no room; it says how many there were."""
    with DurablePriorityQueue(tmp_path, 2, visibility=10, max_deliveries=1) as q:
        for value in ("text", 1, 2, 3):
            q.put(value)
            q.nack(q.get())
        q.put(0)

        assert q.dead_letters.requeue_all() == 1
        assert len(q.dead_letters) == 3


def test_destroying_ends_the_queue_first(tmp_path: Path, background: Background) -> None:
    """Nothing is acknowledged that goes along; what is left over says that it is closed."""
    q = DurableQueue(tmp_path / "q")
    q.put(1)
    letters = q.dead_letters
    waiting = background.waiting(lambda: [q.get(), q.get()])

    q.destroy()

    with pytest.raises(ClosedError):
        waiting.result(PATIENCE)
    for use in (lambda: q.put(2), lambda: list(letters), lambda: len(letters)):
        with pytest.raises(ClosedError):
            use()
    assert not (tmp_path / "q").exists()


def test_end_is_told_before_a_wrong_timeout(tmp_path: Path) -> None:
    """As by the standard library."""
    with DurableQueue(tmp_path) as q:
        q.shutdown()

        with pytest.raises(ShutDown):
            q.get(timeout=-1)


def test_failed_sync_of_a_batch_is_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes behind it is not acknowledged: the disk tells of an error once."""
    q = DurableQueue(tmp_path, durability="full")
    q.put(1)
    real = os.fdatasync
    calls = iter([OSError(5, "no")])

    def fails_once(fd: int) -> None:
        for error in calls:
            raise error
        real(fd)

    monkeypatch.setattr(os, "fdatasync", fails_once)
    with pytest.raises(DurabilityError):
        q.put_many([2, 3])

    for _ in range(3):
        with pytest.raises(DurabilityError) as told:
            q.put(4)
    frames = 0
    trace = told.value.__traceback__
    while trace is not None:
        frames, trace = frames + 1, trace.tb_next
    assert frames < 12
    q.close()


def test_small_items_keep_no_large_files(tmp_path: Path, clock: Clock) -> None:
    """One of a few bytes stays in each file, the large ones are taken: the room is given back."""
    with DurableLifoQueue(tmp_path, clock=clock, visibility=10) as q:
        for number in range(40):
            q.put(number, delay=1_000)
            q.put("x" * 900_000)
            q.ack(q.get())

        assert sum(path.stat().st_blocks * 512 for path in files(tmp_path)) < 16 << 20
        clock.tick(1_000)
        assert [q.get().value for _ in range(40)] == [*range(39, -1, -1)]


def test_empty_files_of_a_killed_process_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the first change."""
    q = DurableQueue(tmp_path)
    for number in range(6):
        q.put([number, "x" * 900_000])
    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", lambda *_, **__: None)
        q.get_many(5)
    killed(q)
    assert len(files(tmp_path)) == 6

    with DurableQueue(tmp_path) as q:
        q.put("x")
        assert len(files(tmp_path)) <= 2


def test_many_that_come_back_at_once_take_no_square_of_time(tmp_path: Path, clock: Clock) -> None:
    """20,000 delayed among 20,000 ready are there again, in order."""
    with DurableQueue(tmp_path, clock=clock) as q:
        for start in range(0, 20_000, 1_000):
            q.put_many(range(start, start + 1_000), delay=10 if start % 2_000 else 0)
    with DurableQueue(tmp_path, clock=clock) as q:
        assert q.counts()[:2] == (10_000, 10_000)
        clock.tick(10)

        assert q.get_many(20_000) == list(range(20_000))


def test_semaphore_of_a_factory_begins_with_what_is_there(tmp_path: Path) -> None:
    """`threading.Semaphore` itself begins with one."""
    with DurableQueue(tmp_path, semaphore=threading.Semaphore) as q:
        q.put(1)
        counted = q._semaphore

        assert counted is not None
        assert counted.acquire(False)
        assert not counted.acquire(False)
        counted.release()


def test_mark_of_an_item_that_is_gone_is_no_item(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted between the removal of an item and forgetting what is known of it, that does not bring it back."""
    q = DurableQueue(tmp_path, visibility=10)
    q.put_many([1, 2])
    delivery = q.get()
    with monkeypatch.context() as patched:
        patched.setattr(q._engine.waiting, "forget", lambda number: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            q.ack(delivery)
    q.close()

    with DurableQueue(tmp_path) as q:
        assert list(q) == [2]
        assert q.counts() == (1, 0, 0, 0)
