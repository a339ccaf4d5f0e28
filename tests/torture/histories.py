"""What several threads did to a dict, and whether one after the other could have done it."""

from __future__ import annotations

import itertools
import random
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from diskdict import DiskDict

KEYS = "abcde"
THREADS = 8
FIRST = -1
UNKNOWN = 0
"""The end of what was begun, before it is done."""


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


def opened(folder: Path, durability: Any, **options: Any) -> DiskDict[Any, Any]:
    """Return a dict whose files follow the journal at all times."""
    return DiskDict(folder, durability=durability, interval=0.005, buffer_bytes=5_000, **options)


def begin(d: DiskDict[Any, Any]) -> list[Event]:
    """Give each key its first value."""
    d.update(dict.fromkeys(KEYS, FIRST))
    now = time.perf_counter_ns()
    return [Event(key, FIRST, now - 1, now, written=True) for key in KEYS]


def work(d: DiskDict[Any, Any], count: int, first: int, tell: Callable[[list[Event]], None]) -> None:
    """Have threads read and write so many times each, values from `first` on, and tell of it from each of them.

    Of a write they tell twice, before and after.
    """
    errors: list[BaseException] = []

    def run(number: int) -> None:
        chance = random.Random(first + number)
        values = itertools.count(first + number, THREADS)
        try:
            for _ in range(count):
                _act(d, chance, values, tell)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def _act(
    d: DiskDict[Any, Any], chance: random.Random, values: Iterable[int], tell: Callable[[list[Event]], None]
) -> None:
    kind = chance.random()
    keys = KEYS if kind < 0.1 else chance.sample(KEYS, 2) if kind < 0.15 else [chance.choice(KEYS)]
    start = time.perf_counter_ns()
    if kind < 0.1 or kind >= 0.3:
        found = d.get_many(keys) if kind < 0.1 else {key: d[key] for key in keys}
        end = time.perf_counter_ns()
        tell([Event(key, value, start, end, written=False) for key, value in found.items()])
        return
    new = dict(zip(keys, values, strict=False))
    tell([Event(key, value, start, UNKNOWN, written=True) for key, value in new.items()])
    if len(new) > 1:
        d.set_many(new)
    else:
        d.update(new)
    end = time.perf_counter_ns()
    tell([Event(key, value, start, end, written=True) for key, value in new.items()])


def work_while_copied(d: DiskDict[Any, Any], count: int, copy: Path) -> list[Event]:
    """Have threads work, short-lived keys come and go, and a copy made meanwhile; what is in that counts as read."""
    events = begin(d)

    def make_copy() -> None:
        start = time.perf_counter_ns()
        d.backup(copy)
        end = time.perf_counter_ns()
        with DiskDict[Any, Any](copy, readonly=True) as other:
            assert other.verify().ok
            events.extend(Event(key, other[key], start, end, written=False) for key in KEYS)
        shutil.rmtree(copy)

    def come_and_go() -> None:
        for number in range(count):
            d.set(f"short {number}", number, ttl=0.001)

    with ThreadPoolExecutor() as others:
        done = [others.submit(make_copy), others.submit(come_and_go)]
        work(d, count, 0, events.extend)
        for each in done:
            each.result()
    time.sleep(0.002)
    assert sorted(d) == list(KEYS)
    return events


def work_until_killed(say: Callable[[object], None], folder: Path, durability: str, first: int) -> None:
    """Read and write without end, and say what was begun and done."""
    lock = threading.Lock()

    def tell(events: list[Event]) -> None:
        with lock:
            say(events)

    d = opened(folder, durability)
    if not first:
        tell(begin(d))
    work(d, 1_000_000, first, tell)


class History:
    """What was done, by processes that came to their end one after the other."""

    def __init__(self) -> None:
        self._done: list[Event] = []
        self._doubtful: list[Event] = []

    def add(self, events: Iterable[Event], end: int) -> None:
        """Add what a process told that ended at `end`: what it had begun by then was done by then, or never."""
        told = {(event.key, event.value, event.written, event.start): event for event in events}
        for event in told.values():
            if event.end == UNKNOWN:
                self._doubtful.append(event._replace(end=end))
            else:
                self._done.append(event)

    def events(self) -> list[Event]:
        """Return what was done: of what is in doubt, that which somebody has seen."""
        seen = {event.value for event in self._done}
        return self._done + [event for event in self._doubtful if event.value in seen]
