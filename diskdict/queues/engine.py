"""A queue without waiting: items go in, come out, come back, are given up: `Engine`."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar, cast

from diskdict.codecs import Codec
from diskdict.queues.burial import Burial, reason_of
from diskdict.queues.dead import Graveyard
from diskdict.queues.folder import Content, Mark, QueueFolder
from diskdict.queues.given import Counts, Delivery, Terms
from diskdict.queues.items import MAX_TIME
from diskdict.queues.orders import OF_THE_MOMENT, Order
from diskdict.queues.waiting import Waiting
from diskdict.store import Clock

V = TypeVar("V")


class Engine(Generic[V]):
    """The items of an open queue.

    Parameters
    ----------
    folder: QueueFolder
        Where they lie.
    codec: Codec
        How values become bytes.
    order_of: type
        Says which item comes next.
    terms: Terms
        How items are given.
    clock: callable
        The time in seconds since the epoch.

    Notes
    -----
    The caller excludes other threads, and says `QueueFolder.begin` before the first change. ``given_up`` counts the
    items that went to the ``graveyard``, or are of no use any longer. What takes an item away is done in memory
    first, what adds one last: an interruption leaves an item in the files alone, to be found at the next opening.
    """

    def __init__(
        self,
        folder: QueueFolder,
        codec: Codec,
        order_of: type[Order],
        terms: Terms,
        *,
        clock: Clock,
        graveyard: Graveyard,
    ) -> None:
        self._folder = folder
        self._segments = folder.segments
        self.loads = cast(Callable[[bytes], V], codec.loads)
        self._visibility, self._most = terms.visibility, terms.max_deliveries or sys.maxsize
        self._clock = clock
        self.graveyard = graveyard
        self._burial = Burial(folder, graveyard)
        content = folder.find()
        self._ended = False
        # Interrupted before it was forgotten, one may have a mark that is there no longer.
        content = content._replace(marks={number: content.marks[number] for number in content.marked()})
        away = {number for number, mark in content.marks.items() if self._is_away(mark)}
        ids = array("q", [number for number in content.ids if number not in away]) if away else content.ids
        self.order = order_of(ids, self._value_of)
        self._backwards = self.order.backwards
        self._compares = self.order.compares
        self.waiting = Waiting(self.order)
        self.given_up = 0
        self._take_over(content, away)

    def _is_away(self, mark: Mark) -> bool:
        return mark.deliveries >= self._most or mark.due > self._clock()

    def _take_over(self, content: Content, away: set[int]) -> None:
        spent = [number for number, mark in content.marks.items() if mark.deliveries >= self._most]
        if spent or content.damaged:
            self._folder.begin()
        for number, mark in content.marks.items():
            if mark.key:
                self.waiting.bind(number, mark.key)
            if mark.deliveries:
                self.waiting.deliveries[number] = mark.deliveries
            if number in away and mark.deliveries < self._most:
                self.waiting.delay(number, mark.due)
        for number in spent:
            self._give_back(number)
        for segment, damage in content.damaged:
            self.given_up += 1
            self._burial.bury_damage(segment, damage)

    def put(self, payload: bytes, due: float = 0.0, key: str = "") -> int:
        """Add an item and return its id; raise what comparing its value with others raises, having added nothing."""
        number = self._segments.append(payload, self._now(), due, key.encode())
        if key:
            self.waiting.bind(number, key)
        if due:
            self.waiting.delay(number, due)
        elif self._compares:
            self._compare([number], [payload])
        else:
            self.order.add(number, None)
        return number

    def put_all(self, payloads: Sequence[bytes], due: float = 0.0) -> None:
        """Add items as `put` does, all or none."""
        numbers = self._segments.append_all(payloads, self._now(), due)
        if self._compares and not due:
            self._compare(numbers, payloads)
            return
        for number in numbers:
            if due:
                self.waiting.delay(number, due)
            else:
                self.order.add(number, None)

    def _now(self) -> float:
        return min(max(0.0, self._clock()), MAX_TIME)

    def _compare(self, numbers: Sequence[int], payloads: Sequence[bytes]) -> None:
        try:
            for number, payload in zip(numbers, payloads, strict=True):
                self.order.add(number, self.loads(payload))
        except BaseException:
            for number in numbers:
                self.order.discard(number)
                self._remove(number)
            raise

    def due(self, delay: float) -> float:
        """Return when an item can be had that is to wait for seconds."""
        return min(self._now() + delay, MAX_TIME) if delay else 0.0

    def settle(self) -> None:
        """Have what was delayed or in flight until now be there again."""
        due = self.waiting.due(self._clock())
        # Without those that are spent first: interrupted, they are not to come back as if they were never given.
        back = self.waiting.returning = [number for number in due if not self._is_spent(number)]
        for number in set(due).difference(back):
            self._give_back(number)
        if self._ended:
            self.given_up += len(back)
        else:
            self.order.restore_all(back)
        self.waiting.returning = []

    def _is_spent(self, number: int) -> bool:
        return self.waiting.deliveries.get(number, 0) >= self._most

    def _give_back(self, number: int) -> None:
        if self._is_spent(number):
            self._bury(number, f"given {self.waiting.deliveries[number]} times and never acknowledged")
        elif self._ended:
            self.given_up += 1
        else:
            self.order.restore(number)

    def end(self) -> int:
        """Give nothing any longer, and leave all in the folder; return how many items were still to be given."""
        self._ended = True
        count = len(self.order) + len(self.waiting.delayed)
        self.order.clear()
        self.waiting.delayed.clear()
        return count

    def take(self) -> tuple[V | Delivery[V]] | None:
        """Return the item that comes next, as it is given, or None where there is none."""
        found = self._next()
        if found is None:
            return None
        number, value = found
        size = self._segments.last_size
        self.order.pop()
        try:
            if self._visibility is None:
                self._remove(number, size)
                return (value,)
            put_time = self._segments.put_time(number)
            deliveries = self.waiting.deliveries.get(number, 0) + 1
            self._segments.amend(number, 0.0, deliveries)
        except OSError:
            self.order.restore(number)
            raise
        self.waiting.give(number, deliveries, self._clock() + self._visibility, size)
        return (Delivery(value, number, deliveries, put_time),)

    def peek(self) -> tuple[V] | None:
        """Return the value of the item that comes next, or None where there is none."""
        found = self._next()
        return None if found is None else (found[1],)

    def peek_at(self, number: int) -> tuple[V] | None:
        """Return the value of an item if it can be had, and read."""
        if number not in self.order:
            return None
        try:
            return (self._value_of(number),)
        except OF_THE_MOMENT:
            raise
        except Exception:  # noqa: BLE001  # it is given up when its turn comes
            return None

    def _next(self) -> tuple[int, V] | None:
        order = self.order
        while (number := order.first()) is not None:
            try:
                value = self._value_of(number)
            except OF_THE_MOMENT:
                raise
            except Exception as error:  # noqa: BLE001  # whatever a codec raises, the item is to be in nobody's way
                # First: interrupted between, it is in the file alone, and found at the next opening.
                order.pop()
                self._bury(number, reason_of(error))
                continue
            if not order.is_spoilt(number):
                return number, value
            order.pop()
            self._bury(number, "cannot be compared with the others")
        return None

    def _value_of(self, number: int) -> V:
        return self.loads(self._segments.read(number, before=self._backwards))

    def _remove(self, number: int, size: int = 0) -> None:
        self._segments.remove(number, size)
        self.waiting.forget(number)

    def acknowledge(self, number: int, deliveries: int) -> bool:
        """Remove an item that was given so many times; return False where it was given again since, or is gone."""
        flight = self.waiting.flights.get(number)
        if not self._is_held(number, deliveries):
            return False
        self._take_back(number)
        try:
            self._remove(number, 0 if flight is None else flight.size)
        except OSError:
            if flight is None:
                self.order.restore(number)
            else:
                self.waiting.give(number, *flight)
            raise
        return True

    def refuse(self, number: int, deliveries: int, delay: float) -> bool:
        """Give back an item that was given so many times, after `delay` seconds; return False as `acknowledge`."""
        if not self._is_held(number, deliveries):
            return False
        if delay and deliveries < self._most:
            due = self.due(delay)
            self._segments.amend(number, due, deliveries)
            self._take_back(number)
            self.waiting.delay(number, due)
        else:
            self._take_back(number)
            self._give_back(number)
        return True

    def extend(self, number: int, deliveries: int, visibility: float) -> bool:
        """Have an item be in flight for so many seconds from now; return False as `acknowledge`."""
        flight = self.waiting.flights.get(number)
        if not self._is_held(number, deliveries):
            return False
        self._take_back(number)
        self.waiting.give(number, deliveries, self._clock() + visibility, 0 if flight is None else flight.size)
        return True

    def _is_held(self, number: int, deliveries: int) -> bool:
        # Nobody else has it: it is in flight still, or can be had again and was not given since.
        there = number in self.waiting.flights or number in self.order
        return there and self.waiting.deliveries.get(number) == deliveries

    def _take_back(self, number: int) -> None:
        if self.waiting.flights.pop(number, None) is None:
            self.order.discard(number)

    def _bury(self, number: int, reason: str) -> None:
        self.given_up += 1
        if self._burial.bury(number, reason, self.waiting.deliveries.get(number, 0)):
            self._remove(number)

    def counts(self) -> Counts:
        """Return how many items there are, by what becomes of them."""
        waiting = self.waiting
        return Counts(len(self.order), len(waiting.delayed), len(waiting.flights), len(self.graveyard))

    def clear(self) -> int:
        """Remove all items; return how many."""
        count = len(self.waiting)
        self.waiting.clear()
        self._segments.clear()
        return count

    def content(self) -> Content:
        """Return what `QueueFolder.find` is to find."""
        return Content(self.waiting.ids(), self.waiting.marks(), [])
