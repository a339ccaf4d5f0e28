"""What several threads read and write at the same time could have been done by one after the other."""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crew import Crew
from histories import KEYS, Event, History, begin, faults, opened, work
from stage import each_durability
from tallies import tally

from diskdict import DiskDict
from diskdict.backends.file import FolderStore
from diskdict.caching import CachedStore
from diskdict.core import StoreDict


def check(events: list[Event]) -> int:
    """Assert that each key was linearizable; return how many reads and writes there were."""
    for key in KEYS:
        assert not faults(event for event in events if event.key == key)
    tally["reads and writes of threads"] += len(events)
    return len(events)


def lived(folder: Path, durability: str, count: int) -> list[Event]:
    with opened(folder, durability) as d:
        events = begin(d)
        work(d, count, 0, events.extend)
    history = History()
    history.add(events, time.perf_counter_ns())
    return history.events()


@each_durability
def test_keys_are_linearizable(folder: Path, durability: str) -> None:
    """Eight threads, alone and in transactions."""
    assert check(lived(folder, durability, 400)) > 3_200


@pytest.fixture
def impatient() -> Iterator[None]:
    """Threads take turns as often as they can."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.parametrize("count", [400, pytest.param(5_000, marks=pytest.mark.torture)])
@pytest.mark.parametrize("size", [1, 100])
@pytest.mark.usefixtures("impatient")
def test_keys_behind_a_cache_are_linearizable(folder: Path, size: int, count: int) -> None:
    """Eight threads, alone and in transactions, with a memory for some keys or for all."""
    store = CachedStore(FolderStore(folder, kind="dict", codec="json"), size=size)
    with StoreDict[Any, Any](store) as d:
        events = begin(d)
        work(d, count, 0, events.extend)
        assert store.cache_stats().hits > 100
    history = History()
    history.add(events, time.perf_counter_ns())

    assert check(history.events()) > 8 * count


@pytest.mark.torture
@each_durability
def test_keys_are_linearizable_for_long(folder: Path, durability: str) -> None:
    """More than a million reads and writes in all."""
    total = sum(check(lived(folder.with_name(f"store{number}"), durability, 5_000)) for number in range(7))

    assert total > 350_000


def killed(crew: Crew, folder: Path, durability: str, rounds: int) -> list[Event]:
    """Have eight threads killed again and again; return what all of them did."""
    history = History()
    for number in range(rounds):
        with crew.actor() as actor:
            first = number * 1_000_000
            names = {"folder": folder, "durability": durability, "first": first}
            actor.start("histories.work_until_killed(say, folder, durability, first)", **names)
            told = [actor.hear() for _ in range(100)]
            actor.kill()
            told += actor.last_words()
        history.add(itertools.chain.from_iterable(told), time.perf_counter_ns())
    return history.events()


@pytest.fixture(scope="module")
def threads() -> Iterator[Crew]:
    """Processes with threads."""
    with Crew("histories") as crew:
        yield crew


@each_durability
def test_keys_are_linearizable_with_kills(threads: Crew, folder: Path, durability: str) -> None:
    """The same beyond the end of processes: what was acknowledged stays, what was not is seen by all or by none."""
    assert check(killed(threads, folder, durability, 10)) > 1_000


@pytest.mark.torture
@each_durability
def test_keys_are_linearizable_with_kills_for_long(threads: Crew, folder: Path, durability: str) -> None:
    """A thousand kills for each durability."""
    for number in range(10):
        assert check(killed(threads, folder.with_name(f"store{number}"), durability, 100)) > 10_000


@pytest.mark.usefixtures("impatient")
@each_durability
def test_transactions_are_seen_whole(folder: Path, durability: Any) -> None:
    """Who reads two keys in the order in which a transaction has them never sees the second older than the first."""
    with DiskDict[Any, Any](folder, durability=durability, interval=0.005) as d:
        d.update(a=0, b=0)
        end = threading.Event()
        wrong: list[object] = []

        def write() -> None:
            for number in range(1, 500):
                with d.transaction():
                    d["a"] = number
                    d["b"] = number
            end.set()

        def read() -> None:
            while not end.is_set():
                first, second = d["a"], d["b"]
                both = d.get_many("ab")
                if second < first or both["a"] != both["b"]:
                    wrong.append((first, second, both))

        threads = [threading.Thread(target=target) for target in (write, read, read)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong


def test_checker_finds_a_stale_read() -> None:
    """A value that was read after another one was written over it, and one that was read before it was written."""
    writes = [Event("a", 1, 0, 1, written=True), Event("a", 2, 2, 3, written=True)]

    assert not faults([*writes, Event("a", 1, 2, 4, written=False)])
    assert not faults([*writes, Event("a", 2, 4, 5, written=False)])
    assert faults([*writes, Event("a", 1, 4, 5, written=False)])
    assert faults([*writes, Event("a", 2, 0, 1, written=False)])
    assert faults([*writes, Event("a", 3, 4, 5, written=False)])
