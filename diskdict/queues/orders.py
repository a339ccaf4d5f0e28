"""Which item comes next: `Oldest`, `Newest`, `Smallest`. Ids in memory, nothing of files."""

from __future__ import annotations

import abc
import heapq
from array import array
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import ClassVar, Final, Protocol, cast

_FEW: Final = 8
_TRIMMED: Final = 1024  # ids taken from the front that may stay in memory


OF_THE_MOMENT: Final = (OSError, MemoryError, RecursionError)
"""What reading an item raises that is not the item's fault."""


class _Comparable(Protocol):
    def __lt__(self, other: object, /) -> bool: ...


class Order(abc.ABC):
    """The ids of the items that can be had.

    ``backwards`` says that items come in falling order of their ids, ``compares`` that their values matter.
    """

    backwards: ClassVar[bool] = False
    compares: ClassVar[bool] = False

    @abc.abstractmethod
    def __init__(self, ids: array[int], value_of: Callable[[int], object]) -> None:
        """Begin with the items that are there; `value_of` reads the value of one."""

    @abc.abstractmethod
    def add(self, number: int, value: object) -> None:
        """Add an item that was put last; raise what comparing its value raises."""

    @abc.abstractmethod
    def restore(self, number: int) -> None:
        """Add an item where it belongs, unless it is there."""

    def restore_all(self, numbers: list[int]) -> None:
        """Do what `restore` does with many."""
        for number in numbers:
            self.restore(number)

    @abc.abstractmethod
    def first(self) -> int | None:
        """Return the id that comes next."""

    @abc.abstractmethod
    def pop(self) -> None:
        """Remove the id that comes next."""

    @abc.abstractmethod
    def discard(self, number: int) -> bool:
        """Remove an id; return whether it was there."""

    @abc.abstractmethod
    def clear(self) -> None:
        """Remove all ids."""

    def is_spoilt(self, number: int) -> bool:  # noqa: ARG002  # for orders that look at values
        """Return whether the id that comes next does so because its value cannot be compared with others."""
        return False

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @abc.abstractmethod
    def __contains__(self, number: object) -> bool: ...

    @abc.abstractmethod
    def __iter__(self) -> Iterator[int]:
        """Yield the ids in the order in which they come."""

    @abc.abstractmethod
    def ids(self) -> array[int]:
        """Return all ids, the smallest first."""


class _Line(Order):
    """Ids in the order of their ``put``: eight bytes each."""

    def __init__(self, ids: array[int], value_of: Callable[[int], object]) -> None:  # noqa: ARG002  # ids tell
        self._ids = ids
        self._start = 0

    def add(self, number: int, value: object) -> None:  # noqa: ARG002  # the place tells
        self._ids.append(number)

    def restore(self, number: int) -> None:
        ids, start = self._ids, self._start
        place = bisect_left(ids, number, start)
        if place < len(ids) and ids[place] == number:
            return
        if start and place - start < len(ids) - place:
            # What was taken has left a gap in front, and what comes back belongs near to it.
            ids[start - 1 : place - 1] = ids[start:place]
            ids[place - 1] = number
            self._start = start - 1
        else:
            insort(ids, number, start)

    def restore_all(self, numbers: list[int]) -> None:
        if len(numbers) <= _FEW:
            super().restore_all(numbers)
            return
        back = [number for number in numbers if number not in self]
        # Two rising runs are merged by one pass.
        self._ids = array("q", sorted([*self._ids[self._start :], *sorted(back)]))
        self._start = 0

    def discard(self, number: int) -> bool:
        place = bisect_left(self._ids, number, self._start)
        if place == len(self._ids) or self._ids[place] != number:
            return False
        del self._ids[place]
        return True

    def __contains__(self, number: object) -> bool:
        place = bisect_left(self._ids, cast(int, number), self._start)
        return place < len(self._ids) and self._ids[place] == number

    def clear(self) -> None:
        self._ids = array("q")
        self._start = 0

    def __len__(self) -> int:
        return len(self._ids) - self._start

    def ids(self) -> array[int]:
        return self._ids[self._start :]


class Oldest(_Line):
    """First in, first out."""

    def first(self) -> int | None:
        ids = self._ids
        return ids[self._start] if self._start < len(ids) else None

    def pop(self) -> None:
        self._start += 1
        if self._start > _TRIMMED and self._start * 2 > len(self._ids):
            del self._ids[: self._start]
            self._start = 0

    def __iter__(self) -> Iterator[int]:
        return iter(self.ids())


class Newest(_Line):
    """Last in, first out."""

    backwards = True

    def first(self) -> int | None:
        return self._ids[-1] if self._ids else None

    def pop(self) -> None:
        self._ids.pop()

    def __iter__(self) -> Iterator[int]:
        return reversed(self.ids())


class Smallest(Order):
    """The smallest value first; of equal ones the first that was put.

    Parameters
    ----------
    ids: array
        The items that are there; their values are read when the first is asked for.
    value_of: callable
        Reads a value, or raises where that cannot be: then the item comes first, for whoever finds out.
    """

    compares = True
    backwards = True

    def __init__(self, ids: array[int], value_of: Callable[[int], object]) -> None:
        self._value_of = value_of
        self._there = set(ids)
        self._unread = ids
        self._heap: list[tuple[_Comparable, int]] = []
        self._bad: list[int] = []

    def add(self, number: int, value: object) -> None:
        self._read()
        self._push(number, value)
        self._there.add(number)

    def _push(self, number: int, value: object) -> None:
        entry = cast(_Comparable, value), number
        try:
            heapq.heappush(self._heap, entry)
        except BaseException:
            for place, each in enumerate(self._heap):
                if each is entry:
                    self._pull(place)
                    break
            raise

    def _pull(self, place: int) -> None:
        # What has made way for it goes back to where it came from; nothing is compared for that.
        heap = self._heap
        path = [len(heap) - 1]
        while path[-1] > place:
            path.append((path[-1] - 1) >> 1)
        path.reverse()
        for upper, lower in pairwise(path):
            heap[upper] = heap[lower]
        heap.pop()

    def restore(self, number: int) -> None:
        self._unread.append(number)
        self._there.add(number)

    def _read(self) -> None:
        while self._unread:
            if self._unread[-1] in self._there:
                self._enter(self._unread[-1])
            self._unread.pop()

    def _enter(self, number: int) -> None:
        try:
            self._push(number, self._value_of(number))
        except OF_THE_MOMENT:
            raise
        except Exception:  # noqa: BLE001  # damaged, not to be decoded, not to be compared: whoever takes it finds out
            self._bad.append(number)

    def first(self) -> int | None:
        self._read()
        # An id that was entered twice, by an interruption, is gone from here when it was taken once.
        while self._bad and self._bad[-1] not in self._there:
            self._bad.pop()
        if self._bad:
            return self._bad[-1]
        while self._heap and self._heap[0][1] not in self._there:
            heapq.heappop(self._heap)
        return self._heap[0][1] if self._heap else None

    def is_spoilt(self, number: int) -> bool:
        return bool(self._bad) and self._bad[-1] == number

    def pop(self) -> None:
        number = self._bad.pop() if self._bad else heapq.heappop(self._heap)[1]
        self._there.discard(number)

    def discard(self, number: int) -> bool:
        if number not in self._there:
            return False
        self._there.remove(number)
        kept = [each for each in self._heap if each[1] != number]
        if len(kept) < len(self._heap):
            heapq.heapify(kept)
            self._heap = kept
        self._bad = [each for each in self._bad if each != number]
        return True

    def clear(self) -> None:
        self._there.clear()
        self._unread = array("q")
        self._heap.clear()
        self._bad.clear()

    def __len__(self) -> int:
        return len(self._there)

    def __contains__(self, number: object) -> bool:
        return number in self._there

    def __iter__(self) -> Iterator[int]:
        self._read()
        entered = dict.fromkeys([*self._bad, *(number for _, number in sorted(self._heap))])
        return iter([number for number in entered if number in self._there])

    def ids(self) -> array[int]:
        return array("q", sorted(self._there))
