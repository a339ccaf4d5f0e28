"""A large store by itself: what opening it takes, and what it keeps in memory."""

from __future__ import annotations

import contextlib
import gc
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

from contenders import Item
from rows import GROWTH_DELETE, GROWTH_GET, GROWTH_SET, INDEX, ITERATED, OPEN, SCAN

from diskdict import DiskDict

Store = DiskDict[str, object]

REPEATS = 7
CHANGED = 10_000
"""How many keys of the store are overwritten, and how many deleted, to see what that leaves in memory."""


def large_store(folder: str, items: Sequence[Item]) -> dict[str, list[float]]:
    """Fill a store and return what was measured on it, by the name of the figure."""
    with Store(folder) as store:
        for key, value in items:
            store[key] = value
    time.sleep(0.1)  # a snapshot is not believed about a folder that changed just before it
    with Store(folder) as store:
        assert len(store) == len(items)
    return opening(folder, items) | memory(folder, items)


def opening(folder: str, items: Sequence[Item]) -> dict[str, list[float]]:
    key, value = items[len(items) // 2]
    found: dict[str, list[float]] = {OPEN.name: [], INDEX.name: [], SCAN.name: []}
    for _ in range(REPEATS):
        gc.collect()
        start = time.perf_counter()
        store = Store(folder)
        got = store[key]
        found[OPEN.name].append((time.perf_counter() - start) * 1e3)
        assert got == value
        found[INDEX.name].append(timed_len(store, len(items)) * 1e3)
        store.close()
    for _ in range(REPEATS):
        with contextlib.suppress(FileNotFoundError):
            Path(folder, "index").unlink()
        gc.collect()
        with Store(folder) as store:
            found[SCAN.name].append(timed_len(store, len(items)) * 1e6 / len(items))
    return found


def timed_len(store: Store, expected: int) -> float:
    start = time.perf_counter()
    count = len(store)
    taken = time.perf_counter() - start
    assert count == expected
    return taken


def memory(folder: str, items: Sequence[Item]) -> dict[str, list[float]]:
    """Measure growth of what Python has allocated, per key, each on a store that was just opened."""
    keys = [key for key, _ in items]
    some = items[:CHANGED]

    def get(store: Store) -> None:
        for key in keys:
            _ = store[key]

    def put(store: Store) -> None:
        for key, value in some:
            store[key] = value

    def delete(store: Store) -> None:
        for key, _ in some:
            del store[key]

    def walk(store: Store) -> None:
        for _ in store:
            pass

    texts = sum(map(sys.getsizeof, keys)) / len(keys)
    return {
        ITERATED.name: [growth(folder, walk) / len(keys) - texts],
        GROWTH_GET.name: [growth(folder, get) / len(keys)],
        GROWTH_SET.name: [growth(folder, put) / len(some)],
        GROWTH_DELETE.name: [growth(folder, delete) / len(some)],
    }


def growth(folder: str, work: Callable[[Store], None]) -> float:
    """Return by how many bytes an open store grows while it does some work."""
    with Store(folder) as store:
        gc.collect()
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        work(store)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return after - before
