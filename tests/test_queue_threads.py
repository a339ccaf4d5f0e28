"""Many threads and one queue: everything is got exactly once."""

from __future__ import annotations

import contextlib
import itertools
import queue
import random
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from queue_contract import ShutDown
from queue_model import CLASSES
from store_contract import in_threads
from tallies import tally

from diskdict.errors import ClosedError

PRODUCERS = CONSUMERS = 8
KINDS: dict[str, dict[str, Any]] = {"plain": {}, "with ack": {"visibility": 3_600}, "with maxsize": {"maxsize": 100}}

each_kind = pytest.mark.parametrize("kind", KINDS)
each_order = pytest.mark.parametrize("order", CLASSES)
Got = list[tuple[int, int]]


def produce(q: Any, producer: int, count: int, batch: int) -> None:
    numbers = iter([(producer, number) for number in range(count)])
    chance = random.Random(producer)
    while some := list(itertools.islice(numbers, chance.randrange(1, batch + 1))):
        if len(some) == 1:
            q.put(some[0])
        else:
            q.put_many(some)


def consume(q: Any, got: Got, seed: int, batch: int, careless: float) -> None:
    """Take until there is no more, and give a share back."""
    chance = random.Random(seed)
    try:
        while True:
            for each in [q.get()] if batch == 1 else q.get_many(chance.randrange(1, batch + 1)):
                if type(each) is tuple:
                    got.append(each)
                    q.task_done()
                elif chance.random() < careless:
                    q.nack(each)
                elif q.ack(each):
                    got.append(each.value)
    except ShutDown:
        pass


def pass_through(q: Any, each: int, *, batch: int = 1, careless: float = 0) -> list[Got]:
    """Have threads put and get so many items each; return what each consumer got."""
    got: list[Got] = [[] for _ in range(CONSUMERS)]
    left = threading.Barrier(PRODUCERS)

    def work(number: int) -> None:
        if number < CONSUMERS:
            consume(q, got[number], number, batch, careless)
            return
        produce(q, number - CONSUMERS, each, batch)
        if left.wait() == 0:
            q.join()
            q.shutdown()

    in_threads(work, PRODUCERS + CONSUMERS)
    tally["items of queues passed between threads"] += each * PRODUCERS
    return got


def judge(got: list[Got], each: int, *, in_order: bool) -> None:
    counted = Counter(item for some in got for item in some)
    assert counted == Counter((producer, number) for producer in range(PRODUCERS) for number in range(each))
    if in_order:
        for some in got:
            for producer in range(PRODUCERS):
                numbers = [number for it, number in some if it == producer]
                assert numbers == sorted(numbers)


@each_kind
@each_order
@pytest.mark.parametrize("batch", [1, 7])
def test_each_item_once(folder: Path, order: str, kind: str, batch: int) -> None:
    """Eight put, eight get: nothing is lost, nothing comes twice; first in first out for each who puts."""
    with CLASSES[order](folder, **KINDS[kind]) as q:
        got = pass_through(q, 60, batch=batch)

        assert q.counts() == (0, 0, 0, 0)
        assert q.unfinished_tasks == 0
    judge(got, 60, in_order=order == "fifo")
    with CLASSES[order](folder) as q:
        assert q.counts() == (0, 0, 0, 0)


@pytest.mark.torture
@each_kind
@each_order
@pytest.mark.parametrize("batch", [1, 20])
def test_each_item_once_for_long(folder: Path, order: str, kind: str, batch: int) -> None:
    """100,000 items."""
    with CLASSES[order](folder, **KINDS[kind]) as q:
        got = pass_through(q, 12_500, batch=batch)

        assert q.counts() == (0, 0, 0, 0)
    judge(got, 12_500, in_order=order == "fifo")


@each_order
def test_given_back_now_and_then(folder: Path, order: str) -> None:
    """What some give back others get: each is acknowledged once."""
    with CLASSES[order](folder, visibility=3_600) as q:
        got = pass_through(q, 60, batch=5, careless=0.3)

        assert q.counts() == (0, 0, 0, 0)
    judge(got, 60, in_order=False)


@pytest.mark.torture
@each_order
def test_given_back_now_and_then_for_long(folder: Path, order: str) -> None:
    """100,000 items."""
    with CLASSES[order](folder, visibility=3_600) as q:
        got = pass_through(q, 12_500, batch=5, careless=0.3)
    judge(got, 12_500, in_order=False)


@each_order
def test_visibility_passes_while_threads_work(folder: Path, order: str) -> None:
    """So short that items come back all the time: each is acknowledged once."""
    with CLASSES[order](folder, visibility=0.0005) as q:
        got = pass_through(q, 25)

        assert q.counts() == (0, 0, 0, 0)
    judge(got, 25, in_order=False)


@pytest.mark.parametrize("durability", ["interval", "full"])
@each_kind
def test_other_durabilities(folder: Path, kind: str, durability: str) -> None:
    """With syncs beside it, it is the same."""
    with CLASSES["fifo"](folder, durability=durability, interval=0.002, **KINDS[kind]) as q:
        got = pass_through(q, 25, batch=4)
    judge(got, 25, in_order=True)


@pytest.mark.torture
@pytest.mark.parametrize("durability", ["interval", "full"])
@each_kind
def test_other_durabilities_for_long(folder: Path, kind: str, durability: str) -> None:
    """16,000 items."""
    with CLASSES["fifo"](folder, durability=durability, interval=0.002, **KINDS[kind]) as q:
        got = pass_through(q, 2_000, batch=4)
    judge(got, 2_000, in_order=True)


# ---- an end while threads work


def end_amid(
    folder: Path, order: str, durability: str, end: Callable[[Any], object], after: int, **options: Any
) -> tuple[set[Any], set[Any]]:
    """End a queue while threads put and get; return what was put, and what was got or acknowledged."""
    put: list[set[Any]] = [set() for _ in range(8)]
    done: list[set[Any]] = [set() for _ in range(8)]
    enough = threading.Event()
    with CLASSES[order](folder, maxsize=50, durability=durability, interval=0.002, **options) as q:

        def work(number: int) -> None:
            if number == 8:
                assert enough.wait(20)
                end(q)
                return
            try:
                for count in range(1_000_000):
                    if number % 2:
                        put_some(q, number, count, put[number])
                        if count == after:
                            enough.set()
                    else:
                        take_some(q, count, done[number])
            except (ShutDown, ClosedError):
                pass

        in_threads(work, 9)
    return set().union(*put), set().union(*done)


def put_some(q: Any, number: int, count: int, put: set[Any]) -> None:
    if count % 4:
        q.put((number, count, 0))
        put.add((number, count, 0))
    else:
        some = [(number, count, part) for part in range(3)]
        q.put_many(some)
        put.update(some)


def take_some(q: Any, count: int, done: set[Any]) -> None:
    for each in [q.get()] if count % 4 else q.get_many(3):
        if type(each) is tuple:
            assert each not in done
            done.add(each)
        elif count % 5 == 0:
            q.nack(each)
        elif q.ack(each):
            assert each.value not in done
            done.add(each.value)


ENDS: dict[str, Callable[[Any], object]] = {
    "close": lambda q: q.close(),
    "shutdown": lambda q: q.shutdown(),
    "shutdown at once": lambda q: q.shutdown(immediate=True),
}


def judge_end(folder: Path, order: str, durability: str, end: str, after: int, **options: Any) -> None:
    put, done = end_amid(folder, order, durability, ENDS[end], after, **options)
    with CLASSES[order](folder) as q:
        there = q.get_many(1_000_000, block=False) if q.qsize() else []
        assert q.counts() == (0, 0, 0, 0)

    assert len(set(there)) == len(there)
    assert done <= put
    assert not done & set(there)
    assert set(there) == put - done


@each_order
@pytest.mark.parametrize("visibility", [None, 3_600])
@pytest.mark.parametrize("end", ENDS)
def test_ended_while_threads_work(folder: Path, order: str, visibility: float | None, end: str) -> None:
    """Each call was done or has raised and done nothing: what was put and not taken is there."""
    judge_end(folder, order, "process", end, 20, visibility=visibility)


@pytest.mark.torture
@pytest.mark.parametrize("durability", ["process", "interval", "full"])
@each_order
@pytest.mark.parametrize("visibility", [None, 3_600])
@pytest.mark.parametrize("end", ENDS)
def test_ended_while_threads_work_again_and_again(
    tmp_path: Path, order: str, visibility: float | None, end: str, durability: str
) -> None:
    """The same 20 times each, with each durability."""
    for turn in range(20):
        judge_end(tmp_path / str(turn), order, durability, end, 5 + 17 * turn, visibility=visibility)


def test_what_is_waited_for_is_never_missed(folder: Path) -> None:
    """Each item wakes one who waits: a queue with one item at a time and many who wait never stands still."""
    with CLASSES["fifo"](folder, maxsize=1) as q:
        judge(pass_through(q, 60), 60, in_order=True)


def test_a_wakeup_is_not_lost_to_one_who_gives_up(folder: Path) -> None:
    """Those whose time is over do not take the wake-up with them that another one waits for."""
    with CLASSES["fifo"](folder) as q:
        got: list[Any] = []

        def work(number: int) -> None:
            if number == 0:
                for count in range(300):
                    q.put(count)
            while number and len(got) < 300:
                with contextlib.suppress(queue.Empty):
                    got.append(q.get(timeout=0.0003 * number))

        in_threads(work, 6)

    assert sorted(got) == [*range(300)]
