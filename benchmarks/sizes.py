"""What an operation costs in stores of different sizes, DiskDict alone."""

from __future__ import annotations

import random
import resource
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from contenders import Item

from diskdict import DiskDict

Store = DiskDict[str, object]
Costs = dict[str, dict[int, float]]
"""Operation, number of keys, and microseconds an operation, or what else the name says."""

SAMPLE = 10_000
"""Keys that are read and overwritten, at most."""


def by_size(folder: Path, sizes: Sequence[int], items: Callable[[int], Sequence[Item]], seed: int) -> Costs:
    """Fill a store of each size, open it again, and measure what single operations cost in it."""
    costs: Costs = {}
    for size in sizes:
        place = folder / str(size)
        for name, cost in _one(place, items(size), random.Random(seed)).items():
            costs.setdefault(name, {})[size] = cost
        shutil.rmtree(place)
    return costs


def _one(folder: Path, items: Sequence[Item], chance: random.Random) -> dict[str, float]:
    costs = {}
    with Store(folder) as store:
        costs["insert"] = _per(items, lambda: _put(store, items))
    some = chance.sample(items, min(len(items), SAMPLE))
    with Store(folder) as store:
        costs["get"] = _per(some, lambda: _get(store, some))
        costs["overwrite"] = _per(some, lambda: _put(store, some))
    with Store(folder) as store:
        costs["iterate, the index loaded first"] = _per(items, lambda: sum(1 for _ in store))
        costs["iterate"] = _per(items, lambda: sum(1 for _ in store))
        costs["verify"] = _per(items, store.verify)
        costs["bytes on disk, per key"] = store.stats().disk_bytes / len(items)
    costs["peak MiB of memory so far"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return costs


def _per(items: Sequence[object], work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1e6 / len(items)


def _put(store: Store, items: Iterable[Item]) -> None:
    for key, value in items:
        store[key] = value


def _get(store: Store, items: Iterable[Item]) -> None:
    for key, _ in items:
        _ = store[key]
