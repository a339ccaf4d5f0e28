"""What several threads read and write at the same time could have been done by one after the other."""

from __future__ import annotations

import itertools
import random
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tallies import tally

from diskdict import DiskDict

Dict = DiskDict[Any, Any]
KEYS = "abcde"
THREADS = 8
FIRST = -1


class Event(NamedTuple):
    """A read or a write of a value that is written once; between `start` and `end` it took effect."""

    key: str
    value: int
    start: int
    end: int
    written: bool


class Zone(NamedTuple):
    """When a value was the value of its key: at least from `low` to `high`, or, reversed, at some moment between."""

    low: int
    high: int


def faults(events: Iterable[Event]) -> list[str]:
    """Return what shows that the events of one key are in no order that a single thread could have done.

    Gibbons and Korach, Testing Shared Memories (SIAM J. Comput., 1997): each value has the zone from the first end to
    the last start of what wrote and read it. Zones that run forward must not overlap, nor contain one that runs back.
    """
    of_value = defaultdict(list)
    for event in events:
        of_value[event.value].append(event)
    found = []
    forward, backward = [], []
    for value, its in of_value.items():
        writes = [event for event in its if event.written]
        if not writes or min(event.end for event in its) < writes[0].start:
            found.append(f"{value} was read before it was written")
            continue
        zone = Zone(min(event.end for event in its), max(event.start for event in its))
        (forward if zone.low < zone.high else backward).append(zone)
    forward.sort()
    found += [f"{one} and {other} overlap" for one, other in itertools.pairwise(forward) if other.low < one.high]
    moments = sorted(backward, key=lambda zone: zone.high)
    for zone in forward:
        inside = [other for other in moments if zone.low < other.high and other.low < zone.high]
        found += [f"{other} within {zone}" for other in inside]
    return found


def worked(d: Dict, act: Callable[[random.Random, list[Event], Callable[[], int]], None], count: int) -> list[Event]:
    """Have threads act so many times each; return what they did."""
    events: list[list[Event]] = [[] for _ in range(THREADS)]
    errors: list[BaseException] = []

    def work(number: int) -> None:
        chance = random.Random(number)
        values = itertools.count(number, THREADS)
        try:
            for _ in range(count):
                act(chance, events[number], lambda: next(values))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    return list(itertools.chain.from_iterable(events))


def history(folder: Path, durability: Any, count: int) -> list[Event]:
    with DiskDict[Any, Any](folder, durability=durability, interval=0.005, buffer_bytes=5_000) as d:
        d.update(dict.fromkeys(KEYS, FIRST))
        begun = time.perf_counter_ns()

        def act(chance: random.Random, events: list[Event], value: Callable[[], int]) -> None:
            kind = chance.random()
            if kind < 0.7:
                key = chance.choice(KEYS)
                start = time.perf_counter_ns()
                found = d[key]
                events.append(Event(key, found, start, time.perf_counter_ns(), written=False))
            elif kind < 0.8:
                start = time.perf_counter_ns()
                many = d.get_many(KEYS)
                end = time.perf_counter_ns()
                events.extend(Event(key, found, start, end, written=False) for key, found in many.items())
            elif kind < 0.95:
                key, new = chance.choice(KEYS), value()
                start = time.perf_counter_ns()
                d[key] = new
                events.append(Event(key, new, start, time.perf_counter_ns(), written=True))
            else:
                pair = {key: value() for key in chance.sample(KEYS, 2)}
                start = time.perf_counter_ns()
                d.set_many(pair)
                end = time.perf_counter_ns()
                events.extend(Event(key, new, start, end, written=True) for key, new in pair.items())

        events = worked(d, act, count)
    return events + [Event(key, FIRST, begun - 1, begun, written=True) for key in KEYS]


def judge(folder: Path, durability: str, count: int) -> int:
    events = history(folder, durability, count)
    for key in KEYS:
        assert not faults(event for event in events if event.key == key)
    tally["reads and writes of threads"] += len(events)
    return len(events)


each_durability = pytest.mark.parametrize("durability", ["process", "interval", "full"])


@each_durability
def test_keys_are_linearizable(folder: Path, durability: str) -> None:
    """Eight threads, alone and in transactions."""
    assert judge(folder, durability, 400) > 3_200


@pytest.mark.torture
@each_durability
def test_keys_are_linearizable_for_long(folder: Path, durability: str) -> None:
    """More than a million reads and writes in all."""
    total = sum(judge(folder.with_name(f"store{number}"), durability, 5_000) for number in range(7))

    assert total > 350_000


@pytest.fixture
def impatient() -> Iterator[None]:
    """Threads take turns as often as they can."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


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
