"""What a durable queue must do, in plain Python, and changes drawn by chance for it and for real ones.

A `Model` has the methods of a durable queue, so that `perform` does a `Deed` to either; `plan` draws an endless row of
them from a seed, in a child that is to be killed and in the parent that foresees what must be there. `told` is what a
queue or a model tells, `kept` what a folder holds.
"""

from __future__ import annotations

import copy
import itertools
import queue
import random
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from clocks import Clock

from diskdict import DurableLifoQueue, DurablePriorityQueue, DurableQueue

CLASSES: dict[str, type[DurableQueue[Any, Any]]] = {
    "fifo": DurableQueue,
    "lifo": DurableLifoQueue,
    "priority": DurablePriorityQueue,
}
START = 1_700_000_000.0
LONG_AFTER = 1e6


class Item:
    """An item; ``until`` is the end of its visibility while it is in flight."""

    def __init__(self, number: int, value: Any, ready: float, key: str | None) -> None:
        self.number = number
        self.value = value
        self.ready = ready
        self.key = key
        self.deliveries = 0
        self.until: float | None = None


class Given(NamedTuple):
    """A delivery."""

    value: Any
    id: int
    deliveries: int


class Model:
    """A durable queue without a disk, for one thread."""

    def __init__(
        self,
        order: str,
        clock: Callable[[], float],
        *,
        maxsize: int = 0,
        visibility: float | None = None,
        max_deliveries: int | None = None,
    ) -> None:
        self.order = order
        self.clock = clock
        self.maxsize = maxsize
        self.visibility = visibility
        self.max_deliveries = max_deliveries
        self.items: list[Item] = []
        self.dead: list[tuple[Any, int]] = []
        self.numbers = itertools.count()
        self.unfinished_tasks = 0

    def copy(self) -> Model:
        """Return another one like this, on the same clock."""
        other = copy.copy(self)
        other.items = copy.deepcopy(self.items)
        other.dead = self.dead.copy()
        other.numbers = copy.copy(self.numbers)
        return other

    def close(self) -> None:
        """Do nothing."""

    def reopen(self) -> None:
        """Be closed and opened again: what was in flight is given back."""
        for item in [item for item in self.items if item.until is not None]:
            self._back(item)
        self.unfinished_tasks = len(self.items)

    def _back(self, item: Item) -> None:
        item.until = None
        if self.max_deliveries is not None and item.deliveries >= self.max_deliveries:
            self._remove(item)
            self.dead.append((item.value, item.deliveries))

    def _remove(self, item: Item) -> None:
        self.items.remove(item)
        self.unfinished_tasks -= 1

    def _settle(self) -> None:
        for item in [item for item in self.items if item.until is not None and item.until <= self.clock()]:
            self._back(item)

    def _waiting(self) -> list[Item]:
        self._settle()
        return [item for item in self.items if item.until is None]

    def _ready(self) -> list[Item]:
        found = [item for item in self._waiting() if item.ready <= self.clock()]
        if self.order == "lifo":
            found.reverse()
        return sorted(found, key=lambda item: item.value) if self.order == "priority" else found

    def qsize(self) -> int:
        return len(self._ready())

    def counts(self) -> tuple[int, int, int, int]:
        ready, waiting = len(self._ready()), len(self._waiting())
        return ready, waiting - ready, len(self.items) - waiting, len(self.dead)

    def full(self) -> bool:
        return 0 < self.maxsize <= len(self._waiting())

    def put(self, value: Any, block: bool = False, *, delay: float = 0, dedupe_key: str | None = None) -> None:
        if dedupe_key is not None and dedupe_key in [item.key for item in self.items]:
            return
        self._put([value], delay, dedupe_key)

    def put_many(self, values: Iterable[Any], block: bool = False, *, delay: float = 0) -> None:
        self._put([*values], delay, None)

    def _put(self, values: list[Any], delay: float, key: str | None) -> None:
        if 0 < self.maxsize < len(values):
            raise ValueError
        if 0 < self.maxsize < len(self._waiting()) + len(values):
            raise queue.Full
        self.items += [Item(next(self.numbers), value, self.clock() + delay, key) for value in values]
        self.unfinished_tasks += len(values)

    def get(self, block: bool = False) -> Any:
        return self.get_many(1)[0]

    def get_many(self, count: int, block: bool = False) -> list[Any]:
        taken = self._ready()[:count]
        if not taken:
            raise queue.Empty
        if self.visibility is None:
            self.items = [item for item in self.items if item not in taken]
            return [item.value for item in taken]
        for item in taken:
            item.until = self.clock() + self.visibility
            item.deliveries += 1
        return [Given(item.value, item.number, item.deliveries) for item in taken]

    def peek(self) -> Any:
        if not self._ready():
            raise queue.Empty
        return self._ready()[0].value

    def __iter__(self) -> Iterator[Any]:
        return iter([item.value for item in self._ready()])

    def _held(self, given: Given) -> Item | None:
        self._settle()
        held = [item for item in self.items if (item.number, item.deliveries) == (given.id, given.deliveries)]
        return held[0] if held else None

    def ack(self, given: Given) -> bool:
        item = self._held(given)
        if item is not None:
            self._remove(item)
        return item is not None

    def nack(self, given: Given, *, delay: float = 0) -> bool:
        item = self._held(given)
        if item is not None:
            item.ready = self.clock() + delay
            self._back(item)
        return item is not None

    def extend(self, given: Given, visibility: float | None = None) -> bool:
        item = self._held(given)
        if item is not None:
            item.until = self.clock() + (visibility or self.visibility or 0)
        return item is not None

    def requeue(self) -> None:
        if self.dead:
            self.put(self.dead.pop(0)[0])

    def task_done(self) -> None:
        if not self.unfinished_tasks:
            raise ValueError
        self.unfinished_tasks -= 1

    def clear(self) -> int:
        count = len(self.items)
        self.items.clear()
        self.unfinished_tasks -= count
        return count


# ---- what is there


class Told(NamedTuple):
    """What can be had, in order; the counts; the dead letters with how often each was given."""

    ready: list[Any]
    counts: tuple[int, ...]
    dead: list[tuple[Any, int]]


class Found(NamedTuple):
    """What a queue tells that was opened anew, and all values in its folder with how often each was given."""

    told: Told
    kept: list[tuple[Any, int]]


def told(q: Any) -> Told:
    """Return what a queue or a model tells, changing nothing."""
    counts = tuple(q.counts())  # first: what has to be given back is given back
    dead = q.dead if isinstance(q, Model) else [(each.value(), each.deliveries) for each in q.dead_letters.values()]
    return Told([*q], counts, sorted(dead, key=repr))


def found_in(folder: Path, order: str, **options: Any) -> Found:
    """Open a folder with such options, and a copy of it long after, when nothing is delayed any longer."""
    with CLASSES[order](folder, **options) as q:
        assert q.unfinished_tasks == sum(q.counts()[:2])
        tells = told(q)
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        there = shutil.copytree(folder, Path(place, "copy"))
        with CLASSES[order](there, clock=Clock(START + 1e9), visibility=9.0) as q:
            count = q.counts().ready
            got = q.get_many(count, block=False) if count else []
            return Found(tells, [(each.value, each.deliveries - 1) for each in got])


def foreseen(model: Model) -> Found:
    """Return what has to be found in the folder of a queue that the model stands for."""
    later = model.copy()
    later.reopen()
    tells = told(later)
    later.clock = Clock(START + 1e9)
    return Found(tells, [(item.value, item.deliveries) for item in later._ready()])


PIECEMEAL = ("get_many", "clear")
"""What a sudden end may leave half done: each item is there or not."""


def explained(found: Found, before: Model, after: Model, kind: str) -> bool:
    """Return whether this may be what is left of a change that came to a sudden end."""
    old, new = foreseen(before), foreseen(after)
    if found in (old, new):
        return True
    if kind == "requeue":  # both for a moment, but never none
        return found.told.dead == old.told.dead and found.kept == new.kept
    if kind not in PIECEMEAL:
        return False
    return _is_part(found, old, new)


def _is_part(found: Found, old: Found, new: Found) -> bool:
    """Return whether each item is as before a change or after it."""
    values = [value for value, _ in old.kept]
    there = [value for value, _ in found.kept]
    dead = [value for value, _ in found.told.dead]
    untouched = [value for value in values if value in [value for value, _ in new.kept]]
    given_up = [each for each in new.told.dead if each not in old.told.dead]
    return (
        there == [value for value in values if value in there]
        and all(value in there for value in untouched)
        and all(each in old.kept or each in new.kept for each in found.kept)
        and all(each in found.told.dead for each in old.told.dead)
        and all(each in new.told.dead for each in found.told.dead)
        and all((value in there) != (value in dead) for value, _ in given_up)
    )


def adopted(found: Found, before: Model, after: Model) -> Model:
    """Return the model that stands for what was found, once that is `explained`."""
    for model in (before, after):
        if found == foreseen(model):
            return model
    deliveries = {tuple(value): count for value, count in found.kept}
    before.reopen()
    before.items = [item for item in before.items if tuple(item.value) in deliveries]
    for item in before.items:
        item.deliveries = deliveries[tuple(item.value)]
    before.dead = found.told.dead.copy()
    before.unfinished_tasks = len(before.items)
    return before


# ---- changes by chance


class Deed(NamedTuple):
    """A change: of what kind, at what time, with which values; ``which`` chooses among the deliveries in hand."""

    kind: str
    now: float
    values: list[Any]
    delay: float
    key: str | None
    count: int
    which: int


PLAIN = {"put": 6, "put_many": 3, "get": 5, "get_many": 2, "clear": 0.05}
DELIVERED = {**PLAIN, "ack": 5, "nack": 2, "extend": 1}
SIZES = [0, 0, 0, 10, 100, 1_000, 20_000, 200_000]


def plan(seed: int, first: int, *, delivered: bool, sizes: list[int] = SIZES) -> Iterator[Deed]:
    """Yield deeds without end, numbered and timed from `first`; no two values are the same."""
    chance = random.Random(seed)
    kinds = DELIVERED if delivered else PLAIN
    for number in itertools.count(first):
        parts = range(chance.randrange(1, 5))
        yield Deed(
            kind=chance.choices([*kinds], [*kinds.values()])[0],
            now=START + number,
            values=[[chance.randrange(9), number, part, "x" * chance.choice(sizes)] for part in parts],
            delay=chance.choice([0, 0, 0, 0, 2.5, 20.5]),
            key=chance.choice([None, None, None, "a", "b", "naïve " * 9]),
            count=chance.randrange(1, 5),
            which=chance.randrange(1_000),
        )


def perform(q: Any, hand: list[Any], deed: Deed) -> object:
    """Do it to a queue or a model that has given out the deliveries in `hand`; return what came of it."""
    given = hand.pop(deed.which % len(hand)) if hand and deed.kind in ("ack", "nack") else None
    try:
        match deed.kind:
            case "put":
                return q.put(deed.values[0], False, delay=deed.delay, dedupe_key=deed.key)
            case "put_many":
                return q.put_many(deed.values, False, delay=deed.delay)
            case "get":
                return _taken(hand, [q.get(False)])
            case "get_many":
                return _taken(hand, q.get_many(deed.count, False))
            case "ack":
                return given and q.ack(given)
            case "nack":
                return given and q.nack(given, delay=deed.delay)
            case "close":
                return q.close()
            case "requeue":
                return q.requeue() if isinstance(q, Model) else _requeued(q)
            case "extend":
                return hand and q.extend(hand[deed.which % len(hand)], 30.5)
            case _:
                hand.clear()
                return q.clear()
    except (queue.Empty, queue.Full, ValueError) as error:
        return type(error).__name__


def _requeued(q: Any) -> None:
    for number in [*q.dead_letters][:1]:
        q.dead_letters.requeue(number)


def _taken(hand: list[Any], got: list[Any]) -> list[Any]:
    if type(got[0]) is list:  # the bare value
        return got
    hand += got
    return [(each.value, each.deliveries) for each in got]
