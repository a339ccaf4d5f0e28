"""FlushQueue: what waits in memory is moved to a folder and back, and nothing is lost on the way."""

from __future__ import annotations

import heapq
import itertools
import multiprocessing
import multiprocessing.queues
import os
import pickle
import queue
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from folders import strip
from hypothesis import given, settings
from hypothesis import strategies as st
from mounts import CannotMountError, mounted

import diskdict
from diskdict import (
    DamagedItemWarning,
    DiskDict,
    DurableQueue,
    FlushQueue,
    FormatError,
    InvalidValueError,
    StoreLockedError,
)
from diskdict.backends.file import FolderStore


class Fifo(queue.Queue[Any], FlushQueue):
    """A queue as users make it."""

    def __init__(self, path: Path, maxsize: int = 0) -> None:
        super().__init__(maxsize)
        self.path = path


class Lifo(queue.LifoQueue[Any], FlushQueue):
    """The last first."""

    def __init__(self, path: Path, maxsize: int = 0) -> None:
        super().__init__(maxsize)
        self.path = path


class Smallest(queue.PriorityQueue[Any], FlushQueue):
    """The smallest first."""

    def __init__(self, path: Path, maxsize: int = 0) -> None:
        super().__init__(maxsize)
        self.path = path


class Urgent(queue.Queue[Any], FlushQueue):
    """A container of its own, whose entries are not the items: the longest first, equally long ones in order."""

    def __init__(self, path: Path, maxsize: int = 0) -> None:
        super().__init__(maxsize)
        self.path = path

    def _init(self, maxsize: int) -> None:
        self._heap: list[tuple[int, int, Any]] = []
        self._count = itertools.count()

    def _qsize(self) -> int:
        return len(self._heap)

    def _put(self, item: Any) -> None:
        heapq.heappush(self._heap, (-len(str(item)), next(self._count), item))

    def _get(self) -> Any:
        return heapq.heappop(self._heap)[-1]


class Stack(queue.LifoQueue[Any], FlushQueue):
    """The last first, in a container of its own."""

    def __init__(self, path: Path, maxsize: int = 0) -> None:
        super().__init__(maxsize)
        self.path = path

    def _init(self, maxsize: int) -> None:
        self._stack: tuple[Any, ...] = ()

    def _qsize(self) -> int:
        return len(self._stack)

    def _put(self, item: Any) -> None:
        self._stack = item, *self._stack

    def _get(self) -> Any:
        item, *rest = self._stack
        self._stack = tuple(rest)
        return item


class OnceOnly(Fifo):
    """Takes each item once, ever: what went out cannot be put back by putting."""

    def _init(self, maxsize: int) -> None:
        super()._init(maxsize)
        self._known: set[Any] = set()

    def _put(self, item: Any) -> None:
        if item not in self._known:
            self._known.add(item)
            super()._put(item)


class Piped(multiprocessing.queues.Queue, FlushQueue):
    """A queue between processes."""

    def __init__(self, path: Path, maxsize: int = 0) -> None:
        super().__init__(maxsize, ctx=multiprocessing.get_context())
        self.path = path


class PipedJoinable(multiprocessing.queues.JoinableQueue, FlushQueue):
    """A queue between processes that can be joined."""

    def __init__(self, path: Path, maxsize: int = 0) -> None:
        super().__init__(maxsize, ctx=multiprocessing.get_context())
        self.path = path


KINDS = [Fifo, Lifo, Smallest, Urgent, Stack]
each_kind = pytest.mark.parametrize("kind", KINDS)
each_pipe = pytest.mark.parametrize("kind", [Piped, PipedJoinable])


def drained(q: Any) -> list[Any]:
    """Take all that is in a queue of threads."""
    return [q.get_nowait() for _ in range(q.qsize())]


def filled(q: Any, items: Any) -> Any:
    for item in items:
        q.put(item)
    return q


@pytest.fixture
def piped(folder: Path) -> Iterator[Callable[..., Any]]:
    """Make queues between processes, which are closed at the end."""
    made = []

    def make(kind: type[Any], maxsize: int = 0) -> Any:
        made.append(kind(folder, maxsize))
        return made[-1]

    yield make
    for q in made:
        while not q._closed and q.qsize():
            q.get(timeout=10)
        q.close()
        q.join_thread()
        # Its feeder does so where there is one.
        q._reader.close()
        q._writer.close()


def received(q: Any, count: int) -> list[Any]:
    """Take items out of a queue between processes, as many as there must be."""
    return [q.get(timeout=10) for _ in range(count)]


def files(folder: Path) -> list[Path]:
    """Return the files of the items, in order."""
    return sorted((folder / "data").glob("*/[!.]*"))


def test_the_example_of_old_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What iodict shows in its README works here as it stands, at a path with a tilde."""
    monkeypatch.setenv("HOME", str(tmp_path))

    class NewQueue(queue.Queue, diskdict.FlushQueue):
        def __init__(self, path, lock=None, semaphore=None):  # type: ignore[no-untyped-def]
            super().__init__()
            self.path = path
            self.lock = lock
            self.semaphore = semaphore

    q = NewQueue(path="~/queue")
    q.put("test")
    assert q.qsize() == 1
    q.flush()
    assert q.qsize() == 0
    q.ingest()
    assert q.qsize() == 1
    assert q.get() == "test"
    assert (tmp_path / "queue" / "diskdict.json").exists()


ITEMS = st.lists(st.one_of(st.integers(0, 3), st.sampled_from([1.0, 2.0, True, False])), max_size=12)


@each_kind
@given(before=ITEMS, gets=st.integers(0, 5), after=ITEMS)
@settings(deadline=None, max_examples=40)
def test_order_is_as_if_nothing_had_happened(
    tmp_path_factory: pytest.TempPathFactory, kind: Any, before: list[Any], gets: int, after: list[Any]
) -> None:
    """After flush and ingest it gives what it would have given, equal items in the same order, too."""
    moved, twin = (kind(tmp_path_factory.mktemp("q") / "store") for _ in range(2))
    for q in (moved, twin):
        filled(q, before)
        for _ in range(min(gets, len(before))):
            q.get()
        filled(q, after)

    count = moved.qsize()
    assert moved.flush() == count
    assert moved.empty()
    assert moved.ingest() == count

    assert [repr(item) for item in drained(moved)] == [repr(item) for item in drained(twin)]


@each_kind
def test_another_queue_brings_it_back(folder: Path, kind: Any) -> None:
    """What a process has left is there for the next, and is gone from the folder afterwards."""
    twin = filled(kind(folder), [[5], [1, 2], [3, 4, 5], [7]])
    filled(kind(folder), [[5], [1, 2], [3, 4, 5], [7]]).flush()
    q = kind(folder)

    assert q.ingest() == 4
    assert drained(q) == drained(twin)
    assert q.ingest() == 0
    assert files(folder) == []


def test_second_flush_appends(folder: Path) -> None:
    """It goes behind what is there, in later files."""
    filled(Fifo(folder), ["a", "b"]).flush()
    filled(Fifo(folder), ["c"]).flush()

    assert [path.read_text() for path in files(folder)] == ['"a"', '"b"', '"c"']
    q = Fifo(folder)
    assert q.ingest() == 3
    assert drained(q) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("kind", "expected"), [(Fifo, [3, 1, 4, 2, 5, 0]), (Lifo, [0, 5, 2, 4, 1, 3]), (Smallest, [0, 1, 2, 3, 4, 5])]
)
@pytest.mark.parametrize("maxsize", [1, 2, 4, 6, 7])
def test_ingest_brings_what_there_is_room_for(folder: Path, kind: Any, expected: list[int], maxsize: int) -> None:
    """What is to be got first is brought first, the rest stays for the next time; nothing waits."""
    filled(kind(folder), [3, 1, 4]).flush()
    filled(kind(folder), [2, 5, 0]).flush()
    q = kind(folder, maxsize)

    got = []
    while count := q.ingest():
        assert count == min(maxsize, 6 - len(got))
        assert q.ingest() == 0
        got += drained(q)
    assert got == expected


def test_ingest_goes_behind_what_waits(folder: Path) -> None:
    """As put does."""
    filled(Fifo(folder), ["a"]).flush()
    q = filled(Fifo(folder, 2), ["x"])

    assert q.ingest() == 1
    assert drained(q) == ["x", "a"]


def test_nothing_is_made_of_nothing(folder: Path) -> None:
    """Where nothing waits flush makes no folder, where there is none ingest makes none, and an empty one stays so."""
    assert Fifo(folder).flush() == 0
    assert Fifo(folder).ingest() == 0
    assert not folder.exists()
    folder.mkdir()
    assert Fifo(folder).ingest() == 0
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(("other", "kind"), [(DiskDict, "dict"), (DurableQueue, "queue")])
def test_folder_of_another_kind_is_refused(folder: Path, other: Any, kind: str) -> None:
    """Both ways, naming both kinds, and nothing moves."""
    other(folder).close()
    q = filled(Fifo(folder), ["a"])

    for move in (q.flush, q.ingest):
        with pytest.raises(FormatError, match=rf"'{kind}'.*'flush'"):
            move()
    assert drained(q) == ["a"]


@pytest.mark.parametrize(("other", "kind"), [(DiskDict, "dict"), (DurableQueue, "queue")])
def test_others_refuse_the_folder(folder: Path, other: Any, kind: str) -> None:
    """A flushed queue is nothing else."""
    filled(Fifo(folder), ["a"]).flush()

    with pytest.raises(FormatError, match=rf"'flush'.*'{kind}'"):
        other(folder)


def test_queue_that_was_shut_down(folder: Path) -> None:
    """It can be flushed, and takes nothing back."""
    q = filled(Fifo(folder), "ab")
    q.is_shutdown = True  # as its method does in Python 3.13
    assert q.flush() == 2

    with pytest.raises(diskdict.ShutDown):
        q.ingest()
    other = Fifo(folder)
    assert other.ingest() == 2


def test_foreign_folder_is_refused(folder: Path) -> None:
    """Somebody else's files are left alone."""
    folder.mkdir()
    (folder / "letter").write_text("dear")

    with pytest.raises(FormatError, match="letter"):
        filled(Fifo(folder), ["a"]).flush()
    assert [path.name for path in folder.iterdir()] == ["letter"]


class Shouting:
    """A codec of somebody's own."""

    name = "shouting"

    def dumps(self, value: object) -> bytes:
        return str(value).upper().encode()

    def loads(self, payload: bytes) -> object:
        return payload.decode()


@pytest.mark.parametrize(("codec", "item"), [("pickle", {1 + 2j}), ("raw", b"\x00"), (Shouting(), "LOUD")])
def test_codec_is_an_attribute(folder: Path, codec: Any, item: object) -> None:
    """By name, or an object; the folder keeps it."""

    class Coded(Fifo):
        pass

    Coded.codec = codec
    q = filled(Coded(folder), [item])
    assert q.flush() == q.ingest() == 1
    assert drained(q) == [item]
    with pytest.raises(FormatError, match="codec"):
        filled(Fifo(folder), ["a"]).flush()


@pytest.mark.parametrize("kind", [*KINDS, OnceOnly])
def test_what_the_codec_refuses_stays_in_its_place(folder: Path, kind: Any) -> None:
    """The others move; the first refusal is raised and says how many stay."""
    odd = [3 + 1j, 1 + 1j] if kind is not Smallest else [Odd(6), Odd(4)]
    items = [5, odd[0], 3, 1, odd[1], 2]
    q, twin = filled(kind(folder), items), filled(kind(folder), items)

    with pytest.raises(InvalidValueError) as caught:
        q.flush()
    assert caught.value.__notes__ == [f"4 items were moved to {folder}, 2 stay in the queue"]
    assert drained(q) == [item for item in drained(twin) if item in odd]
    q.ingest()
    assert sorted(drained(q)) == ([1, 2, 3, 5] if kind is not OnceOnly else [])


class Odd(int):
    """A number that JSON would not give back as it is."""


def test_interrupted_flush_has_moved_what_is_written(folder: Path) -> None:
    """The rest waits in its order."""

    class Interrupting(Shouting):
        def dumps(self, value: object) -> bytes:
            if value == "c":
                raise KeyboardInterrupt
            return super().dumps(value)

    q = filled(Fifo(folder), "abcd")
    q.codec = Interrupting()

    with pytest.raises(KeyboardInterrupt):
        q.flush()
    assert drained(q) == ["c", "d"]
    assert [path.read_text() for path in files(folder)] == ["A", "B"]


def test_flushed_items_are_done(folder: Path) -> None:
    """join waits for what was taken alone, and for what was brought back."""
    q = filled(Fifo(folder), "abc")
    q.get()
    joined = threading.Thread(target=q.join)
    joined.start()
    q.flush()
    assert q.unfinished_tasks == 1
    q.task_done()
    joined.join(10)
    assert not joined.is_alive()

    q.ingest()
    assert q.unfinished_tasks == 2


def test_flush_ends_join(folder: Path) -> None:
    """Where nothing else is unfinished."""
    q = filled(Fifo(folder), "abc")
    joined = threading.Thread(target=q.join)
    joined.start()

    q.flush()
    joined.join(10)
    assert not joined.is_alive()


def test_who_waits_to_put_goes_on(folder: Path) -> None:
    """All of them, when flush has made room; and who waits to get, when ingest has brought something."""
    q = filled(Fifo(folder, 2), "ab")
    putters = [threading.Thread(target=q.put, args=(letter,)) for letter in "cd"]
    for putter in putters:
        putter.start()
    q.flush()
    for putter in putters:
        putter.join(10)
        assert not putter.is_alive()
    assert sorted(drained(q)) == ["c", "d"]

    got: list[Any] = []
    getters = [threading.Thread(target=lambda: got.append(q.get())) for _ in range(2)]
    for getter in getters:
        getter.start()
    assert q.ingest() == 2
    for getter in getters:
        getter.join(10)
    assert sorted(got) == ["a", "b"]


def test_threads_put_and_get_meanwhile(folder: Path) -> None:
    """Each item is got once."""
    q = Fifo(folder, 50)
    count, producers = 1_000, 4
    got: list[tuple[int, int]] = []

    def produce(producer: int) -> None:
        for number in range(count):
            q.put((producer, number))

    def consume() -> None:
        while (item := q.get()) is not None:
            got.append(item)

    def move() -> None:
        while any(thread.is_alive() for thread in threads):
            q.flush()
            while q.ingest():
                pass

    threads = [threading.Thread(target=produce, args=(producer,)) for producer in range(producers)]
    others = [threading.Thread(target=consume), threading.Thread(target=move)]
    for thread in [*threads, *others]:
        thread.start()
    for thread in threads:
        thread.join()
    others[1].join()
    while q.ingest():
        pass
    q.put(None)
    others[0].join()
    got += drained(q)

    assert len(got) == len(set(got)) == count * producers


def test_semaphore_counts_the_folder(folder: Path) -> None:
    """One for each item that is written, one less for each that leaves, be it damaged."""
    q = filled(Fifo(folder, 4), "abcd")
    q.semaphore = semaphore = threading.Semaphore(0)
    q.flush()
    assert [semaphore.acquire(False) for _ in range(5)] == [True] * 4 + [False]
    for _ in range(4):
        semaphore.release()

    files(folder)[0].write_bytes(b"")
    q.maxsize = 2
    with pytest.warns(DamagedItemWarning):
        assert q.ingest() == 2
    assert [semaphore.acquire(False) for _ in range(2)] == [True, False]


def test_semaphore_may_be_a_factory(folder: Path) -> None:
    """What it gives counts those that are there already, too."""
    filled(Fifo(folder), "ab").flush()
    q = filled(Fifo(folder), "c")
    q.semaphore = multiprocessing.Semaphore
    q.flush()

    assert [q.semaphore.acquire(False) for _ in range(4)] == [True] * 3 + [False]


def test_lock_is_held(folder: Path) -> None:
    """From beginning to end, whether it is a lock or a factory of one."""
    held = []
    lock = threading.Lock()

    class Looking(Shouting):
        def dumps(self, value: object) -> bytes:
            held.append(lock.locked())
            return super().dumps(value)

        def loads(self, payload: bytes) -> object:
            held.append(lock.locked())
            return super().loads(payload)

    q = filled(Fifo(folder), "a")
    q.codec = Looking()
    for either in (lock, lambda: lock):
        q.lock = either
        q.flush()
        q.ingest()
    assert held == [True] * 4
    assert not lock.locked()


def test_folder_is_shared_in_turns(folder: Path) -> None:
    """Who finds another at it waits, at most as long as its patience lasts."""
    q = filled(Fifo(folder), "a")
    q.flush()
    store = FolderStore(str(folder), kind="flush")
    q.patience = 0
    with pytest.raises(StoreLockedError):
        q.ingest()

    q.patience = 60
    waiting = threading.Thread(target=q.ingest)
    waiting.start()
    store.close()
    waiting.join(10)
    assert drained(q) == ["a"]


@pytest.mark.parametrize(
    "damage", [lambda path: os.truncate(path, 3), lambda path: path.write_bytes(b""), lambda path: path.write_text("b")]
)
def test_torn_file_costs_one_item(folder: Path, damage: Callable[[Path], object]) -> None:
    """It is set aside and reported, though it might pass for another value; the others are back."""
    filled(Fifo(folder), ["first", "second", "third"]).flush()
    torn = files(folder)[1]
    damage(torn)
    left = torn.read_bytes()
    q = Fifo(folder)

    with pytest.warns(DamagedItemWarning, match=f"{torn} is damaged.*{folder}/quarantine") as told:
        assert q.ingest() == 2
    assert len(told) == 1
    assert told[0].filename == __file__
    assert drained(q) == ["first", "third"]
    assert [path.read_bytes() for path in (folder / "quarantine").iterdir()] == [left]
    assert q.ingest() == 0


def test_torn_file_without_attributes(without_attributes: Path) -> None:
    """The same on a filesystem that has none."""
    folder = without_attributes / "store"
    filled(Fifo(folder), ["first", "second", "third"]).flush()
    os.truncate(files(folder)[1], 3)
    q = Fifo(folder)

    with pytest.warns(DamagedItemWarning):
        assert q.ingest() == 2
    assert drained(q) == ["first", "third"]


def test_warning_as_error_comes_last(folder: Path) -> None:
    """Who makes errors of warnings has all items back, too."""
    filled(Fifo(folder), ["first", "second", "third"]).flush()
    files(folder)[0].write_bytes(b"{")
    q = Fifo(folder)

    with warnings.catch_warnings(), pytest.raises(DamagedItemWarning):
        warnings.simplefilter("error")
        q.ingest()
    assert drained(q) == ["second", "third"]
    assert files(folder) == []


def test_undecodable_file_costs_one_item(folder: Path) -> None:
    """What is whole and no value is set aside as well."""

    class Picky(Shouting):
        def loads(self, payload: bytes) -> object:
            if payload == b"B":
                raise ValueError("no B")
            return super().loads(payload)

    q = filled(Fifo(folder), "abc")
    q.codec = Picky()
    q.flush()

    with pytest.warns(DamagedItemWarning, match="no B"):
        assert q.ingest() == 2
    assert drained(q) == ["A", "C"]


def test_what_cannot_be_read_for_now_stays(folder: Path) -> None:
    """A class that is not there yet: the others are back, the error says how many stay, later it comes, too."""
    there: list[object] = []

    class Lazy(Shouting):
        def loads(self, payload: bytes) -> object:
            if payload == b"B" and not there:
                raise ImportError("no module B")
            return super().loads(payload)

    q = filled(Fifo(folder), "abc")
    q.codec = Lazy()
    q.flush()

    with pytest.raises(ImportError, match="no module B") as caught:
        q.ingest()
    assert caught.value.__notes__ == [f"2 items are back in the queue, 1 stay in {folder}"]
    assert drained(q) == ["A", "C"]
    there.append(True)
    assert q.ingest() == 1
    assert drained(q) == ["B"]


def test_items_that_do_not_compare_are_all_brought(folder: Path) -> None:
    """As after such a put they are in the queue; the error is told, and none is there twice."""
    filled(Smallest(folder), [(1, {"a": 1})]).flush()
    filled(Smallest(folder), [(1, {"b": 1})]).flush()
    filled(Smallest(folder), [(2, {})]).flush()
    q = Smallest(folder)

    with pytest.raises(TypeError, match="'<' not supported"):
        q.ingest()
    assert sorted(map(str, q.queue)) == ["(1, {'a': 1})", "(1, {'b': 1})", "(2, {})"]
    assert q.ingest() == 0


def test_copy_without_attributes_keeps_the_order(folder: Path) -> None:
    """The names of the files tell it."""
    filled(Fifo(folder), range(20)).flush()
    for path in reversed(files(folder)):
        strip(path)
        os.utime(path)
    (folder / "index").unlink(missing_ok=True)
    q = Fifo(folder)

    assert q.ingest() == 20
    assert drained(q) == list(range(20))
    filled(q, "ab")
    q.flush()
    q.ingest()
    assert drained(q) == ["a", "b"]


@pytest.fixture
def small(tmp_path: Path, announce: Callable[[str], None]) -> Iterator[Path]:
    """A filesystem with room for few files."""
    with ExitStack() as stack:
        try:
            yield stack.enter_context(mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=256k", "tmpfs"))
        except CannotMountError as error:
            announce(f"flushing to a full disk: this user cannot mount a tmpfs ({error}).")
            pytest.skip("cannot mount a tmpfs")


def test_full_disk_leaves_the_rest_in_the_queue(small: Path) -> None:
    """What was written is there, the rest waits in its place; bringing back needs no room."""
    items = [f"{number:04d}" * 500 for number in range(200)]
    q = filled(Fifo(small / "store"), items)

    with pytest.raises(OSError, match="No space left") as caught:
        q.flush()
    left = drained(q)
    moved = len(items) - len(left)
    assert 0 < moved < len(items)
    assert caught.value.__notes__ == [f"{moved} items were moved to {small / 'store'}, {len(left)} stay in the queue"]
    assert q.ingest() == moved
    assert drained(q) + left == items


def test_mixed_into_something_else(folder: Path) -> None:
    """What is no such queue is a TypeError."""

    class Wrong(queue.SimpleQueue, FlushQueue):  # type: ignore[misc,type-arg]
        path = folder

    with pytest.raises(TypeError, match="Wrong"):
        Wrong().flush()


@each_pipe
def test_feeder_is_drained_first(piped: Callable[..., Any], folder: Path, kind: Any) -> None:
    """All that this process has put moves, far more than a pipe holds, and comes back in order."""
    items = [f"{number}".zfill(100) for number in range(3_000)]
    q = filled(piped(kind), items)

    assert q.flush() == len(items)
    assert q.empty()
    assert [path.read_text() for path in files(folder)] == [f'"{item}"' for item in items]
    assert q.ingest() == len(items)
    assert received(q, len(items)) == items
    assert q.flush() == 0


def test_flushed_items_are_done_between_processes(piped: Callable[..., Any]) -> None:
    """join returns."""
    q = filled(piped(PipedJoinable), range(10))
    q.flush()
    q.join()
    q.ingest()
    received(q, 10)
    with pytest.raises(ValueError, match="too many"):
        for _ in range(11):
            q.task_done()


@each_pipe
def test_what_the_codec_refuses_stays_between_processes(piped: Callable[..., Any], kind: Any) -> None:
    """In order, and within maxsize."""
    q = filled(piped(kind, 6), [1, 2 + 1j, 3, 4 + 1j, 5, 6])

    with pytest.raises(InvalidValueError):
        q.flush()
    assert received(q, 2) == [2 + 1j, 4 + 1j]
    assert q.ingest() == 4
    assert received(q, 4) == [1, 3, 5, 6]


@each_pipe
def test_ingest_stops_at_maxsize_between_processes(piped: Callable[..., Any], kind: Any) -> None:
    """The rest stays in the folder."""
    filled(piped(kind), range(5)).flush()
    q = piped(kind, 3)

    assert q.ingest() == 3
    assert q.full()
    assert q.ingest() == 0
    assert received(q, 3) == [0, 1, 2]
    assert q.ingest() == 2
    assert received(q, 2) == [3, 4]


def test_full_disk_between_processes(
    piped: Callable[..., Any], tmp_path: Path, announce: Callable[[str], None]
) -> None:
    """What finds no room goes back in its order, before what was not yet taken."""
    with ExitStack() as stack:
        try:
            small = stack.enter_context(mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=128k", "tmpfs"))
        except CannotMountError as error:
            announce(f"flushing to a full disk: this user cannot mount a tmpfs ({error}).")
            pytest.skip("cannot mount a tmpfs")
        items = [f"{number:04d}" * 500 for number in range(200)]
        q = filled(piped(Piped, 200), items)
        q.path = small / "store"

        with pytest.raises(OSError, match="No space left"):
            q.flush()
        left = received(q, q.qsize())
        assert 0 < len(left) < 200
        assert q.ingest() == 200 - len(left)
        assert received(q, 200 - len(left)) + left == items


def test_who_waits_to_get_is_not_waited_for(piped: Callable[..., Any]) -> None:
    """A reader that has the pipe to itself takes what there is; flush does not hang."""
    q = piped(Piped)
    got: list[Any] = []
    reader = threading.Thread(target=lambda: got.append(q.get()))
    reader.start()
    while q._rlock.acquire(block=False):
        q._rlock.release()

    assert q.flush() == 0
    q.put("a")
    reader.join(10)
    assert got == ["a"]


def test_pipe_that_is_stuck(piped: Callable[..., Any], folder: Path) -> None:
    """A process was killed while it read: that is told in time, and nothing is lost."""
    q = filled(piped(Piped), "abc")
    q.patience = 0.05
    q._rlock.acquire()

    with pytest.raises(TimeoutError):
        q.flush()
    q._rlock.release()
    assert received(q, 3) == ["a", "b", "c"]
    assert files(folder) == []


def test_closed_queue_between_processes(piped: Callable[..., Any]) -> None:
    """As get and put."""
    q = piped(Piped)
    q.close()

    for move in (q.flush, q.ingest):
        with pytest.raises(ValueError, match="closed"):
            move()


def test_warning_class_survives_pickling() -> None:
    """As errors do."""
    assert str(pickle.loads(pickle.dumps(DamagedItemWarning("a")))) == "a"
